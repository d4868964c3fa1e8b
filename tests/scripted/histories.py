"""Histories that clients really send, odd ones among them, all of which can be told in every dialect."""

from __future__ import annotations

from typing import Any

USER = {"role": "user", "content": "?"}
CALL = {"id": "a", "type": "function", "function": {"name": "look", "arguments": '{"what": "x"}'}}
CHAT_HISTORIES: dict[str, list[Any]] = {
    "several users": [USER, {"role": "user", "content": "two"}],
    "several assistants": [
        USER,
        {"role": "assistant", "content": "a"},
        {"role": "assistant", "content": "b"},
        USER,
    ],
    "assistant first": [{"role": "assistant", "content": "Hello!"}, USER],
    "only a system": [{"role": "system", "content": "Say hello."}],
    "empty user": [{"role": "user", "content": ""}],
    "blank user part": [
        {"role": "user", "content": [{"type": "text", "text": " "}, {"type": "text", "text": "?"}]}
    ],
    "empty assistant": [USER, {"role": "assistant", "content": ""}, USER],
    "empty beside calls": [
        USER,
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "a", "content": "r"},
    ],
    "blank beside calls": [
        USER,
        {"role": "assistant", "content": "\n\n", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "a", "content": "r"},
    ],
    "result in parts": [
        USER,
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "r"}]},
    ],
    "user after results": [
        USER,
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "a", "content": "r"},
        USER,
    ],
    "system after results": [
        USER,
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "a", "content": "r"},
        {"role": "system", "content": "s"},
    ],
    "no result": [
        USER,
        {"role": "assistant", "tool_calls": [CALL, {**CALL, "id": "b"}]},
        {"role": "tool", "tool_call_id": "a", "content": "r"},
        USER,
    ],
    "no calls but a list": [USER, {"role": "assistant", "content": "x", "tool_calls": []}, USER],
    "arguments of nothing": [
        USER,
        {"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "look", "arguments": ""}}]},
        {"role": "tool", "tool_call_id": "a", "content": "r"},
    ],
    "arguments that are cut": [
        USER,
        {"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "look", "arguments": '{"what'}}]},
        {"role": "tool", "tool_call_id": "a", "content": "r"},
    ],
    "an id of Kimi": [
        USER,
        {"role": "assistant", "tool_calls": [{**CALL, "id": "functions.look:0"}]},
        {"role": "tool", "tool_call_id": "functions.look:0", "content": "r"},
    ],
    "a long id": [
        USER,
        {"role": "assistant", "tool_calls": [{**CALL, "id": "i" * 80}]},
        {"role": "tool", "tool_call_id": "i" * 80, "content": "r"},
    ],
    "developer": [{"role": "developer", "content": "d"}, USER],
    "white space at the end": [USER, {"role": "assistant", "content": "I think "}],
}


USE = {"type": "tool_use", "id": "a", "name": "look", "input": {"what": "x"}}
RESULT = {"type": "tool_result", "tool_use_id": "a", "content": "r"}
TEXT = {"type": "text", "text": "t"}
CALLED = {"role": "assistant", "content": [USE]}
MESSAGES_HISTORIES: dict[str, list[Any]] = {
    "user after result": [USER, CALLED, {"role": "user", "content": [RESULT, TEXT]}],
    "user before result": [USER, CALLED, {"role": "user", "content": [TEXT, RESULT]}],
    "several users": [USER, USER],
    "no content": [USER, CALLED, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a"}]}],
    "an error of nothing": [
        USER,
        CALLED,
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "is_error": True}]},
    ],
    "system amid": [USER, {"role": "system", "content": "s"}, CALLED, {"role": "user", "content": [RESULT]}],
    "system between call and result": [
        USER,
        CALLED,
        {"role": "system", "content": "s"},
        {"role": "user", "content": [RESULT]},
    ],
    "sealed": [
        USER,
        {"role": "assistant", "content": [{"type": "redacted_thinking", "data": "x"}, TEXT]},
        USER,
    ],
    "only sealed": [
        USER,
        {"role": "assistant", "content": [{"type": "redacted_thinking", "data": "x"}]},
        USER,
    ],
    "foreign thought": [
        USER,
        {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "t", "signature": "foreign"}, USE],
        },
        {"role": "user", "content": [RESULT]},
    ],
    "prefill": [USER, {"role": "assistant", "content": "{"}],
    "cache marks": [
        {"role": "user", "content": [{**TEXT, "cache_control": {"type": "ephemeral"}}]},
        CALLED,
        {"role": "user", "content": [{**RESULT, "cache_control": {"type": "ephemeral"}}]},
    ],
    "a text document": [
        {
            "role": "user",
            "content": [
                {
                    "type": "document",
                    "title": "T",
                    "source": {"type": "text", "media_type": "text/plain", "data": "words"},
                },
                TEXT,
            ],
        }
    ],
    "a search result": [
        {
            "role": "user",
            "content": [
                {"type": "search_result", "title": "T", "source": "https://x", "content": [TEXT]},
                TEXT,
            ],
        }
    ],
}


