"""The ``upstreams`` of a file."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from relay.config import Upstream
from relay.errors import UsageError
from relay.settings import options
from relay.settings.form import UpstreamForm
from relay.settings.reading import Reading
from relay.settings.said import Layer, Said
from relay.source.reading import Node, Place, Section

HEADER = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_NOT_SET = {"host", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade"}
"""Fields of the connection, which relay writes itself."""


@dataclass
class Upstreams:
    """Those that could be read, and the names of all."""

    read: list[Upstream] = field(default_factory=list)
    parts: Layer = field(default_factory=dict)
    """The fields that somebody has written, as ``upstreams[name].field``."""
    names: dict[str, Place] = field(default_factory=dict)
    """Of those that could not be read, too: a route to one of them is no mistake."""


def read(reading: Reading, node: Node, base: Upstream) -> Upstreams:
    """All entries; what one does not say is as in ``base``."""
    found = Upstreams()
    for item in reading.items(node):
        _read_one(reading, item, found, base)
    return found


def _read_one(reading: Reading, node: Node, found: Upstreams, base: Upstream) -> None:
    before = len(reading.problems)
    if not isinstance(node, Section):
        reading.wrong(node.place, "expected an upstream as name: and url:")
        return
    entries = reading.section(node, UpstreamForm, "an upstream")
    said: dict[str, Any] = {}
    for name, inner in entries.items():
        if name in options.names(Upstream):
            value = reading.field(Upstream, name, inner)
            if value is not None:
                said[name] = value
    said |= _address(reading, node, entries)
    said |= _key(reading, entries)
    if "headers" in entries:
        said["headers"] = _headers(reading, entries["headers"])
    one = replace(base, **said)
    label = str(one)
    if not one.name and "origin" not in said:
        return  # nothing to call it by
    place = entries["name"].place if "name" in entries else node.place
    if label in found.names:
        first = found.names[label].line
        reading.wrong(place, f"a second upstream is called {label}; the first is in line {first}")
    found.names.setdefault(label, place)
    if len(reading.problems) == before:
        found.read.append(one)
        found.parts |= {
            f"upstreams[{label}].{'api_key' if name == 'key_file' else name}": Said(None, inner.place)
            for name, inner in entries.items()
        }


def _address(reading: Reading, node: Section, entries: dict[str, Node]) -> dict[str, Any]:
    """Of ``url``, or of ``base_url``, which is the same under another rule of paths."""
    if "url" in entries and "base_url" in entries:
        reading.wrong(node.keys["base_url"], "url and base_url are both there: one says where it is")
    name = "base_url" if "base_url" in entries else "url"
    if name not in entries:
        reading.wrong(node.place, "an upstream needs url: http://host:port, https://… or unix:/path.sock")
        return {}
    parsed = reading.leaf(entries[name], _parsed)
    if parsed is None:
        return {}
    return {"origin": parsed.origin, "base_path": parsed.base_path, "sdk": name == "base_url"}


def _parsed(text: str) -> Upstream:
    try:
        return Upstream.parse(text)
    except UsageError as error:
        if "://" not in text and ":" in text and not text.startswith("unix:"):
            raise UsageError(f"{error}; did you mean http://{text}?") from error
        raise


def _key(reading: Reading, entries: dict[str, Node]) -> dict[str, str]:
    """A file's secret is the key, too."""
    if "key_file" not in entries:
        return {}
    node = entries["key_file"]
    if "api_key" in entries:
        reading.wrong(node.place, "api_key and key_file are both there: one says the key")
        return {}
    secret = reading.secret(node)
    return {} if secret is None else {"api_key": secret}


def _headers(reading: Reading, node: Node) -> tuple[tuple[str, str], ...]:
    named = []
    for name, value, place in reading.pairs(node, "headers", HEADER, "a header's name", secret=True):
        if name.lower() in _NOT_SET:
            reading.wrong(place, f"{name} is relay's own to write")
        named.append((name, value))
    return tuple(named)
