"""Settings as they are in force, and where each value comes from."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from relay.access import Keys, Spend
from relay.config import Drain, Health, Limits, LiteLLM, Queue, Retry, Settings, Timeouts, Tls, Upstream
from relay.errors import UsageError
from relay.settings import scalars
from relay.settings.flat import flat
from relay.settings.said import Layer

DEFAULT = "default"
LITELLM = "litellm"
"""The name of the upstream that is made from LiteLLM's own file."""
_FRESH: Mapping[str, Any] = {
    "drain": Drain(),
    "keys": Keys(),
    "spend": Spend(),
    "retry": Retry(),
    "queue": Queue(),
    "health": Health(),
    "timeouts": Timeouts(),
    "limits": Limits(),
}


@dataclass(frozen=True)
class Resolved:
    """The settings and all that is to be told of how they came about."""

    settings: Settings
    origins: Mapping[str, str] = field(default_factory=dict)
    """Of every path of ``flat``: a place in a file, a flag, a variable, or ``default``."""
    files: tuple[str, ...] = ()
    """That were read, so that somebody may watch them."""
    said: tuple[str, ...] = ()
    """Lines for whoever starts it."""
    warnings: tuple[str, ...] = ()


def settings_of(layer: Layer) -> Settings:
    """What was said, and the defaults of the rest."""
    values = {path: said.value for path, said in layer.items()}
    said: dict[str, Any] = scalars.of_top(values)
    for name in ("upstreams", "routes", "listen", "admin"):
        if name in values:
            said[name] = values[name]
    for name, fresh in _FRESH.items():
        said[name] = replace(fresh, **scalars.of_part(name, values))
    said["keys"] = replace(said["keys"], digests=_digests(values))
    if "tls.cert" in values and "tls.key" in values:
        said["tls"] = Tls(**scalars.of_part("tls", values))
    if "litellm.config" in values:
        said["litellm"] = LiteLLM(**scalars.of_part("litellm", values))
    return Settings(**{"upstreams": (), **said})


def digest(key: str) -> bytes:
    """SHA-256 of a key of clients, or the one that is written in its place."""
    scheme, colon, digits = key.partition(":")
    if colon and scheme == "sha256":
        if not re.fullmatch(r"[0-9A-Fa-f]{64}", digits):
            raise UsageError("expected sha256: and 64 hexadecimal digits")
        return bytes.fromhex(digits)
    if not re.fullmatch(r"[!-~]+", key):
        raise UsageError("expected a key of printable characters without blanks, or sha256:HEX")
    return hashlib.sha256(key.encode()).digest()


def origins_of(settings: Settings, layer: Layer, others: Mapping[str, str]) -> dict[str, str]:
    """The origin of each path; ``others`` are those of upstreams and routes from elsewhere."""
    table = flat(settings)
    usual = flat(Settings(upstreams=tuple(map(_plain, settings.upstreams)), routes=()))
    return {path: _origin(path, text != usual.get(path), layer, others) for path, text in table.items()}


def _origin(path: str, differs: bool, layer: Layer, others: Mapping[str, str]) -> str:
    if path in layer:
        return str(layer[path].origin)
    if path == "keys.accept" and "keys.file" in layer:
        return str(layer["keys.file"].origin)
    whole = path.rpartition("]")[0] + "]"
    if whole in others:
        return others[whole] if differs else DEFAULT
    if "[" not in path:
        return others.get(path.partition(".")[0], DEFAULT) if differs else DEFAULT
    listed = layer.get(whole) or layer.get(path.partition("[")[0])
    return str(listed.origin) if listed is not None and differs else DEFAULT


def _plain(one: Upstream) -> Upstream:
    """One of the same name of which nothing else is known."""
    return Upstream(replace(one.origin, host="", port=0), name=str(one), sdk=one.sdk)


def _digests(values: Mapping[str, Any]) -> tuple[bytes, ...]:
    return tuple(dict.fromkeys(map(digest, (*values.get("keys.accept", ()), *values.get("keys.file", ())))))
