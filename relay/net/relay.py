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
from relay.wire.framing import Header
from relay.wire.http1 import RequestHead

log = logging.getLogger("relay")


class Client(Protocol):
    """A client's connection as its exchange and its worker see it."""

    outlet: Outlet
    address: str | None

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
    clients: set[Client] = field(default_factory=set)
    emptied: asyncio.Event = field(default_factory=asyncio.Event)
    draining: bool = False
    ids: Iterator[str] = field(default_factory=_ids)
    live_tools: dict[str, ToolIds] = field(default_factory=dict)
    warned: set[str] = field(default_factory=set)
    """Kinds of losses in translation that the log has named."""

    def own_headers(self, exchange_id: str, headers: Sequence[Header] = ()) -> list[Header]:
        """What every response carries beside the upstream's ``headers``."""
        own = [
            (b"x-relay-id", exchange_id.encode()),
            (b"x-relay-upstream", str(self.settings.upstream.origin).encode()),
        ]
        if not any(name.lower() == b"x-request-id" for name, _ in headers):
            own.append((b"x-request-id", exchange_id.encode()))
        return own


def report(exchange_id: str, head: RequestHead, error: RelayError) -> None:
    """One line for an exchange that failed; no query, no field, no body: keys and prompts live there."""
    level = logging.INFO if isinstance(error, ClientError) else logging.WARNING
    path = head.target.split(b"?", 1)[0].decode("ascii", "replace")
    method = head.method.decode("ascii", "replace")
    log.log(level, "%s %s %s: %s %s: %s", exchange_id, method, path, error.status, error.code, error)
