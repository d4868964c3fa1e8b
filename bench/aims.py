"""relay's aims, each judged on the medians of one run; a miss says by how much."""

from dataclasses import dataclass
from math import isnan
from statistics import median

from figures import (
    MIB,
    Figure,
    Rounds,
    Row,
    Variant,
    added_ms,
    at,
    connections,
    cpu_us,
    idle_kib,
    pooled_delays_ms,
    spread,
)

IDLE_STREAMS = 10_000
DEPARTURES = 200
CPU_RATIO = 1.15
FIRST_RATIO = 3.0
FIRST_MS = 0.5
IDLE_KIB = 12.0
START_MIB = 35.0
START_SECONDS = 0.5
DEPARTURE_MS = 10.0
BESIDE_RATIO = 2.0  # "still answered at once": p50 at most twice that without the silent streams
NAMES = {"nginx": "nginx", "haproxy": "HAProxy"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One aim, what was found, and whether it is met."""

    aim: str
    found: str
    met: bool | None  # None: too few samples to say


def ratio_rows(cells: Rounds, firsts: Rounds) -> tuple[list[str], list[list[str]]]:
    """Header and rows of relay ÷ rival, for each cell and for the probes of the first frame."""
    columns: list[tuple[str, Figure, str]] = [
        (f"CPU ÷ {NAMES[rival]}", cpu_us, rival) for rival in NAMES if rival in cells.paths
    ]
    if "nginx" in cells.paths:
        columns += [
            ("added p50 ÷ nginx", added_ms("arrived_ns", "p50"), "nginx"),
            ("added p99 ÷ nginx", added_ms("arrived_ns", "p99"), "nginx"),
            ("added first frame p50 ÷ nginx", added_ms("first_ns", "p50"), "nginx"),
        ]
    header = ["streams", "connections", *(name for name, _, _ in columns)]
    if "relay" not in cells.paths + firsts.paths or len(header) == 2:
        return header, []
    rows = [
        [str(variant[0]), connections(variant[1])]
        + [spread(cells.ratios(figure, rival, variant)) for _, figure, rival in columns]
        for variant in cells.variants
    ]
    if "nginx" in firsts.paths:
        for variant in firsts.variants:
            blank = [""] * (len(columns) - 1)
            ratio = spread(firsts.ratios(added_ms("first_ns", "p50"), "nginx", variant))
            rows.append(["one after the other", connections(variant[0]), *blank, ratio])
    return header, rows


def judge(document: Row, cells: Rounds, firsts: Rounds) -> list[Verdict]:
    """Every aim that this run has figures for."""
    if "relay" not in document["options"]["only"]:
        return []
    verdicts = [_cpu(cells, rival) for rival in NAMES if rival in cells.paths]
    if "nginx" in cells.paths:
        verdicts += [_latency(cells, "p50"), _latency(cells, "p99")]
    verdicts += _first(firsts)
    verdicts += _idle([row for row in document["idle"] if row["path"] == "relay"])
    verdicts += _start([row for row in document["starts"] if row["path"] == "relay"])
    verdicts += _departures(document["departures"])
    return verdicts


def _cpu(cells: Rounds, rival: str) -> Verdict:
    aim = f"CPU per delta ÷ {NAMES[rival]} ≤ {CPU_RATIO}"
    ratios = [(variant, cells.ratios(cpu_us, rival, variant)) for variant in cells.variants]
    return all_of(
        aim,
        [
            (_name(variant), at_most(aim, median(found), CPU_RATIO, f"{median(found):.2f}"))
            for variant, found in ratios
            if found
        ],
    )


def _latency(cells: Rounds, quantile: str) -> Verdict:
    aim = f"added per delta {quantile} ≤ nginx's (ms)"
    figure = added_ms("arrived_ns", quantile)
    verdicts = []
    for variant in cells.variants:
        ours, theirs = (cells.middle(figure, path, variant) for path in ("relay", "nginx"))
        shown = f"{ours:+.3f} against {theirs:+.3f}"
        verdicts.append((_name(variant), at_most(aim, ours, theirs, shown)))
    return all_of(aim, verdicts)


def all_of(aim: str, verdicts: list[tuple[str, Verdict]]) -> Verdict:
    """Met when every cell meets it: a mean over unlike cells would hide the bad one."""
    shown = "; ".join(f"{where}: {one.found}" for where, one in verdicts)
    return Verdict(aim, shown, all(one.met for _, one in verdicts))


def _first(firsts: Rounds) -> list[Verdict]:
    found = []
    figure = added_ms("first_ns", "p50")
    for variant in firsts.variants:
        ours = firsts.middle(figure, "relay", variant)
        where = f"{connections(variant[0])} connections"
        aim = f"added time to first frame p50 ≤ {FIRST_MS} ms, {where}"
        found.append(at_most(aim, ours, FIRST_MS, f"{ours:.3f} ms"))
        if ratios := firsts.ratios(figure, "nginx", variant):
            ratio = median(ratios)
            aim = f"added time to first frame p50 ≤ {FIRST_RATIO:g} times nginx's, {where}"
            found.append(at_most(aim, ratio, FIRST_RATIO, f"{ratio:.2f} times"))
    return found


def _idle(rows: list[Row]) -> list[Verdict]:
    found = []
    for row in rows:
        each = idle_kib(row)
        aim = f"{IDLE_STREAMS:,} silent streams: RSS ≤ {IDLE_KIB:g} KiB each"
        found.append(at_most(aim, each, IDLE_KIB, f"{each:.1f} KiB with {row['held']:,}"))
        kept = row["held"] == row["asked"] and not row["lost"]
        found.append(
            Verdict("all of them held", f"{row['held']} of {row['asked']}, {row['lost']} lost", kept)
        )
        without, beside = (
            row[name].get("p50", float("nan")) / 1e6 for name in ("first_before", "first_beside")
        )
        aim = f"new requests beside them answered at once: p50 ≤ {BESIDE_RATIO:g} times that without them"
        shown = f"{beside:.2f} against {without:.2f} ms"
        found.append(at_most(aim, beside, BESIDE_RATIO * without, shown))
    return found


def _start(rows: list[Row]) -> list[Verdict]:
    if not rows:
        return []
    mib = median(row["pss"] for row in rows) / MIB  # RSS counts what supervisor and worker share twice
    answered, said = (median(row[name] for row in rows) for name in ("response_s", "ready_line_s"))
    return [
        at_most(f"PSS at start ≤ {START_MIB:g} MiB", mib, START_MIB, f"{mib:.1f} MiB"),
        at_most(f"first response ≤ {START_SECONDS} s", answered, START_SECONDS, f"{answered:.3f} s"),
        at_most(f"`ready` line ≤ {START_SECONDS} s", said, START_SECONDS, f"{said:.3f} s"),
    ]


def _departures(rows: list[Row]) -> list[Verdict]:
    found = []
    for mode, when in (("stream", "in mid-stream"), ("silent", "before the head")):
        delays = pooled_delays_ms(rows, "relay", mode)
        if not delays:
            continue
        mine = [row for row in rows if row["path"] == "relay" and row["mode"] == mode]
        unseen = sum(row["unseen"] for row in mine)
        p99 = at(delays, 0.99)
        verdict = at_most(
            f"client gone {when} → upstream closed, p99 ≤ {DEPARTURE_MS:g} ms, n ≥ {DEPARTURES}",
            p99,
            DEPARTURE_MS,
            f"{p99:.2f} ms, n = {len(delays)}, {unseen} not seen",
        )
        met = verdict.met and not unseen
        found.append(Verdict(verdict.aim, verdict.found, met if len(delays) >= DEPARTURES else None))
    return found


def at_most(aim: str, value: float, limit: float, shown: str) -> Verdict:
    """Met when the value does not exceed the limit; otherwise the excess is said."""
    if isnan(value) or isnan(limit):
        return Verdict(aim, "not measured", None)
    if value <= limit:
        return Verdict(aim, shown, True)
    excess = f" ({value / limit - 1:.0%} above)" if limit > 0 else ""
    return Verdict(aim, shown + excess, False)


def _name(variant: Variant) -> str:
    return f"{variant[0]} {connections(variant[1])}"
