"""The output items that relay itself writes: what they have said so far, and how each event has them.

Done events repeat the whole text, and the last event repeats every item. So all of an answer is kept: while
it streams as the inside of a JSON string, which costs nothing to extend, and as items when they are done.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from relay.dialects.request import Reasoning, Tool
from relay.dialects.responses_document import Json
from relay.dialects.responses_envelope import sealed
from relay.dialects.responses_items import ARGUMENTS, CALLS, INPUT, LISTS, OUTPUT_TEXT, Channel

_ESCAPE = 6
"""Length of the longest one in JSON."""
PREFIXES = {"message": "msg", "reasoning": "rs", "function_call": "fc", "custom_tool_call": "ctc"}


class Part:
    """One text of an item: a part of it, or the arguments of a call."""

    __slots__ = ("_frame", "_inside", "annotations", "channel", "item", "logprobs", "number")

    def __init__(self, item: Item, channel: Channel, number: int) -> None:
        self.item = item
        self.channel = channel
        self.number = number
        self.annotations: list[Any] = []
        self.logprobs: list[Any] = []
        self._inside = bytearray()
        """The text as it stands between the quotes of a JSON string."""
        self._frame: tuple[bytes, bytes, bytes] | None = None

    def say(self, text: str) -> None:
        try:
            self._inside += orjson.dumps(text)[1:-1]
        except TypeError:  # half of a split emoji
            self._inside += json.dumps(text)[1:-1].encode()

    def say_inside(self, text: bytes) -> None:
        """More of it, as it stands in JSON."""
        self._inside += text

    def text(self) -> str:
        whole = b'"' + self._inside + b'"'
        try:
            return str(orjson.loads(whole))
        except orjson.JSONDecodeError:
            return str(json.loads(whole.decode("utf-8", "replace"), strict=False))

    @property
    def place(self) -> Json:
        """What says in an event where it belongs."""
        named = {"item_id": self.item.id, "output_index": self.item.index}
        return named if self.channel.number is None else {**named, self.channel.number: self.number}

    def delta(self, text: str, logprobs: list[Any]) -> Json:
        """The members of a delta event."""
        members = {**self.place, "delta": text}
        return {**members, "logprobs": logprobs} if self.channel is OUTPUT_TEXT else members

    def frame(self) -> tuple[bytes, bytes, bytes]:
        """The payload of a delta event: before its number, between that and the text, behind the text."""
        if self._frame is None:
            kind = {"type": f"{self.channel.event}.delta", "sequence_number": 0}
            whole = orjson.dumps({**kind, **self.delta("", [])})
            before, _, rest = whole.partition(b'"sequence_number":0')
            between, _, behind = rest.partition(b'"delta":""')
            self._frame = before + b'"sequence_number":', between + b'"delta":"', b'"' + behind
        return self._frame

    def whole(self, text: str) -> Json:
        """The part as a done item repeats it."""
        part = self.channel.blank(text)
        return {**part, "annotations": self.annotations, "logprobs": self.logprobs} if self.cites else part

    @property
    def cites(self) -> bool:
        return self.channel is OUTPUT_TEXT

    def cite(self, url: str, title: str | None) -> Json:
        """A source of what it has said so far."""
        span = {"start_index": 0, "end_index": len(self.text())}
        annotation = {"type": "url_citation", **span, "url": url, "title": title or url}
        self.annotations.append(annotation)
        return annotation


class Item:
    """One output item, from its announcement to its end."""

    __slots__ = ("_base", "final", "id", "index", "open", "parts", "type")

    def __init__(self, index: int, kind: str, ident: str, members: Json) -> None:
        self.index = index
        self.type = kind
        self.id = f"{PREFIXES[kind]}_{ident}_{index}"
        self._base: Json = {"id": self.id, "type": kind, **members}
        self.parts: dict[str, list[Json]] = {}
        """Its done parts, by the list that holds them."""
        self.open: Part | None = None
        self.final: Json | None = None

    def begin(self, channel: Channel) -> Part:
        """The next part."""
        name = LISTS.get(channel.number or "", "")
        self.open = Part(self, channel, len(self.parts.setdefault(name, [])))
        return self.open

    def end(self, text: str) -> Json:
        """The open part is whole."""
        part = self.open
        assert part is not None
        self.open = None
        whole = part.whole(text)
        self.parts[LISTS.get(part.channel.number or "", "")].append(whole)
        return whole

    def announced(self) -> Json:
        """The item as its first event has it."""
        return self._with("in_progress", {})

    def done(self, status: str, **members: Any) -> Json:
        """The item as its last event has it."""
        lists = {name: parts for name, parts in self.parts.items() if name and parts}
        self.final = self._with(status, {**lists, **members})
        self.parts = {}
        return self.final

    def _with(self, status: str, members: Json) -> Json:
        has_status = "status" in self._base
        return {**self._base, **members, **({"status": status} if has_status else {})}


def message(index: int, ident: str) -> Item:
    return Item(index, "message", ident, {"status": "", "role": "assistant", "content": []})


def reasoning(index: int, ident: str) -> Item:
    return Item(index, "reasoning", ident, {"summary": []})


def call(index: int, ident: str, tool: Tool, call_id: str | None) -> Item:
    """A call under the client's own name for the tool: codex knows no flattened names."""
    channel = INPUT if tool.custom else ARGUMENTS
    space = {} if tool.namespace is None else {"namespace": tool.namespace}
    names = {"call_id": call_id or f"call_{ident}_{index}", "name": tool.name, **space}
    return Item(index, channel.item, ident, {"status": "", channel.text: "", **names})


def called(item: Item, arguments: str, *, whole: bool) -> Json:
    """The member of a call that holds its text."""
    if item.type == INPUT.item:
        return {INPUT.text: _input(arguments) if whole else _input(_mended(arguments))}
    return {CALLS[item.type].text: arguments or ("{}" if whole else "")}


def envelope(text: str, signature: str | None, secret: str | None) -> Json:
    """The member of a reasoning item that the client gives back."""
    return {"encrypted_content": sealed(Reasoning(text, signature, secret))}


def _input(arguments: str) -> str:
    """The free text in {"input": "…"}; a model that was given a schema may still write plain text."""
    try:
        found = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    if isinstance(found, str):
        return found
    if not isinstance(found, dict):
        return arguments
    text = found.get("input", next(iter(found.values())) if len(found) == 1 else None)
    return text if isinstance(text, str) else "" if not found else arguments


def _mended(arguments: str) -> str:
    """Arguments that were cut in the middle of their one string, perhaps in an escape."""
    for rest in (arguments, *(f'{arguments[: len(arguments) - short]}"}}' for short in range(_ESCAPE))):
        try:
            json.loads(rest)
        except (ValueError, RecursionError):
            continue
        return rest
    return '{"input":""}'
