"""What one input is, and what a target is made of."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Protocol

_MOST_READS = 40
"""More or less: byte by byte costs much and finds what three bytes at a time find."""


class Finding(AssertionError):
    """An invariant that does not hold; the text says which, and for what."""


def hold(condition: object, rule: str) -> None:
    if not condition:
        raise Finding(rule)


@dataclass(frozen=True)
class Case:
    """One input: its bytes, the sizes of the reads that it comes in, and what else was drawn for it."""

    raw: bytes
    sizes: tuple[int, ...] = (1,)
    how: tuple[str, ...] = ()

    @property
    def reads(self) -> list[bytes]:
        return cut(self.raw, self.sizes)


def cut(raw: bytes, sizes: tuple[int, ...]) -> list[bytes]:
    """Pieces of these sizes, over and over."""
    pieces, at, turn = [], 0, 0
    while at < len(raw):
        pieces.append(raw[at : at + sizes[turn % len(sizes)]])
        at += len(pieces[-1])
        turn += 1
    return pieces


def draw_sizes(dice: Random, length: int) -> tuple[int, ...]:
    """Byte by byte where that is cheap; a few long reads; one size; anything."""
    longest = dice.choice((1, 3, 20, 300, max(length, 1)))
    if length > _MOST_READS * longest:
        longest = 1 + length // _MOST_READS
    return tuple(dice.randint(1, longest) for _ in range(dice.choice((1, 7))))


class Target(Protocol):
    """What is fuzzed: how an input is drawn, and what must hold for it.

    ``check`` returns how it ended, in a word, for the count of ends: where all ends are the same the
    inputs are no good. What it raises is a finding.
    """

    name: str

    def draw(self, dice: Random) -> Case: ...

    def check(self, case: Case) -> str: ...
