"""What one request gets said, before any dialect has put it into words of its own.

An answer is pieces: the words of the text, or the JSON arguments of one tool call. A piece is a
delta and counts as one output token, so a limit in tokens cuts pieces.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import orjson

from relay.fake.schema import sample
from relay.fake.text import words

_ASKS = re.compile(r"\btools?\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Tool:
    """A function on offer; ``schema`` is as the request gave it."""

    name: str
    schema: object


@dataclass(frozen=True, slots=True)
class Answer:
    """``tool`` names the tool that is called, None for text; ``cut``: a limit ended it early."""

    pieces: tuple[str, ...]
    tool: str | None
    cut: bool
    input_tokens: int

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def output_tokens(self) -> int:
        return len(self.pieces)


def asks_for_tool(text: str) -> bool:
    """The convention that makes the fake call a tool: the user says the word."""
    return _ASKS.search(text) is not None


def answer(*, tool: Tool | None, deltas: int, limit: int | None, input_tokens: int) -> Answer:
    """A call of ``tool``, or else ``deltas`` words, up to ``limit`` pieces."""
    length = deltas if tool is None else len(fragments(tool))
    cut = limit is not None and limit < length
    kept = limit if limit is not None and cut else length
    pieces = words(kept) if tool is None else fragments(tool)[:kept]
    return Answer(pieces, None if tool is None else tool.name, cut, input_tokens)


def fragments(tool: Tool) -> tuple[str, ...]:
    """The arguments of a call as JSON text in about five pieces, cut anywhere as models do."""
    arguments = orjson.dumps(sample(tool.schema)).decode()
    size = max(1, len(arguments) // 5)
    return tuple(arguments[at : at + size] for at in range(0, len(arguments), size))
