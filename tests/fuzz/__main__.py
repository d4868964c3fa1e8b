"""``python -m tests.fuzz --inputs 1000000``: draw and check many inputs, print the rate and what was found.

Every finding is written to a file with its bytes, and named with what draws it again. Exit code 1 when there
is one.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.fuzz.chunked import Chunked
from tests.fuzz.documents import Documents
from tests.fuzz.heads import Heads
from tests.fuzz.run import Tally, draw, read, run
from tests.fuzz.streams import Checked, Translated

TARGETS = {target.name: target for target in (Heads(), Chunked(), Checked(), Translated(), Documents())}
SHARES = {"heads": 5, "chunked": 4, "streams": 4, "translated": 4, "documents": 3}
"""Of twenty inputs."""
_BLOCK = 500
_EVERY = 30.0
"""Seconds between two lines about how far it came."""

Job = tuple[str, int, int, int]
"""A target's name, the seed, the first index and the one after the last."""


def main() -> int:
    asked = _arguments()
    if asked.replay is not None:
        name, case = read(asked.replay)
        print(TARGETS[name].check(case))
        return 0
    if asked.at is not None:
        case = draw(TARGETS[asked.only], asked.seed, asked.at)
        print(f"{case.how} {case.sizes}\n{case.raw!r}")
        print(TARGETS[asked.only].check(case))
        return 0
    shares = {asked.only: 1} if asked.only else SHARES
    print(f"seed {asked.seed}, {asked.inputs} inputs, {asked.processes} processes", flush=True)
    began = time.perf_counter()
    tally = _run_all(list(_jobs(shares, asked.seed, asked.inputs)), asked.processes, asked.out)
    _report(tally, time.perf_counter() - began)
    return 1 if tally.kinds else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--only", choices=list(TARGETS))
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=Path("fuzz-findings"), help="where findings are written")
    parser.add_argument("--at", type=int, help="check the input of this index alone, with --only and --seed")
    parser.add_argument("--replay", type=Path, help="check a finding that was written, by its .bin file")
    asked = parser.parse_args()
    if asked.at is not None and asked.only is None:
        parser.error("--at needs --only")
    return asked


def _jobs(shares: dict[str, int], seed: int, inputs: int) -> Iterator[Job]:
    """Blocks of indexes, the targets in turn, so that a run that is broken off has done some of each."""
    whole = sum(shares.values())
    left = {name: list(range(0, inputs * share // whole, _BLOCK)) for name, share in shares.items()}
    end = {name: inputs * share // whole for name, share in shares.items()}
    while any(left.values()):
        for name in shares:
            if left[name]:
                start = left[name].pop(0)
                yield name, seed, start, min(start + _BLOCK, end[name])


def _run_job(job: Job) -> Tally:
    name, seed, start, end = job
    return run(TARGETS[name], seed, range(start, end))


def _run_all(jobs: list[Job], processes: int, out: Path) -> Tally:
    """All of them; or what was done when Ctrl-C came. What is found is said at once."""
    tally, said = Tally(), time.perf_counter()
    with ProcessPoolExecutor(processes) as pool:
        try:
            for done in pool.map(_run_job, jobs):
                for one in tally.add(done):
                    print(f"{one}\n  bytes: {one.write(out)}\n", flush=True)
                if time.perf_counter() - said > _EVERY:
                    said = time.perf_counter()
                    print(f"{tally.inputs} inputs, {len(tally.kinds)} kinds of findings", file=sys.stderr)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
    return tally


def _report(tally: Tally, seconds: float) -> None:
    for end, count in sorted(tally.ends.items()):
        print(f"{count:9} {end}")
    print(f"{tally.inputs} inputs in {seconds:.0f} s, {tally.inputs / seconds:.0f} a second")
    print(f"the slowest took {tally.slowest[0] * 1000:.0f} ms: {tally.slowest[1]}")
    print(f"{tally.kinds.total()} findings of {len(tally.kinds)} kinds")
    for (name, where, what), count in tally.kinds.most_common():
        print(f"{count:9} {name}: {what} in {where}")


if __name__ == "__main__":
    sys.exit(main())
