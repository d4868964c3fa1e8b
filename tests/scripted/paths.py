"""A relay as a process before a scripted upstream, for as long as a module of tests runs."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from .client import Client, Tool
from .loops import THINKING, TOOLS, play
from .script import Scenario
from .sdks import CLIENTS
from .server import Server


@dataclass
class Path:
    """One upstream and the relay before it."""

    server: Server
    process: subprocess.Popen[bytes]
    url: str

    def plays(self, scenario: Scenario) -> Server:
        """The upstream from now on, as if it were new."""
        self.server.scenario = scenario
        self.server.requests.clear()
        return self.server

    def client(self, dialect: str, stream: bool, tools: tuple[Tool, ...] = TOOLS, **options: Any) -> Client:
        return CLIENTS[dialect](self.url, stream, tools, {**THINKING[dialect], **options})

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.server.close()


class Paths:
    """By the upstream's dialect and profile, started when they are first asked for, all with these flags."""

    def __init__(self, *flags: str) -> None:
        self._flags = flags
        self._paths: dict[tuple[str, str], Path] = {}

    def __call__(self, dialect: str, profile: str = "generic", **manner: Any) -> Path:
        key = (dialect, profile)
        if key not in self._paths:
            self._paths[key] = _begin(dialect, profile, self._flags, manner)
        return self._paths[key]

    def close(self) -> None:
        for path in self._paths.values():
            path.close()


def _begin(dialect: str, profile: str, flags: tuple[str, ...], manner: dict[str, Any]) -> Path:
    server = Server(dialect, play, key="k", **manner)
    server.__enter__()
    upstream = ["--upstream", server.url, "--upstream-dialect", dialect, "--upstream-profile", profile]
    command = [sys.executable, "-m", "relay", "serve", *upstream, "--listen", "127.0.0.1:0", *flags]
    path = Path(server, subprocess.Popen(command, stderr=subprocess.PIPE), "")
    try:
        path.url = _announced(path.process)
    except AssertionError:
        path.close()
        raise
    return path


def _announced(process: subprocess.Popen[bytes]) -> str:
    assert process.stderr is not None
    said = ""
    while "ready in" not in said:
        line = process.stderr.readline().decode()
        assert line, f"relay said {said!r} and ended"
        said += line
    match = re.search(r"listening on (http://127\.0\.0\.1:\d+)", said)
    assert match is not None
    return match[1]
