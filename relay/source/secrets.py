"""Secrets from files: ``key_file``, systemd credentials, lists of keys.

A path is read as

    credential:NAME   a file of systemd's ``$CREDENTIALS_DIRECTORY`` (``LoadCredential=`` of the unit)
    NAME              without a slash: such a credential where there is one, else a file
    PATH              relative to the folder of the configuration file that names it

What such a file holds is in no message, no warning and no ``repr``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from relay.source.files import Unreadable, contents
from relay.source.problems import Place, Problem

_LIMIT = 64 * 1024
_LIST_LIMIT = 4 << 20
_CREDENTIAL = "credential:"
_VISIBLE = re.compile(r"[!-~]+")
"""What a header can carry, and what no terminal has swallowed on the way into the file."""


@dataclass(frozen=True, slots=True)
class Key:
    """One of a list of keys; its place has no text, because that is the key."""

    text: str = field(repr=False)
    place: Place


def from_file(
    path: str,
    place: Place,
    environ: Mapping[str, str],
    problems: list[Problem],
    warnings: list[Problem],
) -> str | None:
    """The one secret that the file holds; None, and a problem at the setting's place, where it cannot be."""
    text = _text(path, place, environ, problems, warnings, _LIMIT)
    if text is None:
        return None
    secret = text.strip()
    if _VISIBLE.fullmatch(secret):
        return secret
    where = located(path, place, environ)
    if not secret:
        why = "it is empty"
    elif len(secret.splitlines()) > 1:
        why = "it has several lines; expected one secret alone"
    else:
        why = "a secret is made of visible ASCII characters, without blanks inside"
    problems.append(Problem(place, f"{where}: {why}"))
    return None


def listed(
    path: str,
    place: Place,
    environ: Mapping[str, str],
    problems: list[Problem],
    warnings: list[Problem],
) -> list[Key]:
    """The keys of a file, one a line; what follows a ``#`` is a comment, and so is an empty line nothing."""
    text = _text(path, place, environ, problems, warnings, _LIST_LIMIT)
    if text is None:
        return []
    where = located(path, place, environ)
    found: dict[str, Key] = {}
    before = len(problems)
    for number, line in enumerate(text.splitlines(), 1):
        key = re.sub(r"(?:^|\s)#.*", "", line).strip()
        spot = Place(where, number, 1, "")
        if _VISIBLE.fullmatch(key):
            found.setdefault(key, Key(key, spot))
        elif key:
            problems.append(
                Problem(spot, "a key is made of visible ASCII characters; one stands in each line")
            )
    if not found and len(problems) == before:
        problems.append(Problem(place, f"{where}: it holds no key"))
    return list(found.values())


def located(path: str, place: Place, environ: Mapping[str, str]) -> str:
    """The file that a setting's text means; empty for a credential where systemd gave none."""
    folder = environ.get("CREDENTIALS_DIRECTORY", "")
    if path.startswith(_CREDENTIAL):
        return os.path.join(folder, path.removeprefix(_CREDENTIAL)) if folder else ""
    if folder and _is_name(path) and os.path.isfile(os.path.join(folder, path)):
        return os.path.join(folder, path)
    return os.path.join(os.path.dirname(place.file), path)


def _text(
    path: str,
    place: Place,
    environ: Mapping[str, str],
    problems: list[Problem],
    warnings: list[Problem],
    limit: int,
) -> str | None:
    fault = _misnamed(path, environ)
    if fault:
        problems.append(Problem(place, fault))
        return None
    where = located(path, place, environ)
    try:
        data, mode = contents(where, limit)
        text = data.decode("utf-8-sig")
    except Unreadable as error:
        problems.append(Problem(place, f"{where}: {error}"))
        return None
    except UnicodeDecodeError:
        problems.append(Problem(place, f"{where}: it is no text"))
        return None
    if mode & 0o004 and not _is_credential(where, environ):
        message = f"{where} can be read by every user of this machine: chmod 600 {where}"
        warnings.append(Problem(place, message))
    return text


def _misnamed(path: str, environ: Mapping[str, str]) -> str:
    if not path or not path.isprintable():
        return "expected the path of a file, or credential:NAME"
    if not path.startswith(_CREDENTIAL):
        return ""
    if not _is_name(path.removeprefix(_CREDENTIAL)):
        return "expected credential:NAME, without a slash"
    if not environ.get("CREDENTIALS_DIRECTORY"):
        return "there are no credentials: the unit needs LoadCredential=, which sets CREDENTIALS_DIRECTORY"
    return ""


def _is_name(path: str) -> bool:
    return "/" not in path and path not in ("", ".", "..")


def _is_credential(where: str, environ: Mapping[str, str]) -> bool:
    """systemd keeps others away from the folder itself."""
    folder = environ.get("CREDENTIALS_DIRECTORY", "")
    return bool(folder) and os.path.dirname(where) == folder.rstrip("/")
