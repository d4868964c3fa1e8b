"""Noticing that a peer has left while nothing is read from it.

A transport whose reading is paused misses its peer's close. But a client that leaves during an
upload that the upstream does not take must end that upstream at once. So the descriptors of
paused connections wait in an epoll set of their own, for the hang-up alone, and that set is one
more readable descriptor to the loop. Linux only; elsewhere the next write finds out.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import sys
from collections.abc import Callable


class Hangups:
    """The paused connections of one worker."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._left: dict[int, Callable[[], None]] = {}
        if sys.platform == "linux":
            self._epoll = select.epoll()
            loop.add_reader(self._epoll.fileno(), self._ready)

    def watch(self, fd: int, left: Callable[[], None]) -> None:
        """Call ``left`` once when the peer of ``fd`` closes or resets; until ``unwatch``."""
        if sys.platform == "linux" and fd not in self._left:
            self._epoll.register(fd, select.EPOLLRDHUP)
            self._left[fd] = left

    def unwatch(self, fd: int) -> None:
        """Must be called before ``fd`` is closed; harmless when it is not watched."""
        if sys.platform == "linux" and self._left.pop(fd, None) is not None:
            with contextlib.suppress(FileNotFoundError):
                self._epoll.unregister(fd)

    def close(self) -> None:
        if sys.platform == "linux":
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()

    def _ready(self) -> None:
        for fd, _ in self._epoll.poll(0):
            left = self._left.get(fd)
            self.unwatch(fd)
            if left is not None:
                left()
