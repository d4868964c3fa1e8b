"""Settings as a table: each dotted path with its value as one would write it, no secret among them.

The table is what people compare: what is in force with where it comes from, what a reload has changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from relay.config import RouteRule, RouteTarget, Settings, Upstream
from relay.settings import options, scalars

SET = "set, not shown"
"""In place of a secret."""
_KEYS = re.compile(r"(?i)key|token|secret|sig|auth|pass")
"""Names of parameters that hold one."""


def flat(settings: Settings) -> dict[str, str]:
    """Every setting, in the order of the documentation."""
    table = {"listen": _listed(settings.listen), "admin": _listed(settings.admin)}
    for upstream in settings.upstreams:
        table |= {f"upstreams[{upstream}].{name}": text for name, text in _upstream(upstream)}
    for label, rule in zip(route_labels(settings.routes), settings.routes, strict=True):
        table |= {f"routes[{label}].{name}": text for name, text in _route(rule)}
    if settings.keys.digests:
        table["keys.accept"] = f"{len(settings.keys.digests)} {SET}"
    else:
        table["keys.accept"] = "none"
    values = by_path(settings)
    return table | {path: scalars.written(path, values[path]) for path in scalars.FIELDS if path in values}


def by_path(settings: Settings) -> dict[str, Any]:
    """The single values; those of a part that is not there are left out."""
    values: dict[str, Any] = {}
    for path, (struct, name) in scalars.FIELDS.items():
        holder = settings if struct is Settings else getattr(settings, path.partition(".")[0])
        if holder is not None:
            values[path] = getattr(holder, name)
    return values


def changed(old: Settings, new: Settings) -> list[str]:
    """A line for each difference; of a secret only that it is another."""
    before, after = flat(old), flat(new)
    lines = []
    for path in dict.fromkeys((*before, *after)):
        was, now = before.get(path), after.get(path)
        if was != now:
            lines.append(f"{path}: {'-' if was is None else was} → {'-' if now is None else now}")
        elif _secret(old, path) != _secret(new, path):
            lines.append(f"{path}: changed, not shown")
    return lines


def route_labels(routes: Sequence[RouteRule]) -> list[str]:
    """What each is called: its name, if no other has it, or its number."""
    names = [rule.name for rule in routes]
    return [
        name if name and names.count(name) == 1 else f"{name}#{at}" if name else str(at)
        for at, name in enumerate(names)
    ]


def _upstream(one: Upstream) -> Iterator[tuple[str, str]]:
    yield "base_url" if one.sdk else "url", f"{one.origin}{one.base_path}"
    for name in options.names(Upstream, ("base_path", "sdk", "name", "api_key", "query")):
        yield name, options.written(Upstream, name, getattr(one, name))
    yield "query", _query(one.query)
    yield "api_key", SET if one.api_key else "none"
    yield "headers", ", ".join(f"{name}: {SET}" for name, _ in one.headers) or "none"


def _route(rule: RouteRule) -> Iterator[tuple[str, str]]:
    """Only what it says: what it does not say holds for all."""
    if rule.models:
        yield "models", ", ".join(rule.models)
    if rule.paths:
        yield "paths", ", ".join(rule.paths)
    if rule.headers:
        yield "headers", ", ".join(f"{name}: {value}" for name, value in rule.headers)
    if rule.stream is not None:
        yield "stream", "on" if rule.stream else "off"
    if rule.without:
        yield "without", ", ".join(rule.without)
    yield "to", ", ".join(map(_target, rule.to))
    for name, value in (("repair", rule.repair), ("ask_usage", rule.ask_usage)):
        if value is not None:
            yield name, scalars.written(name, value)
    if rule.repeat is not None:
        yield "retry", rule.repeat.value
    for part, numbers in (("timeouts", rule.timeouts), ("limits", rule.limits)):
        for name, number in numbers:
            yield f"{part}.{name}", scalars.written(f"{part}.{name}", number)


def _target(one: RouteTarget) -> str:
    more = [f"order={one.order}"]
    if one.weight != 1:
        more.append(f"weight={one.weight}")
    if one.model:
        more.append(f"model={one.model}")
    if one.dialects:
        more.append(f"dialects={'+'.join(one.dialects)}")
    if one.profile:
        more.append(f"profile={one.profile}")
    return f"{one.upstream} ({' '.join(more)})"


def _listed(texts: Sequence[object]) -> str:
    return ", ".join(map(str, texts)) or "none"


def _query(text: str) -> str:
    """A query, less the values that might be keys."""
    parts = (part.partition("=") for part in text.split("&"))
    shown = (
        f"{name}={SET}" if _KEYS.search(name) else f"{name}{equals}{value}" for name, equals, value in parts
    )
    return "&".join(shown) if text else "none"


def _secret(settings: Settings, path: str) -> object:
    """What is not shown of this path, so that two can be compared."""
    if path == "keys.accept":
        return settings.keys.digests
    if path in ("spend.token", "spend.webhook"):
        return settings.spend.token if path == "spend.token" else settings.spend.webhook
    label, _, name = path.removeprefix("upstreams[").rpartition("].")
    if name in ("api_key", "headers", "query"):
        return [getattr(one, name) for one in settings.upstreams if str(one) == label]
    return None
