"""Idle connections, per origin: the most recently used first.

The warmest connection is the least likely to have been closed by a peer with a short keep-alive;
vLLM's uvicorn closes after 5 s (vllm#41567), so ours expire after 4 s. One timer sweeps them all.

llama.cpp says that it keeps a connection and closes it after every event stream. A request that is sent
before its FIN has come is lost and may not be repeated, so a connection that has carried a stream rests
first. Over TLS it does not: a new one would cost more, and no such server is known.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque

from relay.address import Origin
from relay.config import Settings
from relay.net.dial import dial
from relay.net.upstream import UpstreamConnection


class Pool:
    """Gives an idle connection or dials; takes back what may be reused."""

    def __init__(self, loop: asyncio.AbstractEventLoop, settings: Settings, tls: ssl.SSLContext | None):
        self._loop = loop
        self._limits = settings.limits
        self._timeouts = settings.timeouts
        self._tls = tls
        self._idle: dict[Origin, deque[UpstreamConnection]] = {}
        self._resting: dict[Origin, deque[UpstreamConnection]] = {}
        self._open: set[UpstreamConnection] = set()
        self._sweeper: asyncio.TimerHandle | None = None

    @property
    def open_count(self) -> int:
        return len(self._open)

    @property
    def idle_count(self) -> int:
        return sum(map(len, [*self._idle.values(), *self._resting.values()]))

    def acquire(self, origin: Origin) -> UpstreamConnection | None:
        """The idle connection used last, if one is still alive."""
        self._wake(origin, self._loop.time())
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if connection.alive:
                connection.reused = True
                return connection
            connection.abort()
        return None

    async def dial(self, origin: Origin, seconds: float | None = None) -> UpstreamConnection:
        """A fresh connection; raises UpstreamUnreachable or UpstreamTimeout.

        ``seconds`` that it may take, where it is not the general setting.
        """
        connection = await dial(
            origin,
            lambda: UpstreamConnection(self._loop, origin, self._limits, self._open.discard),
            timeout=self._timeouts.connect if seconds is None else seconds,
            tls=self._tls if origin.tls else None,
        )
        if not connection.closed:
            self._open.add(connection)
        return connection

    def release(self, connection: UpstreamConnection, *, streamed: bool) -> None:
        """Keep a connection whose response was read to its end; was it an event stream."""
        connection.end()
        if connection.closed or connection.transport.is_closing():
            return
        connection.idle_since = self._loop.time()
        rests = streamed and self._timeouts.rest > 0 and not connection.origin.tls
        idle = (self._resting if rests else self._idle).setdefault(connection.origin, deque())
        idle.append(connection)
        if len(idle) > self._limits.idle_connections:
            idle.popleft().abort()
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(self._timeouts.pool_idle, self._sweep)

    def close(self) -> None:
        """Close every connection, idle or not."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for connection in list(self._open):
            connection.abort()
        self._idle.clear()
        self._resting.clear()

    def _wake(self, origin: Origin, now: float) -> None:
        """What has rested is idle."""
        resting = self._resting.get(origin)
        while resting and now - resting[0].idle_since >= self._timeouts.rest:
            self._idle.setdefault(origin, deque()).append(resting.popleft())

    def _sweep(self) -> None:
        """Close what has been idle too long; the deques are in order of idleness."""
        self._sweeper = None
        now = self._loop.time()
        for origin in self._resting:
            self._wake(origin, now)
        oldest = now
        for idle in self._idle.values():
            while idle and (idle[0].closed or now - idle[0].idle_since >= self._timeouts.pool_idle):
                idle.popleft().abort()
            if idle:
                oldest = min(oldest, idle[0].idle_since)
        if self.idle_count:
            due = oldest + self._timeouts.pool_idle
            self._sweeper = self._loop.call_at(due, self._sweep)
