"""The command line: one thin module per command, imported only when it is asked for.

Exit codes: 0 fine, 2 usage or configuration, 3 cannot reach, 130 interrupted. An error is one
line on stderr that says what, where, and the probable fix; ``-vv`` adds the traceback.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import Protocol, cast

from relay import __version__
from relay.errors import UsageError

COMMANDS = {
    "serve": "forward requests to an upstream, every delta the moment it arrives",
    "check": "say what is wrong in a configuration, or what it makes, and whether upstreams answer",
    "reload": "have a running relay read its configuration again",
    "fake": "a small upstream that streams in every dialect, for trying things out",
}

EXAMPLES = """\
examples:
  relay fake                                        a practice upstream on 127.0.0.1:8000
  relay serve --upstream http://127.0.0.1:8000      in front of one server, no file needed
  relay serve --litellm config.yaml                 in front of a LiteLLM, with its own file
  relay check relay.yaml                            every mistake of a configuration, with its fix
  relay serve -c relay.yaml --listen 127.0.0.1:9000 --workers 2
"""


class Command(Protocol):
    """What each module of this package offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, args: argparse.Namespace) -> int: ...


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    args = _parser(argv).parse_args(argv)
    try:
        return cast(int, args.run(args))
    except UsageError as error:
        if args.verbose >= 2:
            raise
        print(f"relay: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser(argv: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="relay",
        description=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"relay {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        sub = commands.add_parser(
            name,
            help=summary,
            description=summary,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.add_argument("-v", dest="verbose", action="count", default=0, help="say more; -vv: tracebacks")
        # Only the command that runs is imported: `relay serve` must not pay for the others.
        if name in argv:
            command = cast(Command, importlib.import_module(f"relay.cli.{name}"))
            command.add_arguments(sub)
            sub.set_defaults(run=command.run)
    return parser
