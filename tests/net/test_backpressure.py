"""A slow peer slows the other one down; relay keeps little, loses nothing and gives up in the end."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from relay.net.server import ClientConnection
from relay.net.upstream import UpstreamConnection

from .conftest import Serve
from .kit import COMPLETION, EVENT_STREAM, ScriptedUpstream, Wire, answer, chunk, get, post, until
from .test_departure import blocked, pour

MOST = 24 * 1024 * 1024
"""What two pairs of kernel buffers may take at their very largest; relay's own share is 1 MiB."""


@pytest.mark.parametrize("framing", ["event stream", "length"])
async def test_a_client_that_does_not_read_stops_the_upstream(
    serve: Serve, upstream: ScriptedUpstream, framing: str
) -> None:
    relay = await serve(upstream)
    client = await relay.connect(rcvbuf=8192)
    await client.send(post(b"{}", target=COMPLETION))
    peer = await upstream.accept()
    await peer.message()
    frame = b"data: " + b"x" * 65000 + b"\n\n"
    part = chunk(frame) if framing == "event stream" else frame
    length = b"HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n"
    await peer.send(EVENT_STREAM if framing == "event stream" else length)
    sent = [0]
    sending = asyncio.create_task(pour(peer, part, sent))
    await blocked(sending, sent)
    assert sent[0] < MOST
    (connection,) = relay.relay.clients
    assert connection.outlet._transport.get_write_buffer_size() <= 1024 * 1024
    # Then it reads, and everything is there, in order.
    taken = sent[0]
    await client.head()
    while taken > 0:
        got = await client.chunk() if framing == "event stream" else await client.read_exactly(len(frame))
        assert len(got) % len(frame) == 0
        assert got[: len(frame)] == frame
        taken -= len(got)
    assert sent[0] > taken
    sending.cancel()
    await asyncio.wait([sending])


async def test_every_byte_arrives_through_pauses(serve: Serve, upstream: ScriptedUpstream) -> None:
    """30 MB for a client that reads in small sips: sums agree."""
    relay = await serve(upstream)
    client = await relay.connect(rcvbuf=16384)
    await client.send(get())
    peer = await upstream.accept()
    await peer.head()
    parts = [hashlib.sha256(b"%d" % number).digest() * 2048 for number in range(480)]
    sums = hashlib.sha256()

    async def send() -> None:
        await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for part in parts:
            await peer.send(chunk(part))
        await peer.send(b"0\r\n\r\n")

    sending = asyncio.create_task(send())
    await client.head()
    while data := await client.chunk():
        sums.update(data)
    await sending
    assert sums.digest() == hashlib.sha256(b"".join(parts)).digest()


async def test_an_upstream_that_does_not_read_stops_the_client(serve: Serve) -> None:
    upstream = ScriptedUpstream.tcp(rcvbuf=8192)
    relay = await serve(upstream)
    client = await relay.connect()
    total = 40_000_000
    await client.send(get(b"/", b"content-length: %d" % total, method=b"POST"))
    peer = await upstream.accept()
    await peer.head()
    body = hashlib.sha256(b"seed").digest() * (total // 32)
    sent = [0]

    async def send() -> None:
        for at in range(0, total, 65536):
            await client.send(body[at : at + 65536])
            sent[0] += 65536

    sending = asyncio.create_task(send())
    await blocked(sending, sent)
    assert sent[0] < MOST
    got = hashlib.sha256()
    left = total
    while left:
        data = bytes(peer.buffer) or await peer.receive()
        peer.buffer.clear()
        got.update(data)
        left -= len(data)
    await sending
    assert got.digest() == hashlib.sha256(body).digest()
    await peer.send(answer(b"all"))
    assert (await client.message()).body == b"all"
    await upstream.close()


async def test_a_client_that_stays_stalled_is_dropped(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream, client_stall=0.1)
    client = await relay.connect(rcvbuf=8192)
    await client.send(post(b"{}", target=COMPLETION))
    peer = await upstream.accept()
    await peer.message()
    await peer.send(EVENT_STREAM)
    with pytest.raises(ConnectionError):
        await pour(peer, chunk(b"data: " + b"x" * 65000 + b"\n\n"), [0])
    await until(lambda: not relay.relay.clients)


async def test_a_stalled_client_does_not_time_the_upstream_out(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    """The idle limit is the upstream's; while the client holds it back it rests."""
    relay = await serve(upstream, idle=0.1)
    client = await relay.connect(rcvbuf=8192)
    await client.send(post(b"{}", target=COMPLETION))
    peer = await upstream.accept()
    await peer.message()
    frame = b"data: " + b"x" * 65000 + b"\n\n"
    await peer.send(EVENT_STREAM)
    sent = [0]
    sending = asyncio.create_task(pour(peer, chunk(frame), sent))
    await blocked(sending, sent)
    await asyncio.sleep(0.3)  # three times the limit: the very thing that must not matter
    await client.head()
    for _ in range(sent[0] // len(chunk(frame))):
        await client.chunk()
    assert not sending.done()
    sending.cancel()
    await asyncio.wait([sending])


async def test_a_response_that_is_whole_reaches_a_slow_client(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    """The upstream is done and gone; what waits in relay still leaves."""
    relay = await serve(upstream)
    client = await relay.connect(rcvbuf=8192)
    body = b"0123456789abcdef" * 20_000
    await client.send(get(b"/", b"connection: close"))
    peer = await upstream.accept()
    await peer.head()
    await peer.send(answer(body, b"connection: close"))
    await peer.gone()
    await relay.settle()
    assert (await client.message()).body == body
    assert await client.read_to_end() == b""


async def test_delayed_acknowledgements_are_not_waited_for(
    serve: Serve, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TCP_NODELAY is set on accepted and on dialled sockets."""
    import socket

    options: dict[str, int] = {}

    def spy(kind: type[ClientConnection] | type[UpstreamConnection], name: str) -> None:
        original = kind.connection_made

        def connection_made(self: ClientConnection | UpstreamConnection, transport: object) -> None:
            original(self, transport)  # type: ignore[arg-type]
            sock = self.transport.get_extra_info("socket")
            options[name] = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

        monkeypatch.setattr(kind, "connection_made", connection_made)

    spy(ClientConnection, "accepted")
    spy(UpstreamConnection, "dialled")
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(get())
    peer: Wire = await upstream.accept()
    await peer.head()
    await peer.send(answer(b"ok"))
    await client.message()
    assert options.keys() == {"accepted", "dialled"}
    assert all(options.values())
