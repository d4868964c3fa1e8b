"""Where relay listens and where it dials: UNIX sockets, IPv6, TLS."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from .conftest import Serve
from .kit import COMPLETION, EVENT_STREAM, ScriptedUpstream, answer, chunk, get, post


async def test_unix_upstream(serve: Serve, tmp_path: Path) -> None:
    upstream = ScriptedUpstream.unix(str(tmp_path / "up.sock"))
    relay = await serve(upstream)
    client = await relay.connect()
    for body in (b"one", b"two"):
        await client.send(post(body))
        peer = upstream.wires[0] if upstream.wires else await upstream.accept()
        request = await peer.message()
        assert request.head[b"host"] == b"localhost"
        assert request.body == body
        await peer.send(answer(body))
        response = await client.message()
        assert response.body == body
        assert response.head[b"x-relay-upstream"] == upstream.url.encode()
    await upstream.close()


async def test_a_post_on_a_unix_socket_is_not_sent_twice(serve: Serve, tmp_path: Path) -> None:
    upstream = ScriptedUpstream.unix(str(tmp_path / "up.sock"))
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(get())
    peer = await upstream.accept()
    await peer.head()
    await peer.send(answer(b""))
    await client.message()
    await client.send(post(b"{}"))
    await peer.message()
    peer.reset()
    assert (await client.message()).status == 502
    assert upstream.nobody_waits()
    await upstream.close()


async def test_unix_listener(serve: Serve, upstream: ScriptedUpstream, tmp_path: Path) -> None:
    relay = await serve(upstream, path=str(tmp_path / "relay.sock"))
    client = await relay.connect()
    await client.send(post(b"{}", target=COMPLETION))
    peer = await upstream.accept()
    request = await peer.message()
    assert request.head[b"x-forwarded-for"] is None  # a UNIX peer has no address
    for number in range(3):
        frame = b"data: %d\n\n" % number
        await peer.send((b"" if number else EVENT_STREAM) + chunk(frame))
        if not number:
            await client.head()
        assert await client.chunk() == frame


async def test_ipv6_both_sides(serve: Serve) -> None:
    upstream = ScriptedUpstream.tcp("::1")
    relay = await serve(upstream, listen="::1")
    client = await relay.connect()
    await client.send(get())
    peer = await upstream.accept()
    head = await peer.head()
    assert head[b"host"] == b"[::1]:%d" % upstream.port
    assert head[b"x-forwarded-for"] == b"::1"
    await peer.send(answer(b"six"))
    assert (await client.message()).body == b"six"
    await upstream.close()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


class TlsUpstream:
    """Echoes bodies over TLS and remembers what it was asked."""

    def __init__(self, certificate: trustme.LeafCert) -> None:
        self.names: list[str | None] = []
        self.protocols: list[str | None] = []
        self.hosts: list[bytes] = []
        self.handshakes = 0
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.set_alpn_protocols(["h2", "http/1.1"])
        self.context.sni_callback = lambda _sock, name, _context: self.names.append(name)
        certificate.configure_cert(self.context)

    async def start(self) -> int:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.context)
        return int(self.server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        self.server.close()
        await self.server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.handshakes += 1
        self.protocols.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                fields = dict(line.lower().split(b": ", 1) for line in head[:-4].split(b"\r\n")[1:])
                self.hosts.append(fields[b"host"])
                body = await reader.readexactly(int(fields.get(b"content-length", b"0")))
                writer.write(answer(body))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def tls_upstream(quiet: None, authority: trustme.CA) -> AsyncIterator[tuple[TlsUpstream, int]]:
    upstream = TlsUpstream(authority.issue_cert("localhost", "127.0.0.1"))
    yield upstream, await upstream.start()
    await upstream.stop()


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.set_alpn_protocols(["http/1.1"])
    return context


async def test_https_upstream(
    tls_upstream: tuple[TlsUpstream, int], serve: Serve, authority: trustme.CA
) -> None:
    """Bodies of every size both ways, SNI, ALPN, and one handshake for all."""
    upstream, port = tls_upstream
    relay = await serve(f"https://localhost:{port}", tls=trusting(authority))
    client = await relay.connect()
    for size in (0, 1, 16_384, 1_000_000):
        await client.send(post(b"s" * size))
        assert (await client.message()).body == b"s" * size
    assert upstream.names == ["localhost"]
    assert upstream.protocols == ["http/1.1"]
    assert upstream.handshakes == 1
    assert set(upstream.hosts) == {b"localhost:%d" % port}


async def test_an_untrusted_certificate_is_named(tls_upstream: tuple[TlsUpstream, int], serve: Serve) -> None:
    upstream, port = tls_upstream
    relay = await serve(f"https://localhost:{port}", tls=ssl.create_default_context())
    client = await relay.connect()
    await client.send(post(b"secret"))
    response = await client.message()
    assert response.status == 503
    message = json.loads(response.body)["error"]["message"]
    assert "certificate" in message
    assert f"https://localhost:{port}" in message
    assert upstream.hosts == []


async def test_a_certificate_for_another_name(serve: Serve, authority: trustme.CA) -> None:
    upstream = TlsUpstream(authority.issue_cert("other.test"))
    port = await upstream.start()
    relay = await serve(f"https://localhost:{port}", tls=trusting(authority))
    client = await relay.connect()
    await client.send(get())
    response = await client.message()
    assert response.status == 503
    assert "certificate" in json.loads(response.body)["error"]["message"]
    await upstream.stop()


async def test_an_upstream_that_speaks_no_tls(
    serve: Serve, upstream: ScriptedUpstream, authority: trustme.CA
) -> None:
    relay = await serve(upstream.url.replace("http:", "https:"), tls=trusting(authority))
    client = await relay.connect()
    await client.send(get())
    peer = await upstream.accept()
    await peer.receive()
    await peer.send(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
    response = await client.message()
    assert response.status == 503
    assert "TLS" in json.loads(response.body)["error"]["message"]
