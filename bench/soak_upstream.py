"""The upstream of the soak: sends each stream as its request asks for it, and breaks it where that says so.

It counts what relay must not do: ask twice for what was served, hold a connection whose client has left,
read on where the client takes nothing. It answers one line of JSON on stdout for each line on stdin, and
ends when stdin does.
"""

import asyncio
import contextlib
import fcntl
import json
import random
import resource
import socket
import struct
import sys
import termios
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import cast

import uvloop
from soak_lag import Lag
from soak_streams import AT_END, BUSY, CUTS, ONCE, SILENCES, SILENT_CUT, SILENT_ONCE, WRONG, Script, failure

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
SEND_BUFFER = 16 * 1024
"""So that a client that takes nothing is felt here, and not swallowed by what the kernel lends."""


class Gone(Exception):
    """This connection carries no more."""


class Upstream:
    """What happened on all connections."""

    def __init__(self) -> None:
        self.asked: Counter[int] = Counter()
        self.early: set[int] = set()
        """Those that were broken before anything counted, and may be asked for again."""
        self.left: dict[int, float] = {}
        """When the connection of a stream that was still sent was closed by relay."""
        self.held_back: dict[int, float] = {}
        """How long its writes have waited, as a part of the time that its client takes."""
        self.connections: set[Connection] = set()
        self.wrong: list[str] = []
        self.lag = Lag()

    @property
    def active(self) -> list[int]:
        return [one.script.number for one in self.connections if one.script is not None]

    def figures(self) -> dict[str, object]:
        return {"active": len(self.active), "connections": len(self.connections), "lag": self.lag.take()}

    def report(self) -> dict[str, object]:
        return {
            "asked": list(self.asked.elements()),
            "early": list(self.early),
            "left": list(self.left.items()),
            "active": self.active,
            "held_back": list(self.held_back.items()),
            "wrong": self.wrong,
        }


class Connection(asyncio.Protocol):
    """One of relay's."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.script: Script | None = None
        self.received = bytearray()
        self.writable = asyncio.Event()
        self.writable.set()
        self.waited = 0.0
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=0)
        self.sock = transport.get_extra_info("socket")
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self.upstream.connections.add(self)

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, found, body = bytes(self.received).partition(b"\r\n\r\n")
        if not found:
            return
        lines = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:])
        length = int(lines[b"content-length"])
        if self.script is not None or len(body) > length:
            self.upstream.wrong.append(f"a request before the last was answered: {bytes(body[:80])!r}")
            self.transport.abort()
        elif len(body) == length:
            self.received.clear()
            self.script = Script.of(body)
            self.upstream.asked[self.script.number] += 1
            self.waited = 0.0
            self.task = asyncio.ensure_future(self.serve(self.script))

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def connection_lost(self, error: Exception | None) -> None:
        if self.script is not None:
            self.upstream.left[self.script.number] = time.monotonic()
        self.script = None
        self.upstream.connections.discard(self)
        if self.task is not None:
            self.task.cancel()

    async def serve(self, script: Script) -> None:
        try:
            await self.answer(script)
            self.script = None
            if script.client == "slow":
                self.upstream.held_back[script.number] = self.waited / (script.deltas * script.interval)
            if script.fault == "closes-after":
                await asyncio.sleep(random.uniform(0, 0.1))
                if self.script is None:
                    self.transport.close()
        except Gone:
            self.script = None
            self.transport.close()

    # Answers.

    async def answer(self, script: Script) -> None:
        fault = script.fault
        if fault in BEFORE and (fault in ALWAYS or self.upstream.asked[script.number] == 1):
            self.upstream.early.add(script.number)
            await BEFORE[fault](self, script)
            return
        opening, deltas, closing = script.frames()
        if script.client == "leaves":
            await self.dally(script)
        await self.say(HEAD + b"".join(map(chunk, opening)))
        # Where the client sets the pace, there is always more to be had.
        pace = script.interval / 10 if script.client == "slow" else script.interval
        for turn, delta in enumerate(deltas):
            await asyncio.sleep(pace * random.uniform(0.5, 1.5))
            if turn == script.cut and (fault in CUTS or fault == SILENT_CUT):
                await self.break_off(fault, script, delta)
                return
            await self.say(chunk(delta))
        if script.client == "leaves" and not fault:
            await asyncio.get_running_loop().create_future()
        if fault in AT_END:
            await self.end_badly(fault, b"".join(map(chunk, closing[:-1])), chunk(closing[-1]))
        else:
            await self.say(b"".join(map(chunk, closing)) + END)

    async def dally(self, script: Script) -> None:
        """For a client that leaves: some never get a head, some never a frame."""
        never = asyncio.get_running_loop().create_future()
        if script.number % 4 == 0:
            await never
        if script.number % 4 == 1:
            await self.say(HEAD)
            await never

    async def break_off(self, fault: str, script: Script, delta: bytes) -> None:
        """In the middle of the answer."""
        how, _, where = fault.rpartition("-")
        if where == "inside":
            await self.say(chunk(delta[:-7]))
            await asyncio.sleep(0.03)
        if fault == "bad-chunk":
            await self.say(b"oh no\r\n" + chunk(delta))
        elif fault == "bad-frame":
            await self.say(chunk(b'data: {"choices": [}\n\n') + chunk(delta) + END)
        elif fault == "error-event":
            await self.say(chunk(failure(script.dialect)) + END)
        elif how == "ends":
            await self.say(END)
        elif how == "silent":
            await asyncio.get_running_loop().create_future()
        else:
            await self.go(how)

    async def end_badly(self, fault: str, before: bytes, last: bytes) -> None:
        """When all has been said that matters."""
        if fault == "no-end":
            await self.say(before + END)
        elif fault in ("close-at-end", "reset-at-end"):
            await self.say(before)
        elif fault in ("no-last-chunk", "reset-after"):
            await self.say(before + last)
        else:
            await self.say(
                before + last + END + (b"HTTP/1.1 200 Junk\r\n\r\n" if fault == "junk-after" else b"")
            )
        if fault in ("close-at-end", "no-last-chunk"):
            await self.go("close")
        elif fault.startswith("reset"):
            await self.go("reset")

    # Bytes.

    async def say(self, data: bytes) -> None:
        """Write, and wait until the kernel has taken all of it."""
        if self.transport.is_closing():
            raise Gone
        self.transport.write(data)
        if not self.writable.is_set():
            began = time.monotonic()
            await self.writable.wait()
            self.waited += time.monotonic() - began

    async def go(self, how: str) -> None:
        """Close or reset when relay's system has all that was said: what it has not is lost in a reset."""
        while how == "reset" and outstanding(self.sock):
            await asyncio.sleep(0.01)
        if how == "reset":
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
        raise Gone


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def outstanding(sock: socket.socket) -> int:
    """Bytes that the peer's system has not acknowledged."""
    return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)


