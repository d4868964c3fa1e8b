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
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, ClassVar


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


class Form(enum.Enum):
    """What a block is."""

    TEXT = "text"
    REASONING = "reasoning"
    REFUSAL = "refusal"
    TOOL = "tool"


class Reason(enum.Enum):
    """Why a completion ended, as its upstream says it; `stop` may come with tool calls."""

    STOP = "stop"
    SEQUENCE = "sequence"
    """A stop sequence of the request was met."""
    TOOLS = "tools"
    LENGTH = "length"
    FILTER = "filter"
    """Content was withheld."""


@dataclass(slots=True)
class Open:
    """``ident`` is the upstream's id with its prefix, None where it has none; ``created`` unix seconds."""

    kind: ClassVar[Kind] = Kind.OPEN
    ident: str | None = None
    created: int | None = None
    document: dict[str, Any] | None = None
    """The upstream's own description of the answer, for fields that a dialect may repeat."""


@dataclass(slots=True)
class Block:
    """A block begins. ``key`` is unique in its stream while the block is open.

    ``tool_id`` and ``name`` belong to a TOOL, as the upstream wrote them. ``sealed`` is reasoning that only
    its maker can read; such a block has no pieces.
    """

    kind: ClassVar[Kind] = Kind.BLOCK
    key: Hashable
    form: Form
    tool_id: str | None = None
    name: str | None = None
    sealed: str | None = None


@dataclass(slots=True)
class Piece:
    """More of the open block ``key``, never empty: text, or more of a tool's arguments (JSON)."""

    kind: ClassVar[Kind] = Kind.PIECE
    key: Hashable
    text: str
    logprobs: list[Any] | None = None
    """OpenAI's `logprobs.content` of these tokens."""


@dataclass(slots=True)
class Cite:
    """A source of the open TEXT block ``key``: OpenAI's `url_citation` annotation."""

    kind: ClassVar[Kind] = Kind.PIECE
    key: Hashable
    url: str
    title: str | None = None


@dataclass(slots=True)
class Close:
    """The block is whole; ``signature`` proves the reasoning to its maker.

    ``whole`` is False for a tool whose arguments were cut (by the length limit): not to be run.
    """

    kind: ClassVar[Kind] = Kind.CLOSE
    key: Hashable
    signature: str | None = None
    whole: bool = True


@dataclass(slots=True)
class Finish:
    """All blocks are closed, and this is why; ``sequence`` is the stop sequence that was met, where known."""

    kind: ClassVar[Kind] = Kind.FINISH
    reason: Reason
    sequence: str | None = None

    def said(self, *, calls: bool) -> Finish:
        """As a client is told: tool calls decide, whatever the upstream called it (LiteLLM 34692)."""
        if calls and self.reason in (Reason.STOP, Reason.TOOLS, Reason.SEQUENCE):
            return Finish(Reason.TOOLS)
        return Finish(Reason.STOP) if self.reason is Reason.TOOLS else self


@dataclass(slots=True)
class Ping:
    kind: ClassVar[Kind] = Kind.PING


@dataclass(slots=True)
class End:
    kind: ClassVar[Kind] = Kind.END


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one completion; None where the upstream has not said.

    ``input`` counts everything that was read, cached or not; ``cached`` and ``cache_write`` are
    parts of it. ``reasoning`` is part of ``output``.
    """

    kind: ClassVar[Kind] = Kind.USAGE
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
    ``retry_after`` is a Retry-After value, ``param`` the JSON path at fault in the request,
    ``details`` what Anthropic's SDK reads beside the message.
    """

    kind: ClassVar[Kind] = Kind.FAIL
    message: str
    status: int = 502
    type: str | None = None
    code: str | None = None
    retry_after: str | None = None
    param: str | None = None
    details: dict[str, Any] | None = None


Delta = Open | Block | Piece | Cite | Close | Finish | Usage | End | Failure | Ping
"""One step of a stream. A legal stream of them is what ``grammar`` admits:
Open (Block (Piece | Cite)* Close)* Finish Usage? End, with blocks that may interleave, Pings anywhere, and
Failure in place of all that is left. Usage may come earlier and more than once; the last one counts."""


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
