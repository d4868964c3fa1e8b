"""Fixtures: factories for a relay and for upstreams, which close what they made."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from .kit import RunningRelay, ScriptedUpstream, quiet_loop, start_relay, stop_relay

Serve = Callable[..., Awaitable[RunningRelay]]


@pytest.fixture
async def quiet(caplog: pytest.LogCaptureFixture) -> AsyncIterator[None]:
    """Fails when relay reported a fault of its own, in whatever way."""
    caplog.set_level(logging.INFO, "relay")
    async with quiet_loop():
        yield
    faults = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert not faults, caplog.text


@pytest.fixture
async def serve(quiet: None) -> AsyncIterator[Serve]:
    """``await serve(url, ...)``: a relay in this process; see ``kit.start_relay``."""
    running: list[RunningRelay] = []

    async def start(*upstreams: ScriptedUpstream | str, **options: Any) -> RunningRelay:
        url = [upstream if isinstance(upstream, str) else upstream.url for upstream in upstreams]
        running.append(await start_relay(url, **options))
        return running[-1]

    yield start
    for one in running:
        await stop_relay(one)


@pytest.fixture
async def upstreams(quiet: None) -> AsyncIterator[Callable[[int], list[ScriptedUpstream]]]:
    """``upstreams(2)``: TCP listeners that the test plays."""
    made: list[ScriptedUpstream] = []

    def make(count: int) -> list[ScriptedUpstream]:
        made.extend(ScriptedUpstream.tcp() for _ in range(count))
        return made[-count:]

    yield make
    for one in made:
        await one.close()


@pytest.fixture
async def upstream(quiet: None) -> AsyncIterator[ScriptedUpstream]:
    """A TCP listener that the test plays."""
    scripted = ScriptedUpstream.tcp()
    yield scripted
    await scripted.close()
