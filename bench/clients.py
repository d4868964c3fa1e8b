"""The clients of the load bench: one process, raw epoll sockets, every receipt stamped twice.

Reads one command a line on stdin (JSON), answers one line on stdout. The commands:
`steady` runs n streams side by side for a while (here), `first`, `depart`, `hold` and
`release` are sequential probes (`probes.py`).

In `steady` each of n slots runs one stream after another. The first streams start at random
moments and have random lengths, so that neither ticks nor ends nor starts come together. The
measured window opens after a settling time and closes before anything is taken down; CPU time
of the proxy is read at both edges by this process, which knows when they are.

A latency is receipt minus the stamp in the frame, and there are two receipts. `arrived` is the
kernel's own receive stamp: when the bytes were in the client's socket. `read` is the clock right
after `recv`: it has this process's queueing in it, which at 400 streams on a core shared with
the upstream is larger and wilder than anything a proxy adds. Kernel stamps come in wall-clock
time; the distance of the two clocks is measured before each cell and checked after it.

In fresh mode the clock of the first frame starts before `connect`, so that the accept counts.
"""

import gc
import json
import random
import select
import socket
import struct
import sys
import time
from bisect import insort
from collections.abc import Iterable
from typing import Any

import probes
import procfs
from asking import request
from frames import LAST_CHUNK, OK, SCRIPTS, TOLD

READ_BYTES = 16384
SO_TIMESTAMPNS = 35  # of <asm-generic/socket.h>; Python has no name for it
TIMESPEC = struct.Struct("@qq")
ANCILLARY_BYTES = socket.CMSG_SPACE(TIMESPEC.size)
CLOCK_STEP_NS = 20_000  # the wall clock was set while a cell ran
RETRY_NS = 10_000_000
SEED = 20_000


class Slot:
    """One stream after another, on one connection or on a new one each time."""

    __slots__ = ("answered", "carry", "deltas", "got", "sent_at", "sock")

    def __init__(self) -> None:
        self.sock: socket.socket | None = None
        self.answered = False  # with the status of success
        self.carry = b""
        self.deltas = 0
        self.got = 0
        self.sent_at = 0


