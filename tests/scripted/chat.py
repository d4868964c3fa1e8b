"""Chat completions in vLLM's manner.

The first chunk has only the role; text comes together with an empty ``tool_calls``; reasoning has the
field ``reasoning`` (older versions: ``reasoning_content``); a usage chunk comes only when asked for.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

from .chat_rules import check, text_of
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


class Dialect:
    name = "chat"
    path = "/v1/chat/completions"
    probed = False
    count_path = "/tokenize"

    def __init__(self, *, reasoning_field: str = "reasoning", openai: bool = False) -> None:
        self.reasoning_field = reasoning_field
        self.openai = openai
        """Refuse what only vLLM takes (`top_k`, `max_tokens`), and take the `developer` role."""

    def presented(self, headers: dict[str, str]) -> str | None:
        return headers.get("authorization", "").removeprefix("Bearer ") or None

    def headers(self, number: int) -> dict[str, str]:
        return {"x-request-id": f"req-{number}", "x-ratelimit-remaining-requests": "99"}

    def models(self) -> Document:
        model = {"id": "scripted", "object": "model", "created": 1767225600, "owned_by": "vllm"}
        return {"object": "list", "data": [{**model, "root": "scripted", "max_model_len": 32768}]}

    def error(self, fault: Fault, number: int) -> Document:
        kind = fault.type or {404: "NotFoundError", 401: "Unauthorized", 429: "rate_limit_exceeded"}.get(
            fault.status, "BadRequestError" if fault.status < 500 else "InternalServerError"
        )
        code = fault.code or fault.status
        return {"error": {"message": fault.message, "type": kind, "param": fault.param, "code": code}}

    def error_frames(self, fault: Fault, number: int) -> bytes:
        return _frame(self.error(fault, number)) + b"data: [DONE]\n\n"

    def check(self, body: Document, headers: dict[str, str]) -> None:
        check(body, openai=self.openai)

    def count(self, body: Document, headers: dict[str, str]) -> Document:
        check({name: body[name] for name in ("model", "messages", "tools") if name in body}, openai=False)
        return {"count": TOKENS, "max_model_len": 32768, "tokens": [1] * TOKENS, "token_strs": None}

    def view(self, body: Document) -> Conversation:
        seen = Conversation("chat", body)
        for tool in body.get("tools") or []:
            function = tool["function"]
            seen.declare(Declared(function["name"], function.get("parameters") or {}))
        for message in body["messages"]:
            if message["role"] == "assistant":
                calls = message.get("tool_calls") or []
                seen.spoke([(call["id"], call["function"]["name"]) for call in calls])
            elif message["role"] == "tool":
                seen.results.append(Result(message["tool_call_id"], text_of(message["content"])))
            elif message["role"] in ("system", "developer"):
                seen.system.append(text_of(message["content"]))
            elif message["role"] == "user":
                seen.prompt = text_of(message["content"])
                parts = message["content"] if isinstance(message["content"], list) else []
                seen.images += sum(part["type"] == "image_url" for part in parts)
        return seen

    # Answers.

    def document(self, answer: Answer, body: Document, unique: str, created: int) -> Document:
        message: Document = {
            "role": "assistant",
            "content": answer.text or None,
            "refusal": answer.declined or None,
            "annotations": None,
            "audio": None,
            "function_call": None,
            "tool_calls": [
                {"id": use.id, "type": "function", "function": {"name": use.name, "arguments": use.arguments}}
                for use in _identified(answer, unique)
            ],
            self.reasoning_field: answer.thoughts or None,
        }
        if self.openai and not answer.uses:
            del message["tool_calls"]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(answer)}
        return {
            "id": f"chatcmpl-{unique}",
            "object": "chat.completion",
            "created": created,
            "model": body["model"],
            "choices": [{**choice, "stop_reason": None, "token_ids": None}],
            "service_tier": None,
            "system_fingerprint": None,
            "usage": _usage(answer),
            "prompt_logprobs": None,
            "kv_transfer_params": None,
        }

    def frames(self, answer: Answer, body: Document, unique: str, created: int) -> Iterator[bytes]:
        envelope = {
            "id": f"chatcmpl-{unique}",
            "object": "chat.completion.chunk",
            "created": created,
            "model": body["model"],
        }

        def chunk(delta: Document, finish: str | None = None) -> bytes:
            choice: Document = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
            if finish is not None:
                choice["stop_reason"] = None
            return _frame({**envelope, "choices": [choice]})

        yield chunk({"role": "assistant", "content": ""})
        for delta in self._deltas(answer, unique):
            yield chunk(delta)
        yield chunk({"content": "", "tool_calls": []}, _finish(answer))
        if (body.get("stream_options") or {}).get("include_usage"):
            yield _frame({**envelope, "choices": [], "usage": _usage(answer)})
        yield b"data: [DONE]\n\n"

    def _deltas(self, answer: Answer, unique: str) -> Iterator[Document]:
        calls = [_fragments(use, index) for index, use in enumerate(_identified(answer, unique))]
        waiting = iter(calls)
        for part in answer.parts:
            match part:
                case Think(text):
                    yield from ({self.reasoning_field: piece} for piece in pieces(text))
                case Say(text):
                    yield from ({"content": piece, "tool_calls": []} for piece in pieces(text))
                case Decline(text):
                    yield from ({"refusal": piece} for piece in pieces(text))
                case Use() if not answer.interleave:
                    yield from next(waiting)
        if answer.interleave:
            turns = itertools.zip_longest(*calls)
            yield from (delta for turn in turns for delta in turn if delta is not None)


def _fragments(use: Use, index: int) -> Iterator[Document]:
    head = {"id": use.id, "type": "function", "index": index, "function": {"name": use.name, "arguments": ""}}
    yield {"tool_calls": [head]}
    for piece in pieces(use.arguments):
        yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _identified(answer: Answer, unique: str) -> list[Use]:
    return [
        Use(use.name, use.input, use.raw, use.id or f"chatcmpl-tool-{unique}{index}")
        for index, use in enumerate(answer.uses)
    ]


def _finish(answer: Answer) -> str:
    if answer.length:
        return "length"
    return "tool_calls" if answer.uses else "stop"


def _usage(answer: Answer) -> Document:
    usage = answer.usage
    return {
        "prompt_tokens": usage.input,
        "total_tokens": usage.total,
        "completion_tokens": usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def _frame(document: Any) -> bytes:
    return f"data: {json.dumps(document)}\n\n".encode()
