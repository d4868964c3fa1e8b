"""A message that is done and announced once more: transformers' server says nothing new with it."""

from __future__ import annotations

from typing import Any

from tests.dialects.responses_kit import call, ending, item_event, message, numbered, opening, run, spoken
from tests.dialects.responses_legal import outcome, texts

CALL = call("fc_1", "call_1", "f", "{}")
CALLED = [
    item_event("added", 1, {**CALL, "arguments": "", "status": "in_progress"}),
    {
        "type": "response.function_call_arguments.done",
        "item_id": "fc_1",
        "output_index": 1,
        "arguments": "{}",
    },
    item_event("done", 1, CALL),
]


def again(text: str) -> list[dict[str, Any]]:
    """The first message with the index of the call, and no delta."""
    return [event for event in spoken(text, index=1) if not event["type"].endswith(".delta")]


def test_what_is_said_again_without_deltas_is_left_out() -> None:
    last = ending(message("msg_1", "A"), CALL)
    found = run(numbered(opening(), *spoken("A"), *CALLED, *again("A"), last))
    assert found.checker.repairs["responses-twice"] == 1
    assert outcome(found.out) == "completed"
    assert texts(found.out)["response.output_text.delta"] == ["A"]
    assert [item["type"] for item in found.out[-1].payload["response"]["output"]] == [
        "message",
        "function_call",
    ]


def test_another_text_under_the_same_id_is_another_message() -> None:
    """Gateways repeat ids; what is new must not be lost."""
    for rest in (spoken("B", index=1), again("B")):
        last = ending(message("msg_1", "A"), message("msg_1", "B"))
        found = run(numbered(opening(), *spoken("A"), *rest, last))
        assert "responses-twice" not in found.checker.repairs
        assert outcome(found.out) == "completed"
        done = [payload["text"] for event, payload in found.out if event == "response.output_text.done"]
        assert done == ["A", "B"]


def test_a_repetition_that_does_not_end_is_passed_on_at_the_end() -> None:
    last = ending(message("msg_1", "A"), message("msg_1", ""))
    found = run(numbered(opening(), *spoken("A"), *again("A")[:2], last))
    assert outcome(found.out) == "completed"
    assert [event for event, _ in found.out].count("response.output_item.added") == 2


def test_another_item_ends_the_doubt() -> None:
    last = ending(message("msg_1", "A"), CALL)
    found = run(numbered(opening(), *spoken("A"), *again("A")[:1], *CALLED, last))
    assert outcome(found.out) == "completed"
    assert [event for event, _ in found.out].count("response.output_item.added") == 3


def test_with_the_rule_off_everything_passes() -> None:
    given = numbered(opening(), *spoken("A"), *CALLED, *again("A"), ending(message("msg_1", "A"), CALL))
    found = run(given, off=frozenset({"responses-twice"}))
    assert [event for event, _ in found.out].count("response.output_item.added") == 3
