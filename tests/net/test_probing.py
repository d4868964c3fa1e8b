"""Targets are asked for their health path: what counts as well, how often, and what it leaves alone."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from relay.address import Origin
from relay.config import Health, Settings, Upstream
from relay.errors import Busy
from relay.net.pool import Pool
from relay.net.probing import Dial, Probes
from relay.net.upstream import UpstreamConnection
from relay.routing import Target, Targets, servers

from .kit import ScriptedUpstream, Wire, answer, until, within

OFTEN = Health(interval=0.01, timeout=10.0, rise=1, fall=1)

Watch = Callable[..., "Watched"]


class Watched:
    """Targets that are being asked."""

    def __init__(self, upstreams: list[Upstream], health: Health, dial: Dial | None) -> None:
        loop = asyncio.get_running_loop()
        settings = Settings(upstreams=tuple(upstreams), health=health)
        self.pool = Pool(loop, settings, None)
        self.targets = Targets(map(Target, servers(upstreams, health)))
        self.probes = Probes(loop, self.targets, dial or self.pool.dial, health)
        self.probes.start()

    @property
    def target(self) -> Target:
        return next(iter(self.targets))

    async def close(self) -> None:
        self.probes.close()
        await until(lambda: self.pool.open_count == 0)
        self.pool.close()


@pytest.fixture
async def watch(quiet: None) -> AsyncIterator[Watch]:
    """``watch(url, ...)``: ask that upstream, or those, for ``/health``."""
    running: list[Watched] = []

    def start(
        *urls: str, settings: Health = OFTEN, path: str = "/health", dial: Dial | None = None
    ) -> Watched:
        upstreams = [replace(Upstream.parse(url), health=path) for url in urls]
        running.append(Watched(upstreams, settings, dial))
        return running[-1]

    yield start
    for one in running:
        await one.close()


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "relay"]


async def asked(upstream: ScriptedUpstream) -> Wire:
    """The next question, its head read and checked."""
    wire = await upstream.accept()
    head = await wire.head()
    assert head.line == b"GET /health HTTP/1.1"
    return wire


# --- the question -------------------------------------------------------------------------------------


async def test_a_get_beside_the_base_path_on_a_connection_of_its_own(
    watch: Watch, upstream: ScriptedUpstream
) -> None:
    watch(f"{upstream.url}/base", path="/health?deep=1")
    for _ in range(2):
        wire = await upstream.accept()
        head = await wire.head()
        assert head.line == b"GET /health?deep=1 HTTP/1.1"
        assert head[b"host"] == upstream.url.removeprefix("http://").encode()
        assert head[b"connection"] == b"close"
        assert head[b"content-length"] is head[b"transfer-encoding"] is None
        await wire.send(answer(b"fine"))
        assert await wire.rest() == b""


async def test_a_unix_socket(watch: Watch, tmp_path: Path) -> None:
    upstream = ScriptedUpstream.unix(str(tmp_path / "model.sock"))
    watched = watch(upstream.url)
    wire = await asked(upstream)
    await wire.send(answer(b"", status=b"500 No"))
    await until(lambda: watched.target.health.unwell)
    await upstream.close()


# --- what is well -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "complaint"),
    [
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "status 404 for GET /health"),
        (b"HTTP/1.1 503 Loading\r\ncontent-length: 0\r\n\r\n", "status 503 for GET /health"),
        (b"HTTP/1.0 500 No\r\n\r\nbody", "status 500 for GET /health"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 429 Busy\r\n\r\n", "status 429 for GET /health"),
        (b"", "the connection was closed without an answer"),
        (b"HTTP/1.1 200 OK\r\n", "the connection was closed without an answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "malformed head"),
        (b"HTTP/1.1 200 OK\n\n", "a line of the head ends with LF alone"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000, "the head is above 65536 bytes"),
    ],
)
async def test_an_answer_that_says_it_is_not(
    watch: Watch,
    upstream: ScriptedUpstream,
    caplog: pytest.LogCaptureFixture,
    response: bytes,
    complaint: str,
) -> None:
    watched = watch(upstream.url)
    wire = await asked(upstream)
    with contextlib.suppress(ConnectionError):
        await wire.send(response)
    wire.close()
    await until(lambda: watched.target.health.unwell)
    (line,) = lines(caplog)
    assert line.startswith(f"upstream {upstream.url} is unwell: {complaint}")


@pytest.mark.parametrize("status", [b"200 OK", b"204 No Content", b"302 Found", b"399 Odd"])
async def test_an_answer_that_says_it_is(
    watch: Watch, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture, status: bytes
) -> None:
    watched = watch(upstream.url)
    (await asked(upstream)).reset()
    await until(lambda: watched.target.health.unwell)
    wire = await asked(upstream)
    await wire.send(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 " + status + b"\r\n\r\n"
    )
    await until(lambda: not watched.target.health.unwell)
    assert lines(caplog)[1:] == [f"upstream {upstream.url} is well again"]


async def test_an_endless_body_is_not_read(watch: Watch, upstream: ScriptedUpstream) -> None:
    watch(upstream.url)
    wire = await asked(upstream)
    await wire.send(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 10_000)
    await wire.gone()


async def test_nobody_listens(watch: Watch, quiet: None, caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        watched = watch(url)
        await until(lambda: watched.target.health.unwell)
    (line,) = lines(caplog)
    assert line.startswith(f"upstream {url} is unwell: cannot connect to {url}")


async def test_silence(watch: Watch, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture) -> None:
    watched = watch(upstream.url, settings=replace(OFTEN, timeout=0.05))
    wire = await asked(upstream)
    await wire.gone()
    await until(lambda: watched.target.health.unwell)
    assert lines(caplog)[0] == f"upstream {upstream.url} is unwell: no answer to GET /health within 0.05 s"


# --- how often ----------------------------------------------------------------------------------------


async def test_one_question_at_a_time(watch: Watch, upstream: ScriptedUpstream) -> None:
    """A server that hangs gets no heap of them, however short the interval."""
    watched = watch(upstream.url, settings=replace(OFTEN, interval=0.001))
    wire = await asked(upstream)
    await asyncio.sleep(0.05)
    assert upstream.nobody_waits()
    assert watched.pool.open_count == 1
    await wire.send(answer(b""))
    await asked(upstream)


async def test_counts_in_a_row_and_one_line_for_each_change(
    watch: Watch, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    watched = watch(upstream.url, settings=replace(OFTEN, rise=2, fall=3))
    states = []
    for well in (0, 0, 1, 0, 0, 0, 0, 1, 0, 1, 1, 1):
        wire = await asked(upstream)
        await wire.send(answer(b"", status=b"200 OK" if well else b"500 No"))
        await wire.gone()
        await until(lambda: watched.pool.open_count == 0)
        await asyncio.sleep(0)
        states.append(watched.target.health.unwell)
    assert states == [*[False] * 5, *[True] * 5, False, False]
    assert lines(caplog) == [
        f"upstream {upstream.url} is unwell: status 500 for GET /health",
        f"upstream {upstream.url} is well again",
    ]


async def test_only_targets_with_a_path_are_asked(watch: Watch, upstream: ScriptedUpstream) -> None:
    watch(upstream.url, path="")
    await asyncio.sleep(0.05)
    assert upstream.nobody_waits()


async def test_an_interval_of_zero_asks_nobody(watch: Watch, upstream: ScriptedUpstream) -> None:
    watch(upstream.url, settings=replace(OFTEN, interval=0.0))
    await asyncio.sleep(0.05)
    assert upstream.nobody_waits()


async def test_every_target_is_asked_whatever_the_others_do(watch: Watch, upstream: ScriptedUpstream) -> None:
    silent = ScriptedUpstream.tcp()
    watched = watch(silent.url, upstream.url)
    await asked(silent)
    for _ in range(3):
        await (await asked(upstream)).send(answer(b"", status=b"500 No"))
    await until(lambda: [target.health.unwell for target in watched.targets] == [False, True])
    await silent.close()


# --- what it leaves alone -----------------------------------------------------------------------------


async def test_a_question_takes_no_slot_and_no_pooled_connection(
    watch: Watch, upstream: ScriptedUpstream
) -> None:
    watched = watch(upstream.url)
    wire = await asked(upstream)
    assert watched.target.in_flight == 0
    await wire.send(answer(b""))
    await asked(upstream)
    assert watched.pool.idle_count == 0


async def test_when_descriptors_run_out_nothing_is_said_of_the_target(
    watch: Watch, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    calls = []

    async def dial(origin: Origin) -> UpstreamConnection:
        calls.append(origin)
        raise Busy("too many open files")

    watched = watch(upstream.url, dial=dial)
    await until(lambda: len(calls) > 3)
    assert not watched.target.health.unwell
    assert lines(caplog) == []


async def test_a_fault_of_relay_is_said_and_does_not_end_the_questions(
    watch: Watch, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    calls = []

    async def dial(origin: Origin) -> UpstreamConnection:
        calls.append(origin)
        raise ZeroDivisionError

    watched = watch(upstream.url, dial=dial)
    await until(lambda: len(calls) > 2)
    watched.probes.close()
    assert not watched.target.health.unwell
    assert "fault of relay" in lines(caplog)[0]
    caplog.clear()  # an error that was meant


async def test_at_the_end_a_question_under_way_is_dropped(watch: Watch, upstream: ScriptedUpstream) -> None:
    watched = watch(upstream.url)
    wire = await asked(upstream)
    watched.probes.close()
    await within(wire.gone())
    await asyncio.sleep(0.03)
    assert upstream.nobody_waits()
