"""HTTP/1.1 heads, both directions, through h11; strict where h11 is not.

h11 parses heads and never sees a body. What it lets through and a relay must not
(bare LF, folded lines, control bytes, a length beside chunked, chunked in HTTP/1.0, odd versions
and targets, any number of bytes in one read) is refused here, before or after it. A head is
counted and checked as raw bytes first, because afterwards nothing shows what it looked like.

One ``Inbound`` serves one request of a client, one ``Outbound`` one request to an upstream; both
are thrown away once the final response head has passed. ClientError and UpstreamError are all
that reading raises.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import h11

from relay.errors import ClientError, HeadTooLarge, RelayError, UpstreamError, VersionNotSupported
from relay.wire.framing import BodyDecoder, ChunkedDecoder, Data, Header, LengthDecoder, UntilCloseDecoder
from relay.wire.target import origin_form

# A line is visible bytes, blanks and obs-text (RFC 9110 §5.5), begins with neither SP nor HTAB
# (obs-fold, RFC 9112 §5.2) and ends with CR LF.
_HEAD = re.compile(rb"(?:[!-~\x80-\xff][\t -~\x80-\xff]*\r\n)+\r\n")
_BARE_LF = re.compile(rb"(?<!\r)\n")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_ANY_ANSWER = [("host", "upstream"), ("connection", "upgrade"), ("upgrade", "any")]
_INFORMATIONAL = re.compile(rb"HTTP/1\.[01] 1")
# What a head can begin with, as far as it has come. TLS, SSH or SMTP would be waited for until the limit.
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_BEGINS = re.compile(rb"\r?\Z|%b(?:\Z| [!-~]*(?:\Z| [!-~]*(?:\Z|\r(?:\Z|\n))))" % _TOKEN)
_RESPONSE_BEGINS = re.compile(rb"HTTP/1\.|(?:H(?:T(?:T(?:P(?:/1?)?)?)?)?)?\Z")
_LOOKED_AT = 1024
# CGI and WSGI read `_` in a name as `-`, and so these as the fields that say where a body ends.
_LOOKALIKES = frozenset({b"content_length", b"transfer_encoding"})


@dataclass(slots=True)
class RequestHead:
    """A request line and its fields; ``target`` is always origin-form, or ``*``."""

    method: bytes
    target: bytes
    version: bytes
    headers: list[Header]
    host: bytes
    length: int | None
    chunked: bool
    keep_alive: bool
    upgrade: bytes | None

    @property
    def has_body(self) -> bool:
        return self.chunked or bool(self.length)

    def body_decoder(self) -> BodyDecoder:
        return ChunkedDecoder() if self.chunked else LengthDecoder(self.length or 0)

    @property
    def expects_continue(self) -> bool:
        """The client waits for ``100 Continue`` before it sends the body (RFC 9110 §10.1.1)."""
        expected = [value for name, value in self.headers if name.lower() == b"expect"]
        return self.version == b"1.1" and any(value.lower() == b"100-continue" for value in expected)

    def with_document(self, length: int) -> RequestHead:
        """The same request with a body that is already here: its length is known, nothing is expected."""
        framing = (b"content-length", b"expect", b"trailer")
        headers = [field for field in self.headers if field[0].lower() not in framing]
        headers.append((b"content-length", str(length).encode()))
        return replace(self, headers=headers, length=length, chunked=False)


@dataclass(slots=True)
class ResponseHead:
    """A status line and its fields; ``length`` is None when only the framing will tell."""

    status: int
    reason: bytes
    version: bytes
    headers: list[Header]
    length: int | None
    chunked: bool
    keep_alive: bool

    @property
    def reusable(self) -> bool:
        """The connection can serve another request after this response."""
        return self.keep_alive and (self.length is not None or self.chunked)

    def body_decoder(self) -> BodyDecoder:
        if self.chunked:
            return ChunkedDecoder()
        return UntilCloseDecoder() if self.length is None else LengthDecoder(self.length)


class HeadReader:
    """Gathers the bytes of one head, wherever they were cut, and hands it out checked.

    ``fault`` is the error that a malformed head becomes: ClientError or UpstreamError. A limit of 0 is
    none. The heads of one answer, 1xx included, share the limit; each request has the whole of it.
    """

    __slots__ = ("_empty_lines", "_fault", "_fields", "_limit", "_partial", "_room")

    def __init__(self, limit: int, fields: int, fault: type[RelayError]) -> None:
        self._limit = limit
        self._room = limit or sys.maxsize
        self._fields = fields or sys.maxsize
        self._fault = fault
        self._partial = bytearray()
        # Empty lines before a request line are to be ignored (RFC 9112 §2.2); two are enough.
        self._empty_lines = 2 if fault is ClientError else 0

    @property
    def begun(self) -> bool:
        return bool(self._partial)

    def receive(self, data: Data, start: int, end: int) -> tuple[bytes | None, int]:
        """The whole head, or None while it is unfinished, and where reading stopped."""
        self._partial += data[start:end]
        while self._empty_lines and self._partial.startswith(b"\r\n"):
            del self._partial[:2]
            self._empty_lines -= 1
        seen = max(len(self._partial) - (end - start), 0)
        stop = self._partial.find(b"\r\n\r\n", max(seen - 3, 0)) + 4
        if stop < 4:
            self._check_unfinished(seen)
            return None, end
        raw = bytes(self._partial[:stop])
        rest = len(self._partial) - stop
        self._partial = bytearray()
        self._check(raw)
        if self._fault is ClientError:
            self._empty_lines = 2
        else:
            self._room -= len(raw)
        return raw, end - rest

    def _check_unfinished(self, seen: int) -> None:
        """Refuse what cannot become a head, without waiting for its end; ``seen`` bytes came before."""
        if _BARE_LF.search(self._partial, max(seen - 1, 0)):
            raise self._fault("a line of the head ends with LF alone; HTTP/1.1 wants CR LF")
        if not seen or len(self._partial) <= _LOOKED_AT:
            self._check_beginning(self._partial)
        if len(self._partial) > self._room:
            raise self._too_large(f"the head is above {self._limit} bytes")

    def _check_beginning(self, head: Data) -> None:
        begins = _REQUEST_BEGINS if self._fault is ClientError else _RESPONSE_BEGINS
        if begins.match(head) is None:
            tls = ": TLS is spoken where plain HTTP is expected" if head[:1] in (b"\x15", b"\x16") else ""
            raise self._fault(f"malformed head: it does not begin as HTTP/1.1 does{tls}")

    def _check(self, raw: bytes) -> None:
        if len(raw) > self._room:
            raise self._too_large(f"the head is above {self._limit} bytes")
        if raw.count(b"\n") - 2 > self._fields:
            raise self._too_large(f"the head has more than {self._fields} fields")
        if _HEAD.fullmatch(raw) is None:
            raise self._fault(f"malformed head: {_what_is_wrong(raw)}")
        self._check_beginning(raw)

    def _too_large(self, message: str) -> RelayError:
        return HeadTooLarge(message) if self._fault is ClientError else self._fault(message)


class Inbound:
    """The client's side of one exchange: its request head in, response heads out."""

    __slots__ = ("_closes", "_may_chunk")

    def __init__(self) -> None:
        self._may_chunk = False
        self._closes = True

    def receive_request(self, raw: bytes) -> RequestHead:
        """Read a checked head; ClientError says what is wrong with it."""
        connection = h11.Connection(h11.SERVER)
        connection.receive_data(raw)
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError as error:
            raise _client_error(raw, error) from error
        if not isinstance(event, h11.Request):
            raise ClientError("malformed request head")
        head = _request_head(event)
        self._may_chunk = head.version == b"1.1"
        self._closes = not head.keep_alive
        return head

    def informational(self, status: int, reason: bytes, headers: Sequence[Header]) -> bytes:
        """A 1xx head."""
        return _write_head(b"HTTP/1.1 %d %b" % (status, reason), headers)

    def response(self, status: int, reason: bytes, headers: Sequence[Header]) -> bytes:
        """The final head. Adds ``transfer-encoding: chunked`` for an HTTP/1.1 client when the headers
        give no length, and ``connection: close`` where the connection cannot go on."""
        names = {name.lower() for name, _ in headers}
        own: list[Header] = []
        if self._may_chunk and status not in (204, 304) and b"content-length" not in names:
            own.append((b"transfer-encoding", b"chunked"))
        if self._closes and b"connection" not in names:
            own.append((b"connection", b"close"))
        return _write_head(b"HTTP/1.1 %d %b" % (status, reason), [*headers, *own])


class Outbound:
    """The upstream's side of one attempt: the request head out, response heads in."""

    __slots__ = ("_connection",)

    def __init__(self) -> None:
        self._connection: h11.Connection | None = None

    def request(self, method: bytes, target: bytes, headers: Sequence[Header]) -> bytes:
        return _write_head(b"%b %b HTTP/1.1" % (method, target), headers)

    def receive_response(self, raw: bytes, method: bytes) -> ResponseHead:
        """Read a checked head, 1xx included; UpstreamError says what is wrong with it."""
        if self._connection is None:
            self._connection = h11.Connection(h11.CLIENT)
            if _INFORMATIONAL.match(raw):
                # Before a 1xx head h11 wants to have sent a request: it is told of one that allows
                # every answer. A final head it reads without, and 40 µs sooner.
                self._connection.send(h11.Request(method=method, target=b"/", headers=_ANY_ANSWER))
        self._connection.receive_data(raw)
        try:
            event = self._connection.next_event()
        except h11.RemoteProtocolError as error:
            raise UpstreamError(f"the upstream sent a malformed response head: {_reason(error)}") from error
        if not isinstance(event, h11.Response | h11.InformationalResponse):
            raise UpstreamError("the upstream sent a malformed response head")
        return _response_head(event, method)


def _write_head(line: bytes, headers: Sequence[Header]) -> bytes:
    """A head as bytes. Names and values were checked when they were parsed, or are relay's own.

    Written by hand: h11 would validate every field once more for a request and twice more for a
    response, 70 µs of the 500 that a whole request cost. The count is the safety net.
    """
    raw = b"\r\n".join([line, *[b"%b: %b" % field for field in headers], b"", b""])
    if raw.count(b"\n") != len(headers) + 2:
        raise RelayError("a head that was to be written contains a line break")
    return raw


