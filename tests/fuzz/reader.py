"""Readers of heads, chunked bodies and event streams, written from the RFCs with no help from relay.

They judge what relay lets out, and say what it should have made of what came in. Slow and plain: the
chunked reader walks through its lines byte by byte, where relay's looks for patterns.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([!-~\x80-\xff]+) HTTP/1\.([01])")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?")
_HEX = b"0123456789abcdefABCDEF"
_BLANKS = b" \t"

MOST_EXTENSIONS = 16 * 1024
MOST_TRAILERS = 16 * 1024


class Illegal(AssertionError):
    """What leaves breaks a rule; the text says which."""


def need(condition: object, rule: str) -> None:
    if not condition:
        raise Illegal(rule)


# --- heads ----------------------------------------------------------------------------------------


@dataclass
class Head:
    """The parts of a start line, and the fields with their names in lower case."""

    line: tuple[bytes, ...]
    fields: list[tuple[bytes, bytes]]

    def all(self, name: bytes) -> list[bytes]:
        return [value for known, value in self.fields if known == name]

    def options(self) -> set[bytes]:
        """What ``Connection`` lists."""
        listed = b",".join(self.all(b"connection")).split(b",")
        return {option.strip(_BLANKS).lower() for option in listed}

    @property
    def lengths(self) -> set[bytes]:
        """Every value that ``Content-Length`` has, lists taken apart (RFC 9110 §8.6)."""
        return {part.strip(_BLANKS) for value in self.all(b"content-length") for part in value.split(b",")}


def request_head(raw: bytes) -> Head:
    return _head(raw, _REQUEST_LINE)


def response_head(raw: bytes) -> Head:
    return _head(raw, _STATUS_LINE)


def _head(raw: bytes, start: re.Pattern[bytes]) -> Head:
    need(raw.endswith(b"\r\n\r\n"), "a head ends with an empty line")
    line, *rest = raw[:-4].split(b"\r\n")
    found = start.fullmatch(line)
    if found is None:
        raise Illegal(f"start line {line!r}")
    fields = []
    for one in rest:
        name, colon, value = one.partition(b":")
        need(colon and _TOKEN.fullmatch(name), f"field name {name!r}")
        need(_VALUE.fullmatch(value), f"field value {value!r}")
        fields.append((name.lower(), value.strip(_BLANKS)))
    return Head(tuple(part or b"" for part in found.groups()), fields)


def framing_of(head: Head) -> tuple[int | None, bool]:
    """Length and chunked, where nobody can read them in two ways (RFC 9112 §6.3)."""
    codings, lengths = head.all(b"transfer-encoding"), head.lengths
    need(not (codings and lengths), "a length beside a transfer coding")
    need(len(lengths) <= 1, f"several lengths: {lengths}")
    need(not codings or [coding.lower() for coding in codings] == [b"chunked"], f"codings {codings}")
    length = lengths.pop() if lengths else None
    need(length is None or (length.isdigit() and len(length) <= 18), f"length {length!r}")
    return (None if length is None else int(length)), bool(codings)


# --- chunked bodies -------------------------------------------------------------------------------


@dataclass
class ChunkReader:
    """A chunked body: what is body, whether it is complete, or what is wrong with it."""

    body: bytearray = field(default_factory=bytearray)
    consumed: int = 0
    complete: bool = False
    broken: str = ""
    trailers: list[bytes] = field(default_factory=list)
    _line: bytearray = field(default_factory=bytearray)
    _left: int = -1
    """Bytes of the chunk at hand with its line end; -1 in a size line, -2 in a trailer."""
    _extensions: int = 0
    _trailer_bytes: int = 0

    @property
    def between_chunks(self) -> bool:
        """The next byte begins a size line, or there is none to come."""
        return self.complete or (self._left == -1 and not self._line)

    def receive(self, data: bytes) -> None:
        at = 0
        while at < len(data) and not self.complete and not self.broken:
            if self._left > 2:
                inside = data[at : at + self._left - 2]
                self.body += inside
                self._left -= len(inside)
                at += len(inside)
                continue
            byte = data[at]
            at += 1
            if self._left > 0:
                self._close(byte)
            else:
                self._line.append(byte)
                if byte == 10:
                    line, self._line = bytes(self._line), bytearray()
                    (self._size if self._left == -1 else self._trailer)(line)
        self.consumed += at

    def _close(self, byte: int) -> None:
        if byte != (13 if self._left == 2 else 10):
            self.broken = "a chunk without its line end"
        self._left = self._left - 1 if self._left == 2 else -1

    def _size(self, line: bytes) -> None:
        digits = len(line) - len(line.lstrip(_HEX))
        rest = line[digits:].lstrip(_BLANKS)
        self._extensions += len(line) - digits - 2
        if not 1 <= digits <= 15 or not rest.endswith(b"\r\n") or self._extensions > MOST_EXTENSIONS:
            self.broken = "a size line"
        elif rest != b"\r\n" and not (rest.startswith(b";") and _VALUE.fullmatch(rest[:-2])):
            self.broken = "an extension"
        size = int(line[:digits], 16) if not self.broken else 0
        self._left = size + 2 if size else -2

    def _trailer(self, line: bytes) -> None:
        self._trailer_bytes += len(line)
        name, colon, value = line[:-2].partition(b":")
        if self._trailer_bytes > MOST_TRAILERS or not line.endswith(b"\r\n"):
            self.broken = "trailers"
        elif line == b"\r\n":
            self.complete = True
        elif colon and _TOKEN.fullmatch(name) and _VALUE.fullmatch(value):
            self.trailers.append(line)
        else:
            self.broken = "a trailer"


# --- event streams --------------------------------------------------------------------------------


class BoundaryWatch:
    """Between two writes a client's stream is at the end of a frame, or of a comment line after one."""

    def __init__(self) -> None:
        self._rest = b""

    def wrote(self, piece: bytes) -> None:
        text = (self._rest + piece).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        self._rest = text[text.rfind(b"\n\n") + 2 if b"\n\n" in text else 0 :]
        need(self._rest.endswith(b"\n") or not self._rest, f"a write ends in a line: {self._rest[-60:]!r}")
        said = [line for line in self._rest.split(b"\n") if line and not line.startswith(b":")]
        need(not said, f"a write ends inside a frame: {self._rest[-60:]!r}")
