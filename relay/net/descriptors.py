"""Descriptors: how many clients they are enough for, and what it means when none is left.

That none is left is true for the whole process, so this is said in one place: who dials finds it out,
and who accepts then leaves alone for a while what the upstreams' connections need.
"""

from __future__ import annotations

import errno
import os
import resource

from relay.config import Limits

RESERVE = 64
"""Descriptors that are no connections: the loop's own, listeners, the log, what resolvers open."""

PAUSE = 1.0
"""Seconds after which what failed for want of a descriptor is tried again."""

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def ran_out(error: BaseException) -> bool:
    """Did this fail because the process or the system had no descriptor, or no memory for one."""
    return isinstance(error, OSError) and error.errno in _EXHAUSTED


def none_left() -> bool:
    """Can not even one be opened now: a resolver that could open nothing says that the name is unknown."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return ran_out(error)
    return False


def open_limit() -> int:
    """How many descriptors this process may have; 0: any number."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 0 if soft == resource.RLIM_INFINITY else soft


def client_limit(limits: Limits, descriptors: int) -> int:
    """How many clients a worker that may have so many descriptors takes; 0: any number.

    Each may need a second one, for its request's connection to an upstream.
    """
    if limits.connections or not descriptors:
        return limits.connections
    return max(1, (descriptors - RESERVE) // 2)


class Shortage:
    """A dial found no descriptor; until some seconds later clients are not to take the next ones."""

    def __init__(self) -> None:
        self._until = 0.0

    def begin(self, now: float) -> None:
        self._until = now + PAUSE

    def left(self, now: float) -> float:
        """Seconds that it still lasts."""
        return max(0.0, self._until - now)

    def end(self) -> None:
        self._until = 0.0


shortage = Shortage()
"""The process's one; times are those of a loop."""
