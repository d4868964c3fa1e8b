"""Blocks that interleave leave one after another, and nothing of them is lost."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings

from relay.dialects import messages_serial
from relay.dialects.checker import Malformed
from relay.dialects.deltas import Block, Cite, Close, Delta, Failure, Form, Open, Piece, Ping, Usage
from relay.dialects.grammar import Grammar
from relay.dialects.messages_serial import Serial
from tests.dialects.messages_telling import EXAMPLES, of_deltas, runs


def tool(key: object) -> Block:
    return Block(key, Form.TOOL, f"id-{key}", f"f-{key}")


A, B, C = tool("a"), tool("b"), tool("c")


def taken(*deltas: Delta) -> list[list[Delta]]:
    serial = Serial()
    return [serial.take(delta) for delta in deltas]


def test_calls_in_sequence_are_never_late() -> None:
    deltas: list[Delta] = [Open(), A, Piece("a", "{}"), Close("a"), B, Piece("b", "{}"), Close("b")]
    assert taken(*deltas) == [[delta] for delta in deltas]


def test_a_second_call_waits_for_the_first_and_leaves_as_a_whole_block() -> None:
    out = taken(A, B, Piece("b", "{"), Piece("a", "{}"), Piece("b", "}"), Close("b"), Close("a"))
    assert out == [[A], [], [], [Piece("a", "{}")], [], [], [Close("a"), B, Piece("b", "{}"), Close("b")]]


def test_a_call_whose_turn_comes_while_it_streams_goes_on_at_once() -> None:
    out = taken(A, B, Piece("b", "{"), Close("a"), Piece("b", "}"), Close("b"))
    assert out == [[A], [], [], [Close("a"), B, Piece("b", "{")], [Piece("b", "}")], [Close("b")]]


def test_the_first_that_waits_is_next_even_if_a_later_one_is_whole() -> None:
    out = taken(A, B, C, Piece("c", "{}"), Close("c"), Close("a"), Piece("b", "{}"), Close("b"))
    assert out[5:] == [[Close("a"), B], [Piece("b", "{}")], [Close("b"), C, Piece("c", "{}"), Close("c")]]


def test_a_key_may_be_used_again_while_the_first_of_it_still_waits() -> None:
    again = Block("b", Form.TEXT)
    out = taken(A, B, Piece("b", "1"), Close("b"), again, Piece("b", "2"), Close("b"), Close("a"))
    assert out[-1] == [Close("a"), B, Piece("b", "1"), Close("b"), again, Piece("b", "2"), Close("b")]


def test_sources_keep_their_place_among_the_pieces() -> None:
    text, cite = Block("t", Form.TEXT), Cite("t", "https://a.example")
    said: list[Delta] = [Piece("t", "1"), Piece("t", "2"), cite, Piece("t", "3"), Close("t")]
    out = taken(A, text, *said, Close("a"))
    assert out[-1] == [Close("a"), text, Piece("t", "12"), cite, Piece("t", "3"), Close("t")]


def test_signs_of_life_and_counts_pass_by_what_waits() -> None:
    assert taken(A, B, Ping(), Usage(1))[2:] == [[Ping()], [Usage(1)]]


def test_a_failure_drops_what_waits() -> None:
    serial = Serial()
    for delta in (A, B, Piece("b", "{}")):
        serial.take(delta)
    assert serial.take(Failure("x")) == [Failure("x")]
    assert not serial.waits
    assert serial.take(Close("a")) == [Close("a")]


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages_serial, "MOST", 10)
    serial = Serial()
    for key in range(3):  # what has left no longer counts
        for delta in (tool("a"), tool(key), Piece(key, "123456789"), Close(key), Close("a")):
            serial.take(delta)
    serial.take(A)
    serial.take(B)
    serial.take(Piece("b", "1234567890"))
    with pytest.raises(Malformed, match="waits"):
        serial.take(Piece("b", "1"))


@settings(max_examples=EXAMPLES)
@given(runs())
def test_any_interleaving_leaves_in_a_row_and_complete(deltas: list[Delta]) -> None:
    serial, grammar = Serial(), Grammar(serial=True)
    out = [said for delta in deltas for said in serial.take(delta)]
    for said in out:
        assert grammar.admit(said.kind, getattr(said, "key", None), said)
    assert of_deltas(out) == of_deltas(deltas)


@settings(max_examples=EXAMPLES)
@given(runs())
def test_the_open_block_is_never_late(deltas: list[Delta]) -> None:
    """Whatever comes for the oldest block that is not closed leaves in the same turn."""
    serial = Serial()
    oldest: list[object] = []
    for delta in deltas:
        if isinstance(delta, Block):
            oldest.append(delta.key)
        out = serial.take(delta)
        if isinstance(delta, Piece | Cite | Close) and delta.key == oldest[0]:
            assert out[0] is delta
        if isinstance(delta, Close):
            oldest.remove(delta.key)


@settings(max_examples=EXAMPLES)
@given(runs())
def test_what_is_in_a_row_already_passes_as_it_is(deltas: list[Delta]) -> None:
    serial = Serial()
    row = [said for delta in deltas for said in serial.take(delta)]
    again = Serial()
    assert list(itertools.chain.from_iterable(again.take(delta) for delta in row)) == row
