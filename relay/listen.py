"""Listening sockets: bound before anything else starts, so that a port in use is known at once."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from relay.config import ListenAddress
from relay.errors import UsageError

BACKLOG = 1024


def bind(address: ListenAddress, *, shared: bool = False) -> socket.socket:
    """A listening socket; ``shared`` lets several workers have one each on the same port.

    UsageError says why there is none.
    """
    try:
        if address.path is not None:
            return _listen(socket.AF_UNIX, address.path)
        family, _, _, _, where = socket.getaddrinfo(
            address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return _listen(family, where, shared=shared)
    except socket.gaierror as error:
        raise UsageError(f"cannot listen on {address}: the host is unknown ({error.strerror})") from error
    except OSError as error:
        hint = "; choose another with --listen" if error.errno == errno.EADDRINUSE else ""
        raise UsageError(f"cannot listen on {address}: {error.strerror}{hint}") from error


def bind_each(address: ListenAddress, workers: int) -> list[socket.socket]:
    """A socket for each worker. UNIX sockets know no SO_REUSEPORT: there all accept from one."""
    if workers == 1 or address.path is not None:
        return [bind(address)] * workers
    # Without SO_REUSEPORT a port that another relay holds is refused, as it must be.
    with bind(address) as probe:
        port = int(probe.getsockname()[1])
    taken = ListenAddress(address.host, port)
    return [bind(taken, shared=True) for _ in range(workers)]


def bound_url(address: ListenAddress, sock: socket.socket) -> str:
    """Where this socket listens, with the port that the system chose if none was asked for."""
    if address.path is not None:
        return address.url
    return ListenAddress(address.host or "0.0.0.0", int(sock.getsockname()[1])).url


@contextlib.contextmanager
def unlinked_at_end(addresses: Sequence[ListenAddress]) -> Iterator[None]:
    """Remove the files of UNIX sockets when the block ends."""
    try:
        yield
    finally:
        for address in addresses:
            if address.path is not None:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(address.path)


def _listen(family: int, where: str | tuple[Any, ...], *, shared: bool = False) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if family == socket.AF_UNIX:
            _bind_unix(sock, str(where))
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
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
