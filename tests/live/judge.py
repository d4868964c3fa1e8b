"""Real SDKs judge what reaches them: recorded streams directly, and through ``relay serve``.

    python -m tests.live.judge [--python-only | --node-only] [--version 1.85.0] [--json FILE]
    python -m tests.live.judge --corpus handwritten

Every capture of the corpus is replayed to every client of its dialect twice, from the replay
server itself ("before") and through relay ("after"). The table counts the captures by what the
client made of them; below it stands each failure that relay left, with its reason. The exit status
is 1 when there is one, 2 when the corpus is not there.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shlex
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .clients import WAYS, clients, judge
from .corpus import CORPUS, VERSIONS, Capture, Handwritten, handwritten, litellm
from .expected import Truth
from .left import why
from .nodes import missing, node_outcomes
from .outcome import CLASSES, FAILING, Outcome, Verdict, likeness, verdict
from .replay import Replay

AT_ONCE = 8
ANY, ALL = "any client", "all"
LEGAL = ("valid", "valid-rare")
"""Kinds of handwritten streams that break no rule, so that relay leaves them as they are."""


@dataclass(frozen=True)
class Judged:
    outcome: Outcome
    group: str
    verdict: Verdict


async def python_outcomes(captures: Iterable[Capture], origins: dict[str, str]) -> list[Outcome]:
    """Each capture by both SDK ways, from each origin."""
    gate = asyncio.Semaphore(AT_ONCE)

    async with clients() as made:

        async def one(way: str, capture: Capture, name: str) -> Outcome:
            async with gate:
                return await judge(made, origins[way], way, capture, name)

        jobs = [
            one(way, capture, name)
            for capture in captures
            for name in WAYS[capture.dialect]
            for way in origins
        ]
        return await asyncio.gather(*jobs)


async def outcomes(captures: list[Capture], arguments: argparse.Namespace) -> list[Outcome]:
    """All judges' answers, before and after relay."""
    found: list[Outcome] = []
    async with contextlib.AsyncExitStack() as running:
        replay = await running.enter_async_context(Replay(captures, pieces=arguments.pieces).serve())
        origins = {"before": replay.url}
        if not arguments.direct:
            # Not at the top: what recorded streams do to the SDKs can be seen while relay is broken.
            from ..net.process import serving

            relay = await running.enter_async_context(serving(replay.url, *shlex.split(arguments.relay)))
            origins["after"] = f"http://127.0.0.1:{relay.port}"
        if not arguments.node_only:
            found += await python_outcomes(captures, origins)
        if not arguments.python_only:
            found += await node_outcomes(captures, origins, AT_ONCE)
    return found


async def judge_litellm(arguments: argparse.Namespace) -> list[Judged]:
    captures = litellm(CORPUS / "litellm", tuple(arguments.version or VERSIONS))
    truth = Truth(CORPUS / "upstream")
    if gaps := truth.gaps(captures):
        sys.exit("the table of losses and the corpus disagree:\n" + "\n".join(gaps))
    wanted = {capture.key: truth(capture) for capture in captures}
    return [
        Judged(got, got.key.split("/")[0], verdict(wanted[got.key], got))
        for got in await outcomes(captures, arguments)
    ]


async def judge_handwritten(arguments: argparse.Namespace) -> list[Judged]:
    """A stream's answer must be that of its repaired form; without one, no worse than without relay."""
    streams = handwritten(CORPUS / "handwritten")
    captures = [capture for one in streams for capture in (one.stream, *one.repaired)]
    found = {(got.judge, got.way, got.key): got for got in await outcomes(captures, arguments)}
    return [
        Judged(got, one.stream.group, _alike(one, got, found))
        for one in streams
        for (_, _, key), got in found.items()
        if key == one.stream.key
    ]


def _alike(one: Handwritten, got: Outcome, found: dict[tuple[str, str, str], Outcome]) -> Verdict:
    models = [found[got.judge, "before", capture.key] for capture in one.repaired]
    if not models:
        direct = found[got.judge, "before", got.key]
        if direct.raised == "sdk" and not direct.by_design:
            return _stumbles(one.stream.group, got)
        models = [direct]
    verdicts = [likeness(model, got) for model in models]
    return min(verdicts, key=lambda one: CLASSES.index(one.grade))


