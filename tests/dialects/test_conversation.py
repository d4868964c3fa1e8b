"""Tool calls and their results, gathered where every dialect wants them (translation.md 13)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.dialects.conversation import NO_RESULT, settle
from relay.dialects.request import BadRequest, Call, Part, Request, Result, Text, Turn


def call(ident: str, path: str = "") -> Call:
    return Call(ident, "f", "{}", path=path or f"call {ident}")


def result(ident: str, text: str = "ok") -> Result:
    return Result(ident, [Text(text)], path=f"result {ident}")


def user(*parts: Part) -> Turn:
    return Turn("user", list(parts))


def assistant(*parts: Part) -> Turn:
    return Turn("assistant", list(parts))


def settled(*turns: Turn, strict: bool = False) -> Request:
    request = Request("chat", turns=list(turns))
    settle(request, strict=strict)
    return request


def shape(request: Request) -> list[tuple[str, list[str]]]:
    """Roles, and each part as its kind with its id or text."""
    return [
        (
            turn.role,
            [getattr(p, "text", None) or f"{type(p).__name__} {getattr(p, 'id', '')}" for p in turn.parts],
        )
        for turn in request.turns
    ]


def test_a_conversation_in_order_stays() -> None:
    request = settled(
        user(Text("a")), assistant(call("1"), call("2")), user(result("1"), result("2"), Text("b"))
    )
    assert shape(request) == [
        ("user", ["a"]),
        ("assistant", ["Call 1", "Call 2"]),
        ("user", ["Result 1", "Result 2", "b"]),
    ]


def test_results_come_back_from_wherever_they_stand() -> None:
    request = settled(
        assistant(call("1"), call("2")),
        user(Text("between")),
        user(result("2")),
        assistant(Text("well")),
        user(result("1"), Text("late")),
    )
    assert shape(request) == [
        ("assistant", ["Call 1", "Call 2"]),
        ("user", ["Result 2", "Result 1", "between"]),
        ("assistant", ["well"]),
        ("user", ["late"]),
    ]


def test_results_stand_before_what_follows_that_is_no_user() -> None:
    request = settled(assistant(call("1")), Turn("system", [Text("s")]), user(result("1")))
    assert shape(request) == [("assistant", ["Call 1"]), ("user", ["Result 1"]), ("system", ["s"])]


def test_a_result_belongs_to_the_last_call_of_its_id() -> None:
    """Servers that number the calls of each answer from 0 repeat their ids."""
    request = settled(
        assistant(call("0")), user(result("0", "x")), assistant(call("0")), user(result("0", "y"))
    )
    texts = [part.parts[0].text for turn in request.turns for part in turn.parts if isinstance(part, Result)]
    assert texts == ["x", "y"]


@pytest.mark.parametrize("strict", [True, False])
def test_a_result_without_its_call_is_refused(strict: bool) -> None:
    with pytest.raises(BadRequest, match=r"^result 9: no tool call found for the tool result '9'$"):
        settled(assistant(call("1")), user(result("1"), result("9")), strict=strict)


def test_a_call_after_its_result_is_no_call_before_it() -> None:
    with pytest.raises(BadRequest):
        settled(user(result("1")), assistant(call("1")))


def test_a_second_result_is_refused() -> None:
    with pytest.raises(BadRequest, match="a second tool result"):
        settled(assistant(call("1")), user(result("1")), user(result("1")))


def test_a_call_that_nobody_answered_is_refused_when_strict() -> None:
    with pytest.raises(BadRequest, match=r"^call 2: "):
        settled(assistant(call("1"), call("2")), user(result("1")), strict=True)


def test_a_call_that_nobody_answered_gets_a_result_that_says_so() -> None:
    request = settled(assistant(call("1"), call("2")), user(result("2"), Text("on")))
    assert shape(request)[1] == ("user", ["Result 2", "Result 1", "on"])
    assert request.dropped == ["call 1"]
    (missing,) = [p for p in request.turns[1].parts if isinstance(p, Result) and p.id == "1"]
    assert missing.parts == [Text(NO_RESULT)]


def test_calls_that_end_the_conversation_wait_for_nothing() -> None:
    request = settled(user(Text("a")), assistant(call("1")), strict=True)
    assert shape(request) == [("user", ["a"]), ("assistant", ["Call 1"])]
    assert request.dropped == []


@st.composite
def conversations(draw: st.DrawFn) -> list[Turn]:
    """Rounds of parallel calls whose results come back in any order, with other turns among them."""
    turns: list[Turn] = []
    for number in range(draw(st.integers(0, 4))):
        idents = [f"{number}.{at}" for at in range(draw(st.integers(0, 3)))]
        turns.append(assistant(Text(f"t{number}"), *map(call, idents)))
        for ident in draw(st.permutations(idents)):
            if draw(st.booleans()):
                turns.append(draw(st.sampled_from([user(Text("x")), Turn("system", [Text("s")])])))
            turns.append(user(result(ident)))
        turns.append(user(Text(f"u{number}")))
    return turns


@given(conversations())
def test_after_calls_the_next_turn_holds_all_their_results(turns: list[Turn]) -> None:
    texts = [p.text for turn in turns for p in turn.parts if isinstance(p, Text)]
    request = settled(*turns, strict=True)
    for turn, after in zip(request.turns, request.turns[1:], strict=False):
        calls = {part.id for part in turn.parts if isinstance(part, Call)}
        results = [part.id for part in after.parts if isinstance(part, Result)]
        assert set(results) == calls
        assert len(results) == len(calls)
        assert not any(isinstance(part, Result) for part in after.parts[len(results) :])
    assert [p.text for turn in request.turns for p in turn.parts if isinstance(p, Text)] == texts


def test_every_call_has_an_id_of_its_own() -> None:
    request = settled(
        assistant(call("0")),
        user(result("0", "a")),
        assistant(call("0"), call("0")),
        user(result("0", "b"), result("0", "c")),
    )
    calls = [part.id for turn in request.turns for part in turn.parts if isinstance(part, Call)]
    results = [(p.id, p.parts[0].text) for turn in request.turns for p in turn.parts if isinstance(p, Result)]
    assert calls == ["0", "0_2", "0_3"]
    assert results == [("0", "a"), ("0_2", "b"), ("0_3", "c")]
    assert set(request.call_ids) == {"0", "0_2", "0_3"}


def test_ten_thousand_calls_of_one_id_are_no_ten_million_steps() -> None:
    number = 10_000
    request = settled(
        assistant(*(call("0") for _ in range(number))), user(*(result("0", str(at)) for at in range(number)))
    )
    assert len(request.call_ids) == number
    assert request.turns[1].parts[-1] == Result(f"0_{number}", [Text(str(number - 1))], path="result 0")
