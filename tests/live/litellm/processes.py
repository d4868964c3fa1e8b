"""LiteLLM, nginx and relay as processes: started, waited for, ended by their ids; loopback only."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from ..model_servers_run import family, free_port
from . import configs, install

READY = {"litellm": 180.0, "relay": 20.0, "nginx": 10.0}
ENDED = 10.0
LISTENING = re.compile(r"listening on http://127\.0\.0\.1:(\d+)")
NANO = 2


class NotStarted(Exception):
    """A process did not come as far as answering; with its last words."""


@dataclass
class Running:
    """One process with all its children."""

    name: str
    port: int
    pid: int
    log: Path
    started: float
    """Seconds from the start to the first answer."""

    @property
    def pids(self) -> list[int]:
        return family(self.pid)

    def cpu_ns(self) -> int:
        """Over all threads of all its processes, by the kernel's own clock of each."""
        return sum(time.clock_gettime_ns((~pid << 3) | NANO) for pid in self.pids)

    def rss(self) -> int:
        """Bytes; a page shared by two of them counts twice."""
        found = 0
        for pid in self.pids:
            with contextlib.suppress(OSError):
                found += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return found

    def said(self) -> str:
        return self.log.read_text(errors="replace")


@contextlib.asynccontextmanager
async def litellm(version: str, kind: str, upstream: int, folder: Path) -> AsyncIterator[Running]:
    program = install.installed(version)
    config = configs.litellm(kind, upstream, folder)
    port = _port()
    environment = install.environment()
    if kind == "intercepting":
        environment |= {"AIOHTTP_CONNECTOR_LIMIT_PER_HOST": str(configs.POOL)}
    ends = ("--config", config, "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1")
    async with _process("litellm", port, folder, program, *ends, environment=environment) as running:
        yield running


@contextlib.asynccontextmanager
async def nginx(behind: int, folder: Path) -> AsyncIterator[Running]:
    binary = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if binary is None:
        raise NotStarted("nginx is not installed")
    port = _port()
    config = configs.nginx(port, behind, folder)
    ends = ("-p", folder, "-c", config, "-e", folder / "nginx.error")
    async with _process("nginx", port, folder, binary, *ends) as running:
        yield running


@contextlib.asynccontextmanager
async def relay(*arguments: str | Path, folder: Path) -> AsyncIterator[Running]:
    command = (sys.executable, "-m", "relay", "serve", *arguments, "--listen", "127.0.0.1:0", "-v")
    async with _process("relay", 0, folder, *command) as running:
        yield running


@contextlib.asynccontextmanager
async def _process(
    name: str, port: int, folder: Path, *command: str | Path, environment: dict[str, str] | None = None
) -> AsyncIterator[Running]:
    log = folder / f"{name}-{time.monotonic_ns()}.log"
    began = time.monotonic()
    with log.open("wb") as out:
        child = await asyncio.create_subprocess_exec(
            *map(str, command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=environment,
            process_group=0,
        )
    running = Running(name, port, child.pid, log, 0.0)
    try:
        await _ready(running, child)
        running.started = time.monotonic() - began
        yield running
    finally:
        await _end(child)


async def _ready(running: Running, child: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(READY[running.name]):
            while not await _answers(running):
                if child.returncode is not None:
                    raise NotStarted(f"{running.name} ended: {running.said()[-600:]}")
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise NotStarted(f"{running.name} did not answer: {running.said()[-600:]}") from None


async def _answers(running: Running) -> bool:
    if running.name == "relay":
        match = LISTENING.search(running.said())
        running.port = int(match[1]) if match else 0
        return match is not None and "ready in" in running.said()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    except OSError:
        return False
    try:
        if running.name == "nginx":
            return True
        writer.write(b"GET /health/liveliness HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        return b" 200 " in await reader.readline()
    except OSError:
        return False
    finally:
        writer.close()


async def _end(child: asyncio.subprocess.Process) -> None:
    pids = family(child.pid)
    with contextlib.suppress(ProcessLookupError):
        child.send_signal(signal.SIGTERM)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(child.wait(), ENDED)
    for pid in pids if child.returncode is None else pids[1:]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    await child.wait()


def _port() -> int:
    """Free, and below those from which the kernel numbers outgoing connections, where one is."""
    for port in range(20011 + os.getpid() % 900, 30000, 7):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    return free_port()
