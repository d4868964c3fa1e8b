"""What checking costs: the tables and the aims of `load.py --checked`, from its raw figures.

The same streams go through nginx and through relay twice, once as it is by default, once with
`--repair off`. A cell is one script of `frames.py` and a number of streams.
"""

from statistics import median

import tables
from aims import Verdict, all_of, at_most
from figures import Rounds, Row, cpu_us, idle_kib, milliseconds, spread
from frames import LEGAL, SCRIPTS

CHECKED, UNCHECKED = "relay-checked", "relay-unchecked"
MALFORMED_STREAMS = 64
CPU_RATIO = 1.3
ADDED_US = 15.0
MENDED_RATIO = 2.0
IDLE_KIB = 4.0
SIGNED = "+.1f"

Cell = tuple[str, int]


def render(document: Row) -> str:
    """Everything that goes between the marks of the README."""
    cells = Rounds(document["cells"], "script", "streams")
    idle = document["idle"]
    wanted = max((row["asked"] for row in idle), default=0)
    parts = [
        tables.heading(document),
        tables.frames_table(cells, (CHECKED, UNCHECKED)),
        tables.titled("What checking costs, lowest and highest round in brackets:", _cost_table(cells)),
        tables.titled("A stream of which every delta is mended, against a legal one:", _mended_table(cells)),
        tables.titled("Silent streams, after one delta each:", _idle_table(idle)),
        tables.titled("Aims:", tables.aims_table(judge(cells, idle))),
        tables.doubts(document, wanted),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def judge(cells: Rounds, idle: list[Row]) -> list[Verdict]:
    """Every aim that this run has figures for."""
    if not {CHECKED, UNCHECKED} <= {*cells.paths}:
        return []
    legal = [cell for cell in cells.variants if cell[0] in LEGAL]
    verdicts = [_cpu(cells, legal)] if "nginx" in cells.paths else []
    verdicts.append(_added(cells, legal))
    if mended := _mended(cells):
        aim = f"a mended delta ≤ {MENDED_RATIO:g} times a passed one, CPU of all of relay"
        ratios = [(_name(cell), median(found)) for cell, found in mended]
        verdicts.append(
            all_of(aim, [(name, at_most(aim, ratio, MENDED_RATIO, f"{ratio:.2f}")) for name, ratio in ratios])
        )
    if found := _idle_pairs(idle):
        aim = f"memory of a silent stream ≤ {IDLE_KIB:g} KiB above the unchecked one (RSS)"
        more = [(script, checked - unchecked) for script, unchecked, checked in found]
        verdicts.append(
            all_of(aim, [(name, at_most(aim, kib, IDLE_KIB, f"{kib:+.1f} KiB")) for name, kib in more])
        )
    return verdicts


def _cpu(cells: Rounds, legal: list[Cell]) -> Verdict:
    aim = f"CPU per delta, checked ÷ nginx ≤ {CPU_RATIO}"
    found = []
    for cell in legal:
        ratio = median(cells.ratios(cpu_us, "nginx", cell, CHECKED) or [float("nan")])
        found.append((_name(cell), at_most(aim, ratio, CPU_RATIO, f"{ratio:.2f}")))
    return all_of(aim, found)


def _added(cells: Rounds, legal: list[Cell]) -> Verdict:
    aim = f"latency per delta, p50: checked ≤ unchecked + {ADDED_US:g} µs"
    found, p50 = [], milliseconds("arrived_ns", "p50")
    for cell in legal:
        more = median(cells.differences(p50, UNCHECKED, cell, CHECKED) or [float("nan")]) * 1000
        found.append((_name(cell), at_most(aim, more, ADDED_US, f"{more:+.1f} µs")))
    return all_of(aim, found)


def _mended(cells: Rounds) -> list[tuple[Cell, list[float]]]:
    """CPU per delta of each malformed script over that of its dialect's legal one, for each round."""
    found = []
    for script, streams in cells.variants:
        mended = cells.by_round(cpu_us, CHECKED, (script, streams))
        passed = cells.by_round(cpu_us, CHECKED, (SCRIPTS[script].dialect, streams))
        ratios = [mended[number] / passed[number] for number in mended if number in passed]
        if ratios and script not in LEGAL:
            found.append(((script, streams), ratios))
    return found


def _idle_pairs(idle: list[Row]) -> list[tuple[str, float, float]]:
    """KiB of a silent stream, unchecked and checked, of each script that was held on both."""
    each = {(row["script"], row["path"]): idle_kib(row) for row in idle}
    scripts = [script for script, path in each if path == CHECKED and (script, UNCHECKED) in each]
    return [(script, each[script, UNCHECKED], each[script, CHECKED]) for script in scripts]


def _name(cell: Cell) -> str:
    return f"{cell[0]} {cell[1]}"


def _cost_table(cells: Rounds) -> str:
    if not {CHECKED, UNCHECKED} <= {*cells.paths}:
        return ""
    latency = [milliseconds("arrived_ns", quantile) for quantile in ("p50", "p99")]
    rows = []
    for cell in cells.variants:
        cpu, *later = (cells.differences(figure, UNCHECKED, cell, CHECKED) for figure in (cpu_us, *latency))
        shown = [spread(cpu, SIGNED), spread(cells.ratios(cpu_us, UNCHECKED, cell, CHECKED))]
        shown += [spread([more * 1000 for more in each], SIGNED) for each in later]
        rows.append([cell[0], str(cell[1]), *shown])
    header = ["frames", "streams", "CPU µs/delta", "CPU ÷ unchecked", "latency p50 µs", "p99 µs"]
    return tables.table(header, rows)


def _mended_table(cells: Rounds) -> str:
    rows = []
    for cell, ratios in _mended(cells):
        passed = cells.middle(cpu_us, CHECKED, (SCRIPTS[cell[0]].dialect, cell[1]))
        mended = cells.middle(cpu_us, CHECKED, cell)
        rows.append([cell[0], str(cell[1]), f"{passed:.1f}", f"{mended:.1f}", spread(ratios)])
    return tables.table(["frames", "streams", "passed: CPU µs/delta", "mended", "ratio"], rows)


def _idle_table(idle: list[Row]) -> str:
    rows = []
    for script, unchecked, checked in _idle_pairs(idle):
        held = min(row["held"] for row in idle if row["script"] == script)
        rows.append([script, str(held), f"{unchecked:.1f}", f"{checked:.1f}", f"{checked - unchecked:+.1f}"])
    return tables.table(["frames", "held", "unchecked: RSS KiB each", "checked", "difference"], rows)
