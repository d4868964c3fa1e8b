"""Several workers: start them, replace the dead, stop them together.

The supervisor binds one ``SO_REUSEPORT`` socket per worker and address and keeps it, so that what
queued for a worker that died is served by the one that takes its place. It runs no loop and no
handlers: it waits for one signal at a time (sigwait) and acts on it. Workers are process groups of
their own, so that Ctrl-C reaches them once, through the supervisor; and each holds the reading
end of a pipe, the lifeline, which ends when the supervisor does, however it dies.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence

log = logging.getLogger("relay")

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 10.0
STEADY = 10.0
"""Seconds that a worker must have lived for its death to count as the first again."""

Work = Callable[[Sequence[socket.socket], Callable[[], None], int], int]
"""What a worker does: its sockets, what to call when it serves, its lifeline; returns the exit code."""

_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}


class _Slot:
    """One worker's place: its sockets, and how it has fared."""

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        self.sockets = sockets
        self.pid = 0
        self.started = 0.0
        self.pause = FIRST_PAUSE
        self.due = 0.0


def supervise(
    sockets_of_workers: Sequence[Sequence[socket.socket]],
    work: Work,
    ready: Callable[[], None],
) -> int:
    """Keep one process per set of sockets; ``work`` runs in each. Returns the exit code.

    ``ready`` is called once, when every worker has said for the first time that it serves.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    slots = [_Slot(sockets) for sockets in sockets_of_workers]
    reading, writing = os.pipe()
    lifeline = os.pipe()
    for slot in slots:
        _start(slot, slots, work, writing, lifeline)
    os.close(writing)
    _await_ready(reading, len(slots))
    ready()
    stopping = 0
    while any(slot.pid for slot in slots) or not stopping:
        due = min((slot.due for slot in slots if not slot.pid), default=None)
        received = _wait(None if due is None or stopping else max(0.0, due - time.monotonic()))
        if received in (signal.SIGTERM, signal.SIGINT):
            stopping += 1
            _close_all(slots)  # or the system would go on queueing clients here
            _signal_all(slots, signal.SIGTERM)
        _bury(slots, replace=not stopping)
        if not stopping:
            for slot in slots:
                if not slot.pid and time.monotonic() >= slot.due:
                    _start(slot, slots, work, None, lifeline)
    return 130 if stopping > 1 else 0


def _start(
    slot: _Slot,
    slots: Sequence[_Slot],
    work: Work,
    ready_pipe: int | None,
    lifeline: tuple[int, int],
) -> None:
    slot.started = time.monotonic()
    slot.pid = os.fork()
    if slot.pid:
        return
    code = 1
    try:
        os.setpgid(0, 0)
        os.close(lifeline[1])
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        for other in slots:
            if other is not slot:
                for sock in other.sockets:
                    if sock not in slot.sockets:
                        sock.close()
        code = work(slot.sockets, lambda: _say_ready(ready_pipe), lifeline[0])
    except Exception:
        log.exception("a worker failed")
    finally:
        sys.stderr.flush()
        os._exit(code)


def _say_ready(pipe: int | None) -> None:
    if pipe is not None:
        os.write(pipe, b".")
        os.close(pipe)


def _await_ready(pipe: int, count: int) -> None:
    """Until every worker has written its byte, or has died without."""
    with os.fdopen(pipe, "rb") as ready:
        ready.read(count)


def _wait(seconds: float | None) -> int | None:
    if seconds is None:
        return signal.sigwait(_SIGNALS)
    info = signal.sigtimedwait(_SIGNALS, seconds)
    return None if info is None else info.si_signo


def _close_all(slots: Sequence[_Slot]) -> None:
    for slot in slots:
        for sock in slot.sockets:
            sock.close()


def _signal_all(slots: Sequence[_Slot], number: int) -> None:
    for slot in slots:
        if slot.pid:
            os.kill(slot.pid, number)


def _bury(slots: Sequence[_Slot], *, replace: bool) -> None:
    """Note who has died, and when a replacement may start: at once the first time, then later and later."""
    for slot in slots:
        if not slot.pid:
            continue
        pid, status = os.waitpid(slot.pid, os.WNOHANG)
        if not pid:
            continue
        slot.pid = 0
        now = time.monotonic()
        if now - slot.started >= STEADY:
            slot.pause = FIRST_PAUSE
        slot.due = now + slot.pause
        slot.pause = min(slot.pause * 2, LONGEST_PAUSE)
        if replace:
            how = os.waitstatus_to_exitcode(status)
            log.warning("worker %d ended (%d); starting another", pid, how)
