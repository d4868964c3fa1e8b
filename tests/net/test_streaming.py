"""Event streams: every delta at once, whole frames only, nothing that invites buffering.

A test never asks how long a delta took. The upstream does not send the next one before the client
has the one before, so a relay that held any back would hang it.
"""

from __future__ import annotations

import zlib

import pytest

from relay.config import Limits

from .conftest import Serve
from .kit import COMPLETION, EVENT_STREAM, RunningRelay, ScriptedUpstream, Wire, chunk, get, post

UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"


async def open_stream(
    relay: RunningRelay, upstream: ScriptedUpstream, request: bytes = b"", head: bytes = EVENT_STREAM
) -> tuple[Wire, Wire]:
    """Client and upstream of a stream whose head was sent and, being held, not yet received."""
    client = await relay.connect()
    await client.send(request or post(b"{}", target=COMPLETION))
    peer = await upstream.accept()
    await peer.message()
    await peer.send(head)
    return client, peer


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
async def test_each_delta_arrives_before_the_next_is_sent(
    serve: Serve, upstream: ScriptedUpstream, end: bytes
) -> None:
    client, peer = await open_stream(await serve(upstream), upstream)
    for number in range(100):
        frame = b'data: {"n":%d}' % number + end
        await peer.send(chunk(frame))
        if not number:
            await client.head()
        assert await client.chunk() == frame
    await peer.send(b"0\r\n\r\n")
    assert await client.chunk() == b""
    assert await client.trailers() == []


@pytest.mark.parametrize("head", [EVENT_STREAM, UNTIL_CLOSE], ids=["chunked", "until close"])
async def test_partial_frames_wait_for_their_rest(
    serve: Serve, upstream: ScriptedUpstream, head: bytes
) -> None:
    relay = await serve(upstream)
    client, peer = await open_stream(relay, upstream, head=head)
    wrap = chunk if head is EVENT_STREAM else bytes
    await peer.send(wrap(b"data: 1\n\ndata: ha"))
    await client.head()
    assert await client.chunk() == b"data: 1\n\n"
    for piece in (b"l", b"f", b"\n"):
        await peer.send(wrap(piece))
        await relay.settle()
        assert client.waiting() == b""
    await peer.send(wrap(b"\ndata: 3\n\n: next"))
    assert await client.chunk() == b"data: half\n\ndata: 3\n\n"
    await relay.settle()
    assert client.waiting() == b""


async def test_a_frame_cut_at_every_byte(serve: Serve, upstream: ScriptedUpstream) -> None:
    frame = b"event: x\r\ndata: \xe2\x82\xac\r\n\r\n"
    relay = await serve(upstream)
    client, peer = await open_stream(relay, upstream)
    whole = chunk(frame)
    received = b""
    for cut in range(1, len(whole)):
        await peer.send(whole[:cut])
        await relay.settle()
        await peer.send(whole[cut:])
        if cut == 1:
            await client.head()
        while not received.endswith(frame):
            received += await client.chunk()
        # The LF of a last CR LF may come on its own, but never a frame with its head missing.
        assert received == frame
        received = b""


async def test_head_and_first_frame_leave_in_one_write(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream)
    client, peer = await open_stream(relay, upstream)
    await relay.settle()
    assert client.waiting() == b""
    await peer.send(chunk(b"data: 1"))
    await relay.settle()
    assert client.waiting() == b""  # not for the beginning of a frame either
    await peer.send(chunk(b"\n\n"))
    both = await client.receive()
    assert both.startswith(b"HTTP/1.1 200 OK\r\n")
    assert both.endswith(b"\r\n\r\n9\r\ndata: 1\n\n\r\n")


