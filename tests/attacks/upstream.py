"""The upstream behind the proxy: reads strictly, records everything, answers as the case has it.

Each connection has a thread, so that one that is held, flooded or broken stands in nobody's way.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from dataclasses import dataclass, field

from .cases import Step
from .playing import play
from .strict import Malformed, Message, Unfinished, read_request

_COMPLETION = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
).encode()


@dataclass(slots=True)
class Journal:
    """What came while one case was played.

    requests  whole ones, in the order of their arrival
    faults    why bytes that came were no request
    broken    where requests broke off: ``head`` or ``body``
    raw       every byte
    """

    requests: list[Message] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    raw: bytearray = field(default_factory=bytearray)


class Line:
    """One connection from the proxy; ``wants`` is the part of a request that has not come yet."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.buffer = bytearray()
        self.wants = ""


class Upstream:
    """Listens from the start; ``close`` ends it and its connections."""

    def __init__(self, port: int = 0) -> None:
        self._listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self.port = int(self._listener.getsockname()[1])
        self._lock = threading.Lock()
        self._lines: set[Line] = set()
        self._journal = Journal()
        self._script: tuple[Step, ...] = ()
        self._early = False
        threading.Thread(target=self._accept, daemon=True).start()

    def begin(self, script: tuple[Step, ...] = (), *, early: bool = False) -> None:
        """A new case: nothing recorded yet; requests for ``/case`` are answered by this script, if any."""
        with self._lock:
            self._journal = Journal()
            self._script, self._early = script, early

    def journal(self) -> Journal:
        with self._lock:
            return self._journal

    def settle(self, seconds: float) -> bool:
        """Wait until no request is half here; False when one still is."""
        limit = time.monotonic() + seconds
        while any(line.wants for line in self._open()):
            if time.monotonic() > limit:
                return False
            time.sleep(0.001)
        return True

    def drop(self) -> None:
        """Close every connection: what one case left behind is not the next one's."""
        for line in self._open():
            with contextlib.suppress(OSError):
                line.sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()

    def _open(self) -> list[Line]:
        with self._lock:
            return list(self._lines)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=[Line(sock)], daemon=True).start()

    def _serve(self, line: Line) -> None:
        with self._lock:
            self._lines.add(line)
        try:
            self._read(line)
        except OSError:
            pass  # the proxy reset it, or a script closed it
        finally:
            with self._lock:
                self._lines.discard(line)
                if line.wants:
                    self._journal.broken.append(line.wants)
            line.sock.close()

    def _read(self, line: Line) -> None:
        answered_early = False
        while data := line.sock.recv(65536):
            with self._lock:
                self._journal.raw += data
            line.buffer += data
            while line.buffer and (request := self._take(line)) is not None:
                if not answered_early and not self._answer(line, request):
                    return
                answered_early = False
            if self._early and self._script and line.wants == "body" and not answered_early:
                answered_early = True
                if not play(line.sock, self._script):
                    return

    def _take(self, line: Line) -> Message | None:
        """The next whole request, recorded; None when there is none yet."""
        try:
            request = read_request(bytes(line.buffer))
        except Unfinished as missing:
            line.wants = str(missing)
            return None
        except Malformed as fault:
            line.wants = ""
            with self._lock:
                self._journal.faults.append(str(fault))
            raise OSError from fault
        del line.buffer[: request.size]
        line.wants = ""
        with self._lock:
            self._journal.requests.append(request)
        return request

    def _answer(self, line: Line, request: Message) -> bool:
        """False when the connection is over."""
        if self._script and b"/case" in request.target:
            return play(line.sock, self._script)
        completion = b"/completions" in request.target
        content = _COMPLETION if completion else b"for " + request.target
        kind = b"application/json" if completion else b"text/plain"
        lines = [
            b"HTTP/1.1 200 OK",
            b"Content-Length: %d" % len(content),
            b"Content-Type: " + kind,
            b"X-For: " + request.target,
        ]
        bare = request.method == b"HEAD"
        return play(line.sock, (b"\r\n".join(lines) + b"\r\n\r\n" + (b"" if bare else content),))
