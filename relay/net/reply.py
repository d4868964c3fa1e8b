"""What relay itself says to a client: the head of a forwarded answer, an answer of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence

from relay.errors import RelayError, UpstreamRefused
from relay.retry import Fate, fate_of_status
from relay.routing import Target
from relay.wire import forwarding
from relay.wire.forwarding import ResponseForm
from relay.wire.framing import Header
from relay.wire.http1 import Inbound, RequestHead, ResponseHead

_RETRY_AFTER = b"retry-after"
"""LiteLLM leaves it out of its own refusals (litellm#37754)."""
_CLOSE: Header = (b"connection", b"close")


class Reply:
    """The answer to one request, as bytes for its client, with relay's own fields."""

    __slots__ = ("_id", "_inbound", "_request", "attempts", "by", "noted", "wait")

    def __init__(self, exchange_id: str, inbound: Inbound, request: RequestHead) -> None:
        self._id = exchange_id.encode()
        self._inbound = inbound
        self._request = request
        self.attempts = 0
        """How many have begun."""
        self.by: Target | None = None
        """Whose answer it is."""
        self.noted: Sequence[Header] = ()
        """What was done with it on the way."""
        self.wait = 0.0
        """Seconds that some target has asked to be left alone for."""

    def informational(self, head: ResponseHead) -> bytes:
        """A 1xx head; nothing for a client that does not know them."""
        if self._request.version != b"1.1":
            return b""
        headers = forwarding.response_headers(head)
        return self._inbound.informational(head.status, head.reason, headers)

    def switched(self, head: ResponseHead, protocol: bytes) -> bytes:
        """``101``: both sides change to this protocol."""
        headers = forwarding.response_headers(head)
        headers += [(b"connection", b"Upgrade"), (b"upgrade", protocol)]
        return self._inbound.informational(101, head.reason, headers)

    def forwarded_head(self, head: ResponseHead, form: ResponseForm, *, keep: bool) -> bytes:
        """The head of the upstream's response as the client gets it."""
        headers = forwarding.response_headers(head, form)
        if (
            self.wait
            and fate_of_status(head.status) is Fate.REFUSED
            and not any(name.lower() == _RETRY_AFTER for name, _ in headers)
        ):
            headers.append((_RETRY_AFTER, b"%d" % math.ceil(self.wait)))
        return self._inbound.response(head.status, head.reason, self._with_own(headers, keep=keep))

    def refusal(self, error: RelayError, answered: ResponseHead | None, *, keep: bool) -> bytes:
        """A whole answer that says what failed, with what the upstream said beside an error of its own."""
        said: list[Header] = []
        if isinstance(error, UpstreamRefused) and answered is not None:
            said = forwarding.headers_of_refusal(answered)
        headers = self._with_own(said, keep=keep)
        return forwarding.error_response(self._inbound, error, headers, body=self._request.method != b"HEAD")

    def answer(self, status: int, headers: Sequence[Header], body: bytes, *, keep: bool) -> bytes:
        """A whole answer of relay's making."""
        said = self._with_own(headers, keep=keep)
        head = self._inbound.response(status, forwarding.reason(status), said)
        return head if self._request.method == b"HEAD" else head + body

    def _with_own(self, said: Sequence[Header], *, keep: bool) -> list[Header]:
        """What was ``said``, and what relay says beside it."""
        headers = [*said, (b"x-relay-id", self._id)]
        if self.by is not None:
            headers.append((b"x-relay-upstream", self.by.name.encode()))
        if not any(name.lower() == b"x-request-id" for name, _ in said):
            headers.append((b"x-request-id", self._id))
        if self.by is not None:
            if self.attempts > 1:
                headers.append((b"x-relay-attempts", b"%d" % self.attempts))
            headers += self.noted
        return headers if keep else [*headers, _CLOSE]


def switched_to(head: ResponseHead, offered: bytes) -> bytes | None:
    """The protocol that a ``101`` names, if it was offered (RFC 9110 §7.8)."""
    named = b", ".join(value for name, value in head.headers if name.lower() == b"upgrade")
    offers = [offer.strip().lower() for offer in offered.split(b",")]
    return named if named and named.strip().lower() in offers else None
