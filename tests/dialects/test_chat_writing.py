"""The neutral request → a chat request: the upstream's half of the tables, profile by profile."""

from __future__ import annotations

import copy
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.dialects.chat_reading import read
from relay.dialects.chat_writing import write
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
from tests.dialects.chat_requests import AGENT, FILES, FORCED, PNG, SIMPLE, function

GENERIC = Profile()
OPENAI = Profile(
    limit="max_completion_tokens",
    system_role="developer",
    merge_system=False,
    efforts=("none", "low", "medium", "high"),
    top_k=False,
    openai_fields=True,
    files=True,
    tool_name_limit=64,
    stop_limit=4,
)
VLLM = Profile(reasoning_field="reasoning", template_thinking=True, continues_prefill=True)
WIDE = Profile(
    merge_system=False,
    reasoning_field="reasoning_content",
    efforts=("none", "minimal", "low", "medium", "high", "xhigh", "max"),
    openai_fields=True,
    files=True,
    images_in_results=True,
)
HI = Turn("user", [Text("Hi")])
IMAGE = Image(media_type="image/png", data=PNG.partition(",")[2])
IMAGE_PART = {"type": "image_url", "image_url": {"url": PNG}}
OBJECT = {"type": "object", "properties": {}}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
F = Tool("f", "d", SCHEMA)


def request(**members: Any) -> Request:
    return Request("messages", "m-1", **{"turns": [HI], **members})


