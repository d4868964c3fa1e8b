"""The paths of the load bench: direct, nginx, HAProxy, relay, LiteLLM; how each is configured and started.

relay may take part under several names, with other arguments each: `relay` as it is by default.
Those that translate are in `TRANSLATORS`.

One worker each, told to do nothing but pass a stream on: no logs, no buffering, no delay, idle
connections to the upstream kept, limits out of the way. HAProxy has `abortonclose` besides, or
it would not tell the upstream that a client left before the head.

A process inherits its core from the conductor, which moves there for the moment of the start;
so a worker that is forked at once is pinned, too. Each runs in its own process group: Ctrl-C
reaches the conductor alone, which ends the others by their ids.
"""

import contextlib
import os
import random
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import litellm_proxy
import procfs
from asking import request
from frames import LAST_CHUNK, OK

ROOT = Path(__file__).resolve().parent.parent
RELAYS = {
    "relay-unchecked": "--repair off",
    "relay-checked": "--repair on",
    "relay": "",
    "relay-chat": "--upstream-dialect chat",
    "relay-messages": "--upstream-dialect messages",
}
PROGRAMS = ("nginx", "haproxy")
TRANSLATORS = {
    "relay-chat": ("chat", ("messages", "responses")),
    "relay-messages": ("messages", ("chat",)),
    "litellm": ("chat", ("messages",)),
}
"""What the upstream speaks, and what the clients may."""
LABELS = {
    (name, dialect): f"{name.partition('-')[0]} {upstream}→{dialect}"
    for name, (upstream, dialects) in TRANSLATORS.items()
    for dialect in dialects
}
"""What the tables call a path that translates."""
NAMES = ("direct", *PROGRAMS, *RELAYS, "litellm")
CONNECTIONS = 4096  # room for 400 clients and as many upstream connections, times five
READY_WITHIN = 15.0
ENDED_WITHIN = 3.0
BELOW_EPHEMERAL = (20000, 30000)

NGINX = """\
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.error crit;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    tcp_nodelay on;
    keepalive_timeout 600s;
    keepalive_requests 100000000;
    client_body_temp_path {folder}/nginx.body;
    proxy_temp_path {folder}/nginx.proxy;
    fastcgi_temp_path {folder}/nginx.fastcgi;
    uwsgi_temp_path {folder}/nginx.uwsgi;
    scgi_temp_path {folder}/nginx.scgi;
    upstream engine {{
        server 127.0.0.1:{upstream};
        keepalive 512;
        keepalive_requests 100000000;
        keepalive_timeout 600s;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://engine;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_read_timeout 600s;
            proxy_send_timeout 600s;
        }}
    }}
}}
"""

HAPROXY = """\
global
    nbthread 1
    maxconn {maxconn}
defaults
    mode http
    option http-no-delay
    option abortonclose
    http-reuse always
    timeout connect 5s
    timeout client 600s
    timeout server 600s
    timeout http-request 600s
    timeout http-keep-alive 600s
frontend clients
    bind 127.0.0.1:{port} backlog 4096
    maxconn {maxconn}
    default_backend engine
backend engine
    server engine 127.0.0.1:{upstream}
"""


class ProcessError(Exception):
    """A proxy or one of the bench's own processes did not come up, or went down."""


@dataclass(slots=True)
class Way:
    """One running way to the upstream. `direct` has no process."""

    name: str
    port: int
    process: subprocess.Popen[bytes] | None = None
    log: Path = Path(os.devnull)
    start: dict[str, float] = field(default_factory=dict)

    def pids(self) -> list[int]:
        """The processes whose CPU time and memory are this path's."""
        if self.process is None:
            return []
        if self.process.poll() is not None:
            raise ProcessError(f"{self.name} ended with {self.process.returncode}: {self.last_words()}")
        return procfs.family(self.process.pid)

    def last_words(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]


def versions(names: list[str]) -> list[str]:
    """What is measured, each program once."""
    found = {name: procfs.version_of([_binary(name) or name, "-v"]) for name in names if name in PROGRAMS}
    if {*names} & {*RELAYS}:
        command = [sys.executable, "-c", "import relay; print('relay', relay.__version__)"]
        found["relay"] = procfs.version_of(command)
    if "litellm" in names:
        found["litellm"] = litellm_proxy.version()
    return list(found.values())


