"""``relay reload``: have a running relay read its settings anew, and say what came of it."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time

from relay import reloads
from relay.address import seconds
from relay.errors import UsageError
from relay.reloads import DONE, PENDING, Outcome

NOT_RELOADED, NOTHING_TO_RELOAD = 1, 3
_PAUSE = 0.02
"""Seconds between two looks at what came of it."""
_LONGEST = 200
"""Bytes of a command line that are shown."""

EXAMPLES = """\
examples:
  relay reload                     the one relay that this user runs
  relay reload 4711 --timeout 1m   this one of several; its new workers may take a while

exit codes: 0 reloaded; 1 not reloaded, or not in time; 2 usage; 3 nothing to reload
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "relay reload [PID] [--timeout TIME]"
    parser.description = EXAMPLES
    parser.add_argument("pid", nargs="?", type=int, metavar="PID", help="the relay, where several run")
    parser.add_argument("--timeout", default="10s", metavar="TIME", help="how long to wait for it (10s)")


def run(args: argparse.Namespace) -> int:
    patience = seconds(args.timeout)
    pids = [args.pid] if args.pid is not None else reloads.running(os.geteuid())
    if len(pids) > 1:
        known = "".join(f"\n  {pid}: {_command(pid)}" for pid in pids)
        raise UsageError(f"several relays run here; say which with relay reload PID:{known}")
    before = reloads.outcome(pids[0]) if pids else None
    if before is None:
        _complain(_nothing(args.pid))
        return NOTHING_TO_RELOAD
    with contextlib.suppress(ProcessLookupError):  # then it has no outcome either
        os.kill(pids[0], signal.SIGHUP)
    return _tell(pids[0], _awaited(pids[0], before, time.monotonic() + patience), args.timeout)


def _nothing(pid: int | None) -> str:
    if pid is None:
        return "no relay of this user runs here"
    if os.path.isdir(f"/proc/{pid}") and not os.access(f"/proc/{pid}/fd", os.R_OK):
        return f"process {pid} belongs to another user; run this as that user"
    return f"process {pid} is no relay; workers are none: it is their parent that reloads"


def _command(pid: int) -> str:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read(_LONGEST).rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
    return ""


def _awaited(pid: int, before: Outcome, end: float) -> Outcome | None:
    """What came of the first reload that began after that; pending where that is not known in time."""
    while (now := reloads.outcome(pid)) is not None:
        if now.number == before.number:  # busy with something else
            now = Outcome(now.number, PENDING, "")
        if now.state != PENDING or time.monotonic() > end:
            break
        time.sleep(_PAUSE)
    return now


def _tell(pid: int, outcome: Outcome | None, timeout: str) -> int:
    if outcome is None:
        _complain(f"relay {pid} has ended")
        return NOT_RELOADED
    if outcome.state == DONE:
        print("reloaded", outcome.said, sep="\n")
        return 0
    if outcome.state == PENDING:
        why = f": {outcome.said}" if outcome.said else ""
        _complain(f"not reloaded within {timeout}, and still trying{why}")
    else:
        _complain(f"not reloaded, the settings stay as they were: {outcome.said}")
    return NOT_RELOADED


def _complain(what: str) -> None:
    print(f"relay: {what}", file=sys.stderr)
