"""Which machine a response passes through: plain bytes, whole frames, or frames that are checked."""

from __future__ import annotations

from relay.checked import CheckedStream
from relay.mending import Mender
from relay.stream import ResponseStream
from relay.wire.forwarding import ResponseForm
from relay.wire.framing import BodyDecoder, BodyEncoder, ChunkedEncoder, PlainEncoder, Reframer
from relay.wire.inflate import Inflater

Machine = Reframer | ResponseStream


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
