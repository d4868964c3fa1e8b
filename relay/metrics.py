"""Figures of all processes: one flat array for each in memory that they share, told as Prometheus text.

The supervisor makes the memory before it forks. Each live process adds to a row of its own, so nobody
waits for anybody and no increment is lost; any of them can answer for all, because a series has the same
slot in every row. When a process has ended its row is given to the next: what it counted stays, what it
held (gauges) goes. A page of memory is touched only by who counts in it.

The slots of a series are known before anything is counted, so an increment is one addition:
``cells[slot] += 1.0`` where ``slot = counters.slot(family, *labels)`` was asked for earlier;
``counters.count(family, *labels)`` looks it up each time. Values of a label that come from the settings are
declared with ``know``; only so many of them are told apart, the rest is ``other``.
"""

from __future__ import annotations

import itertools
import mmap
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from relay import __version__

ROWS = 512
"""Processes that live at the same time: workers, those that have retired, and the supervisor."""
SLOTS = 4096
"""Series, which are 32 KiB a row."""
NAMES = 200
"""Values of one label that are told apart; all others are ``other``."""
OTHER = "other"
CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

_NO_LABELS: Mapping[str, tuple[str, ...]] = MappingProxyType({})


class Family(NamedTuple):
    """Series of one name. A label without values gets them from the settings, up to ``NAMES``."""

    name: str
    kind: str
    help: str
    labels: Mapping[str, tuple[str, ...]] = _NO_LABELS


BUILD_INFO = "relay_build_info"
RELOAD_SUCCESSFUL = "relay_config_last_reload_successful"
RELOAD_TIME = "relay_config_last_reload_success_timestamp_seconds"
VERDICTS = "relay_upstream_verdicts_total"
KEYS_CHECKED = "relay_keys_checked_total"
SPEND_DROPPED = "relay_spend_dropped_total"

FAMILIES = (
    Family(BUILD_INFO, "gauge", "Always 1; the version is its label.", {"version": (__version__,)}),
    Family(RELOAD_SUCCESSFUL, "gauge", "Whether the last reading of the configuration is at work."),
    Family(RELOAD_TIME, "gauge", "When the configuration that is at work was taken over, in UNIX time."),
    Family(
        VERDICTS,
        "counter",
        "Streams that did not come as they seem: faked from a whole answer, replayed from a cache, "
        "cut and passed off as whole.",
        {"upstream": (), "verdict": ("faked-stream", "cache-replay", "lying-end")},
    ),
    Family(
        KEYS_CHECKED,
        "counter",
        "Keys of clients, by what came of them; unavailable: nobody could be asked.",
        {"outcome": ("accepted", "refused", "unavailable")},
    ),
    Family(SPEND_DROPPED, "counter", "Records of usage that nobody will hear of: too many were waiting."),
)

Series = tuple[str, ...]
"""The family's name and the values of its labels."""


class Counters:
    """The rows of all processes, of which one is this one's own.

    Made without memory that others see, it is what a process counts that is alone.
    """

    def __init__(self, families: Iterable[Family] = FAMILIES, rows: int = 1, *, shared: bool = False) -> None:
        self._families = {family.name: family for family in families}
        self._rows = rows
        size = (rows * SLOTS + 1) * 8
        memory = mmap.mmap(-1, size) if shared else bytearray(size)
        self._all: memoryview[float] = memoryview(memory).cast("d")
        self._free: list[int] = []
        self._slots: dict[Series, int] = {}
        self._known = {
            label: {OTHER: None}
            for family in self._families.values()
            for label, values in family.labels.items()
            if not values
        }
        self.cells = self._row(0)
        """This process's own figures; the first row is the supervisor's."""
        for family in self._families.values():
            self._allot(family)

    @classmethod
    def shared(cls) -> Counters:
        """Those of the supervisor and of all that it forks."""
        counters = cls(rows=ROWS, shared=True)
        counters.put(1.0, BUILD_INFO, __version__)
        return counters

    # Counting.

    def slot(self, *series: str) -> int:
        """Where in ``cells`` this family's series of these labels is; an unknown name is ``other``."""
        try:
            return self._slots[series]
        except KeyError:
            named = zip(self._families[series[0]].labels, series[1:], strict=True)
            known = [value if value in self._known.get(label, (value,)) else OTHER for label, value in named]
            return self._slots[series[0], *known]

    def count(self, *series: str) -> None:
        """One more of this family's series of these labels."""
        try:
            self.cells[self._slots[series]] += 1.0
        except KeyError:
            self.cells[self.slot(*series)] += 1.0

    def put(self, value: float, *series: str) -> None:
        """What a gauge shows of this process."""
        self.cells[self.slot(*series)] = value

    # The supervisor's.

    def know(self, label: str, names: Iterable[str]) -> None:
        """These may be counted by their names from the next process on."""
        known = self._known[label]
        for name in names:
            if len(known) <= NAMES:
                known[name] = None
        for family in self._families.values():
            if label in family.labels:
                self._allot(family)

    def take(self) -> int:
        """The row of a process that is to start; -1: there is none left for it."""
        if self._free:
            return self._free.pop()
        taken = self._taken()
        if taken == self._rows:
            return -1
        self._all[-1] = taken  # how many beside the first
        return taken

    def enter(self, row: int) -> None:
        """This process counts there; without a row nobody hears of it."""
        self.cells = self._row(row) if row >= 0 else memoryview(bytearray(SLOTS * 8)).cast("d")

    def leave(self, row: int) -> None:
        """The process of this row has ended."""
        if row < 0:
            return
        cells = self._row(row)
        for series, slot in self._slots.items():
            if self._families[series[0]].kind == "gauge":
                cells[slot] = 0.0
        self._free.append(row)

    # Telling.

    def total(self, *series: str) -> float:
        """The sum over all processes, the dead ones' included."""
        return self._sum(self.slot(*series))

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        samples: dict[str, list[str]] = {name: [] for name in self._families}
        for (name, *values), slot in self._slots.items():
            labels = zip(self._families[name].labels, values, strict=True)
            shown = ",".join(f'{label}="{_escaped(value)}"' for label, value in labels)
            samples[name].append(f"{name}{{{shown}}}" if shown else name)
            samples[name][-1] += f" {_number(self._sum(slot))}"
        lines = []
        for name, family in self._families.items():
            lines += [f"# HELP {name} {family.help}", f"# TYPE {name} {family.kind}", *samples[name]]
        return "\n".join([*lines, ""]).encode()

    def _row(self, row: int) -> memoryview[float]:
        return self._all[row * SLOTS : (row + 1) * SLOTS]

    def _taken(self) -> int:
        return int(self._all[-1]) + 1

    def _sum(self, slot: int) -> float:
        return float(sum(self._all[slot : self._taken() * SLOTS : SLOTS]))

    def _allot(self, family: Family) -> None:
        """A slot for each of its series that has none; what finds no room any more is ``other``."""
        values = (values or self._known[label] for label, values in family.labels.items())
        for combination in itertools.product(*values):
            series = (family.name, *combination)
            if series not in self._slots:
                if len(self._slots) == SLOTS:
                    raise ValueError(f"{family.name}: more than {SLOTS} series; lower NAMES or raise SLOTS")
                self._slots[series] = len(self._slots)


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)
