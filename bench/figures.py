"""Raw rows in, one figure out: formed within a round, then the median over the rounds.

Both sides of a difference or a ratio were measured seconds apart in the same round, so that
what the machine did to one it mostly did to the other.
"""

from collections.abc import Callable, Iterable
from statistics import median
from typing import Any

from proxies import LABELS, NAMES

MIB, KIB, MS = 2**20, 2**10, 1e6

ORDER = [*NAMES, *LABELS.values()]
LEAST = 0.02  # of milliseconds added: what is smaller lies within the noise of the direct path

Row = dict[str, Any]
Variant = tuple[Any, ...]
Figure = Callable[[Row, Row], float]  # of a path's row and the direct row of the same round


def cpu_us(row: Row, _: Row) -> float:
    """Microseconds of the proxy's CPU time per delta that reached a client."""
    return float(row["proxy_cpu_ns"]) / 1000 / max(1, row["deltas"])


def milliseconds(samples: str, quantile: str) -> Figure:
    return lambda row, _: float(row[samples][quantile]) / MS


def added_ms(samples: str, quantile: str) -> Figure:
    """How far a path's quantile lies above the direct one."""
    return lambda row, direct: float(row[samples][quantile] - direct[samples][quantile]) / MS


class Rounds:
    """The rows of one measurement, looked up by round, path and what was varied."""

    def __init__(self, rows: Iterable[Row], *varied: str) -> None:
        self.rows = {(row["round"], row["path"], tuple(row[name] for name in varied)): row for row in rows}
        self.numbers = sorted({number for number, _, _ in self.rows})
        self.paths = sorted({path for _, path, _ in self.rows}, key=ORDER.index)
        self.variants = sorted({variant for _, _, variant in self.rows})

    def paths_of(self, variant: Variant) -> list[str]:
        """Those that took part in this."""
        return [path for path in self.paths if any((n, path, variant) in self.rows for n in self.numbers)]

    def by_round(self, figure: Figure, path: str, variant: Variant) -> dict[int, float]:
        """The figure of each round in which this path and the direct one have samples for it."""
        found = {}
        for number in self.numbers:
            row, direct = (self.rows.get((number, name, variant)) for name in (path, "direct"))
            if row is not None and direct is not None:
                try:
                    found[number] = figure(row, direct)
                except KeyError:  # no samples, so no quantiles
                    continue
        return found

    def middle(self, figure: Figure, path: str, variant: Variant) -> float:
        values = self.by_round(figure, path, variant).values()
        return median(values) if values else float("nan")

    def ratios(self, figure: Figure, rival: str, variant: Variant, path: str = "relay") -> list[float]:
        """A path's figure over the rival's, for each round in which the rival's is worth dividing by."""
        ours = self.by_round(figure, path, variant)
        theirs = self.by_round(figure, rival, variant)
        return [ours[number] / theirs[number] for number in ours if theirs.get(number, 0.0) > LEAST]

    def differences(self, figure: Figure, other: str, variant: Variant, path: str) -> list[float]:
        """A path's figure less the other's, for each round."""
        ours, theirs = (self.by_round(figure, name, variant) for name in (path, other))
        return [ours[number] - theirs[number] for number in ours if number in theirs]


def spread(values: list[float], form: str = ".2f") -> str:
    """The median, and the lowest and the highest round."""
    if not values:
        return "none"
    middle, least, most = (format(value, form) for value in (median(values), min(values), max(values)))
    return f"{middle} ({least} to {most})"


def connections(fresh: bool) -> str:
    return "new" if fresh else "kept"


def pooled_delays_ms(departures: list[Row], path: str, mode: str) -> list[float]:
    """All delays between a client's leaving and the upstream's seeing it, sorted."""
    rows = [row for row in departures if row["path"] == path and row["mode"] == mode]
    return sorted(delay / MS for row in rows for delay in row["delays_ns"])


def at(ordered: list[float], share: float) -> float:
    """The quantile of sorted samples: the smallest one that at least `share` of them do not exceed."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def idle_kib(row: Row, kind: str = "rss") -> float:
    """KiB that a silent stream added to the proxy."""
    return float(row["after"][kind] - row["before"][kind]) / KIB / max(1, row["held"])
