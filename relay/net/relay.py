"""What the exchanges of one worker share, and how they see their clients."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from relay.config import Settings
from relay.crosstalk import ToolIds
from relay.errors import ClientError, RelayError
from relay.net.hangup import Hangups
from relay.net.outlet import Outlet
from relay.net.pool import Pool
from relay.net.waiting import WaitingRoom
from relay.routing import Target, Targets
from relay.wire.framing import Header
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
    targets: Targets = field(init=False)
    room: WaitingRoom = field(init=False)
    clients: set[Client] = field(default_factory=set)
    emptied: asyncio.Event = field(default_factory=asyncio.Event)
    draining: bool = False
    ids: Iterator[str] = field(default_factory=_ids)
    live_tools: dict[str, ToolIds] = field(default_factory=dict)
    warned: set[str] = field(default_factory=set)
    """Kinds of losses in translation that the log has named."""

    def __post_init__(self) -> None:
        settings = self.settings
        self.targets = Targets(settings.upstreams, settings.health, workers=settings.workers)
        self.room = WaitingRoom(self.loop, self.targets, settings.queue)

    def own_headers(
        self, exchange_id: str, headers: Sequence[Header], target: Target | None = None
    ) -> list[Header]:
        """What every response carries beside the upstream's ``headers``."""
        own = [(b"x-relay-id", exchange_id.encode())]
        if target is not None:
            own.append((b"x-relay-upstream", target.name.encode()))
        if not any(name.lower() == b"x-request-id" for name, _ in headers):
            own.append((b"x-request-id", exchange_id.encode()))
        return own


def report(exchange_id: str, head: RequestHead, error: RelayError, attempts: int = 1) -> None:
    """One line for an exchange that failed; no query, no field, no body: keys and prompts live there."""
    level = logging.INFO if isinstance(error, ClientError) else logging.WARNING
    path = head.target.split(b"?", 1)[0].decode("ascii", "replace")
    method = head.method.decode("ascii", "replace")
    tries = f" (attempt {attempts})" if attempts > 1 else ""
    what = f"{error.status} {error.code}{tries}: {error.logged}"
    log.log(level, "%s %s %s: %s", exchange_id, method, path, what)
