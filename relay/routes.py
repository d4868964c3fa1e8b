"""Which route a request takes: the first rule that fits it, and whom that leads to.

A rule asks for a path, fields of the head, and what the document says (its model, whether a stream is
wanted). So it is decided twice: the head leaves some candidates, the document one of them. A worker's
servers are shared by all routes: how many requests one has, and how well it is, does not depend on the
way they came.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import orjson

from relay.config import RouteRule, RouteTarget, Settings
from relay.routing import Server, Target, Targets, servers
from relay.wire.framing import Buffer
from relay.wire.http1 import RequestHead


class Asked(NamedTuple):
    """What a document asks for, as far as routes look at it; one that is no JSON object asks for nothing."""

    model: str | None = None
    stream: bool = False
    fields: frozenset[str] = frozenset()

    @classmethod
    def read(cls, body: Buffer) -> Asked:
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            return cls()
        if not isinstance(document, dict):
            return cls()
        model = document.get("model")
        return cls(
            model if isinstance(model, str) else None, document.get("stream") is True, frozenset(document)
        )


_PATHS, _PATH = 64, 256
"""Paths whose routes are kept, and the length of the longest: clients choose them."""


class Pattern:
    """Text in which ``*`` stands for any characters; linear in what clients send to be matched with it."""

    __slots__ = ("_first", "_last", "_middle")

    def __init__(self, text: str) -> None:
        self._first, *rest = text.split("*")
        self._last = rest.pop() if rest else None
        self._middle = rest

    def matched(self, text: str) -> str | None:
        """What the first ``*`` stands for, or all of it where there is none; None if it does not fit."""
        if self._last is None:
            return text if text == self._first else None
        start, end = len(self._first), len(text) - len(self._last)
        if start > end or not (text.startswith(self._first) and text.endswith(self._last)):
            return None
        stops = []
        at = start
        for part in self._middle:
            found = text.find(part, at, end)
            if found < 0:
                return None
            stops.append(found)
            at = found + len(part)
        return text[start : (stops or [end])[0]]


class Route:
    """One rule as this worker follows it."""

    __slots__ = (
        *("_headers", "_paths", "_without", "asks_document", "exact", "patterns"),
        *("rule", "settings", "targets", "unkeyed"),
    )

    def __init__(self, rule: RouteRule, settings: Settings, targets: Sequence[Target]) -> None:
        self.rule = rule
        self.settings = _settings_of(rule, settings)
        self.targets = Targets(targets)
        unkeyed = [target for target in targets if not target.upstream.api_key]
        self.unkeyed = self.targets if len(unkeyed) == len(targets) else Targets(unkeyed)
        """Those that the client's own key goes to."""
        self._paths = [Pattern(path) for path in rule.paths]
        self._headers = [(name.encode(), Pattern(value)) for name, value in rule.headers]
        self.exact = frozenset(model for model in rule.models if "*" not in model)
        self.patterns = [Pattern(model) for model in rule.models if "*" in model]
        self._without = frozenset(rule.without)
        self.asks_document = bool(rule.models or rule.without) or rule.stream is not None
        """It depends on what the document says."""

    @property
    def keyed(self) -> bool:
        """Some of its targets are asked with relay's own keys."""
        return self.unkeyed is not self.targets

    def fits_path(self, path: str) -> bool:
        return not self._paths or any(one.matched(path) is not None for one in self._paths)

    def fits_headers(self, head: RequestHead) -> bool:
        for name, one in self._headers:
            value = _value(head, name)
            if value is None or one.matched(value) is None:
                return False
        return True

    def fits(self, asked: Asked) -> bool:
        if self.rule.stream is not None and asked.stream is not self.rule.stream:
            return False
        if self.rule.models and (asked.model is None or self._matched(asked.model) is None):
            return False
        return self._without.isdisjoint(asked.fields)

    def model_at(self, target: Target, model: str | None) -> str | None:
        """The name by which this target knows the client's model; None where it is the same."""
        if not target.model or model is None:
            return None
        matched = self._matched(model)
        part = model if matched is None else matched
        return target.model.replace("*", part)

    def _matched(self, model: str) -> str | None:
        """What the ``*`` of the first pattern that fits stands for; None if none fits."""
        if model in self.exact:
            return model
        found = (one.matched(model) for one in self.patterns)
        return next((part for part in found if part is not None), None)


