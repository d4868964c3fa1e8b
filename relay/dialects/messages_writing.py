"""A neutral request, written for an upstream that speaks Messages."""

from __future__ import annotations

from typing import Any

from relay.dialects.messages_writing_turns import answers_tools, conversation, thinks
from relay.dialects.naming import Names, user_of
from relay.dialects.request import Profile, Request, Tool

_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 32768, "max": 32768}
_REASONING_PATHS = {"chat": "reasoning_effort", "responses": "reasoning.effort"}
_SILENT = frozenset(
    {"metadata", "store", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"}
)
_TIERS = {"auto": "auto", "default": "standard_only"}
_USER = 256
"""Characters that `metadata.user_id` may have."""
_LEAST_TOP_P = 0.95
"""With thinking."""


def write(request: Request, profile: Profile) -> dict[str, Any]:
    """Raises BadRequest."""
    request.summarised = True
    names = Names(request, profile)
    tools = [_tool(request, tool, names.of(tool.flat)) for tool in request.tools]
    system, messages = conversation(request, names)
    document: dict[str, Any] = {
        "model": request.model,
        "max_tokens": request.max_tokens or profile.default_max_tokens,
        "messages": messages,
    }
    if system:
        document["system"] = system
    if request.stream:
        document["stream"] = True
    if tools:
        document |= {"tools": tools} | _tool_choice(request, names)
    _think(request, profile, document)
    _sample(request, profile, document)
    if request.output is not None:
        _shape(request, document)
    _extras(request, document)
    return document


def _tool(request: Request, tool: Tool, name: str) -> dict[str, Any]:
    described = "\n\n".join(filter(None, (tool.description, tool.grammar)))
    if tool.grammar is not None:
        request.drop(f"{tool.path}.format")
    schema = tool.schema
    if "type" not in schema:
        schema = {"type": "object"} | schema
    written: dict[str, Any] = {"name": name, "input_schema": schema}
    if described:
        written["description"] = described
    if tool.strict and not tool.custom:
        written["strict"] = True
    return written


def _tool_choice(request: Request, names: Names) -> dict[str, Any]:
    choice = request.tool_choice
    if choice is None and request.parallel is not False:
        return {}
    mode = "auto" if choice is None else choice.mode
    written: dict[str, Any] = {"type": mode}
    if choice is not None and choice.name is not None:
        written["name"] = names.of(choice.name)
    if request.parallel is False and mode != "none":
        written["disable_parallel_tool_use"] = True
    return {"tool_choice": written}


def _think(request: Request, profile: Profile, document: dict[str, Any]) -> None:
    """Reasoning, unless it would be refused here."""
    asked = request.thinking
    effort = asked.effort
    if effort == "none":
        document["thinking"] = {"type": "disabled"}
        return
    if effort is None and asked.budget is None and not asked.adaptive:
        return
    if _forbids_thinking(document):
        request.drop(_REASONING_PATHS.get(request.dialect, "thinking"))
        return
    display = {"display": "omitted"} if asked.hidden else {}
    budget = asked.budget
    if profile.thinking_budgets and effort is not None:
        budget = _BUDGETS.get(effort, _BUDGETS["medium"])
    if budget is not None and (profile.thinking_budgets or effort is None):
        document["thinking"] = {"type": "enabled", "budget_tokens": budget} | display
        if document["max_tokens"] <= budget:
            document["max_tokens"] += budget
        return
    document["thinking"] = {"type": "adaptive"} | display
    if effort is not None:
        document["output_config"] = {"effort": "low" if effort == "minimal" else effort}


def _forbids_thinking(document: dict[str, Any]) -> bool:
    """A forced tool, a prefilled answer, or calls that were made without a thought before them."""
    messages = document["messages"]
    if document.get("tool_choice", {}).get("type") in ("any", "tool") or messages[-1]["role"] == "assistant":
        return True
    return answers_tools(messages[-1]) and not thinks(messages[-2])


def _sample(request: Request, profile: Profile, document: dict[str, Any]) -> None:
    thinking = document.get("thinking", {}).get("type") in ("enabled", "adaptive")
    temperature, top_p, top_k = request.temperature, request.top_p, request.top_k
    if thinking:
        _leave_out(request, temperature=temperature not in (None, 1), top_k=top_k is not None)
        temperature = top_k = None
        if top_p is not None and top_p < _LEAST_TOP_P:
            _leave_out(request, top_p=True)
            top_p = None
    if temperature is not None:
        _leave_out(request, temperature=temperature > 1, top_p=top_p is not None)
        document["temperature"], top_p = min(temperature, 1), None
    if top_p is not None:
        document["top_p"] = top_p
    if top_k is not None:
        _leave_out(request, top_k=not profile.top_k)
        if profile.top_k:
            document["top_k"] = top_k
    sequences = [sequence for sequence in request.stop if sequence.strip()]
    if sequences:
        document["stop_sequences"] = sequences
    _leave_out(request, stop=len(sequences) < len(request.stop))


def _leave_out(request: Request, **left_out: bool) -> None:
    for path, really in left_out.items():
        if really:
            request.drop(path)


def _shape(request: Request, document: dict[str, Any]) -> None:
    """Structured output: any JSON at all cannot be asked for."""
    output = request.output
    assert output is not None
    if output.schema is None:
        request.drop(output.path)
        return
    config = document.setdefault("output_config", {})
    config["format"] = {"type": "json_schema", "schema": output.schema}


def _extras(request: Request, document: dict[str, Any]) -> None:
    user = user_of(request, _USER)
    for name, extra in request.extras.items():
        if name == "safety_identifier" and isinstance(extra.value, str):
            user = user or extra.value
        elif name == "service_tier" and isinstance(extra.value, str) and extra.value in _TIERS:
            document["service_tier"] = _TIERS[extra.value]
        elif name not in _SILENT:
            request.drop(extra.path)
    if user:
        document["metadata"] = {"user_id": user}
