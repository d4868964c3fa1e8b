"""Every field of every dialect's requests with an example, for the tables of docs/translation.md."""

from __future__ import annotations

from typing import Any

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PDF = "JVBERi0xLjQKJSVFT0YK"
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}

BASE: dict[str, dict[str, Any]] = {
    "chat": {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "tools": [{"type": "function", "function": {"name": "t", "parameters": SCHEMA}}],
        "max_tokens": 50,
    },
    "messages": {
        "model": "m",
        "max_tokens": 50,
        "messages": [{"role": "user", "content": "Hi"}],
        "tools": [{"name": "t", "input_schema": SCHEMA}],
    },
    "responses": {
        "model": "m",
        "input": [{"role": "user", "content": "Hi"}],
        "tools": [{"type": "function", "name": "t", "parameters": SCHEMA}],
        "max_output_tokens": 50,
    },
}


def _chat_user(*parts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


def _chat_call(**message: Any) -> dict[str, Any]:
    call = {"id": "c1", "type": "function", "function": {"name": "t", "arguments": "{}"}}
    return {
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": None, "tool_calls": [call], **message},
            {"role": "tool", "tool_call_id": "c1", "content": "r"},
        ]
    }


def _chat_tool(tool: Any) -> dict[str, Any]:
    return {"tools": [*BASE["chat"]["tools"], tool]}


def _user(*blocks: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(blocks)}]}


def _assistant(*blocks: Any) -> dict[str, Any]:
    return {
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": [*blocks, {"type": "text", "text": "So."}]},
            {"role": "user", "content": "Go on"},
        ]
    }


def _result(**fields: Any) -> dict[str, Any]:
    use = {"type": "tool_use", "id": "t1", "name": "t", "input": {}}
    return {
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": [use]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", **fields}]},
        ]
    }


def _tool(tool: Any) -> dict[str, Any]:
    return {"tools": [*BASE["messages"]["tools"], tool]}


def _item(*items: Any) -> dict[str, Any]:
    return {"input": [{"role": "user", "content": "Hi"}, *items, {"role": "user", "content": "Go on"}]}


def _part(part: Any) -> dict[str, Any]:
    return {"input": [{"role": "user", "content": [part]}]}


def _responses_tool(tool: Any) -> dict[str, Any]:
    return {"tools": [*BASE["responses"]["tools"], tool]}


_TEXT = {"type": "text", "text": "t"}
_SO = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "So."}]}

Example = dict[str, Any]

