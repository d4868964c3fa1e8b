"""The load bench: what a hop adds to every delta, side by side with nginx, HAProxy and no hop at all.

    python bench/load.py               about ten minutes; the table goes into bench/README.md
    python bench/load.py --quick       about a minute, printed only
    python bench/load.py --checked     about eight minutes; what it costs to check streams, in every dialect
    python bench/load.py --translated  about nine minutes; what it costs to say them in another dialect

The upstream and the clients are processes of their own on one core, the proxy has another core
to itself. Every round starts the proxies anew and takes each cell (number of streams, kept or
new connections) through all paths, one right after the other, in an order that rotates with the
round. "Added" is a path's percentile less the direct path's percentile of the same round and
cell; a table entry is the median over the rounds; a ratio is formed within a round, then its
median taken. Raw figures of every cell stay in bench/results/.

What could mislead:

- Read ratios, not milliseconds. A busy neighbour or a sleeping virtual core moves every path; the
  heading tells how much time the hypervisor took away.
- A latency ends with the kernel's receive stamp on the client's socket. "As read" ends with the
  clock after `recv`, and so contains how long the busy client process took to get there.
- Percentiles do not subtract like times do: "added p99" compares two tails, it is not the tail of
  what was added. A negative one means that the difference drowned in the noise of the ends.
- At 400 streams the ends share a core and are busy. How late the upstream's ticks were and how
  much of the core the two took is in the raw file, and said under the table where it was much.
- CPU per delta is all the proxy's CPU time over the deltas of the window, so the heads of the
  requests are in it: one a hundred deltas on kept connections, one in 25 on new ones.
- At one stream a cell has about 200 deltas: its p99 is the second worst of them. The time to
  first frame there comes from separate probes, one request after the other.
- "New connections" are the client's. Every proxy keeps its connections to the upstream, while the
  direct path pays the upstream's accept: what proxies add to the first frame there looks small.
- With `--checked` a stream of a hundred deltas pays for its request, its opening and its end, too. To see
  what a delta alone costs, see `micro.py`, or compare runs with other lengths.
"""

import argparse
import contextlib
import json
import os
import resource
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aims
import checked
import litellm_proxy
import procfs
import proxies
import tables
import translated
from conductor import SPARE_DESCRIPTORS, Bench, Load, Measurement, say
from frames import IN_PLACE, LEGAL, SCRIPTS
from peer import Peer

HERE = Path(__file__).resolve().parent
CHECKED_IDLE = 2000  # enough to tell a tenth of a KiB


def usual_plan(options: argparse.Namespace) -> Iterator[Measurement]:
    """Few streams first, so that memory is read before more of them have stretched it."""
    if not options.skip_first:
        for fresh in (False, True):
            yield partial(Bench.first_frames, fresh=fresh)
    if not options.skip_departures:
        for mode in ("stream", "silent"):
            yield partial(Bench.departures, mode=mode)
    for streams in options.streams:
        for fresh in (False, True):
            yield partial(Bench.cell, load=Load(streams, fresh=fresh))


def checked_plan(options: argparse.Namespace) -> Iterator[Measurement]:
    """Legal streams at every load; those of which every delta must be mended at one, like any other."""
    for streams in options.streams:
        for script in options.scripts:
            if script in LEGAL or streams == checked.MALFORMED_STREAMS:
                yield partial(Bench.cell, load=Load(streams, script=script))


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the benches: its paths, the window of a cell, what a round does, what its figures become."""

    name: str
    peers: tuple[str, ...]
    seconds: float
    plan: Callable[[argparse.Namespace], Iterator[Measurement]]
    render: Callable[[dict[str, Any]], str]
    streams: str = "1,64,400"
    quick_seconds: float = 1.0
    quick_streams: str = "1,64,400"
    holds: bool = True  # silent streams


USUAL = Kind("load", ("nginx", "haproxy", "relay"), 4.0, usual_plan, tables.render)
CHECKED = Kind("checked", ("nginx", "relay-unchecked", "relay-checked"), 1.5, checked_plan, checked.render)
TRANSLATED = Kind(
    "translated",
    ("nginx", "relay-checked", *proxies.TRANSLATORS),
    1.5,
    translated.plan,
    translated.render,
    streams="1,8,64,400",
    quick_seconds=0.5,
    quick_streams="1,64",
    holds=False,
)


def idle_streams(wanted: int) -> int:
    """As many as wanted and as two descriptors a stream allow."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return min(wanted, (limit - SPARE_DESCRIPTORS) // 2)


