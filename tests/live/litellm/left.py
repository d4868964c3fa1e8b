"""Seed 5: the client leaves. Who notices, how fast, and what an old LiteLLM's pool makes of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from . import processes
from .asking import asking, document
from .configs import MODELS, POOL, ROUTES
from .finding import ALONE, DIRECT, THROUGH, Finding, Place
from .processes import Running
from .tap import Tap, tap

AT_ONCE = 100.0
"""Milliseconds; a relay needs one or two, a shared machine may need more."""
NOTICED_WITHIN = 0.7
BEGUN_WITHIN = 5.0
HUNG = 4.0
POOLS = (("chat", "hosted_vllm"), ("messages", "anthropic"))


async def check(place: Place) -> list[Finding]:
    """In the middle of a stream, and before its head."""
    found = []
    async with _watched(place) as (relay, wire):
        ports = place.ways | {THROUGH: relay.port}
        for route in ROUTES:
            before: Gone | None = None
            for way in place.ways:
                gone = await _gone(place, ports[way], route, wire if way == THROUGH else None)
                before = before or gone
                found.append(place.found("5 client leaves", route, way, str(gone), _fault(way, before, gone)))
    return found


@contextlib.asynccontextmanager
async def _watched(place: Place) -> AsyncIterator[tuple[Running, Tap]]:
    """A relay of its own, whose connections to LiteLLM are seen."""
    async with tap(place.litellm.port) as wire:
        ends = ("--litellm", place.folder / "plain.yaml", "--litellm-url", f"http://127.0.0.1:{wire.port}")
        async with processes.relay(*ends, folder=place.folder) as relay:
            yield relay, wire


@dataclass(frozen=True)
class Gone:
    """Milliseconds from a client's leaving until its provider, and LiteLLM, had lost it; None: too late.

    The second of each pair is of a client that left before the head.
    """

    provider: tuple[float | None, float | None]
    litellm: tuple[float | None, float | None] | None

    def __str__(self) -> str:
        text = "provider closed {} mid-stream, {} before the head".format(*map(_ms, self.provider))
        return text + ("; LiteLLM {}, {}".format(*map(_ms, self.litellm)) if self.litellm else "")


def _fault(way: str, before: Gone, gone: Gone) -> str:
    faults = []
    for number, phase in enumerate(("mid-stream", "before the head")):
        noticed, was = gone.provider[number], before.provider[number]
        if way == DIRECT and _late(noticed):
            faults.append(f"{phase}: the provider is not closed at once")
        if way == THROUGH and was is not None and noticed is None:
            faults.append(f"{phase}: LiteLLM alone closes, not behind relay")
        if gone.litellm is not None and _late(gone.litellm[number]):
            faults.append(f"{phase}: relay keeps its connection to LiteLLM")
    return "; ".join(faults)


def _late(ms: float | None) -> bool:
    return ms is None or ms > AT_ONCE


async def abandoned(place: Place) -> list[Finding]:
    """After as many departures as LiteLLM may have connections: is the next request served?"""
    found = []
    for route in POOLS:
        alone = HUNG
        for way, port in place.ways.items():
            place.upstream.plays(words=300, gap=0.02)
            for _ in range(POOL):
                await _hang_up(place, port, route)
            await asyncio.sleep(0.2)
            waited = await _first_byte(port, route)
            if way == ALONE:
                alone = waited
            seen = "hung" if waited >= HUNG else f"{waited * 1000:.0f} ms"
            worse = waited > alone + 0.5 or (way == DIRECT and waited > 0.5)
            fault = f"{seen}; without relay {alone:.2f} s" if worse else ""
            found.append(place.found("5 pool used up", route, way, f"request {POOL + 1}: {seen}", fault))
            await _all_quiet(place)
    return found


async def _gone(place: Place, port: int, route: tuple[str, str], wire: Tap | None) -> Gone:
    middle, closed = await _leave(place, port, route, wire, words=150, gap=0.02)
    early, closed_early = await _leave(place, port, route, wire, before=1.5)
    return Gone((middle, early), (closed, closed_early) if wire is not None else None)


async def _leave(
    place: Place, port: int, route: tuple[str, str], wire: Tap | None, **play: float
) -> tuple[float | None, float | None]:
    """Until the provider, and until LiteLLM, lost its connection."""
    upstream = place.upstream
    upstream.plays(**play)
    one = asking(port, route[0], document(route[0], MODELS[route[1]]))
    await one.send()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(BEGUN_WITHIN):
            while not upstream.asked or ("words" in play and len(upstream.asked[-1].sent) < 6):
                await asyncio.sleep(0.005)
    await asyncio.sleep(0.05)
    count = len(wire.closed) if wire is not None else 0
    left = one.leave()
    while time.monotonic_ns() - left < NOTICED_WITHIN * 1e9:
        let_go = wire is None or len(wire.closed) > count
        if upstream.asked and upstream.asked[-1].left and let_go:
            break
        await asyncio.sleep(0.001)
    noticed = upstream.asked[-1].left if upstream.asked else 0
    closed = wire.closed[count] if wire is not None and len(wire.closed) > count else 0
    return (noticed - left) / 1e6 if noticed else None, (closed - left) / 1e6 if closed else None


async def _hang_up(place: Place, port: int, route: tuple[str, str]) -> None:
    count = len(place.upstream.asked)
    one = asking(port, route[0], document(route[0], MODELS[route[1]]))
    await one.send()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1.0):
            while len(place.upstream.asked) == count or not place.upstream.asked[-1].sent:
                await asyncio.sleep(0.005)
    one.leave()


async def _first_byte(port: int, route: tuple[str, str]) -> float:
    one, began = asking(port, route[0], document(route[0], MODELS[route[1]])), time.monotonic()
    await one.send()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(HUNG):
            await one.read()
    one.leave()
    return time.monotonic() - began


async def _all_quiet(place: Place) -> None:
    """Until every abandoned answer has been written to its end."""
    for _ in range(80):
        if all(asked.left or asked.ended for asked in place.upstream.asked):
            break
        await asyncio.sleep(0.1)
    await asyncio.sleep(0.3)


def _ms(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f} ms"
