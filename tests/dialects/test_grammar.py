"""The legal order of deltas: the two tables held against each other, every state and kind."""

from __future__ import annotations

import itertools
from collections.abc import Hashable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.dialects.deltas import Kind
from relay.dialects.grammar import IMPLIED, LEGAL, Grammar, State

ALL = list(itertools.product(State, Kind))
BLOCK_KINDS = (Kind.BLOCK, Kind.PIECE, Kind.CLOSE)

# What neither table has: no delta that could come first makes it legal.
DROPPED = {
    State.START: {Kind.CLOSE, Kind.END},
    State.OPEN: {Kind.OPEN, Kind.CLOSE},
    State.BLOCK: {Kind.OPEN},
    State.FINISHED: {Kind.OPEN, Kind.BLOCK, Kind.PIECE, Kind.CLOSE},
    State.DONE: set(Kind),
    State.FAILED: set(Kind),
}


def at(state: State, *, serial: bool = True) -> Grammar:
    """A grammar in this state, brought there by legal steps."""
    grammar = Grammar(serial=serial)
    steps: dict[State, list[Kind]] = {
        State.START: [],
        State.OPEN: [Kind.OPEN],
        State.BLOCK: [Kind.OPEN, Kind.BLOCK],
        State.FINISHED: [Kind.OPEN, Kind.FINISH],
        State.DONE: [Kind.OPEN, Kind.FINISH, Kind.END],
        State.FAILED: [Kind.FAIL],
    }
    for kind in steps[state]:
        assert grammar.admit(kind, "k" if kind is Kind.BLOCK else None)
    return grammar


Step = tuple[Kind, Hashable]


def restored(grammar: Grammar, kind: Kind, key: Hashable = None) -> list[Step] | None:
    """What is admitted, this delta last, each with its block; None when nothing makes it legal."""
    steps: list[Step] = []
    while (first := grammar.implied(kind, key)) is not None:
        inner = restored(grammar, first, key_of(grammar, first, key))
        assert inner is not None, f"{first!r} is implied and impossible"
        steps += inner
        assert len(steps) < len(State) * len(Kind), "it goes round"
    return [*steps, (kind, key)] if grammar.admit(kind, key) else None


def key_of(grammar: Grammar, first: Kind, key: Hashable) -> Hashable:
    """The block that an implied delta is of: the open one, or the one that the next delta needs."""
    if first is Kind.CLOSE:
        return next(iter(grammar.blocks))
    return key if first is Kind.BLOCK else None


# --- the tables ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "kind"), ALL)
def test_every_delta_is_legal_or_implies_another_or_is_dropped(state: State, kind: Kind) -> None:
    found = [(state, kind) in LEGAL, (state, kind) in IMPLIED, kind in DROPPED[state]]
    assert found.count(True) == 1


@pytest.mark.parametrize(("state", "kind"), list(IMPLIED))
def test_what_is_implied_is_legal_where_it_is_implied_or_implies_what_is(state: State, kind: Kind) -> None:
    first = IMPLIED[state, kind]
    assert (state, first) in LEGAL or (state, first) in IMPLIED
    assert LEGAL.get((state, first)) is not state, "it would be implied for ever"


@pytest.mark.parametrize("serial", [True, False])
@pytest.mark.parametrize(("state", "kind"), ALL)
def test_every_delta_can_be_restored_or_is_refused_and_nothing_has_changed(
    state: State, kind: Kind, serial: bool
) -> None:
    grammar = at(state, serial=serial)
    key = "k" if kind in BLOCK_KINDS and state is State.BLOCK else "new" if kind in BLOCK_KINDS else None
    met = grammar.meets(kind, key)
    before = (grammar.state, dict(grammar.blocks))
    steps = restored(grammar, kind, key)
    if kind in DROPPED[met]:
        assert steps is None
        assert (grammar.state, grammar.blocks) == before
    else:
        assert steps is not None
        assert steps[-1] == (kind, key)
        assert (len(steps) == 1) is ((met, kind) in LEGAL)


@pytest.mark.parametrize("state", [State.START, State.OPEN, State.BLOCK, State.FINISHED])
def test_every_state_reaches_the_end(state: State) -> None:
    grammar = at(state)
    if state is State.START:
        assert restored(grammar, Kind.OPEN) == [(Kind.OPEN, None)]
    steps = restored(grammar, Kind.END)
    assert steps is not None
    assert grammar.state is State.DONE
    assert not grammar.blocks


@pytest.mark.parametrize("state", [State.START, State.OPEN, State.BLOCK, State.FINISHED])
def test_every_live_state_can_fail_at_once_and_closes_nothing_before_it(state: State) -> None:
    grammar = at(state)
    blocks = dict(grammar.blocks)
    assert restored(grammar, Kind.FAIL) == [(Kind.FAIL, None)]
    assert grammar.state is State.FAILED
    assert grammar.blocks == blocks


@pytest.mark.parametrize("state", [State.DONE, State.FAILED])
@pytest.mark.parametrize("kind", Kind)
def test_nothing_comes_after_the_end(state: State, kind: Kind) -> None:
    grammar = at(state)
    assert restored(grammar, kind, "k") is None
    assert grammar.state is state


