"""Settings as people write them: a line of words, ``name=value``, read by the types of a struct's fields.

``http://a:8000 weight=3 dialects=chat,messages``, ``safe attempts=3 budget=30s``, ``idle=5m``: one reader
for every struct of ``config``, so that a field is a setting as soon as it exists. A duration and a number
of bytes carry their unit, a count has none. ``OFF`` says which settings may be switched off, by which
word, and what comes of it. Bad text is a ``UsageError`` of one line: where, what, and what was expected.
"""

from __future__ import annotations

import dataclasses
import difflib
import enum
import re
import shlex
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, get_type_hints

from relay.access import Keys, Spend
from relay.address import seconds, size
from relay.config import Drain, Health, Limits, Queue, Retry, Timeouts, Upstream
from relay.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    S = TypeVar("S", bound=DataclassInstance)

Choices = Mapping[str, Collection[str]]
"""What the fields of these names may hold, where the struct itself does not know."""
_ANYTHING: Choices = MappingProxyType({})

_KINDS = (float, int, bool, str, tuple[str, ...])
_SWITCH = {"on": True, "true": True, "off": False, "false": False}
_UNITS = {"GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10, "B": 1}

KEY_HEADERS = ("authorization", "x-api-key", "api-key")
"""Where upstreams look for their keys."""

_VISIBLE = (r"[!-~]+", "visible ASCII characters without blanks")
_FORMS: dict[type, dict[str, tuple[str, str]]] = {
    Upstream: {
        "name": (r"[A-Za-z0-9._-]{1,64}", "up to 64 of A-Z a-z 0-9 . _ -"),
        "health": (r"/[!\"$-~]*", "a path, such as /health"),
        "api_key": _VISIBLE,
        "query": (
            r"[!\"$->@-~][!\"$-~]*",
            "what stands behind the ? of a URL, such as api-version=2024-10-21",
        ),
    },
    Spend: {"token": _VISIBLE},
}
"""What a text must look like, and how to say so."""

SIZES: dict[type, set[str]] = {Limits: {"head", "frame", "document", "translated", "body", "replay"}}
"""The whole numbers that are bytes; all others are counts."""


class Off(NamedTuple):
    """The words that switch a setting off, and what comes of it; without words, what would."""

    words: tuple[str, ...]
    effect: str


def _off(effect: str) -> Off:
    return Off(("none", "0"), effect)


def _zero(effect: str) -> Off:
    """``none`` could be taken for its opposite."""
    return Off(("0",), effect)


def _none(effect: str) -> Off:
    return Off(("none",), effect)


def _needed(effect: str) -> Off:
    return Off((), effect)


OFF: dict[type, dict[str, Off]] = {
    Upstream: {
        "dialects": _none("every path is forwarded as it is"),
        "order": _zero("asked before those of order 1"),
        "weight": _needed("it would never be asked, leave the upstream out"),
        "concurrency": _off("no limit"),
        "health": _none("it is never asked how it is"),
    },
    Retry: {
        "attempts": _needed("the first attempt counts, 1 repeats nothing"),
        "budget": _needed("nothing could be repeated, off says that"),
        "pause": _needed("an upstream that has no room would be asked again at once, by everybody"),
        "longest_pause": _needed("an upstream that has no room would be asked again at once, by everybody"),
        "hedge": _off("never a second target beside the first"),
    },
    Queue: {
        "length": _zero("a request that finds every target full is refused at once"),
        "wait": _none("they wait as long as their clients do"),
    },
    Health: {
        "failures": _off("failures never pause a target"),
        "pause": _needed("a target that is down would be asked all the time"),
        "longest": _needed("a target that is down would be asked all the time"),
        "interval": _off("no health path is ever asked"),
        "timeout": _needed("a target that hangs would never be found unwell"),
        "rise": _needed("a target would be well without an answer"),
        "fall": _needed("a target would be unwell whatever it answers"),
    },
    Drain: {
        "delay": _off("the listeners close at once"),
        "timeout": _zero("live streams are cut at once"),
    },
    Timeouts: {
        "client_head": _needed("clients that never finish a head would hold their connections for ever"),
        "client_body": _needed("clients that never finish a body would hold an upstream for ever"),
        "keep_alive": _off("idle clients stay connected until they close"),
        "client_stall": _needed("clients that take nothing would hold an upstream for ever"),
        "linger": _needed("clients could go on sending for ever"),
        "connect": _needed("an upstream that swallows packets would hold requests for ever"),
        "head": _off("an upstream may think as long as the client waits"),
        "first_frame": _off("an upstream may think as long as the client waits"),
        "look_ahead": _off("the first frame leaves as it comes"),
        "idle": _off("an upstream may be silent as long as the client waits"),
        "exchange": _off("a stream may last as long as it wants"),
        "silence": _off("no signs of life"),
        "terminal": _needed("a finished stream would not end while its upstream forgets to"),
        "pool_idle": _needed("requests would be sent on connections that the upstream has given up"),
        "rest": _off("a connection is used again at once"),
    },
    Limits: {
        "head": _needed("one peer could fill the memory"),
        "fields": _needed("one peer could keep the processor busy"),
        "frame": _needed("one upstream could fill the memory"),
        "document": _needed("one client could fill the memory"),
        "translated": _needed("one client could fill the memory"),
        "objects": _needed("one client could keep the processor busy and fill the memory"),
        "body": _off("such a body may be of any size"),
        "replay": _zero("no body is kept, nor sent again"),
        "connections": _off("as many as the process's descriptors allow"),
        "idle_connections": _zero("no connection is used again"),
    },
    Keys: {
        "ttl": _zero("the verifier is asked for every request"),
        "refused_ttl": _zero("the verifier is asked again for every request with a wrong key"),
        "entries": _needed("the verifier would be asked for every request"),
        "timeout": _needed("requests would wait for a verifier that hangs"),
    },
    Spend: {
        "queue": _needed("no record would reach the webhook"),
    },
}
"""Whether a setting may be switched off, and why. Every number of these structs has its row."""


def read(
    base: S,
    line: str,
    where: str,
    *,
    lead: str = "",
    without: Collection[str] = (),
    choices: Choices = _ANYTHING,
) -> S:
    """``base`` with what the line's words say.

    ``lead`` is the field of a word without ``=``; ``without`` are fields that have another way in.
    """
    said = words(type(base), line, where, lead=lead, without=without, choices=choices)
    return dataclasses.replace(base, **{name: value for name, value, _ in said})


def upstream(text: str, where: str, base: Upstream, choices: Choices) -> Upstream:
    """Read ``URL [name=value …]``; what it does not say is as in ``base``."""
    url, *said = _words(text, where) or [""]
    parsed = Upstream.parse(url)
    if any("://" in word.partition("=")[0] for word in said):  # not shown: it could hold a password
        raise UsageError(f"{where} {url}: each address needs a flag of its own")
    place = dataclasses.replace(base, origin=parsed.origin, base_path=parsed.base_path)
    if any(re.match("api[_-]key=?", word) for word in said):
        raise UsageError(
            f"{where} {url}: everybody can read a command line, a key belongs into a file: -c FILE"
        )
    return read(place, shlex.join(said), f"{where} {url}", without=("base_path", "api_key"), choices=choices)


def value(struct: type, name: str, text: str, choices: Choices = _ANYTHING) -> Any:
    """What this text means for a field of the struct."""
    kind = _kinds(struct)[name]
    if text in _off_of(struct, name).words:
        return kind()
    if kind is float or kind is int:
        return _number(struct, name, text)
    if kind is bool:
        return _SWITCH[_text(text, _SWITCH)]
    if kind is str:
        return _formed(struct, name, _text(text, choices.get(name)))
    if kind == tuple[str, ...]:
        return tuple(dict.fromkeys(_text(item, choices.get(name)) for item in text.split(",")))
    return kind(_text(text, [member.value for member in kind]))


def names(struct: type, without: Collection[str] = ()) -> tuple[str, ...]:
    """The fields that a word can set."""
    return tuple(name for name in _kinds(struct) if name not in without)


def takes_text(struct: type, name: str) -> bool:
    """It holds words as they stand."""
    return _kinds(struct).get(name) in (str, tuple[str, ...])


def takes_words(struct: type, name: str) -> bool:
    """It holds any number of words."""
    return bool(_kinds(struct)[name] == tuple[str, ...])


def written(struct: type, name: str, value: Any) -> str:
    """A value of the struct as its text, which reads as the same, where one can be written."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, enum.Enum):
        return str(value.value)
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    if isinstance(value, str):
        return value or "none"
    if not value:
        return OFF[struct][name].words[0]
    if isinstance(value, float):
        unit, factor = ("s", 1) if value >= 1 else ("ms", 1000)
        return f"{value * factor:.6f}".rstrip("0").rstrip(".") + unit
    if not _is_size(struct, name):
        return str(value)
    return next(f"{value // of}{unit}" for unit, of in _UNITS.items() if value % of == 0)


def like(name: str, known: Collection[str]) -> str:
    """What was probably meant, or all that could have been: the end of a sentence about an unknown name."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    return f"did you mean {close[0]}?" if close else f"expected {', '.join(known)}"


def words(
    struct: type,
    line: str,
    where: str,
    *,
    lead: str = "",
    without: Collection[str] = (),
    choices: Choices = _ANYTHING,
) -> Iterator[tuple[str, Any, str]]:
    """Each field that the line names, with its value and the word that says so."""
    known = [name.replace("_", "-") for name in names(struct, without) if name != lead]
    seen = set()
    for word in _words(line, where):
        name, equals, text = word.partition("=")
        place = f"{where} {word if word.isprintable() else repr(word)}"
        if not equals and name.replace("_", "-") in known:
            raise UsageError(f"{place}: expected {word}=VALUE")
        if not equals and lead:
            name, text = lead, word
        elif name.replace("_", "-") not in known:
            raise UsageError(f"{place}: no setting is called {name!r}; {like(name, known)}")
        name = name.replace("-", "_")
        if name in seen:
            raise UsageError(f"{place}: {name.replace('_', '-')} is there twice")
        seen.add(name)
        try:
            yield name, value(struct, name, text, choices), word
        except UsageError as error:
            raise UsageError(f"{place}: {error}") from error


def _words(line: str, where: str) -> list[str]:
    """A word that holds blanks is quoted as in a shell."""
    try:
        return shlex.split(line)
    except ValueError as error:  # the line is not shown: it could be an address with a password
        raise UsageError(f"{where}: {str(error).lower()}") from error


@cache
def _kinds(struct: type) -> dict[str, Any]:
    """The fields that a word can set, each with its type."""
    hints = get_type_hints(struct)
    return {
        field.name: kind
        for field in dataclasses.fields(struct)
        if (kind := hints[field.name]) in _KINDS or (isinstance(kind, type) and issubclass(kind, enum.Enum))
    }


def _default(struct: type, name: str) -> Any:
    return next(field.default for field in dataclasses.fields(struct) if field.name == name)


def _is_size(struct: type, name: str) -> bool:
    return name in SIZES.get(struct, ())


def _off_of(struct: type, name: str) -> Off:
    return OFF.get(struct, {}).get(name) or _needed("that means nothing here")


def _number(struct: type, name: str, text: str) -> float | int:
    off, such_as = _off_of(struct, name), written(struct, name, _default(struct, name))
    if off.words:
        refusal = UsageError(f"expected {off.words[0]} for: {off.effect}; or a number such as {such_as}")
    else:
        refusal = UsageError(f"cannot be switched off: {off.effect}; expected a number such as {such_as}")
    if text in ("none", "0"):
        raise refusal
    if _kinds(struct)[name] is float:
        number: float | int = seconds(text)
    else:
        number = size(text) if _is_size(struct, name) else _count(text)
    if not number and "0" not in off.words:
        raise refusal
    return number


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise UsageError(f"count {text!r}: expected a whole number, without a unit, of at most nine digits")
    return int(text)


def _formed(struct: type, name: str, text: str) -> str:
    form, expected = _FORMS.get(struct, {}).get(name, (".*", ""))
    if not re.fullmatch(form, text):
        raise UsageError(f"expected {expected}")
    return text


def _text(text: str, known: Collection[str] | None) -> str:
    if known is not None and text not in known:
        raise UsageError(f"{text!r} is unknown; {like(text, known)}")
    if not text or not text.isprintable():
        raise UsageError("expected printable characters")
    return text
