"""The tools of a chat request, and which of them may or must be called."""

from __future__ import annotations

from typing import Any

from relay.dialects.chat_reading_parts import Drop, leave
from relay.dialects.reading import Fields, wrong
from relay.dialects.request import BadRequest, Mode, Request, Tool, ToolChoice

_MODES: dict[str, Mode] = {"auto": "auto", "none": "none", "required": "any", "any": "any"}
"""The last is Mistral's word."""


def read_tools(fields: Fields, request: Request) -> None:
    """``tools`` or the old ``functions``, and the choice among them."""
    tools, legacy = fields.items("tools"), fields.items("functions")
    for at, entry in enumerate(tools or []):
        request.tools.append(_tool(Fields(entry, f"tools[{at}]"), request.drop))
    for at, entry in enumerate(legacy or []):
        request.tools.append(_function(Fields(entry, f"functions[{at}]"), request.drop))
    named: set[str] = set()
    for tool in request.tools:
        if tool.name in named:
            raise BadRequest(tool.path, f"a second tool of the name {tool.name!r}")
        named.add(tool.name)
    choice = fields.take("tool_choice")
    if choice is not None:
        request.tool_choice = _choice(choice, request)
    else:
        request.tool_choice = _legacy_choice(fields.take("function_call"), request)
    if request.tool_choice is not None and not request.tools:
        if request.tool_choice.mode == "any":
            raise BadRequest(request.tool_choice.path, "a tool is required but there are no tools")
        request.tool_choice = None
    request.parallel = fields.boolean("parallel_tool_calls")


def _tool(fields: Fields, drop: Drop) -> Tool:
    kind = fields.text("type") or "function"
    if kind not in ("function", "custom"):
        raise BadRequest(
            fields.at("type"), f"{kind!r} is no type of tool here; expected 'function' or 'custom'"
        )
    inner = fields.fields(kind)
    if inner is None:
        raise BadRequest(fields.at(kind), "is required")
    tool = _custom(inner, drop) if kind == "custom" else _function(inner, drop)
    tool.path = fields.path
    leave(fields, drop)
    return tool


def _function(fields: Fields, drop: Drop) -> Tool:
    parameters, at = fields.take("parameters"), fields.at("parameters")
    if parameters is not None and not isinstance(parameters, dict):
        raise wrong(at, "an object", parameters)
    tool = Tool(
        fields.needed_text("name"),
        fields.text("description"),
        parameters,
        fields.boolean("strict"),
        path=fields.path,
    )
    leave(fields, drop)
    return tool


def _custom(fields: Fields, drop: Drop) -> Tool:
    tool = Tool(fields.needed_text("name"), fields.text("description"), custom=True, path=fields.path)
    form = fields.fields("format")
    if form is not None:
        tool.syntax = _syntax(form)
        leave(form, drop)
    leave(fields, drop)
    return tool


def _syntax(fields: Fields) -> dict[str, Any]:
    """In the form of Responses, which has the grammar's members beside the type."""
    kind = fields.needed_text("type")
    if kind == "text":
        return {"type": "text"}
    grammar = fields.fields("grammar") if kind == "grammar" else None
    if grammar is None:
        raise BadRequest(fields.at("type"), "expected 'text', or 'grammar' with a grammar")
    return {
        "type": "grammar",
        "syntax": grammar.needed_text("syntax"),
        "definition": grammar.needed_text("definition"),
    }


def _choice(value: object, request: Request) -> ToolChoice:
    if isinstance(value, str):
        if value not in _MODES:
            raise BadRequest("tool_choice", f"{value!r} is not one of auto, none, required")
        return ToolChoice(_MODES[value])
    if not isinstance(value, dict):
        raise wrong("tool_choice", "a string or an object", value)
    fields = Fields(value, "tool_choice")
    kind = fields.text("type") or "function"  # TGI's has none
    if kind == "allowed_tools":
        inner = fields.fields(kind)
        if inner is None:
            raise BadRequest(fields.at(kind), "is required")
        return _allowed(inner, request)
    return ToolChoice("tool", _named(fields, kind, request))


def _named(fields: Fields, kind: str, request: Request) -> str:
    """The tool that a choice, or an entry of a list of them, means."""
    inner = fields.fields(kind) if kind in ("function", "custom") else None
    if inner is None:
        raise BadRequest(fields.at("type"), "expected 'function' or 'custom' with the tool's name")
    name = inner.needed_text("name")
    if all(tool.name != name for tool in request.tools):
        raise BadRequest(inner.at("name"), f"there is no tool {name!r}")
    return name


def _allowed(fields: Fields, request: Request) -> ToolChoice:
    """Only these tools are offered: no other dialect can hide some of those it is given."""
    mode = fields.needed_text("mode")
    if mode not in ("auto", "required"):
        raise BadRequest(fields.at("mode"), f"{mode!r} is not one of auto, required")
    names: set[str] = set()
    for at, entry in enumerate(fields.items("tools") or []):
        inner = Fields(entry, f"{fields.at('tools')}[{at}]")
        names.add(_named(inner, inner.needed_text("type"), request))
    request.tools = [tool for tool in request.tools if tool.name in names]
    return ToolChoice(_MODES[mode])


def _legacy_choice(value: object, request: Request) -> ToolChoice | None:
    if value is None:
        return None
    if isinstance(value, str):
        if value not in ("auto", "none"):
            raise BadRequest("function_call", f"{value!r} is not one of auto, none")
        return ToolChoice(_MODES[value], path="function_call")
    fields = Fields(value, "function_call")
    name = fields.needed_text("name")
    if all(tool.name != name for tool in request.tools):
        raise BadRequest(fields.at("name"), f"there is no function {name!r}")
    return ToolChoice("tool", name, path="function_call")
