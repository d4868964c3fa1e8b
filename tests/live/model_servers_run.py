"""Real servers and relays as processes: started, asked by hand, watched through the kernel, ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import model_servers_setup as setup

START, ANSWER = 180.0, 60.0
TICK = os.sysconf("SC_CLK_TCK")
QUIET = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}
"""One thread, and no word to anybody."""


@dataclass(frozen=True)
class Kind:
    """One make of server: how it is had, started and asked."""

    name: str
    install: Callable[[], Path]
    command: Callable[[Path, Path], list[str | Path]]
    """From its directory and the model's, less host and port."""
    dialects: tuple[str, ...] = ("chat",)
    profile: str = "generic"
    tells_length: tuple[str, ...] = ("chat", "responses", "messages")
    """In which dialects it says that an answer was cut by its limit."""
    model: str = "tiny"
    names_stop: bool = False
    """Whether its chat dialect says which stop sequence it was."""
    has_limit: bool = True
    """Whether it refuses a prompt that is longer than its context; else it would be at it for minutes."""
    thinking: dict[str, Any] = field(default_factory=dict)
    """What a chat request needs, so that the server looks for thoughts."""


class RelayEnded(Exception):
    """``relay serve`` did not get as far as listening."""


VLLM_FLAGS = (
    *("--served-model-name", "tiny", "--enforce-eager", "--dtype", "float32", "--max-model-len", "16384"),
    *("--max-num-seqs", "4", "--disable-uvicorn-access-log", "--enable-auto-tool-choice"),
    *("--tool-call-parser", "hermes", "--reasoning-parser", "qwen3"),
    *("--default-chat-template-kwargs", '{"enable_thinking": false}'),
)
LLAMA_FLAGS = ("--alias", "tiny", "-t", "1", "-tb", "1", "-c", "16384", "-np", "1", "--jinja")
KINDS = (
    Kind(
        "transformers",
        setup.transformers,
        lambda at, model: [at / "bin/transformers", "serve", model / "tiny", "--device", "cpu"],
        dialects=("chat", "responses"),
        model="",
        tells_length=("chat",),
        has_limit=False,
    ),
    Kind(
        "llama.cpp",
        setup.llama_cpp,
        lambda at, model: [at / "build/bin/llama-server", "-m", model / "tiny.gguf", *LLAMA_FLAGS],
        dialects=("chat", "responses", "messages"),
        tells_length=("chat", "messages"),
    ),
    Kind(
        "vllm",
        setup.vllm,
        lambda at, model: [at / "bin/vllm", "serve", model / "tiny", *VLLM_FLAGS],
        dialects=("chat", "responses", "messages"),
        profile="vllm",
        names_stop=True,
        thinking={"reasoning_effort": "medium"},
    ),
)


@dataclass
class Server:
    """A running server, or a relay: its address, and its process with all its children."""

    kind: Kind
    url: str
    model: str
    pid: int

    async def cpu(self) -> float:
        """Seconds of processor time that it and its children have taken."""
        return sum(ticks(pid) for pid in family(self.pid)) / TICK

    async def busy(self, seconds: float) -> float:
        """The share of one core that it takes from now on."""
        before = await self.cpu()
        await asyncio.sleep(seconds)
        return (await self.cpu() - before) / seconds


def family(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{one}/task"):
                with open(f"/proc/{one}/task/{task}/children") as children:
                    found += [int(child) for child in children.read().split()]
    return found


def ticks(pid: int) -> int:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])
    return 0


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def process(
    *command: str | Path, log: Path, **environment: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Ended with all its children, whatever happens."""
    with log.open("ab") as out:
        child = await asyncio.create_subprocess_exec(
            *map(str, command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env={**os.environ, **QUIET, **environment},
        )
    try:
        yield child
    finally:
        pids = family(child.pid)
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(child.wait(), 10)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await child.wait()


@contextlib.asynccontextmanager
async def serving(kind: Kind, model: Path, log: Path) -> AsyncIterator[Server]:
    """The server, once it answers."""
    command = kind.command(await asyncio.to_thread(kind.install), model)
    port = free_port()
    address = ("--host", "127.0.0.1", "--port", str(port))
    async with process(*command, *address, log=log, HF_HUB_CACHE=str(model)) as child:
        server = Server(kind, f"http://127.0.0.1:{port}", kind.model or str(model / "tiny"), child.pid)
        async with asyncio.timeout(START):
            while not await healthy(server.url):
                if child.returncode is not None:
                    raise setup.Lacking(f"it ended: {log.read_text(errors='replace')[-300:]!r}")
                await asyncio.sleep(0.3)
        yield server


@contextlib.asynccontextmanager
async def relaying(server: Server, dialect: str, log: Path) -> AsyncIterator[str]:
    """The address of ``relay serve`` in front of it, told that it speaks ``dialect`` alone."""
    about = ("--upstream-dialect", dialect, "--upstream-profile", server.kind.profile)
    command = (sys.executable, "-m", "relay", "serve", "-v", "--upstream", server.url, *about)
    begun = log.stat().st_size if log.exists() else 0
    async with process(*command, "--listen", "127.0.0.1:0", log=log) as child:
        async with asyncio.timeout(START):
            while "ready in" not in (said := log.read_text()[begun:]):
                if child.returncode is not None:
                    raise RelayEnded(f"it ended: {said}")
                await asyncio.sleep(0.05)
        match = re.search(r"listening on (http://127\.0\.0\.1:\d+)", said)
        assert match is not None
        yield match[1]


async def healthy(url: str) -> bool:
    try:
        status, _ = await ask(url, "GET", "/health")
    except (OSError, asyncio.IncompleteReadError, ValueError):
        return False
    return status == 200


async def ask(url: str, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
    """One exchange without any SDK: status and body."""
    reads = await read(url, method, path, body)
    head, _, content = b"".join(reads).partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" in head.lower():
        content = unchunked(content)
    return int(head.split()[1]), content


async def read(url: str, method: str, path: str, body: Any = None) -> list[bytes]:
    """What each read of the socket brought, head and framing included."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
    head = f"{method} {path} HTTP/1.1\r\nhost: {url[7:]}\r\nconnection: close\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    reads = []
    try:
        async with asyncio.timeout(ANSWER):
            writer.write(head.encode() + data)
            while piece := await reader.read(1 << 16):
                reads.append(piece)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return reads


def unchunked(data: bytes) -> bytes:
    whole = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size.split(b";")[0], 16)
        whole, data = whole + data[:length], data[length + 2 :]
        if not length:
            break
    return whole
