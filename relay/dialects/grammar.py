"""The legal order of deltas, one for all dialects, and how to restore it.

    OPEN  ( BLOCK  PIECE*  CLOSE )*  FINISH  USAGE?  END

Two tables hold it. ``LEGAL`` maps a state and a kind of delta to the next state; ``IMPLIED`` maps
an illegal pair to the kind that must come first. What is in neither cannot be made legal by
adding something: it is dropped, or fails the stream when content would be lost.

Blocks have keys (a block index, an item, a tool call). The state that a delta of a block meets is
``BLOCK`` when that block is open. In a serial grammar (messages) one block is open at a time, so a
new block meets ``BLOCK`` whenever another is open; elsewhere blocks may interleave.
"""

from __future__ import annotations

import enum
from collections.abc import Hashable

from relay.dialects.deltas import Kind


class State(enum.IntEnum):
    START = 0
    OPEN = 1
    BLOCK = 2
    FINISHED = 3
    DONE = 4
    FAILED = 5


_S, _K = State, Kind

LEGAL: dict[tuple[State, Kind], State] = {
    (_S.START, _K.OPEN): _S.OPEN,
    (_S.START, _K.PING): _S.START,
    (_S.START, _K.FAIL): _S.FAILED,
    (_S.OPEN, _K.BLOCK): _S.BLOCK,
    (_S.OPEN, _K.FINISH): _S.FINISHED,
    (_S.OPEN, _K.USAGE): _S.OPEN,
    (_S.OPEN, _K.PING): _S.OPEN,
    (_S.OPEN, _K.FAIL): _S.FAILED,
    (_S.BLOCK, _K.PIECE): _S.BLOCK,
    (_S.BLOCK, _K.CLOSE): _S.OPEN,
    (_S.BLOCK, _K.USAGE): _S.BLOCK,
    (_S.BLOCK, _K.PING): _S.BLOCK,
    (_S.BLOCK, _K.FAIL): _S.FAILED,
    (_S.FINISHED, _K.FINISH): _S.FINISHED,
    (_S.FINISHED, _K.USAGE): _S.FINISHED,
    (_S.FINISHED, _K.PING): _S.FINISHED,
    (_S.FINISHED, _K.END): _S.DONE,
    (_S.FINISHED, _K.FAIL): _S.FAILED,
}

IMPLIED: dict[tuple[State, Kind], Kind] = {
    (_S.START, _K.BLOCK): _K.OPEN,
    (_S.START, _K.PIECE): _K.OPEN,
    (_S.START, _K.FINISH): _K.OPEN,
    (_S.START, _K.USAGE): _K.OPEN,
    (_S.OPEN, _K.PIECE): _K.BLOCK,
    (_S.OPEN, _K.END): _K.FINISH,
    (_S.BLOCK, _K.BLOCK): _K.CLOSE,
    (_S.BLOCK, _K.FINISH): _K.CLOSE,
    (_S.BLOCK, _K.END): _K.CLOSE,
}


class Grammar:
    """Where one stream stands. ``blocks`` maps each open block's key to what its dialect keeps of it."""

    __slots__ = ("_serial", "blocks", "state")

    def __init__(self, *, serial: bool) -> None:
        self._serial = serial
        self.state = State.START
        self.blocks: dict[Hashable, object] = {}

    def meets(self, kind: Kind, key: Hashable = None) -> State:
        """The state that a delta of this kind and block meets."""
        if self.state is not State.OPEN or not self.blocks:
            return self.state
        if key in self.blocks:
            return State.BLOCK
        if kind is Kind.BLOCK:
            return State.BLOCK if self._serial else State.OPEN
        return State.OPEN if kind in (Kind.PIECE, Kind.CLOSE) else State.BLOCK

    def implied(self, kind: Kind, key: Hashable = None) -> Kind | None:
        """The kind that must come first, or None."""
        return IMPLIED.get((self.meets(kind, key), kind))

    def admit(self, kind: Kind, key: Hashable = None, block: object = None) -> bool:
        """Take a delta; False when it is not legal here, and nothing has changed."""
        after = LEGAL.get((self.meets(kind, key), kind))
        if after is None:
            return False
        if kind is Kind.BLOCK:
            self.blocks[key] = block
        elif kind is Kind.CLOSE:
            del self.blocks[key]
        elif kind is not Kind.PIECE:
            self.state = State.OPEN if after is State.BLOCK else after
        return True
