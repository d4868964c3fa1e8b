"""Chat frames made by hand, and what became of them."""

from __future__ import annotations

from typing import Any

from tests.dialects.chat_reading import Outcome, run, verdict
from tests.dialects.drive import CONTEXT, Event

DONE = Event(None, None)


def chunk(delta: Any, finish: Any = None, *, index: int = 0, ident: str = "c-1", **more: Any) -> Event:
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    envelope = {"id": ident, "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return Event(None, {**envelope, "choices": [choice], **more})


ROLE = chunk({"role": "assistant", "content": ""})
STOP = chunk({}, "stop")
CALLED = chunk({}, "tool_calls")


def call(
    index: Any = 0, ident: Any = "call_a", name: Any = "f", arguments: Any = "", **more: Any
) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"index": index, "id": ident, "type": "function", "function": function, **more}


def piece(arguments: Any, index: Any = 0, **more: Any) -> dict[str, Any]:
    return {"index": index, "function": {"arguments": arguments}, **more}


def without(entry: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key not in keys}


def tools(*entries: Any) -> Event:
    return chunk({"tool_calls": list(entries)})


def entries(outcome: Outcome) -> list[dict[str, Any]]:
    """The entries of tool_calls that left."""
    deltas = [
        choice["delta"] for _, payload in outcome.out for choice in (payload or {}).get("choices") or []
    ]
    return [entry for delta in deltas for entry in delta.get("tool_calls") or []]


def whole(*frames: Event, context: Any = CONTEXT) -> Outcome:
    """A stream around these frames that ends well."""
    outcome = run([ROLE, *frames, CALLED, DONE], context)
    assert outcome.end == "complete"
    assert verdict(outcome.out) == "complete"
    return outcome


def deltas(outcome: Outcome) -> list[dict[str, Any]]:
    return [payload["choices"][0]["delta"] for _, payload in outcome.out if payload and payload["choices"]]
