"""ContinuedStream: a CheckedStream that can go on with the body of another upstream where its first was cut.

The client's side of it stays as it is: the framing, the mender with its checker or translator, the ids.
What changes is where the frames come from. Each is seen here on its way to the checker, so that the
transcript holds what has left and nothing else, and so that those of a second upstream are spliced on
before they are checked.

    an error would cut the stream, and ``obstacle(error)`` is empty:
        ask another target with ``request()``
        an event stream with 200 begins: ``resume``, and go on receiving
        nobody is left, or it is another answer: ``abandon`` with the first error, as ever
"""

from __future__ import annotations

import orjson

from relay.checked import CheckedStream
from relay.continuing import Transcript
from relay.dialects import failures
from relay.dialects.checker import Checker, Malformed
from relay.dialects.deltas import Failure
from relay.dialects.frame import Frame
from relay.dialects.request import Profile
from relay.errors import RelayError, UpstreamClosed, UpstreamMalformed, UpstreamTimeout
from relay.mending import Mender
from relay.recognising import Recogniser
from relay.splicing import Refused, Splice
from relay.wire import sse
from relay.wire.framing import BodyDecoder, BodyEncoder, Buffer, ChunkedDecoder, Data
from relay.wire.inflate import Inflater
from relay.wire.sse import FrameScanner

_UNREAD = 32 * 1024
"""Bytes of frames that wait for being read."""


class UpstreamGaveUp(UpstreamMalformed):
    """The upstream's own error event, held because the answer may be continued elsewhere."""

    code = "upstream_error"
    end = "UX"
    logged = "the upstream sent an error in the middle of its answer"

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.status = failure.status
        self.failure = failure


