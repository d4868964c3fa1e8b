"""``relay serve`` as a process: started, watched through the kernel's own figures, ended by its id."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from .kit import Wire, within

PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Process:
    """One running ``relay serve``; ``banner`` is what it said up to its ``ready`` line."""

    child: asyncio.subprocess.Process
    banner: list[str]
    wires: list[Wire]
    heard: str = ""

    @property
    def pid(self) -> int:
        return self.child.pid

    @property
    def port(self) -> int:
        return self._port("listening")

    @property
    def admin_port(self) -> int:
        return self._port("health")

    def _port(self, what: str) -> int:
        (port,) = re.findall(rf"{what} on https?://127.0.0.1:(\d+)$", "\n".join(self.banner), re.MULTILINE)
        return int(port)

    async def connect(self, port: int = 0, *, rcvbuf: int = 0) -> Wire:
        sock = socket.socket()
        if rcvbuf:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        wire = Wire(sock)
        self.wires.append(wire)
        await within(asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port or self.port)))
        return wire

    async def said(self, pattern: str) -> re.Match[str]:
        """The next words on stderr that match; lines of two workers may run into each other."""
        assert self.child.stderr is not None
        while (match := re.search(pattern, self.heard)) is None:
            data = await within(self.child.stderr.read(4096))
            assert data, f"the process ended and did not say {pattern!r}, but {self.heard!r}"
            self.heard += data.decode()
        self.heard = self.heard[match.end() :]
        return match

    async def ended(self) -> int:
        return await within(self.child.wait())

    def signal(self, number: signal.Signals) -> None:
        self.child.send_signal(number)

    def rss(self) -> int:
        """Resident bytes of the workers now."""
        return sum(map(_rss, self.workers()))

    def workers(self) -> list[int]:
        """Those that have retired and still live, too."""
        with open(f"/proc/{self.pid}/task/{self.pid}/children") as children:
            return [int(pid) for pid in children.read().split()]


def _rss(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1]) * PAGE


SERVE = (sys.executable, "-m", "relay", "serve")


async def spawn(
    *arguments: str, program: Sequence[str] = SERVE, pass_fds: Sequence[int] = (), **environment: str
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *program,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        pass_fds=pass_fds,
        env={**os.environ, **environment},
    )


async def fails(
    *arguments: str, program: Sequence[str] = SERVE, pass_fds: Sequence[int] = (), **environment: str
) -> tuple[int | None, str]:
    """Exit code and stderr of a start that must not succeed."""
    child = await spawn(*arguments, program=program, pass_fds=pass_fds, **environment)
    try:
        out, err = await within(child.communicate())
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert out == b""
    return child.returncode, err.decode()


@contextlib.asynccontextmanager
async def serving(
    url: str,
    *arguments: str,
    listen: tuple[str, ...] = ("127.0.0.1:0",),
    program: Sequence[str] = SERVE,
    pass_fds: Sequence[int] = (),
    **environment: str,
) -> AsyncIterator[Process]:
    """A relay that has said it is ready; whatever happens, it is ended and waited for."""
    flags = [flag for address in listen for flag in ("--listen", address)]
    child = await spawn(
        "--upstream", url, *flags, *arguments, program=program, pass_fds=pass_fds, **environment
    )
    process = Process(child, [], [])
    workers: list[int] = []
    try:
        assert child.stderr is not None
        while not process.banner or not process.banner[-1].startswith("ready"):
            line = await within(child.stderr.readline())
            assert line, process.banner
            process.banner.append(line.decode().rstrip("\n"))
        yield process
    finally:
        for wire in process.wires:
            wire.close()
        if child.returncode is None:
            workers = process.workers()
            child.kill()
            for pid in workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        await child.communicate()
