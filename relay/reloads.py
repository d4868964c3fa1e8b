"""How the last reload of a running relay went, for whoever asked for it.

The supervisor notes it in memory that has a descriptor and no file (memfd_create(2)). Whoever may look at
its descriptors under /proc can read that: its own user, and root. So it needs no folder that can be written,
no port and no token, and works in a container whose file system is read-only. It is also how a running
supervisor is found: its workers close the descriptor, and no other program has one of this name.

The memory is there only after signals are blocked: a HUP to one that does not yet wait for it would end it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import NamedTuple

import orjson

from relay.metrics import RELOAD_SUCCESSFUL, RELOAD_TIME, Counters

NAME = "relay-reloads"
PENDING, DONE, FAILED = "pending", "done", "failed"
_LONGEST = 64 * 1024
"""Characters of what is said about one reload."""


class Outcome(NamedTuple):
    """``number`` counts the reloads that have begun; the start is number 0."""

    number: int
    state: str
    said: str


class Reloads:
    """The supervisor's notes: for metrics, and for ``relay reload``."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._number = 0
        self._state = PENDING
        self._fd = -1

    def open(self) -> None:
        """From now on others find it. Where the system cannot do that, nobody does."""
        with contextlib.suppress(AttributeError, OSError):
            self._fd = os.memfd_create(NAME)
        self._note(PENDING, "")

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def begins(self) -> None:
        self._number += 1
        self._note(PENDING, "")

    def fails(self, why: str) -> None:
        """The settings stay as they were."""
        self._counters.put(0.0, RELOAD_SUCCESSFUL)
        self._note(FAILED, why)

    def hangs(self, why: str) -> None:
        """The new settings are not at work yet, and it does not look well."""
        self._counters.put(0.0, RELOAD_SUCCESSFUL)
        self._note(PENDING, why)

    def serves(self) -> None:
        """The settings that were read last, but for a failure, are at work."""
        self._counters.put(time.time(), RELOAD_TIME)
        if self._state != FAILED:
            self._counters.put(1.0, RELOAD_SUCCESSFUL)

    def succeeds(self, said: str) -> None:
        """That has been announced: ``said`` is what they have changed."""
        if self._state != FAILED:
            self._note(DONE, said)

    def _note(self, state: str, said: str) -> None:
        self._state = state
        if self._fd < 0:
            return
        outcome = Outcome(self._number, state, said[:_LONGEST])
        data = orjson.dumps(outcome._asdict())
        with contextlib.suppress(OSError):  # no memory left; nobody waits for it so much
            os.pwrite(self._fd, data, 0)
            os.ftruncate(self._fd, len(data))


def running(uid: int) -> list[int]:
    """The supervisors of this user."""
    processes = sorted(int(name) for name in os.listdir("/proc") if name.isdecimal())
    return [pid for pid in processes if _owner(pid) == uid and _notes(pid) is not None]


def outcome(pid: int) -> Outcome | None:
    """What that supervisor has noted; None where it is none, has ended, or is not ours to look at."""
    while (path := _notes(pid)) is not None:
        # Half of it may have been written just now: then once more.
        with contextlib.suppress(OSError, ValueError, TypeError), open(path, "rb") as notes:
            return Outcome(**orjson.loads(notes.read()))
    return None


def _owner(pid: int) -> int | None:
    with contextlib.suppress(OSError):
        return os.stat(f"/proc/{pid}").st_uid
    return None


def _notes(pid: int) -> str | None:
    folder = f"/proc/{pid}/fd"
    for descriptor in _listed(folder):
        path = f"{folder}/{descriptor}"
        with contextlib.suppress(OSError):
            if os.readlink(path) == f"/memfd:{NAME} (deleted)":
                return path
    return None


def _listed(folder: str) -> Iterator[str]:
    with contextlib.suppress(OSError):
        yield from os.listdir(folder)
