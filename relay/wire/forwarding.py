"""What an intermediary changes in a head: RFC 9110 §7.6, and the headers against buffering.

End-to-end fields pass as they came, names in their own spelling, in their own order. Removed are
the hop-by-hop ones, those that ``Connection`` nominates, and ``Proxy`` (CVE-2016-5385).
"""

from __future__ import annotations

import http
from collections.abc import Sequence
from dataclasses import dataclass

from relay.config import Upstream
from relay.errors import ClientError, RelayError, document
from relay.wire.endpoints import completion_dialect, target_at
from relay.wire.framing import Header
from relay.wire.http1 import (
    Inbound,
    Outbound,
    RequestHead,
    ResponseHead,
    connection_options,
)
from relay.wire.inflate import CODINGS
from relay.wire.target import has_dot_segments

_REASONS = {status.value: status.phrase.encode() for status in http.HTTPStatus} | {529: b"Overloaded"}
_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-connection proxy-authenticate proxy-authorization te "
    b"transfer-encoding upgrade http2-settings proxy".split()
)
# Framing and routing are relay's to say, whatever `Connection` nominates.
_NOT_NOMINATED = frozenset({b"content-length", b"host"})
_EVENT_STREAM_OWN = frozenset({b"content-length", b"cache-control", b"x-accel-buffering"})
_ANTI_BUFFERING: tuple[Header, ...] = (
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
)


def write_request(
    codec: Outbound, head: RequestHead, upstream: Upstream, *, client: str | None, scheme: bytes
) -> bytes:
    """The client's request as the upstream gets it; ClientError if its path could leave the base path."""
    if upstream.base_path and has_dot_segments(head.target):
        raise ClientError(f"a path with dot segments is not served under {upstream.base_path}")
    target = target_at(upstream, head.target)
    host = upstream.origin.authority.encode()
    return codec.request(head.method, target, request_headers(head, host=host, client=client, scheme=scheme))


def request_headers(head: RequestHead, *, host: bytes, client: str | None, scheme: bytes) -> list[Header]:
    """Fields for the upstream; ``client`` is the peer's address, None on a UNIX socket."""
    dropped = _hop_by_hop(head.headers) | {b"host"}
    own_encoding = (
        completion_dialect(head) is not None
        or b"text/event-stream" in _value(head.headers, b"accept").lower()
    )
    headers: list[Header] = [(b"Host", host)]
    merged: dict[bytes, list[bytes]] = {b"x-forwarded-for": [], b"via": []}
    kept: set[bytes] = set()
    for name, value in head.headers:
        lower = name.lower()
        if lower in merged:
            merged[lower].append(value)
        elif lower == b"content-length":
            headers.append((name, b"%d" % (head.length or 0)))  # 010 is 8 to some
        elif not (lower in dropped or (lower == b"accept-encoding" and own_encoding)):
            kept.add(lower)
            headers.append((name, value))
    if own_encoding:
        # A compressor holds deltas back, and its output cannot be mended (field case I3).
        headers.append((b"accept-encoding", b"identity"))
    if client:
        merged[b"x-forwarded-for"].append(client.encode())
    merged[b"via"].append(head.version + b" relay")
    headers.extend((name, b", ".join(values)) for name, values in merged.items() if values)
    if b"x-forwarded-proto" not in kept:
        headers.append((b"x-forwarded-proto", scheme))
    if b"x-forwarded-host" not in kept and head.host:
        headers.append((b"x-forwarded-host", head.host))
    if head.chunked:
        headers.append((b"transfer-encoding", b"chunked"))
    return headers + _connection_headers(head)


