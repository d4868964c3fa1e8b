"""The request on its way up: its head and the first of its body in one write, the rest as it comes.

A pooled connection may have been closed by its peer just when the request was sent. So that the
request can then be sent again, its body is kept until the response is committed, up to a limit; so
is that of an idempotent request, which may be tried elsewhere. Of others nothing is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

from relay.config import Limits
from relay.errors import BodyTooLarge
from relay.net.outlet import Outlet
from relay.wire.framing import (
    BodyDecoder,
    Buffer,
    ChunkedEncoder,
    Data,
    Header,
    PlainEncoder,
    Reframer,
    Span,
)
from relay.wire.http1 import RequestHead

IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"})
"""RFC 9110 §9.2.2."""


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"the request body is above {limit} bytes")


class _Bounded:
    """A body that may not be larger than ``limit`` bytes, framing not counted."""

    __slots__ = ("_decoder", "_left", "_limit", "complete")

    def __init__(self, decoder: BodyDecoder, limit: int) -> None:
        self._decoder = decoder
        self._limit = self._left = limit
        self.complete = decoder.complete

    @property
    def trailers(self) -> Sequence[Header]:
        return self._decoder.trailers

    def receive(self, data: Data, start: int, end: int, spans: list[Span]) -> int:
        stop = self._decoder.receive(data, start, end, spans)
        self._left -= sum(until - begin for begin, until in spans)
        if self._left < 0:
            raise _too_large(self._limit)
        self.complete = self._decoder.complete
        return stop

    def receive_eof(self) -> None:
        self._decoder.receive_eof()


class Upload:
    """One request body, sent to one outlet at a time."""

    __slots__ = ("_body", "_idempotent", "_kept", "_outlet", "_replay", "_unsent")

    def __init__(self, head: RequestHead, limits: Limits) -> None:
        encoder = ChunkedEncoder() if head.chunked else PlainEncoder()
        decoder = head.body_decoder()
        self._body = Reframer(_Bounded(decoder, limits.body) if limits.body else decoder, encoder)
        self._idempotent = head.method in IDEMPOTENT
        self._replay = limits.replay
        self._outlet: Outlet | None = None
        self._unsent: list[Buffer] = []
        self._kept: list[bytes] | None = []
        if limits.body and (head.length or 0) > limits.body:
            raise _too_large(limits.body)

    @property
    def complete(self) -> bool:
        """All of the body has been read from the client."""
        return self._body.complete

    @property
    def wants(self) -> bool:
        """Body bytes can be passed on now."""
        return self._outlet is not None and not self._body.complete

    @property
    def resendable(self) -> bool:
        """All that was sent is still here."""
        return self._kept is not None

    def repeatable(self, *, unread: bool) -> bool:
        """All that was sent is still here, and sending it again cannot do anything twice."""
        return self._kept is not None and (self._idempotent or unread)

    def begin(self, outlet: Outlet, head: bytes, *, keep: bool) -> None:
        """Send to this outlet from now on: the head, what an attempt before had sent, then the rest."""
        self._outlet = outlet
        self._unsent = [head, *(self._kept or [])]
        if not (keep or self._idempotent):
            self._kept = None

    def stop(self) -> None:
        """The outlet is gone; what was kept stays for the next."""
        self._outlet = None

    def forget(self) -> None:
        """The upstream has answered: nothing will be sent again."""
        self._kept = None

    def receive(self, data: Data, view: memoryview, start: int, end: int) -> int:
        """Pass body bytes on; returns where the body ended. Raises FramingError and BodyTooLarge."""
        self._send(self._body.receive(data, view, start, end))
        return self._body.consumed

    def flush(self) -> None:
        """Send the head now if no body came that it could leave with."""
        self._send([])

    def _send(self, buffers: Sequence[Buffer]) -> None:
        if self._kept is not None:
            self._kept.extend(bytes(buffer) for buffer in buffers)
            if sum(map(len, self._kept)) > self._replay:
                self._kept = None
        out = [*self._unsent, *buffers]
        self._unsent = []
        if out and self._outlet is not None:
            self._outlet.writelines(out)
