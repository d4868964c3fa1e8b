"""The neutral vocabulary of a completion's stream: what a frame of any dialect can say.

OPEN    the completion begins: its id and model are known
BLOCK   a block begins: a text, a piece of reasoning, one tool call
PIECE   more of a block
CLOSE   a block is whole
FINISH  why the completion ends; the dialect's announcement that nothing was cut
USAGE   token counts, totals and never increments
END     the stream's own last word
FAIL    the completion failed, and why
PING    a sign of life
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Kind(enum.IntEnum):
    OPEN = 0
    BLOCK = 1
    PIECE = 2
    CLOSE = 3
    FINISH = 4
    USAGE = 5
    END = 6
    FAIL = 7
    PING = 8


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one completion; None where the upstream has not said.

    ``input`` counts everything that was read, cached or not; ``cached`` and ``cache_write`` are
    parts of it. ``reasoning`` is part of ``output``.
    """

    input: int | None = None
    output: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a completion failed, neutral between the dialects' error forms (``failures`` reads them).

    ``status`` is the HTTP status it has, or would have had as the first answer.
    ``type`` and ``code`` are what the upstream called it, in whichever dialect; None where it did not.
    ``retry_after`` is a Retry-After value.
    """

    message: str
    status: int = 502
    type: str | None = None
    code: str | None = None
    retry_after: str | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """What a stream's checker is told of the request; None where that is not known.

    ident    unique, in the alphabet of ids: what synthetic ids are made of
    created  unix seconds, for synthetic frames
    model    the model that was asked for
    usage_asked    the client asked for usage in the stream
    usage_added    relay asked for usage on the client's behalf, and must take the extra chunk out again
    named_tool     the request names the one tool to call, so OpenAI reports `stop` after it
    """

    ident: str
    created: int
    model: str | None = None
    usage_asked: bool | None = None
    usage_added: bool = False
    named_tool: bool | None = None
