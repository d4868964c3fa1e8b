"""Where requests wait while every target is full: first come, first served, a bounded time.

A slot is held until the last byte of the answer (sglang#9491 counted streams only until their heads, and
the least loaded server was then the one with the most streams).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection

from relay.config import Queue
from relay.errors import Busy
from relay.routing import Target, Targets


class WaitingRoom:
    """The slots of one worker's targets, and who waits for one."""

    def __init__(self, loop: asyncio.AbstractEventLoop, targets: Targets, settings: Queue) -> None:
        self._loop = loop
        self._targets = targets
        self._settings = settings
        self._waiting: deque[asyncio.Future[Target]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    async def place(self, tried: Collection[Target] = ()) -> Target:
        """A slot of the best target; raises Busy when too many wait already, or it takes too long."""
        if not self._waiting:  # nobody is overtaken
            target = self._targets.choose(self._loop.time(), tried)
            if target is not None:
                return target
        if len(self._waiting) >= self._settings.length:
            raise Busy(f"every upstream is full and {len(self._waiting)} requests wait; try again later")
        turn: asyncio.Future[Target] = self._loop.create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._settings.wait or None):
                return await self._taken(turn)
        except TimeoutError:
            raise Busy(f"every upstream was full for {self._settings.wait:g} s; try again later") from None
        finally:
            if turn in self._waiting:
                self._waiting.remove(turn)

    async def _taken(self, turn: asyncio.Future[Target]) -> Target:
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it came in the same moment: nobody will use it
                self.leave(turn.result())
            raise

    def leave(self, target: Target) -> None:
        """A slot is free: the first who waits gets it."""
        self._targets.release(target)
        while self._waiting:
            if self._waiting[0].done():  # its client has left, or its time was over
                self._waiting.popleft()
                continue
            free = self._targets.choose(self._loop.time())
            if free is None:
                return
            self._waiting.popleft().set_result(free)
