"""Listening sockets: bound before anything else starts, so that a port in use is known at once.

The permission bits of a UNIX socket are those that the umask leaves while it is bound, so its file
never exists with others. (``chmod`` afterwards comes too late for whoever was quick; a private name
and ``rename`` would need the same umask, and a longer path.) A umask is the whole process's: bind before
there are threads.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator, Sequence
from typing import Any

from relay.address import ListenAddress
from relay.errors import UsageError

BACKLOG = 1024


def bind(address: ListenAddress, *, shared: bool = False, mode: int | None = None) -> socket.socket:
    """A listening socket; ``shared`` lets several workers have one each on the same port.

    ``mode``: permission bits of a UNIX socket; None: what the umask leaves. UsageError says why there
    is no socket.
    """
    try:
        if address.path is not None:
            with _permitting(mode):
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


def bind_each(address: ListenAddress, workers: int, *, mode: int | None = None) -> list[socket.socket]:
    """A socket for each worker. UNIX sockets know no SO_REUSEPORT: there all accept from one."""
    if workers == 1 or address.path is not None:
        return [bind(address, mode=mode)] * workers
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
    """Remove the files of UNIX sockets when the block ends, but not those that others put there meanwhile.

    A relay that drains has closed its socket, and the one that takes over may have replaced its file.
    """
    ours = [(address.path, _file(address.path)) for address in addresses if address.path is not None]
    try:
        yield
    finally:
        for path, file in ours:
            if file is not None and file == _file(path):
                os.unlink(path)


@contextlib.contextmanager
def _permitting(mode: int | None) -> Iterator[None]:
    """What is created meanwhile has these permission bits at most."""
    if mode is None:
        yield
        return
    before = os.umask(~mode & 0o777)
    try:
        yield
    finally:
        os.umask(before)


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
    """A socket that nobody listens on any more is replaced."""
    try:
        sock.bind(path)
    except OSError as error:
        if error.errno != errno.EADDRINUSE or not _is_dead_socket(path):
            raise
        os.unlink(path)
        sock.bind(path)


def _is_dead_socket(path: str) -> bool:
    """A file that is no socket refuses connections as well; it is somebody's, and stays."""
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # one whose queue is full would keep us waiting
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def _file(path: str) -> tuple[int, int, int] | None:
    """Which file has this name at the moment; a number alone may be given to the next one."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns
