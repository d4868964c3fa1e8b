"""The tables of the load bench in Markdown, from the raw figures of one run."""

from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any

import aims
from figures import (
    MIB,
    MS,
    Figure,
    Rounds,
    Row,
    added_ms,
    at,
    connections,
    cpu_us,
    idle_kib,
    milliseconds,
    pooled_delays_ms,
    spread,
)
from proxies import NAMES


def render(document: Row) -> str:
    """Everything that goes between the marks of the README."""
    cells = Rounds(document["cells"], "streams", "fresh")
    firsts = Rounds(document["firsts"], "fresh")
    parts = [
        heading(document),
        _cell_table(cells),
        titled("First frame, one request after the other:", _first_table(firsts)),
        titled("Clients that left, seen by the upstream after:", _departure_table(document["departures"])),
        titled("Silent streams:", _idle_table(document["idle"])),
        titled("Start:", _start_table(document["starts"])),
        titled("relay against the others, lowest and highest round in brackets:", _ratios(cells, firsts)),
        titled("Aims:", aims_table(aims.judge(document, cells, firsts))),
        doubts(document),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def insert(readme: Path, name: str, text: str) -> None:
    """Replaces what stands between the two marks of this name."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, _, rest = readme.read_text().partition(begin)
    _, mark, after = rest.partition(end)
    if not mark:
        raise ValueError(f"{readme} lacks the marks {begin} and {end}")
    readme.write_text(f"{before}{begin}\n{text}{end}{after}")


def cell_line(cell: Row) -> str:
    """One cell for the terminal, while the bench runs."""
    latency, seconds = cell["arrived_ns"], cell["seconds"]
    line = (
        f"  {cell['script']:15}{cell['path']:22}{cell['streams']:4} {connections(cell['fresh'])}"
        f"  p50 {latency.get('p50', 0) / MS:7.3f} ms  p99 {latency.get('p99', 0) / MS:7.3f} ms"
        f"  cpu {cpu_us(cell, cell):6.1f} µs  {cell['deltas'] / seconds:6.0f}/s"
        f"  clients {cell['client_cpu_ns'] / seconds / 1e9:4.0%}  upstream {cell['upstream_share']:4.0%}"
    )
    return line + (f"  ERRORS {cell['errors']}" if cell["errors"] else "")


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; nothing if there are no rows."""
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) if rows else ""


def titled(title: str, text: str) -> str:
    return f"{title}\n\n{text}" if text else ""


def heading(document: Row) -> str:
    machine, options = document["machine"], document["options"]
    stolen = max((cell["stolen_share"] for cell in document["cells"]), default=0.0)
    return (
        f"{document['date']}, `{document['command']}`: "
        f"rounds: {options['rounds']}, {options['seconds']:g} s a cell, "
        f"{document['minutes']:g} minutes in all. {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['memory']}, Linux {machine['kernel']}, Python {machine['python']}. "
        f"The hypervisor took at most {stolen:.1%} of a cell. {'; '.join(document['versions'])}."
    )


ARRIVED: list[tuple[str, Figure, str]] = [
    ("deltas/s", lambda row, _: row["deltas"] / row["seconds"], ".0f"),
    ("delta p50 ms", milliseconds("arrived_ns", "p50"), ".3f"),
    ("p99 ms", milliseconds("arrived_ns", "p99"), ".3f"),
    ("added p50 ms", added_ms("arrived_ns", "p50"), "+.3f"),
    ("added p99 ms", added_ms("arrived_ns", "p99"), "+.3f"),
]
"""The columns that say how a path's deltas arrived, as in every table of cells."""


def frames_table(cells: Rounds, against_nginx: tuple[str, ...]) -> str:
    """Cells of a script and a number of streams; some paths' CPU time is compared with nginx's."""
    columns: list[tuple[str, Figure, str]] = [*ARRIVED, ("CPU µs/delta", cpu_us, ".1f")]
    header = ["frames", "streams", "path", *(name for name, _, _ in columns)]
    rows = []
    for cell in cells.variants:
        for path in cells.paths_of(cell):
            shown = columns[:3] if path == "direct" else columns
            figures = [format(cells.middle(figure, path, cell), form) for _, figure, form in shown]
            figures += [""] * (len(columns) - len(shown))
            if "nginx" in cells.paths:
                ratios = cells.ratios(cpu_us, "nginx", cell, path)
                figures.append(spread(ratios) if path in against_nginx else "")
            rows.append([cell[0], str(cell[1]), path, *figures])
    return table([*header, "CPU ÷ nginx"] if "nginx" in cells.paths else header, rows)


def _cell_table(cells: Rounds) -> str:
    """Direct has the first columns only; the others say what a path adds to it, or costs."""
    columns: list[tuple[str, Figure, str]] = [
        *ARRIVED,
        ("as read: added p50 ms", added_ms("read_ns", "p50"), "+.3f"),
        ("added p99 ms", added_ms("read_ns", "p99"), "+.3f"),
        ("added first frame p50 ms", added_ms("first_ns", "p50"), "+.3f"),
        ("CPU µs/delta", cpu_us, ".1f"),
        ("RSS MiB", lambda row, _: row["rss"] / MIB, ".1f"),
    ]
    rows = []
    for variant in cells.variants:
        for path in cells.paths:
            shown = columns[:3] if path == "direct" else columns
            figures = [format(cells.middle(figure, path, variant), form) for _, figure, form in shown]
            figures += [""] * (len(columns) - len(shown))
            rows.append([str(variant[0]), connections(variant[1]), path, *figures])
    return table(["streams", "connections", "path", *(name for name, _, _ in columns)], rows)


def _first_table(firsts: Rounds) -> str:
    rows = []
    for variant in firsts.variants:
        for path in firsts.paths:
            p50, p99 = (
                firsts.middle(milliseconds("first_ns", quantile), path, variant)
                for quantile in ("p50", "p99")
            )
            more = (
                ""
                if path == "direct"
                else f"{firsts.middle(added_ms('first_ns', 'p50'), path, variant):+.3f}"
            )
            rows.append([connections(variant[0]), path, f"{p50:.3f}", f"{p99:.3f}", more])
    return table(["connections", "path", "p50 ms", "p99 ms", "added p50 ms"], rows)


def _paths(rows: list[Row]) -> list[str]:
    return sorted({row["path"] for row in rows}, key=NAMES.index)


def _departure_table(departures: list[Row]) -> str:
    rows = []
    for mode, when in (("stream", "in mid-stream"), ("silent", "before the head")):
        for path in _paths(departures):
            mine = [row for row in departures if row["path"] == path and row["mode"] == mode]
            delays = pooled_delays_ms(departures, path, mode)
            unseen = sum(row["unseen"] for row in mine)
            shown = [f"{value:.2f}" for value in (at(delays, 0.5), at(delays, 0.99), at(delays, 1.0))]
            rows.append([when, path, str(sum(row["n"] for row in mine)), str(unseen), *shown])
    return table(["client left", "path", "n", "not within 2 s", "p50 ms", "p99 ms", "max ms"], rows)


def _idle_table(idle: list[Row]) -> str:
    rows = []
    for row in idle:
        before, beside = row["first_before"], row["first_beside"]
        rows.append(
            [
                row["path"],
                f"{row['held']} of {row['asked']}",
                str(row["lost"]),
                f"{idle_kib(row):.1f}",
                f"{idle_kib(row, 'pss'):.1f}",
                f"{row['after']['rss'] / MIB:.0f}",
                f"{row['cpu_ns_per_s'] / 1e7:.1f}",
                *(f"{before.get(q, 0) / MS:.2f} → {beside.get(q, 0) / MS:.2f}" for q in ("p50", "p99")),
            ]
        )
    header = ["path", "held", "lost", "RSS KiB each", "PSS KiB each", "RSS MiB in all", "CPU %"]
    return table([*header, "new request p50 ms, without → beside them", "p99 ms"], rows)


