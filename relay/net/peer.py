"""What both sides of relay have in common: one socket, one outlet, reading that can be paused.

All connections of a worker read into the same buffer. What a read brought has been forwarded or
copied when the callback returns, so the next read may overwrite it, and an idle connection costs
no buffer of its own.
"""

from __future__ import annotations

import asyncio
from typing import cast

from relay.net.outlet import Outlet

READ_SIZE = 64 * 1024
READ_DATA = bytearray(READ_SIZE)
READ_VIEW = memoryview(READ_DATA)


class Peer(asyncio.BufferedProtocol):
    """One connection. Subclasses say what arriving bytes, an end and a loss mean."""

    __slots__ = ("fd", "loop", "outlet", "transport")

    transport: asyncio.Transport
    outlet: Outlet
    fd: int

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.fd = self.transport.get_extra_info("socket").fileno()
        self.outlet = Outlet(self.transport)
        # The outlet is to hear of the first byte that waits and of the last that left. uvloop pauses
        # above the mark, but over TLS at it, and then a mark of zero would pause with nothing waiting.
        tls = self.transport.get_extra_info("sslcontext") is not None
        self.transport.set_write_buffer_limits(high=1 if tls else 0, low=0)

    def get_buffer(self, sizehint: int) -> bytearray:
        return READ_DATA

    def pause_writing(self) -> None:
        self.outlet.full = True

    def resume_writing(self) -> None:
        self.outlet.full = False
        self.drained()

    def pause(self) -> None:
        """Read no more for now; pausing what is paused does nothing."""
        self.transport.pause_reading()

    def resume(self) -> None:
        self.transport.resume_reading()

    def drained(self) -> None:
        """The outlet was full and has become empty."""
        raise NotImplementedError
