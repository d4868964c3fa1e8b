"""What a Messages stream or a message says; blocks of server tools are passed over."""

from __future__ import annotations

import json
from collections.abc import Iterable

from tests.dialects.drive import Event
from tests.told import Json, Said, Tale


def stream(given: Iterable[Event]) -> Tale:
    tale = Tale()
    blocks: dict[int, tuple[str, Said | None]] = {}
    usage: Json = {}
    for _, payload in given:
        if payload is None:
            continue  # a gateway's [DONE]
        kind = payload.get("type")
        if kind == "message_start":
            start = payload["message"]
            tale.id, tale.model = start.get("id"), start.get("model")
            usage |= start.get("usage") or {}
            for block in start["content"]:
                _block(tale, block)
            tale.finish = start.get("stop_reason")
        elif kind == "content_block_start":
            block = payload["content_block"]
            blocks[payload["index"]] = (block["type"], _block(tale, block))
        elif kind == "content_block_delta":
            _block_delta(tale, *blocks[payload["index"]], payload["delta"])
        elif kind == "message_delta":
            usage |= {key: value for key, value in payload["usage"].items() if value is not None}
            tale.finish = payload["delta"].get("stop_reason") or tale.finish
            tale.sequence = payload["delta"].get("stop_sequence") or tale.sequence
        elif kind == "message_stop":
            tale.ended = True
        elif kind == "error" or payload.get("error"):
            tale.error = payload["error"]
    tale.counts = _counts(usage)
    return tale


def _block(tale: Tale, block: Json) -> Said | None:
    """What it says at its start; the call, if it is one."""
    if block["type"] == "text":
        tale.add("text", block["text"])
    elif block["type"] == "thinking":
        tale.add("reasoning", block["thinking"])
    elif block["type"] == "tool_use":
        return tale.call(block["id"], block["name"], json.dumps(block["input"]) if block["input"] else "")
    return None


def _block_delta(tale: Tale, kind: str, call: Said | None, delta: Json) -> None:
    if delta["type"] == "text_delta":
        tale.add("text", delta["text"])
    elif delta["type"] == "thinking_delta":
        tale.add("reasoning", delta["thinking"])
    elif delta["type"] == "input_json_delta" and kind == "tool_use":
        assert call is not None
        call.text += delta["partial_json"]


def _counts(usage: Json) -> dict[str, int]:
    cached = usage.get("cache_read_input_tokens") or 0
    written = usage.get("cache_creation_input_tokens") or 0
    return {
        "input": (usage.get("input_tokens") or 0) + cached + written,
        "output": usage.get("output_tokens") or 0,
        "cached": cached,
        "written": written,
        "reasoning": (usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0,
    }


def document(whole: Json) -> Tale:
    """A whole answer of Messages."""
    tale = Tale(id=whole.get("id"), model=whole.get("model"), ended=True)
    for block in whole["content"]:
        _block(tale, block)
    tale.finish, tale.sequence = whole["stop_reason"], whole.get("stop_sequence")
    tale.counts = _counts(whole.get("usage") or {})
    return tale
