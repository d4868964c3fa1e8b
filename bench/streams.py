"""What a delta costs in the machine that its stream passes through: the second half of `micro.py`.

Every read is one whole chunk that ends with its frame, the usual read of a live stream. A stream is
fed from its beginning, because a checker knows what came before; what is timed is a run of its
deltas, in a buffer that is filled while the clock stands still, as small as the one that relay reads
into. Machines take turns within a round; a figure is the median over the rounds. The clock is that of
the thread's CPU time, which stands still while somebody else has the core.
"""

import gc
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from aims import Verdict, all_of, at_most
from checked import MENDED_RATIO
from frames import IN_PLACE, LEGAL, RESPONSE_HEAD, SCRIPTS, SPLICED, Script
from tables import aims_table, table

from relay import dialects
from relay.checked import CheckedStream
from relay.dialects.deltas import Context
from relay.mending import Mender
from relay.stream import ResponseStream
from relay.wire.framing import ChunkedDecoder, ChunkedEncoder

BUFFER_BYTES = 64 * 1024
FRAME_LIMIT = 1 << 24
STEADY = 50  # deltas before the clock starts, where the beginning is not the question
EARLY, LATE = 100, 10_000
LATE_RATIO = 1.1
NOW = 4_321_000_000_000


def unchecked(script: Script) -> ResponseStream:
    return ResponseStream(ChunkedDecoder(), ChunkedEncoder(), frame_limit=FRAME_LIMIT)


def checked(script: Script) -> ResponseStream:
    context = Context(ident="0123456789ab-1", created=1700000000, model="bench", usage_asked=True)
    mender = Mender(dialects.BY_NAME[script.dialect](context))
    return CheckedStream(ChunkedDecoder(), ChunkedEncoder(), mender, frame_limit=FRAME_LIMIT)


@dataclass(slots=True)
class Run:
    """The deltas from ``first`` to ``last`` of a stream, through a machine that is made for it."""

    script: Script
    machine: Callable[[Script], ResponseStream]
    first: int
    last: int
    samples: list[float] = field(default_factory=list)

    def time(self) -> None:
        """Microseconds per delta, once more."""
        machine = opened(self.script, self.machine)
        feed(machine, self.script, 1, self.first)
        spent = feed(machine, self.script, self.first, self.last)
        self.samples.append(spent / (self.last - self.first) / 1000)

    @property
    def median(self) -> float:
        return statistics.median(self.samples)


def opened(script: Script, make: Callable[[Script], ResponseStream]) -> ResponseStream:
    """A machine that has seen the opening and the first delta."""
    machine = make(script)
    opening = bytearray(script.start(NOW)[len(RESPONSE_HEAD) :])
    machine.receive(opening, memoryview(opening), 0, len(opening))
    return machine


def feed(machine: ResponseStream, script: Script, first: int, last: int) -> int:
    """Nanoseconds that these deltas take, one read each."""
    buffer = bytearray(BUFFER_BYTES)
    view, receive, spent = memoryview(buffer), machine.receive, 0
    for ranges in _filled(buffer, script, first, last):
        begin = time.thread_time_ns()
        for start, end in ranges:
            receive(buffer, view, start, end)
        spent += time.thread_time_ns() - begin
    return spent


def _filled(buffer: bytearray, script: Script, first: int, last: int) -> Iterator[list[tuple[int, int]]]:
    """Where the deltas lie in the buffer, as many at a time as it holds."""
    ranges, end = [], 0
    for number in range(first, last):
        piece = script.piece(number, NOW + number)
        start, end = end, end + len(piece)
        if end > len(buffer):
            yield ranges
            ranges, start, end = [], 0, len(piece)
        buffer[start:end] = piece
        ranges.append((start, end))
    if ranges:
        yield ranges


def held_bytes(script: Script, make: Callable[[Script], ResponseStream], deltas: int) -> int:
    """What a live stream's machine holds in memory after so many deltas."""
    feed(opened(script, make), script, 1, 3)  # what is made once for all streams
    gc.collect()
    tracemalloc.start()
    try:
        machine = opened(script, make)
        feed(machine, script, 1, deltas)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def measure(rounds: int, deltas: int) -> dict[str, dict[str, float]]:
    """The median of every run, by dialect and kind."""
    runs: dict[tuple[str, str], Run] = {}
    for name in LEGAL:
        legal, in_place, spliced = SCRIPTS[name], SCRIPTS[IN_PLACE[name]], SCRIPTS[SPLICED[name]]
        last = STEADY + deltas
        runs |= {
            (name, "unchecked"): Run(legal, unchecked, STEADY, last),
            (name, "checked"): Run(legal, checked, STEADY, last),
            (name, "in place"): Run(in_place, checked, STEADY, last),
            (name, "spliced"): Run(spliced, checked, STEADY, last),
            (name, "early"): Run(legal, checked, 1, EARLY),
            (name, "late"): Run(legal, checked, LATE, LATE + EARLY),
        }
    for _ in range(rounds):
        for run in runs.values():
            run.time()
    return {name: {kind: run.median for (of, kind), run in runs.items() if of == name} for name in LEGAL}


def render(found: dict[str, dict[str, float]]) -> str:
    """The table, and what it says of the aims."""
    header = ["frames", "unchecked µs", "checked µs", "first 100", "after 10,000", "mended in place"]
    header += ["÷ passed", "spliced", "÷ passed", "bytes held after 100", "more per delta"]
    rows = [_row(name, times) for name, times in found.items()]
    return "\n\n".join([table(header, rows), aims_table(judge(found))])


def judge(found: dict[str, dict[str, float]]) -> list[Verdict]:
    """The aims that need no socket."""
    mended = f"a mended delta ≤ {MENDED_RATIO:g} times a passed one, the machine alone"
    longer = f"a delta after 10,000 ≤ {LATE_RATIO:g} times one of the first 100"
    by_kind = [
        (f"{name} {kind}", times[kind] / times["checked"])
        for name, times in found.items()
        for kind in ("in place", "spliced")
    ]
    by_age = [(name, times["late"] / times["early"]) for name, times in found.items()]
    return [_at_most(mended, by_kind, MENDED_RATIO), _at_most(longer, by_age, LATE_RATIO)]


def _at_most(aim: str, ratios: list[tuple[str, float]], limit: float) -> Verdict:
    return all_of(aim, [(where, at_most(aim, ratio, limit, f"{ratio:.2f}")) for where, ratio in ratios])


def _row(name: str, found: dict[str, float]) -> list[str]:
    passed = found["checked"]
    early, late = (held_bytes(SCRIPTS[name], checked, deltas) for deltas in (EARLY, LATE))
    cells = [found["unchecked"], passed, found["early"], found["late"], found["in place"]]
    cells += [found["in place"] / passed, found["spliced"], found["spliced"] / passed]
    held = [f"{early:,}", f"{(late - early) / (LATE - EARLY):.1f}"]
    return [name, *(f"{cell:.2f}" for cell in cells), *held]
