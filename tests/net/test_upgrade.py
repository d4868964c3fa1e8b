"""Upgrade: a WebSocket through relay, with a real client and a real server."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websocket
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK, InvalidStatus

from .conftest import Serve
from .kit import RunningRelay, ScriptedUpstream, Wire, answer, get, within


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


def port_of(server: object) -> int:
    return int(server.sockets[0].getsockname()[1])  # type: ignore[attr-defined]


async def test_messages_both_ways_and_the_close(serve: Serve) -> None:
    closed: asyncio.Future[tuple[int | None, str | None]] = asyncio.get_running_loop().create_future()

    async def handler(connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosedError):  # what 4001 is to this library
            await echo(connection)
        closed.set_result((connection.close_code, connection.close_reason))

    async with serve_websocket(handler, "127.0.0.1", 0, subprotocols=["realtime"]) as server:  # type: ignore[list-item]
        relay = await serve(f"http://127.0.0.1:{port_of(server)}")
        url = f"ws://127.0.0.1:{relay.address[1]}/v1/realtime?model=m"
        async with connect(url, subprotocols=["realtime"], proxy=None) as client:  # type: ignore[list-item]
            assert client.subprotocol == "realtime"
            for message in ("hello", b"\x00\x01", "", "ü" * 10_000):
                await client.send(message)
                assert await within(client.recv()) == message
            await within(await client.ping())
            await client.close(4001, "enough")
        assert await within(closed) == (4001, "enough")


async def test_large_messages(serve: Serve) -> None:
    """Far more than any buffer, in both directions at the same time."""
    async with serve_websocket(echo, "127.0.0.1", 0, max_size=None, compression=None) as server:
        relay = await serve(f"http://127.0.0.1:{port_of(server)}")
        url = f"ws://127.0.0.1:{relay.address[1]}/"
        async with connect(url, max_size=None, compression=None, proxy=None) as client:
            sent = [os.urandom(4_000_000) for _ in range(4)]

            async def send() -> None:
                for message in sent:
                    await client.send(message)

            sending = asyncio.create_task(send())
            for message in sent:
                got = await within(client.recv())
                assert isinstance(got, bytes)
                assert hashlib.sha256(got).digest() == hashlib.sha256(message).digest()
            await sending


async def test_the_server_closes(serve: Serve) -> None:
    async def goodbye(connection: ServerConnection) -> None:
        await connection.send("bye")
        await connection.close(1001, "going")

    async with serve_websocket(goodbye, "127.0.0.1", 0) as server:
        relay = await serve(f"http://127.0.0.1:{port_of(server)}")
        async with connect(f"ws://127.0.0.1:{relay.address[1]}/", proxy=None) as client:
            assert await within(client.recv()) == "bye"
            with pytest.raises(ConnectionClosedOK) as closed:
                await within(client.recv())
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1001, "going")


async def test_an_upstream_that_vanishes(serve: Serve) -> None:
    async def vanish(connection: ServerConnection) -> None:
        connection.transport.abort()

    async with serve_websocket(vanish, "127.0.0.1", 0) as server:
        relay = await serve(f"http://127.0.0.1:{port_of(server)}")
        async with connect(f"ws://127.0.0.1:{relay.address[1]}/", proxy=None) as client:
            with pytest.raises(ConnectionClosedError):
                await within(client.recv())


async def test_a_refused_upgrade_is_an_ordinary_answer(serve: Serve) -> None:
    def refuse(connection: ServerConnection, request: object) -> object:
        return connection.respond(403, "not you\n")

    async with serve_websocket(echo, "127.0.0.1", 0, process_request=refuse) as server:  # type: ignore[arg-type]
        relay = await serve(f"http://127.0.0.1:{port_of(server)}")
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://127.0.0.1:{relay.address[1]}/", proxy=None)
    assert refused.value.response.status_code == 403
    assert refused.value.response.body == b"not you\n"


UPGRADE = (b"connection: upgrade", b"upgrade: chat")


async def test_the_head_of_an_upgrade_and_bytes_behind_it(serve: Serve, upstream: ScriptedUpstream) -> None:
    """Neither side's first bytes are lost when they come with the heads."""
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(get(b"/", *UPGRADE) + b"early client")
    peer = await upstream.accept()
    head = await peer.head()
    assert head[b"upgrade"] == b"chat"
    assert head[b"connection"].lower() == b"upgrade"  # type: ignore[union-attr]
    await peer.send(
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\nearly server"
    )
    switched = await client.head()
    assert switched.status == 101
    assert switched[b"upgrade"] == b"chat"
    assert await client.read_exactly(12) == b"early server"
    assert await peer.read_exactly(12) == b"early client"


async def tunnel(serve: Serve, upstream: ScriptedUpstream) -> tuple[RunningRelay, Wire, Wire]:
    """Both ends of a connection that has switched protocols."""
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(get(b"/", *UPGRADE))
    peer = await upstream.accept()
    await peer.head()
    await peer.send(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\n")
    await client.head()
    return relay, client, peer


async def test_each_direction_ends_by_itself(serve: Serve, upstream: ScriptedUpstream) -> None:
    _, client, peer = await tunnel(serve, upstream)
    await client.send(b"question")
    client.sock.shutdown(socket.SHUT_WR)
    assert await peer.read_to_end() == b"question"
    await peer.send(b"answer")
    peer.close()
    assert await client.read_to_end() == b"answer"


@pytest.mark.parametrize("who", ["client", "upstream"])
async def test_a_reset_on_one_side_ends_the_other(serve: Serve, upstream: ScriptedUpstream, who: str) -> None:
    _, client, peer = await tunnel(serve, upstream)
    lost, other = (client, peer) if who == "client" else (peer, client)
    lost.reset()
    await other.gone()


async def test_a_reset_that_a_write_finds_ends_the_other(serve: Serve, upstream: ScriptedUpstream) -> None:
    """Then the next read looks like a half-close; an upstream that goes on must not write into the void."""
    relay, client, peer = await tunnel(serve, upstream)
    peer.sock.send(b"news")
    client.reset()
    await relay.settle()

    async def go_on() -> None:
        for _ in range(20):
            await peer.send(b"more news")
            await relay.settle()

    with pytest.raises(ConnectionError):
        await go_on()


async def test_h2c_is_not_offered_on(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream)
    client = await relay.connect()
    fields = (b"connection: upgrade, http2-settings", b"upgrade: h2c", b"http2-settings: AAMAAABkAAQAAP__")
    await client.send(get(b"/", *fields))
    peer = await upstream.accept()
    head = await peer.head()
    assert head[b"upgrade"] is None
    assert head[b"connection"] is None
    assert head[b"http2-settings"] is None
    await peer.send(answer(b"plain"))
    assert (await client.message()).body == b"plain"
