"""What a dialect does beside checking its own streams, so that it can be translated.

    reader    its request document  → a neutral Request
    writer    a neutral Request     → its request document
    Decoder   its legal frames      → deltas
    Encoder   deltas                → its frames
    Answer    deltas                → its document, for a client that asked for no stream

The checker of the upstream's dialect stands before the decoder: what a decoder sees is legal, so it holds
no repairs. Deltas are legal too: every block is opened before its pieces and closed before the finish.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from relay.dialects.checker import Checker
from relay.dialects.deltas import Context, Delta, Failure
from relay.dialects.frame import Frame
from relay.dialects.request import Profile, Request


class Decoder(ABC):
    """Legal frames of one stream in, deltas out; in the same call, nothing waits."""

    @abstractmethod
    def decode(self, frame: Frame) -> list[Delta]:
        """What this frame says. ``payload`` None is the sentinel [DONE]. Never called with an error frame."""

    def more(self, text: bytes) -> None:  # noqa: B027 (most have nothing to do)
        """The hot path: a frame like the last decoded one, which gave one Piece, with another text.

        ``text`` is the inside of a JSON string.
        """


class Encoder(ABC):
    """Deltas of one stream in, frames out; in the same call, but for what the grammar forces to wait."""

    def __init__(self, context: Context, request: Request) -> None:
        self.context = context
        self.request = request
        self.calls = 0
        """Tool calls that were given to the client."""

    @abstractmethod
    def encode(self, delta: Delta) -> list[Frame]:
        """The frames that leave for it, all synthetic."""

    def more(self, text: bytes) -> bytes | None:
        """The hot path: the payload of the frame for one more piece of the block that the last encoded Piece
        belonged to, whose frame was of the same event. ``text`` is the inside of a JSON string.

        None when there is no such short way now; then nothing has been taken in.
        """
        return None

    @abstractmethod
    def keep_alive(self) -> Frame | None:
        """The dialect's sign of life at this point, None for a comment line."""


class Answer(ABC):
    """Deltas of one completion in, one document out."""

    def __init__(self, context: Context, request: Request) -> None:
        self.context = context
        self.request = request

    @abstractmethod
    def take(self, delta: Delta) -> None: ...

    @abstractmethod
    def document(self) -> dict[str, Any]:
        """The whole answer, after End. Raises Malformed when it cannot be said in this dialect."""


@dataclass(frozen=True, slots=True)
class Codec:
    """One dialect, by its parts. ``read`` raises BadRequest, and so does ``write``."""

    checker: type[Checker]
    read: Callable[[dict[str, Any]], Request]
    write: Callable[[Request, Profile], dict[str, Any]]
    decoder: Callable[[Request], Decoder]
    encoder: Callable[[Context, Request], Encoder]
    answer: Callable[[Context, Request], Answer]

    @property
    def name(self) -> str:
        return self.checker.name

    def error_document(self, failure: Failure) -> dict[str, Any]:
        return self.checker.error_document(failure)
