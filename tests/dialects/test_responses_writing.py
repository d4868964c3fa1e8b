"""A neutral request as a Responses upstream takes it: translation.md 7.1, and for Messages clients."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.dialects.conversation import settle
from relay.dialects.profiles import BY_NAME
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
from relay.dialects.responses_envelope import marked, unmarked
from relay.dialects.responses_reading import read
from relay.dialects.responses_writing import write
from tests.dialects.responses_kit import RECORDED, with_corpus
from tests.dialects.responses_neutral import thorough

OPENAI = BY_NAME["openai"]
PNG, PDF = "iVBORw0KGgo=", "JVBERi0="


def written(*turns: Turn, profile: Profile = OPENAI, dialect: str = "chat", **members: Any) -> dict[str, Any]:
    return write(Request(dialect, "m-1", turns=list(turns), **members), profile)


def items(*turns: Turn, **members: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = written(*turns, **members)["input"]
    return found


def user(*parts: Part) -> Turn:
    return Turn("user", list(parts))


def assistant(*parts: Part) -> Turn:
    return Turn("assistant", list(parts))


def message(role: str, *content: dict[str, Any]) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": list(content)}


def text_in(text: str) -> dict[str, Any]:
    return {"type": "input_text", "text": text}


def said(text: str) -> dict[str, Any]:
    """What the assistant said: a string, because parts of its own need ids and a status."""
    return {"type": "message", "role": "assistant", "content": text}


CALL = Call("call_a", "f", '{"a":1}')
CALLED = {"type": "function_call", "call_id": "call_a", "name": "f", "arguments": '{"a":1}'}


def answered(output: Any, kind: str = "function_call_output") -> dict[str, Any]:
    return {"type": kind, "call_id": "call_a", "output": output}


IMAGE = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"}

ITEMS: dict[str, tuple[list[Turn], list[dict[str, Any]]]] = {
    "system, user": (
        [Turn("system", [Text("Be kind.")]), user(Text("Hi"))],
        [message("developer", text_in("Be kind.")), message("user", text_in("Hi"))],
    ),
    "image_url": (
        [user(Image(url="https://a.example/i.png", detail="low"))],
        [
            message(
                "user",
                {"type": "input_image", "image_url": "https://a.example/i.png", "detail": "low"},
            )
        ],
    ),
    "image data, detail auto": ([user(Image(media_type="image/png", data=PNG))], [message("user", IMAGE)]),
    "file": (
        [user(File(PDF, "application/pdf", "a.pdf"), File(PDF, "application/pdf"))],
        [
            message(
                "user",
                *(
                    {
                        "type": "input_file",
                        "filename": name,
                        "file_data": f"data:application/pdf;base64,{PDF}",
                    }
                    for name in ("a.pdf", "document.pdf")
                ),
            )
        ],
    ),
    "audio": (
        [user(Audio(PNG, "wav"))],
        [message("user", {"type": "input_audio", "input_audio": {"data": PNG, "format": "wav"}})],
    ),
    "assistant text and refusal": (
        [assistant(Text("A"), Refusal("B"))],
        [said("AB")],
    ),
    "tool_calls and tool": (
        [assistant(Text("Look."), CALL), user(Result("call_a", [Text("a"), Text("b")]), Text("Go on."))],
        [
            said("Look."),
            CALLED,
            answered("a\nb"),
            message("user", text_in("Go on.")),
        ],
    ),
    "custom calls": (
        [
            assistant(Call("call_a", "apply_patch", '{"input":"x"}', custom=True)),
            user(Result("call_a", [Text("ok")])),
        ],
        [
            {"type": "custom_tool_call", "call_id": "call_a", "name": "apply_patch", "input": "x"},
            answered("ok", "custom_tool_call_output"),
        ],
    ),
    "a result with an image": (
        [assistant(CALL), user(Result("call_a", [Text("see"), Image(media_type="image/png", data=PNG)]))],
        [CALLED, answered([text_in("see"), IMAGE])],
    ),
    "an empty result": ([assistant(CALL), user(Result("call_a", []))], [CALLED, answered("")]),
    "an error without words": (
        [assistant(CALL), user(Result("call_a", [], error=True))],
        [CALLED, answered("error")],
    ),
    "reasoning of another maker D": (
        [assistant(Reasoning("Hm."), Reasoning("Hm.", "sig=="), Reasoning(sealed="AA"), Text("A"))],
        [said("A")],
    ),
    "reasoning of this maker, where it stood": (
        [assistant(Reasoning("Hm.", marked("gA")), Text("A"), Reasoning("", marked("gB")), CALL)],
        [
            {
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": "Hm."}],
                "encrypted_content": "gA",
            },
            said("A"),
            {"type": "reasoning", "summary": [], "encrypted_content": "gB"},
            CALLED,
        ],
    ),
}


@pytest.mark.parametrize("row", ITEMS)
def test_7_1_messages(row: str) -> None:
    turns, expected = ITEMS[row]
    assert items(*turns) == expected


def test_the_system_role_is_the_profiles() -> None:
    assert items(Turn("system", [Text("A")]), profile=Profile())[0]["role"] == "system"


def test_a_call_in_the_users_turn_is_refused() -> None:
    with pytest.raises(BadRequest):
        items(Turn("user", [Call("a", "f", "{}", path="messages[0]")]))


# --- fields -----------------------------------------------------------------------------------------

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
TOOL = Tool("f", "d", SCHEMA)
FLAT = {"type": "function", "name": "f", "description": "d", "parameters": SCHEMA, "strict": False}
SEARCH = {
    "search_context_size": "low",
    "user_location": {"type": "approximate", "approximate": {"city": "Paris"}},
}
FIELDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "model": ({}, {"model": "m-1"}),
    "stream": ({"stream": True}, {"stream": True}),
    "max_tokens": ({"max_tokens": 99}, {"max_output_tokens": 99}),
    "max_tokens below 16": ({"max_tokens": 3}, {"max_output_tokens": 16}),
    "tools flat, strict false when absent": ({"tools": [TOOL]}, {"tools": [FLAT]}),
    "tools strict": (
        {"tools": [Tool("f", strict=True)]},
        {
            "tools": [
                {
                    "type": "function",
                    "name": "f",
                    "parameters": {"type": "object", "properties": {}},
                    "strict": True,
                }
            ]
        },
    ),
    "custom tools": (
        {"tools": [Tool("p", custom=True, syntax={"type": "grammar"})]},
        {"tools": [{"type": "custom", "name": "p", "format": {"type": "grammar"}}]},
    ),
    "tools empty": ({"tools": [], "tool_choice": ToolChoice("auto")}, {"tools": None, "tool_choice": None}),
    "tool_choice auto": ({"tools": [TOOL], "tool_choice": ToolChoice("auto")}, {"tool_choice": "auto"}),
    "tool_choice any": ({"tools": [TOOL], "tool_choice": ToolChoice("any")}, {"tool_choice": "required"}),
    "tool_choice none": ({"tools": [TOOL], "tool_choice": ToolChoice("none")}, {"tool_choice": "none"}),
    "tool_choice named": (
        {"tools": [TOOL], "tool_choice": ToolChoice("tool", "f")},
        {"tool_choice": {"type": "function", "name": "f"}},
    ),
    "tool_choice custom": (
        {"tools": [Tool("p", custom=True)], "tool_choice": ToolChoice("tool", "p")},
        {"tool_choice": {"type": "custom", "name": "p"}},
    ),
    "parallel_tool_calls": ({"tools": [TOOL], "parallel": False}, {"parallel_tool_calls": False}),
    "parallel_tool_calls without tools": ({"parallel": False}, {"parallel_tool_calls": None}),
    "response_format json_object": ({"output": Output()}, {"text": {"format": {"type": "json_object"}}}),
    "response_format json_schema": (
        {"output": Output(SCHEMA, "n", True, "d")},
        {
            "text": {
                "format": {
                    "type": "json_schema",
                    "name": "n",
                    "schema": SCHEMA,
                    "strict": True,
                    "description": "d",
                }
            }
        },
    ),
    "response_format without a name": (
        {"output": Output(SCHEMA)},
        {"text": {"format": {"type": "json_schema", "name": "output", "schema": SCHEMA}}},
    ),
    "reasoning_effort": (
        {"thinking": Thinking(effort="low")},
        {"reasoning": {"effort": "low", "summary": "auto"}, "include": None},
    ),
    "reasoning_effort none": (
        {"thinking": Thinking(effort="none")},
        {"reasoning": {"effort": "none"}, "include": None},
    ),
    "thinking budget": (
        {"thinking": Thinking(budget=8000, sealed=True), "dialect": "messages"},
        {
            "reasoning": {"effort": "medium", "summary": "auto"},
            "include": ["reasoning.encrypted_content"],
        },
    ),
    "thinking adaptive": (
        {"thinking": Thinking(adaptive=True, sealed=True), "dialect": "messages"},
        {"reasoning": {"summary": "auto"}, "include": ["reasoning.encrypted_content"]},
    ),
    "thinking hidden": (
        {"thinking": Thinking(budget=99999, hidden=True), "dialect": "messages"},
        {"reasoning": {"effort": "high"}, "include": None},
    ),
    "no thinking": ({}, {"reasoning": None, "include": None}),
    "verbosity": ({"extras": {"verbosity": Extra("low", "verbosity")}}, {"text": {"verbosity": "low"}}),
    "logprobs": (
        {"extras": {"logprobs": Extra(True, "logprobs"), "top_logprobs": Extra(2, "top_logprobs")}},
        {"include": ["message.output_text.logprobs"], "top_logprobs": 2},
    ),
    "temperature, top_p": ({"temperature": 0.5, "top_p": 1}, {"temperature": 0.5, "top_p": 1}),
    "user": ({"user": "u"}, {"user": "u"}),
    **{
        name: ({"extras": {name: Extra("x", name)}}, {name: "x"})
        for name in (
            *("metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"),
            "service_tier",
        )
    },
    "store absent": ({}, {"store": False}),
    "store true": ({"extras": {"store": Extra(True, "store")}}, {"store": True}),
    "web_search_options": (
        {"extras": {"web_search_options": Extra(SEARCH, "web_search_options")}},
        {
            "tools": [
                {
                    "type": "web_search",
                    "search_context_size": "low",
                    "user_location": {"type": "approximate", "city": "Paris"},
                }
            ]
        },
    ),
}


@pytest.mark.parametrize("row", FIELDS)
def test_7_1_fields(row: str) -> None:
    members, expected = FIELDS[row]
    document = written(user(Text("Hi")), **members)
    assert {name: document.get(name) for name in expected} == expected


DROPPED: dict[str, dict[str, Any]] = {
    **{
        name: {"extras": {name: Extra(1, name)}}
        for name in ("seed", "logit_bias", "frequency_penalty", "presence_penalty", "prediction")
    },
    "stop": {"stop": ["x"]},
    "stop_sequences": {"stop": ["x"], "dialect": "messages"},
    "top_k": {"top_k": 5},
    "max_tokens": {"max_tokens": 3},
}


@pytest.mark.parametrize("name", DROPPED)
def test_7_1_no_equivalent(name: str) -> None:
    request = Request(**{"dialect": "chat", **DROPPED[name]})
    document = write(request, OPENAI)
    assert request.dropped == [name]
    assert name not in document


@pytest.mark.parametrize(
    ("effort", "known", "expected"),
    [
        ("minimal", ("low", "high"), "low"),
        ("max", ("low", "high"), "high"),
        ("medium", ("low", "high"), "low"),
        ("none", ("low", "high"), None),
        ("strange", ("low", "high"), None),
        ("low", (), None),
    ],
)
def test_efforts_are_those_that_the_profile_knows(
    effort: str, known: tuple[str, ...], expected: str | None
) -> None:
    document = written(thinking=Thinking(effort=effort), profile=Profile(efforts=known))
    assert document.get("reasoning", {}).get("effort") == expected


# --- names ------------------------------------------------------------------------------------------

LONG = "a" * 70


def test_names_that_are_too_long_are_shortened_everywhere_and_found_again() -> None:
    request = Request(
        "chat",
        turns=[assistant(Call("call_a", LONG, "{}")), user(Result("call_a", []))],
        tools=[Tool(LONG), Tool("a.b"), Tool("g", namespace="m")],
        tool_choice=ToolChoice("tool", LONG),
    )
    document = write(request, OPENAI)
    names = [tool["name"] for tool in document["tools"]]
    assert [len(name) for name in names] == [64, 12, 4]
    assert names[0].startswith("a" * 55 + "_")
    assert names[1].startswith("a_b_")
    assert document["tool_choice"]["name"] == document["input"][0]["name"] == names[0]
    assert [request.tool(name).flat for name in names] == [LONG, "a.b", "m__g"]


def test_names_without_a_limit_are_left_alone() -> None:
    assert written(tools=[Tool(LONG)], profile=Profile())["tools"][0]["name"] == LONG


def test_names_that_become_one_are_refused() -> None:
    flat = "m__" + LONG
    with pytest.raises(BadRequest, match=r"by the name of "):
        written(tools=[Tool(LONG, namespace="m"), Tool(flat, path="tools[1]")])


# --- read, then written -----------------------------------------------------------------------------


def normal(document: dict[str, Any]) -> dict[str, Any]:
    """What a request means, whichever way it is written."""
    found = copy.deepcopy(document)
    given_ = found.pop("input")
    listed = [message("user", text_in(given_))] if isinstance(given_, str) else given_
    if found.pop("instructions", None):
        listed = [message("system", text_in(document["instructions"])), *listed]
    found["input"] = [item for item in map(normal_item, listed) if item is not None]
    for tool in found.get("tools", []):
        tool.setdefault("strict", tool.get("parameters", {}).get("additionalProperties") is False)
        tool["parameters"] = tool.get("parameters") or {"type": "object", "properties": {}}
        for name in [name for name, value in tool.items() if value is None or name == "defer_loading"]:
            del tool[name]
    found["max_output_tokens"] = max(found.get("max_output_tokens") or 16, 16)
    found.get("reasoning", {}).pop("context", None)
    if found.get("reasoning"):
        found["reasoning"].setdefault("summary", "auto")
    if found.get("text", {}).get("format", {}).get("type") == "text":
        del found["text"]["format"]
    for name in ("store", "metadata", "truncation", "include", "context_management", "previous_response_id"):
        found.pop(name, None)
    return {name: value for name, value in found.items() if value not in (None, {}, [], False)}


def normal_item(item: dict[str, Any]) -> dict[str, Any] | None:
    found = {name: value for name, value in item.items() if name not in ("id", "status", "phase")}
    found.setdefault("type", "message")
    if found["type"] == "reasoning":
        return None
    if found["type"] == "message":
        if found["role"] == "developer":
            found["role"] = "system"
        if isinstance(found["content"], str):
            kind = "output_text" if found["role"] == "assistant" else "input_text"
            found["content"] = [{"type": kind, "text": found["content"]}] if found["content"] else []
        for part in found["content"]:
            for name in ("annotations", "logprobs"):
                part.pop(name, None)
            if part["type"] == "input_image":
                part.setdefault("detail", "auto")
    if isinstance(found.get("output"), list) and all(
        part["type"] == "input_text" for part in found["output"]
    ):
        found["output"] = "\n".join(part["text"] for part in found["output"])
    return found


@with_corpus
def test_a_recorded_request_read_and_written_means_the_same() -> None:
    same = 0
    for path in sorted([*RECORDED.glob("*.json"), *RECORDED.glob("pairs/*.json")]):
        document = json.loads(path.read_text())["request"]
        if document is None:
            continue
        try:
            request = read(copy.deepcopy(document))
        except BadRequest:
            continue
        again = write(request, Profile())
        if any(not name.startswith(("reasoning", "include", "context")) for name in request.dropped):
            continue  # hosted tools and their items
        if isinstance(document.get("tool_choice"), dict):
            continue  # a choice among the tools became fewer tools
        assert normal(again) == normal(document), path.name
        same += 1
    assert same > 50


WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)
USERS: st.SearchStrategy[Part] = st.one_of(
    st.builds(Text, WORDS),
    st.just(Image(url="https://a.example/i.png", detail="low")),
    st.just(Image(media_type="image/png", data=PNG, detail="auto")),
    st.builds(File, st.just(PDF), st.just("application/pdf"), st.just("a.pdf")),
    st.just(Audio(PNG, "wav")),
)


@st.composite
def conversations(draw: st.DrawFn) -> list[Turn]:
    turns: list[Turn] = [Turn("system", [Text(draw(WORDS))])] if draw(st.booleans()) else []
    for number in range(draw(st.integers(1, 3))):
        turns.append(user(*draw(st.lists(USERS, min_size=1, max_size=3))))
        words: list[Part] = draw(st.lists(st.builds(Text, WORDS), max_size=1))
        calls = [
            Call(
                f"call_{number}_{at}",
                name,
                json.dumps({"input": draw(WORDS)}, separators=(",", ":")),
                None,
                custom,
            )
            for at, (name, custom) in enumerate(
                draw(st.lists(st.sampled_from([("f", False), ("p", True)]), max_size=3))
            )
        ]
        if words or calls:
            turns.append(assistant(*words, *calls))
        if calls:
            contents = st.lists(st.builds(Text, WORDS), max_size=1) | st.just(
                [Text("see"), Image(url="https://a.example/i.png", detail="low")]
            )
            turns.append(user(*(Result(call.id, draw(contents)) for call in draw(st.permutations(calls)))))
    return turns


def bare(turns: list[Turn]) -> list[Any]:
    """Without paths, and JSON as what it means."""
    found = copy.deepcopy(turns)
    for turn in found:
        turn.path = ""
        for part in turn.parts:
            part.path = ""
            if isinstance(part, Result):
                for inner in part.parts:
                    inner.path = ""
            if isinstance(part, Call):
                part.arguments = json.loads(part.arguments)
    return found


@given(conversations())
@settings(thorough)
def test_a_conversation_written_and_read_is_the_same(turns: list[Turn]) -> None:
    request = Request("chat", "m-1", turns=copy.deepcopy(turns))
    settle(request, strict=True)
    expected = bare(request.turns)
    again = read(json.loads(json.dumps(write(request, OPENAI))))
    assert bare(again.turns) == expected
    assert again.dropped == []


@given(st.text())
def test_the_mark_of_encrypted_content(encrypted: str) -> None:
    assert unmarked(marked(encrypted)) == encrypted


@pytest.mark.parametrize("signature", [None, "", "EqQBCgIYAg", "relay1.e30"])
def test_a_signature_of_another_maker_has_no_mark(signature: str | None) -> None:
    assert unmarked(signature) is None
