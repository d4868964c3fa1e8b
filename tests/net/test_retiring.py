"""A worker that retires: what its clients have sent is served, also what it has not read yet."""

from __future__ import annotations

import asyncio
import socket
import time
from types import SimpleNamespace

import pytest

from relay import worker

from .conftest import Serve
from .kit import ScriptedUpstream, answer, echo, post, within

REQUEST = post(b"hello")


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_GRACE", 0.05)


def retire(relay: object) -> asyncio.Task[None]:
    orders = SimpleNamespace(drain=asyncio.Event())
    return asyncio.ensure_future(worker._retire(relay, [], orders))  # type: ignore[arg-type]


async def test_an_idle_connection_is_closed(serve: Serve, upstream: ScriptedUpstream) -> None:
    upstream.serve(echo)
    running = await serve(upstream)
    client = await running.connect()
    await running.settle()
    await within(retire(running.relay))
    assert await client.read_to_end() == b""


async def test_a_request_that_came_while_the_worker_was_held_up_is_served(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    """The loop looks at its timers before it reads: when the processor was not its own for as long as
    the grace, a connection looks idle whose request has been there all the time."""
    upstream.serve(echo)
    running = await serve(upstream)
    client = await running.connect()
    await running.settle()
    retired = retire(running.relay)
    await asyncio.sleep(0)
    held_up = asyncio.Event()

    def hold_up() -> None:
        """As the loop's reading of another connection."""
        asyncio.get_running_loop().remove_reader(busy)
        client.sock.send(REQUEST)
        time.sleep(2 * worker._GRACE)
        held_up.set()

    busy, other = socket.socketpair()
    with busy, other:
        asyncio.get_running_loop().add_reader(busy, hold_up)
        other.send(b"x")
        await held_up.wait()
    assert (await client.message()).body == b"hello"
    await within(retired)


async def test_half_a_head_is_a_request(serve: Serve, upstream: ScriptedUpstream) -> None:
    upstream.serve(echo)
    running = await serve(upstream)
    client = await running.connect()
    await client.send(REQUEST[:20])
    await running.settle()
    retired = retire(running.relay)
    await asyncio.sleep(2 * worker._GRACE)
    await client.send(REQUEST[20:])
    assert (await client.message()).body == b"hello"
    await within(retired)


@pytest.mark.xfail(
    strict=True, reason="it is closed with the answer, though that answer's head said it was kept"
)
async def test_a_connection_that_was_to_be_kept_is_good_for_one_more_request(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    """Its client cannot know that the next request comes to a worker that has retired."""
    running = await serve(upstream)
    client = await running.connect()
    await client.send(REQUEST)
    peer = await upstream.accept()
    await peer.message()
    whole = answer(b"first")
    await peer.send(whole[:-2])
    assert (await client.head())[b"connection"] is None
    retired = retire(running.relay)
    await asyncio.sleep(2 * worker._GRACE)
    await peer.send(whole[-2:])
    assert await client.read_exactly(5) == b"first"
    await client.send(REQUEST)
    await peer.send(answer((await peer.message()).body))
    second = await client.message()
    assert (second.body, second.head[b"connection"]) == (b"hello", b"close")
    assert await client.read_to_end() == b""
    await within(retired)
