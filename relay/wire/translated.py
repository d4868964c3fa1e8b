"""The heads of a request that goes up in another dialect than it came in, and of its answer.

Keys change their place (``authorization: Bearer`` here, ``x-api-key`` there), versions and betas of one
API mean nothing to the other, and a request id is told under the name that the client looks for. Limits
of rates stay as they are: their names say whose they are, and somebody may read them.
"""

from __future__ import annotations

from dataclasses import replace

from relay.wire.framing import Header
from relay.wire.http1 import RequestHead, ResponseHead

ANTHROPIC_VERSION = b"2023-06-01"
"""Later ones refuse the sampling fields."""

_DOCUMENT_OWN = (
    b"content-type",
    b"content-length",
    b"content-encoding",
    b"expect",
    b"trailer",
    b"accept",
    b"accept-encoding",
)
_ANTHROPIC = b"anthropic-"
_OPENAI = b"openai-"
_REQUEST_IDS = (b"x-request-id", b"request-id")
_BODY_FIELDS = (b"content-type", b"content-length", b"content-encoding", b"etag", b"last-modified", b"digest")


def is_compressed(head: RequestHead) -> bool:
    """The request's document cannot be read as it is."""
    codings = {value.strip().lower() for name, value in head.headers if name.lower() == b"content-encoding"}
    return bool(codings - {b"", b"identity"})


def request_head(head: RequestHead, dialect: str, target: bytes, length: int, *, stream: bool) -> RequestHead:
    """The head of a document of ``length`` bytes for an upstream of this dialect."""
    dropped = {*_DOCUMENT_OWN, b"authorization", b"x-api-key"}
    headers = [
        (name, value)
        for name, value in head.headers
        if name.lower() not in dropped and not name.lower().startswith((_ANTHROPIC, _OPENAI))
    ]
    headers += _credentials(head, dialect)
    if dialect == "messages":
        headers.append((b"anthropic-version", ANTHROPIC_VERSION))
    headers.append((b"accept", b"text/event-stream" if stream else b"application/json"))
    headers.append((b"content-type", b"application/json"))
    headers.append((b"content-length", str(length).encode()))
    return replace(head, method=b"POST", target=target, headers=headers, length=length, chunked=False)


def bodiless(head: RequestHead, dialect: str) -> RequestHead:
    """The same for a request without a document, whose answer will be read."""
    dropped = (b"authorization", b"x-api-key", b"accept-encoding")
    headers = [(name, value) for name, value in head.headers if name.lower() not in dropped]
    return replace(head, headers=[*headers, *_credentials(head, dialect), (b"accept-encoding", b"identity")])


def response_head(
    head: ResponseHead, dialect: str, content_type: bytes, *, status: int | None = None
) -> ResponseHead:
    """The head of an answer that leaves as a document or a stream of relay's own writing."""
    headers = [
        (name, value) for name, value in head.headers if name.lower() not in _BODY_FIELDS + _REQUEST_IDS
    ]
    headers.append((b"content-type", content_type))
    ident = next((value for name, value in head.headers if name.lower() in _REQUEST_IDS and value), None)
    if ident is not None:
        headers.append((b"x-request-id", ident))
        if dialect == "messages":
            headers.append((b"request-id", ident))
    reason = head.reason if status in (None, head.status) else b""
    return replace(head, status=status or head.status, reason=reason, headers=headers)


def _credentials(head: RequestHead, dialect: str) -> list[Header]:
    """The client's key where the upstream's API looks for it."""
    fields = {name.lower(): value for name, value in head.headers}
    bearer, key = fields.get(b"authorization"), fields.get(b"x-api-key")
    scheme, _, token = (bearer or b"").partition(b" ")
    if scheme.lower() != b"bearer":
        token = b""
    if dialect == "messages":
        if key or token:
            return [(b"x-api-key", key or token)]
    elif not bearer and key:
        return [(b"authorization", b"Bearer " + key)]
    return [(b"authorization", bearer)] if bearer else []
