"""The response object: what a document and every lifecycle event of a Responses stream carry.

Read, completed where an upstream leaves out what the SDKs demand, and turned into the two frames
that tell every client of a failure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from relay.dialects.deltas import Context, Failure, Usage
from relay.dialects.failures import openai_code, openai_type, responses_code
from relay.dialects.frame import Frame

Json = dict[str, Any]

SUPPLIED = object()
"""Stands for the sequence number of a synthetic frame until its place in the stream is known."""

_OF_ONE_EVENT = ("error", "incomplete_details", "output", "status", "usage")
"""What the object says of its own event, and no later event may inherit."""

_USAGE_NAMES = {
    "prompt_tokens": "input_tokens",
    "completion_tokens": "output_tokens",
    "prompt_tokens_details": "input_tokens_details",
    "completion_tokens_details": "output_tokens_details",
}
_DETAILS = {"input_tokens_details": "cached_tokens", "output_tokens_details": "reasoning_tokens"}


def made(kind: str, **members: Any) -> Frame:
    """A synthetic frame."""
    return Frame(kind, {"type": kind, "sequence_number": SUPPLIED, **members})


def blank(context: Context) -> Json:
    """A response of which nothing is known but the request: null where the upstream decides."""
    return {
        "id": f"resp_{context.ident}",
        "object": "response",
        "created_at": context.created,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "model": context.model or "unknown",
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": False,
        "temperature": None,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "truncation": "disabled",
        "usage": None,
        "user": None,
        "metadata": {},
    }


def started(response: Json) -> Json:
    """This response as its first events had it, before there was any output."""
    empty: Json = {
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "output": [],
        "usage": None,
    }
    early = {key: value for key, value in response.items() if key != "completed_at"}
    return {**early, **empty, **({"status": "queued"} if response.get("status") == "queued" else {})}


def inherited(response: Json) -> Json:
    """What a later event of the same response may take from an earlier one."""
    return {key: value for key, value in response.items() if key not in _OF_ONE_EVENT}


def usage_of(response: Json) -> Usage | None:
    """Token counts, under the names of either OpenAI dialect."""
    usage = response.get("usage")
    if not isinstance(usage, dict) or not usage:
        return None
    named = {_USAGE_NAMES.get(key, key): value for key, value in usage.items()}

    def count(holder: object, key: str) -> int | None:
        value = holder.get(key) if isinstance(holder, dict) else None
        return value if type(value) is int else None

    read, written = named.get("input_tokens_details"), named.get("output_tokens_details")
    return Usage(
        input=count(named, "input_tokens"),
        output=count(named, "output_tokens"),
        cached=count(read, "cached_tokens"),
        cache_write=count(read, "cache_write_tokens"),
        reasoning=count(written, "reasoning_tokens"),
    )


def mend_usage(frame: Frame, response: Json, mends: Callable[[str], bool]) -> None:
    """The names and the details objects that codex and the AI SDK demand; null is as good as none."""
    usage = response.get("usage")
    if usage is None:
        return
    if not isinstance(usage, dict) or not usage.keys() & {"input_tokens", "prompt_tokens"}:
        if mends("responses-usage"):
            frame.set(("response", "usage"), None)
        return
    renamed = {_USAGE_NAMES.get(key, key): value for key, value in usage.items()}
    for details, count in _DETAILS.items():
        if not isinstance(renamed.get(details), dict):
            renamed[details] = {count: 0}
    renamed.setdefault("output_tokens", 0)
    if "total_tokens" not in renamed:
        counts = (renamed["input_tokens"], renamed["output_tokens"])
        renamed["total_tokens"] = sum(count for count in counts if type(count) is int)
    if renamed != usage and mends("responses-usage"):
        frame.set(("response", "usage"), renamed)


def error_member(failure: Failure) -> Json:
    """The ``error`` object, as a document and a stream carry it."""
    return {
        "type": openai_type(failure),
        "code": openai_code(failure),
        "message": failure.message,
        "param": failure.param,
    }


def error_frame(failure: Failure) -> Frame:
    """Flat and nested at once: neither published form alone reaches every client."""
    error = {**error_member(failure), "code": responses_code(failure)}
    return made("error", code=error["code"], message=error["message"], param=error["param"], error=error)


def failed_frame(failure: Failure, response: Json) -> Frame:
    """``response.failed``, which codex waits for."""
    error = {"code": responses_code(failure), "message": failure.message}
    return made("response.failed", response={**response, "status": "failed", "error": error, "output": []})


def mend_error(frame: Frame, failure: Failure) -> None:
    """Add what an upstream's error event lacks of the form that reaches every client."""
    payload, whole = frame.payload, error_member(failure)
    assert payload is not None
    if payload.get("type") != "error":
        frame.set(("type",), "error")
    if not isinstance(payload.get("message"), str):
        frame.set(("message",), failure.message)
    if not isinstance(payload.get("code"), str):
        frame.set(("code",), whole["code"])
    if "param" not in payload:
        frame.set(("param",), None)
    error = payload.get("error")
    if not isinstance(error, dict):
        frame.set(("error",), whole)
        return
    for key in ("type", "code", "message"):
        if not isinstance(error.get(key), str):
            frame.set(("error", key), whole[key])
    if "param" not in error:
        frame.set(("error", "param"), None)


def is_hybrid(payload: Json) -> bool:
    """Whether an error event has the form that reaches every client."""
    error = payload.get("error")
    return (
        payload.get("type") == "error"
        and isinstance(payload.get("message"), str)
        and isinstance(error, dict)
        and isinstance(error.get("message"), str)
    )
