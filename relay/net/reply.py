"""What relay itself says to a client: the head of a forwarded answer, an answer of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from relay.errors import RelayError, UpstreamRefused
from relay.wire import forwarding
from relay.wire.forwarding import ResponseForm
from relay.wire.framing import Header
from relay.wire.http1 import Inbound, RequestHead, ResponseHead

OwnHeaders = Callable[[Sequence[Header]], Sequence[Header]]
"""What relay adds to the upstream's fields."""

_CLOSE: Header = (b"connection", b"close")


def forwarded_head(
    inbound: Inbound, head: ResponseHead, form: ResponseForm, own: OwnHeaders, *, keep: bool
) -> bytes:
    """The head of the upstream's response as the client gets it."""
    headers = forwarding.response_headers(head, form)
    headers.extend(own(headers))
    if not keep:
        headers.append(_CLOSE)
    return inbound.response(head.status, head.reason, headers)


def refusal(
    inbound: Inbound,
    request: RequestHead,
    error: RelayError,
    answered: ResponseHead | None,
    own: OwnHeaders,
    *,
    keep: bool,
) -> bytes:
    """A whole answer that says what failed, with what the upstream said beside an error of its own."""
    said: list[Header] = []
    if isinstance(error, UpstreamRefused) and answered is not None:
        said = forwarding.headers_of_refusal(answered)
    headers = [*said, *own(said), *([] if keep else [_CLOSE])]
    return forwarding.error_response(inbound, error, headers, body=request.method != b"HEAD")


def switched_to(head: ResponseHead, offered: bytes) -> bytes | None:
    """The protocol that a ``101`` names, if it was offered (RFC 9110 §7.8)."""
    named = b", ".join(value for name, value in head.headers if name.lower() == b"upgrade")
    offers = [offer.strip().lower() for offer in offered.split(b",")]
    return named if named and named.strip().lower() in offers else None


def switched_head(inbound: Inbound, head: ResponseHead, protocol: bytes) -> bytes:
    """``101``: both sides change to this protocol."""
    headers = forwarding.response_headers(head)
    headers += [(b"connection", b"Upgrade"), (b"upgrade", protocol)]
    return inbound.informational(101, head.reason, headers)
