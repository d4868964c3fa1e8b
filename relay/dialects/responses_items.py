"""The output items of a Responses stream: how the upstream names them and how the client knows them.

An item is announced, carries parts, and is done. Its texts run in channels: an ``output_text`` part of a
message, the arguments of a call. Upstreams number and name items and parts at will; the client is given
0, 1, 2, … in the order of announcement and one id per item.

What is kept grows with the answer: the pieces of open parts, the text of the parts of open items (a missing
done event would repeat it) and the done items themselves (the terminal event's ``output`` repeats them).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from relay.dialects.deltas import Kind
from relay.dialects.grammar import Grammar
from relay.dialects.responses_document import Json


@dataclass(frozen=True, slots=True)
class Channel:
    """One kind of text: its events, the item and the part it belongs to."""

    event: str
    item: str
    number: str | None
    """The member that numbers the part; None where the item has this one text only."""
    part: str
    text: str
    """The member of the done event, of the part or of the item that repeats the whole text."""

    def blank(self, text: str = "") -> Json:
        """A part with this text."""
        whole: Json = {"type": self.part, self.text: text}
        return {**whole, "annotations": [], "logprobs": []} if self.part == "output_text" else whole

    def text_in(self, holder: object) -> str:
        """The whole text that a part, an item or a done event repeats."""
        text = holder.get(self.text) if isinstance(holder, dict) else None
        return text if isinstance(text, str) else ""

    def number_in(self, payload: Json) -> object:
        return None if self.number is None else payload.get(self.number)


OUTPUT_TEXT = Channel("response.output_text", "message", "content_index", "output_text", "text")
REFUSAL = Channel("response.refusal", "message", "content_index", "refusal", "refusal")
REASONING = Channel("response.reasoning_text", "reasoning", "content_index", "reasoning_text", "text")
SUMMARY = Channel("response.reasoning_summary_text", "reasoning", "summary_index", "summary_text", "text")
ARGUMENTS = Channel("response.function_call_arguments", "function_call", None, "arguments", "arguments")
INPUT = Channel("response.custom_tool_call_input", "custom_tool_call", None, "input", "input")

CHANNELS = (OUTPUT_TEXT, REFUSAL, REASONING, SUMMARY, ARGUMENTS, INPUT)
CALLS = {ARGUMENTS.item: ARGUMENTS, INPUT.item: INPUT}
"""The calls that a client answers, by item type; the only text of each."""
PART_EVENTS = {"content_index": "response.content_part", "summary_index": "response.reasoning_summary_part"}
LISTS = {"content_index": "content", "summary_index": "summary"}
"""The member of an item that holds the parts of each numbering."""
DEFAULT_PART = {"message": OUTPUT_TEXT, "reasoning": REASONING}
_BY_PART = {channel.part: channel for channel in CHANNELS if channel.number is not None}
_PREFIX = {"message": "msg", "reasoning": "rs", "function_call": "fc", "custom_tool_call": "ctc"}


def channel_of(part: object, number: str) -> Channel | None:
    """The channel of a part with this numbering; None for a kind of part not known here."""
    if number == SUMMARY.number:
        return SUMMARY if type_of(part) in (SUMMARY.part, "") else None
    channel = _BY_PART.get(type_of(part))
    return channel if channel is not None and channel.number == number else None


def type_of(holder: object) -> str:
    """The type of an item or a part; empty when it has none."""
    kind = holder.get("type") if isinstance(holder, dict) else None
    return kind if isinstance(kind, str) else ""


def says_nothing(item: Json) -> bool:
    """Whether an item is a message without any text: nobody misses it."""
    content = item.get("content")
    if type_of(item) != "message":
        return False
    if not isinstance(content, list):
        return not content
    channels = [(channel_of(part, "content_index"), part) for part in content]
    return all(channel is not None and not channel.text_in(part) for channel, part in channels)


class Text:
    """What is streamed piece by piece, kept as its bytes: a list of strings takes 60 more for each piece."""

    __slots__ = ("_bytes",)

    def __init__(self) -> None:
        self._bytes = bytearray()

    def write(self, piece: str) -> None:
        """Half of a split emoji may come alone."""
        self._bytes += piece.encode("utf-8", "surrogatepass")

    def getvalue(self) -> str:
        return self._bytes.decode("utf-8", "surrogatepass")


class Part:
    """One text of an item. ``text`` is the whole of it once a done event has said so."""

    __slots__ = ("annotations", "channel", "index", "made", "payload", "source", "text", "texts")

    def __init__(self, channel: Channel, index: int, source: object, *, made: bool) -> None:
        self.channel = channel
        self.index = index
        self.source = source
        """The number that the upstream first gave it."""
        self.made = made
        """relay announced it, so the upstream may not know that it must be closed."""
        self.texts = Text()
        """What was streamed."""
        self.text: str | None = None
        self.annotations: list[Any] = []
        self.payload: Json | None = None
        """The part as its done event had it."""

    @property
    def key(self) -> tuple[str | None, int]:
        return self.channel.number, self.index

    def so_far(self) -> str:
        return self.texts.getvalue() if self.text is None else self.text

    def end(self, said: str) -> None:
        """A done event has come; it may say more than was streamed, but not less and nothing else."""
        streamed = self.so_far()
        self.text = said if said.startswith(streamed) else streamed

    def whole(self) -> Json:
        """The part as a done item repeats it."""
        if self.payload is not None:
            return self.payload
        part = self.channel.blank(self.so_far())
        return {**part, "annotations": self.annotations} if self.annotations else part


class Item:
    """One output item. ``index`` and ``id`` are the client's, ``source`` is the upstream's index."""

    __slots__ = (
        "_by_source", "_counts", "_open", "call_id", "filled", "final", "id", "index", "made", "parts",
        "payload", "renamed", "source", "type",
    )  # fmt: skip

    def __init__(self, index: int, source: object, payload: Json, *, made: bool) -> None:
        self.index = index
        self.source = source
        self.payload = payload
        self.type = type_of(payload)
        ident, call_id = payload.get("id"), payload.get("call_id")
        self.id: str | None = ident if isinstance(ident, str) else None
        self.call_id: str | None = call_id if isinstance(call_id, str) and self.type in CALLS else None
        self.made = made
        self.filled = False
        """It was announced with its content, which is then streamed once more."""
        self.renamed = False
        """The upstream calls it by other ids than those the client was told."""
        self.final: Json | None = None
        """The item as its done event had it."""
        self.parts: list[Part] = []
        self._counts = {"content_index": 0, "summary_index": 0}
        self._by_source: dict[tuple[str | None, object], Part] = {}
        self._open = Grammar(serial=False)
        self._open.admit(Kind.OPEN)
        if self.type in CALLS:
            self.open_part(CALLS[self.type], None, made=False)

    def open_part(self, channel: Channel, number: object, *, made: bool) -> Part:
        """A new part, which the upstream numbers so."""
        index = 0
        if channel.number is not None:
            index = self._counts[channel.number]
            self._counts[channel.number] += 1
        part = Part(channel, index, number, made=made)
        self._open.admit(Kind.BLOCK, part.key, part)
        self.parts.append(part)
        self._by_source[channel.number, plain(number)] = part
        return part

    def is_open(self, part: Part) -> bool:
        return self._open.blocks.get(part.key) is part

    def close_part(self, part: Part) -> None:
        self._open.admit(Kind.CLOSE, part.key)

    def known(self, number_key: str | None, number: object) -> Part | None:
        """The part that the upstream last gave this number, open or not."""
        return self._by_source.get((number_key, plain(number)))

    def taking(self, channel: Channel, number: object) -> Part | None:
        """The part that more text, or the end of the text, of this channel belongs to."""
        part = self.known(channel.number, number)
        if part is not None and self._takes(part, channel):
            return part
        for part in reversed(self.parts):
            # vLLM counted the content index on with every event (35184). Where parts are not
            # announced, another number is another part.
            if self._takes(part, channel) and not (part.made and type(number) is type(part.source) is int):
                return part
        return None

    def closing(self, channel: Channel | None, number_key: str, number: object) -> Part | None:
        """The open part that a part's done event closes."""
        part = self.known(number_key, number)
        if part is not None and self.is_open(part):
            return part
        for part in reversed(self.parts):
            if self.is_open(part) and part.channel.number == number_key and channel in (None, part.channel):
                return part
        return None

    def _takes(self, part: Part, channel: Channel) -> bool:
        return part.channel is channel and part.text is None and self.is_open(part)

    def done(self, payload: Json) -> None:
        """The item is whole: its parts are no longer needed."""
        self.final = payload
        self.parts, self._by_source, self._open.blocks = [], {}, {}

    def whole(self, status: str, listed: Json | None = None) -> Json:
        """The item as a done event would have it; ``listed`` is how the terminal event has it."""
        if listed is not None and self.type not in DEFAULT_PART and self.type not in CALLS:
            return {**listed, **self.ids()}
        item = dict(self.payload)
        if "status" in item or self.type != "reasoning":
            item["status"] = status
        for number, name in LISTS.items():
            parts = [part.whole() for part in self.parts if part.channel.number == number]
            if parts or isinstance(item.get(name), list):
                item[name] = parts or [part for part in item[name] if isinstance(part, dict)]
        if self.type in CALLS and self.parts:
            item[CALLS[self.type].text] = self.parts[0].so_far()
        if listed is not None:
            item |= {key: listed[key] for key in ("encrypted_content", "phase") if key in listed}
        return item

    def ids(self) -> Json:
        """What the client calls it by."""
        known = {"id": self.id, "call_id": self.call_id}
        return {key: value for key, value in known.items() if value is not None}