@pytest.mark.parametrize(
    ("kinds", "restored_as"),
    [
        ([Kind.PIECE], [Kind.OPEN, Kind.BLOCK, Kind.PIECE]),
        ([Kind.FINISH, Kind.END], [Kind.OPEN, Kind.FINISH, Kind.END]),
        ([Kind.BLOCK, Kind.END], [Kind.OPEN, Kind.BLOCK, Kind.CLOSE, Kind.FINISH, Kind.END]),
        ([Kind.OPEN, Kind.USAGE, Kind.END], [Kind.OPEN, Kind.USAGE, Kind.FINISH, Kind.END]),
        ([Kind.BLOCK, Kind.BLOCK], [Kind.OPEN, Kind.BLOCK, Kind.CLOSE, Kind.BLOCK]),
        (
            [Kind.OPEN, Kind.FINISH, Kind.FINISH, Kind.USAGE],
            [Kind.OPEN, Kind.FINISH, Kind.FINISH, Kind.USAGE],
        ),
        ([Kind.PING, Kind.OPEN], [Kind.PING, Kind.OPEN]),
    ],
)
def test_a_broken_order_is_restored(kinds: list[Kind], restored_as: list[Kind]) -> None:
    grammar = Grammar(serial=True)
    said: list[Step] = []
    for turn, kind in enumerate(kinds):
        said += restored(grammar, kind, turn if kind in BLOCK_KINDS else None) or []
    assert [kind for kind, _ in said] == restored_as


# --- blocks -------------------------------------------------------------------------------------


def test_in_a_serial_grammar_a_block_meets_the_block_that_is_open() -> None:
    grammar = at(State.OPEN, serial=True)
    assert grammar.admit(Kind.BLOCK, 0)
    assert grammar.meets(Kind.BLOCK, 1) is State.BLOCK
    assert grammar.implied(Kind.BLOCK, 1) is Kind.CLOSE
    assert not grammar.admit(Kind.BLOCK, 1)
    assert grammar.admit(Kind.CLOSE, 0)
    assert grammar.admit(Kind.BLOCK, 1)
    assert list(grammar.blocks) == [1]


def test_elsewhere_blocks_interleave() -> None:
    grammar = at(State.OPEN, serial=False)
    for kind, key in [
        (Kind.BLOCK, 0), (Kind.BLOCK, 1), (Kind.PIECE, 0), (Kind.PIECE, 1), (Kind.CLOSE, 0), (Kind.PIECE, 1),
    ]:  # fmt: skip
        assert grammar.admit(kind, key), (kind, key)
    assert list(grammar.blocks) == [1]


@pytest.mark.parametrize("serial", [True, False])
def test_a_piece_of_a_block_that_is_not_open_implies_the_block(serial: bool) -> None:
    grammar = at(State.BLOCK, serial=serial)
    assert grammar.implied(Kind.PIECE, "other") is Kind.BLOCK
    assert not grammar.admit(Kind.PIECE, "other")
    assert grammar.admit(Kind.PIECE, "k")


@pytest.mark.parametrize("serial", [True, False])
def test_a_block_cannot_close_that_is_not_open(serial: bool) -> None:
    grammar = at(State.BLOCK, serial=serial)
    assert not grammar.admit(Kind.CLOSE, "other")
    assert grammar.implied(Kind.CLOSE, "other") is None
    assert list(grammar.blocks) == ["k"]


@pytest.mark.parametrize("serial", [True, False])
def test_the_same_block_cannot_be_opened_twice(serial: bool) -> None:
    grammar = at(State.BLOCK, serial=serial)
    grammar.blocks["k"] = "what its dialect keeps"
    assert not grammar.admit(Kind.BLOCK, "k", "another")
    assert grammar.blocks == {"k": "what its dialect keeps"}


def test_what_a_dialect_keeps_of_a_block_is_there_until_it_closes() -> None:
    grammar, kept = at(State.OPEN), ["x"]
    grammar.admit(Kind.BLOCK, 7, kept)
    assert grammar.blocks[7] is kept
    grammar.admit(Kind.PIECE, 7)
    assert grammar.blocks[7] is kept
    grammar.admit(Kind.CLOSE, 7)
    assert grammar.blocks == {}


@pytest.mark.parametrize("kind", [Kind.USAGE, Kind.PING])
def test_usage_and_pings_leave_an_open_block_open(kind: Kind) -> None:
    grammar = at(State.BLOCK)
    assert grammar.admit(kind)
    assert list(grammar.blocks) == ["k"]
    assert grammar.admit(Kind.PIECE, "k")


DELTAS = st.lists(st.tuples(st.sampled_from(Kind), st.integers(0, 2)), max_size=30)


@given(DELTAS, st.booleans())
def test_any_order_is_restored_to_one_that_another_grammar_admits_as_it_is(
    deltas: list[tuple[Kind, int]], serial: bool
) -> None:
    """Restoring is idempotent: a second relay has nothing to do."""
    grammar, second = Grammar(serial=serial), Grammar(serial=serial)
    for kind, number in deltas:
        before = (grammar.state, dict(grammar.blocks))
        steps = restored(grammar, kind, number if kind in BLOCK_KINDS else None)
        if steps is None:
            assert (grammar.state, grammar.blocks) == before
        for step in steps or ():
            assert second.implied(*step) is None
            assert second.admit(*step)
        assert (second.state, second.blocks) == (grammar.state, grammar.blocks)
    assert not grammar.blocks or grammar.state in (State.OPEN, State.FAILED)
    if serial:
        assert len(grammar.blocks) <= 1
