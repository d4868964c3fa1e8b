"""Many streams at once, one way: how late the first delta is, how late the others, whose CPU it took."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from .asking import Answer, ask, document
from .configs import MODELS
from .processes import Running
from .upstream import Upstream

CLIENTS = 16
STREAM = {"words": 40, "gap": 0.025}
SECONDS = 3.0
BATCH = 8
SHORT, LONG = 10, 110
FAST = 0.01


@dataclass(frozen=True)
class Load:
    """Milliseconds; what the upstream itself took is not in them."""

    first: tuple[float, ...]
    """From the request's leaving to its first word's coming, less the provider's own time."""
    deltas: tuple[float, ...]
    failed: int

    def first_at(self, share: float) -> float:
        return _at(self.first, share)

    def delta_at(self, share: float) -> float:
        return _at(self.deltas, share)


@dataclass(frozen=True)
class Processor:
    """CPU of one process, in microseconds."""

    per_delta: float
    per_request: float


async def loaded(provider: Upstream, port: int, dialect: str, target: str, path: str = "") -> Load:
    """Clients that ask again as soon as they are answered, each beginning a while after the last."""
    provider.plays(**STREAM)
    answers: list[Answer] = []
    until = time.monotonic() + SECONDS

    async def client(number: int) -> None:
        await asyncio.sleep(number * STREAM["words"] * STREAM["gap"] / CLIENTS)
        while time.monotonic() < until:
            answers.append(await ask(port, dialect, document(dialect, target), path=path))

    await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    return _read(provider, answers)


async def processor(
    provider: Upstream, port: int, route: tuple[str, str], processes: list[Running], idle: dict[str, float]
) -> dict[str, Processor]:
    """By process: long streams less short ones is what deltas take; the rest is the request's."""
    dialect, body = route[0], document(route[0], MODELS[route[1]])
    took: dict[int, dict[str, float]] = {}
    for words in (SHORT, LONG):
        provider.plays(words=words, gap=FAST)
        began, before = time.monotonic(), {one.name: one.cpu_ns() for one in processes}
        await asyncio.gather(*(ask(port, dialect, body) for _ in range(BATCH)))
        await asyncio.sleep(0.15)  # what is logged after an answer is its cost, too
        passed = time.monotonic() - began
        took[words] = {
            one.name: (one.cpu_ns() - before[one.name]) / 1e3 - idle[one.name] * passed for one in processes
        }
    found = {}
    for one in processes:
        short, long = took[SHORT][one.name], took[LONG][one.name]
        delta = (long - short) / (LONG - SHORT) / BATCH
        found[one.name] = Processor(delta, short / BATCH - delta * SHORT)
    return found


async def resting(processes: list[Running], seconds: float = 2.0) -> dict[str, float]:
    """Microseconds of CPU a second, of each process that is left alone."""
    before = {one.name: one.cpu_ns() for one in processes}
    await asyncio.sleep(seconds)
    return {one.name: (one.cpu_ns() - before[one.name]) / 1e3 / seconds for one in processes}


def _read(provider: Upstream, answers: list[Answer]) -> Load:
    sent = provider.when()
    own = {asked.stream: min(asked.sent.values()) - asked.at for asked in provider.asked if asked.sent}
    first, deltas, failed = [], [], 0
    for answer in answers:
        arrivals = answer.arrivals
        if not arrivals:
            failed += 1
            continue
        word = min(arrivals, key=lambda word: arrivals[word][0])
        first.append((arrivals[word][0] - answer.asked - own[word.partition(".")[0]]) / 1e6)
        deltas += [(at - sent[word]) / 1e6 for word, (at, _) in arrivals.items()]
    return Load(tuple(sorted(first)), tuple(sorted(deltas)), failed)


def _at(values: tuple[float, ...], share: float) -> float:
    return values[min(len(values) - 1, int(len(values) * share))] if values else float("nan")
