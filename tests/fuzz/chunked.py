"""Chunked bodies: decoded, framed anew, and cut into frames.

A reader of our own says what is body and where it ends; relay must say just the same, whatever the reads,
and nobody may read more than that into what it writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from relay.errors import FramingError
from relay.stream import ResponseStream
from relay.wire.framing import MAX_EXTENSIONS, ChunkedDecoder, ChunkedEncoder, Reframer
from tests.cuts import placed
from tests.fuzz import tokens
from tests.fuzz.case import Case, draw_sizes, hold
from tests.fuzz.mutate import OF_CHUNKS, bent, rubbish
from tests.fuzz.reader import BoundaryWatch, ChunkReader

FRAME_LIMIT = 500
_PAYLOADS = (
    b"hello",
    b"",
    b"\r\n",
    b"0\r\n\r\n",
    b'data: {"a":1}\n\n',
    b": c\n\ndata: 1\n\n",
    b"a\r\rb\n",
    b"x" * 300,
)
_EXTENSIONS = (*[b""] * 40, *[b";a=b", b' ; a="b 0"', b"  ", b"\t;"] * 3, b";" + b"e" * 9000)
_TRAILERS = (
    *[b""] * 20,
    *[b"a: b\r\n", b"a:\r\nB: c\r\n", b"content-length: 9\r\n"] * 3,
    b"t: " + b"v" * 9000 + b"\r\n",
)


def write(dice: Random) -> bytes:
    """A legal body in any of the spellings."""
    wire = b""
    for _ in range(dice.choice((0, 1, 2, 2, 3, 6))):
        payload = dice.choice(_PAYLOADS)
        if payload:
            size = dice.choice((b"%x", b"%X", b"0%x", b"0000000000%X")) % len(payload)
            wire += size + dice.choice(_EXTENSIONS) + b"\r\n" + payload + b"\r\n"
    return (
        wire
        + dice.choice((b"0", b"000"))
        + dice.choice(_EXTENSIONS)
        + b"\r\n"
        + dice.choice(_TRAILERS)
        + b"\r\n"
    )


@dataclass
class Outcome:
    """What one machine made of one input."""

    body: bytes = b""
    used: int = 0
    complete: bool = False
    broken: bool = False


class Chunked:
    """A body of chunks, or what is left of one."""

    name = "chunked"

    def draw(self, dice: Random) -> Case:
        if dice.random() < 0.1:
            raw = rubbish(dice, tokens.CHUNKS)
        else:
            raw = bent(dice, write(dice), OF_CHUNKS, (write(dice),)) + dice.choice(
                (b"", b"GET / HTTP/1.1\r\n")
            )
        return Case(raw, draw_sizes(dice, len(raw)))

    def check(self, case: Case) -> str:
        told = ChunkReader()
        told.receive(case.raw)
        for pieces in ([case.raw], case.reads or [b""]):
            found = decode(pieces)
            hold(found.body == told.body, f"another body: {found.body!r} where {bytes(told.body)!r} was sent")
            hold(found.complete == told.complete, f"complete is {found.complete}, should be {told.complete}")
            hold(not told.complete or found.used == told.consumed, f"it used {found.used} of {told.consumed}")
            hold(found.broken or not told.broken or found.complete, f"it takes {told.broken}")
            hold(not found.broken or told.broken or not told.complete, "it refuses what is legal")
            check_written((Reframer, ResponseStream)[len(case.raw + pieces[0]) % 2], pieces, told)
        return "complete" if told.complete else "broken" if told.broken else "unfinished"


def decode(pieces: list[bytes]) -> Outcome:
    """The body alone."""
    decoder, found = ChunkedDecoder(), Outcome()
    try:
        for piece in pieces:
            data, start, end = placed(piece)
            spans: list[tuple[int, int]] = []
            try:
                stop = decoder.receive(data, start, end, spans)
            finally:
                hold(all(start <= a < b <= end for a, b in spans), f"spans outside of what was read: {spans}")
                found.body += b"".join(data[a:b] for a, b in spans)
            hold(start <= stop <= end and (stop == end or decoder.complete), "it stopped in the middle")
            hold(len(decoder._line) <= MAX_EXTENSIONS + 20, "more of a line is kept than the limit allows")
            found.used += stop - start
            if decoder.complete:
                break
        decoder.receive_eof()
    except FramingError:
        found.broken = True
    found.complete = decoder.complete
    return found


def check_written(
    machine: type[Reframer] | type[ResponseStream], pieces: list[bytes], told: ChunkReader
) -> None:
    """What leaves is chunks, each write whole ones; they hold what came, and end where it ended."""
    client, watch, held = ChunkReader(), BoundaryWatch(), 0
    if machine is Reframer:
        stream: Reframer | ResponseStream = Reframer(ChunkedDecoder(), ChunkedEncoder())
    else:
        stream = ResponseStream(ChunkedDecoder(), ChunkedEncoder(), frame_limit=FRAME_LIMIT)
    for raw in _writes(stream, pieces):
        before = len(client.body)
        client.receive(raw)
        hold(not client.broken and client.between_chunks, f"a write that is no whole chunks: {raw[:80]!r}")
        hold(client.consumed == len(raw) + held, "bytes after the last chunk")
        held += len(raw)
        if machine is ResponseStream and not client.complete:
            watch.wrote(bytes(client.body[before:]))
    hold(bytes(told.body).startswith(client.body), "a body that nobody sent")
    hold(client.complete <= told.complete, "an end that nobody sent")
    if told.complete and machine is Reframer:
        hold(client.complete and client.body == told.body, "the body did not arrive")
    hold(len(client.body) <= len(told.body), "more than came")


def _writes(stream: Reframer | ResponseStream, pieces: list[bytes]) -> list[bytes]:
    """All writes to the client until the end or a fault."""
    writes: list[bytes] = []
    try:
        for piece in pieces:
            data, start, end = placed(piece)
            before = bytes(data)
            writes.append(b"".join(stream.receive(data, memoryview(data), start, end)))
            hold(data == before, "the read buffer was changed")
            hold(start <= stream.consumed <= end, "consumed is outside of what was read")
            if isinstance(stream, ResponseStream):
                hold(len(stream._carry) <= FRAME_LIMIT, "more of a frame is kept than the limit allows")
            if stream.complete:
                return writes
        stream.receive_eof()
    except FramingError as error:
        writes.append(b"".join(error.before))
    else:
        hold(condition=False, rule="a cut body was taken for a whole one")
    return writes
