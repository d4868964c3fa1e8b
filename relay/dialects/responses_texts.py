"""The texts of a Responses stream: the events of its parts, each checked against what was announced.

Every method takes a frame and answers with the frames that go out in its place. An event that means
nothing the client knows is mended by announcing what it means, dropped when it carries no text, and
fails the stream when text would be lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from relay.dialects.checker import Checker, Malformed
from relay.dialects.frame import Frame
from relay.dialects.responses_document import Json
from relay.dialects.responses_items import (
    CALLS,
    CHANNELS,
    DEFAULT_PART,
    PART_EVENTS,
    Channel,
    Item,
    Items,
    Part,
    channel_of,
    type_of,
)
from relay.dialects.responses_supply import Supply

HELD_FRAMES = 10_000
HELD_TEXT = 1 << 20

Mends = Callable[[str], bool]


class Held:
    """The events of a call whose name is not known yet: no client accepts a call without one."""

    def __init__(self, source: object, ident: object, kind: str) -> None:
        self.source = source
        self.ident = ident
        self.kind = kind
        self.frames: list[Frame] = []
        self._text = 0

    def add(self, frame: Frame, text: str) -> None:
        frame.keep()
        self.frames.append(frame)
        self._text += len(text)
        if len(self.frames) > HELD_FRAMES or self._text > HELD_TEXT:
            raise Malformed("a call whose name does not come")

    def is_meant(self, source: object, ident: object) -> bool:
        if isinstance(ident, str) and ident and isinstance(self.ident, str) and self.ident:
            return ident == self.ident
        return source == self.source


class Nameless(list[Held]):
    """The calls that wait for their names."""

    def find(self, source: object, ident: object) -> Held | None:
        return next((held for held in self if held.is_meant(source, ident)), None)

    def hold(self, frame: Frame, source: object, ident: object, kind: str, text: str = "") -> list[Frame]:
        held = self.find(source, ident)
        if held is None:
            held = Held(source, ident, kind)
            self.append(held)
        held.add(frame, text)
        return []


class Texts:
    """The events that carry text, and those that open and close its parts."""

    __slots__ = ("_checker", "_items", "_mends", "_nameless", "_supply", "current")

    def __init__(self, checker: Checker, items: Items, supply: Supply, nameless: Nameless) -> None:
        self._checker = checker
        self._mends = checker.mends
        self._items = items
        self._supply = supply
        self._nameless = nameless
        self.current: Part | None = None
        """The part that the last piece went to."""

    def piece(self, frame: Frame, channel: Channel) -> list[Frame]:
        """A delta."""
        payload = payload_of(frame)
        text = payload.get("delta")
        if text is None and self._mends("responses-delta-null"):
            frame.set(("delta",), text := "")
        if not isinstance(text, str):
            raise Malformed("a delta that is no text")
        found = self._part(frame, channel, text)
        if isinstance(found, list):
            return found
        out, item, part = found
        refer(frame, item, part, self._mends)
        part.texts.write(text)
        if text:
            self._checker.piece(len(text))
        self.current = part
        return [*out, frame]

    def text_done(self, frame: Frame, channel: Channel) -> list[Frame]:
        """The event that repeats a whole text."""
        payload = payload_of(frame)
        text, number = channel.text_in(payload), channel.number_in(payload)
        item = self._items.find(payload.get("output_index"), payload.get("item_id"), channel.item)
        if item is not None and item.final is not None:
            return stray(frame, self._mends)
        if item is not None and item.taking(channel, number) is None:
            part = item.known(channel.number, number)
            if part is not None and (part.channel is channel or not text):
                return stray(frame, self._mends)  # said before
        found = self._part(frame, channel, text)
        if isinstance(found, list):
            return found
        out, item, part = found
        if out and text:
            out.append(self._supply.delta(item, part, text))
        refer(frame, item, part, self._mends)
        streamed = part.so_far()
        if is_cut(payload.get(channel.text), streamed) and self._mends("responses-done-text"):
            frame.set((channel.text,), streamed)
        part.end(text)
        return [*out, frame]

    def _part(
        self, frame: Frame, channel: Channel, text: str
    ) -> tuple[list[Frame], Item, Part] | list[Frame]:
        """The part that a text belongs to, after what announces it; or what becomes of the frame instead."""
        payload = payload_of(frame)
        source, ident = payload.get("output_index"), payload.get("item_id")
        out: list[Frame] = []
        item = self._items.find(source, ident, channel.item)
        if item is None and channel.item in CALLS and (text or self._nameless.find(source, ident)):
            if not self._mends("responses-item-missing"):
                return [frame]
            return self._nameless.hold(frame, source, ident, channel.item, text)
        if item is not None and item.final is not None and text:
            raise Malformed("text for an item that is done")
        number = channel.number_in(payload)
        part = None if item is None else item.taking(channel, number)
        if item is not None and part is not None:
            return out, item, part
        if not text:
            return stray(frame, self._mends)
        if channel.number is None:
            raise Malformed("arguments after their end")
        if item is None:
            if not self._mends("responses-item-missing"):
                return [frame]
            item = self._supply.item(source, ident, channel.item, out)
        if not self._mends("responses-part-missing"):
            return [*out, frame]
        return out, item, self._supply.part(item, channel, number, out)

    def part_added(self, frame: Frame, number_key: str) -> list[Frame]:
        """content_part.added, reasoning_summary_part.added."""
        payload = payload_of(frame)
        channel = channel_of(payload.get("part"), number_key)
        out: list[Frame] = []
        source, ident, number = payload.get("output_index"), payload.get("item_id"), payload.get(number_key)
        item = self._items.find(source, ident, None if channel is None else channel.item)
        if item is None and channel is not None:
            if not self._mends("responses-item-missing"):
                return [frame]
            item = self._supply.item(source, ident, channel.item, out)
        if item is None or item.final is not None:
            return stray(frame, self._mends)
        if channel is None:
            channel = self._unknown(frame, item, number_key)
        known = item.known(number_key, number)
        is_new = known is None or known.channel != channel or not item.is_open(known) or known.so_far() != ""
        if not is_new and self._mends("responses-twice"):
            frame.silence()
            return [*out, frame]
        refer(frame, item, item.open_part(channel, number, made=False), self._mends)
        self._part_member(frame, channel, "")
        part = payload.get("part")
        if (
            item.filled
            and isinstance(part, dict)
            and part.get("text")
            and self._mends("responses-item-filled")
        ):
            frame.set(("part", "text"), "")
        return [*out, frame]

    def part_done(self, frame: Frame, number_key: str) -> list[Frame]:
        """content_part.done, reasoning_summary_part.done."""
        payload = payload_of(frame)
        source, ident, number = payload.get("output_index"), payload.get("item_id"), payload.get(number_key)
        channel = channel_of(payload.get("part"), number_key)
        out: list[Frame] = []
        item = self._items.find(source, ident)
        part = None
        if item is not None and item.final is None:
            part = item.closing(channel, number_key, number)
        if item is None or part is None:
            text = "" if channel is None else channel.text_in(payload.get("part"))
            item = item if channel is None else self._items.find(source, ident, channel.item)
            if item is not None and (item.final is not None or item.known(number_key, number) is not None):
                text = ""  # said before
            if channel is None or not text or not self._mends("responses-part-missing"):
                return stray(frame, self._mends)
            if item is None:
                item = self._supply.item(source, ident, channel.item, out)
            part = self._supply.part(item, channel, number, out)
            out += [self._supply.delta(item, part, text), self._supply.text_done(item, part)]
        refer(frame, item, part, self._mends)
        self._part_member(frame, part.channel, part.so_far())
        part.payload = payload.get("part")
        part.end(part.channel.text_in(part.payload))
        item.close_part(part)
        return [*out, frame]

    def _unknown(self, frame: Frame, item: Item, number_key: str) -> Channel:
        """For a part of a kind not known here, or for one that is not there."""
        kind = type_of(payload_of(frame).get("part"))
        default = DEFAULT_PART.get(item.type)
        if kind or default is None:
            return Channel("", item.type, number_key, kind, "text")
        return default

    def _part_member(self, frame: Frame, channel: Channel, streamed: str) -> None:
        """A part's events carry the part; its last one as it was streamed."""
        part = payload_of(frame).get("part")
        if not isinstance(part, dict) or part.get("type") != channel.part:
            # LiteLLM closes a message's text with {"type": "reasoning_text", "reasoning": …}.
            if self._mends("responses-members"):
                frame.set(("part",), channel.blank(streamed))
            return
        cut = channel.event != "" and is_cut(part.get(channel.text), streamed)
        if cut and self._mends("responses-done-text"):
            frame.set(("part", channel.text), streamed)


