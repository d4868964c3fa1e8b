"""Chat Completions: a role chunk, a chunk per delta, a finish chunk, usage if asked for, [DONE].

Every chunk repeats id, created and model. A tool call opens with a header fragment (index, id,
name) and goes on with argument fragments of the same index.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from relay.fake.answer import Answer, Tool, answer, asks_for_tool
from relay.fake.fields import Fields, InvalidRequest, text_of
from relay.fake.frame import DONE, Frame, unnamed
from relay.fake.text import count_words


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A request understood, with the answer it gets."""

    model: str
    stream: bool
    include_usage: bool
    answer: Answer

    def frames(self, unique: str, created: int) -> Iterator[Frame]:
        def chunk(delta: dict[str, object], finish: str | None = None, *, is_delta: bool = False) -> Frame:
            choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
            return unnamed(self._chunk(unique, created, choices), is_delta=is_delta)

        tool = self.answer.tool
        if tool is None:
            yield chunk({"role": "assistant", "content": ""})
        else:
            header = {"index": 0, **_call(unique, tool, "")}
            yield chunk({"role": "assistant", "content": None, "tool_calls": [header]})
        for piece in self.answer.pieces:
            if tool is None:
                yield chunk({"content": piece}, is_delta=True)
            else:
                fragment = {"index": 0, "function": {"arguments": piece}}
                yield chunk({"tool_calls": [fragment]}, is_delta=True)
        yield chunk({}, self._finish_reason())
        if self.include_usage:
            yield unnamed({**self._chunk(unique, created, []), "usage": self._usage()})
        yield DONE

    def document(self, unique: str, created: int) -> bytes:
        message: dict[str, object] = {"role": "assistant", "content": None, "refusal": None}
        if self.answer.tool is None:
            message["content"] = self.answer.text
        else:
            message["tool_calls"] = [_call(unique, self.answer.tool, self.answer.text)]
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": self._finish_reason(),
        }
        return orjson.dumps(
            {
                "id": f"chatcmpl-{unique}",
                "object": "chat.completion",
                "created": created,
                "model": self.model,
                "choices": [choice],
                "usage": self._usage(),
            }
        )

    def _chunk(self, unique: str, created: int, choices: list[dict[str, object]]) -> dict[str, object]:
        chunk: dict[str, object] = {
            "id": f"chatcmpl-{unique}",
            "object": "chat.completion.chunk",
            "created": created,
            "model": self.model,
            "choices": choices,
        }
        if self.include_usage:
            chunk["usage"] = None
        return chunk

    def _finish_reason(self) -> str:
        if self.answer.cut:
            return "length"
        return "stop" if self.answer.tool is None else "tool_calls"

    def _usage(self) -> dict[str, object]:
        into, out = self.answer.input_tokens, self.answer.output_tokens
        return {
            "prompt_tokens": into,
            "completion_tokens": out,
            "total_tokens": into + out,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        }


def parse(fields: Fields, deltas: int) -> ChatRequest:
    """Read a request document; InvalidRequest names what is wrong with it."""
    model = fields.string("model")
    messages = fields.required_objects("messages")
    texts = [(message.string("role"), text_of(message.parts("content"))) for message in messages]
    if (fields.positive("n") or 1) > 1:
        raise InvalidRequest("only one choice is served here", "n")
    tool = _first_tool(fields) if _wants_tool(texts) else None
    options = fields.child("stream_options")
    limit = fields.positive("max_completion_tokens") or fields.positive("max_tokens")
    return ChatRequest(
        model=model,
        stream=fields.boolean("stream"),
        include_usage=options is not None and options.boolean("include_usage"),
        answer=answer(
            tool=tool,
            deltas=deltas,
            limit=limit,
            input_tokens=sum(count_words(text) for _, text in texts),
        ),
    )


def error(message: str, code: str, field: str | None) -> bytes:
    """The error document of both OpenAI dialects."""
    kind = "invalid_request_error"
    return orjson.dumps({"error": {"message": message, "type": kind, "param": field, "code": code}})


def _wants_tool(texts: list[tuple[str, str]]) -> bool:
    """The last user message asks for it and no result has come since."""
    for role, text in reversed(texts):
        if role in ("user", "tool", "function"):
            return role == "user" and asks_for_tool(text)
    return False


def _first_tool(fields: Fields) -> Tool | None:
    if fields.values.get("tool_choice") == "none":
        return None
    for tool in fields.objects("tools"):
        if tool.string("type") == "function":
            function = tool.required_child("function")
            return Tool(function.string("name"), function.values.get("parameters"))
    return None


def _call(unique: str, name: str, arguments: str) -> dict[str, object]:
    return {
        "id": f"call_{unique}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }
