"""Variables in values: ``${NAME}``, ``${NAME:-default}``, and LiteLLM's ``os.environ/NAME``.

    ${NAME}            what the variable holds; not set is a problem
    ${NAME:-default}   the default where the variable is not set, or empty; it may be empty, it holds no
                       further variable, and ``$}`` in it is a ``}``
    $$                 a dollar sign, so ``$${NAME}`` stays as it is; no other ``$`` is special
    os.environ/NAME    as the whole value, and without a default

Quotes make no difference. A value stays one value, whatever the variable holds. No message shows what a
variable holds, not even of another one.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import replace

from relay.source.nodes import Scalar
from relay.source.problems import Place, Problem

NAME = r"[A-Za-z_][A-Za-z0-9_]*"
REFERENCE = re.compile(rf"\$\{{(?P<name>{NAME})(?::-(?P<default>(?:\$[$}}]|(?!\$[${{}}])[^}}])*))?\}}")
_PARTS = re.compile(rf"(?P<dollar>\$\$)|{REFERENCE.pattern}|(?P<wrong>\$\{{[^}}\n]*\}}?)")
_OS_ENVIRON = "os.environ/"
_MOST = 20
"""Faults of one value that are told."""
_HINTS = 100
"""Problems after which no name that is close is looked for: that takes long, and nobody reads on."""
_LONGEST = 1 << 20
"""Characters of one value; more is a mistake, or many references to a long one."""


def has_variables(text: str) -> bool:
    return "$" in text or text.startswith(_OS_ENVIRON)


def filled(
    scalar: Scalar,
    environ: Mapping[str, str],
    problems: list[Problem],
    *,
    dollars: bool = True,
    source: str = "",
) -> Scalar:
    """The value with its variables; its kind is ``broken`` where that cannot be, and the problem is told.

    Without ``dollars`` only ``os.environ/NAME`` is special, as in LiteLLM's own files. ``source`` is the
    value as the file has it, from its place on, where that is more than the rest of the line.
    """
    text = scalar.text
    known = environ if len(problems) < _HINTS else {}
    if text.startswith(_OS_ENVIRON):
        name = text.removeprefix(_OS_ENVIRON)
        value = environ.get(name)
        faults = [] if value is not None else [(text, _unset(name, known))]
        names, pieces = [name], [value or ""]
    elif dollars and "$" in text:
        names, pieces, faults = _pieces(text, environ, known)
    else:
        return scalar
    if sum(map(len, pieces)) > _LONGEST:
        faults.append((text, f"with its variables this is longer than {_LONGEST} characters"))
    if faults:
        source = source or scalar.place.text[scalar.place.column - 1 :]
        problems.extend(_located(scalar.place, source, faults[:_MOST]))
        return replace(scalar, text="", kind="broken", variables=tuple(names), written=text)
    value = "".join(pieces)
    if not names and value == text:
        return scalar
    return replace(scalar, text=value, kind="text", variables=tuple(names), written=text)


def _pieces(
    text: str, environ: Mapping[str, str], known: Mapping[str, str]
) -> tuple[list[str], list[str], list[tuple[str, str]]]:
    """The variables of a text, its pieces with their values, and its faults, each with what is wrong."""
    names: list[str] = []
    pieces: list[str] = []
    faults: list[tuple[str, str]] = []
    end = 0
    for part in _PARTS.finditer(text):
        pieces.append(text[end : part.start()])
        end = part.end()
        if part["dollar"]:
            pieces.append("$")
        elif part["wrong"]:
            faults.append((part["wrong"], _malformed(text[part.start() :])))
        else:
            names.append(part["name"])
            value = environ.get(part["name"])
            default = part["default"]
            if value is None and default is None:
                faults.append((part[0], _unset(part["name"], known if len(faults) < _MOST else {})))
            elif not value and default is not None:
                value = re.sub(r"\$([$}])", r"\1", default)
            pieces.append(value or "")
    return names, [*pieces, text[end:]], faults


def _unset(name: str, known: Mapping[str, str]) -> str:
    if not re.fullmatch(NAME, name):
        return "this names no variable; expected os.environ/NAME"
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.7)
    hint = f"did you mean {close[0]}?" if close else f"set it, or give a default: ${{{name}:-…}}"
    return f"the variable {name} is not set; {hint}"


def _malformed(text: str) -> str:
    if re.match(rf"\$\{{{NAME}:-[^}}]*\$\{{", text):
        return "a default cannot hold a variable; write $${ for the characters ${"
    if "}" not in text:
        return "this ${ is never closed; write $${ for the characters ${"
    return "this names no variable; expected ${NAME} or ${NAME:-default}, or $${ for the characters ${"


def _located(place: Place, source: str, faults: list[tuple[str, str]]) -> list[Problem]:
    """Each fault under its own words, or under the whole value where escapes hide them."""
    found, at = [], 0
    for raw, message in faults:
        start = source.find(raw, at)
        if start < 0:
            found.append(Problem(place, message))
            continue
        at = start + len(raw)
        before = re.split(r"\r\n|[\n\r\x85\u2028\u2029]", source[:start])
        if len(before) == 1:
            spot = place._replace(column=place.column + start, width=len(raw))
        else:
            line = re.split(r"[\n\r\x85\u2028\u2029]", before[-1] + source[start:], maxsplit=1)[0]
            spot = Place(place.file, place.line + len(before) - 1, len(before[-1]) + 1, line, len(raw))
        found.append(Problem(spot, message))
    return found
