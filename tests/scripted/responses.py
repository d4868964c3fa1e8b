"""Responses in OpenAI's manner: every item announced, filled and done, numbered events, nothing stored."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

from .responses_rules import check, tools_of
from .responses_stream import Stream, item, status_of, usage_of
from .script import TOKENS, Answer, Conversation, Declared, Document, Fault, Result

CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded", 503: "server_error"}
ECHOED: Document = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}


class Dialect:
    name = "responses"
    path = "/v1/responses"
    probed = False
    count_path = "/v1/responses/input_tokens"

    def presented(self, headers: dict[str, str]) -> str | None:
        return headers.get("authorization", "").removeprefix("Bearer ") or None

    def headers(self, number: int) -> dict[str, str]:
        return {"x-request-id": f"req_{number}", "x-ratelimit-remaining-requests": "99"}

    def models(self) -> Document:
        model = {"id": "scripted", "object": "model", "created": 1767225600, "owned_by": "openai"}
        return {"object": "list", "data": [model]}

    def error(self, fault: Fault, number: int) -> Document:
        kind = fault.type or ("invalid_request_error" if fault.status < 500 else "server_error")
        code = fault.code or CODES.get(fault.status)
        return {"error": {"message": fault.message, "type": kind, "param": fault.param, "code": code}}

    def error_frames(self, fault: Fault, number: int) -> bytes:
        error = self.error(fault, number)["error"]
        event = {**error, "type": "error", "sequence_number": number}
        return f"event: error\ndata: {json.dumps(event)}\n\n".encode()

    def check(self, body: Document, headers: dict[str, str]) -> None:
        check(body)

    def count(self, body: Document, headers: dict[str, str]) -> Document:
        check(body)
        return {"object": "response.input_tokens", "input_tokens": TOKENS}

    def view(self, body: Document) -> Conversation:
        seen = Conversation("responses", body)
        for tool in tools_of(body):
            for namespace, inner in _flat(tool):
                schema = inner.get("parameters") or {}
                seen.declare(Declared(inner["name"], schema, inner["type"] == "custom", namespace))
        seen.system += [body["instructions"]] if body.get("instructions") else []
        items = body["input"]
        if isinstance(items, str):
            items = [{"role": "user", "content": items}]
        for speaker, entries in itertools.groupby(items, _speaker):
            _see(seen, speaker, list(entries))
        return seen

    # Answers.

    def document(self, answer: Answer, body: Document, unique: str, created: int) -> Document:
        output = [item(part, body, index, unique) for index, part in enumerate(answer.parts)]
        document = self._response(body, unique, created)
        return {**document, **status_of(answer), "output": output, "usage": usage_of(answer)}

    def frames(self, answer: Answer, body: Document, unique: str, created: int) -> Iterator[bytes]:
        return Stream(answer, body, self._response(body, unique, created), unique).frames()

    def _response(self, body: Document, unique: str, created: int) -> Document:
        echo = {name: default if body.get(name) is None else body[name] for name, default in ECHOED.items()}
        return {
            "id": f"resp_{unique}",
            "object": "response",
            "created_at": created,
            "status": "in_progress",
            "background": False,
            "error": None,
            "incomplete_details": None,
            "model": body["model"],
            "output": [],
            "usage": None,
            **echo,
        }


def _flat(tool: Document) -> Iterator[tuple[str | None, Document]]:
    if tool["type"] == "namespace":
        yield from ((tool["name"], inner) for inner in tool["tools"])
    elif tool["type"] in ("function", "custom"):
        yield None, tool


def _speaker(entry: Document) -> str:
    kind = entry.get("type", "message")
    if kind in ("reasoning", "function_call", "custom_tool_call"):
        return "assistant"
    if kind.endswith("_output"):
        return "tool"
    return str(entry["role"]) if kind == "message" else kind


def _see(seen: Conversation, speaker: str, entries: list[Document]) -> None:
    """What one speaker said in a row."""
    if speaker == "assistant":
        calls = [entry for entry in entries if entry.get("type", "message").endswith("_call")]
        seen.spoke([(call["call_id"], call["name"]) for call in calls])
    for entry in entries:
        if speaker == "tool":
            text, images = _text(entry["output"])
            seen.results.append(Result(entry["call_id"], text, None, images))
        elif speaker in ("system", "developer"):
            content = entry["content"]
            seen.system += [content] if isinstance(content, str) else [part["text"] for part in content]
        elif speaker == "user":
            seen.prompt, images = _text(entry["content"])
            seen.images += images


def _text(content: Any) -> tuple[str, int]:
    """The text of content, and how many images are in it."""
    if isinstance(content, str):
        return content, 0
    texts = [part["text"] for part in content if "text" in part]
    return "".join(texts), sum(part["type"] == "input_image" for part in content)