class Steady:
    """n streams side by side against one address."""

    def __init__(self, command: dict[str, Any]) -> None:
        self.port: int = command["port"]
        self.script: str = command["script"]
        script = SCRIPTS[self.script]
        self.dialect: str = command["dialect"] or script.dialect
        self.stamps = script.stamps if self.dialect == script.dialect else TOLD[self.dialect]
        self.fresh: bool = command["fresh"]
        self.deltas: int = command["deltas"]
        self.interval_us: int = command["interval_us"]
        self.settle_ns = int(command["settle"] * 1e9)
        self.window_ns = int(command["seconds"] * 1e9)
        self.pids: list[int] = command["pids"]
        self.dice = random.Random(SEED)  # the same starts for every path
        self.epoll = select.epoll()
        self.open: dict[int, Slot] = {}
        ramp = self.settle_ns // 2
        self.starts = sorted(self.dice.randrange(max(1, ramp)) for _ in range(command["streams"]))
        self.began = 0
        self.wall_ahead = wall_ahead()
        self.arrived: list[int] = []
        self.read: list[int] = []
        self.firsts: list[int] = []
        self.ended = 0
        self.unstamped = 0
        self.errors: dict[str, int] = {}

    def run(self) -> dict[str, Any]:
        self.began = time.monotonic_ns()
        self.until(self.began + self.settle_ns)
        edge = self.edge()
        self.until(edge["at"] + self.window_ns)
        last = self.edge()
        for slot in list(self.open.values()):
            self.drop(slot)
        self.epoll.close()
        if abs(wall_ahead() - self.wall_ahead) > CLOCK_STEP_NS:
            self.errors["wall clock stepped"] = 1
        return self.result(edge, last)

    def edge(self) -> dict[str, int]:
        """Counters at one edge of the window; two edges make a measurement."""
        return {
            "at": time.monotonic_ns(),
            "cpu": procfs.cpu_ns(self.pids),
            "own": time.process_time_ns(),
            "deltas": len(self.read),
            "firsts": len(self.firsts),
            "ended": self.ended,
        }

    def result(self, edge: dict[str, int], last: dict[str, int]) -> dict[str, Any]:
        window = slice(edge["deltas"], last["deltas"])
        return {
            "seconds": (last["at"] - edge["at"]) / 1e9,
            "deltas": last["deltas"] - edge["deltas"],
            "streams_ended": last["ended"] - edge["ended"],
            "proxy_cpu_ns": last["cpu"] - edge["cpu"],
            "client_cpu_ns": last["own"] - edge["own"],
            "arrived_ns": quantiles(self.arrived[window]),
            "read_ns": quantiles(self.read[window]),
            "first_ns": quantiles(self.firsts[edge["firsts"] : last["firsts"]]),
            "unstamped_reads": self.unstamped,
            "errors": self.errors,
            **procfs.memory(self.pids),
        }

    def until(self, end: int) -> None:
        """Serves the slots until `end`, starting those whose moment has come."""
        starts = self.starts
        while (now := time.monotonic_ns()) < end:
            while starts and self.began + starts[0] <= now:
                starts.pop(0)
                self.begin(Slot(), 1 + self.dice.randrange(self.deltas))
            wake = min(end, self.began + starts[0]) if starts else end
            for descriptor, _ in self.epoll.poll(max(0.0, (wake - now) / 1e9), 1024):
                self.readable(self.open[descriptor])

    def begin(self, slot: Slot, deltas: int) -> None:
        slot.deltas = deltas
        slot.got = 0
        slot.answered = False
        slot.carry = b""
        slot.sent_at = time.monotonic_ns()
        try:
            if slot.sock is None:
                slot.sock = probes.connect(self.port)
                slot.sock.setblocking(False)
                slot.sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
                self.epoll.register(slot.sock.fileno(), select.EPOLLIN)
                self.open[slot.sock.fileno()] = slot
            asked: dict[str, Any] = {"close": self.fresh, "script": self.script, "dialect": self.dialect}
            slot.sock.send(request("stream", deltas, self.interval_us, 0, **asked))
        except OSError as error:
            self.fail(slot, type(error).__name__)

    def readable(self, slot: Slot) -> None:
        assert slot.sock is not None
        try:
            data, ancillary, _, _ = slot.sock.recvmsg(READ_BYTES, ANCILLARY_BYTES)
        except OSError as error:
            self.fail(slot, type(error).__name__)
            return
        read = time.monotonic_ns()
        if not data:
            self.fail(slot, "closed in mid-stream")
            return
        if ancillary:
            seconds, fraction = TIMESPEC.unpack(ancillary[0][2])
            arrived = seconds * 1_000_000_000 + fraction - self.wall_ahead
        else:
            arrived = read
            self.unstamped += 1
        if slot.carry:
            data = slot.carry + data
        if slot.answered or data.startswith(OK):
            slot.answered = True
            self.take(slot, data, read, arrived)
        else:
            self.fail(slot, "status " + data[9:12].decode("latin-1"))

    def take(self, slot: Slot, data: bytes, read: int, arrived: int) -> None:
        """Counts each frame whose blank line is here; what follows is kept for the next read."""
        whole = data.rfind(b"\n\n") + 2
        if whole > 1:
            stamps = self.stamps.findall(data, 0, whole)
            if slot.got == 0 and stamps:
                self.firsts.append(arrived - slot.sent_at)
            slot.got += len(stamps)
            for stamp in stamps:
                written = int(stamp)
                self.arrived.append(arrived - written)
                self.read.append(read - written)
            data = data[whole:]
        slot.carry = data
        if slot.got and data.endswith(LAST_CHUNK):  # a head alone may end like this, too
            self.finish(slot)
        elif len(data) > READ_BYTES:
            self.fail(slot, "no frame in the response")

    def finish(self, slot: Slot) -> None:
        if slot.got != slot.deltas:
            self.fail(slot, "deltas missing")
            return
        self.ended += 1
        if self.fresh:
            self.drop(slot)
        self.begin(slot, self.deltas)

    def fail(self, slot: Slot, why: str) -> None:
        """Counts the failure; another slot takes over a little later, so that the load stays."""
        self.errors[why] = self.errors.get(why, 0) + 1
        self.drop(slot)
        insort(self.starts, time.monotonic_ns() - self.began + RETRY_NS)

    def drop(self, slot: Slot) -> None:
        if slot.sock is not None:
            self.open.pop(slot.sock.fileno(), None)
            slot.sock.close()
            slot.sock = None


def wall_ahead() -> int:
    """Nanoseconds by which the wall clock's number exceeds the monotonic one's.

    Both are slewed together, so only a step changes it; of several readings the least delayed counts.
    """
    readings = []
    for _ in range(20):
        before, wall, after = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        readings.append((after - before, wall - (before + after) // 2))
    return min(readings)[1]


def quantiles(samples: Iterable[int]) -> dict[str, float]:
    """Count, extremes and the quantiles that a table or a later look may want, in nanoseconds."""
    ordered = sorted(samples)
    if not ordered:
        return {"n": 0}
    points = {
        f"p{share:g}": ordered[min(len(ordered) - 1, int(len(ordered) * share / 100))]
        for share in (1, 5, 10, 25, 50, 75, 90, 95, 99, 99.9)
    }
    return {"n": len(ordered), "min": ordered[0], "max": ordered[-1], **points}


def main() -> None:
    held = probes.Held()
    # The kernel stamps packets only while some socket asks for it, and begins with a delay.
    stamping = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    stamping.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    gc.collect()
    gc.disable()  # its pauses would be read as the proxy's
    for line in sys.stdin:
        command = json.loads(line)
        match command["do"]:
            case "steady":
                answer = Steady(command).run()
            case "first":
                firsts, errors = probes.first_frames(command)
                answer = {"first_ns": quantiles(firsts), "errors": errors}
            case "depart":
                answer = probes.depart(command)
            case "hold":
                answer = held.open(command)
            case "release":
                answer = held.release()
            case other:
                raise ValueError(f"no such command: {other}")
        gc.collect()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
