"""What is wrong in a configuration file, and where, told so that nobody has to search.

``relay.yaml:12:9: message``, then the line, then a caret under the word. Every problem of a file is told
in one run. The line is that of the file, as it is written: what a variable holds is never in it, and what
looks like a secret is covered, because such output ends up in logs and issues.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

from relay.errors import UsageError

_MOST = 50
"""Problems that are printed; after so many the rest follows from them, or nobody reads on."""
_WINDOW = 100
"""Characters of a long line that are shown."""

_NAMES = r"(?:key|token|secret|passw(?:or)?d|pwd|authorization|cookie|credentials?)[\"']?\s*[:=]\s*"
_REFERENCE = r"os\.environ/|\$\{"
_VALUE = rf"\"[^\"]*\"?|'[^']*'?|(?!{_REFERENCE}|[#&*!|>{{\[])\S(?:(?!,\s|,$|\s#|[}}\]]).)*"
_SECRETS = re.compile(
    rf"(?P<name>{_NAMES})(?!['\"]?(?:{_REFERENCE}))(?:{_VALUE})"
    r"|(?P<list>\baccept[\"']?\s*:\s*\[)[^\]]*"
    r"|(?P<scheme>://)[^/\s@]+(?=@)"
    rf"|(?P<bearer>\bbearer\s+)(?!{_REFERENCE})[^\s\"']+"
    r"|\b(?:sk|pk|gsk|xai|hf|nvapi|ghp|AIza)[-_]?[\w-]{4,}(?<=[\w-]{8})"
    r"|\b[0-9a-f]{32,}\b|\beyJ[\w.-]{16,}",
    re.IGNORECASE,
)
"""Values of names that end like those of secrets, and words that look like one wherever they stand."""


class Place(NamedTuple):
    """A word of a file: lines and columns count from 1, ``text`` is its whole line without the end.

    Without ``text`` only the position is told: for files whose every line is a secret.
    """

    file: str
    line: int
    column: int
    text: str
    width: int = 1
    """Characters that it takes in its line."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


class Problem(NamedTuple):
    """What is wrong at a place, and what to do about it; without ``width`` the whole word is marked."""

    place: Place
    message: str
    width: int = 0

    def __str__(self) -> str:
        said = f"{self.place}: {self.message}"
        if not self.place.line or not self.place.text:
            return said
        before, word, after = _window(self.place, self.width or self.place.width)
        number = str(self.place.line)
        caret = "^" * max(_columns(word), 1)
        return (
            f"{said}\n  {number} | {before}{word}{after}"
            f"\n  {' ' * len(number)} | {' ' * _columns(before)}{caret}"
        )


class Problems(UsageError):
    """All that is wrong in one or more files, in the order of their lines."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        found = dict.fromkeys(problems)
        self.all = tuple(sorted(found, key=lambda problem: problem.place[:3]))
        super().__init__(len(self.all))

    def __str__(self) -> str:
        told = [str(problem) for problem in self.all[:_MOST]]
        if len(self.all) > _MOST:
            told.append(f"and {len(self.all) - _MOST} more")
        return "\n".join(told)


def covered(line: str) -> str:
    """The line with its secrets overwritten, at the same length."""
    return _SECRETS.sub(_cover, line)


def _cover(match: re.Match[str]) -> str:
    """Names of variables stay: they say what to set."""
    kept = match["name"] or match["list"] or match["scheme"] or match["bearer"] or ""
    parts = re.split(r"(\$\{[^}]*\}|[\"',])", match[0][len(kept) :])
    return kept + "".join(part if at % 2 else re.sub(r"\S", "*", part) for at, part in enumerate(parts))


def _window(place: Place, width: int) -> tuple[str, str, str]:
    """Of a long line what is around the word, in characters that a terminal can show."""
    line = "".join(_shown(character) for character in covered(place.text))
    start = min(place.column - 1, len(line))
    end = min(start + width, len(line), start + _WINDOW)
    first = max(0, start - _WINDOW // 2) if len(line) > _WINDOW else 0
    last = max(end, first + _WINDOW)
    before = ("…" if first else "") + line[first:start]
    return before, line[start:end], line[end:last] + ("…" if last < len(line) else "")


def _shown(character: str) -> str:
    """One that moves the cursor, or that no terminal can print, would put the caret elsewhere."""
    if character == "\t":
        return "→"
    return character if character.isprintable() else "\N{REPLACEMENT CHARACTER}"


def _columns(text: str) -> int:
    """How wide a terminal shows it: East Asian characters take two columns, accents none."""
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1
        for one in text
    )
