"""A client's connection in the soak, and its reading of HTTP: nobody's code but this."""

import asyncio
import random
import socket
import struct

SLOW_BUFFER = 4096
SLOW_SEGMENT = 1400
"""As on a real network: the loopback's segments of 64 KiB would let the kernel lend megabytes."""
READ = 65536


class Line:
    """One connection to relay."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        host, port = writer.get_extra_info("sockname")[:2]
        self.address = f"{host}:{port}"
        self.worker = ""
        """Whose it is, as far as its answers have said."""

    @classmethod
    async def open(cls, port: int, *, slow: bool) -> "Line":
        sock = socket.socket()
        sock.setblocking(False)
        if slow:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BUFFER)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SLOW_SEGMENT)
            # The kernel remembers for each address how much it may send to it.
            sock.bind(
                (f"127.{random.randrange(1, 255)}.{random.randrange(256)}.{random.randrange(1, 255)}", 0)
            )
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        except BaseException:
            sock.close()
            raise
        return cls(*await asyncio.open_connection(sock=sock, limit=SLOW_BUFFER if slow else READ))

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def close(self) -> None:
        self.writer.transport.abort()


class Malformed(Exception):
    """No legal body framing, or something after its end."""


class Body:
    """A chunked body as it comes in, taken apart by nobody's code but this."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.complete = False
        self._raw = bytearray()

    def feed(self, data: bytes) -> None:
        raw = self._raw
        raw += data
        while raw and not self.complete:
            line = raw.find(b"\r\n")
            if line < 0:
                if len(raw) > 8:
                    raise Malformed(f"no chunk size: {bytes(raw[:20])!r}")
                return
            size = int(raw[:line], 16)
            if len(raw) < line + size + 4:
                return
            if raw[line + 2 + size : line + size + 4] != b"\r\n":
                raise Malformed("a chunk without its end")
            self.data += raw[line + 2 : line + 2 + size]
            del raw[: line + size + 4]
            self.complete = not size
        if raw:
            raise Malformed(f"after the end: {bytes(raw[:40])!r}")

    def so_far(self) -> bytes:
        """With what there is of an unfinished chunk."""
        return bytes(self.data) + bytes(self._raw).partition(b"\r\n")[2]


def read_head(raw: bytes) -> tuple[int, dict[str, str]]:
    line, *lines = raw.decode("latin-1")[:-4].split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines)
    return int(line.split(" ", 2)[1]), fields
