"""A chat stream cut after any frame: an end is supplied only where it was announced."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.dialects.chat import Chat
from relay.dialects.checker import Truncated
from relay.dialects.frame import Frame
from tests.dialects.chat_reading import DIED, HANDWRITTEN, RECORDED, verdict
from tests.dialects.drive import CONTEXT, Event, events, seen

pytestmark = pytest.mark.skipif(
    not HANDWRITTEN.is_dir(), reason="the folder of recorded streams is not beside this project"
)

NAMES = ["text", "n2", "tool-parallel-interleaved", "text-usage", "reasoning-then-tool", "finish-twice"]
FILES = [
    *(HANDWRITTEN / f"{name}.sse" for name in NAMES),
    RECORDED / "xai--magentic--openai-chat-model-xai-acomplete-say-hello-output-types0-str.sse",
    RECORDED / "llamacpp--rig--llamacpp-response-shape-matrix-two-candidates-streaming.sse",
    RECORDED / "mistral--rig--mistral-agent-tool-sessions-parallel-tool-calls-single-turn-streaming-1.sse",
]


def opened(stream: list[Event]) -> Chat:
    checker = Chat(CONTEXT)
    for event, payload in stream:
        assert checker.check(Frame(event, payload)) is None
    return checker


def announced(stream: list[Event]) -> bool:
    """Whether every choice that was seen has a finish reason."""
    reasons: dict[int, bool] = {}
    for _, payload in stream:
        for choice in payload["choices"] if payload else []:
            reasons[choice["index"]] = reasons.get(choice["index"]) or bool(choice.get("finish_reason"))
    return bool(reasons) and all(reasons.values())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_cut_stream_is_completed_only_if_it_said_why_it_ends(path: Path) -> None:
    stream = events(path.read_bytes())
    ends = []
    for cut in range(len(stream)):
        checker = opened(stream[:cut])
        assert checker.announced == announced(stream[:cut])
        if announced(stream[:cut]):
            ends.append(cut)
            supplied = seen(checker.end())
            assert supplied == [Event(None, None)]
            assert checker.repairs == {"chat-done-missing": 1}
            assert checker.end() == []
        else:
            with pytest.raises(Truncated, match="a finish reason" if cut else "the first chunk"):
                checker.end()
            supplied = seen(checker.fail(DIED))
            assert checker.repairs == {}
        assert verdict([*stream[:cut], *supplied]) == ("complete" if cut in ends else "failed")
    assert ends == list(range(ends[0], len(stream)))
    assert opened(stream).end() == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_failure_after_any_frame_reads_as_one(path: Path) -> None:
    stream = events(path.read_bytes())
    for cut in range(len(stream)):
        checker = opened(stream[:cut])
        out = [*stream[:cut], *seen(checker.fail(DIED))]
        assert verdict(out) == "failed"
        assert checker.done
        assert checker.fail(DIED) == []
        assert checker.end() == []
        late = checker.check(Frame(None, None))
        assert late is not None
        assert seen(late) == []
    complete = opened(stream)
    assert complete.fail(DIED) == []
