"""What an answer says, in whichever dialect it is written, read with no help from relay.

``Tale`` is the common form: texts of three kinds and calls in their order, why it ended in the dialect's own
word, and what it counted. A reading is as lenient as the SDKs are, because real servers are its sources.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
COUNTS = ("input", "output", "cached", "written", "reasoning")


@dataclass
class Said:
    """A text, or a call whose arguments are the text; adjacent texts of one kind are one."""

    kind: str
    text: str = ""
    id: str | None = None
    name: str | None = None

    @property
    def arguments(self) -> Any:
        """Parsed; the text itself where it is no JSON."""
        try:
            return json.loads(self.text) if self.text.strip() else {}
        except ValueError:
            return self.text


@dataclass
class Tale:
    said: list[Said] = field(default_factory=list)
    finish: str | None = None
    sequence: str | None = None
    counts: dict[str, int] | None = None
    error: Json | None = None
    id: str | None = None
    model: str | None = None
    ended: bool = False
    """The dialect's own last word was seen."""

    def add(self, kind: str, text: object) -> None:
        if not isinstance(text, str) or not text:
            return
        if self.said and self.said[-1].kind == kind:
            self.said[-1].text += text
        else:
            self.said.append(Said(kind, text))

    def call(self, ident: str | None, name: str | None, text: str = "") -> Said:
        self.said.append(Said("call", text, ident, name))
        return self.said[-1]

    def text(self, *kinds: str) -> str:
        return "".join(one.text for one in self.said if one.kind in kinds)

    @property
    def calls(self) -> list[tuple[str | None, str | None, Any]]:
        return [(one.id, one.name, one.arguments) for one in self.said if one.kind == "call"]


def known(found: dict[str, Any]) -> dict[str, int]:
    """The counts that are numbers."""
    return {name: value for name, value in found.items() if type(value) is int}
