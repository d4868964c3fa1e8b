"""A chat request → the neutral one: the client's half of the tables, and what is refused, by its path."""

from __future__ import annotations

import contextlib
import copy
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.dialects.chat_reading import read
from relay.dialects.request import (
    Audio,
    BadRequest,
    Call,
    Extra,
    File,
    Image,
    Output,
    Part,
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
from tests.dialects.chat_requests import REQUESTS, SIMPLE, USER, function, mutated

MANY = settings(
    max_examples=500 if "CI" in os.environ else 300, suppress_health_check=list(HealthCheck), deadline=None
)
F = Tool("f", path="tools[0]")
G = Tool("g", path="tools[1]")
FG = [function("f"), function("g")]


def request(**members: Any) -> Request:
    """What the simple request reads as, with these members of the neutral one."""
    turns = [Turn("user", [Text("Hi", "messages[0].content")], "messages[0]")]
    return Request("chat", "m-1", **{"turns": turns, **members})


def test_the_simplest() -> None:
    assert read(SIMPLE) == request()


ROWS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "5.1 stream": ({"stream": True}, {"stream": True}),
    "5.1 stream false": ({"stream": False, "stream_options": None}, {}),
    "5.1 include_usage": (
        {"stream": True, "stream_options": {"include_usage": True, "include_obfuscation": False}},
        {"stream": True, "usage_asked": True},
    ),
    "5.1 max_completion_tokens": ({"max_completion_tokens": 7, "max_tokens": 9}, {"max_tokens": 7}),
    "5.1 max_tokens": ({"max_tokens": 9}, {"max_tokens": 9}),
    "5.1 temperature, top_p": ({"temperature": 0, "top_p": 0.5}, {"temperature": 0, "top_p": 0.5}),
    "1 top_k": ({"top_k": 40}, {"top_k": 40}),
    "1 top_k off": ({"top_k": -1}, {}),
    "5.1 stop string": ({"stop": "END"}, {"stop": ["END"]}),
    "5.1 stop list": ({"stop": ["a", "", "b"]}, {"stop": ["a", "b"]}),
    "5.1 stop empty": ({"stop": []}, {}),
    "5.1 tools": (
        {
            "tools": [
                function("f", description="d", parameters={"type": "object"}, strict=True),
                function("g"),
            ]
        },
        {"tools": [Tool("f", "d", {"type": "object"}, True, path="tools[0]"), G]},
    ),
    "5.1 no tools": ({"tools": []}, {}),
    "5.1 custom tool": (
        {
            "tools": [
                {
                    "type": "custom",
                    "custom": {
                        "name": "edit",
                        "description": "d",
                        "format": {
                            "type": "grammar",
                            "grammar": {"syntax": "lark", "definition": "start: X"},
                        },
                    },
                }
            ]
        },
        {
            "tools": [
                Tool(
                    "edit",
                    "d",
                    custom=True,
                    syntax={"type": "grammar", "syntax": "lark", "definition": "start: X"},
                    path="tools[0]",
                )
            ]
        },
    ),
    "5.1 functions": (
        {"functions": [{"name": "f", "parameters": {}}], "function_call": {"name": "f"}},
        {
            "tools": [Tool("f", parameters={}, path="functions[0]")],
            "tool_choice": ToolChoice("tool", "f", "function_call"),
        },
    ),
    "5.1 function_call none": (
        {"functions": [{"name": "f"}], "function_call": "none"},
        {
            "tools": [Tool("f", path="functions[0]")],
            "tool_choice": ToolChoice("none", path="function_call"),
        },
    ),
    "5.1 tool_choice auto": (
        {"tools": FG, "tool_choice": "auto"},
        {"tools": [F, G], "tool_choice": ToolChoice("auto")},
    ),
    "5.1 tool_choice required": (
        {"tools": FG, "tool_choice": "required"},
        {"tools": [F, G], "tool_choice": ToolChoice("any")},
    ),
    "5.1 tool_choice none": (
        {"tools": FG, "tool_choice": "none"},
        {"tools": [F, G], "tool_choice": ToolChoice("none")},
    ),
    "5.1 tool_choice named": (
        {"tools": FG, "tool_choice": {"type": "function", "function": {"name": "g"}}},
        {"tools": [F, G], "tool_choice": ToolChoice("tool", "g")},
    ),
    "5.1 tool_choice allowed_tools": (
        {
            "tools": FG,
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [{"type": "function", "function": {"name": "f"}}],
                },
            },
        },
        {"tools": [F], "tool_choice": ToolChoice("any")},
    ),
    "5.1 tool_choice without tools": ({"tool_choice": "auto"}, {}),
    "5.1 parallel_tool_calls": (
        {"tools": FG, "parallel_tool_calls": False},
        {"tools": [F, G], "parallel": False},
    ),
    "5.1 reasoning_effort": ({"reasoning_effort": "minimal"}, {"thinking": Thinking("minimal")}),
    "5.1 response_format json_schema": (
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "name": "n",
                    "schema": {"type": "object"},
                    "strict": True,
                    "description": "d",
                },
            }
        },
        {"output": Output({"type": "object"}, "n", True, "d", "response_format")},
    ),
    "5.1 response_format json_object": (
        {"response_format": {"type": "json_object"}},
        {"output": Output(path="response_format")},
    ),
    "5.1 response_format text": ({"response_format": {"type": "text"}}, {}),
    "5.1 user": ({"user": "u"}, {"user": "u"}),
    "5.1 n 1": ({"n": 1, "modalities": ["text"]}, {}),
    "1 defaults are absent": (
        {
            "logprobs": False,
            "frequency_penalty": 0,
            "presence_penalty": 0.0,
            "logit_bias": {},
            "store": False,
            "top_logprobs": 0,
            "metadata": {},
            "seed": None,
            "audio": None,
        },
        {},
    ),
    "1 unknown fields are noted": (
        {"min_p": 0.1, "stream_options": {"new": 1}},
        {"dropped": ["stream_options.new", "min_p"]},
    ),
}
EXTRAS = {
    "seed": 7,
    "logit_bias": {"1": 2},
    "frequency_penalty": 0.5,
    "presence_penalty": 1,
    "logprobs": True,
    "top_logprobs": 3,
    "verbosity": "low",
    "service_tier": "flex",
    "metadata": {"a": "b"},
    "store": True,
    "safety_identifier": "s",
    "prompt_cache_key": "k",
    "prompt_cache_retention": "24h",
    "prompt_cache_options": {"ttl": "30m"},
    "prediction": {"type": "content", "content": "x"},
    "web_search_options": {},
    "moderation": {"model": "x"},
}


