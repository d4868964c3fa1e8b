"""The tools of a Responses client, and which of them may, or must, be called."""

from __future__ import annotations

from typing import Any

from relay.dialects.reading import Fields, wrong
from relay.dialects.request import BadRequest, Mode, Request, Tool, ToolChoice

_SILENT = ("defer_loading", "allowed_callers", "output_schema", "async")
"""How the real service handles a tool; says nothing to a model."""
_MODES: dict[str, Mode] = {"auto": "auto", "required": "any", "none": "none"}


def read_tools(request: Request, lists: list[tuple[str, list[Any]]]) -> list[Tool]:
    """Functions and custom tools; namespaces are unfolded, and what a server runs is left out."""
    tools: list[Tool] = []
    for path, listed in lists:
        for position, given in enumerate(listed):
            tools += _read(request, Fields(given, f"{path}[{position}]"))
    seen: dict[str, Tool] = {}
    for tool in tools:
        twin = seen.setdefault(tool.flat, tool)
        if twin is not tool:
            raise BadRequest(tool.path, f"the tool name {tool.flat!r} is taken by {twin.path}; rename one")
    return tools


def _read(request: Request, fields: Fields) -> list[Tool]:
    kind = fields.needed_text("type")
    if kind == "namespace":
        return _namespace(request, fields)
    tool = _tool(request, fields, kind, None)
    if tool is None:
        request.drop(fields.path, kind)
        return []
    return [tool]


def _namespace(request: Request, fields: Fields) -> list[Tool]:
    space = fields.needed_text("name")
    fields.take("description")
    tools: list[Tool] = []
    for position, given in enumerate(fields.items("tools") or []):
        inner = Fields(given, f"{fields.at('tools')}[{position}]")
        kind = inner.needed_text("type")
        tool = _tool(request, inner, kind, space)
        if tool is None:
            request.drop(inner.path, kind)
        else:
            tools.append(tool)
    fields.drop_rest(request)
    return tools


def _tool(request: Request, fields: Fields, kind: str, space: str | None) -> Tool | None:
    """A tool that the client runs; None for one that a server would have to run."""
    if kind not in ("function", "custom"):
        return None
    tool = Tool(
        fields.needed_text("name"),
        description=fields.text("description"),
        namespace=space,
        custom=kind == "custom",
        path=fields.path,
    )
    if tool.custom:
        tool.syntax = _syntax(fields)
    else:
        tool.parameters = fields.take("parameters")
        if tool.parameters is not None and not isinstance(tool.parameters, dict):
            raise wrong(fields.at("parameters"), "an object", tool.parameters)
        tool.strict = fields.boolean("strict")
        if tool.strict is None:
            tool.strict = _can_be_strict(tool.parameters)
    for name in _SILENT:
        fields.take(name)
    fields.drop_rest(request)
    return tool


def _can_be_strict(schema: dict[str, Any] | None) -> bool:
    """Strict is this dialect's default, for schemas that can be; no other dialect's server mends them."""
    return schema is not None and _is_closed(schema)


def _is_closed(schema: object) -> bool:
    """Every object in it says that it has these members and no others."""
    if isinstance(schema, list):
        return all(map(_is_closed, schema))
    if not isinstance(schema, dict):
        return True
    properties, required = schema.get("properties"), schema.get("required")
    if schema.get("type") == "object" or properties is not None:
        names = properties.keys() if isinstance(properties, dict) else ()
        listed = required if isinstance(required, list) else []
        if schema.get("additionalProperties") is not False or not all(name in listed for name in names):
            return False
    return all(map(_is_closed, schema.values()))


def _syntax(fields: Fields) -> dict[str, Any] | None:
    syntax = fields.take("format")
    if syntax is not None and not isinstance(syntax, dict):
        raise wrong(fields.at("format"), "an object", syntax)
    return None if syntax is None or syntax.get("type") == "text" else syntax


def read_choice(request: Request, given: object) -> ToolChoice | None:
    """Raises BadRequest for a choice that cannot be kept. Filters the request's tools if it names some."""
    if given is None:
        return None
    if isinstance(given, str):
        return _mode(request, given, "tool_choice")
    choice = Fields(given, "tool_choice")
    kind = choice.needed_text("type")
    if kind in ("function", "custom"):
        chosen = _named(_names(request), choice)
        choice.drop_rest(request)
        return ToolChoice("tool", chosen.flat)
    if kind != "allowed_tools":
        raise BadRequest("tool_choice", f"tools of type {kind!r} are run by a server that is not there")
    mode, names = choice.needed_text("mode"), _names(request)
    allowed = [
        tool
        for position, named in enumerate(choice.items("tools") or [])
        if (tool := _allowed(request, names, Fields(named, f"tool_choice.tools[{position}]"))) is not None
    ]
    choice.drop_rest(request)
    flats = {tool.flat for tool in allowed}
    request.tools = [tool for tool in request.tools if tool.flat in flats]
    return _mode(request, mode, "tool_choice.mode")


def _mode(request: Request, word: str, path: str) -> ToolChoice | None:
    mode = _MODES.get(word)
    if mode is None:
        raise BadRequest(path, f"expected auto, required or none, found {word!r}")
    if request.tools:
        return ToolChoice(mode, path=path)
    if mode == "any":
        raise BadRequest(path, "a tool is required, and there is none that relay can pass on")
    return None


def _names(request: Request) -> dict[str, list[Tool]]:
    """Tools by their flat names, and by names without a namespace where no tool is called so."""
    bare: dict[str, list[Tool]] = {}
    for tool in request.tools:
        bare.setdefault(tool.name, []).append(tool)
    return {**bare, **{tool.flat: [tool] for tool in request.tools}}


def _allowed(request: Request, names: dict[str, list[Tool]], fields: Fields) -> Tool | None:
    """A tool that may be called; None for a hosted one."""
    if fields.needed_text("type") in ("function", "custom"):
        return _named(names, fields)
    request.drop(fields.path)
    return None


def _named(names: dict[str, list[Tool]], fields: Fields) -> Tool:
    """The tool of this name, which may leave out its namespace where that is clear."""
    name, space = fields.needed_text("name"), fields.text("namespace")
    wanted = Tool(name, namespace=space).flat
    found = names.get(wanted, [])
    if len(found) != 1:
        raise BadRequest(fields.at("name"), f"there is no tool {wanted!r} in `tools`")
    return found[0]
