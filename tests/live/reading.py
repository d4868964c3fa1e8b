"""What a stream holds, read by the most forgiving of clients.

Written for these tests from the dialects' own documents, without a line of relay or of an SDK, so
that neither can hide its own mistake. A mistake in the order of events, a missing id or a wrong
index does not matter here: what was sent is counted, whatever it was filed under.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

_LINE = re.compile(r"\r\n|\n|\r")

FINISHES = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "completed": "stop",
    "max_tokens": "length",
    "incomplete": "length",
    "max_output_tokens": "length",
    "tool_use": "tool_calls",
}
"""The dialects' words for the same end, as chat says it."""


def arguments(text: str) -> Any:
    """Arguments as a client hands them to a tool; no text at all is a call without arguments."""
    try:
        return json.loads(text) if text.strip() else {}
    except ValueError:
        return f"not JSON: {text}"


@dataclass(frozen=True)
class Content:
    """What an answer says, in one form for all dialects and clients."""

    text: str = ""
    tools: tuple[tuple[str, str], ...] = ()
    """Name and arguments of each call; the arguments as JSON with sorted keys."""
    reasoning: str = ""

    @classmethod
    def of(cls, text: str, tools: list[tuple[str, Any]], reasoning: str) -> Content:
        calls = ((name, json.dumps(values, sort_keys=True)) for name, values in tools)
        return cls(text, tuple(calls), reasoning)


@dataclass
class Held:
    """All that one body holds; ``final`` where a dialect says it all once more at the end."""

    content: Content
    final: Content | None = None
    failed: bool = False
    finish: str | None = None

    @property
    def all(self) -> list[Content]:
        return [self.content] if self.final is None else [self.content, self.final]


@dataclass
class _Call:
    name: str = ""
    pieces: str = ""
    whole: Any = None

    @property
    def read(self) -> tuple[str, Any]:
        return self.name, arguments(self.pieces) if self.pieces or self.whole is None else self.whole


@dataclass
class _Reading:
    text: str = ""
    reasoning: str = ""
    calls: dict[Any, _Call] = field(default_factory=dict)

    def call(self, key: Any) -> _Call:
        return self.calls.setdefault(key, _Call())

    def content(self) -> Content:
        return Content.of(self.text, [call.read for call in self.calls.values()], self.reasoning)


def frames(body: bytes) -> Iterator[Any]:
    """The JSON of each frame; what is none is left out."""
    data: list[str] = []
    for line in [*_LINE.split(body.decode().removeprefix("\ufeff")), ""]:
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line and data:
            with contextlib.suppress(ValueError):
                yield json.loads("\n".join(data))
            data = []


def read(dialect: str, body: bytes) -> Held:
    """What ``body`` holds in that dialect."""
    readers: dict[str, Callable[[bytes], Held]] = {
        "chat": _chat,
        "messages": _messages,
        "responses": _responses,
    }
    return readers[dialect](body)


def _chat(body: bytes) -> Held:
    reading, failed, finish = _Reading(), False, None
    for frame in frames(body):
        failed |= bool(frame.get("error"))
        for choice in frame.get("choices") or ():
            delta = choice.get("delta") or {}
            finish = choice.get("finish_reason") or finish
            reading.text += delta.get("content") or ""
            reading.reasoning += delta.get("reasoning_content") or delta.get("reasoning") or ""
            for part in delta.get("tool_calls") or ():
                call, function = reading.call(part["index"]), part.get("function") or {}
                call.name = call.name or function.get("name") or ""
                call.pieces += function.get("arguments") or ""
    return Held(reading.content(), failed=failed, finish=finish)


def _messages(body: bytes) -> Held:
    reading, failed, finish = _Reading(), False, None
    for frame in frames(body):
        kind, index, delta = frame.get("type"), frame.get("index"), frame.get("delta") or {}
        if kind == "error" or "error" in frame:
            failed = True
        elif kind == "content_block_start" and frame["content_block"]["type"] == "tool_use":
            block = frame["content_block"]
            reading.calls[index] = _Call(block["name"], whole=block.get("input"))
        elif kind == "content_block_delta":
            reading.text += delta.get("text") or ""
            reading.reasoning += delta.get("thinking") or ""
            if piece := delta.get("partial_json"):
                reading.call(index).pieces += piece
        elif kind == "message_delta":
            finish = delta.get("stop_reason") or finish
    return Held(reading.content(), failed=failed, finish=FINISHES.get(finish or "", finish))


def _responses(body: bytes) -> Held:
    reading, final, failed, finish = _Reading(), None, False, None
    for frame in frames(body):
        kind = frame.get("type") or ""
        if kind in ("error", "response.failed") or (not kind and "error" in frame):
            failed = True
        elif kind == "response.output_text.delta":
            reading.text += frame["delta"]
        elif kind in ("response.reasoning_summary_text.delta", "response.reasoning_text.delta"):
            reading.reasoning += frame["delta"]
        elif kind == "response.output_item.done" and frame["item"]["type"] == "function_call":
            item = frame["item"]
            reading.calls[item.get("call_id") or len(reading.calls)] = _Call(item["name"], item["arguments"])
        elif kind in ("response.completed", "response.incomplete"):
            finish = FINISHES[frame["response"]["status"]]
            if frame["response"].get("output"):
                final = _output(frame["response"]["output"])
    return Held(reading.content(), final, failed, finish)


def _output(items: list[Any]) -> Content:
    """The items of a finished response."""
    text, reasoning, calls = "", "", []
    for item in items:
        if item["type"] == "message":
            text += "".join(part.get("text") or "" for part in item["content"])
        elif item["type"] == "function_call":
            calls.append((item["name"], arguments(item["arguments"])))
        elif item["type"] == "reasoning":
            parts = [*(item.get("summary") or ()), *(item.get("content") or ())]
            reasoning += "".join(part.get("text") or "" for part in parts)
    return Content.of(text, calls, reasoning)
