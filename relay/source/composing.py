"""Nodes made of PyYAML's events, with all that is wrong in them.

PyYAML's own nodes and constructors forget where an alias stands, take the last of two equal keys, recurse
as deeply as a file wants, and let ten lines stand for billions of values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from relay.source.faults import Lines, second_document
from relay.source.interpolation import REFERENCE, filled
from relay.source.nodes import STANDARD, Listing, Node, Scalar, Section, kind_of, why_not_text
from relay.source.problems import Place, Problem

_DEPTH = 64
_REPEATED = 100_000
"""Nodes that aliases may add to a file."""
_KNOWN_TAGS = {"str": "text", "int": "number", "float": "number", "bool": "switch", "null": "null"}

_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's is ten times as fast; its places are the same."""


class GivenUp(Exception):
    """The problem has been told, and nothing after it can be read."""


class Composer:
    """One text on its way to nodes."""

    def __init__(
        self,
        lines: Lines,
        text: str,
        environ: Mapping[str, str] | None,
        problems: list[Problem],
        warnings: list[Problem] | None,
        start: int,
    ) -> None:
        """``start``: the lines before this one could not be read."""
        self.lines = lines
        self.last: yaml.ScalarEvent | None = None
        self._brackets: list[Any] = []
        self._environ = environ
        self._problems = problems
        self._warnings = warnings
        self._is_part = start > 0
        self._text = lines.since(start) if start else text
        self._braces = _Braces(self._text) if environ is not None else None
        self._parser = _Parser(self._braces.text if self._braces else self._text)
        self._anchors: dict[str, tuple[Node, int] | None] = {}
        self._count = self._repeated = 0

    @property
    def bracket(self) -> Any:
        """The mark of the last that was opened and not closed."""
        return self._brackets[-1] if self._brackets else None

    def close(self) -> None:
        self._parser.dispose()

    def document(self) -> Node:
        """The only one of the file; an empty file holds nothing, which is no value."""
        self._next()  # the stream begins
        first = self._next()
        if isinstance(first, yaml.StreamEndEvent):
            return Scalar("", "null", False, self.lines.place(0, 0))
        node = self._node(self._next(), 0)
        self._next()  # the document ends
        after = self._next()
        if not isinstance(after, yaml.StreamEndEvent):
            self._problems.append(second_document(self.lines, after.start_mark))
        return node

    def _next(self) -> Any:
        return self._parser.get_event()

    def _wrong(self, place: Place, message: str) -> None:
        self._problems.append(Problem(place, message))

    # --- nodes --------------------------------------------------------------------------------

    def _node(self, event: Any, depth: int, *, is_key: bool = False) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if depth > _DEPTH:
            self._wrong(self._place(event), f"this is nested more than {_DEPTH} times")
            raise GivenUp
        before = self._count
        self._count += 1
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            node: Node = self._scalar(event, is_key=is_key)
        else:
            node = self._collection(event, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = (node, self._count - before)
        return node

    def _alias(self, event: yaml.AliasEvent) -> Node:
        place = self._place(event)
        found = self._anchors.get(str(event.anchor))
        if found is None and self._is_part:  # the anchor may stand in what could not be read
            return Scalar("", "broken", False, place, written=f"*{event.anchor}")
        if found is None:
            inside = event.anchor in self._anchors
            why = "it holds itself" if inside else f"no &{event.anchor} comes before it; in quotes it is text"
            self._wrong(place, f"*{event.anchor} stands for nothing: {why}")
            return Scalar("", "broken", False, place, written=f"*{event.anchor}")
        node, weight = found
        self._count += weight
        self._repeated += weight
        if self._repeated > _REPEATED:
            self._wrong(place, f"aliases repeat more than {_REPEATED} values")
            raise GivenUp
        return node

    def _collection(self, event: Any, depth: int) -> Node:
        mark = event.start_mark
        opened = event.flow_style and self.lines[mark.line][mark.column] in "[{"  # not so the pair of [a: b]
        if opened:
            self._brackets.append(mark)
        node: Node
        if isinstance(event, yaml.MappingStartEvent):
            self._check_tag(event, ("map",))
            node = self._section(event, depth)
        else:
            self._check_tag(event, ("seq",))
            node = self._listing(event, depth)
        if opened:
            self._brackets.pop()
        return node

    def _listing(self, event: Any, depth: int) -> Listing:
        items = []
        while not isinstance(inner := self._next(), yaml.SequenceEndEvent):
            items.append(self._node(inner, depth + 1))
        return Listing(items, self._place(event, 1))

    def _section(self, event: Any, depth: int) -> Section:
        section = Section({}, {}, self._place(event, 1))
        merged: list[Section] = []
        while not isinstance(inner := self._next(), yaml.MappingEndEvent):
            if _is_merge(inner):
                merged += self._merged(self._place(inner), self._node(self._next(), depth + 1))
                continue
            key = self._node(inner, depth + 1, is_key=True)
            value = self._node(self._next(), depth + 1)
            self._enter(section, key, self._place(inner), value)
        for other in merged:
            for name, value in other.entries.items():
                if name not in section.entries:
                    section.entries[name], section.keys[name] = value, other.keys[name]
        return section

    def _merged(self, place: Place, node: Node) -> list[Section]:
        """What ``<<`` brings in; of several the first that has a name gives it."""
        found = node.items if isinstance(node, Listing) else [node]
        if not all(isinstance(one, Section) or _is_broken(one) for one in found):
            self._wrong(place, "<< takes in a section, or a list of sections, by alias: <<: *name")
        return [one for one in found if isinstance(one, Section)]

    def _enter(self, section: Section, key: Node, place: Place, value: Node) -> None:
        if not isinstance(key, Scalar):
            self._wrong(place, "a name is expected before the colon, not a list or a section")
        elif self._is_name(key, place):
            name = key.text
            if name not in section.entries:
                section.entries[name], section.keys[name] = value, place
                return
            first = section.keys[name].line
            if self._warnings is None:
                self._wrong(place, f"{name} is there twice; it was in line {first} already")
                return
            message = f"{name} is there twice; this one counts, not the one of line {first}"
            self._warnings.append(Problem(place, message))
            section.entries[name], section.keys[name] = value, place

    def _is_name(self, key: Scalar, place: Place) -> bool:
        if _is_broken(key):
            return False
        if self._warnings is not None:
            return True
        if not key.text and not key.quoted:
            self._wrong(place, "a name is missing before this colon")
            return False
        if self._environ is not None and REFERENCE.search(key.text):
            self._wrong(place, "a name cannot come from a variable; only values can")
            return False
        why = why_not_text(key)
        if why:
            self._wrong(place, why)
        return not why

    def _scalar(self, event: yaml.ScalarEvent, *, is_key: bool) -> Scalar:
        self.last = event
        text = self._braces.undone(event.value) if self._braces else event.value
        place = self._place(event)
        quoted = not event.implicit[0] or event.style not in (None, "")
        tag = self._check_tag(event, tuple(_KNOWN_TAGS))
        kind = "text" if quoted else kind_of(text)
        if tag in _KNOWN_TAGS and tag != "str":
            quoted, kind = False, kind_of(text)
        if any("\ud800" <= character <= "\udfff" for character in text):
            self._wrong(place, "half of a surrogate pair is no character; write it as \\U and eight digits")
            return Scalar("", "broken", quoted, place, written=repr(text))
        scalar = Scalar(text, kind, quoted, place)
        if is_key or self._environ is None:
            return scalar
        start, end = event.start_mark, event.end_mark
        source = self._text[start.index : end.index] if start and end else ""
        return filled(scalar, self._environ, self._problems, source=source)

    # --- words --------------------------------------------------------------------------------

    def _check_tag(self, event: Any, known: tuple[str, ...]) -> str:
        tag = (event.tag or "").removeprefix(STANDARD)
        if tag not in ("", "!", *known):
            shown = event.tag.replace(STANDARD, "!!")
            self._wrong(self._place(event), f"relay knows no {shown}; leave it out")
        return tag

    def _place(self, event: Any, width: int = 0) -> Place:
        place = self.lines.between(event.start_mark, event.end_mark)
        return place._replace(width=width) if width else place


def _is_broken(node: Node) -> bool:
    return isinstance(node, Scalar) and node.kind == "broken"


def _is_merge(event: Any) -> bool:
    return isinstance(event, yaml.ScalarEvent) and event.value == "<<" and event.implicit[0]


class _Braces:
    """``${NAME}`` unquoted inside ``{ }`` and ``[ ]``, where YAML takes its braces for its own.

    The parser sees other characters in their place, one for one, so that columns stay; they are put back
    in the values. Legal YAML has no other meaning for ``${``: a word cannot end at a brace that opens.
    """

    def __init__(self, text: str) -> None:
        spare = (chr(code) for code in range(0xE000, 0xF8FF) if chr(code) not in text)
        self._pair = (next(spare, ""), next(spare, "")) if "${" in text else ("", "")
        self.text = REFERENCE.sub(self._hidden, text) if self._pair[1] else text

    def _hidden(self, match: re.Match[str]) -> str:
        opening, closing = self._pair
        return match[0].replace("{", opening).replace("}", closing)

    def undone(self, text: str) -> str:
        if not self._pair[1]:
            return text
        opening, closing = self._pair
        return text.replace(opening, "{").replace(closing, "}")
