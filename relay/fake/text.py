"""What the fake says: one short built-in text, a word to a delta, again and again until N deltas.

A word carries the blank before it, as the tokens of a model do, so that the deltas joined are the
text and the number of deltas is the number of its words.
"""

from __future__ import annotations

import functools

TEXT = """\
This is relay fake, a small practice upstream: no model wrote these words. They leave one at a time, \
each in an event of its own, at the pace that --rate sets. If you see them arrive one by one, then \
everything between here and you is streaming; if they come in one lump, something on the way holds \
them back. Offer tools and say the word tool, and you get a tool call instead of this text."""

_WORDS = TEXT.split()
DEFAULT_DELTAS = len(_WORDS)
MAX_DELTAS = 1_000_000


@functools.lru_cache(maxsize=8)
def words(count: int) -> tuple[str, ...]:
    """The first ``count`` words of the text repeated for ever; each pass is a paragraph."""
    first = (_WORDS[0], *(f" {word}" for word in _WORDS[1:]))
    again = (f"\n\n{_WORDS[0]}", *first[1:])
    passes = -(-count // len(first))
    return (first + again * (passes - 1))[:count]


def count_words(text: str) -> int:
    """The fake's only tokenizer."""
    return len(text.split())
