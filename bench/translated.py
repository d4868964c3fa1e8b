"""What translation costs: the plan, the tables and the aims of `load.py --translated`.

A stream of the upstream's goes straight to the client, through nginx and through relay as it is, and
through what makes another dialect of it: relay, and for chat→messages LiteLLM. The client reads the
same stamps in every dialect, since they are in the text. A cell is what the upstream speaks and a
number of streams, so the client of a path that translates gets other frames than that of nginx:
shorter ones in messages, longer ones in responses. Streams last as long as the measured window, so
each slot asks once in it, and a request has the same part in every cell.

Requests per second are taken from short streams, one after another on kept connections, as many
side by side as keep the proxy's core busy; they are divided by the CPU time that the proxy used,
so a core that was not quite full does not count against it.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from statistics import median

import litellm_proxy
import procfs
import tables
from aims import Verdict, all_of, at_most
from conductor import INTERVAL_US, Bench, Load, Measurement
from figures import Figure, Rounds, Row, cpu_us, milliseconds, spread
from proxies import LABELS, TRANSLATORS, Way

PASSED = "relay-checked"
LITELLM = LABELS["litellm", "messages"]
RIVAL_OF = LABELS["relay-chat", "messages"]  # does what LiteLLM does
TRANSLATED = tuple(label for (name, _), label in LABELS.items() if name != "litellm")
SPOKEN = ("chat", "messages")  # by the upstream
CPU_RATIO = 2.0
CPU_SHARE = 15  # of LiteLLM's CPU time relay may take one part in so many
ADDED_US = 60.0
RATE_TIMES = 10
RATE_DELTAS = 10
RATE = Load(16, deltas=RATE_DELTAS, interval_us=500)
BEARABLE = 8  # streams with which LiteLLM keeps up; relay is measured there for the comparison only
COMPARED = ("direct", "nginx", RIVAL_OF, LITELLM)
BEHIND = 0.95
CALM_WITHIN, CALM_WINDOW, CALM_SHARE = 10.0, 0.05, 0.05
SIGNED = "+.1f"

Cell = tuple[str, int]
Taken = list[tuple[str, str | None]]


def plan(options: argparse.Namespace) -> Iterator[Measurement]:
    deltas = round(options.seconds * 1e6 / INTERVAL_US)
    for streams in options.streams:
        for script in SPOKEN:
            if script == "chat" or streams != BEARABLE:
                yield partial(_cell, load=Load(streams, script=script, deltas=deltas))
    yield _rate


def _cell(bench: Bench, number: int, way: Way, *, load: Load) -> None:
    if way.name != "litellm" or load.streams <= litellm_proxy.STREAMS:
        bench.raw["cells"] += _measured(bench, number, way, load)


def _rate(bench: Bench, number: int, way: Way) -> None:
    bench.raw["rates"] += _measured(bench, number, way, RATE)


def _measured(bench: Bench, number: int, way: Way, load: Load) -> list[Row]:
    """All paths of a way under this load."""
    slow = way.name == "litellm" and load.streams > 1
    if slow:  # it takes seconds until so many streams have begun and run steadily
        load = replace(load, settle=2 * bench.options.seconds, seconds=2 * bench.options.seconds)
    paths = [
        (path, dialect)
        for path, dialect in _paths(way, load.script)
        if load.streams != BEARABLE or path in COMPARED
    ]
    rows = [bench.under(number, way, replace(load, dialect=dialect), path) for path, dialect in paths]
    if slow:
        _calm(way)
    return rows


def _calm(way: Way) -> None:
    """Waits while a proxy works off what it owes to clients that have left: the next path has its core."""
    deadline = time.monotonic() + CALM_WITHIN
    while time.monotonic() < deadline:
        before = procfs.cpu_ns(way.pids())
        time.sleep(CALM_WINDOW)
        if procfs.cpu_ns(way.pids()) - before < CALM_SHARE * CALM_WINDOW * 1e9:
            return


def _paths(way: Way, script: str) -> Taken:
    """The paths that a way gives to a stream of the upstream's, with the client's dialect on each."""
    if way.name not in TRANSLATORS:
        return [(way.name, None)]
    upstream, dialects = TRANSLATORS[way.name]
    return [(LABELS[way.name, dialect], dialect) for dialect in dialects if upstream == script]


def render(document: Row) -> str:
    """Everything that goes between the marks of the README."""
    cells, rates = Rounds(document["cells"], "script", "streams"), Rounds(document["rates"])
    both = {**document, "cells": document["cells"] + document["rates"]}
    shorts = f"Streams of {RATE_DELTAS} deltas, {RATE.streams} side by side, one after another:"
    parts = [
        tables.heading(document),
        tables.frames_table(cells, (PASSED, *TRANSLATED, LITELLM)),
        tables.titled("What translation costs, lowest and highest round in brackets:", _cost_table(cells)),
        tables.titled(shorts, _rate_table(rates)),
        tables.titled("Aims:", tables.aims_table(judge(cells, rates))),
        tables.doubts(both, 0, [*document["left_out"], *_behind(cells)]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def judge(cells: Rounds, rates: Rounds) -> list[Verdict]:
    """Every aim that this run has figures for."""
    told = [
        (path, cell)
        for cell in cells.variants
        for path in cells.paths_of(cell)
        if path in TRANSLATED and cell[1] != BEARABLE
    ]
    verdicts = []
    if "nginx" in cells.paths:
        verdicts.append(_cpu(cells, told))
    if LITELLM in cells.paths:
        verdicts.append(_share(cells))
    if PASSED in cells.paths:
        verdicts.append(_added(cells, told))
    if LITELLM in rates.paths:
        aim = f"requests per second of CPU time ≥ {RATE_TIMES} times LiteLLM's, {RATE_DELTAS} deltas each"
        times = _middle(rates.ratios(_requests, LITELLM, (), RIVAL_OF))
        verdicts.append(at_most(aim, 1 / times, 1 / RATE_TIMES, f"{times:.1f} times"))
    return verdicts


def _cpu(cells: Rounds, told: list[tuple[str, Cell]]) -> Verdict:
    aim = f"CPU per delta ≤ {CPU_RATIO:g} times nginx's, which passes it through"
    found = []
    for path, cell in told:
        ratio = _middle(cells.ratios(cpu_us, "nginx", cell, path))
        found.append((_name(path, cell), at_most(aim, ratio, CPU_RATIO, f"{ratio:.2f}")))
    return all_of(aim, found)


def _share(cells: Rounds) -> Verdict:
    aim = f"CPU per delta ≤ 1/{CPU_SHARE} of LiteLLM's"
    found = []
    for cell in cells.variants:
        if LITELLM in cells.paths_of(cell):
            times = _middle(cells.ratios(cpu_us, RIVAL_OF, cell, LITELLM))
            found.append((_name(LITELLM, cell), at_most(aim, 1 / times, 1 / CPU_SHARE, f"1/{times:.1f}")))
    return all_of(aim, found)


def _added(cells: Rounds, told: list[tuple[str, Cell]]) -> Verdict:
    aim = f"latency per delta, p50: ≤ {ADDED_US:g} µs above relay's pass-through"
    found = []
    for path, cell in told:
        more = _middle(_above(cells, "p50", path, cell))
        found.append((_name(path, cell), at_most(aim, more, ADDED_US, f"{more:+.1f} µs")))
    return all_of(aim, found)


def _above(cells: Rounds, quantile: str, path: str, cell: Cell) -> list[float]:
    """Microseconds above the pass-through of the same stream, for each round."""
    return [more * 1000 for more in cells.differences(_arrived(quantile), PASSED, cell, path)]


def _arrived(quantile: str) -> Figure:
    return milliseconds("arrived_ns", quantile)


def _requests(row: Row, _: Row) -> float:
    """Streams for each second of the proxy's CPU time."""
    return float(row["streams_ended"]) / max(1, row["proxy_cpu_ns"]) * 1e9