@pytest.mark.parametrize("row", ROWS)
def test_row(row: str) -> None:
    members, expected = ROWS[row]
    assert read({**SIMPLE, **members}) == request(**expected)


@pytest.mark.parametrize("name", EXTRAS)
def test_5_1_and_7_1_goes_by_its_openai_name(name: str) -> None:
    assert read({**SIMPLE, name: EXTRAS[name]}) == request(extras={name: Extra(EXTRAS[name], name)})


# --- messages -----------------------------------------------------------------------------------

PNG = "iVBORw0KGgo="


def turns(*messages: dict[str, Any]) -> list[Turn]:
    return read({**SIMPLE, "messages": list(messages)}).turns


def user_parts(*parts: Any) -> list[Part]:
    (turn,) = turns({"role": "user", "content": list(parts)})
    return turn.parts


PARTS: dict[str, tuple[Any, list[Part]]] = {
    "text": ({"type": "text", "text": "a"}, [Text("a", "messages[0].content[0]")]),
    "a string among the parts": ("a", [Text("a", "messages[0].content[0]")]),
    "an empty text is none": ({"type": "text", "text": ""}, []),
    "cache hints are silent": (
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
        [Text("a", "messages[0].content[0]")],
    ),
    "image url": (
        {"type": "image_url", "image_url": {"url": "https://a/b.png", "detail": "low"}},
        [Image("https://a/b.png", detail="low", path="messages[0].content[0]")],
    ),
    "image url as a string": (
        {"type": "image_url", "image_url": "http://a/b.png"},
        [Image("http://a/b.png", path="messages[0].content[0]")],
    ),
    "image data": (
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        [Image(media_type="image/png", data=PNG, path="messages[0].content[0]")],
    ),
    "image data with parameters": (
        {"type": "image_url", "image_url": {"url": f"data:image/WEBP;a=b;base64,{PNG}"}},
        [Image(media_type="image/webp", data=PNG, path="messages[0].content[0]")],
    ),
    "sound": (
        {"type": "input_audio", "input_audio": {"data": PNG, "format": "wav"}},
        [Audio(PNG, "wav", "messages[0].content[0]")],
    ),
    "file": (
        {
            "type": "file",
            "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PNG}"},
        },
        [File(PNG, "application/pdf", "a.pdf", "messages[0].content[0]")],
    ),
    "file without a media type": (
        {"type": "file", "file": {"file_data": PNG}},
        [File(PNG, "application/pdf", None, "messages[0].content[0]")],
    ),
}


