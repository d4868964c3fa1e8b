"""``relay serve`` with flags of which some are in a file, read anew by every reload.

``python -m tests.net.reloading FILE [FLAG...]``: as a configuration file would be.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from relay import cli
from relay.cli import serve
from relay.cli.serve_options import add_arguments, settings_of
from relay.settings.resolved import Resolved


def main(file: Path, flags: list[str]) -> int:
    def read(args: argparse.Namespace) -> Resolved:
        parser = argparse.ArgumentParser()
        add_arguments(parser)
        return settings_of(parser.parse_args([*flags, *shlex.split(file.read_text())]))

    serve.settings_of = read
    return cli.main(["serve", *flags, *shlex.split(file.read_text())])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
