"""What a Responses stream or a response says; items of hosted tools are passed over."""

from __future__ import annotations

import json
from collections.abc import Iterable

from tests.dialects.drive import Event
from tests.told import COUNTS, Json, Tale, known

PARAGRAPH = "\n\n"

_TEXTS = {
    "response.output_text": ("text", "content_index", "text"),
    "response.refusal": ("refusal", "content_index", "refusal"),
    "response.reasoning_text": ("reasoning", "content_index", "text"),
    "response.reasoning_summary_text": ("reasoning", "summary_index", "text"),
}
_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
_CALL_EVENTS = {
    "response.function_call_arguments": "arguments",
    "response.custom_tool_call_input": "input",
}


class _Item:
    """One output item: what its deltas said, and what its done events said where no delta did."""

    def __init__(self, kind: str, announced: Json) -> None:
        self.kind = kind
        self.announced = announced
        self.texts: dict[tuple[str, str, int], str] = {}
        """By event, kind and number of the part."""
        self.arguments = ""
        self.done: Json | None = None

    def delta(self, stem: str, number: int, text: str) -> None:
        key = (stem, _TEXTS[stem][0], number)
        self.texts[key] = self.texts.get(key, "") + text

    def tell(self, tale: Tale) -> None:
        if self.kind in _CALLS:
            done = self.done or {}
            text = self.arguments or done.get(_CALLS[self.kind]) or self.announced.get("arguments") or ""
            if self.kind == "custom_tool_call":
                text = json.dumps({"input": text})
            space = self.announced.get("namespace")
            name = self.announced["name"]
            tale.call(
                done.get("call_id") or self.announced.get("call_id"),
                f"{space}__{name}" if space else name,
                text,
            )
        elif not self.texts and self.done is not None:
            _item(tale, self.done)
        else:
            first = next(iter(self.texts), ("", "", 0))[0]
            parts = [
                (kind, text)
                for (stem, kind, _), text in self.texts.items()
                if text and (kind != "reasoning" or stem == first)
            ]
            for number, (kind, text) in enumerate(parts):
                tale.add(kind, PARAGRAPH + text if number and kind == "reasoning" else text)


def stream(given: Iterable[Event]) -> Tale:
    tale = Tale()
    items: dict[int, _Item] = {}
    for _, payload in given:
        kind = "" if payload is None else payload.get("type") or ""
        stem, _, suffix = kind.rpartition(".")
        if kind == "response.created":
            tale.id, tale.model = payload["response"]["id"], payload["response"].get("model")
        elif kind == "response.output_item.added":
            items[payload["output_index"]] = _Item(payload["item"]["type"], payload["item"])
        elif kind == "response.output_item.done":
            items[payload["output_index"]].done = payload["item"]
        elif stem in _TEXTS and suffix == "delta":
            items[payload["output_index"]].delta(stem, payload[_TEXTS[stem][1]], payload["delta"])
        elif stem in _CALL_EVENTS and suffix == "delta":
            items[payload["output_index"]].arguments += payload["delta"]
        elif kind in ("response.completed", "response.incomplete"):
            _terminal(tale, payload["response"], items)
        elif kind == "response.failed":
            tale.error = tale.error or payload["response"]["error"]
        elif kind == "error" or (payload or {}).get("error"):
            tale.error = payload.get("error") or payload
    for _, item in sorted(items.items()):
        item.tell(tale)
    return tale


def _terminal(tale: Tale, answer: Json, items: dict[int, _Item]) -> None:
    """Why it ended; and the calls that only the last event has, because the limit cut them."""
    whole = document({"output": [], **answer})
    tale.finish, tale.counts, tale.ended = whole.finish, whole.counts, True
    listed = {item.announced.get("call_id") for item in items.values()}
    for number, entry in enumerate(answer.get("output") or []):
        if entry["type"] in _CALLS and entry["call_id"] not in listed:
            items[1000 + number] = _Item(entry["type"], entry)


def _item(tale: Tale, item: Json) -> None:
    """A whole item; of a reasoning the summary counts where there is one."""
    if item["type"] in _CALLS:
        told = _Item(item["type"], item)
        told.done = item
        told.tell(tale)
    elif item["type"] == "message":
        for part in item["content"]:
            tale.add(
                "refusal" if part["type"] == "refusal" else "text", part.get("text") or part.get("refusal")
            )
    elif item["type"] == "reasoning":
        parts = item.get("summary") or item.get("content") or []
        tale.add("reasoning", PARAGRAPH.join(part["text"] for part in parts if part["text"]))


def document(whole: Json) -> Tale:
    """A whole answer of Responses."""
    tale = Tale(id=whole.get("id"), model=whole.get("model"), ended=True)
    for item in whole["output"]:
        _item(tale, item)
    why = (whole.get("incomplete_details") or {}).get("reason")
    tale.finish = f"incomplete: {why}" if whole.get("status") == "incomplete" else "completed"
    usage = whole.get("usage")
    if usage is not None:
        read, written = (usage.get(f"{kind}_tokens_details") or {} for kind in ("input", "output"))
        tale.counts = dict.fromkeys(COUNTS, 0) | known(
            {
                "input": usage.get("input_tokens"),
                "output": usage.get("output_tokens"),
                "cached": read.get("cached_tokens"),
                "written": read.get("cache_write_tokens"),
                "reasoning": written.get("reasoning_tokens"),
            }
        )
    return tale
