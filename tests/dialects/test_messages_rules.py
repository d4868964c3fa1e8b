"""Every repair of the Messages checker by an example: what came, what left, and again unchanged."""

from __future__ import annotations

import pytest

from relay.dialects.frame import Frame
from relay.dialects.messages import Messages
from relay.dialects.messages_rules import RULES
from tests.dialects.drive import CONTEXT, checked, seen
from tests.dialects.messages_examples import CASES, HEAD, HELLO, Stream, whole
from tests.dialects.messages_kit import END, PING, delta, finish, message_start, named, run, start, stop, text
from tests.dialects.messages_legal import verdict

NAMES = [f"{number}-{case[0].removeprefix('messages-')}" for number, case in enumerate(CASES)]
every_case = pytest.mark.parametrize(("rule", "before", "after"), CASES, ids=NAMES)


def test_every_rule_has_an_example() -> None:
    assert {rule for rule, _, _ in CASES} == set(RULES)


@every_case
def test_what_came_becomes_what_is_legal(rule: str, before: Stream, after: Stream) -> None:
    assert verdict(before) not in ("complete", "failed") or rule == "messages-error-form"
    ran = run(before)
    assert ran.out == after
    assert ran.how == "ok"
    assert rule in ran.checker.repairs
    assert verdict(after) in ("complete", "failed")


@every_case
def test_what_left_passes_again_unchanged(rule: str, before: Stream, after: Stream) -> None:
    again = run(run(before).out)
    assert again.out == after
    assert again.checker.repairs == {}


@every_case
def test_a_rule_that_is_off_is_not_applied(rule: str, before: Stream, after: Stream) -> None:
    assert rule not in run(before, off=frozenset({rule})).checker.repairs
    everything = run(before, off=frozenset(RULES))
    assert everything.checker.repairs == {}
    if everything.how == "ok":
        assert everything.out == before


@pytest.mark.parametrize("index", [None, "x", 1.0, True, [], {}, -1])
def test_an_index_that_is_none_is_the_next(index: object) -> None:
    before = whole(
        start("redacted"), stop(), start("text", index), text("a", index), text("b", index), stop(index)
    )
    after = whole(start("redacted"), stop(), start("text", 1), text("a", 1), text("b", 1), stop(1))
    assert run(before).out == after


MOVED = {
    "messages-block-empty",
    "messages-delta-misfit",
    "messages-delta-late",
    "messages-block-start-missing",
}


@every_case
def test_numbers_that_relay_has_moved_are_no_second_repair(rule: str, before: Stream, after: Stream) -> None:
    if rule in MOVED:
        assert "messages-block-index" not in run(before).checker.repairs


@pytest.mark.parametrize("index", [True, 1.0])
def test_an_index_that_only_equals_the_number_is_none(index: object) -> None:
    """It equals 1 in Python; as JSON it is true or 1.0, and no index for a client in any language."""
    first = [start("redacted"), stop(), start("text", 1), text("a", 1), text("b", 1)]
    stream = whole(*first, text("c", index), stop(1))
    out = run(stream).out
    assert out == whole(*first, text("c", 1), stop(1))
    assert [type(payload["index"]) for _, payload in out if "index" in payload] == [int] * 7


def test_a_block_begins_at_once_after_one_that_had_no_start() -> None:
    """An upstream that forgets starts forgets stops: nothing waits for it."""
    checker = Messages(CONTEXT)
    checked(checker, named(HEAD, delta("thinking", "a", -1)), end=False)
    answer = checker.check(Frame("content_block_start", start("tool", 0)))
    assert answer is not None
    assert seen(answer) == named(stop(), start("tool", 1))


def test_a_cited_text_without_text_is_not_spurious() -> None:
    stream = whole(start("text", citations=[{"x": 1}]), stop())
    assert run(stream).out == stream


def test_the_message_that_came_after_ours_is_the_only_one() -> None:
    late = [*HELLO, *named(HEAD), *named(start("text", 1), text("b", 1), message_start(id="msg_2"))]
    assert "second message" in run(late).how


def test_a_message_start_that_tells_its_end_too_early_is_not_believed() -> None:
    eager = message_start(content=[{"type": "text", "text": "x"}], stop_reason="end_turn")
    assert run(named(eager)).how == "ok"
    assert verdict(run(named(eager)).out) == "complete"
    assert run(named(eager, start("text", 1), text("a", 1), stop(1))).how == "Truncated(message_stop)"
    assert run(named(message_start(stop_reason="end_turn"))).how == "Truncated(message_stop)"


def test_a_late_text_whose_stop_has_left_begins_a_block() -> None:
    stream = whole(start("text"), text("a"), stop(), PING, text("b"), start("redacted", 1), stop(1))
    ran = run(stream)
    added = (start("text", 1), text("b", 1), stop(1), start("redacted", 2), stop(2))
    assert ran.out == whole(start("text"), text("a"), stop(), PING, *added)
    assert ran.checker.repairs == {"messages-block-start-missing": 1, "messages-block-stop-missing": 1}


def test_an_empty_delta_decides_nothing() -> None:
    once = whole(start("tool", input={"a": 1}), delta("input_json", ""), stop(), reason="tool_use")
    assert run(once).out == once
    thinking = (start("thinking"), delta("thinking", "a"), stop())
    first = whole(start("text"), text(""), delta("thinking", "a"), stop())
    assert run(first).out == whole(*thinking)


def test_an_empty_delta_before_message_start_begins_no_message() -> None:
    stream = named(text(""), HEAD, finish(), END)
    assert run(stream).out == stream[1:]
    assert run(stream).checker.repairs == {"messages-delta-stray": 1}


def test_a_text_that_came_with_its_start_counts() -> None:
    ran = run(whole(start("text", text="a"), delta("input_json", ""), stop()))
    assert ran.out == whole(start("text", text="a"), stop())
    assert ran.checker.flags == set()
    assert ran.checker.deltas == 1
