"""The proxies under attack: how each is configured and started, and what can be read off its process.

All have limits of time that a run can wait for, pass bodies of answers on as they come, and keep
connections to the upstream, without which one client could not reach another through it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NAMES = ("relay", "nginx", "haproxy")
READY_WITHIN = 20.0
ROOT = Path(__file__).resolve().parents[2]

NGINX = """\
daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr error;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    client_header_timeout 400ms; client_body_timeout 400ms; send_timeout 1500ms; keepalive_timeout 1000ms;
    lingering_timeout 300ms; lingering_time 600ms;
    upstream engine {{ server 127.0.0.1:{upstream}; keepalive 16; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://engine;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_connect_timeout 1s; proxy_read_timeout 800ms; proxy_send_timeout 800ms;
        }}
    }}
}}
"""

HAPROXY = """\
defaults
    mode http
    option http-no-delay
    option abortonclose
    http-reuse always
    timeout connect 1s
    timeout client 400ms
    timeout server 800ms
    timeout http-request 400ms
    timeout http-keep-alive 1000ms
frontend clients
    bind 127.0.0.1:{port}
    default_backend engine
backend engine
    server engine 127.0.0.1:{upstream}
"""


class ProxyError(Exception):
    """A proxy that is not installed, or did not start."""


@dataclass(slots=True)
class Proxy:
    """A running proxy; one that was started elsewhere has no process and no log."""

    name: str
    address: tuple[str, int]
    version: str = ""
    process: subprocess.Popen[bytes] | None = None
    log: Path | None = None

    def forget_peak(self) -> None:
        """From now on ``peak`` counts anew (proc(5), clear_refs); where that is not allowed, it does not."""
        if self.process is not None:
            with contextlib.suppress(OSError):
                Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def peak(self) -> int:
        """Bytes that its process has held at most; 0 where that cannot be seen."""
        if self.process is None:
            return 0
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{self.process.pid}/status").read_text()
            found = re.search(r"VmHWM:\s+(\d+) kB", status)
            return int(found[1]) * 1024 if found else 0
        return 0

    def said(self) -> bytes:
        return self.log.read_bytes() if self.log is not None else b""

    def alive(self) -> bool:
        return self.process is None or self.process.poll() is None


@contextlib.contextmanager
def started(name: str, upstream: int) -> Iterator[Proxy]:
    """A proxy of this name in front of that port, or one that runs already at ``HOST:PORT``."""
    if name not in NAMES:
        host, _, port = name.rpartition(":")
        if not port.isdigit():
            raise ProxyError(f"{name}: expected {', '.join(NAMES)} or HOST:PORT")
        yield Proxy(name, (host or "127.0.0.1", int(port)))
        return
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        command, port = _command(name, upstream, home)
        log = home / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=ROOT
            )
        try:
            port = port or _announced(process, log)
            _wait(port, process, log)
            yield Proxy(name, ("127.0.0.1", port), _version(name), process, log)
        finally:
            process.kill()
            process.wait()


def _command(name: str, upstream: int, home: Path) -> tuple[list[str], int]:
    """How it is started, and its port, 0 where it says so itself."""
    if name == "relay":
        return [sys.executable, "-m", "tests.attacks.relay_process", f"http://127.0.0.1:{upstream}"], 0
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    config = home / f"{name}.conf"
    text = NGINX if name == "nginx" else HAPROXY
    config.write_text(text.format(folder=home, port=port, upstream=upstream))
    if name == "nginx":
        return [_binary(name), "-c", str(config), "-p", str(home), "-e", "stderr"], port
    return [_binary(name), "-q", "-db", "-f", str(config)], port


def _binary(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise ProxyError(f"{name} is not installed")
    return found


def _version(name: str) -> str:
    if name == "relay":
        from relay import __version__

        return f"relay {__version__}"
    told = subprocess.run([_binary(name), "-v"], capture_output=True, check=True)
    found = re.search(rb"\d+\.\d+\.\d+", told.stdout + told.stderr)
    return f"{name} {found[0].decode() if found else ''}"


def _announced(process: subprocess.Popen[bytes], log: Path) -> int:
    limit = time.monotonic() + READY_WITHIN
    while (match := re.search(rb"listening on 127\.0\.0\.1:(\d+)", log.read_bytes())) is None:
        if process.poll() is not None or time.monotonic() > limit:
            raise ProxyError(f"it did not start: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.02)
    return int(match[1])


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until it accepts."""
    limit = time.monotonic() + READY_WITHIN
    while time.monotonic() < limit and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise ProxyError(f"it does not accept: {log.read_text(errors='replace')[-2000:]}")
