"""The measuring client: raw sockets, every read stamped, each word set against the upstream's clock."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
KEY = "sk-relay-live"
WITHIN = 5.0
"""Milliseconds between the upstream's write and the client's read."""
BURST = 4
"""Words in one read from which it is said."""
LONGEST = 60.0
WORD = re.compile(r"q\d{4}\.\d{3} ")
TOOLS = {
    "name": "get_weather",
    "description": "Weather.",
    "input_schema": {"type": "object", "properties": {}},
}


def document(dialect: str, model: str, **more: Any) -> dict[str, Any]:
    """The smallest streaming request."""
    if dialect == "chat":
        base: dict[str, Any] = {"messages": [{"role": "user", "content": "hello"}]}
    elif dialect == "messages":
        base = {"max_tokens": 999, "messages": [{"role": "user", "content": "hello"}]}
    else:
        base = {"input": "hello"}
    return {"model": model, "stream": True} | base | more


def claude_code(model: str) -> dict[str, Any]:
    """A request of Claude Code's shape: system blocks with cache marks, tools, metadata."""
    system = [
        {"type": "text", "text": "You are Claude Code.", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "Be brief."},
    ]
    content = [{"type": "text", "text": "hello", "cache_control": {"type": "ephemeral"}}]
    more = {"system": system, "tools": [TOOLS], "metadata": {"user_id": "user_live"}, "max_tokens": 32000}
    return document("messages", model, **more) | {"messages": [{"role": "user", "content": content}]}


@dataclass
class Answer:
    """What came back on one connection. Times in ns."""

    dialect: str
    asked: int
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    reads: list[tuple[int, bytes]] = field(default_factory=list)
    """Of the body, without framing and compression."""
    head_at: int = 0
    ended_at: int = 0
    end: str = "reset"
    """``complete``, ``eof`` before the end of the body, ``reset``, or ``late``: it took too long."""

    @property
    def body(self) -> bytes:
        return b"".join(data for _, data in self.reads)

    @property
    def arrivals(self) -> dict[str, tuple[int, int]]:
        """Word to (stamp, number of the read) in which its last letter came as the dialect's text."""
        found: dict[str, tuple[int, int]] = {}
        pending, text = b"", ""
        for number, (at, data) in enumerate(self.reads):
            pending += data.replace(b"\r\n", b"\n")
            *whole, pending = pending.split(b"\n\n")
            text += "".join(_text(self.dialect, frame) for frame in whole)
            for match in WORD.finditer(text):
                found.setdefault(match[0], (at, number))
            text = text[-16:]
        return found

    @property
    def text(self) -> str:
        return "".join(_text(self.dialect, f) for f in self.body.replace(b"\r\n", b"\n").split(b"\n\n"))


@dataclass(frozen=True)
class Delays:
    """Of one stream: upstream's write to client's read, in ms; ``missing`` words never came."""

    values: tuple[float, ...]
    missing: int
    burst: int
    """The most words in one read."""

    def at(self, share: float) -> float:
        return self.values[min(len(self.values) - 1, int(len(self.values) * share))] if self.values else 0.0

    @property
    def within(self) -> float:
        """The share that came in time, what never came included."""
        count = len(self.values) + self.missing
        return sum(value <= WITHIN for value in self.values) / count if count else 0.0

    def __str__(self) -> str:
        if not self.values:
            return f"no word of {self.missing} came"
        said = f"{self.within:.0%} in {WITHIN:.0f} ms (p50 {self.at(0.5):.1f}, p95 {self.at(0.95):.1f}, "
        said += f"max {self.values[-1]:.1f})"
        said += f", {self.burst} in one read" if self.burst >= BURST else ""
        return said + (f", {self.missing} lost" if self.missing else "")


def delays(sent: dict[str, int], answer: Answer) -> Delays:
    arrivals = answer.arrivals
    values = sorted((arrivals[word][0] - at) / 1e6 for word, at in sent.items() if word in arrivals)
    reads = [number for _, number in arrivals.values()]
    burst = max((reads.count(number) for number in set(reads)), default=0)
    return Delays(tuple(values), len(sent) - len(values), burst)


