"""Accepting clients: no more than there are places for, and calm when descriptors have run out.

uvloop's own servers take all that comes, and when no descriptor is left libuv accepts every client that
waits only to close it. Here a listening socket that may give no client is not looked at: whoever waits
stays in the kernel's queue, is neither reset nor lost, and is served when a place is free.

A place is held from the accept until the descriptor is closed, a TLS handshake included.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import logging
import socket
import ssl
import termios
from collections.abc import Callable
from typing import Any

from relay.net.descriptors import PAUSE, client_limit, open_limit, ran_out, shortage
from relay.net.relay import Relay
from relay.net.server import ClientConnection

log = logging.getLogger("relay")

BATCH = 16
"""Clients accepted before others get their turn of the loop."""

_QUIET = 60.0
"""Seconds for which a trouble must have been over before it is worth another line."""

_THEIRS = frozenset(
    getattr(errno, name)
    for name in (
        *("ECONNABORTED", "EPROTO", "EPERM", "ETIMEDOUT"),
        # Linux hands on what the network has said about the new connection (accept(2)).
        *("ENETDOWN", "ENOPROTOOPT", "EHOSTDOWN", "ENONET", "EHOSTUNREACH", "EOPNOTSUPP", "ENETUNREACH"),
    )
    if hasattr(errno, name)
)
"""Errors of an accept that are about the one client that had left before it."""


class Places:
    """How many clients may be there at once, how many are, and who wants to hear when one leaves."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int) -> None:
        self.limit = limit
        self.taken = 0
        self.full, self.exhausted = _Notice(), _Notice()
        self._loop = loop
        self._waiting: dict[Callable[[], None], None] = {}
        self._waking = False

    @classmethod
    def of(cls, relay: Relay) -> Places:
        """Those of a worker: what its settings say, or what its descriptors are enough for."""
        return cls(relay.loop, client_limit(relay.settings.limits, open_limit()))

    @property
    def free(self) -> bool:
        return not self.limit or self.taken < self.limit

    def take(self) -> None:
        self.taken += 1

    def leave(self) -> None:
        self.taken -= 1
        if self._waiting and not self._waking:
            self._waking = True
            self._loop.call_soon(self._wake)  # not now: the descriptor is closed when this turn is over

    def wait(self, go_on: Callable[[], None]) -> None:
        """Call ``go_on`` once when somebody has left."""
        self._waiting[go_on] = None

    def forget(self, go_on: Callable[[], None]) -> None:
        self._waiting.pop(go_on, None)

    def _wake(self) -> None:
        """In turn: who took the last place, and so waits again, stands behind those who got none."""
        self._waking = False
        for go_on in list(self._waiting):
            if not self.free:
                break
            self.forget(go_on)
            go_on()