ROWS: dict[str, tuple[dict[str, Any], Profile, dict[str, Any], list[str]]] = {
    "3.1 nothing but messages": ({}, GENERIC, {}, []),
    "3.1 max_tokens": ({"max_tokens": 9}, GENERIC, {"max_tokens": 9}, []),
    "1 limit field": ({"max_tokens": 9}, OPENAI, {"max_completion_tokens": 9}, []),
    "3.1 stream asks for usage": (
        {"stream": True},
        GENERIC,
        {"stream": True, "stream_options": {"include_usage": True}},
        [],
    ),
    "3.1 temperature, top_p": (
        {"temperature": 0.0, "top_p": 0.5},
        GENERIC,
        {"temperature": 0.0, "top_p": 0.5},
        [],
    ),
    "3.1 top_k sent": ({"top_k": 5}, GENERIC, {"top_k": 5}, []),
    "3.1 top_k dropped": ({"top_k": 5}, OPENAI, {}, ["top_k"]),
    "3.1 stop_sequences": ({"stop": ["a", "b"]}, GENERIC, {"stop": ["a", "b"]}, []),
    "3.1 stop_sequences beyond the limit": (
        {"stop": list("abcde")},
        OPENAI,
        {"stop": list("abcd")},
        ["stop_sequences"],
    ),
    "3.1 metadata.user_id": ({"user": "u"}, GENERIC, {"user": "u"}, []),
    "3.1 tool": (
        {"tools": [F]},
        GENERIC,
        {"tools": [function("f", description="d", parameters=SCHEMA)]},
        [],
    ),
    "3.1 strict": (
        {"tools": [Tool("f", parameters=SCHEMA, strict=True)]},
        GENERIC,
        {"tools": [function("f", parameters=SCHEMA, strict=True)]},
        [],
    ),
    "4.1 strict false is said": (
        {"tools": [Tool("f", parameters=SCHEMA, strict=False)]},
        GENERIC,
        {"tools": [function("f", parameters=SCHEMA, strict=False)]},
        [],
    ),
    "3.1 an empty schema": (
        {"tools": [Tool("f", parameters={})]},
        GENERIC,
        {"tools": [function("f", parameters=OBJECT)]},
        [],
    ),
    "4.1 parameters null": (
        {"tools": [Tool("f")]},
        GENERIC,
        {"tools": [function("f", parameters=OBJECT)]},
        [],
    ),
    "4.1 namespace": (
        {"tools": [Tool("f", namespace="n")], "tool_choice": ToolChoice("tool", "n__f")},
        GENERIC,
        {
            "tools": [function("n__f", parameters=OBJECT)],
            "tool_choice": {"type": "function", "function": {"name": "n__f"}},
        },
        [],
    ),
    "4.1 custom": (
        {
            "tools": [
                Tool(
                    "edit",
                    "d",
                    custom=True,
                    syntax={"type": "grammar", "syntax": "lark", "definition": "s: X"},
                    path="tools[0]",
                )
            ]
        },
        GENERIC,
        {
            "tools": [
                function(
                    "edit",
                    description="d\n\nThe input must match this lark grammar:\ns: X",
                    parameters={
                        "type": "object",
                        "properties": {"input": {"type": "string"}},
                        "required": ["input"],
                    },
                )
            ]
        },
        ["tools[0].format"],
    ),
    "3.1 tool_choice auto": (
        {"tools": [Tool("f")], "tool_choice": ToolChoice("auto")},
        GENERIC,
        {"tools": [function("f", parameters=OBJECT)], "tool_choice": "auto"},
        [],
    ),
    "3.1 tool_choice any": (
        {"tools": [Tool("f")], "tool_choice": ToolChoice("any")},
        GENERIC,
        {"tools": [function("f", parameters=OBJECT)], "tool_choice": "required"},
        [],
    ),
    "3.1 tool_choice none": (
        {"tools": [Tool("f")], "tool_choice": ToolChoice("none")},
        GENERIC,
        {"tools": [function("f", parameters=OBJECT)], "tool_choice": "none"},
        [],
    ),
    "3.1 tool_choice without tools": ({"tool_choice": ToolChoice("auto")}, GENERIC, {}, []),
    "3.1 disable_parallel_tool_use": (
        {"tools": [Tool("f")], "parallel": False},
        GENERIC,
        {"tools": [function("f", parameters=OBJECT)], "parallel_tool_calls": False},
        [],
    ),
    "3.1 disable_parallel_tool_use without tools": ({"parallel": False}, GENERIC, {}, []),
    "3.1 thinking disabled": ({"thinking": Thinking("none")}, GENERIC, {}, []),
    "3.1 thinking disabled where it is known": (
        {"thinking": Thinking("none")},
        OPENAI,
        {"reasoning_effort": "none"},
        [],
    ),
    "3.1 thinking disabled in the template": (
        {"thinking": Thinking("none")},
        VLLM,
        {"chat_template_kwargs": {"enable_thinking": False}},
        [],
    ),
    "3.1 thinking adaptive": ({"thinking": Thinking(adaptive=True)}, VLLM, {}, []),
    "3.1 thinking enabled, small": (
        {"thinking": Thinking(budget=4095)},
        GENERIC,
        {"reasoning_effort": "low"},
        [],
    ),
    "3.1 thinking enabled, medium": (
        {"thinking": Thinking(budget=4096)},
        GENERIC,
        {"reasoning_effort": "medium"},
        [],
    ),
    "3.1 thinking enabled, large": (
        {"thinking": Thinking(budget=16384)},
        VLLM,
        {"reasoning_effort": "high", "chat_template_kwargs": {"enable_thinking": True}},
        [],
    ),
    "3.1 effort wins": (
        {"thinking": Thinking("low", budget=30000)},
        GENERIC,
        {"reasoning_effort": "low"},
        [],
    ),
    "3.1 effort is clamped down": (
        {"thinking": Thinking("max")},
        OPENAI,
        {"reasoning_effort": "high"},
        [],
    ),
    "3.1 effort is clamped up": (
        {"thinking": Thinking("minimal")},
        OPENAI,
        {"reasoning_effort": "low"},
        [],
    ),
    "3.1 no efforts are known": ({"thinking": Thinking("low")}, Profile(efforts=()), {}, []),
    "3.1 output_config.format": (
        {"output": Output(SCHEMA, strict=True)},
        GENERIC,
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "output", "schema": SCHEMA, "strict": True},
            }
        },
        [],
    ),
    "4.1 text.format json_schema": (
        {"output": Output(SCHEMA, "n", False, "d")},
        GENERIC,
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "n", "schema": SCHEMA, "description": "d", "strict": False},
            }
        },
        [],
    ),
    "4.1 text.format json_object": (
        {"output": Output()},
        GENERIC,
        {"response_format": {"type": "json_object"}},
        [],
    ),
}


@pytest.mark.parametrize("row", ROWS)
def test_row(row: str) -> None:
    members, profile, expected, dropped = ROWS[row]
    made = request(**members)
    assert write(made, profile) == {
        "model": "m-1",
        "messages": [{"role": "user", "content": "Hi"}],
        **expected,
    }
    assert made.dropped == dropped


