"""relay in a process of its own, with limits of time that a run can wait for.

Everything else is as ``relay serve --upstream URL --upstream-dialect chat`` has it, but for retries:
a request is sent once, so that what the upstream got is what one attempt sends.
"""

from __future__ import annotations

import asyncio
import logging
import sys

import uvloop

from relay.config import Health, Repair, Retry
from tests.net.kit import start_relay

TIMES = {
    "client_head": 0.4,
    "client_body": 0.4,
    "keep_alive": 1.0,
    "client_stall": 1.5,
    "linger": 0.3,
    "connect": 1.0,
    "head": 0.8,
    "first_frame": 0.8,
    "idle": 0.8,
    "terminal": 0.3,
}


async def _serve(upstream: str) -> None:
    settings = {"retry": Retry(attempts=1), "health": Health(failures=1_000_000)}
    running = await start_relay(upstream, repair=Repair.ON, dialects=("chat",), also=settings, **TIMES)
    print(f"listening on 127.0.0.1:{running.address[1]}", file=sys.stderr, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, format="relay: %(levelname)s %(message)s", level=logging.INFO)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(sys.argv[1]))
