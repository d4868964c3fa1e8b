"""Nodes of a YAML file read as what is meant there; what cannot be goes to the list of problems.

YAML guesses types: ``no`` is a switch, ``12:30`` a number, ``2024-10-21`` a date. Here the place decides:
where a switch is meant ``no`` is one, where text is meant the writer is asked for quotes, because the next
tool that reads the file would take it for something else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from relay.errors import UsageError
from relay.settings import options, scalars
from relay.settings.form import File
from relay.settings.resolved import digest
from relay.settings.said import Layer, Said
from relay.source import secrets
from relay.source.reading import Listing, Node, Place, Problem, Scalar, Section, why_not_text

T = TypeVar("T")

_SWITCHES = {"yes": "on", "true": "on", "on": "on", "no": "off", "false": "off", "off": "off"}
"""As YAML knows them, in any case, and as settings do."""
_INNER = r"\S(?:.*\S)?"


class Reading:
    """One file on its way to settings."""

    def __init__(self, problems: list[Problem], choices: options.Choices, environ: Mapping[str, str]) -> None:
        self.problems = problems
        self.choices = choices
        self.files: list[str] = []
        """Others that this one has named, and that were read."""
        self.warnings: list[Problem] = []
        self._environ = environ
        self.failed: set[str] = set()
        """Paths whose value is not known, so that nothing can be concluded from it."""

    def wrong(self, place: Place, message: str) -> None:
        self.problems.append(Problem(place, message))

    # --- shapes -------------------------------------------------------------------------------

    def section(self, node: Node, form: type, where: str) -> dict[str, Node]:
        """Its entries, if it has only those of the form."""
        if not isinstance(node, Section):
            if not (isinstance(node, Scalar) and node.kind == "null"):
                listed = ", ".join(_names(form))
                self.wrong(node.place, f"expected {where} as name: value lines ({listed})")
            return {}
        known = _names(form)
        for name in node.entries:
            if name not in known:
                message = f"{where} has no {name!r}; {_meant(name, known)}"
                self.wrong(node.keys[name], message)
        return {name: inner for name, inner in node.entries.items() if name in known}

    def items(self, node: Node) -> list[Node]:
        """Those of a list; one thing alone is a list of one, and nothing is none."""
        if isinstance(node, Listing):
            return list(node.items)
        return [] if isinstance(node, Scalar) and node.kind == "null" else [node]

    # --- values -------------------------------------------------------------------------------

    def leaf(
        self, node: Node, read: Callable[[str], T], *, text: bool = False, secret: bool = False
    ) -> T | None:
        """One value; None if it cannot be read.

        ``text``: words that are read as they stand; ``secret``: words that no message may repeat.
        """
        if not isinstance(node, Scalar):
            self.wrong(node.place, "expected one value here")
            return None
        if node.kind == "broken":
            return None
        if node.kind == "null":
            self.wrong(node.place, "there is no value; leave the line out for the default")
            return None
        try:
            found = _read(node, read)
        except UsageError as error:
            self.wrong(node.place, _told(node, str(error)))
            return None
        why = why_not_text(node) if text else ""
        if why:
            hidden = f"YAML reads this as a {node.kind}; put it in quotes"
            self.wrong(node.place, hidden if secret else why)
            return None
        return found

    def text(
        self, node: Node, form: str = r".+", expected: str = "text", *, secret: bool = False
    ) -> str | None:
        """Printable text of this form."""

        def read(text: str) -> str:
            if not text.isprintable() or not re.fullmatch(form, text):
                raise UsageError(f"expected {expected}")
            return text

        return self.leaf(node, read, text=True, secret=secret)

    def field(self, struct: type, name: str, node: Node) -> Any:
        """What this field of a settings' struct is, in a value or a list of them; None if unknown."""
        text = options.takes_text(struct, name) and name not in self.choices

        def read(word: str) -> Any:
            return options.value(struct, name, word, self.choices)

        if not (isinstance(node, Listing) and options.takes_words(struct, name)):
            return self.leaf(node, read, text=text, secret=name == "api_key")
        found = [self.leaf(item, read, text=text) for item in node.items]
        if any(one is None for one in found):
            return None
        return tuple(dict.fromkeys(word for one in found for word in one or ()))

    def texts(self, node: Node, expected: str = "text") -> tuple[str, ...] | None:
        """A text, or a list of them; None where one of them cannot be read."""
        if isinstance(node, Listing) and not node.items:
            self.wrong(node.place, "the list is empty; leave it out for anything")
        found = [self.text(item, expected=expected) for item in self.items(node)]
        return None if None in found else tuple(dict.fromkeys(one for one in found if one is not None))

    def pairs(
        self, node: Node, what: str, name_form: str, expected: str, *, secret: bool = False
    ) -> Iterator[tuple[str, str, Place]]:
        """The entries of a mapping from texts to texts."""
        if not isinstance(node, Section):
            self.wrong(node.place, f"expected {what} as name: value lines")
            return
        for name, inner in node.entries.items():
            if not re.fullmatch(name_form, name):
                self.wrong(node.keys[name], f"expected {expected}")
            elif (
                value := self.text(inner, _INNER, "text without blanks around it", secret=secret)
            ) is not None:
                yield name, value, node.keys[name]

    # --- parts --------------------------------------------------------------------------------

    def scalar(self, path: str, node: Node) -> Layer:
        """The setting of this path."""
        text = options.takes_text(*scalars.FIELDS[path]) and path not in ("litellm.url", "spend.webhook")
        secret = path in scalars.SECRET

        def read(text: str) -> Any:
            return scalars.read(path, text, self.choices)

        found = self.leaf(node, read, text=text, secret=secret)
        if found is None:
            self.failed.add(path)
            return {}
        return {path: Said(found, node.place)}

    def part(self, name: str, node: Node, form: type, without: Collection[str] = ()) -> Layer:
        """All settings of a section whose fields are single values."""
        said: Layer = {}
        for field, inner in self.section(node, form, name).items():
            if field not in without:
                said |= self.scalar(f"{name}.{field}", inner)
        return said

    # --- files --------------------------------------------------------------------------------

    def beside(self, said: Said) -> Said:
        """A file's name as its path: beside the file that names it, wherever relay was started."""
        place = said.origin
        assert isinstance(place, Place)
        return said._replace(value=os.path.join(os.path.dirname(place.file), said.value))

    def secret(self, node: Node) -> str | None:
        """The one secret in a file."""
        name = self.text(node, expected="the name of a file")
        if name is None:
            return None
        self.files.append(secrets.located(name, node.place, self._environ))
        return secrets.from_file(name, node.place, self._environ, self.problems, self.warnings)

    def listed(self, node: Node) -> tuple[str, ...] | None:
        """The keys in a file, one a line."""
        name = self.text(node, expected="the name of a file")
        if name is None:
            return None
        self.files.append(secrets.located(name, node.place, self._environ))
        found = secrets.listed(name, node.place, self._environ, self.problems, self.warnings)
        for key in found:
            try:
                digest(key.text)
            except UsageError as error:
                self.wrong(key.place, str(error))
        return tuple(key.text for key in found)


