"""What vLLM and the chat templates it runs, or OpenAI, refuse in a chat completion request."""

from __future__ import annotations

import json
from typing import Any

from .checking import NAME, image_url, known, number, require
from .script import Document

FIELDS = {
    *("model", "messages", "stream", "stream_options", "temperature", "top_p", "stop", "n", "seed", "user"),
    *("max_tokens", "max_completion_tokens", "tools", "tool_choice", "parallel_tool_calls", "logprobs"),
    *("top_logprobs", "logit_bias", "frequency_penalty", "presence_penalty", "response_format"),
    *("reasoning_effort", "metadata", "store", "service_tier", "verbosity", "prompt_cache_key"),
    *("safety_identifier", "prompt_cache_retention", "modalities", "prediction"),
}
VLLM_FIELDS = {
    *("top_k", "min_p", "repetition_penalty", "ignore_eos", "min_tokens", "skip_special_tokens"),
    *("chat_template_kwargs", "continue_final_message", "add_generation_prompt", "include_reasoning"),
    *("structured_outputs", "thinking_token_budget", "cache_salt", "priority", "stop_token_ids"),
}
MESSAGE_FIELDS = {
    "system": {"role", "content", "name"},
    "developer": {"role", "content", "name"},
    "user": {"role", "content", "name"},
    "assistant": {
        *("role", "content", "name", "refusal", "tool_calls", "reasoning", "reasoning_content"),
        *("annotations", "audio", "function_call"),
    },
    "tool": {"role", "content", "tool_call_id", "name"},
}
EFFORTS = {"none", "minimal", "low", "medium", "high", "xhigh", "max"}


def check(body: Document, *, openai: bool) -> None:
    known(body, FIELDS | (set() if openai else VLLM_FIELDS), "", "Unrecognized request argument supplied: {}")
    require(
        isinstance(body.get("model"), str) and body["model"], "you must provide a model parameter", "model"
    )
    if openai and body.get("max_tokens") is not None:
        words = "Unsupported parameter: 'max_tokens' is not supported with this model."
        require(False, f"{words} Use 'max_completion_tokens' instead.", "max_tokens")
    _numbers(body)
    _options(body, openai)
    _tools(body)
    messages = body.get("messages")
    require(isinstance(messages, list) and messages, "Invalid 'messages': empty array.", "messages")
    for index, message in enumerate(body["messages"]):
        _message(message, f"messages[{index}]", openai)
    _order(body["messages"])
    if not openai:
        roles = [message["role"] for message in body["messages"]]
        require("system" not in roles[1:], "System message must be at the beginning.", "messages")


def _numbers(body: Document) -> None:
    number(body, "max_tokens", 1, 1 << 20, whole=True)
    number(body, "max_completion_tokens", 1, 1 << 20, whole=True)
    number(body, "n", 1, 1, whole=True)
    number(body, "temperature", 0, 2)
    number(body, "top_p", 0, 1)
    number(body, "top_k", -1, 1 << 20, whole=True)
    number(body, "top_logprobs", 0, 20, whole=True)
    number(body, "frequency_penalty", -2, 2)
    number(body, "presence_penalty", -2, 2)


def _options(body: Document, openai: bool) -> None:
    require(body.get("stream") in (None, True, False), "stream: expected a boolean", "stream")
    if body.get("stream_options") is not None:
        require(
            body.get("stream"), "Stream options can only be defined when `stream=True`.", "stream_options"
        )
        known(body["stream_options"], {"include_usage", "continuous_usage_stats"}, "stream_options")
    effort = body.get("reasoning_effort")
    require(effort is None or effort in EFFORTS, f"Invalid value: {effort!r}.", "reasoning_effort")
    require(
        not body.get("top_logprobs") or body.get("logprobs"), "top_logprobs needs logprobs", "top_logprobs"
    )
    stop = body.get("stop")
    stops = stop if isinstance(stop, list) else [stop or "x"]
    require(all(isinstance(s, str) and s for s in stops), "stop: expected strings", "stop")
    require(isinstance(body.get("user"), str | None), "user: expected a string", "user")
    require(not openai or len(body.get("user") or "") <= 64, "Invalid 'user': string too long.", "user")
    form = body.get("response_format")
    if form is not None:
        kinds = {"text": {"type"}, "json_object": {"type"}, "json_schema": {"type", "json_schema"}}
        require(form.get("type") in kinds, "response_format.type: unknown", "response_format")
        require(set(form) == kinds[form["type"]], f"response_format: {sorted(form)}", "response_format")
        if "json_schema" in form:
            known(form["json_schema"], {"name", "schema", "strict", "description"}, "json_schema")
            require(
                NAME.fullmatch(form["json_schema"].get("name", "")), "json_schema.name", "response_format"
            )


