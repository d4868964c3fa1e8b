"""Feed every parser three ways: whole, byte by byte, at random cuts.

Most bugs of a stream parser live at the cut, so no test hands its bytes over in one way only. A
piece is always placed inside a larger buffer between bytes that would matter if they were read
(``placed``), because relay's machines are given ranges of a read buffer and not whole buffers.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from hypothesis import strategies as st

from relay.wire.framing import Data

_BEFORE = b"\r\n\r"
_AFTER = b"\n\r\n\n0\r\n\r\n"

SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=6)
"""Sizes of pieces, used over and over; hypothesis shrinks them towards byte by byte."""


def split(data: bytes, sizes: list[int]) -> list[bytes]:
    """``data`` in pieces of these sizes, starting again when they are used up."""
    pieces, at, turn = [], 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        pieces.append(data[at : at + size])
        at, turn = at + size, turn + 1
    return pieces


def every_way(data: bytes, *, random_ways: int = 8) -> Iterator[list[bytes]]:
    """Whole, byte by byte, then at cuts that are random and the same in every run."""
    yield [data] if data else []
    yield split(data, [1])
    dice = random.Random(len(data))
    for _ in range(random_ways):
        longest = dice.choice((2, 5, 20, 300, max(len(data), 1)))
        yield split(data, [dice.randint(1, longest) for _ in range(17)])


def placed(piece: bytes) -> tuple[Data, int, int]:
    """The piece as a range of a larger buffer; odd sizes get bytes, even ones a bytearray."""
    data = _BEFORE + piece + _AFTER
    return (data if len(piece) % 2 else bytearray(data)), len(_BEFORE), len(_BEFORE) + len(piece)
