"""``python -m tests.fuzz.guided streams -runs=100000``: the same targets, led by the lines that they reach.

Needs ``atheris``, which is no dependency of the tests. What stands after the target's name goes to libFuzzer.
An input is eight bytes that draw all but the body, then the body. It starts from inputs that the target
itself has drawn, in ``fuzz-corpus``, and puts there what reached something new. A finding ends it:
``crash-…`` holds the input, and is checked again where its name stands among libFuzzer's words.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from random import Random

import atheris  # type: ignore[import-not-found]

with atheris.instrument_imports(include=["relay"]):
    from tests.fuzz.__main__ import TARGETS
from tests.fuzz.known import excuse

_SEEDS = 300


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"usage: python -m tests.fuzz.guided {'|'.join(TARGETS)} [libFuzzer's flags and files]")
    target = TARGETS[sys.argv[1]]

    def check(data: bytes) -> None:
        case = replace(target.draw(Random(data[:8])), raw=data[8:])
        try:
            target.check(case)
        except Exception as error:
            if excuse(case, error) is None:
                raise

    corpus = Path("fuzz-corpus", target.name)
    corpus.mkdir(parents=True, exist_ok=True)
    for number in range(_SEEDS):
        chance = number.to_bytes(8, "big")
        (corpus / f"seed-{number}").write_bytes(chance + target.draw(Random(chance)).raw)
    words = sys.argv[2:]
    again = any(Path(word).is_file() for word in words)
    atheris.Setup([sys.argv[0], *words, *([] if again else [str(corpus)])], check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
