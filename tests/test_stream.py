"""ResponseStream: every byte of a stream passes, every write ends with a frame, whatever the cuts."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import FramingError
from relay.opening import open_response
from relay.stream import ResponseStream
from relay.wire.forwarding import ResponseForm
from relay.wire.framing import (
    BodyDecoder,
    ChunkedDecoder,
    ChunkedEncoder,
    Header,
    LengthDecoder,
    PlainEncoder,
    Reframer,
    UntilCloseDecoder,
)
from relay.wire.inflate import Inflater
from tests.cuts import SIZES, every_way, placed, split
from tests.wire.event_stream import FrameReader, frames

LIMIT = 64 * 1024
SHARED = Path(__file__).resolve().parents[2] / "shared" / "corpus"

Writes = list[bytes]
Stream = ResponseStream | Reframer


# --- driving it the way an exchange does ------------------------------------------------------


def forward(stream: Stream, pieces: list[bytes], *, eof: bool = False) -> Writes:
    """What each read makes relay write, and what the end of the connection makes it write."""
    writes = []
    for piece in pieces:
        data, start, end = placed(piece)
        writes.append(b"".join(stream.receive(data, memoryview(data), start, end)))
    if eof:
        writes.append(b"".join(stream.receive_eof()))
    return [write for write in writes if write]


def opened(writes: Writes) -> tuple[list[bytes], ChunkedDecoder]:
    """Chunked writes as a client reads them: the body bytes of each, and the decoder after all."""
    decoder, bodies = ChunkedDecoder(), []
    for write in writes:
        spans: list[tuple[int, int]] = []
        assert decoder.receive(write, 0, len(write), spans) == len(write)
        assert decoder.between_chunks or decoder.complete, "a write ends inside a chunk"
        bodies.append(b"".join(write[a:b] for a, b in spans))
    return bodies, decoder


def assert_writes_end_with_frames(bodies: list[bytes]) -> None:
    reader = FrameReader()
    for body in filter(None, bodies):
        reader.receive(body)
        assert reader.at_frame_end, f"a write ends inside a frame: {body[-40:]!r}"


def chunks(body: bytes, sizes: list[int]) -> bytes:
    """A whole chunked body whose chunks have these sizes."""
    encoder = ChunkedEncoder()
    parts = [buffer for piece in split(body, sizes) for buffer in encoder.encode([piece])]
    return b"".join([*parts, *encoder.end(())])


Framing = Callable[[bytes, list[int]], tuple[BodyDecoder, bytes]]

FRAMINGS: dict[str, Framing] = {
    "length": lambda body, sizes: (LengthDecoder(len(body)), body),
    "until close": lambda body, sizes: (UntilCloseDecoder(), body),
    "chunked": lambda body, sizes: (ChunkedDecoder(), chunks(body, sizes)),
}


def chunked_stream(decoder: BodyDecoder, *, coding: bytes = b"", limit: int = LIMIT) -> ResponseStream:
    inflater = Inflater(coding, limit) if coding else None
    return ResponseStream(decoder, ChunkedEncoder(), frame_limit=limit, inflater=inflater)


def assert_passes_unchanged(body: bytes, framing: str, chunk_sizes: list[int], cut_sizes: list[int]) -> None:
    decoder, wire = FRAMINGS[framing](body, chunk_sizes)
    writes = forward(chunked_stream(decoder), split(wire, cut_sizes), eof=framing == "until close")
    bodies, client = opened(writes)
    assert b"".join(bodies) == body
    assert client.complete or framing == "length", "the client cannot tell that this is the end"
    # The last write may hold a frame that lacks its empty line: the end of the body is its end.
    assert_writes_end_with_frames(bodies if body in (b"", b"".join(frames(body))) else bodies[:-1])


# --- the body passes unchanged, each write ends with a frame ----------------------------------

EVENT = st.sampled_from([b"data: x", b"data: {}", b": ping", b"", b"\xc3", b"id", b"event: a"])
LINE_END = st.sampled_from([b"\n", b"\r\n", b"\r"])
BODY = st.lists(st.tuples(EVENT, LINE_END).map(b"".join), max_size=20).map(b"".join)


@pytest.mark.parametrize("framing", FRAMINGS)
@given(BODY.filter(bool), SIZES, SIZES)
def test_any_stream_passes_unchanged_in_writes_that_end_with_frames(
    framing: str, body: bytes, chunk_sizes: list[int], cut_sizes: list[int]
) -> None:
    assert_passes_unchanged(body, framing, chunk_sizes, cut_sizes)


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_streams_of_every_line_end_pass_in_chunks_that_are_frames(framing: str, end: bytes) -> None:
    body = b"".join(b"data: %d%b%b" % (number, end, end) for number in range(30))
    size = len(b"data: 0" + end + end)
    for cuts in (1, 2, 3, 7, 4096):
        assert_passes_unchanged(body, framing, [size], [cuts])


def test_nothing_leaves_before_the_frame_is_whole_and_then_all_of_it() -> None:
    stream = chunked_stream(UntilCloseDecoder())
    assert forward(stream, [b"data: 1", b"\n"]) == []
    assert forward(stream, [b"\ndata"]) == [b"9\r\ndata: 1\n\n\r\n"]
    assert forward(stream, [b": 2\n\n"]) == [b"9\r\ndata: 2\n\n\r\n"]


def test_frames_of_one_read_leave_in_one_chunk_even_when_they_came_in_many() -> None:
    wire = b"9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n4\r\ndata\r\n"
    assert forward(chunked_stream(ChunkedDecoder()), [wire]) == [b"12\r\ndata: 1\n\ndata: 2\n\n\r\n"]


@pytest.mark.parametrize("body", [b"data: 1\n\ndata: 2", b"data: 1\n\ndata: 2\n", b"x", b"\r\n\r"])
@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_last_frame_that_lacks_its_empty_line_passes_on_a_clean_end(framing: str, body: bytes) -> None:
    for cuts in ([1], [5], [4096]):
        assert_passes_unchanged(body, framing, [3], cuts)


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_the_end_is_written_once_and_bytes_after_it_are_left_unread(framing: str) -> None:
    decoder, wire = FRAMINGS[framing](b"data: 1\n\n", [4])
    data, stream = wire + b"HTTP/1.1 200 OK\r\n", chunked_stream(decoder)
    out = b"".join(stream.receive(data, memoryview(data), 0, len(data)))
    assert out == b"9\r\ndata: 1\n\n\r\n0\r\n\r\n"
    assert stream.complete
    assert stream.consumed == len(wire)
    assert stream.receive_eof() == []


def test_an_http_1_0_client_gets_the_bare_body() -> None:
    wire = chunks(b"data: 1\n\ndata: 2\n\n", [4])
    for pieces in every_way(wire):
        stream = ResponseStream(ChunkedDecoder(), PlainEncoder(), frame_limit=LIMIT)
        writes = forward(stream, pieces)
        assert b"".join(writes) == b"data: 1\n\ndata: 2\n\n"
        assert_writes_end_with_frames(writes)


def test_trailers_of_the_upstream_reach_a_chunked_client() -> None:
    trailers: list[Header] = [(b"X-Sum", b"1"), (b"x-more", b"a b")]
    wire = b"9\r\ndata: 1\n\n\r\n0\r\nX-Sum: 1\r\nHost: evil\r\nx-more: a b\r\n\r\n"
    for pieces in every_way(wire):
        _, client = opened(forward(chunked_stream(ChunkedDecoder()), pieces))
        assert client.complete
        assert client.trailers == trailers


# --- no copy ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_whole_frames_leave_as_views_of_the_buffer_that_was_read(kind: Callable[[bytes], bytes]) -> None:
    data = kind(b"9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n")
    out = chunked_stream(ChunkedDecoder()).receive(data, memoryview(data), 0, len(data))
    views = [buffer for buffer in out if isinstance(buffer, memoryview)]
    assert [bytes(view) for view in views] == [b"data: 1\n\n", b"data: 2\n\n"]
    assert all(view.obj is data for view in views)


def test_only_the_unfinished_frame_is_copied() -> None:
    stream = chunked_stream(UntilCloseDecoder())
    forward(stream, [b"data: 1\n\ndata:"])
    data = b" 2\n\ndata: 3\n\n"
    head, carry, view, tail = stream.receive(data, memoryview(data), 0, len(data))
    assert (head, bytes(carry), bytes(view), tail) == (b"12\r\n", b"data:", data, b"\r\n")
    assert isinstance(view, memoryview)
    assert view.obj is data


# --- a read that passes as it came ------------------------------------------------------------


def passes(stream: Stream, piece: bytes) -> bool:
    """This read leaves as the very bytes that came, chunk framing and all, in one buffer."""
    data, start, end = placed(piece)
    try:
        out = stream.receive(data, memoryview(data), start, end)
    except FramingError:
        return False
    return len(out) == 1 and isinstance(out[0], memoryview) and out[0].obj is data and out[0] == piece


@pytest.mark.parametrize(
    "frame",
    [b"data: 1\n\n", b"data: 1\r\n\r\n", b"data: 1\n\ndata: 2\n\n", b"data: " + b"x" * 2000 + b"\n\n"],
)
def test_a_read_that_is_one_chunk_of_whole_frames_passes_as_it_came(frame: bytes) -> None:
    assert passes(chunked_stream(ChunkedDecoder()), b"%x\r\n%b\r\n" % (len(frame), frame))


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b"1\r\n\n\r\n",
        b"8\r\ndata: 1\n\r\n",
        b"a\r\ndata: 1\n\n\r\n",
        b"8\r\ndata: 1\n\n\r\n",
        b"009\r\ndata: 1\n\n\r\n",
        b"9 \r\ndata: 1\n\n\r\n",
        b"9;x\r\ndata: 1\n\n\r\n",
        b"9\ndata: 12\n\n\r\n",
        b"9\r\ndata: 1\n\n\r\n" * 2,
        b"d\r\n9\r\ndata: 1\n\n\r\n",
        b"0\r\nX: abcde\n\n\r\n",
    ],
)
def test_a_read_that_is_anything_else_does_not_pass_unread(wire: bytes) -> None:
    assert not passes(chunked_stream(ChunkedDecoder()), wire)


def test_bytes_that_are_no_chunk_never_reach_the_client() -> None:
    with pytest.raises(FramingError):
        forward(chunked_stream(ChunkedDecoder()), [b"\0HTTP/1.1 200 OK\n\n\r\n".rjust(21, b"\0")])


@pytest.mark.parametrize("before", [b"5\r\ndata:\r\n", b"9\r\ndata: 1\n\n\r", b"20\r\n", b"9", b"0\r\n"])
def test_nothing_passes_unread_while_a_frame_or_a_chunk_is_open(before: bytes) -> None:
    for pieces in every_way(before):
        stream = chunked_stream(ChunkedDecoder())
        forward(stream, pieces)
        assert not passes(stream, b"9\r\ndata: 1\n\n\r\n")


@pytest.mark.parametrize(
    "stream",
    [
        chunked_stream(UntilCloseDecoder()),
        chunked_stream(LengthDecoder(100)),
        chunked_stream(ChunkedDecoder(), coding=b"gzip"),
        ResponseStream(ChunkedDecoder(), PlainEncoder(), frame_limit=LIMIT),
        Reframer(ChunkedDecoder(), ChunkedEncoder()),
    ],
)
def test_nothing_passes_unread_where_the_framing_or_the_coding_changes(stream: Stream) -> None:
    assert not passes(stream, b"9\r\ndata: 1\n\n\r\n")


# --- compressed streams -----------------------------------------------------------------------


def deflater(coding: str) -> zlib._Compress:
    return zlib.compressobj(wbits={"gzip": 31, "zlib": 15, "bare": -15}[coding])


def flushed(coding: str, parts: list[bytes]) -> Iterator[bytes]:
    """Each part compressed and flushed, then the end of the compressed stream."""
    compressor = deflater(coding)
    for part in parts:
        yield compressor.compress(part) + compressor.flush(zlib.Z_SYNC_FLUSH)
    yield compressor.flush()


NAMES = {"gzip": b"gzip", "zlib": b"deflate", "bare": b"deflate"}
FRAMES = [b"data: %d\n\n" % number for number in range(12)]


@pytest.mark.parametrize("coding", NAMES)
def test_a_frame_that_the_compressor_flushed_leaves_in_the_same_call(coding: str) -> None:
    stream = chunked_stream(UntilCloseDecoder(), coding=NAMES[coding])
    *pieces, end = flushed(coding, FRAMES)
    for frame, piece in zip(FRAMES, pieces, strict=True):
        assert opened(forward(stream, [piece]))[0] == [frame]
    assert forward(stream, [end], eof=True) == [b"0\r\n\r\n"]


@pytest.mark.parametrize(
    "coding",
    [
        "gzip",
        "zlib",
        pytest.param(
            "bare",
        ),
    ],
)
def test_a_compressed_stream_inflates_at_every_cut(coding: str) -> None:
    body = b"".join(FRAMES)
    wire = b"".join(flushed(coding, FRAMES))
    for framing in FRAMINGS:
        for pieces in every_way(FRAMINGS[framing](body=wire, sizes=[11])[1]):
            decoder, _ = FRAMINGS[framing](wire, [11])
            stream = chunked_stream(decoder, coding=NAMES[coding])
            bodies, _ = opened(forward(stream, pieces, eof=framing == "until close"))
            assert b"".join(bodies) == body
            assert_writes_end_with_frames(bodies)


def test_bare_deflate_inflates_when_its_first_read_has_two_bytes() -> None:
    wire = b"".join(flushed("bare", FRAMES))
    for sizes in ([2], [3, 5], [len(wire)]):
        stream = chunked_stream(UntilCloseDecoder(), coding=b"deflate")
        bodies, _ = opened(forward(stream, split(wire, sizes), eof=True))
        assert b"".join(bodies) == b"".join(FRAMES)


def test_gzip_members_one_after_another_are_one_stream() -> None:
    wire = b"".join(gzip.compress(frame) for frame in FRAMES)
    for pieces in every_way(wire):
        stream = chunked_stream(UntilCloseDecoder(), coding=b"gzip")
        bodies, _ = opened(forward(stream, pieces, eof=True))
        assert b"".join(bodies) == b"".join(FRAMES)


@pytest.mark.parametrize("coding", NAMES)
@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_truncated_compressed_stream_is_never_ended_cleanly(framing: str, coding: str) -> None:
    decoder, wire = FRAMINGS[framing](b"".join(flushed(coding, FRAMES))[:-1], [500])
    stream = chunked_stream(decoder, coding=NAMES[coding])
    with pytest.raises(FramingError, match="before its own end mark"):
        forward(stream, [wire], eof=True)


@pytest.mark.parametrize("coding", [b"gzip", b"deflate"])
def test_bytes_that_are_no_such_coding_are_refused(coding: bytes) -> None:
    with pytest.raises(FramingError, match="not the content-encoding"):
        forward(chunked_stream(UntilCloseDecoder(), coding=coding), [b"data: plain\n\n"])


@pytest.mark.parametrize("coding", NAMES)
@pytest.mark.parametrize("filler", [b"x", b"data: 1\n\n"])
def test_a_compression_bomb_is_refused_at_the_limit(coding: str, filler: bytes) -> None:
    compressor = deflater(coding)
    bomb = compressor.compress(filler * (8 * LIMIT)) + compressor.flush()
    with pytest.raises(FramingError, match=f"more than {LIMIT} bytes"):
        forward(chunked_stream(UntilCloseDecoder(), coding=NAMES[coding]), [bomb])


def test_a_compressed_body_without_bytes_ends_cleanly() -> None:
    assert forward(chunked_stream(ChunkedDecoder(), coding=b"gzip"), [b"0\r\n\r\n"]) == [b"0\r\n\r\n"]


# --- limits and cuts --------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 7, 100])
def test_an_unfinished_frame_above_the_limit_is_refused(step: int) -> None:
    stream = chunked_stream(UntilCloseDecoder(), limit=100)
    assert forward(stream, split(b"x" * 100, [step])) == []
    with pytest.raises(FramingError, match="above 100 bytes"):
        forward(stream, [b"x"])


def test_the_frame_limit_counts_one_frame_and_not_the_stream() -> None:
    stream = chunked_stream(UntilCloseDecoder(), limit=100)
    frame = b"x" * 98 + b"\n\n"
    assert b"".join(opened(forward(stream, split(frame * 50, [33])))[0]) == frame * 50


CHUNKED_BODY = chunks(b"data: 1\n\ndata: 2\n\n", [9])


@pytest.mark.parametrize("length", range(len(CHUNKED_BODY)))
def test_a_cut_chunked_body_is_an_error_and_only_whole_frames_have_left(length: int) -> None:
    stream = chunked_stream(ChunkedDecoder())
    bodies, client = opened(forward(stream, split(CHUNKED_BODY[:length], [5])))
    assert_writes_end_with_frames(bodies)
    assert not client.complete
    with pytest.raises(FramingError):
        stream.receive_eof()


@pytest.mark.parametrize("length", range(18))
def test_a_cut_length_delimited_body_is_an_error_at_the_close(length: int) -> None:
    stream = chunked_stream(LengthDecoder(18))
    forward(stream, split(b"data: 1\n\ndata: 2\n\n"[:length], [4]))
    with pytest.raises(FramingError, match="short of its content-length"):
        stream.receive_eof()


PARTS = [
    b"9\r\ndata: 1\n\n\r\n",
    b"\x00",
    b"5\r\ndata:\r\n",
    b"\n\n\r\n",
    b"0\r\n",
    b"\r\n",
    b"f",
    b"\n",
    b"4\r\n",
]


@given(st.lists(st.sampled_from(PARTS) | st.binary(max_size=6), max_size=12), SIZES)
def test_any_bytes_are_refused_or_leave_as_legal_chunks_of_whole_frames(
    parts: list[bytes], sizes: list[int]
) -> None:
    stream = chunked_stream(ChunkedDecoder(), limit=100)
    writes: Writes = []
    try:
        for piece in split(b"".join(parts), sizes):
            if stream.complete:
                break
            writes += forward(stream, [piece])
    except FramingError:
        assert not stream.complete
    bodies, client = opened(writes)
    assert client.complete == stream.complete
    assert_writes_end_with_frames(bodies[: -1 if client.complete else None])


# --- which machine ----------------------------------------------------------------------------


def form(*, framed: bool = True, coding: bytes = b"", chunked: bool = True) -> ResponseForm:
    return ResponseForm(
        event_stream=framed,
        retyped=False,
        framed=framed,
        held=framed,
        coding=coding,
        chunked=chunked,
        delimited=chunked,
    )


@pytest.mark.parametrize(
    ("settings", "sent"),
    [
        (form(), b"4\r\na\n\nb\r\n0\r\n\r\n"),
        (form(framed=False), b"4\r\na\n\nb\r\n0\r\n\r\n"),
        (form(chunked=False), b"a\n\nb"),
        (form(framed=False, chunked=False), b"a\n\nb"),
    ],
)
def test_the_form_of_a_response_chooses_its_machine(settings: ResponseForm, sent: bytes) -> None:
    stream = open_response(settings, LengthDecoder(4), LIMIT)
    assert isinstance(stream, ResponseStream if settings.framed else Reframer)
    assert b"".join(forward(stream, [b"a\n\nb"])) == sent


def test_a_coding_that_relay_undoes_is_undone() -> None:
    stream = open_response(form(coding=b"gzip"), UntilCloseDecoder(), LIMIT)
    assert b"".join(opened(forward(stream, [gzip.compress(b"data: 1\n\n")], eof=True))[0]) == b"data: 1\n\n"


# --- recorded streams -------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["recorded", "upstream"])
@pytest.mark.skipif(not SHARED.is_dir(), reason="the folder of recorded streams is not beside this project")
def test_recorded_streams_pass_byte_for_byte(folder: str) -> None:
    paths = sorted((SHARED / folder).rglob("*.sse"))
    assert paths
    for number, path in enumerate(paths):
        body = path.read_bytes()
        framing = list(FRAMINGS)[number % 3]
        assert_passes_unchanged(body, framing, [len(frame) for frame in frames(body)] or [9], [1460])
        assert_passes_unchanged(body[:6_000], framing, [700, 64], [1 + number % 40, 3, 500])
