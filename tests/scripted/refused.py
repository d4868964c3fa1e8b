"""Requests that a real server refuses, with words of its refusal, and a few that it takes."""

from __future__ import annotations

from typing import Any

Body = dict[str, Any]

CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
FUNCTION = {"name": "f", "parameters": {"type": "object"}}
ASK = {"role": "user", "content": "?"}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
TOLD = {"role": "tool", "tool_call_id": "a", "content": "r"}
SYSTEM = {"role": "system", "content": "s"}
SCHEMA = {"type": "object"}


def chat(*messages: Any, **fields: Any) -> Body:
    return {"model": "m", "messages": list(messages or [ASK]), **fields}


BAD_CHAT: list[tuple[str, Body]] = [
    ("provide a model", {"messages": [ASK]}),
    ("empty array", {"model": "m", "messages": []}),
    ("supplied: system", chat(system="s")),
    ("supplied: stop_sequences", chat(stop_sequences=["x"])),
    ("Invalid value: 'function'", chat({"role": "function", "name": "f", "content": "x"})),
    ("Unexpected message role: developer", chat({"role": "developer", "content": "x"}, ASK)),
    ("must be at the beginning", chat(ASK, SYSTEM)),
    ("expected a string or a list", chat({"role": "user", "content": 7})),
    ("expected a string or a list", chat({"role": "user", "content": None})),
    (
        "Unknown part type: input_text",
        chat({"role": "user", "content": [{"type": "input_text", "text": "x"}]}),
    ),
    ("Unrecognized|Unknown parameter", chat({**ASK, "cache_control": {"type": "ephemeral"}})),
    ("content is required", chat(ASK, {"role": "assistant", "content": None})),
    ("must be a response to a preceding", chat(ASK, TOLD)),
    ("must be a response to a preceding", chat(ASK, CALLED, TOLD, ASK, TOLD)),
    ("Without a response: a", chat(ASK, CALLED, ASK)),
    ("Without a response: a", chat(ASK, CALLED, ASK, TOLD)),
    ("without a response", chat(ASK, CALLED)),
    (
        "arguments: not JSON",
        chat(ASK, {**CALLED, "tool_calls": [{**CALL, "function": {"name": "f", "arguments": "{"}}]}, TOLD),
    ),
    ("`tools` must be set", chat(tool_choice="auto")),
    ("`tools` must be set", chat(parallel_tool_calls=False)),
    ("'custom' is not 'function'", chat(tools=[{"type": "custom", "custom": {"name": "f"}}])),
    (
        "Unknown parameter",
        chat(tools=[{"type": "function", "function": {**FUNCTION, "input_schema": SCHEMA}}]),
    ),
    ("not an object", chat(tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}])),
    (
        "Tool not found",
        chat(
            tools=[{"type": "function", "function": FUNCTION}],
            tool_choice={"type": "function", "function": {"name": "g"}},
        ),
    ),
    ("tool_choice: 'any'", chat(tools=[{"type": "function", "function": FUNCTION}], tool_choice="any")),
    ("when `stream=True`", chat(stream_options={"include_usage": True})),
    ("max_tokens: must be", chat(max_tokens=0)),
    ("temperature: must be", chat(temperature=3)),
    (
        "Could not process image",
        chat(
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}],
            }
        ),
    ),
]

USE = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "a", "content": "r"}
TEXT = {"type": "text", "text": "x"}
TOOL = {"name": "f", "input_schema": SCHEMA}


def messages(*contents: Any, **fields: Any) -> Body:
    """A conversation whose turns alternate."""
    roles = ("user", "assistant")
    turns = [{"role": roles[at % 2], "content": content} for at, content in enumerate(contents or ("?",))]
    return {"model": "m", "max_tokens": 2000, "messages": turns, **fields}


