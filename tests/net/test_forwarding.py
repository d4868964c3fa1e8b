"""Requests and responses pass whole: any method, path, body and framing, in both directions."""

from __future__ import annotations

import asyncio
import socket

import pytest

from relay.net.server import ClientConnection

from .conftest import Serve
from .kit import Message, RunningRelay, ScriptedUpstream, Wire, answer, chunk, echo, get, post

BINARY = bytes(range(256)) * 40


async def exchange(
    relay: RunningRelay, upstream: ScriptedUpstream, request: bytes, response: bytes
) -> tuple[Message, Message, Wire]:
    """One request over connections of its own: what the upstream got, what the client got."""
    client = await relay.connect()
    await client.send(request)
    peer = await upstream.accept()
    got = await peer.message()
    await peer.send(response)
    method = request.split(b" ", 1)[0]
    head = await client.head()
    bodyless = method == b"HEAD" or head.status in (204, 304)
    return got, await client.message(head, has_body=not bodyless), client


@pytest.mark.parametrize(
    "method", [b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"PROPFIND", b"M-X"]
)
async def test_any_method_with_a_body(serve: Serve, upstream: ScriptedUpstream, method: bytes) -> None:
    relay = await serve(upstream)
    request = get(b"/x", b"content-length: 3", method=method) + b"abc"
    got, response, _ = await exchange(relay, upstream, request, answer(b"done"))
    assert got.head.line == method + b" /x HTTP/1.1"
    assert got.body == b"abc"
    assert (response.status, response.body) == (200, b"done")


@pytest.mark.parametrize(
    "target",
    [
        b"/",
        b"/a/b/c?x=1&y=%20z&empty=",
        b"/v1/models/gpt%2F4?",
        b"//double//slash",
        b"/semi;colon=1,2",
        b"/%E2%82%AC/~user/!$&'()*+,;=:@",
        b"/" + b"long" * 2000,
    ],
)
async def test_any_path_passes_as_it_is(serve: Serve, upstream: ScriptedUpstream, target: bytes) -> None:
    relay = await serve(upstream)
    got, response, _ = await exchange(relay, upstream, get(target), answer(b"ok"))
    assert got.head.target == target
    assert response.status == 200


@pytest.mark.parametrize(
    "content_type",
    [
        b"application/octet-stream",
        b"multipart/form-data; boundary=xyz",
        b"audio/mpeg",
        b"text/plain;charset=utf-8",
    ],
)
async def test_any_content_type_with_binary_bodies(
    serve: Serve, upstream: ScriptedUpstream, content_type: bytes
) -> None:
    relay = await serve(upstream)
    field = b"content-type: " + content_type
    got, response, _ = await exchange(relay, upstream, post(BINARY, field), answer(BINARY, field))
    assert got.body == BINARY
    assert got.head[b"content-type"] == content_type
    assert response.body == BINARY
    assert response.head[b"content-type"] == content_type
    assert response.head[b"content-length"] == b"%d" % len(BINARY)


async def test_chunked_bodies_both_ways(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream)
    body = chunk(b"one ") + chunk(BINARY) + b"0\r\n\r\n"
    request = get(b"/", b"transfer-encoding: chunked", method=b"POST") + body
    response = (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        + chunk(BINARY)
        + chunk(b" two")
        + b"0\r\n\r\n"
    )
    got, received, _ = await exchange(relay, upstream, request, response)
    assert got.head[b"transfer-encoding"] == b"chunked"
    assert got.body == b"one " + BINARY
    assert received.body == BINARY + b" two"