def start(name: str, upstream: int, cpu: int, folder: Path, *, connections: int, relay_args: str) -> Way:
    """Starts one path and waits for its first response; the times and the memory of that go into `start`."""
    if name == "direct":
        return Way(name, upstream)
    port = free_port()
    home = folder / f"{name}-{port}"
    home.mkdir()
    command = _command(name, upstream, port, home, connections, relay_args)
    log = home / "stderr"
    environment = litellm_proxy.environment() if name == "litellm" else None
    began = time.monotonic()
    with pinned({cpu}), log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=ROOT,
            env=environment,
            process_group=0,
        )
    way = Way(name, port, process, log)
    try:
        _wait_ready(way, began)
    except BaseException:
        end(way)
        raise
    return way


def end(way: Way) -> None:
    """Ends the path's processes by their ids: asked first, killed if that does not help."""
    if way.process is None:
        return
    pids = procfs.family(way.process.pid)
    way.process.send_signal(signal.SIGTERM)
    try:
        way.process.wait(ENDED_WITHIN)
    except subprocess.TimeoutExpired:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        way.process.wait()


@contextlib.contextmanager
def pinned(cpus: set[int]) -> Iterator[None]:
    """This process, and so what it starts meanwhile, on these cores only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def free_port() -> int:
    """A port nobody listens on, below the range from which the kernel numbers outgoing connections."""
    for port in random.sample(range(*BELOW_EPHEMERAL), 200):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise ProcessError("no free port on 127.0.0.1")


def _binary(name: str) -> str | None:
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def _command(name: str, upstream: int, port: int, home: Path, connections: int, relay_args: str) -> list[str]:
    if name in RELAYS:
        relay_args = f"{RELAYS[name]} {relay_args}"
        ends = ["--upstream", f"http://127.0.0.1:{upstream}", "--listen", f"127.0.0.1:{port}"]
        return [sys.executable, "-m", "relay", "serve", *ends, *shlex.split(relay_args)]
    if name == "litellm":
        return litellm_proxy.command(upstream, port, home)
    binary = _binary(name)
    if binary is None:
        raise ProcessError(f"{name} is not installed; leave it out with --only")
    config = home / f"{name}.conf"
    if name == "nginx":
        # Below a sixteenth of free slots nginx drops connections it has just accepted.
        slots = connections * 9 // 8
        config.write_text(NGINX.format(folder=home, connections=slots, port=port, upstream=upstream))
        return [binary, "-p", str(home), "-c", str(config), "-e", str(home / "nginx.error")]
    config.write_text(HAPROXY.format(maxconn=connections // 2, port=port, upstream=upstream))
    return [binary, "-db", "-f", str(config)]


def _wait_ready(way: Way, began: float) -> None:
    """Asks every millisecond until a whole response came; for relay also until its `ready` line is there.

    The line is looked for between the questions, so its time is an upper bound.
    """
    process = way.process
    assert process is not None
    wanted = {"response_s", "ready_line_s"} if way.name in RELAYS else {"response_s"}
    script, dialects = TRANSLATORS.get(way.name, ("chat", ("chat",)))
    question = request("stream", 1, 1, 0, script=script, dialect=dialects[0])
    within = litellm_proxy.READY_WITHIN if way.name == "litellm" else READY_WITHIN
    while not wanted <= way.start.keys():
        if "ready_line_s" in wanted - way.start.keys() and _says_ready(way.log):
            way.start["ready_line_s"] = time.monotonic() - began
        if "response_s" not in way.start and _answers(way.port, question, within):
            way.start["response_s"] = time.monotonic() - began
        if process.poll() is not None or time.monotonic() - began > within:
            missing = ", ".join(sorted(wanted - way.start.keys()))
            raise ProcessError(f"{way.name} did not start ({missing}): {way.last_words()}")
        time.sleep(0.001)
    way.start.update({name: float(value) for name, value in procfs.memory(way.pids()).items()})
    way.start["processes"] = len(way.pids())


def _says_ready(log: Path) -> bool:
    return any(line.startswith("ready") for line in log.read_text(errors="replace").splitlines())


def _answers(port: int, question: bytes, within: float) -> bool:
    data = b""
    try:
        with socket.create_connection(("127.0.0.1", port), within) as sock:
            sock.sendall(question)
            while not data.endswith(LAST_CHUNK):
                piece = sock.recv(16384)
                if not piece:
                    return False
                data += piece
    except OSError:
        return False
    return data.startswith(OK)
