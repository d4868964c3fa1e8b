"""A strict reading of the Responses stream, with no help from relay: which streams are legal.

Written from the published rules: order, ids, indexes, texts that done events repeat. ``outcome`` says how a
stream ended, or raises ``Illegal``. Two licences are taken, because every client grants them: an item may be
done without ``output_text.done`` and ``content_part.done``, and the terminal event may list the items in
another order and under other ids.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NoReturn

from tests.dialects.drive import Event

PARTS = {
    "output_text": "message",
    "refusal": "message",
    "reasoning_text": "reasoning",
    "summary_text": "reasoning",
}
LIFECYCLE = ("response.created", "response.queued", "response.in_progress")
TERMINAL = ("response.completed", "response.incomplete", "response.failed")
REQUIRED = ("id", "object", "created_at", "model", "output", "parallel_tool_calls", "tool_choice", "tools")
TEXTS = {
    "response.output_text": ("content_index", "output_text", "text"),
    "response.refusal": ("content_index", "refusal", "refusal"),
    "response.reasoning_text": ("content_index", "reasoning_text", "text"),
    "response.reasoning_summary_text": ("summary_index", "summary_text", "text"),
}
ARGUMENTS = {
    "response.function_call_arguments": ("function_call", "arguments"),
    "response.custom_tool_call_input": ("custom_tool_call", "input"),
}
CALLS = ("function_call", "custom_tool_call")
PART_EVENTS = {"response.content_part": "content_index", "response.reasoning_summary_part": "summary_index"}


class Illegal(AssertionError):
    """The rule that a stream breaks, and where."""


def outcome(stream: list[Event]) -> str:
    """``completed``, ``incomplete`` or ``failed``."""
    reader = Reader()
    for position, (event, payload) in enumerate(stream):
        try:
            reader.read(event, payload)
        except Illegal as broken:
            raise Illegal(f"{broken}, in frame {position}: {event} {payload}") from None
    return reader.ended or _no("the stream does not end")


def texts(stream: list[Event]) -> dict[str, list[str]]:
    """The pieces of text by the type of their events."""
    found: dict[str, list[str]] = {}
    for _, payload in stream:
        kind = payload.get("type") if payload is not None else None
        if (
            isinstance(kind, str)
            and kind.removesuffix(".delta") in (*TEXTS, *ARGUMENTS)
            and kind.endswith("delta")
        ):
            found.setdefault(kind, []).append(payload["delta"])
    return {kind: pieces for kind, pieces in found.items() if any(pieces)}


class Reader:
    def __init__(self) -> None:
        self.ended: str | None = None
        self.failing = False
        self.response_id: str | None = None
        self.number = -1
        self.items: list[dict[str, Any]] = []

    def read(self, event: str | None, payload: Any) -> None:
        _check(payload is not None, "[DONE]")
        _check(self.ended is None, "a frame after the terminal event")
        kind, number = payload.get("type"), payload.get("sequence_number")
        _check(isinstance(kind, str) and event == kind, "the event line is not the type")
        _check(isinstance(number, int) and number > self.number, "the sequence number does not grow")
        self.number = number
        if kind == "error":
            _check(
                not self.failing and isinstance(payload.get("message"), str), "an error without its flat half"
            )
            _check(isinstance(payload["error"].get("message"), str), "an error without its nested half")
            self.failing = True
        elif kind in TERMINAL:
            self._terminal(kind, payload["response"])
        elif kind in LIFECYCLE:
            self._lifecycle(kind, payload["response"])
        else:
            _check(self.response_id is not None, "an event before response.created")
            _check(not self.failing, "an event after an error")
            _check(kind != "ping", "ping")
            self._item_event(kind, payload)

    def _lifecycle(self, kind: str, response: Any) -> None:
        _check(not self.failing, "an event after an error")
        _check((kind == "response.created") == (self.response_id is None), "response.created, once and first")
        self.response_id = self.response_id or response.get("id")
        self._response(response)

    def _response(self, response: dict[str, Any]) -> None:
        for key in REQUIRED:
            _check(key in response, f"a response without {key}")
        _check(response["id"] == self.response_id, "another response id")
        _check(isinstance(response["output"], list), "an output that is no list")
        usage = response.get("usage")
        if usage is not None:
            _check(isinstance(usage["input_tokens_details"], dict), "usage without details")
            _check("input_tokens" in usage and "output_tokens" in usage, "usage without its names")
            _check(isinstance(usage["output_tokens_details"], dict), "usage without details")

    def _terminal(self, kind: str, response: dict[str, Any]) -> None:
        self.ended = kind.removeprefix("response.")
        if kind == "response.failed":
            _check(self.failing or self.response_id is not None, "response.failed before response.created")
            self.response_id = self.response_id or response.get("id")
            self._response(response)
            return
        _check(not self.failing and self.response_id is not None, f"{kind} out of order")
        self._response(response)
        open_items = [item for item in self.items if not item["done"]]
        if kind == "response.completed":
            _check(not open_items, "response.completed with an open item")
        done = Counter(str(item["type"]) for item in self.items if item["done"])
        listed = Counter(_kind(item) for item in response["output"])
        _check(done <= listed, f"the terminal event lists {listed} of {done}")
        _check(
            done == listed or kind == "response.incomplete", f"the terminal event lists {listed} of {done}"
        )

    def _item_event(self, kind: str, payload: dict[str, Any]) -> None:
        stem, _, suffix = kind.rpartition(".")
        if kind == "response.output_item.added":
            self._added(payload)
        elif kind == "response.output_item.done":
            self._done(payload)
        elif stem in PART_EVENTS:
            self._part(stem, suffix, payload)
        elif stem in TEXTS:
            self._text(*TEXTS[stem], suffix, payload)
        elif stem in ARGUMENTS:
            kind, member = ARGUMENTS[stem]
            item = self._item(payload, kind)
            if suffix == "delta":
                _check(not item["whole"], "arguments after their end")
                _check(isinstance(payload["delta"], str), "a delta that is no text")
                item["pieces"] += payload["delta"]
            else:
                _check(not item["whole"], "arguments end twice")
                item["whole"] = True
                _repeats(payload[member], item["pieces"])

    def _added(self, payload: dict[str, Any]) -> None:
        item = {**payload["item"], "type": _kind(payload["item"])}
        _check(payload["output_index"] == len(self.items), "output_index does not count the items")
        kind, ident = item.get("type"), item.get("id")
        if kind in ("message", "reasoning", *CALLS):
            _check(isinstance(ident, str) and ident != "", "an item without id")
        _check(ident is None or ident not in [known["id"] for known in self.items], "an id is used twice")
        if kind == "message":
            _check(isinstance(item.get("content"), list), "a message without content")
        if kind == "reasoning":
            _check(isinstance(item.get("summary"), list), "reasoning without summary")
        if kind in CALLS:
            for key in ("call_id", "name"):
                _check(isinstance(item.get(key), str) and item[key] != "", f"a call without {key}")
            _check(isinstance(item.get("arguments", item.get("input")), str), "a call without its text")
        call_id = item.get("call_id") if kind in CALLS else None
        ident = ident if isinstance(ident, str) else None
        known = {"id": ident, "type": kind, "call_id": call_id, "done": False, "whole": False}
        self.items.append({**known, "pieces": "", "content_index": [], "summary_index": []})

    def _item(self, payload: dict[str, Any], kind: str | None = None) -> dict[str, Any]:
        index = payload.get("output_index")
        _check(isinstance(index, int) and 0 <= index < len(self.items), "an item that was not announced")
        item = self.items[index]
        _check(not item["done"], "an item that is done")
        _check(kind in (None, item["type"]), f"{item['type']} where {kind} belongs")
        _check(item["id"] in (None, payload.get("item_id", item["id"])), "another item id")
        return item

    def _done(self, payload: dict[str, Any]) -> None:
        said = payload["item"]
        item = self._item({"output_index": payload["output_index"]}, _kind(said))
        _check(item["id"] in (None, said.get("id")), "a done item under another id")
        _check(item["call_id"] in (None, said.get("call_id")), "a done call under another call id")
        if item["type"] in CALLS:
            _repeats(said["arguments" if item["type"] == "function_call" else "input"], item["pieces"])
        if item["type"] == "message":
            _check(
                len(said["content"]) >= sum(part["text"] != "" for part in item["content_index"]),
                "parts lost",
            )
            for part, entry in zip(item["content_index"], said["content"], strict=False):
                if part["type"] == entry.get("type") and part["type"] in PARTS:
                    _repeats(entry["refusal" if part["type"] == "refusal" else "text"], part["text"])
        item["done"] = True

    def _part(self, stem: str, suffix: str, payload: dict[str, Any]) -> None:
        item, key = self._item(payload), PART_EVENTS[stem]
        kind = payload["part"].get("type")
        _check(PARTS.get(kind, item["type"]) == item["type"], f"a part of type {kind} in a {item['type']}")
        if suffix == "added":
            _check(payload[key] == len(item[key]), f"{key} does not count the parts")
            item[key].append({"type": kind, "text": "", "whole": False, "closed": False})
            return
        _check(0 <= payload[key] < len(item[key]), "a part that was not announced")
        part = item[key][payload[key]]
        _check(not part["closed"] and part["type"] == kind, "a part that is closed, or another")
        part["closed"] = True
        if kind in PARTS:
            _repeats(payload["part"]["refusal" if kind == "refusal" else "text"], part["text"])

    def _text(self, key: str, kind: str, member: str, suffix: str, payload: dict[str, Any]) -> None:
        item = self._item(payload, PARTS[kind])
        _check(0 <= payload.get(key, -1) < len(item[key]), "a part that was not announced")
        part = item[key][payload[key]]
        _check(part["type"] == kind and not part["closed"], "a part that is closed, or another")
        _check(not part["whole"], "a text that has ended")
        if suffix == "delta":
            _check(isinstance(payload["delta"], str), "a delta that is no text")
            part["text"] += payload["delta"]
        else:
            part["whole"] = True
            _repeats(payload[member], part["text"])


def _kind(item: dict[str, Any]) -> str:
    """The type of an item; of strange ones nothing more is known."""
    return item["type"] if isinstance(item.get("type"), str) else ""


def _repeats(said: Any, streamed: str) -> None:
    _check(isinstance(said, str), "a done event without its text")
    _check(len(said) >= len(streamed) or not streamed.startswith(said), "a done event cuts its text short")


def _check(holds: bool, rule: str) -> None:
    if not holds:
        raise Illegal(rule)


def _no(rule: str) -> NoReturn:
    raise Illegal(rule)
