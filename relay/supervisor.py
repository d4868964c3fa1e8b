"""The workers: start them, replace the dead, exchange them for those of a new configuration, stop them.

There is always a supervisor, also of one worker: a worker that dies then takes only its own streams with
it. It has no loop and no handlers, and waits for one signal at a time (sigwait); also that a worker has
written its number into the one pipe, to say that it serves, comes as a signal (SIGIO). It imports what
workers need before it forks them, so that they share those pages.

A reload (HUP, or files that have changed) makes a new ``Generation`` first; what cannot be read changes
nothing. Then each place gets a second worker, and when that one serves, the first is told to retire: it
accepts no more and ends with its last stream. One that dies before it serves leaves the old one at work,
and is tried again.

Workers are process groups of their own, so that Ctrl-C reaches them once, through here; and each holds
the reading end of a pipe, the lifeline, which ends when the supervisor does, however it dies.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from relay.errors import UsageError
from relay.metrics import Counters
from relay.reloads import Reloads
from relay.systemd import Notifier
from relay.watching import INTERVAL
from relay.worker import RETIRE

log = logging.getLogger("relay")

STEADY = 10.0
"""Seconds that a worker must have lived for its death to count as the first again."""
_SHORTEST_PAUSE = 0.1
_LONGEST_PAUSE = 10.0

_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGIO}


class Generation(Protocol):
    """The workers that one reading of the settings asks for."""

    @property
    def workers(self) -> int: ...

    @property
    def patience(self) -> float:
        """Seconds that a worker may take to end after it was told to stop."""

    def work(self, place: int, ready: Callable[[], None], lifeline: int) -> int:
        """What the worker of this place does, in its own process; returns its exit code.

        It calls ``ready`` when it serves and drains when the descriptor ``lifeline`` ends.
        """

    def serves(self) -> str:
        """Called once, when every place has a worker of this generation that serves.

        Returns what has changed, for whoever asked for the reload.
        """

    def stops(self) -> None:
        """Called once, before its workers are told to stop."""


@dataclass(frozen=True, slots=True)
class Worker:
    """One process."""

    pid: int
    started: float
    generation: Generation
    row: int = -1
    """Where it counts."""

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)


class Place:
    """Where one worker serves, and another may be about to take over."""

    def __init__(self) -> None:
        self.serving: Worker | None = None
        self.starting: Worker | None = None
        self.deaths = 0
        self.due = 0.0

    def serves(self, generation: Generation) -> bool:
        return self.serving is not None and self.serving.generation is generation

    def wants(self, generation: Generation) -> bool:
        """A worker is to be started."""
        return self.starting is None and not self.serves(generation)

    def has_lost(self, worker: Worker, now: float) -> None:
        """Another may start at once after the first death, then later and later."""
        self.deaths = self.deaths + 1 if now - worker.started < STEADY else 1
        self.due = now + restart_pause(self.deaths)
        if worker is self.serving:
            self.serving = None
        else:
            self.starting = None


def restart_pause(deaths: int) -> float:
    """Seconds to wait after so many deaths in a row: none, then doubling up to the longest."""
    return 0.0 if deaths < 2 else min(_SHORTEST_PAUSE * 2.0 ** min(deaths - 2, 16), _LONGEST_PAUSE)


class Supervisor:
    """Runs the workers of one generation, and of those that follow it."""

    def __init__(
        self,
        generation: Generation,
        reload: Callable[[], Generation],
        notifier: Notifier | None = None,
        counters: Counters | None = None,
        changed: Callable[[], bool] | None = None,
    ) -> None:
        """``changed`` is asked once in a while whether there is something to reload."""
        self._generation = generation
        self._reload = reload
        self._notifier = notifier or Notifier()
        self._counters = counters or Counters.shared()
        self._reloads = Reloads(self._counters)
        self._changed = changed
        self._look_at = 0.0
        self._places: list[Place] = []
        self._retired: dict[int, Worker] = {}
        self._served: Generation | None = None
        self._stops = 0
        self._code = 0
        self._kill_at: float | None = None
        self._sign_of_life_at = 0.0

    def run(self) -> int:
        """Until told to stop; returns the exit code."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {*_SIGNALS, RETIRE})
        self._pipe = os.pipe()
        fcntl.fcntl(self._pipe[0], fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(self._pipe[0], fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
        self._lifeline = os.pipe()
        self._reloads.open()
        self._adjust_places()
        while not self._stops or any(self._all()):
            if not self._stops:
                self._start_what_is_due()
            self._act_on(self._wait())
            self._bury()
            self._hear()
            self._check_times()
        return self._code

    # Signals.

    def _wait(self) -> int | None:
        """The next signal, or None when something else is due."""
        times = [] if self._stops else [place.due for place in self._wanting()]
        if self._kill_at is not None:
            times.append(self._kill_at)
        if self._notifier.watchdog:
            times.append(self._sign_of_life_at)
        if self._changed is not None and not self._stops:
            times.append(self._look_at)
        if not times:
            return signal.sigwait(_SIGNALS)
        info = signal.sigtimedwait(_SIGNALS, max(0.0, min(times) - time.monotonic()))
        return None if info is None else info.si_signo

    def _act_on(self, number: int | None) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            self._stop(number)
        elif number == signal.SIGHUP and not self._stops:
            self._renew()

    def _stop(self, number: int) -> None:
        self._stops += 1
        if self._stops > 1:
            number = signal.SIGKILL
            self._code = self._code or 130
        else:
            self._notifier.stopping("draining")
            self._generation.stops()
            self._kill_at = time.monotonic() + max(
                (worker.generation.patience for worker in self._all()), default=0.0
            )
        for worker in self._all():
            worker.signal(number)

    def _renew(self) -> None:
        """Let a new generation take over, if there can be one."""
        self._notifier.reloading()
        self._reloads.begins()
        try:
            generation = self._reload()
        except Exception as error:
            self._reloads.fails(str(error) or type(error).__name__)
            unforeseen = not isinstance(error, UsageError)
            log.error("not reloaded, the settings stay as they were: %s", error, exc_info=unforeseen)
            self._notifier.ready(self._status())
            return
        self._generation = generation
        for place in self._places:
            if place.starting is not None:  # it may have served for a moment
                self._retire(place.starting)
            place.starting = None
            place.deaths, place.due = 0, 0.0
        self._adjust_places()

    def _check_times(self) -> None:
        now = time.monotonic()
        if self._notifier.watchdog and now >= self._sign_of_life_at:
            self._notifier.alive()
            self._sign_of_life_at = now + self._notifier.watchdog
        if self._changed is not None and not self._stops and now >= self._look_at:
            self._look_at = now + INTERVAL
            if self._changed():
                self._renew()
        if self._kill_at is not None and now >= self._kill_at:
            self._kill_at = None
            for worker in self._all():
                log.error("worker %d does not end; killed", worker.pid)
                worker.signal(signal.SIGKILL)

    def _status(self) -> str:
        count = self._generation.workers
        return f"serving with {count} worker{'s' if count > 1 else ''}"

    # Workers.

    def _all(self) -> Iterator[Worker]:
        for place in self._places:
            yield from (worker for worker in (place.serving, place.starting) if worker is not None)
        yield from self._retired.values()

    def _wanting(self) -> list[Place]:
        places = self._places[: self._generation.workers]
        return [place for place in places if place.wants(self._generation)]

    def _adjust_places(self) -> None:
        """A place for each worker. Surplus ones stay until the others are taken over."""
        missing = self._generation.workers - len(self._places)
        self._places += [Place() for _ in range(missing)]

    def _start_what_is_due(self) -> None:
        now = time.monotonic()
        for number, place in enumerate(self._places[: self._generation.workers]):
            if place.wants(self._generation) and now >= place.due:
                place.starting = self._start(number)

    def _start(self, place: int) -> Worker:
        row = self._counters.take()
        pid = os.fork()
        if not pid:
            self._be_worker(place, row)
        return Worker(pid, time.monotonic(), self._generation, row)

    def _be_worker(self, place: int, row: int) -> None:
        """What the child does instead of returning. It takes signals when it can act on them."""
        code = 1
        try:
            os.setpgid(0, 0)
            os.close(self._lifeline[1])
            os.close(self._pipe[0])
            self._reloads.close()
            self._counters.enter(row)
            code = self._generation.work(place, self._say_ready, self._lifeline[0])
        except Exception:
            log.exception("a worker failed")
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _say_ready(self) -> None:
        os.write(self._pipe[1], b"%d\n" % os.getpid())
        os.close(self._pipe[1])

    def _hear(self) -> None:
        """Which workers have come to serve? Their predecessors retire."""
        try:
            said = os.read(self._pipe[0], 65536)
        except BlockingIOError:
            return
        serving = {int(pid) for pid in said.split()}
        for place in self._places:
            if place.starting is not None and place.starting.pid in serving:
                if place.serving is not None:
                    self._retire(place.serving)
                place.serving, place.starting = place.starting, None
        places = self._places[: self._generation.workers]
        served = self._served is self._generation
        if not (self._stops or served) and all(place.serves(self._generation) for place in places):
            self._take_over()

    def _take_over(self) -> None:
        """Every place has its worker of this generation."""
        self._served = self._generation
        for place in self._places[self._generation.workers :]:
            if place.serving is not None:
                self._retire(place.serving)
        del self._places[self._generation.workers :]
        self._reloads.serves()
        self._reloads.succeeds(self._generation.serves())
        self._notifier.ready(self._status())

    def _retire(self, worker: Worker) -> None:
        self._retired[worker.pid] = worker
        worker.signal(RETIRE)

    def _bury(self) -> None:
        """Note who has died; after a stop, or of those who have retired, that is as it should be."""
        for worker in list(self._all()):
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if not pid:
                continue
            self._counters.leave(worker.row)
            code = os.waitstatus_to_exitcode(status)
            if self._retired.pop(pid, None) is not None:
                log.info("worker %d ended (%d); it had retired", pid, code)
                continue
            for place in self._places:
                if worker in (place.serving, place.starting):
                    place.has_lost(worker, time.monotonic())
            if not self._stops:
                self._complain(worker, code)

    def _complain(self, worker: Worker, code: int) -> None:
        """One that fails before relay has ever served will fail again: then there is no relay."""
        if self._served is None and code > 0:
            log.error("worker %d ended (%d) before relay had ever served", worker.pid, code)
            self._code = code
            self._stop(signal.SIGTERM)
        else:
            log.warning("worker %d ended (%d); starting another", worker.pid, code)
            if worker.generation is self._generation is not self._served:
                self._reloads.hangs(f"a worker with the new settings ended ({code}); starting another")
