"""Frozen settings: what relay is told before it starts.

Flags are read here into structs; nothing below this module parses an address, and nothing
that runs changes a setting. Bad text is a ``UsageError`` that says what was expected.
"""

from __future__ import annotations

import enum
import os
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from relay.errors import UsageError

_NAME = r"[A-Za-z0-9._-]+"
_V6 = r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%[A-Za-z0-9._-]+)?"
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where to listen: ``host:port``, ``[v6]:port`` or ``unix:/path`` (then host is empty)."""

    host: str = ""
    port: int = 0
    path: str | None = None

    @classmethod
    def parse(cls, text: str) -> ListenAddress:
        if text.startswith("unix:"):
            return cls(path=_socket_path(text))
        match = re.fullmatch(rf"(?:\[({_V6})\]|({_NAME})?):([0-9]{{1,5}})", text)
        if match is None or int(match[3]) > 65535:
            raise UsageError(f"listen address {text!r}: expected host:port, [::1]:port or unix:/path.sock")
        return cls(host=match[1] or match[2] or "", port=int(match[3]))

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The same for a person to click: ``http://127.0.0.1:8787``."""
        return str(self) if self.path is not None else f"http://{self}"


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port of an upstream, or its UNIX socket path; what a connection is for."""

    host: str
    port: int
    tls: bool = False
    path: str | None = None

    @property
    def authority(self) -> str:
        """The value of ``Host`` for requests to it; a default port is left out (RFC 9110 §7.2)."""
        if self.path is not None:
            return "localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"{'https' if self.tls else 'http'}://{self.authority}"


@dataclass(frozen=True, slots=True)
class Upstream:
    """One server behind relay: its origin and the path that goes before every target."""

    origin: Origin
    base_path: str = ""
    dialects: tuple[str, ...] = ()
    """Those it speaks; empty: every path is forwarded as it is."""
    profile: str = "generic"
    """What kind of server it is, by the name of its ``request.Profile``."""

    @classmethod
    def parse(cls, text: str) -> Upstream:
        """Read ``http://host[:port][/base]``, ``https://…`` or ``unix:/path.sock``."""
        if text.startswith("unix:"):
            return cls(Origin(host="localhost", port=0, path=_socket_path(text)))
        try:
            url = urlsplit(text)
            port = url.port
            host = (url.hostname or "").encode("idna").decode() if url.hostname else ""
        except ValueError as error:
            raise UsageError(f"upstream {text!r}: {error}") from error
        if url.scheme not in ("http", "https") or not re.fullmatch(f"{_NAME}|{_V6}", host) or port == 0:
            raise UsageError(
                f"upstream {text!r}: expected http://host[:port][/base], https://… or unix:/path.sock"
            )
        if url.query or url.fragment or url.username is not None:
            raise UsageError(f"upstream {text!r}: a query, a fragment or a user name has no place here")
        if not re.fullmatch(r"[!-~]*", url.path):
            raise UsageError(f"upstream {text!r}: the path must be percent-encoded")
        tls = url.scheme == "https"
        return cls(Origin(host=host, port=port or (443 if tls else 80), tls=tls), url.path.rstrip("/"))

    def __str__(self) -> str:
        return f"{self.origin}{self.base_path}"


class Repair(enum.Enum):
    """What to do with event streams of completions.

    ON      check every frame, mend what is malformed, end what is cut with the dialect's error
    REPORT  check and count, change nothing
    OFF     do not look
    """

    ON = "on"
    REPORT = "report"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds, one for each phase that can hang.

    ``silence`` is when a waiting client gets a sign of life, ``rest`` how long a plain connection that has
    carried an event stream is not used again.
    """

    client_head: float = 10.0
    client_body: float = 30.0
    keep_alive: float = 75.0
    client_stall: float = 60.0
    linger: float = 5.0
    connect: float = 5.0
    head: float = 300.0
    idle: float = 300.0
    silence: float = 15.0
    terminal: float = 5.0
    pool_idle: float = 4.0
    rest: float = 0.05


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes and counts beyond which a peer is refused."""

    head: int = 64 * 1024
    fields: int = 100
    frame: int = 16 * 1024 * 1024
    replay: int = 256 * 1024
    document: int = 64 * 1024 * 1024
    translated: int = 32 * 1024 * 1024
    idle_connections: int = 512


@dataclass(frozen=True, slots=True)
class Settings:
    """All that one relay was told."""

    upstream: Upstream
    listen: tuple[ListenAddress, ...] = (ListenAddress("127.0.0.1", 8787),)
    workers: int = 1
    drain: float = 30.0
    repair: Repair = Repair.ON
    ask_usage: bool = False
    timeouts: Timeouts = field(default_factory=Timeouts)
    limits: Limits = field(default_factory=Limits)


def seconds(text: str) -> float:
    """Read a duration with its unit: ``250ms``, ``5s``, ``2m``, ``1h``."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)", text)
    if match is None:
        raise UsageError(f"duration {text!r}: expected a number with its unit, such as 30s, 250ms or 2m")
    return float(match[1]) * _SECONDS[match[2]]


def _socket_path(text: str) -> str:
    path = text.removeprefix("unix:")
    if not path.isprintable():
        raise UsageError(f"{text!r}: expected a path of printable characters")
    if not path or len(os.fsencode(path)) > 107:  # sun_path holds 108 bytes with its NUL
        raise UsageError(f"{text!r}: expected unix:/path.sock of at most 107 bytes")
    return path
