"""How an answer that came in another dialect is worded as a message, in a stream and in a document."""

from __future__ import annotations

import re
from typing import Any

from relay.dialects.deltas import Block, Cite, Context, Reason, Usage
from relay.dialects.messages_envelope import new_message
from relay.dialects.request import Request

_PREFIX = re.compile(r"chatcmpl-|cmpl-|resp_|msg_|gen-")
"""What an answer's id begins with, in whichever dialect."""

_STOP_REASONS = {
    Reason.STOP: "end_turn",
    Reason.SEQUENCE: "stop_sequence",
    Reason.TOOLS: "tool_use",
    Reason.LENGTH: "max_tokens",
    Reason.FILTER: "refusal",
}


def message(ident: str | None, context: Context, usage: Usage | None) -> dict[str, Any]:
    """The message object, under the upstream's id."""
    suffix = _PREFIX.sub("", ident, count=1) if ident and _PREFIX.match(ident) else ident
    whole = new_message(context) | {"usage": counts(usage)}
    return whole | {"id": f"msg_{suffix}"} if suffix else whole


def stop_reason(reason: Reason, *, refused: bool) -> str:
    """``refused``: the answer holds a refusal, which other dialects call a stop."""
    if refused and reason is Reason.STOP:
        return "refusal"
    return _STOP_REASONS[reason]


def counts(usage: Usage | None) -> dict[str, Any]:
    """What came out of a cache is no part of this dialect's ``input_tokens``; the SDKs need numbers."""
    usage = usage or Usage()
    cached, written = usage.cached or 0, usage.cache_write or 0
    said: dict[str, Any] = {
        "input_tokens": max((usage.input or 0) - cached - written, 0),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": cached,
        "output_tokens": usage.output or 0,
    }
    if usage.reasoning is not None:
        said["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return said


def tool_use(block: Block, index: int, context: Context, request: Request) -> dict[str, Any]:
    """The call's block, its input still empty; an id that the upstream forgot is made."""
    ident = block.tool_id or f"toolu_{context.ident}_{index}"
    return {"type": "tool_use", "id": ident, "name": request.tool(block.name or "").name, "input": {}}


def citation(cite: Cite) -> dict[str, Any]:
    """A source as the web search would have named it; the AI SDK wants a text as the title."""
    return {
        "type": "web_search_result_location",
        "cited_text": "",
        "url": cite.url,
        "title": cite.title or "",
        "encrypted_index": "",
    }
