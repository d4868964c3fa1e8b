"""The HTTP side: one server on loopback, one dialect, every request kept.

A thread for each connection: the SDKs that are asked block or not, and programs come from outside.
"""

from __future__ import annotations

import http.server
import itertools
import json
import socket
import socketserver
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from email.message import Message
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from . import chat, messages, responses
from .script import Answer, Document, Fault, Scenario

DIALECTS: dict[str, ModuleType] = {"chat": chat, "messages": messages, "responses": responses}

GUARD = 20.0
"""Seconds after which a wait is a hang."""


@dataclass
class Recorded:
    """One request; ``refused`` says why it got no answer."""

    number: int
    method: str
    path: str
    headers: dict[str, str]
    body: Any
    refused: str | None = None


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Serves until ``close``. ``delay`` seconds lie between two frames; ``counts``: it counts tokens too."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(
        self,
        dialect: str,
        scenario: Scenario,
        *,
        port: int = 0,
        key: str | None = None,
        counts: bool = True,
        delay: float = 0.0,
        log: Path | None = None,
        **manner: Any,
    ) -> None:
        self.dialect = DIALECTS[dialect].Dialect(**manner)
        self.scenario = scenario
        self.key = key
        self.counts = counts
        self.delay = delay
        self.log = log
        self.requests: list[Recorded] = []
        self.counter = itertools.count(1)
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", port), Handler)
        self.thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def completions(self) -> list[Recorded]:
        """The requests that asked for an answer and got one."""
        return [seen for seen in self.requests if seen.path == self.dialect.path and seen.refused is None]

    @property
    def refusals(self) -> list[str]:
        return [seen.refused for seen in self.requests if seen.refused is not None]

    def keep(self, seen: Recorded) -> None:
        with self.lock:
            self.requests.append(seen)
            if self.log is not None:
                with self.log.open("a") as out:
                    out.write(json.dumps(asdict(seen)) + "\n")

    def __enter__(self) -> Server:
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        self.thread.join()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left is no news; anything else is a bug of these tests."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        self._serve()

    do_GET = do_HEAD = do_DELETE = do_PUT = do_POST

    def log_message(self, *args: object) -> None:
        """Nothing."""

    def _serve(self) -> None:
        dialect = self.server.dialect
        raw = _body(self.rfile, self.headers)
        path = self.path.split("?", 1)[0]
        number = next(self.server.counter)
        seen = Recorded(number, self.command, path, {n.lower(): v for n, v in self.headers.items()}, None)
        try:
            answer = self._answer(seen, raw)
        except Fault as fault:
            seen.refused = f"{fault.status} {fault.message}"
            self._document(fault.status, dialect.error(fault, number), fault.headers)
            return
        finally:
            self.server.keep(seen)
        if not isinstance(answer, Answer):
            self._document(200, answer)
        elif (answer.form or ("stream" if seen.body.get("stream") is True else "document")) == "stream":
            self._stream(dialect.frames(answer, seen.body, f"{number:024x}", int(time.time())), answer)
        elif answer.cut is not None:
            self._cut()
        else:
            self._document(200, dialect.document(answer, seen.body, f"{number:024x}", int(time.time())))

    def _answer(self, seen: Recorded, raw: bytes) -> Answer | Document:
        """What the scenario says to a good request; a document for the small endpoints."""
        dialect = self.server.dialect
        counts = self.server.counts and seen.path == dialect.count_path
        if (seen.method, seen.path) == ("HEAD", "/") and self.server.dialect.probed:
            return {}
        if (seen.method, seen.path) == ("GET", "/v1/models"):
            self._authorize(seen)
            return dict(dialect.models())
        if seen.method != "POST" or not (counts or seen.path == dialect.path):
            raise Fault(404, f"{seen.method} {seen.path}: Not Found")
        seen.body = _decoded(raw)
        self._authorize(seen)
        if counts:
            return dict(_checked(dialect.count, seen))
        _checked(dialect.check, seen)
        answer = self.server.scenario(dialect.view(seen.body))
        if isinstance(answer, Fault):
            raise answer
        return answer

    def _authorize(self, seen: Recorded) -> None:
        if self.server.key is None:
            return
        if self.server.dialect.presented(seen.headers) != self.server.key:
            raise Fault(401, "Incorrect API key provided.", code="invalid_api_key")

    def _document(self, status: int, document: Document, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self._own_headers()
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _stream(self, frames: Iterator[bytes], answer: Answer) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("transfer-encoding", "chunked")
        self._own_headers()
        self.end_headers()
        for count, frame in enumerate(frames):
            if answer.hold is not None and answer.hold[0] == count:
                answer.hold[1].wait(GUARD)
            if answer.cut == count:
                self._cut()
                return
            if answer.fail is not None and answer.fail[0] == count:
                self._chunk(self.server.dialect.error_frames(answer.fail[1], count))
                break
            self._chunk(frame)
            if self.server.delay:
                time.sleep(self.server.delay)
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _cut(self) -> None:
        """The way a server dies: a reset, with no last chunk."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _own_headers(self) -> None:
        for name, value in self.server.dialect.headers(next(self.server.counter)).items():
            self.send_header(name, value)


def _body(stream: Any, headers: Message) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return bytes(stream.read(int(headers.get("content-length", 0))))
    body = b""
    while size := int(stream.readline().split(b";")[0], 16):
        body += stream.read(size)
        stream.readline()
    while stream.readline().strip():
        pass
    return body


def _checked(check: Callable[[Document, dict[str, str]], Any], seen: Recorded) -> Any:
    """A document that is not even of the right shape is refused like any other."""
    try:
        return check(seen.body, seen.headers)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise Fault(400, f"malformed request: {error!r}", type="invalid_request_error") from error


def _decoded(raw: bytes) -> Document:
    try:
        document = json.loads(raw)
    except ValueError as error:
        raise Fault(400, f"We could not parse the JSON body of your request: {error}") from None
    if not isinstance(document, dict):
        raise Fault(400, "the body is not an object")
    return document
