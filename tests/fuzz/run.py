"""Draw inputs one after another, check each, and keep what was found.

An input is drawn from ``seed/target/index`` and from nothing else, so that three words are enough to draw
it again. An input that takes longer than ``PATIENCE`` is a finding too.
"""

from __future__ import annotations

import json
import re
import signal
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import FrameType

from tests.fuzz.case import Case, Target
from tests.fuzz.known import excuse

PATIENCE = 20.0
"""Seconds for one input; the slowest that is known takes less than one."""
_KEPT = 5
"""Examples of one and the same finding."""


class Hung(AssertionError):
    """An input that takes for ever."""


@dataclass(frozen=True)
class Found:
    """One input that breaks an invariant."""

    target: str
    seed: int
    index: int
    case: Case
    what: str
    where: str
    trace: str = ""

    @property
    def kind(self) -> tuple[str, str, str]:
        """Findings of one kind have one cause, more or less: numbers and quoted texts say nothing."""
        return self.target, self.where, re.sub(r"[0-9]+|b?'.*'|b?\".*\"|\{.*\}", "#", self.what)[:80]

    def write(self, folder: Path) -> Path:
        """The bytes, and beside them in JSON all else that was drawn and what came of it."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.target}-{self.seed}-{self.index}.bin"
        path.write_bytes(self.case.raw)
        beside = {"target": self.target, "sizes": self.case.sizes, "how": self.case.how, "what": self.what}
        path.with_suffix(".json").write_text(json.dumps(beside | {"trace": self.trace.split("\n")}, indent=1))
        return path

    def __str__(self) -> str:
        again = f"python -m tests.fuzz --only {self.target} --seed {self.seed} --at {self.index}"
        return f"{self.what[:400]}\n  in {self.where}\n  again: {again}"


@dataclass
class Tally:
    """What came of a run."""

    inputs: int = 0
    seconds: float = 0.0
    ends: Counter[str] = field(default_factory=Counter)
    kinds: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    found: list[Found] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")

    def add(self, other: Tally) -> list[Found]:
        """Take in what came of another part of the run; what of it is new enough to be kept."""
        self.inputs += other.inputs
        self.seconds += other.seconds
        self.ends += other.ends
        self.kinds += other.kinds
        self.slowest = max(self.slowest, other.slowest)
        return [one for one in other.found if self._keep(one)]

    def note(self, one: Found) -> None:
        self.kinds[one.kind] += 1
        self._keep(one)

    def _keep(self, one: Found) -> bool:
        """A few of each kind."""
        kept = sum(one.kind == other.kind for other in self.found) < _KEPT
        if kept:
            self.found.append(one)
        return kept


def read(path: Path) -> tuple[str, Case]:
    """A finding that was written, by the path of its bytes: its target's name and the input."""
    beside = json.loads(path.with_suffix(".json").read_text())
    return beside["target"], Case(path.read_bytes(), tuple(beside["sizes"]), tuple(beside["how"]))


def draw(target: Target, seed: int, index: int) -> Case:
    return target.draw(Random(f"{seed}/{target.name}/{index}"))


def run(target: Target, seed: int, indexes: Iterable[int]) -> Tally:
    """Check these inputs."""
    tally, began = Tally(), time.perf_counter()
    with alarm() as wind:
        for index in indexes:
            case = draw(target, seed, index)
            started = time.perf_counter()
            wind()
            try:
                tally.ends[f"{target.name}: {target.check(case)}"] += 1
            except Exception as error:
                if (name := excuse(case, error)) is not None:
                    tally.ends[f"{target.name}: known, {name}"] += 1
                else:
                    tally.note(_found(target, seed, index, case, error))
            tally.slowest = max(
                tally.slowest, (time.perf_counter() - started, f"{target.name} {seed} {index}")
            )
            tally.inputs += 1
    tally.seconds = time.perf_counter() - began
    return tally


@contextmanager
def alarm() -> Iterator[object]:
    """Raises Hung in whatever runs for too long after each winding."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise Hung(f"no answer within {PATIENCE:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    try:
        yield lambda: signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _found(target: Target, seed: int, index: int, case: Case, error: Exception) -> Found:
    """The finding, at the innermost line of relay that it came through, or else of the check."""
    steps = traceback.extract_tb(error.__traceback__)
    own = [step for step in steps if "/relay/" in step.filename] or steps
    where = f"{Path(own[-1].filename).name}:{own[-1].name}"
    what = f"{type(error).__name__}: {error}".encode("ascii", "backslashreplace").decode()
    trace = "".join(traceback.format_exception(error))
    return Found(target.name, seed, index, case, what, where, trace)
