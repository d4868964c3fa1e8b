"""Change a value inside JSON text without writing the rest of it anew.

What is not changed keeps its bytes: key order, spacing, escapes, and the signatures that depend on
them. A new value that fits where the old one was takes its place, padded with blanks, which JSON
allows between tokens; then nothing moves, and the text may lie in a read buffer. Otherwise the text
grows or shrinks.

A quoted key cannot occur inside a JSON string, whose quotes are escaped, so a walk over members
that skips whole values finds the right depth without parsing them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import orjson

Path = Sequence[str | int]

_BLANK = re.compile(rb"[ \t\r\n]*")
# Possessive: to remember where it could go back takes 1 GB for 16 MiB of escapes.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_SCALAR = re.compile(rb"[^\s,\]}:]+")
_NESTING = re.compile(_STRING.pattern + rb"|[{}\[\]]", re.DOTALL)
_SIMPLE = re.compile(rb'[ \t\r\n]*:[ \t\r\n]*("[^"\\]*"|[-+.\w]+)')
_NUMBER = frozenset(b"-0123456789")


class NotFound(Exception):
    """The path leads nowhere in this text, or the text is not JSON."""


def dumps(value: object) -> bytes:
    """Compact JSON; what is no number in JSON is null, as with every encoder that JavaScript has.

    Half of a split emoji and numbers above 64 bits stay what they were; orjson refuses both.
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        finite = json.loads(json.dumps(value), parse_constant=lambda _: None)
        return json.dumps(finite, separators=(",", ":")).encode()


def set_value(
    text: bytearray, path: Path, value: object, start: int = 0, *, there: bool | None = None
) -> None:
    """Replace the value at ``path`` of the JSON document at ``start``, or add it; raises NotFound.

    ``there`` says whether the member exists, where that is known: often the walk is then saved.
    """
    new = dumps(value)
    found = _only(text, path[-1], start) if there else None
    if found is None:
        container = _descend(text, path[:-1], start)
        found = None if there is False else _member(text, container, path[-1])
        if found is None:
            _insert(text, container, path[-1], new)
            return
    _, begin, end = found
    room = end - begin - len(new)
    if room >= 0:
        text[begin:end] = b" " * room + new if text[begin] in _NUMBER else new + b" " * room
    else:
        text[begin:end] = new


def remove(text: bytearray, path: Path, start: int = 0, *, there: bool = False) -> None:
    """Overwrite the member at ``path``, and the comma that goes with it, by blanks.

    Raises NotFound where there is none; with ``there`` it is known to be.
    """
    if there and (only := _only(text, path[-1], start)) is not None:
        _blank(text, only[0], only[2])
        return
    container = _descend(text, path[:-1], start)
    found = _member(text, container, path[-1])
    if found is None:
        raise NotFound(path)
    _blank(text, found[0], found[2])
    if isinstance(path[-1], str):  # a key may be there twice
        while (found := _member(text, container, path[-1])) is not None:
            _blank(text, found[0], found[2])


def _only(text: bytearray, key: str | int, start: int) -> tuple[int, int, int] | None:
    """The place of a member that exists somewhere, when nothing else can be it: 1 µs against 5 for a walk.

    Its key stands in the text once, and no key is spelled with escapes.
    """
    if not isinstance(key, str) or "/" in key:  # the one character that has two short spellings
        return None
    name = dumps(key)
    at = text.find(name, start)
    if at < 0 or text.find(name, at + 1) >= 0 or text.find(b"\\u", start) >= 0:
        return None
    value = _SIMPLE.match(text, at + len(name))
    return None if value is None else (at, value.start(1), value.end(1))


def _blank(text: bytearray, begin: int, end: int) -> None:
    """Overwrite a member, and the comma that goes with it."""
    after = _skip_blank(text, end)
    if text[after : after + 1] == b",":
        end = after + 1
    else:
        before = begin - 1
        while text[before] in b" \t\r\n":
            before -= 1
        if text[before] == ord(","):
            begin = before
    text[begin:end] = b" " * (end - begin)


def _descend(text: bytearray, path: Path, start: int) -> int:
    """The offset of the container that ``path`` names."""
    at = _skip_blank(text, start)
    for key in path:
        found = _member(text, at, key)
        if found is None:
            raise NotFound(path)
        at = found[1]
    return at


def _member(text: bytearray, at: int, wanted: str | int) -> tuple[int, int, int] | None:
    """Where a member begins, where its value begins and ends; None when the container has no such one.

    Of a key that is there twice it is the last, as for every parser.
    """
    is_object = text[at : at + 1] == b"{"
    if isinstance(wanted, str) != is_object or (not is_object and text[at : at + 1] != b"["):
        raise NotFound(wanted)
    name = dumps(wanted) if is_object else b""
    found: tuple[int, int, int] | None = None
    position = 0
    at = _skip_blank(text, at + 1)
    while text[at : at + 1] and text[at] not in b"}]":
        begin = value = at
        if is_object:
            stop = _skip_value(text, at)
            wants = _same(text[at:stop], name)
            value = _skip_blank(text, _skip_blank(text, stop) + 1)
        else:
            wants = position == wanted
        end = _skip_value(text, value)
        if wants:
            found = begin, value, end
        at = _skip_blank(text, end)
        if text[at : at + 1] == b",":
            at = _skip_blank(text, at + 1)
        position += 1
    return found


def _same(key: bytearray, name: bytes) -> bool:
    """The key is this one, with whatever escapes it is written."""
    if b"\\" not in key:
        return key == name
    try:
        return bool(json.loads(key) == json.loads(name))
    except ValueError:
        return False


def _insert(text: bytearray, at: int, key: str | int, new: bytes) -> None:
    if not isinstance(key, str) or text[at : at + 1] != b"{":
        raise NotFound(key)
    first = _skip_blank(text, at + 1)
    comma = b"" if text[first : first + 1] == b"}" else b","
    text[at + 1 : at + 1] = dumps(key) + b":" + new + comma


def _skip_blank(text: bytearray, at: int) -> int:
    match = _BLANK.match(text, at)
    assert match is not None
    return match.end()


def _skip_value(text: bytearray, at: int) -> int:
    """The offset after the value that begins at ``at``."""
    first = text[at : at + 1]
    if first == b"{" or first == b"[":
        depth = 0
        for token in _NESTING.finditer(text, at):
            mark = text[token.start()]
            if mark in b"{[":
                depth += 1
            elif mark in b"}]":
                depth -= 1
                if depth == 0:
                    return token.end()
        raise NotFound("the document ends inside a value")
    match = (_STRING if first == b'"' else _SCALAR).match(text, at)
    if match is None:
        raise NotFound(f"no value at {at}")
    return match.end()
