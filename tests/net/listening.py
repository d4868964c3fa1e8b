"""A relay in this process that accepts its own clients, and clients that speak TLS to it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import ssl
from collections.abc import Iterator
from typing import Any, cast

from relay.address import ListenAddress
from relay.listen import bind
from relay.net.accepting import Acceptor, Places

from .conftest import Serve
from .kit import RunningRelay, ScriptedUpstream, Wire, within

ANYWHERE = ListenAddress("127.0.0.1", 0)


async def accepting(
    serve: Serve,
    *upstreams: ScriptedUpstream,
    tls: ssl.SSLContext | None = None,
    places: Places | None = None,
    at: ListenAddress = ANYWHERE,
    **options: Any,
) -> RunningRelay:
    """A relay whose clients come through an ``Acceptor``, which is its ``server``."""
    running = await serve(*upstreams, **options)
    running.server.close()
    sock = bind(at)
    running.family = sock.family
    running.address = sock.getsockname()
    acceptor = Acceptor(running.relay, sock, tls, places)
    running.server = cast(asyncio.AbstractServer, acceptor)
    await acceptor.start()
    return running


def acceptor_of(running: RunningRelay) -> Acceptor:
    return cast(Acceptor, running.server)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@contextlib.contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Those that are open stay so; another is not to be had."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, before[1]))  # with 0, poll() fails as well
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


class TlsWire(Wire):
    """One end of a connection over TLS; an end without the peer's farewell raises SSLEOFError."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, name: str = "localhost") -> None:
        super().__init__(sock)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)

    async def handshake(self) -> None:
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._more()
            else:
                await self._flush()
                return

    async def receive(self, size: int = 1 << 20) -> bytes:
        """One record; empty when the peer has said that it is done."""
        while True:
            try:
                return self.tls.read(size)
            except ssl.SSLWantReadError:
                await self._flush()
                await self._more()
            except ssl.SSLZeroReturnError:
                return b""

    async def send(self, data: bytes) -> None:
        self.tls.write(data)
        await self._flush()

    async def farewell(self) -> None:
        """Say that no more will be sent, and keep the connection."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        await self._flush()

    async def _flush(self) -> None:
        if data := self._outgoing.read():
            await super().send(data)

    async def _more(self) -> None:
        if data := await super().receive():
            self._incoming.write(data)
        else:
            self._incoming.write_eof()


async def tls_client(
    running: RunningRelay, context: ssl.SSLContext, *, rcvbuf: int = 0, name: str = "localhost"
) -> TlsWire:
    """A client whose handshake is done."""
    wire = TlsWire((await running.connect(rcvbuf=rcvbuf)).sock, context, name)
    await within(wire.handshake())
    return wire
