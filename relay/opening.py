"""Which machine a response passes through: plain bytes, whole frames, or frames that are checked."""

from __future__ import annotations

from relay.checked import CheckedStream
from relay.collected import CollectedAnswer, Conversion
from relay.mending import Mender
from relay.stream import ResponseStream
from relay.wire.forwarding import ResponseForm
from relay.wire.framing import BodyDecoder, BodyEncoder, ChunkedEncoder, PlainEncoder, Reframer
from relay.wire.inflate import Inflater

Machine = Reframer | ResponseStream | CollectedAnswer


def open_response(
    form: ResponseForm, decoder: BodyDecoder, frame_limit: int, mender: Mender | None = None
) -> Machine:
    """The machine for a response of this form; with a mender its frames are checked."""
    encoder: BodyEncoder = ChunkedEncoder() if form.chunked else PlainEncoder()
    if not form.framed:
        return Reframer(decoder, encoder)
    inflater = Inflater(form.coding, frame_limit) if form.coding else None
    if mender is None:
        return ResponseStream(decoder, encoder, frame_limit=frame_limit, inflater=inflater)
    return CheckedStream(decoder, encoder, mender, frame_limit=frame_limit, inflater=inflater)


def open_converted(
    form: ResponseForm, decoder: BodyDecoder, conversion: Conversion, *, status: int, limit: int
) -> Machine:
    """The machine for an answer that leaves as one document of relay's own writing."""
    encoder: BodyEncoder = ChunkedEncoder() if form.chunked else PlainEncoder()
    inflater = Inflater(form.coding, limit) if form.coding else None
    return CollectedAnswer(decoder, encoder, conversion, status=status, limit=limit, inflater=inflater)
