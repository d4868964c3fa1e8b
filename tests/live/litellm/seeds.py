"""All checks of one version: which LiteLLM each needs, and in what order they are made."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from . import buffering, cut, keys, left, malformed, processes, waiting
from .finding import DIRECT, THROUGH, Check, Finding, Place
from .upstream import upstream

SEEDS: dict[str, dict[str, Check]] = {
    "plain": {
        "1d": buffering.plain,
        "1a": buffering.compressed,
        "1b": buffering.wildcard,
        "2": malformed.lifecycle,
        "3": malformed.empty_tool_calls,
        "4": cut.check,
        "5": left.check,
        "keys": keys.check,
        "429": waiting.retry_after,
    },
    "intercepting": {"1c": buffering.searching, "22s": waiting.patience, "pool": left.abandoned},
}
"""By the configuration of LiteLLM that they need: it starts twice for each version."""
NAMES = tuple(name for checks in SEEDS.values() for name in checks)
WAYS = {THROUGH: (), DIRECT: ("--direct", "streams")}
ONE_CHECK = 240.0


async def prove(version: str, only: set[str]) -> list[Finding]:
    found: list[Finding] = []
    for kind, checks in SEEDS.items():
        wanted = {name: check for name, check in checks.items() if not only or name in only}
        if wanted:
            try:
                async with placed(version, kind) as place:
                    for name, check in wanted.items():
                        found += await _held(place, name, check)
            except processes.NotStarted as error:
                found.append(Finding(kind, version, "", "", "", str(error)))
    return found


@contextlib.asynccontextmanager
async def placed(version: str, kind: str) -> AsyncIterator[Place]:
    """LiteLLM with its providers, and a relay before it for each way."""
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="relay-litellm-")))
        provider = await stack.enter_async_context(upstream())
        running = await stack.enter_async_context(processes.litellm(version, kind, provider.port, folder))
        ends = ("--litellm", folder / f"{kind}.yaml", "--litellm-url", f"http://127.0.0.1:{running.port}")
        relays = {}
        for way, flags in WAYS.items():
            relays[way] = await stack.enter_async_context(processes.relay(*ends, *flags, folder=folder))
        yield Place(version, provider, running, relays, folder)


async def _held(place: Place, name: str, check: Check) -> list[Finding]:
    """What a check found; what it raises is a finding too, and the others are still made."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(ONE_CHECK):
            found = await check(place)
    except Exception as error:
        fault = f"{type(error).__name__}: {error}"[:300]
        found = [Finding(name, place.version, "", "", "", fault)]
    wrong = sum(bool(one.fault) for one in found)
    took = time.monotonic() - began
    print(
        f"{place.version} {name}: {len(found)} seen, {wrong} faults, {took:.0f} s",
        file=sys.stderr,
        flush=True,
    )
    return found