def _start_table(starts: list[Row]) -> str:
    rows = []
    for path in _paths(starts):
        mine = [row for row in starts if row["path"] == path]

        def middle(name: str, mine: list[Any] = mine) -> float:
            return median(row.get(name, float("nan")) for row in mine)

        said = f"{middle('ready_line_s') * 1000:.0f}" if path == "relay" else ""
        memory = [f"{middle('rss') / MIB:.1f}", f"{middle('pss') / MIB:.1f}"]
        rows.append([path, f"{middle('response_s') * 1000:.0f}", said, *memory, f"{middle('processes'):.0f}"])
    header = ["path", "first response after ms", "`ready` line after ms", "RSS MiB", "PSS MiB", "processes"]
    return table(header, rows)


def _ratios(cells: Rounds, firsts: Rounds) -> str:
    return table(*aims.ratio_rows(cells, firsts))


def aims_table(verdicts: list[aims.Verdict]) -> str:
    words = {True: "met", False: "**missed**", None: "not judged"}
    rows = [[verdict.aim, verdict.found, words[verdict.met]] for verdict in verdicts]
    return table(["aim", "found", ""], rows)


def doubts(document: Row, idle_wanted: int = aims.IDLE_STREAMS, more: Iterable[str] = ()) -> str:
    """What makes a figure doubtful, said beside it. Repeated ones are counted, not listed."""
    cells, found = document["cells"], [*more]
    for cell in cells:
        if cell["errors"] or cell["refused"]:
            where = f"{cell['path']}, {cell['streams']} streams, {connections(cell['fresh'])}"
            found.append(
                f"{where}, round {cell['round'] + 1}: failed streams {cell['errors']}, "
                f"writes the upstream's kernel refused: {cell['refused']}"
            )
    found += [
        f"{row['path']}: probes failed: {row['errors']} {row.get('beside', '')}"
        for row in document["firsts"] + document["departures"] + document["idle"]
        if row["errors"] or row.get("beside")
    ]
    short = [row["asked"] for row in document["idle"] if row["asked"] < idle_wanted]
    if short:
        found.append(
            f"{short[0]:,} silent streams instead of {idle_wanted:,}: this machine gives a process "
            "too few descriptors, and a proxy needs two a stream."
        )
    for what, rule in DOUBTFUL.items():
        where = sorted({f"{cell['streams']} {connections(cell['fresh'])}" for cell in cells if rule(cell)})
        if where:
            count = sum(1 for cell in cells if rule(cell))
            found.append(f"{what} in {count} of {len(cells)} cells ({', '.join(where)}).")
    return titled("Doubts:", "\n".join(f"- {line}" for line in found))


# None of these is the proxy's doing. The stamps of the table's first columns are taken before and after
# what is late here; a cell with many of them still says less than one without.
DOUBTFUL: dict[str, Callable[[Row], bool]] = {
    "The bench's own ends filled more than 85 % of their core": lambda cell: _ends_share(cell) > 0.85,
    "The upstream's ticks were more than 2 ms late at p99": lambda cell: cell["late_p99_ns"] > 2e6,
    "The hypervisor took more than 2 % of the time": lambda cell: cell["stolen_share"] > 0.02,
    "The kernel gave no receive stamp for more than 1 % of the reads": lambda cell: (
        cell["unstamped_reads"] > cell["deltas"] / 100
    ),
    "Streams were still open at the upstream 2 s after a cell": lambda cell: cell["left_over"] > 0,
}


def _ends_share(cell: Row) -> float:
    """How much of one core the clients and the upstream took together."""
    return float(cell["client_cpu_ns"] / cell["seconds"] / 1e9 + cell["upstream_share"])
