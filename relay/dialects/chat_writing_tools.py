"""Tools and the choice among them, for a chat upstream.

It knows functions only: a namespace becomes a part of the name, a custom tool a function with one text.
"""

from __future__ import annotations

from typing import Any

from relay.dialects.naming import Names
from relay.dialects.request import BadRequest, Request, Tool

_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


def write_tools(request: Request, names: Names, document: dict[str, Any]) -> None:
    """The members `tools`, `tool_choice` and `parallel_tool_calls`; none of them without tools."""
    if not request.tools:
        return
    document["tools"] = [
        {"type": "function", "function": _function(tool, names.of(tool.flat), request)}
        for tool in request.tools
    ]
    choice = request.tool_choice
    if choice is not None and choice.mode == "tool":
        if all(tool.flat != choice.name for tool in request.tools):
            raise BadRequest(choice.path, f"there is no tool {choice.name!r}")
        document["tool_choice"] = {"type": "function", "function": {"name": names.of(choice.name or "")}}
    elif choice is not None:
        document["tool_choice"] = _CHOICES[choice.mode]
    if request.parallel is not None:
        document["parallel_tool_calls"] = request.parallel


def _function(tool: Tool, name: str, request: Request) -> dict[str, Any]:
    function: dict[str, Any] = {"name": name}
    if tool.grammar is not None:
        request.drop(f"{tool.path}.format")
    description = "\n\n".join(filter(None, (tool.description, tool.grammar)))
    if description:
        function["description"] = description
    function["parameters"] = tool.schema
    if tool.strict is not None:
        function["strict"] = tool.strict
    return function
