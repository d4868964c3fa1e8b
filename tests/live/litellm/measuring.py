"""One stream measured; where a shared machine spoils a run, the median of three."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from .asking import Answer, Delays, ask, delays
from .finding import Place
from .upstream import Asked

RUNS = 3
ENOUGH = 0.9
"""The share of deltas within 5 ms from which a stream counts as one: LiteLLM's first delta comes late
where a request is the first of its kind, and the machine is shared."""
WORDS, GAP = 40, 0.02
LOGGED = 0.1
"""Seconds after which a log has its line."""


@dataclass(frozen=True)
class Measured:
    """One run: what came, how late, and how the provider was asked."""

    answer: Answer
    delays: Delays
    asked: Asked | None
    logged: str = ""
    """The verdict in relay's log, where the head left before it was known."""

    @property
    def streams(self) -> bool:
        return self.delays.within >= ENOUGH

    @property
    def verdict(self) -> str:
        return self.answer.headers.get("x-relay-verdict", "") or self.logged

    @property
    def seen(self) -> str:
        if self.answer.status != 200:
            return f"HTTP {self.answer.status}: {self.answer.body[:80]!r}"
        whole = "" if self.asked is None or self.asked.streaming else "; provider asked without stream"
        where = " in the log" if self.logged and "x-relay-verdict" not in self.answer.headers else ""
        said = f"; verdict {self.verdict}{where}" if self.verdict else ""
        return f"{self.delays}{whole}{said}"


async def measure(
    place: Place, port: int, dialect: str, body: dict[str, Any], *, gzip: bool = False, runs: int = RUNS
) -> Measured:
    """The first run that streams, else the median of ``runs``. One before them warms what is lazy."""
    found: list[Measured] = []
    await _once(place, port, dialect, body, gzip, words=3)
    for _ in range(runs):
        one = await _once(place, port, dialect, body, gzip)
        if one.streams:
            return one
        found.append(one)
    return sorted(found, key=lambda one: one.delays.within)[len(found) // 2]


async def _once(
    place: Place, port: int, dialect: str, body: dict[str, Any], gzip: bool, words: int = WORDS
) -> Measured:
    place.upstream.plays(words=words, gap=GAP)
    answer = await ask(port, dialect, body, gzip=gzip, longest=15)
    asked = place.upstream.asked[-1] if place.upstream.asked else None
    await asyncio.sleep(LOGGED)
    logged = place.verdict(port, answer.headers.get("x-relay-id", ""))
    return Measured(answer, delays(asked.sent if asked else {}, answer), asked, logged)
