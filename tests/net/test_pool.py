"""Connections to the upstream are used again, and a request is never sent twice by that."""

from __future__ import annotations

import asyncio

import pytest

from relay.config import Limits
from relay.net.upstream import UpstreamConnection

from .conftest import Serve
from .kit import RunningRelay, ScriptedUpstream, Wire, answer, get, post, until


async def pooled(relay: RunningRelay, upstream: ScriptedUpstream) -> tuple[Wire, Wire]:
    """A client that has been answered, and the upstream's end of the idle connection."""
    client = await relay.connect()
    await client.send(get(b"/warm"))
    peer = await upstream.accept()
    await peer.head()
    await peer.send(answer(b"warm"))
    await client.message()
    return client, peer


async def served_by(client: Wire, peer: Wire, request: bytes = b"") -> None:
    await client.send(request or get(b"/again"))
    await peer.message()
    await peer.send(answer(b"again"))
    assert (await client.message()).body == b"again"


async def test_sequential_requests_share_a_connection(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream)
    client, peer = await pooled(relay, upstream)
    for _ in range(5):
        await served_by(client, peer)
    other = await relay.connect()
    await served_by(other, peer)
    assert upstream.nobody_waits()
    assert relay.pool.idle_count == 1


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        b"5\r\n:hi\n\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 500 Oops\r\ncontent-length: 1\r\n\r\nx",
    ],
)
async def test_every_delimited_response_leaves_a_usable_connection(
    serve: Serve, upstream: ScriptedUpstream, response: bytes
) -> None:
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(post(b"{}"))
    peer = await upstream.accept()
    await peer.message()
    await peer.send(response)
    await client.message()
    await served_by(client, peer)
    assert upstream.nobody_waits()


async def test_the_most_recently_used_comes_first(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream)
    clients = [await relay.connect() for _ in range(3)]
    peers = []
    for client in clients:
        await client.send(get())
        peers.append(await upstream.accept())
        await peers[-1].head()
    for number in (1, 2, 0):
        await peers[number].send(answer(b"ok"))
        await clients[number].message()
    for _ in range(3):
        await served_by(clients[1], peers[0])
    await clients[0].send(get())
    await peers[0].head()
    await served_by(clients[1], peers[2])


async def test_idle_connections_expire(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream, pool_idle=0.05)
    client, peer = await pooled(relay, upstream)
    await peer.gone()
    assert relay.pool.open_count == relay.pool.idle_count == 0
    await client.send(get(b"/fresh"))
    assert (await (await upstream.accept()).head()).target == b"/fresh"


async def test_the_default_is_below_vllms_five_seconds(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream)
    assert relay.relay.settings.timeouts.pool_idle == 4.0


async def test_no_more_idle_connections_than_the_limit(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream, limits=Limits(idle_connections=2))
    clients = [await relay.connect() for _ in range(4)]
    peers = []
    for client in clients:
        await client.send(get())
        peers.append(await upstream.accept())
        await peers[-1].head()
    for client, peer in zip(clients, peers, strict=True):
        await peer.send(answer(b"ok"))
        await client.message()
    await peers[0].gone()
    await peers[1].gone()
    assert relay.pool.idle_count == 2


@pytest.mark.parametrize("what", ["bytes", "close", "reset"])
@pytest.mark.parametrize("seen", [True, False], ids=["seen", "not yet seen"])
async def test_an_idle_connection_that_speaks_or_ends_is_dead(
    serve: Serve, upstream: ScriptedUpstream, what: str, seen: bool
) -> None:
    """Also when the request comes in the same turn of the loop: a late answer is nobody's answer."""
    relay = await serve(upstream)
    client, peer = await pooled(relay, upstream)
    if seen:
        act(peer, what)
        await relay.settle()
        client.sock.send(get(b"/next"))
    else:
        client.sock.send(get(b"/next"))
        act(peer, what)
    fresh = await upstream.accept()
    assert (await fresh.head()).target == b"/next"
    await fresh.send(answer(b"mine"))
    assert (await client.message()).body == b"mine"


def act(peer: Wire, what: str) -> None:
    if what == "bytes":
        peer.sock.send(answer(b"stray"))
    else:
        getattr(peer, what)()


@pytest.fixture
def dies_unseen(monkeypatch: pytest.MonkeyPatch) -> list[Wire]:
    """Upstream ends put here are closed after the pool chose them and before the request is written."""
    doomed: list[Wire] = []
    begin = UpstreamConnection.begin

    def begin_then_close(self: UpstreamConnection, *args: object) -> None:
        begin(self, *args)  # type: ignore[arg-type]
        while doomed:
            doomed.pop().close()

    monkeypatch.setattr(UpstreamConnection, "begin", begin_then_close)
    return doomed


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"POST", b"PATCH"])
async def test_a_stale_connection_is_replaced_once(
    serve: Serve, upstream: ScriptedUpstream, dies_unseen: list[Wire], method: bytes
) -> None:
    """No byte of it was acknowledged, so even a POST may be sent again."""
    relay = await serve(upstream)
    client, peer = await pooled(relay, upstream)
    dies_unseen.append(peer)
    await client.send(get(b"/again", b"content-length: 4", method=method) + b"body")
    fresh = await upstream.accept()
    request = await fresh.message()
    assert request.head.line == method + b" /again HTTP/1.1"
    assert request.body == b"body"
    await fresh.send(answer(b""))
    assert (await client.message(has_body=False)).status == 200


