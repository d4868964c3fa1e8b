"""Each rule of the chat checker at its edges: what it mends, what it leaves, what it must refuse."""

from __future__ import annotations

import dataclasses
import gc
import weakref
from typing import Any

import pytest

from relay.dialects.chat import Chat
from relay.dialects.deltas import Usage
from relay.dialects.frame import Frame
from tests.dialects.chat_frames import DONE, ROLE, STOP, call, chunk, deltas, piece, tools, whole, without
from tests.dialects.chat_reading import run, verdict
from tests.dialects.drive import CONTEXT, Event

# --- why it ends ------------------------------------------------------------------------------


@pytest.mark.parametrize(("named", "finish"), [(False, "tool_calls"), (True, "stop"), (None, "stop")])
def test_stop_after_a_call_is_mended_only_when_no_tool_was_named(named: bool | None, finish: str) -> None:
    context = dataclasses.replace(CONTEXT, named_tool=named)
    outcome = run([ROLE, tools(call()), STOP, DONE], context)
    assert outcome.out[-2].payload["choices"][0]["finish_reason"] == finish


def test_stop_without_a_call_stays() -> None:
    context = dataclasses.replace(CONTEXT, named_tool=False)
    assert run([ROLE, chunk({"content": "x", "tool_calls": []}), STOP, DONE], context).untouched


def test_a_supplied_finish_chunk_says_which_kind_of_answer_it_was() -> None:
    other = chunk({"role": "assistant", "content": "x"}, index=1)
    outcome = run([ROLE, tools(call()), other, DONE])
    first, second, done = outcome.out[-3:]
    assert done == DONE
    assert [frame.payload["choices"] for frame in (first, second)] == [
        [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}],
        [{"index": 1, "delta": {}, "finish_reason": "stop"}],
    ]
    assert first.payload["id"] == "c-1"
    assert outcome.repairs == {"chat-finish-missing": 2}


@pytest.mark.parametrize("reason", ["error", "abort", "eos_token", "length", "anything"])
def test_other_finish_reasons_are_the_servers_own(reason: str) -> None:
    assert run([ROLE, chunk({}, reason), DONE]).untouched


@pytest.mark.parametrize("reason", [True, 1, {"type": "stop"}, []])
def test_a_finish_reason_that_is_no_text_announces_nothing(reason: Any) -> None:
    outcome = run([ROLE, chunk({}, reason)])
    assert outcome.end == "Truncated: a finish reason"
    assert outcome.repairs == {"chat-finish-type": 1}


def test_done_before_any_choice_fails_the_stream() -> None:
    assert run([DONE]).end == "Malformed: the stream held no chunk"
    empty = Event(None, {"object": "chat.completion.chunk", "choices": []})
    assert run([empty, DONE]).end == "Malformed: the stream held no choice"
    assert run([chunk({}), DONE]).end == "Malformed: [DONE] came before a choice had begun"


# --- roles, choices, content ------------------------------------------------------------------


def test_each_choice_gets_its_role() -> None:
    outcome = run([ROLE, chunk({"content": "b"}, index=1), STOP, chunk({}, "stop", index=1), DONE])
    assert outcome.repairs == {"chat-role-missing": 1}
    assert verdict(outcome.out) == "complete"


def test_an_empty_delta_is_no_beginning() -> None:
    outcome = run([chunk({}), ROLE, STOP, DONE])
    assert outcome.untouched


def test_a_choice_that_only_ends_gets_its_role() -> None:
    outcome = run([STOP, DONE])
    assert deltas(outcome) == [{"role": "assistant"}]


@pytest.mark.parametrize("role", ["", "model", 1, [], None])
def test_another_role_at_the_beginning_becomes_assistant(role: Any) -> None:
    outcome = run([chunk({"role": role, "content": "x"}), STOP, DONE])
    assert deltas(outcome)[0] == {"role": "assistant", "content": "x"}


def test_a_null_role_later_is_left_alone() -> None:
    assert run([ROLE, chunk({"role": None, "content": "x"}), STOP, DONE]).untouched  # SGLang


@pytest.mark.parametrize("first", [0, 1, 2, -1, "0"])
def test_choices_are_numbered_in_the_order_in_which_they_appear(first: Any) -> None:
    one = [chunk({"role": "assistant", "content": "a"}, index=first), chunk({}, "stop", index=first)]
    two = [chunk({"role": "assistant", "content": "b"}, index=7), chunk({}, "stop", index=7)]
    outcome = run([one[0], two[0], one[1], two[1], DONE])
    assert [payload["choices"][0]["index"] for _, payload in outcome.out if payload] == [0, 1, 0, 1]
    assert outcome.repairs == {"chat-choice-index": 2 if first == 0 else 4}


