"""Real agent CLIs work through ``relay serve``: Claude Code and Codex over upstreams of every dialect.

    python -m tests.live.agents [--only WORD]... [--flags "--upstream-profile vllm"] [--list]

The CLIs are installed by npm from ``agents_node``. A scripted model asks for commands, edits and the like,
the CLI runs them on this machine, and the files, the last words and every request are judged. Everything
runs in a network namespace that has only loopback. The exit status is 1 when a case failed, 2 when npm or
a namespace cannot be had.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from .agents_cases import cases
from .agents_probes import probes
from .agents_run import Case, Run, dropped, play
from .agents_setup import Unavailable, enter_namespace, install

INSIDE = "RELAY_AGENTS_INSIDE"
AT_ONCE = 2


def rows(runs: list[Run]) -> list[list[str]]:
    found = [["case", "turns", "others", "seconds", "dropped", "result"]]
    for run in runs:
        left_out = " ".join(sorted(dropped(run))) or "-"
        result = "FAILED" if run.failures else "ok"
        figures = [str(run.model.turns), str(run.model.others), f"{run.seconds:.1f}"]
        found.append([run.case.name, *figures, left_out, result])
    return found


def table(found: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in found) for column in range(len(found[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in found]
    return "\n".join(line.rstrip() for line in lines)


def judge(chosen: list[Case], arguments: argparse.Namespace) -> int:
    """Play the cases, two at a time; print the table, then every failure."""
    begun = time.monotonic()
    flags = shlex.split(arguments.flags)
    with tempfile.TemporaryDirectory(prefix="agents-") as place, ThreadPoolExecutor(AT_ONCE) as pool:
        homes = [Path(place) / str(number) for number in range(len(chosen))]
        runs = list(pool.map(lambda case, home: play(case, home, flags), chosen, homes))
        asked = [] if arguments.only else probes(Path(place), flags)
        if arguments.keep:
            keep(runs, arguments.keep)
    print(table(rows(runs)))
    if asked:
        print(
            "",
            table([[probe.name, probe.answer, "FAILED" if probe.failures else "ok"] for probe in asked]),
            sep="\n",
        )
    failures = [f"{run.case.name}: {words}" for run in runs for words in run.failures]
    failures += [f"{probe.name}: {words}" for probe in asked for words in probe.failures]
    print("", *failures, sep="\n")
    took = time.monotonic() - begun
    print(f"{len(runs)} cases, {len(asked)} probes, {len(failures)} failures; {took:.0f} s", file=sys.stderr)
    return 1 if failures else 0


def keep(runs: list[Run], place: Path) -> None:
    """All that was seen of each run, to be read by a person."""
    for run in runs:
        folder = place / run.case.name.replace(" ", "-").replace(":", "")
        folder.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(event) for event in run.said.events]
        (folder / "events.jsonl").write_text("\n".join(lines))
        (folder / "stderr").write_text(run.said.stderr)
        (folder / "relay").write_text("\n".join(run.relay.lines if run.relay else []))
        (folder / "upstream.jsonl").write_text(
            "\n".join(json.dumps(asdict(one)) for one in run.server.requests)
        )
        for number, (up, down) in enumerate(run.tap.connections if run.tap else []):
            (folder / f"{number}-up").write_bytes(up)
            (folder / f"{number}-down").write_bytes(down)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.live.agents", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--only", action="append", default=[], help="cases whose name has this word (repeatable)"
    )
    parser.add_argument("--flags", default="", help="more arguments for relay serve where it translates")
    parser.add_argument("--list", action="store_true", help="name the cases and end")
    parser.add_argument("--keep", type=Path, help="write events, bytes and what the upstream saw there")
    arguments = parser.parse_args(argv)
    chosen = [case for case in cases() if all(word in case.name for word in arguments.only)]
    if not chosen:
        parser.error("no case has all these words in its name; see --list")
    if arguments.list:
        print(*(case.name for case in chosen), sep="\n")
        return 0
    try:
        versions = install()
        enter_namespace(INSIDE)
    except Unavailable as lack:
        print(f"skipped: {lack}", file=sys.stderr)
        return 2
    print(", ".join(versions.values()), file=sys.stderr)
    return judge(chosen, arguments)


if __name__ == "__main__":
    sys.exit(main())
