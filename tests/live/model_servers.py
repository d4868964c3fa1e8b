"""Real model servers behind ``relay serve``: what they say reaches every client in its own dialect.

    python -m tests.live.model_servers [--only vllm] [--upstream chat] [--save DIRECTORY] [--quiet]

A tiny model is made, and served on the CPU by Hugging Face ``transformers serve``, by llama.cpp's
``llama-server`` and by vLLM, each in an environment of its own that the first run makes (minutes).
The anthropic and openai SDKs then ask the server directly and through relay, in each dialect, and
must be told the same. The exit status is 1 when something differs or no server could be had.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from . import model_servers_setup as setup
from . import tiny_model
from .model_servers_checks import CHECKS, Check, Place, save
from .model_servers_run import KINDS, Kind, RelayEnded, Server, relaying, serving

MAKING = 180


async def judge(server: Server, dialects: list[str], arguments: argparse.Namespace, log: Path) -> list[Check]:
    """All checks of a running server, for each dialect that relay is to speak with it."""
    found = []
    for upstream in dialects:
        try:
            async with relaying(server, upstream, log) as relay:
                place = Place(server, relay, upstream)
                if arguments.save:
                    await save(place, arguments.save)
                for check in CHECKS:
                    found += await held(check, place)
        except RelayEnded as error:
            found.append(Check(f"{upstream} relay serve", str(error)[-300:]))
    return found


async def held(check: Callable[[Place], AsyncIterator[Check]], place: Place) -> list[Check]:
    """What one check found; what it raises is a finding too, and the others are still made."""
    found = []
    try:
        async for one in check(place):
            found.append(one)  # noqa: PERF401  (those before an error count)
    except Exception as error:
        found.append(Check(f"{place.upstream} {check.__name__}", f"{type(error).__name__}: {error}"[:300]))
    return found


async def judge_all(kinds: list[Kind], arguments: argparse.Namespace) -> dict[str, list[Check] | str]:
    """By server: its checks, or why it could not be had."""
    results: dict[str, list[Check] | str] = {}
    with tempfile.TemporaryDirectory(prefix="relay-live-") as name:
        model = Path(name)
        script = Path(tiny_model.__file__)
        python = setup.transformers() / "bin" / "python"
        setup.run(python, script, model, limit=MAKING, log=setup.CACHE / "model.log")
        for kind in kinds:
            dialects = [d for d in kind.dialects if not arguments.upstream or d in arguments.upstream]
            begun = time.monotonic()
            log = setup.CACHE / f"{kind.name}-served.log"
            log.unlink(missing_ok=True)
            try:
                async with serving(kind, model, log) as server:
                    results[kind.name] = await judge(server, dialects, arguments, setup.CACHE / "relay.log")
            except (setup.Lacking, TimeoutError) as error:
                results[kind.name] = str(error) or "it did not start in time"
            print(f"{kind.name}: {time.monotonic() - begun:.0f} s", file=sys.stderr)
    return results


def report(results: dict[str, list[Check] | str], *, quiet: bool) -> int:
    """The table, and the number of faults in it."""
    faults = 0
    for name, checks in results.items():
        if isinstance(checks, str):
            print(f"{name}  not checked: {checks}")
            continue
        wrong = [check for check in checks if check.fault]
        faults += len(wrong)
        print(f"{name}  {len(checks) - len(wrong)} of {len(checks)} hold")
        for check in wrong if quiet else checks:
            print(f"  {'FAULT' if check.fault else 'ok':5}  {check.name:34}  {check.fault or check.seen}")
    return faults


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.live.model_servers", description=__doc__.split("\n")[0]
    )
    names = [kind.name for kind in KINDS]
    parser.add_argument("--only", action="append", choices=names, help="this server (repeatable)")
    parser.add_argument("--upstream", action="append", choices=("chat", "responses", "messages"))
    parser.add_argument("--save", type=Path, help="write the servers' own streams there")
    parser.add_argument("--quiet", action="store_true", help="the faults alone")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    arguments = parse(argv)
    warnings.filterwarnings("ignore", module="pydantic")
    kinds = [kind for kind in KINDS if not arguments.only or kind.name in arguments.only]
    try:
        results = asyncio.run(judge_all(kinds, arguments))
    except setup.Lacking as error:
        print(f"no model could be made: {error}", file=sys.stderr)
        return 1
    faults = report(results, quiet=arguments.quiet)
    checked = sum(not isinstance(checks, str) for checks in results.values())
    print(f"{checked} servers checked, {faults} faults", file=sys.stderr)
    return 1 if faults or not checked else 0


if __name__ == "__main__":
    sys.exit(main())
