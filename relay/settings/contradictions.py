"""Settings that cannot be together, whoever said them.

Each is told with the paths that it is about, so that whoever tells it knows where the first of them was
said. What the paths of a file itself cannot be is told where the file is read.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from relay.address import ListenAddress
from relay.config import Direct, Repair, Settings, Upstream
from relay.settings.options import like
from relay.settings.said import Layer


class Contradiction(NamedTuple):
    """What is wrong, and the settings that it is about, those to be changed first."""

    paths: tuple[str, ...]
    message: str


def found(
    settings: Settings, layer: Layer, continuing: Collection[str], names: Collection[str]
) -> Iterator[Contradiction]:
    """All of them.

    ``continuing`` are the profiles of upstreams that can go on with another's answer, ``names`` those of
    upstreams which could not be read.
    """
    yield from _upstreams(settings)
    yield from _listeners(settings, layer)
    yield from _attempts(settings)
    yield from _streams(settings, continuing)
    yield from _access(settings, layer, names)


def _upstreams(settings: Settings) -> Iterator[Contradiction]:
    for one in settings.upstreams:
        if 0 < one.concurrency < settings.workers:
            room = f"fewer than workers {settings.workers}, each of which needs room for one"
            yield Contradiction(
                (f"upstreams[{one}].concurrency", "workers"), f"{one} concurrency={one.concurrency}: {room}"
            )


def _listeners(settings: Settings, layer: Layer) -> Iterator[Contradiction]:
    listeners = (*settings.listen, *settings.admin)
    if settings.socket_mode is not None and not any(one.path for one in listeners):
        yield Contradiction(("socket_mode",), "there is no listen unix:/path.sock that it could be for")
    for name, addresses in (("listen", settings.listen), ("admin", listeners)):
        texts = [str(one) for one in addresses if one.path or one.port]
        twice = next((text for text in texts if texts.count(text) > 1), None)
        if twice is not None:
            yield Contradiction((name, "listen"), f"{twice} is there twice")
            break
    said = [name for name in ("cert", "key", "client_ca") if f"tls.{name}" in layer]
    for name in ("cert", "key"):
        if said and name not in said and (name == "cert" or "cert" in said):
            paths = tuple(f"tls.{one}" for one in (*said, name))
            yield Contradiction(
                paths, f"tls.{name} or --tls-{name} is missing: TLS needs a certificate and its key"
            )


def _attempts(settings: Settings) -> Iterator[Contradiction]:
    if settings.retry.longest_pause < settings.retry.pause:
        yield Contradiction(("retry.pause", "retry.longest_pause"), "longest-pause is shorter than pause")
    if settings.health.longest < settings.health.pause:
        yield Contradiction(("health.pause", "health.longest"), "longest is shorter than pause")
    if settings.retry.hedge and len(settings.upstreams) < 2:
        yield Contradiction(("retry.hedge", "upstreams"), "there is no second upstream that could be asked")


def _streams(settings: Settings, continuing: Collection[str]) -> Iterator[Contradiction]:
    asked = {"continue": settings.continuation, "hold_thinking": settings.hold_thinking}
    for path in (path for path, wanted in asked.items() if wanted):
        if settings.repair is not Repair.ON:
            message = f"not with repair {settings.repair.value}: such streams are not changed"
            yield Contradiction((path, "repair"), message)
    if settings.continuation and not any(_continues(one, continuing) for one in settings.upstreams):
        profiles = " or ".join(continuing)
        message = f"no upstream can; expected one with profile={profiles} that speaks chat"
        yield Contradiction(("continue", "upstreams"), message)


def _access(settings: Settings, layer: Layer, unread: Collection[str]) -> Iterator[Contradiction]:
    names = list(dict.fromkeys((*map(str, settings.upstreams), *unread)))
    if settings.keys.verifier and settings.keys.verifier not in names:
        known = like(settings.keys.verifier, names) if names else "there is none"
        message = f"no upstream is called {settings.keys.verifier!r}; {known}"
        yield Contradiction(("keys.verifier",), message)
    if settings.spend.token and not settings.spend.webhook:
        yield Contradiction(("spend.token", "spend.webhook"), "there is no webhook that it could be for")
    if settings.litellm is None:
        for path in ("litellm.url", "litellm.direct", "litellm.translate"):
            if path in layer and layer[path].value is not Direct.NONE:
                message = (
                    "there is no LiteLLM that it could be for: litellm.config, or --litellm, names its file"
                )
                yield Contradiction((path,), message)


def _continues(upstream: Upstream, continuing: Collection[str]) -> bool:
    return upstream.profile in continuing and (not upstream.dialects or "chat" in upstream.dialects)


def warnings(settings: Settings) -> Iterator[Contradiction]:
    """What can be, but is seldom meant."""
    named = {target.upstream for rule in settings.routes for target in rule.to} | {settings.keys.verifier}
    for one in settings.upstreams:
        if settings.routes and str(one) not in named:
            yield Contradiction(
                (f"upstreams[{one}].name", f"upstreams[{one}].url"), f"no route leads to {one}"
            )
    open_to_all = not settings.keys.asked and any(map(_is_public, settings.listen))
    for one in settings.upstreams:
        if one.api_key and open_to_all:
            message = f"everybody who reaches relay uses the key of {one}: keys.accept says who may"
            yield Contradiction((f"upstreams[{one}].api_key", "upstreams"), message)


def _is_public(address: ListenAddress) -> bool:
    return address.path is None and not re.match(r"127\.|::1$|localhost$", address.host)
