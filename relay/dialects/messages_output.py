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
    """

    __slots__ = ("_bytes", "_frames", "_held", "out", "start", "stopped")

    def __init__(self) -> None:
        self.out: list[Frame] = []
        self.start: Frame | None = None
        self.stopped: Block | None = None
        self._held: list[Frame] = []
        self._frames = self._bytes = 0

    @property
    def holds_one(self) -> bool:
        return len(self._held) == 1

    def send(self, frame: Frame) -> None:
        """After all that is held."""
        if self._held:
            self.out += self._held
            self.forget()
        self.out.append(frame)

    def pass_by(self, frame: Frame) -> None:
        """Before what is held."""
        self.out.append(frame)

    def hold_start(self, frame: Frame) -> None:
        self._hold(frame)
        self.start = frame

    def hold_stop(self, frame: Frame, block: Block) -> None:
        self._hold(frame)
        self.stopped = block

    def hold_too(self, frame: Frame) -> None:
        """Together with what is held already."""
        self._held.append(self.keep(frame))

    def forget(self) -> None:
        """Nothing is held any more."""
        self._held = []
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
        if self._held:
            self.out += self._held
            self.forget()
        frame.keep()
        self._held.append(frame)
