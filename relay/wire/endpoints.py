"""What a path is for, as far as relay treats it apart; gateways' prefixes included."""

from __future__ import annotations

import re

from relay.config import Upstream
from relay.wire.http1 import RequestHead

_COMPLETIONS = (
    ("chat", re.compile(rb"(/.*?)??(?:/v1)?/chat/completions/?")),
    ("messages", re.compile(rb"(/.*?)??/v1/messages/?|()/messages/?")),
    ("responses", re.compile(rb"(/.*?)??/v1/responses/?|()/responses/?")),
)
"""Dialects, and the paths whose answers are streams of deltas in them."""
_TARGETS = {"chat": b"/chat/completions", "messages": b"/messages", "responses": b"/responses"}
_COUNT_TOKENS = re.compile(rb"(/.*?)??/v1/messages/count_tokens/?")
_STORED_RESPONSES = re.compile(rb"(/.*?)??/v1/responses(?:/.*)?")
_MODELS = re.compile(rb"(/.*?)??/v1/models(?:/.+)?")


def completion_dialect(head: RequestHead) -> str | None:
    """The dialect of a request whose answer may be a stream of deltas; None for every other one."""
    if head.method != b"POST":
        return None
    path = _path(head)
    return next((dialect for dialect, paths in _COMPLETIONS if paths.fullmatch(path)), None)


def completion_target(head: RequestHead, dialect: str, base_path: str) -> bytes:
    """Where the same completion is asked for in another dialect, behind the same prefix.

    The version is left out for an upstream whose base path ends with it.
    """
    path = _path(head)
    found = next(match for _, paths in _COMPLETIONS if (match := paths.fullmatch(path)))
    return versioned((found[1] or b"") if found.lastindex else b"", _TARGETS[dialect], base_path)


def versioned(prefix: bytes, path: bytes, base_path: str) -> bytes:
    """``path`` of the API's version 1 behind a prefix."""
    return prefix + (b"" if base_path.endswith("/v1") else b"/v1") + path


def has_document(head: RequestHead) -> bool:
    """Its body may be JSON, which names a model."""
    if head.method != b"POST":
        return False
    said = next((value for name, value in head.headers if name.lower() == b"content-type"), b"")
    media_type = said.split(b";", 1)[0].strip().lower()
    return media_type in (b"", b"application/json") or completion_dialect(head) is not None


def target_at(upstream: Upstream, target: bytes) -> bytes:
    """Where this upstream is asked for the client's ``target``, its base path included."""
    if target == b"*":
        return target
    if upstream.sdk:
        target = _under_base_url(target, anthropic=upstream.dialects[:1] == ("messages",))
    target = upstream.base_path.encode() + target
    if upstream.query:
        target += (b"&" if b"?" in target else b"?") + upstream.query.encode()
    return target


def _under_base_url(target: bytes, *, anthropic: bool) -> bytes:
    """OpenAI's base URLs hold the version, Anthropic's do not."""
    versioned = target.startswith(b"/v1/")
    if anthropic:
        return target if versioned else b"/v1" + target
    return target.removeprefix(b"/v1") if versioned else target


def counts_tokens(head: RequestHead) -> bool:
    """Anthropic's question how many tokens a request has."""
    return head.method == b"POST" and _COUNT_TOKENS.fullmatch(_path(head)) is not None


def count_target(head: RequestHead, path: bytes, base_path: str) -> bytes:
    """Where the upstream counts tokens, at ``path``, behind the same prefix."""
    found = _COUNT_TOKENS.fullmatch(_path(head))
    prefix = (found[1] or b"") if found else b""
    if not path.startswith(b"/v1/"):  # not of the API: it stands beside it
        return prefix + path
    return versioned(prefix, path.removeprefix(b"/v1"), base_path)


def wants_stored_response(head: RequestHead) -> bool:
    """A response that was stored under an id, and what else the Responses API keeps."""
    return _STORED_RESPONSES.fullmatch(_path(head)) is not None and completion_dialect(head) is None


def lists_models(head: RequestHead) -> bool:
    """The list of models, or one of them."""
    return head.method == b"GET" and _MODELS.fullmatch(_path(head)) is not None


def probes(head: RequestHead) -> bool:
    """Claude Code asks this to see whether anybody is there."""
    return head.method == b"HEAD" and _path(head) == b"/"


def speaks_anthropic(head: RequestHead) -> bool:
    """The client is one of Anthropic's API."""
    return any(name.lower() == b"anthropic-version" for name, _ in head.headers)


def _path(head: RequestHead) -> bytes:
    return head.target.split(b"?", 1)[0]