def _rate_per_second(row: Row, _: Row) -> float:
    return float(row["streams_ended"] / row["seconds"])


def _busy(row: Row, _: Row) -> float:
    return float(row["proxy_cpu_ns"] / row["seconds"] / 1e9)


def _middle(values: list[float]) -> float:
    return median(values) if values else float("nan")


def _name(path: str, cell: Cell) -> str:
    return f"{path.split()[-1]} {cell[1]}"


def _cost_table(cells: Rounds) -> str:
    rows = []
    for cell in cells.variants:
        for path in cells.paths_of(cell):
            if path in (*TRANSLATED, LITELLM):
                shown = [spread(cells.ratios(cpu_us, rival, cell, path)) for rival in ("nginx", PASSED)]
                shown += [spread(_above(cells, quantile, path, cell), SIGNED) for quantile in ("p50", "p99")]
                rival = cells.ratios(cpu_us, path, cell, LITELLM) if path == RIVAL_OF else []
                rows.append([path, str(cell[1]), *shown, spread(rival) if rival else ""])
    header = ["path", "streams", "CPU ÷ nginx", "CPU ÷ pass-through", "above pass-through: p50 µs", "p99 µs"]
    return tables.table([*header, "LiteLLM's CPU ÷ this"], rows)


def _rate_table(rates: Rounds) -> str:
    columns: list[tuple[Figure, str]] = [(_rate_per_second, ".0f"), (_busy, ".0%"), (_requests, ".0f")]
    rows = []
    for path in rates.paths:
        shown = [format(rates.middle(figure, path, ()), form) for figure, form in columns]
        rival = rates.ratios(_requests, LITELLM, (), path) if path in TRANSLATED else []
        shown.append(spread(rival, ".1f") if rival else "")
        rows.append([path, shown[0], "", "", ""] if path == "direct" else [path, *shown])
    return tables.table(["path", "requests/s", "proxy's core", "requests per CPU second", "÷ LiteLLM"], rows)


def _behind(cells: Rounds) -> list[str]:
    """Paths that did not carry what was asked for; their latency is that of a queue."""
    found = []
    for cell in cells.variants:
        for path in cells.paths_of(cell):
            share = _middle(cells.ratios(lambda row, _: row["deltas"] / row["seconds"], "direct", cell, path))
            if share < BEHIND:
                found.append(f"{path}, {cell[1]} streams: carried {share:.0%} of what went direct.")
    return found
