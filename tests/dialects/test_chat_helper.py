"""openai-python's accumulating helper, the strictest reader of chunks, over what the checker lets out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.dialects.chat_reading import HANDWRITTEN, RECORDED, run_file, said
from tests.dialects.drive import Event

chat = pytest.importorskip("openai.lib.streaming.chat")
types = pytest.importorskip("openai.types.chat")
pytestmark = pytest.mark.skipif(
    not HANDWRITTEN.is_dir(), reason="the folder of recorded streams is not beside this project"
)

SMALL = 60_000
"""The helper copies its snapshot with every chunk, so the longest recordings take seconds."""

FILES = [
    *HANDWRITTEN.glob("*.sse"),
    *(path for path in RECORDED.glob("*.sse") if path.stat().st_size < SMALL),
]
LEFT_ALONE = [
    "reasoning-details",
    "openrouter--pydantic-ai--openrouter-openrouter-web-search-annotations-stream",
]
"""Lists of details without indexes: the helper cannot join them, but others want them."""
UNREADABLE = ("nan", "single-newline", "truncated-json", "json-body", "json-error-body")


def accumulate(stream: list[Event]) -> Any:
    state = chat.ChatCompletionStreamState()
    for _, payload in stream:
        if payload is not None:
            made = types.ChatCompletionChunk.construct(**payload)
            if getattr(made, "object", None) == "chat.completion.chunk":
                state.handle_chunk(made)
    return state.get_final_completion()


@pytest.mark.parametrize("path", sorted(FILES), ids=lambda path: path.stem)
def test_the_helper_reads_all_that_was_said(path: Path) -> None:
    if path.stem in UNREADABLE:
        pytest.skip("not a stream of frames")
    outcome = run_file(path)
    if outcome.end != "complete":
        pytest.skip("a failed stream, the helper raises its error")
    if path.stem.startswith("perplexity"):
        pytest.skip("its last chunk has another `object`, which is left alone")
    finishes = {
        c["finish_reason"] for _, p in outcome.out if p for c in p["choices"] if c.get("finish_reason")
    }
    if finishes & {"length", "content_filter"}:
        pytest.skip("the helper raises by design")
    if path.stem in LEFT_ALONE:
        with pytest.raises(RuntimeError, match="to have an `index` key"):
            accumulate(outcome.out)
        return
    completion = accumulate(outcome.out)
    messages = [choice.message for choice in completion.choices]
    told = said(outcome.out)
    calls = [call for message in messages for call in message.tool_calls or []]
    assert len("".join(message.content or "" for message in messages)) == len(told.get("content", ""))
    assert len("".join(call.function.arguments or "" for call in calls)) == len(told.get("arguments", ""))
    assert all(choice.finish_reason for choice in completion.choices)
