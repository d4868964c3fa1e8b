"""CollectedAnswer: an upstream's whole answer in, one document of relay's own writing out.

For answers that leave in another form than they came in and are no streams. Nothing is sent before the
upstream's last byte, so whatever is wrong can still become a true status.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from relay.dialects.deltas import Usage
from relay.errors import FramingError, RelayError
from relay.wire.framing import BodyDecoder, BodyEncoder, Buffer, Data, Span
from relay.wire.inflate import Inflater


class Conversion(ABC):
    """What becomes of the answer."""

    note = b""
    """A header line about it, known when ``convert`` has returned."""
    usage: Usage | None = None
    """Tokens as far as the answer told them, known then too."""

    @abstractmethod
    def convert(self, status: int, body: bytes) -> bytes:
        """The client's document; raises RelayError where there is none to give."""


class CollectedAnswer:
    """One answer, collected and converted; the contract is that of ``framing.Reframer``."""

    __slots__ = ("_body", "_conversion", "_decoder", "_encoder", "_inflater", "_limit", "_status", "consumed")

    lively = True
    ended = False
    end_code: str | None = None

    def __init__(
        self,
        decoder: BodyDecoder,
        encoder: BodyEncoder,
        conversion: Conversion,
        *,
        status: int,
        limit: int,
        inflater: Inflater | None = None,
    ) -> None:
        self._decoder = decoder
        self._encoder = encoder
        self._conversion = conversion
        self._status = status
        self._limit = limit
        self._inflater = inflater
        self._body = bytearray()
        self.consumed = 0

    @property
    def complete(self) -> bool:
        return self._decoder.complete

    @property
    def note(self) -> bytes:
        return self._conversion.note

    @property
    def usage(self) -> Usage | None:
        return self._conversion.usage

    def receive(self, data: Data, view: memoryview, start: int, end: int) -> list[Buffer]:
        """Nothing until the body is over, then all of the answer."""
        spans: list[Span] = []
        self.consumed = self._decoder.receive(data, start, end, spans)
        for begin, stop in spans:
            self._body += (
                view[begin:stop] if self._inflater is None else self._inflater.receive(view[begin:stop])
            )
        if len(self._body) > self._limit:
            raise FramingError(f"an answer above {self._limit} bytes cannot be converted")
        return self._converted() if self._decoder.complete else []

    def receive_eof(self) -> list[Buffer]:
        """The upstream closed: the end of the answer, or FramingError if it is cut."""
        self._decoder.receive_eof()
        return self._converted()

    def abandon(self, error: RelayError) -> None:
        """Nothing has left: the exchange refuses."""

    def _converted(self) -> list[Buffer]:
        if self._inflater is not None:
            self._inflater.receive_eof()
        body, self._body = bytes(self._body), bytearray()
        return self._encoder.encode([self._conversion.convert(self._status, body)]) + self._encoder.end([])
