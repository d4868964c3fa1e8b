"""Messages: message_start, one content block opened, filled and closed, message_delta, message_stop.

Each frame's event name is its document's type. Output tokens are known only at the end: the start
says 1, message_delta the total.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from relay.fake.answer import Answer, Tool, answer, asks_for_tool
from relay.fake.fields import Fields, InvalidRequest, text_of
from relay.fake.frame import Frame, named
from relay.fake.text import count_words


@dataclass(frozen=True, slots=True)
class MessagesRequest:
    """A request understood, with the answer it gets."""

    model: str
    stream: bool
    answer: Answer

    def frames(self, unique: str, created: int) -> Iterator[Frame]:
        tool = self.answer.tool
        yield named({"type": "message_start", "message": self._message(unique, [], None, output_tokens=1)})
        block = {"type": "text", "text": ""} if tool is None else _tool_use(unique, tool, {})
        yield named({"type": "content_block_start", "index": 0, "content_block": block})
        yield named({"type": "ping"})
        for piece in self.answer.pieces:
            delta = (
                {"type": "text_delta", "text": piece}
                if tool is None
                else {"type": "input_json_delta", "partial_json": piece}
            )
            yield named({"type": "content_block_delta", "index": 0, "delta": delta}, is_delta=True)
        yield named({"type": "content_block_stop", "index": 0})
        yield named(
            {
                "type": "message_delta",
                "delta": {"stop_reason": self._stop_reason(), "stop_sequence": None},
                "usage": {"output_tokens": self.answer.output_tokens},
            }
        )
        yield named({"type": "message_stop"})

    def document(self, unique: str, created: int) -> bytes:
        if self.answer.tool is None:
            block: dict[str, object] = {"type": "text", "text": self.answer.text}
        else:
            # Arguments that a limit has cut are no JSON, and the input must be an object.
            arguments = {} if self.answer.cut else orjson.loads(self.answer.text)
            block = _tool_use(unique, self.answer.tool, arguments)
        return orjson.dumps(
            self._message(unique, [block], self._stop_reason(), output_tokens=self.answer.output_tokens)
        )

    def _message(
        self, unique: str, content: list[dict[str, object]], stop_reason: str | None, *, output_tokens: int
    ) -> dict[str, object]:
        return {
            "id": f"msg_{unique}",
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": None,
            "usage": {
                "input_tokens": self.answer.input_tokens,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "output_tokens": output_tokens,
            },
        }

    def _stop_reason(self) -> str:
        if self.answer.cut:
            return "max_tokens"
        return "end_turn" if self.answer.tool is None else "tool_use"


def parse(fields: Fields, deltas: int) -> MessagesRequest:
    """Read a request document; InvalidRequest names what is wrong with it."""
    model = fields.string("model")
    input_tokens = _input_tokens(fields)
    limit = fields.positive("max_tokens")
    if limit is None:
        raise InvalidRequest("is required, expected an integer above 0", "max_tokens")
    tool = _first_tool(fields) if _wants_tool(fields.objects("messages")) else None
    return MessagesRequest(
        model=model,
        stream=fields.boolean("stream"),
        answer=answer(tool=tool, deltas=deltas, limit=limit, input_tokens=input_tokens),
    )


def count_tokens(fields: Fields) -> bytes:
    """The answer of ``count_tokens``: what ``usage.input_tokens`` would say."""
    fields.string("model")
    return orjson.dumps({"input_tokens": _input_tokens(fields)})


def error(message: str, kind: str, unique: str) -> bytes:
    document = {"type": kind, "message": message}
    return orjson.dumps({"type": "error", "error": document, "request_id": f"req_{unique}"})


def _input_tokens(fields: Fields) -> int:
    texts = [text_of(fields.parts("system"))]
    for message in fields.required_objects("messages"):
        message.string("role")
        parts = message.parts("content")
        texts.append(text_of(parts))
        texts += [text_of(part.parts("content")) for part in parts if _is_result(part)]
    return sum(count_words(text) for text in texts)


def _wants_tool(messages: list[Fields]) -> bool:
    """The last user message asks for it and is no tool's result."""
    for message in reversed(messages):
        if message.string("role") == "user":
            parts = message.parts("content")
            return asks_for_tool(text_of(parts)) and not any(_is_result(part) for part in parts)
    return False


def _is_result(part: Fields) -> bool:
    return part.string("type") == "tool_result"


def _first_tool(fields: Fields) -> Tool | None:
    choice = fields.child("tool_choice")
    if choice is not None and choice.string("type") == "none":
        return None
    for tool in fields.objects("tools"):
        if tool.string("type", "custom") == "custom":  # any other type runs at the provider
            return Tool(tool.string("name"), tool.values.get("input_schema"))
    return None


def _tool_use(unique: str, name: str, arguments: object) -> dict[str, object]:
    return {"type": "tool_use", "id": f"toolu_{unique}", "name": name, "input": arguments}