class _GaveUp(Malformed):
    """The same among frames."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Continuation:
    """Sees every frame of a stream, those of its continuation too."""

    __slots__ = ("_checker", "_transcript", "_unread", "splice")

    def __init__(self, checker: Checker, transcript: Transcript) -> None:
        self._checker = checker
        self._transcript = transcript
        self._unread = bytearray()
        """Frames that left unread, because they differ from others in their text only."""
        self.splice: Splice | None = None

    @property
    def transcript(self) -> Transcript:
        """All that has left."""
        if self._unread:
            self._read()
        return self._transcript

    def passed(self, frame: memoryview) -> None:
        """One whole frame that adds a piece to what is open; it is read when that is needed."""
        self._unread += frame
        if len(self._unread) > _UNREAD:
            self._read()

    def _read(self) -> None:
        unread, self._unread = self._unread, bytearray()
        start = 0
        for end in sse.frame_ends(unread, 0, len(unread)):
            begin, _ = sse.payload_at(unread, start, end)
            text = unread[begin : end - 2] if begin >= 0 else sse.read_fields(unread, start, end).data
            self._transcript.take(orjson.loads(text or b"null"))
            start = end

    def check(self, frame: Frame) -> list[Frame] | None:
        """What the checker makes of it; see there."""
        payload, transcript, splice = frame.payload, self.transcript, self.splice
        if payload is not None and (payload.get("error") or not payload.get("choices")):
            failure = failures.read(payload, event=frame.event)
            if failure is not None:
                if splice is not None and not splice.begun:
                    raise Refused(f"the continuation by {splice.name} is an error ({failure.status})")
                if _may_pass(failure) and not transcript.obstacle:
                    raise _GaveUp(failure)
                return self._checker.check(frame)
        if splice is not None and not splice.bend(frame):
            return []
        answer = self._checker.check(frame)
        for left in (frame,) if answer is None else answer:
            transcript.take(left.payload)
        return answer


class ContinuedStream(CheckedStream):
    """One event stream of a completion whose upstreams speak chat."""

    __slots__ = ("_continuation", "_marked", "_refused", "continued")

    def __init__(
        self,
        decoder: BodyDecoder,
        encoder: BodyEncoder,
        mender: Mender,
        transcript: Transcript,
        *,
        frame_limit: int,
        inflater: Inflater | None = None,
        look_ahead: bool = False,
        recogniser: Recogniser | None = None,
    ) -> None:
        super().__init__(
            *(decoder, encoder, mender),
            frame_limit=frame_limit,
            inflater=inflater,
            look_ahead=look_ahead,
            recogniser=recogniser,
        )
        self._continuation = Continuation(mender.checker, transcript)
        self._marked = True
        self._refused = ""
        self.continued = 0
        """How often it went on elsewhere."""
        if not mender.report:
            mender.listen(self._continuation)

    def obstacle(self, error: RelayError) -> str:
        """Why the answer that this error cuts cannot be continued, for the log; empty when it can."""
        if not isinstance(error, UpstreamClosed | UpstreamTimeout | UpstreamGaveUp):
            return self._refused or "its end is no cut"
        return self._continuation.transcript.obstacle

    def fits(self, profile: Profile) -> bool:
        """A target of this kind can be asked for the rest."""
        return self._continuation.transcript.fits(profile)

    def request(self, profile: Profile | None = None) -> bytearray:
        """The document for a target of this kind, by default that of the first; only without an obstacle."""
        return self._continuation.transcript.request(profile)

    def resume(self, decoder: BodyDecoder, name: str, inflater: Inflater | None = None) -> None:
        """Go on with this body, from the target of this name; an unfinished frame of the last is dropped."""
        self._continuation.splice = Splice(self._continuation.transcript, name)
        self._marked = False
        self._decoder, self._inflater = decoder, inflater
        same = isinstance(decoder, ChunkedDecoder) and self._encoder.chunked and inflater is None
        self._chunks = decoder if same and isinstance(decoder, ChunkedDecoder) else None
        self._passing = False
        self._scanner = FrameScanner()
        self._carry = bytearray()
        self.consumed = 0
        self._sniffing = True
        self._line_by_line = self._looked = False
        self.recogniser.stop()
        self._mender.begin_again()

    def abandon(self, error: RelayError) -> list[Buffer] | None:
        """As ever; an error event that was held leaves."""
        if not isinstance(error, UpstreamGaveUp):
            return super().abandon(error)
        self._end_code = error.end
        frames = self._mender.fail(error.failure)
        self._mender.checker.failure = error.failure
        return self._encoder.encode(frames) + self._end()

    @property
    def flags(self) -> frozenset[str]:
        return super().flags | {"continued"} if self.continued else super().flags

    # Frames.

    def _take_chunk(self, data: Data, view: memoryview, start: int, end: int, begin: int) -> list[Buffer]:
        """No frame passes unseen: a first upstream's is kept as it is, a second one's must be spliced on."""
        cut = end - 2
        if self._settled and self._continuation.splice is None:
            if self._mender.passes(data, view, begin, cut):
                self._continuation.passed(view[begin:cut])
                return [view[start:end]]
            if (said := self._mender.says(data, view, begin, cut)) is not None:
                self._continuation.passed(view[begin:cut])
                return [b"%x\r\n%b\r\n" % (len(said), said)]
        out: list[Buffer] = []
        try:
            self._take(data, view, begin, cut, out)
        except RelayError as error:
            error.before = self._encoder.encode(out)
            raise
        self._count_read()
        return self._encoder.encode(out)

    def _leave(self, buffers: list[Buffer], out: list[Buffer]) -> None:
        splice = self._continuation.splice
        if not self._marked and buffers and splice is not None and splice.begun:
            self._marked = True
            self.continued += 1
            out.append(splice.mark)
        super()._leave(buffers, out)

    def _take_last(self, rest: bytearray, out: list[Buffer]) -> None:
        splice = self._continuation.splice
        if splice is not None and self._document is not None:
            raise Refused(f"the continuation by {splice.name} is a document")
        super()._take_last(rest, out)

    def _malformed(self, fault: Malformed) -> UpstreamMalformed:
        if isinstance(fault, Refused):
            self._refused = str(fault)
        if not isinstance(fault, _GaveUp):
            return super()._malformed(fault)
        error = UpstreamGaveUp(fault.failure)
        error.before = fault.before
        return error


def _may_pass(failure: Failure) -> bool:
    """Another server may do what this one could not."""
    return failure.status >= 500 or failure.status == 429
