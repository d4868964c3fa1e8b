"""TLS towards clients: their streams, bodies, ends and certificates, and handshakes that come to nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import pytest
import trustme

from relay.address import ListenAddress
from relay.config import Limits, Tls
from relay.net.server import ClientConnection
from relay.tls import listening_context

from .conftest import Serve
from .kit import (
    COMPLETION,
    EVENT_STREAM,
    RunningRelay,
    ScriptedUpstream,
    Wire,
    answer,
    chunk,
    echo,
    get,
    post,
    until,
    within,
)
from .listening import TlsWire, accepting, acceptor_of, open_descriptors, tls_client

MEGABYTE = 1 << 20


class Pki:
    """An authority, relay's certificate of it, a client's, and one of somebody else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        self.stranger = trustme.CA()
        self.ca = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(self.ca)
        self.context = listening_context(self.issue("relay"))

    def issue(self, name: str, *, client_ca: str = "") -> Tls:
        leaf = self.authority.issue_cert("localhost", "127.0.0.1", common_name=name)
        cert, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        cert.write_bytes(b"".join(part.bytes() for part in leaf.cert_chain_pems))
        leaf.private_key_pem.write_to_path(key)
        return Tls(str(cert), str(key), client_ca)

    def trust(self, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        """A client's side; with ``version`` it speaks no other."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        if version is not None:
            context.maximum_version = context.minimum_version = version
        return context


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def client_context(request: pytest.FixtureRequest, pki: Pki) -> ssl.SSLContext:
    return pki.trust(request.param)


async def exchanged(client: Wire, body: bytes = b"hello") -> None:
    await client.send(post(body))
    assert (await client.message()).body == body


# --- what clients get -------------------------------------------------------------------------


async def test_a_request_over_tls(
    serve: Serve, upstream: ScriptedUpstream, pki: Pki, client_context: ssl.SSLContext
) -> None:
    running = await accepting(serve, upstream, tls=pki.context)
    client_context.set_alpn_protocols(["h2", "http/1.1"])
    client = await tls_client(running, client_context)
    assert client.tls.selected_alpn_protocol() == "http/1.1"
    assert client.tls.compression() is None
    cipher = client.tls.cipher()
    assert cipher is not None
    assert "GCM" in cipher[0] or "CHACHA20" in cipher[0]
    await client.send(get())
    peer = await upstream.accept()
    head = await peer.head()
    assert head[b"x-forwarded-proto"] == b"https"
    assert head[b"x-forwarded-for"] == b"127.0.0.1"
    await peer.send(answer(b"secret"))
    assert (await client.message()).body == b"secret"


async def test_a_plain_listener_beside_it_says_http(serve: Serve, upstream: ScriptedUpstream) -> None:
    running = await accepting(serve, upstream)
    client = await running.connect()
    await client.send(get())
    assert (await (await upstream.accept()).head())[b"x-forwarded-proto"] == b"http"


async def test_over_a_unix_socket(serve: Serve, upstream: ScriptedUpstream, pki: Pki, tmp_path: Path) -> None:
    upstream.serve(echo)
    at = ListenAddress(path=str(tmp_path / "relay.sock"))
    running = await accepting(serve, upstream, tls=pki.context, at=at)
    await exchanged(await tls_client(running, pki.trust()))


async def test_deltas_arrive_one_by_one(
    serve: Serve, upstream: ScriptedUpstream, pki: Pki, client_context: ssl.SSLContext
) -> None:
    running = await accepting(serve, upstream, tls=pki.context)
    client = await tls_client(running, client_context)
    await client.send(post(b"{}", target=COMPLETION))
    peer = await upstream.accept()
    await peer.message()
    for number in range(20):
        frame = b"data: %d\n\n" % number
        await peer.send((b"" if number else EVENT_STREAM) + chunk(frame))
        if not number:
            await client.head()
        assert await client.chunk() == frame
    await peer.send(b"0\r\n\r\n")
    assert await client.chunk() == b""


@pytest.mark.parametrize("size", [0, 1, 16_384, 16_385, 65_536, 3 * MEGABYTE + 7])
async def test_bodies_of_every_size_both_ways(
    serve: Serve, upstream: ScriptedUpstream, pki: Pki, size: int
) -> None:
    upstream.serve(echo)
    running = await accepting(serve, upstream, tls=pki.context)
    client = await tls_client(running, pki.trust())
    body = os.urandom(size)
    sending = asyncio.ensure_future(client.send(post(body)))
    assert (await client.message()).body == body
    await sending
    await exchanged(client)


async def test_a_client_that_does_not_read_holds_the_upstream_back(
    serve: Serve, upstream: ScriptedUpstream, pki: Pki
) -> None:
    running = await accepting(serve, upstream, tls=pki.context)
    client = await tls_client(running, pki.trust(), rcvbuf=16_384)
    await client.send(get())
    peer = await upstream.accept()
    await peer.head()
    body = os.urandom(MEGABYTE) * 24
    sent = 0

    async def answer_at_length() -> None:
        nonlocal sent
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body))
        for start in range(0, len(body), 65_536):
            await peer.send(body[start : start + 65_536])
            sent += 65_536

    answering = asyncio.ensure_future(answer_at_length())
    await stands_still(lambda: sent)
    assert sent < 12 * MEGABYTE  # what two kernels and relay's buffers take
    (held,) = running.relay.clients
    assert held.outlet.full
    assert held.outlet._transport.get_write_buffer_size() < MEGABYTE  # type: ignore[attr-defined]
    assert (await client.message()).body == body
    await answering


async def test_an_upstream_that_does_not_read_holds_the_client_back(serve: Serve, pki: Pki) -> None:
    upstream = ScriptedUpstream.tcp(rcvbuf=16_384)
    running = await accepting(serve, upstream, tls=pki.context)
    client = await tls_client(running, pki.trust())
    body = os.urandom(MEGABYTE) * 24
    sent = 0

    async def ask_at_length() -> None:
        nonlocal sent
        await client.send(b"POST /files HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % len(body))
        for start in range(0, len(body), 65_536):
            await client.send(body[start : start + 65_536])
            sent += 65_536

    asking = asyncio.ensure_future(ask_at_length())
    peer = await upstream.accept()
    await stands_still(lambda: sent)
    assert sent < 12 * MEGABYTE
    assert (await peer.message()).body == body
    await asking
    await peer.send(answer(b"ok"))
    assert (await client.message()).body == b"ok"
    await upstream.close()


async def stands_still(value: Callable[[], int]) -> None:
    """Wait until it has grown and does so no more."""
    last = -1
    async with asyncio.timeout(20):
        while last != value() or not last:
            last = value()
            await asyncio.sleep(0.3)


async def test_a_tunnel_over_tls(
    serve: Serve, upstream: ScriptedUpstream, pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    """TLS is not left half open: when one side is done, the other is told and closed."""
    running = await accepting(serve, upstream, tls=pki.context)
    for first in ("client", "upstream"):
        client = await tls_client(running, pki.trust())
        await client.send(get(b"/ws", b"connection: upgrade", b"upgrade: websocket"))
        peer = await upstream.accept()
        await peer.head()
        await peer.send(
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
        )
        await client.head()
        for number in range(3):
            await client.send(b"up %d" % number)
            assert await peer.read_exactly(4) == b"up %d" % number
            await peer.send(b"down %d" % number)
            assert await client.read_exactly(6) == b"down %d" % number
        if first == "client":
            await client.farewell()
            assert await peer.rest() == b""
        else:
            await peer.send(b"last")
            peer.close()
            assert await client.read_to_end() == b"last"
            await client.farewell()
        await until(lambda: not running.relay.clients)
    assert caplog.records == []


async def test_a_certificate_can_be_replaced_under_live_streams(
    serve: Serve, upstream: ScriptedUpstream, pki: Pki
) -> None:
    running = await accepting(serve, upstream, tls=pki.context)
    old = await tls_client(running, pki.trust())
    await old.send(post(b"{}"))
    peer = await upstream.accept()
    await peer.message()
    await peer.send(EVENT_STREAM + chunk(b"data: 1\n\n"))
    await old.head()
    assert await old.chunk() == b"data: 1\n\n"
    acceptor_of(running).tls = listening_context(pki.issue("renewed"))
    new = await tls_client(running, pki.trust())
    assert old.tls.getpeercert() != new.tls.getpeercert()
    assert (("commonName", "renewed"),) in new.tls.getpeercert()["subject"]  # type: ignore[operator, index]
    await peer.send(chunk(b"data: 2\n\n"))
    assert await old.chunk() == b"data: 2\n\n"


# --- how it ends ------------------------------------------------------------------------------


async def leave_with_a_farewell(client: TlsWire) -> None:
    await client.farewell()


async def leave_half_open(client: TlsWire) -> None:
    client.sock.shutdown(socket.SHUT_WR)


async def leave_without_a_word(client: TlsWire) -> None:
    client.close()


async def leave_with_a_reset(client: TlsWire) -> None:
    client.reset()


LEAVING = [leave_with_a_farewell, leave_half_open, leave_without_a_word, leave_with_a_reset]


@pytest.mark.parametrize("phase", ["before the head", "in the stream"])
@pytest.mark.parametrize("leave", LEAVING)
async def test_the_upstream_is_closed_when_the_client_leaves(
    serve: Serve,
    upstream: ScriptedUpstream,
    pki: Pki,
    leave: Callable[[TlsWire], Coroutine[Any, Any, None]],
    phase: str,
) -> None:
    running = await accepting(serve, upstream, tls=pki.context)
    client = await tls_client(running, pki.trust())
    await client.send(post(b"{}", target=COMPLETION))
    peer = await upstream.accept()
    await peer.message()
    if phase == "in the stream":
        await peer.send(EVENT_STREAM + chunk(b"data: 1\n\n"))
        await client.head()
        assert await client.chunk() == b"data: 1\n\n"
    await leave(client)
    await peer.gone()
    await until(lambda: not running.relay.clients)


async def test_a_client_that_leaves_while_it_is_held_back(serve: Serve, pki: Pki) -> None:
    """Nothing is read from it then; its leaving is noticed all the same."""
    upstream = ScriptedUpstream.tcp(rcvbuf=16_384)
    running = await accepting(serve, upstream, tls=pki.context)
    client = await tls_client(running, pki.trust())
    await client.send(b"POST /files HTTP/1.1\r\nhost: a\r\ncontent-length: 100000000\r\n\r\n")
    peer = await upstream.accept()
    sent = 0

    async def fill() -> None:
        nonlocal sent
        with contextlib.suppress(ConnectionError):
            while True:
                await client.send(bytes(65_536))
                sent += 65_536

    filling = asyncio.ensure_future(fill())
    await stands_still(lambda: sent)
    filling.cancel()
    await asyncio.gather(filling, return_exceptions=True)
    client.reset()
    await until(lambda: not running.relay.clients)
    await peer.gone()
    await upstream.close()


async def test_an_answer_that_is_whole_ends_with_a_farewell(
    serve: Serve, upstream: ScriptedUpstream, pki: Pki, client_context: ssl.SSLContext
) -> None:
    running = await accepting(serve, upstream, tls=pki.context)
    client = await tls_client(running, client_context)
    await client.send(get(version=b"1.0"))
    peer = await upstream.accept()
    await peer.head()
    await peer.send(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
    peer.close()
    await client.head()
    assert await client.read_to_end() == b"until the end"
    await client.farewell()
    await until(lambda: not running.relay.clients)


async def test_an_answer_that_is_cut_does_not(
    serve: Serve, upstream: ScriptedUpstream, pki: Pki, client_context: ssl.SSLContext
) -> None:
    """Where only the end delimits it, the farewell would make it whole."""
    running = await accepting(serve, upstream, tls=pki.context)
    client = await tls_client(running, client_context)
    await client.send(get(version=b"1.0"))
    peer = await upstream.accept()
    await peer.head()
    await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunk(b"part"))
    await client.head()
    assert await client.read_exactly(4) == b"part"
    peer.reset()
    with pytest.raises((ConnectionResetError, ssl.SSLEOFError)):
        await client.read_to_end()


async def test_a_client_that_never_answers_the_farewell_is_gone_soon(
    serve: Serve, upstream: ScriptedUpstream, pki: Pki
) -> None:
    """An idle connection of a client's pool: it has all it was sent, and sees our farewell when it looks."""
    running = await accepting(serve, upstream, tls=pki.context, keep_alive=0.05, linger=0.1)
    client = await tls_client(running, pki.trust())
    before = open_descriptors()
    await until(lambda: not running.relay.clients, 3)
    await until(lambda: open_descriptors() == before - 1, 3)
    assert await client.receive() == b""


async def test_a_slow_client_gets_the_end_of_its_last_answer(
    serve: Serve, upstream: ScriptedUpstream, pki: Pki
) -> None:
    """What the kernel has not taken yet leaves before the farewell, however long that takes."""
    running = await accepting(serve, upstream, tls=pki.context, linger=0.05)
    client = await tls_client(running, pki.trust(), rcvbuf=4096)
    await until(lambda: bool(running.relay.clients))
    (held,) = cast("set[ClientConnection]", running.relay.clients)
    held.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    await client.send(get(b"/", b"connection: close"))
    peer = await upstream.accept()
    await peer.head()
    body = os.urandom(MEGABYTE)
    sending = asyncio.ensure_future(peer.send(answer(body)))
    await client.head()
    while not held.transport.is_closing():
        await client.fill()
    await sending
    await asyncio.sleep(0.3)
    assert await client.read_to_end() == body


async def test_an_answer_before_the_whole_request_is_not_lost(
    serve: Serve, upstream: ScriptedUpstream, pki: Pki, client_context: ssl.SSLContext
) -> None:
    """Relay says its farewell and drops what still comes; a reset would take the answer away."""
    running = await accepting(serve, upstream, tls=pki.context)
    client = await tls_client(running, client_context)
    await client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9000000\r\n\r\n" + bytes(1000))
    peer = await upstream.accept()
    await peer.head()
    await peer.send(answer(b"too much", status=b"413 Content Too Large"))
    for _ in range(40):
        await client.send(bytes(65_536))
    response = await client.message()
    assert response.status == 413
    assert response.body == b"too much"
    assert await client.read_to_end() == b""
    await client.farewell()
    await until(lambda: not running.relay.clients)


async def test_a_head_that_is_none_is_answered(serve: Serve, upstream: ScriptedUpstream, pki: Pki) -> None:
    running = await accepting(serve, upstream, tls=pki.context)
    client = await tls_client(running, pki.trust())
    await client.send(b"RUBBISH\r\n\r\n")
    assert (await client.message()).status == 400
    assert await client.read_to_end() == b""


# --- client certificates ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def demanding(pki: Pki) -> ssl.SSLContext:
    return listening_context(pki.issue("demanding", client_ca=str(pki.ca)))


async def test_a_client_with_a_certificate(
    serve: Serve,
    upstream: ScriptedUpstream,
    pki: Pki,
    demanding: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    upstream.serve(echo)
    running = await accepting(serve, upstream, tls=demanding)
    pki.authority.issue_cert("client.test").configure_cert(client_context)
    await exchanged(await tls_client(running, client_context))


@pytest.mark.parametrize("shown", ["none", "a stranger's"])
async def test_a_client_without_the_right_certificate_is_told(
    serve: Serve,
    upstream: ScriptedUpstream,
    pki: Pki,
    demanding: ssl.SSLContext,
    client_context: ssl.SSLContext,
    shown: str,
) -> None:
    running = await accepting(serve, upstream, tls=demanding)
    if shown != "none":
        pki.stranger.issue_cert("client.test").configure_cert(client_context)
    with pytest.raises(ssl.SSLError) as caught:
        await joined_and_asked(running, client_context)
    if shown == "none":
        assert caught.value.reason in ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_HANDSHAKE_FAILURE")
    else:
        assert caught.value.reason == "TLSV1_ALERT_UNKNOWN_CA"
    assert upstream.nobody_waits()
    for wire in running.wires:
        wire.close()
    await until(lambda: not acceptor_of(running)._places.taken)


async def joined_and_asked(running: RunningRelay, context: ssl.SSLContext) -> None:
    """In TLS 1.3 a client learns with its first read that it was not accepted."""
    client = await tls_client(running, context)
    await client.send(get())
    await client.message()


# --- handshakes that come to nothing ----------------------------------------------------------


def old(version: ssl.TLSVersion, pki: Pki) -> ssl.SSLContext:
    context = pki.trust()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = version
    return context


@pytest.mark.filterwarnings("ignore:.*TLSv1.*:DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
async def test_old_versions_are_refused_by_name(
    serve: Serve, upstream: ScriptedUpstream, pki: Pki, version: ssl.TLSVersion
) -> None:
    running = await accepting(serve, upstream, tls=pki.context)
    with pytest.raises(ssl.SSLError) as caught:
        await tls_client(running, old(version, pki))
    assert caught.value.reason == "TLSV1_ALERT_PROTOCOL_VERSION"


async def test_plain_http_is_answered(serve: Serve, upstream: ScriptedUpstream, pki: Pki) -> None:
    running = await accepting(serve, upstream, tls=pki.context)
    client = await running.connect()
    await client.send(get())
    response = await client.message()
    assert response.status == 400
    assert b"https" in response.body
    assert response.head[b"connection"] == b"close"
    client.close()
    await until(lambda: not acceptor_of(running)._places.taken)


async def test_a_slow_handshake_is_cut(serve: Serve, upstream: ScriptedUpstream, pki: Pki) -> None:
    running = await accepting(serve, upstream, tls=pki.context, client_head=0.3)
    hello = client_hello(pki)
    for said in (b"", hello[:1], hello[:-1], hello):
        started = asyncio.get_running_loop().time()
        client = await running.connect()
        await client.send(said)
        await client.gone()
        assert 0.2 < asyncio.get_running_loop().time() - started < 3
    assert not acceptor_of(running)._places.taken


async def test_a_handshake_has_a_limit_where_heads_have_none(
    serve: Serve, upstream: ScriptedUpstream, pki: Pki
) -> None:
    upstream.serve(echo)
    running = await accepting(serve, upstream, tls=pki.context, client_head=0, client_stall=0, linger=0)
    await exchanged(await tls_client(running, pki.trust()))


def client_hello(pki: Pki) -> bytes:
    """The first flight of a client that knows how."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        pki.trust().wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


async def silent(_client: Wire, _pki: Pki) -> None:
    pass


async def half_a_hello(client: Wire, pki: Pki) -> None:
    await client.send(client_hello(pki)[:50])


async def a_hello(client: Wire, pki: Pki) -> None:
    await client.send(client_hello(pki))
    await client.receive()


async def garbage(client: Wire, _pki: Pki) -> None:
    await client.send(b"\x16\x03\x01\xff\xff" + os.urandom(500))


async def plain(client: Wire, _pki: Pki) -> None:
    await client.send(get())


async def another_protocol(client: Wire, _pki: Pki) -> None:
    await client.send(b"SSH-2.0-OpenSSH_9.2\r\n")


async def distrust(client: Wire, _pki: Pki) -> None:
    """The client finds that it does not know our authority, and says so."""
    wire = TlsWire(client.sock, ssl.create_default_context())
    with contextlib.suppress(ssl.SSLError):
        await wire.handshake()
    await wire._flush()


BEGINNINGS = [silent, half_a_hello, a_hello, garbage, plain, another_protocol, distrust]


@pytest.mark.parametrize("reset", [False, True], ids=["close", "reset"])
@pytest.mark.parametrize("begin", BEGINNINGS)
async def test_a_failed_handshake_leaves_nothing(
    serve: Serve,
    upstream: ScriptedUpstream,
    pki: Pki,
    caplog: pytest.LogCaptureFixture,
    begin: Callable[[Wire, Pki], Coroutine[Any, Any, None]],
    reset: bool,
) -> None:
    """No descriptor, no task, no place, and no more than one quiet line."""
    upstream.serve(echo)
    running = await accepting(serve, upstream, tls=pki.context)
    acceptor = acceptor_of(running)
    before = open_descriptors()
    for _ in range(10):
        client = await running.connect()
        await begin(client, pki)
        client.reset() if reset else client.close()
    await until(lambda: not acceptor._places.taken and not acceptor._joining)
    await until(lambda: open_descriptors() == before)
    assert {record.levelname for record in caplog.records} <= {"INFO"}
    assert len(caplog.records) <= 10
    assert not any(record.exc_info for record in caplog.records)
    await exchanged(await tls_client(running, pki.trust()))


async def test_a_handshake_that_hangs_holds_a_place(
    serve: Serve, upstream: ScriptedUpstream, pki: Pki
) -> None:
    upstream.serve(echo)
    running = await accepting(serve, upstream, tls=pki.context, limits=Limits(connections=2))
    hanging = [await running.connect() for _ in range(2)]
    await until(lambda: acceptor_of(running)._places.taken == 2)
    waiting = asyncio.ensure_future(tls_client(running, pki.trust()))
    await hanging[0].send(client_hello(pki))
    await hanging[0].receive()  # relay has had its turn
    assert not waiting.done()
    hanging[1].close()
    await exchanged(await waiting)


async def test_closing_the_listener_sends_away_who_has_not_joined(
    serve: Serve, upstream: ScriptedUpstream, pki: Pki
) -> None:
    """Also who was accepted in this very turn of the loop."""
    upstream.serve(echo)
    running = await accepting(serve, upstream, tls=pki.context)
    joined = await tls_client(running, pki.trust())
    hanging = await running.connect()
    await hanging.send(client_hello(pki)[:50])
    acceptor = acceptor_of(running)
    await until(lambda: acceptor._places.taken == 2)
    late = await running.connect()
    acceptor._ready()
    assert len(acceptor._joining) == 2
    acceptor.close()
    assert await within(hanging.rest(), 3) == b""
    assert await within(late.rest(), 3) == b""
    await until(lambda: not acceptor._joining)
    assert acceptor._places.taken == 1
    await exchanged(joined)


# --- clients that others have written ---------------------------------------------------------


async def output(*command: str, said: bytes = b"") -> tuple[int, bytes]:
    """Exit code and all that it prints."""
    child = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        printed, _ = await within(child.communicate(said))
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert child.returncode is not None
    return child.returncode, printed


@pytest.fixture
async def echoing(serve: Serve, upstream: ScriptedUpstream, pki: Pki) -> RunningRelay:
    upstream.serve(echo)
    return await accepting(serve, upstream, tls=pki.context)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_curl(echoing: RunningRelay, pki: Pki, tmp_path: Path, version: str) -> None:
    body = tmp_path / "body"
    body.write_bytes(os.urandom(MEGABYTE))
    url = f"https://localhost:{echoing.address[1]}/"
    flags = ["--silent", "--show-error", "--cacert", str(pki.ca), f"--tlsv{version}", "--tls-max", version]
    code, printed = await output("curl", *flags, "--data-binary", f"@{body}", "-H", "Expect:", url, url)
    assert code == 0, printed
    assert printed == body.read_bytes() * 2


async def test_curl_that_speaks_only_an_old_version(echoing: RunningRelay, pki: Pki) -> None:
    url = f"https://localhost:{echoing.address[1]}/"
    flags = ["--silent", "--show-error", "--cacert", str(pki.ca), "--tls-max", "1.1", "--tlsv1.0"]
    code, printed = await output("curl", *flags, "--ciphers", "DEFAULT:@SECLEVEL=0", url)
    assert code == 35, printed
    assert b"alert protocol version" in printed


async def test_curl_without_https(echoing: RunningRelay) -> None:
    code, printed = await output("curl", "--silent", f"http://localhost:{echoing.address[1]}/")
    assert code == 0
    assert b"use https" in printed


def s_client(running: RunningRelay, pki: Pki, *flags: str) -> list[str]:
    return [
        "openssl",
        "s_client",
        "-connect",
        f"localhost:{running.address[1]}",
        "-CAfile",
        str(pki.ca),
        *flags,
    ]


async def test_openssl_sees_a_verified_modern_session(echoing: RunningRelay, pki: Pki) -> None:
    request = get(b"/", b"connection: close")
    code, printed = await output(*s_client(echoing, pki, "-ign_eof", "-verify_return_error"), said=request)
    assert code == 0, printed
    for line in (b"Verify return code: 0 (ok)", b"TLSv1.3", b"Compression: NONE", b"HTTP/1.1 200 OK"):
        assert line in printed


async def test_openssl_is_not_given_a_renegotiation(echoing: RunningRelay, pki: Pki) -> None:
    """A client could make relay compute for it again and again."""
    code, printed = await output(*s_client(echoing, pki, "-tls1_2"), said=b"R\n")
    assert b"RENEGOTIATING" in printed
    assert b"no renegotiation" in printed, (code, printed)


@pytest.mark.parametrize(
    ("cipher", "accepted"),
    [
        ("ECDHE-ECDSA-AES128-GCM-SHA256", True),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", True),
        ("ECDHE-ECDSA-AES128-SHA256", False),
        ("ECDHE-ECDSA-AES256-SHA", False),
        ("ECDHE-ECDSA-AES128-CCM8", False),
    ],
)
async def test_openssl_finds_no_weak_cipher(
    echoing: RunningRelay, pki: Pki, cipher: str, accepted: bool
) -> None:
    code, printed = await output(*s_client(echoing, pki, "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0"))
    assert (code == 0) == accepted, printed
    assert (b"alert handshake failure" in printed) != accepted
