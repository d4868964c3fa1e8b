"""A complete answer, as the frames of the stream that was asked for; and what chunks are made of.

An upstream may answer `stream: true` with one JSON document. No client understands that: plain
iteration sees nothing, helpers fail.
"""

from __future__ import annotations

from typing import Any

from relay.dialects import failures
from relay.dialects.checker import Malformed
from relay.dialects.deltas import Context, Failure
from relay.dialects.frame import Frame

CHUNK = "chat.completion.chunk"
_ENVELOPE = ("id", "created", "model", "service_tier", "system_fingerprint")


def envelope(source: dict[str, Any], context: Context) -> dict[str, Any]:
    """The members that every chunk of a stream shares."""
    known = {key: source[key] for key in _ENVELOPE if source.get(key) is not None}
    return {
        "id": f"chatcmpl-{context.ident}",
        "object": CHUNK,
        "created": context.created,
        "model": context.model or "",
        **known,
    }


def chunk(shared: dict[str, Any], index: int, delta: dict[str, Any], finish: str | None = None) -> Frame:
    """A chunk with one choice."""
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return Frame(None, {**shared, "choices": [choice]})


def error_document(failure: Failure) -> dict[str, Any]:
    """An error in the one form that every SDK raises on, in a stream and as the body of an answer."""
    kind, code = failures.openai_type(failure), failures.openai_code(failure)
    return {"error": {"message": failure.message, "type": kind, "param": failure.param, "code": code}}


def frames_of(document: dict[str, Any], context: Context) -> list[Frame]:
    """The chunks of a chat.completion and [DONE]; raises Malformed when it is none."""
    choices = document.get("choices")
    if not isinstance(choices, list) or not choices:
        raise Malformed("the document is not a chat completion")
    shared = envelope(document, context)
    frames: list[Frame] = []
    for at, choice in enumerate(choices):
        message = choice.get("message") if isinstance(choice, dict) else None
        if not isinstance(message, dict):
            raise Malformed("a choice of the document has no message")
        frames += _choice(shared, at, choice, message)
    _add_rest(frames[0], document)
    usage = document.get("usage")
    # A client that is known not to have asked may index into `choices` of every chunk.
    if isinstance(usage, dict) and context.usage_asked is not False:
        frames.append(Frame(None, {**shared, "choices": [], "usage": usage}))
    return [*frames, Frame(None, None)]


def _choice(
    shared: dict[str, Any], index: int, choice: dict[str, Any], message: dict[str, Any]
) -> list[Frame]:
    """Role, reasoning, what else there is, each tool call, and why it ended."""
    said = {key: value for key, value in message.items() if key != "role" and _says(value)}
    tools = said.pop("tool_calls", None)
    reasoning: dict[str, Any] = {
        key: said.pop(key) for key in ("reasoning_content", "reasoning") if key in said
    }
    frames = [chunk(shared, index, {"role": "assistant", "content": ""})]
    if reasoning:
        frames.append(chunk(shared, index, reasoning))
    if said:
        frames.append(chunk(shared, index, said))
    if choice.get("logprobs") is not None:
        frames[-1].payload["choices"][0]["logprobs"] = choice["logprobs"]  # type: ignore[index]
    for at, call in enumerate(tools if isinstance(tools, list) else []):
        entry = {**call, "index": at} if isinstance(call, dict) else call
        frames.append(chunk(shared, index, {"tool_calls": [entry]}))
    finish = choice.get("finish_reason")
    if not isinstance(finish, str) or not finish:
        finish = "tool_calls" if tools else "stop"  # a document is complete, or it would not be JSON
    frames.append(chunk(shared, index, {}, finish))
    last = frames[-1].payload["choices"][0]  # type: ignore[index]
    known = ("message", "logprobs", *last)
    last.update((key, value) for key, value in choice.items() if key not in known)
    return frames


def _says(value: object) -> bool:
    """Snowflake fills every member of a message, with empty ones of its type."""
    return any(value.values()) if isinstance(value, dict) else bool(value)


def _add_rest(frame: Frame, document: dict[str, Any]) -> None:
    """What else the document says goes out once, with the first chunk."""
    assert frame.payload is not None
    frame.payload.update(
        (key, value) for key, value in document.items() if key not in frame.payload and key != "usage"
    )
