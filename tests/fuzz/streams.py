"""Event streams: of a client's own dialect, checked and mended; of another, translated.

What leaves must be legal in the client's dialect at every moment, or a status; it must not grow beyond all
measure, nor depend on the reads; and a second relay must find nothing in it to mend.
"""

from __future__ import annotations

import re
from dataclasses import astuple, dataclass
from random import Random

from relay.checked import CheckedStream
from relay.mending import Mender
from relay.wire.framing import (
    BodyDecoder,
    ChunkedDecoder,
    ChunkedEncoder,
    LengthDecoder,
    UntilCloseDecoder,
)
from tests.dialects.drive import Event
from tests.fuzz import seeds, tokens
from tests.fuzz.case import Case, cut, draw_sizes, hold
from tests.fuzz.follow import BROKEN, Followed, check_end, follow, is_strange
from tests.fuzz.mutate import OF_STREAMS, bent, rubbish, split_frames
from tests.streams import in_chunks, mender_of
from tests.translated import PAIRS, translation

LARGE = 1_000_000
LIMITS = {"large": LARGE, "small": 2_000}
"""Bytes of a frame."""
_AT_ONCE = (10_000_000,)
ONE_CHUNK = (0,)
"""Sizes of reads that say: each frame is a chunk, and each chunk a read, as with a live server."""
DIALECTS = ("chat", "messages", "responses")
_FRAMINGS = ("until close", "length", "short length", "chunks", "frames")
_ROOM = 12_000
"""Bytes that relay may add to a stream whatever its length: a beginning, an end, an error."""
GROWTH = 60
"""And how many for each byte that came: a piece of one letter is a frame of 300 bytes in another dialect."""


def sent(raw: bytes, framing: str, sizes: tuple[int, ...]) -> tuple[BodyDecoder, list[bytes]]:
    """The body as an upstream sends it, read by read."""
    if framing == "frames":
        chunks = [b"%x\r\n%b\r\n" % (len(part), part) for part in split_frames(raw) if part]
        return ChunkedDecoder(), chunks if sizes == ONE_CHUNK else cut(b"".join(chunks), sizes)
    if framing == "chunks":
        return ChunkedDecoder(), cut(in_chunks(raw, 300), sizes)
    if framing == "until close" or not raw:
        return UntilCloseDecoder(), cut(raw, sizes)
    return LengthDecoder(len(raw) + (9 if framing == "short length" else 0)), cut(raw, sizes)


@dataclass(frozen=True)
class How:
    """What was drawn for a stream beside its bytes; ``look`` is when what announces an answer is let go."""

    framing: str
    end: str
    limit: str
    look: str
    client: str
    upstream: str
    repair: str = "on"

    def run(self, raw: bytes, mender: Mender, sizes: tuple[int, ...]) -> Followed:
        decoder, pieces = sent(raw, self.framing, sizes)
        size = LIMITS[self.limit]
        stream = CheckedStream(
            decoder, ChunkedEncoder(), mender, frame_limit=size, look_ahead=self.look != "now"
        )
        release = int(self.look) if self.look.isdigit() else -1
        return follow(stream, pieces, limit=size, end=self.end, release=release)

    @property
    def same_at_every_cut(self) -> bool:
        """Neither the limit nor the time that something was held depends on the reads."""
        return self.limit == "large" and not self.look.isdigit()


def draw(dice: Random, client: str, upstream: str, repair: str = "on") -> Case:
    """A stream of the upstream's dialect, bent."""
    if dice.random() < 0.05:
        raw = rubbish(dice, tokens.STREAMS)
    else:
        own = seeds.streams(upstream)
        others = own if dice.random() < 0.9 else seeds.strangers(upstream)
        raw = bent(dice, dice.choice(own), OF_STREAMS, others)
    end = dice.choice(("close", "close", *BROKEN))
    limit = dice.choice(("large", "large", "large", "small"))
    look = dice.choice(("now", "now", "never", "0", "1", "4"))
    how = How(dice.choice(_FRAMINGS), end, limit, look, client, upstream, repair)
    live = how.framing == "frames" and dice.random() < 0.7
    return Case(raw, ONE_CHUNK if live else draw_sizes(dice, len(raw)), astuple(how))


