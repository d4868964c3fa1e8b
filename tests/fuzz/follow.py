"""One stream followed from its first read to its end: all that a client or a host can notice is watched."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from relay.checked import CheckedStream
from relay.errors import RelayError, UpstreamClosed, UpstreamTimeout, document
from relay.wire.framing import Data
from tests.cuts import placed
from tests.dialects import responses_legal
from tests.dialects.drive import Event, events
from tests.fuzz.case import Finding, hold
from tests.fuzz.reader import BoundaryWatch, ChunkReader
from tests.streams import Answer
from tests.translated import verdict

LARGEST_EARLY = 256 * 1024 + 4096
"""What is held before the first frame that counts, and one read."""

_STEMS = {*responses_legal.TEXTS, *responses_legal.ARGUMENTS, *responses_legal.PART_EVENTS}

BROKEN = {
    "reset": UpstreamClosed("the upstream broke the connection: reset"),
    "silence": UpstreamTimeout("the upstream sent nothing for 1 s"),
}


@dataclass
class Followed(Answer):
    """What one client got, read by a reader of our own."""

    limit: int = 0
    chunks: ChunkReader = field(default_factory=ChunkReader)
    watch: BoundaryWatch = field(default_factory=BoundaryWatch)

    def write(self, raw: bytes) -> None:
        if not raw:
            return
        before, used = len(self.chunks.body), self.chunks.consumed
        self.chunks.receive(raw)
        hold(
            not self.chunks.broken and self.chunks.between_chunks, f"a write that is no chunks: {raw[:80]!r}"
        )
        hold(self.chunks.consumed == used + len(raw), "bytes after the last chunk")
        payload = bytes(self.chunks.body[before:])
        self.writes.append(payload)
        self.ended = self.chunks.complete
        if not self.stream._mender.report:
            self.watch.wrote(payload)

    def read_guarded(self, piece: bytes) -> None:
        """One read, after which nothing outside of it has changed, and no more is kept than may be."""
        kept: list[tuple[Data, int, int]] = []

        def place(piece: bytes) -> tuple[Data, int, int]:
            kept.append(placed(piece))
            return kept[0]

        self.read(piece, place)
        data, start, end = kept[0]
        clean, *_ = placed(piece)
        hold(
            data[:start] == clean[:start] and data[end:] == clean[end:], "bytes beside the read were changed"
        )
        held = len(self.stream._carry) + len(self.stream._document or b"")
        hold(held <= self.limit + len(piece), f"{held} bytes are kept, where {self.limit} is the limit")
        early = len(self.stream._early or b"")
        hold(early <= LARGEST_EARLY + self.limit, f"{early} bytes wait for the first frame")

    @property
    def heard(self) -> list[Event]:
        """The events of the body; bytes that are no UTF-8 may stand in comments only."""
        try:
            return events(self.body.decode("utf-8", "replace").encode())
        except ValueError as error:
            raise Finding(f"a payload that is no JSON: {error}: {self.body[-200:]!r}") from error

    @property
    def end(self) -> str:
        return self.stream.end_code or ("refused" if self.refused else "none")


def follow(
    stream: CheckedStream, pieces: list[bytes], *, limit: int, end: str = "close", release: int = -1
) -> Followed:
    """These reads, then the end: the connection closes, breaks, or nothing more comes.

    After ``release`` reads what is held of an announced answer is let go, as when the time for that is over.
    """
    answer = Followed(stream, limit=limit)
    for number, piece in enumerate([b"", *pieces]):
        if answer.over:
            return answer
        answer.read_guarded(piece)
        if number == release and not answer.over:
            answer.write(b"".join(stream.release_early()))
    if not answer.over:
        if end == "close":
            answer.close()
        else:
            answer.fail(BROKEN[end])
    return answer


def check_end(dialect: str, answer: Followed) -> None:
    """It was refused with a status and a document, or it left as a legal stream that says how it ended."""
    if answer.refused is not None:
        check_refusal(answer.refused)
        hold(not answer.writes, "refused, and yet something was sent")
        return
    hold(answer.ended, "the body has no end")
    hold(answer.end in ("OK", "UX", "UE", "UR", "UT", "UP"), f"end code {answer.end}")
    for one in answer.heard:
        hold(one.payload is None or isinstance(one.payload, dict), "a payload that is no object")
    end = judged(dialect, answer)
    hold(end == ("complete" if answer.end == "OK" else "failed"), f"{end} with the end code {answer.end}")
    hold(answer.broken is None or answer.end != "OK" or answer.stream.ended, "broken, and yet whole")


def judged(dialect: str, answer: Followed) -> str:
    """``complete`` or ``failed``, by the dialect's own validator."""
    try:
        return verdict(dialect, [plain(one) if is_strange(one) else one for one in answer.heard])
    except AssertionError as illegal:
        raise Finding(f"the stream that left is illegal: {illegal}") from illegal


def is_strange(event: Event) -> bool:
    """An event that passes and that the validators cannot judge.

    Half a surrogate or a line break in its type cannot stand in its event line; suffixes may be unheard of.
    """
    kind = event.payload.get("type") if event.payload is not None else None
    if not isinstance(kind, str):
        return False
    stem, _, suffix = kind.rpartition(".")
    known = stem not in _STEMS or suffix in ("added", "delta", "done")
    return not known or kind != kind.encode("utf-8", "replace").decode() or bool({"\r", "\n"} & set(kind))


def plain(event: Event) -> Event:
    """The same under a name that the validators take for what it is, an event that they do not know."""
    return Event("strange", {**event.payload, "type": "strange"})


def check_refusal(error: RelayError) -> None:
    hold(type(error) is not RelayError, f"a fault of relay's own: {error}")
    hold(400 <= error.status <= 599, f"status {error.status}")
    hold(error.retry_after is None or error.retry_after.isprintable(), f"retry-after {error.retry_after!r}")
    told = json.loads(document(error))
    hold(isinstance(told["error"]["message"], str), "an error without words")
