"""What a scenario sees of a conversation, and what it answers: the same for every dialect."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

Document = dict[str, Any]
TOKENS = 42
"""What every request counts."""


class Fault(Exception):
    """An error answer, or an error frame inside a stream; ``type`` and ``code`` are its own words."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str | None = None,
        code: str | None = None,
        param: str | None = None,
        details: Document | None = None,
        **headers: str,
    ) -> None:
        super().__init__(message)
        self.status, self.message = status, message
        self.type, self.code, self.param, self.details = type, code, param, details
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


# What a model says.


@dataclass(frozen=True)
class Think:
    text: str


@dataclass(frozen=True)
class Say:
    text: str


@dataclass(frozen=True)
class Decline:
    """A refusal; Messages has no form for it but the stop reason, so it is text there."""

    text: str


@dataclass(frozen=True)
class Use:
    """A tool call; ``raw`` are arguments that are no JSON object, as a cut answer has them."""

    name: str
    input: Document = field(default_factory=dict)
    raw: str | None = None
    id: str | None = None

    @property
    def arguments(self) -> str:
        return json.dumps(self.input) if self.raw is None else self.raw


Part = Think | Say | Decline | Use


@dataclass(frozen=True)
class Usage:
    """``input`` counts the ``cached`` too, ``output`` the ``reasoning``."""

    input: int = 25
    cached: int = 5
    output: int = 12
    reasoning: int = 4

    @property
    def total(self) -> int:
        return self.input + self.output


@dataclass(frozen=True)
class Answer:
    """``form``: a document or a stream, whatever was asked for. ``length``: the limit was reached.
    ``interleave``: the arguments of all calls take turns.

    After so many frames: ``hold`` waits for an event, ``cut`` ends the connection, ``fail`` ends the stream
    with an error.
    """

    parts: tuple[Part, ...]
    form: Literal["document", "stream"] | None = None
    length: bool = False
    interleave: bool = False
    hold: tuple[int, threading.Event] | None = None
    cut: int | None = None
    fail: tuple[int, Fault] | None = None
    usage: Usage = Usage()

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts if isinstance(part, Say))

    @property
    def thoughts(self) -> str:
        return "".join(part.text for part in self.parts if isinstance(part, Think))

    @property
    def uses(self) -> list[Use]:
        return [part for part in self.parts if isinstance(part, Use)]

    @property
    def declined(self) -> str:
        return "".join(part.text for part in self.parts if isinstance(part, Decline))


def answer(*parts: Part | str, **options: Any) -> Answer:
    """An answer of these parts; a plain string is said."""
    return Answer(tuple(Say(part) if isinstance(part, str) else part for part in parts), **options)


def pieces(text: str, size: int = 7) -> Iterator[str]:
    """A text as a model's deltas: short, and never empty."""
    return (text[at : at + size] for at in range(0, len(text), size))


# What a scenario sees.


@dataclass(frozen=True)
class Declared:
    """A tool of the request; ``custom`` ones take text. A namespace stands before its name."""

    name: str
    schema: Document
    custom: bool = False
    namespace: str | None = None


@dataclass(frozen=True)
class Result:
    """What a tool call gave, in words; ``error`` None where the dialect has no flag."""

    id: str
    text: str
    error: bool | None = None
    images: int = 0


@dataclass
class Conversation:
    """``results`` are those that came after the last thing the assistant said; ``calls`` all ids so far."""

    dialect: str
    body: Document
    prompt: str = ""
    tools: dict[str, Declared] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    calls: dict[str, str] = field(default_factory=dict)
    rounds: int = 0
    images: int = 0
    system: list[str] = field(default_factory=list)

    def declare(self, tool: Declared) -> None:
        self.tools[tool.name] = tool

    def spoke(self, calls: list[tuple[str, str]]) -> None:
        """The assistant said something, and called these."""
        self.results.clear()
        self.rounds += bool(calls)
        self.calls.update(calls)


Scenario = Callable[[Conversation], "Answer | Fault"]


def steps(*answers: Answer | Fault) -> Scenario:
    """One answer for every round of tool calls so far; the last one stays."""
    return lambda conversation: answers[min(conversation.rounds, len(answers) - 1)]


def in_turn(*answers: Answer | Fault) -> Scenario:
    """One answer for every request, whatever it says; the last one stays."""
    left = list(answers)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]
