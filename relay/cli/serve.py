"""``relay serve``: forward requests to an upstream, every delta the moment it arrives."""

from __future__ import annotations

import argparse
import logging
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from relay import __version__, dialects
from relay.config import ListenAddress, Repair, Settings, Timeouts, Upstream, seconds
from relay.errors import UsageError
from relay.listen import bind_each, bound_url, unlinked_at_end


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--upstream",
        required=True,
        metavar="URL",
        help="http://host[:port][/base], https://… or unix:/path.sock",
    )
    parser.add_argument(
        "--upstream-dialect",
        action="append",
        choices=sorted(dialects.BY_NAME),
        default=[],
        metavar="DIALECT",
        help="chat, messages or responses: what the upstream speaks, other paths are translated to the first "
        "named; may repeat (default: forward each path as it is)",
    )
    parser.add_argument(
        "--upstream-profile",
        choices=list(dialects.PROFILES),
        default="generic",
        metavar="KIND",
        help=f"what the upstream can take: {', '.join(dialects.PROFILES)} (default generic)",
    )
    parser.add_argument(
        "--listen",
        action="append",
        metavar="ADDR",
        help="host:port, [::1]:port or unix:/path.sock; may repeat (default 127.0.0.1:8787)",
    )
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes (default 1)")
    parser.add_argument(
        "--drain",
        default="30s",
        metavar="TIME",
        help="how long live streams may run on after SIGTERM (default 30s)",
    )
    parser.add_argument(
        "--repair",
        choices=[repair.value for repair in Repair],
        default=Repair.ON.value,
        help="mend malformed streams, only report them, or forward them untouched (default on)",
    )
    parser.add_argument(
        "--keep-alive",
        default="15s",
        metavar="TIME",
        help="silence after which a waiting client gets a sign of life; none: never (default 15s)",
    )
    parser.add_argument(
        "--ask-usage",
        action="store_true",
        help="ask chat upstreams for token counts, and keep them from clients that did not ask",
    )


def run(args: argparse.Namespace) -> int:
    started = time.monotonic()
    settings = _settings(args)
    logging.basicConfig(
        stream=sys.stderr,
        format="relay: %(message)s",
        level=logging.INFO if args.verbose else logging.WARNING,
    )
    from relay import supervisor, worker

    tls = worker.tls_context(settings)
    _resolve(settings)
    sockets = [bind_each(address, settings.workers) for address in settings.listen]
    with unlinked_at_end(settings.listen):
        per_worker = [[of_address[index] for of_address in sockets] for index in range(settings.workers)]
        ready = _announcement(settings, per_worker[0], started)

        def work(own: Sequence[socket.socket], ready: Callable[[], None], lifeline: int) -> int:
            return worker.run(settings, own, ready, tls, lifeline)

        if settings.workers == 1:
            return worker.run(settings, per_worker[0], ready, tls)
        return supervisor.supervise(per_worker, work, ready)


def _settings(args: argparse.Namespace) -> Settings:
    if not 1 <= args.workers <= 256:
        raise UsageError(f"--workers {args.workers}: expected 1 to 256")
    return Settings(
        upstream=replace(
            Upstream.parse(args.upstream),
            dialects=tuple(dict.fromkeys(args.upstream_dialect)),
            profile=args.upstream_profile,
        ),
        listen=tuple(ListenAddress.parse(text) for text in args.listen or ["127.0.0.1:8787"]),
        workers=args.workers,
        drain=seconds(args.drain),
        repair=Repair(args.repair),
        ask_usage=args.ask_usage,
        timeouts=Timeouts(silence=0 if args.keep_alive == "none" else seconds(args.keep_alive)),
    )


def _resolve(settings: Settings) -> None:
    """Fail now rather than at the first request when the upstream's name means nothing."""
    origin = settings.upstream.origin
    if origin.path is None:
        try:
            socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise UsageError(
                f"the upstream host {origin.host!r} cannot be resolved: {error.strerror}"
            ) from error


def _announcement(settings: Settings, sockets: Sequence[socket.socket], started: float) -> Callable[[], None]:
    def announce() -> None:
        for address, sock in zip(settings.listen, sockets, strict=True):
            print(f"relay {__version__} listening on {bound_url(address, sock)}", file=sys.stderr)
        workers = f", {settings.workers} workers" if settings.workers > 1 else ""
        print(f"forwarding to {settings.upstream}{workers}", file=sys.stderr)
        if spoken := settings.upstream.dialects:
            others = ", ".join(sorted(set(dialects.BY_NAME) - set(spoken)))
            print(f"it speaks {', '.join(spoken)}; translated: {others or 'nothing'}", file=sys.stderr)
        took = time.monotonic() - started
        print(f"ready in {took:.2f} s", file=sys.stderr, flush=True)

    return announce
