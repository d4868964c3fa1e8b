"""Body framing undone and done: length, chunked, until close (RFC 9112 §6 and §7).

A decoder is given a range of a buffer and names the parts of it that are body, as spans
``(start, end)`` into the same buffer; nothing is copied. An encoder puts framing around
buffers that are already there. Both are strict: what two peers could read differently is
refused, because a relay that guesses is how requests are smuggled.

The contract of every decoder:

    receive(data, start, end, spans)  appends spans, returns where it stopped reading; less
                                      than ``end`` only when the body is complete
    receive_eof()                     the peer closed; FramingError unless that ends the body
    complete                          the body has been read to its end
    trailers                          fields after the last chunk, usually none

``bytes`` or ``bytearray`` both do for ``data``. Malformed input raises FramingError and leaves
the decoder unusable.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from relay.errors import FramingError

Buffer = bytes | bytearray | memoryview
Data = bytes | bytearray
Span = tuple[int, int]
Header = tuple[bytes, bytes]

CRLF = b"\r\n"
LAST_CHUNK = b"0\r\n\r\n"

MAX_EXTENSIONS = 16 * 1024
"""Bytes of chunk-size lines beyond the size itself, in one body (CVE-2023-39326)."""
MAX_TRAILERS = 16 * 1024

# 15 hex digits stay below 2**60, so no peer can wrap a 64-bit size. Blanks may trail the size
# (RFC 9112 §7.1.1 calls them bad whitespace); nothing may precede it.
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(;[\t\x20-\x7e\x80-\xff]*)?\r\n")
_CHUNK_START = re.compile(rb"[0-9A-Fa-f]{1,15}(?:[ \t;\r]|$)|$")
_TRAILER = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)\r\n")

_HEADS_UP_TO = 4096
WHOLE_CHUNK_HEADS: list[bytes | tuple[()]] = [()] * _HEADS_UP_TO
"""For each number of bytes, the size line of a chunk that is just so long with its framing.

