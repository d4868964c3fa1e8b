"""What the exchanges of one worker share, and how they see their clients."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from relay.config import Settings
from relay.crosstalk import ToolIds
from relay.errors import ClientError, RelayError
from relay.metrics import SPEND_DROPPED, Counters
from relay.net.admission import Admission
from relay.net.hangup import Hangups
from relay.net.outlet import Outlet
from relay.net.pool import Pool
from relay.net.spending import Spending
from relay.net.waiting import WaitingRoom
from relay.routes import Router
from relay.routing import Targets
from relay.wire.http1 import RequestHead

log = logging.getLogger("relay")


class Client(Protocol):
    """A client's connection as its exchange and its worker see it."""

    outlet: Outlet
    address: str | None
    scheme: bytes

    @property
    def busy(self) -> bool: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def feed(self) -> None: ...

    def rearm(self) -> None: ...

    def ended(self, *, keep: bool, linger: bool) -> None: ...

    def cut(self, *, reset: bool) -> None: ...

    def fail(self, error: RelayError) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...


def _ids() -> Iterator[str]:
    """Unique over all workers and restarts, short, and in the order of arrival within one worker."""
    prefix = os.urandom(6).hex()
    return (f"{prefix}-{number:x}" for number in itertools.count(1))


@dataclass(slots=True)
class Relay:
    """One worker's settings, pool and clients."""

    loop: asyncio.AbstractEventLoop
    settings: Settings
    pool: Pool
    hangups: Hangups
    router: Router = field(init=False)
    room: WaitingRoom = field(init=False)
    admission: Admission | None = field(init=False)
    spending: Spending | None = field(init=False)
    counters: Counters = field(default_factory=Counters)
    clients: set[Client] = field(default_factory=set)
    emptied: asyncio.Event = field(default_factory=asyncio.Event)
    draining: bool = False
    ids: Iterator[str] = field(default_factory=_ids)
    live_tools: dict[str, ToolIds] = field(default_factory=dict)
    warned: set[str] = field(default_factory=set)
    """Kinds of losses in translation that the log has named."""

    def __post_init__(self) -> None:
        settings = self.settings
        self.router = Router(settings)
        self.counters.know("upstream", map(str, settings.upstreams))
        self.room = WaitingRoom(self.loop, settings.queue)
        self.admission = Admission(self.loop, self.pool, settings) if settings.keys.asked else None
        self.spending = None
        if settings.spend.log or settings.spend.webhook:
            self.spending = Spending(self.loop, self.pool, settings.spend, self._spend_dropped)

    def _spend_dropped(self, count: int) -> None:
        self.counters.cells[self.counters.slot(SPEND_DROPPED)] += count

    @property
    def targets(self) -> Targets:
        """Every upstream, whichever route leads to it."""
        return self.router.targets


def report(exchange_id: str, head: RequestHead, error: RelayError, attempts: int = 1) -> None:
    """One line for an exchange that failed; no query, no field, no body: keys and prompts live there."""
    level = logging.INFO if isinstance(error, ClientError) else logging.WARNING
    path = head.target.split(b"?", 1)[0].decode("ascii", "replace")
    method = head.method.decode("ascii", "replace")
    tries = f" (attempt {attempts})" if attempts > 1 else ""
    what = f"{error.status} {error.code}{tries}: {error.logged}"
    log.log(level, "%s %s %s: %s", exchange_id, method, path, what)