async def test_chunked_request_bytes_pass_before_the_body_is_whole(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(get(b"/", b"transfer-encoding: chunked", method=b"POST") + chunk(b"first"))
    peer = await upstream.accept()
    head = await peer.head()
    assert await peer.chunk() == b"first"
    await client.send(chunk(b"second"))
    assert await peer.chunk() == b"second"
    await client.send(b"0\r\n\r\n")
    assert await peer.chunk() == b""
    assert await peer.trailers() == []
    await peer.send(answer(b"ok"))
    assert head[b"content-length"] is None
    assert (await client.message()).body == b"ok"


async def test_a_length_body_passes_before_it_is_whole(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(get(b"/", b"content-length: 10", method=b"POST") + b"12345")
    peer = await upstream.accept()
    head = await peer.head()
    assert await peer.read_exactly(5) == b"12345"
    await client.send(b"67890")
    assert await peer.read_exactly(5) == b"67890"
    assert head[b"content-length"] == b"10"
    await peer.send(answer(b""))
    assert (await client.message()).body == b""


async def test_a_response_body_passes_before_it_is_whole(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(get())
    peer = await upstream.accept()
    await peer.head()
    await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n")
    assert (await client.head())[b"content-length"] == b"6"
    await peer.send(b"abc")
    assert await client.read_exactly(3) == b"abc"
    await peer.send(b"def")
    assert await client.read_exactly(3) == b"def"


async def test_a_response_until_close_becomes_chunked(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(get())
    peer = await upstream.accept()
    await peer.head()
    await peer.send(b"HTTP/1.1 200 OK\r\n\r\nabc")
    head = await client.head()
    assert head[b"transfer-encoding"] == b"chunked"
    assert await client.chunk() == b"abc"
    await peer.send(b"def")
    assert await client.chunk() == b"def"
    peer.close()
    assert await client.chunk() == b""
    assert await client.trailers() == []
    await client.send(get(b"/again"))  # the client's connection can go on
    assert (await (await upstream.accept()).head()).target == b"/again"


@pytest.mark.parametrize(
    ("method", "status", "fields"),
    [
        (b"HEAD", b"200 OK", [b"content-length: 1234"]),
        (b"HEAD", b"200 OK", [b"transfer-encoding: chunked"]),
        (b"HEAD", b"404 Not Found", [b"content-length: 9"]),
        (b"GET", b"204 No Content", []),
        (b"DELETE", b"204 No Content", [b"x-left: 0"]),
        (b"GET", b"304 Not Modified", [b'etag: "x"']),
        (b"GET", b"304 Not Modified", [b"content-length: 1234"]),
    ],
)
async def test_responses_without_a_body(
    serve: Serve, upstream: ScriptedUpstream, method: bytes, status: bytes, fields: list[bytes]
) -> None:
    """The next response on the same connections begins right after the head."""
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(get(method=method))
    peer = await upstream.accept()
    await peer.head()
    await peer.send(b"\r\n".join([b"HTTP/1.1 " + status, *fields]) + b"\r\n\r\n")
    head = await client.head()
    assert head.line == b"HTTP/1.1 " + status
    for line in fields:
        name, value = line.split(b": ")
        assert head[name] == value
    if status.startswith(b"204"):
        assert head[b"content-length"] is None
        assert head[b"transfer-encoding"] is None
    await client.send(get(b"/next"))
    assert (await peer.head()).target == b"/next"
    await peer.send(answer(b"next"))
    assert (await client.message()).body == b"next"


async def test_informational_heads_pass(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(get())
    peer = await upstream.accept()
    await peer.head()
    await peer.send(b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n")
    hints = await client.head()
    assert hints.line == b"HTTP/1.1 103 Early Hints"
    assert hints[b"link"] == b"</a.css>; rel=preload"
    await peer.send(b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + answer(b"ok"))
    assert (await client.head()).status == 102
    assert (await client.head()).status == 103
    assert (await client.message()).body == b"ok"


async def test_informational_heads_do_not_reach_an_http_1_0_client(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(get(version=b"1.0"))
    peer = await upstream.accept()
    await peer.head()
    await peer.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" + answer(b"ok"))
    assert (await client.message()).status == 200


async def test_expect_100_continue_makes_its_round_trip(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(get(b"/", b"content-length: 4", b"expect: 100-continue", method=b"POST"))
    peer = await upstream.accept()
    assert (await peer.head())[b"expect"] == b"100-continue"
    await relay.settle()
    assert client.waiting() == b""  # relay promises nothing on the upstream's behalf
    await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert (await client.head()).line == b"HTTP/1.1 100 Continue"
    await client.send(b"body")
    assert await peer.read_exactly(4) == b"body"
    await peer.send(answer(b"taken"))
    assert (await client.message()).body == b"taken"


async def test_expect_100_continue_refused(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(get(b"/", b"content-length: 4", b"expect: 100-continue", method=b"POST"))
    peer = await upstream.accept()
    await peer.head()
    await peer.send(answer(b"no", status=b"417 Expectation Failed"))
    response = await client.message()
    assert (response.status, response.body) == (417, b"no")
    # Whether the body comes is up to the client; relay cannot know, so the connection ends.
    assert response.head[b"connection"] == b"close"
    assert await client.read_to_end() == b""


@pytest.mark.parametrize("framing", [b"content-length: 50000000", b"transfer-encoding: chunked"])
async def test_early_final_response_while_the_upload_goes_on(
    serve: Serve, upstream: ScriptedUpstream, framing: bytes
) -> None:
    """The upstream says 413 and reads no more; the client, still sending, gets all of it."""
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(get(b"/", framing, method=b"POST"))
    part = b"u" * 65536 if b"length" in framing else chunk(b"u" * 65536)
    await client.send(part)
    peer = await upstream.accept()
    await peer.head()
    await peer.send(answer(b"too large", b"connection: close", status=b"413 Payload Too Large"))
    await peer.gone()  # relay lets go of the upstream; it does not wait for the upload
    for _ in range(20):
        await client.send(part)  # still taken, not answered with a reset
    response = await client.message()
    assert (response.status, response.body) == (413, b"too large")
    assert response.head[b"connection"] == b"close"
    assert await client.read_to_end() == b""


async def test_a_slow_client_gets_all_of_an_early_response(serve: Serve, upstream: ScriptedUpstream) -> None:
    """The time to linger counts from when the response has left, not from when it was queued."""
    relay = await serve(upstream, linger=0.1)
    client = await relay.connect(rcvbuf=4096)
    await client.send(get(b"/", b"content-length: 50000000", method=b"POST") + b"u" * 1000)
    peer = await upstream.accept()
    await peer.head()
    (connection,) = relay.relay.clients
    assert isinstance(connection, ClientConnection)
    sock = connection.transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    body = b"b" * 50_000  # one read of relay's, and more than the two sockets hold
    await peer.send(answer(body, status=b"413 Payload Too Large"))
    await asyncio.sleep(0.3)  # longer than relay would linger
    assert (await client.message()).body == body


async def test_an_upstream_that_closes_after_its_early_response(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    """Unread upload makes that close a reset; the response that came first still counts."""
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(get(b"/", b"content-length: 1000000", method=b"POST") + b"x" * 1000)
    peer = await upstream.accept()
    await peer.head()
    await peer.send(answer(b"go away", status=b"401 Unauthorized"))
    peer.reset()
    response = await client.message()
    assert (response.status, response.body) == (401, b"go away")


async def test_http_1_0_client(serve: Serve, upstream: ScriptedUpstream) -> None:
    """No chunks, the end of the connection ends the body."""
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(b"GET /old HTTP/1.0\r\n\r\n")
    peer = await upstream.accept()
    head = await peer.head()
    assert head.line == b"GET /old HTTP/1.1"
    assert head[b"host"] == upstream.url.removeprefix("http://").encode()
    await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunk(b"abc"))
    got = await client.head()
    assert got[b"transfer-encoding"] is None
    assert got[b"content-length"] is None
    assert got[b"connection"] == b"close"
    assert await client.read_exactly(3) == b"abc"
    await peer.send(chunk(b"def") + b"0\r\n\r\n")
    assert await client.read_to_end() == b"def"


async def test_http_1_0_client_sees_a_cut_as_a_reset(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(b"GET / HTTP/1.0\r\n\r\n")
    peer = await upstream.accept()
    await peer.head()
    await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunk(b"abc"))
    await client.head()
    assert await client.read_exactly(3) == b"abc"
    peer.close()
    with pytest.raises(ConnectionResetError):
        await client.receive()


async def test_http_1_0_client_with_a_length_is_closed_cleanly(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(post(b"in", version=b"1.0"))
    peer = await upstream.accept()
    assert (await peer.message()).body == b"in"
    await peer.send(answer(b"out"))
    response = await client.message()
    assert response.body == b"out"
    assert await client.read_to_end() == b""


async def test_http_1_0_upstream(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(get())
    peer = await upstream.accept()
    await peer.head()
    await peer.send(b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok")
    response = await client.message()
    assert response.head.line == b"HTTP/1.1 200 OK"
    assert response.body == b"ok"
    await peer.gone()  # HTTP/1.0 keeps nothing alive


async def test_trailers_both_ways(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(get(b"/", b"te: trailers", b"transfer-encoding: chunked", method=b"POST"))
    await client.send(chunk(b"up") + b"0\r\nX-Checksum: abc\r\ncontent-length: 9\r\n\r\n")
    peer = await upstream.accept()
    request = await peer.message()
    assert request.body == b"up"
    assert request.trailers == [b"X-Checksum: abc"]  # and none that would steer framing
    assert request.head[b"te"] == b"trailers"
    await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: grpc-status\r\n\r\n")
    await peer.send(chunk(b"down") + b"0\r\ngrpc-status: 0\r\ngrpc-message: fine\r\n\r\n")
    response = await client.message()
    assert response.body == b"down"
    assert response.trailers == [b"grpc-status: 0", b"grpc-message: fine"]


async def test_pipelined_requests_are_answered_in_order(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream)
    upstream.serve(echo)
    client = await relay.connect()
    bodies = [b"request %d" % number for number in range(50)]
    await client.send(b"".join(map(post, bodies)))
    assert [(await client.message()).body for _ in bodies] == bodies


async def test_a_pipelined_request_waits_for_the_response_before_it(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(get(b"/1") + get(b"/2"))
    peer = await upstream.accept()
    assert (await peer.head()).target == b"/1"
    await relay.settle()
    assert peer.waiting() == b""
    assert upstream.nobody_waits()
    await peer.send(answer(b"one"))
    assert (await peer.head()).target == b"/2"
    await peer.send(answer(b"two"))
    assert [(await client.message()).body for _ in range(2)] == [b"one", b"two"]


async def test_pipelined_bytes_beyond_the_buffer_are_not_lost(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    """More pipelined than relay holds for a client: it stops reading, then goes on."""
    relay = await serve(upstream)
    client = await relay.connect()
    many = [post(b"%06d" % number + b"x" * 4000) for number in range(300)]
    await client.send(get(b"/slow"))
    peer = await upstream.accept()
    await peer.head()
    sending = asyncio.create_task(client.send(b"".join(many)))
    await relay.settle()
    await peer.send(answer(b"slow"))
    assert (await client.message()).body == b"slow"
    for number in range(300):
        assert (await peer.message()).body[:6] == b"%06d" % number
        await peer.send(answer(b"%06d" % number))
        assert (await client.message()).body == b"%06d" % number
    await sending


async def test_keep_alive_to_the_client(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream)
    upstream.serve(echo)
    client = await relay.connect()
    for number in range(20):
        await client.send(post(b"%d" % number))
        response = await client.message()
        assert response.body == b"%d" % number
        assert response.head[b"connection"] is None


async def test_connection_close_from_the_client(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream)
    upstream.serve(echo)
    client = await relay.connect()
    await client.send(post(b"last", b"connection: close"))
    response = await client.message()
    assert response.head[b"connection"] == b"close"
    assert await client.read_to_end() == b""


async def test_an_idle_client_is_closed(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream, keep_alive=0.05)
    client = await relay.connect()
    assert await client.read_to_end() == b""


async def test_a_head_cut_anywhere(serve: Serve, upstream: ScriptedUpstream) -> None:
    """Request and response byte by byte; the loop turns between the bytes."""
    relay = await serve(upstream)
    client = await relay.connect()
    for byte in post(b"abc"):
        await client.send(bytes([byte]))
        await asyncio.sleep(0)
    peer = await upstream.accept()
    assert (await peer.message()).body == b"abc"
    for byte in answer(b"xyz", b"x-a: b"):
        await peer.send(bytes([byte]))
        await asyncio.sleep(0)
    response = await client.message()
    assert response.body == b"xyz"
    assert response.head[b"x-a"] == b"b"


async def test_empty_lines_before_a_request_are_ignored(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream)
    upstream.serve(echo)
    client = await relay.connect()
    await client.send(b"\r\n" + post(b"one") + b"\r\n" + post(b"two"))
    assert [(await client.message()).body for _ in range(2)] == [b"one", b"two"]
