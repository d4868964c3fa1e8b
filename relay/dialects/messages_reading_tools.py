"""The tools of a client's request, and its choice among them."""

from __future__ import annotations

import re

from relay.dialects.reading import Fields, wrong
from relay.dialects.request import BadRequest, Mode, Request, Tool, ToolChoice

_CLIENT_TOOLS = re.compile(r"(bash|text_editor|computer|memory|browser)_")
"""Run by the client, but with a schema that only Anthropic's models know."""
_SILENT = ("cache_control", "eager_input_streaming", "defer_loading", "input_examples")
_MODES: dict[str, Mode] = {"auto": "auto", "any": "any", "none": "none", "tool": "tool"}


def read_tools(request: Request, top: Fields) -> None:
    """Fill in the tools, the choice and whether calls may be parallel; all are left out without tools."""
    server: dict[str, str] = {}
    names: set[str] = set()
    for index, value in enumerate(top.items("tools") or []):
        fields = Fields(value, f"tools[{index}]")
        name = fields.text("name") or ""
        if _built_in(fields):
            request.drop(fields.path, name)
            server[name] = fields.path
            continue
        tool = _tool(request, fields, name)
        if name in names:
            raise BadRequest(f"{fields.path}.name", f"a second tool of the name {name!r}")
        names.add(name)
        if tool is not None:
            request.tools.append(tool)
    if server and not request.tools:
        path = next(iter(server.values()))
        raise BadRequest(path, "this tool is run by Anthropic's API only, and there is no other tool")
    choice = top.fields("tool_choice")
    if choice is not None:
        _choose(request, choice, server)


def _built_in(fields: Fields) -> bool:
    """Is it one of the API's own tools, which it runs itself; what only its models know is refused."""
    kind = fields.text("type")
    if kind is not None and _CLIENT_TOOLS.match(kind):
        problem = f"{kind} has its schema built into Anthropic's models: define the tool with an input_schema"
        raise BadRequest(fields.at("type"), problem)
    return kind not in (None, "custom")


def _tool(request: Request, fields: Fields, name: str) -> Tool | None:
    """None for a tool that only other tools of the API may call."""
    if not name:
        raise BadRequest(fields.at("name"), "is required")
    callers = fields.items("allowed_callers")
    if callers is not None and "direct" not in callers:
        request.drop(fields.path)
        return None
    schema = fields.take("input_schema")
    if not isinstance(schema, dict):
        if schema is None:
            raise BadRequest(fields.at("input_schema"), "is required")
        raise wrong(fields.at("input_schema"), "an object", schema)
    tool = Tool(name, fields.text("description"), schema, fields.boolean("strict"), path=fields.path)
    for silent in _SILENT:
        fields.take(silent)
    fields.drop_rest(request)
    return tool


def _choose(request: Request, choice: Fields, server: dict[str, str]) -> None:
    kind = choice.needed_text("type")
    if kind not in _MODES:
        raise BadRequest(choice.at("type"), f"no such tool choice: {kind!r}")
    name = choice.needed_text("name") if kind == "tool" else None
    single = choice.boolean("disable_parallel_tool_use")
    choice.drop_rest(request)
    if name is not None and not any(tool.name == name for tool in request.tools):
        problem = "this tool is run by Anthropic's API only" if name in server else "no tool has this name"
        raise BadRequest(choice.at("name"), f"{problem}: {name!r}")
    if request.tools:
        request.tool_choice = ToolChoice(_MODES[kind], name)
        request.parallel = False if single else None
