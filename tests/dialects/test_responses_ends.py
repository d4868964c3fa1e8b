"""How a Responses stream goes on and ends: numbers, signs of life, limits, failures, whole documents."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from relay.dialects.checker import Malformed, Truncated
from relay.dialects.deltas import Failure
from relay.dialects.frame import Frame
from relay.dialects.responses import Responses
from tests.dialects.drive import CONTEXT, Event, seen
from tests.dialects.responses_kit import (
    call,
    delta,
    ending,
    item_event,
    message,
    numbered,
    opening,
    payloads,
    response,
    run,
    spoken,
)
from tests.dialects.responses_legal import outcome, texts

ARGUMENTS = "function_call_arguments"
CALL = call("fc_1", "call_1", "get_weather", '{"city":"Paris"}')


# --- order, numbers, life -------------------------------------------------------------------------


def test_numbers_may_begin_anywhere_and_have_gaps() -> None:
    given = numbered(opening(), *spoken("Hi"), ending(message("msg_1", "Hi")))
    for number, (_, payload) in zip((7, 8, 9, 20, 21, 22, 30, 31, 32), given, strict=False):
        payload["sequence_number"] = number
    assert run(given).touched == 0


def test_a_sign_of_life_takes_a_number() -> None:
    checker, out = Responses(CONTEXT), []
    assert checker.keep_alive() is None
    for event, payload in numbered(opening(), *spoken("a", "b", "c"), ending(message("msg_1", "abc"))):
        answer = checker.check(Frame(event, payload))
        out += [Event(event, payload)] if answer is None else seen(answer)
        alive = checker.keep_alive()
        assert (alive is None) == checker.done
        out += [] if alive is None else seen([alive])
    assert outcome(out) == "completed"
    assert [payload["sequence_number"] for _, payload in out] == list(range(len(out)))
    assert out[1].payload == {"type": "keepalive", "sequence_number": 1}
    assert run(out).touched == 0


def test_a_second_answer_in_the_same_body_fails_the_stream() -> None:
    second = {"type": "response.created", "response": response(id="resp_2")}
    assert isinstance(run(numbered(opening(), *spoken("Hi"), second)).error, Malformed)
    found = run(numbered(opening(), second, *spoken("Hi"), ending(message("msg_1", "Hi"))))
    assert found.checker.repairs == {"responses-created-twice": 1}


def test_the_sentinel_ends_only_what_is_complete() -> None:
    given = numbered(opening(), *spoken("Hi"))
    found = run([*given, Event(None, None)])
    assert outcome(found.out) == "completed"
    assert found.checker.announced
    assert "usage-missing" in found.checker.flags
    found = run([*given[:-1], Event(None, None)])
    assert isinstance(found.error, Truncated)
    assert not found.checker.announced


def test_no_end_is_supplied_without_an_answer() -> None:
    reasoning = {"id": "rs_1", "type": "reasoning", "summary": []}
    thought = [item_event("added", 0, reasoning), item_event("done", 0, reasoning)]
    assert isinstance(run(numbered(opening(), *thought)).error, Truncated)
    cut = spoken("Hi")
    cut[-1]["item"]["status"] = "incomplete"
    assert isinstance(run(numbered(opening(), *cut)).error, Truncated)
    off = frozenset({"responses-completed-missing"})
    assert isinstance(run(numbered(opening(), *spoken("Hi")), off=off).error, Truncated)
    assert run(numbered(opening(), *spoken("Hi"))).error is None


def test_a_response_without_usage_is_flagged() -> None:
    usage = {
        "input_tokens": 1,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 1,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 2,
    }
    given = numbered(opening(), *spoken("Hi"), ending(message("msg_1", "Hi"), usage=usage))
    assert run(given).checker.flags == set()
    given = numbered(opening(), *spoken("Hi"), ending(message("msg_1", "Hi")))
    assert run(given).checker.flags == {"usage-missing"}


def test_at_the_limit_a_cut_call_stays_open_and_what_relay_announced_is_closed() -> None:
    cut = call("fc_1", "call_1", "get_weather", '{"ci', "incomplete")
    terminal = ending(message("msg_1", "Hel"), cut)
    terminal["type"] = "response.incomplete"
    given = numbered(
        opening(),
        delta("output_text", "msg_1", 0, "Hel", content_index=0),
        item_event("added", 1, {**cut, "arguments": "", "status": "in_progress"}),
        delta(ARGUMENTS, "fc_1", 1, '{"ci'),
        terminal,
    )
    found = run(given)
    assert outcome(found.out) == "incomplete"
    done = payloads(found, "response.output_item.done")
    assert [payload["item"] for payload in done] == [message("msg_1", "Hel", status="incomplete")]
    assert found.out[-1].payload["response"]["output"] == [message("msg_1", "Hel"), cut]


def test_a_cut_call_known_only_at_the_limit_is_not_run() -> None:
    terminal = ending(call("fc_1", "call_1", "get_weather", '{"ci', "incomplete"))
    terminal["type"] = "response.incomplete"
    found = run(numbered(opening(), terminal))
    assert found.touched == 0
    terminal["response"]["output"].append(CALL | {"id": "fc_2", "call_id": "call_2"})
    found = run(numbered(opening(), terminal))
    assert [payload["item"]["id"] for payload in payloads(found, "response.output_item.done")] == ["fc_2"]
    assert outcome(found.out) == "incomplete"


def test_every_switched_off_rule_leaves_its_frame_alone() -> None:
    given = numbered(opening(), *spoken("Hi"), ending(message("msg_1", "Hi")))
    for position, (_, payload) in enumerate(given):
        payload["sequence_number"] = 0
        if position == 3:
            payload["item_id"] = "other"
    off = frozenset({"responses-sequence", "responses-item-id"})
    assert run(given, off=off).touched == 0
    assert run(given, off=off - {"responses-item-id"}).checker.repairs == {"responses-item-id": 1}


# --- failures -----------------------------------------------------------------------------------------


def hybrid() -> dict[str, Any]:
    error = {"type": "server_error", "code": "server_error", "message": "boom", "param": None}
    return {"type": "error", "code": "server_error", "message": "boom", "param": None, "error": error}


def test_a_hybrid_error_gets_the_response_failed_that_does_not_come() -> None:
    given = numbered(opening(), *spoken("Hi"), hybrid())
    found = run(given)
    assert found.touched == 0
    assert [event.event for event in found.supplied] == ["response.failed"]
    assert outcome(found.out) == "failed"
    found = run([*given, Event(None, None)])
    assert outcome(found.out) == "failed"
    checker = Responses(CONTEXT)
    for event, payload in given:
        checker.check(Frame(event, payload))
    last = seen(checker.fail(Failure("no frame for 60 s")))
    assert [(event, payload["response"]["error"]["message"]) for event, payload in last] == [
        ("response.failed", "boom")
    ]


def test_an_error_of_any_form_ends_the_stream() -> None:
    forms: list[tuple[str | None, dict[str, Any]]] = [
        (None, {"error": {"message": "boom", "type": "server_error", "code": 500}}),
        ("error", {"code": 500, "details": "boom"}),
        (None, {"detail": "boom"}),
        (None, {"object": "error", "message": "boom", "code": 500}),
        ("error", {"type": "error", "error": {"type": "overloaded_error", "message": "boom"}}),
        (None, {"type": "server_error", "error": {"message": "boom"}}),
        ("error", {"type": "error", "message": "boom", "code": None}),
    ]
    for event, payload in forms:
        found = run([*numbered(opening(), *spoken("Hi")), Event(event, payload), Event(None, None)])
        assert outcome(found.out) == "failed", payload
        assert found.checker.failure is not None
        assert found.checker.failure.message == "boom"
        assert [name for name, _ in found.out[-2:]] == ["error", "response.failed"]
        assert run(found.out).touched == 0


def test_a_failure_before_anything_is_hybrid_too() -> None:
    checker = Responses(CONTEXT)
    out = seen(checker.fail(Failure("the upstream is gone", 502)))
    assert outcome(out) == "failed"
    assert out[1].payload["response"]["id"] == "resp_t1"
    assert not checker.started


# --- documents ------------------------------------------------------------------------------------------


def document(**members: Any) -> dict[str, Any]:
    return response(status="completed", **members)


def test_a_document_of_every_kind_of_item_becomes_a_stream() -> None:
    cited = {"type": "url_citation", "url": "https://example.com"}
    answer = message("msg_1", "Hello")
    answer["content"][0]["annotations"] = [cited]
    answer["content"].append({"type": "refusal", "refusal": "No."})
    thought = {
        "id": "rs_1",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "Hm."}],
        "content": [{"type": "reasoning_text", "text": "Hmm."}],
        "encrypted_content": "gAAA",
    }
    search = {"id": "ws_1", "type": "web_search_call", "status": "completed"}
    given = document(
        output=[thought, search, answer, CALL], usage={"prompt_tokens": 3, "completion_tokens": 4}
    )
    made = seen(Responses.stream_of(copy.deepcopy(given), CONTEXT))
    assert outcome(made) == "completed"
    assert {kind.split(".")[1]: pieces for kind, pieces in texts(made).items()} == {
        "reasoning_summary_text": ["Hm."],
        "reasoning_text": ["Hmm."],
        "output_text": ["Hello"],
        "refusal": ["No."],
        "function_call_arguments": ['{"city":"Paris"}'],
    }
    assert made[-1].payload["response"]["output"] == given["output"]
    assert made[-1].payload["response"]["usage"]["input_tokens"] == 3
    done = [payload["item"] for event, payload in made if event == "response.output_item.done"]
    assert done == given["output"]
    events = [payload for event, payload in made if event == "response.output_text.annotation.added"]
    assert [payload["annotation"] for payload in events] == [cited]
    assert run(made).touched == 0


def test_a_document_that_did_not_complete_says_so() -> None:
    cut = document(output=[message("msg_1", "Hel", status="incomplete")])
    cut |= {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    assert outcome(seen(Responses.stream_of(cut, CONTEXT))) == "incomplete"
    failed = document() | {"status": "failed", "error": {"code": "server_error", "message": "boom"}}
    made = seen(Responses.stream_of(failed, CONTEXT))
    assert outcome(made) == "failed"
    assert made[0].payload["message"] == "boom"
    for other in ({"status": "in_progress"}, {"status": "cancelled"}):
        with pytest.raises(Malformed, match="not ended"):
            Responses.stream_of(document() | other, CONTEXT)
    for stranger in ({"object": "chat.completion", "choices": []}, {"type": "message"}, {}):
        with pytest.raises(Malformed):
            Responses.stream_of(stranger, CONTEXT)
