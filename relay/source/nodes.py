"""What a configuration file holds: values, lists and sections, each with its place.

YAML 1.1 guesses what an unquoted word is: ``no`` a switch, ``12:30`` a number of base sixty, ``2024-10-21``
a date. Nothing is decided here: ``text`` is what was written, ``kind`` what a reader of YAML would make of
it, and whoever knows what the setting is decides which of the two counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from relay.source.problems import Place

STANDARD = "tag:yaml.org,2002:"
_KINDS = {"bool": "switch", "int": "number", "float": "number", "null": "null", "timestamp": "date"}
_YAML_1_2_OCTAL = re.compile(r"0o[0-7]+")
_YAML_1_2_NUMBER = re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+")
_OCTAL = re.compile(r"[-+]?0[0-7_]+")
_RESOLVER: Any = Resolver()
_CONSTRUCTOR = SafeConstructor()


@dataclass(slots=True)
class Scalar:
    """One value.

    text       as it stands in the file, without its quotes, and with its variables filled in
    kind       what YAML would read it as: ``text``, ``number``, ``octal``, ``sexagesimal``, ``switch``,
               ``date``, ``null``; what is quoted, or came from a variable, is text. ``broken``: a problem
               of it has been told already, its text is empty, and there is nothing more to say of it
    variables  those that were asked for it; then its text is not to be printed, ``shown`` is
    written    the text before variables were filled in, where that is another
    """

    text: str = field(repr=False)
    kind: str
    quoted: bool
    place: Place
    variables: tuple[str, ...] = ()
    written: str = ""

    @property
    def filled(self) -> bool:
        """Its text does not stand in the file."""
        return bool(self.written)

    @property
    def shown(self) -> str:
        """What a message may say: a value from the environment may be a secret, its name is none."""
        return self.written or self.text


@dataclass(slots=True)
class Listing:
    items: list[Node]
    place: Place


@dataclass(slots=True)
class Section:
    entries: dict[str, Node]
    keys: dict[str, Place]
    """Where each name stands."""
    place: Place


Node = Scalar | Listing | Section


def kind_of(text: str) -> str:
    """What a reader of YAML takes this for where it stands without quotes."""
    if _YAML_1_2_OCTAL.fullmatch(text):
        return "octal"
    if _YAML_1_2_NUMBER.fullmatch(text):
        return "number"
    kind = _KINDS.get(_tag(text), "text")
    if kind == "number" and ":" in text:
        return "sexagesimal"
    if kind == "number" and _OCTAL.fullmatch(text):
        return "octal"
    return kind


def why_not_text(scalar: Scalar) -> str:
    """Why this cannot be a name, a key or an address as it is written, and the fix; empty where it can."""
    if scalar.quoted or scalar.kind in ("text", "broken"):
        return ""
    if not scalar.text:
        return "there is no value"
    return f'YAML reads {scalar.text} as {_meaning(scalar)}: write "{scalar.text}", in quotes'


def plain(node: Node) -> Any:
    """The same as dict, list, str, int, float, bool and None, as ``yaml.safe_load`` would have it.

    Dates stay text, because nothing here means one, and so does what came from a variable.
    """
    if isinstance(node, Section):
        return {name: plain(inner) for name, inner in node.entries.items()}
    if isinstance(node, Listing):
        return [plain(inner) for inner in node.items]
    if node.quoted or node.kind in ("text", "date", "broken"):
        return node.text
    return _constructed(node.text)


def _tag(text: str) -> str:
    return str(_RESOLVER.resolve(yaml.ScalarNode, text, (True, False))).removeprefix(STANDARD)


def _constructed(text: str) -> Any:
    tag = _tag(text)
    if _KINDS.get(tag) is None:
        return text
    try:
        return _CONSTRUCTOR.construct_object(yaml.ScalarNode(STANDARD + tag, text))
    except ValueError:  # more digits than Python reads
        return text


def _meaning(scalar: Scalar) -> str:
    value = _constructed(scalar.text)
    if scalar.kind == "null":
        return "no value"
    if scalar.kind == "switch":
        return "true" if value else "false"
    if scalar.kind == "date":
        return "a date"
    if scalar.kind == "sexagesimal":
        return f"the number {value}, in base sixty"
    if scalar.kind == "octal" and isinstance(value, int):
        return f"the number {value}, in base eight"
    return "a number"
