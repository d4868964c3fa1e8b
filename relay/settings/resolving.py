"""From all that was said to the settings: flag before variable before file before default.

Every mistake is told in one run: those of the file with their places, those of the others in a line each.
YAML and its structs are imported only where a file is read: most relays start without one.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from relay.address import Origin
from relay.config import Settings, Upstream
from relay.errors import UsageError
from relay.settings import contradictions, environment, options
from relay.settings.contradictions import Contradiction
from relay.settings.flat import route_labels
from relay.settings.resolved import LITELLM, Resolved, origins_of, settings_of
from relay.settings.said import Layer, Said, merged
from relay.source.problems import Problem, Problems

if TYPE_CHECKING:
    from relay.settings.file import Told

NOWHERE = (
    "nothing says where requests go; give --upstream URL, -c relay.yaml with upstreams, or --litellm FILE"
)


class Wrong(UsageError):
    """All that is wrong: with flags and variables a line each, with files the problems."""

    def __init__(self, problems: Iterable[Problem], lines: Iterable[str]) -> None:
        found = Problems(problems)
        self.problems = found.all
        self.lines = tuple(dict.fromkeys(lines))
        super().__init__("\n".join([*self.lines, *([str(found)] if found.all else [])]))


class Known(NamedTuple):
    """What the layers above know, and settings depend on."""

    choices: options.Choices
    continuing: Collection[str]
    base: Upstream = Upstream(Origin("", 0))
    """What was said for all upstreams that do not say it themselves."""


def resolve(flags: Layer, path: str | None, environ: Mapping[str, str], known: Known) -> Resolved:
    """All layers made one; Wrong says all that cannot be."""
    variables = environment.read(environ, known.choices, known.base)
    problems: list[Problem] = []
    file = None
    path = path or environ.get(environment.CONFIG) or None
    if path is not None:
        from relay.settings import file as file_settings

        others = [LITELLM] if "litellm.config" in merged(flags, variables) else []
        file = file_settings.told(path, environ, known.choices, problems, known.base, others)
    layer = merged(flags, variables, file.layer if file else {})
    plan = _LiteLLM(environ, problems)
    settings = plan.added(settings_of(layer))
    failed = file.failed if file else set()
    lines = _lines(
        _contradictions(settings, layer, known, failed, file.names if file else ()), layer, problems
    )
    if not settings.upstreams and not failed and not problems:
        lines.append(f"{path}: {NOWHERE}" if path else NOWHERE)
    if problems or lines:
        raise Wrong(problems, lines)
    return _resolved(settings, layer, file, plan, environ)


def _resolved(
    settings: Settings, layer: Layer, file: Told | None, plan: _LiteLLM, environ: Mapping[str, str]
) -> Resolved:
    told = [_line(one, layer) for one in contradictions.warnings(settings)]
    return Resolved(
        settings,
        origins_of(settings, layer, plan.origins),
        files=tuple(dict.fromkeys((*(file.files if file else ()), *plan.files))),
        said=plan.said,
        warnings=(*environment.unknown(environ), *(file.warnings if file else ()), *plan.warnings, *told),
    )


def _contradictions(
    settings: Settings, layer: Layer, known: Known, failed: Collection[str], names: Collection[str]
) -> list[Contradiction]:
    """Those that do not follow from values which could not be read."""
    return [
        one
        for one in contradictions.found(settings, layer, known.continuing, names)
        if not any(path in failed or path.partition("[")[0] in failed for path in one.paths)
    ]


def _lines(found: Iterable[Contradiction], layer: Layer, problems: list[Problem]) -> list[str]:
    """Those of a file go to the problems."""
    lines = []
    for one in found:
        said = _first(one, layer)
        if said is None or isinstance(said.origin, str):
            lines.append(_line(one, layer))
        else:
            problems.append(Problem(said.origin, one.message))
    return lines


def _line(one: Contradiction, layer: Layer) -> str:
    said = _first(one, layer)
    return f"{said.words or said.origin}: {one.message}" if said is not None else one.message


def _first(one: Contradiction, layer: Layer) -> Said | None:
    """Where the first of its settings was said; of a list's part that nobody wrote, the list."""
    for path in one.paths:
        said = layer.get(path) or layer.get(path.partition("[")[0])
        if said is not None:
            return said
    return None


class _LiteLLM:
    """What LiteLLM's own file adds, if there is one."""

    def __init__(self, environ: Mapping[str, str], problems: list[Problem]) -> None:
        self._environ = environ
        self._problems = problems
        self.origins: dict[str, str] = {}
        self.said: tuple[str, ...] = ()
        self.warnings: tuple[str, ...] = ()
        self.files: tuple[str, ...] = ()

    def added(self, settings: Settings) -> Settings:
        """Its upstreams and routes after the others; its keys where there are no others."""
        if settings.litellm is None:
            return settings
        from relay.litellm.plan import plan

        file = settings.litellm.config
        made = plan(settings.litellm, self._environ, self._problems, guarded=settings.keys.asked)
        self.said, self.warnings, self.files = made.said, made.warnings, made.files
        upstreams, routes = (*settings.upstreams, *made.upstreams), (*settings.routes, *made.routes)
        labels = route_labels(routes)[len(settings.routes) :]
        own = os.path.basename(file)
        self.origins = {f"upstreams[{one}]": own for one in made.upstreams}
        self.origins |= {f"routes[{label}]": own for label in labels}
        changed: dict[str, Any] = {"upstreams": upstreams, "routes": routes}
        if not settings.keys.asked:
            keys = settings.keys
            changed["keys"] = replace(keys, digests=made.keys.digests, verifier=made.keys.verifier)
            self.origins["keys"] = own
        return replace(settings, **changed)