def _names(form: type) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(form)]


def _meant(name: str, known: Collection[str]) -> str:
    """The name that is close, or the part that has one of this name."""
    told = options.like(name, known)
    if told.startswith("did"):
        return told
    if name in _names(File):
        return "it belongs to the top of the file"
    for field in msgspec.structs.fields(File):
        form = _form(field.type)
        if form is not None and name in _names(form):
            return f"it belongs under {field.encode_name}:"
    return told


def _form(kind: Any) -> type | None:
    """The struct of a part, also where the part may be missing."""
    kinds = [kind, *getattr(kind, "__args__", ())]
    return next((one for one in kinds if isinstance(one, type) and issubclass(one, msgspec.Struct)), None)


def _read(node: Scalar, read: Callable[[str], T]) -> T:
    """Where ``yes`` means nothing, ``on`` may."""
    try:
        return read(node.text)
    except UsageError:
        switch = _SWITCHES.get(node.text.lower())
        if node.quoted or switch is None or switch == node.text:
            raise
        try:
            return read(switch)
        except UsageError:
            pass
        raise


def _sizes(number: str) -> str:
    """What the number of bytes may have been."""
    count = int(number) if number.isdecimal() and len(number) < 13 else 0
    if count < 1 << 10:
        return f"{number}KiB or {number}MiB"
    whole = f"{count >> 10}KiB" if count < 1 << 20 else f"{count >> 20}MiB"
    return f"{number}B or {whole}"


def _told(node: Scalar, error: str) -> str:
    """The error in the words of a file; what came from a variable may be a secret and is not shown."""
    if node.variables:
        return error.replace(repr(node.text), node.shown).replace(node.text, node.shown)
    number = node.text
    if re.fullmatch(r"[0-9.]+", number):
        if error.startswith("duration"):
            return f"{number} has no unit: {number}s or {number}ms?"
        if error.startswith("size"):
            return f"{number} has no unit: {_sizes(number)}?"
    return error
