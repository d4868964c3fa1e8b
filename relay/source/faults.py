"""Why a file is no YAML, in plain words, with the likely cause and the place of that cause.

A parser says where it could not go on; the mistake is often elsewhere, such as at a quote that was opened
lines before. Both of PyYAML's parsers are read here, libyaml's and its own, which use different words.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from relay.source.problems import Place, Problem

_NO_BLANK = re.compile(r"\s*(?:- +)*[\"']?[A-Za-z_][\w.-]*[\"']?(:)[^\s:/]")
"""``name:value``; not an address such as ``http://``."""
_SPECIAL = {
    "*": "an alias",
    "&": "an anchor",
    "!": "a tag",
    "%": "a directive",
    "@": "nothing that YAML knows",
    "`": "nothing that YAML knows",
}


class Lines:
    """The lines of one file, and places in them."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self._texts = re.split(r"\r\n|[\n\r\x85\u2028\u2029]", text)

    def __len__(self) -> int:
        return len(self._texts)

    def __getitem__(self, line: int) -> str:
        """By PyYAML's count, from 0; empty outside of the file."""
        return self._texts[line] if 0 <= line < len(self._texts) else ""

    def since(self, line: int) -> str:
        """The text from this line on, with nothing in the lines before."""
        return "\n" * line + "\n".join(self._texts[line:])

    def place(self, line: int, column: int, width: int = 1) -> Place:
        line = min(line, len(self._texts) - 1)
        if line == len(self._texts) - 1 and not column:  # the end of a file is shown at its last words
            while line and not self._texts[line]:
                line -= 1
                column = len(self._texts[line])
        return Place(self.file, line + 1, column + 1, self[line], max(width, 1))

    def between(self, start: yaml.Mark, end: yaml.Mark) -> Place:
        """What stands there, as far as it is in one line."""
        last = end.column if end.line == start.line else len(self[start.line].rstrip())
        return Place(
            self.file, start.line + 1, start.column + 1, self[start.line], max(last - start.column, 1)
        )


def fault(error: Exception, lines: Lines, scalar: yaml.ScalarEvent | None, bracket: Any) -> Problem:
    """What is wrong, at the place of its likely cause.

    ``scalar`` is the last that was read, ``bracket`` the mark of the last that has not been closed.
    """
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return Problem(lines.place(0, 0), f"this is no YAML: {error}".splitlines()[0])
    line, column = error.problem_mark.line, error.problem_mark.column
    start = error.context_mark
    said = f"{error.context or ''} {error.problem or ''}"
    found = (
        _indented_by_tab(lines, line)
        or _unclosed_quote(lines, said, start)
        or _odd_quote(lines, scalar, line, column)
        or _missing_blank(lines, said, line, start)
        or _unclosed_bracket(lines, said, line, column, bracket)
        or _second_colon(lines, said, line, column)
        or _first_character(lines, said, line, column, start)
        or _indented_otherwise(lines, said, line, column)
    )
    if found is not None:
        return found
    if "block scalar" in said:
        message = "behind | or > nothing but + or - may follow in the same line; the text begins in the next"
        return Problem(lines.place(line, column), message)
    if "escape" in said:
        message = (
            "an unknown escape: in double quotes a \\ is written \\\\, in single quotes it stays as it is"
        )
        return Problem(lines.place(line, column), message)
    return Problem(lines.place(line, column), f"this is no YAML: {error.problem or error.context}")


def _indented_by_tab(lines: Lines, line: int) -> Problem | None:
    for at in (line, line - 1):
        blank = re.match(r"\s*", lines[at])
        if blank and "\t" in blank[0] and blank[0] != lines[at]:
            return Problem(lines.place(at, blank[0].index("\t")), "a tab cannot indent in YAML: use blanks")
    return None


def _unclosed_quote(lines: Lines, said: str, start: yaml.Mark | None) -> Problem | None:
    if start is None or "scalar" not in said or "block" in said or "plain" in said:
        return None
    if "end of stream" in said or "document" in said:
        return Problem(lines.place(start.line, start.column), "this quote is never closed")
    return None


def _odd_quote(lines: Lines, scalar: yaml.ScalarEvent | None, line: int, column: int) -> Problem | None:
    """Text right behind a quote: the one that was to close has become one that opens."""
    if scalar is None or scalar.style not in ("'", '"'):
        return None
    opened, closed = scalar.start_mark, scalar.end_mark
    if opened is None or closed is None or closed.line != line or lines[line][closed.column : column].strip():
        return None
    if opened.line != line:
        message = (
            f"the text in quotes that begins here goes on to line {line + 1}: is its closing quote missing?"
        )
        return Problem(lines.place(opened.line, opened.column), message)
    return Problem(
        lines.place(line, column), "text after a closing quote: put all of it, or none of it, in quotes"
    )