class Asking:
    """One request on its own connection; ``leave`` closes it as a client that goes away."""

    def __init__(self, port: int, path: str, body: bytes, headers: dict[str, str]) -> None:
        self.port = port
        fields = {"host": f"127.0.0.1:{port}", "content-type": "application/json", "connection": "close"}
        fields |= {
            "authorization": f"Bearer {KEY}",
            "x-api-key": KEY,
            "content-length": str(len(body)),
        } | headers
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.request = f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + body
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def send(self) -> int:
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self.sock, ("127.0.0.1", self.port))
        await loop.sock_sendall(self.sock, self.request)
        return time.monotonic_ns()

    async def read(self) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self.sock, 1 << 18)

    def leave(self) -> int:
        self.sock.close()
        return time.monotonic_ns()


def asking(
    port: int, dialect: str, body: dict[str, Any], *, gzip: bool = False, path: str = "", key: str = KEY
) -> Asking:
    headers = {"authorization": f"Bearer {key}", "x-api-key": key}
    if dialect == "messages":
        headers["anthropic-version"] = "2023-06-01"
    if gzip:
        headers["accept-encoding"] = "gzip"
    return Asking(port, path or PATHS[dialect], json.dumps(body).encode(), headers)


async def ask(
    port: int,
    dialect: str,
    body: dict[str, Any],
    *,
    gzip: bool = False,
    longest: float = LONGEST,
    path: str = "",
    key: str = KEY,
) -> Answer:
    """The whole answer, read to its end."""
    one = asking(port, dialect, body, gzip=gzip, path=path, key=key)
    answer = Answer(dialect, time.monotonic_ns())
    try:
        async with asyncio.timeout(longest):
            await _take(one, answer)
    except TimeoutError:
        answer.end = "late"
    except OSError:
        answer.end = "reset"
    finally:
        answer.ended_at = one.leave()
    return answer


async def _take(one: Asking, answer: Answer) -> None:
    answer.asked = await one.send()
    pending, body = b"", None
    while True:
        data = await one.read()
        at = time.monotonic_ns()
        if not data:
            answer.end = "complete" if body is not None and body.whole_at_end else "eof"
            return
        if body is None:
            pending += data
            head, mark, data = pending.partition(b"\r\n\r\n")
            if not mark:
                continue
            _read_head(answer, head, at)
            body = _Body(answer.headers)
        if piece := body.feed(data):
            answer.reads.append((at, piece))
        if body.whole:
            answer.end = "complete"
            return


def _read_head(answer: Answer, head: bytes, at: int) -> None:
    status, *lines = head.decode("latin-1").split("\r\n")
    answer.status, answer.head_at = int(status.split()[1]), at
    answer.headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }


class _Body:
    """Framing and compression undone as the bytes come."""

    def __init__(self, headers: dict[str, str]) -> None:
        self.chunked = "chunked" in headers.get("transfer-encoding", "")
        self.left = int(headers.get("content-length", "-1"))
        self.unzip = zlib.decompressobj(31) if headers.get("content-encoding") == "gzip" else None
        self.pending = b""
        self.whole = self.left == 0
        self.whole_at_end = not self.chunked and self.left < 0

    def feed(self, data: bytes) -> bytes:
        if self.chunked:
            data = b"".join(self._chunks(data))
        elif self.left >= 0:
            self.left -= len(data)
            self.whole = self.left <= 0
        return self.unzip.decompress(data) if self.unzip is not None else data

    def _chunks(self, data: bytes) -> Iterator[bytes]:
        self.pending += data
        while not self.whole:
            size, mark, rest = self.pending.partition(b"\r\n")
            if not mark:
                return
            length = int(size.split(b";")[0], 16)
            if len(rest) < length + 2:
                return
            self.pending, self.whole = rest[length + 2 :], not length
            yield rest[:length]


def _text(dialect: str, frame: bytes) -> str:
    """The visible text of one frame, whatever else is wrong with it."""
    data = b"\n".join(line[5:].strip() for line in frame.split(b"\n") if line.startswith(b"data:"))
    said: Any = None
    with contextlib.suppress(ValueError):
        said = json.loads(data) if data else None
    if not isinstance(said, dict):
        return ""
    if dialect == "chat":
        return "".join((c.get("delta") or {}).get("content") or "" for c in said.get("choices") or ())
    if dialect == "messages":
        return (
            (said.get("delta") or {}).get("text") or "" if said.get("type") == "content_block_delta" else ""
        )
    return said.get("delta") or "" if said.get("type") == "response.output_text.delta" else ""
