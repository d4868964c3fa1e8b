"""How clients are accepted: up to a limit, in turn, and calmly when descriptors have run out."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import resource
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from relay.address import ListenAddress, Origin
from relay.config import Limits
from relay.errors import Busy
from relay.net import accepting as module
from relay.net import descriptors
from relay.net.accepting import Places
from relay.net.descriptors import client_limit, none_left, ran_out, shortage
from relay.net.dial import dial
from relay.net.upstream import UpstreamConnection

from .conftest import Serve
from .kit import RunningRelay, ScriptedUpstream, Wire, answer, echo, get, post, until, within
from .listening import ANYWHERE, accepting, acceptor_of, no_descriptor_left, open_descriptors


@pytest.fixture(autouse=True)
def no_shortage() -> Iterator[None]:
    """What one test has run out of does not concern the next."""
    shortage.end()
    yield
    shortage.end()


async def answered(wire: Wire, body: bytes = b"hello") -> None:
    await wire.send(post(body))
    assert (await wire.message()).body == body


# --- how many ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("connections", "nofile", "limit"),
    [
        (0, 1024, 480),
        (0, 20_000, 9968),
        (0, 0, 0),  # no limit on descriptors
        (0, descriptors.RESERVE + 2, 1),
        (0, 16, 1),  # one client is served, however little there is
        (10, 1024, 10),
        (5000, 1024, 5000),  # the operator's word
        (7, 0, 7),
    ],
)
def test_as_many_clients_as_there_are_pairs_of_descriptors(connections: int, nofile: int, limit: int) -> None:
    assert client_limit(Limits(connections=connections), nofile) == limit


async def test_the_limit_of_a_worker_follows_its_descriptors(
    serve: Serve, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await serve(upstream)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1000, before[1]))
    try:
        assert Places.of(running.relay).limit == (1000 - descriptors.RESERVE) // 2
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    assert Places.of(running.relay).limit == 0


# --- at the limit -----------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["tcp", "unix"])
async def test_who_finds_no_place_waits_and_is_served_when_one_leaves(
    serve: Serve, upstream: ScriptedUpstream, tmp_path: Path, family: str
) -> None:
    upstream.serve(echo)
    at = ANYWHERE if family == "tcp" else ListenAddress(path=str(tmp_path / "relay.sock"))
    running = await accepting(serve, upstream, at=at, limits=Limits(connections=2))
    one, two, three = [await running.connect() for _ in range(3)]
    await three.send(post(b"waiting"))
    for _ in range(5):
        await answered(one)
        await answered(two)
    assert three.waiting() == b""
    assert len(running.relay.clients) == 2
    two.close()
    assert (await three.message()).body == b"waiting"
    await answered(one)


async def test_a_client_that_leaves_while_it_waits_takes_no_place(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    upstream.serve(echo)
    running = await accepting(serve, upstream, limits=Limits(connections=1))
    one = await running.connect()
    await answered(one)
    for impatient in [await running.connect() for _ in range(5)]:
        impatient.reset()
    last = await running.connect()
    await last.send(post(b"last"))
    one.close()
    assert (await last.message()).body == b"last"


async def test_none_is_lost_of_a_burst_far_beyond_the_limit(serve: Serve, upstream: ScriptedUpstream) -> None:
    most = 0

    async def count(wire: Wire) -> None:
        nonlocal most
        while True:
            request = await wire.message()
            most = max(most, len(running.relay.clients))
            await wire.send(answer(request.body))

    async def one(number: int) -> bytes:
        client = await running.connect()
        await client.send(post(b"%d" % number, b"connection: close"))
        body = (await client.message()).body
        assert await client.read_to_end() == b""
        return body

    upstream.serve(count)
    running = await accepting(serve, upstream, limits=Limits(connections=10))
    bodies = await within(asyncio.gather(*map(one, range(500))))
    assert bodies == [b"%d" % number for number in range(500)]
    assert 1 < most <= 10


async def second_door(running: RunningRelay) -> RunningRelay:
    """Another listening socket of the same relay, with the same places."""
    sock = socket.create_server(("127.0.0.1", 0), backlog=100)
    other = module.Acceptor(running.relay, sock, None, acceptor_of(running)._places)
    await other.start()
    return RunningRelay(running.relay, other, sock.family, sock.getsockname(), running.wires)  # type: ignore[arg-type]


async def test_two_listeners_share_the_places_and_take_turns(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    upstream.serve(echo)
    running = await accepting(serve, upstream, limits=Limits(connections=1))
    other = await second_door(running)
    holder = await running.connect()
    await answered(holder)
    served: list[str] = []

    async def one(client: Wire, name: str) -> None:
        await client.send(post(b"x", b"connection: close"))
        await client.message()
        served.append(name)
        client.close()

    queue = [(await door.connect(), name) for door, name in ((running, "a"), (other, "b")) * 5]
    waiting = [asyncio.ensure_future(one(client, name)) for client, name in queue]
    await until(lambda: len(acceptor_of(running)._places._waiting) == 2)
    await answered(holder)
    assert served == []
    holder.close()
    await within(asyncio.gather(*waiting))
    assert "".join(served) in ("ababababab", "bababababa")
    other.server.close()


async def test_a_listener_that_waits_can_be_closed(serve: Serve, upstream: ScriptedUpstream) -> None:
    upstream.serve(echo)
    running = await accepting(serve, upstream, limits=Limits(connections=1))
    one = await running.connect()
    await answered(one)
    two = await running.connect()
    await two.send(get())
    await answered(one)
    running.server.close()
    one.close()
    assert await two.rest() == b""
    with pytest.raises(ConnectionError):
        await running.connect()


async def test_the_limit_is_said_once(
    serve: Serve, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.serve(echo)
    running = await accepting(serve, upstream, limits=Limits(connections=1))
    for _ in range(10):
        one, two = await running.connect(), await running.connect()
        await answered(one)
        one.close()
        await answered(two)
        two.close()
    said = [record.getMessage() for record in caplog.records if "accepted" in record.getMessage()]
    assert said == ["1 clients, no more are accepted until one leaves"]


# --- nothing left -----------------------------------------------------------------------------


async def test_accepting_goes_on_by_itself_when_there_are_descriptors_again(
    serve: Serve,
    upstream: ScriptedUpstream,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.02)
    upstream.serve(echo)
    running = await accepting(serve, upstream)
    here = await running.connect()
    await answered(here)
    late = await running.connect()  # its socket is made before
    late.close()
    with contextlib.closing(socket.socket()) as sock:
        sock.setblocking(False)
        with no_descriptor_left():
            sock.connect_ex(running.address)
            wire = Wire(sock)
            await wire.send(post(b"late"))
            await until(lambda: any("descriptor" in line for line in caplog.messages))
            await asyncio.sleep(0.1)  # several tries
            assert wire.waiting() == b""
            await answered(here)
        assert (await wire.message()).body == b"late"
    assert len([line for line in caplog.messages if "descriptor" in line]) == 1


async def test_a_client_that_leaves_ends_the_pause_at_once(
    serve: Serve,
    upstream: ScriptedUpstream,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(module, "PAUSE", 3600.0)
    upstream.serve(echo)
    running = await accepting(serve, upstream)
    here = await running.connect()
    await answered(here)
    with contextlib.closing(socket.socket()) as sock:
        sock.setblocking(False)
        with no_descriptor_left():
            sock.connect_ex(running.address)
            await until(lambda: any("descriptor" in line for line in caplog.messages))
        wire = Wire(sock)
        await wire.send(post(b"late"))
        here.close()
        assert (await wire.message()).body == b"late"


@pytest.mark.parametrize("kind", ["tcp", "unix", "name"])
async def test_a_dial_without_a_descriptor_is_not_the_upstreams_fault(
    upstream: ScriptedUpstream, tmp_path: Path, kind: str
) -> None:
    loop = asyncio.get_running_loop()
    unix = ScriptedUpstream.unix(str(tmp_path / "up.sock"))
    origin = {
        "tcp": Origin("127.0.0.1", upstream.port),
        "unix": Origin("localhost", 0, path=unix.url.removeprefix("unix:")),
        "name": Origin("relay.invalid", upstream.port),
    }[kind]
    await loop.run_in_executor(
        None, int
    )  # the resolver's thread needs no descriptor, but its first start may
    before = open_descriptors()
    with no_descriptor_left():
        assert none_left()
        with pytest.raises(Busy) as caught:
            await dial(
                origin,
                lambda: UpstreamConnection(loop, origin, Limits(), lambda _: None),
                timeout=5,
                tls=None,
            )
    assert caught.value.status == 503
    assert caught.value.retry_after == "1"
    assert open_descriptors() == before
    assert not none_left()
    assert 0 < shortage.left(loop.time()) <= descriptors.PAUSE
    await unix.close()


async def test_what_the_first_address_says_matters_less_than_that_we_ran_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or the health of an upstream would suffer that was not even asked."""

    async def fails(error: OSError) -> UpstreamConnection:
        raise error

    from relay.net import dial as dialling

    refused, out = ConnectionRefusedError(111, "refused"), OSError(24, "Too many open files")
    with pytest.raises(OSError, match="Too many"):
        await dialling._first([fails(refused), fails(out)])
    assert ran_out(out)
    assert not ran_out(refused)