async def test_head_and_first_frame_sent_together_arrive_together(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    client, _ = await open_stream(await serve(upstream), upstream, head=EVENT_STREAM + chunk(b"data: 1\n\n"))
    both = await client.receive()
    assert both.startswith(b"HTTP/1.1 200 OK\r\n")
    assert both.endswith(b"data: 1\n\n\r\n")


async def test_the_head_for_a_get_comes_at_once(serve: Serve, upstream: ScriptedUpstream) -> None:
    """A browser's EventSource is open when its head is there."""
    client, peer = await open_stream(await serve(upstream), upstream, get(b"/events"))
    assert (await client.head())[b"content-type"] == b"text/event-stream"
    await peer.send(chunk(b"data: 1\n\n"))
    assert await client.chunk() == b"data: 1\n\n"


async def test_an_empty_stream_has_its_head(serve: Serve, upstream: ScriptedUpstream) -> None:
    client, _ = await open_stream(await serve(upstream), upstream, head=EVENT_STREAM + b"0\r\n\r\n")
    message = await client.message()
    assert (message.status, message.body) == (200, b"")


@pytest.mark.parametrize(
    "own",
    [
        b"",
        b"cache-control: public, max-age=60\r\nx-accel-buffering: yes\r\n",
        b"Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n",
    ],
)
async def test_headers_against_buffering(serve: Serve, upstream: ScriptedUpstream, own: bytes) -> None:
    head = EVENT_STREAM[:-2] + own + b"\r\n"
    client, peer = await open_stream(await serve(upstream), upstream, head=head)
    await peer.send(chunk(b"data: 1\n\n"))
    got = await client.head()
    assert got.all(b"x-accel-buffering") == [b"no"]
    assert got.all(b"cache-control") == [b"no-cache, no-transform"]
    assert got[b"content-length"] is None
    assert got[b"content-encoding"] is None
    assert got[b"transfer-encoding"] == b"chunked"


@pytest.mark.parametrize("media_type", [b"text/event-stream; charset=utf-8", b"Text/Event-Stream"])
async def test_a_length_of_an_event_stream_is_dropped(
    serve: Serve, upstream: ScriptedUpstream, media_type: bytes
) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: " + media_type + b"\r\ncontent-length: 18\r\n\r\n"
    client, peer = await open_stream(await serve(upstream), upstream, head=head)
    await peer.send(b"data: 1\n\n")
    got = await client.head()
    assert got[b"content-length"] is None
    assert await client.chunk() == b"data: 1\n\n"
    await peer.send(b"data: 2\n\n")
    assert await client.chunk() == b"data: 2\n\n"
    assert await client.chunk() == b""


async def test_the_headers_are_for_event_streams_only(serve: Serve, upstream: ScriptedUpstream) -> None:
    client = await (await serve(upstream)).connect()
    await client.send(get())
    peer = await upstream.accept()
    await peer.head()
    await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\ncache-control: max-age=60\r\n\r\n")
    got = await client.head()
    assert got[b"x-accel-buffering"] is None
    assert got.all(b"cache-control") == [b"max-age=60"]


async def test_a_body_of_unknown_length_streams_too(serve: Serve, upstream: ScriptedUpstream) -> None:
    """Not an event stream (NDJSON): there are no frames to wait for."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n"
    client, peer = await open_stream(await serve(upstream), upstream, head=head)
    assert (await client.head()).status == 200
    for piece in (b'{"a"', b":1}\n", b"x"):
        await peer.send(chunk(piece))
        assert await client.chunk() == piece


def _compressor(coding: str) -> zlib._Compress:
    bits = {"gzip": 31, "deflate": 15, "bare deflate": -15}[coding]
    return zlib.compressobj(wbits=bits)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "bare deflate"])
async def test_a_compressed_stream_is_inflated_frame_by_frame(
    serve: Serve, upstream: ScriptedUpstream, coding: str
) -> None:
    field = b"content-encoding: " + coding.split()[-1].encode() + b"\r\n\r\n"
    client, peer = await open_stream(await serve(upstream), upstream, head=EVENT_STREAM[:-2] + field)
    compressor = _compressor(coding)
    for number in range(20):
        frame = b"data: %d\n\n" % number
        await peer.send(chunk(compressor.compress(frame) + compressor.flush(zlib.Z_SYNC_FLUSH)))
        if not number:
            assert (await client.head())[b"content-encoding"] is None
        assert await client.chunk() == frame
    await peer.send(chunk(compressor.flush()) + b"0\r\n\r\n")
    assert await client.chunk() == b""


async def test_a_bomb_is_cut(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream, limits=Limits(frame=100_000))
    field = b"content-encoding: gzip\r\n\r\n"
    client, peer = await open_stream(relay, upstream, head=EVENT_STREAM[:-2] + field)
    compressor = _compressor("gzip")
    first = compressor.compress(b"data: 1\n\n") + compressor.flush(zlib.Z_SYNC_FLUSH)
    await peer.send(chunk(first))
    await client.head()
    assert await client.chunk() == b"data: 1\n\n"
    await peer.send(chunk(compressor.compress(b"x" * 10_000_000) + compressor.flush()))
    assert await client.read_to_end() == b""
    await peer.gone()


async def test_an_opaque_coding_passes_as_it_is(serve: Serve, upstream: ScriptedUpstream) -> None:
    field = b"content-encoding: br\r\n\r\n"
    client, peer = await open_stream(await serve(upstream), upstream, head=EVENT_STREAM[:-2] + field)
    assert (await client.head())[b"content-encoding"] == b"br"
    await peer.send(chunk(b"\x0b\x02"))
    assert await client.chunk() == b"\x0b\x02"


async def test_a_frame_above_the_limit_is_cut(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream, limits=Limits(frame=1000))
    client, peer = await open_stream(relay, upstream)
    await peer.send(chunk(b"data: fine\n\n"))
    await client.head()
    assert await client.chunk() == b"data: fine\n\n"
    await peer.send(chunk(b"data: " + b"x" * 2000))
    assert await client.read_to_end() == b""  # no last chunk, and nothing of the frame
    await peer.gone()


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_cut_stream_does_not_look_whole(serve: Serve, upstream: ScriptedUpstream, how: str) -> None:
    client, peer = await open_stream(await serve(upstream), upstream)
    await peer.send(chunk(b"data: 1\n\n") + chunk(b"data: unfinished"))
    await client.head()
    assert await client.chunk() == b"data: 1\n\n"
    getattr(peer, how)()
    assert await client.read_to_end() == b""


async def test_an_unfinished_last_frame_of_a_whole_body_passes(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    """The body ended properly: its bytes are the client's to judge."""
    client, peer = await open_stream(await serve(upstream), upstream)
    await peer.send(chunk(b"data: 1\n\ndata: 2") + b"0\r\n\r\n")
    assert (await client.message()).body == b"data: 1\n\ndata: 2"


async def test_trailers_of_a_stream_pass(serve: Serve, upstream: ScriptedUpstream) -> None:
    client, peer = await open_stream(await serve(upstream), upstream)
    await peer.send(chunk(b"data: 1\n\n") + b"0\r\nx-usage: 7\r\n\r\n")
    message = await client.message()
    assert message.body == b"data: 1\n\n"
    assert message.trailers == [b"x-usage: 7"]


async def test_a_stream_to_an_http_1_0_client(serve: Serve, upstream: ScriptedUpstream) -> None:
    request = post(b"{}", target=COMPLETION, version=b"1.0")
    client, peer = await open_stream(await serve(upstream), upstream, request)
    for number in range(5):
        frame = b"data: %d\n\n" % number
        await peer.send(chunk(frame))
        if not number:
            assert (await client.head())[b"transfer-encoding"] is None
        assert await client.read_exactly(len(frame)) == frame
    await peer.send(b"0\r\n\r\n")
    assert await client.read_to_end() == b""


async def test_many_streams_at_once_stay_apart(serve: Serve, upstream: ScriptedUpstream) -> None:
    """All connections of a worker share one read buffer; nothing of one may show in another."""
    relay = await serve(upstream)
    streams = [await open_stream(relay, upstream) for _ in range(30)]
    for turn in range(10):
        for number, (_, peer) in enumerate(streams):
            whole = chunk(b"data: %d/%d %b\n\n" % (number, turn, bytes([65 + number]) * 500))
            await peer.send(whole[:100])
        await relay.settle()
        for number, (client, peer) in enumerate(streams):
            frame = b"data: %d/%d %b\n\n" % (number, turn, bytes([65 + number]) * 500)
            await peer.send(chunk(frame)[100:])
            if not turn:
                await client.head()
            assert await client.chunk() == frame
