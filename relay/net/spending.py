"""Who hears of what a completion has cost: the log, and a webhook.

Records wait in a bounded queue for one task, which sends what has gathered while it sent the last; a stream
never waits for it. The body is a JSON array, as LiteLLM's own callback sends it. A record may come twice,
when an answer to it was lost; its ``id`` tells. What cannot be delivered is counted and let go.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

from relay.access import Spend
from relay.errors import RelayError
from relay.net.asking import ask
from relay.net.pool import Pool
from relay.spend import webhook
from relay.wire import edit

log = logging.getLogger("relay")
records = logging.getLogger("relay.spend")

_BATCH = 100
_SECONDS = 10.0
"""For one answer of the webhook, of which this many bytes are read."""
_BYTES = 64 * 1024
_ATTEMPTS = 4
_PAUSE = 0.5
"""Seconds before the second attempt; doubles each time."""
_AGAIN = (408, 425, 429)


class Spending:
    """The records of one worker; ``dropped`` is told of those that nobody will hear of."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pool: Pool,
        settings: Spend,
        dropped: Callable[[int], None],
        *,
        pause: float = _PAUSE,
    ) -> None:
        self._loop = loop
        self._pool = pool
        self._settings = settings
        self._dropped = dropped
        self._pause = pause
        self._webhook = webhook(settings.webhook) if settings.webhook else None
        self._headers = [(b"content-type", b"application/json")]
        if settings.token:
            self._headers.append((b"authorization", b"Bearer " + settings.token.encode()))
        self._waiting: deque[bytes] = deque()
        self._sender: asyncio.Task[None] | None = None
        self._closed = False
        self._failing = False
        if settings.log:
            records.setLevel(logging.INFO)  # asked for, however little else is to be said

    def note(self, record: Mapping[str, Any]) -> None:
        """Take one; returns at once."""
        text = edit.dumps(record)
        if self._settings.log:
            records.info("%s", text.decode())
        if self._webhook is None:
            return
        if self._closed or len(self._waiting) >= self._settings.queue:
            self._drop(1, "too many wait for it")
            return
        self._waiting.append(text)
        if self._sender is None:
            self._sender = self._loop.create_task(self._send_all())

    async def close(self, seconds: float) -> None:
        """Deliver what waits within so many seconds, and take no more for the webhook."""
        self._closed = True
        sender = self._sender
        if sender is not None:
            await asyncio.wait({sender}, timeout=seconds)
            sender.cancel()
            await asyncio.wait({sender})
        if self._waiting:
            self._drop(len(self._waiting), "it did not take them in time")
            self._waiting.clear()

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                batch = list(islice(self._waiting, _BATCH))
                delivered = await self._deliver(b"[" + b",".join(batch) + b"]")
                for _ in batch:
                    self._waiting.popleft()
                if not delivered:
                    self._dropped(len(batch))
        except Exception:
            log.exception("records of spend were lost by a fault of relay")
            self._dropped(len(self._waiting))
            self._waiting.clear()
        finally:
            self._sender = None

    async def _deliver(self, body: bytes) -> bool:
        """Try a few times; False when it is of no use."""
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(self._pause * 2 ** (attempt - 1) * random.uniform(0.5, 1))
            again, complaint = await self._send(body)
            if complaint is None:
                if self._failing:
                    log.warning("the webhook for spend takes records again")
                self._failing = False
                return True
            if not again:
                break
        self._complain(complaint)
        return False

    async def _send(self, body: bytes) -> tuple[bool, str | None]:
        """May it be tried again, and what is wrong, if anything."""
        assert self._webhook is not None
        upstream, target = self._webhook
        try:
            answer = await ask(
                self._pool,
                upstream,
                b"POST",
                target,
                self._headers,
                body,
                seconds=_SECONDS,
                limit=_BYTES,
            )
        except RelayError as error:
            return True, error.logged
        if 200 <= answer.status < 300:
            return False, None
        return answer.status >= 500 or answer.status in _AGAIN, f"status {answer.status}"

    def _drop(self, count: int, why: str) -> None:
        self._dropped(count)
        self._complain(why)

    def _complain(self, why: str | None) -> None:
        """Once, until it takes records again."""
        if not self._failing:
            log.warning("the webhook for spend gets no records: %s; they are dropped and counted", why)
        self._failing = True