async def test_accepting_pauses_when_a_dial_has_found_no_descriptor(
    serve: Serve, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is free next is for those who are here already."""
    monkeypatch.setattr(descriptors, "PAUSE", 0.3)
    running = await accepting(serve, upstream)
    here = await running.connect()
    with no_descriptor_left():
        await here.send(get())
        response = await here.message()
    assert response.status == 503
    assert response.head[b"retry-after"] == b"1"
    assert json.loads(response.body)["error"]["code"] == "busy"
    upstream.serve(echo)
    started = asyncio.get_running_loop().time()
    new = await running.connect()
    await new.send(post(b"new"))
    await answered(here)
    assert len(running.relay.clients) == 1
    assert (await new.message()).body == b"new"
    assert asyncio.get_running_loop().time() - started > 0.2


class Worker:
    """``accepting_worker.py`` as a process."""

    def __init__(self, child: asyncio.subprocess.Process, port: int, nofile: int) -> None:
        self.child = child
        self.port = port
        self.nofile = nofile
        self.wires: list[Wire] = []

    async def connect(self) -> Wire:
        sock = socket.socket()
        wire = Wire(sock)
        self.wires.append(wire)
        await within(asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port)))
        return wire

    def cpu(self) -> float:
        """Seconds of it, by the kernel's count."""
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def descriptors(self) -> int:
        """How many of those that it may have; what it has inherited may lie above."""
        return sum(int(fd) < self.nofile for fd in os.listdir(f"/proc/{self.child.pid}/fd"))


@contextlib.asynccontextmanager
async def worker(url: str, nofile: int) -> AsyncIterator[Worker]:
    script = str(Path(__file__).with_name("accepting_worker.py"))
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, script, url, str(nofile)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(module.__file__).parents[2])},
    )
    assert child.stdout is not None
    try:
        one = Worker(child, int(await within(child.stdout.readline())), nofile)
        yield one
        for wire in one.wires:
            wire.close()
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()


