"""``relay serve`` from the outside: what it says, how it starts, fails, drains and is kept alive."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
from pathlib import Path

import pytest

from .kit import EVENT_STREAM, Ended, ScriptedUpstream, Wire, answer, chunk, echo, get, post, until
from .process import SERVE, Process, fails, serving
from .test_checked_streams import BEGUN, PATHS, ask, events, failed

NOWHERE = "http://127.0.0.1:9"


async def test_the_start_up_lines(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    path = tmp_path / "relay.sock"
    listen = ("127.0.0.1:0", "[::1]:0", f"unix:{path}")
    async with serving(upstream.url + "/base", listen=listen) as process:
        lines = process.banner
        assert len(lines) == 5
        assert " listening on http://127.0.0.1:" in lines[0]
        assert " listening on http://[::1]:" in lines[1]
        assert lines[2].endswith(f" listening on unix:{path}")
        assert lines[3] == f"forwarding to {upstream.url}/base"
        assert lines[4].startswith("ready in ")
        upstream.serve(echo)
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(path))
        wire = Wire(sock)
        await wire.send(post(b"over a unix socket"))
        assert (await wire.message()).body == b"over a unix socket"
        wire.close()
        process.signal(signal.SIGTERM)
        assert await process.ended() == 0
    assert not path.exists()


async def test_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, err = await fails("--upstream", NOWHERE, "--listen", f"127.0.0.1:{port}")
    assert code == 2
    assert len(err.splitlines()) == 1
    assert f"127.0.0.1:{port}" in err


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_port_that_another_relay_has(upstream: ScriptedUpstream, workers: str) -> None:
    async with serving(upstream.url, "--workers", workers) as process:
        address = f"127.0.0.1:{process.port}"
        code, err = await fails("--upstream", upstream.url, "--listen", address, "--workers", "2")
    assert code == 2
    assert len(err.splitlines()) == 1


async def test_certificates_that_cannot_be_read(tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("no certificate")
    for path in (garbage, tmp_path / "none.pem"):
        code, err = await fails("--upstream", "https://127.0.0.1:1", SSL_CERT_FILE=str(path))
        assert code == 2
        assert len(err.splitlines()) == 1
        assert str(path) in err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "nothing says where requests go"),
        (["--upstream", "http://no-such-host.invalid"], "no-such-host.invalid"),
        (["--upstream", "ftp://127.0.0.1"], "ftp://127.0.0.1"),
        (["--upstream", "127.0.0.1:8000"], "127.0.0.1:8000"),
        (["--upstream", "http://127.0.0.1:99999"], "99999"),
        (["--upstream", "unix:"], "unix:"),
        (["--upstream", NOWHERE, "--listen", "8787"], "8787"),
        (["--upstream", NOWHERE, "--listen", "127.0.0.1:70000"], "70000"),
        (["--upstream", NOWHERE, "--listen", "unix:/no/such/folder/x.sock"], "/no/such/folder/x.sock"),
        (["--upstream", NOWHERE, "--workers", "0"], "--workers 0"),
        (["--upstream", NOWHERE, "--drain", "30"], "30"),
    ],
)
async def test_what_cannot_be_used_is_one_line_and_code_2(arguments: list[str], named: str) -> None:
    code, err = await fails(*arguments)
    assert code == 2
    assert len(err.splitlines()) == 1, err
    assert err.startswith("relay: ")
    assert named in err


async def test_a_flag_that_there_is_not() -> None:
    code, err = await fails("--upstream", NOWHERE, "--no-such-flag")
    assert code == 2
    assert "error: " in err.splitlines()[-1]
    assert "Traceback" not in err


async def test_a_dead_unix_socket_is_replaced_and_a_live_one_is_not(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    path = tmp_path / "relay.sock"
    left_over = socket.socket(socket.AF_UNIX)
    left_over.bind(str(path))
    left_over.close()
    async with serving(upstream.url, listen=(f"unix:{path}",)):
        code, err = await fails("--upstream", upstream.url, "--listen", f"unix:{path}")
        assert code == 2
        assert str(path) in err
        assert path.exists()


async def stream(process: Process, upstream: ScriptedUpstream) -> tuple[Wire, Wire]:
    """A live stream through the process, its first frame received."""
    client, peer, _ = await stream_of_worker(process, upstream)
    return client, peer


async def stream_of_worker(process: Process, upstream: ScriptedUpstream) -> tuple[Wire, Wire, bytes]:
    """The same, and what the ids of the worker that serves it begin with."""
    client = await process.connect()
    await client.send(post(b"{}", target=b"/events"))
    peer = await upstream.accept()
    await peer.message()
    await peer.send(EVENT_STREAM + chunk(b"data: 1\n\n"))
    name = (await client.head())[b"x-relay-id"]
    assert name is not None
    assert await client.chunk() == b"data: 1\n\n"
    return client, peer, name.split(b"-")[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", ["1", "2"])
async def test_live_streams_are_drained(
    upstream: ScriptedUpstream, number: signal.Signals, workers: str
) -> None:
    async with serving(upstream.url, "--workers", workers) as process:
        client, peer = await stream(process, upstream)
        idle = await process.connect()
        process.signal(number)
        await process.said("draining")
        assert await idle.rest() == b""
        await peer.send(chunk(b"data: 2\n\n"))
        assert await client.chunk() == b"data: 2\n\n"
        await peer.send(b"0\r\n\r\n")
        assert await client.chunk() == b""
        assert await process.ended() == 0
        assert await client.rest() == b"\r\n"


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_nothing_is_accepted_while_draining(upstream: ScriptedUpstream, workers: str) -> None:
    async with serving(upstream.url, "--workers", workers) as process:
        serving_one = set()
        while len(serving_one) < int(workers):  # until each has a stream to drain
            serving_one.add((await stream_of_worker(process, upstream))[2])
        process.signal(signal.SIGTERM)
        for _ in range(int(workers)):
            await process.said("draining")
        with pytest.raises(ConnectionError):
            await process.connect()


async def asked(process: Process, path: bytes) -> tuple[int, bytes]:
    """What the admin listener says."""
    wire = await process.connect(process.admin_port)
    await wire.send(get(path))
    message = await wire.message()
    return message.status, message.body


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_until_the_delay_is_over_requests_are_served_but_not_wanted(
    upstream: ScriptedUpstream, workers: str
) -> None:
    upstream.serve(echo)
    flags = ("--admin", "127.0.0.1:0", "--drain-delay", "1h", "--workers", workers)
    async with serving(upstream.url, *flags) as process:
        kept = await process.connect()
        assert await asked(process, b"/readyz") == (200, b'{"status":"ready"}\n')
        process.signal(signal.SIGTERM)
        unready = (503, b'{"status":"unready","reason":"draining"}\n')
        in_a_row = 0
        while in_a_row < 8:  # until every worker says so
            in_a_row = in_a_row + 1 if await asked(process, b"/readyz") == unready else 0
        assert (await asked(process, b"/healthz"))[0] == 200
        for _ in range(4):
            await answered(process)
        for _ in range(2):  # on a connection that is kept
            await kept.send(post(b"hello"))
            assert (await kept.message()).head[b"connection"] is None
        process.signal(signal.SIGTERM)
        assert await process.ended() == 130


async def test_after_the_delay_streams_run_on(upstream: ScriptedUpstream) -> None:
    async with serving(upstream.url, "--drain-delay", "50ms", "--admin", "127.0.0.1:0") as process:
        client, peer = await stream(process, upstream)
        idle = await process.connect()
        process.signal(signal.SIGTERM)
        await process.said("draining")
        assert await idle.rest() == b""
        with pytest.raises(ConnectionError):
            await process.connect()
        assert (await asked(process, b"/readyz"))[0] == 503
        await peer.send(chunk(b"data: 2\n\n") + b"0\r\n\r\n")
        assert await client.chunk() == b"data: 2\n\n"
        assert await client.rest() == b"0\r\n\r\n"
        assert await process.ended() == 0


async def test_an_interrupt_skips_the_delay(upstream: ScriptedUpstream) -> None:
    async with serving(upstream.url, "--drain-delay", "1h") as process:
        process.signal(signal.SIGINT)
        assert await process.ended() == 0


async def test_a_service_manager_may_tell_every_process(upstream: ScriptedUpstream) -> None:
    """systemd does (KillMode=control-group): a worker that hears it twice must not take it for impatience."""
    async with serving(upstream.url, "--workers", "2") as process:
        client, peer = await stream(process, upstream)
        for pid in [*process.workers(), process.pid, *process.workers()]:
            os.kill(pid, signal.SIGTERM)
        for pid in process.workers():
            os.kill(pid, signal.SIGHUP)
        await process.said("draining")
        await peer.send(chunk(b"data: 2\n\n") + b"0\r\n\r\n")
        assert await client.chunk() == b"data: 2\n\n"
        assert await client.rest() == b"0\r\n\r\n"
        assert await process.ended() == 0


async def test_not_ready_while_no_upstream_is_well(upstream: ScriptedUpstream) -> None:
    well = False

    async def health(wire: Wire) -> None:
        await wire.message()
        await wire.send(answer(b"", status=b"200 OK" if well else b"500 Oops"))

    upstream.serve(health)
    flags = ("--admin", "127.0.0.1:0", "--health", "interval=10ms fall=1 rise=1")
    async with serving(f"{upstream.url} health=/health", *flags) as process:
        while (said := await asked(process, b"/readyz"))[0] == 200:
            pass
        assert said[1] == b'{"status":"unready","reason":"no upstream is well"}\n'
        well = True
        while (await asked(process, b"/readyz"))[0] == 503:
            pass


async def test_the_drain_limit_cuts_the_rest(upstream: ScriptedUpstream) -> None:
    async with serving(upstream.url, "--drain", "200ms") as process:
        client, peer = await stream(process, upstream)
        process.signal(signal.SIGTERM)
        assert await process.ended() == 0
        assert await client.rest() == b""  # no last chunk
        await peer.gone()


@pytest.mark.parametrize("dialect", PATHS)
async def test_a_stream_that_the_drain_limit_cuts_ends_with_the_error_of_its_dialect(
    upstream: ScriptedUpstream, dialect: str
) -> None:
    async with serving(upstream.url, "--drain", "200ms") as process:
        client = await process.connect()
        await client.send(ask(dialect))
        peer = await upstream.accept()
        await peer.message()
        await peer.send(EVENT_STREAM + chunk(BEGUN[dialect]))
        await client.head()
        body = await client.chunk()
        process.signal(signal.SIGTERM)
        while part := await client.chunk():
            body += part
        assert "shutting down" in failed(dialect, events(body))
        assert await client.trailers() == []
        assert await client.rest() == b""
        assert await process.ended() == 0
        await peer.gone()


async def test_a_request_that_the_drain_limit_cuts_before_its_answer_gets_a_503(
    upstream: ScriptedUpstream,
) -> None:
    async with serving(upstream.url, "--drain", "200ms") as process:
        client = await process.connect()
        await client.send(ask())
        await (await upstream.accept()).message()
        process.signal(signal.SIGTERM)
        assert (await client.message()).status == 503
        assert await process.ended() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_second_signal_ends_at_once(upstream: ScriptedUpstream, workers: str) -> None:
    async with serving(upstream.url, "--drain", "1h", "--workers", workers) as process:
        client, _ = await stream(process, upstream)
        process.signal(signal.SIGTERM)
        await process.said("draining")
        process.signal(signal.SIGTERM)
        assert await process.ended() == 130
        assert await client.rest() == b""


async def answered(process: Process) -> None:
    """One request on a connection of its own."""
    client = await process.connect()
    await client.send(post(b"hello"))
    assert (await client.message()).body == b"hello"
    client.close()


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_killed_worker_takes_only_its_own_streams_along(
    upstream: ScriptedUpstream, workers: int
) -> None:
    async with serving(upstream.url, "--workers", str(workers)) as process:
        streams: dict[bytes, tuple[Wire, Wire]] = {}
        while len(streams) < workers:
            client, peer, name = await stream_of_worker(process, upstream)
            streams[name] = client, peer
        rest = chunk(b"data: 2\n\n") + b"0\r\n\r\n"
        victim = process.workers()[0]
        os.kill(victim, signal.SIGKILL)
        await process.said(rf"worker {victim} ended \(-9\); starting another")
        lost = 0
        for client, peer in streams.values():
            with contextlib.suppress(ConnectionError):
                await peer.send(rest)
            try:
                assert await client.read_exactly(len(rest)) == rest
            except (Ended, ConnectionError):
                lost += 1
        assert lost == 1
        served = set()
        while len(served) < workers:
            served.add((await stream_of_worker(process, upstream))[2])
        assert len(served - set(streams)) == 1


async def test_two_workers_both_serve_and_a_killed_one_is_replaced(upstream: ScriptedUpstream) -> None:
    upstream.serve(echo)
    async with serving(upstream.url, "--workers", "2") as process:
        assert any("2 workers" in line for line in process.banner)
        first = set(process.workers())
        assert len(first) == 2
        prefixes = set()
        while len(prefixes) < 2:  # the kernel spreads connections over both sockets
            client = await process.connect()
            await client.send(get())
            name = (await client.message()).head[b"x-relay-id"]
            assert name is not None
            prefixes.add(name.split(b"-")[0])
            client.close()
        victim = min(first)
        os.kill(victim, signal.SIGKILL)
        assert (await process.said(r"worker (\d+) ended"))[1] == str(victim)
        # Connections that queue for the dead one are served by the one that takes its place.
        await asyncio.gather(*(answered(process) for _ in range(20)))
        await until(lambda: len(process.workers()) == 2)
        assert victim not in process.workers()
        process.signal(signal.SIGTERM)
        assert await process.ended() == 0


async def test_workers_may_have_all_the_descriptors_that_the_system_allows(
    upstream: ScriptedUpstream,
) -> None:
    program = ("bash", "-c", 'ulimit -Sn 256 && ulimit -Hn 3000 && exec "$@"', "bash", *SERVE)
    async with serving(upstream.url, program=program) as process:
        (worker,) = process.workers()
        limits = Path(f"/proc/{worker}/limits").read_text()
        assert re.search(r"^Max open files +3000 +3000 ", limits, re.MULTILINE)


async def test_workers_hear_of_an_interrupt_once_through_the_supervisor(upstream: ScriptedUpstream) -> None:
    """Ctrl-C goes to a whole process group: a worker in it would take the second signal for impatience."""
    async with serving(upstream.url, "--workers", "2") as process:
        assert {os.getpgid(pid) for pid in process.workers()}.isdisjoint({os.getpgid(process.pid)})
        client, _ = await stream(process, upstream)
        process.signal(signal.SIGINT)
        await process.said("draining")
        assert not client.waiting().endswith(b"0\r\n\r\n")
        client.close()
        assert await process.ended() == 0


@pytest.mark.parametrize("delay", ["none", "1h"])
async def test_a_dead_supervisor_takes_its_workers_along(upstream: ScriptedUpstream, delay: str) -> None:
    async with serving(upstream.url, "--workers", "2", "--drain-delay", delay) as process:
        workers = process.workers()
        process.signal(signal.SIGKILL)
        assert await process.ended() == -signal.SIGKILL
        await until(lambda: not any(map(runs, workers)))


def runs(pid: int) -> bool:
    """False for one that nobody has waited for yet, too."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