class Acceptor:
    """One listening socket. ``places`` are the worker's where it has several; None: its own.

    ``tls`` may be replaced; clients that come afterwards get the new certificate.
    """

    def __init__(
        self, relay: Relay, sock: socket.socket, tls: ssl.SSLContext | None, places: Places | None = None
    ) -> None:
        self.tls = tls
        self._relay = relay
        self._loop = relay.loop
        self._sock = sock
        self._places = places or Places.of(relay)
        self._joining: dict[asyncio.Task[None], socket.socket] = {}
        self._retry: asyncio.TimerHandle | None = None
        self._looking = False

    async def start(self) -> None:
        """Accept from now on."""
        self._sock.setblocking(False)
        self._look()

    def close(self, *, send_away: bool = True) -> None:
        """Accept no more; who has not finished a TLS handshake is sent away, or may still do so."""
        self._look_away()
        self._stop_waiting()
        self._sock.close()
        if self.tls is not None and send_away:
            for sock in self._joining.values():
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    # Looking at the socket, or not.

    def _look(self) -> None:
        if not self._looking:
            self._looking = True
            self._loop.add_reader(self._sock.fileno(), self._ready)

    def _look_away(self) -> None:
        if self._looking:
            self._looking = False
            self._loop.remove_reader(self._sock.fileno())

    def _ready(self) -> None:
        if not self._accept():
            self._look_away()

    def _go_on(self) -> None:
        self._stop_waiting()
        if self._accept():
            self._look()

    def _retry_after(self, seconds: float) -> None:
        self._retry = self._loop.call_later(seconds, self._go_on)

    def _stop_waiting(self) -> None:
        self._places.forget(self._go_on)
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    # Accepting.

    def _accept(self) -> bool:
        """Take who waits, some at a time; False when none may be taken until ``_go_on``."""
        places = self._places
        now = self._loop.time()
        if (left := shortage.left(now)) > 0:
            self._none_left(now, left)
            return False
        for _ in range(BATCH):
            if not places.free:
                places.full.warn(now, "%d clients, no more are accepted until one leaves", places.limit)
                places.wait(self._go_on)
                return False
            try:
                sock, peer = self._sock.accept()
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in _THEIRS:
                    continue
                if ran_out(error):
                    places.wait(self._go_on)
                    self._none_left(now, PAUSE)
                else:
                    places.exhausted.warn(now, "accepting clients fails: %s", error.strerror)
                    self._retry_after(PAUSE)
                return False
            self._admit(sock, peer[0] if isinstance(peer, tuple) else "unix")
        return True

    def _none_left(self, now: float, seconds: float) -> None:
        text = "no descriptor is left (ulimit -n %d); %d clients are here, others wait"
        self._places.exhausted.warn(now, text, open_limit(), self._places.taken)
        self._retry_after(seconds)

    def _admit(self, sock: socket.socket, peer: str) -> None:
        client = _Accepted(self._relay, self._places)
        task = self._loop.create_task(self._join(sock, client, peer))
        self._joining[task] = sock
        task.add_done_callback(self._joined)

    async def _join(self, sock: socket.socket, client: _Accepted, peer: str) -> None:
        """Until the connection is made, or its TLS handshake has failed."""
        timeouts = self._relay.settings.timeouts
        tls: dict[str, Any] = {}
        if self.tls is not None:
            tls["ssl"] = self.tls
            tls["ssl_handshake_timeout"] = timeouts.client_head or None  # uvloop's own is 60 s
            tls["ssl_shutdown_timeout"] = timeouts.client_stall or None
        try:
            await self._loop.connect_accepted_socket(lambda: client, sock, **tls)
        except OSError as error:
            log.info("%s: no TLS session: %s", peer, error.strerror or error)
        finally:
            if not client.made:
                client.give_place_back()

    def _joined(self, task: asyncio.Task[None]) -> None:
        sock = self._joining.pop(task)
        if task.cancelled():
            sock.close()  # unless a transport has it by now
        elif (error := task.exception()) is not None:
            log.error("a client's connection could not be made", exc_info=error)


class _Accepted(ClientConnection):
    """A client that holds a place."""

    __slots__ = ("_farewell", "_places", "made")

    def __init__(self, relay: Relay, places: Places) -> None:
        super().__init__(relay)
        self.made = False
        self._farewell: asyncio.TimerHandle | None = None
        self._places: Places | None = places
        places.take()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.made = True
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.give_place_back()

    def eof_received(self) -> bool:
        if self.scheme != b"https":
            return super().eof_received()
        self.abort()  # TLS cannot stay half open here, not even for a tunnel
        return False

    def give_place_back(self) -> None:
        places, self._places = self._places, None
        if places is not None:
            places.leave()
        if self._farewell is not None:
            self._farewell.cancel()

    def close(self) -> None:
        """Over TLS the transport waits for the peer's own farewell. Clients that keep an idle connection
        for later see ours when they come back to it, so once they have it, that wait is short."""
        closing = self.transport.is_closing()
        super().close()
        linger = self._relay.settings.timeouts.linger
        if self.scheme == b"https" and linger and not closing:
            self._farewell = self.loop.call_later(linger, self._unanswered)

    def _unanswered(self) -> None:
        sock = self.transport.get_extra_info("socket")
        if sock is not None and fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)) == bytes(4):
            self.abort()


class _Notice:
    """One line for a trouble, however often it is met while it lasts."""

    def __init__(self) -> None:
        self._quiet_until = 0.0

    def warn(self, now: float, text: str, *values: object) -> None:
        if now >= self._quiet_until:
            log.warning(text, *values)
        self._quiet_until = now + _QUIET
