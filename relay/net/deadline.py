"""Timeouts that are pushed back far more often than they fire.

``touch`` stores a number. The one timer is not re-armed for it: when it fires early it sets
itself to the time that is now due (0.1 µs against 0.8 µs to cancel and set a timer).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


def _nothing() -> None:
    pass


class Deadline:
    """One limit at a time, in seconds; ``expired`` is called once when it passes."""

    __slots__ = ("_at", "_expired", "_handle", "_loop", "_seconds")

    def __init__(self, loop: asyncio.AbstractEventLoop, expired: Callable[[], None]) -> None:
        self._loop = loop
        self._expired = expired
        self._at: float | None = None
        self._seconds = 0.0
        self._handle: asyncio.TimerHandle | None = None

    def start(self, seconds: float) -> None:
        """Fire after this many seconds from now, whatever was set before; 0: never."""
        if not seconds:
            self._at = None
            return
        self._seconds = seconds
        self._at = self._loop.time() + seconds
        if self._handle is not None and self._handle.when() > self._at:
            self._handle.cancel()
            self._handle = None
        if self._handle is None:
            self._handle = self._loop.call_at(self._at, self._check)

    def touch(self) -> None:
        """Count from now again; nothing happens when the deadline is stopped."""
        if self._at is not None:
            self._at = self._loop.time() + self._seconds

    @property
    def touched(self) -> float:
        """When it was last started or touched, in the loop's time; long ago when it is stopped."""
        return 0.0 if self._at is None else self._at - self._seconds

    def stop(self) -> None:
        """Do not fire until started again."""
        self._at = None

    def close(self) -> None:
        """For good: let go of the timer and of the owner, whose reference to us would be a cycle."""
        self._at = None
        self._expired = _nothing
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _check(self) -> None:
        self._handle = None
        if self._at is None:
            return
        if self._loop.time() < self._at:
            self._handle = self._loop.call_at(self._at, self._check)
        else:
            self._at = None
            self._expired()
