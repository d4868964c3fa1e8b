"""A Responses client's request, read: translation.md 4.1 and section 11, and any JSON at all."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.dialects.request import (
    Audio,
    BadRequest,
    Call,
    Extra,
    File,
    Image,
    Output,
    Reasoning,
    Refusal,
    Request,
    Result,
    Text,
    Tool,
    ToolChoice,
)
from relay.dialects.responses_envelope import opened, sealed
from relay.dialects.responses_reading import read
from tests.dialects.responses_kit import RECORDED, with_corpus
from tests.dialects.responses_neutral import thorough

PNG = base64.b64encode(b"\x89PNG").decode()
PDF = base64.b64encode(b"%PDF").decode()


def asked(*items: Any, **members: Any) -> Request:
    return read({"model": "m-1", "input": list(items) or "Hi", **members})


def user(*content: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


def said(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}


def called(call_id: str = "call_a", **members: Any) -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": "f", "arguments": '{"a":1}', **members}


def answered(call_id: str = "call_a", output: Any = "ok") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def function(name: str = "f", **members: Any) -> dict[str, Any]:
    return {"type": "function", "name": name, **members}


def custom(name: str = "apply_patch", **members: Any) -> dict[str, Any]:
    return {"type": "custom", "name": name, **members}


def turns(request: Request) -> list[tuple[str, list[Any]]]:
    """Roles and parts, without paths."""
    return [(turn.role, [plain(part) for part in turn.parts]) for turn in request.turns]


def plain(part: Any) -> Any:
    part = copy.deepcopy(part)
    part.path = ""
    if isinstance(part, Result):
        part.parts = [plain(inner) for inner in part.parts]
    return part


CALL = Call("call_a", "f", '{"a":1}')
OK = Result("call_a", [Text("ok")])

# --- fields -----------------------------------------------------------------------------------------

FIELDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "model": ({}, {"model": "m-1", "dialect": "responses", "usage_asked": True}),
    "stream": ({"stream": True}, {"stream": True}),
    "stream absent": ({}, {"stream": False}),
    "max_output_tokens": ({"max_output_tokens": 9}, {"max_tokens": 9}),
    "temperature, top_p": ({"temperature": 0, "top_p": 0.5}, {"temperature": 0, "top_p": 0.5}),
    "top_logprobs": (
        {"top_logprobs": 2},
        {"extras": {"top_logprobs": Extra(2, "top_logprobs"), "logprobs": Extra(True, "top_logprobs")}},
    ),
    "include logprobs": (
        {"include": ["message.output_text.logprobs"]},
        {"extras": {"logprobs": Extra(True, "include[0]")}},
    ),
    "other include values W": ({"include": ["web_search_call.results"]}, {"dropped": ["include[0]"]}),
    "parallel_tool_calls": ({"parallel_tool_calls": False}, {"parallel": False}),
    "max_tool_calls W": ({"max_tool_calls": 3}, {"dropped": ["max_tool_calls"]}),
    "reasoning.context, .mode W": (
        {"reasoning": {"context": "all_turns", "mode": "x"}},
        {"dropped": ["reasoning.context", "reasoning.mode"]},
    ),
    "text.format text": ({"text": {"format": {"type": "text"}}}, {"output": None}),
    "text.format json_object": (
        {"text": {"format": {"type": "json_object"}}},
        {"output": Output(path="text.format")},
    ),
    "text.format json_schema": (
        {
            "text": {
                "format": {
                    "type": "json_schema",
                    "name": "n",
                    "schema": {"type": "object"},
                    "strict": True,
                    "description": "d",
                }
            }
        },
        {"output": Output({"type": "object"}, "n", True, "d", "text.format")},
    ),
    "text.verbosity": (
        {"text": {"verbosity": "low"}},
        {"extras": {"verbosity": Extra("low", "text.verbosity")}},
    ),
    "store true W": ({"store": True}, {"dropped": ["store"]}),
    "store absent or false": ({"store": False}, {"dropped": []}),
    "previous_response_id empty": ({"previous_response_id": ""}, {"dropped": []}),
    "background false": ({"background": False}, {"dropped": []}),
    "truncation auto W": ({"truncation": "auto"}, {"dropped": ["truncation"]}),
    "truncation disabled": ({"truncation": "disabled"}, {"dropped": []}),
    "context_management W": ({"context_management": []}, {"dropped": ["context_management"]}),
    "metadata not sent": ({"metadata": {"a": "b"}}, {"extras": {}, "dropped": []}),
    "user": ({"user": "u"}, {"user": "u"}),
    "OpenAI's own": (
        {"safety_identifier": "s", "prompt_cache_key": "k", "service_tier": "flex"},
        {
            "extras": {
                "safety_identifier": Extra("s", "safety_identifier"),
                "prompt_cache_key": Extra("k", "prompt_cache_key"),
                "service_tier": Extra("flex", "service_tier"),
            }
        },
    ),
    "moderation, access_programs, image W": (
        {"moderation": {}, "access_programs": [], "image": {}},
        {"dropped": ["moderation", "access_programs", "image"]},
    ),
    "include_obfuscation, client_metadata D": (
        {"stream_options": {"include_obfuscation": False}, "client_metadata": {"a": "b"}},
        {"dropped": []},
    ),
    "unknown fields W": ({"frobnicate": 1}, {"dropped": ["frobnicate"]}),
    "null is absent": ({"temperature": None, "tools": None, "frobnicate": None}, {"dropped": []}),
    "tools empty": ({"tools": [], "tool_choice": "auto"}, {"tools": [], "tool_choice": None}),
}


@pytest.mark.parametrize("row", FIELDS)
def test_4_1_fields(row: str) -> None:
    members, expected = FIELDS[row]
    request = asked(**members)
    assert {name: getattr(request, name) for name in expected} == expected


THINKING: dict[str, tuple[dict[str, Any], tuple[Any, ...]]] = {
    "effort": ({"reasoning": {"effort": "high"}}, ("high", None, False)),
    "summary": ({"reasoning": {"summary": "auto"}}, (None, "auto", False)),
    "generate_summary": ({"reasoning": {"generate_summary": "concise"}}, (None, "concise", False)),
    "encrypted_content": ({"include": ["reasoning.encrypted_content"]}, (None, None, True)),
}


@pytest.mark.parametrize("row", THINKING)
def test_4_1_reasoning(row: str) -> None:
    members, expected = THINKING[row]
    thinking = asked(**members).thinking
    assert (thinking.effort, thinking.summary, thinking.sealed) == expected


def test_the_answer_repeats_the_request() -> None:
    given_ = {
        "instructions": "Be kind.",
        "max_output_tokens": 9,
        "metadata": {"a": "b"},
        "tools": [function()],
        "tool_choice": "auto",
        "text": {"verbosity": "low"},
        "reasoning": {"effort": "low"},
        "truncation": None,
    }
    assert asked(store=True, **given_).echo == {
        **{name: value for name, value in given_.items() if value is not None},
        "text": {"format": {"type": "text"}, "verbosity": "low"},
        "reasoning": {"effort": "low", "summary": None},
        "store": False,
    }


# --- items ------------------------------------------------------------------------------------------

ITEMS: dict[str, tuple[list[Any], list[tuple[str, list[Any]]]]] = {
    "input string": ([], [("user", [Text("Hi")])]),
    "message string": ([{"role": "user", "content": "Hi"}], [("user", [Text("Hi")])]),
    "message of system or developer": (
        [{"role": "developer", "content": "A"}, {"type": "message", "role": "system", "content": "B"}],
        [("system", [Text("A")]), ("system", [Text("B")])],
    ),
    "input_text": ([user({"type": "input_text", "text": "Hi"})], [("user", [Text("Hi")])]),
    "input_image url, detail original → high": (
        [user({"type": "input_image", "image_url": "https://a.example/i.png", "detail": "original"})],
        [("user", [Image(url="https://a.example/i.png", detail="high")])],
    ),
    "input_image data": (
        [user({"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"})],
        [("user", [Image(media_type="image/png", data=PNG)])],
    ),
    "input_file with file_data": (
        [
            user(
                {"type": "input_file", "file_data": f"data:application/pdf;base64,{PDF}", "filename": "a.pdf"}
            )
        ],
        [("user", [File(PDF, "application/pdf", "a.pdf")])],
    ),
    "input_file with bare base64": (
        [user({"type": "input_file", "file_data": PDF, "filename": "a.txt"})],
        [("user", [File(PDF, "text/plain", "a.txt")])],
    ),
    "input_audio": (
        [user({"type": "input_audio", "input_audio": {"data": PNG, "format": "wav"}})],
        [("user", [Audio(PNG, "wav")])],
    ),
    "message assistant: output_text, refusal": (
        [
            {
                "role": "assistant",
                "content": [{"type": "output_text", "text": "A"}, {"type": "refusal", "refusal": "B"}],
            }
        ],
        [("assistant", [Text("A"), Refusal("B")])],
    ),
    "function_call and its output": (
        [called(), answered()],
        [("assistant", [CALL]), ("user", [OK])],
    ),
    "function_call with namespace": (
        [called(namespace="m"), answered()],
        [("assistant", [Call("call_a", "f", '{"a":1}', "m")]), ("user", [OK])],
    ),
    "function_call without arguments": (
        [called(arguments=""), answered()],
        [("assistant", [Call("call_a", "f", "{}")]), ("user", [OK])],
    ),
    "custom_tool_call": (
        [
            {"type": "custom_tool_call", "call_id": "call_a", "name": "apply_patch", "input": 'say "x"'},
            {"type": "custom_tool_call_output", "call_id": "call_a", "output": "ok"},
        ],
        [
            ("assistant", [Call("call_a", "apply_patch", '{"input":"say \\"x\\""}', custom=True)]),
            ("user", [OK]),
        ],
    ),
    "adjacent items are one assistant message": (
        [
            user({"type": "input_text", "text": "Hi"}),
            {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]},
            said("Look."),
            called(),
            called("call_b"),
            answered("call_b"),
            answered(),
        ],
        [
            ("user", [Text("Hi")]),
            ("assistant", [Reasoning("Hm."), Text("Look."), CALL, Call("call_b", "f", '{"a":1}')]),
            ("user", [Result("call_b", [Text("ok")]), OK]),
        ],
    ),
    "assistant message between a call and its output (LiteLLM 32536)": (
        [called(), said("Wait."), answered(), said("Done.")],
        [("assistant", [Text("Wait."), CALL]), ("user", [OK]), ("assistant", [Text("Done.")])],
    ),
    "… with another output before it": (
        [called(), called("call_b"), answered(), said("Wait."), answered("call_b")],
        [
            ("assistant", [Text("Wait."), CALL, Call("call_b", "f", '{"a":1}')]),
            ("user", [OK, Result("call_b", [Text("ok")])]),
        ],
    ),
    "list output with an image": (
        [
            called(),
            answered(
                output=[
                    {"type": "input_text", "text": "see"},
                    {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"},
                ]
            ),
        ],
        [
            ("assistant", [CALL]),
            ("user", [Result("call_a", [Text("see"), Image(media_type="image/png", data=PNG)])]),
        ],
    ),
    "empty output": (
        [called(), answered(output="")],
        [("assistant", [CALL]), ("user", [Result("call_a", [])])],
    ),
    "reasoning from relay's envelope": (
        [
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "Hm."}],
                "content": None,
                "encrypted_content": sealed(Reasoning("Hmm.", "sig==")),
            }
        ],
        [("assistant", [Reasoning("Hmm.", "sig==")])],
    ),
    "reasoning with a foreign envelope": (
        [
            {
                "type": "reasoning",
                "summary": [],
                "content": [{"type": "reasoning_text", "text": "Hm."}],
                "encrypted_content": "gAAA",
            }
        ],
        [("assistant", [Reasoning("Hm.")])],
    ),
    "reasoning with nothing that can be used": (
        [
            {
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": "Hm."}],
                "content": None,
                "encrypted_content": "gAAA",
            }
        ],
        [],
    ),
}


@pytest.mark.parametrize("row", ITEMS)
def test_4_1_items(row: str) -> None:
    items, expected = ITEMS[row]
    request = asked(*items)
    assert turns(request) == expected
    assert request.dropped == []


def test_instructions_come_first() -> None:
    request = asked(user({"type": "input_text", "text": "Hi"}), instructions="Be kind.")
    assert turns(request)[0] == ("system", [Text("Be kind.")])


LEFT_OUT = (
    *("web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call", "mcp_call"),
    *("mcp_list_tools", "mcp_approval_request", "tool_search_call", "tool_search_output", "compaction"),
)


@pytest.mark.parametrize("kind", LEFT_OUT)
def test_4_1_what_a_server_did_is_left_out(kind: str) -> None:
    request = asked(said("A"), {"type": kind, "id": "x_1"})
    assert (request.dropped, len(request.turns)) == ([f"input[1]({kind})"], 1)


@pytest.mark.parametrize("item", [{"type": "item_reference", "id": "rs_1"}, {"id": "rs_1"}])
def test_4_1_a_reference_to_reasoning_is_left_out(item: dict[str, Any]) -> None:
    assert asked(said("A"), item).dropped == ["input[1](item_reference)"]


def test_a_call_that_was_never_answered_gets_a_result_and_a_warning() -> None:
    request = asked(called(), user({"type": "input_text", "text": "Stop."}))
    assert turns(request)[1] == ("user", [Result("call_a", [Text("no result")]), Text("Stop.")])
    assert request.dropped == ["input[0]"]


# --- tools ------------------------------------------------------------------------------------------

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
CLOSED = {**SCHEMA, "required": ["a"], "additionalProperties": False}
OPEN = {**CLOSED, "properties": {"a": {"anyOf": [CLOSED, SCHEMA]}}}
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: x"}
TOOLS: dict[str, tuple[list[Any], list[Tool]]] = {
    "function, strict is the default here": (
        [function(description="d", parameters=CLOSED)],
        [Tool("f", "d", CLOSED, True)],
    ),
    "function that cannot be strict": ([function(parameters=SCHEMA)], [Tool("f", None, SCHEMA, False)]),
    "function with an object inside that cannot be": (
        [function(parameters=OPEN)],
        [Tool("f", None, OPEN, False)],
    ),
    "function that is not strict": ([function(strict=False, parameters=None)], [Tool("f", strict=False)]),
    "namespace": (
        [
            {
                "type": "namespace",
                "name": "m",
                "description": "d",
                "tools": [function("a"), custom("b", format={"type": "text"})],
            }
        ],
        [Tool("a", strict=False, namespace="m"), Tool("b", namespace="m", custom=True)],
    ),
    "custom with a grammar": ([custom(format=GRAMMAR)], [Tool("apply_patch", custom=True, syntax=GRAMMAR)]),
    "what says nothing to a model D": (
        [function(defer_loading=True, allowed_callers=["direct"], output_schema={}, **{"async": False})],
        [Tool("f", strict=False)],
    ),
}


@pytest.mark.parametrize("row", TOOLS)
def test_4_1_tools(row: str) -> None:
    given_, expected = TOOLS[row]
    request = asked(tools=given_)
    assert [plain(tool) for tool in request.tools] == expected
    assert request.dropped == []


HOSTED = (
    *("web_search", "web_search_preview", "file_search", "code_interpreter", "image_generation", "mcp"),
    *("tool_search", "local_shell", "shell", "apply_patch", "computer_use_preview"),
)


@pytest.mark.parametrize("kind", HOSTED)
def test_4_1_hosted_tools_are_left_out(kind: str) -> None:
    request = asked(tools=[{"type": kind}, function()])
    assert ([tool.name for tool in request.tools], request.dropped) == (["f"], [f"tools[0]({kind})"])


def test_tools_among_the_input() -> None:
    listed = {"type": "additional_tools", "id": "at_1", "role": "developer", "tools": [function()]}
    request = asked(listed, user({"type": "input_text", "text": "Hi"}))
    assert [(tool.name, tool.path) for tool in request.tools] == [("f", "input[0].tools[0]")]
    assert (len(request.turns), request.dropped) == (1, [])


SPACE = {"type": "namespace", "name": "m", "tools": [function("g")]}
CHOICES: dict[str, tuple[Any, ToolChoice, list[str]]] = {
    "auto": ("auto", ToolChoice("auto"), ["f", "m__g", "apply_patch"]),
    "required": ("required", ToolChoice("any"), ["f", "m__g", "apply_patch"]),
    "none": ("none", ToolChoice("none"), ["f", "m__g", "apply_patch"]),
    "function": (function(), ToolChoice("tool", "f"), ["f", "m__g", "apply_patch"]),
    "function of a namespace": (function("g"), ToolChoice("tool", "m__g"), ["f", "m__g", "apply_patch"]),
    "custom": (custom(), ToolChoice("tool", "apply_patch"), ["f", "m__g", "apply_patch"]),
    "allowed_tools": (
        {"type": "allowed_tools", "mode": "required", "tools": [function(), custom()]},
        ToolChoice("any", path="tool_choice.mode"),
        ["f", "apply_patch"],
    ),
}


@pytest.mark.parametrize("row", CHOICES)
def test_4_1_tool_choice(row: str) -> None:
    choice, expected, left = CHOICES[row]
    request = asked(tools=[function(), SPACE, custom()], tool_choice=choice)
    assert (request.tool_choice, [tool.flat for tool in request.tools]) == (expected, left)


# --- what is refused --------------------------------------------------------------------------------

REFUSED: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "11 previous_response_id": (
        {"previous_response_id": "resp_1"},
        "previous_response_id",
        "previous_response_not_found",
    ),
    "11 conversation": ({"conversation": "conv_1"}, "conversation", "unsupported_parameter"),
    "11 prompt": ({"prompt": {"id": "p"}}, "prompt", "unsupported_parameter"),
    "11 background": ({"background": True}, "background", "unsupported_parameter"),
    "model absent": ({"model": None}, "model", None),
    "input absent": ({"input": None}, "input", None),
    "input of another type": ({"input": 3}, "input", None),
    "stream of another type": ({"stream": "yes"}, "stream", None),
    "negative limit": ({"max_output_tokens": -1}, "max_output_tokens", None),
    "item that is no object": ({"input": ["Hi"]}, "input[0]", None),
    "item without a type": ({"input": [{"text": "Hi"}]}, "input[0].type", None),
    "item of an unknown type": ({"input": [{"type": "frob"}]}, "input[0].type", None),
    "role unknown": ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role", None),
    "part of an unknown type": ({"input": [user({"type": "video"})]}, "input[0].content[0].type", None),
    "part without text": ({"input": [user({"type": "input_text"})]}, "input[0].content[0].text", None),
    "image with file_id": (
        {"input": [user({"type": "input_image", "file_id": "f"})]},
        "input[0].content[0].file_id",
        "unsupported_parameter",
    ),
    "file with file_id": (
        {"input": [user({"type": "input_file", "file_id": "f"})]},
        "input[0].content[0].file_id",
        "unsupported_parameter",
    ),
    "file with file_url": (
        {"input": [user({"type": "input_file", "file_url": "https://a.example"})]},
        "input[0].content[0].file_url",
        "unsupported_parameter",
    ),
    "image that cannot be decoded": (
        {"input": [user({"type": "input_image", "image_url": "data:image/png;base64,@@"})]},
        "input[0].content[0].image_url",
        None,
    ),
    "image at no known place": (
        {"input": [user({"type": "input_image", "image_url": "ftp://a.example"})]},
        "input[0].content[0].image_url",
        None,
    ),
    "file that cannot be decoded": (
        {"input": [user({"type": "input_file", "file_data": "%PDF"})]},
        "input[0].content[0].file_data",
        None,
    ),
    "an assistant's image": (
        {
            "input": [
                {
                    "role": "assistant",
                    "content": [{"type": "input_image", "image_url": "https://a.example"}],
                }
            ]
        },
        "input[0].content[0]",
        None,
    ),
    "output without a call": ({"input": [answered()]}, "input[0]", None),
    "output twice": ({"input": [called(), answered(), answered()]}, "input[2]", None),
    "call without an id": ({"input": [called(call_id="")]}, "input[0].call_id", None),
    "item_reference": ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0].id", None),
    **{
        kind: ({"input": [{"type": kind}]}, "input[0]", None)
        for kind in (
            *("computer_call", "computer_call_output", "local_shell_call", "local_shell_call_output"),
            *("shell_call", "shell_call_output", "apply_patch_call", "apply_patch_call_output", "program"),
        )
    },
    "tool without a name": ({"tools": [{"type": "function"}]}, "tools[0].name", None),
    "tool parameters of another type": ({"tools": [function(parameters=[])]}, "tools[0].parameters", None),
    "names that collide": (
        {"tools": [function("m__g"), SPACE]},
        "tools[1].tools[0]",
        None,
    ),
    "tool_choice of an unknown tool": (
        {"tools": [function()], "tool_choice": function("g")},
        "tool_choice.name",
        None,
    ),
    "tool_choice of a hosted tool": (
        {"tools": [{"type": "web_search"}], "tool_choice": {"type": "web_search"}},
        "tool_choice",
        None,
    ),
    "tool_choice required, and only hosted tools": (
        {"tools": [{"type": "web_search"}], "tool_choice": "required"},
        "tool_choice",
        None,
    ),
    "tool_choice unknown": ({"tools": [function()], "tool_choice": "some"}, "tool_choice", None),
    "text.format unknown": ({"text": {"format": {"type": "xml"}}}, "text.format.type", None),
    "text.format without schema": ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema", None),
    "include of another type": ({"include": [1]}, "include[0]", None),
}


@pytest.mark.parametrize("row", REFUSED)
def test_refused(row: str) -> None:
    members, path, code = REFUSED[row]
    with pytest.raises(BadRequest) as refused:
        read({"model": "m-1", "input": "Hi", **members})
    assert (refused.value.path, refused.value.code) == (path, code)
    assert str(refused.value).startswith(path)


def test_11_previous_response_id_is_answered_in_the_words_of_the_real_service() -> None:
    with pytest.raises(BadRequest, match=r"Previous response with id 'resp_1' not found\."):
        asked(previous_response_id="resp_1")


# --- envelopes --------------------------------------------------------------------------------------


@given(st.builds(Reasoning, st.text(), st.none() | st.text(min_size=1), st.none() | st.text(min_size=1)))
@settings(thorough)
def test_an_envelope_gives_back_what_was_put_in(reasoning: Reasoning) -> None:
    assert opened(sealed(reasoning)) == reasoning


@given(st.text() | st.binary().map(lambda data: "relay1." + base64.urlsafe_b64encode(data).decode()))
@settings(thorough)
def test_a_foreign_envelope_is_ignored(envelope: str) -> None:
    found = opened(envelope)
    assert found is None or envelope.startswith("relay1.")


@pytest.mark.parametrize("content", [[], {"text": 3}, {"more": "x"}, 3])
def test_an_envelope_of_something_else_is_ignored(content: Any) -> None:
    data = base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")
    assert opened(f"relay1.{data}") is None


# --- any JSON ---------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
WHOLE: dict[str, Any] = {
    "model": "m-1",
    "instructions": "Be kind.",
    "stream": True,
    "input": [
        {"role": "developer", "content": "A"},
        user(
            {"type": "input_text", "text": "Hi"},
            {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"},
            {"type": "input_file", "file_data": PDF, "filename": "a.pdf"},
            {"type": "input_audio", "input_audio": {"data": PNG, "format": "wav"}},
        ),
        {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]},
        called(id="fc_1", status="completed"),
        answered(output=[{"type": "input_text", "text": "ok"}]),
        {"type": "custom_tool_call", "call_id": "call_c", "name": "apply_patch", "input": "x"},
        {"type": "custom_tool_call_output", "call_id": "call_c", "output": "ok"},
        {"type": "item_reference", "id": "rs_1"},
        said("Done."),
    ],
    "tools": [function(parameters=SCHEMA), SPACE, custom(format=GRAMMAR), {"type": "web_search"}],
    "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [function()]},
    "reasoning": {"effort": "low", "summary": "auto"},
    "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}, "verbosity": "low"},
    "include": ["reasoning.encrypted_content"],
    "max_output_tokens": 99,
    "stream_options": {"include_obfuscation": False},
}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    members = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    return [path, *(found for key, inner in members for found in places(inner, (*path, key)))]


PLACES = places(WHOLE)[1:]


def is_read_or_refused(document: dict[str, Any]) -> None:
    try:
        model = read(document).model
    except BadRequest:
        return
    assert model == document["model"]


@given(st.dictionaries(st.sampled_from(sorted(WHOLE)) | st.text(max_size=5), JSON))
@settings(thorough)
def test_any_object_is_read_or_refused(document: dict[str, Any]) -> None:
    is_read_or_refused(document)


@given(st.sampled_from(PLACES), JSON | st.sampled_from([WHOLE, *WHOLE["input"]]))
@settings(thorough)
def test_a_request_with_anything_anywhere_is_read_or_refused(path: tuple[Any, ...], value: Any) -> None:
    document = copy.deepcopy(WHOLE)
    holder: Any = document
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    is_read_or_refused(document)


def test_the_whole_request_is_read() -> None:
    request = read(copy.deepcopy(WHOLE))
    assert [turn.role for turn in request.turns] == [
        "system",
        "system",
        "user",
        *["assistant", "user"] * 2,
        "assistant",
    ]
    assert request.dropped == ["input[7](item_reference)", "tools[3](web_search)"]


def test_a_huge_conversation_takes_no_longer_than_its_size() -> None:
    many = 20_000
    items = [called(f"c{at}") for at in range(many)] + [said("A")] * many
    request = asked(*items, *(answered(f"c{at}") for at in range(many)))
    assert [len(turn.parts) for turn in request.turns] == [2 * many, many]


@with_corpus
def test_recorded_requests_are_read() -> None:
    refused: set[str] = set()
    found = 0
    for path in [*RECORDED.glob("*.json"), *RECORDED.glob("pairs/*.json")]:
        document = json.loads(path.read_text())["request"]
        if document is None:
            continue
        try:
            found += bool(read(document).turns)
        except BadRequest as bad:
            refused.add(bad.path)
    assert found > 60
    assert refused == {"background", "prompt", "previous_response_id"}
