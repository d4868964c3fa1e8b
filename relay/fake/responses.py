"""Responses: lifecycle events around one output item, each numbered from 0.

The ``.done`` events repeat in full what the deltas said, and the last event carries the whole
response. A function call that a limit has cut is never closed: clients run what is closed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from relay.fake.answer import Answer, Tool, answer, asks_for_tool
from relay.fake.fields import Fields, InvalidRequest, text_of
from relay.fake.frame import Frame, named
from relay.fake.text import count_words

_ECHOED: dict[str, object] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "store": False,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}


class _Numbered:
    """Events of one stream, numbered as they are made."""

    def __init__(self) -> None:
        self._numbers = itertools.count()

    def event(self, kind: str, *, is_delta: bool = False, **fields: Any) -> Frame:
        return named({"type": kind, "sequence_number": next(self._numbers), **fields}, is_delta=is_delta)


@dataclass(frozen=True, slots=True)
class ResponsesRequest:
    """A request understood, with the answer it gets; ``echo`` is what every response repeats of it."""

    model: str
    stream: bool
    echo: dict[str, orjson.Fragment]
    answer: Answer

    def frames(self, unique: str, created: int) -> Iterator[Frame]:
        numbered = _Numbered()
        started = self._response(unique, created, "in_progress", [])
        yield numbered.event("response.created", response=started)
        yield numbered.event("response.in_progress", response=started)
        item = self._item(unique, "in_progress", None)
        yield numbered.event("response.output_item.added", output_index=0, item=item)
        if self.answer.tool is None:
            yield from self._text_events(numbered, unique)
        else:
            yield from self._call_events(numbered, unique)
        status = self._status()
        item = self._item(unique, status, self.answer.text)
        if self.answer.tool is None or not self.answer.cut:
            yield numbered.event("response.output_item.done", output_index=0, item=item)
        yield numbered.event(f"response.{status}", response=self._response(unique, created, status, [item]))

    def document(self, unique: str, created: int) -> bytes:
        status = self._status()
        item = self._item(unique, status, self.answer.text)
        return orjson.dumps(self._response(unique, created, status, [item]))

    def _text_events(self, numbered: _Numbered, unique: str) -> Iterator[Frame]:
        where: dict[str, Any] = {"item_id": f"msg_{unique}", "output_index": 0, "content_index": 0}
        yield numbered.event("response.content_part.added", **where, part=_part(""))
        for piece in self.answer.pieces:
            yield numbered.event(
                "response.output_text.delta", **where, delta=piece, logprobs=[], is_delta=True
            )
        text = self.answer.text
        yield numbered.event("response.output_text.done", **where, text=text, logprobs=[])
        yield numbered.event("response.content_part.done", **where, part=_part(text))

    def _call_events(self, numbered: _Numbered, unique: str) -> Iterator[Frame]:
        where: dict[str, Any] = {"item_id": f"fc_{unique}", "output_index": 0}
        for piece in self.answer.pieces:
            yield numbered.event(
                "response.function_call_arguments.delta", **where, delta=piece, is_delta=True
            )
        if not self.answer.cut:
            yield numbered.event(
                "response.function_call_arguments.done",
                **where,
                name=self.answer.tool,
                arguments=self.answer.text,
            )

    def _item(self, unique: str, status: str, text: str | None) -> dict[str, object]:
        """The output item; ``text`` is None while nothing has been said."""
        if self.answer.tool is None:
            return {
                "id": f"msg_{unique}",
                "type": "message",
                "status": status,
                "role": "assistant",
                "content": [] if text is None else [_part(text)],
            }
        return {
            "id": f"fc_{unique}",
            "type": "function_call",
            "status": status,
            "call_id": f"call_{unique}",
            "name": self.answer.tool,
            "arguments": text or "",
        }

    def _response(
        self, unique: str, created: int, status: str, output: list[dict[str, object]]
    ) -> dict[str, object]:
        incomplete = {"reason": "max_output_tokens"} if status == "incomplete" else None
        return {
            "id": f"resp_{unique}",
            "object": "response",
            "created_at": created,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": incomplete,
            "model": self.model,
            "output": output,
            **self.echo,
            "usage": self._usage() if output else None,
        }

    def _status(self) -> str:
        return "incomplete" if self.answer.cut else "completed"

    def _usage(self) -> dict[str, object]:
        into, out = self.answer.input_tokens, self.answer.output_tokens
        return {
            "input_tokens": into,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": out,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": into + out,
        }


def parse(fields: Fields, deltas: int) -> ResponsesRequest:
    """Read a request document; InvalidRequest names what is wrong with it."""
    model = fields.string("model")
    said = _said(fields)
    tool = _first_tool(fields) if _wants_tool(said) else None
    texts = [fields.string("instructions", ""), *(text for _, text in said)]
    return ResponsesRequest(
        model=model,
        stream=fields.boolean("stream"),
        echo=_echo(fields),
        answer=answer(
            tool=tool,
            deltas=deltas,
            limit=fields.positive("max_output_tokens"),
            input_tokens=sum(count_words(text) for text in texts),
        ),
    )


def _said(fields: Fields) -> list[tuple[str, str]]:
    """Who said what: (role, text) of each message, ("tool", output) of each tool's result."""
    if isinstance(fields.values.get("input"), str):
        return [("user", fields.string("input"))]
    said = []
    for item in fields.required_objects("input"):
        kind = item.string("type", "message")
        if kind == "message":
            said.append((item.string("role"), text_of(item.parts("content"))))
        elif kind.endswith("_call_output"):
            said.append(("tool", text_of(item.parts("output"))))
    return said


def _wants_tool(said: list[tuple[str, str]]) -> bool:
    """The last user message asks for it and no result has come since."""
    for role, text in reversed(said):
        if role in ("user", "tool"):
            return role == "user" and asks_for_tool(text)
    return False


def _first_tool(fields: Fields) -> Tool | None:
    if fields.values.get("tool_choice") == "none":
        return None
    for tool in fields.objects("tools"):
        if tool.string("type") == "function":  # any other type runs at the provider
            return Tool(tool.string("name"), tool.values.get("parameters"))
    return None


def _echo(fields: Fields) -> dict[str, orjson.Fragment]:
    """Encoded here once: three events repeat it, and what cannot be encoded is refused in time."""
    echo = {}
    for name, default in _ECHOED.items():
        value = fields.values.get(name)
        try:
            echo[name] = orjson.Fragment(orjson.dumps(default if value is None else value))
        except orjson.JSONEncodeError as error:
            raise InvalidRequest(f"cannot be repeated in the response: {error}", name) from error
    return echo


def _part(text: str) -> dict[str, object]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
