"""One timer, pushed back often, fired once."""

from __future__ import annotations

import asyncio

from relay.net.deadline import Deadline

from .kit import within

TICK = 0.002
"""uvloop's clock counts milliseconds."""


class Fired:
    """Counts, and can be waited for."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.event = asyncio.Event()

    def __call__(self) -> None:
        self.times.append(asyncio.get_running_loop().time())
        self.event.set()


async def test_it_fires_once_and_not_early() -> None:
    loop, fired = asyncio.get_running_loop(), Fired()
    deadline = Deadline(loop, fired)
    begin = loop.time()
    deadline.start(0.02)
    await within(fired.event.wait())
    await asyncio.sleep(0.05)
    (at,) = fired.times
    assert at - begin >= 0.02 - TICK


async def test_touch_counts_from_now_again() -> None:
    loop, fired = asyncio.get_running_loop(), Fired()
    deadline = Deadline(loop, fired)
    deadline.start(0.05)
    last = 0.0
    for _ in range(10):
        await asyncio.sleep(0.01)
        last = loop.time()
        deadline.touch()
    await within(fired.event.wait())
    assert len(fired.times) == 1
    assert fired.times[0] - last >= 0.05 - TICK


async def test_a_shorter_limit_replaces_a_longer_one() -> None:
    fired = Fired()
    deadline = Deadline(asyncio.get_running_loop(), fired)
    deadline.start(3600)
    deadline.start(0.01)
    await within(fired.event.wait())
    assert len(fired.times) == 1


async def test_a_longer_limit_replaces_a_shorter_one() -> None:
    loop, fired = asyncio.get_running_loop(), Fired()
    deadline = Deadline(loop, fired)
    begin = loop.time()
    deadline.start(0.01)
    deadline.start(0.08)
    await within(fired.event.wait())
    assert fired.times[0] - begin >= 0.08 - TICK


async def test_stop_start_and_touch_after_stop() -> None:
    fired = Fired()
    deadline = Deadline(asyncio.get_running_loop(), fired)
    deadline.start(0.01)
    deadline.stop()
    deadline.touch()
    await asyncio.sleep(0.03)
    assert fired.times == []
    deadline.start(0.01)
    await within(fired.event.wait())
    assert len(fired.times) == 1


async def test_close_lets_go_of_it() -> None:
    fired = Fired()
    deadline = Deadline(asyncio.get_running_loop(), fired)
    deadline.start(0.01)
    deadline.close()
    deadline.close()
    await asyncio.sleep(0.03)
    assert fired.times == []


async def test_it_may_be_started_again_by_what_it_calls() -> None:
    done = asyncio.Event()
    count = [0]

    def expired() -> None:
        count[0] += 1
        if count[0] < 3:
            deadline.start(0.005)
        else:
            done.set()

    deadline = Deadline(asyncio.get_running_loop(), expired)
    deadline.start(0.005)
    await within(done.wait())
    assert count[0] == 3