def test_choices_that_come_in_order_are_left_alone() -> None:
    both = chunk({"role": "assistant", "content": "a"})
    both.payload["choices"].append({"index": 1, "delta": {"role": "assistant"}, "finish_reason": None})
    outcome = run([both, STOP, chunk({}, "length", index=1), DONE])
    assert outcome.untouched


def test_a_missing_index_among_several_choices_fails_the_stream() -> None:
    lost = chunk({"content": "x"})
    del lost.payload["choices"][0]["index"]
    outcome = run([ROLE, chunk({"role": "assistant"}, index=1), lost])
    assert outcome.end == "Malformed: one of several choices has no index"


@pytest.mark.parametrize(
    ("content", "delta"),
    [
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], {"content": "ab"}),
        (["a", "b"], {"content": "ab"}),
        ({"type": "text", "text": "a"}, {"content": "a"}),
        ([], {"content": ""}),
        (
            [
                {"type": "thinking", "thinking": [{"type": "text", "text": "t"}]},
                {"type": "text", "text": "a"},
            ],
            {"content": "a", "reasoning_content": "t"},
        ),
        ([{"type": "thinking", "thinking": "t"}], {"reasoning_content": "t"}),
        ([{"type": "thinking", "thinking": [], "closed": True}], {"reasoning_content": ""}),
        (5, {"content": "5"}),
        (True, {"content": "true"}),
    ],
)
def test_content_of_another_form_becomes_text(content: Any, delta: dict[str, Any]) -> None:
    assert deltas(whole(chunk({"content": content})))[1] == delta


def test_a_part_of_another_kind_keeps_its_list() -> None:
    content = [{"type": "text", "text": "a"}, {"type": "reference", "reference_ids": [1]}]
    assert whole(chunk({"content": content})).untouched


@pytest.mark.parametrize("choices", [5, {"a": 1}, "x", [5], [[]]])
def test_choices_of_another_type_fail_the_stream(choices: Any) -> None:
    outcome = run([ROLE, Event(None, {"object": "chat.completion.chunk", "choices": choices})])
    assert outcome.end.startswith("Malformed: ")


@pytest.mark.parametrize(
    "delta",
    [
        5,
        "text",
        ["x"],
        {"tool_calls": 5},
        {"tool_calls": {"index": 0}},
        {"tool_calls": [5]},
        {"tool_calls": [{"index": 0, "function": "f"}]},
    ],
)
def test_what_could_be_content_and_cannot_be_read_fails_the_stream(delta: Any) -> None:
    assert run([ROLE, chunk(delta), STOP, DONE]).end.startswith("Malformed: ")


def test_a_frame_that_is_no_chunk_gets_an_empty_list_of_choices() -> None:
    outcome = run([ROLE, Event(None, {"status": "working"}), STOP, DONE])
    assert outcome.out[1].payload == {"status": "working", "choices": []}


def test_details_without_an_index_are_left_to_those_who_want_them() -> None:
    details = [{"type": "reasoning.text", "text": "t"}]
    stream = [ROLE, chunk({"content": "", "reasoning": "t", "reasoning_details": details}), STOP, DONE]
    assert run(stream).untouched
    outcome = run(stream, off=frozenset())
    assert outcome.out[1].payload["choices"][0]["delta"]["reasoning_details"] == []
    indexed = [{**details[0], "index": 0}]
    stream[1] = chunk({"content": "", "reasoning": "t", "reasoning_details": indexed})
    assert run(stream, off=frozenset()).untouched


# --- whole messages ---------------------------------------------------------------------------


