"""What Anthropic's API refuses in a Messages request, in its own words where they are known."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any

from .checking import image, image_url, known, number, require
from .script import Document, Fault

EXTRA = "{}: Extra inputs are not permitted"
FIELDS = {
    *("model", "messages", "max_tokens", "system", "stream", "temperature", "top_p", "top_k", "tools"),
    *("tool_choice", "stop_sequences", "thinking", "output_config", "metadata", "service_tier"),
    *("cache_control", "inference_geo", "container", "diagnostics", "speed", "user_profile_id"),
}
BETA_FIELDS = {"thread", "context_management", "mcp_servers", "fallbacks"}
VERSIONS = ("2023-06-01", "2026-10-21")
"""The later one takes no sampling fields."""
MID_SYSTEM = "mid-conversation-system"
"""The beta that Claude Code names when it sends `system` among the messages."""
BLOCKS = {
    "text": {"text", "cache_control", "citations"},
    "image": {"source", "cache_control"},
    "document": {"source", "title", "context", "citations", "cache_control"},
    "search_result": {"source", "title", "content", "citations", "cache_control"},
    "tool_result": {"tool_use_id", "content", "is_error", "cache_control"},
    "tool_use": {"id", "name", "input", "cache_control", "caller"},
    "thinking": {"thinking", "signature"},
    "redacted_thinking": {"data"},
}
FROM_USER = ("text", "image", "document", "search_result", "tool_result")
FROM_ASSISTANT = ("text", "tool_use", "thinking", "redacted_thinking")
IN_RESULT = ("text", "image", "document", "search_result")
CHOICES = {"auto": set(), "any": set(), "none": set(), "tool": {"name"}}
EFFORTS = ("low", "medium", "high", "xhigh", "max")
ID = re.compile(r"[a-zA-Z0-9_-]+")
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")


def check(body: Document, headers: dict[str, str], signature: Callable[[str], str]) -> None:
    version = headers.get("anthropic-version")
    require(version in VERSIONS, f"anthropic-version: header is required, not {version!r}")
    known(body, FIELDS | (BETA_FIELDS if "anthropic-beta" in headers else set()), "", EXTRA)
    require(isinstance(body.get("model"), str) and body["model"], "model: Field required", "model")
    require(body.get("max_tokens") is not None, "max_tokens: Field required", "max_tokens")
    number(body, "max_tokens", 1, 1 << 20, whole=True)
    if body.get("thread") is not None:
        details = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
        raise Fault(400, "no threads are kept here", details=details)
    newer = version == VERSIONS[1]
    _sampling(body, newer)
    _system(body.get("system"))
    _tools(body)
    _thinking(body)
    messages = body.get("messages")
    require(isinstance(messages, list), "messages: Field required", "messages")
    require(messages, "messages: at least one message is required", "messages")
    _roles(body["messages"], newer or MID_SYSTEM in headers.get("anthropic-beta", ""))
    for index, message in enumerate(body["messages"]):
        _message(message, f"messages.{index}", signature)
    _order(body["messages"])
    _continued_thought(body)


def _sampling(body: Document, newer: bool) -> None:
    require(body.get("stream") in (None, True, False), "stream: Input should be a valid boolean", "stream")
    number(body, "temperature", 0, 1)
    number(body, "top_p", 0, 1)
    number(body, "top_k", 0, 1 << 20, whole=True)
    for name in ("temperature", "top_p", "top_k"):
        require(not newer or name not in body, EXTRA.format(name), name)
    both = body.get("temperature") is not None and body.get("top_p") is not None
    require(not both, "`temperature` and `top_p` cannot both be specified for this model.")
    for stop in body.get("stop_sequences") or []:
        good = isinstance(stop, str) and stop.strip()
        require(good, "stop_sequences: each stop sequence must contain non-whitespace", "stop_sequences")
    known(body.get("metadata") or {}, {"user_id"}, "metadata", EXTRA)
    require(isinstance((body.get("metadata") or {}).get("user_id"), str | None), "metadata.user_id: string")
    require(body.get("service_tier") in (None, "auto", "standard_only"), "service_tier: not a tier")
    config = body.get("output_config") or {}
    known(config, {"effort", "format", "task_budget"}, "output_config", EXTRA)
    require(config.get("effort") in (None, *EFFORTS), "output_config.effort: not an effort")
    if (form := config.get("format")) is not None:
        require(set(form) == {"type", "schema"}, "output_config.format: type and schema", "output_config")
        require(form["type"] == "json_schema", "output_config.format.type: 'json_schema'", "output_config")


def _system(system: Any) -> None:
    if system is None or isinstance(system, str):
        return
    for index, block in enumerate(system):
        path = f"system.{index}"
        require(block.get("type") == "text", f"{path}.type: Input should be 'text'", path)
        _block(block, path, ("text",))


def _tools(body: Document) -> None:
    tools = body.get("tools")
    names = [_tool(tool, f"tools.{index}") for index, tool in enumerate(tools or [])]
    require(len(set(names)) == len(names), "tools: Tool names must be unique.", "tools")
    choice = body.get("tool_choice")
    if choice is None:
        return
    require(tools, "tool_choice: may only be specified while providing tools.", "tool_choice")
    kind = choice.get("type")
    require(kind in CHOICES, f"tool_choice: unknown type {kind!r}", "tool_choice")
    parallel = set() if kind == "none" else {"disable_parallel_tool_use"}
    known(choice, {"type"} | CHOICES[kind] | parallel, "tool_choice", EXTRA)
    require(kind != "tool" or choice.get("name") in names, "tool_choice.name: not in tools", "tool_choice")


def _tool(tool: Document, path: str) -> str:
    require(TOOL_NAME.fullmatch(tool.get("name") or ""), f"{path}.name: does not match the pattern", path)
    if tool.get("type") in (None, "custom"):
        optional = {"type", "description", "strict", "cache_control", "eager_input_streaming"}
        optional |= {"defer_loading", "input_examples", "allowed_callers"}
        known(tool, {"name", "input_schema"} | optional, path, EXTRA)
        schema = tool.get("input_schema")
        require(isinstance(schema, dict), f"{path}.input_schema: Field required", path)
        assert isinstance(schema, dict)
        require(schema.get("type") == "object", f"{path}.input_schema.type: Field required", path)
    return str(tool["name"])


def _thinking(body: Document) -> None:
    thinking = body.get("thinking")
    if thinking is None:
        return
    kind = thinking.get("type")
    fields = {"enabled": {"budget_tokens", "display"}, "adaptive": {"display"}, "disabled": set()}
    fields["between_tools"] = set()
    require(kind in fields, f"thinking.type: {kind!r}", "thinking")
    known(thinking, {"type"} | fields[kind], "thinking", EXTRA)
    if kind == "enabled":
        budget = thinking.get("budget_tokens")
        right = isinstance(budget, int) and budget >= 1024
        require(right, "thinking.budget_tokens: Input should be greater than or equal to 1024", "thinking")
        words = "`max_tokens` must be greater than `thinking.budget_tokens`."
        require(body["max_tokens"] > budget, words, "max_tokens")
    if kind != "disabled":
        words = "`temperature` may only be set to 1 when thinking is enabled."
        require(body.get("temperature") in (None, 1), words, "temperature")
        forced = (body.get("tool_choice") or {}).get("type") in ("any", "tool")
        require(not forced, "Thinking may not be enabled when tool_choice forces tool use.", "tool_choice")


def _roles(messages: list[Document], system: bool) -> None:
    for index, message in enumerate(messages):
        role = message.get("role")
        right = role in ("user", "assistant") or (system and role == "system")
        require(right, f"messages.{index}.role: Unexpected role {role!r}", f"messages.{index}.role")
    roles = [message["role"] for message in messages if message["role"] != "system"]
    require(roles[0] == "user", "messages: first message must use the `user` role", "messages")
    alternate = all(one != other for one, other in itertools.pairwise(roles))
    require(alternate, "messages: roles must alternate between `user` and `assistant`", "messages")


def _message(message: Document, path: str, signature: Callable[[str], str]) -> None:
    known(message, {"role", "content"}, path, EXTRA)
    content = message.get("content")
    require(isinstance(content, str | list) and content, f"{path}.content: must be non-empty", path)
    if isinstance(content, str):
        require(content.strip(), f"{path}: text content blocks must contain non-whitespace text", path)
        return
    kinds = {"user": FROM_USER, "assistant": FROM_ASSISTANT, "system": ("text",)}[message["role"]]
    for index, block in enumerate(content or []):
        at = f"{path}.content.{index}"
        _block(block, at, kinds)
        if block["type"] == "thinking":
            right = block.get("signature") == signature(block["thinking"])
            require(right, f"{at}: Invalid `signature` in `thinking` block", at)


def _block(block: Document, path: str, kinds: tuple[str, ...]) -> None:
    kind = block.get("type")
    require(kind in kinds, f"{path}: Input tag {kind!r} does not match any of {kinds}", path)
    known(block, {"type"} | BLOCKS[str(kind)], path, EXTRA)
    match kind:
        case "text":
            good = isinstance(block.get("text"), str) and block["text"].strip()
            require(good, f"{path}: text content blocks must contain non-whitespace text", path)
        case "image":
            _source(block.get("source") or {}, f"{path}.source")
        case "tool_use":
            require(ID.fullmatch(block.get("id") or ""), f"{path}.id: should match {ID.pattern}", path)
            require(TOOL_NAME.fullmatch(block.get("name") or ""), f"{path}.name: invalid", path)
            require(isinstance(block.get("input"), dict), f"{path}.input: should be an object", path)
        case "tool_result":
            _result(block, path)


def _result(block: Document, path: str) -> None:
    require(isinstance(block.get("tool_use_id"), str), f"{path}.tool_use_id: Field required", path)
    require(block.get("is_error") in (None, True, False), f"{path}.is_error: should be a boolean", path)
    content = block.get("content", "")
    require(isinstance(content, str | list), f"{path}.content: should be a string or a list", path)
    if isinstance(content, list):
        for index, part in enumerate(content):
            _block(part, f"{path}.content.{index}", IN_RESULT)


def _source(source: Document, path: str) -> None:
    if source.get("type") == "base64":
        known(source, {"type", "media_type", "data"}, path, EXTRA)
        image(source.get("media_type"), source.get("data"), path)
    else:
        require(source.get("type") == "url", f"{path}.type: {source.get('type')!r}", path)
        known(source, {"type", "url"}, path, EXTRA)
        image_url(source.get("url"), path)
        require(not source["url"].startswith("data:"), f"{path}.url: Only HTTPS URLs are supported", path)


def _order(messages: list[Document]) -> None:
    """The message after tool_use blocks begins with a result for each, and there are no others."""
    called: list[str] = []
    ever: set[str] = set()
    for index, message in enumerate(messages):
        if message["role"] == "system":
            continue
        blocks = message["content"] if isinstance(message["content"], list) else []
        kinds = [block["type"] for block in blocks]
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        missing = [ident for ident in called if ident not in results]
        words = "`tool_use` ids were found without `tool_result` blocks immediately after"
        require(not missing, f"messages.{index - 1}: {words}: {', '.join(missing)}", "messages")
        odd = [ident for ident in results if ident not in called]
        words = "unexpected `tool_use_id` found in `tool_result` blocks"
        require(not odd, f"messages.{index}: {words}: {', '.join(odd)}", "messages")
        first = all(kind == "tool_result" for kind in kinds[: len(results)])
        require(first, f"messages.{index}: `tool_result` blocks must come first", "messages")
        require(len(set(results)) == len(results), f"messages.{index}: two results for one call", "messages")
        called = [block["id"] for block in blocks if block["type"] == "tool_use"]
        twice = bool(ever & set(called)) or len(set(called)) != len(called)
        require(not twice, f"messages.{index}: `tool_use` ids must be unique", "messages")
        ever |= set(called)
    require(not called, "messages: the last message has `tool_use` without `tool_result`", "messages")


def _continued_thought(body: Document) -> None:
    """With a budget, a turn that waits for its results has to begin with its thought."""
    if (body.get("thinking") or {}).get("type") != "enabled":
        return
    for message in reversed(body["messages"]):
        blocks = message["content"] if isinstance(message["content"], list) else []
        if message["role"] == "user" and not any(block["type"] == "tool_result" for block in blocks):
            return
        if message["role"] == "assistant":
            kind = blocks[0]["type"] if blocks else "text"
            words = "Expected `thinking` or `redacted_thinking`, but found"
            if kind not in ("thinking", "redacted_thinking"):
                raise Fault(400, f"messages: {words} `{kind}`.", type="invalid_request_error")
            return
