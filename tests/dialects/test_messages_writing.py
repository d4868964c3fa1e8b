"""The neutral request as one for a Messages upstream, row by row of the mapping; and there and back."""

from __future__ import annotations

import base64
import copy
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from anthropic.types import MessageParam, ToolUnionParam
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from relay.dialects.messages_reading import read
from relay.dialects.messages_writing import write
from relay.dialects.request import (
    Audio,
    BadRequest,
    Call,
    Extra,
    File,
    Image,
    Output,
    Part,
    Profile,
    Reasoning,
    Refusal,
    Request,
    Result,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    Turn,
)
from tests.dialects.messages_telling import EXAMPLES, REQUESTS

GENERIC, BUDGETS = Profile(), Profile(thinking_budgets=True)
HI = Turn("user", [Text("Hi")])
F, G = Tool("f", "d", {"type": "object"}), Tool("g")


def asked(*turns: Turn, dialect: str = "chat", **changes: Any) -> Request:
    request = Request(dialect, "m", turns=copy.deepcopy(list(turns)) or [Turn("user", [Text("Hi")])])
    for name, value in changes.items():
        assert hasattr(request, name)
        setattr(request, name, value)
    return request


def written(
    *turns: Turn, profile: Profile = GENERIC, dropped: list[str] | None = None, **changes: Any
) -> dict[str, Any]:
    """The document; all that is left out must be named."""
    request = asked(*turns, **changes)
    document = write(request, profile)
    assert request.dropped == (dropped or [])
    json.dumps(document)
    return document


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def user(*content: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


def assistant(*content: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": list(content)}


# --- fields -------------------------------------------------------------------------------------


def test_5_1_the_least() -> None:
    assert written() == {"model": "m", "max_tokens": 16384, "messages": [user(text("Hi"))]}


ALL_THAT_IS_W = (
    *("logprobs", "top_logprobs", "logit_bias", "frequency_penalty", "presence_penalty", "seed"),
    *("verbosity", "prediction", "web_search_options", "moderation", "sparkle"),
)
FIELDS: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "max_tokens": ({"max_tokens": 7}, {"max_tokens": 7}, []),
    "stream": ({"stream": True, "usage_asked": True}, {"stream": True}, []),
    "temperature": ({"temperature": 0.5}, {"temperature": 0.5}, []),
    "temperature-clamped": ({"temperature": 1.5}, {"temperature": 1}, ["temperature"]),
    "top_p": ({"top_p": 0.5}, {"top_p": 0.5}, []),
    "top_p-beside-temperature": ({"top_p": 0.5, "temperature": 0}, {"temperature": 0}, ["top_p"]),
    "top_k": ({"top_k": 40}, {"top_k": 40}, []),
    "stop": ({"stop": ["a", "b"]}, {"stop_sequences": ["a", "b"]}, []),
    "stop-blank": ({"stop": ["a", "\n"]}, {"stop_sequences": ["a"]}, ["stop"]),
    "stop-only-blank": ({"stop": [" "]}, {}, ["stop"]),
    "response_format-json_schema": (
        {"output": Output({"type": "object"}, "n", True, "d", "response_format")},
        {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
        [],
    ),
    "response_format-json_object": ({"output": Output(path="response_format")}, {}, ["response_format"]),
    "user": ({"user": "u"}, {"metadata": {"user_id": "u"}}, []),
    "safety_identifier": (
        {"extras": {"safety_identifier": Extra("s", "safety_identifier")}},
        {"metadata": {"user_id": "s"}},
        [],
    ),
    "user-and-safety_identifier": (
        {"user": "u", "extras": {"safety_identifier": Extra("s", "safety_identifier")}},
        {"metadata": {"user_id": "u"}},
        [],
    ),
    "service_tier-auto": (
        {"extras": {"service_tier": Extra("auto", "service_tier")}},
        {"service_tier": "auto"},
        [],
    ),
    "service_tier-default": (
        {"extras": {"service_tier": Extra("default", "service_tier")}},
        {"service_tier": "standard_only"},
        [],
    ),
    "service_tier-other": ({"extras": {"service_tier": Extra("flex", "service_tier")}}, {}, ["service_tier"]),
    "silent": (
        {
            "extras": {
                name: Extra("x", name)
                for name in ("metadata", "store", "prompt_cache_key", "prompt_cache_retention")
            }
        },
        {},
        [],
    ),
    **{name: ({"extras": {name: Extra(1, name)}}, {}, [name]) for name in ALL_THAT_IS_W},
    "6.1-text.verbosity": ({"extras": {"verbosity": Extra("low", "text.verbosity")}}, {}, ["text.verbosity"]),
}


@pytest.mark.parametrize("row", FIELDS)
def test_5_1_fields(row: str) -> None:
    changes, expected, dropped = FIELDS[row]
    base = {"model": "m", "max_tokens": 16384, "messages": [user(text("Hi"))]}
    assert written(dropped=dropped, **changes) == base | expected


def test_5_1_top_k_by_profile() -> None:
    assert "top_k" not in written(profile=Profile(top_k=False), top_k=4, dropped=["top_k"])


# --- thinking -----------------------------------------------------------------------------------

ADAPTIVE = {"thinking": {"type": "adaptive"}}


@pytest.mark.parametrize(
    ("effort", "config"),
    [
        ("minimal", "low"),
        ("low", "low"),
        ("medium", "medium"),
        ("high", "high"),
        ("xhigh", "xhigh"),
        ("max", "max"),
    ],
)
def test_5_1_reasoning_effort(effort: str, config: str) -> None:
    said = written(thinking=Thinking(effort))
    assert (said["thinking"], said["output_config"]) == ({"type": "adaptive"}, {"effort": config})


@pytest.mark.parametrize("profile", [GENERIC, BUDGETS])
def test_5_1_reasoning_effort_none(profile: Profile) -> None:
    said = written(profile=profile, thinking=Thinking("none"), temperature=0.5)
    assert said["thinking"] == {"type": "disabled"}
    assert "output_config" not in said
    assert said["temperature"] == 0.5


@pytest.mark.parametrize(
    ("effort", "budget"),
    [("minimal", 1024), ("low", 2048), ("medium", 8192), ("high", 16384), ("xhigh", 32768), ("max", 32768)],
)
def test_5_1_reasoning_effort_of_models_with_budgets(effort: str, budget: int) -> None:
    said = written(profile=BUDGETS, thinking=Thinking(effort), max_tokens=1000)
    assert said["thinking"] == {"type": "enabled", "budget_tokens": budget}
    assert said["max_tokens"] == budget + 1000
    roomy = written(profile=BUDGETS, thinking=Thinking(effort), max_tokens=40_000)
    assert roomy["max_tokens"] == 40_000


def test_6_1_a_summary_alone_does_not_turn_thinking_on() -> None:
    assert "thinking" not in written(dialect="responses", thinking=Thinking(summary="auto"))


def test_6_1_format_and_effort_stand_side_by_side() -> None:
    said = written(thinking=Thinking("high"), output=Output({"type": "object"}))
    assert set(said["output_config"]) == {"effort", "format"}


def test_5_1_sampling_with_thinking() -> None:
    said = written(
        thinking=Thinking("low"),
        temperature=0.5,
        top_p=0.5,
        top_k=4,
        dropped=["temperature", "top_k", "top_p"],
    )
    assert not said.keys() & {"temperature", "top_p", "top_k"}
    said = written(thinking=Thinking("low"), temperature=1, top_p=0.97)
    assert "temperature" not in said
    assert said["top_p"] == 0.97


CALL, RESULT = Call("c1", "f", '{"a":1}', path="messages[1].tool_calls[0]"), Result("c1", [Text("1")])
SIGNED, SEALED = Reasoning("Hm", "c2ln"), Reasoning(sealed="QQ")


@pytest.mark.parametrize(
    ("dialect", "path"),
    [("chat", "reasoning_effort"), ("responses", "reasoning.effort"), ("messages", "thinking")],
)
@pytest.mark.parametrize("choice", [ToolChoice("any"), ToolChoice("tool", "f")])
def test_5_1_a_forced_tool_forbids_thinking(dialect: str, path: str, choice: ToolChoice) -> None:
    said = written(
        dialect=dialect,
        thinking=Thinking("high"),
        tools=[F],
        tool_choice=choice,
        temperature=0.5,
        dropped=[path],
    )
    assert not said.keys() & {"thinking", "output_config"}
    assert said["temperature"] == 0.5


@pytest.mark.parametrize(
    ("before", "after", "thinks"),
    [
        pytest.param([CALL], [RESULT], False, id="5.1-no-thought"),
        pytest.param([Reasoning("Hm"), CALL], [RESULT], False, id="5.1-unsigned-thought"),
        pytest.param([Text("x"), SIGNED, CALL], [RESULT], False, id="5.1-thought-not-first"),
        pytest.param([SIGNED, CALL], [RESULT], True, id="6.1-signed-thought"),
        pytest.param([SEALED, CALL], [RESULT], True, id="6.1-sealed-thought"),
        pytest.param([Reasoning("Hm", "oai1.x"), CALL], [RESULT], False, id="foreign-thought"),
    ],
)
def test_5_1_calls_without_a_thought_forbid_thinking(
    before: list[Part], after: list[Part], thinks: bool
) -> None:
    dropped = [] if thinks else ["reasoning_effort"]
    said = written(
        HI, Turn("assistant", before), Turn("user", after), thinking=Thinking("high"), dropped=dropped
    )
    assert ("thinking" in said) is thinks
    answered = written(
        *(HI, Turn("assistant", before), Turn("user", after), Turn("assistant", [Text("x")]), HI),
        thinking=Thinking("high"),
    )
    assert answered["thinking"] == {"type": "adaptive"}  # the calls are no longer pending


def test_a_prefilled_answer_forbids_thinking() -> None:
    said = written(
        HI, Turn("assistant", [Text("{")]), thinking=Thinking("high"), dropped=["reasoning_effort"]
    )
    assert "thinking" not in said


# --- tools --------------------------------------------------------------------------------------


def test_5_1_tools() -> None:
    syntax = {"type": "grammar", "syntax": "lark", "definition": "start: x"}
    tools = [
        Tool("f", "d", {"type": "object", "properties": {"a": {}}}, True),
        Tool("g", None, None),
        Tool("h", "", {"properties": {}}, False),
        Tool("wait", "d", {"type": "object"}, namespace="ns"),
        Tool("patch", "d", custom=True, syntax=syntax, path="tools[4]"),
    ]
    request = asked(tools=tools)
    said = write(request, GENERIC)["tools"]
    free = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
    assert said == [
        {
            "name": "f",
            "input_schema": {"type": "object", "properties": {"a": {}}},
            "description": "d",
            "strict": True,
        },
        {"name": "g", "input_schema": {"type": "object", "properties": {}}},
        {"name": "h", "input_schema": {"type": "object", "properties": {}}},
        {"name": "ns__wait", "input_schema": {"type": "object"}, "description": "d"},
        {
            "name": "patch",
            "input_schema": free,
            "description": "d\n\nThe input must match this lark grammar:\nstart: x",
        },
    ]
    assert request.dropped == ["tools[4].format"]
    assert [request.tool(tool["name"]) for tool in said] == tools


@pytest.mark.parametrize(
    ("choice", "parallel", "said"),
    [
        pytest.param(None, None, None, id="absent"),
        pytest.param(ToolChoice("auto"), None, {"type": "auto"}, id="auto"),
        pytest.param(ToolChoice("any"), None, {"type": "any"}, id="required"),
        pytest.param(ToolChoice("none"), None, {"type": "none"}, id="none"),
        pytest.param(ToolChoice("tool", "f"), None, {"type": "tool", "name": "f"}, id="named"),
        pytest.param(None, False, {"type": "auto", "disable_parallel_tool_use": True}, id="not-parallel"),
        pytest.param(None, True, None, id="parallel"),
        pytest.param(
            ToolChoice("any"),
            False,
            {"type": "any", "disable_parallel_tool_use": True},
            id="required-not-parallel",
        ),
        pytest.param(ToolChoice("none"), False, {"type": "none"}, id="none-not-parallel"),
    ],
)
def test_5_1_tool_choice(
    choice: ToolChoice | None, parallel: bool | None, said: dict[str, Any] | None
) -> None:
    assert written(tools=[F], tool_choice=choice, parallel=parallel).get("tool_choice") == said
    assert "tool_choice" not in written(tool_choice=choice and ToolChoice("auto"), parallel=parallel)


def test_4_1_names_that_are_too_long_are_cut_and_found_again() -> None:
    long, odd = Tool("n" * 80, namespace="ns"), Tool("a.b")
    request = asked(
        *(HI, Turn("assistant", [Call("c1", "n" * 80, "{}", namespace="ns")]), Turn("user", [RESULT])),
        tools=[long, odd, F],
        tool_choice=ToolChoice("tool", long.flat),
    )
    said = write(request, Profile(tool_name_limit=64))
    names = [tool["name"] for tool in said["tools"]]
    assert names[0][:55] == long.flat[:55]
    assert [len(name) for name in names] == [64, 12, 1]
    assert all(name.replace("_", "").isalnum() for name in names)
    assert [request.tool(name) for name in names] == [long, odd, F]
    assert said["tool_choice"]["name"] == names[0]
    assert said["messages"][1]["content"][0]["name"] == names[0]


def test_names_that_collide_are_refused() -> None:
    with pytest.raises(BadRequest) as refused:
        write(asked(tools=[Tool("a__b"), Tool("b", namespace="a", path="tools[1]")]), GENERIC)
    assert refused.value.path == "tools[1]"


# --- messages -----------------------------------------------------------------------------------

PDF = base64.b64encode(b"%PDF-1.4").decode()
A_CALL = {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}
A_RESULT = {"type": "tool_result", "tool_use_id": "c1", "content": "1"}
MESSAGES: dict[str, tuple[list[Turn], list[dict[str, Any]]]] = {
    "5.1-later-system-in-place": (
        [HI, Turn("assistant", [Text("a")]), Turn("system", [Text("S")]), HI],
        [user(text("Hi")), assistant(text("a")), user(text("S"), text("Hi"))],
    ),
    "5.1-image-data": (
        [Turn("user", [Image(media_type="image/png", data="QQ==", detail="low")])],
        [user({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QQ=="}})],
    ),
    "5.1-image-url": (
        [Turn("user", [Image("https://x.example")])],
        [user({"type": "image", "source": {"type": "url", "url": "https://x.example"}})],
    ),
    "5.1-file-pdf": (
        [Turn("user", [File(PDF, "application/pdf", "a.pdf")])],
        [
            user(
                {
                    "type": "document",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
                    "title": "a.pdf",
                }
            )
        ],
    ),
    "file-text": (
        [Turn("user", [File("SGk=", "text/csv; charset=utf-8")])],
        [user({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Hi"}})],
    ),
    "5.1-assistant-content-and-refusal": (
        [HI, Turn("assistant", [Text("a"), Refusal("no")]), HI],
        [user(text("Hi")), assistant(text("a"), text("no")), user(text("Hi"))],
    ),
    "5.1-tool_calls-and-results": (
        [HI, Turn("assistant", [Text("a"), CALL]), Turn("user", [RESULT, Text("b")])],
        [user(text("Hi")), assistant(text("a"), A_CALL), user(A_RESULT, text("b"))],
    ),
    "5.1-arguments-empty": (
        [HI, Turn("assistant", [Call("c1", "f", "")]), Turn("user", [RESULT])],
        [user(text("Hi")), assistant(A_CALL | {"input": {}}), user(A_RESULT)],
    ),
    "5.1-arguments-unparsable": (
        [HI, Turn("assistant", [Call("c1", "f", '{"a')]), Turn("user", [RESULT])],
        [user(text("Hi")), assistant(A_CALL | {"input": {"arguments": '{"a'}}), user(A_RESULT)],
    ),
    "5.1-arguments-no-object": (
        [HI, Turn("assistant", [Call("c1", "f", "[1]")]), Turn("user", [RESULT])],
        [user(text("Hi")), assistant(A_CALL | {"input": {"arguments": "[1]"}}), user(A_RESULT)],
    ),
    "4.1-custom-and-namespace": (
        [
            HI,
            Turn("assistant", [Call("c1", "patch", '{"input":"x"}', namespace="ns", custom=True)]),
            Turn("user", [RESULT]),
        ],
        [
            user(text("Hi")),
            assistant(A_CALL | {"name": "ns__patch", "input": {"input": "x"}}),
            user(A_RESULT),
        ],
    ),
    "result-empty": (
        [HI, Turn("assistant", [CALL]), Turn("user", [Result("c1", [])])],
        [user(text("Hi")), assistant(A_CALL), user({"type": "tool_result", "tool_use_id": "c1"})],
    ),
    "result-error": (
        [HI, Turn("assistant", [CALL]), Turn("user", [Result("c1", [Text("no")], error=True)])],
        [user(text("Hi")), assistant(A_CALL), user(A_RESULT | {"content": "no", "is_error": True})],
    ),
    "result-with-image": (
        [
            HI,
            Turn("assistant", [CALL]),
            Turn("user", [Result("c1", [Text("1"), Image("https://x.example")])]),
        ],
        [
            user(text("Hi")),
            assistant(A_CALL),
            user(
                A_RESULT
                | {
                    "content": [
                        text("1"),
                        {"type": "image", "source": {"type": "url", "url": "https://x.example"}},
                    ]
                }
            ),
        ],
    ),
    "5.1-reasoning-unsigned": (
        [HI, Turn("assistant", [Reasoning("Hm"), Text("a")]), HI],
        [user(text("Hi")), assistant(text("a")), user(text("Hi"))],
    ),
    "6.1-reasoning-restored": (
        [HI, Turn("assistant", [SIGNED, SEALED, Text("a")]), HI],
        [
            user(text("Hi")),
            assistant(
                {"type": "thinking", "thinking": "Hm", "signature": "c2ln"},
                {"type": "redacted_thinking", "data": "QQ"},
                text("a"),
            ),
            user(text("Hi")),
        ],
    ),
    "5.1-blank-text": ([Turn("user", [Text(" \n"), Text("Hi")])], [user(text("Hi"))]),
    "5.1-nothing-left": ([Turn("user", [Text(" ")])], [user(text("(empty)"))]),
    "5.1-assistant-nothing-left": (
        [HI, Turn("assistant", [Reasoning("Hm")]), HI],
        [user(text("Hi"), text("Hi"))],
    ),
    "5.1-first-is-assistant": (
        [Turn("assistant", [Text("a")]), HI],
        [user(text("(start)")), assistant(text("a")), user(text("Hi"))],
    ),
    "5.1-merged": (
        [HI, HI, Turn("assistant", [Text("a")]), Turn("assistant", [Text("b")]), HI],
        [user(text("Hi"), text("Hi")), assistant(text("a"), text("b")), user(text("Hi"))],
    ),
    "only-system": ([Turn("system", [Text("S")])], [user(text("(start)"))]),
    "prefill": ([HI, Turn("assistant", [Text("{ ")])], [user(text("Hi")), assistant(text("{"))]),
    "last-word-is-a-thought": ([HI, Turn("assistant", [SIGNED])], [user(text("Hi"))]),
}


@pytest.mark.parametrize("row", MESSAGES)
def test_5_1_messages(row: str) -> None:
    turns, messages = MESSAGES[row]
    said = written(*turns)["messages"]
    assert said == messages
    TypeAdapter(list[MessageParam]).validate_python(said)


def test_5_1_leading_system_messages() -> None:
    said = written(Turn("system", [Text("A"), Text("B")]), Turn("system", [Text("C")]), HI)
    assert said["system"] == [text("A"), text("B"), text("C")]
    assert said["messages"] == [user(text("Hi"))]


@pytest.mark.parametrize(
    "part",
    [
        Audio("QQ==", "wav", "messages[0].content[0]"),
        File("QQ==", "application/zip", path="messages[0].content[0]"),
        File("/w==", "text/plain", path="messages[0].content[0]"),
    ],
)
def test_5_1_what_is_refused(part: Part) -> None:
    with pytest.raises(BadRequest) as refused:
        write(asked(Turn("user", [part])), GENERIC)
    assert refused.value.path == "messages[0].content[0]"


def test_6_2_what_the_upstream_thinks_is_a_summary() -> None:
    request = asked()
    write(request, GENERIC)
    assert request.summarised


# --- there and back -----------------------------------------------------------------------------

PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
LONG: dict[str, Any] = {
    "model": "m",
    "max_tokens": 4000,
    "system": [text("A"), text("B")],
    "messages": [
        user(text("Look"), PNG),
        assistant(
            {"type": "thinking", "thinking": "Hm", "signature": "c2ln"},
            text("Let me see"),
            {"type": "tool_use", "id": "toolu_a", "name": "f", "input": {"a": [1, None, "é"]}},
            {"type": "tool_use", "id": "toolu_b", "name": "g", "input": {}},
        ),
        user(
            {"type": "tool_result", "tool_use_id": "toolu_b", "content": [text("x"), PNG]},
            {"type": "tool_result", "tool_use_id": "toolu_a", "content": "no", "is_error": True},
            text("and now?"),
        ),
        assistant({"type": "redacted_thinking", "data": "QQ"}, text("Done")),
        user(text("Thanks")),
    ],
    "stream": True,
    "tools": [
        {"name": "f", "input_schema": {"type": "object", "properties": {"a": {}}}, "description": "d"},
        {"name": "g", "input_schema": {"type": "object"}, "strict": True},
    ],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 2048},
    "stop_sequences": ["END"],
    "metadata": {"user_id": "u"},
}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "max"}},
        {"thinking": {"type": "disabled"}, "temperature": 0.5, "top_k": 3},
        {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
        {"tool_choice": {"type": "none"}},
    ],
)
def test_a_long_request_comes_back(changes: dict[str, Any]) -> None:
    document = LONG | changes
    request = read(copy.deepcopy(document))
    assert write(request, GENERIC) == document
    assert request.dropped == []


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Turns by turns; every call is answered."""
    texts = st.text("ab é\n", min_size=1, max_size=5).filter(str.strip).map(text)
    messages = [user(*draw(st.lists(st.one_of(texts, st.just(PNG)), min_size=1, max_size=3)))]
    for at in range(draw(st.integers(0, 3))):
        thought = [{"type": "thinking", "thinking": "Hm", "signature": "c2ln"}] * draw(st.integers(0, 1))
        calls = [
            {"type": "tool_use", "id": f"toolu_{at}_{n}", "name": "f", "input": given}
            for n, given in enumerate(
                draw(
                    st.lists(
                        st.dictionaries(st.text(max_size=2), st.integers(-(2**63), 2**64 - 1)), max_size=3
                    )
                )
            )
        ]
        messages.append(assistant(*thought, draw(texts), *calls))
        results = [
            {"type": "tool_result", "tool_use_id": call["id"], "content": draw(texts)["text"]}
            for call in draw(st.permutations(calls))
        ]
        said = draw(st.lists(texts, min_size=0 if results else 1, max_size=2))
        messages.append(user(*results, *said))
    return messages


@settings(max_examples=EXAMPLES)
@given(conversations())
def test_any_conversation_comes_back(messages: list[dict[str, Any]]) -> None:
    document = {"model": "m", "max_tokens": 9, "messages": messages}
    request = read(copy.deepcopy(document))
    assert write(request, GENERIC) == document
    assert request.dropped == []


@pytest.mark.parametrize("path", REQUESTS)
def test_recorded_requests_come_back_as_the_api_takes_them(path: Path) -> None:
    try:
        request = read(json.loads(path.read_text())["request"])
    except BadRequest:
        return  # the reader's tests say why
    said = write(request, GENERIC)
    TypeAdapter(list[MessageParam]).validate_python(said["messages"])
    TypeAdapter(list[ToolUnionParam]).validate_python(said.get("tools", []))
    again = read(copy.deepcopy(said))
    assert [turn.role for turn in again.turns if turn.role == "assistant"] == [
        message["role"] for message in said["messages"] if message["role"] == "assistant"
    ]
    roles = [message["role"] for message in said["messages"]]
    assert roles[0] == "user"
    assert all(one != other for one, other in itertools.pairwise(roles))