class Items:
    """All items of an answer, found by what the upstream calls them."""

    __slots__ = ("_by_both", "_by_id", "_by_index", "_ident", "_made", "all")

    def __init__(self, ident: str) -> None:
        self._ident = ident
        self.all: list[Item] = []
        self._by_both: dict[tuple[object, object], Item] = {}
        self._by_id: dict[object, Item] = {}
        self._by_index: dict[object, Item] = {}
        self._made: dict[tuple[object, str], Item] = {}

    def new_id(self, kind: str) -> str | None:
        """An id for the next item; None for the kinds whose ids nobody misses."""
        prefix = _PREFIX.get(kind)
        return None if prefix is None else f"{prefix}_{self._ident}_{len(self.all)}"

    def new_call_id(self) -> str:
        return f"call_{self._ident}_{len(self.all)}"

    def named(self, ident: object) -> Item | None:
        """The last item of this id, open or done."""
        return self._by_id.get(ident) if isinstance(ident, str) and ident else None

    def announce(self, item: Item, ident: object) -> None:
        """The client knows of it from now on; ``ident`` is the upstream's name for it."""
        source, ident = plain(item.source), plain(ident)
        self.all.append(item)
        self._by_both[source, ident] = item
        self._by_id[ident] = self._by_id[item.id] = item
        if item.made:
            self._made[source, item.type] = item
            indexed = self._by_index.get(source)
            if indexed is not None and indexed.final is None:
                return  # it has the index of another item: LiteLLM gives reasoning that of the message
        self._by_index[source] = item

    def alias(self, item: Item, ident: object) -> None:
        """Events that were held call the item by another index, or by another id."""
        source, ident = plain(item.source), plain(ident)
        self._by_index[source] = self._by_both[source, ident] = item
        self._by_id.setdefault(ident, item)

    def find(self, source: object, ident: object, kind: str | None = None) -> Item | None:
        """The item that an event means, as far as an item of its kind is there.

        An id says more than an index, an open item more than a done one; an unknown id with a known
        index is that item under a wrong name, unless it is done or of another kind.
        """
        source = plain(source)
        by_id = self.named(ident)
        for item in (
            self._by_both.get((source, ident)) if by_id is not None else None,
            by_id,
            self._by_index.get(source),
            self._made.get((source, kind)) if kind is not None else None,
            self.all[-1] if source is None and not ident and self.all else None,
        ):
            if item is not None and item.final is None and kind in (None, item.type):
                return item
        item = by_id if isinstance(ident, str) and ident else self._by_index.get(source)
        return item if item is not None and kind in (None, item.type) else None


def plain(value: object) -> object:
    """A value that may be a key; JSON has others."""
    return value if type(value) in (str, int) else None
