"""One block at a time: deltas whose blocks interleave in, the same deltas with their blocks in a row out.

Messages knows one open block only (its Node SDK loses text otherwise), the other dialects let tool calls
interleave. A block that begins while another is open waits, and what comes for it is kept; once the open
one is closed, the blocks that waited leave in the order in which they began, and the first of them that is
not closed itself is the open one then. So calls in sequence are never late, and what is late is whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

from relay.dialects.checker import Malformed
from relay.dialects.deltas import Block, Cite, Close, Delta, Failure, Piece

MOST = 4 << 20
"""Characters that may wait."""


class _Waiting:
    """A block whose turn has not come; the pieces since the last other delta are ``texts``."""

    __slots__ = ("block", "closed", "said", "size", "texts")

    def __init__(self, block: Block) -> None:
        self.block = block
        self.said: list[Delta] = [block]
        self.texts: list[str] = []
        self.size = 0
        self.closed = False

    def take(self, delta: Piece | Cite | Close) -> None:
        if isinstance(delta, Piece):
            self.texts.append(delta.text)
            self.size += len(delta.text)
            return
        self._join()
        self.said.append(delta)
        self.closed = isinstance(delta, Close)

    def deltas(self) -> list[Delta]:
        self._join()
        return self.said

    def _join(self) -> None:
        if self.texts:
            self.said.append(Piece(self.block.key, "".join(self.texts)))
            self.texts = []


class Serial:
    """The blocks of one stream, put in a row."""

    __slots__ = ("_busy", "_by_key", "_queue", "_size")

    def __init__(self) -> None:
        self._busy = False
        """A block is open."""
        self._queue: deque[_Waiting] = deque()
        self._by_key: dict[Hashable, _Waiting] = {}
        """Those that wait and are not closed: a closed block's key may be used again."""
        self._size = 0

    @property
    def waits(self) -> bool:
        """A piece may belong to a block whose turn has not come."""
        return bool(self._by_key)

    def take(self, delta: Delta) -> list[Delta]:
        """What leaves now. Raises Malformed when too much waits."""
        if isinstance(delta, Block):
            return self._begin(delta)
        if isinstance(delta, Piece | Cite | Close):
            waiting = self._by_key.get(delta.key) if self._by_key else None
            if waiting is not None:
                self._keep(waiting, delta)
                return []
            if isinstance(delta, Close):
                self._busy = False
                return [delta, *self._next()]
        elif isinstance(delta, Failure):
            self._queue.clear()  # what has not begun is not begun for a failure
            self._by_key.clear()
        return [delta]

    def _begin(self, block: Block) -> list[Delta]:
        if not self._busy:
            self._busy = True
            return [block]
        waiting = self._by_key[block.key] = _Waiting(block)
        self._queue.append(waiting)
        return []

    def _keep(self, waiting: _Waiting, delta: Piece | Cite | Close) -> None:
        before = waiting.size
        waiting.take(delta)
        self._size += waiting.size - before
        if self._size > MOST:
            raise Malformed("too much waits for a content block to end")
        if waiting.closed:
            del self._by_key[delta.key]

    def _next(self) -> list[Delta]:
        """The blocks that waited, until one of them is open."""
        out: list[Delta] = []
        while self._queue and not self._busy:
            waiting = self._queue.popleft()
            self._size -= waiting.size
            out += waiting.deltas()
            if not waiting.closed:
                del self._by_key[waiting.block.key]
                self._busy = True
        return out
