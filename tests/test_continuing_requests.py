"""What is asked of the server that continues, and what cannot be asked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from relay.continuing import LIMIT, Transcript, joined
from relay.dialects.profiles import BY_NAME
from relay.errors import (
    ShuttingDown,
    UpstreamClosed,
    UpstreamError,
    UpstreamMalformed,
    UpstreamTimeout,
    UpstreamTruncated,
)
from relay.splicing import taken
from tests.continuing import ASKED, RESET, Relayed, Replica, frame
from tests.told import Json

PREFILL = [*ASKED["messages"], {"role": "assistant", "content": "So: "}]


def transcript(asked: Json | bytes = ASKED, *deltas: Json, profile: str = "vllm", **more: Any) -> Transcript:
    """An answer with these deltas, by default some text, none of which has finished."""
    made = Transcript(asked if isinstance(asked, bytes) else json.dumps(asked).encode(), BY_NAME[profile])
    for delta in deltas or ({"role": "assistant", "content": ""}, {"content": "One"}, {"content": " two"}):
        made.take({"id": "a", "choices": [{"index": 0, "delta": delta, "finish_reason": None}], **more})
    return made


def requested(asked: Json | bytes = ASKED, *deltas: Json, **more: Any) -> Json:
    made = transcript(asked, *deltas, **more)
    assert made.obstacle == ""
    document: Json = json.loads(made.request())
    return document


# --- the request --------------------------------------------------------------------------------


def test_the_answer_so_far_is_the_open_last_message() -> None:
    assert requested() == {
        **ASKED,
        "messages": [*ASKED["messages"], {"role": "assistant", "content": "One two"}],
        "continue_final_message": True,
        "add_generation_prompt": False,
        "return_prompt_text": True,
    }


def test_all_else_keeps_its_bytes() -> None:
    body = b'{ "seed":12345678901234567890123, "temperature" : 0.10,"x":"\\u00e9","messages":[{"role":"user",'
    body += b'"content":"a","n":98765432109876543210}],\n"stream":true}'
    made = transcript(body)
    assert made.obstacle == ""
    request = bytes(made.request())
    for kept in (
        b'"seed":12345678901234567890123',
        b'"temperature" : 0.10,"x":"\\u00e9"',
        b'\n"stream":true}',
    ):
        assert kept in request
    assert json.loads(request)["messages"][0]["n"] == 98765432109876543210
    assert made.request() == request, "it can be asked twice"


def test_what_the_client_had_begun_itself_goes_on() -> None:
    asked = ASKED | {"messages": PREFILL, "continue_final_message": True, "add_generation_prompt": False}
    assert requested(asked)["messages"] == [
        *ASKED["messages"],
        {"role": "assistant", "content": "So: One two"},
    ]


def test_sglang_is_asked_for_no_more_than_it_knows() -> None:
    assert "return_prompt_text" not in requested(profile="sglang")


def test_thoughts_go_with_the_text_where_they_can() -> None:
    deltas = {"reasoning": "Hm"}, {"reasoning": "m."}, {"content": "One"}
    message = requested(ASKED, *deltas)["messages"][-1]
    assert message == {"role": "assistant", "content": "One", "reasoning": "Hmm."}
    assert "thoughts" in transcript(ASKED, *deltas, profile="sglang").obstacle


def test_both_names_of_one_thought_are_one_thought() -> None:
    made = transcript(ASKED, {"reasoning": "Hm", "reasoning_content": "Hm"}, {"content": "One"})
    assert json.loads(made.request())["messages"][-1]["reasoning"] == "Hm"


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_limits_are_what_is_left_of_them(name: str) -> None:
    asked = ASKED | {name: 10, "min_tokens": 4}
    assert (requested(asked)[name], requested(asked)["min_tokens"]) == (8, 2)
    usage = {"prompt_tokens": 3, "completion_tokens": 7, "total_tokens": 10}
    counted = requested(asked, usage=usage)
    assert (counted[name], counted["min_tokens"]) == (3, 0)
    assert requested(ASKED | {name: None})[name] is None


def test_no_request_when_the_limit_is_used_up() -> None:
    assert "limit" in transcript(ASKED | {"max_tokens": 2}).obstacle
    assert transcript(ASKED | {"max_tokens": 3}).obstacle == ""


@pytest.mark.parametrize("client", ["messages", "responses"])
def test_a_translated_request_is_continued_as_the_upstream_got_it(client: str) -> None:
    relayed = Relayed(Replica("One two three").answer, client=client)
    relayed.run(Replica("One two three").answer(relayed.request)[:4])
    first, second = relayed.request, relayed.asked[0]
    said = second.pop("messages")
    assert said == [*first.pop("messages"), {"role": "assistant", "content": "One two t"}]
    limit = first.pop("max_tokens", None)
    assert second.pop("max_tokens", None) == (limit and limit - 3)
    assert first.items() <= second.items()


# --- what stands against it -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"n": 2}, "several choices"),
        ({"response_format": {"type": "json_object"}}, "a grammar"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "a grammar"),
        ({"structured_outputs": {"json": {}}}, "a grammar"),
        ({"guided_regex": "a+"}, "a grammar"),
        ({"ebnf": "root ::= x"}, "a grammar"),
        ({"tool_choice": "required"}, "a tool call"),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "a tool call"),
        ({"logprobs": True}, "probabilities"),
        ({"prompt_logprobs": 1}, "probabilities"),
        ({"return_token_ids": True}, "tokens"),
        ({"echo": True}, "more than text"),
        ({"use_beam_search": True}, "several tries"),
        ({"messages": []}, "no messages"),
        ({"messages": None}, "no messages"),
        ({"messages": ["x"]}, "no messages"),
        ({"messages": PREFILL}, "ends with an answer"),
        ({"add_generation_prompt": False}, "no answer"),
        ({"continue_final_message": True}, "ends with an answer"),
        (
            {"messages": [{"role": "assistant", "content": []}], "continue_final_message": True},
            "more than text",
        ),
    ],
)
def test_requests_that_no_prompt_takes_up_again(asked: Json, why: str) -> None:
    assert why in transcript(ASKED | asked).obstacle


@pytest.mark.parametrize(
    "asked",
    [
        {"n": 1},
        {"response_format": {"type": "text"}},
        {"tool_choice": "auto", "tools": [{}]},
        {"tool_choice": "none"},
        {"logprobs": False, "top_logprobs": None},
        {"seed": 1, "stop": ["x"]},
    ],
)
def test_requests_that_are_no_obstacle(asked: Json) -> None:
    assert transcript(ASKED | asked).obstacle == ""


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"[" * 100_000, b'{"messages":{}}', b"\xff"])
def test_bodies_that_are_no_requests(body: bytes) -> None:
    assert "no messages" in transcript(body).obstacle


@pytest.mark.parametrize("profile", ["generic", "openai", "deepseek"])
def test_servers_that_cannot(profile: str) -> None:
    assert "cannot continue" in transcript(profile=profile).obstacle


@pytest.mark.parametrize(
    ("deltas", "why"),
    [
        ([{"role": "assistant", "content": ""}], "had not said"),
        ([{"content": " \n"}], "had not said"),
        ([{"reasoning": "Hm"}], "had not said"),
        ([{"content": "One"}, {"tool_calls": [{"index": 0}]}], "tool call"),
        ([{"content": "One"}, {"function_call": {"name": "f"}}], "tool call"),
        ([{"content": "One"}, {"refusal": "No"}], "more than text"),
        ([{"content": "One"}, {"reasoning": "Hm"}], "between texts"),
        ([{"content": ["One"]}], "no text"),
        ([{"content": "One\ufffd"}], "inside a character"),
        ([{"content": "Two\ud83d"}], "inside a character"),
    ],
)
def test_answers_that_cannot_be_taken_up(deltas: list[Json], why: str) -> None:
    assert why in transcript(ASKED, *deltas).obstacle


def test_an_empty_list_of_tool_calls_is_none() -> None:
    assert transcript(ASKED, {"content": "One", "tool_calls": []}).obstacle == ""


def test_several_choices_and_an_end() -> None:
    made = transcript()
    made.take({"choices": [{"index": 1, "delta": {"content": "x"}}]})
    assert "several" in made.obstacle
    made = transcript()
    made.take({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    assert "ended" in made.obstacle


def test_halves_of_a_character_are_joined() -> None:
    made = transcript(ASKED, {"content": "a\ud83d"}, {"content": "\ude00b"})
    assert made.content == "a😀b"
    assert joined(bytearray("é日😀".encode())) == "é日😀"


def test_a_long_answer_is_not_kept() -> None:
    made = transcript(ASKED, {"content": "x" * (LIMIT + 1)})
    assert "longer" in made.obstacle
    assert not made.text


# --- which ends are cuts --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "is_cut"),
    [
        (RESET, True),
        (UpstreamTruncated("closed"), True),
        (UpstreamTimeout("silent"), True),
        (UpstreamClosed("closed"), True),
        (UpstreamMalformed("no JSON"), False),
        (UpstreamError("broken framing"), False),
        (ShuttingDown("draining"), False),
    ],
)
def test_which_errors_cut(error: Any, is_cut: bool) -> None:
    relayed = Relayed().run(Replica("One two").answer(ASKED)[:3], cut=error)
    assert relayed.error is error
    fresh = Relayed()
    for piece in Replica("One two").answer(ASKED)[:3]:
        fresh._read(piece)
    assert (fresh.stream.obstacle(error) == "") is is_cut


def test_nothing_is_continued_before_anything_has_left() -> None:
    fresh = Relayed()
    assert fresh.stream.obstacle(RESET)
    fresh._read(frame(None)[:5])
    assert fresh.stream.obstacle(RESET)


def test_an_end_that_was_announced_is_no_cut() -> None:
    for cut in (-3, -2, -1):
        other = Replica("One two")
        relayed = Relayed(other.answer).run(Replica("One two").answer(ASKED)[:cut] or [], cut=RESET)
        if cut > -3:
            assert not other.asked
            assert relayed.stream.end_code == "OK"
        assert relayed.verdict == "complete"


# --- the prompt -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "prompt", "missing"),
    [
        ("One", "<a>One", ""),
        ("One \n", "<a>One \n", ""),
        ("One \n", "<a>One", " \n"),
        ("One \n", "<a>One ", "\n"),
        ("One", "<a>One ", None),
        ("One \n", "<a>One\n", None),
        ("One", "<a>One<end>", None),
        ("One", "<a>", None),
        ("\n One", "<a>One", ""),
        ("x" * 500 + " ", "x" * 200, " "),
        ("x" * 500, "x" * 199, None),
    ],
)
def test_what_a_template_took(text: str, prompt: str, missing: str | None) -> None:
    assert taken(text, prompt) == missing
