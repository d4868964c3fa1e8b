"""What OpenAI refuses in a Responses request, in its own words where they are known."""

from __future__ import annotations

from typing import Any

from .checking import NAME, image_url, known, number, require
from .script import Document, Fault

FIELDS = {
    *("model", "input", "instructions", "stream", "stream_options", "temperature", "top_p", "tools"),
    *("tool_choice", "parallel_tool_calls", "max_output_tokens", "max_tool_calls", "reasoning", "text"),
    *("include", "store", "previous_response_id", "conversation", "prompt", "background", "truncation"),
    *("metadata", "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"),
    *("service_tier", "top_logprobs", "client_metadata", "context_management", "moderation"),
}
ITEMS: dict[str, tuple[set[str], str]] = {
    "message": ({"role", "content", "phase"}, "msg_"),
    "function_call": ({"call_id", "name", "arguments", "namespace"}, "fc"),
    "function_call_output": ({"call_id", "output"}, "fc"),
    "custom_tool_call": ({"call_id", "name", "input", "namespace"}, "ctc"),
    "custom_tool_call_output": ({"call_id", "output", "name"}, "ctc"),
    "reasoning": ({"summary", "content", "encrypted_content"}, "rs_"),
    "additional_tools": ({"role", "tools"}, ""),
}
OUTPUTS = {"function_call_output": "function_call", "custom_tool_call_output": "custom_tool_call"}
PARTS = {
    "input_text": {"text"},
    "input_image": {"image_url", "detail", "file_id"},
    "input_file": {"file_data", "filename", "file_url", "file_id"},
    "output_text": {"text", "annotations", "logprobs"},
    "refusal": {"refusal"},
}
FROM_USER = {"input_text", "input_image", "input_file"}
EFFORTS = {None, "none", "minimal", "low", "medium", "high", "xhigh", "max"}
HOSTED = {"web_search", "web_search_preview", "file_search", "code_interpreter", "image_generation", "mcp"}
HOSTED |= {"local_shell", "shell", "apply_patch", "tool_search"}
CALLABLE = {"function", "custom"}


def check(body: Document) -> None:
    known(body, FIELDS, "")
    require(isinstance(body.get("model"), str) and body["model"], "Missing 'model'.", "model")
    number(body, "max_output_tokens", 16, 1 << 20, whole=True)
    number(body, "temperature", 0, 2)
    number(body, "top_p", 0, 1)
    number(body, "top_logprobs", 0, 20, whole=True)
    _state(body)
    _options(body)
    _tools(body)
    entries = body.get("input")
    require(isinstance(entries, str | list) and entries, "Missing required parameter: 'input'.", "input")
    if isinstance(entries, list):
        for index, entry in enumerate(entries):
            _item(entry, f"input[{index}]")
        _calls(entries)
        _reasoning(entries)


def _state(body: Document) -> None:
    ident = body.get("previous_response_id")
    if ident is not None:
        words = f"Previous response with id '{ident}' not found."
        raise Fault(400, words, code="previous_response_not_found", param="previous_response_id")
    for name in ("conversation", "prompt"):
        require(body.get(name) is None, f"{name}: not found", name)
    require(not body.get("background"), "background: not enabled", "background")


def _options(body: Document) -> None:
    require(body.get("stream") in (None, True, False), "stream: expected a boolean", "stream")
    require(not body.get("stream_options") or body.get("stream"), "stream_options: only with stream")
    reasoning = body.get("reasoning") or {}
    known(reasoning, {"effort", "summary", "generate_summary", "context", "mode"}, "reasoning")
    require(reasoning.get("effort") in EFFORTS, "Invalid value: 'reasoning.effort'", "reasoning.effort")
    summaries = (None, "auto", "concise", "detailed")
    require(reasoning.get("summary") in summaries, "Invalid value: 'reasoning.summary'", "reasoning.summary")
    text = body.get("text") or {}
    known(text, {"format", "verbosity"}, "text")
    form = text.get("format") or {"type": "text"}
    names = {"name", "schema", "strict", "description"} if form.get("type") == "json_schema" else set()
    known(form, {"type"} | names, "text.format")
    require(not names or {"name", "schema"} <= set(form), "Missing: 'text.format.name'", "text.format.name")
    values = body.get("metadata") or {}
    require(all(isinstance(v, str) for v in values.values()), "metadata: expected strings", "metadata")


def _tools(body: Document) -> None:
    names: set[str] = set()
    for index, tool in enumerate(tools_of(body)):
        names |= _tool(tool, f"tools[{index}]")
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        if choice.get("type") in CALLABLE:
            known(choice, {"type", "name"}, "tool_choice")
            words = f"Tool choice '{choice.get('name')}' not found in 'tools' parameter."
            require(choice.get("name") in names, words, "tool_choice")
        else:
            require(choice.get("type") in HOSTED | {"allowed_tools"}, "tool_choice.type", "tool_choice.type")
    else:
        require(choice in (None, "auto", "none", "required"), f"tool_choice: {choice!r}", "tool_choice")
        words = "Tool choice 'required' must be specified with 'tools' parameter."
        require(choice != "required" or body.get("tools"), words, "tool_choice")


def tools_of(body: Document) -> list[Document]:
    """Codex declares its tools in an item of the input for models that know it."""
    entries = body.get("input") if isinstance(body.get("input"), list) else []
    more = [tool for entry in entries or [] for tool in _more(entry)]
    return [*(body.get("tools") or []), *more]


def _more(entry: Document) -> list[Document]:
    return list(entry["tools"]) if entry.get("type") == "additional_tools" else []


