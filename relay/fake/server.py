"""Listeners and their lifetime: bind, serve every connection, end all of them at once when told.

A practice upstream has no drain: SIGINT and SIGTERM cut what is running.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import uvloop

from relay.config import ListenAddress
from relay.errors import UsageError
from relay.fake.connection import Connection, Pace

BACKLOG = 1024


def run(addresses: Sequence[ListenAddress], pace: Pace) -> None:
    """Bind, say so, and serve until SIGINT or SIGTERM."""
    with contextlib.ExitStack() as held:
        sockets = []
        for address in addresses:
            sockets.append(held.enter_context(bind(address)))
            if address.path is not None:
                held.callback(_unlink, address.path)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_told(addresses, sockets, pace))


def bind(address: ListenAddress) -> socket.socket:
    """A listening socket; UsageError says why there is none."""
    try:
        if address.path is not None:
            return _listen(socket.AF_UNIX, address.path)
        family, _, _, _, where = socket.getaddrinfo(
            address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return _listen(family, where)
    except socket.gaierror as error:
        raise UsageError(f"cannot listen on {address}: the host is unknown ({error.strerror})") from error
    except OSError as error:
        hint = "; choose another with --listen" if error.errno == errno.EADDRINUSE else ""
        raise UsageError(f"cannot listen on {address}: {error.strerror}{hint}") from error


@contextlib.asynccontextmanager
async def serving(sockets: Sequence[socket.socket], pace: Pace) -> AsyncIterator[None]:
    """Serve on listening sockets for as long as the context lasts, then cut what still runs."""
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(Connection(pace, reader, writer).serve())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    servers = [await _start(connected, sock) for sock in sockets]
    try:
        yield
    finally:
        for server in servers:
            server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _until_told(addresses: Sequence[ListenAddress], sockets: list[socket.socket], pace: Pace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serving(sockets, pace):
        for address, sock in zip(addresses, sockets, strict=True):
            print(announcement(address, sock, pace), file=sys.stderr, flush=True)
        await stop.wait()


def announcement(address: ListenAddress, sock: socket.socket, pace: Pace) -> str:
    """Where, what and how fast, with the port that the system chose if none was asked for."""
    port = 0 if address.path is not None else int(sock.getsockname()[1])
    where = ListenAddress(address.host or "0.0.0.0", port, address.path)
    speed = f"{pace.rate:g} deltas/s" if pace.rate else "as fast as possible"
    return f"relay fake: listening on {where.url} (chat, messages, responses), {speed}"


def _listen(family: int, where: str | tuple[Any, ...]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if family == socket.AF_UNIX:
            _bind_unix(sock, str(where))
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(where)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _bind_unix(sock: socket.socket, path: str) -> None:
    """A file that nobody listens on any more is replaced."""
    try:
        sock.bind(path)
    except OSError as error:
        if error.errno != errno.EADDRINUSE or not _is_dead_socket(path):
            raise
        os.unlink(path)
        sock.bind(path)


def _is_dead_socket(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


async def _start(
    connected: Callable[[asyncio.StreamReader, asyncio.StreamWriter], None], sock: socket.socket
) -> asyncio.AbstractServer:
    if sock.family == socket.AF_UNIX:
        return await asyncio.start_unix_server(connected, sock=sock, backlog=BACKLOG)
    return await asyncio.start_server(connected, sock=sock, backlog=BACKLOG)


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
