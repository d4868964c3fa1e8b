"""Ids of tool calls that a server uses again: clients pair by them alone, and Anthropic's API refuses them.

llama.cpp has been seen with one id for all calls (hermes-agent 70724), others begin each turn with `call_0`
(Switchyard 502: Claude Code then calls the same tool for ever). Other ids are nobody's business.
"""

from __future__ import annotations

import json

import pytest

from tests.asked import asked
from tests.told import Json
from tests.translated import NAMES, told, translate, translation


def call(number: int, ident: str = "call_0") -> Json:
    arguments = json.dumps({"number": number})
    return {"id": ident, "type": "function", "function": {"name": "f", "arguments": arguments}}


def result(number: int, ident: str = "call_0") -> Json:
    return {"role": "tool", "tool_call_id": ident, "content": f"r{number}"}


HISTORY: Json = {
    "model": "m",
    "messages": [
        {"role": "user", "content": "hi"},
        *(
            message
            for number in range(3)
            for message in ({"role": "assistant", "tool_calls": [call(number)]}, result(number))
        ),
        {"role": "assistant", "tool_calls": [call(3, "a"), call(4, "b")]},
        result(4, "b"),
        result(3, "a"),
        {"role": "user", "content": "more"},
    ],
}
"""Three turns with one id, and two calls that have ids of their own."""


@pytest.mark.parametrize("upstream", ["messages", "responses"])
def test_calls_of_several_turns_are_told_apart(upstream: str) -> None:
    steps = asked(upstream, json.loads(translation("chat", upstream, HISTORY).body)).steps
    calls = {step[2]: step[4]["number"] for step in steps if step[:2] == ("assistant", "call")}
    results = {step[1]: step[2] for step in steps if step[0] == "result"}
    assert len(calls) == 5
    assert (calls["a"], calls["b"]) == (3, 4)
    assert results == {ident: f"r{number}" for ident, number in calls.items()}


def chunks(*calls: Json) -> bytes:
    """A chat server that makes these calls."""
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    deltas = [
        ({"role": "assistant", "tool_calls": [{"index": at, **one}]}, None) for at, one in enumerate(calls)
    ]
    payloads = [
        {**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
        for delta, finish in [*deltas, ({}, "tool_calls")]
    ]
    return b"".join(b"data: %b\n\n" % json.dumps(one).encode() for one in payloads) + b"data: [DONE]\n\n"


@pytest.mark.parametrize("client", ["messages", "responses"])
def test_calls_of_one_answer_are_told_apart(client: str) -> None:
    calls = told[client](translate(client, "chat", chunks(call(0), call(1))).events).calls
    assert [arguments["number"] for _, _, arguments in calls] == [0, 1]
    assert len({ident for ident, _, _ in calls}) == 2


@pytest.mark.parametrize("client", ["messages", "responses"])
def test_a_call_has_no_id_that_the_conversation_has_already(client: str) -> None:
    request = json.loads(translation("chat", client, {**HISTORY, "stream": True}).body)
    before = {step[2] for step in asked(client, request).steps if step[:2] == ("assistant", "call")}
    calls = told[client](translate(client, "chat", chunks(call(9)), request).events).calls
    assert len(calls) == 1
    assert calls[0][0] not in before


@pytest.mark.parametrize("client", NAMES[1:])
def test_an_id_that_is_unique_stays_as_it_is(client: str) -> None:
    calls = told[client](
        translate(client, "chat", chunks(call(0, "functions.f:0"), call(1, "x y"))).events
    ).calls
    assert [ident for ident, _, _ in calls] == ["functions.f:0", "x y"]
