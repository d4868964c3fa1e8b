"""A stream driven the way an exchange drives it, and read the way a client reads it.

``Answer`` stands where ``net.download`` and ``net.exchange`` stand: what they would send is written
down, and an error is answered as they answer it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from relay import dialects
from relay.checked import CheckedStream
from relay.dialects.deltas import Context
from relay.errors import FramingError, RelayError, UpstreamError, UpstreamTruncated
from relay.mending import Mender
from relay.wire.framing import (
    BodyDecoder,
    ChunkedDecoder,
    ChunkedEncoder,
    Data,
    LengthDecoder,
    PlainEncoder,
    UntilCloseDecoder,
)
from relay.wire.inflate import Inflater
from tests.cuts import placed
from tests.dialects.drive import CONTEXT, Event, events

CORPUS = Path(__file__).resolve().parents[2] / "shared" / "corpus"
FOLDERS = {"chat": "chat-completions", "messages": "messages", "responses": "responses"}
LIMIT = 16 * 1024 * 1024


# --- the corpus ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    """A handwritten stream, and how it looks repaired where it is."""

    dialect: str
    name: str
    kind: str
    repairs: tuple[tuple[str, str], ...] = ()
    """The stems of the repaired files, and what was done to them."""

    @property
    def folder(self) -> Path:
        return CORPUS / "handwritten" / FOLDERS[self.dialect]

    @cached_property
    def body(self) -> bytes:
        return (self.folder / f"{self.name}.sse").read_bytes()

    def repaired(self, name: str | None = None) -> bytes:
        return (self.folder / f"{name or self.repairs[0][0]}.sse").read_bytes()

    def __str__(self) -> str:
        return f"{self.dialect}/{self.name}"


def handwritten() -> dict[str, Sample]:
    """Every handwritten stream that is no repair itself; empty where the corpus is not here."""
    index = CORPUS / "handwritten" / "results.jsonl"
    names = {folder: dialect for dialect, folder in FOLDERS.items()}
    found: dict[str, Sample] = {}
    repairs: dict[str, dict[str, str]] = {}
    for line in index.read_bytes().splitlines() if index.is_file() else ():
        record = json.loads(line)
        dialect, name = names[record["dialect"]], Path(record["file"]).stem
        if record["kind"] == "repaired":
            original, _, how = record["description"].partition(": ")
            repairs.setdefault(f"{dialect}/{original}", {})[name] = how
        elif record["kind"] != "rejected-repair":
            found.setdefault(f"{dialect}/{name}", Sample(dialect, name, record["kind"]))
    return {
        key: Sample(sample.dialect, sample.name, sample.kind, tuple(repairs.get(key, {}).items()))
        for key, sample in found.items()
    }


def recorded() -> list[tuple[str, Path]]:
    """Streams of real providers, with their dialects."""
    return [
        (dialect, path)
        for dialect, folder in FOLDERS.items()
        for path in sorted((CORPUS / "recorded" / folder).glob("*.sse"))
    ]


# --- framings -----------------------------------------------------------------------------------

Framing = Callable[[bytes], tuple[BodyDecoder, bytes]]


def in_chunks(body: bytes, size: int) -> bytes:
    """A chunked body; each frame of a live server is a chunk of its own, more or less."""
    encoder = ChunkedEncoder()
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join([*(buffer for part in parts for buffer in encoder.encode([part])), *encoder.end(())])


FRAMINGS: dict[str, Framing] = {
    "length": lambda body: (LengthDecoder(len(body)), body),
    "until close": lambda body: (UntilCloseDecoder(), body),
    "chunked": lambda body: (ChunkedDecoder(), in_chunks(body, 300)),
}


# --- one exchange -------------------------------------------------------------------------------


def mender_of(
    dialect: str, *, report: bool = False, context: Context = CONTEXT, off: frozenset[str] | None = None
) -> Mender:
    return Mender(dialects.BY_NAME[dialect](context, off=off), report=report)


def checked(
    dialect: str,
    decoder: BodyDecoder | None = None,
    *,
    report: bool = False,
    chunked: bool = True,
    coding: bytes = b"",
    limit: int = LIMIT,
    context: Context = CONTEXT,
    off: frozenset[str] | None = None,
) -> CheckedStream:
    """A stream of this dialect whose body lasts until close, unless it says otherwise."""
    return CheckedStream(
        decoder or UntilCloseDecoder(),
        ChunkedEncoder() if chunked else PlainEncoder(),
        mender_of(dialect, report=report, context=context, off=off),
        frame_limit=limit,
        inflater=Inflater(coding, limit) if coding else None,
    )


Place = Callable[[bytes], tuple[Data, int, int]]


@dataclass
class Answer:
    """What one client got.

    refused   the error that was its whole answer, before anything was sent
    broken    the error that ended the stream after something was sent
    ended     the body has its end: the client can tell that nothing was cut off
    """

    stream: CheckedStream
    writes: list[bytes] = field(default_factory=list)
    refused: RelayError | None = None
    broken: RelayError | None = None
    ended: bool = False
    _client: ChunkedDecoder = field(default_factory=ChunkedDecoder)

    @property
    def body(self) -> bytes:
        return b"".join(self.writes)

    @property
    def events(self) -> list[Event]:
        return events(self.body)

    def write(self, raw: bytes) -> None:
        """One write to the client, its chunk framing undone; it is never left inside a chunk."""
        if not raw:
            return
        if isinstance(self.stream._encoder, PlainEncoder):
            self.writes.append(raw)
            return
        spans: list[tuple[int, int]] = []
        assert self._client.receive(raw, 0, len(raw), spans) == len(raw), "bytes after the last chunk"
        assert self._client.between_chunks or self._client.complete, "a write ends inside a chunk"
        self.writes.append(b"".join(raw[a:b] for a, b in spans))
        self.ended = self._client.complete

    def fail(self, error: RelayError) -> None:
        """As an exchange ends for a reason: an answer of its own, or the end of what was begun."""
        if not self.writes:
            self.refused = error
            return
        self.broken = error
        out = self.stream.abandon(error)
        if out is not None:
            self.write(b"".join(out))
            self.ended = True

    @property
    def over(self) -> bool:
        return bool(self.ended or self.refused or self.broken or self.stream.complete)

    def read(self, piece: bytes, place: Place = placed) -> None:
        """What the upstream sent, in one read."""
        data, start, end = place(piece)
        try:
            out = self.stream.receive(data, memoryview(data), start, end)
        except (FramingError, RelayError) as error:
            self._give_up(error, UpstreamError(f"the upstream sent a malformed response body: {error}"))
        else:
            self.write(b"".join(out))

    def close(self) -> None:
        """The upstream closed the connection."""
        try:
            out = self.stream.receive_eof()
        except (FramingError, RelayError) as error:
            self._give_up(error, UpstreamTruncated(f"the upstream closed the connection early: {error}"))
        else:
            self.write(b"".join(out))
            self.ended = True

    def _give_up(self, error: FramingError | RelayError, broken: RelayError) -> None:
        self.write(b"".join(error.before))
        self.fail(error if isinstance(error, RelayError) else broken)


def download(
    stream: CheckedStream, pieces: list[bytes], *, eof: bool = True, place: Place = placed
) -> Answer:
    """Give the stream these reads, and then the end of the connection unless its body is complete."""
    answer = Answer(stream)
    answer.read(b"", place)  # the head comes first, and may come without a byte of the body
    for piece in pieces:
        if answer.over:
            break
        answer.read(piece, place)
    if eof and not answer.over:
        answer.close()
    return answer
