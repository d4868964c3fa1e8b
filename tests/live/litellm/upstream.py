"""The providers behind LiteLLM: scripted, on real sockets, with a stamp of the clock for each word.

The first part of a path says whose server it is (``/openai/v1/chat/completions``), and so does the
LiteLLM configuration. It runs in the client's process and loop: one clock for both.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import time
from dataclasses import dataclass, field
from typing import Any

from .scripts import Play, document, frames, words

FLAVOURS = ("openai", "vllm", "lmstudio", "anthropic")
DIALECTS = {"chat/completions": "chat", "responses": "responses", "messages": "messages"}
OK_STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    b"x-request-id: req_script\r\ntransfer-encoding: chunked\r\n\r\n"
)


@dataclass
class Asked:
    """One request that reached an upstream, and what became of its answer. Times in ns."""

    flavour: str
    dialect: str
    stream: str
    streaming: bool
    body: Any
    headers: dict[str, str]
    at: int
    sent: dict[str, int] = field(default_factory=dict)
    """When each word was written, or made, where the answer is a document."""
    wrote: bytearray = field(default_factory=bytearray)
    """The body, without its chunk framing."""
    left: int = 0
    """When its client's end was seen; 0: it never was before the answer's own end."""
    ended: int = 0


class Upstream:
    """Listens on loopback, plays what ``play`` says, remembers who asked."""

    def __init__(self) -> None:
        self.play = Play()
        self.asked: list[Asked] = []
        self.open = 0
        """Connections that live now."""
        self.port = 0
        self._server: asyncio.Server | None = None
        self._count = 0

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    def plays(self, **changes: Any) -> None:
        """What is played from now on; who asked before is forgotten."""
        self.play = Play(**changes)
        self.asked.clear()

    def next_stream(self) -> str:
        self._count += 1
        return f"q{self._count:04d}"

    def when(self) -> dict[str, int]:
        """Word to stamp, over all who asked."""
        return {word: at for one in self.asked for word, at in one.sent.items()}


@contextlib.asynccontextmanager
async def upstream() -> Any:
    made = Upstream()
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


class _Connection(asyncio.Protocol):
    """One connection; the answers to its requests follow one another."""

    transport: asyncio.Transport

    def __init__(self, home: Upstream) -> None:
        self.home = home
        self.received = b""
        self.current: Asked | None = None
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.home.open += 1

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, mark, body = self.received.partition(b"\r\n\r\n")
        if not mark:
            return
        lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
        }
        whole = _whole(headers, body)
        if whole is None:
            return
        self.received = b""
        self.task = asyncio.get_running_loop().create_task(self.answer(lines[0].split(" "), headers, whole))

    def eof_received(self) -> bool:
        self._gone()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._gone()
        self.home.open -= 1
        if self.task is not None:
            self.task.cancel()

    def _gone(self) -> None:
        if self.current is not None and not self.current.left and not self.current.ended:
            self.current.left = time.monotonic_ns()

    async def answer(self, line: list[str], headers: dict[str, str], body: bytes) -> None:
        path = line[1].partition("?")[0]
        flavour = path.split("/")[1]
        dialect = next((said for end, said in DIALECTS.items() if path.endswith(end)), "")
        if line[0] != "POST" or flavour not in FLAVOURS or not dialect:
            self._document(b'{"object":"list","data":[]}', 200 if line[0] == "GET" else 404)
            return
        asked = json.loads(body)
        one = Asked(
            flavour,
            dialect,
            self.home.next_stream(),
            bool(asked.get("stream")),
            asked,
            headers,
            time.monotonic_ns(),
        )
        self.home.asked.append(one)
        self.current = one
        play = self.home.play
        await asyncio.sleep(play.before)
        if play.status != 200:
            self._refuse(dialect, play)
        elif one.streaming:
            await self._stream(one, play)
        else:
            await self._whole_document(one, play)
        one.ended = time.monotonic_ns()
        self.current = None

    async def _stream(self, one: Asked, play: Play) -> None:
        """Each word on an absolute schedule: a late one does not move the next."""
        self.transport.write(OK_STREAM)
        loop = asyncio.get_running_loop()
        due, said = loop.time(), 0
        for frame, word in frames(one.flavour, one.dialect, one.stream, str(one.body.get("model")), play):
            if word is not None:
                if play.end != "whole" and said == play.cut:
                    await asyncio.sleep(play.gap)
                    self._cut(play.end)
                    return
                due += play.gap
                await asyncio.sleep(max(0.0, due - loop.time()))
                said += 1
                one.sent[word] = time.monotonic_ns()
            self.transport.write(b"%x\r\n%b\r\n" % (len(frame), frame))
            one.wrote += frame
        self.transport.write(b"0\r\n\r\n")

    def _cut(self, end: str) -> None:
        if end == "clean":
            self.transport.write(b"0\r\n\r\n")
        elif end == "rst":
            linger = struct.pack("ii", 1, 0)
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.transport.abort()
        else:
            self.transport.close()

    async def _whole_document(self, one: Asked, play: Play) -> None:
        """The head at the end, as servers do: until then the words are made."""
        said = words(one.stream, play)
        for word in said[: play.cut] if play.end != "whole" else said:
            await asyncio.sleep(play.gap)
            one.sent[word] = time.monotonic_ns()
        body = document(one.dialect, one.stream, str(one.body.get("model")), play)
        if play.end == "whole":
            self._document(body, 200)
            return
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
        if play.end == "clean":
            half = body[: len(body) // 2]
            self.transport.write(head + b"content-length: %d\r\n\r\n" % len(half) + half)
        else:
            self.transport.write(head + b"content-length: %d\r\n\r\n" % len(body) + body[: len(body) // 2])
            self._cut(play.end)

    def _refuse(self, dialect: str, play: Play) -> None:
        error = {"type": "rate_limit_error", "message": "the script says so"}
        body = (
            {"type": "error", "error": error} if dialect == "messages" else {"error": error | {"code": "429"}}
        )
        self._document(json.dumps(body).encode(), play.status, "retry-after: 7\r\n")

    def _document(self, body: bytes, status: int, fields: str = "") -> None:
        head = f"HTTP/1.1 {status} Script\r\ncontent-type: application/json\r\n{fields}"
        self.transport.write(head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body)


def _whole(headers: dict[str, str], body: bytes) -> bytes | None:
    """The request's body once it is all there."""
    if "chunked" in headers.get("transfer-encoding", ""):
        pieces, rest = b"", body
        while True:
            size, mark, rest = rest.partition(b"\r\n")
            if not mark:
                return None
            length = int(size, 16)
            if len(rest) < length + 2:
                return None
            pieces, rest = pieces + rest[:length], rest[length + 2 :]
            if not length:
                return pieces
    return body if len(body) >= int(headers.get("content-length", "0")) else None
