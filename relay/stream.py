"""ResponseStream: upstream bytes in, client bytes out, for a response that is an event stream.

It undoes the upstream's body framing, finds where frames end, and puts the client's framing
around whole frames only: between two writes the client is always at a frame boundary. The
buffers it returns are views of the buffer it was given, so forwarding copies nothing; only the
beginning of a frame whose rest has not come is kept, in ``_carry``, as bytes of its own.

It knows no clock, no socket and no dialect; like every machine here it raises documented errors
only (FramingError) and must not be used after one.
"""

from __future__ import annotations

from relay.errors import FramingError
from relay.wire.forwarding import ResponseForm
from relay.wire.framing import (
    WHOLE_CHUNK_HEADS,
    BodyDecoder,
    BodyEncoder,
    Buffer,
    ChunkedDecoder,
    ChunkedEncoder,
    Data,
    PlainEncoder,
    Reframer,
    Span,
)
from relay.wire.inflate import Inflater
from relay.wire.sse import FrameScanner

_FRAME_AND_CHUNK_END = (b"\n\n\r\n", b"\r\n\r\n\r\n")


class ResponseStream:
    """One event stream on its way through; the contract is that of ``framing.Reframer``."""

    __slots__ = (
        "_carry",
        "_chunks",
        "_decoder",
        "_encoder",
        "_ended",
        "_frame_limit",
        "_inflater",
        "_passing",
        "_scanner",
        "consumed",
    )

    def __init__(
        self,
        decoder: BodyDecoder,
        encoder: BodyEncoder,
        *,
        frame_limit: int,
        inflater: Inflater | None = None,
    ) -> None:
        self._decoder = decoder
        self._encoder = encoder
        self._scanner = FrameScanner()
        self._inflater = inflater
        self._frame_limit = frame_limit
        self._carry = bytearray()
        self._ended = False
        self.consumed = 0
        # Chunked on both sides, nothing to inflate: then whole chunks may pass, see `passes`.
        same = isinstance(decoder, ChunkedDecoder) and encoder.chunked and inflater is None
        self._chunks = decoder if same and isinstance(decoder, ChunkedDecoder) else None
        self._passing = same

    @property
    def complete(self) -> bool:
        return self._decoder.complete

    def passes(self, data: Data, start: int, end: int) -> bool:
        """True when these bytes may go out as they came, and count as received.

        The usual read of a live stream is one whole chunk that ends with a frame. Its framing is
        what the client needs: one buffer to send, 0.6 µs instead of 4 µs for `receive` and three.
        """
        size = end - start
        if (
            self._passing
            and 8 < size < len(WHOLE_CHUNK_HEADS)
            and data.startswith(WHOLE_CHUNK_HEADS[size], start, end)
            and data.endswith(_FRAME_AND_CHUNK_END, start, end)
        ):
            self._scanner.frame_ended()
            return True
        return False

    def receive(self, data: Data, view: memoryview, start: int, end: int) -> list[Buffer]:
        """Buffers to send now: whole frames in the client's framing, or nothing yet."""
        spans: list[Span] = []
        out: list[Buffer] = []
        try:
            self.consumed = self._decoder.receive(data, start, end, spans)
        except FramingError as error:
            self._take_all(data, view, spans, out)
            error.before = self._encoder.encode(out)
            raise
        self._take_all(data, view, spans, out)
        out = self._encoder.encode(out)
        if self._decoder.complete:
            out += self._end()
        if self._chunks is not None:
            self._passing = self._chunks.between_chunks and not self._carry
        return out

    def receive_eof(self) -> list[Buffer]:
        """The upstream closed; returns what ends the body, or raises FramingError if it is cut."""
        self._decoder.receive_eof()
        return self._end()

    def _take_all(self, data: Data, view: memoryview, spans: list[Span], out: list[Buffer]) -> None:
        for start, end in spans:
            if self._inflater is None:
                self._take(data, view, start, end, out)
            else:
                plain = self._inflater.receive(view[start:end])
                self._take(plain, memoryview(plain), 0, len(plain), out)

    def _take(self, data: Data, view: memoryview, start: int, end: int, out: list[Buffer]) -> None:
        """Move whole frames to ``out``, the unfinished rest to the carry."""
        cut = self._scanner.receive(data, start, end)
        if cut >= 0:
            if self._carry:
                out.append(self._carry)
                self._carry = bytearray()
            out.append(view[start:cut])
            start = cut
        if start < end:
            self._carry += view[start:end]
            if len(self._carry) > self._frame_limit:
                raise FramingError(f"a frame of the event stream is above {self._frame_limit} bytes")

    def _end(self) -> list[Buffer]:
        """The end of the body, after a last frame that may lack its empty line."""
        if self._ended:
            return []
        self._ended = True
        if self._inflater is not None:
            self._inflater.receive_eof()
        rest: list[Buffer] = [self._carry] if self._carry else []
        self._carry = bytearray()
        return self._encoder.encode(rest) + self._encoder.end(self._decoder.trailers)


def open_response(form: ResponseForm, decoder: BodyDecoder, frame_limit: int) -> Reframer | ResponseStream:
    """The machine for a response of this form."""
    encoder: BodyEncoder = ChunkedEncoder() if form.chunked else PlainEncoder()
    if not form.framed:
        return Reframer(decoder, encoder)
    inflater = Inflater(form.coding, frame_limit) if form.coding else None
    return ResponseStream(decoder, encoder, frame_limit=frame_limit, inflater=inflater)
