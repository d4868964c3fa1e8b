"""``relay serve``: forward requests to an upstream, every delta the moment it arrives."""

from __future__ import annotations

import argparse
import contextlib
import gc
import logging
import sys
import time
from typing import TYPE_CHECKING

from relay import __version__, dialects
from relay.cli.serve_options import add_arguments, settings_of

if TYPE_CHECKING:
    from relay.generation import Generation

__all__ = ["add_arguments", "run"]


def run(args: argparse.Namespace) -> int:
    started = time.monotonic()
    settings = settings_of(args)
    logging.basicConfig(
        stream=sys.stderr,
        format="relay: %(message)s",
        level=logging.INFO if args.verbose else logging.WARNING,
    )
    # All that workers need is imported here, before they are forked, and not for flags that are wrong.
    from relay.generation import Generation, Listeners
    from relay.supervisor import Supervisor
    from relay.systemd import Notifier, activated

    with contextlib.closing(Listeners(activated())) as listeners:
        first = Generation(settings, listeners, lambda generation: _announce(generation, started))
        gc.collect()
        gc.freeze()  # a collection in one process would make its own copy of pages that all of them share

        def reload() -> Generation:
            return Generation(settings_of(args), listeners, _reloaded)

        return Supervisor(first, reload, Notifier.of()).run()


def _announce(generation: Generation, started: float) -> None:
    """What a person wants to know when it serves."""
    settings = generation.settings
    for listener in generation.clients:
        url = listener.url.replace("http:", "https:", 1) if settings.tls else listener.url
        _say(f"relay {__version__} listening on {url}")
    for listener in generation.admin:
        _say(f"health on {listener.url}")
    for upstream in settings.upstreams:
        _say(f"forwarding to {upstream}")
        if spoken := upstream.dialects:
            others = ", ".join(sorted(set(dialects.BY_NAME) - set(spoken)))
            _say(f"it speaks {', '.join(spoken)}; translated: {others or 'nothing'}")
    workers = f", {settings.workers} workers" if settings.workers > 1 else ""
    _say(f"ready in {time.monotonic() - started:.2f} s{workers}")


def _reloaded(generation: Generation) -> None:
    workers = generation.settings.workers
    _say(f"reloaded; {workers} new worker{'s' if workers > 1 else ''}, old ones end with their last stream")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