def _tool(tool: Document, path: str) -> set[str]:
    kind = tool.get("type")
    require(kind in HOSTED | CALLABLE | {"namespace"}, f"Invalid value: {kind!r}: '{path}.type'", path)
    if kind in HOSTED:
        return set()
    good = NAME.fullmatch(tool.get("name") or "")
    require(good, f"Missing or invalid parameter: '{path}.name'.", f"{path}.name")
    if kind == "namespace":
        known(tool, {"type", "name", "description", "tools"}, path)
        return {name for inner in tool["tools"] for name in _tool(inner, f"{path}.tools")}
    if kind == "custom":
        known(tool, {"type", "name", "description", "format", "defer_loading"}, path)
        return {tool["name"]}
    fields = {"type", "name", "description", "parameters", "strict", "defer_loading", "output_schema"}
    known(tool, fields, path)
    schema = tool.get("parameters") or {}
    right = isinstance(schema, dict) and schema.get("type", "object") == "object"
    require(right, f"Invalid schema for function '{tool['name']}': not an object", f"{path}.parameters")
    if tool.get("strict"):
        words = "In context=(), 'additionalProperties' is required to be supplied and to be false."
        require(schema.get("additionalProperties") is False, f"{words} {tool['name']}", path)
    return {tool["name"]}


def _item(entry: Document, path: str) -> None:
    kind = entry.get("type", "message")
    require(kind in ITEMS, f"Invalid value: '{kind}' for '{path}.type'.", path)
    fields, prefix = ITEMS[kind]
    known(entry, fields | {"type", "id", "status", "internal_chat_message_metadata_passthrough"}, path)
    ident = entry.get("id")
    right = ident is None or ident.startswith(prefix)
    require(right, f"Invalid '{path}.id': '{ident}'. Expected an ID that begins with '{prefix}'.", path)
    if kind == "message":
        _message(entry, path)
    elif kind == "additional_tools":
        require(isinstance(entry.get("tools"), list), f"Missing required parameter: '{path}.tools'.", path)
    elif kind == "reasoning":
        require(
            isinstance(entry.get("summary"), list), f"Missing required parameter: '{path}.summary'.", path
        )
        sealed = entry.get("encrypted_content")
        good = sealed is None or sealed.startswith("sealed-")
        require(good, f"The encrypted content {str(sealed)[:9]}... could not be verified.", path)
    else:
        _call(entry, kind, path)


def _call(entry: Document, kind: str, path: str) -> None:
    call_id = entry.get("call_id")
    good = isinstance(call_id, str) and 0 < len(call_id) <= 64
    require(good, f"Invalid '{path}.call_id': {call_id!r}", path)
    if kind in OUTPUTS:
        _content(entry.get("output"), f"{path}.output", FROM_USER)
        return
    require(NAME.fullmatch(entry.get("name") or ""), f"Invalid '{path}.name': {entry.get('name')!r}", path)
    field = "arguments" if kind == "function_call" else "input"
    require(isinstance(entry.get(field), str), f"Invalid type for '{path}.{field}': not a string", path)


def _message(entry: Document, path: str) -> None:
    role = entry.get("role")
    roles = ("user", "system", "developer", "assistant")
    require(role in roles, f"Invalid value: '{role}' for '{path}.role'.", path)
    kinds = {"output_text", "refusal"} if role == "assistant" else FROM_USER
    _content(entry.get("content"), f"{path}.content", kinds)


def _content(content: Any, path: str, kinds: set[str]) -> None:
    require(isinstance(content, str | list), f"Invalid type for '{path}'", path)
    if isinstance(content, str):
        return
    for index, part in enumerate(content):
        at = f"{path}[{index}]"
        kind = part.get("type")
        supported = ", ".join(sorted(kinds))
        require(kind in kinds, f"Invalid value: '{kind}'. Supported values are: {supported} ({at})", at)
        known(part, {"type"} | PARTS[kind], at)
        if kind == "input_image":
            require(part.get("detail") in (None, "auto", "low", "high", "original"), f"{at}.detail", at)
            image_url(part.get("image_url"), f"{at}.image_url")
        elif kind != "input_file":
            name = "refusal" if kind == "refusal" else "text"
            require(isinstance(part.get(name), str), f"Missing required parameter: '{at}.{name}'.", at)


def _calls(entries: list[Document]) -> None:
    """Each call has its output somewhere after it, each output its call before it."""
    called: dict[str, str] = {}
    answered: set[str] = set()
    for entry in entries:
        kind = entry.get("type", "message")
        if kind in OUTPUTS:
            known_call = called.get(entry["call_id"]) == OUTPUTS[kind]
            words = f"No tool call found for {kind.replace('_', ' ')} with call_id {entry['call_id']}."
            require(known_call, words, "input")
            answered.add(entry["call_id"])
        elif kind in OUTPUTS.values():
            require(entry["call_id"] not in called, f"Duplicate call_id {entry['call_id']}.", "input")
            called[entry["call_id"]] = kind
    for call_id in called:
        require(call_id in answered, f"No tool output found for function call {call_id}.", "input")


def _reasoning(entries: list[Document]) -> None:
    """A thought is followed by what it led to; the last item may be the rest of an answer that was cut."""
    for index, entry in enumerate(entries):
        if entry.get("type") == "reasoning" and entry.get("id"):
            after = entries[index + 1] if index + 1 < len(entries) else {}
            words = (
                f"Item '{entry['id']}' of type 'reasoning' was provided without its required following item."
            )
            require(after.get("role") != "user", words, "input")
