"""What a service manager and a service tell each other: sockets handed over, and how the service is.

Sockets are descriptors from 3 on, counted and named in the environment (sd_listen_fds(3)). News is one
datagram of ``NAME=VALUE`` lines to the socket that the environment names (sd_notify(3)). Both protocols
are older and smaller than any library for them. The variables are taken out of the environment, so that
no child believes them to be its own.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping
from dataclasses import dataclass

from relay.errors import UsageError

_FIRST = 3
_PATIENCE = 0.5
"""Seconds that the service manager may take to take a message."""
_ABSENT = "unknown"
"""The name of a socket that was given none (sd_listen_fds_with_names(3))."""


@dataclass(frozen=True, slots=True)
class Activated:
    """A listening socket that was there before this process, and its name (``FileDescriptorName=``)."""

    name: str
    sock: socket.socket


def activated(environment: MutableMapping[str, str] = os.environ) -> list[Activated]:
    """The sockets that were handed to this process; UsageError where one is of no use."""
    pid = environment.pop("LISTEN_PID", "")
    count = environment.pop("LISTEN_FDS", "")
    names = environment.pop("LISTEN_FDNAMES", "")
    if pid != str(os.getpid()):
        return []
    if not (count.isascii() and count.isdecimal()):
        raise UsageError(f"LISTEN_FDS={count}: expected the number of sockets that were handed over")
    named = dict(enumerate(names.split(":"))) if names else {}
    return [Activated(named.get(at, _ABSENT), _listening(_FIRST + at)) for at in range(int(count))]


def _listening(fd: int) -> socket.socket:
    try:
        os.set_inheritable(fd, False)
        sock = socket.socket(fileno=fd)
    except OSError as error:
        raise UsageError(f"descriptor {fd} was handed over and is no socket: {error.strerror}") from error
    if sock.type != socket.SOCK_STREAM or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        sock.close()
        raise UsageError(f"socket {fd} was handed over and does not listen; use ListenStream=, Accept=no")
    return sock


class Notifier:
    """Tells the service manager how the service is; tells nobody where there is none."""

    def __init__(self, address: str = "", watchdog: float = 0.0) -> None:
        # A leading @ stands for the zero byte of an abstract name.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog = watchdog if address else 0.0
        """Seconds from one sign of life to the next; 0: none is wanted."""

    @classmethod
    def of(cls, environment: MutableMapping[str, str] = os.environ) -> Notifier:
        """As the environment says. Signs of life come at half the interval that is allowed."""
        address = environment.pop("NOTIFY_SOCKET", "")
        usec = environment.pop("WATCHDOG_USEC", "")
        pid = environment.pop("WATCHDOG_PID", "")
        wanted = usec.isascii() and usec.isdecimal() and pid in ("", str(os.getpid()))
        return cls(address, int(usec) / 2e6 if wanted else 0.0)

    def ready(self, status: str) -> None:
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        # The time lets the manager tell the answer to this reload from that to one before.
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell("RELOADING=1", f"MONOTONIC_USEC={now}", "STATUS=reloading")

    def stopping(self, status: str) -> None:
        self._tell("STOPPING=1", f"STATUS={status}")

    def alive(self) -> None:
        self._tell("WATCHDOG=1")

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        # A manager that has gone, or takes nothing for so long, is no reason to serve less.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.settimeout(_PATIENCE)
            sock.sendto("\n".join(lines).encode(), self._address)