def _request_head(event: h11.Request) -> RequestHead:
    if event.http_version not in (b"1.1", b"1.0"):
        raise VersionNotSupported("only HTTP/1.1 and HTTP/1.0 are served here")
    headers = event.headers.raw_items()
    fields = {name.lower(): value for name, value in headers}
    length, chunked = _framing(fields, event.http_version, ClientError)
    host = fields.get(b"host", b"")
    target, authority = origin_form(event.method, event.target, host)
    if not _LOOKALIKES.isdisjoint(fields):
        raise ClientError(
            "content_length and transfer_encoding are no fields: some servers take them for such"
        )
    options = connection_options(headers)
    return RequestHead(
        method=event.method,
        target=target,
        version=event.http_version,
        headers=headers,
        host=authority,
        length=length,
        chunked=chunked,
        keep_alive=event.http_version == b"1.1" and b"close" not in options,
        upgrade=None if chunked or length or event.http_version != b"1.1" else _upgrade(fields, options),
    )


def _response_head(event: h11.Response | h11.InformationalResponse, method: bytes) -> ResponseHead:
    if event.http_version not in (b"1.1", b"1.0"):
        raise UpstreamError("the upstream answered in a version other than HTTP/1.1 and HTTP/1.0")
    if not 100 <= event.status_code <= 599:
        raise UpstreamError(f"the upstream answered with status {event.status_code}")
    headers = event.headers.raw_items()
    fields = {name.lower(): value for name, value in headers}
    length, chunked = _framing(fields, event.http_version, UpstreamError)
    if method == b"HEAD" or event.status_code in (204, 304) or event.status_code < 200:
        length, chunked = 0, False
    return ResponseHead(
        status=event.status_code,
        reason=bytes(event.reason),
        version=event.http_version,
        headers=headers,
        length=length,
        chunked=chunked,
        keep_alive=event.http_version == b"1.1" and b"close" not in connection_options(headers),
    )


def _framing(fields: dict[bytes, bytes], version: bytes, fault: type[RelayError]) -> tuple[int | None, bool]:
    """Length and chunked, refusing every pair that two peers could read differently (RFC 9112 §6.3)."""
    chunked = b"transfer-encoding" in fields
    length = fields.get(b"content-length")
    if chunked and length is not None:
        raise fault("content-length beside transfer-encoding")
    if chunked and version == b"1.0":
        raise fault("transfer-encoding in HTTP/1.0")
    if length is not None and _LENGTH.fullmatch(length) is None:
        raise fault("content-length is no number below 10^18")
    return (None if length is None else int(length)), chunked


def connection_options(headers: Sequence[Header]) -> set[bytes]:
    """What ``Connection`` lists, in lower case."""
    return {
        option.strip().lower()
        for name, value in headers
        if name.lower() == b"connection"
        for option in value.split(b",")
    }


def _upgrade(fields: dict[bytes, bytes], options: set[bytes]) -> bytes | None:
    """The protocol to switch to; h2c is not offered on (h2c smuggling tunnels past a proxy)."""
    wanted = fields.get(b"upgrade") if b"upgrade" in options else None
    return None if wanted is None or b"h2c" in wanted.lower() else wanted


def _client_error(raw: bytes, error: h11.RemoteProtocolError) -> ClientError:
    line = raw.split(b"\r\n", 1)[0]
    if re.fullmatch(rb"\S+ \S+ HTTP/\d+(\.\d+)?", line) and not line.endswith((b"/1.1", b"/1.0")):
        return VersionNotSupported("only HTTP/1.1 and HTTP/1.0 are served here")
    return ClientError(f"malformed request head: {_reason(error)}")


def _reason(error: h11.RemoteProtocolError) -> str:
    """What h11 says, less what it quotes: a field's value may be a key."""
    return re.split(r":| b['\"]| ?bytearray|\{", str(error), maxsplit=1)[0].lower()


def _what_is_wrong(raw: bytes) -> str:
    if _BARE_LF.search(raw):
        return "a line ends with LF alone"
    if re.search(rb"\r(?!\n)", raw):
        return "a CR without LF"
    if re.search(rb"\n[ \t]", raw):
        return "a folded line"
    return "a control byte"
