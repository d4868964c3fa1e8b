"""However an upstream's bytes are cut: the same output; and a delta that is in is out in the same call."""

from __future__ import annotations

import codecs
import os
import random
from collections import Counter
from collections.abc import Iterable

import pytest

from tests.cuts import split
from tests.dialects import chat_reading, responses_legal
from tests.dialects.drive import Event, events
from tests.streams import Answer
from tests.translated import NAMES, frames, others, stream_of, translate, translation, verdict
from tests.translation_sources import Source, left_out, of_kind

RANDOM_WAYS = 2 if "CI" in os.environ else 1
SMALL, LARGE = 2_500, 100_000 if "CI" in os.environ else 10_000
"""Streams up to so many bytes are also read byte by byte, and frame by frame."""


def outcome(answer: Answer) -> tuple[object, ...]:
    refused = answer.refused
    said = (getattr(refused, "body", None), refused.status, str(refused)) if refused else None
    return answer.body, said, str(answer.broken), answer.stream.end_code


@pytest.mark.parametrize("source", of_kind("whole", "failed", "cut"), ids=str)
def test_the_same_leaves_however_it_was_cut(source: Source) -> None:
    for client in others(source.dialect):
        whole = translate(client, source.dialect, source.body)
        for sizes in ways(source):
            cut = translate(client, source.dialect, split(source.body, sizes))
            if whole.refused is None or cut.refused is not None:
                assert outcome(cut) == outcome(whole)
            else:  # the stream had begun before the read that brought the error
                assert verdict(client, cut.events) == "failed"
                assert spoken(client, cut.events).total() == 0


def ways(source: Source) -> list[list[int]]:
    """Sizes of reads: random, and byte by byte where that does not take long."""
    dice = random.Random(len(source.body))
    found = [[dice.randint(1, dice.choice((3, 40, 4000))) for _ in range(17)] for _ in range(RANDOM_WAYS)]
    return [*found, [1]] if len(source.body) <= SMALL else found


# --- a delta in is a delta out ----------------------------------------------------------------------


def spoken(dialect: str, stream: list[Event]) -> Counter[str]:
    """How many characters of text and of arguments the deltas of these frames have."""
    if dialect == "responses":
        found = {kind: "".join(pieces) for kind, pieces in responses_legal.texts(stream).items()}
    elif dialect == "chat":
        found = chat_reading.said(stream)
    else:
        found = dict(_messages_pieces(stream))
    count: Counter[str] = Counter()
    for kind, text in found.items():
        count["arguments" if "arguments" in kind or "input" in kind else "text"] += len(text)
    return count


def _messages_pieces(stream: Iterable[Event]) -> Iterable[tuple[str, str]]:
    told: dict[str, str] = {}
    for _, payload in stream:
        delta = (payload or {}).get("delta") or {}
        for kind, member in (("text", "text"), ("text", "thinking"), ("input", "partial_json")):
            told[kind] = told.get(kind, "") + delta.get(member, "")
    return told.items()


WAITS = {
    # Messages has one block at a time, so the second of two calls at once comes after the first.
    ("messages", "handwritten/chat-completions/tool-parallel-interleaved"): "arguments",
    ("messages", "handwritten/responses/tool-parallel-interleaved"): "arguments",
    # The summary repeats the reasoning.
    ("chat", "handwritten/responses/reasoning-both"): "text",
    ("messages", "handwritten/responses/reasoning-both"): "text",
}
"""What of a stream does not leave at once."""
FRAMED = [
    source
    for source in of_kind("whole")
    if b"\r" not in source.body
    and len(source.body) <= LARGE
    and not left_out(source) & {"a second choice", "a hosted tool"}
]


@pytest.mark.parametrize("source", FRAMED, ids=str)
def test_a_delta_in_is_a_delta_out(source: Source) -> None:
    for client in others(source.dialect):
        answer = Answer(stream_of(translation(client, source.dialect)))
        late: set[str] = set()
        for frame in frames(source.body.removeprefix(codecs.BOM_UTF8)):
            written = len(answer.writes)
            answer.read(frame)
            given = spoken(source.dialect, events(frame))
            got = spoken(client, events(b"".join(answer.writes[written:])))
            late |= {kind for kind in given if got[kind] < given[kind]}
        assert late == set(filter(None, [WAITS.get((client, source.name))]))


def test_there_are_streams_of_every_dialect() -> None:
    found = {source.dialect for source in of_kind("whole")}
    assert found in (set(NAMES), set())