def is_cut(said: object, streamed: str) -> bool:
    """Whether a done event repeats less than was streamed (CliRelay 1053), or nothing readable."""
    return not isinstance(said, str) or (len(said) < len(streamed) and streamed.startswith(said))


def refer(frame: Frame, item: Item, part: Part, mends: Mends) -> None:
    """Let an event name its item and part as the client knows them."""
    payload = payload_of(frame)
    if payload.get("output_index") != item.index and mends("responses-output-index"):
        frame.set(("output_index",), item.index)
    if item.id not in (None, payload.get("item_id")) and mends("responses-item-id"):
        frame.set(("item_id",), item.id)
    number = part.channel.number
    if number is not None and payload.get(number) != part.index and mends("responses-part-index"):
        frame.set((number,), part.index)


def stray(frame: Frame, mends: Mends) -> list[Frame]:
    """An event that belongs to nothing and carries nothing."""
    if mends("responses-stray"):
        frame.silence()
    return [frame]


def payload_of(frame: Frame) -> Json:
    assert frame.payload is not None
    return frame.payload


TEXT_EVENTS: dict[str, tuple[Callable[[Texts, Frame, Any], list[Frame]], Any]] = {
    **{f"{event}.added": (Texts.part_added, number) for number, event in PART_EVENTS.items()},
    **{f"{event}.done": (Texts.part_done, number) for number, event in PART_EVENTS.items()},
    **{f"{channel.event}.delta": (Texts.piece, channel) for channel in CHANNELS},
    **{f"{channel.event}.done": (Texts.text_done, channel) for channel in CHANNELS},
}
"""What each event of a text goes to, with its channel or its numbering."""