def _stumbles(kind: str, got: Outcome) -> Verdict:
    """The stream makes this client stumble and no repair of it is known."""
    if got.raised != "sdk":
        return Verdict("right")
    return Verdict("by-design" if kind in LEGAL else "crash", got.error)


def table(judged: list[Judged]) -> str:
    """Per group and client: how many streams fail it before and after, by class.

    In the rows of "any client" a stream counts once in each class that some client gave it.
    """
    ways = ways_of(judged)
    seen: dict[tuple[str, str], dict[tuple[str, str], set[str]]] = {}
    for one in judged:
        for name in (one.outcome.judge, ANY):
            for group in (one.group, ALL):
                row = seen.setdefault((group, name), defaultdict(set))
                row[one.outcome.way, one.verdict.grade].add(one.outcome.key)
                if one.verdict.grade in FAILING:
                    row[one.outcome.way, "fails"].add(one.outcome.key)
    heads = ["group", "client", "streams", *(f"fail {way}" for way in ways), *CLASSES]
    rows = [heads]
    for (group, name), row in sorted(seen.items(), key=lambda item: (item[0][0] == ALL, item[0])):
        streams = set().union(*row.values())
        failing = [str(len(row[way, "fails"])) for way in ways]
        by_class = [" → ".join(str(len(row[way, grade])) for way in ways) for grade in CLASSES]
        rows.append([group, name, str(len(streams)), *failing, *by_class])
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def ways_of(judged: list[Judged]) -> list[str]:
    return [way for way in ("before", "after") if any(one.outcome.way == way for one in judged)]


def left(judged: list[Judged]) -> list[str]:
    """One line for each stream and kind of failure that is there at the end of the way."""
    last = ways_of(judged)[-1]
    lines: dict[tuple[str, str, str], list[str]] = {}
    for one in judged:
        if one.outcome.way == last and one.verdict.grade in FAILING and why(one.outcome.key) is None:
            key = (one.verdict.grade, one.outcome.key, one.verdict.reason)
            lines.setdefault(key, []).append(one.outcome.judge)
    return [
        f"{grade:6} {key}  [{', '.join(judges)}]  {reason}"
        for (grade, key, reason), judges in sorted(lines.items())
    ]


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.live.judge", description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", choices=("litellm", "handwritten"), default="litellm")
    parser.add_argument("--version", action="append", choices=VERSIONS, help="only this LiteLLM (repeatable)")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--python-only", action="store_true")
    only.add_argument("--node-only", action="store_true")
    parser.add_argument("--direct", action="store_true", help="without relay: the figures before alone")
    parser.add_argument("--pieces", type=int, default=1, help="chunks that the replay cuts each body into")
    parser.add_argument("--json", type=Path, help="write every outcome there")
    parser.add_argument("--relay", default="", help="more arguments for relay serve, as one word")
    parser.add_argument("--quiet", action="store_true", help="the table alone")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    arguments = parse(argv)
    if not CORPUS.is_dir():
        print(f"there is no corpus at {CORPUS}", file=sys.stderr)
        return 2
    if not arguments.python_only and (lacking := missing()):
        print(f"no Node judges ({lacking}); --python-only goes without", file=sys.stderr)
        return 2
    warnings.filterwarnings("ignore", module="pydantic")  # what a bent answer looks like when dumped
    begun = time.monotonic()
    judges = {"litellm": judge_litellm, "handwritten": judge_handwritten}
    judged = asyncio.run(judges[arguments.corpus](arguments))
    if arguments.json:
        records = [{**one.outcome.record(), "group": one.group, **vars(one.verdict)} for one in judged]
        arguments.json.write_text("".join(json.dumps(record) + "\n" for record in records))
    failures = left(judged)
    print(table(judged))
    if not arguments.quiet:
        print("", *failures, sep="\n")
    where = "without" if arguments.direct else "behind"
    print(f"\n{len(failures)} failures {where} relay; {time.monotonic() - begun:.0f} s", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
