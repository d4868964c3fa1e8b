"""Bytes bent: bits flipped, ranges lost, doubled, moved, spliced, tokens of HTTP, SSE and JSON put in.

All chance comes from the ``Random`` that is handed in. A mutation never looks at what the bytes mean,
but for those that know lines, frames and JSON tokens: without them nearly every input would die in the
first parser and nothing behind it would be reached.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

from tests.fuzz import tokens

Mutation = Callable[[Random, bytes, Sequence[bytes]], bytes]

_JSON_TOKEN = re.compile(rb'"(?:[^"\\\r\n]|\\.)*"|-?[0-9]+(?:\.[0-9]+)?|true|false|null|\[\]|\{\}')
_JSON_MEMBER = re.compile(
    rb',?"(?:[^"\\\r\n]|\\.)*":(?:"(?:[^"\\\r\n]|\\.)*"|-?[0-9.]+|true|false|null|\[\]|\{\})'
)
_NUMBER = re.compile(rb"[0-9]+")
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n|$)")
_FRAME_END = re.compile(rb"(?<=\n\n)")
_NUMBERS = (b"", *b"0 1 -1 2 00 99 65536 999999999999999999 18446744073709551616".split())
_LONGEST = 40_000
"""Bytes that an input may grow to."""


def span(dice: Random, raw: bytes) -> tuple[int, int]:
    """A range; short ones more often."""
    start = dice.randrange(len(raw) + 1)
    return start, min(len(raw), start + dice.choice((1, 2, 4, 16, 64, 256, 4096)))


def flip(dice: Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    if not raw:
        return raw
    text = bytearray(raw)
    text[dice.randrange(len(raw))] ^= 1 << dice.randrange(8)
    return bytes(text)


def overwrite(dice: Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    start, end = span(dice, raw)
    return raw[:start] + dice.randbytes(min(end - start, 8)) + raw[end:]


def lose(dice: Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    start, end = span(dice, raw)
    return raw[:start] + raw[end:]


def double(dice: Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    start, end = span(dice, raw)
    times = dice.choice((1, 1, 2, 5, 200))
    return raw[:end] + raw[start:end] * min(times, _LONGEST // max(end - start, 1)) + raw[end:]


def move(dice: Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    start, end = span(dice, raw)
    rest = raw[:start] + raw[end:]
    at = dice.randrange(len(rest) + 1)
    return rest[:at] + raw[start:end] + rest[at:]


def truncate(dice: Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    return raw[: dice.randrange(len(raw) + 1)]


def splice(dice: Random, raw: bytes, seeds: Sequence[bytes]) -> bytes:
    other = dice.choice(seeds)
    return raw[: dice.randrange(len(raw) + 1)] + other[dice.randrange(len(other) + 1) :]


def number(dice: Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    return _replace(dice, raw, _NUMBER, _NUMBERS)


def lines(dice: Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    """A line lost, doubled or moved."""
    return b"".join(_shuffled(dice, _LINE.findall(raw)))


def split_frames(raw: bytes) -> list[bytes]:
    """At every empty line, if lines end with LF."""
    return _FRAME_END.split(raw)


def frames(dice: Random, raw: bytes, seeds: Sequence[bytes]) -> bytes:
    """A frame lost, doubled, moved, or one of another stream put in."""
    own = split_frames(raw)
    if dice.random() < 0.3:
        own.insert(dice.randrange(len(own) + 1), dice.choice(split_frames(dice.choice(seeds))))
    return b"".join(_shuffled(dice, own))


def value(dice: Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    return _replace(dice, raw, _JSON_TOKEN, tokens.JSON)


def member(dice: Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    """A member of an object lost, or a value of this very input in another place."""
    if dice.random() < 0.5:
        return _replace(dice, raw, _JSON_MEMBER, (b"",))
    return _replace(dice, raw, _JSON_TOKEN, _JSON_TOKEN.findall(raw) or (b"0",))


def line_ends(dice: Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    """Other line ends, everywhere or in one place."""
    end = dice.choice((b"\r\n", b"\r", b"\n\n", b"\n\r", b""))
    return raw.replace(b"\n", end) if dice.random() < 0.5 else raw.replace(b"\n", end, dice.randint(1, 3))


def token(words: Sequence[bytes]) -> Mutation:
    """Put one of these in, or in place of as many bytes."""

    def put(dice: Random, raw: bytes, _: Sequence[bytes]) -> bytes:
        new = dice.choice(words)
        at = dice.randrange(len(raw) + 1)
        return raw[:at] + new + raw[at + (len(new) if dice.random() < 0.5 else 0) :]

    return put


_PLAIN: tuple[Mutation, ...] = (flip, overwrite, lose, double, move, truncate, splice)
OF_HEADS: tuple[Mutation, ...] = (*_PLAIN, number, lines, lines, *[token(tokens.HTTP)] * 5)
OF_CHUNKS: tuple[Mutation, ...] = (*_PLAIN, number, number, lines, *[token(tokens.CHUNKS)] * 4)
OF_STREAMS: tuple[Mutation, ...] = (
    *_PLAIN,
    *(value, value, value, member, member, member, frames, frames, frames, number, lines, line_ends),
    *[token(tokens.STREAMS)] * 3,
)
OF_DOCUMENTS: tuple[Mutation, ...] = (flip, splice, *[value] * 16, *[member] * 10, number, number)


def bent(dice: Random, raw: bytes, mutations: Sequence[Mutation], seeds: Sequence[bytes]) -> bytes:
    """A seed with a few mutations, seldom with many, sometimes as it is."""
    for _ in range(dice.choice((0, 1, 1, 1, 2, 2, 3, 4, 6, 12))):
        raw = dice.choice(mutations)(dice, raw, seeds)[:_LONGEST]
    return raw


def rubbish(dice: Random, words: Sequence[bytes]) -> bytes:
    """Words in any order, with a few bytes of chance between them."""
    parts = [
        dice.choice(words) if dice.random() < 0.8 else dice.randbytes(dice.randint(1, 6)) for _ in range(20)
    ]
    return b"".join(parts[: dice.randint(1, 20)])


def _replace(dice: Random, raw: bytes, what: re.Pattern[bytes], by: Sequence[bytes]) -> bytes:
    """Another value where one of these stands."""
    found = list(what.finditer(raw))
    if not found:
        return raw
    one = dice.choice(found)
    return raw[: one.start()] + dice.choice(by) + raw[one.end() :]


def _shuffled(dice: Random, parts: list[bytes]) -> list[bytes]:
    """One part lost, doubled or moved; sometimes a run of them doubled."""
    at = dice.randrange(len(parts))
    action = dice.randrange(4)
    if action == 0:
        del parts[at]
    elif action == 1:
        parts.insert(dice.randrange(len(parts) + 1), parts[at])
    elif action == 2:
        parts.insert(dice.randrange(len(parts)), parts.pop(at))
    else:
        parts[at:at] = parts[at : at + dice.randint(1, 4)] * dice.choice((1, 1, 3, 30))
    return parts
