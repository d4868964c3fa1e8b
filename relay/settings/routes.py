"""The ``routes`` of a file."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from relay.config import (
    ROUTE_LIMITS,
    ROUTE_TIMEOUTS,
    Limits,
    Retry,
    RouteRule,
    RouteTarget,
    Settings,
    Timeouts,
    Upstream,
)
from relay.settings import options
from relay.settings.form import RouteForm, TargetForm
from relay.settings.reading import Reading
from relay.settings.upstreams import HEADER
from relay.source.reading import Node, Place, Scalar, Section

_PATH = r"[/*][!\"$-~]*"


@dataclass
class Route:
    """One entry: the rules that it makes, and where things are said."""

    rules: tuple[RouteRule, ...]
    place: Place
    fields: Mapping[str, Node]
    sound: bool
    """What it asks of requests could be read, whomever they go to."""


def read(reading: Reading, node: Node, names: Collection[str]) -> list[Route]:
    """All entries; ``names`` are those of the upstreams."""
    routes = []
    called: dict[str, int] = {}
    for item in reading.items(node):
        if not isinstance(item, Section):
            reading.wrong(item.place, "expected a route as models:, path: and to:")
            continue
        before = len(reading.problems)
        fields = reading.section(item, RouteForm, "a route")
        rule = RouteRule(to=(), **_said(reading, fields))
        rules = tuple(_named(reading, fields.get("models"), rule))
        sound = len(reading.problems) == before
        targets = tuple(_targets(reading, item, fields.get("to"), names))
        rules = tuple(replace(one, to=_renamed(targets, one)) for one in rules)
        if rule.name in called:
            message = f"the route in line {called[rule.name]} is called {rule.name}, too"
            reading.wrong(fields["name"].place, message)
        elif rule.name:
            called[rule.name] = item.place.line
        routes.append(Route(rules, item.place, fields, sound))
    return routes


def _named(reading: Reading, models: Node | None, rule: RouteRule) -> Iterator[RouteRule]:
    """The rule of these models; of aliases one for each name that they stand for, until targets are known."""
    if models is None:
        yield rule
    elif not isinstance(models, Section):
        yield replace(rule, models=reading.texts(models, "a model's name, with * for anything") or ())
    else:
        renamed: dict[str, list[str]] = {}
        for alias, name, _ in reading.pairs(models, "models", r".+", "a model's name"):
            renamed.setdefault(name, []).append(alias)
        for name, aliases in renamed.items():
            yield replace(rule, models=tuple(aliases), to=(RouteTarget("", model=name),))


def _renamed(targets: Sequence[RouteTarget], rule: RouteRule) -> tuple[RouteTarget, ...]:
    """Those of a rule of aliases know the model by the name that these stand for, or by one of their own."""
    name = rule.to[0].model if rule.to else ""
    return tuple(one if one.model else replace(one, model=name) for one in targets)


def _said(reading: Reading, fields: dict[str, Node]) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for name, node in fields.items():
        if name == "name":
            said["name"] = reading.text(node, r"[A-Za-z0-9._-]{1,64}", "up to 64 of A-Z a-z 0-9 . _ -") or ""
        elif name in ("path", "paths"):
            if "paths" in said:
                reading.wrong(node.place, "path and paths are both there: one is enough")
            said["paths"] = _paths(reading, node)
        elif name == "headers":
            found = reading.pairs(node, "headers", HEADER, "a header's name")
            said["headers"] = tuple((header.lower(), value) for header, value, _ in found)
        elif name == "without":
            said["without"] = reading.texts(node, "a field of the document") or ()
        elif name == "stream":
            said["stream"] = reading.field(Settings, "ask_usage", node)
        elif name in ("repair", "ask_usage"):
            said[name] = reading.field(Settings, name, node)
        elif name == "retry":
            said["repeat"] = reading.field(Retry, "repeat", node)
    return said | _numbers(reading, fields)


def _numbers(reading: Reading, fields: dict[str, Node]) -> dict[str, Any]:
    """Its own times and limits, ``keep_alive`` among them."""
    timeouts = dict(_own(reading, fields.get("timeouts"), "timeouts", Timeouts, ROUTE_TIMEOUTS))
    if "keep_alive" in fields:
        node = fields["keep_alive"]
        silence = reading.field(Timeouts, "silence", node)
        if timeouts.setdefault("silence", silence) != silence:
            message = "keep_alive and timeouts.silence say different things: say it once"
            reading.wrong(node.place, message)
    limits = dict(_own(reading, fields.get("limits"), "limits", Limits, ROUTE_LIMITS))
    return {"timeouts": tuple(timeouts.items()), "limits": tuple(limits.items())}


def _own(
    reading: Reading, node: Node | None, part: str, struct: type, allowed: Sequence[str]
) -> Iterator[tuple[str, Any]]:
    if node is None:
        return
    if not isinstance(node, Section):
        reading.wrong(node.place, f"expected {part} as name: value lines ({', '.join(allowed)})")
        return
    for name, inner in node.entries.items():
        place = node.keys[name]
        if name in allowed:
            value = reading.field(struct, name, inner)
            if value is not None:
                yield name, value
        elif name in options.names(struct):
            message = f"{name} is decided before a request's route is known: it belongs to {part} at the top"
            reading.wrong(place, message)
        else:
            reading.wrong(place, f"{part} of a route have no {name!r}; {options.like(name, allowed)}")


def _paths(reading: Reading, node: Node) -> tuple[str, ...]:
    expected = "a path without its query, such as /v1/messages, with * for anything"
    found = [reading.text(item, _PATH, expected) for item in reading.items(node)]
    return tuple(dict.fromkeys(path for path in found if path is not None))


def _targets(
    reading: Reading, route: Section, node: Node | None, names: Collection[str]
) -> Iterator[RouteTarget]:
    known = ", ".join(names)
    if node is None:
        reading.wrong(route.place, f"a route needs to: an upstream ({known})")
        return
    items = reading.items(node)
    if not items:
        reading.wrong(node.place, f"to: names no upstream; expected one of {known}")
    seen: set[tuple[str, str]] = set()
    for at, item in enumerate(items):
        target = _target(reading, item, at, names)
        if target is None:
            continue
        if (target.upstream, target.model) in seen:
            reading.wrong(item.place, f"{target.upstream} is there twice")
        seen.add((target.upstream, target.model))
        yield target


def _target(reading: Reading, node: Node, at: int, names: Collection[str]) -> RouteTarget | None:
    """A name alone, or with more about it."""
    fields: dict[str, Node] = {}
    if isinstance(node, Scalar):
        named: Node = node
    else:
        fields = reading.section(node, TargetForm, "a target")
        if "upstream" not in fields:
            reading.wrong(node.place, f"a target needs upstream: one of {', '.join(names)}")
            return None
        named = fields["upstream"]
    upstream = reading.text(named)
    if upstream is None:
        return None
    if upstream not in names:
        known = options.like(upstream, names) if names else "there is none"
        reading.wrong(named.place, f"no upstream is called {upstream!r}; {known}")
    said = {
        name: reading.field(RouteTarget if name == "model" else Upstream, name, inner)
        for name, inner in fields.items()
        if name != "upstream"
    }
    said = {name: value for name, value in said.items() if value is not None}
    if "order" not in said and "weight" not in said:
        said["order"] = at + 1
    return RouteTarget(upstream, **said)
