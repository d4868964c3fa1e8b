"""A reader of HTTP/1.1 that takes only what every other reader would understand in the same way.

Both ends of the runner use it, so that neither trusts the proxy between them nor shares code with
relay. Whatever is refused here is a message that two peers could read differently.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE = re.compile(rb"(%b) ([!-~]+) HTTP/1\.([01])" % TOKEN)
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: [^\r\n\x00]*)?")
# Other control bytes may be kept (RFC 9110 §5.5); none of the fields that matter here may hold one.
_FIELD = re.compile(rb"(%b):[ \t]*([^\r\n\x00]*?)[ \t]*" % TOKEN)
_HOST = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*)(?::[0-9]{0,5})?"
)
_EXTENSION = rb'(?:[ \t]*;[ \t]*%b(?:=(?:%b|"[^"\r\n\x00]*"))?)*' % (TOKEN, TOKEN)
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})%b" % _EXTENSION)
_LENGTH = re.compile(rb"0*[0-9]{1,18}")

Field = tuple[bytes, bytes]


class Malformed(Exception):
    """Bytes that not everybody reads alike; says which rule they break."""


class Unfinished(Exception):
    """More bytes are wanted; says which part of the message is not all here: ``head`` or ``body``."""


@dataclass(slots=True)
class Message:
    """A request or a response, whole; ``size`` is the number of its bytes on the wire."""

    line: bytes
    fields: list[Field]
    body: bytes = b""
    trailers: list[Field] = field(default_factory=list)
    size: int = 0

    def all(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.fields if key.lower() == name]

    def one(self, name: bytes) -> bytes | None:
        """The value of a field that is there once; None where it is not."""
        values = self.all(name)
        if len(values) > 1:
            raise Malformed(f"{name.decode()} twice")
        return values[0] if values else None

    @property
    def method(self) -> bytes:
        return self.line.split(b" ")[0]

    @property
    def target(self) -> bytes:
        return self.line.split(b" ")[1]

    @property
    def status(self) -> int:
        return int(self.line.split(b" ")[1])

    @property
    def old(self) -> bool:
        """HTTP/1.0."""
        return b"HTTP/1.0" in self.line


def read_request(data: bytes) -> Message:
    """The request that ``data`` begins with."""
    message = _head(data)
    line = _REQUEST_LINE.fullmatch(message.line)
    if line is None:
        raise Malformed("request line")
    host = message.one(b"host")
    if host is None and not message.old:
        raise Malformed("no host")
    if host is not None and _HOST.fullmatch(host) is None:
        raise Malformed("host")
    if not _target_fits(message.method, message.target, host or b""):
        raise Malformed("request target")
    length, chunked = _framing(message)
    return _with_body(message, data, length or 0, chunked)


def read_response(data: bytes, method: bytes, *, ended: bool) -> Message:
    """The response that ``data`` begins with, 1xx included; ``ended``: there is no more, by a clean close."""
    message = _head(data)
    if _STATUS_LINE.fullmatch(message.line) is None:
        raise Malformed("status line")
    length, chunked = _framing(message)
    if method == b"HEAD" or message.status in (204, 304) or message.status < 200:
        return message
    if length is None and not chunked:
        if not ended:
            raise Unfinished("body")
        message.body, message.size = data[message.size :], len(data)
        return message
    return _with_body(message, data, length or 0, chunked)


def _head(data: bytes) -> Message:
    stop = data.find(b"\r\n\r\n")
    seen = data if stop < 0 else data[: stop + 4]
    if re.search(rb"(?<!\r)\n", seen):
        raise Malformed("a bare LF")
    if re.search(rb"\r(?!\n|\Z)", seen):
        raise Malformed("a bare CR")
    if stop < 0:
        raise Unfinished("head")
    line, *lines = data[:stop].split(b"\r\n")
    return Message(line, [_field(one) for one in lines], size=stop + 4)


def _field(line: bytes) -> Field:
    match = _FIELD.fullmatch(line)
    if match is None:
        raise Malformed("field line")
    return match[1], match[2]


def _target_fits(method: bytes, target: bytes, host: bytes) -> bool:
    if b"#" in target or method == b"CONNECT":
        return False
    absolute = re.match(rb"(?i:https?)://([^/?#]+)", target)
    if absolute is not None:
        return absolute[1].lower() == host.lower()
    return target.startswith(b"/") or (method == b"OPTIONS" and target == b"*")


def _framing(message: Message) -> tuple[int | None, bool]:
    """Length and chunked; anything that leaves a choice is malformed."""
    length = message.one(b"content-length")
    coding = message.one(b"transfer-encoding")
    if coding is not None and coding.lower() != b"chunked":
        raise Malformed("transfer-encoding other than chunked")
    if coding is not None and length is not None:
        raise Malformed("content-length beside transfer-encoding")
    if coding is not None and message.old:
        raise Malformed("transfer-encoding in HTTP/1.0")
    if length is not None and _LENGTH.fullmatch(length) is None:
        raise Malformed("content-length")
    return (None if length is None else int(length)), coding is not None


def _with_body(message: Message, data: bytes, length: int, chunked: bool) -> Message:
    if chunked:
        _read_chunks(message, data)
        return message
    end = message.size + length
    if len(data) < end:
        raise Unfinished("body")
    message.body = data[message.size : end]
    message.size = end
    return message


def _read_chunks(message: Message, data: bytes) -> None:
    parts: list[bytes] = []
    at = message.size
    while size := _size_at(data, at):
        at = data.index(b"\r\n", at) + 2
        parts.append(data[at : at + size])
        if len(data) < at + size + 2:
            raise Unfinished("body")
        if data[at + size : at + size + 2] != b"\r\n":
            raise Malformed("a chunk is longer than its size")
        at += size + 2
    at = data.index(b"\r\n", at) + 2
    while (line := _line_at(data, at)) != b"":
        message.trailers.append(_field(line))
        at += len(line) + 2
    message.body = b"".join(parts)
    message.size = at + 2


def _size_at(data: bytes, at: int) -> int:
    match = _SIZE_LINE.fullmatch(_line_at(data, at))
    if match is None:
        raise Malformed("chunk size line")
    return int(match[1], 16)


def _line_at(data: bytes, at: int) -> bytes:
    stop = data.find(b"\n", at)
    if stop < 0:
        raise Unfinished("body")
    if not data.endswith(b"\r", at, stop) or data.find(b"\r", at, stop) != stop - 1:
        raise Malformed("a line that does not end with CR LF")
    return data[at : stop - 1]
