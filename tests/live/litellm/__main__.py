"""The seeds on real LiteLLM: what it does to streams, and what relay before it makes of that.

    python -m tests.live.litellm [--only SEED] [--version V] [--out FILE] [--cost]

Each version is installed from PyPI into an environment of its own, once (minutes), and run with one
worker, no database and nothing that leaves the machine, between scripted providers and this process.
stdout is a Markdown table; the exit status is 1 when something that relay answers for is not so.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path

from . import cost, report, seeds
from .finding import Finding
from .install import VERSIONS, Lacking
from .processes import NotStarted


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.live.litellm", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--only", action="append", choices=seeds.NAMES, metavar="SEED", help=", ".join(seeds.NAMES)
    )
    parser.add_argument("--version", action="append", metavar="V", help=f"of LiteLLM: {', '.join(VERSIONS)}")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="write the tables there, too: between its marks, if it has them",
    )
    parser.add_argument("--cost", action="store_true", help="CPU, memory and time instead of the seeds")
    return parser.parse_args(argv)


async def run(version: str, arguments: argparse.Namespace) -> tuple[list[Finding], str]:
    """What was found of one version, or the table of what it costs."""
    if arguments.cost:
        return await cost.measure(version)
    return await seeds.prove(version, set(arguments.only or ())), ""


def main(argv: list[str] | None = None) -> int:
    arguments = parse(argv)
    found: list[Finding] = []
    said = []
    for version in arguments.version or VERSIONS:
        began = time.monotonic()
        try:
            more, table = asyncio.run(run(version, arguments))
        except (Lacking, NotStarted) as error:
            more, table = [Finding("", version, "", "", "", str(error))], ""
        found += more
        said += [table] if table else []
        print(f"{version}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    text = "\n".join(said) if arguments.cost else report.tables(found)
    print(text)
    if arguments.out:
        report.put(arguments.out, "cost" if arguments.cost else "seeds", text)
    faults = report.faults(found)
    print(*faults, sep="\n", file=sys.stderr)
    print(f"{len(found)} seen, {len(faults)} faults", file=sys.stderr)
    return 1 if faults or not (found or said) else 0


if __name__ == "__main__":
    sys.exit(main())
