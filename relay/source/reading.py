"""YAML files read into nodes that know their places; all that is wrong in one is found in one run.

A file whose syntax is broken is read in parts, so that the mistakes after the first are told too.

    read          relay's own file: variables are filled in, keys are text, no key stands twice
    read_foreign  a file that belongs to another program, which it was good enough for: nothing is filled in,
                  keys of any kind are text, and a key that stands twice is a warning
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import yaml

from relay.source.composing import Composer, GivenUp
from relay.source.faults import Lines, characters, fault
from relay.source.files import Unreadable, contents
from relay.source.nodes import Listing, Node, Scalar, Section, plain, why_not_text
from relay.source.problems import Place, Problem, Problems

__all__ = [
    "FOREIGN_LIMIT",
    "LIMIT",
    "Listing",
    "Node",
    "Place",
    "Problem",
    "Problems",
    "Scalar",
    "Section",
    "parse",
    "plain",
    "read",
    "read_foreign",
    "why_not_text",
]

LIMIT = 1 << 20
FOREIGN_LIMIT = 16 << 20
_RESTARTS = 20
_PART = re.compile(r"[A-Za-z_][\w-]*:(?:\s|$)")


def read(
    path: str, environ: Mapping[str, str], problems: list[Problem], *, limit: int = LIMIT
) -> Node | None:
    """What a file of relay's says; None where that cannot be known. Problems are added to the list."""
    text = _decoded(path, limit, problems)
    return None if text is None else parse(text, path, environ, problems)


def read_foreign(
    path: str, problems: list[Problem], warnings: list[Problem], *, limit: int = FOREIGN_LIMIT
) -> Node | None:
    """What a file of another program says, by PyYAML's rules."""
    text = _decoded(path, limit, problems)
    return None if text is None else parse(text, path, None, problems, warnings)


def parse(
    text: str,
    path: str,
    environ: Mapping[str, str] | None,
    problems: list[Problem],
    warnings: list[Problem] | None = None,
) -> Node | None:
    """The same of a text; ``environ`` None fills nothing in, ``warnings`` make it another program's file.

    What is no YAML comes before whatever else is found.
    """
    lines = Lines(path, text)
    faults = characters(lines, text)
    others: list[Problem] = []
    start, node = 0, None
    while not faults or (len(faults) < _RESTARTS and start):
        composer = Composer(lines, text, environ, others, warnings, start)
        try:
            node = composer.document()
            break
        except GivenUp:
            node = None
            break
        except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
            faults.append(fault(error, lines, composer.last, composer.bracket))
            start = _next_part(lines, max(start, faults[-1].place.line - 1))
        finally:
            composer.close()
    problems += faults + others
    return None if faults else node


def _next_part(lines: Lines, after: int) -> int:
    """The line of the next key at the left margin, where reading can begin anew; 0: there is none."""
    return next((at for at in range(after + 1, len(lines)) if _PART.match(lines[at])), 0)


def _decoded(path: str, limit: int, problems: list[Problem]) -> str | None:
    try:
        data, _ = contents(path, limit)
    except Unreadable as error:
        problems.append(Problem(Place(path, 0, 0, ""), str(error)))
        return None
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        problems.append(Problem(Place(path, 0, 0, ""), "it is UTF-16; save it as UTF-8"))
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        lines = Lines(path, data[: error.start].decode("utf-8-sig", "replace"))
        start = lines[len(lines) - 1]
        rest = re.split(rb"[\r\n]", data[error.start : error.start + 200])[0].decode("utf-8", "replace")
        place = Place(path, len(lines), len(start) + 1, start + rest)
        byte = data[error.start]
        problems.append(Problem(place, f"the byte 0x{byte:02x} is no UTF-8; save the file as UTF-8"))
        return None
