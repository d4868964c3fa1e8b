"""Where a tool's arguments are complete: whole, byte by byte, at random cuts."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.dialects.arguments import Arguments

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=10,
)
objects = st.dictionaries(st.text(max_size=8), values, max_size=4)


def taken(*pieces: str) -> Arguments:
    arguments = Arguments()
    for piece in pieces:
        arguments.take(piece)
    return arguments


@pytest.mark.parametrize(
    ("pieces", "complete"),
    [
        (["{}"], True),
        (["{", "}"], True),
        (['{"a":', "1}"], True),
        (['{"a":"}'], False),
        (['{"a":"}"', "}"], True),
        (['{"a":"\\', '"}"', "}"], True),
        (['{"a":"\\\\"', "}"], True),
        (['{"a":[1,{"b":2}', "]}"], True),
        (['{"a":[1,{"b":2}', "]"], False),
        (["{} "], True),
        ([" "], False),
        ([], False),
    ],
)
def test_complete_at_the_last_brace(pieces: list[str], complete: bool) -> None:
    assert taken(*pieces).complete is complete


def test_blanks_are_nothing() -> None:
    assert taken().empty
    assert taken(" ", "\n").empty
    assert not taken("{").empty


@given(objects, st.booleans())
def test_an_object_is_complete_at_its_end_and_not_before(value: object, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    arguments = Arguments()
    for at, letter in enumerate(text):
        assert not arguments.complete, text[:at]
        arguments.take(letter)
    assert arguments.complete


@given(objects, st.lists(st.integers(0, 60), max_size=6))
def test_cuts_change_nothing(value: object, cuts: list[int]) -> None:
    text = json.dumps(value)
    places = [0, *sorted(min(cut, len(text) - 1) for cut in cuts), len(text) - 1]
    pieces = [text[a:b] for a, b in itertools.pairwise(places)]
    arguments = taken(*pieces)
    assert not arguments.complete
    arguments.take(text[-1])
    assert arguments.complete