async def test_a_worker_without_descriptors_is_calm_and_recovers(upstream: ScriptedUpstream) -> None:
    """80 clients and 64 descriptors: who was accepted is served or told to come again, who was not
    waits without a sign, nothing spins, and all goes on when some have left."""
    upstream.serve(echo)
    async with worker(upstream.url, 64) as one:
        clients = [await one.connect() for _ in range(80)]
        await until(lambda: one.descriptors() == 64)
        first = clients[0]
        await first.send(get())
        refused = await first.message()
        assert refused.status == 503
        assert refused.head[b"retry-after"] == b"1"
        before = one.cpu()
        await asyncio.sleep(1.5)
        assert one.cpu() - before <= 0.15
        assert [client.waiting() for client in clients[1:]] == [b""] * 79
        for client in clients[1:61]:
            client.close()
        await until(lambda: one.descriptors() < 40)
        await within(asyncio.gather(*(answered(client) for client in [first, *clients[61:]])))
        one.child.kill()
        _, said = await one.child.communicate()
    assert len(re.findall(rb"no descriptor is left \(ulimit -n 64\); \d\d clients are here", said)) == 1, said


async def test_descriptors_that_come_back_to_nobodys_merit_are_used_within_a_second(
    upstream: ScriptedUpstream,
) -> None:
    """The upstream's connections end, no client does: nothing tells the acceptor but its clock."""
    upstream.serve(echo)
    async with worker(upstream.url, 64) as one:
        early = [await one.connect() for _ in range(20)]
        await asyncio.gather(
            *map(answered, early)
        )  # 20 pairs, whose second halves the pool keeps for a while
        late = [await one.connect() for _ in range(20)]
        await until(lambda: one.descriptors() == 64)
        for peer in upstream.wires:
            peer.sock.shutdown(socket.SHUT_RDWR)
        for client in late:
            await client.send(b"BAD\r\n\r\n")
        heads = await within(asyncio.gather(*(client.head() for client in late)), 3)
        assert {head.status for head in heads} == {400}
