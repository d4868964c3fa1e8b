"""What an upstream calls the client's tools: where they are declared, in the history, in its answer."""

from __future__ import annotations

import hashlib
import re

from relay.dialects.request import BadRequest, Profile, Request

_ILLEGAL = re.compile(r"[^A-Za-z0-9_-]")
_DIGITS, _LONG = 8, 32


class Names:
    """The names of one request; ``Request.called`` keeps the tool that each stands for."""

    def __init__(self, request: Request, profile: Profile) -> None:
        self._limit = profile.tool_name_limit
        for tool in request.tools:
            name = self.of(tool.flat)
            if name in request.called:
                other = request.called[name].path
                raise BadRequest(tool.path, f"the upstream would know it by the name of {other}: {name!r}")
            request.called[name] = tool

    def of(self, flat: str) -> str:
        """OpenAI takes 64 characters of a small alphabet; a hash keeps apart what is cut."""
        if self._limit is None or (len(flat) <= self._limit and not _ILLEGAL.search(flat)):
            return flat
        return f"{_ILLEGAL.sub('_', flat)[: self._limit - _DIGITS - 1]}_{digest(flat)[:_DIGITS]}"


def id_of(ident: str) -> str:
    """The id of a tool call as an upstream takes it that is particular about them.

    Both sides of a call are in the request, so nothing has to be told back. Kimi's have dots and colons.
    """
    if not _ILLEGAL.search(ident):
        return ident
    return f"call_{digest(ident)[:_LONG]}"


def user_of(request: Request, limit: int = 64) -> str | None:
    """The end user, in as many characters as OpenAI takes; Claude Code's is three times as long."""
    user = request.user
    return user if user is None or len(user) <= limit else digest(user)[:_LONG]


def digest(text: str) -> str:
    """The same hexadecimal digits for the same text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