ITEM = {"type": "function_call", "call_id": "a", "name": "look", "arguments": '{"what": "x"}'}
OUTPUT = {"type": "function_call_output", "call_id": "a", "output": "r"}
SAID = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "t"}]}
THOUGHT: dict[str, Any] = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [],
    "encrypted_content": "gAAAA",
    "content": None,
}
RESPONSES_HISTORIES: dict[str, list[Any]] = {
    "said between": [USER, ITEM, SAID, OUTPUT],
    "user between": [USER, ITEM, USER, OUTPUT],
    "developer between": [USER, ITEM, {"role": "developer", "content": "d"}, OUTPUT],
    "one by one": [USER, ITEM, OUTPUT, {**ITEM, "call_id": "b"}, {**OUTPUT, "call_id": "b"}],
    "parallel": [USER, ITEM, {**ITEM, "call_id": "b"}, {**OUTPUT, "call_id": "b"}, OUTPUT],
    "calls and outputs mixed": [
        USER,
        ITEM,
        {**ITEM, "call_id": "b"},
        OUTPUT,
        {**ITEM, "call_id": "c"},
        {**OUTPUT, "call_id": "c"},
        {**OUTPUT, "call_id": "b"},
    ],
    "no output": [USER, ITEM, USER],
    "foreign thought": [USER, THOUGHT, ITEM, OUTPUT],
    "thought last": [USER, SAID, THOUGHT],
    "only a thought": [USER, THOUGHT, USER],
    "thoughts between": [
        USER,
        THOUGHT,
        ITEM,
        {**THOUGHT, "id": "rs_2"},
        {**ITEM, "call_id": "b"},
        OUTPUT,
        {**OUTPUT, "call_id": "b"},
    ],
    "several developers": [
        {"role": "developer", "content": "d"},
        {"role": "system", "content": "s"},
        USER,
        {"role": "developer", "content": "e"},
        USER,
    ],
    "assistant first": [SAID, USER],
    "empty output": [USER, ITEM, {**OUTPUT, "output": ""}],
    "output in parts": [
        USER,
        ITEM,
        {**OUTPUT, "output": [{"type": "input_text", "text": "r"}, {"type": "input_text", "text": "s"}]},
    ],
    "custom": [
        USER,
        {"type": "custom_tool_call", "call_id": "a", "name": "patch", "input": "*** Begin"},
        {"type": "custom_tool_call_output", "call_id": "a", "output": "ok"},
    ],
    "a search": [
        USER,
        {
            "type": "web_search_call",
            "id": "ws_1",
            "status": "completed",
            "action": {"type": "search", "query": "x"},
        },
        SAID,
        USER,
    ],
    "string": [{"role": "assistant", "content": "plain"}, USER],
}
