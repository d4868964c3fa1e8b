"""Sockets that were handed over and news for the service manager, over real descriptors and datagrams."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from net.kit import ScriptedUpstream, Wire, echo, get, post, until
from net.process import fails, serving

from relay.errors import UsageError
from relay.systemd import Notifier, activated

HAND_OVER = """\
import os, sys
names, *given = sys.argv[1].split()
given = [os.dup(int(fd)) for fd in given]
for at, fd in enumerate(given):
    os.dup2(fd, 3 + at)
    os.set_inheritable(3 + at, True)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(given)), "LISTEN_FDNAMES": names}
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""
NOWHERE = "http://127.0.0.1:9"


def receiving(names: str, *descriptors: int) -> tuple[str, ...]:
    """A program that becomes relay with these descriptors, as systemd passes them."""
    given = " ".join(map(str, [names, *descriptors]))
    return (sys.executable, "-c", HAND_OVER, given, "-m", "relay", "serve")


@contextlib.contextmanager
def listening(address: str | bytes | tuple[str, int]) -> Iterator[socket.socket]:
    family = socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.bind(address)
        sock.listen()
        yield sock


@contextlib.contextmanager
def connected(sock: socket.socket) -> Iterator[Wire]:
    with socket.socket(sock.family, socket.SOCK_STREAM) as client:
        client.connect(sock.getsockname())
        yield Wire(client)


async def body_over(sock: socket.socket, request: bytes) -> bytes:
    with connected(sock) as wire:
        await wire.send(request)
        return (await wire.message()).body


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    upstream = ScriptedUpstream.tcp()
    upstream.serve(echo)
    yield upstream
    await upstream.close()


# --- sockets ----------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_sockets_that_were_handed_over_replace_those_asked_for(
    upstream: ScriptedUpstream, tmp_path: Path, workers: str
) -> None:
    name = b"\0relay-test-%d" % os.getpid()
    unasked = tmp_path / "unasked"
    path = tmp_path / "handed"
    with listening(("127.0.0.1", 0)) as tcp, listening(name) as abstract, listening(str(path)) as unix:
        fds = [sock.fileno() for sock in (tcp, abstract, unix)]
        given = {"program": receiving("a:b:c", *fds), "pass_fds": fds, "listen": (f"unix:{unasked}",)}
        async with serving(upstream.url, "--workers", workers, **given) as process:
            banner = "\n".join(process.banner)
            assert f"listening on http://127.0.0.1:{tcp.getsockname()[1]}\n" in banner
            assert f"listening on unix:@relay-test-{os.getpid()}\n" in banner
            assert f"listening on unix:{path}\n" in banner
            assert not unasked.exists()
            for sock in (tcp, abstract, unix):
                assert await body_over(sock, post(b"hello")) == b"hello"
            process.signal(signal.SIGHUP)
            await process.said("reloaded")
            for sock in (tcp, abstract, unix):
                assert await body_over(sock, post(b"hello")) == b"hello"
            process.signal(signal.SIGTERM)
            assert await process.ended() == 0
    assert path.exists()  # whoever made it may hand it to the next


async def test_a_socket_by_the_name_of_admin_is_for_health(upstream: ScriptedUpstream) -> None:
    with listening(("127.0.0.1", 0)) as admin:
        fds = [admin.fileno()]
        given = {"program": receiving("admin", *fds), "pass_fds": fds}
        async with serving(upstream.url, "--admin", "127.0.0.1:0", **given) as process:
            assert process.admin_port == admin.getsockname()[1]
            assert b"alive" in await body_over(admin, get(b"/healthz"))
            client = await process.connect()  # the other listener is still the one that was asked for
            await client.send(post(b"hello"))
            assert (await client.message()).body == b"hello"


@pytest.mark.skipif(shutil.which("systemd-socket-activate") is None, reason="there is no systemd here")
async def test_the_first_client_of_a_socket_unit_starts_relay(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    path = tmp_path / "relay.sock"
    manager = ("systemd-socket-activate", "--listen", str(path), "--fdname", "clients")
    program = (*manager, sys.executable, "-m", "relay", "serve")
    async with contextlib.AsyncExitStack() as stack:
        with socket.socket(socket.AF_UNIX) as client:
            started = stack.enter_async_context(serving(upstream.url, program=program))
            waiting = asyncio.ensure_future(started)
            await until(lambda: client.connect_ex(str(path)) == 0)
            process = await waiting
            wire = Wire(client)
            await wire.send(post(b"hello"))
            assert (await wire.message()).body == b"hello"
            process.signal(signal.SIGTERM)
            assert await process.ended() == 0


async def test_what_is_no_listening_socket_is_refused(tmp_path: Path) -> None:
    with open(os.devnull) as file, socket.socket() as idle:
        for fd, complaint in [(file.fileno(), "is no socket"), (idle.fileno(), "does not listen")]:
            given = {"program": receiving("a", fd), "pass_fds": [fd]}
            code, err = await fails("--upstream", NOWHERE, **given)
            assert code == 2
            assert len(err.splitlines()) == 1
            assert complaint in err


def test_what_is_meant_for_another_process_is_left_alone() -> None:
    environment = {"LISTEN_PID": "1", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b", "HOME": "/"}
    assert activated(environment) == []
    assert environment == {"HOME": "/"}  # and no child takes it for its own
    assert activated({}) == []


def test_a_count_that_is_none() -> None:
    with pytest.raises(UsageError, match="LISTEN_FDS=two"):
        activated({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "two"})


# --- news -------------------------------------------------------------------------------------


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A service manager's socket, and how its environment variable names it."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@relay-notify-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + name[1:] if name.startswith("@") else name)
        sock.settimeout(5)
        yield sock, name


def test_every_message(manager: tuple[socket.socket, str]) -> None:
    sock, name = manager
    environment = {"NOTIFY_SOCKET": name, "HOME": "/"}
    notifier = Notifier.of(environment)
    assert environment == {"HOME": "/"}
    assert notifier.watchdog == 0
    notifier.ready("serving")
    assert sock.recv(4096) == b"READY=1\nSTATUS=serving"
    notifier.reloading()
    first, second, third = sock.recv(4096).decode().split("\n")
    assert (first, third) == ("RELOADING=1", "STATUS=reloading")
    assert second.removeprefix("MONOTONIC_USEC=").isdecimal()
    notifier.stopping("draining")
    assert sock.recv(4096) == b"STOPPING=1\nSTATUS=draining"
    notifier.alive()
    assert sock.recv(4096) == b"WATCHDOG=1"


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [
        ("30000000", None, 15.0),
        ("30000000", str(os.getpid()), 15.0),
        ("30000000", "1", 0.0),
        ("soon", None, 0.0),
        ("0", None, 0.0),
    ],
)
def test_signs_of_life_at_half_the_interval(usec: str, pid: str | None, seconds: float) -> None:
    environment = {"NOTIFY_SOCKET": "@nobody", "WATCHDOG_USEC": usec}
    if pid is not None:
        environment["WATCHDOG_PID"] = pid
    assert Notifier.of(environment).watchdog == seconds
    assert environment == {}


def test_without_a_manager_nothing_happens() -> None:
    notifier = Notifier.of({"WATCHDOG_USEC": "1000"})
    assert notifier.watchdog == 0
    notifier.ready("serving")
    Notifier.of({"NOTIFY_SOCKET": "/no/such/socket"}).ready("serving")
