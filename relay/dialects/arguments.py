"""A tool's arguments: where they are complete while they stream, and the free text that some hold."""

from __future__ import annotations

import re

import orjson

_TELLING = re.compile(r'[{}\[\]"\\]')
_OPENING, _CLOSING = "{[", "}]"


class Arguments:
    """The text of one JSON object, in pieces: counts braces outside strings."""

    __slots__ = ("_begun", "_depth", "_escaped", "_in_string")

    def __init__(self) -> None:
        self._begun = self._in_string = self._escaped = False
        self._depth = 0

    @property
    def empty(self) -> bool:
        """Nothing but blanks so far."""
        return not self._begun

    @property
    def complete(self) -> bool:
        """The object that began has ended."""
        return self._begun and self._depth == 0 and not self._in_string

    def take_spelled(self, text: bytes) -> None:
        """The next piece, as the inside of a JSON string."""
        self.take(orjson.loads(b'"' + text + b'"'))

    def take(self, text: str) -> None:
        """The next piece."""
        start = 0
        if self._escaped and text:
            self._escaped, start = False, 1
        if not self._begun:
            self._begun = bool(text.strip())
        while (found := _TELLING.search(text, start)) is not None:
            start = found.end()
            mark = found[0]
            if mark == "\\":
                if self._in_string:
                    self._escaped = start == len(text)
                    start += 1
            elif mark == '"':
                self._in_string = not self._in_string
            elif not self._in_string:
                self._depth += (mark in _OPENING) - (mark in _CLOSING)


def custom_input(arguments: str) -> str:
    """The free text in the arguments of a custom tool's call; the arguments where it is not in them."""
    try:
        document = orjson.loads(arguments)
    except ValueError:
        return arguments
    text = document.get("input") if isinstance(document, dict) else None
    return text if isinstance(text, str) else arguments
