"""What a check saw, and where it was looked at."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .processes import Running
from .upstream import Upstream

ALONE, THROUGH, DIRECT = "LiteLLM alone", "relay", "relay --direct"
"""The three ways to a provider: what there was before, and the two that relay gives."""


@dataclass(frozen=True)
class Finding:
    """One row: what was seen on a route by a way, and what is wrong with it, if anything.

    Of LiteLLM alone nothing is ever wrong: it is what the others are compared with.
    """

    seed: str
    version: str
    route: str
    way: str
    seen: str
    fault: str = ""


@dataclass
class Place:
    """A running LiteLLM with its upstreams, and the relays before it."""

    version: str
    upstream: Upstream
    litellm: Running
    relays: dict[str, Running]
    folder: Path

    @property
    def ways(self) -> dict[str, int]:
        """Each way that is there, and its port."""
        return {ALONE: self.litellm.port} | {name: one.port for name, one in self.relays.items()}

    def verdict(self, port: int, exchange: str) -> str:
        """What the log of the relay at this port says of an exchange, if it says anything."""
        said = "".join(one.said() for one in self.relays.values() if one.port == port)
        named = re.search(rf"exchange {re.escape(exchange)}: ([a-z-]+) by ", said)
        return named[1] if named else ""

    def found(self, seed: str, route: tuple[str, ...], way: str, seen: str, fault: str = "") -> Finding:
        return Finding(seed, self.version, "--".join(route), way, seen, fault if way != ALONE else "")


Check = Callable[[Place], Coroutine[Any, Any, list[Finding]]]
