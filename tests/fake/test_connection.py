"""The fake on the wire: framing, keep-alive, what it refuses, and clients that leave."""

from __future__ import annotations

import asyncio
import contextlib
import re

import orjson
import pytest

from relay.fake import connection
from relay.fake.connection import MAX_BODY, Connection, Pace

BODY = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}'
LIMIT = 20  # seconds until a test that hangs is given up


def post(
    body: bytes, *fields: bytes, version: bytes = b"1.1", target: bytes = b"/v1/chat/completions"
) -> bytes:
    head = [b"POST %b HTTP/%b" % (target, version), b"Host: x", *fields, b"", b""]
    return b"\r\n".join(head) + body


def sized(body: bytes = BODY, *fields: bytes, **options: bytes) -> bytes:
    return post(body, b"Content-Length: %d" % len(body), *fields, **options)


HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


@contextlib.asynccontextmanager
async def connect(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(LIMIT):
            yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def head_and_body(reader):
    """One response with a content-length."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(re.search(rb"content-length: (\d+)", head)[1])
    return head, await reader.readexactly(length)


async def test_every_frame_is_one_chunk(port):
    async with connect(port) as (reader, writer):
        writer.write(sized())
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"transfer-encoding: chunked" in head
        assert b"content-type: text/event-stream" in head
        chunks = []
        while size := int(await reader.readuntil(b"\r\n"), 16):
            chunks.append(await reader.readexactly(size))
            assert await reader.readexactly(2) == b"\r\n"
        assert await reader.readexactly(2) == b"\r\n"
        assert all(chunk.startswith(b"data: ") and chunk.count(b"\n\n") == 1 for chunk in chunks)
        assert chunks[-1] == b"data: [DONE]\n\n"
        writer.write(HEALTH)  # and the connection goes on
        assert (await head_and_body(reader))[1] == b'{"status":"ok"}'


async def test_pipelined_requests_are_answered_in_order(port):
    async with connect(port) as (reader, writer):
        document = BODY.replace(b"true", b"false")
        writer.write(b"\r\n" + sized(document) + HEALTH + sized() + HEALTH)
        assert orjson.loads((await head_and_body(reader))[1])["object"] == "chat.completion"
        assert (await head_and_body(reader))[1] == b'{"status":"ok"}'
        assert (await reader.readuntil(b"\r\n0\r\n\r\n")).count(b"data: ") > 3
        assert (await head_and_body(reader))[1] == b'{"status":"ok"}'


async def test_a_request_in_single_bytes_and_a_chunked_body(port):
    async with connect(port) as (reader, writer):
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (BODY[:9], BODY[9:]))
        for byte in post(chunks + b"0\r\n\r\n", b"Transfer-Encoding: chunked"):
            writer.write(bytes([byte]))
            await writer.drain()
        assert (await reader.readuntil(b"[DONE]\n\n")).startswith(b"HTTP/1.1 200")


async def test_http_1_0_has_no_chunks_and_ends_with_the_connection(port):
    async with connect(port) as (reader, writer):
        writer.write(sized(version=b"1.0"))
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        assert b"transfer-encoding" not in head
        assert body.startswith(b"data: {")
        assert body.endswith(b"\n\ndata: [DONE]\n\n")


async def test_connection_close_is_honoured(port):
    async with connect(port) as (reader, writer):
        writer.write(sized(BODY, b"Connection: close"))
        assert (await reader.read()).endswith(b"\r\n0\r\n\r\n")


async def test_expect_continue(port):
    async with connect(port) as (reader, writer):
        writer.write(post(b"", b"Content-Length: %d" % len(BODY), b"Expect: 100-continue"))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        writer.write(BODY)
        assert (await reader.readuntil(b"[DONE]\n\n")).startswith(b"HTTP/1.1 200 ")


async def test_head_has_no_body(port):
    async with connect(port) as (reader, writer):
        writer.write(HEALTH.replace(b"GET", b"HEAD") + HEALTH)
        assert b"content-length: 15" in await reader.readuntil(b"\r\n\r\n")
        assert (await head_and_body(reader))[1] == b'{"status":"ok"}'


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"rubbish\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),  # TLS
        (b"GET / HTTP/1.1\nHost: x\n\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 70_000, 431),
        (post(b"5\r\nhello", b"Transfer-Encoding: chunked", b"Content-Length: 5"), 400),
        (post(b"zz\r\n", b"Transfer-Encoding: chunked"), 400),
        (post(b"", b"Content-Length: %d" % (MAX_BODY + 1)), 413),
        (post(b"", b"Content-Length: %d" % (MAX_BODY + 1), b"Expect: 100-continue"), 413),
    ],
)
async def test_rubbish_is_refused_and_the_connection_closed(port, sent, status):
    async with connect(port) as (reader, writer):
        writer.write(sent)
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert b"connection: close" in answer
        assert orjson.loads(answer.split(b"\r\n\r\n")[1])["error"]["message"]
    async with connect(port) as (reader, writer):
        writer.write(HEALTH)
        assert (await head_and_body(reader))[1] == b'{"status":"ok"}'


async def test_a_chunked_body_above_the_limit_is_refused(port):
    async with connect(port) as (reader, writer):
        writer.write(post(b"%x\r\n" % (MAX_BODY + 9), b"Transfer-Encoding: chunked"))
        writer.write(bytes(MAX_BODY + 1))
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("sent", [b"", b"GET / HT", post(b"half", b"Content-Length: 50")])
async def test_a_client_that_closes_early_is_let_go(port, sent):
    async with connect(port) as (reader, writer):
        writer.write(sent)
        writer.write_eof()
        assert await reader.read() == b""


@pytest.mark.parametrize(("sent", "status"), [(b"", b""), (b"GET / HT", b"408"), (sized()[:-1], b"408")])
async def test_a_client_that_falls_silent_is_let_go(port, monkeypatch, sent, status):
    monkeypatch.setattr(connection, "SILENCE", 0.05)
    async with connect(port) as (reader, writer):
        writer.write(sent)
        assert (await reader.read())[9:12] == status


class Watched:
    """A server of one connection whose ``serve`` can be waited for."""

    def __init__(self) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def __call__(self, reader, writer) -> None:
        try:
            await Connection(Pace(rate=1 / 3600, deltas=9), reader, writer).serve()
        finally:
            self.ended.set_result(None)


@pytest.mark.parametrize("manner", ["close", "half-close", "reset", "after a pipelined request"])
async def test_a_client_that_leaves_between_two_deltas_ends_its_stream(manner):
    served = Watched()
    async with await asyncio.start_server(served, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(sized())
        # The role and the first word come at once, the second word in an hour.
        await reader.readuntil(b'"content":"This"')
        assert not served.ended.done()
        if manner == "half-close":
            writer.write_eof()
        elif manner == "reset":
            writer.transport.abort()
        elif manner == "close":
            writer.close()
        else:
            writer.write(HEALTH)
            writer.close()
        async with asyncio.timeout(LIMIT):
            await served.ended
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_streams_do_not_wait_for_each_other(slow_port):
    async with connect(slow_port) as (first, one), connect(slow_port) as (second, other):
        for writer in (one, other):
            writer.write(sized())
        await first.readuntil(b'"content":"This"')
        await second.readuntil(b'"content":"This"')
