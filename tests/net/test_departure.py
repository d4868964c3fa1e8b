"""The client leaves, the upstream is closed at once, in every phase."""

from __future__ import annotations

import asyncio
import socket

import pytest

from .conftest import Serve
from .kit import (
    COMPLETION,
    EVENT_STREAM,
    GUARD,
    RunningRelay,
    ScriptedUpstream,
    Wire,
    chunk,
    get,
    post,
    until,
)

HOW = pytest.mark.parametrize("how", ["close", "reset"])


def leave(client: Wire, how: str) -> None:
    getattr(client, how)()


@HOW
async def test_before_the_head(serve: Serve, upstream: ScriptedUpstream, how: str) -> None:
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(post(b"{}", target=COMPLETION))
    peer = await upstream.accept()
    await peer.message()
    leave(client, how)
    await peer.gone()


@HOW
async def test_between_head_and_first_frame(serve: Serve, upstream: ScriptedUpstream, how: str) -> None:
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(post(b"{}", target=COMPLETION))
    peer = await upstream.accept()
    await peer.message()
    await peer.send(EVENT_STREAM)
    await relay.settle()
    leave(client, how)
    await peer.gone()


@HOW
async def test_in_mid_stream_while_the_upstream_is_silent(
    serve: Serve, upstream: ScriptedUpstream, how: str
) -> None:
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(post(b"{}", target=COMPLETION))
    peer = await upstream.accept()
    await peer.message()
    await peer.send(EVENT_STREAM + chunk(b"data: 1\n\n"))
    await client.head()
    assert await client.chunk() == b"data: 1\n\n"
    leave(client, how)
    await peer.gone()


async def test_a_half_close_is_a_departure(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(get())
    peer = await upstream.accept()
    await peer.head()
    client.sock.shutdown(socket.SHUT_WR)
    await peer.gone()


@HOW
async def test_during_an_upload(serve: Serve, upstream: ScriptedUpstream, how: str) -> None:
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(post(b"x" * 1000)[:-1])
    peer = await upstream.accept()
    await peer.head()
    await peer.read_exactly(999)
    leave(client, how)
    await peer.gone()


async def send_until_held(client: Wire, relay: RunningRelay, part: bytes) -> None:
    """Send until relay reads this client no more, and no further.

    What the client's own system still held back would keep the end of a clean close back with it:
    that is TCP, and no relay can see through it.
    """
    async with asyncio.timeout(GUARD):
        while not relay.relay.hangups._left:
            await client.send(part)
            await asyncio.sleep(0)


async def blocked(sending: asyncio.Task[None], sent: list[int]) -> None:
    """Wait until the sender has made no progress over many turns of the loop."""
    quiet = 0
    while quiet < 50:
        before = sent[0]
        await asyncio.sleep(0.001)
        quiet = quiet + 1 if sent[0] == before else 0
    assert not sending.done()


async def pour(wire: Wire, part: bytes, sent: list[int]) -> None:
    """Send for ever, counting."""
    loop = asyncio.get_running_loop()
    while True:
        await loop.sock_sendall(wire.sock, part)
        sent[0] += len(part)


@HOW
async def test_during_an_upload_that_the_upstream_does_not_read(serve: Serve, how: str) -> None:
    """relay has stopped reading this client; it must see it leave all the same."""
    upstream = ScriptedUpstream.tcp(rcvbuf=8192)
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(get(b"/", b"content-length: 1000000000", method=b"POST"))
    peer = await upstream.accept()
    await peer.head()
    await send_until_held(client, relay, b"u" * 65536)
    leave(client, how)
    # The peer reads nothing, so that only relay's leaving ends this: no read makes room.
    await until(lambda: relay.relay.pool.open_count == 0)
    assert not relay.relay.clients
    await peer.gone()
    await upstream.close()


@HOW
async def test_while_the_client_is_stalled(serve: Serve, upstream: ScriptedUpstream, how: str) -> None:
    """The upstream is paused for a client that does not read; then that client leaves."""
    relay = await serve(upstream)
    client = await relay.connect(rcvbuf=8192)
    await client.send(post(b"{}", target=COMPLETION))
    peer = await upstream.accept()
    await peer.message()
    await peer.send(EVENT_STREAM)
    sent = [0]
    sending = asyncio.create_task(pour(peer, chunk(b"data: " + b"x" * 65000 + b"\n\n"), sent))
    await blocked(sending, sent)
    leave(client, how)
    await until(lambda: relay.relay.pool.open_count == 0)
    await asyncio.wait([sending])
    assert isinstance(sending.exception(), ConnectionError)


@HOW
async def test_with_a_full_pipeline_behind_the_request(
    serve: Serve, upstream: ScriptedUpstream, how: str
) -> None:
    """So much is pipelined that relay no longer reads the client."""
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(get(b"/first"))
    peer = await upstream.accept()
    await peer.head()
    await send_until_held(client, relay, get(b"/" + b"p" * 8000))
    leave(client, how)
    assert await peer.rest() == b""


@HOW
async def test_while_relay_is_dialling(serve: Serve, how: str) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
            fillers.append(filler)
        relay = await serve(f"http://127.0.0.1:{full.getsockname()[1]}", connect=60)
        client = await relay.connect()
        await client.send(get())
        await until(lambda: any(one.busy for one in relay.relay.clients))
        leave(client, how)
        await until(lambda: not relay.relay.clients)
        for filler in fillers:
            filler.close()
    # The fixture finds the task that still dials, if there is one.
