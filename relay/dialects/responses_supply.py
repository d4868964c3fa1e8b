"""The frames that relay adds to a Responses stream: announcements, texts and ends of items and parts.

Each method makes a frame of what is known and notes what the client knows after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from relay.dialects.checker import Checker
from relay.dialects.deltas import Kind
from relay.dialects.frame import Frame
from relay.dialects.responses_document import Json, made
from relay.dialects.responses_items import CALLS, LISTS, PART_EVENTS, Channel, Item, Items, Part, channel_of


class Supply:
    __slots__ = ("_checker", "_items")

    def __init__(self, checker: Checker, items: Items) -> None:
        self._checker = checker
        self._items = items

    def item(self, source: object, ident: object, kind: str, out: list[Frame]) -> Item:
        """Announce the item that an event belongs to; its id is the event's, which can then stay."""
        items = self._items
        name = (
            ident if isinstance(ident, str) and ident and items.named(ident) is None else items.new_id(kind)
        )
        payload: Json = {
            "id": name,
            "type": kind,
            "status": "in_progress",
            "role": "assistant",
            "content": [],
        }
        if kind == "reasoning":
            payload = {"id": name, "type": kind, "summary": []}
        item = Item(len(items.all), source, payload, made=True)
        items.announce(item, ident)
        self._checker.grammar.admit(Kind.BLOCK, item.index, item)
        out.append(made("response.output_item.added", output_index=item.index, item=payload))
        return item

    def part(self, item: Item, channel: Channel, number: object, out: list[Frame]) -> Part:
        """Announce a part."""
        part = item.open_part(channel, number, made=True)
        out.append(self._part_event(item, part, "added", channel.blank()))
        return part

    def delta(self, item: Item, part: Part, text: str) -> Frame:
        part.texts.write(text)
        self._checker.deltas += 1
        return self._text_event(item, part, "delta", "delta", text)

    def text_done(self, item: Item, part: Part) -> Frame:
        part.text = part.so_far()
        return self._text_event(item, part, "done", part.channel.text, part.text)

    def ends(self, item: Item, wanted: Callable[[Part], bool]) -> Iterator[Frame]:
        """The done events of the open parts that are wanted."""
        for part in item.parts:
            if not item.is_open(part) or not wanted(part):
                continue
            if part.text is None and part.channel.event:
                yield self.text_done(item, part)
            if part.channel.number is not None:
                yield self._part_event(item, part, "done", part.whole())
            item.close_part(part)

    def texts(self, item: Item, said: Json) -> Iterator[Frame]:
        """The texts of an item as if they had been streamed, in one piece each."""
        if item.type in CALLS:
            part, text = item.parts[0], CALLS[item.type].text_in(said)
            if text:
                yield self.delta(item, part, text)
            yield self.text_done(item, part)
            return
        for number, name in LISTS.items():
            listed = said.get(name)
            for entry in listed if isinstance(listed, list) else ():
                channel = channel_of(entry, number) if isinstance(entry, dict) else None
                if channel is None or channel.item != item.type:
                    continue
                text = channel.text_in(entry)
                entry |= {channel.text: text}
                part = item.open_part(channel, None, made=True)
                part.payload = entry
                yield self._part_event(item, part, "added", {**entry, **channel.blank()})
                if text:
                    yield self.delta(item, part, text)
                yield from self._annotations(item, part, entry)
                yield self.text_done(item, part)
                yield self._part_event(item, part, "done", entry)
                item.close_part(part)

    def _annotations(self, item: Item, part: Part, entry: Json) -> Iterator[Frame]:
        """Citations reach the AI SDK by their events only."""
        listed = entry.get("annotations")
        for index, annotation in enumerate(listed if isinstance(listed, list) else ()):
            yield made(
                "response.output_text.annotation.added",
                **self._place(item, part),
                annotation_index=index,
                annotation=annotation,
            )

    def _part_event(self, item: Item, part: Part, suffix: str, payload: Json) -> Frame:
        assert part.channel.number is not None
        return made(f"{PART_EVENTS[part.channel.number]}.{suffix}", **self._place(item, part), part=payload)

    def _text_event(self, item: Item, part: Part, suffix: str, member: str, text: str) -> Frame:
        logprobs: Json = {"logprobs": []} if part.channel.part == "output_text" else {}
        return made(f"{part.channel.event}.{suffix}", **self._place(item, part), **{member: text}, **logprobs)

    def _place(self, item: Item, part: Part) -> Json:
        place: Json = {"item_id": item.id, "output_index": item.index}
        return place if part.channel.number is None else {**place, part.channel.number: part.index}
