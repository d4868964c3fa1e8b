"""What a delta costs in the machine that says it in another dialect: `micro.py --only translate`.

As in `streams.py`, every read is one whole chunk that ends with its frame. The text of a usual delta is
plain; an escaped one has a newline in it, so that its bytes cannot be taken over as they are; a tool's
is a piece of its arguments. A stream's own cost is its request, and its start and end with one delta.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import permutations

from aims import Verdict, all_of, at_most
from asking import request
from frames import ESCAPED, LEGAL, RESPONSE_HEAD, SCRIPTS, TOOLS, Script
from streams import FRAME_LIMIT, LATE_RATIO, NOW, STEADY, Run, held_bytes
from tables import aims_table, table

from relay.checked import CheckedStream
from relay.dialects import CODECS, PROFILES
from relay.stream import ResponseStream
from relay.translation import Translation
from relay.wire.framing import ChunkedDecoder, ChunkedEncoder

MANY = 10_000
MANY_ROUNDS = 5
DIRECTIONS = [(upstream, client) for upstream, client in permutations(LEGAL, 2)]


@cache
def asked_body(upstream: str, client: str) -> bytes:
    return request("stream", 1, 1, 0, script=upstream, dialect=client).partition(b"\r\n\r\n")[2]


def translation(upstream: str, client: str) -> Translation:
    """A request of this client for that upstream."""
    body = asked_body(upstream, client)
    return Translation(CODECS[client], CODECS[upstream], body, PROFILES["generic"])


def translating(client: str) -> Callable[[Script], ResponseStream]:
    """Makes the machine of a stream for this client."""

    def make(script: Script) -> ResponseStream:
        asked = translation(script.dialect, client)
        translator = asked.translator(asked.context("0123456789ab-1", 1700000000))
        return CheckedStream(ChunkedDecoder(), ChunkedEncoder(), translator, frame_limit=FRAME_LIMIT)

    return make


@dataclass(slots=True)
class Calls:
    """One thing done again and again."""

    call: Callable[[], object]
    samples: list[float] = field(default_factory=list)

    def time(self) -> None:
        """Microseconds per call, once more."""
        begin = time.thread_time_ns()
        for _ in range(STEADY):
            self.call()
        self.samples.append((time.thread_time_ns() - begin) / STEADY / 1000)

    @property
    def median(self) -> float:
        return statistics.median(self.samples)


def _whole(script: Script, client: str) -> Calls:
    """A stream of one delta, from the making of its machine."""
    start, end = (bytearray(data) for data in (script.start(NOW)[len(RESPONSE_HEAD) :], script.end(1)))
    asked = translation(script.dialect, client)
    context = asked.context("0123456789ab-1", 1700000000)

    def run() -> None:
        machine = CheckedStream(
            ChunkedDecoder(), ChunkedEncoder(), asked.translator(context), frame_limit=FRAME_LIMIT
        )
        for data in (start, end):
            machine.receive(data, memoryview(data), 0, len(data))
        assert machine.end_code == "OK", machine.end_code

    return Calls(run)


def measure(rounds: int, deltas: int) -> dict[str, dict[str, float]]:
    """The median of every run, by direction and kind."""
    runs: dict[tuple[str, str], Run | Calls] = {}
    long: dict[tuple[str, str], Run | Calls] = {}
    last = STEADY + deltas
    for upstream, client in DIRECTIONS:
        name, make, legal = f"{upstream}→{client}", translating(client), SCRIPTS[upstream]
        runs |= {
            (name, "request"): Calls(partial(translation, upstream, client)),
            (name, "whole"): _whole(legal, client),
            (name, "text"): Run(legal, make, STEADY, last),
            (name, "escaped"): Run(ESCAPED[upstream], make, STEADY, last),
            (name, "tool"): Run(TOOLS[upstream], make, STEADY, last),
        }
        long |= {
            (name, "early"): Run(legal, make, 1, MANY),
            (name, "late"): Run(legal, make, MANY, 2 * MANY),
        }
    for number in range(rounds):
        for run in (runs | long if number < MANY_ROUNDS else runs).values():
            run.time()
    found: dict[str, dict[str, float]] = {}
    for (name, kind), run in (runs | long).items():
        found.setdefault(name, {})[kind] = run.median
    return found


def render(found: dict[str, dict[str, float]]) -> str:
    """The table, and what it says of the aim."""
    header = ["direction", "request µs", "start and end µs", "text: µs/delta", "escaped", "tool arguments"]
    header += ["10,000 deltas ms", "the next 10,000", "bytes held more per delta"]
    rows = [_row(name, times) for name, times in found.items()]
    return "\n\n".join([table(header, rows), aims_table([judge(found)])])


def judge(found: dict[str, dict[str, float]]) -> Verdict:
    """No cost that grows with the length of a stream."""
    aim = f"a delta after 10,000 ≤ {LATE_RATIO:g} times one of those, translated"
    ratios = [(name, times["late"] / times["early"]) for name, times in found.items()]
    return all_of(aim, [(name, at_most(aim, ratio, LATE_RATIO, f"{ratio:.2f}")) for name, ratio in ratios])


def _row(name: str, times: dict[str, float]) -> list[str]:
    upstream, client = name.split("→")
    early, late = (held_bytes(SCRIPTS[upstream], translating(client), deltas) for deltas in (100, MANY))
    cells = [f"{times[kind]:.0f}" for kind in ("request", "whole")]
    cells += [f"{times[kind]:.2f}" for kind in ("text", "escaped", "tool")]
    cells += [f"{times[kind] * MANY / 1000:.0f}" for kind in ("early", "late")]
    return [name, *cells, f"{(late - early) / (MANY - 100):.1f}"]
