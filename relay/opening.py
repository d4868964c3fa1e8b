"""Which machine a response passes through: plain bytes, whole frames, or frames that are checked."""

from __future__ import annotations

from collections.abc import Sequence

from relay.checked import CheckedStream
from relay.collected import CollectedAnswer, Conversion
from relay.continued import ContinuedStream
from relay.continuing import Transcript
from relay.errors import UpstreamClosed
from relay.mending import Mender
from relay.recognising import Recogniser
from relay.stream import ResponseStream
from relay.wire.forwarding import ResponseForm
from relay.wire.framing import (
    BodyDecoder,
    BodyEncoder,
    Buffer,
    ChunkedEncoder,
    Data,
    Header,
    PlainEncoder,
    Reframer,
    Span,
)
from relay.wire.inflate import Inflater

Machine = Reframer | ResponseStream | CollectedAnswer


class FilledBody(Reframer):
    """A body that must hold at least one byte.

    A completion's 200 without a body is no answer (envoy ai-gateway 1894); while its head is held, the end of
    such a body can still become a status. Streams see to that themselves.
    """

    __slots__ = ("_came",)

    def __init__(self, decoder: BodyDecoder, encoder: BodyEncoder) -> None:
        super().__init__(decoder, encoder)
        self._came = False

    def receive(self, data: Data, view: memoryview, start: int, end: int) -> list[Buffer]:
        if self._came:
            return super().receive(data, view, start, end)
        spans: list[Span] = []
        self.consumed = self._decoder.receive(data, start, end, spans)
        self._came = bool(spans)
        out = self._encoder.encode([view[begin:stop] for begin, stop in spans])
        return out + self._end() if self._decoder.complete else out

    def _end(self) -> list[Buffer]:
        if not self._came:
            raise UpstreamClosed("the upstream answered with an empty body")
        return super()._end()


def open_response(
    form: ResponseForm,
    decoder: BodyDecoder,
    frame_limit: int,
    mender: Mender | None = None,
    *,
    look_ahead: bool = False,
    never_empty: bool = False,
    transcript: Transcript | None = None,
    headers: Sequence[Header] = (),
) -> Machine:
    """The machine for a response of this form; with a mender its frames are checked.

    look_ahead   frames that only announce an answer are held, see ``CheckedStream.holding``
    transcript   what is said is kept, so that another upstream can go on with it
    headers      of the response, to recognise what a proxy did to it
    never_empty  a body without a byte is a failure; only for responses that may have one (not to HEAD)
    """
    encoder: BodyEncoder = ChunkedEncoder() if form.chunked else PlainEncoder()
    if not form.framed:
        return (FilledBody if never_empty else Reframer)(decoder, encoder)
    inflater = Inflater(form.coding, frame_limit) if form.coding else None
    if mender is None:
        return ResponseStream(decoder, encoder, frame_limit=frame_limit, inflater=inflater)
    recogniser = Recogniser(headers)
    if transcript is not None:
        return ContinuedStream(
            *(decoder, encoder, mender, transcript),
            frame_limit=frame_limit,
            inflater=inflater,
            look_ahead=look_ahead,
            recogniser=recogniser,
        )
    return CheckedStream(
        *(decoder, encoder, mender),
        frame_limit=frame_limit,
        inflater=inflater,
        look_ahead=look_ahead,
        recogniser=recogniser,
    )


def open_converted(
    form: ResponseForm, decoder: BodyDecoder, conversion: Conversion, *, status: int, limit: int
) -> Machine:
    """The machine for an answer that leaves as one document of relay's own writing."""
    encoder: BodyEncoder = ChunkedEncoder() if form.chunked else PlainEncoder()
    inflater = Inflater(form.coding, limit) if form.coding else None
    return CollectedAnswer(decoder, encoder, conversion, status=status, limit=limit, inflater=inflater)
