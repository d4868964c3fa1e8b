"""Seed 4: an answer that breaks off after 3 of 8 deltas: is it told?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .asking import ask, document
from .configs import MODELS, ROUTES
from .finding import ALONE, DIRECT, Finding, Place
from .sdk import Told, judge, retryable

ENDS = ("fin", "rst", "clean")
FLAG = "lying-end"


@dataclass(frozen=True)
class Broken:
    """One cut stream, by both SDK ways."""

    end: str
    told: list[Told]
    flagged: bool
    """relay has said in its log that the end is not to be trusted."""

    @property
    def seen(self) -> str:
        marks = {True: "told", False: "silent, flagged" if self.flagged else "silent"}
        said = [(one.crashed and "crash") or marks[bool(one.failed)] for one in self.told]
        return f"{self.end} {said[0] if len({*said}) == 1 else '/'.join(said)}"


async def check(place: Place) -> list[Finding]:
    found = []
    for route in ROUTES:
        before: dict[str, Broken] = {}
        body = document(route[0], MODELS[route[1]])
        for way, port in place.ways.items():
            broken = {end: await _broken(place, way, port, route[0], body, end) for end in ENDS}
            before = before or broken
            fault = "; ".join(filter(None, (_fault(way, before[end], one) for end, one in broken.items())))
            seen = ", ".join(one.seen for one in broken.values())
            found.append(place.found("4 cut", route, way, seen, fault))
    return found


async def _broken(place: Place, way: str, port: int, dialect: str, body: dict[str, Any], end: str) -> Broken:
    log = place.relays[way].said() if way in place.relays else ""
    # Five failures in a row would pause a provider, and its streams would go through LiteLLM for a while.
    place.upstream.plays(words=1)
    await ask(port, dialect, body)
    place.upstream.plays(words=8, gap=0.01, end=end, cut=3)
    told = await judge(port, dialect, body)
    since = place.relays[way].said()[len(log) :] if way in place.relays else ""
    return Broken(end, told, FLAG in since)


def _fault(way: str, before: Broken, after: Broken) -> str:
    if way == ALONE:
        return ""
    wrong = []
    for one, was in zip(after.told, before.told, strict=True):
        if one.crashed and not was.crashed:
            wrong.append(f"{after.end} {one.way} crashes: {one.crashed[:80]}")
        elif way == DIRECT and not one.failed:
            wrong.append(f"{after.end} {one.way} is told nothing")
        elif way == DIRECT and not retryable(one):
            wrong.append(f"{after.end} {one.way}: not retryable: {one.failed[:80]}")
        elif was.failed and not (one.failed or one.crashed):
            wrong.append(f"{after.end} {one.way} was told before, and is not now")
    return "; ".join(wrong)
