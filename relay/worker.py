"""One process: its loop, its listeners, its signals, its end.

SIGTERM: not ready at once, but the listeners stay open for the drain's delay, until whoever spreads the
load has noticed. Then stop accepting, close what is idle, let live exchanges finish up to the drain limit,
tell the rest in their dialect that they are cut, and end. SIGINT, or the end of the supervisor, is the
same without the delay.

RETIRE: another worker has taken this one's place. Stop accepting, close what is idle, and end with the
last stream, however long that takes. What is repeated means nothing: service managers send SIGTERM to
every process of a service, and the supervisor passes its own on. A worker that is to end at once is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import resource
import signal
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import uvloop

from relay.config import Settings
from relay.errors import ShuttingDown
from relay.metrics import Counters
from relay.net.accepting import Acceptor, Places
from relay.net.admin import Admin
from relay.net.hangup import Hangups
from relay.net.pool import Pool
from relay.net.probing import Probes
from relay.net.relay import Relay

log = logging.getLogger("relay")

RETIRE = signal.SIGUSR1
FAREWELL = 1.0
"""Seconds that what is said to the clients of cut streams may take to leave."""
_LAST_RECORDS = 3.0
"""Seconds in which what the last streams have cost must be told."""
_GRACE = 1.0
"""Seconds after which a connection without a request is idle when its worker retires: a request that was
sent to a relay that only reloads is not to be lost."""


@dataclass(frozen=True, slots=True)
class Duties:
    """What one worker is for: its settings, its sockets, both sides' contexts of TLS, and where it counts."""

    settings: Settings
    clients: Sequence[socket.socket]
    admin: Sequence[socket.socket]
    upstream_tls: ssl.SSLContext | None
    client_tls: ssl.SSLContext | None
    counters: Counters


def run(duties: Duties, ready: Callable[[], None], lifeline: int) -> int:
    """Serve until told to end, or until the descriptor ``lifeline`` ends; returns the exit code.

    Signals are expected to be blocked, and are taken when they can be acted on.
    """
    _raise_descriptor_limit()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(duties, ready, lifeline))


def _raise_descriptor_limit() -> None:
    """As many descriptors as the system allows: each stream takes two."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _serve(duties: Duties, ready: Callable[[], None], lifeline: int) -> int:
    loop = asyncio.get_running_loop()
    settings = duties.settings
    pool = Pool(loop, settings, duties.upstream_tls)
    relay = Relay(loop, settings, pool, Hangups(loop), counters=duties.counters)
    probes = Probes(loop, relay.targets, relay.pool.dial, settings.health)
    orders = _Orders(loop, lifeline)
    admin = Admin(loop, lambda: _unready(relay, orders), duties.counters)
    places = Places.of(relay)
    acceptors = [
        Acceptor(relay, sock, None if sock.family == socket.AF_UNIX else duties.client_tls, places)
        for sock in duties.clients
    ]
    for acceptor in acceptors:
        await acceptor.start()
    probes.start()
    desks = [await _listen(loop, admin, sock) for sock in duties.admin]
    # What is there now lives as long as the process: full collections need not walk it.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
    ready()
    await orders.retire.wait()
    if not orders.drain.is_set():
        for desk in desks:
            desk.close()
        probes.close()  # its successor asks them
        await _retire(relay, acceptors, orders)
    if relay.clients or orders.drain.is_set():
        await _drain(relay, acceptors, orders)
    for desk in desks:
        desk.close()
    admin.close()
    probes.close()
    if relay.spending is not None:
        await relay.spending.close(_LAST_RECORDS)
    relay.pool.close()
    relay.hangups.close()
    return 0


async def _listen(
    loop: asyncio.AbstractEventLoop, admin: Admin, sock: socket.socket
) -> asyncio.AbstractServer:
    if sock.family == socket.AF_UNIX:
        return await loop.create_unix_server(admin.connection, sock=sock)
    return await loop.create_server(admin.connection, sock=sock)


class _Orders:
    """What this worker has been told so far; each order holds the ones before it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, lifeline: int) -> None:
        self._loop = loop
        self.retire = asyncio.Event()
        self.drain = asyncio.Event()
        self.hurry = asyncio.Event()
        loop.add_signal_handler(RETIRE, self.retire.set)
        loop.add_signal_handler(signal.SIGTERM, self._give, self.retire, self.drain)
        loop.add_signal_handler(signal.SIGINT, self._give, self.retire, self.drain, self.hurry)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the supervisor's, though all may get it
        loop.add_reader(lifeline, self._orphaned, lifeline)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def _give(self, *orders: asyncio.Event) -> None:
        for order in orders:
            order.set()

    def _orphaned(self, lifeline: int) -> None:
        """The supervisor is gone: nobody would replace this worker or tell it to stop."""
        self._loop.remove_reader(lifeline)
        self._give(self.retire, self.drain, self.hurry)


def _unready(relay: Relay, orders: _Orders) -> str | None:
    """Why no requests should come here. A retired worker has a successor that takes them.

    Only checks count: a target that is paused for its failures is tried again by a request alone.
    """
    if orders.drain.is_set():
        return "draining"
    if all(target.health.unwell for target in relay.targets):
        return "no upstream is well"
    return None


async def _retire(relay: Relay, acceptors: Sequence[Acceptor], orders: _Orders) -> None:
    """Until the last client is gone, or this worker is told to drain."""
    relay.draining = True
    for acceptor in acceptors:
        acceptor.close(send_away=False)
    await _first_of(_GRACE, orders.drain)
    await _close_idle(relay)
    if relay.clients:
        log.info("retired with %d connections", len(relay.clients))
        await _until_empty(relay, None, orders.drain)


async def _drain(relay: Relay, acceptors: Sequence[Acceptor], orders: _Orders) -> None:
    limits = relay.settings.drain
    if limits.delay:
        await _first_of(limits.delay, orders.hurry)
    relay.draining = True
    for acceptor in acceptors:
        acceptor.close()
    await _close_idle(relay)
    clients = relay.clients
    if clients:
        log.warning("draining %d connections", len(clients))
        await _until_empty(relay, limits.timeout)
    if clients:
        log.warning("cut %d connections at the end of the drain", len(clients))
        for client in list(clients):
            client.fail(ShuttingDown("relay is shutting down; send the request again"))
        await _until_empty(relay, FAREWELL)  # their last words are on the way
    for client in list(clients):
        client.abort()
    await asyncio.sleep(0)


async def _close_idle(relay: Relay) -> None:
    """What has come until now is read first: the loop looks at its timers before it does that."""
    for _ in range(2):
        await asyncio.sleep(0)
    for client in [client for client in relay.clients if not client.busy]:
        client.close()


async def _until_empty(relay: Relay, seconds: float | None, *orders: asyncio.Event) -> None:
    """Until the last client is gone, an order comes, or the time is over."""
    relay.emptied.clear()
    if relay.clients:
        await _first_of(seconds, relay.emptied, *orders)


async def _first_of(seconds: float | None, *events: asyncio.Event) -> None:
    """Until one of these comes, or the time is over."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for one in waiting:
        one.cancel()
