"""The outlet writes everything, in order, and never to a descriptor that is no longer its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import ssl
from collections.abc import Callable

import pytest
import trustme

from relay.net.outlet import IOV_MAX
from relay.net.peer import Peer

from .conftest import Serve
from .kit import EVENT_STREAM, ScriptedUpstream, Wire, chunk, post, until, within


class Writer(Peer):
    """A connection whose outlet is driven by the test."""

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop())
        self.made = asyncio.Event()
        self.lost = asyncio.Event()
        self.empty = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.made.set()

    def buffer_updated(self, nbytes: int) -> None:
        pass

    def eof_received(self) -> bool:
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.outlet.detach()
        self.lost.set()

    def drained(self) -> None:
        self.empty.set()


async def pair(*, buffers: int = 0, family: int = socket.AF_INET) -> tuple[Writer, Wire]:
    """An outlet and the raw end of its connection."""
    if family == socket.AF_UNIX:
        near, far = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            far = socket.create_connection(listener.getsockname())
            near, _ = listener.accept()
    if buffers:
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
        far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffers)
    near.setblocking(False)
    _, writer = await asyncio.get_running_loop().connect_accepted_socket(Writer, near)
    return writer, Wire(far)


pytestmark = pytest.mark.usefixtures("quiet")


async def test_what_fits_leaves_at_once() -> None:
    """Before the call returns: the loop is not needed, and nothing is queued."""
    writer, far = await pair()
    writer.outlet.write(b"one")
    assert far.waiting() == b"one"
    writer.outlet.writelines([b"two", bytearray(b"three"), memoryview(b"four")])
    assert far.waiting() == b"onetwothreefour"
    assert not writer.outlet.full
    assert writer.transport.get_write_buffer_size() == 0
    writer.outlet.abort()
    far.close()
    await within(writer.lost.wait())


async def test_the_callers_memory_may_be_used_again() -> None:
    """Also that of parts which had to wait."""
    writer, far = await pair(buffers=32_768)
    memory = bytearray(200_000)
    sent = b""
    for number in range(5):
        memory[:] = bytes([65 + number]) * len(memory)
        sent += bytes(memory) * 2
        view = memoryview(memory)
        writer.outlet.write(view)
        writer.outlet.writelines([view[:100_000], view[100_000:]])
        memory[:] = b"!" * len(memory)
    assert writer.outlet.full
    assert await far.read_exactly(len(sent)) == sent
    await within(writer.empty.wait())
    assert not writer.outlet.full
    writer.outlet.abort()
    far.close()
    await within(writer.lost.wait())


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
@pytest.mark.parametrize("seed", range(5))
async def test_order_is_kept_between_direct_and_queued_parts(family: int, seed: int) -> None:
    """Random sizes against a reader that takes random sips."""
    rng = random.Random(seed)
    writer, far = await pair(buffers=32_768, family=family)
    sent = bytearray()
    got = bytearray()
    partial = 0
    for _ in range(300):
        buffers = [rng.randbytes(rng.choice([0, 1, 10, 3000, 20_000])) for _ in range(rng.randrange(1, 6))]
        for buffer in buffers:
            sent += buffer
        if len(buffers) == 1:
            writer.outlet.write(buffers[0])
        else:
            writer.outlet.writelines(buffers)
        partial += writer.outlet.full
        if rng.random() < 0.5 and len(got) < len(sent):
            got += await far.receive(rng.randrange(1, 50_000))
    while len(got) < len(sent):
        got += await far.receive()
    assert got == sent
    assert partial  # the queue was in use
    writer.outlet.abort()
    far.close()
    await within(writer.lost.wait())


async def test_more_buffers_than_one_call_takes() -> None:
    writer, far = await pair()
    buffers = [b"%d," % number for number in range(IOV_MAX * 2 + 1)]
    writer.outlet.writelines(buffers)
    expected = b"".join(buffers)
    assert await far.read_exactly(len(expected)) == expected
    writer.outlet.abort()
    far.close()
    await within(writer.lost.wait())


async def test_close_lets_the_queue_leave_and_end_too() -> None:
    for finish in ("close", "end"):
        writer, far = await pair(buffers=32_768)
        writer.outlet.write(b"x" * 500_000)
        assert writer.outlet.full
        getattr(writer.outlet, finish)()
        writer.outlet.write(b"too late") if finish == "close" else None
        assert await far.read_to_end() == b"x" * 500_000
        far.close()
        writer.outlet.close()
        await within(writer.lost.wait())


async def test_reset_is_seen_as_one() -> None:
    writer, far = await pair()
    writer.outlet.write(b"part")
    assert await far.read_exactly(4) == b"part"
    writer.outlet.reset()
    with pytest.raises(ConnectionResetError):
        await far.receive()
    far.close()
    await within(writer.lost.wait())


async def test_a_peer_that_takes_no_more_may_still_have_said_something() -> None:
    """A broken pipe is no reason to close: the answer that explains it may be on its way."""
    writer, far = await pair(family=socket.AF_UNIX)
    far.sock.shutdown(socket.SHUT_RD)
    writer.outlet.write(b"upload")
    assert writer.outlet.error is not None
    writer.outlet.writelines([b"more", b"of it"])
    assert not writer.transport.is_closing()
    assert not writer.lost.is_set()
    writer.outlet.abort()
    far.close()
    await within(writer.lost.wait())


async def test_tls_goes_through_the_transport() -> None:
    """Many buffers, one record sequence, everything in order; nothing in the clear."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    writers: list[Writer] = []

    def accept() -> Writer:
        writers.append(Writer())
        return writers[-1]

    listener = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0, ssl=server)
    port = listener.sockets[0].getsockname()[1]
    reader, stream = await asyncio.open_connection("127.0.0.1", port, ssl=trust, server_hostname="localhost")
    await within(writers[0].made.wait())  # TLS 1.3: the server's side is done after the client's
    outlet = writers[0].outlet
    expected = b""
    for size in (1, 100, 300_000, 5):
        parts = [b"a" * size, memoryview(b"b" * size), bytearray(b"c" * size)]
        outlet.writelines(parts)
        outlet.write(b"|")
        expected += b"".join(parts) + b"|"
    assert await within(reader.readexactly(len(expected))) == expected
    outlet.close()
    assert await within(reader.read()) == b""
    stream.close()
    listener.close()
    await within(writers[0].lost.wait())


