"""A second target is asked when the first keeps us waiting; the first that answers wins (field case M8)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from relay.net.attempt import Attempt, Failed


async def race(first: Attempt, delay: float, second: Callable[[], Attempt | None]) -> Failed | None:
    """The outcome of the first attempt, or of the one that ``second`` begins after ``delay`` seconds.

    None when one of them is committed, which has closed the other; else the failure that came last.
    """
    running = {asyncio.ensure_future(first.run())}
    timeout: float | None = delay
    last: Failed | None = None
    try:
        while running:
            done, running = await asyncio.wait(running, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            for attempt in done:
                last = attempt.result()
                if last is None:
                    return None
            if not done and (another := second()) is not None:
                running.add(asyncio.ensure_future(another.run()))
            if not done:
                timeout = None
    finally:
        for attempt in running:
            attempt.cancel()
    return last
