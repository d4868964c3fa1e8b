"""Happy Eyeballs: every address is tried, a slow one is not waited for, losers are closed."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Iterator

import pytest

from relay.address import Origin
from relay.config import Limits
from relay.errors import UpstreamTimeout, UpstreamUnreachable
from relay.net import dial as dialling
from relay.net.upstream import UpstreamConnection

from .kit import ScriptedUpstream, within


class Names:
    """A resolver that the test fills, in the place of the system's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.addresses: list[str] = []
        monkeypatch.setattr(dialling, "_addresses", self.resolve)

    async def resolve(self, _loop: object, _origin: Origin) -> list[str]:
        return self.addresses


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    monkeypatch.setattr(dialling, "ATTEMPT_DELAY", 0.02)
    return Names(monkeypatch)


@pytest.fixture
def hanging() -> Iterator[int]:
    """A port of 127.0.0.1 that takes no connection and refuses none: its backlog is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        yield int(full.getsockname()[1])
        for filler in fillers:
            filler.close()


async def dial(port: int, *, timeout: float = 10, host: str = "model.test") -> UpstreamConnection:
    origin = Origin(host, port)
    loop = asyncio.get_running_loop()
    return await within(
        dialling.dial(
            origin,
            lambda: UpstreamConnection(loop, origin, Limits(), lambda _: None),
            timeout=timeout,
            tls=None,
        )
    )


def peer_of(connection: UpstreamConnection) -> str:
    return str(connection.transport.get_extra_info("peername")[0])


async def test_a_refusal_is_followed_by_the_next_address(names: Names, quiet: None) -> None:
    upstream = ScriptedUpstream.tcp("127.0.0.2")
    names.addresses = ["127.0.0.1", "::1", "127.0.0.2"]
    connection = await dial(upstream.port)
    assert peer_of(connection) == "127.0.0.2"
    connection.abort()
    await upstream.close()


async def test_a_silent_address_is_not_waited_for(names: Names, hanging: int, quiet: None) -> None:
    second = socket.create_server(("127.0.0.2", hanging))
    names.addresses = ["127.0.0.1", "127.0.0.2"]
    connection = await dial(hanging)
    assert peer_of(connection) == "127.0.0.2"
    connection.abort()
    second.close()


async def test_the_first_address_is_preferred(names: Names, quiet: None) -> None:
    first = ScriptedUpstream.tcp("127.0.0.1")
    second = socket.create_server(("127.0.0.2", first.port))
    second.setblocking(False)
    names.addresses = ["127.0.0.1", "127.0.0.2"]
    connection = await dial(first.port)
    assert peer_of(connection) == "127.0.0.1"
    with pytest.raises(BlockingIOError):
        second.accept()
    connection.abort()
    second.close()
    await first.close()


async def test_when_all_refuse_the_first_error_counts(names: Names, quiet: None) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        names.addresses = ["127.0.0.1", "127.0.0.2"]
        with pytest.raises(UpstreamUnreachable, match=rf"model\.test:{port}.*[Rr]efused"):
            await dial(port)


async def test_when_all_are_silent_the_limit_counts(names: Names, hanging: int, quiet: None) -> None:
    names.addresses = ["127.0.0.1", "127.0.0.1"]
    with pytest.raises(UpstreamTimeout, match="did not accept a connection within"):
        await dial(hanging, timeout=0.1)


async def test_a_dial_that_is_cancelled_leaves_nothing(names: Names, hanging: int, quiet: None) -> None:
    names.addresses = ["127.0.0.1"] * 3
    task = asyncio.create_task(dial(hanging))
    await asyncio.sleep(0.03)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_families_alternate(monkeypatch: pytest.MonkeyPatch, quiet: None) -> None:
    loop = asyncio.get_running_loop()

    class Resolver:
        async def getaddrinfo(self, _host: str, port: int, *, type: int) -> list[tuple[object, ...]]:
            six = [(socket.AF_INET6, type, 6, "", (address, port, 0, 0)) for address in ("a::1", "a::2")]
            four = [
                (socket.AF_INET, type, 6, "", (address, port))
                for address in ("1.1.1.1", "2.2.2.2", "3.3.3.3")
            ]
            return [*six, *four]

    assert loop is not None
    found = await dialling._addresses(Resolver(), Origin("model.test", 80))  # type: ignore[arg-type]
    assert found == ["a::1", "1.1.1.1", "a::2", "2.2.2.2", "3.3.3.3"]


async def test_both_families_of_a_real_name(quiet: None) -> None:
    """localhost, however this system resolves it, reaches a server on 127.0.0.1 alone."""
    upstream = ScriptedUpstream.tcp("127.0.0.1")
    connection = await dial(upstream.port, host="localhost")
    assert peer_of(connection) == "127.0.0.1"
    connection.abort()
    await upstream.close()


class Counted:
    """Stands for a connection; only its end matters here."""

    def __init__(self) -> None:
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True


async def test_two_that_connect_in_the_same_turn(names: Names, quiet: None) -> None:
    """One is used, the other is closed: a connection that nobody owns would stay for ever."""
    both = asyncio.Event()
    made = [Counted(), Counted()]
    begun = [0]

    async def attempt(number: int) -> Counted:
        begun[0] += 1
        if begun[0] == 2:
            both.set()
        await both.wait()
        return made[number]

    won = await within(dialling._first([attempt(0), attempt(1)]))  # type: ignore[list-item]
    await asyncio.sleep(0)
    (lost,) = [one for one in made if one is not won]
    assert lost.aborted


async def test_a_dial_cancelled_while_it_connects_closes_no_descriptor_but_its_own(
    upstream: ScriptedUpstream,
) -> None:
    """The transport then goes without a ``connection_lost``; its number is soon somebody else's."""
    loop = asyncio.get_running_loop()
    origin = Origin("127.0.0.1", upstream.port)
    dials: list[asyncio.Task[UpstreamConnection]] = []

    class Unwanted(UpstreamConnection):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            dials.pop().cancel()

    def factory() -> UpstreamConnection:
        return Unwanted(loop, origin, Limits(), lambda _: None)

    dials.append(asyncio.ensure_future(dialling.dial(origin, factory, timeout=5, tls=None)))
    with pytest.raises(asyncio.CancelledError):
        await dials[0]
    await asyncio.sleep(0)
    strangers = [socket.socketpair() for _ in range(8)]
    gc.collect()
    for one, other in strangers:
        one.send(b"x")
        assert other.recv(1) == b"x"
        one.close()
        other.close()