def _tools(body: Document) -> None:
    tools = body.get("tools")
    if tools is None:
        for name in ("tool_choice", "parallel_tool_calls"):
            require(body.get(name) is None, f"When using `{name}`, `tools` must be set.", name)
        return
    require(isinstance(tools, list) and tools, "Invalid 'tools': empty array.", "tools")
    names = [_tool(tool, f"tools[{index}]") for index, tool in enumerate(tools)]
    require(len(set(names)) == len(names), "tools: names are not unique", "tools")
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        require(set(choice) == {"type", "function"}, "Incorrectly formatted `tool_choice`.", "tool_choice")
        require(choice["function"].get("name") in names, "Tool not found in `tools`.", "tool_choice")
    else:
        require(choice in (None, "auto", "none", "required"), f"tool_choice: {choice!r}", "tool_choice")


def _tool(tool: Document, path: str) -> str:
    require(tool.get("type") == "function", f"{path}.type: {tool.get('type')!r} is not 'function'", path)
    known(tool, {"type", "function"}, path)
    function = tool["function"]
    known(function, {"name", "description", "parameters", "strict"}, f"{path}.function")
    require(NAME.fullmatch(function.get("name") or ""), f"{path}.function.name: invalid", path)
    require(isinstance(function.get("strict"), bool | None), f"{path}.function.strict: not a boolean", path)
    schema = function.get("parameters", {"type": "object"})
    right = isinstance(schema, dict) and schema.get("type") == "object"
    require(right, f"Invalid schema for function {function['name']!r}: not an object", path)
    return str(function["name"])


def _message(message: Document, path: str, openai: bool) -> None:
    role = message.get("role")
    require(role in MESSAGE_FIELDS, f"Invalid value: {role!r} for {path}.role", path)
    require(openai or role != "developer", f"Unexpected message role: {role}", path)
    known(message, MESSAGE_FIELDS[str(role)], path)
    content = message.get("content")
    if role == "assistant":
        _assistant(message, path, openai)
    elif role == "user":
        _parts(content, path, {"text", "image_url", "input_audio"} | ({"file"} if openai else set()))
    else:
        _parts(content, path, {"text"})


def _assistant(message: Document, path: str, openai: bool) -> None:
    content, calls = message.get("content"), message.get("tool_calls")
    require(not openai or calls != [], f"Invalid '{path}.tool_calls': empty array.", path)
    require(not message.get("audio") and not message.get("function_call"), f"{path}: not supported", path)
    require(content is not None or calls, f"{path}: content is required without tool_calls", path)
    if content is not None:
        _parts(content, path, {"text", "refusal"})
    for name in ("reasoning", "reasoning_content"):
        require(isinstance(message.get(name), str | None), f"{path}.{name}: expected a string", path)
    for index, call in enumerate(calls or []):
        at = f"{path}.tool_calls[{index}]"
        known(call, {"id", "type", "function"}, at)
        require(isinstance(call.get("id"), str) and call["id"], f"{at}.id: missing", at)
        require(call.get("type") == "function", f"{at}.type: {call.get('type')!r}", at)
        known(call["function"], {"name", "arguments"}, f"{at}.function")
        require(isinstance(call["function"].get("name"), str), f"{at}.function.name: missing", at)
        require(_is_object(call["function"].get("arguments")), f"{at}.function.arguments: not JSON", at)


def _is_object(arguments: Any) -> bool:
    """vLLM parses the arguments of the history, because templates want them as objects."""
    try:
        return isinstance(json.loads(arguments), dict)
    except (TypeError, ValueError):
        return False


def _parts(content: Any, path: str, kinds: set[str]) -> None:
    require(isinstance(content, str | list), f"{path}.content: expected a string or a list", path)
    if isinstance(content, str):
        return
    require(content, f"{path}.content: empty array", path)
    for index, part in enumerate(content):
        at = f"{path}.content[{index}]"
        kind = part.get("type")
        require(kind in kinds, f"{at}: Unknown part type: {kind}", at)
        known(part, {"type", kind}, at)
        if kind in ("text", "refusal"):
            require(isinstance(part[kind], str), f"{at}.{kind}: expected a string", at)
        elif kind == "image_url":
            known(part["image_url"], {"url", "detail"}, at)
            require(part["image_url"].get("detail") in (None, "auto", "low", "high"), f"{at}.detail", at)
            image_url(part["image_url"].get("url"), at)


def _order(messages: list[Document]) -> None:
    """Every call is answered at once, and nothing else is."""
    open_calls: set[str] = set()
    for index, message in enumerate(messages):
        path = f"messages[{index}]"
        if message["role"] == "tool":
            right = message.get("tool_call_id") in open_calls
            words = "Messages with role 'tool' must be a response to a preceding message with 'tool_calls'."
            require(right, f"{words} ({path})", path)
            open_calls.discard(message["tool_call_id"])
            continue
        missing = ", ".join(sorted(open_calls))
        words = "An assistant message with 'tool_calls' must be followed by tool messages responding to each"
        require(not open_calls, f"{words} 'tool_call_id'. Without a response: {missing} ({path})", path)
        ids = [call["id"] for call in message.get("tool_calls") or []]
        require(len(set(ids)) == len(ids), f"{path}: tool call ids are not unique", path)
        open_calls = set(ids)
    require(not open_calls, f"tool calls without a response: {sorted(open_calls)}", "messages")


def text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)
