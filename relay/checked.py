"""CheckedStream: a ResponseStream that knows its dialect, and leaves legal or says that it failed.

Every frame passes a ``Mender`` on its way. Nothing leaves before the first frame that is more than
a sign of life, so that an error in its place can still become a true status, and an empty body a
502. With ``look_ahead`` frames that only announce an answer wait too, until one comes that says more
or the owner has waited long enough (``release_early``). An end is supplied only where the upstream
has announced it; every other end is the dialect's own error event (architecture §6, "Ends").
"""

from __future__ import annotations

import contextlib
import re

from relay.dialects.checker import Malformed, Truncated
from relay.dialects.deltas import Failure, Usage
from relay.errors import (
    FramingError,
    RelayError,
    UpstreamClosed,
    UpstreamMalformed,
    UpstreamTruncated,
)
from relay.mending import Mender
from relay.recognising import Recogniser, Verdict
from relay.stream import ResponseStream
from relay.wire import sse
from relay.wire.framing import BodyDecoder, BodyEncoder, Buffer, Data
from relay.wire.inflate import Inflater

_EARLY_LIMIT = 256 * 1024
"""Bytes held before the first frame that counts; beyond it they leave. `response.created` repeats what codex
asked, some 30 KiB of instructions and as many of tools, and `response.in_progress` repeats them again."""
_CLOSED = "the upstream closed the connection"
_DOCUMENT = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*[{\[]")
_UNDECIDED = re.compile(rb"(?:\xef(?:\xbb\xbf?)?)?[ \t\r\n]*")
_HALF_A_LINE_END = b"\r\n\r"


class CheckedStream(ResponseStream):
    """One event stream of a known dialect."""

    __slots__ = (
        "_document",
        "_early",
        "_end_code",
        "_line_by_line",
        "_looked",
        "_mender",
        "_settled",
        "_sniffing",
        "recogniser",
    )

    def __init__(
        self,
        decoder: BodyDecoder,
        encoder: BodyEncoder,
        mender: Mender,
        *,
        frame_limit: int,
        inflater: Inflater | None = None,
        look_ahead: bool = False,
        recogniser: Recogniser | None = None,
    ) -> None:
        super().__init__(decoder, encoder, frame_limit=frame_limit, inflater=inflater)
        self._mender = mender
        self.recogniser = recogniser or Recogniser()
        mender.announcing = look_ahead
        self._early: bytearray | None = bytearray()
        self._sniffing = True
        self._document: bytearray | None = None
        self._line_by_line = False
        self._looked = False
        """Two data lines of the frame at hand have been seen, and it is known what they are."""
        self._settled = False
        """It is a stream, and known for what it is: frames like the last one may pass unread."""
        self._end_code: str | None = None
        self._passing = False  # the first read is looked at for what it is

    @property
    def lively(self) -> bool:
        return self._mender.lively or bool(self._carry)

    @property
    def ended(self) -> bool:
        return self._mender.checker.done

    @property
    def end_code(self) -> str | None:
        return self._end_code

    @property
    def holding(self) -> bool:
        """An answer was announced, and that is held: it may still fail as if nothing had come."""
        return self._early is not None and self._mender.announcing and self._mender.checker.started

    def release_early(self) -> list[Buffer]:
        """What is held, in the client's framing; from now on no announcement is.

        Comments that nothing has followed wait on: without a frame there is no answer yet.
        """
        self._mender.announcing = False
        if self._early is None or not self._mender.checker.started:
            return []
        early, self._early = self._early, None
        return self._encoder.encode([early])

    @property
    def note(self) -> bytes:
        """Set when the body is a JSON document, which leaves as a stream, or a stream that is none."""
        if self._document is not None:
            return b"x-relay-converted: json\r\n"
        verdict = self.recogniser.early(self._mender.checker)
        return b"" if verdict is None else f"x-relay-verdict: {verdict.name}\r\n".encode()

    @property
    def verdict(self) -> Verdict | None:
        """What a proxy before us did to it and does not say; the end may show more than the beginning."""
        return self.recogniser.verdict(self._mender.checker, self._end_code)

    @property
    def repairs(self) -> dict[str, int]:
        return self._mender.repairs

    @property
    def flags(self) -> frozenset[str]:
        checker = self._mender.checker
        return frozenset(checker.flags | self.recogniser.flags(checker))

    @property
    def usage(self) -> Usage | None:
        return self._mender.checker.usage

    @property
    def deltas(self) -> int:
        """Pieces of content seen so far."""
        return self._mender.checker.deltas

    def keep_alive(self) -> list[Buffer]:
        """A sign of life for a client that waits, if there is one for this stream now."""
        if self._mender.report or self._early is not None or self._ended or self.ended:
            return []
        return self._encoder.encode([self._mender.keep_alive()])

    def abandon(self, error: RelayError) -> list[Buffer] | None:
        """The upstream failed: the end if it had been announced, else the dialect's error event."""
        if self._mender.report:
            self._end_code = error.end
            return None
        last = [] if isinstance(error, UpstreamMalformed) else self._take_half()
        try:
            if isinstance(error, UpstreamMalformed):
                raise Truncated
            frames = self._mender.end(cut=not isinstance(error, UpstreamTruncated))
            self._end_code = "UX" if self._mender.checker.failure else "OK"
        except Truncated as missing:
            self._end_code = error.end
            message = _CLOSED if isinstance(error, UpstreamTruncated) else str(error)
            if missing.args:
                message += f"{self._so_far()}, before {missing}"
            frames = self._mender.fail(Failure(message, error.status))
        return self.release_early() + self._encoder.encode([*last, *frames]) + self._end()

    def _take_half(self) -> list[Buffer]:
        """A frame of which only the last LF did not come is whole."""
        rest, self._carry = self._carry, bytearray()
        out: list[Buffer] = []
        if rest.endswith(_HALF_A_LINE_END):
            with contextlib.suppress(RelayError):
                view = memoryview(rest)
                self._pass_on(rest, view, 0, len(rest), view, out)
        return out

    # Frames.

    def _take_chunk(self, data: Data, view: memoryview, start: int, end: int, begin: int) -> list[Buffer]:
        cut = end - 2
        if self._settled:
            if self._mender.passes(data, view, begin, cut):
                return [view[start:end]]
            if (said := self._mender.says(data, view, begin, cut)) is not None:
                return [b"%x\r\n%b\r\n" % (len(said), said)]
        if not self._sniffing and self._document is None and self._early is None:
            if not self._settled:
                self.recogniser.show(data, begin, cut)
            try:
                answer = self._ask(data, view, begin, cut)
            except UpstreamMalformed as error:
                error.before = self._encoder.encode([*error.before])
                raise
            self._count_read()
            return [view[start:end]] if answer is None else self._encoder.encode(answer)
        out: list[Buffer] = []
        try:
            self._take(data, view, begin, cut, out)
        except RelayError as error:
            error.before = self._encoder.encode(out)
            raise
        self._count_read()
        return self._encoder.encode(out)

    def _receive(self, data: Data, view: memoryview, start: int, end: int, out: list[Buffer]) -> None:
        super()._receive(data, view, start, end, out)
        self._count_read()

    def _count_read(self) -> None:
        if not self._settled:
            self.recogniser.seen(self._mender.checker)
            self._settled = self.recogniser.settled

    def _take(self, data: Data, view: memoryview, start: int, end: int, out: list[Buffer]) -> None:
        if not self._settled:
            self.recogniser.show(data, start, end)
        if self._sniffing:
            self._sniff(self._carry + view[start:end])
        if self._document is not None:
            self._document += view[start:end]
            if len(self._document) > self._frame_limit:
                raise FramingError(f"the answer is a JSON document above {self._frame_limit} bytes")
            return
        super()._take(data, view, start, end, out)
        if self._carry and self._whole_lines(end - start):
            came, self._carry = self._carry, bytearray()
            lines = came + b"\n"
            view = memoryview(lines)
            self._pass_on(lines, view, 0, len(lines), came if self._mender.report else view, out)

    def _sniff(self, begun: bytearray) -> None:
        """Is this a document and no stream? The first byte that is no blank tells."""
        self._sniffing = _UNDECIDED.fullmatch(begun) is not None
        if not self._mender.report and _DOCUMENT.match(begun):
            self._document, self._carry = self._carry, bytearray()

    def _take_frames(self, data: Data, view: memoryview, start: int, cut: int, out: list[Buffer]) -> None:
        self._looked = False
        if self._carry:  # a frame is checked in one piece
            self._carry += view[start:cut]
            data, self._carry = self._carry, bytearray()
            view, start, cut = memoryview(data), 0, len(data)
        end = cut
        if data.endswith(_HALF_A_LINE_END, start, cut):  # the LF will come, and belongs to the last frame
            *_, cut = (start, *sse.frame_ends(data, start, cut)[:-1])
            self._carry += view[cut:end]
            if len(self._carry) > self._frame_limit:
                raise FramingError(f"a frame of the event stream is above {self._frame_limit} bytes")
        if start < cut:
            self._pass_on(data, view, start, cut, view[start:cut], out)

    def _pass_on(
        self, data: Data, view: memoryview, start: int, cut: int, same: Buffer, out: list[Buffer]
    ) -> None:
        """What the mender makes of whole frames; ``same`` where they need no mending."""
        try:
            answer = self._ask(data, view, start, cut)
        except UpstreamMalformed as error:
            self._leave(list(error.before), out)
            raise
        self._leave([same] if answer is None else answer, out)

    def _ask(self, data: Data, view: memoryview, start: int, cut: int) -> list[Buffer] | None:
        """The mender's answer for whole frames."""
        try:
            answer = self._mender.take(data, view, start, cut)
            self.recogniser.mind_id(self._mender.checker, data, start, cut)
            return answer
        except Malformed as fault:
            if self.ended:  # what follows the last word is nothing, whatever it is
                return None if self._mender.report else [*fault.before]
            raise self._malformed(fault) from fault

    def _leave(self, buffers: list[Buffer], out: list[Buffer]) -> None:
        """Let these go, unless nothing that counts has been seen yet."""
        early, mender, checker = self._early, self._mender, self._mender.checker
        if early is None:
            out += buffers
            return
        said_nothing = not checker.started or not checker.deltas
        if checker.failure is not None and said_nothing and not mender.report:
            raise mender.refusal(checker.failure)
        waits = not checker.started or (mender.announcing and not checker.done)
        if waits and not mender.report:
            for buffer in buffers:
                early += buffer
            if len(early) <= _EARLY_LIMIT:
                return
            buffers = []
        out += [early, *buffers] if early else buffers
        self._early = None
        mender.announcing = False

    def _whole_lines(self, new: int) -> bool:
        """The carry holds frames that are parted by one LF only, so no empty line will come.

        The first two data lines of a frame tell, so each byte is searched once and one line parsed:
        a frame of megabytes that comes in small reads must not be gone through again with each.
        """
        if not self._line_by_line and not self._looked:
            begin = max(len(self._carry) - new - len(b"\ndata:"), 0)
            if self._carry.find(b"\ndata:", begin) >= 0:
                self._looked = True
                self._line_by_line = sse.first_line_is_whole(self._carry)
        return self._line_by_line and self._carry.endswith(b"\n")

    # The end.

    def _finish(self, rest: bytearray, out: list[Buffer]) -> None:
        try:
            self._take_last(rest, out)
            self._leave(self._mender.end(), out)
        except Malformed as fault:
            self._leave(list(fault.before), out)
            if not self.ended:
                raise self._malformed(fault) from fault
            self._end_code = "UX" if self._mender.checker.failure else "OK"
        except Truncated as missing:
            self._truncated(missing)
        else:
            self._end_code = "UX" if self._mender.checker.failure else "OK"

    def _take_last(self, rest: bytearray, out: list[Buffer]) -> None:
        """What no empty line has ended: a document, or the last frame."""
        if self._document is not None:
            self._leave(self._mender.take_document(bytes(self._document)), out)
        elif self._mender.report and self._early is not None and _DOCUMENT.match(rest):
            with contextlib.suppress(Malformed):
                self._mender.take_document(bytes(rest))
            self._leave([rest], out)
        elif rest.endswith(_HALF_A_LINE_END):
            view = memoryview(rest)
            self._pass_on(rest, view, 0, len(rest), view, out)
        elif rest:
            self._leave(self._mender.take_rest(rest), out)

    def _truncated(self, missing: Truncated) -> None:
        if self._mender.report:
            self._end_code = "UX" if self._mender.checker.failure else UpstreamTruncated.end
        elif self._early is not None and not self._mender.checker.started:
            raise UpstreamClosed("the upstream answered with an empty event stream") from missing
        else:
            raise UpstreamTruncated(f"{_CLOSED}{self._so_far()}, before {missing}") from missing

    def _malformed(self, fault: Malformed) -> UpstreamMalformed:
        error = UpstreamMalformed(f"{fault}{self._so_far()}")
        error.before = fault.before
        return error

    def _so_far(self) -> str:
        return f" after {self.deltas} delta{'' if self.deltas == 1 else 's'}"
