"""Which request gets which answer: three dialects, their models and a health check.

Paths are served with and without ``/v1``. A refusal speaks the dialect of the path, or, where the
path says nothing, that of a client that sends ``anthropic-version``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import orjson

from relay.fake import chat, messages, responses
from relay.fake.fields import Fields, InvalidRequest, decode
from relay.fake.frame import Frame
from relay.wire.framing import Header

MODEL = "fake"
# 2026-01-01T00:00:00Z: the model is as old as this file.
_MODEL_CREATED = 1767225600
_JSON = (b"content-type", b"application/json")


class Request(Protocol):
    """What each dialect's ``parse`` returns."""

    @property
    def stream(self) -> bool: ...

    def frames(self, unique: str, created: int) -> Iterator[Frame]: ...

    def document(self, unique: str, created: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request read whole; ``unique`` and ``created`` go into its ids and time stamps."""

    method: bytes
    target: bytes
    headers: Sequence[Header]
    body: bytes
    unique: str
    created: int

    @property
    def path(self) -> bytes:
        path = self.target.split(b"?", 1)[0]
        return path.removeprefix(b"/v1") if path.startswith(b"/v1/") else path

    @property
    def is_anthropic(self) -> bool:
        return self.path.startswith(b"/messages") or self.sent(b"anthropic-version")

    def sent(self, name: bytes) -> bool:
        return any(key.lower() == name for key, _ in self.headers)


@dataclass(frozen=True, slots=True)
class Reply:
    """A status and a body: a whole document, or frames to be paced."""

    status: int
    body: bytes | Iterator[Frame]
    headers: list[Header] = field(default_factory=lambda: [_JSON])


_DIALECTS: dict[bytes, Callable[[Fields, int], Request]] = {
    b"/chat/completions": chat.parse,
    b"/messages": messages.parse,
    b"/responses": responses.parse,
}


def reply(call: Call, deltas: int) -> Reply:
    """Answer one request; never raises for what a client sent."""
    method = b"GET" if call.method == b"HEAD" else call.method
    try:
        match method, call.path:
            case b"GET", b"/health":
                return Reply(200, orjson.dumps({"status": "ok"}))
            case b"GET", b"/models":
                return Reply(200, _models(call))
            case b"POST", b"/messages/count_tokens":
                return Reply(200, messages.count_tokens(decode(call.body)))
            case b"POST", path if path in _DIALECTS:
                return _generate(call, _DIALECTS[path](decode(call.body), deltas))
    except InvalidRequest as invalid:
        return refusal(call, 400, str(invalid), invalid.field)
    served = "POST /v1/chat/completions, /v1/messages, /v1/responses, GET /v1/models and /health"
    asked = f"{call.method.decode()} {call.target[:200].decode('latin-1')}"
    return refusal(call, 404, f"{asked} is not served here; relay fake serves {served}")


def refusal(call: Call, status: int, message: str, field: str | None = None) -> Reply:
    """An error document in the dialect of the call."""
    if call.is_anthropic:
        kind = "not_found_error" if status == 404 else "invalid_request_error"
        document = messages.error(message, kind, call.unique)
        return Reply(status, document, [_JSON, (b"request-id", _request_id(call))])
    code = "not_found" if status == 404 else "invalid_value"
    document = chat.error(message, code, field)
    return Reply(status, document, [_JSON, (b"x-request-id", _request_id(call))])


def _generate(call: Call, request: Request) -> Reply:
    identity = (b"request-id" if call.is_anthropic else b"x-request-id", _request_id(call))
    if not request.stream:
        return Reply(200, request.document(call.unique, call.created), [_JSON, identity])
    headers = [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-cache"),
        identity,
    ]
    return Reply(200, request.frames(call.unique, call.created), headers)


def _request_id(call: Call) -> bytes:
    return f"req_{call.unique}".encode()


def _models(call: Call) -> bytes:
    if call.is_anthropic:
        model = {
            "type": "model",
            "id": MODEL,
            "display_name": "relay fake",
            "created_at": "2026-01-01T00:00:00Z",
        }
        return orjson.dumps({"data": [model], "has_more": False, "first_id": MODEL, "last_id": MODEL})
    owned = {"id": MODEL, "object": "model", "created": _MODEL_CREATED, "owned_by": "relay"}
    return orjson.dumps({"object": "list", "data": [owned]})
