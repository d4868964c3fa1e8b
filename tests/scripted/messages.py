"""Messages in Anthropic's manner: pings, a block for each thing said, thinking that carries a signature."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from .messages_rules import check
from .script import (
    TOKENS,
    Answer,
    Conversation,
    Declared,
    Decline,
    Document,
    Fault,
    Result,
    Say,
    Think,
    Use,
    pieces,
)

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class Dialect:
    name = "messages"
    path = "/v1/messages"
    probed = True
    """Claude Code asks `HEAD /` first."""
    count_path = "/v1/messages/count_tokens"

    def presented(self, headers: dict[str, str]) -> str | None:
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        return headers.get("x-api-key") or bearer or None

    def headers(self, number: int) -> dict[str, str]:
        return {"request-id": f"req_{number}", "anthropic-ratelimit-requests-remaining": "99"}

    def models(self) -> Document:
        model = {"type": "model", "id": "scripted", "display_name": "Scripted"}
        data = [{**model, "created_at": "2026-01-01T00:00:00Z"}]
        return {"data": data, "has_more": False, "first_id": "scripted", "last_id": "scripted"}

    def error(self, fault: Fault, number: int) -> Document:
        kind = fault.type or TYPES.get(fault.status, "api_error")
        error: Document = {"type": kind, "message": fault.message}
        if fault.details is not None:
            error["details"] = fault.details
        return {"type": "error", "error": error, "request_id": f"req_{number}"}

    def error_frames(self, fault: Fault, number: int) -> bytes:
        return _event(self.error(fault, number))

    def check(self, body: Document, headers: dict[str, str]) -> None:
        check(body, headers, signature)

    def count(self, body: Document, headers: dict[str, str]) -> Document:
        check({**body, "max_tokens": 9}, headers, signature)
        return {"input_tokens": TOKENS}

    def view(self, body: Document) -> Conversation:
        seen = Conversation("messages", body)
        for tool in body.get("tools") or []:
            seen.declare(Declared(tool["name"], tool.get("input_schema") or {}))
        seen.system += [block["text"] for block in _blocks(body.get("system") or [])]
        for message in body["messages"]:
            blocks = _blocks(message["content"])
            if message["role"] == "system":
                seen.system += [block["text"] for block in blocks]
                continue
            if message["role"] == "assistant":
                uses = [block for block in blocks if block["type"] == "tool_use"]
                seen.spoke([(block["id"], block["name"]) for block in uses])
                continue
            seen.results += [_result(block) for block in blocks if block["type"] == "tool_result"]
            seen.prompt = "".join(b["text"] for b in blocks if b["type"] == "text") or seen.prompt
            seen.images += sum(block["type"] == "image" for block in blocks)
        return seen

    # Answers.

    def document(self, answer: Answer, body: Document, unique: str, created: int) -> Document:
        content = [_block(part, index, unique) for index, part in enumerate(answer.parts)]
        return {**_message(body, unique), "content": content, **_stopped(answer), "usage": _usage(answer)}

    def frames(self, answer: Answer, body: Document, unique: str, created: int) -> Iterator[bytes]:
        begun = {**_usage(answer), "output_tokens": 1}
        yield _event({"type": "message_start", "message": {**_message(body, unique), "usage": begun}})
        for index, part in enumerate(answer.parts):
            block = _block(part, index, unique)
            empty = {"text": "", "thinking": "", "signature": "", "input": {}}
            start = {name: empty.get(name, value) for name, value in block.items()}
            yield _event({"type": "content_block_start", "index": index, "content_block": start})
            if index == 0:
                yield _event({"type": "ping"})
            for delta in _deltas(part):
                yield _event({"type": "content_block_delta", "index": index, "delta": delta})
            yield _event({"type": "content_block_stop", "index": index})
        yield _event({"type": "message_delta", "delta": _stopped(answer), "usage": _usage(answer)})
        yield _event({"type": "message_stop"})


def signature(text: str) -> str:
    """What this server signs a thought with."""
    return "sig-" + hashlib.sha256(text.encode()).hexdigest()[:40]


def _blocks(content: Any) -> list[Document]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _result(block: Document) -> Result:
    parts = _blocks(block.get("content") or "")
    texts = [part["text"] for part in parts if part["type"] == "text"]
    images = sum(part["type"] == "image" for part in parts)
    return Result(block["tool_use_id"], "".join(texts), block.get("is_error", False), images)


def _block(part: Any, index: int, unique: str) -> Document:
    match part:
        case Think(text):
            return {"type": "thinking", "thinking": text, "signature": signature(text)}
        case Say(text) | Decline(text):
            return {"type": "text", "text": text}
        case Use():
            ident = part.id or f"toolu_{unique}{index}"
            return {"type": "tool_use", "id": ident, "name": part.name, "input": part.input}
    raise AssertionError(part)


def _deltas(part: Any) -> Iterator[Document]:
    match part:
        case Think(text):
            yield from ({"type": "thinking_delta", "thinking": piece} for piece in pieces(text))
            yield {"type": "signature_delta", "signature": signature(text)}
        case Say(text) | Decline(text):
            yield from ({"type": "text_delta", "text": piece} for piece in pieces(text))
        case Use():
            yield {"type": "input_json_delta", "partial_json": ""}
            for piece in pieces(part.arguments):
                yield {"type": "input_json_delta", "partial_json": piece}


def _message(body: Document, unique: str) -> Document:
    return {
        "id": f"msg_{unique}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _stopped(answer: Answer) -> Document:
    if answer.length:
        reason = "max_tokens"
    elif answer.declined:
        reason = "refusal"
    else:
        reason = "tool_use" if answer.uses else "end_turn"
    return {"stop_reason": reason, "stop_sequence": None}


def _usage(answer: Answer) -> Document:
    usage = answer.usage
    return {
        "input_tokens": usage.input - usage.cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.output,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
    }


def _event(document: Document) -> bytes:
    return f"event: {document['type']}\ndata: {json.dumps(document)}\n\n".encode()