def refusal(status: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        status,
        len(body),
        body,
    )


# --- before anything counts -----------------------------------------------------------------------

Play = Callable[[Connection, Script], Awaitable[None]]


def saying(data: bytes, *, end: str = "") -> Play:
    """An answer of these bytes; then the connection goes on, or ends in this way."""

    async def play(connection: Connection, script: Script) -> None:
        await connection.say(data)
        if end:
            await asyncio.sleep(0.02)
            await connection.go(end)

    return play


def going(how: str) -> Play:
    async def play(connection: Connection, script: Script) -> None:
        await connection.go(how)

    return play


def begun(*, failing: bool) -> Play:
    """Half of the first frame and a reset, or the first one with an error behind it."""

    async def play(connection: Connection, script: Script) -> None:
        first = script.frames()[0][0]
        if failing:
            await connection.say(HEAD + chunk(first + failure(script.dialect)) + END)
        else:
            await connection.say(HEAD + chunk(first[:-9]))
            await connection.go("reset")

    return play


def silent(data: bytes) -> Play:
    async def play(connection: Connection, script: Script) -> None:
        await connection.say(data)
        await asyncio.get_running_loop().create_future()

    return play


async def _error_first(connection: Connection, script: Script) -> None:
    await connection.say(HEAD + chunk(failure(script.dialect)) + END)


ALWAYS = ("busy", "wrong", "dead")
BEFORE: dict[str, Play] = {
    "busy": saying(refusal(b"503 Service Unavailable", BUSY)),
    "wrong": saying(refusal(b"400 Bad Request", WRONG)),
    "dead": going("reset"),
    "refused-503": saying(refusal(b"503 Service Unavailable", BUSY)),
    "refused-429": saying(refusal(b"429 Too Many Requests", BUSY)),
    "reset-before-head": going("reset"),
    "close-before-head": going("close"),
    "half-head": saying(HEAD[:40], end="close"),
    "no-http": saying(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", end="close"),
    "reset-after-head": saying(HEAD, end="reset"),
    "empty": saying(HEAD + END),
    "half-first-frame": begun(failing=False),
    "error-first": _error_first,
    "announced-error": begun(failing=True),
    "silent-before-head": silent(b""),
    "silent-before-frame": silent(HEAD + chunk(b": still loading\n\n")),
}
assert {*BEFORE} == {*ONCE, *SILENT_ONCE, *ALWAYS}
assert SILENT_CUT in SILENCES


async def main() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    upstream = Upstream()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(upstream), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    watching = asyncio.ensure_future(upstream.lag.watch())
    with contextlib.suppress(asyncio.CancelledError):
        while asked := await loop.run_in_executor(None, sys.stdin.readline):
            answer = upstream.report() if asked == "report\n" else upstream.figures()
            print(json.dumps(answer), flush=True)
    watching.cancel()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
