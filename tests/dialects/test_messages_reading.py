"""A client's Messages request as the neutral one, row by row of the mapping, and any JSON at all."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.dialects.messages_reading import read
from relay.dialects.request import (
    BadRequest,
    Call,
    File,
    Image,
    Output,
    Part,
    Reasoning,
    Request,
    Result,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    Turn,
)
from tests.dialects.messages_telling import EXAMPLES, REQUESTS

HI = {"role": "user", "content": "Hi"}
PNG, PDF = "iVBORw0KGgo=", "JVBERi0xLjQ="
F = {"name": "f", "description": "d", "input_schema": {"type": "object"}}
USE = {"type": "tool_use", "id": "toolu_a", "name": "f", "input": {"a": 1}}
GIVEN = {"type": "tool_result", "tool_use_id": "toolu_a", "content": "1"}


def document(**changes: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 9, "messages": [HI]} | changes


def asked(**changes: Any) -> Request:
    return read(document(**changes))


def user(*content: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


def assistant(*content: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": list(content)}


def parts_of(*content: dict[str, Any], dropped: list[str] | None = None) -> list[Part]:
    """Of one message of the user, without their paths."""
    request = asked(messages=[user(*content)])
    assert request.dropped == (dropped or [])
    return bare(request.turns)[0].parts


def bare(turns: list[Turn]) -> list[Turn]:
    """Without the paths."""
    turns = copy.deepcopy(turns)
    for turn in turns:
        turn.path = ""
        for part in turn.parts:
            part.path = ""
            for inner in part.parts if isinstance(part, Result) else ():
                inner.path = ""
    return turns


def source(**given: Any) -> dict[str, Any]:
    return {"source": given}


# --- fields -------------------------------------------------------------------------------------

ENABLED = {"type": "enabled", "budget_tokens": 2048}
SCHEMA = {"type": "object", "properties": {}}
KEPT: dict[str, tuple[dict[str, Any], Callable[[Request], object], object]] = {
    "model": ({}, lambda r: r.model, "m"),
    "max_tokens": ({"max_tokens": 7}, lambda r: r.max_tokens, 7),
    "stream": ({"stream": True}, lambda r: (r.stream, r.usage_asked), (True, True)),
    "stream-absent": ({}, lambda r: (r.stream, r.usage_asked), (False, True)),
    "temperature": ({"temperature": 0.5}, lambda r: r.temperature, 0.5),
    "top_p": ({"top_p": 1}, lambda r: r.top_p, 1),
    "top_k": ({"top_k": 40}, lambda r: r.top_k, 40),
    "stop_sequences": ({"stop_sequences": ["a", "b"]}, lambda r: r.stop, ["a", "b"]),
    "user_id": ({"metadata": {"user_id": "u"}}, lambda r: r.user, "u"),
    "thinking-absent": ({}, lambda r: r.thinking, Thinking()),
    "thinking-disabled": ({"thinking": {"type": "disabled"}}, lambda r: r.thinking, Thinking("none")),
    "thinking-enabled": ({"thinking": ENABLED}, lambda r: r.thinking, Thinking(budget=2048, sealed=True)),
    "thinking-adaptive": (
        {"thinking": {"type": "adaptive", "display": "summarized"}},
        lambda r: r.thinking,
        Thinking(adaptive=True, sealed=True),
    ),
    "thinking.display-omitted": (
        {"thinking": ENABLED | {"display": "omitted"}},
        lambda r: r.thinking,
        Thinking(budget=2048, hidden=True),
    ),
    "output_config.effort": ({"output_config": {"effort": "xhigh"}}, lambda r: r.thinking.level(), "xhigh"),
    "output_config.effort-wins-over-the-budget": (
        {"output_config": {"effort": "low"}, "thinking": ENABLED | {"budget_tokens": 9999}},
        lambda r: r.thinking.level(),
        "low",
    ),
    "output_config.effort-thinking-disabled": (
        {"output_config": {"effort": "high"}, "thinking": {"type": "disabled"}},
        lambda r: r.thinking.level(),
        "none",
    ),
    "output_config.format": (
        {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        lambda r: r.output,
        Output(SCHEMA, "output", True, path="output_config.format"),
    ),
    "output_format": (
        {"output_format": {"type": "json_schema", "schema": SCHEMA}},
        lambda r: r.output,
        Output(SCHEMA, "output", True, path="output_format"),
    ),
    "cache_control": ({"cache_control": {"type": "ephemeral"}}, lambda r: r.extras, {}),
    "null": ({"temperature": None, "tools": None, "system": None}, lambda r: r.temperature, None),
    "service_tier-auto": ({"service_tier": "auto"}, lambda r: r.extras, {}),
    "speed-standard": ({"speed": "standard"}, lambda r: r.extras, {}),
    "tools-empty": ({"tools": []}, lambda r: r.tools, []),
    "context_management-keep-all": (
        {"context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}},
        lambda r: r.extras,
        {},
    ),
}


@pytest.mark.parametrize("row", KEPT)
def test_3_1_what_is_kept_or_dropped_silently(row: str) -> None:
    changes, get, value = KEPT[row]
    request = asked(**changes)
    assert get(request) == value
    assert request.dropped == []


@pytest.mark.parametrize(
    ("budget", "level"), [(1, "low"), (4095, "low"), (4096, "medium"), (16383, "medium"), (16384, "high")]
)
def test_3_1_budget_to_effort(budget: int, level: str) -> None:
    assert asked(thinking={"type": "enabled", "budget_tokens": budget}).thinking.level() == level
    assert asked(thinking={"type": "adaptive"}).thinking.level() is None


WARNED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "service_tier": ({"service_tier": "standard_only"}, ["service_tier"]),
    "context_management": ({"context_management": {"edits": [{"type": "clear"}]}}, ["context_management"]),
    "inference_geo": ({"inference_geo": "us"}, ["inference_geo"]),
    "speed": ({"speed": "fast"}, ["speed"]),
    "diagnostics": ({"diagnostics": {}}, ["diagnostics"]),
    "workspace_id": ({"workspace_id": "w"}, ["workspace_id"]),
    "user_profile_id": ({"user_profile_id": "u"}, ["user_profile_id"]),
    "unknown": ({"sparkle": 1}, ["sparkle"]),
    "container-without-skills": ({"container": "c"}, ["container"]),
    "metadata-other": ({"metadata": {"user_id": "u", "x": 1}}, ["metadata.x"]),
    "output_config-other": ({"output_config": {"task_budget": 1}}, ["output_config.task_budget"]),
    "thinking-other": ({"thinking": {"type": "adaptive", "x": 1}}, ["thinking.x"]),
    "message-other": ({"messages": [HI | {"x": 1}]}, ["messages[0].x"]),
    "block-other": (
        {"messages": [user({"type": "text", "text": "Hi", "x": 1})]},
        ["messages[0].content[0].x"],
    ),
    "tool-other": ({"tools": [F | {"x": 1}]}, ["tools[0].x"]),
    "server-tool": (
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}, F]},
        ["tools[0](web_search)"],
    ),
    "mcp-toolset": ({"tools": [{"type": "mcp_toolset", "mcp_server_name": "x"}, F]}, ["tools[0]"]),
    "allowed_callers": ({"tools": [F | {"allowed_callers": ["code_execution_20250825"]}]}, ["tools[0]"]),
}


@pytest.mark.parametrize("row", WARNED)
def test_3_1_what_is_left_out_with_a_warning(row: str) -> None:
    changes, dropped = WARNED[row]
    assert asked(**changes).dropped == dropped


# --- system -------------------------------------------------------------------------------------

BILLING = {"type": "text", "text": "x-anthropic-billing-header: cc_version=1; cch=0a1b2;"}


@pytest.mark.parametrize(
    ("system", "texts"),
    [
        pytest.param("Be good.", ["Be good."], id="3.1-string"),
        pytest.param(
            [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}], ["A", "B"], id="3.1-blocks"
        ),
        pytest.param([BILLING, {"type": "text", "text": "A"}], ["A"], id="3.1-billing-header"),
        pytest.param([BILLING], None, id="3.1-only-billing-header"),
        pytest.param("", None, id="empty"),
        pytest.param(
            [{"type": "text", "text": "A", "cache_control": {"type": "ephemeral"}}],
            ["A"],
            id="3.1-cache_control",
        ),
    ],
)
def test_3_1_system(system: object, texts: list[str] | None) -> None:
    request = asked(system=system)
    expected = [] if texts is None else [Turn("system", [Text(text) for text in texts])]
    assert bare(request.turns) == [*expected, Turn("user", [Text("Hi")])]
    assert request.dropped == []


@pytest.mark.parametrize("content", ["S", [{"type": "text", "text": "S"}]])
def test_3_1_system_amid_the_messages(content: object) -> None:
    messages = [HI, {"role": "system", "content": content}, {"role": "assistant", "content": "Yes"}]
    turns = bare(asked(messages=messages).turns)
    assert [turn.role for turn in turns] == ["user", "system", "assistant"]
    assert turns[1].parts == [Text("S")]


def test_system_without_any_text_is_no_turn() -> None:
    messages = [HI, {"role": "system", "content": [{"type": "tool_addition", "name": "f"}]}]
    request = asked(messages=messages)
    assert [turn.role for turn in request.turns] == ["user"]
    assert request.dropped == ["messages[1].content[0](tool_addition)"]


# --- content ------------------------------------------------------------------------------------

IMAGE = Image(media_type="image/png", data=PNG)
AN_IMAGE = {"type": "image"} | source(type="base64", media_type="image/png", data=PNG)
A_TEXT = {"type": "text", "text": "T"}
CONTENT: dict[str, tuple[list[dict[str, Any]], list[Part]]] = {
    "text": ([A_TEXT, {"type": "text", "text": ""}, A_TEXT], [Text("T"), Text("T")]),
    "text-cache_control": ([A_TEXT | {"cache_control": {"type": "ephemeral"}}], [Text("T")]),
    "text-citations": ([A_TEXT | {"citations": [{"x": 1}]}], [Text("T")]),
    "image-base64": ([AN_IMAGE, A_TEXT], [IMAGE, Text("T")]),
    "image-url": (
        [{"type": "image"} | source(type="url", url="https://x.example")],
        [Image("https://x.example")],
    ),
    "document-text": (
        [
            {"type": "document", "title": "A", "context": "B"}
            | source(type="text", media_type="text/plain", data="C")
        ],
        [Text("A\nB\nC")],
    ),
    "document-content": (
        [{"type": "document", "title": "A"} | source(type="content", content=[A_TEXT, AN_IMAGE])],
        [Text("A\nT"), IMAGE],
    ),
    "document-content-string": (
        [{"type": "document"} | source(type="content", content="T")],
        [Text("T")],
    ),
    "document-pdf": (
        [
            {"type": "document", "title": "a.pdf"}
            | source(type="base64", media_type="application/pdf", data=PDF)
        ],
        [File(PDF, "application/pdf", "a.pdf")],
    ),
    "document-pdf-context": (
        [
            {"type": "document", "context": "B"}
            | source(type="base64", media_type="application/pdf", data=PDF)
        ],
        [Text("B"), File(PDF, "application/pdf")],
    ),
    "document-citations-off": (
        [{"type": "document", "citations": {"enabled": False}} | source(type="text", data="C")],
        [Text("C")],
    ),
    "search_result": (
        [{"type": "search_result", "title": "A", "source": "https://x.example", "content": [A_TEXT]}],
        [Text("A\nhttps://x.example\nT")],
    ),
}


@pytest.mark.parametrize("row", CONTENT)
def test_3_1_content_of_the_user(row: str) -> None:
    content, parts = CONTENT[row]
    assert parts_of(*content) == parts


def test_3_1_content_of_the_user_as_a_string() -> None:
    assert bare(asked().turns) == [Turn("user", [Text("Hi")])]


@pytest.mark.parametrize(
    ("block", "dropped"),
    [
        ({"type": "document", "citations": {"enabled": True}} | source(type="text", data="C"), ".citations"),
        ({"type": "web_search_tool_result", "tool_use_id": "x", "content": []}, "(web_search_tool_result)"),
    ],
)
def test_3_1_content_that_is_left_out(block: dict[str, Any], dropped: str) -> None:
    parts_of(block, dropped=[f"messages[0].content[0]{dropped}"])


RESULTS: dict[str, tuple[dict[str, Any], Result]] = {
    "string": ({"content": "1"}, Result("toolu_a", [Text("1")])),
    "absent": ({}, Result("toolu_a", [])),
    "empty": ({"content": ""}, Result("toolu_a", [])),
    "empty-list": ({"content": []}, Result("toolu_a", [])),
    "list-with-image": ({"content": [A_TEXT, AN_IMAGE]}, Result("toolu_a", [Text("T"), IMAGE])),
    "is_error": ({"content": "no", "is_error": True}, Result("toolu_a", [Text("no")], error=True)),
    "is_error-false": ({"content": "1", "is_error": False}, Result("toolu_a", [Text("1")])),
    "cache_control": ({"content": "1", "cache_control": {}}, Result("toolu_a", [Text("1")])),
    "document": (
        {"content": [{"type": "document"} | source(type="base64", data=PDF)]},
        Result("toolu_a", [File(PDF, "application/pdf")]),
    ),
}


@pytest.mark.parametrize("row", RESULTS)
def test_3_1_tool_result(row: str) -> None:
    given, result = RESULTS[row]
    block = {"type": "tool_result", "tool_use_id": "toolu_a"} | given
    request = asked(messages=[HI, assistant(USE), user(A_TEXT, block)])
    assert bare(request.turns)[2] == Turn("user", [result, Text("T")])  # results first
    assert request.dropped == []


ASSISTANT: dict[str, tuple[list[dict[str, Any]], list[Part]]] = {
    "text": ([A_TEXT, A_TEXT], [Text("T"), Text("T")]),
    "thinking": (
        [{"type": "thinking", "thinking": "Hm", "signature": "c2ln"}, A_TEXT],
        [Reasoning("Hm", "c2ln"), Text("T")],
    ),
    "thinking-unsigned": ([{"type": "thinking", "thinking": "Hm", "signature": ""}], [Reasoning("Hm")]),
    "thinking-omitted": (
        [{"type": "thinking", "thinking": "", "signature": "c2ln"}],
        [Reasoning("", "c2ln")],
    ),
    "redacted_thinking": ([{"type": "redacted_thinking", "data": "QQ"}], [Reasoning(sealed="QQ")]),
    "tool_use": ([USE], [Call("toolu_a", "f", '{"a":1}')]),
    "tool_use-direct": ([USE | {"caller": {"type": "direct"}}], [Call("toolu_a", "f", '{"a":1}')]),
    "tool_use-no-input": ([USE | {"input": {}}], [Call("toolu_a", "f", "{}")]),
}


@pytest.mark.parametrize("row", ASSISTANT)
def test_3_1_content_of_the_assistant(row: str) -> None:
    content, parts = ASSISTANT[row]
    request = asked(messages=[HI, assistant(*content)])
    assert bare(request.turns)[1] == Turn("assistant", parts)
    assert request.dropped == []


def test_3_1_server_tools_in_the_history() -> None:
    use = {"type": "server_tool_use", "id": "srvtoolu_a", "name": "web_search", "input": {}}
    found = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_a", "content": []}
    request = asked(messages=[HI, assistant(use, found, A_TEXT)])
    assert bare(request.turns)[1].parts == [Text("T")]
    assert request.dropped == [
        "messages[1].content[0](server_tool_use)",
        "messages[1].content[1](web_search_tool_result)",
    ]


def test_3_1_an_assistant_with_nothing_left_is_left_out() -> None:
    assert [turn.role for turn in asked(messages=[HI, assistant(), HI]).turns] == ["user", "user"]


def test_3_1_prefill_is_kept() -> None:
    assert asked(messages=[HI, {"role": "assistant", "content": "{"}]).turns[-1].role == "assistant"


def test_13_parallel_calls_and_their_results() -> None:
    second = USE | {"id": "toolu_b"}
    results = [GIVEN | {"tool_use_id": "toolu_b"}, GIVEN]
    turns = bare(asked(messages=[HI, assistant(USE, second), user(*results, A_TEXT)]).turns)
    assert [part.id for part in turns[1].parts if isinstance(part, Call)] == ["toolu_a", "toolu_b"]
    assert [part.id for part in turns[2].parts if isinstance(part, Result)] == ["toolu_b", "toolu_a"]


# --- tools --------------------------------------------------------------------------------------


def test_3_1_tools() -> None:
    silent = {"cache_control": {}, "eager_input_streaming": True, "defer_loading": True, "input_examples": []}
    request = asked(
        tools=[
            F | {"type": "custom", "strict": True} | silent,
            {"name": "g", "input_schema": {}, "allowed_callers": ["direct"]},
        ]
    )
    assert request.tools == [
        Tool("f", "d", {"type": "object"}, True, path="tools[0]"),
        Tool("g", None, {}, path="tools[1]"),
    ]
    assert request.tools[1].schema == {"type": "object", "properties": {}}
    assert request.dropped == []


@pytest.mark.parametrize(
    ("choice", "read_as", "parallel"),
    [
        ({"type": "auto"}, ToolChoice("auto"), None),
        ({"type": "any"}, ToolChoice("any"), None),
        ({"type": "none"}, ToolChoice("none"), None),
        ({"type": "tool", "name": "f"}, ToolChoice("tool", "f"), None),
        ({"type": "auto", "disable_parallel_tool_use": True}, ToolChoice("auto"), False),
        ({"type": "auto", "disable_parallel_tool_use": False}, ToolChoice("auto"), None),
    ],
)
def test_3_1_tool_choice(choice: dict[str, Any], read_as: ToolChoice, parallel: bool | None) -> None:
    request = asked(tools=[F], tool_choice=choice)
    assert (request.tool_choice, request.parallel) == (read_as, parallel)
    without = asked(tool_choice={"type": "auto", "disable_parallel_tool_use": True})
    assert (without.tool_choice, without.parallel) == (None, None)


# --- refusals -----------------------------------------------------------------------------------

SEARCH = {"type": "web_search_20250305", "name": "web_search"}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "model-absent": ({"model": None}, "model"),
    "model-empty": ({"model": ""}, "model"),
    "max_tokens-absent": ({"max_tokens": None}, "max_tokens"),
    "max_tokens-zero": ({"max_tokens": 0}, "max_tokens"),
    "max_tokens-negative": ({"max_tokens": -1}, "max_tokens"),
    "max_tokens-text": ({"max_tokens": "9"}, "max_tokens"),
    "max_tokens-true": ({"max_tokens": True}, "max_tokens"),
    "messages-absent": ({"messages": None}, "messages"),
    "messages-empty": ({"messages": []}, "messages"),
    "messages-object": ({"messages": {}}, "messages"),
    "message-text": ({"messages": ["Hi"]}, "messages[0]"),
    "role-absent": ({"messages": [{"content": "Hi"}]}, "messages[0].role"),
    "role-unknown": ({"messages": [{"role": "tool", "content": "Hi"}]}, "messages[0].role"),
    "content-absent": ({"messages": [{"role": "user"}]}, "messages[0].content"),
    "content-number": ({"messages": [{"role": "user", "content": 1}]}, "messages[0].content"),
    "block-text": ({"messages": [{"role": "user", "content": ["Hi"]}]}, "messages[0].content[0]"),
    "block-untyped": ({"messages": [user({"text": "Hi"})]}, "messages[0].content[0].type"),
    "block-unknown": ({"messages": [user({"type": "sparkle"})]}, "messages[0].content[0].type"),
    "text-absent": ({"messages": [user({"type": "text"})]}, "messages[0].content[0].text"),
    "text-number": ({"messages": [user({"type": "text", "text": 1})]}, "messages[0].content[0].text"),
    "thinking-of-the-user": (
        {"messages": [user({"type": "thinking", "thinking": "x", "signature": "y"})]},
        "messages[0].content[0].type",
    ),
    "result-of-the-assistant": ({"messages": [HI, assistant(GIVEN)]}, "messages[1].content[0].type"),
    "image-file": (
        {"messages": [user({"type": "image"} | source(type="file", file_id="f"))]},
        "messages[0].content[0].source",
    ),
    "image-not-base64": (
        {"messages": [user({"type": "image"} | source(type="base64", media_type="image/png", data="é%"))]},
        "messages[0].content[0].source.data",
    ),
    "image-data-uri": (
        {
            "messages": [
                user({"type": "image"} | source(type="base64", media_type="image/png", data="data:x"))
            ]
        },
        "messages[0].content[0].source.data",
    ),
    "image-no-source": ({"messages": [user({"type": "image"})]}, "messages[0].content[0].source"),
    "image-source-unknown": (
        {"messages": [user({"type": "image"} | source(type="sparkle"))]},
        "messages[0].content[0].source.type",
    ),
    "document-url": (
        {"messages": [user({"type": "document"} | source(type="url", url="https://x.example"))]},
        "messages[0].content[0].source",
    ),
    "document-file": (
        {"messages": [user({"type": "document"} | source(type="file", file_id="f"))]},
        "messages[0].content[0].source",
    ),
    "container_upload": (
        {"messages": [user({"type": "container_upload", "file_id": "f"})]},
        "messages[0].content[0]",
    ),
    "result-image-not-base64": (
        {
            "messages": [
                HI,
                assistant(USE),
                user(GIVEN | {"content": [AN_IMAGE | source(type="base64", media_type="x/y", data="%")]}),
            ]
        },
        "messages[2].content[0].content[0].source.data",
    ),
    "result-without-call": ({"messages": [user(GIVEN)]}, "messages[0].content[0]"),
    "result-twice": ({"messages": [HI, assistant(USE), user(GIVEN, GIVEN)]}, "messages[2].content[1]"),
    "call-without-result": ({"messages": [HI, assistant(USE), HI]}, "messages[1].content[0]"),
    "call-twice": ({"messages": [HI, assistant(USE, USE), user(GIVEN)]}, "messages[1].content[1].id"),
    "call-input-list": ({"messages": [HI, assistant(USE | {"input": []})]}, "messages[1].content[0].input"),
    "system-image": ({"system": [AN_IMAGE]}, "system[0].type"),
    "system-number": ({"system": 1}, "system"),
    "temperature-text": ({"temperature": "1"}, "temperature"),
    "stop-text": ({"stop_sequences": "a"}, "stop_sequences"),
    "stop-number": ({"stop_sequences": ["a", 1]}, "stop_sequences[1]"),
    "stream-number": ({"stream": 1}, "stream"),
    "thinking-unknown": ({"thinking": {"type": "sparkle"}}, "thinking.type"),
    "thinking-no-budget": ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
    "thinking-negative-budget": (
        {"thinking": {"type": "enabled", "budget_tokens": -1}},
        "thinking.budget_tokens",
    ),
    "effort-unknown": ({"output_config": {"effort": "sparkle"}}, "output_config.effort"),
    "format-unknown": ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
    "format-no-schema": (
        {"output_config": {"format": {"type": "json_schema"}}},
        "output_config.format.schema",
    ),
    "user_id-number": ({"metadata": {"user_id": 1}}, "metadata.user_id"),
    "mcp_servers": ({"mcp_servers": [{"name": "x"}]}, "mcp_servers"),
    "container-skills": ({"container": {"skills": [{"id": "x"}]}}, "container.skills"),
    "tool-no-name": ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
    "tool-no-schema": ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
    "tool-schema-list": ({"tools": [{"name": "f", "input_schema": []}]}, "tools[0].input_schema"),
    "tool-twice": ({"tools": [F, F]}, "tools[1].name"),
    "tool-bash": ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools[0].type"),
    "tool-text_editor": ({"tools": [{"type": "text_editor_20250728", "name": "x"}]}, "tools[0].type"),
    "tool-computer": ({"tools": [{"type": "computer_20251124", "name": "computer"}]}, "tools[0].type"),
    "tool-memory": ({"tools": [{"type": "memory_20250818", "name": "memory"}]}, "tools[0].type"),
    "server-tool-alone": ({"tools": [SEARCH]}, "tools[0]"),
    "server-tool-forced": (
        {"tools": [SEARCH, F], "tool_choice": {"type": "tool", "name": "web_search"}},
        "tool_choice.name",
    ),
    "tool_choice-of-an-unknown-tool": (
        {"tools": [F], "tool_choice": {"type": "tool", "name": "g"}},
        "tool_choice.name",
    ),
    "tool_choice-unknown": ({"tools": [F], "tool_choice": {"type": "required"}}, "tool_choice.type"),
    "tool_choice-text": ({"tools": [F], "tool_choice": "auto"}, "tool_choice"),
}


@pytest.mark.parametrize("row", REFUSED)
def test_what_is_refused_is_named(row: str) -> None:
    changes, path = REFUSED[row]
    with pytest.raises(BadRequest) as refused:
        asked(**changes)
    assert refused.value.path == path
    assert str(refused.value).startswith(f"{path}: ")


# --- any JSON -----------------------------------------------------------------------------------

WHOLE = document(
    system=[BILLING, A_TEXT],
    tools=[F, SEARCH],
    tool_choice={"type": "tool", "name": "f"},
    thinking=ENABLED,
    output_config={"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}},
    metadata={"user_id": "u"},
    stop_sequences=["a"],
    messages=[
        user(A_TEXT, AN_IMAGE, {"type": "document"} | source(type="content", content=[A_TEXT])),
        assistant({"type": "thinking", "thinking": "Hm", "signature": "c2ln"}, USE),
        user(GIVEN | {"content": [A_TEXT, AN_IMAGE]}, A_TEXT),
        {"role": "system", "content": "S"},
        assistant(A_TEXT),
    ],
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "content", "source", "role", "name", "id", "x"]), inner
        )
    ),
    max_leaves=5,
)


def read_or_refused(value: Any) -> None:
    """Nothing else comes out."""
    with contextlib.suppress(BadRequest):
        assert read(value).model


@settings(max_examples=EXAMPLES)
@given(JSON, st.dictionaries(st.sampled_from(sorted(WHOLE)), JSON))
def test_any_json_is_read_or_refused(value: Any, fields: dict[str, Any]) -> None:
    read_or_refused(value)
    read_or_refused(document() | fields)


@settings(max_examples=EXAMPLES)
@given(st.data())
def test_a_request_with_one_thing_changed_is_read_or_refused(data: st.DataObject) -> None:
    mutant = copy.deepcopy(WHOLE)
    place: Any = mutant
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        inner = place[key]
        if not (isinstance(inner, dict | list) and inner) or data.draw(st.integers(0, 3)) == 0:
            break
        place = inner
    match data.draw(st.integers(0, 2)):
        case 0:
            place[key] = data.draw(JSON)
        case 1:
            del place[key]
        case _ if isinstance(place, list):
            place.insert(key, copy.deepcopy(place[key]))
        case _:
            place["sparkle"] = data.draw(JSON)
    read_or_refused(mutant)


def test_the_whole_request_is_read() -> None:
    assert read(copy.deepcopy(WHOLE)).dropped == ["tools[1](web_search)"]


@pytest.mark.parametrize("depth", [200, 900, 5_000])
def test_depth_is_no_escape(depth: int) -> None:
    deep: Any = {}
    for _ in range(depth):
        deep = {"content": [deep], "source": deep, "type": "document"}
        deep = {"a": deep["source"]}
    read_or_refused(document(messages=[HI, assistant(USE | {"input": deep})]))
    read_or_refused(document(tools=[F | {"input_schema": deep}]))
    read_or_refused(document(x=deep, context_management={"edits": deep}))
    nested: Any = A_TEXT
    for _ in range(depth):
        nested = {"type": "document", "source": {"type": "content", "content": [nested]}}
    read_or_refused(document(messages=[user(nested)]))


@pytest.mark.parametrize("path", REQUESTS)
def test_recorded_requests_are_read_or_refused_for_a_reason(path: Path) -> None:
    where = ""
    try:
        read(json.loads(path.read_text())["request"])
    except BadRequest as refused:
        where = refused.path
    assert where.startswith(("tools[", "model", "messages[")) or not where
