"""The items and the events of one Responses answer."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

from .responses_rules import tools_of
from .script import Answer, Decline, Document, Part, Say, Think, Use, pieces


def item(part: Part, body: Document, index: int, unique: str) -> Document:
    """An output item, whole."""
    match part:
        case Think(text):
            summary = [{"type": "summary_text", "text": text}]
            sealed = {"encrypted_content": f"sealed-{unique}"} if _sealed(body) else {}
            return {"id": f"rs_{unique}{index}", "type": "reasoning", "summary": summary, **sealed}
        case Say(text):
            return _message(
                [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}], index, unique
            )
        case Decline(text):
            return _message([{"type": "refusal", "refusal": text}], index, unique)
        case Use():
            return _call(part, body, index, unique)
    raise AssertionError(part)


def _sealed(body: Document) -> bool:
    return "reasoning.encrypted_content" in (body.get("include") or [])


def _message(content: list[Document], index: int, unique: str) -> Document:
    ident = f"msg_{unique}{index}"
    return {"id": ident, "type": "message", "status": "completed", "role": "assistant", "content": content}


def _call(use: Use, body: Document, index: int, unique: str) -> Document:
    call_id = use.id or f"call_{unique}{index}"
    common: Document = {"status": "completed", "call_id": call_id, "name": use.name}
    namespace, custom = _declared(use.name, body)
    if namespace is not None:
        common["namespace"] = namespace
    if custom:
        given = use.input.get("input", use.arguments)
        return {"id": f"ctc_{unique}{index}", "type": "custom_tool_call", **common, "input": given}
    return {"id": f"fc_{unique}{index}", "type": "function_call", **common, "arguments": use.arguments}


def _declared(name: str, body: Document) -> tuple[str | None, bool]:
    """The namespace of a tool, and whether it is a custom one."""
    for tool in tools_of(body):
        if tool.get("type") == "namespace":
            for inner in tool["tools"]:
                if inner["name"] == name:
                    return tool["name"], inner["type"] == "custom"
        elif tool.get("name") == name:
            return None, tool["type"] == "custom"
    return None, False


def status_of(answer: Answer) -> Document:
    if answer.length:
        return {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    return {"status": "completed", "incomplete_details": None}


def usage_of(answer: Answer) -> Document:
    usage = answer.usage
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total,
    }


class Stream:
    """Events of one answer, numbered in the order in which they leave."""

    def __init__(self, answer: Answer, body: Document, response: Document, unique: str) -> None:
        self.answer = answer
        self.response = response
        self.items = [item(part, body, index, unique) for index, part in enumerate(answer.parts)]
        self.counter = itertools.count()

    def frames(self) -> Iterator[bytes]:
        yield self._event("response.created", response=self.response)
        yield self._event("response.in_progress", response=self.response)
        if self.answer.interleave:
            calls = [index for index, done in enumerate(self.items) if done["type"].endswith("_call")]
        else:
            calls = []
        for index, done in enumerate(self.items):
            if index not in calls:
                yield from self._item(index, done)
        turns = itertools.zip_longest(*(self._item(index, self.items[index]) for index in calls))
        yield from (frame for turn in turns for frame in turn if frame is not None)
        final = {**self.response, **status_of(self.answer), "output": self.items}
        kind = "response.incomplete" if self.answer.length else "response.completed"
        yield self._event(kind, response={**final, "usage": usage_of(self.answer)})

    def _item(self, index: int, done: Document) -> Iterator[bytes]:
        fill = {
            "message": self._text,
            "reasoning": self._reasoning,
            "function_call": self._arguments,
            "custom_tool_call": self._input,
        }[done["type"]]
        begun = {**done, "status": "in_progress", **dict.fromkeys(("arguments", "input"), "")}
        begun |= {"content": [], "summary": []}
        yield self._event(
            "response.output_item.added",
            output_index=index,
            item={name: begun[name] for name in done},
        )
        yield from fill(index, done)
        yield self._event("response.output_item.done", output_index=index, item=done)

    def _text(self, index: int, done: Document) -> Iterator[bytes]:
        (part,) = done["content"]
        where: Document = {"item_id": done["id"], "output_index": index, "content_index": 0}
        name = "text" if part["type"] == "output_text" else "refusal"
        kind = "response.output_text" if name == "text" else "response.refusal"
        logprobs: Document = {"logprobs": []} if name == "text" else {}
        yield self._event("response.content_part.added", **where, part={**part, name: ""})
        for piece in pieces(part[name]):
            yield self._event(f"{kind}.delta", **where, delta=piece, **logprobs)
        yield self._event(f"{kind}.done", **where, **{name: part[name]}, **logprobs)
        yield self._event("response.content_part.done", **where, part=part)

    def _reasoning(self, index: int, done: Document) -> Iterator[bytes]:
        (part,) = done["summary"]
        where: Document = {"item_id": done["id"], "output_index": index, "summary_index": 0}
        yield self._event("response.reasoning_summary_part.added", **where, part={**part, "text": ""})
        for piece in pieces(part["text"]):
            yield self._event("response.reasoning_summary_text.delta", **where, delta=piece)
        yield self._event("response.reasoning_summary_text.done", **where, text=part["text"])
        yield self._event("response.reasoning_summary_part.done", **where, part=part)

    def _arguments(self, index: int, done: Document) -> Iterator[bytes]:
        where: Document = {"item_id": done["id"], "output_index": index}
        for piece in pieces(done["arguments"]):
            yield self._event("response.function_call_arguments.delta", **where, delta=piece)
        final = {"arguments": done["arguments"], "name": done["name"]}
        yield self._event("response.function_call_arguments.done", **where, **final)

    def _input(self, index: int, done: Document) -> Iterator[bytes]:
        where: Document = {"item_id": done["id"], "output_index": index}
        for piece in pieces(done["input"]):
            yield self._event("response.custom_tool_call_input.delta", **where, delta=piece)
        yield self._event("response.custom_tool_call_input.done", **where, input=done["input"])

    def _event(self, kind: str, **fields: Any) -> bytes:
        document = {"type": kind, "sequence_number": next(self.counter), **fields}
        return f"event: {kind}\ndata: {json.dumps(document)}\n\n".encode()
