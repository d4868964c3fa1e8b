"""Responses rules that no recorded or handwritten stream shows, one by one."""

from __future__ import annotations

import pytest

from relay.dialects.checker import Malformed, Truncated
from relay.dialects.frame import Frame
from relay.dialects.responses import Responses
from relay.dialects.responses_texts import HELD_FRAMES, HELD_TEXT
from tests.dialects.drive import CONTEXT
from tests.dialects.responses_kit import (
    Run,
    call,
    delta,
    ending,
    item_event,
    message,
    numbered,
    opening,
    payloads,
    run,
    spoken,
)
from tests.dialects.responses_legal import outcome, texts

ARGUMENTS = "function_call_arguments"
CALL = call("fc_1", "call_1", "get_weather", '{"city":"Paris"}')


def types(found: Run) -> list[str]:
    return [str(event.event).removeprefix("response.") for event in found.out]


# --- calls whose name is not known --------------------------------------------------------------


def test_a_call_waits_for_its_name_and_others_do_not() -> None:
    given = numbered(
        opening(),
        delta(ARGUMENTS, "fc_1", 0, '{"city":'),
        *spoken("Hello", index=1),
        delta(ARGUMENTS, "fc_1", 0, '"Paris"}'),
        item_event("done", 0, CALL),
        ending(CALL, message("msg_1", "Hello")),
    )
    found = run(given)
    assert outcome(found.out) == "completed"
    assert types(found)[-5:] == [
        "output_item.added", f"{ARGUMENTS}.delta", f"{ARGUMENTS}.delta", "output_item.done", "completed",
    ]  # fmt: skip
    added = payloads(found, "response.output_item.added")
    assert [payload["item"]["type"] for payload in added] == ["message", "function_call"]
    assert added[1]["item"] == {**CALL, "arguments": "", "status": "in_progress"}
    assert [item["type"] for item in found.out[-1].payload["response"]["output"]] == [
        "message",
        "function_call",
    ]
    assert found.checker.tool_ids == ["call_1"]


def test_a_call_announced_late_or_without_a_name_is_released() -> None:
    late = numbered(
        opening(),
        delta(ARGUMENTS, "fc_1", 0, '{"city":"Paris"}'),
        item_event("added", 0, {**CALL, "arguments": "", "status": "in_progress"}),
        item_event("done", 0, CALL),
        ending(CALL),
    )
    nameless = numbered(
        opening(),
        item_event("added", 0, {**CALL, "arguments": "", "name": None}),
        delta(ARGUMENTS, "fc_1", 0, '{"city":"Paris"}'),
        item_event("done", 0, CALL),
        ending(CALL),
    )
    only_listed = numbered(opening(), delta(ARGUMENTS, "fc_1", 0, '{"city":"Paris"}'), ending(CALL))
    for given in (late, nameless, only_listed):
        found = run(given)
        assert outcome(found.out) == "completed"
        assert texts(found.out) == {f"response.{ARGUMENTS}.delta": ['{"city":"Paris"}']}
        assert payloads(found, "response.output_item.added")[0]["item"]["name"] == "get_weather"
        assert run(found.out).touched == 0


def test_custom_calls_wait_too() -> None:
    item = {"type": "custom_tool_call", "id": "ct_1", "call_id": "call_1", "name": "sh", "input": "ls"}
    pieces = [delta("custom_tool_call_input", "ct_1", 0, text) for text in "ls"]
    found = run(numbered(opening(), *pieces, item_event("done", 0, item), ending(item)))
    assert outcome(found.out) == "completed"
    assert texts(found.out) == {"response.custom_tool_call_input.delta": ["l", "s"]}


def test_a_call_without_a_name_fails_the_stream() -> None:
    given = numbered(opening(), delta(ARGUMENTS, "fc_1", 0, "{}"), ending())
    assert isinstance(run(given).error, Malformed)
    given = numbered(opening(), item_event("done", 0, {**CALL, "name": ""}))
    assert isinstance(run(given).error, Malformed)
    given = numbered(opening(), delta(ARGUMENTS, "fc_1", 0, "{}"))
    assert isinstance(run(given).error, Truncated)


