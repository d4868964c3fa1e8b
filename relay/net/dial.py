"""A new connection to an origin: every address tried, IPv6 and IPv4, the slow ones in parallel.

Happy Eyeballs (RFC 8305): addresses alternate between the families, a next one starts when the
one before has failed or has kept us waiting for 250 ms, the first to connect wins, and the
others are cancelled. Foreign errors become UpstreamUnreachable or UpstreamTimeout here, but for one that
is no upstream's: when no descriptor is left, relay itself is Busy.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from relay.address import Origin
from relay.errors import Busy, UpstreamTimeout, UpstreamUnreachable
from relay.net.descriptors import none_left, ran_out, shortage
from relay.net.upstream import UpstreamConnection

ATTEMPT_DELAY = 0.25
"""Seconds before the next address is tried beside one that has not answered (RFC 8305 §8)."""

Factory = Callable[[], UpstreamConnection]


async def dial(
    origin: Origin, factory: Factory, *, timeout: float, tls: ssl.SSLContext | None
) -> UpstreamConnection:
    """Connect, TLS handshake included, within ``timeout`` seconds."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            if origin.path is not None:
                _, connection = await loop.create_unix_connection(factory, origin.path)
                return connection
            hosts = await _addresses(loop, origin)
            return await _first([_connect(loop, factory, host, origin, tls) for host in hosts])
    except TimeoutError as error:
        raise UpstreamTimeout(f"{origin} did not accept a connection within {timeout:g} s") from error
    except socket.gaierror as error:
        if none_left():
            raise _busy(loop) from error
        raise UpstreamUnreachable(
            f"the upstream host {origin.host!r} cannot be resolved: {error.strerror}"
        ) from error
    except ssl.SSLCertVerificationError as error:
        raise UpstreamUnreachable(
            f"the certificate of {origin} is not trusted: {error.verify_message}"
        ) from error
    except (ssl.SSLError, ConnectionAbortedError) as error:
        raise UpstreamUnreachable(f"no TLS session with {origin}: {error.strerror or error}") from error
    except OSError as error:
        if ran_out(error):
            raise _busy(loop) from error
        raise UpstreamUnreachable(f"cannot connect to {origin}: {error.strerror or error}") from error


def _busy(loop: asyncio.AbstractEventLoop) -> Busy:
    shortage.begin(loop.time())
    return Busy("relay has no descriptor left for a connection to the upstream; try again later")


async def _addresses(loop: asyncio.AbstractEventLoop, origin: Origin) -> list[str]:
    """The numeric addresses of the host, families alternating, in the resolver's order of preference."""
    if _is_numeric(origin.host):
        return [origin.host]
    found = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    families: dict[int, list[str]] = {}
    for family, _, _, _, address in found:
        families.setdefault(family, []).append(str(address[0]))
    rounds = itertools.zip_longest(*families.values())
    return [host for hosts in rounds for host in hosts if host is not None]


def _is_numeric(host: str) -> bool:
    if ":" in host:
        return True
    try:
        socket.inet_aton(host)
    except OSError:
        return False
    return True


async def _connect(
    loop: asyncio.AbstractEventLoop, factory: Factory, host: str, origin: Origin, tls: ssl.SSLContext | None
) -> UpstreamConnection:
    name = origin.host if tls else None
    _, connection = await loop.create_connection(factory, host, origin.port, ssl=tls, server_hostname=name)
    return connection


async def _first(attempts: Sequence[Coroutine[Any, Any, UpstreamConnection]]) -> UpstreamConnection:
    """The first attempt that succeeds; when none does, the error of the first, or that we ran out."""
    waiting = list(attempts)
    running: set[asyncio.Task[UpstreamConnection]] = set()
    errors: list[BaseException] = []
    try:
        while waiting or running:
            if waiting:
                running.add(asyncio.ensure_future(waiting.pop(0)))
            done, running = await asyncio.wait(
                running,
                timeout=ATTEMPT_DELAY if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            connected = [attempt for attempt in done if attempt.exception() is None]
            for late in connected[1:]:
                _discard(late)
            if connected:
                return connected[0].result()
            errors += [error for attempt in done if (error := attempt.exception()) is not None]
        raise next(filter(ran_out, errors), errors[0])
    finally:
        for attempt in running:
            attempt.cancel()
            attempt.add_done_callback(_discard)
        for never_started in waiting:
            never_started.close()


def _discard(attempt: asyncio.Task[UpstreamConnection]) -> None:
    """A connection that came second is not needed."""
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().abort()
