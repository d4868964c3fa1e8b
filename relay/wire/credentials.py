"""The key that an upstream gets, and where it looks for it.

A client's key is the client's: it goes to an upstream that has none of its own, unless relay itself has
checked it. One with a key of its own gets nothing else of the client's secrets, cookies included.
"""

from __future__ import annotations

from dataclasses import replace

from relay.config import Upstream
from relay.wire.endpoints import completion_dialect, speaks_anthropic
from relay.wire.framing import Header
from relay.wire.http1 import RequestHead

KEY_FIELDS = frozenset(
    (
        *(b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"x-litellm-api-key"),
        b"ocp-apim-subscription-key",
    )
)
"""Where clients put keys."""
_CLIENTS_OWN = KEY_FIELDS | {b"cookie"}
_LITELLM = b"x-litellm-"


def with_credentials(head: RequestHead, upstream: Upstream, *, forward: bool) -> RequestHead:
    """The request as this upstream may see it; ``forward``: the client's key is meant for upstreams, too."""
    if not upstream.api_key and forward and not upstream.headers:
        return head
    dropped = {name.lower().encode() for name, _ in upstream.headers}
    if upstream.api_key:
        dropped |= _CLIENTS_OWN
    elif not forward:
        dropped |= KEY_FIELDS
    headers = [
        (name, value)
        for name, value in head.headers
        if name.lower() not in dropped and not (upstream.api_key and name.lower().startswith(_LITELLM))
    ]
    headers += [(name.encode(), value.encode()) for name, value in upstream.headers]
    if upstream.api_key:
        headers.append(_key(head, upstream))
    return replace(head, headers=headers)


def _key(head: RequestHead, upstream: Upstream) -> Header:
    spoken = upstream.dialects[0] if upstream.dialects else completion_dialect(head)
    anthropic = spoken == "messages" or (spoken is None and speaks_anthropic(head))
    field = upstream.key_header or ("x-api-key" if anthropic else "authorization")
    scheme = b"Bearer " if field == "authorization" else b""
    return field.encode(), scheme + upstream.api_key.encode()
