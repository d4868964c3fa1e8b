"""Listeners and their lifetime: serve every connection, end all of them at once when told.

A practice upstream has no drain: SIGINT and SIGTERM cut what is running.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Callable, Sequence

import uvloop

from relay.fake.connection import Connection, Pace


def run(sockets: Sequence[socket.socket], pace: Pace, ready: Callable[[], None]) -> None:
    """Serve on listening sockets until SIGINT or SIGTERM."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_until_told(sockets, pace, ready))


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


async def _until_told(sockets: Sequence[socket.socket], pace: Pace, ready: Callable[[], None]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serving(sockets, pace):
        ready()
        await stop.wait()


async def _start(
    connected: Callable[[asyncio.StreamReader, asyncio.StreamWriter], None], sock: socket.socket
) -> asyncio.AbstractServer:
    if sock.family == socket.AF_UNIX:
        return await asyncio.start_unix_server(connected, sock=sock)
    return await asyncio.start_server(connected, sock=sock)
