"""YAML as LiteLLM loads it: PyYAML's safe loader, bounded, with the lines that entries stand on.

``relay.source`` reads relay's own files, more strictly: what it refuses (a key twice, a variable that is
not set) LiteLLM takes. Only its words for what is no YAML at all are used here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from relay.source.problems import Place, Problem, covered
from relay.source.reading import parse

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BYTES = 16 * 1024 * 1024
_DEPTH = 64
_ENDS = "\r\n|[\r\n\x85\u2028\u2029]"


@dataclass(frozen=True, slots=True)
class Document:
    """One file: its mapping, and what stands where."""

    path: str
    value: dict[Any, Any] = field(repr=False)
    node: Any = field(repr=False)
    lines: tuple[str, ...] = field(repr=False)
    warnings: tuple[str, ...] = ()

    def entries(self, key: str) -> Iterator[str]:
        """File and line of each entry of a list."""
        node = self._found(key)
        for entry in node.value if isinstance(node, yaml.SequenceNode) else ():
            yield f"{self.path}:{entry.start_mark.line + 1}"

    def place(self, key: str) -> Place:
        return _place(self.path, self.lines, getattr(self._found(key), "start_mark", None))

    def problem(self, key: str, message: str) -> Problem:
        return Problem(self.place(key), message)

    def _found(self, key: str) -> Any:
        pairs = self.node.value if isinstance(self.node, yaml.MappingNode) else ()
        return next((value for name, value in reversed(pairs) if name.value == key), None)


def load(path: str, problems: list[Problem], asked: Place | None = None) -> Document | None:
    """One file, or None and a problem; ``asked`` is where another file names it."""
    try:
        with open(path, "rb") as file:
            data = file.read(_BYTES + 1)
        text = data.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = "it is no UTF-8" if isinstance(error, UnicodeError) else getattr(error, "strerror", None)
        place = asked or Place(path, 1, 1, "")
        problems.append(Problem(place, f"{path} cannot be read: {reason or 'it has no such name'}"))
        return None
    if len(data) > _BYTES:
        problems.append(Problem(Place(path, 1, 1, ""), f"more than {_BYTES >> 20} MiB are no configuration"))
        return None
    return _document(path, text, tuple(re.split(_ENDS, text)), problems)


def _document(path: str, text: str, lines: tuple[str, ...], problems: list[Problem]) -> Document | None:
    """Composed once: the values are built from the nodes that know their lines."""
    try:
        _bound(text)
        loader = _LOADER(text)
        try:
            node = loader.get_single_node()
            warnings = tuple(_doubles(path, node))
            value = loader.construct_document(node) if node is not None else None
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        problems.append(_refusal(path, text, lines, error))
        return None
    except (ValueError, TypeError, ArithmeticError, RecursionError, AttributeError) as error:
        # A date such as 2024-13-45, a number such as 0o9: safe_load raises the same.
        message = f"YAML that cannot be loaded: {type(error).__name__}"
        problems.append(Problem(_place(path, lines, None), message))
        return None
    if not isinstance(value, dict):
        problems.append(Problem(_place(path, lines, None), "expected keys such as model_list: at the top"))
        return None
    return Document(path, value, node, lines, warnings)


def _bound(text: str) -> None:
    """Refuse what is nested too deeply before nodes are built, which recurses."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEPTH:
                mark: Any = event.start_mark
                raise yaml.MarkedYAMLError(problem="nested too deeply", problem_mark=mark)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _doubles(path: str, root: Any) -> Iterator[str]:
    """Keys that are there twice: LiteLLM takes the last, which is rarely what was meant."""
    seen, waiting = set(), [root]
    while waiting:
        node = waiting.pop()
        if id(node) in seen or not isinstance(node, yaml.CollectionNode):
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
            continue
        names = set()
        for key, value in node.value:
            waiting.append(value)
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else None
            if name is not None and name in names and name != "<<":
                line = key.start_mark.line + 1
                yield f"{path}:{line}: {name[:80]!r} is there twice; LiteLLM takes this one"
            names.add(name)


def _refusal(path: str, text: str, lines: tuple[str, ...], error: yaml.YAMLError) -> Problem:
    """What is wrong, without what could be a secret beside it."""
    found: list[Problem] = []
    if not isinstance(error, yaml.constructor.ConstructorError):
        parse(text, path, {}, found)
    if found:
        place = found[0].place
        return found[0]._replace(place=place._replace(text=covered(place.text)))
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    said = re.sub(r"'[^']{12,}'", "…", str(getattr(error, "problem", None) or "unreadable"))
    return Problem(_place(path, lines, mark), f"LiteLLM cannot load this: {said}")


def _place(path: str, lines: tuple[str, ...], mark: Any) -> Place:
    line = min(mark.line, len(lines) - 1) if mark is not None else 0
    column = mark.column if mark is not None else 0
    return Place(path, line + 1, column + 1, covered(lines[line]) if lines else "")