def _missing_blank(lines: Lines, said: str, line: int, start: yaml.Mark | None) -> Problem | None:
    """``name:value`` is a word, which shows only in the line after it."""
    if not re.search(r"mapping values|expected ':'|<block end>|expected key|document start", said):
        return None
    suspects = [line, line - 1, *([start.line] if start is not None and "simple key" in said else [])]
    for at in suspects:
        match = _NO_BLANK.match(lines[at])
        if match:
            return Problem(lines.place(at, match.start(1)), "a blank is missing after this colon")
    if start is not None and "simple key" in said:
        width = len(lines[start.line][start.column :].rstrip())
        return Problem(
            lines.place(start.line, start.column, width), "expected a colon and a blank after this name"
        )
    return None


def _unclosed_bracket(lines: Lines, said: str, line: int, column: int, bracket: Any) -> Problem | None:
    """libyaml has no place for the end of a file: it says the beginning."""
    if bracket is None or "flow" not in said:
        return None
    opening = lines[bracket.line][bracket.column]
    if (line, column) < (bracket.line, bracket.column) or line >= len(lines) - 1:
        return Problem(lines.place(bracket.line, bracket.column), f"this {opening} is never closed")
    if bracket.line != line:
        message = f"this {opening} is not closed before line {line + 1}, or a comma is missing there"
        return Problem(lines.place(bracket.line, bracket.column), message)
    closing = {"[": "]", "{": "}"}[opening]
    if "flow node" in said:
        return Problem(lines.place(line, column), "a value is missing here")
    return Problem(lines.place(line, column), f"expected a comma, or {closing}, before this")


def _second_colon(lines: Lines, said: str, line: int, column: int) -> Problem | None:
    if lines[line][column : column + 1] == ":" and not lines[line][:column].strip(" -?"):
        return Problem(lines.place(line, column), "a name is missing before this colon")
    if "mapping values" not in said:
        return None
    if re.search(r":\s", lines[line][:column]):
        message = "a second colon with a blank in one line: put the value in quotes, or begin a new line"
        return Problem(lines.place(line, column), message)
    message = "this line is indented further than the one before it, which has a value already"
    first = len(lines[line]) - len(lines[line].lstrip())
    return Problem(lines.place(line, first, column - first), message)


def _first_character(
    lines: Lines, said: str, line: int, column: int, start: yaml.Mark | None
) -> Problem | None:
    """A word that begins with a character that means something else: ``*``, ``@``, ``%``."""
    if start is not None and re.search(r"\b(?:alias|anchor|tag|directive)\b", said):
        line, column = start.line, start.column
    elif "cannot start any token" not in said:
        return None
    first = lines[line][column : column + 1]
    if first == "\t":
        return Problem(lines.place(line, column), "a tab cannot stand here in YAML: use blanks")
    word = re.match(r"[^\s,\]}]*", lines[line][column:])
    shown = word[0] if word and word[0] else first
    begins = _SPECIAL.get(first, "nothing that YAML knows")
    message = f'a word that begins with {first} is {begins}: in quotes it is text ("{shown}")'
    return Problem(lines.place(line, column, len(shown)), message)


def _indented_otherwise(lines: Lines, said: str, line: int, column: int) -> Problem | None:
    if not re.search(r"block (?:end|mapping|collection|sequence)|document start", said):
        return None
    if lines[line][:column].strip(" -"):
        return Problem(
            lines.place(line, column), "this cannot follow here: is a quote or a comma missing before it?"
        )
    message = "this line is indented otherwise than the lines that it belongs to"
    return Problem(lines.place(line, column, len(lines[line].rstrip()) - column), message)


def second_document(lines: Lines, mark: yaml.Mark) -> Problem:
    return Problem(
        lines.place(mark.line, mark.column, 3), "a second document begins here; one file holds one"
    )


def characters(lines: Lines, text: str) -> list[Problem]:
    """Characters that no YAML may hold, the first of each line."""
    if _FORBIDDEN.search(text) is None:
        return []
    found = [(at, match) for at in range(len(lines)) if (match := _FORBIDDEN.search(lines[at]))]
    return [
        Problem(
            lines.place(at, match.start()),
            f"the control character U+{ord(match[0]):04X} cannot stand in YAML",
        )
        for at, match in found[:_MOST]
    ]


_MOST = 20
"""Lines that are told of: a file of another kind is full of them."""
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
