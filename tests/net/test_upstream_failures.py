"""Every failure of the upstream is a proper answer before the head and a visible cut after it."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from .conftest import Serve
from .kit import COMPLETION, EVENT_STREAM, Ended, Message, ScriptedUpstream, Wire, answer, chunk, get, post


def error_of(response: Message) -> dict[str, object]:
    """The error document, checked for the shape that both families of SDK read."""
    assert response.head[b"content-type"] == b"application/json"
    assert response.head[b"x-relay-id"]
    document = json.loads(response.body)
    assert document["type"] == "error"
    error = document["error"]
    assert set(error) == {"type", "code", "message", "param"}
    assert error["message"]
    return dict(error)


def unused_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def test_connection_refused(serve: Serve) -> None:
    port = unused_port()
    relay = await serve(f"http://127.0.0.1:{port}")
    client = await relay.connect()
    await client.send(get())
    response = await client.message()
    assert response.status == 503
    error = error_of(response)
    assert error["code"] == "upstream_unreachable"
    assert f"127.0.0.1:{port}" in str(error["message"])
    await client.send(get())  # nothing was wrong with the client: its connection goes on
    assert (await client.message()).status == 503


async def test_unix_socket_that_is_not_there(serve: Serve, tmp_path: Path) -> None:
    relay = await serve(f"unix:{tmp_path}/none.sock")
    client = await relay.connect()
    await client.send(get())
    response = await client.message()
    assert response.status == 503
    assert f"{tmp_path}/none.sock" in str(error_of(response)["message"])


async def test_a_name_that_does_not_resolve(serve: Serve) -> None:
    relay = await serve("http://no-such-host.invalid:8000")
    client = await relay.connect()
    await client.send(get())
    response = await client.message()
    assert response.status == 503
    assert "no-such-host.invalid" in str(error_of(response)["message"])


async def test_a_connection_that_is_not_accepted_in_time(serve: Serve) -> None:
    """A full backlog: the system drops the SYN and nobody answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
            fillers.append(filler)
        relay = await serve(f"http://127.0.0.1:{full.getsockname()[1]}", connect=0.1)
        client = await relay.connect()
        await client.send(get())
        response = await client.message()
        for filler in fillers:
            filler.close()
    assert response.status == 504
    assert error_of(response)["code"] == "upstream_timeout"


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\ncontent-le"])
async def test_closed_before_a_whole_head(
    serve: Serve, upstream: ScriptedUpstream, how: str, sent: bytes
) -> None:
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(post(b"x"))
    peer = await upstream.accept()
    await peer.message()
    await peer.send(sent)
    await relay.settle()
    getattr(peer, how)()
    response = await client.message()
    assert response.status == 502
    assert error_of(response)["code"] == "upstream_closed"
    assert upstream.nobody_waits()  # a POST is not sent twice
    await client.send(post(b"y"))  # and the client's connection goes on
    peer = await upstream.accept()
    await peer.message()
    await peer.send(answer(b"fine"))
    assert (await client.message()).body == b"fine"


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_closed_as_soon_as_accepted(serve: Serve, upstream: ScriptedUpstream, how: str) -> None:
    """The end may be seen before the exchange that dialled has its turn; it must hear of it all the same."""

    async def slam(peer: Wire) -> None:
        getattr(peer, how)()

    upstream.serve(slam)
    relay = await serve(upstream, head=0.5)
    for _ in range(5):
        client = await relay.connect()
        await client.send(post(b"x"))
        assert (await client.message()).status == 502


