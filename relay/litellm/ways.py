"""Which ways a model of LiteLLM's file can go: the deployments under its name, their order, their shares."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from relay.config import Direct, LiteLLM, RouteTarget, Timeouts, Upstream
from relay.litellm.direct import Straight, straight
from relay.litellm.file import Deployment, LiteLLMFile
from relay.litellm.providers import provider_of, speaks

NAME = "litellm"
"""The upstream that LiteLLM is."""
DIALECTS = ("chat", "responses", "messages")
_COMPLETING = ("", "chat", "responses")
"""Modes of models that complete."""
_WEIGHTS = 1_000_000
_RETRIES = 2
"""LiteLLM's own number, where the file has none."""
_MARGIN = 30.0
"""Seconds after which LiteLLM has surely said itself that it waits no longer."""


class Share(NamedTuple):
    """One deployment's part of the requests for its name; without ``straight`` only LiteLLM can ask it."""

    order: int
    weight: int
    upstream: str
    straight: Straight | None
    speaks: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Way:
    """What becomes of one ``model_name``.

    models   what clients call it: its name and aliases
    asked    the dialects in which LiteLLM is asked for it; empty: in the client's
    shares   of its deployments, the lowest order first
    left     why it is LiteLLM's alone; empty where a part may go straight
    waits    seconds that LiteLLM gives one attempt, where that is longer than relay would wait; else 0
    retries  after which it gives up
    shorter  it says timeouts that are shorter
    mixed    a pattern of OpenAI's models, some of which have no Chat Completions
    """

    name: str
    models: tuple[str, ...]
    asked: tuple[str, ...] = ()
    shares: tuple[Share, ...] = ()
    left: str = ""
    waits: float = 0.0
    retries: int = 0
    shorter: bool = False
    mixed: bool = False

    @property
    def pattern(self) -> bool:
        return "*" in self.name

    def targets(self, dialect: str, translate: bool) -> tuple[RouteTarget, ...]:
        """Whom a request in this dialect goes to, LiteLLM last; nobody but LiteLLM: none.

        A dialect is translated only where LiteLLM would translate it, too. A deployment that cannot be
        asked leaves its share to LiteLLM, and all that come after it.
        """
        found: dict[tuple[str, str], RouteTarget] = {}
        rank = 0
        for order in sorted({share.order for share in self.shares} if not self.left else ()):
            level = [share for share in self.shares if share.order == order]
            straights = [share for share in level if _takes(share, dialect, translate)]
            if not straights:
                break
            rank += 1
            for share in straights:
                _add(found, self._target(share, rank))
            rest = sum(share.weight for share in level if share not in straights)
            if rest:
                return (*found.values(), self.through(translate, rank, rest))
        return (*found.values(), self.through(translate, rank + 1)) if found else ()

    def timeouts(self, *, direct: bool) -> tuple[tuple[str, float], ...]:
        """Those of its routes: no answer that LiteLLM waits for is given up before it has."""
        if not self.waits:
            return ()
        head = self.waits * (1 if direct else self.retries + 1) + _MARGIN
        return ("head", head), ("first_frame", head), ("idle", self.waits + _MARGIN)

    def through(self, translate: bool, order: int = 1, weight: int = 1) -> RouteTarget:
        return RouteTarget(NAME, order, weight, dialects=self.asked if translate else ())

    def _target(self, share: Share, order: int) -> RouteTarget:
        assert share.straight is not None
        model = share.straight.model
        same = all(name == model for name in self.models)
        dialects = share.straight.dialects
        return RouteTarget(
            share.upstream, order, share.weight, "" if same else model, dialects, share.straight.profile
        )


