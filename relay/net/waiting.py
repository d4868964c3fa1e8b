"""Where requests wait while every target of theirs is full: first come, first served, a bounded time.

A slot is held until the last byte of the answer (sglang#9491 counted streams only until their heads, and
the least loaded server was then the one with the most streams).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import NamedTuple

from relay.config import Queue
from relay.errors import Busy
from relay.routing import Target, Targets


class _Turn(NamedTuple):
    """Somebody who waits, and for what."""

    targets: Targets
    slot: asyncio.Future[Target]


class WaitingRoom:
    """Who waits for a slot of one worker's servers."""

    def __init__(self, loop: asyncio.AbstractEventLoop, settings: Queue) -> None:
        self._loop = loop
        self._settings = settings
        self._waiting: list[_Turn] = []

    def __len__(self) -> int:
        return len(self._waiting)

    async def place(self, targets: Targets, tried: Collection[Target] = ()) -> Target:
        """A slot of the best target; raises Busy when too many wait already, or it takes too long."""
        if not any(targets.shares(turn.targets) for turn in self._waiting):  # nobody is overtaken
            target = targets.choose(self._loop.time(), tried)
            if target is not None:
                return target
        if len(self._waiting) >= self._settings.length:
            raise Busy(f"every upstream is full and {len(self._waiting)} requests wait; try again later")
        turn = _Turn(targets, self._loop.create_future())
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._settings.wait or None):
                return await self._taken(turn.slot)
        except TimeoutError:
            raise Busy(f"every upstream was full for {self._settings.wait:g} s; try again later") from None
        finally:
            if turn in self._waiting:
                self._waiting.remove(turn)

    async def _taken(self, slot: asyncio.Future[Target]) -> Target:
        try:
            return await slot
        except asyncio.CancelledError:
            if slot.done() and not slot.cancelled():  # it came in the same moment: nobody will use it
                self.leave(slot.result())
            raise

    def leave(self, target: Target) -> None:
        """A slot is free: the first who waits for one like it gets it."""
        target.release()
        if self._waiting:
            self._serve()

    def _serve(self) -> None:
        full: set[int] = set()
        still: list[_Turn] = []
        for turn in self._waiting:
            if turn.slot.done():  # its client has left, or its time was over
                continue
            free = None if id(turn.targets) in full else turn.targets.choose(self._loop.time())
            if free is None:
                full.add(id(turn.targets))
                still.append(turn)
            else:
                turn.slot.set_result(free)
        self._waiting = still
