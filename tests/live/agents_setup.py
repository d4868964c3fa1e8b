"""The real agent CLIs: installed from the lock in ``agents_node``, run with no network but loopback.

No key, telemetry or update can leave: the whole harness runs inside a network namespace of its own, and
every run of a CLI has a home directory of its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NODE = Path(__file__).parent / "agents_node"
ROOT = Path(__file__).parents[2]
BINARIES = {name: NODE / "node_modules" / ".bin" / name for name in ("claude", "codex")}
KEY = "dummy-key"
"""Both CLIs have it, and the scripted server demands it, wherever its dialect puts it."""
SECONDS = 90
"""Longest run of a CLI; an ordinary one takes two."""

SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1


class Unavailable(Exception):
    """What this machine lacks, in words."""


def install() -> dict[str, str]:
    """The versions of the CLIs, installed by ``npm ci`` where they are missing."""
    if shutil.which("npm") is None:
        raise Unavailable("npm is not installed")
    if not all(binary.exists() for binary in BINARIES.values()):
        print(f"installing the CLIs into {NODE.relative_to(ROOT)}", file=sys.stderr)
        found = subprocess.run(
            ["npm", "ci", "--no-audit", "--no-fund"], cwd=NODE, capture_output=True, text=True, timeout=600
        )
        if found.returncode:
            raise Unavailable(f"npm ci failed: {found.stderr.strip()[-300:]}")
    return {name: _version(binary) for name, binary in BINARIES.items()}


def _version(binary: Path) -> str:
    found = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=60)
    if found.returncode:
        raise Unavailable(f"{binary.name} does not start: {(found.stdout + found.stderr).strip()[-300:]}")
    return found.stdout.strip()


def enter_namespace(inside: str) -> None:
    """Start this program again where loopback is the only interface; returns when it is there already."""
    if os.environ.get(inside):
        _loopback_up()
        _must_be_alone()
        return
    command = ["unshare", "--map-root-user", "--net"]
    if shutil.which("unshare") is None:
        raise Unavailable("unshare is not installed")
    tried = subprocess.run([*command, "true"], capture_output=True, text=True)
    if tried.returncode:
        raise Unavailable(f"no network namespace can be had: {tried.stderr.strip()}")
    os.environ[inside] = "1"
    os.execvp(command[0], [*command, sys.executable, *sys.orig_argv[1:]])


def _loopback_up() -> None:
    with socket.socket() as sock:
        request = struct.pack("16sH14x", b"lo", 0)
        (flags,) = struct.unpack_from("H", fcntl.ioctl(sock, SIOCGIFFLAGS, request), 16)
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))


def _must_be_alone() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 443))
        except OSError:
            return
    raise Unavailable("the namespace has a way out")


@dataclass
class Relay:
    """A running ``relay serve`` and the lines that it has said."""

    url: str = ""
    lines: list[str] = field(default_factory=list)


@contextlib.contextmanager
def relaying(upstream: str, *arguments: str) -> Iterator[Relay]:
    """``relay serve`` in front of an upstream, ready; ended by its own signal."""
    command = [sys.executable, "-m", "relay", "serve", "--upstream", upstream, "--listen", "127.0.0.1:0"]
    child = subprocess.Popen([*command, *arguments], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    relay, ready = Relay(), threading.Event()

    def listen() -> None:
        assert child.stderr is not None
        for line in child.stderr:
            relay.lines.append(line.rstrip("\n"))
            if line.startswith("ready"):
                ready.set()
        ready.set()

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        assert ready.wait(20), "relay is not ready after 20 s"
        heard = [line for line in relay.lines if "listening on http://" in line]
        assert heard, "relay did not start: " + " / ".join(relay.lines)
        relay.url = heard[0].split("listening on ")[1].strip()
        yield relay
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        listener.join()
        assert child.stderr is not None
        child.stderr.close()


@dataclass
class Said:
    """What a run of a CLI gave: exit status, events, stderr, the directory that it worked in."""

    status: int | None
    events: list[dict[str, Any]]
    stderr: str
    place: Path

    def file(self, name: str) -> str | None:
        path = self.place / name
        return path.read_text() if path.exists() else None


def run(arguments: list[str], place: Path, environment: dict[str, str]) -> Said:
    """One CLI in its own process group, which does not outlive the run; ``status`` None: it took too long."""
    place.mkdir()
    child = subprocess.Popen(
        arguments,
        cwd=place,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    status: int | None = None
    try:
        out, err = child.communicate(timeout=SECONDS)
        status = child.returncode
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        out, err = child.communicate()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    return Said(status, list(_documents(out)), err, place)


def _documents(out: str) -> Iterator[dict[str, Any]]:
    for line in out.splitlines():
        with contextlib.suppress(ValueError):
            document = json.loads(line)
            if isinstance(document, dict):
                yield document


def claude(url: str, model: str, prompt: str, home: Path, **environment: str) -> Said:
    """Claude Code in print mode with the Bash tool allowed."""
    home.mkdir()
    command = [str(BINARIES["claude"]), "-p", prompt, "--output-format", "stream-json", "--verbose"]
    return run(
        [*command, "--allowedTools", "Bash", "--model", model],
        home / "work",
        {
            "HOME": str(home),
            "ANTHROPIC_BASE_URL": url,
            "ANTHROPIC_API_KEY": KEY,
            "CLAUDE_CODE_MAX_RETRIES": "2",
            **environment,
        },
    )


CODEX = """\
model = "{model}"
model_provider = "relay"
approval_policy = "never"
sandbox_mode = "danger-full-access"
[model_providers.relay]
name = "relay"
base_url = "{url}/v1"
wire_api = "responses"
env_key = "RELAY_KEY"
request_max_retries = 2
stream_max_retries = 2
"""


def codex(url: str, model: str, prompt: str, home: Path, **environment: str) -> Said:
    """Codex without questions; its own sandbox needs namespaces that a container may not give."""
    (home / ".codex").mkdir(parents=True)
    (home / ".codex" / "config.toml").write_text(CODEX.format(model=model, url=url))
    command = [str(BINARIES["codex"]), "exec", "--json", "--skip-git-repo-check", prompt]
    return run(command, home / "work", {"HOME": str(home), "RELAY_KEY": KEY, **environment})
