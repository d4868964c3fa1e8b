"""What the checkers have in common: pieces of one size."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from relay.dialects import BY_NAME
from relay.dialects.checker import Checker
from relay.dialects.frame import Frame

from .drive import CONTEXT


def chat(number: int, text: str) -> Frame:
    choice = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}
    return Frame(None, {"id": "c", "object": "chat.completion.chunk", "choices": [choice]})


def messages(number: int, text: str) -> Frame:
    delta = {"type": "text_delta", "text": text}
    return named({"type": "content_block_delta", "index": 0, "delta": delta})


def responses(number: int, text: str) -> Frame:
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    kind = "response.output_text.delta"
    return named({"type": kind, "sequence_number": number, **place, "delta": text, "logprobs": []})


def named(payload: dict[str, Any]) -> Frame:
    return Frame(payload["type"], payload)


SENDERS = {"chat": chat, "messages": messages, "responses": responses}


@pytest.mark.parametrize(("dialect", "sender"), SENDERS.items(), ids=SENDERS)
@pytest.mark.parametrize(
    ("sizes", "sliced"),
    [
        ([5] * 12, True),
        ([5] * 12 + [3], True),
        ([5] * 12 + [6], False),
        ([5] * 6 + [4] + [5] * 6, False),
        ([1] * 12, False),  # a letter at a time is a small model, not a knife
        ([5] * 6, False),
        ([5, 1, 4, 5, 9, 2, 6, 5, 3, 5, 8, 9], False),
    ],
)
def test_pieces_of_one_size_are_seen(
    dialect: str, sender: Callable[[int, str], Frame], sizes: list[int], sliced: bool
) -> None:
    checker: Checker = BY_NAME[dialect](CONTEXT)
    for number, size in enumerate(sizes):
        checker.check(sender(number, "x" * size))
    assert checker.deltas == len(sizes)
    assert checker.sliced is sliced


@pytest.mark.parametrize(("dialect", "sender"), SENDERS.items(), ids=SENDERS)
def test_a_closed_checker_is_gone_with_its_last_reference(
    dialect: str, sender: Callable[[int, str], Frame]
) -> None:
    """Or the garbage of all streams would wait for a collector that stops them all."""
    gc.collect()
    gc.disable()
    try:
        checker: Checker = BY_NAME[dialect](CONTEXT)
        for number in range(3):
            checker.check(sender(number, "text"))
        checker.close()
        assert checker.deltas == 3
        watched = weakref.ref(checker)
        del checker
        assert watched() is None
    finally:
        gc.enable()