# Never a write to a descriptor that was closed or is somebody else's by now.


class Bystanders:
    """Socket pairs opened as soon as descriptors become free; none of them may ever hear anything."""

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []

    def open(self, count: int = 4) -> None:
        for _ in range(count):
            self.sockets += socket.socketpair()

    def descriptors(self) -> set[int]:
        return {sock.fileno() for sock in self.sockets}

    def check(self) -> None:
        for sock in self.sockets:
            with pytest.raises(BlockingIOError):
                sock.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK)

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()


ENDS: dict[str, Callable[[Writer, Wire], object]] = {
    "close": lambda writer, _: writer.outlet.close(),
    "abort": lambda writer, _: writer.outlet.abort(),
    "reset": lambda writer, _: writer.outlet.reset(),
    "end then close": lambda writer, _: (writer.outlet.end(), writer.outlet.close()),
    "transport.close": lambda writer, _: writer.transport.close(),
    "transport.abort": lambda writer, _: writer.transport.abort(),
    "peer resets": lambda _, far: far.reset(),
    "peer closes": lambda _, far: far.close(),
}


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("full", [False, True], ids=["writing directly", "queue in use"])
async def test_never_a_write_to_a_reused_descriptor(how: str, full: bool) -> None:
    """End the connection at every point of a sequence of writes, and take its number at once."""
    reused = 0
    steps = 6
    for point in range(steps):
        bystanders = Bystanders()
        writer, far = await pair(buffers=32_768)
        fd = writer.fd
        for step in range(steps + 4):
            if step == point:
                ENDS[how](writer, far)
            bystanders.open(1)
            writer.outlet.write(b"w" * (300_000 if full else 10))
            writer.outlet.writelines([b"v" * 10, b"u" * 10])
            if step % 2:
                await asyncio.sleep(0)
                bystanders.open(1)
        if how.startswith("peer"):
            # No loss yet: a close ends one half, and a failed write takes the news of a reset with it.
            writer.outlet.abort()
        if full and how in ("close", "end then close", "transport.close"):
            await far.rest()
        await within(writer.lost.wait())
        for _ in range(5):
            bystanders.open()
            writer.outlet.write(b"after the loss")
            writer.outlet.writelines([b"after", b"the", b"loss"])
            await asyncio.sleep(0)
        reused += fd in bystanders.descriptors()
        bystanders.check()
        bystanders.close()
        far.close()
    assert reused == steps  # else nothing was shown


@pytest.mark.parametrize("who", ["client close", "client reset", "upstream close", "upstream reset"])
async def test_never_through_the_whole_relay(serve: Serve, upstream: ScriptedUpstream, who: str) -> None:
    """Either peer goes at every point of a stream, while descriptors are taken as they become free."""
    side, how = who.split()
    for point in range(8):
        relay = await serve(upstream)
        bystanders = Bystanders()
        client = await relay.connect()
        await client.send(post(b"{}" * 100, target=b"/v1/messages")[:-20])
        peer = await upstream.accept()
        await peer.head()
        script = [EVENT_STREAM, chunk(b"data: 1\n\n"), chunk(b"data: 2"), chunk(b"\n\n")]
        script += [chunk(b"data: " + b"x" * 60_000 + b"\n\n")] * 2 + [b"0\r\n\r\n"]
        for step, part in enumerate([*script, b""]):
            if step == point:
                getattr(client if side == "client" else peer, how)()
            for wire, data in ((peer, part), (client, b"{}")):
                with contextlib.suppress(OSError):  # it is full, or gone as planned
                    wire.sock.send(data)
            bystanders.open(2)
            await asyncio.sleep(0)
        client.close()
        peer.close()
        await until(lambda: not relay.relay.clients and not relay.pool.open_count)  # noqa: B023
        bystanders.open()
        for _ in range(5):
            await asyncio.sleep(0)
        bystanders.check()
        bystanders.close()


async def test_the_kernels_numbers_are_reused_as_assumed() -> None:
    """The lowest free number is the next one (POSIX); on this the tests above stand."""
    first, second = socket.socketpair()
    number = first.fileno()
    first.close()
    again = os.dup(second.fileno())
    assert again == number
    os.close(again)
    second.close()
