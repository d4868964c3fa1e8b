"""Write-through: straight to the socket, in the callback that read; the rest to the transport.

One gathering system call takes the views of the read buffer as they are. Only what the kernel
did not take is copied, once, into the transport's queue; ``full`` is then true until the queue
is empty, and whoever feeds this outlet pauses its source. TLS has no socket to write to: there
everything is joined (each buffer would become a record of its own) and given to the transport.

The descriptor belongs to the transport, which closes it after ``connection_lost``. So an outlet
writes to it only between ``connection_made`` and the first of: close, abort, loss. After that
``_fd`` is -1 and stays so, and a number that the system hands out again cannot be hit.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Sequence
from typing import cast

from relay.wire.framing import Buffer

IOV_MAX = 1024
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Outlet:
    """The writing half of one connection."""

    __slots__ = ("_fd", "_transport", "error", "full")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        tls = transport.get_extra_info("sslcontext") is not None
        self._fd = -1 if tls else cast(int, transport.get_extra_info("socket").fileno())
        self.full = False
        self.error: OSError | None = None

    def write(self, buffer: Buffer) -> None:
        """Send one buffer; the caller may reuse its memory as soon as this returns."""
        sent = 0
        if self._fd >= 0 and not self.full:
            try:
                sent = os.write(self._fd, buffer)
            except BlockingIOError:
                pass
            except OSError as error:
                self._break(error)
            if sent == len(buffer):
                return
        self._queue(bytes(memoryview(buffer)[sent:]))

    def writelines(self, buffers: Sequence[Buffer]) -> None:
        """Send several buffers in one call; the caller may reuse their memory afterwards."""
        if len(buffers) == 1:
            self.write(buffers[0])
            return
        sent = 0
        if self._fd >= 0 and not self.full:
            if len(buffers) > IOV_MAX:
                self.write(b"".join(buffers))
                return
            try:
                sent = os.writev(self._fd, buffers)
            except BlockingIOError:
                pass
            except OSError as error:
                self._break(error)
            if sent == sum(map(len, buffers)):
                return
        self._queue(b"".join(buffers)[sent:])

    def end(self) -> None:
        """No more will be written; what is queued still leaves, then the peer sees the end.

        TLS cannot end one direction here. There the transport closes, which for a while means to
        drop what still comes until the peer closes too.
        """
        self._fd = -1
        if self._transport.is_closing():
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def close(self) -> None:
        """Close when the queue is empty."""
        self._fd = -1
        self._transport.close()

    def abort(self) -> None:
        """Close now; what is queued is lost."""
        self._fd = -1
        self._transport.abort()

    def reset(self) -> None:
        """Close with RST, so that a peer that reads until the end sees that this was none."""
        if not self._transport.is_closing():
            sock = self._transport.get_extra_info("socket")
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.abort()

    @property
    def was_reset(self) -> bool:
        """A write found the connection reset. The system says so once: what is read next is an end of
        file, which then is none. (After the peer's FIN a reset would have been EPIPE.)"""
        return isinstance(self.error, ConnectionResetError)

    def detach(self) -> None:
        """The connection is lost: its descriptor is about to be closed."""
        self._fd = -1

    def _queue(self, data: bytes) -> None:
        if data and self.error is None and not self._transport.is_closing():
            self._transport.write(data)

    def _break(self, error: OSError) -> None:
        """The peer takes no more. Its own last words may still be readable, so nothing is closed."""
        self._fd = -1
        self.error = error.with_traceback(None)  # which holds the frames of whoever wrote
