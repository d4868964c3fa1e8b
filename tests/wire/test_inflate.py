"""Compressed bodies: what was flushed comes out at once, nothing unpacks beyond the limit."""

from __future__ import annotations

import gzip
import random
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import FramingError
from relay.wire.inflate import CODINGS, FREE, Inflater
from tests.cuts import SIZES, every_way, split

LIMIT = 64 * 1024
WBITS = {"gzip": 31, "zlib": 15, "bare": -15}
NAMES = {"gzip": b"gzip", "zlib": b"deflate", "bare": b"deflate"}


def compress(kind: str, data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=WBITS[kind])
    return compressor.compress(data) + compressor.flush()


def inflate(inflater: Inflater, pieces: list[bytes]) -> bytes:
    return b"".join(inflater.receive(memoryview(piece)) for piece in pieces)


def test_the_codings_that_relay_undoes() -> None:
    assert {b"gzip", b"x-gzip", b"deflate"} == CODINGS


@pytest.mark.parametrize("coding", [b"gzip", b"x-gzip"])
@given(st.lists(st.binary(max_size=50), min_size=1, max_size=5), SIZES)
def test_gzip_members_inflate_at_every_cut(coding: bytes, members: list[bytes], sizes: list[int]) -> None:
    inflater = Inflater(coding, LIMIT)
    wire = b"".join(gzip.compress(member) for member in members)
    assert inflate(inflater, split(wire, sizes)) == b"".join(members)
    inflater.receive_eof()


@pytest.mark.parametrize("kind", ["zlib", "bare"])
@given(st.binary(max_size=200), st.lists(st.integers(2, 40), min_size=1))
def test_deflate_inflates_with_and_without_its_zlib_wrapping(
    kind: str, data: bytes, sizes: list[int]
) -> None:
    inflater = Inflater(b"deflate", LIMIT)
    assert inflate(inflater, split(compress(kind, data), sizes)) == data
    inflater.receive_eof()


def test_bare_deflate_inflates_when_its_first_piece_is_one_byte() -> None:
    assert (
        inflate(Inflater(b"deflate", LIMIT), split(compress("bare", b"data: 1\n\n"), [1])) == b"data: 1\n\n"
    )


@pytest.mark.parametrize("kind", NAMES)
@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8))
def test_what_the_compressor_flushed_comes_out_in_the_same_call(kind: str, parts: list[bytes]) -> None:
    inflater, compressor = Inflater(NAMES[kind], LIMIT), zlib.compressobj(wbits=WBITS[kind])
    for part in parts:
        piece = compressor.compress(part) + compressor.flush(zlib.Z_SYNC_FLUSH)
        assert inflater.receive(memoryview(piece)) == part


@pytest.mark.parametrize("kind", NAMES)
def test_every_truncation_is_an_error_at_the_end(kind: str) -> None:
    wire = compress(kind, b"data: 1\n\n")
    for length in range(2, len(wire)):
        inflater = Inflater(NAMES[kind], LIMIT)
        inflate(inflater, [wire[:length]])
        with pytest.raises(FramingError, match="before its own end mark"):
            inflater.receive_eof()


def test_a_second_member_that_is_cut_is_an_error_at_the_end() -> None:
    inflater = Inflater(b"gzip", LIMIT)
    inflate(inflater, [gzip.compress(b"a") + gzip.compress(b"b")[:12]])
    with pytest.raises(FramingError, match="before its own end mark"):
        inflater.receive_eof()


@pytest.mark.parametrize("coding", sorted(CODINGS))
def test_a_body_without_bytes_is_no_error(coding: bytes) -> None:
    Inflater(coding, LIMIT).receive_eof()