EXAMPLES: dict[str, dict[str, Example | tuple[Example, Example]]] = {
    "chat": {
        "stream": {"stream": True},
        "max_completion_tokens, max_tokens": {"max_tokens": 60},
        "temperature": {"temperature": 0.5},
        "top_p": {"top_p": 0.5},
        "top_k": {"top_k": 5},
        "stop": {"stop": ["END"]},
        "seed": {"seed": 1},
        "frequency_penalty": {"frequency_penalty": 1},
        "presence_penalty": {"presence_penalty": 1},
        "logit_bias": {"logit_bias": {"1": 1}},
        "logprobs": {"logprobs": True},
        "n above 1": {"n": 2},
        "modalities, audio": {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}},
        "tools: custom": _chat_tool({"type": "custom", "custom": {"name": "c"}}),
        "functions": {"tools": None, "functions": [{"name": "f", "parameters": SCHEMA}]},
        "tool_choice": {"tool_choice": "required"},
        "tool_choice: one tool": {"tool_choice": {"type": "function", "function": {"name": "t"}}},
        "parallel_tool_calls": {"parallel_tool_calls": False},
        "reasoning_effort": {"reasoning_effort": "high"},
        "response_format: json_schema": {
            "response_format": {"type": "json_schema", "json_schema": {"name": "o", "schema": SCHEMA}}
        },
        "response_format: json_object": {"response_format": {"type": "json_object"}},
        "verbosity": {"verbosity": "low"},
        "user": {"user": "u"},
        "safety_identifier": {"safety_identifier": "s"},
        "metadata": {"metadata": {"a": "b"}},
        "store": {"store": True},
        "service_tier": {"service_tier": "flex"},
        "prompt_cache_key": {"prompt_cache_key": "k"},
        "prediction": {"prediction": {"type": "content", "content": "x"}},
        "web_search_options": {"web_search_options": {}},
        "image": _chat_user({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}),
        "image by URL": _chat_user({"type": "image_url", "image_url": {"url": "https://a.test/b.png"}}),
        "file: PDF": _chat_user(
            {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}}
        ),
        "file by id": _chat_user({"type": "file", "file": {"file_id": "file-1"}}),
        "input_audio": _chat_user({"type": "input_audio", "input_audio": {"data": PDF, "format": "wav"}}),
        "message.name": {"messages": [{"role": "user", "content": "Hi", "name": "Ann"}]},
        "developer message": {
            "messages": [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
        },
        "assistant reasoning_content": (_chat_call(), _chat_call(reasoning_content="Hm.")),
        "assistant refusal": {
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": None, "refusal": "No."},
                {"role": "user", "content": "Hm"},
            ]
        },
        "a field nobody knows": {"frobnicate": 1},
    },
    "messages": {
        "stream": {"stream": True},
        "max_tokens": {"max_tokens": 60},
        "system": {"system": "Be brief."},
        "system message amid messages": {
            "messages": [{"role": "user", "content": "Hi"}, {"role": "system", "content": "Be brief."}]
        },
        "temperature": {"temperature": 0.5},
        "top_p": {"top_p": 0.5},
        "top_k": {"top_k": 5},
        "stop_sequences": {"stop_sequences": ["END"]},
        "tool_choice": {"tool_choice": {"type": "any"}},
        "tool_choice: one tool": {"tool_choice": {"type": "tool", "name": "t"}},
        "disable_parallel_tool_use": {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        "thinking: enabled": {"thinking": {"type": "enabled", "budget_tokens": 2000}},
        "thinking: adaptive": {"thinking": {"type": "adaptive"}},
        "output_config.effort": {"output_config": {"effort": "high"}},
        "output_config.format": {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        "metadata.user_id": {"metadata": {"user_id": "u"}},
        "service_tier": {"service_tier": "standard_only"},
        "cache_control": (
            {"system": [_TEXT]},
            {"system": [_TEXT | {"cache_control": {"type": "ephemeral"}}]},
        ),
        "context_management": {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}},
        "mcp_servers": {"mcp_servers": [{"type": "url", "url": "https://a.test", "name": "a"}]},
        "container": {"container": "c1"},
        "tools: server tool": _tool({"type": "web_search_20250305", "name": "web_search"}),
        "tools: bash, text_editor, computer, memory": _tool({"type": "bash_20250124", "name": "bash"}),
        "image": _user(
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
        ),
        "image by URL": _user({"type": "image", "source": {"type": "url", "url": "https://a.test/b.png"}}),
        "image by file id": _user({"type": "image", "source": {"type": "file", "file_id": "f"}}),
        "document: text": _user(
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}
        ),
        "document: PDF": _user(
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}}
        ),
        "document by URL": _user({"type": "document", "source": {"type": "url", "url": "https://a.test/b"}}),
        "search_result": _user(
            {"type": "search_result", "source": "https://a.test", "title": "T", "content": [_TEXT]}
        ),
        "tool_result: is_error": (_result(content="r"), _result(content="r", is_error=True)),
        "tool_result: image": _result(
            content=[
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
            ]
        ),
        "thinking block": (
            _assistant(),
            _assistant({"type": "thinking", "thinking": "Hm.", "signature": "s"}),
        ),
        "redacted_thinking block": (_assistant(), _assistant({"type": "redacted_thinking", "data": "d"})),
        "server_tool_use block": (
            _assistant(),
            _assistant({"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}),
        ),
        "a field nobody knows": {"frobnicate": 1},
    },
    "responses": {
        "stream": {"stream": True},
        "max_output_tokens": {"max_output_tokens": 60},
        "instructions": {"instructions": "Be brief."},
        "temperature": {"temperature": 0.5},
        "top_p": {"top_p": 0.5},
        "top_logprobs": {"top_logprobs": 2},
        "tool_choice": {"tool_choice": "required"},
        "tool_choice: one tool": {"tool_choice": {"type": "function", "name": "t"}},
        "parallel_tool_calls": {"parallel_tool_calls": False},
        "max_tool_calls": {"max_tool_calls": 2},
        "reasoning.effort": {"reasoning": {"effort": "high"}},
        "reasoning.context": {"reasoning": {"context": "all_turns"}},
        "text.format: json_schema": {
            "text": {"format": {"type": "json_schema", "name": "o", "schema": SCHEMA}}
        },
        "text.format: json_object": {"text": {"format": {"type": "json_object"}}},
        "text.verbosity": {"text": {"verbosity": "low"}},
        "include: others": {"include": ["file_search_call.results"]},
        "store: true": {"store": True},
        "previous_response_id": {"previous_response_id": "resp_1"},
        "conversation": {"conversation": "conv_1"},
        "prompt": {"prompt": {"id": "p"}},
        "background: true": {"background": True},
        "truncation: auto": {"truncation": "auto"},
        "metadata": {"metadata": {"a": "b"}},
        "user": {"user": "u"},
        "safety_identifier": {"safety_identifier": "s"},
        "service_tier": {"service_tier": "flex"},
        "prompt_cache_key": {"prompt_cache_key": "k"},
        "client_metadata": {"client_metadata": {"a": "b"}},
        "tools: custom": _responses_tool({"type": "custom", "name": "c"}),
        "tools: grammar of a custom one": (
            _responses_tool({"type": "custom", "name": "c"}),
            _responses_tool(
                {
                    "type": "custom",
                    "name": "c",
                    "format": {"type": "grammar", "syntax": "lark", "definition": 'start: "a"'},
                }
            ),
        ),
        "tools: namespace": _responses_tool(
            {
                "type": "namespace",
                "name": "n",
                "tools": [{"type": "function", "name": "f", "parameters": SCHEMA}],
            }
        ),
        "tools: web_search and other hosted ones": _responses_tool({"type": "web_search"}),
        "input_image": _part({"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"}),
        "input_image by file id": _part({"type": "input_image", "file_id": "f"}),
        "input_file: PDF": _part(
            {
                "type": "input_file",
                "filename": "a.pdf",
                "file_data": f"data:application/pdf;base64,{PDF}",
            }
        ),
        "input_file by URL": _part({"type": "input_file", "file_url": "https://a.test/b.pdf"}),
        "reasoning item of another service": (
            _item(_SO),
            _item({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "opaque"}, _SO),
        ),
        "custom_tool_call and its output": _item(
            {"type": "custom_tool_call", "call_id": "c1", "name": "c", "input": "x"},
            {"type": "custom_tool_call_output", "call_id": "c1", "output": "y"},
        ),
        "item_reference: rs_…": (_item(), _item({"type": "item_reference", "id": "rs_1"})),
        "item_reference: others": _item({"type": "item_reference", "id": "msg_1"}),
        "web_search_call and other hosted items": (
            _item(),
            _item({"type": "web_search_call", "id": "ws_1"}),
        ),
        "local_shell_call, computer_call, …": _item({"type": "local_shell_call", "id": "l", "call_id": "c"}),
        "a field nobody knows": {"frobnicate": 1},
    },
}
