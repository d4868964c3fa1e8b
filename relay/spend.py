"""What one completion has cost in tokens, as a record for whoever keeps the books.

Its names are those of LiteLLM's ``StandardLoggingPayload``, which its own callbacks send, so what reads
theirs reads ours; what LiteLLM has no word for stands under ``relay``. Tokens are the upstream's own count:
where it has not told them they are null, and nothing is guessed. Prices are not known here. Neither prompt,
answer nor key is in it, of the key only LiteLLM's name for it, which is its SHA-256.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, fields, replace
from typing import Any
from urllib.parse import urlsplit

from relay import dialects
from relay.config import Upstream
from relay.dialects.checker import Malformed
from relay.dialects.deltas import Context, Usage
from relay.dialects.frame import Frame
from relay.opening import FilledBody, Machine
from relay.payload import parse
from relay.wire.framing import BodyDecoder, BodyEncoder, Buffer, ChunkedEncoder, Data, PlainEncoder, Span

_CALLS = {"chat": "acompletion", "messages": "anthropic_messages", "responses": "aresponses"}
_KEPT = 1 << 20
"""Bytes of a document that is read for its usage; a longer one has none."""
_LONGEST = 256
"""Characters of a name: clients choose it."""


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What an exchange knows of itself when it is over.

    now      UNIX time at its end; the other times are the loop's
    first    when the first of the answer left
    dialect  the client's; ``spoken`` the upstream's, where that is another one
    model    as the client names it; ``model_there`` as the upstream was asked, where that differs
    end      its end code, where something ended it before the answer was whole; empty: as the machine says
    key      SHA-256 of the client's key in hexadecimal digits; empty: not known
    """

    id: str
    now: float
    began: float
    ended: float
    upstream: Upstream
    dialect: str
    model: str | None
    stream: bool
    status: int = 200
    model_there: str | None = None
    spoken: str = ""
    first: float | None = None
    end: str = ""
    key: str = ""
    attempts: int = 1


def record(exchanged: Exchanged, machine: Machine | None) -> dict[str, Any] | None:
    """The record of one exchange whose answer went through this machine; None where nothing was generated."""
    if not 200 <= exchanged.status < 300:
        return None
    usage = _believable(getattr(machine, "usage", None) or Usage())
    end = exchanged.end or getattr(machine, "end_code", None) or "OK"
    began = exchanged.now - (exchanged.ended - exchanged.began)
    first = exchanged.ended if exchanged.first is None else exchanged.first
    upstream, model = exchanged.upstream, exchanged.model or ""
    duration = exchanged.ended - exchanged.began
    spoken = exchanged.spoken or exchanged.dialect
    translated = "" if spoken == exchanged.dialect else f"<{spoken}"
    return {
        "id": exchanged.id,
        "call_type": _CALLS[exchanged.dialect],
        "stream": exchanged.stream,
        "status": "success" if end == "OK" else "failure",
        "model": (exchanged.model_there or model)[:_LONGEST],
        "model_group": model[:_LONGEST],
        "api_base": f"{upstream.origin}{upstream.base_path}",
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": _sum(usage.input, usage.output),
        "startTime": round(began, 6),
        "endTime": round(exchanged.now, 6),
        "completionStartTime": round(min(began + (first - exchanged.began), exchanged.now), 6),
        "response_time": round(first - exchanged.began if exchanged.stream else duration, 6),
        "metadata": {"user_api_key_hash": exchanged.key or None, "usage_object": _usage_object(usage)},
        "relay": {
            "upstream": str(upstream),
            "dialect": exchanged.dialect + translated,
            "end": end,
            "seconds": round(duration, 6),
            "attempts": exchanged.attempts,
        },
    }


def _believable(usage: Usage) -> Usage:
    """Without counts below nothing, which nobody can have used."""
    counts = [getattr(usage, one.name) for one in fields(usage)]
    return Usage(*(None if count is None or count < 0 else count for count in counts))


def _usage_object(usage: Usage) -> dict[str, Any] | None:
    """In OpenAI's form, as far as it was told."""
    read = {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write}
    said = {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": _sum(usage.input, usage.output),
        "prompt_tokens_details": {key: value for key, value in read.items() if value is not None},
        "completion_tokens_details": {} if usage.reasoning is None else {"reasoning_tokens": usage.reasoning},
    }
    return {key: value for key, value in said.items() if value not in (None, {})} or None


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def webhook(url: str) -> tuple[Upstream, bytes]:
    """Whom to tell, and the target there; raises UsageError. Its query may be a secret."""
    where, _, query = url.partition("?")
    upstream = Upstream.parse(where)
    path = "/" if upstream.origin.path is not None else urlsplit(where).path or "/"
    return replace(upstream, base_path="", name="the webhook for spend"), (
        f"{path}?{query}" if query else path
    ).encode()


class MeteredBody(FilledBody):
    """A whole answer that passes as it comes, and is read for its usage when it is over."""

    __slots__ = ("_dialect", "_document")

    def __init__(
        self, decoder: BodyDecoder, encoder: BodyEncoder, dialect: str, *, never_empty: bool
    ) -> None:
        super().__init__(decoder, encoder)
        self._came = not never_empty
        self._dialect = dialect
        self._document: bytearray | None = bytearray()

    def receive(self, data: Data, view: memoryview, start: int, end: int) -> list[Buffer]:
        spans: list[Span] = []
        self.consumed = self._decoder.receive(data, start, end, spans)
        pieces: list[Buffer] = [view[begin:stop] for begin, stop in spans]
        for piece in pieces:
            self._came = True
            self._keep(piece)
        out = self._encoder.encode(pieces)
        return out + self._end() if self._decoder.complete else out

    @property
    def usage(self) -> Usage | None:
        """What the document says; None before its end."""
        return None if self._document is None else usage_of(self._dialect, self._document)

    def _keep(self, piece: Buffer) -> None:
        if self._document is not None:
            self._document += piece
            if len(self._document) > _KEPT:
                self._document = None


def open_metered(*, chunked: bool, decoder: BodyDecoder, dialect: str, never_empty: bool) -> MeteredBody:
    """The machine for a document whose usage somebody wants to know."""
    encoder: BodyEncoder = ChunkedEncoder() if chunked else PlainEncoder()
    return MeteredBody(decoder, encoder, dialect, never_empty=never_empty)


def usage_of(dialect: str, body: Buffer) -> Usage | None:
    """The usage that a whole answer of this dialect tells; read as its stream would have told it."""
    document = parse(bytes(body))
    usage = document.get("usage") if isinstance(document, dict) else None
    if not isinstance(usage, dict):
        return None
    checker = dialects.BY_NAME[dialect](Context(ident="", created=0, usage_asked=True))
    with contextlib.suppress(Malformed):
        checker.check(_frame(dialect, usage))
    checker.close()
    return checker.usage


def _frame(dialect: str, usage: dict[str, Any]) -> Frame:
    """The frame of a stream that tells this usage."""
    if dialect == "messages":
        return Frame("message_start", {"type": "message_start", "message": {"usage": usage}})
    if dialect == "responses":
        ended = {"object": "response", "status": "completed", "output": [], "usage": usage}
        return Frame("response.completed", {"type": "response.completed", "response": ended})
    return Frame(None, {"object": "chat.completion.chunk", "choices": [], "usage": usage})
