"""Sequential probes: time to first frame, departures, and many streams held open in silence.

They use blocking sockets, one request at a time, so that nothing but the path is measured.

A departure is a client that closes without a word, at a random moment of the interval between
two deltas. Its stamp is taken just before `close`; the upstream stamps when its own connection
is seen to have ended; the request's id joins the two.
"""

import random
import select
import socket
import time
from typing import Any

from asking import request
from frames import LAST_CHUNK, OK, SCRIPTS

HOST = "127.0.0.1"
SOCKET_TIMEOUT = 10.0
DELTA_INTERVAL_US = 20_000
PROBE_INTERVAL_US = 1_000  # from the only delta of a probe to its end
PENDING_LIMIT = 64  # held streams that may wait for their first frame at a time
STALLED_AFTER = 10.0
ERROR_LIMIT = 20
SEED = 7


def connect(port: int) -> socket.socket:
    sock = socket.create_connection((HOST, port), SOCKET_TIMEOUT)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def first_frames(command: dict[str, Any]) -> tuple[list[int], dict[str, int]]:
    """Times to the first frame of `n` requests, one after another, in nanoseconds; and what failed."""
    times: list[int] = []
    errors: dict[str, int] = {}
    sock: socket.socket | None = None
    script = command["script"]
    question = request("stream", 1, PROBE_INTERVAL_US, 0, close=command["fresh"], script=script)
    for _ in range(command["n"]):
        begin = time.monotonic_ns()
        try:
            if sock is None:
                sock = connect(command["port"])
            sock.sendall(question)
            received, data = _read_until_stamp(sock, script)
            times.append(received - begin)
            _read_until_end(sock, data)
        except OSError as error:
            _count(errors, error)
            _close(sock)
            sock = None
            if _hopeless(errors):
                break
            continue
        if command["fresh"]:
            _close(sock)
            sock = None
    _close(sock)
    return times, errors


def depart(command: dict[str, Any]) -> dict[str, Any]:
    """`n` clients that leave: in mid-stream, or, in `silent` mode, while no head has come."""
    dice = random.Random(SEED)
    left: dict[int, int] = {}
    errors: dict[str, int] = {}
    for ident in range(command["first_id"], command["first_id"] + command["n"]):
        try:
            sock = connect(command["port"])
            sock.sendall(request(command["mode"], 1_000_000, DELTA_INTERVAL_US, ident))
            if command["mode"] == "stream":
                _read_until_stamp(sock, "chat")
        except OSError as error:
            _count(errors, error)
            if _hopeless(errors):
                break
            continue
        _linger(
            sock, 0.004 + dice.random() * DELTA_INTERVAL_US / 1e6
        )  # past the accept, anywhere in the interval
        left[ident] = time.monotonic_ns()
        sock.close()
        time.sleep(0.002)
    return {"left": left, "errors": errors}


class Held:
    """Streams that got one frame and then nothing, all open at once."""

    def __init__(self) -> None:
        self.socks: dict[int, socket.socket] = {}

    def open(self, command: dict[str, Any]) -> dict[str, Any]:
        """Opens `n`, with a bounded number on their way at any moment; says how many got their frame."""
        epoll = select.epoll()
        waiting: set[int] = set()
        errors: dict[str, int] = {}
        asked = 0
        begin = progress = time.monotonic()
        while (asked < command["n"] or waiting) and time.monotonic() - progress < STALLED_AFTER:
            if _hopeless(errors):
                break
            while asked < command["n"] and len(waiting) < PENDING_LIMIT:
                asked += 1
                try:
                    descriptor = self._ask(command["port"], command["script"])
                except OSError as error:
                    _count(errors, error)
                    continue
                epoll.register(descriptor, select.EPOLLIN)
                waiting.add(descriptor)
            for descriptor, _ in epoll.poll(1.0):
                progress = time.monotonic()
                waiting.remove(descriptor)
                epoll.unregister(descriptor)
                try:
                    _read_until_stamp(self.socks[descriptor], command["script"])
                except OSError as error:
                    self.socks.pop(descriptor).close()
                    _count(errors, error)
        epoll.close()
        return {"held": len(self.socks) - len(waiting), "seconds": time.monotonic() - begin, "errors": errors}

    def _ask(self, port: int, script: str) -> int:
        sock = connect(port)
        self.socks[sock.fileno()] = sock
        sock.sendall(request("hold", 1, 0, 0, script=script))
        return sock.fileno()

    def release(self) -> dict[str, Any]:
        """Closes them all; `lost` are those the path had ended meanwhile."""
        lost = 0
        for sock in self.socks.values():
            sock.setblocking(False)
            try:
                lost += sock.recv(65536) == b""
            except BlockingIOError:
                pass
            except OSError:
                lost += 1
            sock.close()
        released = len(self.socks)
        self.socks.clear()
        return {"released": released, "lost": lost}


def _read_until_stamp(sock: socket.socket, script: str) -> tuple[int, bytes]:
    """When the first delta was here, and all that had come by then."""
    data, stamps = b"", SCRIPTS[script].stamps
    while True:
        piece = sock.recv(16384)
        received = time.monotonic_ns()
        if not piece:
            raise ConnectionAbortedError("closed before the first frame")
        data += piece
        if not data.startswith(OK):
            raise ConnectionRefusedError(f"status {data[9:12].decode('latin-1')}")
        if (stamp := stamps.search(data)) and data.find(b"\n\n", stamp.end()) >= 0:
            return received, data


def _read_until_end(sock: socket.socket, data: bytes) -> None:
    while not data.endswith(LAST_CHUNK):
        piece = sock.recv(16384)
        if not piece:
            raise ConnectionAbortedError("closed in mid-stream")
        data = data[-8:] + piece


def _linger(sock: socket.socket, seconds: float) -> None:
    """Reads what comes for so long: closing with unread bytes would send a reset, not an end."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            if not sock.recv(16384):
                return
        except TimeoutError:
            return


def _count(errors: dict[str, int], error: OSError) -> None:
    why = f"{type(error).__name__}: {error}"
    errors[why] = errors.get(why, 0) + 1


def _hopeless(errors: dict[str, int]) -> bool:
    """A path that only fails is given up early, and its failures are the result."""
    return sum(errors.values()) >= ERROR_LIMIT


def _close(sock: socket.socket | None) -> None:
    if sock is not None:
        sock.close()
