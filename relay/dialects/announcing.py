"""Frames that only announce an answer, in any dialect: nothing is lost when they never leave.

A client acts on none of them, and none holds a word of the model's: that a response was created, a role, an
empty text, the start of a text, a message or a piece of reasoning without anything in it. An upstream sends
them as soon as it has taken the request, so a refusal may still follow them.

The start of a tool call is no announcement. Its name is the model's choice: clients show it, some begin to
prepare the call, and of hosted tools the work has begun. A finish is none either, nor is anything that is not
known here: what is in doubt leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from relay.dialects.frame import Frame

_BLOCKS = {"text": ("text", "citations"), "thinking": ("thinking",)}
"""Messages blocks that begin empty, and what would fill them."""
_LIFECYCLE = ("response.created", "response.queued", "response.in_progress")
_ITEMS = {"message": ("content",), "reasoning": ("content", "summary")}
"""Responses items that begin empty, and what would fill them."""
_PARTS = tuple(f"response.{part}_part.added" for part in ("content", "reasoning", "reasoning_summary"))


def announces(dialect: str, frame: Frame) -> bool:
    """Whether all that this frame says is that an answer will come."""
    payload = frame.payload
    if payload is None:
        return False
    kind = payload.get("type") or frame.event
    if kind in ("ping", "keepalive"):
        return True
    return _ANNOUNCES[dialect](kind, payload)


def _chat(kind: object, payload: dict[str, Any]) -> bool:
    choices = payload.get("choices")
    if not choices:  # Azure's first chunk, or usage
        return True
    return isinstance(choices, list) and all(map(_is_empty_choice, choices))


def _is_empty_choice(choice: object) -> bool:
    if not isinstance(choice, dict) or choice.get("finish_reason") or choice.get("message"):
        return False
    delta = choice.get("delta")
    if isinstance(delta, dict):
        return not any(value for key, value in delta.items() if key != "role")
    return not delta


def _messages(kind: object, payload: dict[str, Any]) -> bool:
    if kind == "message_start":
        return _is_empty(payload.get("message"), "content", "stop_reason")
    if kind == "content_block_start":
        block = payload.get("content_block")
        type_ = block.get("type") if isinstance(block, dict) else None
        return isinstance(type_, str) and type_ in _BLOCKS and _is_empty(block, *_BLOCKS[type_])
    if kind == "content_block_delta":
        delta = payload.get("delta")
        return isinstance(delta, dict) and not any(value for key, value in delta.items() if key != "type")
    return kind == "content_block_stop"


def _responses(kind: object, payload: dict[str, Any]) -> bool:
    if kind in _LIFECYCLE:
        return True
    if kind == "response.output_item.added":
        item = payload.get("item")
        type_ = item.get("type") if isinstance(item, dict) else None
        return isinstance(type_, str) and type_ in _ITEMS and _is_empty(item, *_ITEMS[type_])
    if kind in _PARTS:
        return _is_empty(payload.get("part"), "text", "refusal")
    return isinstance(kind, str) and kind.endswith(".delta") and payload.get("delta") == ""


def _is_empty(holder: object, *names: str) -> bool:
    return isinstance(holder, dict) and not any(holder.get(name) for name in names)


_ANNOUNCES: dict[str, Callable[[object, dict[str, Any]], bool]] = {
    "chat": _chat,
    "messages": _messages,
    "responses": _responses,
}
