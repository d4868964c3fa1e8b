"""What every SDK is driven through: say something, hear the answer, give the results of its tool calls."""

from __future__ import annotations

import base64
import struct
import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from .script import Document


@dataclass(frozen=True)
class Call:
    id: str
    name: str
    input: Document | str
    """Text for a custom tool, and where it was cut."""


@dataclass(frozen=True)
class Given:
    """The result of a call; ``image`` is a PNG."""

    id: str
    text: str
    error: bool = False
    image: bytes | None = None


@dataclass(frozen=True)
class Heard:
    """An answer in words that all dialects share; ``stop``: stop, tools, length or filter."""

    text: str
    thoughts: str
    calls: list[Call]
    stop: str
    input: int
    output: int
    cached: int
    model: str
    refusal: str = ""


@dataclass(frozen=True)
class Tool:
    name: str
    properties: Document
    custom: bool = False

    @property
    def schema(self) -> Document:
        names = list(self.properties)
        common = {"type": "object", "properties": self.properties}
        return {**common, "required": names, "additionalProperties": False}


def png() -> bytes:
    """One black pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0\0"))
        + chunk(b"IEND", b"")
    )


def encoded(image: bytes) -> str:
    return base64.b64encode(image).decode()


@dataclass
class Client(ABC):
    """One conversation. ``options`` go into every request."""

    url: str
    stream: bool
    tools: Sequence[Tool] = ()
    options: Document = field(default_factory=dict)
    history: list[Any] = field(default_factory=list)
    key: str = "k"

    def __post_init__(self) -> None:
        self.sdk = self.connect()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sdk.close()

    @abstractmethod
    def connect(self) -> Any: ...

    @property
    @abstractmethod
    def resource(self) -> Any:
        """What has ``create``, plain and ``with_raw_response``."""

    @abstractmethod
    def say(self, text: str, image: bytes | None = None) -> None: ...

    @abstractmethod
    def give(self, results: Sequence[Given]) -> None: ...

    @abstractmethod
    def request(self) -> Document:
        """The arguments of ``create``."""

    @abstractmethod
    def hear(self) -> Heard:
        """Ask with all that was said; the answer becomes part of it."""

    def ask(self, text: str) -> Heard:
        self.say(text)
        return self.hear()
