"""Body framing: what comes out is the body whatever the cuts, and what is ambiguous is refused."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.errors import FramingError
from relay.wire.framing import (
    MAX_EXTENSIONS,
    MAX_TRAILERS,
    WHOLE_CHUNK_HEADS,
    BodyDecoder,
    ChunkedDecoder,
    ChunkedEncoder,
    Header,
    LengthDecoder,
    PlainEncoder,
    Reframer,
    UntilCloseDecoder,
)
from tests.cuts import SIZES, every_way, placed, split

NEXT = b"GET / HTTP/1.1\r\n"
"""What a peer may send right after a body; not one byte of it belongs to the body."""


@dataclass(frozen=True)
class Decoded:
    """All that a decoder said about one input; None in its place means refused."""

    body: bytes
    rest: bytes
    complete: bool
    trailers: tuple[Header, ...] = ()


def decode(decoder: BodyDecoder, pieces: list[bytes]) -> Decoded | None:
    body = rest = b""
    for piece in pieces:
        data, start, end = placed(piece)
        spans: list[tuple[int, int]] = []
        try:
            stop = decoder.receive(data, start, end, spans)
        except FramingError:
            return None
        assert start <= stop <= end
        assert stop == end or decoder.complete, "it stopped reading in the middle of a body"
        assert all(start <= a < b <= stop for a, b in spans)
        body += b"".join(data[a:b] for a, b in spans)
        rest += data[stop:end]
    return Decoded(body, rest, decoder.complete, tuple(decoder.trailers))


def chunked(wire: bytes) -> Decoded | None:
    """The one answer to this input, however it is cut."""
    answers = {decode(ChunkedDecoder(), pieces) for pieces in every_way(wire)}
    assert len(answers) == 1, f"the answer depends on the cuts: {answers}"
    return answers.pop()


# --- length -----------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"x", b"hello world", b"\r\n\r\n" * 40])
def test_a_length_delimited_body_ends_after_exactly_its_length(body: bytes) -> None:
    expected = {Decoded(body, NEXT, complete=True)}
    assert {decode(LengthDecoder(len(body)), ways) for ways in every_way(body + NEXT)} == expected


def test_a_body_of_length_zero_is_complete_before_the_first_byte() -> None:
    assert LengthDecoder(0).complete
    LengthDecoder(0).receive_eof()


@pytest.mark.parametrize("got", [b"", b"hell"])
def test_a_body_cut_short_of_its_length_is_an_error(got: bytes) -> None:
    decoder = LengthDecoder(5)
    assert decode(decoder, [got] if got else []) == Decoded(got, b"", complete=False)
    with pytest.raises(FramingError, match=f"{5 - len(got)} bytes short"):
        decoder.receive_eof()


# --- until close ------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"x", b"0\r\n\r\n" + NEXT])
def test_a_close_delimited_body_takes_everything_and_ends_with_the_connection(body: bytes) -> None:
    for pieces in every_way(body):
        decoder = UntilCloseDecoder()
        assert decode(decoder, pieces) == Decoded(body, b"", complete=False)
        decoder.receive_eof()
        assert decoder.complete


# --- chunked: what is legal -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        (b"0\r\n\r\n", b""),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", b"abc"),
        (b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b"1a\r\n" + b"x" * 26 + b"\r\n0\r\n\r\n", b"x" * 26),
        (b"1A\r\n" + b"x" * 26 + b"\r\n000\r\n\r\n", b"x" * 26),
        (b"000000000000005\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"5 \r\nhello\r\n0\t \r\n\r\n", b"hello"),
        (b"5;name\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"5;name=value;other\r\nhello\r\n0;last\r\n\r\n", b"hello"),
        (b'5 ; name="quoted 0"\r\nhello\r\n0\r\n\r\n', b"hello"),
        (b"2\r\n\r\n\r\n2\r\n\n\r\r\n0\r\n\r\n", b"\r\n\n\r"),
        (b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n"),
    ],
)
def test_a_legal_chunked_body_is_read_to_its_end_and_no_further(wire: bytes, body: bytes) -> None:
    assert chunked(wire + NEXT) == Decoded(body, NEXT, complete=True)


@pytest.mark.parametrize(
    ("section", "trailers"),
    [
        (b"grpc-status: 0\r\nServer-Timing: a\r\n", ((b"grpc-status", b"0"), (b"Server-Timing", b"a"))),
        (b"x_sum: 1\r\n", ((b"x_sum", b"1"),)),
        (b"X-Sum: 1\r\n", ((b"X-Sum", b"1"),)),
        (b"a:1\r\nb:\t 2 \t\r\n", ((b"a", b"1"), (b"b", b"2"))),
        (b"empty:\r\n", ((b"empty", b""),)),
        (b"text: \xe9\xff\r\n", ((b"text", b"\xe9\xff"),)),
    ],
)
def test_fields_after_the_last_chunk_are_kept_apart(section: bytes, trailers: tuple[Header, ...]) -> None:
    expected = Decoded(b"hi", NEXT, complete=True, trailers=trailers)
    assert chunked(b"2\r\nhi\r\n0\r\n" + section + b"\r\n" + NEXT) == expected


@pytest.mark.parametrize(
    "name",
    b"Transfer-Encoding content-length Host Authorization Cookie Set-Cookie Connection TE Trailer Upgrade "
    b"Content-Encoding content-type Content-Range Expect Location Cache-Control Max-Forwards "
    b"Forwarded X-Forwarded-For x-forwarded-host X-Forwarded-Proto x-forwarded-anything X-Real-IP Via "
    b"X-Api-Key api-key X-Relay-Id x-accel-buffering Content_Length transfer_encoding "
    b"X_Forwarded_For".split(),
)
def test_a_trailer_that_steers_framing_routing_or_trust_is_dropped(name: bytes) -> None:
    answer = chunked(b"0\r\n%b: 1\r\nX-Kept: 2\r\n\r\n" % name)
    assert answer is not None
    assert answer.trailers == ((b"X-Kept", b"2"),)


# --- chunked: what is refused (every line is one way to smuggle) ------------------------------


@pytest.mark.parametrize(
    "wire",
    [
        b"\r\n",
        b" 5\r\nhello\r\n",
        b"\t5\r\nhello\r\n",
        b"+5\r\nhello\r\n",
        b"-5\r\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b"5_0\r\n",
        b"5.0\r\n",
        b"g\r\n",
        b"5 5\r\nhello\r\n",
        b"5x\r\nhello\r\n",
        b"\xd9\xa5\r\nhello\r\n",
        b"\x005\r\nhello\r\n",
        b"5\x0b\r\nhello\r\n",
        b"1000000000000000\r\n",
        b"0000000000000005\r\nhello\r\n",
        b"fffffffffffffffff\r\n",
        b";name\r\nhello\r\n",
    ],
)
def test_a_size_that_is_not_one_to_fifteen_hex_digits_is_refused(wire: bytes) -> None:
    assert chunked(wire) is None


@pytest.mark.parametrize(
    "wire",
    [
        b"5\nhello\r\n0\r\n\r\n",
        b"5\rhello\r\n0\r\n\r\n",
        b"5\r\rhello\r\n",
        b"5 \nhello\r\n",
        b"5;a\nhello\r\n0\r\n\r\n",
        b"5;a\rb\r\nhello\r\n0\r\n\r\n",
        b"5;a\x00b\r\nhello\r\n0\r\n\r\n",
        b"5;a\x7fb\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello\r0\r\n\r\n",
        b"5\r\nhello\r\r\n0\r\n\r\n",
        b"0\n\n",
        b"0\n\r\n",
        b"0\r\n\n",
        b"0\r\n\r\r\n\r\n",
    ],
)
def test_a_line_end_other_than_crlf_is_refused(wire: bytes) -> None:
    assert chunked(wire) is None


@pytest.mark.parametrize(
    "wire", [b"5\r\nhelloX\r\n0\r\n\r\n", b"4\r\nhello\r\n0\r\n\r\n", b"5\r\nhello0\r\n"]
)
def test_a_chunk_longer_than_its_size_is_refused(wire: bytes) -> None:
    assert chunked(wire) is None


@pytest.mark.parametrize("wire", [b"6\r\nhello\r\n0\r\n\r\n", b"7\r\nhello\r\n0\r\n\r\n"])
def test_a_chunk_shorter_than_its_size_is_never_taken_for_a_whole_body(wire: bytes) -> None:
    answer = chunked(wire)
    assert answer is None or not answer.complete


@pytest.mark.parametrize(
    "section",
    [
        b"no colon\r\n",
        b": no name\r\n",
        b"space before : x\r\n",
        b" folded: x\r\n",
        b"a: b\r\n continued\r\n",
        b"a: b\nc: d\r\n",
        b"a: b\rc\r\n",
        b"a: \x00\r\n",
        b"a: \x1b\r\n",
        b"a: \x7f\r\n",
        b"5\r\n",
        b"n\xe4me: x\r\n",
    ],
)
def test_a_line_that_is_no_field_is_refused_among_the_trailers(section: bytes) -> None:
    assert chunked(b"0\r\n" + section + b"\r\n") is None


def test_extensions_are_bounded_over_the_whole_body_and_not_per_chunk() -> None:
    chunk = b"1;%b\r\nx\r\n" % (b"e" * 1023)  # with its semicolon 1 KiB of extension
    allowed = MAX_EXTENSIONS // 1024
    assert decode(ChunkedDecoder(), [chunk] * allowed) == Decoded(b"x" * allowed, b"", complete=False)
    assert decode(ChunkedDecoder(), [chunk] * (allowed + 1)) is None


@pytest.mark.parametrize("blanks", [b" ", b"\t"])
def test_blanks_after_the_size_count_as_extensions(blanks: bytes) -> None:
    assert chunked(b"1" + blanks * (MAX_EXTENSIONS + 1) + b"\r\nx\r\n") is None


def test_an_extension_above_the_bound_is_refused_before_its_line_ends() -> None:
    assert chunked(b"5;" + b"e" * (MAX_EXTENSIONS + 20)) is None


@pytest.mark.parametrize(
    ("size", "taken"),
    [
        (MAX_EXTENSIONS - 20, True),
        (MAX_EXTENSIONS + 1, False),
        pytest.param(
            MAX_EXTENSIONS,
            True,
        ),
    ],
)
def test_the_bound_on_extensions_does_not_depend_on_the_cuts(size: int, taken: bool) -> None:
    wire = b"5;" + b"e" * (size - 1) + b"\r\nhello\r\n0\r\n\r\n"
    assert chunked(wire) == (Decoded(b"hello", b"", complete=True) if taken else None)


@pytest.mark.parametrize(("size", "taken"), [(MAX_TRAILERS, True), (MAX_TRAILERS + 1, False)])
def test_the_trailer_section_is_bounded_with_its_last_line(size: int, taken: bool) -> None:
    value = b"v" * (size - len(b"a:\r\n\r\n"))
    expected = Decoded(b"", b"", complete=True, trailers=((b"a", value),)) if taken else None
    assert chunked(b"0\r\na:" + value + b"\r\n\r\n") == expected


def test_many_small_trailers_are_bounded_together() -> None:
    line = b"a: %b\r\n" % (b"v" * 1000)
    assert chunked(b"0\r\n" + line * 16) is not None
    assert chunked(b"0\r\n" + line * 17) is None


LEGAL = b"5;x\r\nhello\r\n6\r\n world\r\n0\r\nA: b\r\n\r\n"


@pytest.mark.parametrize("length", range(len(LEGAL)))
def test_a_chunked_body_cut_anywhere_is_an_error_at_the_close(length: int) -> None:
    decoder = ChunkedDecoder()
    answer = decode(decoder, split(LEGAL[:length], [7]))
    assert answer is not None
    assert not answer.complete
    with pytest.raises(FramingError, match="ended before its last chunk"):
        decoder.receive_eof()


def test_a_whole_chunked_body_lets_its_peer_close() -> None:
    decoder = ChunkedDecoder()
    decode(decoder, [LEGAL])
    decoder.receive_eof()


# --- chunked: properties ----------------------------------------------------------------------

GRAMMAR = [b"\r", b"\n", b"\r\n", b"0", b"1", b"5", b"f", b"F", b" ", b"\t", b";", b"x", b":", b"\x00"]
GRAMMAR += [b"5\r\nhello\r\n", b"1\r\na\r\n", b"0\r\n\r\n", b"0\r\n", b"a: b\r\n", b"\xff", b"Host: x\r\n"]
WIRE = st.lists(st.sampled_from(GRAMMAR), max_size=25).map(b"".join) | st.binary(max_size=60)


@given(WIRE, SIZES)
def test_any_bytes_are_refused_or_read_the_same_at_every_cut(wire: bytes, sizes: list[int]) -> None:
    whole = decode(ChunkedDecoder(), [wire])
    assert decode(ChunkedDecoder(), split(wire, sizes)) == whole


NO_CHUNK = [*range(6), 21, 262]
"""Lengths that no plain chunk has with its framing: the next size needs one digit more."""


@pytest.mark.parametrize("length", sorted({*range(6, 80), 255, 300, 4086} - {*NO_CHUNK}))
def test_a_whole_chunk_head_announces_just_the_chunk_that_fills_that_many_bytes(length: int) -> None:
    head = WHOLE_CHUNK_HEADS[length]
    body = b"p" * (length - len(head) - 2)
    assert chunked(head + body + b"\r\n") == Decoded(body, b"", complete=False)


@pytest.mark.parametrize("length", NO_CHUNK[1:])
def test_a_length_that_no_chunk_has_matches_nothing(length: int) -> None:
    assert WHOLE_CHUNK_HEADS[length] == ()


@pytest.mark.parametrize("before", [b"", b"5\r\nhello\r\n"])
def test_a_size_line_may_come_at_the_start_and_after_a_whole_chunk(before: bytes) -> None:
    for pieces in every_way(before):
        decoder = ChunkedDecoder()
        decode(decoder, pieces)
        assert decoder.between_chunks


@pytest.mark.parametrize(
    "before", [b"5", b"5\r", b"5;x", b"5\r\n", b"5\r\nhello", b"5\r\nhello\r", b"0\r\n", b"0\r\n\r\n"]
)
def test_no_size_line_may_come_inside_a_line_a_chunk_or_the_trailers(before: bytes) -> None:
    for pieces in every_way(before):
        decoder = ChunkedDecoder()
        decode(decoder, pieces)
        assert not decoder.between_chunks


EXTENSIONS = st.sampled_from([b"", b"", b" ", b"\t", b";a", b";a=b", b' ; q="r s"'])
FIELDS = st.lists(
    st.tuples(st.sampled_from([b"X-A", b"etag", b"digest"]), st.sampled_from([b"", b"1", b"b c"]))
)


@st.composite
def chunked_bodies(draw: st.DrawFn) -> tuple[bytes, bytes, tuple[Header, ...]]:
    """A body, one of the many legal ways to write it in chunks, and its trailers."""
    parts = draw(st.lists(st.binary(min_size=1, max_size=40), max_size=6))
    wire = b""
    for part in parts:
        size = draw(st.sampled_from([b"%x", b"%X", b"%04x", b"%015X"])) % len(part)
        wire += size + draw(EXTENSIONS) + b"\r\n" + part + b"\r\n"
    fields = draw(FIELDS)
    wire += b"0" + draw(EXTENSIONS) + b"\r\n" + b"".join(b"%b: %b\r\n" % field for field in fields) + b"\r\n"
    return b"".join(parts), wire, tuple(fields)


@given(chunked_bodies(), SIZES)
def test_every_legal_spelling_of_a_body_is_that_body(
    case: tuple[bytes, bytes, tuple[Header, ...]], sizes: list[int]
) -> None:
    body, wire, trailers = case
    assert decode(ChunkedDecoder(), split(wire + NEXT, sizes)) == Decoded(body, NEXT, True, trailers)


# --- encoders and Reframer --------------------------------------------------------------------


@given(st.lists(st.lists(st.binary(max_size=30), max_size=4), max_size=5), FIELDS, SIZES)
def test_what_the_encoder_writes_the_decoder_reads(
    writes: list[list[bytes]], fields: list[Header], sizes: list[int]
) -> None:
    encoder = ChunkedEncoder()
    out = [buffer for write in writes for buffer in encoder.encode(list(write))] + encoder.end(fields)
    body = b"".join(b"".join(write) for write in writes)
    assert decode(ChunkedDecoder(), split(b"".join(out), sizes)) == Decoded(body, b"", True, tuple(fields))


@pytest.mark.parametrize("nothing", [[], [b""], [b"", memoryview(b"")]])
def test_an_empty_write_makes_no_chunk_because_an_empty_chunk_ends_the_body(nothing: list[bytes]) -> None:
    assert ChunkedEncoder().encode(list(nothing)) == []


def test_one_write_is_one_chunk_around_the_very_buffers_it_was_given() -> None:
    first, second = memoryview(b"ab"), memoryview(b"c" * 16)
    out = ChunkedEncoder().encode([first, second])
    assert out == [b"12\r\n", b"ab", b"c" * 16, b"\r\n"]
    assert out[1] is first
    assert out[2] is second


def test_the_plain_encoder_adds_nothing() -> None:
    buffers = [memoryview(b"ab"), b"c"]
    assert PlainEncoder().encode(buffers) is buffers
    assert PlainEncoder().end([(b"a", b"b")]) == []


def reframe(reframer: Reframer, pieces: list[bytes]) -> tuple[bytes, bytes]:
    """What is sent, and what was left unread."""
    sent = rest = b""
    for piece in pieces:
        data, start, end = placed(piece)
        sent += b"".join(reframer.receive(data, memoryview(data), start, end))
        assert start <= reframer.consumed <= end
        rest += data[reframer.consumed : end]
    return sent, rest


def test_a_reframed_body_says_where_it_stopped_when_bytes_follow() -> None:
    for pieces in every_way(b"5\r\nhello\r\n0\r\n\r\n" + NEXT):
        reframer = Reframer(ChunkedDecoder(), PlainEncoder())
        assert reframe(reframer, pieces) == (b"hello", NEXT)
        assert reframer.complete


@given(st.binary(max_size=80), SIZES)
@example(b"", [1])
def test_a_length_delimited_body_becomes_a_chunked_one(body: bytes, sizes: list[int]) -> None:
    reframer = Reframer(LengthDecoder(len(body)), ChunkedEncoder())
    sent, rest = reframe(reframer, split(body + NEXT, sizes))
    assert rest == NEXT
    assert decode(ChunkedDecoder(), [sent]) == Decoded(body, b"", complete=True)


@given(chunked_bodies(), SIZES)
def test_a_chunked_body_stays_the_same_body_with_its_trailers(
    case: tuple[bytes, bytes, tuple[Header, ...]], sizes: list[int]
) -> None:
    body, wire, trailers = case
    sent, _ = reframe(Reframer(ChunkedDecoder(), ChunkedEncoder()), split(wire, sizes))
    assert decode(ChunkedDecoder(), [sent]) == Decoded(body, b"", True, trailers)


def test_a_close_delimited_body_becomes_chunked_and_ends_once() -> None:
    reframer = Reframer(UntilCloseDecoder(), ChunkedEncoder())
    sent, _ = reframe(reframer, [b"abc", b"d"])
    assert sent == b"3\r\nabc\r\n1\r\nd\r\n"
    assert reframer.receive_eof() == [b"0\r\n\r\n"]
    assert reframer.receive_eof() == []


def test_the_end_of_a_body_is_written_once_even_when_the_peer_then_closes() -> None:
    reframer = Reframer(LengthDecoder(2), ChunkedEncoder())
    sent, _ = reframe(reframer, [b"ab"])
    assert sent == b"2\r\nab\r\n0\r\n\r\n"
    assert reframer.receive_eof() == []


@pytest.mark.parametrize("wire", [b"", b"5\r\nhel", b"5\r\nhello\r\n", b"0\r\n"])
def test_a_cut_body_is_never_ended_cleanly(wire: bytes) -> None:
    reframer = Reframer(ChunkedDecoder(), ChunkedEncoder())
    sent, _ = reframe(reframer, [wire])
    assert not sent.endswith(b"0\r\n\r\n")
    with pytest.raises(FramingError):
        reframer.receive_eof()


def test_forwarded_buffers_are_views_of_the_buffer_that_was_read() -> None:
    data = b"5\r\nhello\r\n5\r\nworld\r\n"
    out = Reframer(ChunkedDecoder(), ChunkedEncoder()).receive(data, memoryview(data), 0, len(data))
    views = [buffer for buffer in out if isinstance(buffer, memoryview)]
    assert [bytes(view) for view in views] == [b"hello", b"world"]
    assert all(view.obj is data for view in views)
