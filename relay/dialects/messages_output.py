"""What leaves in answer to one frame, and what is held until there is a next one.

Holding moves the moment of a frame and nothing else: whatever is held leaves before the next one.
"""

from __future__ import annotations

from relay.dialects.checker import Malformed
from relay.dialects.frame import Frame
from relay.dialects.messages_content import Block

MOST_FRAMES, MOST_BYTES = 10_000, 1 << 20
"""What may wait for the stop of a block."""


class Output:
    """``out`` collects the answer to the frame at hand.

    ``start`` is the held start of the open block, ``stopped`` the block whose stop is held.
    ``stops`` are the types of blocks whose stops are held.
    """

    __slots__ = ("_bytes", "_frames", "_held", "_thought", "_tight", "out", "start", "stopped", "stops")

    def __init__(self) -> None:
        self.out: list[Frame] = []
        self.start: Frame | None = None
        self.stopped: Block | None = None
        self.stops: tuple[str, ...] = ("text", "thinking")
        self._held: list[Frame] = []
        self._thought = 0
        """How many of them, the first or none, end thinking that shall stay open."""
        self._tight = False
        """Thinking stays open until something comes that is more than a ping or an empty start."""
        self._frames = self._bytes = 0

    @property
    def holds_one(self) -> bool:
        """The start of the open block, and nothing of what is in it."""
        return len(self._held) - self._thought == 1

    def hold_thinking(self) -> None:
        """See ``holding.HoldsThinking``."""
        self._tight = True
        self.stops = ("text", "thinking", "redacted_thinking")

    def send(self, frame: Frame) -> None:
        """After all that is held."""
        if self._held:
            self._let_go()
        self.out.append(frame)

    def pass_by(self, frame: Frame) -> None:
        """Before what is held."""
        self.out.append(frame)

    def ping(self, frame: Frame) -> None:
        """After what is held, unless that is the end of thinking."""
        if self._thought:
            self.out.append(frame)
        else:
            self.send(frame)

    def fail(self, frame: Frame) -> None:
        """After what is held, unless that ends thinking: then it never leaves, nor the start behind it."""
        if self._thought:
            self.forget()
        self.send(frame)

    def hold_start(self, frame: Frame) -> None:
        """After what is held; the end of thinking stays, for the block may yet come to nothing."""
        if not self._thought:
            self._let_go()
        self._hold(frame)
        self.start = frame

    def hold_stop(self, frame: Frame, block: Block) -> None:
        self._let_go()
        self._hold(frame)
        self.stopped = block
        self._thought = int(self._tight and block.type != "text")

    def hold_too(self, frame: Frame) -> None:
        """Together with what is held already."""
        self._held.append(self.keep(frame))

    def undo(self) -> None:
        """The open block, of which nothing but its held start was seen, has never been."""
        del self._held[self._thought :]
        self.start = None

    def forget(self) -> None:
        """Nothing is held any more."""
        self._held = []
        self._thought = 0
        self.start = self.stopped = None

    def keep(self, frame: Frame) -> Frame:
        """Own a frame that waits for a block to stop; raises Malformed when too much waits."""
        self._frames += 1
        self._bytes += len(frame.raw) if frame.raw is not None else 0
        if self._frames > MOST_FRAMES or self._bytes > MOST_BYTES:
            raise Malformed("too much waits for a content block to stop")
        frame.keep()
        return frame

    def nothing_waits(self) -> None:
        self._frames = self._bytes = 0

    def _hold(self, frame: Frame) -> None:
        frame.keep()
        self._held.append(frame)

    def _let_go(self) -> None:
        self.out += self._held
        self.forget()
