"""The load bench: what a hop adds to every delta, side by side with nginx, HAProxy and no hop at all.

    python bench/load.py            about ten minutes; the table goes into bench/README.md
    python bench/load.py --quick    about a minute, printed only

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
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import aims
import procfs
import proxies
import tables
from peer import Peer

HERE = Path(__file__).resolve().parent
SETTLE = 0.5
INTERVAL_US = 20_000  # 50 deltas a second
DELTAS = {False: 100, True: 25}  # deltas of a stream, on kept and on new connections
FIRST_PROBES = 100
SPARE_DESCRIPTORS = 200
GONE_WITHIN = 2.0


@dataclass(slots=True)
class Bench:
    """One run: the two ends, the options, and what was measured so far."""

    options: argparse.Namespace
    folder: Path
    proxy_cpu: int
    upstream: Peer
    clients: Peer
    port: int
    next_id: int = 1
    raw: dict[str, list[dict[str, Any]]] = field(
        default_factory=lambda: {"starts": [], "cells": [], "firsts": [], "departures": [], "idle": []}
    )

    def start(self, name: str, connections: int = proxies.CONNECTIONS) -> proxies.Way:
        return proxies.start(
            name,
            self.port,
            self.proxy_cpu,
            self.folder,
            connections=connections,
            relay_args=self.options.relay_args,
        )

    def quiet(self) -> dict[str, Any]:
        """Waits until no stream runs at the upstream; the report of the time since the last one."""
        report = latest = self.upstream.ask()
        deadline = time.monotonic() + GONE_WITHIN
        while latest["active"] and time.monotonic() < deadline:
            time.sleep(0.01)
            latest = self.upstream.ask()
            report["gone"].update(latest["gone"])
        report["left_over"] = latest["active"]
        return report

    def round(self, number: int) -> None:
        """Every measurement once, on every path, on proxies that were just started."""
        with contextlib.ExitStack() as stack:
            ways = []
            for name in self.options.only:
                way = self.start(name)
                stack.callback(proxies.end, way)
                ways.append(way)
                if way.start:
                    self.raw["starts"].append({"round": number, "path": name, **way.start})
            turn = number
            for measure in self.plan():
                order = ways[turn % len(ways) :] + ways[: turn % len(ways)]
                for way in order:
                    measure(number, way)
                turn += 1

    def plan(self) -> Iterator[Callable[[int, proxies.Way], None]]:
        """Few streams first, so that memory is read before more of them have stretched it."""
        if not self.options.skip_first:
            for fresh in (False, True):
                yield partial(self.first_frames, fresh=fresh)
        if not self.options.skip_departures:
            for mode in ("stream", "silent"):
                yield partial(self.departures, mode=mode)
        for streams in self.options.streams:
            for fresh in (False, True):
                yield partial(self.cell, streams=streams, fresh=fresh)

    def cell(self, number: int, way: proxies.Way, streams: int, fresh: bool) -> None:
        self.quiet()
        stolen, ticks = procfs.stolen_ticks()
        busy, began = procfs.cpu_ns([self.upstream.process.pid]), time.monotonic_ns()
        figures = self.clients.ask(
            do="steady",
            port=way.port,
            streams=streams,
            fresh=fresh,
            deltas=DELTAS[fresh],
            interval_us=INTERVAL_US,
            settle=SETTLE,
            seconds=self.options.seconds,
            pids=way.pids(),
        )
        busy = procfs.cpu_ns([self.upstream.process.pid]) - busy
        figures["upstream_share"] = busy / (time.monotonic_ns() - began)
        stolen_after, ticks_after = procfs.stolen_ticks()
        figures["stolen_share"] = (stolen_after - stolen) / max(1, ticks_after - ticks)
        report = self.quiet()
        for name in ("late_p50_ns", "late_p99_ns", "refused", "left_over"):
            figures[name] = report[name]
        self.raw["cells"].append(
            {"round": number, "path": way.name, "streams": streams, "fresh": fresh, **figures}
        )
        say(tables.cell_line(self.raw["cells"][-1]))

    def first_frames(self, number: int, way: proxies.Way, fresh: bool) -> None:
        self.quiet()
        figures = self.clients.ask(do="first", port=way.port, n=FIRST_PROBES, fresh=fresh)
        self.raw["firsts"].append({"round": number, "path": way.name, "fresh": fresh, **figures})

    def departures(self, number: int, way: proxies.Way, mode: str) -> None:
        """Clients that leave; the upstream's stamps are joined to theirs by the request's id."""
        self.quiet()
        count = -(-self.options.departures // self.options.rounds)
        figures = self.clients.ask(do="depart", port=way.port, n=count, first_id=self.next_id, mode=mode)
        self.next_id += count
        report = self.quiet()
        left: dict[str, int] = figures["left"]
        delays = [report["gone"][ident] - stamp for ident, stamp in left.items() if ident in report["gone"]]
        self.raw["departures"].append(
            {
                "round": number,
                "path": way.name,
                "mode": mode,
                "n": len(left),
                "unseen": len(left) - len(delays),
                "never_arrived": sum(1 for ident in left if ident not in report["arrived"]),
                "delays_ns": delays,
                "errors": figures["errors"],
            }
        )

    def idle(self, name: str, streams: int) -> None:
        """Many streams that are silent: memory, CPU, and how new requests fare beside them."""
        self.quiet()
        way = self.start(name, connections=2 * streams + SPARE_DESCRIPTORS // 2)
        try:
            before = self.clients.ask(do="first", port=way.port, n=FIRST_PROBES, fresh=True)
            memory = procfs.memory(way.pids())
            held = self.clients.ask(do="hold", port=way.port, n=streams)
            after = procfs.memory(way.pids())
            cpu = procfs.cpu_ns(way.pids())
            time.sleep(1.0)
            cpu = procfs.cpu_ns(way.pids()) - cpu
            beside = self.clients.ask(do="first", port=way.port, n=FIRST_PROBES, fresh=True)
            released = self.clients.ask(do="release")
        finally:
            proxies.end(way)
        figures = {"before": memory, "after": after, "cpu_ns_per_s": cpu}
        self.raw["idle"].append(
            {"path": name, "asked": streams, **held, **released, **figures}
            | {
                "first_before": before["first_ns"],
                "first_beside": beside["first_ns"],
                "beside": beside["errors"],
            }
        )


def idle_streams() -> int:
    """As many as two descriptors a stream allow, at most `IDLE_STREAMS`."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return min(aims.IDLE_STREAMS, (limit - SPARE_DESCRIPTORS) // 2)


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
    parser.add_argument("--rounds", type=int, help="default 5, with --quick 1")
    parser.add_argument("--seconds", type=float, help="measured window of a cell; default 4, with --quick 1")
    parser.add_argument("--streams", default="1,64,400", help="numbers of streams (%(default)s)")
    parser.add_argument("--only", default="nginx,haproxy,relay", help="paths beside direct (%(default)s)")
    parser.add_argument("--departures", type=int, help="clients that leave; default 200, with --quick 60")
    parser.add_argument("--quick", action="store_true", help="about a minute; the README is left alone")
    parser.add_argument("--skip-first", action="store_true", help="no probes of the first frame")
    parser.add_argument("--skip-departures", action="store_true", help="no clients that leave")
    parser.add_argument("--skip-idle", action="store_true", help="no 10,000 silent streams")
    parser.add_argument("--relay-args", default="", help="more arguments for `relay serve`, as one string")
    parser.add_argument(
        "--write", action=argparse.BooleanOptionalAction, help="the table into bench/README.md"
    )
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.seconds = options.seconds or (1.0 if options.quick else 4.0)
    options.departures = options.departures or (60 if options.quick else aims.DEPARTURES)
    options.streams = sorted(int(number) for number in options.streams.split(","))
    options.only = [name for name in proxies.NAMES if name == "direct" or name in options.only.split(",")]
    if options.write is None:
        options.write = not options.quick and len(options.only) == len(proxies.NAMES)
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
            bench.round(number)
        if not options.skip_idle:
            for name in options.only[1:]:
                say(f"idle streams on {name}")
                bench.idle(name, idle_streams())
    return bench.raw


def main() -> int:
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    raise_descriptor_limit()
    facts = procfs.machine() | {"cores": str(len(os.sched_getaffinity(0)))}
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
        "versions": [version for name in options.only if (version := proxies.version(name))],
        "options": {name: value for name, value in vars(options).items() if value is not None},
        **raw,
    }
    kept = HERE / "results" / time.strftime("load-%Y%m%d-%H%M%S.json", time.gmtime(began))
    kept.parent.mkdir(exist_ok=True)
    kept.write_text(json.dumps(document, indent=1))
    text = tables.render(document)
    print(text)
    say(f"raw figures: {kept}")
    if options.write:
        tables.insert(HERE / "README.md", text)
    return 0


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
