"""A compressed event stream opened as it arrives.

relay asks for ``identity``; some upstreams compress all the same. What the compressor flushed
comes out at once, so a frame leaves when it arrived. gzip may hold several members one after
another (RFC 1952 §2.2); ``deflate`` means the zlib format, and bare deflate in some servers.
"""

from __future__ import annotations

import sys
import zlib

from relay.errors import FramingError

CODINGS = frozenset({b"gzip", b"x-gzip", b"deflate"})

_GZIP = 16 + zlib.MAX_WBITS
_ZLIB = zlib.MAX_WBITS
_BARE = -zlib.MAX_WBITS

FREE = 1024 * 1024
"""Bytes that a body may unpack to, however small it is."""
TIMES = 100
"""Beyond that it may unpack to so many times what came. Of 1,351 recorded streams none packs more than
59 times, whole and at the highest level. deflate can expand 1032 times, and all of it is read as frames."""


class Inflater:
    """Compressed bytes in, plain bytes out; at most ``limit`` of them for one piece of input, 0: no limit."""

    __slots__ = ("_bits", "_first", "_limit", "_room", "_stream", "_untouched")

    def __init__(self, coding: bytes, limit: int) -> None:
        self._limit = limit or sys.maxsize
        self._room = min(FREE, self._limit)
        self._bits = _ZLIB if coding == b"deflate" else _GZIP
        self._stream = zlib.decompressobj(self._bits)
        self._untouched = True
        self._first = b""

    def receive(self, data: memoryview) -> bytes:
        """What these bytes unpack to; FramingError when they are no such coding or unpack to too much."""
        piece = self._first + bytes(data)
        self._room = min(self._room + TIMES * len(data), self._limit)
        if self._untouched and len(piece) < 2:
            self._first = piece  # two bytes tell the zlib format from bare deflate
            return b""
        self._first = b""
        if self._stream.eof and self._bits != _GZIP:
            return b""  # what follows a finished deflate stream means nothing
        out = self._decompress(piece, self._room)
        while self._stream.eof and self._stream.unused_data and self._bits == _GZIP:
            rest = self._stream.unused_data
            self._stream = zlib.decompressobj(self._bits)
            out += self._decompress(rest, self._room - len(out))
        self._room -= len(out)
        return out

    def receive_eof(self) -> None:
        """The body ended; FramingError if the compressed stream had not."""
        if self._first or not (self._stream.eof or self._untouched):
            raise FramingError("the compressed body ended before its own end mark")

    def _decompress(self, data: bytes, room: int) -> bytes:
        if room <= 0:
            raise self._too_much()
        try:
            out = self._stream.decompress(data, room)
        except zlib.error as error:
            if not (self._untouched and self._bits == _ZLIB):
                raise FramingError(f"not the content-encoding that the head names: {error}") from error
            self._bits = _BARE
            self._stream = zlib.decompressobj(_BARE)
            return self._decompress(data, room)
        self._untouched = False
        if self._stream.unconsumed_tail:
            raise self._too_much()
        return out

    def _too_much(self) -> FramingError:
        if self._room == self._limit:
            return FramingError(f"one read of a compressed stream unpacks to more than {self._limit} bytes")
        return FramingError(f"a compressed stream unpacks to more than {TIMES} times what came")