class Candidates:
    """The routes that may serve a path, in their order, up to one that takes every request.

    Found once for a path: a LiteLLM with a thousand models is as many rules, and to look at each of them
    took 2 ms of every request.
    """

    __slots__ = ("_exact", "_others", "keyed", "limits", "routes")

    def __init__(self, routes: Iterable[Route], path: str | None) -> None:
        """``path`` is None where it makes no difference."""
        found: list[Route] = []
        for route in routes:
            if path is None or route.fits_path(path):
                found.append(route)
                if not (route.asks_document or route.rule.headers):
                    break
        self.routes = tuple(found)
        self.keyed = any(route.keyed for route in found)
        self.limits: dict[object, int | None] | None = None if path is None else {}
        """Of documents, by what they depend on beside the path."""
        self._exact: dict[str, list[int]] = {}
        self._others: list[int] = []
        for at, route in enumerate(found):
            if route.patterns or not route.exact:
                self._others.append(at)
            else:
                for model in route.exact:
                    self._exact.setdefault(model, []).append(at)

    def first(self, head: RequestHead) -> Route | None:
        """The first whose headers fit; it stands for the one that the document picks."""
        return next((route for route in self.routes if route.fits_headers(head)), None)

    def choose(self, asked: Asked, head: RequestHead) -> Route | None:
        """The first that fits the document, too."""
        named = self._exact.get(asked.model or "", ())
        order = heapq.merge(named, self._others) if named else self._others
        fitting = (route for at in order if (route := self.routes[at]).fits(asked))
        return next((route for route in fitting if route.fits_headers(head)), None)


class Router:
    """All routes of one worker, and its servers."""

    def __init__(self, settings: Settings) -> None:
        known = servers(settings.upstreams, settings.health, workers=settings.workers)
        self.targets = Targets(map(Target, known))
        """Every upstream, whichever route leads to it."""
        self.ruled = bool(settings.routes)
        by_name = {str(server.upstream): server for server in known}
        self.routes: tuple[Route, ...] = tuple(
            Route(rule, settings, [_target(one, by_name[one.upstream]) for one in rule.to])
            for rule in settings.routes
        )
        everything = Route(RouteRule(to=()), settings, tuple(self.targets))
        self._default = Candidates([everything], None)
        self._by_path: dict[str, Candidates] = {}
        self.nowhere = Route(RouteRule(to=()), settings, ())

    def candidates(self, head: RequestHead) -> Candidates:
        """Those that the path of this head leaves."""
        if not self.ruled:
            return self._default
        path = head.target.split(b"?", 1)[0].decode("latin-1")
        known = self._by_path.get(path)
        if known is None:
            known = Candidates(self.routes, path)
            if len(self._by_path) < _PATHS and len(path) <= _PATH:
                self._by_path[path] = known
        return known


def known_models(routes: Iterable[Route]) -> list[str]:
    """The names and patterns that these routes take, each once."""
    return list(dict.fromkeys(model for route in routes for model in route.rule.models))


def _target(one: RouteTarget, server: Server) -> Target:
    said: dict[str, Any] = {"order": one.order, "weight": one.weight}
    if one.dialects:
        said["dialects"] = one.dialects
    if one.profile:
        said["profile"] = one.profile
    # The name stays the server's: without one it would be the URL, which is the same.
    return Target(server, replace(server.upstream, **said), one.model)


def _settings_of(rule: RouteRule, general: Settings) -> Settings:
    """The general settings with what the rule has of its own."""
    said: dict[str, Any] = {}
    if rule.repair is not None:
        said["repair"] = rule.repair
    if rule.ask_usage is not None:
        said["ask_usage"] = rule.ask_usage
    if rule.repeat is not None:
        said["retry"] = replace(general.retry, repeat=rule.repeat)
    if rule.timeouts:
        said["timeouts"] = replace(general.timeouts, **dict(rule.timeouts))
    if rule.limits:
        said["limits"] = replace(general.limits, **dict(rule.limits))
    return replace(general, **said) if said else general


def _value(head: RequestHead, wanted: bytes) -> str | None:
    """All lines of one field, joined; None where there is none."""
    values = [value for name, value in head.headers if name.lower() == wanted]
    return b", ".join(values).decode("latin-1") if values else None
