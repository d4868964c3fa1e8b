"""A wire between relay and LiteLLM, which notes when relay lets go of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator


class Tap:
    """Forwards connections to ``port``; stamps in ns."""

    def __init__(self, port: int) -> None:
        self.to = port
        self.port = 0
        self.opened = 0
        self.closed: list[int] = []


@contextlib.asynccontextmanager
async def tap(port: int) -> AsyncIterator[Tap]:
    made = Tap(port)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Near(made), "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()


class _End(asyncio.Protocol):
    """One of two connections; each writes what the other reads."""

    transport: asyncio.Transport
    other: _End | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            self.other.transport.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        if self.other is not None:
            self.other.transport.close()


class _Near(_End):
    """relay's connection."""

    def __init__(self, tap: Tap) -> None:
        self.tap = tap
        self.early = b""
        self.dialling: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.tap.opened += 1
        self.dialling = asyncio.get_running_loop().create_task(self.dial())

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self.early += data
        super().data_received(data)

    def connection_lost(self, error: Exception | None) -> None:
        self.tap.closed.append(time.monotonic_ns())
        super().connection_lost(error)

    async def dial(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, far = await loop.create_connection(_End, "127.0.0.1", self.tap.to)
        except OSError:
            self.transport.close()
            return
        self.other, far.other = far, self
        far.transport.write(self.early)
        if self.transport.is_closing():
            far.transport.close()