``data.startswith(WHOLE_CHUNK_HEADS[n])`` says that n bytes are exactly one chunk, in the plain form
that every server writes, in 0.2 µs. Nothing starts with the empty tuple of a number that no chunk has.
"""
for _size in range(1, _HEADS_UP_TO - 16):
    _line = b"%x\r\n" % _size
    WHOLE_CHUNK_HEADS[len(_line) + _size + 2] = _line

# Fields that steer framing, routing or trust must not arrive after the body (RFC 9110 §6.5.1); some servers
# merge trailers with the head, and some read `_` in a name as `-`.
_NOT_IN_TRAILERS = re.compile(
    rb"(?:transfer[-_]encoding|content[-_](?:length|encoding|type|range)|host|trailer|te|connection|keep[-_]alive|"
    rb"upgrade|expect|authorization|(?:x[-_])?api[-_]key|(?:set[-_])?cookie|location|proxy[-_].*|cache[-_]control|"
    rb"max[-_]forwards|via|forwarded|x[-_](?:forwarded|real|relay|accel)[-_].*)",
    re.IGNORECASE,
)


class BodyDecoder(Protocol):
    """What the three framings have in common; see the top of this module."""

    complete: bool

    @property
    def trailers(self) -> Sequence[Header]: ...

    def receive(self, data: Data, start: int, end: int, spans: list[Span]) -> int: ...

    def receive_eof(self) -> None: ...


class LengthDecoder:
    """A body of ``length`` bytes, zero included."""

    __slots__ = ("_left", "complete")
    trailers: Sequence[Header] = ()

    def __init__(self, length: int) -> None:
        self._left = length
        self.complete = length == 0

    def receive(self, data: Data, start: int, end: int, spans: list[Span]) -> int:
        stop = min(end, start + self._left)
        if stop > start:
            spans.append((start, stop))
            self._left -= stop - start
            self.complete = self._left == 0
        return stop

    def receive_eof(self) -> None:
        if not self.complete:
            raise FramingError(f"the body ended {self._left} bytes short of its content-length")


class UntilCloseDecoder:
    """A body that lasts as long as its connection; only a response may have one."""

    __slots__ = ("complete",)
    trailers: Sequence[Header] = ()

    def __init__(self) -> None:
        self.complete = False

    def receive(self, data: Data, start: int, end: int, spans: list[Span]) -> int:
        if end > start:
            spans.append((start, end))
        return end

    def receive_eof(self) -> None:
        self.complete = True


class ChunkedDecoder:
    """The chunked coding, strictly: CRLF only, extensions ignored and bounded.

    Three places to be in: before a size line (``_left`` is 0), inside a chunk (``_left`` counts
    its bytes and its CRLF), among the trailers. An unfinished line waits in ``_line``.
    """

    __slots__ = ("_extensions", "_in_trailers", "_left", "_line", "_trailer_bytes", "complete", "trailers")

    def __init__(self) -> None:
        self.complete = False
        self.trailers: list[Header] = []
        self._left = 0
        self._line = b""
        self._in_trailers = False
        self._extensions = 0
        self._trailer_bytes = 0

    @property
    def between_chunks(self) -> bool:
        """The next byte starts a size line."""
        return not (self._left or self._line or self._in_trailers)

    def receive(self, data: Data, start: int, end: int, spans: list[Span]) -> int:
        while start < end and not self.complete:
            if self._left:
                start = self._receive_chunk(data, start, end, spans)
            elif self._line or (line := _CHUNK_LINE.match(data, start, end)) is None or self._in_trailers:
                start = self._receive_line(data, start, end)
            else:
                start = line.end()
                self._open_chunk(line)
        return start

    def receive_eof(self) -> None:
        if not self.complete:
            raise FramingError("the chunked body ended before its last chunk")

    def _open_chunk(self, line: re.Match[bytes]) -> None:
        size = int(line[1], 16)
        self._extensions += line.end() - line.start() - len(line[1]) - 2
        if self._extensions > MAX_EXTENSIONS:
            raise FramingError(f"chunk extensions above {MAX_EXTENSIONS} bytes")
        if size:
            self._left = size + 2
        else:
            self._in_trailers = True

    def _receive_chunk(self, data: Data, start: int, end: int, spans: list[Span]) -> int:
        """Inside a chunk: its bytes, then the CRLF that must close it."""
        body = min(end, start + self._left - 2)
        if body > start:
            spans.append((start, body))
            self._left -= body - start
            start = body
        while start < end and self._left:
            if data[start] != (13 if self._left == 2 else 10):
                raise FramingError("a chunk is longer than its size says")
            self._left -= 1
            start += 1
        return start

    def _receive_line(self, data: Data, start: int, end: int) -> int:
        """A size line or a trailer that did not match at once: unfinished, last, or wrong."""
        stop = data.find(b"\n", start, end) + 1
        self._line += data[start : stop or end]
        if not stop:
            self._check_unfinished()
            return end
        line, self._line = self._line, b""
        if self._in_trailers:
            self._receive_trailer(line)
        elif (match := _CHUNK_LINE.fullmatch(line)) is not None:
            self._open_chunk(match)
        else:
            raise FramingError("not a chunk size line")
        return stop

    def _check_unfinished(self) -> None:
        if not self._in_trailers and _CHUNK_START.match(self._line) is None:
            raise FramingError("not a chunk size")
        if len(self._line) > MAX_EXTENSIONS + len("0123456789abcde\r"):
            raise FramingError(f"a chunk size line or trailer above {MAX_EXTENSIONS} bytes")

    def _receive_trailer(self, line: bytes) -> None:
        self._trailer_bytes += len(line)
        if self._trailer_bytes > MAX_TRAILERS:
            raise FramingError(f"trailers above {MAX_TRAILERS} bytes")
        if line == CRLF:
            self.complete = True
            return
        field = _TRAILER.fullmatch(line)
        if field is None:
            raise FramingError("not a trailer field")
        if _NOT_IN_TRAILERS.fullmatch(field[1]) is None:
            self.trailers.append((field[1], field[2].rstrip(b" \t")))


class ChunkedEncoder:
    """Puts each write into one chunk."""

    chunked = True

    def encode(self, buffers: list[Buffer]) -> list[Buffer]:
        """One chunk around ``buffers``; no buffer, no chunk (an empty one would end the body)."""
        size = sum(map(len, buffers))
        return [b"%x\r\n" % size, *buffers, CRLF] if size else []

    def end(self, trailers: Sequence[Header]) -> list[Buffer]:
        if not trailers:
            return [LAST_CHUNK]
        fields = b"".join(b"%b: %b\r\n" % field for field in trailers)
        return [b"0\r\n%b\r\n" % fields]


class PlainEncoder:
    """Nothing around the body: its length was announced, or the end of the connection ends it."""

    chunked = False

    def encode(self, buffers: list[Buffer]) -> list[Buffer]:
        return buffers

    def end(self, trailers: Sequence[Header]) -> list[Buffer]:
        return []


BodyEncoder = ChunkedEncoder | PlainEncoder


class Reframer:
    """A body taken out of one framing and put into another, without copying it.

    ``receive`` returns the buffers to send; ``consumed`` then says where it stopped reading.
    """

    __slots__ = ("_decoder", "_encoder", "_ended", "consumed")

    # Of bytes that are not looked at nothing is known (see stream.ResponseStream).
    lively = True
    ended = False
    note = b""
    end_code: str | None = None

    def __init__(self, decoder: BodyDecoder, encoder: BodyEncoder) -> None:
        self._decoder = decoder
        self._encoder = encoder
        self._ended = False
        self.consumed = 0

    @property
    def complete(self) -> bool:
        return self._decoder.complete

    def receive(self, data: Data, view: memoryview, start: int, end: int) -> list[Buffer]:
        spans: list[Span] = []
        self.consumed = self._decoder.receive(data, start, end, spans)
        out = self._encoder.encode([view[a:b] for a, b in spans])
        if self._decoder.complete:
            out += self._end()
        return out

    def receive_eof(self) -> list[Buffer]:
        """The peer closed; returns what ends the body, or raises FramingError if it is cut."""
        self._decoder.receive_eof()
        return self._end()

    def abandon(self, error: Exception) -> list[Buffer] | None:
        """The upstream failed; bytes that are not looked at can only be cut."""
        return None

    def _end(self) -> list[Buffer]:
        if self._ended:
            return []
        self._ended = True
        return self._encoder.end(self._decoder.trailers)
