"""``python -m tests.attacks.run --proxy relay|nginx|haproxy|HOST:PORT``: every case, a table, a score.

A proxy at ``HOST:PORT`` must have this runner for its upstream: ``--upstream-port`` says where that listens.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .cases import SECRET, Case
from .catalogue import CASES, THEMES
from .client import observe
from .judge import Verdict, judge
from .proxies import NAMES, Proxy, ProxyError, started
from .upstream import Upstream

MIB = 1024 * 1024
STALLED = 0.3


@dataclass(frozen=True, slots=True)
class Result:
    """One case with one proxy."""

    case: Case
    verdict: Verdict
    seconds: float
    grown: float


def play_one(case: Case, proxy: Proxy, upstream: Upstream, wanted: str = "") -> Result:
    """Play one case until it passes, with the ``wanted`` label if one is given, or fails in good time.

    A machine that stalls for longer than the limits of the proxy fails cases that have nothing to do with
    time. Those that took long are played again, twice at most.
    """
    for _ in range(3):
        result = _play_once(case, proxy, upstream)
        as_wanted = result.verdict.passed and wanted in ("", result.verdict.label)
        if as_wanted or result.seconds < STALLED or not proxy.alive():
            break
    return result


def _play_once(case: Case, proxy: Proxy, upstream: Upstream) -> Result:
    """Play, judge, and look at the process: alive, not swollen, its log without secrets."""
    proxy.forget_peak()
    before, logged = proxy.peak(), len(proxy.said())
    seen = observe(proxy.address, upstream, case)
    verdict = judge(case, seen)
    if not proxy.alive():
        return Result(case, Verdict("crash", "the proxy is gone"), seen.seconds, 0.0)
    grown = (proxy.peak() - before) / MIB
    said = proxy.said()[logged:] if proxy.name == "relay" else b""  # the others promise nothing of theirs
    if verdict.passed and case.growth and grown > case.growth:
        verdict = Verdict(verdict.label, f"its memory grew by {grown:.0f} MiB")
    if verdict.passed and SECRET in said:
        verdict = Verdict(verdict.label, "its log tells a secret")
    if verdict.passed and b"Traceback" in said:
        verdict = Verdict(verdict.label, "its log tells of a fault of its own")
    return Result(case, verdict, seen.seconds, grown)


def play(cases: Iterable[Case], proxy: Proxy, upstream: Upstream) -> Iterator[Result]:
    for case in cases:
        yield play_one(case, proxy, upstream)
        if not proxy.alive():
            return


def score(results: list[Result]) -> list[tuple[str, int, int]]:
    """Passed and played, by theme; at last the sum."""
    rows = []
    for theme in THEMES:
        of_theme = [result for result in results if result.case.theme == theme]
        if of_theme:
            rows.append((theme, sum(r.verdict.passed for r in of_theme), len(of_theme)))
    return [*rows, ("all", sum(row[1] for row in rows), sum(row[2] for row in rows))]


def _as_json(proxy: Proxy, results: list[Result]) -> str:
    return json.dumps(
        {
            "proxy": proxy.version or proxy.name,
            "score": {theme: {"passed": passed, "of": of} for theme, passed, of in score(results)},
            "cases": [
                {
                    "theme": result.case.theme,
                    "name": result.case.name,
                    "source": result.case.source,
                    "outcome": result.verdict.label,
                    "passed": result.verdict.passed,
                    "why": result.verdict.why,
                    "seconds": round(result.seconds, 3),
                    "grown_mib": round(result.grown, 1),
                }
                for result in results
            ],
        },
        indent=1,
    )


def _as_table(proxy: Proxy, results: list[Result], *, every: bool) -> str:
    lines = []
    for result in results:
        if every or not result.verdict.passed:
            mark = "pass" if result.verdict.passed else "FAIL"
            why = f"  {result.verdict.why}" if result.verdict.why else ""
            name = f"{result.case.theme}: {result.case.name}"
            lines.append(f"{mark}  {name:<70} {result.verdict.label:<12}{why}")
    lines += ["", proxy.version or proxy.name]
    lines += [f"{theme:<24}{passed:>4} of {of}" for theme, passed, of in score(results)]
    lines.append(f"{sum(result.seconds for result in results):.1f} s")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.run", description=__doc__)
    parser.add_argument("--proxy", default="relay", help=f"{', '.join(NAMES)} or HOST:PORT (default relay)")
    parser.add_argument("--upstream-port", type=int, default=0, help="where the runner's upstream listens")
    parser.add_argument("--only", default="", help="cases whose theme or name contains this")
    parser.add_argument("--all", action="store_true", help="show those that pass, too")
    parser.add_argument("--json", action="store_true", help="everything, as one document")
    args = parser.parse_args()
    wanted = [case for case in CASES if args.only in f"{case.theme}: {case.name}"]
    upstream = Upstream(args.upstream_port)
    try:
        with started(args.proxy, upstream.port) as proxy:
            results = list(play(wanted, proxy, upstream))
            show = _as_json(proxy, results) if args.json else _as_table(proxy, results, every=args.all)
    except ProxyError as error:
        print(error, file=sys.stderr)
        return 3
    finally:
        upstream.close()
    print(show)
    return 0 if len(results) == len(wanted) and all(result.verdict.passed for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
