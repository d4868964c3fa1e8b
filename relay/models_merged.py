"""The models of several upstreams as one list, and the answer to a name that is not among them.

A client can ask for a model by a name that a route takes, so the list holds those names, whatever the
servers behind call it: what a server lists, where a route leads to that server by this name; what a route
renames, under its new name; and the names that routes spell out. Where a pattern stands for names that
nobody lists, nothing stands in the list.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote_to_bytes, urlencode

from relay import dialects
from relay.dialects.deltas import Failure
from relay.errors import BadDocument, ModelNotFound
from relay.model_list import Model, listing, shaped
from relay.routes import Asked, Pattern, Route
from relay.wire import edit, endpoints
from relay.wire.http1 import RequestHead

_MODELS = re.compile(rb"((?:/.*?)??/v1|)/models(?:/(.*))?")
"""What stands before, the version included, and the model."""
_OPENAI = ("/chat/completions", "/responses", "/completions", "/embeddings")
_ANTHROPIC = ("/messages",)
_OWN = "relay"
"""Who owns a model that only a route names."""
_PAGE = 1000
"""Anthropic's largest page, and ours: who does not ask for pages does not look for a second one."""
_CURSORS = ("limit", "after_id", "before_id")
_CODEX = "client_version"
"""Codex asks for a catalog of its own with it, which only LiteLLM has."""

_SHOWN = 20
_CLOSE = 3
"""Names that somebody may have meant."""
_COMPARED = 1000
"""Names looked at for those; each takes some 10 µs."""
_LONGEST = 100
"""Characters of a name that are looked at, or repeated."""


