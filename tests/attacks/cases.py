"""What a case is: bytes that one side sends, and which ends of it no reader of the RFC can object to.

A case is played by a client, or, where it has an ``answer``, by the upstream. Its own request is for
a target with ``/case`` in it. ``/good`` is a sound request before it, ``/after`` a sound one behind
it, and ``/smuggled`` one that must never be seen as a request.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field

SECRET = b"sk-planted-5f0c9e"
"""Part of every request, and of many malformed pieces; no answer of a proxy's own may say it."""
POISON = b"POISON"
"""Part of what an upstream says beyond its answer; no client may get it."""
INJECTED = b"x-injected"
"""The name of a field that nobody sends; where it is seen, a value has become a field."""

# Steps.


@dataclass(frozen=True, slots=True)
class Pause:
    """Send nothing for so many seconds, or until the other side has closed."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Trickle:
    """One byte at a time, until the other side says something."""

    data: bytes
    every: float = 0.02


@dataclass(frozen=True, slots=True)
class Flood:
    """The same again and again, until the other side closes, or so many times."""

    data: bytes
    times: int = sys.maxsize


@dataclass(frozen=True, slots=True)
class End:
    """What the sender does at last: ``close``, ``half`` (its sending side), ``reset``, or ``hold``: wait."""

    how: str


Step = bytes | Pause | Trickle | Flood | End
CLOSE, HALF_CLOSE, RESET, HOLD = End("close"), End("half"), End("reset"), End("hold")

# Outcomes.


@dataclass(frozen=True, slots=True)
class Refused:
    """An answer of the proxy's own with one of these statuses, then a close.

    silent  the close will do
    sound   only what the request says is refused: the connection may go on
    """

    statuses: frozenset[int]
    silent: bool = False
    sound: bool = False


@dataclass(frozen=True, slots=True)
class Forwarded:
    """Exactly one request, of this shape, reaches the upstream, and its answer the client.

    absent   names of fields that must not be among those that are forwarded
    left     names that must not be among the trailers
    close    the connection of the client must end with the answer
    rubbish  what follows the request is none: a refusal may come after the answer
    """

    body: bytes | None = b""
    target: bytes | None = None
    method: bytes | None = None
    absent: tuple[bytes, ...] = ()
    left: tuple[bytes, ...] = ()
    close: bool = False
    rubbish: bool = False


@dataclass(frozen=True, slots=True)
class Dropped:
    """The client went away: no whole request reaches the upstream, or one if it was ``whole``; an answer
    is optional."""

    whole: bool = False


@dataclass(frozen=True, slots=True)
class Foreign:
    """What was sent is no HTTP/1.1: the proxy may answer in that other protocol, and close."""


@dataclass(frozen=True, slots=True)
class Passed:
    """The upstream's answer reaches the client, whole and of this shape."""

    status: int = 200
    body: bytes | None = b"hello"
    absent: tuple[bytes, ...] = ()
    left: tuple[bytes, ...] = ()
    holds: bytes = b""


@dataclass(frozen=True, slots=True)
class Cut:
    """The head has left; then the body visibly breaks off."""


Allowed = Refused | Forwarded | Dropped | Foreign | Passed | Cut


@dataclass(frozen=True, slots=True)
class Case:
    """One attack.

    sent     by the client; for a case of the upstream's side its request
    allowed  any of these passes
    relay    how it ends with relay, to the word
    after    a further request follows in the same write, which asks for the connection to be closed
    good     sound requests before it, in the same write
    answer   what the upstream sends instead of its usual answer
    early    it does so when it has the head of the request
    bare     the answer has no body whatever it says: the request is HEAD
    growth   MiB that the proxy's memory may grow by; 0: not looked at
    """

    theme: str
    name: str
    source: str
    sent: tuple[Step, ...]
    allowed: tuple[Allowed, ...]
    relay: str
    after: bool = True
    good: int = 0
    answer: tuple[Step, ...] = field(default=())
    early: bool = False
    bare: bool = False
    growth: int = 0

    @property
    def upstream_side(self) -> bool:
        return bool(self.answer)


def refused(*statuses: int, silent: bool = False, sound: bool = False) -> Refused:
    """Refused with 400 or one of these."""
    return Refused(frozenset({400, *statuses}), silent, sound)


BAD = refused(422, 501)
"""What a malformed request deserves; 501 is for codings that are not known, HAProxy has 422 for them."""

GATEWAY = Refused(frozenset({502, 503, 504}))
"""What a malformed answer becomes before anything of it has left."""
BROKEN: tuple[Allowed, ...] = (Refused(GATEWAY.statuses, silent=True), Cut())
"""What it becomes when its body is malformed: visibly an end that is none."""

# Builders.


def head(
    *fields: bytes,
    method: bytes = b"GET",
    target: bytes = b"/case",
    version: bytes = b"HTTP/1.1",
    host: bytes | None = b"relay.test",
) -> bytes:
    """A request head that is sound but for what it is given."""
    named = [] if host is None else [b"Host: " + host]
    lines = [b"%b %b %b" % (method, target, version), *named, b"Authorization: Bearer " + SECRET, *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def post(*fields: bytes, body: bytes = b"", target: bytes = b"/case", version: bytes = b"HTTP/1.1") -> bytes:
    """A POST whose framing is said by ``fields`` alone."""
    return head(*fields, method=b"POST", target=target, version=version) + body


def sized(body: bytes, *fields: bytes, target: bytes = b"/case") -> bytes:
    """A sound POST with a length."""
    return post(b"Content-Length: %d" % len(body), *fields, body=body, target=target)


def chunked(body: bytes, *fields: bytes) -> bytes:
    """A POST whose body is these very bytes, said to be chunked."""
    return post(b"Transfer-Encoding: chunked", *fields, body=body)


def answer(
    *fields: bytes, body: bytes = b"", status: bytes = b"200 OK", version: bytes = b"HTTP/1.1"
) -> bytes:
    """A response whose framing is said by ``fields`` alone; it names the request that it is for."""
    return b"\r\n".join([version + b" " + status, b"X-For: /case", *fields]) + b"\r\n\r\n" + body


GOOD = head(target=b"/good")
AFTER = head(b"Connection: close", target=b"/after")
SMUGGLED = head(target=b"/smuggled")


def cases(theme: str, rows: Iterable[Case]) -> list[Case]:
    """The rows of one theme; two of one name are a mistake."""
    made = list(rows)
    names = [case.name for case in made]
    assert len(set(names)) == len(names), sorted(name for name in names if names.count(name) > 1)
    assert all(case.theme == theme for case in made)
    return made