OPENAI_ONLY = [
    *("service_tier", "safety_identifier"),
    *("prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"),
]
EXTRAS = [
    *[(name, GENERIC, True, False) for name in ("seed", "logit_bias", "presence_penalty", "prediction")],
    *[(name, GENERIC, False, False) for name in OPENAI_ONLY],
    *[(name, OPENAI, True, False) for name in (*OPENAI_ONLY, "verbosity")],
    ("verbosity", GENERIC, False, True),
    ("metadata", GENERIC, False, False),
    ("metadata", OPENAI, False, False),
    ("moderation", OPENAI, False, True),
    ("max_tool_calls", OPENAI, False, True),
]


@pytest.mark.parametrize(("name", "profile", "kept", "warned"), EXTRAS)
def test_4_1_extras(name: str, profile: Profile, kept: bool, warned: bool) -> None:
    made = request(extras={name: Extra("x", f"at.{name}")})
    assert write(made, profile).get(name) == ("x" if kept else None)
    assert made.dropped == ([f"at.{name}"] if warned else [])


@pytest.mark.parametrize(("value", "dropped"), [(True, ["store"]), (False, [])])
def test_4_1_store(value: bool, dropped: list[str]) -> None:
    made = request(extras={"store": Extra(value, "store")})
    assert "store" not in write(made, OPENAI)
    assert made.dropped == dropped


def test_4_1_top_logprobs_brings_logprobs() -> None:
    document = write(request(extras={"top_logprobs": Extra(3, "top_logprobs")}), GENERIC)
    assert (document["logprobs"], document["top_logprobs"]) == (True, 3)


# --- messages -----------------------------------------------------------------------------------


def messages(*turns: Turn, profile: Profile = GENERIC, dropped: list[str] | None = None) -> list[Any]:
    made = request(turns=list(turns))
    written: list[Any] = write(made, profile)["messages"]
    assert made.dropped == (dropped or [])
    return written