def raise_descriptor_limit() -> None:
    """As high as this user may, for this process and all it starts."""
    wanted = 2 * aims.IDLE_STREAMS + SPARE_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            return
        wanted = hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measures what relay, nginx and HAProxy add to a stream.")
    kind = parser.add_mutually_exclusive_group()
    for one, what in (
        (CHECKED, "with and without checking, in every dialect"),
        (TRANSLATED, "as translator"),
    ):
        kind.add_argument(f"--{one.name}", dest="kind", action="store_const", const=one, help=f"relay {what}")
    parser.add_argument("--rounds", type=int, help="default 5, with --quick 1")
    parser.add_argument(
        "--seconds", type=float, help="measured window of a cell; default 4, else 1.5, with --quick up to 1"
    )
    parser.add_argument("--streams", help="numbers of streams; default 1,64,400, and 8 with --translated")
    parser.add_argument(
        "--scripts",
        default=",".join([*LEGAL, IN_PLACE["messages"]]),
        help=f"with --checked, of {', '.join(SCRIPTS)} (%(default)s)",
    )
    parser.add_argument("--only", help=f"paths beside direct, of {', '.join(proxies.NAMES[1:])}")
    parser.add_argument("--departures", type=int, help="clients that leave; default 200, with --quick 60")
    parser.add_argument("--quick", action="store_true", help="about a minute; the README is left alone")
    parser.add_argument("--skip-first", action="store_true", help="no probes of the first frame")
    parser.add_argument("--skip-departures", action="store_true", help="no clients that leave")
    parser.add_argument("--skip-idle", action="store_true", help="no silent streams")
    parser.add_argument("--relay-args", default="", help="more arguments for `relay serve`, as one string")
    parser.add_argument(
        "--write", action=argparse.BooleanOptionalAction, help="the table into bench/README.md"
    )
    parser.set_defaults(kind=USUAL)
    options = parser.parse_args()
    chosen: Kind = options.kind
    only = options.only.split(",") if options.only else chosen.peers
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.seconds = options.seconds or (chosen.quick_seconds if options.quick else chosen.seconds)
    options.streams = options.streams or (chosen.quick_streams if options.quick else chosen.streams)
    options.departures = options.departures or (60 if options.quick else aims.DEPARTURES)
    options.streams = sorted(int(number) for number in options.streams.split(","))
    options.scripts = options.scripts.split(",")
    options.only = [name for name in proxies.NAMES if name == "direct" or name in only]
    if unknown := {*only} - {*proxies.NAMES} | {*options.scripts} - {*SCRIPTS}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if options.write is None:
        options.write = not options.quick and {*chosen.peers} <= {*options.only}
    return options


def run(options: argparse.Namespace) -> dict[str, Any]:
    """The whole bench; whatever happens, every process it started has ended when this returns."""
    cores = sorted(os.sched_getaffinity(0))
    client_cpu, proxy_cpu = cores[0], cores[-1]
    upstream_cpu = cores[1] if len(cores) > 2 else client_cpu
    os.sched_setaffinity(0, {client_cpu})
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="relay-bench-")))
        upstream = Peer("upstream.py", upstream_cpu)
        stack.callback(upstream.end)
        clients = Peer("clients.py", client_cpu)
        stack.callback(clients.end)
        bench = Bench(options, folder, proxy_cpu, upstream, clients, upstream.read()["port"])
        for number in range(options.rounds):
            say(f"round {number + 1} of {options.rounds}")
            bench.round(number, options.kind.plan(options))
        if options.kind.holds and not options.skip_idle:
            idle(bench, options)
    return bench.raw


def idle(bench: Bench, options: argparse.Namespace) -> None:
    """The probes of silent streams."""
    is_checked = options.kind is CHECKED
    scripts = [script for script in options.scripts if script in LEGAL] if is_checked else ["chat"]
    wanted = CHECKED_IDLE if is_checked else aims.IDLE_STREAMS
    for script in scripts:
        for name in options.only[1:]:
            if name in proxies.RELAYS or not is_checked:
                say(f"idle streams on {name}, {script}")
                bench.idle(name, idle_streams(wanted), script=script)


def without_litellm(options: argparse.Namespace) -> list[str]:
    """Takes LiteLLM out of the paths where it cannot be had, and says why."""
    why = litellm_proxy.missing() if "litellm" in options.only else None
    if why is None:
        return []
    say(why)
    options.only.remove("litellm")
    return [f"LiteLLM was left out: {why}"]


def main() -> int:
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    raise_descriptor_limit()
    facts = procfs.machine() | {"cores": str(len(os.sched_getaffinity(0)))}
    left_out = without_litellm(options)
    began = time.time()
    try:
        raw = run(options)
    except proxies.ProcessError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    document = {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(began)),
        "minutes": round((time.time() - began) / 60, 1),
        "command": shlex.join(["python", "bench/load.py", *sys.argv[1:]]),
        "machine": facts,
        "versions": proxies.versions(options.only),
        "options": vars(options) | {"kind": options.kind.name},
        "left_out": left_out,
        **raw,
    }
    name = options.kind.name
    kept = HERE / "results" / time.strftime(f"{name}-%Y%m%d-%H%M%S.json", time.gmtime(began))
    kept.parent.mkdir(exist_ok=True)
    kept.write_text(json.dumps(document, indent=1))
    text = options.kind.render(document)
    print(text)
    say(f"raw figures: {kept}")
    if options.write:
        tables.insert(HERE / "README.md", name, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
