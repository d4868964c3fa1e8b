"""The upstream's side of a connection: send one request, read one response, be reused.

The connection itself knows only whether somebody listens. Without a listener it is idle, and an
idle connection that receives anything, be it bytes or an end, is dead. With one, the response
head is gathered here (1xx heads on the way), and what follows goes to the listener's sink.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable
from typing import Protocol

from relay.address import Origin
from relay.config import Limits
from relay.errors import RelayError, UpstreamClosed, UpstreamError
from relay.net.deadline import Deadline
from relay.net.peer import READ_DATA, READ_VIEW, Peer
from relay.wire.framing import Data
from relay.wire.http1 import HeadReader, Outbound, ResponseHead

# Offset of tcpi_bytes_acked in struct tcp_info (linux/tcp.h, since 4.1).
_BYTES_ACKED = 120


Sink = Callable[[Data, memoryview, int, int], None]
"""Takes what follows the response head: the read buffer, a view of it, and the range that is new."""


class Listener(Protocol):
    """Who wants the response. All are called from the loop's callbacks and must not raise."""

    def informational(self, head: ResponseHead) -> None: ...

    def response_started(
        self, head: ResponseHead, data: Data, view: memoryview, start: int, end: int
    ) -> None: ...

    def fail(self, error: RelayError) -> None: ...

    def upstream_ended(self) -> None: ...

    def upstream_lost(self, error: Exception | None) -> None: ...

    def upstream_drained(self) -> None: ...

    def upstream_silent(self) -> None: ...


class UpstreamConnection(Peer):
    """One socket to one origin."""

    __slots__ = (
        "_acked_before",
        "_codec",
        "_fin_seen",
        "_heads",
        "_limits",
        "_listener",
        "_lost",
        "_method",
        "answered",
        "closed",
        "deadline",
        "idle_since",
        "origin",
        "reused",
        "sink",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        origin: Origin,
        limits: Limits,
        lost: Callable[[UpstreamConnection], None],
    ) -> None:
        super().__init__(loop)
        self.origin = origin
        self.reused = False
        self.answered = False
        self.closed = False
        self.idle_since = 0.0
        self.deadline = Deadline(loop, self._silent)
        self.sink: Sink | None = None
        self._limits = limits
        self._lost = lost
        self._listener: Listener | None = None
        self._heads: HeadReader | None = None
        self._codec: Outbound | None = None
        self._method = b""
        self._acked_before = 0
        self._fin_seen = False

    def begin(self, listener: Listener, codec: Outbound, method: bytes) -> None:
        """From here until ``end`` all that arrives is the answer to one request."""
        if self.closed:
            raise UpstreamClosed("the upstream closed the connection as soon as it was made")
        self._listener = listener
        self._codec = codec
        self._method = method
        self._heads = HeadReader(self._limits.head, self._limits.fields, UpstreamError)
        self.answered = False
        if self.reused:
            self._acked_before = self._bytes_acked()

    def hand_over(self, listener: Listener) -> None:
        """Somebody else wants the rest of this response."""
        self._listener = listener

    def end(self) -> None:
        """The response is over; the connection is idle now, or about to be closed."""
        self._listener = None
        self._heads = None
        self._codec = None
        self.sink = None
        self.deadline.stop()

    def abort(self) -> None:
        """Close at once; nobody hears of it any more."""
        self.end()
        if not self.closed:
            self.closed = True
            self.deadline.close()
            self.outlet.abort()

    @property
    def stale(self) -> bool:
        """From the pool, without a byte of an answer: its peer may have closed before it took the request."""
        return self.reused and not self.answered

    @property
    def alive(self) -> bool:
        """False when the peer has closed or spoken out of turn, also if the loop has not seen it yet."""
        if self.closed or self.transport.is_closing():
            return False
        readable = select.poll()
        readable.register(self.fd, select.POLLIN)
        return not readable.poll(0)

    @property
    def surely_unread(self) -> bool:
        """True when the peer had closed before any byte of this request reached it.

        Its FIN then acknowledged none of them, and nobody can have acted on the request, which may be
        sent again whatever its method. A reset alone proves nothing: it can outrun the acknowledgement
        of what was read. Only TCP can tell.
        """
        return (
            self.reused
            and self._fin_seen
            and self._acked_before >= 0
            and self._bytes_acked() == self._acked_before
        )

    # Called by the loop.

    def buffer_updated(self, nbytes: int) -> None:
        if self.sink is not None:
            self.sink(READ_DATA, READ_VIEW, 0, nbytes)
        elif self._listener is None or self._heads is None:
            self.abort()
        else:
            self._receive_head(self._listener, self._heads, nbytes)

    def eof_received(self) -> bool:
        if self._listener is None:
            self.abort()
            return False
        if self.outlet.was_reset:
            self._listener.upstream_lost(self.outlet.error)
            return False
        self._fin_seen = True
        self._listener.upstream_ended()
        return self._listener is not None and not self.closed

    def connection_lost(self, exc: Exception | None) -> None:
        # Linux turns a reset that comes after the FIN into EPIPE (tcp_reset, since 2.6).
        self._fin_seen = self._fin_seen or isinstance(exc, BrokenPipeError)
        listener, self._listener = self._listener, None
        self.sink = None
        if listener is not None:
            listener.upstream_lost(exc)
        self.closed = True
        self.deadline.close()
        self.outlet.detach()
        self._lost(self)

    def drained(self) -> None:
        if self._listener is not None:
            self._listener.upstream_drained()

    def _silent(self) -> None:
        if self._listener is not None:
            self._listener.upstream_silent()

    def _receive_head(self, listener: Listener, heads: HeadReader, nbytes: int) -> None:
        self.answered = True
        start = 0
        try:
            while start < nbytes:
                raw, start = heads.receive(READ_DATA, start, nbytes)
                if raw is None:
                    return
                assert self._codec is not None
                head = self._codec.receive_response(raw, self._method)
                if head.status >= 200 or head.status == 101:
                    self._heads = self._codec = None
                    listener.response_started(head, READ_DATA, READ_VIEW, start, nbytes)
                    return
                listener.informational(head)
        except RelayError as error:
            listener.fail(error)

    def _bytes_acked(self) -> int:
        """Bytes of ours that the peer's system has acknowledged so far; -1 where nothing tells."""
        if self.origin.path is not None or self.origin.tls:
            return -1
        try:
            sock = self.transport.get_extra_info("socket")
            info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED + 8)
        except OSError:
            return -1
        return int.from_bytes(info[_BYTES_ACKED:], "little") if len(info) == _BYTES_ACKED + 8 else -1
