"""What h11 tolerates and a relay must not: refused and closed, with nothing sent upstream.

The cases are those in which two peers can read the same bytes differently, which is how requests
are smuggled, and those that would cost memory without bound.
"""

from __future__ import annotations

import json

import pytest

from relay.config import Limits

from .conftest import Serve
from .kit import ScriptedUpstream, answer, get, post

H = b"host: a\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"

BAD_HEADS = {
    "bare LF": (400, b"GET / HTTP/1.1\nhost: a\n\n"),
    "bare LF in one line": (400, b"GET / HTTP/1.1\r\nhost: a\nx: y\r\n\r\n"),
    "bare LF, head never ends": (400, b"GET / HTTP/1.1\r\nhost: a\nx: y\r\n"),
    "bare CR": (400, b"GET / HTTP/1.1\r\nhost: a\r\nx: a\rb: c\r\n\r\n"),
    "folded line": (400, b"GET / HTTP/1.1\r\n" + H + b"x: a\r\n b\r\n\r\n"),
    "folded chunked": (400, b"POST / HTTP/1.1\r\n" + H + b"transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    "folded with a tab": (400, b"GET / HTTP/1.1\r\n" + H + b"x: a\r\n\tb\r\n\r\n"),
    "blank before the first field": (400, b"GET / HTTP/1.1\r\n x: y\r\n" + H + b"\r\n"),
    "control byte 0x01": (400, b"GET / HTTP/1.1\r\n" + H + b"x: a\x01b\r\n\r\n"),
    "control byte 0x1f": (400, b"GET / HTTP/1.1\r\n" + H + b"x: a\x1fb\r\n\r\n"),
    "control byte 0x7f": (400, b"GET / HTTP/1.1\r\n" + H + b"x: a\x7fb\r\n\r\n"),
    "NUL": (400, b"GET / HTTP/1.1\r\n" + H + b"x: a\x00b\r\n\r\n"),
    "HTTP/1.2": (505, b"GET / HTTP/1.2\r\n" + H + b"\r\n"),
    "HTTP/2.0": (505, b"GET / HTTP/2.0\r\n" + H + b"\r\n"),
    "HTTP/9.9": (505, b"GET / HTTP/9.9\r\n" + H + b"\r\n"),
    "HTTP/0.9": (505, b"GET / HTTP/0.9\r\n" + H + b"\r\n"),
    "HTTP/2 preface": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "HTTP/1.10": (505, b"GET / HTTP/1.10\r\n" + H + b"\r\n"),
    "no version": (400, b"GET /\r\n" + H + b"\r\n"),
    "not HTTP at all": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    "length beside chunked": (
        400,
        b"POST / HTTP/1.1\r\n" + H + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "chunked beside length": (
        400,
        b"POST / HTTP/1.1\r\n" + H + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
    ),
    "chunked in HTTP/1.0": (400, b"POST / HTTP/1.0\r\n" + H + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    "unknown coding": (400, b"POST / HTTP/1.1\r\n" + H + b"transfer-encoding: gzip, chunked\r\n\r\n"),
    "chunked twice": (400, b"POST / HTTP/1.1\r\n" + H + b"transfer-encoding: chunked, chunked\r\n\r\n"),
    "two chunked fields": (
        400,
        b"POST / HTTP/1.1\r\n" + H + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
    ),
    "identity beside chunked": (
        400,
        b"POST / HTTP/1.1\r\n" + H + b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n",
    ),
    "two lengths": (400, b"POST / HTTP/1.1\r\n" + H + b"content-length: 5\r\ncontent-length: 6\r\n\r\n"),
    "a list of lengths": (400, b"POST / HTTP/1.1\r\n" + H + b"content-length: 5, 6\r\n\r\n"),
    "length +5": (400, b"POST / HTTP/1.1\r\n" + H + b"content-length: +5\r\n\r\n"),
    "length -5": (400, b"POST / HTTP/1.1\r\n" + H + b"content-length: -5\r\n\r\n"),
    "length 0x5": (400, b"POST / HTTP/1.1\r\n" + H + b"content-length: 0x5\r\n\r\n"),
    "length 1_0": (400, b"POST / HTTP/1.1\r\n" + H + b"content-length: 1_0\r\n\r\n"),
    "length 5.0": (400, b"POST / HTTP/1.1\r\n" + H + b"content-length: 5.0\r\n\r\n"),
    "length of other digits": (400, b"POST / HTTP/1.1\r\n" + H + "content-length: \u0665\r\n\r\n".encode()),
    "length above 2^64": (400, b"POST / HTTP/1.1\r\n" + H + b"content-length: 18446744073709551621\r\n\r\n"),
    "length of 19 digits": (400, b"POST / HTTP/1.1\r\n" + H + b"content-length: 1000000000000000000\r\n\r\n"),
    "empty length": (400, b"POST / HTTP/1.1\r\n" + H + b"content-length: \r\n\r\n"),
    "no Host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "two Hosts": (400, b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"),
    "Host with a path": (400, b"GET / HTTP/1.1\r\nhost: a/b\r\n\r\n"),
    "Host with a user": (400, b"GET / HTTP/1.1\r\nhost: u@a\r\n\r\n"),
    "Host with a blank": (400, b"GET / HTTP/1.1\r\nhost: a b\r\n\r\n"),
    "Host with a bad port": (400, b"GET / HTTP/1.1\r\nhost: a:b\r\n\r\n"),
    "another host in the target": (400, b"GET http://b/ HTTP/1.1\r\nhost: a\r\n\r\n"),
    "a user in the target": (400, b"GET http://u:p@a/ HTTP/1.1\r\nhost: u:p@a\r\n\r\n"),
    "CONNECT": (400, b"CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n"),
    "CONNECT with a path": (400, b"CONNECT / HTTP/1.1\r\nhost: a\r\n\r\n"),
    "fragment": (400, b"GET /a#b HTTP/1.1\r\n" + H + b"\r\n"),
    "target without a slash": (400, b"GET a HTTP/1.1\r\n" + H + b"\r\n"),
    "asterisk with GET": (400, b"GET * HTTP/1.1\r\n" + H + b"\r\n"),
    "ftp": (400, b"GET ftp://a/ HTTP/1.1\r\n" + H + b"\r\n"),
    "blank in the target": (400, b"GET /a b HTTP/1.1\r\n" + H + b"\r\n"),
    "raw byte above ASCII in the target": (400, b"GET /\xe2\x82\xac HTTP/1.1\r\n" + H + b"\r\n"),
    "space before the colon": (400, b"GET / HTTP/1.1\r\n" + H + b"x : y\r\n\r\n"),
    "no colon": (400, b"GET / HTTP/1.1\r\n" + H + b"xy\r\n\r\n"),
    "empty name": (400, b"GET / HTTP/1.1\r\n" + H + b": y\r\n\r\n"),
    "name that is no token": (400, b"GET / HTTP/1.1\r\n" + H + b"x(y): z\r\n\r\n"),
    "method that is no token": (400, b"G(T / HTTP/1.1\r\n" + H + b"\r\n"),
    "too many fields": (431, b"GET / HTTP/1.1\r\n" + H + b"x: y\r\n" * 100 + b"\r\n"),
    "too many bytes at once": (431, b"GET / HTTP/1.1\r\n" + H + b"x: " + b"y" * 65536 + b"\r\n\r\n"),
    "too many bytes without end": (431, b"GET / HTTP/1.1\r\n" + H + b"x: " + b"y" * 70000),
    "too long a target": (431, b"GET /" + b"y" * 65536 + b" HTTP/1.1\r\n" + H + b"\r\n"),
}


@pytest.mark.parametrize("name", BAD_HEADS)
async def test_bad_heads_are_refused_and_closed(serve: Serve, upstream: ScriptedUpstream, name: str) -> None:
    status, raw = BAD_HEADS[name]
    relay = await serve(upstream)
    client = await relay.connect()
    # A request hidden behind the bad head must not be served either.
    await client.send(raw + get(b"/smuggled"))
    response = await client.message()
    assert response.status == status
    assert response.head[b"connection"] == b"close"
    assert response.head[b"content-type"] == b"application/json"
    error = json.loads(response.body)["error"]
    assert error["message"]
    assert error["code"]
    assert await client.read_to_end() == b""
    assert upstream.nobody_waits()


async def test_a_bad_head_after_a_good_request(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(get(b"/good") + b"GET /bad HTTP/1.1\nhost: a\n\n")
    peer = await upstream.accept()
    await peer.head()
    await peer.send(answer(b"good"))
    assert (await client.message()).body == b"good"
    assert (await client.message()).status == 400
    assert await client.read_to_end() == b""


async def test_heads_at_the_limits_pass(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream, limits=Limits(head=4096))
    client = await relay.connect()
    few = get(b"/", *[b"x: y"] * 99)
    await client.send(few)
    peer = await upstream.accept()
    assert len((await peer.head()).all(b"x")) == 99
    await peer.send(answer(b"fields"))
    assert (await client.message()).status == 200
    start = get()[:-2]
    whole = start + b"x: " + b"y" * (4096 - len(start) - 7) + b"\r\n\r\n"
    assert len(whole) == 4096
    await client.send(whole)
    await peer.head()
    await peer.send(answer(b"bytes"))
    assert (await client.message()).status == 200


BAD_BODIES = {
    "no size": b"x\r\n",
    "size with a sign": b"+1\r\na\r\n",
    "size with 0x": b"0x1\r\na\r\n",
    "size of 16 digits": b"0000000000000001\r\na\r\n",
    "size above 2^64": b"10000000000000001\r\na\r\n",
    "blank before the size": b" 1\r\na\r\n",
    "bare LF after the size": b"1\na\r\n",
    "bare CR in an extension": b"1;a\rb\r\na\r\n",
    "bare LF in an extension": b"1;a\nb\r\na\r\n",
    "bare LF after a chunk": b"1\r\na\n1\r\na\r\n",
    "a chunk longer than its size": b"1\r\nabc\r\n",
    "last chunk with bare LF": b"0\n\n",
    "extensions without end": b"1;" + b"x" * 20000 + b"\r\na\r\n",
    "extensions in many chunks": (b"1;" + b"x" * 200 + b"\r\na\r\n") * 100,
    "trailers without end": b"0\r\n" + b"x: y\r\n" * 4000,
    "trailer that is none": b"0\r\nno field\r\n\r\n",
    "folded trailer": b"0\r\nx: y\r\n z\r\n\r\n",
}


@pytest.mark.parametrize("name", BAD_BODIES)
async def test_bad_chunked_requests_are_refused(serve: Serve, upstream: ScriptedUpstream, name: str) -> None:
    """400 and close for the client; the upstream sees an upload that never ends properly."""
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(CHUNKED + BAD_BODIES[name])
    peer = await upstream.accept()
    response = await client.message()
    assert response.status == 400
    assert response.head[b"connection"] == b"close"
    assert "body" in json.loads(response.body)["error"]["message"]
    assert not (await peer.rest()).endswith(b"0\r\n\r\n")
    assert await client.read_to_end() == b""


async def test_a_head_that_never_ends_in_time(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream, client_head=0.05)
    client = await relay.connect()
    await client.send(b"GET / HTTP/1.1\r\nhost:")
    response = await client.message()
    assert response.status == 408
    assert await client.read_to_end() == b""


async def test_a_head_that_trickles_is_not_pardoned(serve: Serve, upstream: ScriptedUpstream) -> None:
    """The limit is for the whole head: a byte now and then does not push it back."""
    relay = await serve(upstream, client_head=0.2)
    client = await relay.connect()
    await client.send(b"GET / HTTP/1.1\r\nhost: a\r\nx: ")
    answered = False
    for _ in range(2000):
        if client.waiting():
            answered = True
            break
        await client.send(b"y")
        await relay.settle()
    assert answered
    assert (await client.message()).status == 408


async def test_a_body_that_stops_coming(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream, client_body=0.05)
    client = await relay.connect()
    await client.send(post(b"half")[:-2])
    peer = await upstream.accept()
    await peer.head()
    response = await client.message()
    assert response.status == 408
    await peer.gone()
    assert await client.read_to_end() == b""