class Question(NamedTuple):
    """What a client asks of the models: all of them, or one."""

    base: bytes
    """The path before ``/models``."""
    ident: str | None
    query: tuple[tuple[str, str], ...]
    anthropic: bool

    @classmethod
    def read(cls, head: RequestHead) -> Question | None:
        """None where it is no such question."""
        path, _, query = head.target.partition(b"?")
        found = _MODELS.fullmatch(path) if head.method == b"GET" else None
        if found is None:
            return None
        said = tuple(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
        if any(name == _CODEX for name, _ in said):
            return None
        ident = unquote_to_bytes(found[2] or b"").decode("utf-8", "replace") or None
        return cls(found[1], ident, said, endpoints.speaks_anthropic(head))

    @property
    def dialect(self) -> str:
        return "messages" if self.anthropic else "chat"

    @property
    def passed_on(self) -> str:
        """The query without what is answered here."""
        return urlencode([(name, value) for name, value in self.query if name not in _CURSORS])

    def serves(self, route: Route, head: RequestHead) -> bool:
        """The route takes what such a client may ask for, beside this list."""
        base = self.base.decode("latin-1")
        kinds = ("/models", *(_ANTHROPIC if self.anthropic else _OPENAI))
        return route.fits_headers(head) and any(route.fits_path(base + kind) for kind in kinds)

    def answer(self, models: Mapping[str, Model]) -> bytes:
        """The list, a page of it or the one model; raises ModelNotFound and BadDocument."""
        if self.ident is None:
            whole = list(models.values())
            if self.anthropic:
                return edit.dumps(self._page(whole))
            return edit.dumps(listing(whole, anthropic=False))
        if self.ident not in models:
            raise unknown(self.ident, list(models), self.dialect)
        return edit.dumps(shaped(models[self.ident], anthropic=self.anthropic))

    def _page(self, models: Sequence[Model]) -> dict[str, Any]:
        """Anthropic's way: so many after a model, or before one."""
        asked = {name: value for name, value in self.query if value}
        limit = asked.get("limit", str(_PAGE))
        if not re.fullmatch(r"0*[0-9]{1,4}", limit) or not 1 <= int(limit) <= _PAGE:
            raise self._refused(f"limit: expected a whole number from 1 to {_PAGE}")
        size, start, end = int(limit), 0, len(models)
        places = {model["id"]: place for place, model in enumerate(models)}
        for cursor in ("after_id", "before_id"):
            if cursor in asked and asked[cursor] not in places:
                raise self._refused(f"{cursor}: there is no such model")
        if "after_id" in asked:
            start = places[asked["after_id"]] + 1
        if "before_id" in asked:
            end = places[asked["before_id"]]
        if "before_id" in asked and "after_id" not in asked:
            page, more = models[max(end - size, start) : end], end - size > start
        else:
            page, more = models[start:end][:size], end - start > size
        return listing(page, anthropic=True, has_more=more)

    def _refused(self, message: str) -> BadDocument:
        failure = Failure(message, 400, "invalid_request_error")
        document = dialects.CODECS[self.dialect].error_document(failure)
        return BadDocument(message, 400, edit.dumps(document))


def merge(routes: Sequence[Route], listed: Mapping[str, Sequence[Model]]) -> dict[str, Model]:
    """By the names that clients may use: what each upstream has ``listed``, in their order, then the others.

    An upstream that is not in ``listed`` has said nothing, and only names that a route spells out lead to it.
    """
    ways = _Ways(routes)
    servers = {name: {model["id"]: model for model in models} for name, models in listed.items()}
    merged: dict[str, Model] = {}
    for name in ways.candidates(servers):
        if name not in merged and (found := ways.find(name, servers)) is not None:
            merged[name] = found if found["id"] == name else found | {"id": name}
    for name in ways.spelled_out:
        merged.setdefault(name, {"id": name, "object": "model", "created": 0, "owned_by": _OWN})
    return merged


class _Ways:
    """Where a name leads to."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes
        self._named: dict[str, list[int]] = {}
        """The routes that spell a name out, by their number: there may be hundreds, one for each model."""
        self._open: list[int] = []
        for number, route in enumerate(routes):
            for model in route.rule.models:
                if "*" not in model:
                    self._named.setdefault(model, []).append(number)
            if not route.rule.models or any("*" in model for model in route.rule.models):
                self._open.append(number)

    @property
    def spelled_out(self) -> Iterable[str]:
        return self._named

    def taken(self, name: str) -> Iterator[Route]:
        """The routes that a request for this model may take, whatever else its document says."""
        numbers = sorted({*self._open, *self._named.get(name, ())})
        for stream in (True, False):
            for number in numbers:
                route = self._routes[number]
                if route.fits(Asked(name, stream=stream)):
                    yield route
                    if not route.rule.without:
                        break

    def find(self, name: str, servers: Mapping[str, Mapping[str, Model]]) -> Model | None:
        """What a server to which this name leads has said of it."""
        for route in self.taken(name):
            for target in route.targets:
                model = servers.get(target.name, {}).get(route.model_at(target, name) or name)
                if model is not None:
                    return model
        return None

    def candidates(self, servers: Mapping[str, Mapping[str, Model]]) -> Iterator[str]:
        """Names that may lead to a listed model, in the order of the lists."""
        renamed: dict[str, list[tuple[str, Pattern]]] = {}
        aliases: dict[tuple[str, str], list[str]] = {}
        for route in self._routes:
            for target in route.targets:
                for pattern in route.rule.models if target.model else ():
                    if pattern.count("*") == target.model.count("*") == 1:
                        renamed.setdefault(target.name, []).append((pattern, Pattern(target.model)))
                    elif "*" not in pattern:
                        asked = target.model.replace("*", pattern)
                        aliases.setdefault((target.name, asked), []).append(pattern)
        for server, models in servers.items():
            for ident in models:
                yield ident
                yield from aliases.get((server, ident), ())
                for pattern, original in renamed.get(server, ()):
                    if (part := original.matched(ident)) is not None:
                        yield pattern.replace("*", part)


def unknown(model: str, known: Sequence[str], dialect: str) -> ModelNotFound:
    """404 for a name that no route takes, with those that one would, the likeliest first."""
    asked = model[:_LONGEST] + ("…" if len(model) > _LONGEST else "")
    names = list(dict.fromkeys(known))
    close = _close(model[:_LONGEST], names[:_COMPARED])
    message = f"model: {asked} does not exist here"
    if close:
        message += f"; did you mean {' or '.join(close)}?"
    if names:
        shown = [*close, *(name for name in names if name not in close)][:_SHOWN]
        more = len(names) - len(shown)
        message += f"{'' if close else '.'} Known are {', '.join(shown)}" + (
            f" and {more} more" if more else ""
        )
    error = ModelNotFound(message)
    failure = Failure(message, error.status, code=error.code, param="model")
    error.body = edit.dumps(dialects.CODECS[dialect].error_document(failure))
    return error


def _close(asked: str, names: Sequence[str]) -> list[str]:
    """The names that look most like it, whatever their case and their provider."""
    spoken: dict[str, str] = {}
    for name in names:
        for form in (name, name.rpartition("/")[2]):
            spoken.setdefault(form[:_LONGEST].lower(), name)
    wanted = asked.lower()
    found = difflib.get_close_matches(wanted, spoken, n=2 * _CLOSE, cutoff=0.6)
    found += difflib.get_close_matches(wanted.rpartition("/")[2], spoken, n=_CLOSE, cutoff=0.8)
    return list(dict.fromkeys(spoken[form] for form in found))[:_CLOSE]
