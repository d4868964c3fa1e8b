"""The upstream of the load bench: one process, one epoll, streams that tick on an absolute schedule.

It must cost little, since it shares a core with the clients where a machine has only two: a
delta is a template filled in and one `send`. `epoll_wait` rounds its timeout to milliseconds,
which would bunch twenty deltas of 400 streams into one tick; so the process sleeps in `select`
on the epoll descriptor, which takes microseconds, and asks epoll afterwards.

It answers one JSON line on stdout for each line on stdin (any line; a report), and ends when
stdin does. The report tells: how late the ticks were (its own lag, which is the bench's fault,
not the proxy's), how many streams are active, how many writes the kernel refused, and for each
request id when it arrived and when its connection was seen to be gone.
"""

import argparse
import gc
import heapq
import json
import os
import select
import socket
import sys
import time

from asking import WANTED
from frames import SCRIPTS, Script

BACKLOG = 4096
SELECT_CEILING = 1.0


class Connection:
    """One connection from a proxy, and the stream that runs on it, if any."""

    __slots__ = ("deltas", "ident", "interval", "left", "received", "script", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received = b""
        self.script: Script = SCRIPTS["chat"]
        self.deltas = 0
        self.left = -1  # deltas still to send; 0 means only the end; -1 means no stream runs
        self.interval = 0
        self.ident = -1


class Upstream:
    """Listens, answers, ticks."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self.listener.setblocking(False)
        self.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what it accepts inherits it
        self.epoll = select.epoll()
        self.epoll.register(self.listener.fileno(), select.EPOLLIN)
        self.epoll.register(sys.stdin.fileno(), select.EPOLLIN)
        self.connections: dict[int, Connection] = {}
        self.schedule: list[tuple[int, int, Connection]] = []
        self.turn = 0  # breaks ties in the heap, so that connections are never compared
        self.forget()

    def forget(self) -> None:
        self.late: list[int] = []
        self.arrived: dict[int, int] = {}
        self.gone: dict[int, int] = {}
        self.refused = 0

    def serve(self) -> None:
        while True:
            ready, _, _ = select.select([self.epoll.fileno()], [], [], self.until_next())
            if ready:
                for descriptor, events in self.epoll.poll(0, 1024):
                    if descriptor == self.listener.fileno():
                        self.accept()
                    elif descriptor == sys.stdin.fileno():
                        if not os.read(descriptor, 4096):
                            return
                        self.report()
                    else:
                        self.readable(self.connections[descriptor], events)
            self.tick()

    def until_next(self) -> float:
        if not self.schedule:
            return SELECT_CEILING
        return max(0.0, (self.schedule[0][0] - time.monotonic_ns()) / 1e9)

    def accept(self) -> None:
        """One a turn: epoll tells again if there are more, and a vain accept costs as much as a delta."""
        try:
            sock, _ = self.listener.accept()
        except OSError:
            return
        sock.setblocking(False)
        self.connections[sock.fileno()] = Connection(sock)
        self.epoll.register(sock.fileno(), select.EPOLLIN | select.EPOLLRDHUP)

    def readable(self, conn: Connection, events: int) -> None:
        seen = time.monotonic_ns()
        if events & (select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR):
            self.close(conn, seen)
            return
        try:
            data = conn.sock.recv(65536)
        except ConnectionError:
            data = b""
        if data:
            conn.received += data
            self.answer(conn)
        else:
            self.close(conn, seen)

    def answer(self, conn: Connection) -> None:
        """Starts the stream once a whole request is here; proxies do not pipeline."""
        head, mark, body = conn.received.partition(b"\r\n\r\n")
        if not mark or len(body) < _content_length(head):
            return
        conn.received = b""
        wanted = WANTED.search(body)
        if wanted is None:
            self.close(conn, time.monotonic_ns())
            return
        script, mode = SCRIPTS[wanted[1].decode()], wanted[2]
        conn.ident = int(wanted[5])
        now = self.arrived[conn.ident] = time.monotonic_ns()
        if mode == b"silent":
            return
        if not self.send(conn, script.start(time.monotonic_ns())):
            return
        if mode == b"stream":
            conn.script = script
            conn.deltas = int(wanted[3])
            conn.left = conn.deltas - 1
            conn.interval = int(wanted[4]) * 1000
            self.turn += 1
            heapq.heappush(self.schedule, (now + conn.interval, self.turn, conn))

    def tick(self) -> None:
        """Sends every delta that is due. The schedule is absolute: a late tick does not move the next."""
        schedule = self.schedule
        now = time.monotonic_ns()
        while schedule and schedule[0][0] <= now:
            due, turn, conn = schedule[0]
            self.late.append(now - due)
            number = conn.deltas - conn.left
            if conn.left > 0 and self.send(conn, conn.script.piece(number, time.monotonic_ns())):
                conn.left -= 1
                heapq.heapreplace(schedule, (due + conn.interval, turn, conn))
            else:
                heapq.heappop(schedule)
                if conn.left == 0:
                    conn.left = conn.ident = -1
                    self.send(conn, conn.script.end(conn.deltas))
            now = time.monotonic_ns()

    def send(self, conn: Connection, data: bytes) -> bool:
        try:
            if conn.sock.send(data) == len(data):
                return True
        except BlockingIOError:
            pass
        except OSError:
            self.close(conn, time.monotonic_ns())
            return False
        self.refused += 1  # nothing here is meant to fill a socket; a cell with refusals is void
        self.close(conn, time.monotonic_ns())
        return False

    def close(self, conn: Connection, seen: int) -> None:
        """Closes, and notes when, for the request that was under way."""
        descriptor = conn.sock.fileno()
        if descriptor < 0:
            return
        if conn.ident >= 0:
            self.gone.setdefault(conn.ident, seen)
        conn.left = -1
        self.epoll.unregister(descriptor)
        del self.connections[descriptor]
        conn.sock.close()

    def report(self) -> None:
        late = sorted(self.late)
        active = sum(1 for conn in self.connections.values() if conn.ident >= 0)
        print(
            json.dumps(
                {
                    "active": active,
                    "connections": len(self.connections),
                    "refused": self.refused,
                    "ticks": len(late),
                    "late_p50_ns": late[len(late) // 2] if late else 0,
                    "late_p99_ns": late[len(late) * 99 // 100] if late else 0,
                    "arrived": self.arrived,
                    "gone": self.gone,
                }
            ),
            flush=True,
        )
        self.forget()


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def main() -> None:
    argparse.ArgumentParser(description="The upstream of the load bench; started by load.py.").parse_args()
    upstream = Upstream()
    print(json.dumps({"port": upstream.listener.getsockname()[1]}), flush=True)
    gc.collect()
    gc.disable()  # its pauses would be read as the proxy's
    upstream.serve()


if __name__ == "__main__":
    main()
