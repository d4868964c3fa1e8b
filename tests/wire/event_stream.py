"""Frames read one byte at a time, straight from the table in ``relay/wire/sse.py``.

A second implementation, slow and plain, that the tests hold against the fast one.
"""

from __future__ import annotations

_NEXT = {
    # state: (at CR, at LF, at another byte); a star says that a frame ends here
    "START": ("ENDED_CR*", "START*", "INSIDE"),
    "INSIDE": ("LINE_CR", "START", "INSIDE"),
    "LINE_CR": ("ENDED_CR*", "START", "INSIDE"),
    # The LF after a CR that ended a frame is that frame's last byte.
    "ENDED_CR": ("ENDED_CR*", "START*", "INSIDE"),
}


class FrameReader:
    """Keeps the state between pieces."""

    def __init__(self) -> None:
        self._state = "START"
        self.at_frame_end = True

    def receive(self, piece: bytes) -> list[int]:
        """Every offset into this piece after which a frame has ended."""
        ends = []
        for at, byte in enumerate(piece, start=1):
            entry = _NEXT[self._state][{13: 0, 10: 1}.get(byte, 2)]
            self._state = entry.rstrip("*")
            self.at_frame_end = entry.endswith("*")
            if self.at_frame_end:
                ends.append(at)
        return ends

    def last_frame_end(self, piece: bytes) -> int:
        ends = self.receive(piece)
        return ends[-1] if ends else -1


def frame_ends(stream: bytes) -> list[int]:
    """Where the frames of a whole stream end; CR LF ends one only once."""
    ends = FrameReader().receive(stream)
    return [end for end in ends if stream[end - 1 : end + 1] != b"\r\n"]


def frames(stream: bytes) -> list[bytes]:
    """The whole frames of a stream; an unfinished last one is left out."""
    ends = frame_ends(stream)
    return [stream[a:b] for a, b in zip([0, *ends], ends, strict=False)]
