"""One process: its loop, its listeners, its signals, its drain.

SIGTERM or SIGINT: stop accepting, close what is idle, let live exchanges finish up to the drain
limit, tell the rest in their dialect that they are cut, then end; a second signal ends at once.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import ssl
from collections.abc import Callable, Sequence

import uvloop

from relay.config import Settings
from relay.errors import ShuttingDown, UsageError
from relay.listen import BACKLOG
from relay.net.hangup import Hangups
from relay.net.pool import Pool
from relay.net.relay import Relay
from relay.net.server import ClientConnection

log = logging.getLogger("relay")

_FAREWELL = 1.0
"""Seconds that what is said to the clients of cut streams may take to leave."""


def run(
    settings: Settings,
    sockets: Sequence[socket.socket],
    ready: Callable[[], None],
    tls: ssl.SSLContext | None,
    lifeline: int | None = None,
) -> int:
    """Serve until told to stop, or until the ``lifeline`` descriptor ends; returns the exit code."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(settings, sockets, ready, tls, lifeline))


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """How upstreams are verified: the system's roots, or those of ``SSL_CERT_FILE``."""
    if not settings.upstream.origin.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE") or None)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or error
        raise UsageError(
            f"SSL_CERT_FILE={os.environ.get('SSL_CERT_FILE')}: cannot read certificates: {reason}"
        ) from error
    context.set_alpn_protocols(["http/1.1"])
    return context


async def _serve(
    settings: Settings,
    sockets: Sequence[socket.socket],
    ready: Callable[[], None],
    tls: ssl.SSLContext | None,
    lifeline: int | None,
) -> int:
    loop = asyncio.get_running_loop()
    relay = Relay(loop, settings, Pool(loop, settings, tls), Hangups(loop))
    stop = _Stop(loop)
    if lifeline is not None:
        loop.add_reader(lifeline, stop.orphaned, lifeline)
    servers = [await _listen(loop, relay, sock) for sock in sockets]
    # What is there now lives as long as the process: full collections need not walk it.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
    ready()
    await stop.asked.wait()
    await _drain(relay, servers, stop)
    relay.pool.close()
    relay.hangups.close()
    return 130 if stop.at_once.is_set() else 0


async def _listen(
    loop: asyncio.AbstractEventLoop, relay: Relay, sock: socket.socket
) -> asyncio.AbstractServer:
    factory = lambda: ClientConnection(relay)  # noqa: E731
    if sock.family == socket.AF_UNIX:
        return await loop.create_unix_server(factory, sock=sock, backlog=BACKLOG)
    return await loop.create_server(factory, sock=sock, backlog=BACKLOG)


class _Stop:
    """What the signals have asked for so far."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.asked = asyncio.Event()
        self.at_once = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)

    def orphaned(self, lifeline: int) -> None:
        """The supervisor is gone: nobody would replace this worker or tell it to stop."""
        self._loop.remove_reader(lifeline)
        self.asked.set()

    def _signalled(self) -> None:
        if self.asked.is_set():
            self.at_once.set()
        self.asked.set()


async def _drain(relay: Relay, servers: list[asyncio.AbstractServer], stop: _Stop) -> None:
    relay.draining = True
    for server in servers:
        server.close()
    clients = relay.clients
    for client in [client for client in clients if not client.busy]:
        client.close()
    if clients:
        log.warning("draining %d connections", len(clients))
        await _until_empty(relay, stop, relay.settings.drain)
    if clients and not stop.at_once.is_set():
        log.warning("cut %d connections at the end of the drain", len(clients))
        for client in list(clients):
            client.fail(ShuttingDown("relay is shutting down; send the request again"))
        if clients:  # their last words are on the way
            await _until_empty(relay, stop, _FAREWELL)
    for client in list(clients):
        client.abort()
    await asyncio.sleep(0)


async def _until_empty(relay: Relay, stop: _Stop, limit: float) -> None:
    """Until the last client is gone, a second signal comes, or the time is over."""
    waiting = [asyncio.ensure_future(event.wait()) for event in (relay.emptied, stop.at_once)]
    await asyncio.wait(waiting, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
    for one in waiting:
        one.cancel()