async def test_a_body_that_came_in_parts_is_sent_again_whole(
    serve: Serve, upstream: ScriptedUpstream, dies_unseen: list[Wire]
) -> None:
    relay = await serve(upstream)
    client, peer = await pooled(relay, upstream)
    dies_unseen.append(peer)
    await client.send(get(b"/", b"transfer-encoding: chunked", method=b"PUT") + b"3\r\none\r\n")
    fresh = await upstream.accept()
    await fresh.head()
    assert await fresh.chunk() == b"one"
    await client.send(b"3\r\ntwo\r\n0\r\n\r\n")
    assert await fresh.chunk() == b"two"
    assert await fresh.chunk() == b""
    await fresh.send(answer(b"ok"))
    assert (await client.message()).body == b"ok"


async def test_an_idempotent_request_that_was_read_is_sent_again(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    relay = await serve(upstream)
    client, peer = await pooled(relay, upstream)
    await client.send(get(b"/again"))
    assert (await peer.head()).target == b"/again"
    peer.close()
    fresh = await upstream.accept()
    assert (await fresh.head()).target == b"/again"
    await fresh.send(answer(b"ok"))
    assert (await client.message()).body == b"ok"


async def answered_502(client: Wire, upstream: ScriptedUpstream) -> None:
    """The client is told, and no second connection carries the request again."""
    await until(lambda: bool(client.waiting()) or not upstream.nobody_waits())
    assert client.waiting(), "the request was sent a second time"
    assert (await client.message()).status == 502
    assert upstream.nobody_waits()


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("method", [b"POST", b"PATCH", b"M-CUSTOM"])
async def test_a_post_that_was_read_is_not_sent_twice(
    serve: Serve, upstream: ScriptedUpstream, method: bytes, how: str
) -> None:
    relay = await serve(upstream)
    client, peer = await pooled(relay, upstream)
    await client.send(get(b"/pay", b"content-length: 2", method=method) + b"{}")
    assert (await peer.message()).body == b"{}"
    getattr(peer, how)()
    await answered_502(client, upstream)


async def test_a_post_that_only_the_system_took_is_not_sent_twice(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    """Acknowledged but not read by the application: relay cannot know, so it does not repeat."""
    relay = await serve(upstream)
    client, peer = await pooled(relay, upstream)
    await client.send(post(b"{}"))
    await until(lambda: bool(peer.waiting()))
    peer.close()
    await answered_502(client, upstream)


async def test_only_one_repetition(serve: Serve, upstream: ScriptedUpstream) -> None:
    """The second connection is a fresh one; when that dies too, the client is told."""
    relay = await serve(upstream)
    client, peer = await pooled(relay, upstream)
    await client.send(get())
    await peer.head()
    peer.close()
    fresh = await upstream.accept()
    await fresh.head()
    fresh.close()
    assert (await client.message()).status == 502
    assert upstream.nobody_waits()


async def test_no_repetition_after_the_first_byte_of_an_answer(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    relay = await serve(upstream)
    client, peer = await pooled(relay, upstream)
    await client.send(get())
    await peer.head()
    await peer.send(b"H")
    await relay.settle()
    peer.close()
    assert (await client.message()).status == 502
    assert upstream.nobody_waits()


async def test_no_repetition_of_a_body_above_the_limit(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream, limits=Limits(replay=1000))
    client, peer = await pooled(relay, upstream)
    await client.send(get(b"/", b"content-length: 2000", method=b"PUT") + b"x" * 2000)
    await peer.message()
    peer.close()
    assert (await client.message()).status == 502
    assert upstream.nobody_waits()


STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
    b"keep-alive: timeout=5\r\ntransfer-encoding: chunked\r\n\r\n"
)


async def streamed(relay: RunningRelay, upstream: ScriptedUpstream) -> tuple[Wire, Wire]:
    """A client whose stream is over, and the upstream's end of its connection."""
    client = await relay.connect()
    await client.send(post(b"{}"))
    peer = await upstream.accept()
    await peer.message()
    await peer.send(STREAM + b"5\r\n:hi\n\n\r\n0\r\n\r\n")
    await client.message()
    return client, peer


async def test_a_server_that_closes_after_each_stream_unannounced_loses_no_request(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    """llama.cpp: the next request could be on its way before the FIN is here, and then it is lost."""
    relay = await serve(upstream, rest=60)
    client, peer = await streamed(relay, upstream)
    await client.send(post(b"{}"))
    other = await upstream.accept()
    peer.close()
    await other.message()
    await other.send(answer(b"fresh"))
    assert (await client.message()).body == b"fresh"
    await served_by(client, other)  # what was no stream has not to rest
    assert upstream.nobody_waits()


async def test_a_connection_that_has_rested_is_used_again(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream, rest=0.01)
    client, peer = await streamed(relay, upstream)
    assert relay.pool.idle_count == 1
    await asyncio.sleep(0.02)
    await served_by(client, peer, post(b"{}"))
    assert upstream.nobody_waits()


async def test_resting_connections_expire_like_all_others(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream, rest=0.05, pool_idle=0.1)
    _, peer = await streamed(relay, upstream)
    await until(lambda: relay.pool.open_count == 0)
    await peer.gone()
