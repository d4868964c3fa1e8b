"""What a Responses stream puts out: its items, from their announcement to their done event."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from relay.dialects.checker import Checker, Malformed
from relay.dialects.deltas import Kind
from relay.dialects.frame import Frame
from relay.dialects.responses_again import Again
from relay.dialects.responses_document import Json, made
from relay.dialects.responses_items import (
    CALLS,
    DEFAULT_PART,
    LISTS,
    Item,
    Items,
    Part,
    says_nothing,
    type_of,
)
from relay.dialects.responses_supply import Supply
from relay.dialects.responses_texts import (
    TEXT_EVENTS,
    Held,
    Nameless,
    Texts,
    is_cut,
    payload_of,
    stray,
)

_APPENDED: dict[str, tuple[str, type]] = {
    "message": ("content", list),
    "reasoning": ("summary", list),
    **{kind: (channel.text, str) for kind, channel in CALLS.items()},
}
"""The members that SDKs append to, by item type."""


class Output:
    """The items of one stream, open and done."""

    __slots__ = ("_again", "_checker", "_grammar", "_mends", "items", "nameless", "supply", "texts")

    def __init__(self, checker: Checker) -> None:
        self._checker = checker
        self._grammar = checker.grammar
        self._mends = checker.mends
        self.items = Items(checker.context.ident)
        self.supply = Supply(checker, self.items)
        self.nameless = Nameless()
        self.texts = Texts(checker, self.items, self.supply, self.nameless)
        self._again = Again(self.items, checker.mends)

    def take(self, frame: Frame, kind: str) -> list[Frame]:
        """Any event of an item."""
        sifted = self._again.sift(frame, kind)
        return self._take(frame, kind) if sifted == [frame] else self._take_all(sifted)

    def take_waiting(self) -> list[Frame]:
        """What still waits when nothing more comes."""
        return self._take_all(self._again.release())

    def _take_all(self, frames: list[Frame]) -> list[Frame]:
        return [out for frame in frames for out in self._take(frame, payload_of(frame).get("type") or "")]

    def _take(self, frame: Frame, kind: str) -> list[Frame]:
        text = TEXT_EVENTS.get(kind)
        if text is not None:
            return text[0](self.texts, frame, text[1])
        item = ITEM_EVENTS.get(kind)
        return self._other(frame) if item is None else item(self, frame)

    def added(self, frame: Frame) -> list[Frame]:
        """output_item.added."""
        payload = payload_of(frame)
        said = payload.get("item")
        if not isinstance(said, dict):
            return self._null(frame)
        self._mend_type(frame, said)
        kind, source, ident = type_of(said), payload.get("output_index"), said.get("id")
        held = self.nameless.find(source, ident)
        if kind in CALLS and not _named(said) and self._mends("responses-item-missing"):
            return self.nameless.hold(frame, source, ident, kind)
        twin = self.items.find(source, ident, kind or None)
        if twin is not None and twin.final is None and twin.source == source and twin.id == ident:
            if self._mends("responses-twice"):
                frame.silence()
            return [frame]
        filled = [name for name in LISTS.values() if kind in DEFAULT_PART and said.get(name)]
        if filled and self._mends("responses-item-filled"):
            for name in filled:
                frame.set(("item", name), [])
        self._announce(frame, said).filled = bool(filled)
        return [frame, *(self._release(held) if held is not None and held.kind == kind else ())]

    def done(self, frame: Frame) -> list[Frame]:
        """output_item.done."""
        payload = payload_of(frame)
        said = payload.get("item")
        if not isinstance(said, dict):
            return self._null(frame)
        self._mend_type(frame, said)
        kind, source, ident = type_of(said), payload.get("output_index"), said.get("id")
        out: list[Frame] = []
        held = self.nameless.find(source, ident)
        if held is not None and held.kind == kind and _named(said):
            out += self.announce_held(held, said)
        item = self.items.find(source, ident, kind or None)
        if item is None:
            return self._unannounced(frame, said)
        if item.final is not None:
            return stray(frame, self._mends)
        # An upstream that announced a part may leave out its end (RESP-24); it knows nothing of relay's.
        out += self.supply.ends(item, lambda part: part.made)
        self._identify(frame, item, said)
        self._repeat(frame, item, said)
        self._close(item, said)
        return [*out, frame]

    def _other(self, frame: Frame) -> list[Frame]:
        """Any further event of an item: of a hosted tool, an annotation, one not known here."""
        payload = payload_of(frame)
        item = self.items.find(payload.get("output_index"), payload.get("item_id"))
        if item is None or item.final is not None:
            return [frame]
        part = item.known("content_index", payload.get("content_index"))
        if part is not None and payload.get("type") == "response.output_text.annotation.added":
            part.annotations.append(payload.get("annotation"))
        # It passes as it is, but for what was mended of its item.
        if payload.get("output_index") == item.source != item.index and self._mends("responses-output-index"):
            frame.set(("output_index",), item.index)
        is_renamed = item.renamed and payload.get("item_id", item.id) != item.id
        if is_renamed and self._mends("responses-item-id"):
            frame.set(("item_id",), item.id)
        if part is not None and part.source != part.index and self._mends("responses-part-index"):
            frame.set(("content_index",), part.index)
        return [frame]

    def _null(self, frame: Frame) -> list[Frame]:
        if self._mends("responses-item-null"):
            frame.silence()
        return [frame]

    def _unannounced(self, frame: Frame, said: Json) -> list[Frame]:
        """An item of which the client hears only now that it is done."""
        if says_nothing(said):
            return stray(frame, self._mends)  # LiteLLM closes a message that it never opened (37852)
        if not self._mends("responses-item-missing"):
            return [frame]
        return self.whole(said, frame)

    def whole(self, said: Json, done: Frame | None = None) -> list[Frame]:
        """All events of an item that was never streamed; ``done`` is the last, if the upstream sent it."""
        index, kind = len(self.items.all), type_of(said)
        if kind in CALLS and not _named(said):
            raise Malformed("a call without a name")
        if done is None:
            done = made("response.output_item.done", output_index=index, item={**said})
        final = payload_of(done)["item"]
        text = CALLS[kind].text if kind in CALLS else None
        if text is not None and not isinstance(final.get(text), str):
            done.set(("item", text), json.dumps(final[text]) if final.get(text) else "")
        self._append_to(done, final)
        empty: Json = {
            name: []
            for name in LISTS.values()
            if isinstance(said.get(name), list) or (kind in DEFAULT_PART and said.get(name))
        }
        empty |= {} if text is None else {text: ""}
        empty |= {"status": "in_progress"} if "status" in said else {}
        added = made("response.output_item.added", output_index=index, item={**said, **empty})
        item = self._announce(added, payload_of(added)["item"])
        out = [added, *self.supply.texts(item, final)]
        self._identify(done, item, final)
        self._repeat(done, item, final)
        self._close(item, final)
        return [*out, done]

    def announce_held(self, held: Held, named: Json) -> list[Frame]:
        """The name has come: the call is announced, and what was held of it follows."""
        first = held.frames[0]
        if payload_of(first).get("type") == "response.output_item.added":
            del held.frames[0]
            for key in ("name", "call_id"):
                if isinstance(named.get(key), str) and payload_of(first)["item"].get(key) != named[key]:
                    first.set(("item", key), named[key])
        else:
            item = {**named, "status": "in_progress", CALLS[held.kind].text: ""}
            first = made("response.output_item.added", output_index=len(self.items.all), item=item)
        announced = self._announce(first, payload_of(first)["item"])
        announced.source = held.source
        self.items.alias(announced, held.ident)
        return [first, *self._release(held)]

    def _release(self, held: Held) -> list[Frame]:
        self.nameless.remove(held)
        out: list[Frame] = []
        for frame in held.frames:
            out += self.take(frame, payload_of(frame).get("type") or frame.event or "")
        return out

    def _announce(self, frame: Frame, said: Json) -> Item:
        """Take an output_item.added, and give it what it lacks."""
        items, kind, ident = self.items, type_of(said), said.get("id")
        source, index = payload_of(frame).get("output_index"), len(items.all)
        if source != index and self._mends("responses-output-index"):
            frame.set(("output_index",), index)
        fresh = items.new_id(kind)
        if not isinstance(ident, str) or not ident:
            if fresh is not None and self._mends("responses-id-missing"):
                frame.set(("item", "id"), fresh)
        elif items.named(ident) is not None and self._mends("responses-id-repeated"):
            frame.set(("item", "id"), fresh or f"{ident}_{index}")
        has_call_id = isinstance(said.get("call_id"), str) and said["call_id"] != ""
        if kind in CALLS and not has_call_id and self._mends("responses-call-id-missing"):
            frame.set(("item", "call_id"), items.new_call_id())
        self._append_to(frame, said)
        item = Item(index, source, said, made=False)
        item.renamed = item.id != ident
        items.announce(item, ident)
        self._grammar.admit(Kind.BLOCK, index, item)
        if item.call_id is not None:
            self._checker.tool_ids.append(item.call_id)
        return item

    def _append_to(self, frame: Frame, said: Json) -> None:
        """The member that SDKs append to is there."""
        member, holder = _APPENDED.get(type_of(said), ("type", object))
        if not isinstance(said.get(member), holder) and self._mends("responses-members"):
            frame.set(("item", member), holder())

    def _close(self, item: Item, said: Json) -> None:
        self._grammar.admit(Kind.CLOSE, item.index)
        item.done(said)

    def _mend_type(self, frame: Frame, said: Json) -> None:
        """An item without a type is what its other members say."""
        if type_of(said):
            return
        payload = payload_of(frame)
        item = self.items.find(payload.get("output_index"), said.get("id"))
        guess = "function_call" if "arguments" in said else "message" if "content" in said else None
        if item is not None and payload.get("type") == "response.output_item.done":
            guess = item.type
        if guess and self._mends("responses-members"):
            frame.set(("item", "type"), guess)

    def _identify(self, frame: Frame, item: Item, said: Json) -> None:
        """The done item is called as it was announced."""
        if payload_of(frame).get("output_index") != item.index and self._mends("responses-output-index"):
            frame.set(("output_index",), item.index)
        for key, known in item.ids().items():
            if said.get(key) != known and self._mends("responses-identity"):
                frame.set(("item", key), known)
                item.renamed = True

    def _repeat(self, frame: Frame, item: Item, said: Json) -> None:
        """The done item repeats the texts that were streamed."""
        if item.type in CALLS:
            name, streamed = CALLS[item.type].text, item.parts[0].so_far()
            if is_cut(said.get(name), streamed) and self._mends("responses-done-text"):
                frame.set(("item", name), streamed)
            return
        for number, name in LISTS.items():
            parts = [part for part in item.parts if part.channel.number == number]
            self._repeat_list(frame, name, said.get(name), parts, _APPENDED.get(item.type, ("",))[0] == name)

    def _repeat_list(self, frame: Frame, name: str, listed: object, parts: list[Part], must: bool) -> None:
        """One list of a done item's parts. vLLM repeats raw reasoning in the summary, or nowhere: only a
        message's content and the list of summaries ``must`` be there and whole."""
        entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
        cut: dict[int, str] = {}
        for position, (part, entry) in enumerate(zip(parts, entries, strict=False)):
            channel = part.channel
            is_same = channel.event != "" and type_of(entry) == channel.part
            if is_same and is_cut(entry.get(channel.text), part.so_far()):
                cut[position] = channel.text
        lost = [part.whole() for part in parts[len(entries) :]]
        if entries != listed or any(part.so_far() for part in parts[len(entries) :]):
            if must and self._mends("responses-done-text"):
                for position, text in cut.items():
                    entries[position] = {**entries[position], text: parts[position].so_far()}
                frame.set(("item", name), [*entries, *lost])
            return
        for position, text in cut.items():
            if self._mends("responses-done-text"):
                frame.set(("item", name, position, text), parts[position].so_far())


def _named(item: Json) -> bool:
    return isinstance(item.get("name"), str) and item["name"] != ""


ITEM_EVENTS: dict[str, Callable[[Output, Frame], list[Frame]]] = {
    "response.output_item.added": Output.added,
    "response.output_item.done": Output.done,
}
KNOWN_EVENTS: dict[str, Any] = {**TEXT_EVENTS, **ITEM_EVENTS}
"""The events that are more than a hosted tool's report."""