def message(content: str | None, finish: str | None = "stop", **more: Any) -> Event:
    said = {"role": "assistant", "content": content, **more}
    choice = {"index": 0, "message": said, "finish_reason": finish}
    return Event(
        None, {"id": "c-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    )


def test_a_whole_answer_in_one_frame_becomes_a_chunk() -> None:
    outcome = run([message("Hi", tool_calls=[without(call(), "index")]), DONE])
    assert outcome.repairs == {"chat-message": 1, "chat-tool-index-missing": 1}
    assert verdict(outcome.out) == "complete"
    assert outcome.out[0].payload["object"] == "chat.completion.chunk"
    assert deltas(outcome) == [{"role": "assistant", "content": "Hi", "tool_calls": [call()]}]


def test_a_message_adds_only_what_was_not_streamed() -> None:
    streamed = [ROLE, chunk({"content": "Hi"})]
    outcome = run([*streamed, message("Hi", "tool_calls", tool_calls=[call()]), DONE])
    assert deltas(outcome)[2] == {"role": "assistant", "tool_calls": [call()]}
    assert deltas(run([*streamed, STOP, message("Hi"), DONE]))[3] == {}


def test_a_message_beside_a_delta_is_left_alone() -> None:
    frame = chunk({"content": "Hi"})
    frame.payload["choices"][0]["message"] = {"role": "assistant", "content": "Hi"}
    frame.payload["object"] = "chat.completion"
    assert run([ROLE, frame, STOP, DONE]).untouched  # Perplexity


# --- errors, pings, what comes late -----------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "payload", "error"),
    [
        (None, {"error": "boom"}, {"message": "boom", "type": "server_error", "param": None, "code": None}),
        (
            None,
            {"error": {"code": 429, "type": "requests"}},
            {"message": "the upstream reported an error", "type": "requests", "param": None, "code": 429},
        ),
        ("error", {"message": "x"}, {"message": "x", "type": "server_error", "param": None, "code": None}),
    ],
)
def test_an_error_in_another_form_becomes_ours(
    event: str | None, payload: Any, error: dict[str, Any]
) -> None:
    outcome = run([ROLE, Event(event, payload), DONE])
    assert outcome.out == [ROLE, Event(None, {"error": error})]
    assert outcome.checker.failure is not None
    assert outcome.checker.failure.message == error["message"]


@pytest.mark.parametrize("error", [5, True, ["x"], [{"message": "x"}]])
def test_any_truth_under_error_is_one(error: Any) -> None:
    outcome = run([ROLE, Event(None, {"error": error})])
    assert verdict(outcome.out) == "failed"
    assert outcome.checker.failure is not None


def test_the_sentinel_may_follow_a_legal_error_once() -> None:
    error = Event(None, {"error": {"message": "x", "type": None, "param": None, "code": "500"}})
    assert run([ROLE, error, DONE]).untouched
    assert run([ROLE, error, DONE, DONE]).out == [ROLE, error, DONE]
    assert run([ROLE, error, ROLE]).out == [ROLE, error]


def test_an_error_first_is_no_start() -> None:
    outcome = run([Event(None, {"error": {"message": "x"}})])
    assert outcome.checker.failure is not None
    assert not outcome.checker.started


@pytest.mark.parametrize("nothing", [None, {}, "", 0, []])
def test_an_error_member_that_says_nothing_is_taken_out(nothing: Any) -> None:
    outcome = whole(chunk({"content": "x"}, error=nothing), chunk({"content": "y"}, error=nothing))
    assert outcome.repairs == {"chat-error-empty": 2}
    assert outcome.checker.failure is None


def test_an_error_in_a_chunk_with_text_stays_with_its_text() -> None:
    assert run([ROLE, chunk({"content": "x"}, "error", error={"message": "boom"})]).untouched


def test_a_ping_is_no_start() -> None:
    checker = Chat(CONTEXT)
    for ping in (Frame("ping", {"type": "ping"}), Frame(None, {"type": "ping"}), Frame("ping", {})):
        answer = checker.check(ping)
        assert answer == [ping]
        assert ping.silenced
    assert not checker.started
    assert checker.keep_alive() is None


def test_the_first_chunk_is_the_start() -> None:
    checker = Chat(CONTEXT)
    checker.check(Frame(None, {"choices": [], "object": "", "prompt_filter_results": []}))
    assert checker.started


def test_an_event_line_does_no_harm() -> None:
    assert run([Event("message", ROLE.payload), Event("x", STOP.payload), DONE]).untouched


# --- two answers in one body ------------------------------------------------------------------


def test_a_second_answer_behind_the_first_fails_the_stream() -> None:
    again = chunk({"role": "assistant", "content": ""}, ident="c-2")
    outcome = run([ROLE, STOP, again, chunk({"content": "x"}, ident="c-2"), DONE])
    assert outcome.end == "Malformed: a second answer in the same stream"
    whole_again = chunk({"role": "assistant", "content": "x"}, ident="c-2")
    assert run([ROLE, STOP, whole_again]).end == outcome.end


def test_what_could_be_one_answer_is_taken_for_one() -> None:
    empty = chunk({"role": "assistant", "content": ""}, ident="c-2")
    assert run([ROLE, STOP, empty, DONE]).untouched
    late = chunk({"content": "x"}, ident="c-2")
    assert run([ROLE, STOP, late, DONE]).untouched  # no role: content after the finish reason
    ids = [chunk({"role": "assistant", "content": "x"}, ident=f"c-{n}") for n in range(3)]
    assert run([*ids[:2], STOP, ids[2], DONE]).untouched  # ids that always change
    other = [
        chunk({"role": "assistant", "content": "x"}, finish, index=1, ident="c-2")
        for finish in (None, "stop")
    ]
    assert run([ROLE, STOP, *other, DONE]).untouched  # another choice


# --- usage, flags, counts ---------------------------------------------------------------------

TOTALS = {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15}


def usage_chunk(**more: Any) -> Event:
    frame = chunk({}, usage={**TOTALS, **more})
    frame.payload["choices"] = []
    return frame


def test_usage_wherever_it_is_counts_and_the_last_value_wins() -> None:
    details = {
        "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
    running = chunk({"content": "x"}, usage={"prompt_tokens": 11, "completion_tokens": 1})
    outcome = run([ROLE, running, running, STOP, usage_chunk(**details), DONE])
    assert outcome.untouched
    assert outcome.checker.usage == Usage(input=11, output=4, cached=3, cache_write=2, reasoning=1)


def test_the_names_of_deepseek_and_groq() -> None:
    deepseek = run([ROLE, chunk({}, "stop", usage={**TOTALS, "prompt_cache_hit_tokens": 6}), DONE])
    assert deepseek.checker.usage == Usage(input=11, output=4, cached=6)
    groq = run([ROLE, chunk({}, "stop", x_groq={"usage": TOTALS}), DONE])
    assert groq.checker.usage == Usage(input=11, output=4)


@pytest.mark.parametrize("usage", [5, "x", [], {"prompt_tokens": "x"}, {"prompt_tokens_details": 1}])
def test_usage_of_another_type_says_nothing(usage: Any) -> None:
    outcome = run([ROLE, chunk({"content": "x"}, usage=usage), STOP, DONE])
    assert outcome.untouched
    assert outcome.checker.usage in (None, Usage())


def test_the_usage_chunk_that_only_relay_wanted_is_taken_out() -> None:
    context = dataclasses.replace(CONTEXT, usage_asked=False, usage_added=True)
    bare = usage_chunk()
    del bare.payload["choices"]
    for extra in (usage_chunk(), bare):
        outcome = run([ROLE, STOP, extra, DONE], context)
        assert outcome.out == [ROLE, STOP, DONE]
        assert outcome.repairs == {}
        assert outcome.checker.usage == Usage(input=11, output=4)
    on_finish = chunk({}, "stop", usage=TOTALS)
    assert run([ROLE, on_finish, DONE], context).untouched


def test_usage_that_was_asked_for_and_did_not_come_is_flagged() -> None:
    context = dataclasses.replace(CONTEXT, usage_asked=True)
    assert run([ROLE, STOP, DONE], context).checker.flags == {"usage-missing"}
    assert run([ROLE, STOP], context).checker.flags == {"usage-missing"}
    assert run([ROLE], context).checker.flags == set()
    assert run([ROLE, STOP, usage_chunk(), DONE], context).checker.flags == set()
    assert run([ROLE, STOP, DONE]).checker.flags == set()


def test_an_id_that_changes_is_flagged_but_not_an_empty_first_one() -> None:
    changing = [ROLE, chunk({"content": "x"}, ident="c-2"), STOP, DONE]
    assert run(changing).checker.flags == {"id-changed"}
    azure = Event(None, {"id": "", "object": "", "choices": [], "prompt_filter_results": []})
    other = Event(None, {**azure.payload, "id": "c-9"})
    assert (
        run([azure, other, chunk({"role": "assistant"}, ident=""), ROLE, STOP, DONE]).checker.flags == set()
    )


def test_deltas_are_pieces_of_content() -> None:
    both = chunk({"content": "x", "reasoning": "r", "reasoning_content": "r", "refusal": ""})
    outcome = whole(
        both,
        both,
        chunk({"refusal": "n"}),
        tools(call()),
        tools(piece("1"), piece("2")),
        chunk({"function_call": {"name": "f", "arguments": ""}}),
        chunk({"function_call": {"arguments": "1"}}),
        chunk({"audio": {"id": "a", "data": "AA=="}}),
    )
    assert outcome.untouched
    assert outcome.checker.deltas == 2 + 2 + 1 + 2 + 1 + 1


# --- the contract -----------------------------------------------------------------------------


def test_a_rule_that_is_off_leaves_the_frame_alone() -> None:
    late = [ROLE, STOP, DONE, ROLE]
    assert run(late, off=frozenset({"chat-after-end"})).untouched
    cut = run([ROLE, STOP], off=frozenset({"chat-done-missing"}))
    assert cut.out == [ROLE, STOP]
    assert run([ROLE, DONE], off=frozenset({"chat-finish-missing"})).untouched


def test_every_rule_has_one_line_and_its_dialect_in_its_name() -> None:
    for name, line in Chat.rules.items():
        assert name.startswith("chat-")
        assert line
        assert "\n" not in line
    assert Chat.off_by_default <= Chat.rules.keys()


def test_a_checker_is_gone_with_its_last_reference() -> None:
    checker = Chat(CONTEXT)
    for event, payload in [ROLE, tools(call()), tools(piece("1")), chunk({"content": 1})]:
        checker.check(Frame(event, payload))
    gone = weakref.ref(checker)
    gc.disable()
    try:
        del checker
        assert gone() is None
    finally:
        gc.enable()
