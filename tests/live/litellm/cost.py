"""What relay costs beside LiteLLM, and the same requests past it: interleaved rounds, their medians."""

from __future__ import annotations

import statistics
import sys
from collections import defaultdict
from dataclasses import dataclass, field

from .asking import PATHS
from .configs import MODELS
from .finding import ALONE, DIRECT, THROUGH, Finding, Place
from .load import CLIENTS, Load, Processor, loaded, processor, resting
from .processes import Running
from .seeds import placed

ROUNDS = 3
ROUTES = (
    ("messages", "hosted_vllm"),
    ("chat", "anthropic"),
    ("responses", "lm_studio"),
    ("chat", "hosted_vllm"),
    ("messages", "anthropic"),
)
TRANSLATED = ROUTES[:3]
"""Where the client's dialect is not the provider's."""
SPOKEN = {
    "hosted_vllm": ("chat", "/vllm"),
    "lm_studio": ("chat", "/lmstudio"),
    "anthropic": ("messages", "/anthropic"),
}
NOBODY = "nobody between"
CPU_AIM, FIRST_AIM = 15.0, 20.0
LEAST = 0.05
"""Milliseconds: a difference from nobody's below this is noise."""


@dataclass
class Costs:
    """Of one route, everything in rounds."""

    loads: dict[str, list[Load]] = field(default_factory=lambda: defaultdict(list))
    cpu: dict[tuple[str, str], list[Processor]] = field(default_factory=lambda: defaultdict(list))
    """By way and process."""

    def first(self, way: str, share: float = 0.5) -> float:
        return statistics.median(one.first_at(share) for one in self.loads[way])

    def added(self, way: str) -> float:
        """The first delta's delay beyond that of a client that asks the provider itself."""
        return self.first(way) - self.first(NOBODY)

    def delta(self, way: str, share: float) -> float:
        return statistics.median(one.delta_at(share) for one in self.loads[way])

    def per_delta(self, way: str, process: str) -> float:
        return statistics.median(one.per_delta for one in self.cpu[way, process])

    def per_request(self, way: str, process: str) -> float:
        return statistics.median(one.per_request for one in self.cpu[way, process])


async def measure(version: str) -> tuple[list[Finding], str]:
    """What missed an aim, and the tables."""
    async with placed(version, "plain") as place:
        memory = _memory(place)
        idle = {way: await resting(_processes(place, way)) for way in place.ways}
        costs = {route: Costs() for route in ROUTES}
        for number in range(ROUNDS):
            for route, taken in costs.items():
                await _round(place, route, taken, idle)
            print(f"{version}: round {number + 1} of {ROUNDS}", file=sys.stderr, flush=True)
        text = _tables(version, costs) + _sizes(place, memory)
    return _judged(version, costs), text


async def _round(
    place: Place, route: tuple[str, str], taken: Costs, idle: dict[str, dict[str, float]]
) -> None:
    dialect, base = SPOKEN[route[1]]
    taken.loads[NOBODY].append(
        await loaded(place.upstream, place.upstream.port, dialect, "m", base + PATHS[dialect])
    )
    for way, port in place.ways.items():
        for name, one in (
            await processor(place.upstream, port, route, _processes(place, way), idle[way])
        ).items():
            taken.cpu[way, name].append(one)
        taken.loads[way].append(await loaded(place.upstream, port, route[0], MODELS[route[1]]))


def _processes(place: Place, way: str) -> list[Running]:
    """Those that such a request passes; LiteLLM is looked at on the direct way too: it must rest."""
    return [place.litellm, *([place.relays[way]] if way in place.relays else [])]


def _judged(version: str, costs: dict[tuple[str, str], Costs]) -> list[Finding]:
    found = []
    for route in TRANSLATED:
        cpu, first = _ratios(costs[route])
        wrong = [f"CPU a {cpu:.1f}th, not a {CPU_AIM:.0f}th"] if cpu < CPU_AIM else []
        wrong += [f"first delta a {first:.1f}th, not a {FIRST_AIM:.0f}th"] if first < FIRST_AIM else []
        seen = f"of LiteLLM's: CPU a {cpu:.0f}th, first delta's delay a {first:.0f}th"
        found.append(Finding("cost", version, "--".join(route), DIRECT, seen, "; ".join(wrong)))
    return found


def _ratios(costs: Costs) -> tuple[float, float]:
    cpu = costs.per_delta(ALONE, "litellm") / max(costs.per_delta(DIRECT, "relay"), 0.1)
    return cpu, costs.added(ALONE) / max(costs.added(DIRECT), LEAST)


def _tables(version: str, costs: dict[tuple[str, str], Costs]) -> str:
    lines = [
        f"### LiteLLM {version}: CPU, µs a delta (ms a request)\n",
        "| route | LiteLLM alone | relay before it | LiteLLM behind it | relay `--direct` | times less |",
        "|---|---|---|---|---|---|",
    ]
    places = ((ALONE, "litellm"), (THROUGH, "relay"), (THROUGH, "litellm"), (DIRECT, "relay"))
    for route, one in costs.items():
        cells = (f"{one.per_delta(*at):.0f} ({one.per_request(*at) / 1000:.1f})" for at in places)
        lines.append(f"| {'--'.join(route)} | {' | '.join(cells)} | {_ratios(one)[0]:.0f} |")
    ways = (NOBODY, ALONE, THROUGH, DIRECT)
    lines += [
        f"\n### LiteLLM {version}: {CLIENTS} clients at once, ms\n",
        "First delta, from the request's leaving and less the provider's own time; every delta: p50 / p95.\n",
        f"| route | {' | '.join(ways)} | added: times less |",
        "|---|---|---|---|---|---|",
    ]
    for route, one in costs.items():
        cells = (
            f"{one.first(way):.1f} / {one.first(way, 0.95):.1f}; "
            f"{one.delta(way, 0.5):.1f} / {one.delta(way, 0.95):.1f}"
            for way in ways
        )
        lines.append(f"| {'--'.join(route)} | {' | '.join(cells)} | {_ratios(one)[1]:.0f} |")
    failed = sum(load.failed for one in costs.values() for way, loads in one.loads.items() for load in loads)
    lines.append(f"\n{failed} streams without a word (the lost texts of seed 3 would be among them).\n")
    return "\n".join(lines)


def _memory(place: Place) -> dict[str, int]:
    return {one.name: one.rss() for one in (place.litellm, place.relays[DIRECT])}


def _sizes(place: Place, before: dict[str, int]) -> str:
    lines = [
        f"\n### LiteLLM {place.version}: memory and start\n",
        "| | start to the first answer | RSS after it | RSS after the load |",
        "|---|---|---|---|",
    ]
    for name, one in (("LiteLLM", place.litellm), ("relay `--direct`", place.relays[DIRECT])):
        sizes = f"{before[one.name] / 2**20:.0f} MiB | {one.rss() / 2**20:.0f} MiB"
        lines.append(f"| {name} | {one.started:.2f} s | {sizes} |")
    return "\n".join([*lines, ""])
