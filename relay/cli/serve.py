"""``relay serve``: forward requests to an upstream, every delta the moment it arrives."""

from __future__ import annotations

import argparse
import contextlib
import gc
import logging
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

from relay.cli import banner
from relay.cli.serve_options import add_arguments, settings_of
from relay.errors import UsageError
from relay.settings.flat import changed
from relay.settings.resolved import Resolved
from relay.watching import Watch

if TYPE_CHECKING:
    from relay.generation import Generation

__all__ = ["add_arguments", "run"]

log = logging.getLogger("relay")


def run(args: argparse.Namespace) -> int:
    started = time.monotonic()
    logging.basicConfig(
        stream=sys.stderr,
        format="relay: %(message)s",
        level=logging.INFO if args.verbose else logging.WARNING,
    )
    reading = Reading(args, started)
    resolved = reading.read()
    # All that workers need is imported here, before they are forked, and not for flags that are wrong.
    from relay.generation import Generation, Listeners
    from relay.metrics import Counters
    from relay.supervisor import Supervisor
    from relay.systemd import Notifier, activated

    counters = Counters.shared()
    with contextlib.closing(Listeners(activated())) as listeners:

        def generation(resolved: Resolved) -> Generation:
            return Generation(resolved.settings, listeners, partial(reading.serves, resolved), counters)

        def reload() -> Generation:
            try:
                return generation(reading.read())
            except Exception:
                if reading.watch is not None:
                    reading.watch.failed()
                raise

        first = generation(resolved)
        gc.collect()
        gc.freeze()  # a collection in one process would make its own copy of pages that all of them share
        watch = reading.watch.changed if reading.watch is not None else None
        return Supervisor(first, reload, Notifier.of(), counters, watch).run()


class Reading:
    """Settings from flags and files, read as often as asked, and what is said of them."""

    def __init__(self, args: argparse.Namespace, started: float) -> None:
        self.watch = Watch() if args.watch else None
        self._args = args
        self._started = started
        self._served: Resolved | None = None
        self._warned: set[str] = set()

    def read(self) -> Resolved:
        """What they say now; what is watched has not changed since."""
        if self.watch is not None:
            self.watch.note()
        resolved = settings_of(self._args)
        while self.watch is not None and self.watch.follow(_files(resolved)):
            resolved = settings_of(self._args)
        if self.watch is not None and not self.watch.files:
            raise UsageError("--watch: no file is read, so there is none that could change")
        for warning in resolved.warnings:
            if warning not in self._warned:
                log.warning("%s", warning)
        self._warned.update(resolved.warnings)
        return resolved

    def serves(self, resolved: Resolved, generation: Generation) -> str:
        """Say that these settings are at work; returns what they have changed."""
        before, self._served = self._served, resolved
        if before is None:
            watched = self.watch.files if self.watch is not None else ()
            _say(*banner.started(generation, resolved.said, watched, time.monotonic() - self._started))
            return ""
        difference = banner.difference(changed(before.settings, resolved.settings))
        _say(*difference, banner.reloaded(generation.workers))
        return "\n".join(difference)


def _files(resolved: Resolved) -> tuple[str, ...]:
    """All that was read of them, certificates included."""
    tls = resolved.settings.tls
    certificates = (tls.cert, tls.key, tls.client_ca) if tls is not None else ()
    return (*resolved.files, *filter(None, certificates))


def _say(*lines: str) -> None:
    print("\n".join(lines), file=sys.stderr, flush=True)
