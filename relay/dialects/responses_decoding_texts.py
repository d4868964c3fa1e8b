"""Texts of a Responses upstream as blocks: parts of messages, refusals, reasoning.

A block of text begins with its first piece, so empty parts leave no trace. One such block is open at a time:
when something else begins it ends, and more of it begins another. Done events say only what no delta said.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

from relay.dialects.deltas import Block, Cite, Close, Delta, Form, Piece
from relay.dialects.responses_document import Json
from relay.dialects.responses_envelope import marked
from relay.dialects.responses_items import (
    LISTS,
    OUTPUT_TEXT,
    REASONING,
    REFUSAL,
    SUMMARY,
    Channel,
    channel_of,
    plain,
    type_of,
)
from relay.dialects.responses_logprobs import chat_logprobs

FORMS = {
    OUTPUT_TEXT.part: Form.TEXT,
    REFUSAL.part: Form.REFUSAL,
    REASONING.part: Form.REASONING,
    SUMMARY.part: Form.REASONING,
}
_PARAGRAPH = "\n\n"
"""Between the summaries of one reasoning, which is one block in other dialects."""


class Spoken:
    """What has been said of an item that is not done."""

    __slots__ = ("channel", "cited", "kind", "number", "parts")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.parts: set[tuple[str, object]] = set()
        """The parts that a delta was seen of."""
        self.channel: Channel | None = None
        """Of a reasoning item: the one of its two channels that was used first; the other repeats it."""
        self.number: object = None
        """Of a reasoning item: the part that was spoken last."""
        self.cited: dict[object, int] = {}
        """Sources announced so far, by part."""


class Texts:
    """The block of text that is open, if any, and how the next one begins."""

    __slots__ = ("_blocks", "_part", "items", "open")

    def __init__(self) -> None:
        self.items: dict[object, Spoken] = {}
        """The messages and reasoning items that are not done, by their index."""
        self.open: Hashable = None
        """The key of the open block."""
        self._part: object = None
        """What that block says: item, kind of part, number; of a reasoning the item alone."""
        self._blocks = 0

    # --- blocks -------------------------------------------------------------------------------------

    def new_key(self) -> int:
        self._blocks += 1
        return self._blocks

    def close(self, signature: str | None = None) -> Iterator[Delta]:
        if self.open is not None:
            key, self.open = self.open, None
            yield Close(key, signature)

    def _begin(self, form: Form, part: object) -> Iterator[Delta]:
        yield from self.close()
        self.open, self._part = self.new_key(), part
        yield Block(self.open, form)

    def _is_open(self, part: object) -> bool:
        return self.open is not None and self._part == part

    # --- items --------------------------------------------------------------------------------------

    def done(self, index: object, said: Json) -> Iterator[Delta]:
        """The item is done: what only this event says, and its end."""
        item = self.items.get(index)
        if item is None:
            return
        for number_key, name in reversed(LISTS.items()):  # a summary, where there is one, is what is shown
            parts = said.get(name)
            for number, part in enumerate(parts if isinstance(parts, list) else ()):
                channel = channel_of(part, number_key)
                if channel is not None and channel.item == item.kind:
                    yield from self._whole(index, item, channel, number, channel.text_in(part))
                    yield from self._sources(index, item, channel, number, part)
        if item.kind == "reasoning":
            yield from self._sign(index, item, said.get("encrypted_content"))
        yield from self.close()
        del self.items[index]

    def _sign(self, index: object, item: Spoken, encrypted: object) -> Iterator[Delta]:
        """The end of a reasoning whose maker wants it back."""
        if not isinstance(encrypted, str) or not encrypted:
            return
        if not self._is_open((index, None, None)):
            if item.parts:
                return  # something else has begun since, and its block has ended without
            yield from self._begin(Form.REASONING, (index, None, None))
        yield from self.close(marked(encrypted))

    # --- events -------------------------------------------------------------------------------------

    def delta(self, payload: Json, channel: Channel) -> Iterator[Delta]:
        index, text = plain(payload.get("output_index")), payload.get("delta")
        item = self.items.get(index)
        if item is not None and item.kind == channel.item and isinstance(text, str) and text:
            logprobs = chat_logprobs(payload.get("logprobs"))
            yield from self._say(index, item, channel, plain(channel.number_in(payload)), text, logprobs)

    def text_done(self, payload: Json, channel: Channel) -> Iterator[Delta]:
        index = plain(payload.get("output_index"))
        item = self.items.get(index)
        if item is not None and item.kind == channel.item:
            number = plain(channel.number_in(payload))
            yield from self._whole(index, item, channel, number, channel.text_in(payload))

    def part_done(self, payload: Json, number_key: str) -> Iterator[Delta]:
        index, number = plain(payload.get("output_index")), plain(payload.get(number_key))
        part = payload.get("part")
        item, channel = self.items.get(index), channel_of(part, number_key)
        if item is None or channel is None or item.kind != channel.item:
            return
        yield from self._whole(index, item, channel, number, channel.text_in(part))
        yield from self._sources(index, item, channel, number, part)
        if self._is_open((index, channel.part, number)):
            yield from self.close()

    def annotation(self, payload: Json) -> Iterator[Delta]:
        index, number = plain(payload.get("output_index")), plain(payload.get("content_index"))
        item = self.items.get(index)
        if item is not None:
            item.cited[number] = item.cited.get(number, 0) + 1
            if self._is_open((index, OUTPUT_TEXT.part, number)):
                yield from self._cite(payload.get("annotation"))

    # --- what they say ------------------------------------------------------------------------------

    def _say(
        self,
        index: object,
        item: Spoken,
        channel: Channel,
        number: object,
        text: str,
        logprobs: list[Any] | None = None,
    ) -> Iterator[Delta]:
        """More text, in the block that says this part."""
        part: tuple[object, object, object] = (index, channel.part, number)
        if channel.item == "reasoning":
            item.channel = item.channel or channel
            if channel is not item.channel:
                return
            part = (index, None, None)
            if item.parts and item.number != number:
                text = _PARAGRAPH + text
            item.number = number
        item.parts.add((channel.part, number))
        if not self._is_open(part):
            yield from self._begin(FORMS[channel.part], part)
        yield Piece(self.open, text, logprobs)

    def _whole(
        self, index: object, item: Spoken, channel: Channel, number: object, text: str
    ) -> Iterator[Delta]:
        """The whole of a text, where no delta has said any of it."""
        if text and (channel.part, number) not in item.parts:
            yield from self._say(index, item, channel, number, text)

    def _sources(
        self, index: object, item: Spoken, channel: Channel, number: object, part: Any
    ) -> Iterator[Delta]:
        """The sources that only the done part has."""
        listed = part.get("annotations")
        if isinstance(listed, list) and self._is_open((index, channel.part, number)):
            for annotation in listed[item.cited.get(number, 0) :]:
                yield from self._cite(annotation)
            item.cited[number] = len(listed)

    def _cite(self, annotation: object) -> Iterator[Delta]:
        if isinstance(annotation, dict) and type_of(annotation) == "url_citation":
            url, title = annotation.get("url"), annotation.get("title")
            if isinstance(url, str) and url:
                yield Cite(self.open, url, title if isinstance(title, str) and title else None)