@pytest.mark.parametrize("row", PARTS)
def test_5_1_user_part(row: str) -> None:
    part, expected = PARTS[row]
    assert user_parts(part) == expected


def test_5_1_system_and_developer_messages_stay_in_place() -> None:
    read_turns = turns(
        {"role": "system", "content": "a"},
        {"role": "user", "content": "b", "name": "ann"},
        {"role": "developer", "content": [{"type": "text", "text": "c"}]},
    )
    assert read_turns == [
        Turn("system", [Text("a", "messages[0].content")], "messages[0]"),
        Turn("user", [Text("b", "messages[1].content")], "messages[1]"),
        Turn("system", [Text("c", "messages[2].content[0]")], "messages[2]"),
    ]


def assistant(**members: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, **members}


def call(ident: str = "a", name: str = "f", arguments: str = "{}", **more: Any) -> dict[str, Any]:
    return {"id": ident, "type": "function", "function": {"name": name, "arguments": arguments}, **more}


def answer(ident: str = "a", content: Any = "ok") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": ident, "content": content}


def test_5_1_an_assistant_message_with_all_that_it_may_hold() -> None:
    message = assistant(
        content=[{"type": "text", "text": "t"}, {"type": "refusal", "refusal": "r"}],
        refusal="s",
        reasoning_content="Hm",
        reasoning="Hm",
        tool_calls=[
            call("a", index=0),
            {"id": "b", "type": "custom", "custom": {"name": "edit", "input": 'x"'}},
        ],
        annotations=[],
        audio=None,
        function_call=None,
        provider_specific_fields={"x": 1},
    )
    read_ = read({**SIMPLE, "messages": [USER, message, answer("b"), answer("a")]})
    at = "messages[1]"
    assert read_.dropped == []
    _, said, results = read_.turns
    assert [said] == [
        Turn(
            "assistant",
            [
                Reasoning("Hm", path=f"{at}.reasoning_content"),
                Text("t", f"{at}.content[0]"),
                Refusal("r", f"{at}.content[1]"),
                Refusal("s", f"{at}.refusal"),
                Call("a", "f", "{}", path=f"{at}.tool_calls[0]"),
                Call("b", "edit", '{"input":"x\\""}', custom=True, path=f"{at}.tool_calls[1]"),
            ],
            at,
        ),
    ]
    assert results.parts == [
        Result("b", [Text("ok", "messages[2].content")], path="messages[2]"),
        Result("a", [Text("ok", "messages[3].content")], path="messages[3]"),
    ]


def test_5_1_results_stand_before_what_the_user_says_next() -> None:
    *_, last = turns(USER, assistant(tool_calls=[call("a"), call("b")]), answer("a"), answer("b", None), USER)
    assert [type(part).__name__ for part in last.parts] == ["Result", "Result", "Text"]
    assert last.parts[1] == Result("b", [], path="messages[3]")


def test_5_1_a_call_without_a_result_gets_one_and_a_warning() -> None:
    made = read({**SIMPLE, "messages": [USER, assistant(tool_calls=[call()]), USER]})
    assert made.turns[2].parts[0] == Result("a", [Text("no result")], path="messages[1].tool_calls[0]")
    assert made.dropped == ["messages[1].tool_calls[0]"]


def test_5_1_function_call_of_old_and_its_result() -> None:
    made = turns(
        USER,
        assistant(function_call={"name": "f", "arguments": "{}"}),
        {"role": "function", "name": "f", "content": "1"},
        assistant(function_call={"name": "f", "arguments": "{}"}),
        {"role": "function", "name": "f", "content": "2"},
    )
    first, second = (part for turn in made for part in turn.parts if isinstance(part, Call))
    assert first.id != second.id
    results = [part for turn in made for part in turn.parts if isinstance(part, Result)]
    assert [result.id for result in results] == [first.id, second.id]


