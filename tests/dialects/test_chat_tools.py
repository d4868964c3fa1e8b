"""Tool calls of chat streams at their edges: whose a fragment is, and what a header needs."""

from __future__ import annotations

from typing import Any

import pytest

from relay.dialects.chat import Chat
from relay.dialects.checker import Malformed
from relay.dialects.frame import Frame
from tests.dialects.chat_frames import (
    CALLED,
    DONE,
    ROLE,
    STOP,
    call,
    chunk,
    deltas,
    entries,
    piece,
    tools,
    whole,
    without,
)
from tests.dialects.chat_reading import run, verdict
from tests.dialects.drive import CONTEXT, Event


def test_interleaved_calls_under_one_index_are_told_apart_by_their_ids() -> None:
    outcome = whole(
        tools(call(0, "a", "f")),
        tools(call(0, "b", "g")),
        tools(piece("1", id="a")),
        tools(piece("2", id="b")),
        tools(piece("3")),
    )
    assert [(entry["index"], entry["function"]["arguments"]) for entry in entries(outcome)] == [
        (0, ""),
        (1, ""),
        (0, "1"),
        (1, "2"),
        (1, "3"),
    ]
    assert outcome.checker.tool_ids == ["a", "b"]


def test_calls_without_ids_under_one_index_are_told_apart_by_their_names() -> None:
    outcome = whole(tools(call(0, None, "f", "1")), tools(call(0, None, "g", "2")))
    assert [entry["index"] for entry in entries(outcome)] == [0, 1]
    assert outcome.checker.tool_ids == ["call_t1_0_0", "call_t1_0_1"]


def test_an_id_that_changes_without_a_new_name_is_the_same_call() -> None:
    outcome = whole(tools(call(0, "a", "f")), tools(piece("1", id="b")), tools(piece("2", id="c")))
    assert entries(outcome)[1:] == [piece("1"), piece("2")]


def test_ids_that_always_change_do_not_pile_up() -> None:
    for index in ({"index": 0}, {}):
        checker = Chat(CONTEXT)
        checker.check(Frame(*tools(call(ident="first"))))
        for number in range(100):
            fragment = {**index, "id": f"call-{number}", "function": {"arguments": "1"}}
            checker.check(Frame(*tools(fragment)))
            assert fragment == piece("1")
        assert checker.tool_ids == ["first"]
        assert "call-1" not in str([vars_of(state.tools) for state in checker._choices.values()])


def vars_of(tool_calls: Any) -> list[Any]:
    return [getattr(tool_calls, slot) for slot in tool_calls.__slots__]


def test_an_id_that_comes_after_one_was_made_is_taken_out() -> None:
    outcome = whole(tools(call(0, None, "f")), tools(piece("1", id="late")))
    assert entries(outcome) == [call(0, "call_t1_0_0", "f"), piece("1")]


def test_indexes_count_from_zero_in_the_order_of_the_headers() -> None:
    outcome = whole(
        tools(call(5, "a"), call(2, "b", "g")), tools(piece("1", 5), piece("2", 2)), tools(call(-1, "c", "h"))
    )
    assert [entry["index"] for entry in entries(outcome)] == [0, 1, 0, 1, 2]


def test_each_choice_counts_its_own_calls() -> None:
    frames = [
        chunk({"role": "assistant"}, index=1),
        tools(call(1, "a")),
        chunk({"tool_calls": [call(1, None)]}, index=1),
        chunk({}, "tool_calls", index=1),
    ]
    outcome = whole(*frames)
    assert [entry["index"] for entry in entries(outcome)] == [0, 0]
    assert outcome.checker.tool_ids == ["a", "call_t1_1_0"]


def test_gemini_calls_without_index_and_id_are_calls_of_their_own() -> None:
    outcome = whole(
        tools(without(call(ident="", arguments="1"), "index")), tools(without(call(ident=""), "index"))
    )
    assert [entry["index"] for entry in entries(outcome)] == [0, 1]
    assert len(set(outcome.checker.tool_ids)) == 2


def test_fragments_without_index_belong_to_the_last_call() -> None:
    outcome = whole(tools(without(call(), "index")), tools(without(piece("1"), "index")))
    assert entries(outcome) == [call(), piece("1")]


