"""Flat memory, seen from outside: the process's resident pages before and after."""

from __future__ import annotations

import asyncio
import hashlib

from .kit import EVENT_STREAM, ScriptedUpstream, Wire, answer, chunk, get, post
from .process import serving

MIB = 1024 * 1024
BIG = 200 * MIB
PART = hashlib.sha512(b"part").digest() * 4096  # 256 KiB


def checksum_of_all() -> bytes:
    sums = hashlib.sha256()
    for _ in range(BIG // len(PART)):
        sums.update(PART)
    return sums.digest()


async def pump(wire: Wire) -> None:
    for _ in range(BIG // len(PART)):
        await wire.send(PART)


async def take(wire: Wire) -> bytes:
    """The checksum of what comes, up to the size of the whole."""
    sums = hashlib.sha256(wire.buffer)
    left = BIG - len(wire.buffer)
    wire.buffer.clear()
    while left:
        data = await wire.receive(min(left, MIB))
        assert data
        sums.update(data)
        left -= len(data)
    return sums.digest()


async def test_200_mb_up_and_200_mb_down(upstream: ScriptedUpstream) -> None:
    async with serving(upstream.url) as process:
        client = await process.connect()
        before = process.rss()
        await client.send(get(b"/up", b"content-length: %d" % BIG, method=b"PUT"))
        peer = await upstream.accept()
        await peer.head()
        _, received = await asyncio.gather(pump(client), take(peer))
        assert received == checksum_of_all()
        await peer.send(answer(b"stored"))
        assert (await client.message()).body == b"stored"
        await client.send(get(b"/down"))
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % BIG)
        await client.head()
        _, received = await asyncio.gather(pump(peer), take(client))
        assert received == checksum_of_all()
        assert process.rss() - before < 8 * MIB


async def test_100_stalled_clients_on_an_endless_upstream(upstream: ScriptedUpstream) -> None:
    """No client reads. Once nothing moves any more, hardly anything waits in relay."""
    frame = chunk(b"data: " + b"x" * 16_000 + b"\n\n")
    progress = [0]

    async def endless(peer: Wire) -> None:
        await peer.message()
        await peer.send(EVENT_STREAM)
        loop = asyncio.get_running_loop()
        while True:
            await loop.sock_sendall(peer.sock, frame)
            progress[0] += 1

    upstream.serve(endless)
    async with serving(upstream.url) as process:
        before = process.rss()
        clients = [await process.connect(rcvbuf=8192) for _ in range(100)]
        for client in clients:
            await client.send(post(b"{}", target=b"/events"))
        quiet = last = 0
        while quiet < 100:
            await asyncio.sleep(0.001)
            quiet = quiet + 1 if progress[0] == last else 0
            last = progress[0]
        assert len(upstream.wires) == 100
        assert progress[0] > 100
        assert process.rss() - before < 40 * MIB
        # And it serves others meanwhile.
        other = await process.connect()
        await other.send(post(b"{}", target=b"/events"))
        await other.head()
        assert (await other.chunk()).startswith(b"data: x")
