"""Raw peers for relay: what a test says is what goes over the wire, and nothing else.

``Wire`` is one end of a connection, with a reader of HTTP of its own, so that a mistake in
relay's parser cannot hide itself. ``Upstream`` is a listener whose connections the test accepts
and answers line by line. Nothing here waits for a time to pass; ``GUARD`` only ends what hangs.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from relay.address import Origin
from relay.config import Limits, Repair, Retry, Settings, Timeouts, Upstream
from relay.net.hangup import Hangups
from relay.net.pool import Pool
from relay.net.relay import Relay
from relay.net.server import ClientConnection
from relay.settings import options

GUARD = 20.0
"""Seconds after which a wait is a hang."""

T = TypeVar("T")


async def within(awaitable: Awaitable[T], seconds: float = GUARD) -> T:
    """Wait for it, but not for ever."""
    async with asyncio.timeout(seconds):
        return await awaitable


class Head:
    """A start line and its fields; indexing joins the values of one name, absent is None."""

    def __init__(self, raw: bytes) -> None:
        assert raw.endswith(b"\r\n\r\n"), raw
        self.raw = raw
        self.line, *lines = raw[:-4].split(b"\r\n")
        self.fields = [(name, value.strip()) for name, value in (line.split(b":", 1) for line in lines)]

    def __getitem__(self, name: bytes) -> bytes | None:
        values = self.all(name)
        return b", ".join(values) if values else None

    def all(self, name: bytes) -> list[bytes]:
        return [value for field, value in self.fields if field.lower() == name.lower()]

    @property
    def status(self) -> int:
        return int(self.line.split(b" ")[1])

    @property
    def target(self) -> bytes:
        return self.line.split(b" ")[1]

    def __repr__(self) -> str:
        return f"<Head {self.raw!r}>"


@dataclass
class Message:
    """A head with its whole body and trailers."""

    head: Head
    body: bytes = b""
    trailers: list[bytes] = field(default_factory=list)

    @property
    def status(self) -> int:
        return self.head.status


class Ended(Exception):
    """The peer closed before what was asked for had come; holds what did come."""


class Wire:
    """One end of a connection."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.buffer = bytearray()

    # Bytes.

    async def receive(self, size: int = 1 << 20) -> bytes:
        """One system call's worth; empty at the end."""
        return await within(asyncio.get_running_loop().sock_recv(self.sock, size))

    async def send(self, data: bytes) -> None:
        await within(asyncio.get_running_loop().sock_sendall(self.sock, data))

    async def fill(self) -> None:
        """Read some more into the buffer; Ended when there is no more."""
        data = await self.receive()
        if not data:
            raise Ended(bytes(self.buffer))
        self.buffer += data

    async def read_exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            await self.fill()
        return self._take(size)

    async def read_until(self, mark: bytes) -> bytes:
        while (at := self.buffer.find(mark)) < 0:
            await self.fill()
        return self._take(at + len(mark))

    async def read_to_end(self) -> bytes:
        """All until a clean end; a reset raises ConnectionResetError."""
        with contextlib.suppress(Ended):
            while True:
                await self.fill()
        return self._take(len(self.buffer))

    async def rest(self) -> bytes:
        """All until the peer has closed or reset."""
        with contextlib.suppress(ConnectionError, Ended):
            while True:
                await self.fill()
        return self._take(len(self.buffer))

    async def gone(self) -> None:
        """Wait until the peer has closed or reset, keeping nothing of what it still sent."""
        with contextlib.suppress(ConnectionError):
            while await self.receive():
                pass

    def waiting(self) -> bytes:
        """What could be read at this moment, without taking it."""
        with contextlib.suppress(BlockingIOError):
            return bytes(self.buffer) + self.sock.recv(1 << 20, socket.MSG_PEEK)
        return bytes(self.buffer)

    def _take(self, size: int) -> bytes:
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    # HTTP.

    async def head(self) -> Head:
        return Head(await self.read_until(b"\r\n\r\n"))

    async def chunk(self) -> bytes:
        """The payload of the next chunk; empty for the last one, whose trailers are left to read."""
        size = int((await self.read_until(b"\r\n"))[:-2], 16)
        if not size:
            return b""
        data = await self.read_exactly(size + 2)
        assert data.endswith(b"\r\n"), data
        return data[:-2]

    async def trailers(self) -> list[bytes]:
        lines = []
        while (line := await self.read_until(b"\r\n")) != b"\r\n":
            lines.append(line[:-2])
        return lines

    async def message(self, head: Head | None = None, *, has_body: bool = True) -> Message:
        """A request, or a response that ends by length or by its last chunk."""
        head = head or await self.head()
        message = Message(head)
        if not has_body:
            return message
        if (coding := head[b"transfer-encoding"]) is not None:
            assert coding == b"chunked"
            assert head[b"content-length"] is None
            while data := await self.chunk():
                message.body += data
            message.trailers = await self.trailers()
        elif (length := head[b"content-length"]) is not None:
            message.body = await self.read_exactly(int(length))
        return message

    # Ends.

    def reset(self) -> None:
        """Close with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        self.sock.close()


class ScriptedUpstream:
    """A listener whose every connection is played by the test."""

    def __init__(self, sock: socket.socket, url: str) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.url = url
        self.wires: list[Wire] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    def tcp(cls, host: str = "127.0.0.1", *, rcvbuf: int = 0, backlog: int = 512) -> ScriptedUpstream:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        if rcvbuf:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        sock.bind((host, 0))
        sock.listen(backlog)
        where = f"[{host}]" if ":" in host else host
        return cls(sock, f"http://{where}:{sock.getsockname()[1]}")

    @classmethod
    def unix(cls, path: str) -> ScriptedUpstream:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(path)
        sock.listen(64)
        return cls(sock, f"unix:{path}")

    @property
    def port(self) -> int:
        return int(self.sock.getsockname()[1])

    async def accept(self) -> Wire:
        sock, _ = await within(asyncio.get_running_loop().sock_accept(self.sock))
        wire = Wire(sock)
        self.wires.append(wire)
        return wire

    def nobody_waits(self) -> bool:
        """True when no further connection has come."""
        try:
            sock, _ = self.sock.accept()
        except BlockingIOError:
            return True
        sock.close()
        return False

    def serve(self, handler: Callable[[Wire], Coroutine[Any, Any, None]]) -> None:
        """From now on every connection is played by this; its failures come up in ``close``."""

        async def accept_all() -> None:
            loop = asyncio.get_running_loop()
            while True:
                sock, _ = await loop.sock_accept(self.sock)
                wire = Wire(sock)
                self.wires.append(wire)
                self._spawn(handler(wire))

        self._spawn(accept_all())

    async def close(self) -> None:
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for wire in self.wires:
            wire.close()
        self.sock.close()
        for result in results:
            if isinstance(result, BaseException) and not isinstance(
                result, asyncio.CancelledError | Ended | ConnectionError
            ):
                raise result

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._tasks.add(asyncio.get_running_loop().create_task(coroutine))


async def echo(wire: Wire) -> None:
    """A well-behaved upstream: answers every request with its own body."""
    while True:
        request = await wire.message()
        await wire.send(answer(request.body))


def answer(body: bytes, *fields: bytes, status: bytes = b"200 OK") -> bytes:
    """A whole response with a length."""
    lines = [b"HTTP/1.1 " + status, b"content-length: %d" % len(body), *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def get(target: bytes = b"/", *fields: bytes, method: bytes = b"GET", version: bytes = b"1.1") -> bytes:
    """A request without a body."""
    lines = [method + b" " + target + b" HTTP/" + version, b"host: relay.test", *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def post(body: bytes, *fields: bytes, target: bytes = b"/", version: bytes = b"1.1") -> bytes:
    """A request with a length."""
    return get(target, b"content-length: %d" % len(body), *fields, method=b"POST", version=version) + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


EVENT_STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
COMPLETION = b"/v1/chat/completions"


@dataclass
class RunningRelay:
    """relay in this process, on this loop."""

    relay: Relay
    server: asyncio.AbstractServer
    family: int
    address: Any
    wires: list[Wire] = field(default_factory=list)

    @property
    def pool(self) -> Pool:
        return self.relay.pool

    async def connect(self, *, rcvbuf: int = 0) -> Wire:
        sock = socket.socket(self.family, socket.SOCK_STREAM)
        if rcvbuf:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        wire = Wire(sock)
        self.wires.append(wire)
        await within(asyncio.get_running_loop().sock_connect(sock, self.address))
        return wire

    async def settle(self) -> None:
        """Return when relay has dealt with all that its peers had sent before.

        A byte sent over loopback is readable when the call that sent it returns, so it is among the
        events of the loop's next turn. Two connections opened and closed take several turns.
        """
        for _ in range(2):
            probe = await self.connect()
            await probe.send(b"BAD\r\n\r\n")
            await probe.read_to_end()
            probe.close()


async def start_relay(
    url: str | Sequence[str],
    *,
    listen: str = "127.0.0.1",
    path: str | None = None,
    tls: Any = None,
    limits: Limits | None = None,
    repair: Repair = Repair.OFF,
    ask_usage: bool = False,
    dialects: tuple[str, ...] = (),
    profile: str = "generic",
    also: Mapping[str, Any] | None = None,
    **timeouts: float,
) -> RunningRelay:
    """Serve in front of ``url``, or of several; close with ``stop_relay``. ``also``: other settings by name.

    Most tests are about the way of bytes and send frames of no dialect, so nothing is checked and nothing
    is tried twice unless a test asks for it.
    """
    loop = asyncio.get_running_loop()
    timeouts.setdefault("rest", 0.0)  # so that what is used again does not depend on the time
    timeouts.setdefault("look_ahead", 0.0)
    urls = [url] if isinstance(url, str) else url
    said = Upstream(Origin("", 0), dialects=dialects, profile=profile)
    upstreams = tuple(options.upstream(one, "test", said, {}) for one in urls)
    settings = Settings(
        timeouts=Timeouts(**timeouts),
        repair=repair,
        ask_usage=ask_usage,
        **{
            "upstreams": upstreams,
            "limits": limits or Limits(),
            "retry": Retry(attempts=1),
            **(also or {}),
        },
    )
    relay = Relay(loop, settings, Pool(loop, settings, tls), Hangups(loop))
    if path is not None:
        server = await loop.create_unix_server(lambda: ClientConnection(relay), path)
        return RunningRelay(relay, server, socket.AF_UNIX, path)
    server = await loop.create_server(lambda: ClientConnection(relay), listen, 0)
    listener = server.sockets[0]
    return RunningRelay(relay, server, listener.family, listener.getsockname())


async def stop_relay(running: RunningRelay) -> None:
    """Close all; fails when anything of relay outlives its clients."""
    running.server.close()
    for wire in running.wires:
        wire.close()
    relay = running.relay
    try:
        await until(lambda: not relay.clients, 3)
        await until(lambda: relay.pool.open_count <= relay.pool.idle_count, 3)
        assert not len(relay.room)
        assert not any(target.in_flight for target in relay.targets)
    finally:
        for client in list(relay.clients):
            client.abort()
        relay.pool.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        relay.hangups.close()
    await until(lambda: relay.pool.open_count == 0, 3)


async def until(condition: Callable[[], bool], seconds: float = GUARD) -> None:
    """Turn the loop until it holds: for what happens inside relay and shows on no socket."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def quiet_loop() -> AsyncIterator[None]:
    """No callback may raise, and no task may be left behind."""
    loop = asyncio.get_running_loop()
    complaints: list[dict[str, Any]] = []

    def complain(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        complaints.append(context)
        loop.default_exception_handler(context)  # at once too, for whoever reads a test that hangs

    loop.set_exception_handler(complain)
    yield
    left: set[Any] = set()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(5):
            while left := asyncio.all_tasks() - {asyncio.current_task()}:
                await asyncio.sleep(0.001)
    assert not left, f"tasks left behind: {left}"
    assert not complaints, complaints
