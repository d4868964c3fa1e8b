"""The judge can fail: proxies that are wrong in one way each, and what it says of them."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Iterator

import pytest

from . import client
from .cases import Case
from .catalogue import CASES
from .judge import Verdict, judge
from .upstream import Upstream

BY_NAME = {f"{case.theme}: {case.name}": case for case in CASES}


class Naive:
    """Forwards the bytes of one request and of its answer as they are, all over one upstream connection.

    It believes in Content-Length alone. Each ``habit`` adds one more way to be wrong.
    """

    def __init__(self, upstream: int, habit: str = "") -> None:
        self.habit = habit
        self._port = upstream
        self._upstream = self._connected()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._turn = threading.Lock()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        self.address = ("127.0.0.1", int(self._listener.getsockname()[1]))

    def close(self) -> None:
        for sock in (self._listener, self._upstream):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self._threads.append(threading.Thread(target=self._serve, args=[sock], daemon=True))
                self._threads[-1].start()

    def _serve(self, sock: socket.socket) -> None:
        sock.settimeout(3)
        rest = b""
        with sock, contextlib.suppress(OSError, EOFError), self._turn:
            while True:
                request, rest = _one(sock, rest)
                if b" : " in request and self.habit:
                    self._misbehave(sock, request)
                    return
                sock.sendall(self._asked(request))
                if b"Connection: close" in request or self.habit == "closes":
                    return

    def _misbehave(self, sock: socket.socket, request: bytes) -> None:
        """In answer to a blank before a colon."""
        if self.habit == "crash":
            self._listener.shutdown(socket.SHUT_RDWR)
        elif self.habit == "mute":
            sock.recv(65536)
        else:
            sock.sendall(b"HTTP/1.1 400 Bad\r\nContent-Length: %d\r\n\r\n" % len(request) + request)

    def _asked(self, request: bytes) -> bytes:
        """What the upstream says to it; where it says nothing, there is a new connection for the next."""
        try:
            for _ in range(2 if self.habit == "twice" else 1):
                self._upstream.sendall(self._changed(request))
                answer, after = _one(self._upstream, b"")
        except (OSError, EOFError):
            self._upstream.close()
            self._upstream = self._connected()
            raise
        return answer + (after if self.habit == "hands on" else b"")

    def _connected(self) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self._port))
        sock.settimeout(1)
        return sock

    def _changed(self, request: bytes) -> bytes:
        if self.habit == "decodes":
            return request.replace(b"%0d%0a", b"\r\n").replace(b"%20", b" ")
        if self.habit == "drops the length":
            return re.sub(rb"Content-Length: \d+\r\n", b"", request)
        return request


def _one(sock: socket.socket, data: bytes) -> tuple[bytes, bytes]:
    """A message that ends where Content-Length says, and what came after it."""
    while (stop := data.find(b"\r\n\r\n") + 4) < 4:
        data += _more(sock)
    length = re.search(rb"(?i)content-length: *(\d+)", data[:stop])
    stop += int(length[1]) if length else 0
    while len(data) < stop:
        data += _more(sock)
    return data[:stop], data[stop:]


def _more(sock: socket.socket) -> bytes:
    data = sock.recv(65536)
    if not data:
        raise EOFError
    return data


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    listening = Upstream()
    yield listening
    listening.close()


def verdict(upstream: Upstream, name: str, habit: str = "") -> Verdict:
    proxy = Naive(upstream.port, habit)
    case: Case = BY_NAME[name]
    try:
        return judge(case, client.observe(proxy.address, upstream, case))
    finally:
        proxy.close()


@pytest.mark.parametrize("name", ["sound: GET", "sound: length", "sound: the fourth in a row", "sound: 404"])
def test_a_naive_proxy_is_not_blamed_for_what_it_does_well(upstream: Upstream, name: str) -> None:
    assert verdict(upstream, name).passed


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("length and coding: CL.TE", "read in two ways: content-length beside transfer-encoding"),
        ("length and coding: TE.TE: xchunked", "read in two ways: transfer-encoding other than chunked"),
        ("field lines: bare LF behind one", "read in two ways: a bare LF"),
        ("field lines: NUL in a value", "read in two ways: field line"),
        ("field lines: folded", "read in two ways: field line"),
        ("request lines: two blanks", "read in two ways: request line"),
        ("targets: a fragment", "read in two ways: request target"),
        ("hosts: a path", "read in two ways: host"),
        ("hosts: two", "read in two ways: host twice"),
        ("nominated: a field of this hop", "forwarded with the field x-hop"),
    ],
)
def test_what_can_be_read_in_two_ways_is_no_request(upstream: Upstream, name: str, why: str) -> None:
    assert why in verdict(upstream, name).why


def test_a_request_that_was_hidden_in_a_body_is_smuggled(upstream: Upstream) -> None:
    found = verdict(upstream, "lengths: CL.0: GET with a body", "drops the length")
    assert found.why == "smuggled: the upstream got a request that nobody sent as one"


def test_an_answer_that_nobody_asked_for_is_seen(upstream: Upstream) -> None:
    why = verdict(upstream, "answer: what follows: another answer, soon").why
    assert "beyond its answer" in why or "not its own" in why  # as the reads of the proxy fall


def test_an_answer_that_reaches_the_next_client_is_seen(upstream: Upstream) -> None:
    found = verdict(upstream, "answer: what follows: another answer, soon", "closes")
    assert "client 1 after it got an answer that is not its own" in found.why


def test_bytes_behind_an_answer_are_seen(upstream: Upstream) -> None:
    assert "client got" in verdict(upstream, "answer: what follows: rubbish", "hands on").why


@pytest.mark.parametrize(
    ("habit", "why"),
    [
        ("crash", "client 1 after it got nothing sound: no connection"),
        ("mute", "neither an answer nor a close"),
        ("tells", "tells a secret"),
    ],
)
def test_a_bad_end_is_seen(upstream: Upstream, monkeypatch: pytest.MonkeyPatch, habit: str, why: str) -> None:
    monkeypatch.setattr(client, "LIMIT", 0.5)
    assert why in verdict(upstream, "field lines: space before the colon", habit).why


def test_a_request_that_is_sent_twice_is_seen(upstream: Upstream) -> None:
    assert "forwarded 2 times" in verdict(upstream, "sound: DELETE", "twice").why


def test_a_value_that_becomes_a_field_is_seen(upstream: Upstream) -> None:
    found = verdict(upstream, "injection: X-Request-Id, percent-encoded", "decodes")
    assert found.why == "a value has become a field"
