"""A server on loopback that gives recorded answers again, as they ended on the wire too.

A request names its capture in the header ``x-capture``, which a relay in between forwards like
every header that it does not know.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Iterable

from .corpus import Capture

REASONS = {200: "OK", 400: "Bad Request", 429: "Too Many Requests", 500: "Internal Server Error"}


class Replay:
    """The captures by key, and the listener once ``serve`` runs."""

    def __init__(self, captures: Iterable[Capture], *, pieces: int = 1) -> None:
        self.captures = {capture.key: capture for capture in captures}
        self.pieces = pieces
        self.url = ""
        self._writers: set[asyncio.StreamWriter] = set()

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[Replay]:
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for writer in list(self._writers):
                writer.transport.abort()
            while self._writers:
                await asyncio.sleep(0)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while capture := await self._request(reader):
                await self._answer(writer, capture)
                if capture.end != "complete":
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            self._writers.discard(writer)

    async def _request(self, reader: asyncio.StreamReader) -> Capture:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[1:-2]
        fields = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
        if fields.get("transfer-encoding", "").lower() == "chunked":
            while size := int(await reader.readuntil(b"\r\n"), 16):
                await reader.readexactly(size + 2)
            await reader.readexactly(2)
        else:
            await reader.readexactly(int(fields.get("content-length", 0)))
        return self.captures[fields["x-capture"]]

    async def _answer(self, writer: asyncio.StreamWriter, capture: Capture) -> None:
        body = capture.body
        framing = f"content-length: {len(body)}" if capture.has_length else "transfer-encoding: chunked"
        head = (
            f"HTTP/1.1 {capture.status} {REASONS.get(capture.status, 'Status')}\r\n"
            f"content-type: {capture.content_type}\r\n{framing}\r\n\r\n"
        ).encode()
        if capture.has_length:
            writer.write(head + body)
        else:
            await self._chunks(writer, head, body, capture.end)
        await writer.drain()
        if capture.end == "reset":
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def _chunks(self, writer: asyncio.StreamWriter, head: bytes, body: bytes, end: str) -> None:
        size = max(1, -(-len(body) // self.pieces))
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        chunks = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces]
        last = b"0\r\n\r\n" if end == "complete" else b""
        if self.pieces == 1:
            writer.write(b"".join([head, *chunks, last]))
            return
        writer.write(head)
        for chunk in [*chunks, last]:
            await asyncio.sleep(0.001)  # so that the pieces are read apart
            if writer.is_closing():
                return
            writer.write(chunk)
