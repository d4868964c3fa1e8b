"""What a translated answer is called in chat: its id, its finish reason, its tool calls."""

from __future__ import annotations

import re
from typing import Any

from relay.dialects.deltas import Block, Context, Open, Reason
from relay.dialects.request import Tool

FINISH = {
    Reason.STOP: "stop",
    Reason.SEQUENCE: "stop",
    Reason.TOOLS: "tool_calls",
    Reason.LENGTH: "length",
    Reason.FILTER: "content_filter",
}
_PREFIX = re.compile(r"(?:chatcmpl|msg|resp)[-_]")
"""What the dialects put before the id of an answer."""


def identity(context: Context, opened: Open | None) -> dict[str, Any]:
    """The id, the time and the model that all of the answer shares."""
    ident, created = (opened.ident, opened.created) if opened else (None, None)
    return {
        "id": f"chatcmpl-{_PREFIX.sub('', ident or context.ident, count=1)}",
        "object": "chat.completion",
        "created": context.created if created is None else created,
        "model": context.model or "",
    }


def call_id(context: Context, block: Block, index: int) -> str:
    """The upstream's, unchanged; few have none."""
    return block.tool_id or f"call_{context.ident}_{index}"


def call(ident: str, tool: Tool, text: str) -> dict[str, Any]:
    """A tool call with this much of its arguments, or of a custom tool's input."""
    if tool.custom:
        return {"id": ident, "type": "custom", "custom": {"name": tool.name, "input": text}}
    return {"id": ident, "type": "function", "function": {"name": tool.name, "arguments": text}}
