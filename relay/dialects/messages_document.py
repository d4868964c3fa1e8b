"""A whole Messages answer, as an upstream gives it that ignores `stream`, written as a stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from relay.dialects.checker import Malformed
from relay.dialects.deltas import Context
from relay.dialects.frame import Frame
from relay.dialects.messages_content import TOOLS, compact, stop_frame
from relay.dialects.messages_envelope import finish_frame, is_number, new_message, start_frame


def stream_of(document: dict[str, Any], context: Context) -> list[Frame]:
    """The frames of this answer; raises Malformed when it is not one of this dialect."""
    content = document.get("content")
    if document.get("type") != "message" or not isinstance(content, list):
        raise Malformed("the body is neither an event stream nor a message")
    usage = document.get("usage")
    usage = {**new_message(context)["usage"], **(usage if isinstance(usage, dict) else {})}
    message = {**new_message(context), **document, "content": [], "usage": usage}
    message |= {"stop_reason": None, "stop_sequence": None}
    if "stop_details" in message:
        message["stop_details"] = None
    frames = [start_frame(message)]
    index = 0
    for block in content:
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            raise Malformed("the body holds a content block of no type")
        if block["type"] == "text" and not block.get("text") and not block.get("citations"):
            continue
        frames += _block(block, index)
        index += 1
    frames.append(_finish(document, usage))
    frames.append(Frame("message_stop", {"type": "message_stop"}))
    return frames


def _block(block: dict[str, Any], index: int) -> Iterator[Frame]:
    empty, deltas = _taken_apart(block)
    yield Frame(
        "content_block_start", {"type": "content_block_start", "index": index, "content_block": empty}
    )
    for delta in deltas:
        yield Frame("content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta})
    yield stop_frame(index)


def _taken_apart(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A block in its empty form, and the deltas that fill it again; most kinds come whole."""
    kind = block["type"]
    if kind == "text":
        text = _text(block, "text")
        citations = block.get("citations") or []
        if not isinstance(citations, list):
            raise Malformed("the body holds citations that are not a list")
        empty = {**block, "text": ""} | ({"citations": []} if citations else {})
        deltas = [{"type": "citations_delta", "citation": citation} for citation in citations]
        return empty, [*deltas, {"type": "text_delta", "text": text}]
    if kind == "thinking":
        thinking, signature = _text(block, "thinking"), _text(block, "signature")
        deltas = [{"type": "thinking_delta", "thinking": thinking}] if thinking else []
        deltas += [{"type": "signature_delta", "signature": signature}] if signature else []
        return {**block, "thinking": "", "signature": ""}, deltas
    if kind in TOOLS:
        given = block.get("input") or {}
        if not isinstance(given, dict) or not isinstance(block.get("name"), str):
            raise Malformed("the body holds a tool call without a name, or whose input is not an object")
        delta = {"type": "input_json_delta", "partial_json": compact(given)}
        return {**block, "input": {}}, [delta] if given else []
    return block, []


def _text(block: dict[str, Any], key: str) -> str:
    text = block.get(key)
    if text is not None and not isinstance(text, str):
        raise Malformed(f"the body holds a {block['type']} block whose {key} is not a text")
    return text or ""


def _finish(document: dict[str, Any], usage: dict[str, Any]) -> Frame:
    output = usage.get("output_tokens")
    frame = finish_frame(
        document.get("stop_reason"), output if is_number(output) else 0, document.get("stop_sequence")
    )
    assert frame.payload is not None
    for key in ("stop_details", "container"):
        if document.get(key) is not None:
            frame.payload["delta"][key] = document[key]
    if document.get("context_management") is not None:
        frame.payload["context_management"] = document["context_management"]
    return frame
