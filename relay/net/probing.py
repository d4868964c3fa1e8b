"""Active health: each target with a health path is asked for it at intervals, whatever requests find.

On a connection of its own each time, because a server that takes no new ones is not well; one after
another, because a server that answers slowly is not helped by more questions. They take no slot: a
target that is full is not ill. What they find goes to ``TargetHealth.checked``; the log hears of changes.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from relay import __version__
from relay.address import Origin
from relay.config import Health, Upstream
from relay.errors import RelayError, UpstreamClosed
from relay.net.upstream import UpstreamConnection
from relay.retry import counts_as_failure
from relay.routing import Target, Targets
from relay.wire.framing import Data
from relay.wire.http1 import Outbound, ResponseHead

log = logging.getLogger("relay")

_JITTER = 0.1
"""Part of the interval by which one is longer or shorter, so that workers do not ask in step."""

Dial = Callable[[Origin], Awaitable[UpstreamConnection]]


class Probes:
    """The questions of one worker."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, targets: Targets, dial: Dial, settings: Health
    ) -> None:
        self._loop = loop
        self._targets = targets
        self._dial = dial
        self._settings = settings
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        if self._settings.interval > 0:
            asked = [target for target in self._targets if target.upstream.health]
            self._tasks = [self._loop.create_task(self._watch(target)) for target in asked]

    def close(self) -> None:
        """Ask no more; a question under way is dropped."""
        for task in self._tasks:
            task.cancel()
        self._tasks = []

    async def _watch(self, target: Target) -> None:
        interval = self._settings.interval
        await asyncio.sleep(interval * random.random())  # workers start together, targets do too
        while True:
            await self._check(target)
            await asyncio.sleep(interval * random.uniform(1 - _JITTER, 1 + _JITTER))

    async def _check(self, target: Target) -> None:
        try:
            complaint = await self._ask(target.upstream)
        except RelayError as error:
            if not counts_as_failure(error):  # no descriptor was left: that says nothing of the target
                return
            complaint = str(error)
        except Exception:
            log.exception("the check of %s failed by a fault of relay", target.name)
            return
        before = target.health.unwell
        target.health.checked(complaint is None, self._loop.time())
        if target.health.unwell and not before:
            log.warning("upstream %s is unwell: %s", target.name, complaint)
        elif before and not target.health.unwell:
            log.warning("upstream %s is well again", target.name)

    async def _ask(self, upstream: Upstream) -> str | None:
        """What is wrong with it; None if nothing is."""
        path = upstream.health
        seconds = self._settings.timeout
        try:
            async with asyncio.timeout(seconds or None):
                connection = await self._dial(upstream.origin)
                try:
                    status = await _status(self._loop, connection, path)
                finally:
                    connection.abort()
        except TimeoutError:
            return f"no answer to GET {path} within {seconds:g} s"
        return None if 200 <= status < 400 else f"status {status} for GET {path}"


async def _status(loop: asyncio.AbstractEventLoop, connection: UpstreamConnection, path: str) -> int:
    """That of the answer; its body is not waited for."""
    question, codec = _Question(loop), Outbound()
    connection.begin(question, codec, b"GET")
    headers = [
        (b"Host", connection.origin.authority.encode()),
        (b"user-agent", b"relay/" + __version__.encode()),
        (b"accept", b"*/*"),
        (b"connection", b"close"),
    ]
    connection.outlet.write(codec.request(b"GET", path.encode(), headers))
    return await question.status


class _Question:
    """Hears of one answer as far as its status."""

    __slots__ = ("status",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.status: asyncio.Future[int] = loop.create_future()

    def informational(self, head: ResponseHead) -> None:
        pass

    def response_started(
        self, head: ResponseHead, data: Data, view: memoryview, start: int, end: int
    ) -> None:
        if not self.status.done():
            self.status.set_result(head.status)

    def fail(self, error: RelayError) -> None:
        if not self.status.done():
            self.status.set_exception(error)

    def upstream_ended(self) -> None:
        self.fail(UpstreamClosed("the connection was closed without an answer"))

    def upstream_lost(self, error: Exception | None) -> None:
        self.fail(UpstreamClosed(f"the connection broke: {error or 'closed'}"))

    def upstream_drained(self) -> None:
        pass

    def upstream_silent(self) -> None:
        pass