@pytest.mark.parametrize(("text", "enough"), [("", HELD_FRAMES), ("x" * (1 << 10), HELD_TEXT // (1 << 10))])
def test_what_is_held_is_bounded(text: str, enough: int) -> None:
    checker = Responses(CONTEXT)
    checker.check(Frame("response.created", {**opening(), "sequence_number": 0}))
    frame = {**delta(ARGUMENTS, "fc_1", 0, "{"), "sequence_number": 1}
    assert checker.check(Frame(f"response.{ARGUMENTS}.delta", frame)) == []
    frame["delta"] = text
    last = Frame(f"response.{ARGUMENTS}.delta", dict(frame))
    for _ in range(enough - 1):
        held = checker.check(Frame(f"response.{ARGUMENTS}.delta", dict(frame)))
        assert held == []
    with pytest.raises(Malformed, match="name"):
        checker.check(last)


# --- texts and items ------------------------------------------------------------------------------


def test_a_done_event_that_cuts_its_text_repeats_it() -> None:
    whole = spoken("Hel", "lo")
    whole[4]["text"] = ""
    whole[5]["part"]["text"] = "Hel"
    whole[6]["item"]["content"] = []
    found = run(numbered(opening(), *whole, ending(message("msg_1", "Hello"))))
    assert found.checker.repairs == {"responses-done-text": 3}
    assert outcome(found.out) == "completed"
    assert payloads(found, "response.output_item.done")[0]["item"] == message("msg_1", "Hello")


def test_a_done_event_may_say_more_than_was_streamed() -> None:
    given = numbered(
        opening(),
        item_event("added", 0, {**CALL, "arguments": ""}),
        {"type": f"response.{ARGUMENTS}.done", "item_id": "fc_1", "output_index": 0, "arguments": "{}"},
        item_event("done", 0, {**CALL, "arguments": "{}"}),
        ending({**CALL, "arguments": "{}"}),
    )
    assert run(given).touched == 0


def test_text_that_only_a_done_event_has_is_streamed_if_nothing_announced_it() -> None:
    done = {"type": "response.output_text.done", "item_id": "msg_1", "output_index": 0, "content_index": 0}
    found = run(numbered(opening(), {**done, "text": "Hello"}, ending(message("msg_1", "Hello"))))
    assert texts(found.out) == {"response.output_text.delta": ["Hello"]}
    assert outcome(found.out) == "completed"
    found = run(numbered(opening(), {**done, "text": ""}, *spoken("Hi"), ending(message("msg_1", "Hi"))))
    assert found.checker.repairs == {"responses-stray": 1}


def test_text_for_a_done_item_fails_the_stream() -> None:
    found = run(numbered(opening(), *spoken("Hi"), delta("output_text", "msg_1", 0, "!", content_index=0)))
    assert isinstance(found.error, Malformed)
    assert outcome(found.out) == "failed"


def test_null_is_no_text_and_a_number_is_lost_text() -> None:
    whole = spoken("Hi", "")
    whole[3]["delta"] = None
    found = run(numbered(opening(), *whole, ending(message("msg_1", "Hi"))))
    assert found.checker.repairs == {"responses-delta-null": 1}
    assert found.checker.deltas == 1
    whole[3]["delta"] = 7
    assert isinstance(run(numbered(opening(), *whole)).error, Malformed)


def test_two_items_of_one_id_become_two_ids() -> None:
    given = numbered(
        opening(), *spoken("A"), *spoken("B", index=1), ending(message("msg_1", "A"), message("msg_1", "B"))
    )
    found = run(given)
    assert outcome(found.out) == "completed"
    assert [payload["item"]["id"] for payload in payloads(found, "response.output_item.done")] == [
        "msg_1",
        "msg_t1_1",
    ]
    assert texts(found.out) == {"response.output_text.delta": ["A", "B"]}
    listed = found.out[-1].payload["response"]["output"]
    assert [item["content"][0]["text"] for item in listed] == ["A", "B"]


def test_an_item_announced_twice_is_announced_once() -> None:
    first, *rest = spoken("A")
    found = run(numbered(opening(), first, first, *rest, rest[-1], ending(message("msg_1", "A"))))
    assert found.checker.repairs == {"responses-twice": 1, "responses-stray": 1}
    assert outcome(found.out) == "completed"


def test_the_events_of_a_hosted_tool_move_with_their_item() -> None:
    search = {"id": "ws_1", "type": "web_search_call", "status": "completed"}
    given = numbered(
        opening(),
        item_event("added", 3, {**search, "status": "in_progress"}),
        {"type": "response.web_search_call.searching", "item_id": "ws_1", "output_index": 3},
        item_event("done", 3, search),
        ending(search),
    )
    found = run(given)
    assert payloads(found, "response.web_search_call.searching")[0]["output_index"] == 0
    assert found.checker.repairs == {"responses-output-index": 3}


def test_citations_outlive_a_lost_done_event() -> None:
    cited = {"type": "url_citation", "url": "https://example.com"}
    whole = spoken("Hi")
    annotation = {"item_id": "msg_1", "output_index": 0, "content_index": 0, "annotation_index": 0}
    added = {"type": "response.output_text.annotation.added", **annotation, "annotation": cited}
    found = run(numbered(opening(), *whole[:3], added, ending(message("msg_1", "Hi"))))
    assert payloads(found, "response.output_item.done")[0]["item"]["content"][0]["annotations"] == [cited]


def test_unknown_events_pass_unless_a_rule_is_switched_on() -> None:
    strange = {"type": "response.sparkle.added", "output_index": 0, "item_id": "msg_1", "x": 1}
    given = numbered(opening(), strange, *spoken("Hi"), ending(message("msg_1", "Hi")))
    assert run(given).touched == 0
    found = run(given, off=frozenset())
    assert found.checker.repairs == {"responses-unknown-event": 1}
    assert "sparkle.added" not in types(found)


def test_an_item_that_is_heard_of_when_it_is_done_is_announced_empty_whatever_it_holds() -> None:
    """A second relay would empty it otherwise (hypothesis found it)."""
    item = {"id": "rs_1", "type": "reasoning", "summary": [], "content": "x", "status": "completed"}
    first = run(numbered(opening(), item_event("done", 0, item)))
    assert payloads(first, "response.output_item.added")[0]["item"]["content"] == []
    again = run(first.out)
    assert (again.touched, again.out) == (0, first.out)