def said(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def test_3_1_system_blocks_are_joined_by_a_blank_line() -> None:
    assert messages(Turn("system", [Text("a"), Text("b")]), HI) == [
        said("system", "a\n\nb"),
        said("user", "Hi"),
    ]


LATER = [Turn("system", [Text("a")]), HI, Turn("system", [Text("b")]), HI]


def test_1_several_system_messages_are_merged_into_the_first() -> None:
    assert messages(*LATER) == [said("system", "a\n\nb"), said("user", "Hi"), said("user", "Hi")]
    assert messages(*LATER[1:]) == [said("system", "b"), said("user", "Hi"), said("user", "Hi")]


def test_1_several_system_messages_are_kept_in_place() -> None:
    first, second = said("developer", "a"), said("developer", "b")
    assert messages(*LATER, profile=OPENAI) == [first, said("user", "Hi"), second, said("user", "Hi")]


def test_an_empty_system_prompt_is_none() -> None:
    assert messages(Turn("system", [Text("")]), HI) == [said("user", "Hi")]


def test_an_image_in_a_system_prompt_has_no_place() -> None:
    odd = Turn("system", [Text("a"), Image("https://a", path="input[0].content[1]")])
    assert messages(odd, HI, dropped=["input[0].content[1]"])[0] == said("system", "a")


USERS: dict[str, tuple[list[Part], Any]] = {
    "3.1 string": ([Text("a")], "a"),
    "3.1 text blocks": ([Text("a"), Text("b")], "a\nb"),
    "3.1 nothing": ([], ""),
    "3.1 image base64, in block order": (
        [Text("a"), IMAGE, Text("b")],
        [{"type": "text", "text": "a"}, IMAGE_PART, {"type": "text", "text": "b"}],
    ),
    "3.1 an empty text beside an image": ([Text(""), IMAGE], [IMAGE_PART]),
    "3.1 image url": (
        [Image("https://a")],
        [{"type": "image_url", "image_url": {"url": "https://a"}}],
    ),
    "4.1 detail": (
        [Image("https://a", detail="low")],
        [{"type": "image_url", "image_url": {"url": "https://a", "detail": "low"}}],
    ),
    "4.1 detail original": (
        [Image("https://a", detail="original")],
        [{"type": "image_url", "image_url": {"url": "https://a", "detail": "high"}}],
    ),
    "4.1 input_audio": (
        [Audio("AAAA", "wav")],
        [{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}],
    ),
}


@pytest.mark.parametrize("row", USERS)
def test_user(row: str) -> None:
    parts, content = USERS[row]
    assert messages(Turn("user", parts)) == [said("user", content)]


def test_3_1_documents_by_profile() -> None:
    turn = Turn("user", [File("AAAA", "application/pdf", path="messages[0].content[0]")])
    with pytest.raises(BadRequest, match="document") as caught:
        messages(turn)
    assert caught.value.path == "messages[0].content[0]"
    data = "data:application/pdf;base64,AAAA"
    part = {"type": "file", "file": {"filename": "document.pdf", "file_data": data}}
    assert messages(turn, profile=OPENAI) == [said("user", [part])]


CALL = Call("a", "f", '{"x":1}')
CALLED = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}
ASSISTANTS: dict[str, tuple[list[Part], Profile, list[Any]]] = {
    "3.1 texts are joined": ([Text("a"), Text("b")], GENERIC, [said("assistant", "ab")]),
    "4.1 refusal": ([Text("a"), Refusal("b")], GENERIC, [said("assistant", "ab")]),
    "3.1 tool_use": ([CALL], GENERIC, [said("assistant", None, tool_calls=[CALLED])]),
    "3.1 text and tool_use": ([Text("a"), CALL], GENERIC, [said("assistant", "a", tool_calls=[CALLED])]),
    "3.1 thinking is dropped": ([Reasoning("r"), Text("a")], GENERIC, [said("assistant", "a")]),
    "3.1 thinking": (
        [Reasoning("r", "sig"), Reasoning(sealed="x"), Reasoning("s"), Text("a")],
        VLLM,
        [said("assistant", "a", reasoning="r\ns")],
    ),
    "3.1 thinking and tool_use": (
        [Reasoning("r"), CALL],
        WIDE,
        [said("assistant", None, reasoning_content="r", tool_calls=[CALLED])],
    ),
    "3.1 nothing left": ([Reasoning("r")], GENERIC, []),
    "3.1 nothing left of redacted thinking": ([Reasoning(sealed="x")], WIDE, []),
    "4.1 namespace": (
        [Call("a", "f", "{}", namespace="n")],
        GENERIC,
        [
            said(
                "assistant",
                None,
                tool_calls=[{"id": "a", "type": "function", "function": {"name": "n__f", "arguments": "{}"}}],
            )
        ],
    ),
    "no arguments": (
        [Call("a", "f", "")],
        GENERIC,
        [
            said(
                "assistant",
                None,
                tool_calls=[{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            )
        ],
    ),
}


@pytest.mark.parametrize("row", ASSISTANTS)
def test_assistant(row: str) -> None:
    parts, profile, expected = ASSISTANTS[row]
    assert messages(HI, Turn("assistant", parts), HI, profile=profile)[1:-1] == expected


def tool(ident: str, content: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": ident, "content": content}


RESULTS: dict[str, tuple[list[Part], list[Any]]] = {
    "3.1 before other content": (
        [Result("a", [Text("1")]), Result("b", [Text("2")]), Text("go on")],
        [tool("a", "1"), tool("b", "2"), said("user", "go on")],
    ),
    "3.1 content list": ([Result("a", [Text("1"), Text("2")])], [tool("a", "1\n2")]),
    "3.1 empty": ([Result("a", [])], [tool("a", "")]),
    "3.1 is_error": ([Result("a", [Text("no")], error=True)], [tool("a", "no")]),
    "3.1 is_error without a text": ([Result("a", [Text("")], error=True)], [tool("a", "error")]),
    "3.1 images follow after the group": (
        [Result("a", [Text("1"), IMAGE]), Result("b", [IMAGE]), Text("go on")],
        [
            tool("a", "1"),
            tool("b", ""),
            said("user", [IMAGE_PART, IMAGE_PART, {"type": "text", "text": "go on"}]),
        ],
    ),
}


@pytest.mark.parametrize("row", RESULTS)
def test_results(row: str) -> None:
    parts, expected = RESULTS[row]
    assert messages(HI, Turn("assistant", [CALL]), Turn("user", parts))[2:] == expected


def test_1_images_stay_in_results() -> None:
    parts: list[Part] = [Result("a", [Text("1"), IMAGE])]
    content = [{"type": "text", "text": "1"}, IMAGE_PART]
    assert messages(Turn("user", parts), profile=WIDE) == [tool("a", content)]


PREFILL = {"continue_final_message": True, "add_generation_prompt": False}


@pytest.mark.parametrize(
    ("turns", "profile", "continued"),
    [
        ([HI, Turn("assistant", [Text("{")])], VLLM, True),
        ([HI, Turn("assistant", [Text("{")])], GENERIC, False),
        ([HI], VLLM, False),
        ([HI, Turn("assistant", [CALL])], VLLM, False),
    ],
)
def test_3_1_prefill(turns: list[Turn], profile: Profile, continued: bool) -> None:
    document = write(request(turns=turns), profile)
    assert {key: value for key, value in document.items() if key in PREFILL} == (PREFILL if continued else {})


# --- names of tools -----------------------------------------------------------------------------


def test_3_1_long_names_are_cut_and_mapped_back() -> None:
    long, other = Tool("x" * 65, path="tools[0]"), Tool("x" * 66, path="tools[1]")
    made = request(
        tools=[long, other, Tool("a.b")],
        tool_choice=ToolChoice("tool", long.name),
        turns=[HI, Turn("assistant", [Call("a", long.name, "{}")])],
    )
    document = write(made, OPENAI)
    names = [entry["function"]["name"] for entry in document["tools"]]
    assert len(set(names)) == 3
    assert [len(name) for name in names[:2]] == [64, 64]
    assert names[0].startswith("x" * 55 + "_")
    assert set(names[0][56:]) <= set("0123456789abcdef")
    assert names[2].startswith("a_b_")
    assert document["tool_choice"]["function"]["name"] == names[0]
    assert document["messages"][1]["tool_calls"][0]["function"]["name"] == names[0]
    assert [made.tool(name) for name in names] == made.tools
    assert [entry["function"]["name"] for entry in write(request(tools=[long]), GENERIC)["tools"]] == [
        long.name
    ]


def test_4_1_names_that_collide_are_refused() -> None:
    made = request(tools=[Tool("b", namespace="a", path="tools[0]"), Tool("a__b", path="tools[1]")])
    with pytest.raises(BadRequest, match=r"tools\[0\]") as caught:
        write(made, GENERIC)
    assert caught.value.path == "tools[1]"


def test_a_choice_of_a_tool_that_is_not_there_is_refused() -> None:
    with pytest.raises(BadRequest) as caught:
        write(request(tools=[F], tool_choice=ToolChoice("tool", "g")), GENERIC)
    assert caught.value.path == "tool_choice"


# --- read, then written -------------------------------------------------------------------------


def test_an_agents_request_comes_back_as_it_was() -> None:
    document = write(read(AGENT), WIDE)
    assert document == AGENT


@pytest.mark.parametrize("source", [SIMPLE, FORCED, FILES], ids=["simple", "forced", "files"])
def test_a_request_comes_back_as_it_was(source: dict[str, Any]) -> None:
    profile = Profile(limit="max_completion_tokens", files=True)
    assert write(read(source), profile) == source


TEXT = st.text(min_size=1, max_size=4)


@st.composite
def conversations(draw: st.DrawFn) -> dict[str, Any]:
    """Turns of users and assistants, with any number of calls and their results in any order."""
    made: list[dict[str, Any]] = []
    if draw(st.booleans()):
        made.append(said("system", draw(TEXT)))
    for turn in range(draw(st.integers(1, 4))):
        image = draw(st.booleans())
        text = draw(TEXT)
        made.append(said("user", [{"type": "text", "text": text}, IMAGE_PART] if image else text))
        idents = [f"call_{turn}_{at}" for at in range(draw(st.integers(0, 3)))]
        message = said("assistant", draw(TEXT) if not idents or draw(st.booleans()) else None)
        if draw(st.booleans()):
            message["reasoning_content"] = draw(TEXT)
        if idents:
            message["tool_calls"] = [{**copy.deepcopy(CALLED), "id": ident} for ident in idents]
        made.append(message)
        made += [tool(ident, draw(st.text(max_size=4))) for ident in draw(st.permutations(idents))]
    document: dict[str, Any] = {"model": "m-1", "messages": made}
    if draw(st.booleans()):
        document["tools"] = [function(name, parameters=SCHEMA) for name in ("f", "g")]
        document["tool_choice"] = draw(st.sampled_from(["auto", "none", "required", CHOICE]))
    return document


CHOICE = {"type": "function", "function": {"name": "g"}}


@settings(
    max_examples=500 if "CI" in os.environ else 300, suppress_health_check=list(HealthCheck), deadline=None
)
@given(conversations())
def test_any_conversation_comes_back_as_it_was(document: dict[str, Any]) -> None:
    assert write(read(copy.deepcopy(document)), WIDE) == document
