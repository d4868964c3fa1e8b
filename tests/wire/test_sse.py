"""Where frames end: the scanner that skips bytes against a machine that reads every one."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.sse import FrameScanner
from tests.cuts import SIZES, every_way, placed, split
from tests.wire.event_stream import FrameReader, frame_ends

ALPHABET = [b"\r", b"\n", b"\r\n", b"a"]
LINES = [*ALPHABET, b"data: x", b": comment", b"\x00", b"\xef\xbb\xbf", b"\xc2\x85", b"\x0b", b"\x0c"]
STREAM = st.lists(st.sampled_from(ALPHABET), max_size=30) | st.lists(st.sampled_from(LINES), max_size=20)


def scan(pieces: list[bytes]) -> list[int]:
    """What the scanner says of each piece: an offset into it, or -1."""
    scanner = FrameScanner()
    said = []
    for piece in pieces:
        data, start, end = placed(piece)
        cut = scanner.receive(data, start, end)
        assert cut == -1 or start < cut <= end
        said.append(-1 if cut == -1 else cut - start)
    return said


def read(pieces: list[bytes]) -> list[int]:
    """The same from the machine that reads every byte."""
    reader = FrameReader()
    return [reader.last_frame_end(piece) for piece in pieces]


@pytest.mark.parametrize(
    ("stream", "ends"),
    [
        (b"data: a\n\n", [9]),
        (b"data: a\r\n\r\n", [11]),
        (b"data: a\r\r", [9]),
        (b"data: a\n\r\n", [10]),
        (b"data: a\r\n\n", [10]),
        (b"data: a\r\r\n", [10]),
        (b"data: a\n\r", [9]),
        (b"a\n\nb\n\n", [3, 6]),
        (b"a\n\nb\nc", [3]),
        (b": comment\n\n", [11]),
        (b"\n", [1]),
        (b"\r\n", [2]),
        (b"\r", [1]),
        (b"\n\n\n", [1, 2, 3]),
        (b"\r\n\r\n", [2, 4]),
        (b"\r\r\r", [1, 2, 3]),
        (b"a\n\n\n", [3, 4]),
        (b"a\x0b\x0bb\x85\x85\xe2\x80\xa8\xe2\x80\xa8", []),
        (b"", []),
    ],
)
def test_a_frame_ends_after_its_empty_line(stream: bytes, ends: list[int]) -> None:
    assert frame_ends(stream) == ends
    assert scan([stream]) == [ends[-1] if ends else -1]


@pytest.mark.parametrize("length", range(1, 8))
def test_every_short_stream_in_two_pieces_is_cut_where_the_table_says(length: int) -> None:
    for symbols in itertools.product((b"\r", b"\n", b"a"), repeat=length):
        stream = b"".join(symbols)
        for cut in range(length + 1):
            pieces = [stream[:cut], stream[cut:]]
            assert scan(pieces) == read(pieces), pieces


@pytest.mark.parametrize("length", range(1, 7))
def test_every_short_stream_byte_by_byte_is_cut_where_the_table_says(length: int) -> None:
    for symbols in itertools.product((b"\r", b"\n", b"a"), repeat=length):
        assert scan(list(symbols)) == read(list(symbols)), symbols


@given(STREAM.map(b"".join), SIZES)
def test_the_scanner_agrees_with_the_table_at_every_cut(stream: bytes, sizes: list[int]) -> None:
    pieces = split(stream, sizes)
    assert scan(pieces) == read(pieces)


@given(STREAM)
def test_the_scanner_agrees_with_the_table_when_pieces_are_symbols_and_empty_reads(
    symbols: list[bytes],
) -> None:
    pieces = [piece for symbol in symbols for piece in (symbol, b"")]
    assert scan(pieces) == read(pieces)


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n", b"\r\n\n"])
def test_a_long_stream_of_one_line_end_is_cut_where_the_table_says(end: bytes) -> None:
    stream = b"".join(b"data: %d%b" % (number, end) for number in range(40))
    for pieces in every_way(stream):
        assert scan(pieces) == read(pieces)


@pytest.mark.parametrize("before", [b"", b"a", b"a\r", b"a\n", b"a\r\r", b"a\r\n\r\n"])
@pytest.mark.parametrize("after", [b"\n", b"\r\n", b"\r", b"b", b"b\n", b"b\n\n"])
def test_a_frame_that_was_not_shown_counts_as_ended_at_a_lf(before: bytes, after: bytes) -> None:
    scanner = FrameScanner()
    scanner.receive(before, 0, len(before))
    scanner.frame_ended()
    assert scanner.receive(after, 0, len(after)) == read([b"x\n\n", after])[1]