# --- refused ------------------------------------------------------------------------------------


def messages(*entries: Any) -> dict[str, Any]:
    return {"messages": list(entries)}


def user(*parts: Any) -> dict[str, Any]:
    return messages({"role": "user", "content": list(parts)})


CALLED = assistant(tool_calls=[call()])
REFUSED: dict[str, dict[str, Any]] = {
    "model": {"model": None},
    "model ": {"model": 3},
    "messages": {"messages": None},
    "messages ": {"messages": []},
    "messages  ": {"messages": "Hi"},
    "messages[0]": messages("Hi"),
    "messages[0].role": messages({"content": "Hi"}),
    "messages[0].role ": messages({"role": "robot", "content": "Hi"}),
    "messages[0].content": messages({"role": "user"}),
    "messages[0].content ": messages({"role": "system", "content": 3}),
    "messages[0].content[0]": user(3),
    "messages[0].content[0].type": user({"text": "a"}),
    "messages[0].content[0].type ": user({"type": "refusal", "refusal": "a"}),
    "messages[0].content[0].text": user({"type": "text"}),
    "messages[0].content[0].text ": user({"type": "text", "text": ["a"]}),
    "messages[0].content[0].image_url": user({"type": "image_url"}),
    "messages[0].content[0].image_url.url": user({"type": "image_url", "image_url": {"url": "a.png"}}),
    "messages[0].content[0].image_url.url ": user(
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,@@@@"}}
    ),
    "messages[0].content[0].image_url.url  ": user(
        {"type": "image_url", "image_url": {"url": "data:image/svg+xml,<svg/>"}}
    ),
    "messages[0].content[0].image_url.detail": user(
        {"type": "image_url", "image_url": {"url": "https://a", "detail": 3}}
    ),
    "messages[0].content[0].input_audio.data": user(
        {"type": "input_audio", "input_audio": {"data": "a", "format": "wav"}}
    ),
    "messages[0].content[0].input_audio.format": user({"type": "input_audio", "input_audio": {"data": PNG}}),
    "messages[0].content[0].file.file_id": user({"type": "file", "file": {"file_id": "file-1"}}),
    "messages[0].content[0].file.file_data": user({"type": "file", "file": {"filename": "a"}}),
    "messages[1].tool_calls": messages(USER, assistant(tool_calls={})),
    "messages[1].tool_calls[0]": messages(USER, assistant(tool_calls=["a"])),
    "messages[1].tool_calls[0].id": messages(USER, assistant(tool_calls=[call("")])),
    "messages[1].tool_calls[0].type": messages(USER, assistant(tool_calls=[{"id": "a", "type": "mcp"}])),
    "messages[1].tool_calls[0].function": messages(USER, assistant(tool_calls=[{"id": "a"}])),
    "messages[1].tool_calls[0].function.name": messages(USER, assistant(tool_calls=[call(name="")])),
    "messages[1].tool_calls[0].function.arguments": messages(
        USER,
        assistant(tool_calls=[call(arguments={})]),  # type: ignore[arg-type]
    ),
    "messages[1].tool_calls[1].id": messages(USER, assistant(tool_calls=[call(), call()])),
    "messages[1].function_call.name": messages(USER, assistant(function_call={"arguments": ""})),
    "messages[1]": messages(USER, answer()),
    "messages[2].tool_call_id": messages(USER, CALLED, {"role": "tool", "content": "a"}),
    "messages[3]": messages(USER, CALLED, answer(), answer()),
    "messages[1].name": messages(USER, {"role": "function", "name": "f", "content": "1"}),
    "messages[3].name": messages(
        USER,
        assistant(function_call={"name": "f"}),
        *[{"role": "function", "name": "f", "content": "1"}] * 2,
    ),
    "stream": {"stream": "yes"},
    "stream_options": {"stream_options": []},
    "stream_options.include_usage": {"stream_options": {"include_usage": 1}},
    "max_tokens": {"max_tokens": -1},
    "max_tokens ": {"max_tokens": "9"},
    "max_completion_tokens": {"max_completion_tokens": 0},
    "temperature": {"temperature": "hot"},
    "temperature ": {"temperature": -1},
    "top_p": {"top_p": True},
    "top_p ": {"top_p": float("nan")},
    "stop": {"stop": 3},
    "stop[1]": {"stop": ["a", 3]},
    "tools": {"tools": {}},
    "tools[0]": {"tools": ["f"]},
    "tools[0].type": {"tools": [{"type": "web_search"}]},
    "tools[0].function": {"tools": [{"type": "function"}]},
    "tools[0].function.name": {"tools": [{"type": "function", "function": {}}]},
    "tools[0].function.parameters": {"tools": [function("f", parameters=[])]},
    "tools[0].function.strict": {"tools": [function("f", strict="yes")]},
    "tools[0].custom.format.type": {
        "tools": [{"type": "custom", "custom": {"name": "f", "format": {"type": "grammar"}}}]
    },
    "tools[1]": {"tools": [function("f"), function("f")]},
    "functions[0].name": {"functions": [{}]},
    "tool_choice": {"tools": FG, "tool_choice": "some"},
    "tool_choice ": {"tools": FG, "tool_choice": 3},
    "tool_choice  ": {"tool_choice": "required"},
    "tool_choice.type": {"tools": FG, "tool_choice": {"type": "web_search"}},
    "tool_choice.function.name": {
        "tools": FG,
        "tool_choice": {"type": "function", "function": {"name": "h"}},
    },
    "tool_choice.allowed_tools.mode": {
        "tools": FG,
        "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "none"}},
    },
    "tool_choice.allowed_tools.tools[0].function.name": {
        "tools": FG,
        "tool_choice": {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "h"}}]},
        },
    },
    "function_call": {"functions": [{"name": "f"}], "function_call": "required"},
    "function_call.name": {"functions": [{"name": "f"}], "function_call": {"name": "g"}},
    "parallel_tool_calls": {"parallel_tool_calls": "no"},
    "reasoning_effort": {"reasoning_effort": "extreme"},
    "response_format.type": {"response_format": {"type": "xml"}},
    "response_format.json_schema": {"response_format": {"type": "json_schema"}},
    "response_format.json_schema.schema": {
        "response_format": {"type": "json_schema", "json_schema": {"name": "n"}}
    },
    "user": {"user": 3},
    "n": {"n": 2},
    "modalities": {"modalities": ["text", "audio"]},
    "audio": {"audio": {"voice": "a"}},
}