def test_a_header_waits_for_its_name_and_takes_the_arguments_along() -> None:
    outcome = whole(
        tools({"index": 0, "id": "a", "type": "function", "function": None}),
        chunk({"content": "meanwhile"}),
        tools(piece("1")),
        tools(call(1, "b", "g", "x")),
        tools({"index": 0, "function": {"name": "f", "arguments": "2"}}),
        tools(piece("3")),
    )
    # The client learns of the other call first, so that one is its first.
    assert entries(outcome) == [call(0, "b", "g", "x"), call(1, "a", "f", "12"), piece("3", 1)]
    assert outcome.checker.deltas == 4
    assert len(outcome.out) == 7


def test_a_held_header_leaves_the_rest_of_its_frame() -> None:
    held = {"index": 0, "id": "a", "type": "function", "function": None}
    outcome = whole(
        chunk({"content": "x", "tool_calls": [held, call(1, "b", "g")]}),
        tools(piece("", 0, function={"name": "f"})),
    )
    assert deltas(outcome)[1] == {"content": "x", "tool_calls": [call(0, "b", "g")]}


@pytest.mark.parametrize("last", [CALLED, DONE])
def test_a_name_that_never_comes_fails_the_stream(last: Event) -> None:
    outcome = run([ROLE, tools({"index": 0, "id": "a", "function": None}), last])
    assert outcome.end == "Malformed: a tool call without a name"


def test_a_body_that_ends_before_the_name_is_cut() -> None:
    outcome = run([ROLE, STOP, tools({"index": 0, "id": "a", "function": None})])
    assert outcome.end == "Truncated: the name of a tool call"


def test_a_piece_of_no_call_fails_the_stream() -> None:
    outcome = run([ROLE, tools(piece("1")), CALLED, DONE])
    assert outcome.end == "Malformed: a piece of a tool call that was never announced"


@pytest.mark.parametrize("entry", [None, {}, {"index": 0}, {"index": 3, "type": "function"}, piece("")])
def test_an_entry_that_says_nothing_is_taken_out(entry: Any) -> None:
    outcome = whole(chunk({"content": "x", "tool_calls": [entry]}), tools(entry))
    assert deltas(outcome)[1:] == [{"content": "x"}, {}]
    assert outcome.repairs == {"chat-tool-empty": 2}


@pytest.mark.parametrize("value", ["", {}, 0, False])
def test_tool_calls_of_another_type_that_say_nothing_are_taken_out(value: Any) -> None:
    assert deltas(whole(chunk({"content": "x", "tool_calls": value})))[1] == {"content": "x"}


@pytest.mark.parametrize("value", [None, []])
def test_empty_tool_calls_beside_content_are_left_alone(value: Any) -> None:
    assert whole(chunk({"content": "x", "tool_calls": value})).untouched  # vLLM 0.21, LiteLLM 29286


@pytest.mark.parametrize(
    ("arguments", "text"),
    [({"a": [1, "é"]}, '{"a":[1,"é"]}'), ({}, "{}"), ([], "[]"), (1, "1"), (False, "false")],
)
def test_arguments_of_another_type_become_their_text(arguments: Any, text: str) -> None:
    assert entries(whole(tools(call(arguments=arguments)))) == [call(arguments=text)]


def test_arguments_nested_without_end_fail_the_stream() -> None:
    nested: Any = []
    for _ in range(5000):
        nested = [nested]
    checker = Chat(CONTEXT)
    with pytest.raises(Malformed):
        checker.check(Frame(*tools(call(arguments=nested))))


def test_a_function_that_is_null_later_becomes_an_empty_one() -> None:
    outcome = whole(tools(call()), tools({"index": 0, "function": None, "extra_content": {"s": 1}}))
    assert entries(outcome)[1] == {"index": 0, "function": {}, "extra_content": {"s": 1}}


def test_an_empty_id_and_name_and_a_repeated_type_are_left_alone() -> None:
    later = {"index": 0, "id": "", "type": "function", "function": {"name": "", "arguments": "1"}}
    assert whole(tools(call()), tools(later)).untouched  # LM Studio, Alibaba


def test_null_id_and_name_beside_a_type_are_left_alone() -> None:
    later = {"index": 0, "id": None, "type": "function", "function": {"name": None, "arguments": "1"}}
    assert whole(tools(call()), tools(later)).untouched  # Venice


def test_a_number_as_id_becomes_its_text() -> None:
    assert entries(whole(tools(call(ident=7)), tools(piece("1", id=7)))) == [call(ident="7"), piece("1")]


def test_a_call_after_the_finish_reason_is_mended_all_the_same() -> None:
    outcome = run([ROLE, STOP, tools(call(1)), tools(piece("1", 1)), DONE])
    assert verdict(outcome.out) == "complete"
    assert entries(outcome) == [call(), piece("1")]