@dataclass(frozen=True, slots=True)
class ResponseForm:
    """How one response passes, decided once from the heads of both sides.

    event_stream   its body is frames, and its head carries the fields against buffering
    retyped        the upstream calls it something else
    framed         those frames can be seen, so each write can end with one
    coding         the content coding that relay undoes, or empty
    chunked        the client gets it chunked; otherwise as it was delimited, or until close
    delimited      the client can tell its end from a cut
    held           its head waits for the first of the body, and may still become another one. An event
                   stream's leaves with its first frame; not the answer to a GET: to a browser's EventSource
                   the head is an event (`onopen`), and notifications may be silent for minutes
    """

    event_stream: bool
    retyped: bool
    framed: bool
    coding: bytes
    chunked: bool
    delimited: bool
    held: bool

    @classmethod
    def collected(cls, request: RequestHead, response: ResponseHead) -> ResponseForm:
        """The form of an answer that is collected and written anew."""
        coding = _value(response.headers, b"content-encoding").strip().lower()
        chunked = request.version == b"1.1"
        return cls(
            event_stream=False,
            retyped=False,
            framed=False,
            coding=coding if coding in CODINGS else b"",
            chunked=chunked,
            delimited=chunked,
            held=True,
        )

    @classmethod
    def decide(
        cls, request: RequestHead, response: ResponseHead, *, stream_asked: bool = False
    ) -> ResponseForm:
        """``stream_asked``: the client reads an event stream, whatever a 200 says that it is."""
        coding = _value(response.headers, b"content-encoding").strip().lower()
        # A coding that cannot be undone hides the frames: such a body passes as it is.
        opaque = coding not in CODINGS and coding not in (b"", b"identity")
        named = _is_event_stream(response) and request.method != b"HEAD" and response.length != 0
        expected = stream_asked and response.status == 200 and not opaque
        event_stream = named or expected
        keeps_length = response.length is not None and not event_stream
        chunked = not keeps_length and request.version == b"1.1"
        return cls(
            event_stream=event_stream,
            retyped=expected and not _is_event_stream(response),
            coding=coding if event_stream and coding in CODINGS else b"",
            chunked=chunked,
            delimited=keeps_length or chunked,
            framed=event_stream and not opaque,
            held=event_stream and not opaque and request.method != b"GET",
        )


def response_headers(head: ResponseHead, form: ResponseForm | None = None) -> list[Header]:
    """End-to-end fields for the client; framing is added when the head is written.

    Without a form it is a head that has no body (1xx).
    """
    dropped = _hop_by_hop(head.headers)
    if form is not None and form.event_stream:
        dropped |= _EVENT_STREAM_OWN | ({b"content-encoding"} if form.coding else set())
        dropped |= {b"content-type"} if form.retyped else set()
    elif head.status == 204 or form is None:
        dropped |= {b"content-length"}  # RFC 9110 §8.6 forbids it there
    headers = [(name, value) for name, value in head.headers if name.lower() not in dropped]
    if form is not None and form.event_stream:
        headers.extend(_ANTI_BUFFERING)
        if form.retyped:
            headers.append((b"content-type", b"text/event-stream; charset=utf-8"))
    wait = _value(head.headers, b"llm_provider-retry-after")
    if wait and not _value(head.headers, b"retry-after"):
        headers.append((b"retry-after", wait))  # LiteLLM hides the provider's own
    return headers


def headers_of_refusal(head: ResponseHead) -> list[Header]:
    """What an upstream said beside a stream that turned out to be an error: limits, ids, cookies.

    Fields that speak of the body that was not sent are left out.
    """
    spoken = (b"content-", b"etag", b"last-modified", b"cache-control", b"x-accel-buffering", b"trailer")
    return [field for field in response_headers(head) if not field[0].lower().startswith(spoken)]


def error_response(inbound: Inbound, error: RelayError, own: Sequence[Header], *, body: bool) -> bytes:
    """A whole response of relay's own: the status and a JSON document that names the cause."""
    content = document(error)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        *own,
    ]
    if error.retry_after is not None and not _value(own, b"retry-after"):
        headers.append((b"retry-after", error.retry_after.encode()))
    return inbound.response(error.status, reason(error.status), headers) + (content if body else b"")


def reason(status: int) -> bytes:
    """The phrase that goes with a status."""
    return _REASONS.get(status, b"")


def _is_event_stream(head: ResponseHead) -> bool:
    media_type = _value(head.headers, b"content-type").split(b";", 1)[0]
    return media_type.strip().lower() == b"text/event-stream" and 200 <= head.status < 300


def _connection_headers(head: RequestHead) -> list[Header]:
    """Hop-by-hop fields that relay says to the upstream on its own behalf."""
    if head.upgrade is not None:
        return [(b"connection", b"Upgrade"), (b"upgrade", head.upgrade)]
    if b"trailers" in _value(head.headers, b"te").lower():
        return [(b"connection", b"TE"), (b"te", b"trailers")]
    return []


def _hop_by_hop(headers: Sequence[Header]) -> frozenset[bytes]:
    """Names of the fields that end here, in lower case: always, or because ``Connection`` says so."""
    return _HOP_BY_HOP | (connection_options(headers) - _NOT_NOMINATED)


def _value(headers: Sequence[Header], wanted: bytes) -> bytes:
    """All lines of one field, which are one list (RFC 9110 §5.3); empty where there is none."""
    return b", ".join(value for name, value in headers if name.lower() == wanted)
