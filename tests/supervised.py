"""A supervisor of workers that do what a folder says: ``python -m tests.supervised FOLDER``.

``settings`` holds the name of the generation, how many workers it has and how many seconds they may take to
end; ``bad`` is what cannot be read. ``manner`` says what a worker that starts now does: it ``serves``, it
``dies`` before it serves, it ``hangs`` and never serves, or it is ``deaf`` and serves without ever ending.
Each counts itself. All that happens is a line on stderr.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from relay.errors import UsageError
from relay.metrics import SPEND_DROPPED, Counters
from relay.supervisor import Supervisor
from relay.systemd import Notifier
from relay.worker import RETIRE

LAST_STREAM = signal.SIGUSR2
"""Tells a worker that has retired that its last stream has ended."""


def say(*words: object) -> None:
    os.write(2, (" ".join(map(str, words)) + "\n").encode())


class Scripted:
    """One generation."""

    def __init__(self, folder: Path, counters: Counters | None = None) -> None:
        self.folder = folder
        self.counters = counters or Counters()
        words = (folder / "settings").read_text().split()
        if words[0] == "bad":
            raise UsageError("these settings are bad")
        if words[0] == "broken":
            raise ZeroDivisionError
        self.name = words[0]
        self.workers = int(words[1])
        self.patience = float(words[2])

    def work(self, place: int, ready: Callable[[], None], lifeline: int) -> int:
        manner = (self.folder / "manner").read_text()
        self.counters.count(SPEND_DROPPED)  # before it is told: whoever has read of it may ask for the count
        say(self.name, place, os.getpid(), manner)
        if manner == "dies":
            return 3
        waited_for = {signal.SIGTERM, signal.SIGINT, RETIRE, LAST_STREAM}
        signal.pthread_sigmask(signal.SIG_BLOCK, waited_for)
        if manner != "hangs":
            ready()
        while True:
            number = signal.Signals(signal.sigwait(waited_for))
            say(os.getpid(), "got", "RETIRE" if number == RETIRE else number.name)
            if number != RETIRE and manner != "deaf":
                return 0

    def serves(self) -> str:
        say("all serve", self.name)
        say("counted", int(self.counters.total(SPEND_DROPPED)))
        return f"now {self.name}"

    def stops(self) -> None:
        say("all stop", self.name)


def main(folder: Path) -> int:
    with contextlib.suppress(KeyboardInterrupt):
        counters = Counters.shared()
        first = Scripted(folder, counters)
        return Supervisor(first, lambda: Scripted(folder, counters), Notifier.of(), counters).run()
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