@pytest.mark.parametrize(
    ("coding", "wire"),
    [
        (b"gzip", b"data: plain\n\n"),
        (b"deflate", b"data: plain\n\n"),
        (b"gzip", compress("zlib", b"data")),
        (b"deflate", gzip.compress(b"data")),
        (b"gzip", gzip.compress(b"data") + b"garbage"),
        (b"gzip", gzip.compress(b"data")[:-8] + b"\0" * 8),
        (b"deflate", compress("zlib", b"data")[:-4] + b"\0" * 4),
    ],
)
def test_bytes_that_are_no_such_coding_are_refused(coding: bytes, wire: bytes) -> None:
    for pieces in every_way(wire):
        with pytest.raises(FramingError, match="not the content-encoding"):
            inflate(Inflater(coding, LIMIT), pieces)


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize(("size", "taken"), [(LIMIT - 1, True), (LIMIT * 2, False), (LIMIT * 500, False)])
def test_one_piece_unpacks_to_the_limit_and_no_further(kind: str, size: int, taken: bool) -> None:
    wire = compress(kind, b"x" * size)
    if taken:
        assert inflate(Inflater(NAMES[kind], LIMIT), [wire]) == b"x" * size
    else:
        with pytest.raises(FramingError, match=f"more than {LIMIT} bytes"):
            inflate(Inflater(NAMES[kind], LIMIT), [wire])


def test_the_limit_is_for_one_piece_and_not_for_the_stream() -> None:
    inflater, compressor = Inflater(b"gzip", 1000), zlib.compressobj(wbits=31)
    for _ in range(50):
        piece = compressor.compress(b"x" * 900) + compressor.flush(zlib.Z_SYNC_FLUSH)
        assert inflater.receive(memoryview(piece)) == b"x" * 900


def test_many_members_in_one_piece_stay_within_the_limit_together() -> None:
    with pytest.raises(FramingError):
        inflate(Inflater(b"gzip", 10), [gzip.compress(b"x") * 50])


def test_members_that_overrun_the_limit_together_are_refused() -> None:
    with pytest.raises(FramingError, match="more than 1000 bytes"):
        inflate(Inflater(b"gzip", 1000), [gzip.compress(b"x" * 600) * 2])


def packed(ratio: int, size: int) -> bytes:
    """About ``size`` bytes that pack to a ``ratio``-th: zeros and noise by turns."""
    noise = random.Random(ratio)
    return b"".join(noise.randbytes(1000) + bytes(1000 * (ratio - 1)) for _ in range(size // (1000 * ratio)))


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize(("ratio", "taken"), [(60, True), (300, False)])
def test_a_stream_unpacks_to_a_hundred_times_its_size_and_no_further(
    kind: str, ratio: int, taken: bool
) -> None:
    plain = packed(ratio, 8 * FREE)
    pieces = split(compress(kind, plain), [1400])
    inflater = Inflater(NAMES[kind], 16 * FREE)
    if taken:
        assert inflate(inflater, pieces) == plain
    else:
        with pytest.raises(FramingError, match="100 times"):
            inflate(inflater, pieces)


def test_what_is_small_may_unpack_to_anything_that_is_small() -> None:
    assert len(inflate(Inflater(b"gzip", 16 * FREE), [compress("gzip", bytes(FREE))])) == FREE


def test_noise_before_a_bomb_is_no_credit_beyond_the_limit_of_one_piece() -> None:
    inflater = Inflater(b"gzip", 4 * FREE)
    inflate(inflater, split(compress("gzip", random.Random(1).randbytes(FREE)), [1400]))
    with pytest.raises(FramingError, match="more than"):
        inflate(inflater, [compress("gzip", bytes(8 * FREE))])


def test_no_limit_of_one_piece_leaves_that_of_the_whole() -> None:
    with pytest.raises(FramingError, match="100 times"):
        inflate(Inflater(b"gzip", 0), [compress("gzip", bytes(64 * FREE))])


def test_bytes_after_the_end_of_a_deflate_stream_are_not_hoarded() -> None:
    inflater, garbage = Inflater(b"deflate", LIMIT), memoryview(bytes(LIMIT))
    inflate(inflater, [compress("zlib", b"data")])
    tracemalloc.start()
    try:
        for _ in range(32):
            inflater.receive(garbage)
        assert tracemalloc.get_traced_memory()[0] < 4 * LIMIT
    except FramingError:
        pass  # refusing them is as good
    finally:
        tracemalloc.stop()


@given(st.sampled_from(sorted(CODINGS)), st.binary(max_size=80), SIZES)
def test_any_bytes_unpack_within_the_limit_or_are_refused(
    coding: bytes, wire: bytes, sizes: list[int]
) -> None:
    inflater = Inflater(coding, 100)
    try:
        for piece in split(wire, sizes):
            assert len(inflater.receive(memoryview(piece))) <= 100
        inflater.receive_eof()
    except FramingError:
        pass
