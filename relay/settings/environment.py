"""``RELAY_*`` variables: each setting has one, by its dotted path; an empty one says nothing.

Kubernetes gives every container variables for each Service of its namespace. Those of one that is called
relay look like settings and are none.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from relay.address import ListenAddress
from relay.config import Upstream
from relay.errors import UsageError
from relay.settings import options, scalars
from relay.settings.resolved import digest
from relay.settings.said import Layer, Said
from relay.source import secrets
from relay.source.problems import Place, Problem

CONFIG = "RELAY_CONFIG"
"""The file that is read where no flag names one."""
LISTEN, ADMIN, UPSTREAM, ACCEPT = "RELAY_LISTEN", "RELAY_ADMIN", "RELAY_UPSTREAM", "RELAY_KEYS_ACCEPT"
_LISTS = {"listen": LISTEN, "admin": ADMIN, "upstreams": UPSTREAM, "keys.accept": ACCEPT}

_KUBERNETES = re.compile(
    r"RELAY_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_\w+)?)"
)


def variables() -> dict[str, str]:
    """The path that each variable sets; some have two."""
    named = {scalars.variable(path): path for path in scalars.FIELDS}
    short = {scalars.variable(alias): path for alias, path in scalars.ALIASES.items()}
    return named | short | {name: path for path, name in _LISTS.items()} | {"RELAY_KEYS_FILE": "keys.file"}


def read(environ: Mapping[str, str], choices: options.Choices, base: Upstream) -> Layer:
    """What the variables say; UsageError has a line for each that cannot be understood."""
    heard: Layer = {}
    wrong: list[str] = []
    for name, path in variables().items():
        text = environ.get(name, "").strip()
        if not text:
            continue
        try:
            value = _value(path, text, choices, base, environ)
            said = Said(value, name, _shown(path, name, text))
        except UsageError as error:
            wrong.append(f"{_shown(path, name, text)}: {error}")
            continue
        before = heard.setdefault(path, said)
        if before.value != said.value:
            wrong.append(f"{name} and {before.origin} say different things: say it once")
    if wrong:
        raise UsageError("\n".join(wrong))
    return heard


def unknown(environ: Mapping[str, str]) -> list[str]:
    """A warning for each variable that looks like a setting and is none."""
    known = [*variables(), CONFIG]
    return [
        f"{name}: no setting has this variable; {_meant(name, known)}"
        for name in sorted(environ)
        if name.startswith("RELAY_") and name not in known and not _kubernetes(name, environ[name])
    ]


def _meant(name: str, known: Sequence[str]) -> str:
    if name == "RELAY_PORT":
        return f"did you mean {LISTEN}?"
    told = options.like(name, known)
    return told if told.startswith("did") else "docs/configuration.md tells how they are called"


def _kubernetes(name: str, value: str) -> bool:
    """``RELAY_PORT`` alone could also be somebody's wish; that of Kubernetes is a URL."""
    return _KUBERNETES.fullmatch(name) is not None or (
        re.fullmatch(r"RELAY_(?:\w+_)?PORT", name) is not None and "://" in value
    )


def _shown(path: str, name: str, text: str) -> str:
    """The variable as somebody set it, less what might be a secret."""
    secret = path in scalars.SECRET or path in ("keys.accept", "upstreams")
    return name if secret or not text.isprintable() else f"{name}={text}"


def _value(path: str, text: str, choices: options.Choices, base: Upstream, environ: Mapping[str, str]) -> Any:
    if path in ("listen", "admin"):
        return tuple(ListenAddress.parse(one) for one in re.split(r"[,\s]+", text))
    if path == "upstreams":
        return _upstreams(text, choices, base)
    if path in ("keys.accept", "keys.file"):
        keys = tuple(re.split(r"[,\s]+", text)) if path == "keys.accept" else _listed(text, environ)
        for key in keys:
            digest(key)
        return keys
    return scalars.read(path, text, choices)


def _listed(name: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    problems: list[Problem] = []
    found = secrets.listed(name, Place("", 0, 0, ""), environ, problems, [])
    if problems:
        raise UsageError(problems[0].message)
    return tuple(key.text for key in found)


def _upstreams(text: str, choices: options.Choices, base: Upstream) -> tuple[Upstream, ...]:
    """Each begins with its address."""
    try:
        words = shlex.split(text)
    except ValueError as error:  # not shown: it could hold a password
        raise UsageError(str(error).lower()) from error
    lines: list[list[str]] = []
    for word in words:
        if re.match(r"https?://|unix:", word) or not lines:
            lines.append([])
        lines[-1].append(word)
    return tuple(options.upstream(shlex.join(line), "upstream", base, choices) for line in lines)
