"""Addresses as people write them, and quantities with their units.

Bad text is a ``UsageError`` that says what was expected.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from relay.errors import UsageError

NAME = r"[A-Za-z0-9._-]+"
V6 = r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%[A-Za-z0-9._-]+)?"
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where to listen: ``host:port``, ``[v6]:port`` or ``unix:/path`` (then host is empty)."""

    host: str = ""
    port: int = 0
    path: str | None = None

    @classmethod
    def parse(cls, text: str) -> ListenAddress:
        if text.startswith("unix:"):
            return cls(path=socket_path(text))
        match = re.fullmatch(rf"(?:\[({V6})\]|({NAME})?):([0-9]{{1,5}})", text)
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


def seconds(text: str) -> float:
    """Read a duration with its unit: ``250ms``, ``5s``, ``2m``, ``1h``."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h)", text)
    if match is None:
        raise UsageError(f"duration {text!r}: expected a number with its unit, such as 30s, 250ms or 2m")
    return float(match[1]) * _SECONDS[match[2]]


def size(text: str) -> int:
    """Read a number of bytes with its unit: ``512B``, ``16KiB``, ``64MiB``, and ``1GB``, which is decimal."""
    match = re.fullmatch(r"([0-9]{1,9})([KMG]i?B|B)", text)
    if match is None:
        raise UsageError(f"size {text!r}: expected a whole number with its unit, such as 16KiB or 64MiB")
    return int(match[1]) * _BYTES[match[2]]


def socket_path(text: str) -> str:
    """The path of ``unix:/path.sock``."""
    path = text.removeprefix("unix:")
    if not path.isprintable():
        raise UsageError(f"{text!r}: expected a path of printable characters")
    if not path or len(os.fsencode(path)) > 107:  # sun_path holds 108 bytes with its NUL
        raise UsageError(f"{text!r}: expected unix:/path.sock of at most 107 bytes")
    return path