BAD_MESSAGES: list[tuple[str, Body]] = [
    ("max_tokens: Field required", {"model": "m", "messages": [ASK]}),
    (
        "first message must use the `user` role",
        messages() | {"messages": [{"role": "assistant", "content": "x"}]},
    ),
    ("roles must alternate", messages() | {"messages": [ASK, ASK]}),
    ("Unexpected role 'system'", messages() | {"messages": [ASK, SYSTEM]}),
    ("Unexpected role 'tool'", messages() | {"messages": [TOLD]}),
    ("stop: Extra inputs", messages(stop=["x"])),
    ("content: must be non-empty", messages("")),
    ("non-whitespace text", messages([{"type": "text", "text": " "}])),
    ("non-whitespace text", messages("?", "  ", "?")),
    ("without `tool_result` blocks", messages("?", [USE], "?")),
    ("without `tool_result`", messages("?", [USE])),
    ("without `tool_result` blocks", messages("?", [USE], [TEXT], [TEXT], [RESULT])),
    ("unexpected `tool_use_id`", messages("?", "x", [RESULT])),
    ("unexpected `tool_use_id`", messages("?", [USE], [RESULT, {**RESULT, "tool_use_id": "b"}])),
    ("must come first", messages("?", [USE], [TEXT, RESULT])),
    ("ids must be unique", messages("?", [USE], [RESULT], [USE], [RESULT])),
    ("input: should be an object", messages("?", [{**USE, "input": "{}"}], [RESULT])),
    ("Input tag 'image_url'", messages([{"type": "image_url", "image_url": {"url": "x"}}])),
    (
        "Invalid `signature`",
        messages("?", [{"type": "thinking", "thinking": "t", "signature": ""}, TEXT], "?"),
    ),
    (
        "but found `tool_use`",
        messages("?", [USE], [RESULT], thinking={"type": "enabled", "budget_tokens": 1024}),
    ),
    (
        "Thinking may not be enabled",
        messages(tools=[TOOL], tool_choice={"type": "any"}, thinking={"type": "adaptive"}),
    ),
    ("greater than `thinking", messages(thinking={"type": "enabled", "budget_tokens": 4000})),
    ("while providing tools", messages(tool_choice={"type": "auto"})),
    ("unknown type 'required'", messages(tools=[TOOL], tool_choice={"type": "required"})),
    ("function: Extra inputs", messages(tools=[{"name": "f", "function": {}}])),
    ("input_schema.type: Field required", messages(tools=[{"name": "f", "input_schema": {}}])),
    ("temperature: must be", messages(temperature=1.5)),
    ("cannot both be specified", messages(temperature=0.5, top_p=0.5)),
    ("non-whitespace", messages(stop_sequences=["\n"])),
    (
        "Invalid base64",
        messages([{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "!"}}]),
    ),
]

ITEM = {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "a", "output": "r"}


def responses(*items: Any, **fields: Any) -> Body:
    return {"model": "m", "input": list(items or [ASK]), **fields}


BAD_RESPONSES: list[tuple[str, Body]] = [
    ("'input'", {"model": "m"}),
    ("Unknown parameter: 'messages'", responses(messages=[])),
    ("Unknown parameter: 'stop'", responses(stop=["x"])),
    ("Unknown parameter: 'max_tokens'", responses(max_tokens=9)),
    ("max_output_tokens: must be", responses(max_output_tokens=9)),
    ("No tool call found", responses(ASK, OUTPUT)),
    ("No tool call found", responses(ASK, OUTPUT, ITEM)),
    ("No tool call found", responses(ASK, ITEM, {**OUTPUT, "type": "custom_tool_call_output"})),
    ("No tool output found", responses(ASK, ITEM)),
    ("Duplicate call_id", responses(ASK, ITEM, ITEM, OUTPUT)),
    ("Invalid value: 'tool'", responses({"role": "tool", "content": "x"})),
    ("Invalid value: 'text'", responses({"role": "user", "content": [{"type": "text", "text": "x"}]})),
    (
        "Invalid value: 'input_text'",
        responses({"role": "assistant", "content": [{"type": "input_text", "text": "x"}]}),
    ),
    ("begins with 'fc'", responses(ASK, {**ITEM, "id": "call_1"}, OUTPUT)),
    ("Unknown parameter: 'input\\[0\\].tool_calls'", responses({**ASK, "tool_calls": []})),
    ("required following item", responses({"type": "reasoning", "id": "rs_1", "summary": []}, ASK)),
    (
        "could not be verified",
        responses({"type": "reasoning", "summary": [], "encrypted_content": "relay"}, ASK),
    ),
    (
        "Missing or invalid parameter: 'tools\\[0\\].name'",
        responses(tools=[{"type": "function", "function": FUNCTION}]),
    ),
    (
        "'additionalProperties' is required",
        responses(tools=[{"type": "function", **FUNCTION, "strict": True}]),
    ),
    ("not found in 'tools'", responses(tool_choice={"type": "function", "name": "f"})),
    ("tool_choice: 'any'", responses(tools=[{"type": "function", **FUNCTION}], tool_choice="any")),
    ("Previous response with id 'r' not found", responses(previous_response_id="r")),
]
BAD = {"chat": BAD_CHAT, "messages": BAD_MESSAGES, "responses": BAD_RESPONSES}
GOOD: dict[str, list[Body]] = {
    "chat": [
        chat(SYSTEM, ASK, CALLED, TOLD, ASK),
        chat(ASK, {**CALLED, "tool_calls": [CALL, {**CALL, "id": "b"}]}, {**TOLD, "tool_call_id": "b"}, TOLD),
        chat(ASK, {"role": "assistant", "content": "x"}, tools=[{"type": "function", "function": FUNCTION}]),
    ],
    "messages": [
        messages("?", [TEXT, USE], [RESULT, TEXT], "x"),
        messages("?", [USE, {**USE, "id": "b"}], [{**RESULT, "tool_use_id": "b", "is_error": True}, RESULT]),
    ],
    "responses": [
        responses(ASK, {"type": "reasoning", "summary": []}, ITEM, ASK, OUTPUT),
        {"model": "m", "input": "?"},
    ],
}
