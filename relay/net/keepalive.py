"""Signs of life for a client whose upstream is silent.

Silence is counted from the upstream's last read that held more than comments, which its idle limit
counts too; so a busy stream pays nothing for it. A sign of life never pushes that limit back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from relay.net.deadline import Deadline


class KeepAlive:
    """Calls ``send`` after each ``seconds`` of silence until closed."""

    __slots__ = ("_handle", "_idle", "_loop", "_seconds", "_send", "_sent")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, idle: Deadline, seconds: float, send: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._idle = idle
        self._seconds = seconds
        self._send = send
        self._sent = loop.time()
        self._handle = loop.call_later(seconds, self._check)

    def close(self) -> None:
        self._handle.cancel()

    def _check(self) -> None:
        now = self._loop.time()
        due = max(self._idle.touched, self._sent) + self._seconds
        if now < due:
            self._handle = self._loop.call_at(due, self._check)
            return
        self._sent = now
        self._handle = self._loop.call_at(now + self._seconds, self._check)  # sending may close us
        self._send()
