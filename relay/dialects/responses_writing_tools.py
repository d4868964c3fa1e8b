"""Tools for a Responses upstream, and the names that it is given for them."""

from __future__ import annotations

from typing import Any

from relay.dialects.naming import Names
from relay.dialects.request import Mode, Request, Tool
from relay.dialects.responses_document import Json

_MODES: dict[Mode, str] = {"auto": "auto", "any": "required", "none": "none"}


def write_tools(request: Request, names: Names) -> list[Json]:
    tools = [_tool(tool, names) for tool in request.tools]
    search = request.extras.get("web_search_options")
    if search is not None:
        tools.append({"type": "web_search", **_search(search.value)})
    return tools


def _tool(tool: Tool, names: Names) -> Json:
    """Flat; whether it is strict is said, because this dialect's default is yes."""
    named: Json = {"name": names.of(tool.flat)}
    if tool.description is not None:
        named["description"] = tool.description
    if tool.custom:
        form = {} if tool.syntax is None else {"format": tool.syntax}
        return {"type": "custom", **named, **form}
    return {"type": "function", **named, "parameters": tool.schema, "strict": tool.strict is True}


def _search(options: Any) -> Json:
    """Chat's `web_search_options`, whose location stands one object deeper."""
    if not isinstance(options, dict):
        return {}
    found: Json = {}
    if isinstance(options.get("search_context_size"), str):
        found["search_context_size"] = options["search_context_size"]
    location = options.get("user_location")
    if isinstance(location, dict):
        place = location.get("approximate")
        found["user_location"] = {"type": "approximate", **(place if isinstance(place, dict) else {})}
    return found


def write_choice(request: Request, names: Names) -> str | Json | None:
    choice = request.tool_choice
    if choice is None:
        return None
    if choice.mode != "tool":
        return _MODES[choice.mode]
    tool = next((tool for tool in request.tools if tool.flat == choice.name), None)
    kind = "custom" if tool is not None and tool.custom else "function"
    return {"type": kind, "name": names.of(choice.name or "")}