@dataclass(slots=True)
class Ways:
    """All of them, and the servers that they lead to beside LiteLLM."""

    ways: tuple[Way, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    _servers: dict[tuple[Upstream, str], Upstream] = field(default_factory=dict)
    _named: dict[str, int] = field(default_factory=dict)

    @property
    def upstreams(self) -> tuple[Upstream, ...]:
        return tuple(self._servers.values())

    def name_of(self, found: Straight, provider: str) -> str:
        """The name of the server that this deployment is at; each is there once."""
        key = (found.upstream, found.model if found.upstream.concurrency else "")
        if key not in self._servers:
            count = self._named[provider] = self._named.get(provider, 0) + 1
            name = provider if count == 1 else f"{provider}-{count}"
            self._servers[key] = replace(found.upstream, name=name)
        return self._servers[key].name


def ways_of(file: LiteLLMFile, settings: LiteLLM, *, barred: bool) -> Ways:
    """``barred``: nothing may go past LiteLLM, whatever the settings say."""
    groups: dict[str, list[Deployment]] = {}
    for deployment in file.deployments:
        groups.setdefault(deployment.name, []).append(deployment)
    ways = Ways()
    direct = settings.direct is not Direct.NONE and not barred
    names: dict[str, list[str]] = {name: [] for name in groups}
    for alias, target in file.aliases.items():
        if target in names and "*" not in target:
            names[target].append(alias)
    made = []
    for name, deployments in groups.items():
        own = () if name in file.aliases else (name,)
        made.append(_way(name, (*own, *names[name]), deployments, file, ways, direct))
    made += _stand_for_patterns(made, file.aliases, groups)
    ways.ways = tuple(way for way in made if way.models)
    ways.aliases = {alias: target for alias, target in file.aliases.items() if target in groups}
    return ways


def _way(
    name: str,
    models: tuple[str, ...],
    deployments: list[Deployment],
    file: LiteLLMFile,
    ways: Ways,
    direct: bool,
) -> Way:
    other = next((one.mode for one in deployments if one.mode not in _COMPLETING), "")
    if other:
        return Way(name, models, left=f"it is for {other.replace('_', ' ')}")
    spoken = [_speaks(one) for one in deployments]
    asked = tuple(one for one in _asked(spoken[0]) if all(one in _asked(each) for each in spoken))
    waits, retries, shorter = _patience(deployments, file)
    mixed = "*" in name and any(_provider(one)[0] in ("openai", "azure") for one in deployments)
    way = Way(name, models, asked, waits=waits, retries=retries, shorter=shorter, mixed=mixed)
    if not direct:
        return way
    chosen = _chosen(deployments)
    shares = []
    for deployment, order, weight in chosen:
        shares.append(_share(deployment, order, weight, file, ways))
    return replace(way, shares=tuple(shares))


def _share(deployment: Deployment, order: int, weight: int, file: LiteLLMFile, ways: Ways) -> Share:
    found = straight(deployment, file)
    spoken = _speaks(deployment)
    if isinstance(found, Straight):
        reason = _unmatched(deployment.name, found.model)
        if not reason:
            name = ways.name_of(found, _provider(deployment)[0])
            return Share(order, weight, name, found, spoken, "")
        found = reason
    return Share(order, weight, "", None, spoken, found)


def _provider(deployment: Deployment) -> tuple[str, str]:
    base = deployment.params.get("api_base")
    return provider_of(deployment.model, deployment.custom, base if isinstance(base, str) else "")


def _speaks(deployment: Deployment) -> tuple[str, ...]:
    return speaks(*_provider(deployment), deployment.mode)


def _asked(spoken: tuple[str, ...]) -> tuple[str, ...]:
    """LiteLLM's own way from chat to Claude is its best."""
    return ("messages", "chat") if spoken == ("messages",) else spoken


def _takes(share: Share, dialect: str, translate: bool) -> bool:
    if share.straight is None:
        return False
    return dialect in share.straight.dialects or (translate and dialect not in share.speaks)


def _add(found: dict[tuple[str, str], RouteTarget], target: RouteTarget) -> None:
    """The same model at the same server is one target, with the shares of all."""
    key = target.upstream, target.model
    known = found.get(key)
    if known is None:
        found[key] = target
    elif known.order == target.order:
        found[key] = replace(known, weight=known.weight + target.weight)


def _unmatched(pattern: str, model: str) -> str:
    """Why the model cannot be told from what a pattern's ``*`` stands for; empty if it can."""
    if "*" not in model:
        return ""
    return (
        "" if pattern.count("*") == model.count("*") == 1 else "its model has other wildcards than its name"
    )


def _chosen(deployments: list[Deployment]) -> list[tuple[Deployment, int, int]]:
    """Those that LiteLLM would ask, each with its order and its weight.

    Where one says an order, those without are never asked. Weights are the first of ``weight``, ``rpm`` and
    ``tpm`` that any says; who says none of it then has none.
    """
    orders = [_number(one.params.get("order"), one.info.get("order")) for one in deployments]
    if any(order is not None for order in orders):
        ordered = [
            (one, int(order)) for one, order in zip(deployments, orders, strict=True) if order is not None
        ]
    else:
        ordered = [(one, 1) for one in deployments]
    weights = [1.0] * len(ordered)
    for name in ("weight", "rpm", "tpm"):
        said = [max(_number(one.params.get(name)) or 0.0, 0.0) for one, _ in ordered]
        if max(said, default=0.0) > 0:
            weights = said
            break
    whole = _whole(weights)
    return [(one, order, weight) for (one, order), weight in zip(ordered, whole, strict=True) if weight]


def _whole(weights: list[float]) -> list[int]:
    """The same shares in whole numbers, none of which vanishes."""
    if all(weight.is_integer() and weight < _WEIGHTS for weight in weights):
        factor = math.gcd(*map(int, weights)) or 1
        return [int(weight) // factor for weight in weights]
    largest = max(weights)
    return [max(round(weight / largest * 1000), 1) if weight > 0 else 0 for weight in weights]


def _number(*values: Any) -> float | None:
    """The first that is one."""
    for value in values:
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,12}(\.[0-9]{1,9})?", value):
            value = float(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15:
            return float(value)
    return None


def _patience(deployments: Iterable[Deployment], file: LiteLLMFile) -> tuple[float, int, bool]:
    """How long LiteLLM waits for one attempt, how often it tries again, and whether a timeout is short.

    A short one is LiteLLM's to keep: behind relay's route an answer may also be one of its fallbacks.
    """
    router, general = file.section("router_settings"), file.section("litellm_settings")
    longest, shorter = 0.0, False
    retries = _RETRIES
    for one in deployments:
        said = [_number(one.params.get(name)) for name in ("timeout", "stream_timeout")]
        shorter = shorter or any(value and value < Timeouts().head for value in said)
        if not any(said):
            said = [_number(router.get("timeout")), _number(router.get("stream_timeout"))]
            said.append(_number(general.get("request_timeout")))
        longest = max(longest, *(value or 0.0 for value in said))
        asked = _number(one.params.get("num_retries"), router.get("num_retries"), general.get("num_retries"))
        retries = max(retries, int(min(asked or 0, 10)))
    return min(longest, 86_400.0) if longest > Timeouts().head else 0.0, retries, shorter


def _stand_for_patterns(
    ways: list[Way], aliases: Mapping[str, str], groups: Mapping[str, Any]
) -> Iterable[Way]:
    """Aliases of what only a pattern takes."""
    patterns = [way for way in ways if way.pattern]
    for alias, target in aliases.items():
        if target in groups and "*" not in target:
            continue
        fits = [way for way in patterns if re.match(re.escape(way.name).replace(r"\*", ".*"), target)]
        if fits:
            best = max(fits, key=lambda way: len(way.name))
            yield replace(best, name=alias, models=(alias,), shares=(), left="it stands for a pattern")
