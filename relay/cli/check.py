"""``relay check``: what is wrong in a configuration, what it makes, and whether its upstreams answer.

The result goes to stdout: all problems with their places, or one line that says it is fine. No key is
ever shown, nor any part of one.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from relay.cli.serve_options import add_quietly, settings_of
from relay.errors import UsageError
from relay.settings import flat
from relay.settings.resolved import Resolved
from relay.settings.resolving import Wrong
from relay.source.problems import covered

if TYPE_CHECKING:
    from relay.cli.reaching import Reached
    from relay.source.problems import Problem

FINE, PROBLEMS, UNREACHABLE = 0, 2, 3
_WIDEST = 60
"""Characters of a value that others wait for; a longer one moves only its own origin."""
_BOLD, _RED, _PLAIN = "\x1b[1m", "\x1b[31m", "\x1b[0m"

EXAMPLES = """\
examples:
  relay check relay.yaml             every mistake, with its place and its fix
  relay check relay.yaml --show      every value, and who has said it
  relay check relay.yaml --reach     ask each upstream, with its key
  relay check --litellm config.yaml  what relay would do in front of that LiteLLM

exit codes: 0 fine; 2 something is wrong, or a key is refused; 3 an upstream cannot be reached
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "relay check [FILE] [--show] [--reach] [--schema] [--json] [flags of relay serve]"
    parser.description = EXAMPLES
    parser.add_argument("file", nargs="?", metavar="FILE", help="relay.yaml (otherwise RELAY_CONFIG's)")
    parser.add_argument("--show", action="store_true", help="print every value and its origin")
    parser.add_argument("--reach", action="store_true", help="ask each upstream for its models")
    parser.add_argument("--schema", action="store_true", help="print the JSON schema of relay.yaml")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    add_quietly(parser.add_argument)


def run(args: argparse.Namespace) -> int:
    if args.schema:
        from relay.settings.form import schema

        sys.stdout.write(schema())
        return FINE
    if args.file and args.config and args.file != args.config:
        raise UsageError(f"{args.file} and --config {args.config}: one file at a time")
    args.config = args.file or args.config
    try:
        resolved = settings_of(args)
    except Wrong as wrong:
        return _refuse(wrong, as_json=args.json)
    for warning in resolved.warnings:
        _narrate(f"warning: {warning}")
    reached = _reach(resolved) if args.reach else []
    if args.json:
        print(json.dumps(_document(resolved, reached, show=args.show), indent=2, ensure_ascii=False))
    else:
        _print(resolved, reached, args)
    return max((one.code for one in reached), default=FINE)


# --- what is wrong ----------------------------------------------------------------------------


def _refuse(wrong: Wrong, *, as_json: bool) -> int:
    if as_json:
        found = [{"message": line} for line in wrong.lines]
        problems = [*found, *map(_as_json, wrong.problems)]
        print(json.dumps({"ok": False, "problems": problems}, indent=2, ensure_ascii=False))
        return PROBLEMS
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    for line in wrong.lines:
        print(line)
    for problem in wrong.problems:
        print(_coloured(str(problem)) if colour else problem)
    count = len(wrong.lines) + len(wrong.problems)
    _narrate(f"{count} problem{'s' if count > 1 else ''}")
    return PROBLEMS


def _as_json(problem: Problem) -> dict[str, Any]:
    place = problem.place
    return {
        "file": place.file,
        "line": place.line,
        "column": place.column,
        "message": problem.message,
        "text": covered(place.text),
    }


def _coloured(problem: str) -> str:
    """The place in bold, the carets in red."""
    first, *rest = problem.splitlines()
    place = re.match(r".*?:\d+:\d+:", first)
    end = place.end() if place else 0
    lines = [f"{_BOLD}{first[:end]}{_PLAIN}{first[end:]}", *rest]
    lines[-1] = re.sub(r"\^+", rf"{_RED}\g<0>{_PLAIN}", lines[-1])
    return "\n".join(lines)


# --- what is fine -----------------------------------------------------------------------------


def _print(resolved: Resolved, reached: Sequence[Reached], args: argparse.Namespace) -> None:
    settings = resolved.settings
    if args.show:
        print("\n".join(_table(resolved)))
    else:
        print("\n".join(resolved.said), end="\n" if resolved.said else "")
    if reached:
        width = max(len(one.name) for one in reached)
        print("\n".join(f"{one.name:{width}}  {one.told}" for one in reached))
    if not args.show and not reached:
        file = f"{resolved.files[0]} is fine" if resolved.files else "fine"
        counts = [_count(len(settings.upstreams), "upstream"), _count(len(settings.routes), "route")]
        print(f"{file}: {', '.join(counts)}")


def _table(resolved: Resolved) -> Iterable[str]:
    """Path, value, origin."""
    rows = [(path, text, resolved.origins[path]) for path, text in flat.flat(resolved.settings).items()]
    first = max(len(path) for path, _, _ in rows)
    second = min(max(len(text) for _, text, _ in rows), _WIDEST)
    for path, text, origin in rows:
        yield f"{path:{first}}  {text:{second}}  {origin}"


def _document(resolved: Resolved, reached: Sequence[Reached], *, show: bool) -> dict[str, Any]:
    settings = resolved.settings
    document: dict[str, Any] = {
        "ok": not any(one.code for one in reached),
        "files": list(resolved.files),
        "upstreams": [str(one) for one in settings.upstreams],
        "routes": flat.route_labels(settings.routes),
        "said": list(resolved.said),
        "warnings": list(resolved.warnings),
    }
    if show:
        document["settings"] = {
            path: {"value": text, "origin": resolved.origins[path]}
            for path, text in flat.flat(settings).items()
        }
    if reached:
        document["reach"] = [one.document for one in reached]
    return document


def _reach(resolved: Resolved) -> Sequence[Reached]:
    import asyncio

    from relay.cli.reaching import reach

    return asyncio.run(reach(resolved.settings))


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _narrate(line: str) -> None:
    print(f"relay: {line}", file=sys.stderr)
