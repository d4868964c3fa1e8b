"""The streams of the corpus that are translated, each in exactly one class.

whole      it says that it ended, and all that it says has a place in the other dialects, but for `left_out`
failed     it says that it failed
cut        it ends before it has ended
malformed  it breaks a rule; what comes of it is legal or a stated failure
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from tests.dialects.drive import Event, events
from tests.streams import CORPUS, handwritten, recorded

FAILED = {
    "recorded/chat-completions/groq--pydantic-ai--groq-tool-use-failed-error-streaming-1",
    "recorded/chat-completions/groq--pydantic-ai--groq-tool-use-failed-error-streaming-with-text-1",
    "recorded/responses/openai--prism--openai-stream-rate-limited-1",
    "handwritten/chat-completions/finish-error",  # a quirk, by what it does to clients
    *(
        f"upstream/{name}"
        for name in ("chat--error-first", "chat--mid-error", "messages--error-first", "messages--mid-error")
    ),
    *(f"upstream/responses--{name}" for name in ("error-first", "mid-error", "mid-failed")),
}
"""Beside the handwritten streams of the kind `error`."""
CUT = {
    # The recorder stopped before the finish reason.
    "recorded/chat-completions/gpustack--ruby_llm--"
    "chat-with-extended-thinking-gpustack-qwen3-streams-thinking-content-when-available",
    *(
        f"upstream/{dialect}--trunc-{how}"
        for dialect in ("chat", "messages", "responses")
        for how in ("clean", "close", "rst")
    ),
}
MALFORMED = {
    "upstream/responses--minimal",  # no lifecycle, no items: a reader has nothing to begin with
}
"""Beside the handwritten streams of the kind `malformed`."""
_KINDS = {"error": "failed", "malformed": "malformed"}


@dataclass(frozen=True)
class Source:
    dialect: str
    path: Path
    kind: str
    """One of the four classes."""

    @property
    def name(self) -> str:
        return self.path.relative_to(CORPUS).with_suffix("").as_posix()

    @cached_property
    def body(self) -> bytes:
        return self.path.read_bytes()

    @cached_property
    def events(self) -> list[Event]:
        return events(self.body)

    def __str__(self) -> str:
        return self.name


@cache
def sources() -> list[Source]:
    """All of them; none where the corpus is not beside the project."""
    found: list[tuple[str, Path, str]] = [(dialect, path, "whole") for dialect, path in recorded()]
    found += [
        (path.name.partition("--")[0], path, "whole") for path in sorted((CORPUS / "upstream").glob("*.sse"))
    ]
    for sample in handwritten().values():
        path = sample.folder / f"{sample.name}.sse"
        found.append((sample.dialect, path, _KINDS.get(sample.kind, "whole")))
    return [Source(dialect, path, _kind(path, kind)) for dialect, path, kind in found]


def _kind(path: Path, kind: str) -> str:
    name = path.relative_to(CORPUS).with_suffix("").as_posix()
    named = {"failed": name in FAILED, "cut": name in CUT, "malformed": name in MALFORMED}
    return next((other for other, there in named.items() if there), kind)


def of_kind(*kinds: str) -> list[Source]:
    return [source for source in sources() if source.kind in kinds]


# --- what has no place in another dialect -----------------------------------------------------------

LEFT_OUT = {
    "a hosted tool": 44,
    "sealed reasoning": 24,
    "citations": 17,
    "a signature": 15,
    "a second choice": 10,
}
"""Whole streams that say more than can be carried: what, and how many of them. `left_out` finds it."""
_OURS = ("function_call", "custom_tool_call", "message", "reasoning")
_BLOCKS = ("text", "thinking", "redacted_thinking", "tool_use")


def left_out(source: Source) -> set[str]:
    """What of it another dialect has no place for."""
    reading = {"chat": _of_chat, "messages": _of_messages, "responses": _of_responses}
    return set(reading[source.dialect](payload for _, payload in source.events if payload))


def _of_chat(payloads: Iterable[Any]) -> Iterator[str]:
    for payload in payloads:
        if any(choice.get("index") for choice in payload.get("choices") or []):
            yield "a second choice"


def _of_messages(payloads: Iterable[Any]) -> Iterator[str]:
    for payload in payloads:
        block, delta = payload.get("content_block") or {}, payload.get("delta") or {}
        if block.get("type") == "redacted_thinking":
            yield "sealed reasoning"
        elif block and block["type"] not in _BLOCKS:
            yield "a hosted tool"
        if delta.get("type") in ("signature_delta", "citations_delta"):
            yield "a signature" if delta["type"] == "signature_delta" else "citations"


def _of_responses(payloads: Iterable[Any]) -> Iterator[str]:
    for payload in payloads:
        item = payload.get("item") or {}
        if item and item["type"] not in _OURS:
            yield "a hosted tool"
        if item.get("encrypted_content"):
            yield "sealed reasoning"
        if payload.get("type") == "response.output_text.annotation.added":
            yield "citations"


def counted(found: Iterable[Source]) -> dict[str, int]:
    return dict(Counter(reason for source in found for reason in left_out(source)))


def request_beside(source: Source) -> dict[str, Any] | None:
    """The request that a recorded stream answered."""
    beside = source.path.with_suffix(".json")
    found = json.loads(beside.read_bytes())["request"] if beside.is_file() else None
    return found if isinstance(found, dict) else None
