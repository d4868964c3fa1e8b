"""What surrounds the blocks of a message: its object, why it ended, what it cost, or how it failed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from relay.dialects import failures
from relay.dialects.checker import Malformed
from relay.dialects.deltas import Context, Failure, Usage
from relay.dialects.frame import Frame

FOREIGN_REASONS = {
    "stop": "end_turn",
    "eos": "end_turn",
    "eos_token": "end_turn",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "length": "max_tokens",
    "content_filter": "refusal",
}
"""A finish_reason of chat completions as a stop_reason; unknown values may be new ones and pass."""

FAILED_REASONS = frozenset({"error", "abort"})

Mends = Callable[[str], bool]


def new_message(context: Context) -> dict[str, Any]:
    """The message object of a stream that has not said a word about it."""
    return {
        "id": f"msg_{context.ident}",
        "type": "message",
        "role": "assistant",
        "model": context.model or "",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 0, "output_tokens": 0},
    }


def start_frame(message: dict[str, Any]) -> Frame:
    return Frame("message_start", {"type": "message_start", "message": message})


def finish_frame(reason: object, output: object = 0, sequence: object = None) -> Frame:
    return Frame(
        "message_delta",
        {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": sequence},
            "usage": {"output_tokens": output},
        },
    )


def error_frame(failure: Failure) -> Frame:
    return Frame("error", {"type": "error", "error": error_of(failure)})


def error_of(failure: Failure) -> dict[str, str]:
    return {"type": failures.messages_type(failure), "message": failures.messages_message(failure)}


def mended_error(frame: Frame, failure: Failure, mends: Mends) -> Frame:
    """The upstream's error event in the one form that every client sees."""
    assert frame.payload is not None
    error, right = frame.payload.get("error"), error_of(failure)
    if frame.payload.get("type") != "error" or not isinstance(error, dict):
        return error_frame(failure) if mends("messages-error-form") else frame
    wrong = [key for key in right if error.get(key) != right[key]]
    if wrong and mends("messages-error-form"):
        for key in wrong:
            frame.set(("error", key), right[key])
    return frame


def complete(frame: Frame, context: Context, mends: Mends) -> None:
    """Fill in what the message object of a message_start must have."""
    assert frame.payload is not None
    message = frame.payload.get("message")
    whole = new_message(context)
    if not isinstance(message, dict):
        if message:
            raise Malformed("message_start whose message is not an object")
        if mends("messages-start-incomplete"):
            frame.set(("message",), whole)
        return
    missing: list[tuple[tuple[str, ...], object]]
    missing = [((key,), value) for key, value in whole.items() if _lacks(message, key)]
    if isinstance(usage := message.get("usage"), dict):
        needed = ("input_tokens", "output_tokens")
        missing += [(("usage", key), 0) for key in needed if not is_number(usage.get(key))]
    if missing and mends("messages-start-incomplete"):
        for path, value in missing:
            frame.set(("message", *path), value)


def _lacks(message: dict[str, Any], key: str) -> bool:
    value = message.get(key)
    if key in ("stop_reason", "stop_sequence"):
        return key not in message
    if key == "content":
        if value and not isinstance(value, list):
            raise Malformed("message_start whose content is not a list")
        return not isinstance(value, list)
    if key == "usage":
        return not isinstance(value, dict)
    if key in ("type", "role"):
        return value != ("message" if key == "type" else "assistant")
    return not isinstance(value, str) or (key == "id" and not value)


def as_text(value: object) -> str | None:
    """The value where it is a text."""
    return value if isinstance(value, str) else None


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


class Counts:
    """Token counts, merged from message_start and every message_delta: totals, the last one holds."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def merge(self, usage: object) -> bool:
        """Take these; False when they say nothing."""
        if not isinstance(usage, dict):
            return False
        details = usage.get("output_tokens_details")
        if isinstance(details, dict):
            usage = {**usage, "thinking_tokens": details.get("thinking_tokens")}
        said = False
        for key in _COUNTED:
            value = usage.get(key)
            if type(value) is int and value >= 0:
                self._counts[key] = value
                said = said or value > 0
        return said

    def usage(self) -> Usage | None:
        counts = self._counts
        if not counts:
            return None
        cached, written = counts.get("cache_read_input_tokens"), counts.get("cache_creation_input_tokens")
        read = [count for count in (counts.get("input_tokens"), cached, written) if count is not None]
        return Usage(
            input=sum(read) if read else None,
            output=counts.get("output_tokens"),
            cached=cached,
            cache_write=written,
            reasoning=counts.get("thinking_tokens"),
        )


_COUNTED = (
    "input_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "output_tokens",
    "thinking_tokens",
)
