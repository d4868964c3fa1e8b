"""``relay fake``: a small upstream that streams in every dialect, for trying things out."""

from __future__ import annotations

import argparse
import contextlib
import math
import sys

from relay.address import ListenAddress
from relay.errors import UsageError
from relay.fake.text import DEFAULT_DELTAS, MAX_DELTAS
from relay.listen import bind, bound_url, unlinked_at_end


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--listen",
        action="append",
        metavar="ADDR",
        help="host:port, [::1]:port or unix:/path.sock; may repeat (default 127.0.0.1:8000)",
    )
    parser.add_argument(
        "--rate",
        type=float,
        default=20.0,
        metavar="DELTAS_PER_SECOND",
        help="how fast each stream runs; 0: as fast as it is taken (default 20)",
    )
    parser.add_argument(
        "--deltas",
        type=int,
        default=DEFAULT_DELTAS,
        metavar="N",
        help=f"words in an answer (default {DEFAULT_DELTAS}, the text once)",
    )


def run(args: argparse.Namespace) -> int:
    addresses = [ListenAddress.parse(text) for text in args.listen or ["127.0.0.1:8000"]]
    # Below one delta an hour a stream looks dead, and this is also where NaN ends.
    if args.rate != 0 and not (args.rate >= 1 / 3600 and math.isfinite(args.rate)):
        raise UsageError(f"--rate {args.rate:g}: expected deltas per second, or 0 for as fast as possible")
    if not 1 <= args.deltas <= MAX_DELTAS:
        raise UsageError(f"--deltas {args.deltas}: expected 1 to {MAX_DELTAS}")
    from relay.fake import server
    from relay.fake.connection import Pace

    pace = Pace(args.rate, args.deltas)
    speed = f"{pace.rate:g} deltas/s" if pace.rate else "as fast as possible"
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(bind(address)) for address in addresses]
        held.enter_context(unlinked_at_end(addresses))

        def announce() -> None:
            for address, sock in zip(addresses, sockets, strict=True):
                where = bound_url(address, sock)
                print(
                    f"relay fake: listening on {where} (chat, messages, responses), {speed}",
                    file=sys.stderr,
                    flush=True,
                )

        server.run(sockets, pace, announce)
    return 0
