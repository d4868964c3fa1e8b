"""Processes for these tests: started on free ports, waited for, ended by their ids."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
LIMIT = 20.0

NGINX = """\
daemon off; master_process off; pid {dir}/nginx.pid; error_log stderr warn;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{ {location} proxy_pass http://127.0.0.1:{to}; proxy_http_version {version}; }}
    }}
}}
"""

HAPROXY = """\
defaults
    mode http
    option http-no-delay
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend front
    bind 127.0.0.1:{port}
    default_backend back
backend back
    server one 127.0.0.1:{to}
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Until it accepts; a process that ended instead is a failure at once."""
    limit = time.monotonic() + LIMIT
    while time.monotonic() < limit:
        assert process.poll() is None, f"{process.args} ended with {process.returncode}"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise AssertionError(f"{process.args} does not accept")


def program(name: str) -> str:
    """Its path; only outside CI may it be missing."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        if os.environ.get("CI") == "true":
            raise AssertionError(f"{name} is not installed, and CI must have it")
        pytest.skip(f"{name} is not installed")
    return found


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a process that lives as long as the test."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(*command: str, **options: object) -> subprocess.Popen[bytes]:
        running.append(subprocess.Popen(command, **options))  # type: ignore[call-overload]
        return running[-1]

    yield begin
    for process in reversed(running):
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


@pytest.fixture
def uvicorn(start: Callable[..., subprocess.Popen[bytes]]) -> int:
    """The port of a fresh application under uvicorn."""
    port = free_port()
    process = start(
        *(sys.executable, "-m", "uvicorn", "app:app", "--app-dir", str(HERE)),
        *("--port", str(port), "--log-level", "warning"),
    )
    wait_for(port, process)
    return port


@pytest.fixture
def relay(start: Callable[..., subprocess.Popen[bytes]]) -> Callable[[int], int]:
    """``relay(port)`` starts one in front of that port and gives its own."""

    def serve(upstream: int) -> int:
        return announced(
            start(
                *(sys.executable, "-m", "relay", "serve", "--upstream", f"http://127.0.0.1:{upstream}"),
                *("--listen", "127.0.0.1:0"),
                stderr=subprocess.PIPE,
            ),
            "ready in",
        )

    return serve


@pytest.fixture
def fake(start: Callable[..., subprocess.Popen[bytes]]) -> int:
    """The port of ``relay fake`` at full speed."""
    command = (sys.executable, "-m", "relay", "fake", "--listen", "127.0.0.1:0", "--rate", "200")
    return announced(start(*command, stderr=subprocess.PIPE), "listening on")


@pytest.fixture
def nginx(start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path) -> Callable[..., int]:
    """``nginx(port)`` starts one in front of that port, with ``proxy_buffering`` on as by default.

    nginx's own default is ``version="1.0"``. Only then does it hold small frames back: a chunked
    answer it passes on as it comes.
    """

    def serve(to: int, location: str = "", *, version: str = "1.1") -> int:
        port = free_port()
        config = tmp_path / f"nginx-{port}.conf"
        text = NGINX.format(dir=tmp_path, port=port, to=to, location=location, version=version)
        config.write_text(text)
        wait_for(port, start(program("nginx"), "-c", str(config), "-p", str(tmp_path)))
        return port

    return serve


@pytest.fixture
def haproxy(start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path) -> Callable[[int], int]:
    """``haproxy(port)`` starts one in front of that port."""

    def serve(to: int) -> int:
        port = free_port()
        config = tmp_path / f"haproxy-{port}.cfg"
        config.write_text(HAPROXY.format(port=port, to=to))
        wait_for(port, start(program("haproxy"), "-q", "-db", "-f", str(config)))
        return port

    return serve


def announced(process: subprocess.Popen[bytes], last: str) -> int:
    """The port that a relay names on stderr, once it has said its ``last`` line."""
    assert process.stderr is not None
    said = ""
    while last not in said:
        line = process.stderr.readline().decode()
        assert line, f"{process.args} said {said!r} and ended"
        said += line
    match = re.search(r"listening on http://127\.0\.0\.1:(\d+)", said)
    assert match is not None
    return int(match[1])