@pytest.mark.parametrize("path", REFUSED)
def test_refused_at(path: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read({**SIMPLE, **REFUSED[path]})
    assert caught.value.path == path.strip()
    assert len(str(caught.value)) > len(path.strip()) + 8


# --- any document -------------------------------------------------------------------------------

ROLES = {"system", "user", "assistant"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)
NAMES = sorted({name for made in REQUESTS.values() for name in made} | set(EXTRAS) | {"functions"})


@MANY
@given(st.dictionaries(st.sampled_from(NAMES), JSON, max_size=8))
def test_any_document_is_read_or_refused(document: dict[str, Any]) -> None:
    read_or_refused({**SIMPLE, **document})


@MANY
@given(st.data())
def test_a_changed_request_is_read_or_refused(data: st.DataObject) -> None:
    made = copy.deepcopy(REQUESTS[data.draw(st.sampled_from(sorted(REQUESTS)))])
    for _ in range(data.draw(st.integers(1, 3))):
        made = mutated(data, made, JSON)
    read_or_refused(made)


def read_or_refused(document: Any) -> None:
    made = None
    with contextlib.suppress(BadRequest):
        made = read(document)
    assert made is None or (made.model and {turn.role for turn in made.turns} <= ROLES)


@pytest.mark.parametrize(
    "thought", ["Hm. Yes.", [{"type": "text", "text": "Hm. "}, {"type": "text", "text": "Yes."}]]
)
def test_mistrals_thinking_in_the_history_is_reasoning(thought: Any) -> None:
    said = [{"type": "thinking", "thinking": thought, "closed": True}, {"type": "text", "text": "4"}]
    messages = [{"role": "user", "content": "2+2"}, {"role": "assistant", "content": said}]
    request = read({"model": "m", "messages": messages})
    path = "messages[1].content"
    assert request.turns[1].parts == [Reasoning("Hm. Yes.", path=f"{path}[0]"), Text("4", f"{path}[1]")]
    assert request.dropped == []
