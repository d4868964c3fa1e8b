"""What a request is for: the forms of its target, and the host that it names (RFC 9112 §3.2)."""

from __future__ import annotations

import re

from relay.errors import ClientError

_HOST = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*)(?::[0-9]{0,5})?"
)
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?#]+)([/?][^#]*)?")
_DOT_SEGMENT = re.compile(rb"/(?:\.|%2[eE]){1,2}(?=[/?;]|$)")


def origin_form(method: bytes, target: bytes, host: bytes) -> tuple[bytes, bytes]:
    """The target as origin-form (or ``*``) and the authority it is for; ClientError for any other."""
    if method == b"CONNECT":
        raise ClientError("CONNECT is not served: relay is no forward proxy")
    if b"#" in target:
        raise ClientError("the request target has a fragment")
    if not (target.startswith(b"/") or (target == b"*" and method == b"OPTIONS")):
        absolute = _ABSOLUTE.fullmatch(target)
        if absolute is None:
            raise ClientError("the request target is neither a path nor an http URL")
        if host and absolute[1].lower() != host.lower():
            raise ClientError("the request target and the Host field name different hosts")
        host, target = absolute[1], absolute[2] or b""
        if not target and method == b"OPTIONS":
            target = b"*"  # the server itself is asked, not its root (RFC 9112 §3.2.4)
        elif not target.startswith(b"/"):
            target = b"/" + target
    if _HOST.fullmatch(host) is None:
        raise ClientError("the Host field is no host[:port]")
    return target, host


def has_dot_segments(target: bytes) -> bool:
    """True where ``.`` or ``..`` could lead out of a base path (RFC 3986 §5.2.4)."""
    return _DOT_SEGMENT.search(target.split(b"?", 1)[0]) is not None
