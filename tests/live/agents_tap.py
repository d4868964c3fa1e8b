"""A wire tap between a CLI and what it talks to: bytes pass as they are, the heads and bodies are kept.

Relay's own headers (what it translated, what it dropped) are seen nowhere else: a CLI does not print them.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

LINE = re.compile(
    rb"^(?:(HEAD|GET|POST|PUT|DELETE) (\S+) HTTP/1\.1|HTTP/1\.1 (\d{3}) [^\r\n]*)\r\n", re.MULTILINE
)
FIELD = re.compile(rb"^([!-9;-~]+): ?([^\r\n]*)\r\n", re.MULTILINE)


@dataclass(frozen=True)
class Head:
    """A request's or an answer's first line and fields; ``status`` 0: a request."""

    method: str
    path: str
    status: int
    fields: dict[str, str]


@dataclass
class Tap:
    """All connections so far: what went up and what came down, each in the order of its connection."""

    url: str = ""
    connections: list[tuple[bytearray, bytearray]] = field(default_factory=list)

    @property
    def requests(self) -> list[Head]:
        return [head for up, _ in self.connections for head in heads(bytes(up))]

    @property
    def answers(self) -> list[Head]:
        return [head for _, down in self.connections for head in heads(bytes(down))]

    def seen(self, method: str, path: str) -> int:
        return sum(one.method == method and one.path.split("?")[0] == path for one in self.requests)

    def said(self, name: str) -> list[str]:
        """The values of a header in all answers, each once."""
        return sorted({one.fields[name] for one in self.answers if name in one.fields})


def heads(data: bytes) -> Iterator[Head]:
    """The heads in one direction of a connection. JSON has no line that could be mistaken for one."""
    for match in LINE.finditer(data):
        end = data.find(b"\r\n\r\n", match.end() - 2)
        fields = {n.decode().lower(): v.decode() for n, v in FIELD.findall(data[match.end() : end + 2])}
        method, path, status = match.groups(b"")
        yield Head(method.decode(), path.decode(), int(status or 0), fields)


@contextlib.contextmanager
def tapping(target: str) -> Iterator[Tap]:
    """A listener in front of ``target`` (http://host:port) until the block ends."""
    host, port = target.removeprefix("http://").split(":")
    listener = socket.create_server(("127.0.0.1", 0))
    tap = Tap(f"http://127.0.0.1:{listener.getsockname()[1]}")
    opened: list[socket.socket] = []

    def accept() -> None:
        with contextlib.suppress(OSError):  # the listener was shut down
            while True:
                client, _ = listener.accept()
                opened.append(client)
                try:
                    upstream = socket.create_connection((host, int(port)))
                except OSError:
                    client.close()
                    continue
                opened.append(upstream)
                kept = (bytearray(), bytearray())
                tap.connections.append(kept)
                for source, sink, into in ((client, upstream, kept[0]), (upstream, client, kept[1])):
                    threading.Thread(target=_pass, args=(source, sink, into), daemon=True).start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield tap
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        accepting.join()
        for sock in (listener, *opened):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


def _pass(source: socket.socket, sink: socket.socket, into: bytearray) -> None:
    """One direction; an end or a break of one side becomes that of the other."""
    try:
        while data := source.recv(65536):
            into += data
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for sock in (source, sink):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
