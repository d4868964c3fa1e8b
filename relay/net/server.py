"""The client's side of a connection: heads in, one exchange at a time, what follows kept waiting.

Bytes that nobody can take yet (the rest of a head, a body whose upstream is still being dialled,
pipelined requests) wait in ``_pending``; when that is full, reading pauses and only a hang-up is
looked for. Everything else goes from the read buffer to the exchange at once.

A client that closes its half of the connection is taken to be gone, as nginx takes it: an LLM
client that half-closes has left, and its generation must stop.
"""

from __future__ import annotations

import asyncio
import logging

from relay.errors import ClientError, ClientStalled, ClientTimeout, RelayError
from relay.net.deadline import Deadline
from relay.net.exchange import Exchange
from relay.net.peer import READ_DATA, READ_SIZE, READ_VIEW, Peer
from relay.net.relay import Relay
from relay.wire import forwarding
from relay.wire.framing import Data
from relay.wire.http1 import HeadReader, Inbound

log = logging.getLogger("relay")


class ClientConnection(Peer):
    """One accepted socket."""

    __slots__ = (
        "_closing",
        "_deadline",
        "_exchange",
        "_heads",
        "_held",
        "_lingering",
        "_pending",
        "_queued",
        "_relay",
        "address",
        "scheme",
    )

    def __init__(self, relay: Relay) -> None:
        super().__init__(relay.loop)
        self.address: str | None = None
        self.scheme = b"http"
        self._relay = relay
        self._deadline = Deadline(relay.loop, self._expired)
        self._heads = self._head_reader()
        self._exchange: Exchange | None = None
        self._pending = bytearray()
        self._held = False
        self._lingering = False
        self._closing = False
        self._queued = 0
        """Bytes that waited for the client when its stall limit began."""

    @property
    def busy(self) -> bool:
        """A request is being served, or has begun to come."""
        return self._exchange is not None or self._heads.begun

    # Called by the loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if isinstance(peer, tuple) else None
        if transport.get_extra_info("sslcontext") is not None:
            self.scheme = b"https"
        self._relay.clients.add(self)
        self.rearm()

    def buffer_updated(self, nbytes: int) -> None:
        if self._pending:
            self._pending += READ_VIEW[:nbytes]
            self.feed()
        else:
            used = self._consume(READ_DATA, READ_VIEW, 0, nbytes)
            if used < nbytes:
                self._pending += READ_VIEW[used:nbytes]
        if len(self._pending) >= READ_SIZE:
            self._update_reading()

    def eof_received(self) -> bool:
        if self._exchange is not None and not self.outlet.was_reset and self._exchange.client_ended():
            return True
        self.abort()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.outlet.detach()
        self._gone()

    def drained(self) -> None:
        if self._exchange is not None:
            self._exchange.client_drained()
        self.rearm()
        self.feed()

    # Called by the exchange.

    def pause(self) -> None:
        """Take nothing more from the client until ``resume``."""
        self._held = True
        self._update_reading()

    def resume(self) -> None:
        self._held = False
        self._update_reading()

    def feed(self) -> None:
        """Try again to hand on what waits."""
        if self._pending:
            data, self._pending = self._pending, bytearray()
            used = self._consume(data, memoryview(data), 0, len(data))
            if used < len(data):
                self._pending = data[used:] + self._pending
            self._update_reading()

    def rearm(self) -> None:
        """Set the one deadline that this phase has."""
        timeouts = self._relay.settings.timeouts
        exchange = self._exchange
        if self.outlet.full:
            self._limit_stall()
        elif self._lingering:
            self._deadline.start(timeouts.linger)
        elif exchange is not None and not exchange.request_complete and not self._held:
            self._deadline.start(timeouts.client_body)
        elif exchange is not None:
            self._deadline.stop()
        else:
            self._deadline.start(timeouts.client_head if self._heads.begun else timeouts.keep_alive)

    def ended(self, *, keep: bool, linger: bool) -> None:
        """The exchange is over: on to the next request, or close."""
        self._exchange = None
        self._held = False
        if linger:
            self._linger()
        elif not keep:
            self.close()
        else:
            self.rearm()
            self.feed()
            self._update_reading()

    def cut(self, *, reset: bool) -> None:
        """Close in a way that cannot be taken for the end of the response."""
        self._exchange = None
        if reset:
            self.outlet.reset()
        else:
            self.close()

    # Closing.

    def fail(self, error: RelayError) -> None:
        """End what is being served for this reason, and the connection with it."""
        if self._exchange is not None:
            self._exchange.fail(error)
        else:
            self.close()

    def close(self) -> None:
        """Close when all that was written has left, or when the client stops taking it."""
        self._closing = True
        if self.outlet.full:
            self._limit_stall()
        self._relay.hangups.unwatch(self.fd)
        self.outlet.close()

    def abort(self) -> None:
        self._gone()
        self.outlet.abort()

    def _gone(self) -> None:
        self._closing = True
        self._deadline.close()
        self._relay.hangups.unwatch(self.fd)
        self._relay.clients.discard(self)
        if self._relay.draining and not self._relay.clients:
            self._relay.emptied.set()
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.client_left()

    def _linger(self) -> None:
        """The response left before the request was all here. Closing now would reset the connection
        and could take the response from the client, so its bytes are read and dropped for a while
        (RFC 9112 §9.6)."""
        self._lingering = True
        self._pending.clear()
        self._update_reading()
        self.outlet.end()
        self.rearm()

    def _limit_stall(self) -> None:
        self._queued = self.transport.get_write_buffer_size()
        self._deadline.start(self._relay.settings.timeouts.client_stall)

    def _expired(self) -> None:
        exchange = self._exchange
        if self.outlet.full and self.transport.get_write_buffer_size() < self._queued:
            self._limit_stall()  # it is slow, but it takes something
            return
        if exchange is not None and self.outlet.full:
            self._exchange = None
            taken = self._relay.settings.timeouts.client_stall
            exchange.client_left(ClientStalled(f"the client took nothing for {taken:g} s"))
            self.abort()
        elif self._lingering or self.outlet.full or self._closing:
            self.abort()
        elif exchange is not None:
            exchange.fail(ClientTimeout("the request body stopped coming"))
        elif self._heads.begun:
            self._refuse(Inbound(), ClientTimeout("the request head did not come in time"))
        else:
            self.close()

    # Reading.

    def _consume(self, data: Data, view: memoryview, start: int, end: int) -> int:
        """Hand on what can be handed on; returns where it stopped."""
        while start < end:
            if self._lingering or self._closing:
                return end
            if self._exchange is None:
                if self.outlet.full:
                    return start  # the response before has not left yet: no further request
                start = self._receive_head(data, start, end)
            else:
                taken = self._exchange.client_bytes(data, view, start, end)
                if taken == start:
                    return start
                start = taken
        return start

    def _receive_head(self, data: Data, start: int, end: int) -> int:
        inbound = Inbound()
        begun = self._heads.begun
        try:
            raw, start = self._heads.receive(data, start, end)
            if raw is not None:
                head = inbound.receive_request(raw)
                self._exchange = Exchange(self._relay, self, inbound, head)
        except ClientError as error:
            self._refuse(inbound, error)
            return end
        if self._exchange is not None or begun != self._heads.begun:
            self.rearm()
        return start

    def _refuse(self, inbound: Inbound, error: RelayError) -> None:
        """A head that is none: say so and close, because nothing after it can be trusted."""
        log.info("%s: %s %s: %s", self.address or "unix", error.status, error.code, error)
        self.outlet.write(forwarding.error_response(inbound, error, [(b"connection", b"close")], body=True))
        self._linger()

    def _head_reader(self) -> HeadReader:
        limits = self._relay.settings.limits
        return HeadReader(limits.head, limits.fields, ClientError)

    def _update_reading(self) -> None:
        """Read unless something is full. Meanwhile only a hang-up is looked for."""
        if self._closing:
            return
        if (self._held or len(self._pending) >= READ_SIZE) and not self._lingering:
            self.transport.pause_reading()
            self._relay.hangups.watch(self.fd, self.abort)
        else:
            self._relay.hangups.unwatch(self.fd)
            self.transport.resume_reading()
