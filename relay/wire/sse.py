"""Where the frames of an event stream end (HTML Standard, "Parsing an event stream").

A frame is everything up to and including the empty line that ends it. A line ends at CR LF, LF
or CR, mixed as they come, split across reads anywhere. The whole machine is this table, which
needs one byte at a time and decodes nothing:

    state      at CR                     at LF                      at another byte
    START      a frame ends: ENDED_CR    a frame ends: START        INSIDE
    INSIDE     a line ends: LINE_CR      a line ends: START         INSIDE
    LINE_CR    a frame ends: ENDED_CR    the CR's other half: START INSIDE
    ENDED_CR   a frame ends: ENDED_CR    the CR's other half: START INSIDE

START stands at the start of a line; the two CR states do too, and remember that a LF that comes
next is no second line end. In ENDED_CR that LF still belongs to the frame that has just ended.

``FrameScanner`` gives the same answers without walking bytes: an empty line is a line end right
after a line end, so inside one read the last frame end is the last place where two of them
touch, and only the first byte or two need the state that the read before left behind.
"""

from __future__ import annotations

import enum

from relay.wire.framing import Data

CR, LF = 13, 10


class State(enum.IntEnum):
    START = 0
    INSIDE = 1
    LINE_CR = 2
    ENDED_CR = 3


class FrameScanner:
    """Finds the end of the last whole frame in each piece of a stream."""

    __slots__ = ("_state",)

    def __init__(self) -> None:
        self._state = State.START

    def frame_ended(self) -> None:
        """A piece that was not shown to ``receive`` ended with a frame, at a LF."""
        self._state = State.START

    def receive(self, data: Data, start: int, end: int) -> int:
        """The offset just after the last frame that ends in ``data[start:end]``, or -1."""
        # By far the most usual piece ends with its frame, and then nothing else matters: 0.1 µs
        # against 0.7 µs for the search below.
        if data.endswith(b"\n\n", start, end):
            self._state = State.START
            return end
        if start == end:
            return -1
        cut = _last_empty_line(data, start, end)
        if cut < 0:
            cut = self._empty_line_at_start(data, start, end)
        self._state = self._state_after(data, start, end, cut)
        return cut

    def _empty_line_at_start(self, data: Data, start: int, end: int) -> int:
        """The frame end that only the byte before this piece explains, or -1."""
        if self._state is State.INSIDE:
            return -1
        at = start
        if self._state is not State.START and data[at] == LF:
            at += 1  # the other half of a CR LF
            if self._state is State.ENDED_CR and (at == end or data[at] not in (CR, LF)):
                return at
        if at == end or data[at] not in (CR, LF):
            return -1
        return at + 2 if data.startswith(b"\r\n", at, end) else at + 1

    def _state_after(self, data: Data, start: int, end: int, cut: int) -> State:
        last = data[end - 1]
        if last == LF:
            return State.START
        if last == CR:
            return State.ENDED_CR if cut == end else State.LINE_CR
        return State.INSIDE


def _last_empty_line(data: Data, start: int, end: int) -> int:
    """The offset after the last line end that directly follows another, or -1.

    Two line ends touch as LF LF, LF CR or CR CR (CR LF is one line end, not two).
    """
    at = max(data.rfind(pair, start, end) for pair in (b"\n\n", b"\n\r", b"\r\r"))
    if at < 0:
        return -1
    return at + 3 if data.startswith(b"\r\n", at + 1, end) else at + 2
