"""The relay of the soak from outside: its workers, what they hold, and how they are killed.

A worker is stopped before it is killed, so that the list of its clients is what it dies with: a stream
that was cut must be on it, and one that waited to be accepted is not.
"""

import os
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import procfs

STOPPED_WITHIN = 5.0


@dataclass(frozen=True)
class Sample:
    """One look at one worker."""

    at: float
    pid: int
    rss: int
    descriptors: int
    cpu: float
    waited: float
    """Seconds in which it could have run, and others did."""
    live: int


@dataclass(frozen=True)
class Kill:
    """When, whom, and the addresses of its clients."""

    at: float
    pid: int
    clients: frozenset[str]


class Watch:
    """One supervisor and its workers."""

    def __init__(self, pid: int, port: int) -> None:
        self.pid, self.port = pid, port
        self.samples: list[Sample] = []
        self.kills: list[Kill] = []
        self.reloads: list[float] = []
        self.lag: dict[str, list[float]] = {}
        self.last = ""

    def workers(self) -> list[int]:
        """Those that have retired and still live too, the oldest first."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return sorted(map(int, children.split()), key=_started)

    def descriptors(self) -> dict[str, int]:
        """How many the supervisor holds, and the worker that serves."""
        pids = {"supervisor": self.pid, "worker": self.workers()[-1]}
        return {name: len(os.listdir(f"/proc/{pid}/fd")) for name, pid in pids.items()}

    def sample(self, live: int, **lag: list[float]) -> None:
        for name, late in lag.items():
            self.lag.setdefault(name, []).extend(late)
        words = []
        for pid in self.workers():
            try:
                rss, cpu = procfs.memory([pid])["rss"], procfs.cpu_ns([pid]) / 1e9
                descriptors = len(os.listdir(f"/proc/{pid}/fd"))
                waited = int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
            except OSError:  # it has just ended
                continue
            self.samples.append(Sample(time.monotonic(), pid, rss, descriptors, cpu, waited, live))
            words.append(f"{pid}: {rss >> 20} MiB, {descriptors} descriptors")
        self.last = "; ".join(words)

    def reload(self) -> None:
        self.reloads.append(time.monotonic())
        os.kill(self.pid, signal.SIGHUP)

    def kill(self, pid: int) -> None:
        """SIGKILL, and note with whom."""
        os.kill(pid, signal.SIGSTOP)
        deadline = time.monotonic() + STOPPED_WITHIN
        while _state(pid) not in "TZ" and time.monotonic() < deadline:
            time.sleep(0.001)
        clients = frozenset(clients_of(pid, self.port))
        self.kills.append(Kill(time.monotonic(), pid, clients))
        os.kill(pid, signal.SIGKILL)


def clients_of(pid: int, port: int) -> Iterator[str]:
    """The other ends of all connections to this port that the process has open."""
    names = (os.readlink(one) for one in Path(f"/proc/{pid}/fd").iterdir())
    inodes = {found[1] for name in names if (found := re.fullmatch(r"socket:\[(\d+)\]", name))}
    for row in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, *fields = row.split()
        if fields[6] in inodes and int(local[-4:], 16) == port:
            address = int(remote[:8], 16).to_bytes(4, sys.byteorder)
            yield f"{socket.inet_ntoa(address)}:{int(remote[-4:], 16)}"


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ["Z"] + ["0"] * 30


def _state(pid: int) -> str:
    return _stat(pid)[0]


def _started(pid: int) -> tuple[int, int]:
    return int(_stat(pid)[19]), pid