async def test_a_reset_during_an_upload_is_no_end_of_the_body(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    """A write that fails takes the reset with it, and the next read looks like a clean end (until close)."""
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(get(b"/", b"content-length: 1000", method=b"POST") + b"1")
    peer = await upstream.accept()
    await peer.head()
    assert await peer.read_exactly(1) == b"1"
    await peer.send(b"HTTP/1.1 200 OK\r\n\r\nhalf of it")
    await client.head()
    assert await client.chunk() == b"half of it"
    client.sock.send(b"2")
    peer.reset()
    assert await client.rest() == b""  # no last chunk


async def test_closed_after_an_informational_head(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(get())
    peer = await upstream.accept()
    await peer.head()
    await peer.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
    assert (await client.head()).status == 103
    peer.close()
    assert (await client.message()).status == 502


OK = b"HTTP/1.1 200 OK\r\n"
BAD_RESPONSE_HEADS = {
    "garbage": b"\x00\x01garbage\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\ncontent-length: 0\n\n",
    "bare LF in one line": OK + b"x: y\ncontent-length: 0\r\n\r\n",
    "folded line": OK + b"x: y\r\n z\r\ncontent-length: 0\r\n\r\n",
    "control byte": OK + b"x: \x01\r\ncontent-length: 0\r\n\r\n",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.2": b"HTTP/1.2 200 OK\r\ncontent-length: 0\r\n\r\n",
    "status 999": b"HTTP/1.1 999 What\r\ncontent-length: 0\r\n\r\n",
    "status 600": b"HTTP/1.1 600 What\r\ncontent-length: 0\r\n\r\n",
    "status 99": b"HTTP/1.1 99 What\r\ncontent-length: 0\r\n\r\n",
    "length beside chunked": OK + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": OK + b"content-length: 5\r\ncontent-length: 6\r\n\r\n",
    "length -1": OK + b"content-length: -1\r\n\r\n",
    "length above 2^64": OK + b"content-length: 18446744073709551621\r\n\r\n",
    "unknown coding": OK + b"transfer-encoding: gzip\r\n\r\n",
    "space before the colon": OK + b"content-length : 0\r\n\r\n",
    "too many fields": OK + b"x: y\r\n" * 101 + b"\r\n",
    "too many bytes": OK + b"x: " + b"y" * 65536 + b"\r\n\r\n",
    "too many bytes without end": OK + b"x: " + b"y" * 70000,
    "unasked 101": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
}


@pytest.mark.parametrize("name", BAD_RESPONSE_HEADS)
async def test_bad_response_heads_become_502(serve: Serve, upstream: ScriptedUpstream, name: str) -> None:
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(get())
    peer = await upstream.accept()
    await peer.head()
    await peer.send(BAD_RESPONSE_HEADS[name])
    response = await client.message()
    assert response.status == 502
    assert error_of(response)["code"] == "upstream_protocol_error"
    await peer.gone()  # such a connection is not used again
    await client.send(get(b"/next"))
    peer = await upstream.accept()
    assert (await peer.head()).target == b"/next"


async def test_an_error_answer_to_head_has_no_body(serve: Serve) -> None:
    relay = await serve(f"http://127.0.0.1:{unused_port()}")
    client = await relay.connect()
    await client.send(get(method=b"HEAD"))
    head = await client.head()
    assert head.status == 503
    await client.send(get())
    assert (await client.message()).status == 503  # nothing stood between the two heads


async def test_an_error_answer_to_http_1_0(serve: Serve) -> None:
    relay = await serve(f"http://127.0.0.1:{unused_port()}")
    client = await relay.connect()
    await client.send(b"GET / HTTP/1.0\r\n\r\n")
    response = await client.message()
    assert response.status == 503
    assert error_of(response)
    assert await client.read_to_end() == b""


async def test_a_silent_upstream_times_out(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream, head=0.05)
    client = await relay.connect()
    await client.send(post(b"x", target=COMPLETION))
    peer = await upstream.accept()
    await peer.gone()
    response = await client.message()
    assert response.status == 504
    assert error_of(response)["code"] == "upstream_timeout"


async def test_silence_between_head_and_first_frame(serve: Serve, upstream: ScriptedUpstream) -> None:
    """The head of a stream was held, so the answer can still be the true one."""
    relay = await serve(upstream, first_frame=0.05)
    client = await relay.connect()
    await client.send(post(b"x", target=COMPLETION))
    peer = await upstream.accept()
    await peer.message()
    await peer.send(EVENT_STREAM)
    response = await client.message()
    assert response.status == 504
    assert error_of(response)


@pytest.mark.parametrize("how", ["close", "reset", "bad chunk"])
async def test_a_stream_that_dies_before_its_first_frame(
    serve: Serve, upstream: ScriptedUpstream, how: str
) -> None:
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(post(b"x", target=COMPLETION))
    peer = await upstream.accept()
    await peer.message()
    await peer.send(EVENT_STREAM + chunk(b"data: unfinish"))
    await relay.settle()
    assert client.waiting() == b""
    if how == "bad chunk":
        await peer.send(b"zzz\r\n")
    else:
        getattr(peer, how)()
    response = await client.message()
    assert response.status == 502
    assert error_of(response)


async def test_silence_inside_a_stream_cuts_it(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream, idle=0.05)
    client = await relay.connect()
    await client.send(post(b"x", target=COMPLETION))
    peer = await upstream.accept()
    await peer.message()
    await peer.send(EVENT_STREAM + chunk(b"data: 1\n\n"))
    await client.head()
    assert await client.chunk() == b"data: 1\n\n"
    assert await client.read_to_end() == b""  # closed, without the last chunk
    await peer.gone()


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_length_body_that_ends_short(serve: Serve, upstream: ScriptedUpstream, how: str) -> None:
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(get())
    peer = await upstream.accept()
    await peer.head()
    await peer.send(OK + b"content-length: 10\r\n\r\n12345")
    head = await client.head()
    assert await client.read_exactly(5) == b"12345"
    getattr(peer, how)()
    with pytest.raises((Ended, ConnectionResetError)):
        await client.message(head)


BAD_CHUNKS = {
    "no size": b"xyz\r\n",
    "a chunk longer than its size": b"1\r\nabc\r\n",
    "bare LF": b"1\na\n",
    "size of 16 digits": b"0000000000000001\r\na\r\n",
    "last chunk with bare LF": b"0\n\n",
    "trailers without end": b"0\r\n" + b"x: y\r\n" * 4000,
}


@pytest.mark.parametrize("name", BAD_CHUNKS)
async def test_a_malformed_body_is_cut(serve: Serve, upstream: ScriptedUpstream, name: str) -> None:
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(get())
    peer = await upstream.accept()
    await peer.head()
    await peer.send(OK + b"transfer-encoding: chunked\r\n\r\n" + chunk(b"good"))
    await client.head()
    assert await client.chunk() == b"good"
    await peer.send(BAD_CHUNKS[name])
    assert b"0\r\n" not in await client.read_to_end()
    await peer.gone()


async def test_bytes_after_a_response_end_the_connection(serve: Serve, upstream: ScriptedUpstream) -> None:
    """A response that nobody asked for must not answer the next request."""
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(get(b"/1"))
    peer = await upstream.accept()
    await peer.head()
    await peer.send(answer(b"one") + answer(b"stray"))
    assert (await client.message()).body == b"one"
    await peer.gone()
    await client.send(get(b"/2"))
    peer = await upstream.accept()
    assert (await peer.head()).target == b"/2"
    await peer.send(answer(b"two"))
    assert (await client.message()).body == b"two"
