"""The conductor of the load bench: takes every path through every measurement, and keeps what was found.

What is measured, and in which order, is a plan: one list of measurements a round, each done on all
paths, one right after the other, in an order that rotates with the round and the measurement.
"""

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import procfs
import proxies
import tables
from peer import Peer

SETTLE = 0.5
INTERVAL_US = 20_000  # 50 deltas a second
DELTAS = {False: 100, True: 25}  # deltas of a stream, on kept and on new connections
FIRST_PROBES = 100
SPARE_DESCRIPTORS = 200
GONE_WITHIN = 2.0
MEASURED = ("starts", "cells", "rates", "firsts", "departures", "idle")


@dataclass(frozen=True, slots=True)
class Load:
    """So many streams side by side, each slot one after another. Zero is the usual."""

    streams: int
    fresh: bool = False
    script: str = "chat"
    dialect: str | None = None  # the clients', where the path translates
    deltas: int = 0
    interval_us: int = INTERVAL_US
    settle: float = SETTLE
    seconds: float = 0.0


Measurement = Callable[["Bench", int, proxies.Way], None]  # the round's number, then the path


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
    raw: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {name: [] for name in MEASURED})

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

    def round(self, number: int, plan: Iterable[Measurement]) -> None:
        """Every measurement of the plan once, on every path, on proxies that were just started."""
        with contextlib.ExitStack() as stack:
            ways = []
            for name in self.options.only:
                way = self.start(name)
                stack.callback(proxies.end, way)
                ways.append(way)
                if way.start:
                    self.raw["starts"].append({"round": number, "path": name, **way.start})
            turn = number
            for measure in plan:
                order = ways[turn % len(ways) :] + ways[: turn % len(ways)]
                for way in order:
                    measure(self, number, way)
                turn += 1

    def cell(self, number: int, way: proxies.Way, *, load: Load) -> None:
        self.raw["cells"].append(self.under(number, way, load))

    def under(self, number: int, way: proxies.Way, load: Load, path: str = "") -> dict[str, Any]:
        """What one path does under this load; a way that has several paths needs their names."""
        self.quiet()
        stolen, ticks = procfs.stolen_ticks()
        busy, began = procfs.cpu_ns([self.upstream.process.pid]), time.monotonic_ns()
        figures = self.clients.ask(
            do="steady",
            port=way.port,
            script=load.script,
            dialect=load.dialect,
            streams=load.streams,
            fresh=load.fresh,
            deltas=load.deltas or DELTAS[load.fresh],
            interval_us=load.interval_us,
            settle=load.settle,
            seconds=load.seconds or self.options.seconds,
            pids=way.pids(),
        )
        busy = procfs.cpu_ns([self.upstream.process.pid]) - busy
        figures["upstream_share"] = busy / (time.monotonic_ns() - began)
        stolen_after, ticks_after = procfs.stolen_ticks()
        figures["stolen_share"] = (stolen_after - stolen) / max(1, ticks_after - ticks)
        report = self.quiet()
        told = ("late_p50_ns", "late_p99_ns", "refused", "left_over")
        figures |= {name: report[name] for name in told}
        varied = {"script": load.script, "streams": load.streams, "fresh": load.fresh}
        row = {"round": number, "path": path or way.name} | varied | figures
        say(tables.cell_line(row))
        return row

    def first_frames(self, number: int, way: proxies.Way, *, fresh: bool) -> None:
        self.quiet()
        figures = self.ask_first(way, fresh=fresh)
        self.raw["firsts"].append({"round": number, "path": way.name, "fresh": fresh, **figures})

    def ask_first(self, way: proxies.Way, *, fresh: bool) -> dict[str, Any]:
        """The probes of the first frame, one request after the other."""
        return self.clients.ask(do="first", port=way.port, script="chat", n=FIRST_PROBES, fresh=fresh)

    def departures(self, number: int, way: proxies.Way, *, mode: str) -> None:
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

    def idle(self, name: str, streams: int, *, script: str = "chat") -> None:
        """Many streams that are silent: memory, CPU, and how new requests fare beside them."""
        self.quiet()
        way = self.start(name, connections=2 * streams + SPARE_DESCRIPTORS // 2)
        try:
            before = self.ask_first(way, fresh=True)
            memory = procfs.memory(way.pids())
            held = self.clients.ask(do="hold", port=way.port, script=script, n=streams)
            after = procfs.memory(way.pids())
            cpu = procfs.cpu_ns(way.pids())
            time.sleep(1.0)
            cpu = procfs.cpu_ns(way.pids()) - cpu
            beside = self.ask_first(way, fresh=True)
            released = self.clients.ask(do="release")
        finally:
            proxies.end(way)
        figures = {"before": memory, "after": after, "cpu_ns_per_s": cpu}
        self.raw["idle"].append(
            {"path": name, "script": script, "asked": streams, **held, **released, **figures}
            | {
                "first_before": before["first_ns"],
                "first_beside": beside["first_ns"],
                "beside": beside["errors"],
            }
        )


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