class Checked:
    """Streams of the client's own dialect."""

    name = "streams"

    def draw(self, dice: Random) -> Case:
        dialect = dice.choice(DIALECTS)
        return draw(dice, dialect, dialect, dice.choice(("on", "on", "on", "report")))

    def check(self, case: Case) -> str:
        how = How(*case.how)
        report = how.repair == "report"
        answer = how.run(case.raw, mender_of(how.client, report=report), case.sizes)
        if report:
            hold(case.raw.startswith(answer.body), "a report changes what passes")
            return f"{how.client} reported {answer.end}"
        check(case, how, answer)
        if how.same_at_every_cut:
            check_same(case, answer, how.run(case.raw, mender_of(how.client), _AT_ONCE))
        return f"{how.client} {answer.end}"


class Translated:
    """Streams of another dialect than the client's."""

    name = "translated"

    def draw(self, dice: Random) -> Case:
        return draw(dice, *dice.choice(PAIRS))

    def check(self, case: Case) -> str:
        how = How(*case.how)
        answer = how.run(case.raw, self.mender(how), case.sizes)
        check(case, how, answer)
        plain = how.run(case.raw, self.mender(how, short_cut=False), case.sizes)
        hold((answer.end, answer.heard) == (plain.end, plain.heard), "a short cut says something else")
        if how.same_at_every_cut:
            check_same(case, answer, how.run(case.raw, self.mender(how), _AT_ONCE))
        return f"{how.client}<{how.upstream} {answer.end}"

    def mender(self, how: How, *, short_cut: bool = True) -> Mender:
        asked = translation(how.client, how.upstream)
        found = asked.translator(asked.context("t1", 1763600000))
        if not short_cut:
            found._alike = None
        return found


def check(case: Case, how: How, answer: Followed) -> None:
    """What holds for every stream that is not merely reported on."""
    check_end(how.client, answer)
    check_growth(case, answer)
    check_again(how.client, answer)


def check_growth(case: Case, answer: Followed) -> None:
    size = len(answer.body)
    hold(size <= GROWTH * len(case.raw) + _ROOM, f"{len(case.raw)} bytes became {size}")


def check_again(dialect: str, answer: Followed) -> None:
    """A second relay passes what the first one sent.

    But for a stream that begins like a document: a frame of no field that a client knows.
    """
    documentary = answer.body.lstrip().startswith((b"{", b"["))
    if answer.refused is not None or documentary or any(map(is_strange, answer.heard)):
        return
    stream = CheckedStream(UntilCloseDecoder(), ChunkedEncoder(), mender_of(dialect), frame_limit=LARGE)
    again = follow(stream, [answer.body], limit=LARGE)
    hold(stream.repairs == {}, f"a second relay has to mend {stream.repairs}")
    hold(again.refused is not None or again.heard == answer.heard, "a second relay sends something else")


_PARTED = re.compile(rb"(^|[\r\n])data:[^\r\n]*(\r\n|\r|\n)[^\r\n]")
"""A line of data right after which another line comes."""


def check_same(case: Case, one: Followed, other: Followed) -> None:
    """How the bytes were cut shows in nothing that a client reads.

    But for an error of the upstream right after the announcement of an answer: in one read with it, it is a
    status. And frames that one LF parts are told by their lines once two of them have come, which depends on
    the reads.
    """
    if _PARTED.search(case.raw):
        return
    if one.refused is not None and other.refused is not None:
        hold(one.refused.status == other.refused.status, "another status for other reads")
        return
    ends = [
        answer.end if answer.refused is None else type(answer.refused).__name__ for answer in (one, other)
    ]
    if "UpstreamRefused" in ends and {"UX", "UP"} & set(ends):
        return
    hold(ends[0] == ends[1], f"it ends {ends[0]} in several reads, {ends[1]} in one")
    hold(until_its_end(one) == until_its_end(other), "other events for other reads")


def until_its_end(answer: Followed) -> list[Event]:
    """Without the sentinel that may follow an error."""
    heard = answer.heard
    return heard[:-1] if answer.end != "OK" and heard and heard[-1].payload is None else heard
