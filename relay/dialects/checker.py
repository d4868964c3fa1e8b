"""What the checkers of all dialects have in common, and how the stream uses them.

A checker is given every frame that carries data, in order, and answers

    None            legal as it stands, the bytes pass
    list[Frame]     what goes out in its place: the frame itself with changes noted on it,
                    synthetic frames before or after it, frames that were held, or nothing

and raises Malformed for a frame that no rule can mend; the stream then ends with ``fail``. It never
looks at a clock or at bytes, and what it keeps does not grow with the stream, but for the text
that a later event has to repeat.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

from relay.dialects.deltas import Context, Failure, Usage
from relay.dialects.frame import Frame
from relay.dialects.grammar import Grammar


class Malformed(Exception):
    """A frame that belongs nowhere and must not be left out; the text says why.

    ``before`` holds the bytes that may leave before the failure does.
    """

    before: Sequence[bytes | bytearray | memoryview] = ()


class Truncated(Exception):
    """The upstream ended before it had announced an end; the text says before what."""


_MANY = 8
"""Deltas; fewer say nothing about a stream."""


class ToolIdSink(Protocol):
    """Where ids of announced tool calls go."""

    def append(self, tool_id: str, /) -> None: ...


class Checker(ABC):
    """One stream of one dialect: what has been seen of it, and what was mended."""

    __slots__ = (
        *("__weakref__", "_size", "_sizes", "_slice", "announced", "context", "deltas", "done"),
        *("failure", "flags", "grammar", "off", "repairs", "started", "tool_ids", "usage"),
    )

    name: ClassVar[str]
    serial: ClassVar[bool]
    rules: ClassVar[Mapping[str, str]]
    """Every repair by its name, and what it mends, in one line."""
    off_by_default: ClassVar[frozenset[str]] = frozenset()
    keeps_text: ClassVar[bool] = False
    """Later events repeat the text, so that every piece must be read."""

    def __init__(self, context: Context, *, off: frozenset[str] | None = None) -> None:
        self.context = context
        self.grammar = Grammar(serial=self.serial)
        self.off = self.off_by_default if off is None else off
        self.repairs: dict[str, int] = {}
        self.flags: set[str] = set()
        self.tool_ids: ToolIdSink = []
        self.usage: Usage | None = None
        self.deltas = 0
        """Pieces of content seen: text, reasoning, tool arguments."""
        self.started = False
        """A frame that is more than a sign of life has been seen."""
        self.announced = False
        """The upstream has said, in some form, that the answer is complete."""
        self.done = False
        """The terminal frame has been seen or supplied; nothing may follow."""
        self.failure: Failure | None = None
        """What the upstream's own error event said."""
        self._size = self._slice = 0
        self._sizes = 0

    def measure(self, size: int) -> None:
        """Note the size of a piece of text."""
        if size != self._size:
            self._size = size
            self._sizes += 1
            if self._sizes == 1:
                self._slice = self._size

    @property
    def sliced(self) -> bool:
        """Many pieces of one size, the last one shorter: a finished answer that was cut up to look live."""
        last = self._sizes == 2 and self._size < self._slice
        return self.deltas >= _MANY and self._slice > 1 and (self._sizes == 1 or last)

    def mends(self, rule: str) -> bool:
        """Count a repair; False when it is switched off and the frame shall be left alone."""
        assert rule in self.rules, rule
        if rule in self.off:
            return False
        self.repairs[rule] = self.repairs.get(rule, 0) + 1
        return True

    @abstractmethod
    def continues(self, event: str | None, payload: dict[str, Any]) -> str | None:
        """The hot path: a frame that adds one piece to what is open and is legal as it stands.

        Takes it in and returns its text, or None for every other frame, of which nothing has been
        taken in: `check` is to see it.
        """

    def piece(self, size: int) -> None:
        """One more piece of text, of this size."""
        self.deltas += 1
        self.measure(size)

    @abstractmethod
    def check(self, frame: Frame) -> list[Frame] | None:
        """See the top of this module."""

    def close(self) -> None:  # noqa: B027 (most have nothing to do)
        """The stream is over. What was seen stays readable.

        Parts that know their checker are let go: a cycle waits for the collector, and 70,000 objects of
        400 streams that end together once made it pause for 50 ms.
        """

    @abstractmethod
    def end(self, *, cut: bool = False) -> list[Frame]:
        """The upstream's body ended: what completes the stream. Raises Truncated if nothing may.

        ``cut``: by a reset or a silence, of which no end may be guessed that was not announced.
        """

    @abstractmethod
    def fail(self, failure: Failure) -> list[Frame]:
        """The dialect's error event, in the form that reaches every client; nothing is closed before it."""

    @abstractmethod
    def keep_alive(self) -> Frame | None:
        """The dialect's sign of life at this point, None for a comment line."""

    @classmethod
    @abstractmethod
    def error_document(cls, failure: Failure) -> dict[str, Any]:
        """The body of an HTTP answer that failed, as this dialect's SDKs read it."""

    @classmethod
    @abstractmethod
    def stream_of(cls, document: dict[str, Any], context: Context) -> list[Frame]:
        """A complete answer as the frames of a stream; raises Malformed when it is not one."""
