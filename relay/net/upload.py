"""The request on its way up: its head and the first of its body in one write, the rest as it comes.

A pooled connection may have been closed by its peer just when the request was sent. So that the
request can then be sent again, its body is kept until the first byte of the answer, up to a
limit; on a fresh connection nothing is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

from relay.net.outlet import Outlet
from relay.wire.framing import Buffer, ChunkedEncoder, Data, PlainEncoder, Reframer
from relay.wire.http1 import RequestHead

_IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"})
"""RFC 9110 §9.2.2."""


class Upload:
    """One request body, sent to one outlet at a time."""

    __slots__ = ("_body", "_idempotent", "_kept", "_limit", "_outlet", "_unsent")

    def __init__(self, head: RequestHead, limit: int) -> None:
        encoder = ChunkedEncoder() if head.chunked else PlainEncoder()
        self._body = Reframer(head.body_decoder(), encoder)
        self._idempotent = head.method in _IDEMPOTENT
        self._limit = limit
        self._outlet: Outlet | None = None
        self._unsent: list[Buffer] = []
        self._kept: list[bytes] | None = None

    @property
    def complete(self) -> bool:
        """All of the body has been read from the client."""
        return self._body.complete

    @property
    def wants(self) -> bool:
        """Body bytes can be passed on now."""
        return self._outlet is not None and not self._body.complete

    def repeatable(self, *, unread: bool) -> bool:
        """All that was sent is still here, and sending it again cannot do anything twice."""
        return self._kept is not None and (self._idempotent or unread)

    def begin(self, outlet: Outlet, head: bytes, *, keep: bool) -> None:
        """Send to this outlet from now on: the head, what an attempt before had sent, then the rest."""
        self._outlet = outlet
        self._unsent = [head, *(self._kept or [])]
        self._kept = [] if keep else None

    def stop(self) -> None:
        """The outlet is gone; what was kept stays for the next."""
        self._outlet = None

    def forget(self) -> None:
        """The upstream has answered: nothing will be sent again."""
        self._kept = None

    def receive(self, data: Data, view: memoryview, start: int, end: int) -> int:
        """Pass body bytes on; returns where the body ended. Raises FramingError."""
        self._send(self._body.receive(data, view, start, end))
        return self._body.consumed

    def flush(self) -> None:
        """Send the head now if no body came that it could leave with."""
        self._send([])

    def _send(self, buffers: Sequence[Buffer]) -> None:
        if self._kept is not None:
            self._kept.extend(bytes(buffer) for buffer in buffers)
            if sum(map(len, self._kept)) > self._limit:
                self._kept = None
        out = [*self._unsent, *buffers]
        self._unsent = []
        if out and self._outlet is not None:
            self._outlet.writelines(out)
