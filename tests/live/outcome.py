"""What one client made of one stream, and how good that is."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from typing import Any

from .expected import Expected, limits
from .reading import Content

CLASSES = ("right", "lost-before", "by-design", "silent", "crash", "wrong")
FAILING = CLASSES[3:]

BY_DESIGN = frozenset({"LengthFinishReasonError", "ContentFilterFinishReasonError"})
"""What openai's Python helper raises on a legal stream that ended with that reason."""

NO_COMPLETED = re.compile(r"Didn't receive a `response.completed` event")
"""What it raises after a legal response.incomplete or response.failed too."""


@dataclass
class Outcome:
    """One client's answer; ``raised`` is ``api``, ``sdk`` or empty."""

    judge: str
    key: str
    way: str = "before"
    raised: str = ""
    """``api``: an error of the API or of the connection, as a caller expects it. ``sdk``: another."""
    error: str = ""
    """Class and message of what was raised."""
    told: str = ""
    """The failure that came as an event instead of an exception."""
    ended: str = ""
    """The last lifecycle event that a client of the responses dialect saw."""
    text: str = ""
    tools: tuple[tuple[str, str], ...] = ()
    reasoning: str = ""
    finish: str | None = None

    @property
    def content(self) -> Content:
        return Content(self.text, self.tools, self.reasoning)

    @property
    def failed(self) -> bool:
        return self.raised == "api" or bool(self.told)

    @property
    def by_design(self) -> bool:
        if self.error.split(":")[0] in BY_DESIGN:
            return True
        legal_end = self.ended in ("response.incomplete", "response.failed")
        return legal_end and NO_COMPLETED.search(self.error) is not None

    def record(self) -> dict[str, Any]:
        """For a JSON file: what is empty is left out."""
        return {name: value for name, value in asdict(self).items() if value or name == "text"}

    @classmethod
    def of(cls, record: dict[str, Any]) -> Outcome:
        tools = tuple((name, values) for name, values in record.pop("tools", ()))
        return cls(**record, tools=tools)


@dataclass(frozen=True)
class Verdict:
    grade: str
    reason: str = ""


def verdict(want: Expected, got: Outcome) -> Verdict:
    """Judge a client's answer to a LiteLLM capture."""
    if got.by_design and (got.failed if want.error else want.finish == "length"):
        return Verdict("by-design", got.error)
    if got.raised == "sdk":
        return Verdict("crash", got.error)
    if want.lost is not None and want.lost.anything:
        return Verdict("lost-before", want.lost.reason)
    if got.failed:
        return Verdict("right") if want.error else Verdict("wrong", f"no answer, but {got.error or got.told}")
    if not want.error and got.content == want.content and fits(want.finish, got):
        return Verdict("right")
    if want.lost is not None and want.held is not None and got.content in want.held.all:
        return Verdict("lost-before", want.lost.reason)
    if want.error:
        return Verdict("silent", f"the upstream failed, but: {brief(got.content)}, finish {got.finish}")
    for limit in limits(got.judge, got.key):
        same = replace(
            got, **{limit.field: getattr(want if limit.field == "finish" else want.content, limit.field)}
        )
        if same.content == want.content and fits(want.finish, same):
            return Verdict("by-design", limit.reason)
    return Verdict("wrong", differs(want.content, want.finish, got))


def likeness(model: Outcome, got: Outcome) -> Verdict:
    """Judge a client's answer to a handwritten stream by its answer to a good form of the stream."""
    if got.by_design and (model.by_design or (model.failed and got.failed)):
        return Verdict("by-design", got.error)
    if got.raised == "sdk":
        return Verdict("crash", got.error)
    if model.failed:
        return Verdict("right") if got.failed else Verdict("silent", f"no error, but {brief(got.content)}")
    if got.failed:
        return Verdict("wrong", f"no answer, but {got.error or got.told}")
    if got.content == model.content:
        return Verdict("right")
    return Verdict("wrong", differs(model.content, None, got))


def fits(finish: str | None, got: Outcome) -> bool:
    """The responses dialect has no word for an answer that ends in a tool call."""
    return finish == got.finish or (bool(got.ended) and (finish, got.finish) == ("tool_calls", "stop"))


def differs(want: Content, finish: str | None, got: Outcome) -> str:
    names = [name for name in ("text", "tools", "reasoning") if getattr(want, name) != getattr(got, name)]
    parts = [f"{name} {brief(getattr(got, name))}, not {brief(getattr(want, name))}" for name in names]
    if not names:
        parts = [f"finish {got.finish}, not {finish}"]
    return "; ".join(parts)


def brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:40]}…{text[-15:]}"
