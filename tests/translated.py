"""Translation driven whole, below the sockets: a request in, an upstream's bytes in, a client's bytes out.

And what must come of it: the tables of stop reasons, and what each dialect has no place for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from relay import dialects
from relay.checked import CheckedStream
from relay.dialects.request import Profile
from relay.translation import Translation
from relay.wire.framing import PlainEncoder, UntilCloseDecoder
from tests import told_chat, told_messages, told_responses
from tests.dialects import chat_reading, messages_legal, responses_legal
from tests.dialects.drive import Event
from tests.streams import LIMIT, Answer, download
from tests.told import COUNTS, Json, Tale

NAMES = ("chat", "messages", "responses")
PAIRS = [(client, upstream) for client in NAMES for upstream in NAMES if client != upstream]
MODEL = "m-client"
REQUESTS: dict[str, Json] = {
    "chat": {
        "model": MODEL,
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    },
    "messages": {
        "model": MODEL,
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
    },
    "responses": {"model": MODEL, "input": "hi", "stream": True},
}
"""The least that asks for a stream with its token counts."""

told: dict[str, Callable[[Iterable[Event]], Tale]] = {
    "chat": told_chat.stream,
    "messages": told_messages.stream,
    "responses": told_responses.stream,
}
told_by_document: dict[str, Callable[[Json], Tale]] = {
    "chat": told_chat.document,
    "messages": told_messages.document,
    "responses": told_responses.document,
}


def others(dialect: str) -> list[str]:
    return [name for name in NAMES if name != dialect]


def translation(
    client: str, upstream: str, request: Json | None = None, profile: Profile | None = None
) -> Translation:
    body = json.dumps(REQUESTS[client] if request is None else request).encode()
    codecs = dialects.CODECS
    return Translation(codecs[client], codecs[upstream], body, profile or Profile())


def stream_of(asked: Translation) -> CheckedStream:
    mender = asked.translator(asked.context("t1", 1763600000))
    return CheckedStream(UntilCloseDecoder(), PlainEncoder(), mender, frame_limit=LIMIT)


def translate(client: str, upstream: str, pieces: bytes | list[bytes], request: Json | None = None) -> Answer:
    """What the client gets for these reads, of which the last is followed by the end of the connection."""
    reads = [pieces] if isinstance(pieces, bytes) else pieces
    return download(stream_of(translation(client, upstream, request)), reads)


def convert(client: str, upstream: str, body: bytes, request: Json, status: int = 200) -> Json:
    """The client's document for an upstream's answer. Raises RelayError."""
    asked = translation(client, upstream, request)
    document: Json = json.loads(asked.conversion(asked.context("t1", 1763600000)).convert(status, body))
    return document


def verdict(dialect: str, stream: list[Event]) -> str:
    """``complete`` or ``failed`` by the dialect's own validator; anything else raises."""
    if dialect == "responses":
        found = responses_legal.outcome(stream)
        return "failed" if found == "failed" else "complete"
    found = {"chat": chat_reading.verdict, "messages": messages_legal.verdict}[dialect](stream)
    assert found in ("complete", "failed"), found
    return found


def frames(body: bytes) -> list[bytes]:
    """A stream whose lines end with LF, frame by frame."""
    return [frame + b"\n\n" for frame in body.split(b"\n\n") if frame]


# --- what must come of it -------------------------------------------------------------------------

_STOP = ("stop", "end_turn", "completed")
_CALLED = ("tool_calls", "tool_use", "completed")
_LENGTH = ("length", "max_tokens", "incomplete: max_output_tokens")
_FILTER = ("content_filter", "refusal", "incomplete: content_filter")
FINISHES: dict[str, dict[str | None, tuple[str, str, str]]] = {
    "chat": {
        "stop": _STOP,
        "tool_calls": _STOP,
        "function_call": _STOP,
        "length": _LENGTH,
        "content_filter": _FILTER,
    },
    "messages": {
        "end_turn": _STOP,
        "stop_sequence": ("stop", "stop_sequence", "completed"),
        "pause_turn": _STOP,
        "tool_use": _STOP,
        "max_tokens": _LENGTH,
        "model_context_window_exceeded": _LENGTH,
        "refusal": _FILTER,
    },
    "responses": {
        "completed": _STOP,
        "incomplete: max_output_tokens": _LENGTH,
        "incomplete: content_filter": _FILTER,
    },
}
"""The stop reasons of one dialect in the words of the three; where calls were made, `_CALLED` instead."""


def finish_of(tale: Tale, upstream: str, client: str) -> str:
    row = FINISHES[upstream].get(tale.finish, _STOP)  # any other word is a natural end
    if row[0] == "stop" and tale.calls:
        row = _CALLED
    if row is _STOP and client == "messages" and tale.text("refusal"):
        return "refusal"
    return row[NAMES.index(client)]


def carried(tale: Tale, client: str) -> list[tuple[Any, ...]]:
    """What of it can be said in the client's dialect, in order."""
    merged = Tale()
    for one in tale.said:
        if one.kind == "call":
            merged.call(one.id, one.name, one.text)
        else:
            merged.add("text" if one.kind == "refusal" and client == "messages" else one.kind, one.text)
    return [
        ("call", one.id, one.name, one.arguments) if one.kind == "call" else (one.kind, one.text)
        for one in merged.said
    ]


def counts_of(tale: Tale, client: str) -> dict[str, int] | None:
    """Messages counts what was not cached, and always counts."""
    if client != "messages":
        return tale.counts
    counts = tale.counts or dict.fromkeys(COUNTS, 0)
    return {**counts, "input": max(counts["input"], counts["cached"] + counts["written"])}
