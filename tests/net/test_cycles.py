"""What is over is gone at once: an exchange leaves nothing that waits for the garbage collector.

The collector looks at old objects rarely, and a live stream is old: what its end leaves in a circle stays,
and the memory of a busy worker grows by some KiB a stream until it is full of them.
"""

from __future__ import annotations

import asyncio
import gc
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import orjson
import pytest

from relay.config import Repair
from relay.net.outlet import Outlet

from .conftest import Serve
from .kit import COMPLETION, RunningRelay, Wire, get, post, until
from .test_checked_streams import DONE, ROLE, STOP, WORD
from .test_failover import ALLOWED, Handler, Upstreams, announces, closes, resets, says, silent, streams

ASKED = orjson.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hi"}]})
BEGUN = streams(ROLE + WORD, end=None)
WORKS = streams(ROLE + WORD + STOP + DONE)


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def circles() -> Counter[str]:
    """What only the collector would have found, of relay's."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    gc.set_debug(0)
    kinds = [type(one) for one in gc.garbage]
    gc.garbage.clear()
    gc.collect()
    return Counter(kind.__name__ for kind in kinds if kind.__module__.startswith("relay."))


async def ask(relay: RunningRelay) -> Wire:
    client = await relay.connect()
    await client.send(post(ASKED, b"connection: close", target=COMPLETION))
    return client


async def stays(relay: RunningRelay) -> None:
    client = await ask(relay)
    await client.rest()


async def leaves_early(relay: RunningRelay) -> None:
    """When the upstream has the request and has not answered."""
    client = await ask(relay)
    await until(lambda: any(target.in_flight for target in relay.relay.targets))
    await relay.settle()
    client.close()


async def leaves_late(relay: RunningRelay) -> None:
    client = await ask(relay)
    await client.head()
    client.close()


async def leaves_its_body(relay: RunningRelay) -> None:
    client = await relay.connect()
    await client.send(post(ASKED, target=COMPLETION)[:-10])
    await relay.settle()
    client.close()


async def gets(relay: RunningRelay) -> None:
    client = await relay.connect()
    await client.send(get(b"/v1/models", b"connection: close"))
    await client.rest()


async def dallies(wire: Wire) -> None:
    """A stream that has begun and does not go on."""
    await wire.message()
    await wire.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + ROLE + WORD)
    await wire.gone()


Client = Callable[[RunningRelay], Awaitable[None]]
CASES: dict[str, tuple[Client, Handler]] = {
    "another request": (gets, says(b"200 OK")),
    "whole": (stays, WORKS),
    "cut": (stays, BEGUN),
    "client leaves in the stream": (leaves_late, dallies),
    "client leaves before the head": (leaves_early, silent),
    "client leaves before the first frame": (leaves_early, announces),
    "client leaves in its request": (leaves_its_body, silent),
    "reset before the head": (stays, resets),
    "closed before the head": (stays, closes),
}


@pytest.mark.parametrize("case", CASES)
async def test_nothing_is_left_to_the_collector(
    serve: Serve, upstreams: Upstreams, no_collector: None, case: str
) -> None:
    client, handler = CASES[case]
    first, second = upstreams(2)
    first.serve(handler)
    second.serve(handler)
    also: dict[str, Any] = {"retry": ALLOWED}
    relay = await serve(first, second, repair=Repair.ON, also=also, look_ahead=0.1)
    circles()
    for _ in range(3):
        await client(relay)
    await until(lambda: not relay.relay.clients)
    await asyncio.sleep(0.01)
    assert not circles()


async def test_an_error_that_a_write_has_met_holds_nothing() -> None:
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    outlet = Outlet(transport)
    theirs.close()
    outlet.write(b"x")
    transport.abort()
    await asyncio.sleep(0)
    assert outlet.error is not None
    assert outlet.error.__traceback__ is None
