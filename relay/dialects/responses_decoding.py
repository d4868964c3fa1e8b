"""A Responses upstream's stream, as deltas.

    message item        a TEXT or REFUSAL block for each part
    reasoning item      one REASONING block; its encrypted_content is the block's signature
    function_call       a TOOL block
    custom_tool_call    a TOOL block with the arguments {"input": …}, once the input is whole

Hosted tools run on the server, and their events are nobody's business here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import orjson

from relay.dialects.arguments import Arguments
from relay.dialects.checker import Malformed
from relay.dialects.codec import Decoder
from relay.dialects.deltas import Block, Close, Delta, End, Finish, Form, Open, Piece, Ping, Reason
from relay.dialects.frame import Frame
from relay.dialects.request import Request
from relay.dialects.responses_decoding_texts import FORMS, Spoken, Texts
from relay.dialects.responses_document import Json, usage_of
from relay.dialects.responses_items import CALLS, CHANNELS, INPUT, Channel, plain, type_of

_REASONS = {"content_filter": Reason.FILTER}
"""Why a response is incomplete; whatever else it is, something is missing."""
_CONTINUED = {f"{channel.event}.delta": channel.number or "output_index" for channel in CHANNELS}
for _call in CALLS.values():  # what they say is looked at
    del _CONTINUED[f"{_call.event}.delta"]
_NO_EVENT = object()


class _Call:
    """A call that is not done."""

    __slots__ = ("arguments", "key", "kind", "pieces")

    def __init__(self, kind: str, key: Hashable) -> None:
        self.kind = kind
        self.key = key
        self.arguments = Arguments()
        self.pieces: list[str] = []
        """What was streamed of the input of a custom call; of arguments only the first piece."""


class ResponsesDecoder(Decoder):
    """One Responses stream."""

    def __init__(self, request: Request) -> None:
        self._texts = Texts()
        self._calls: dict[object, _Call] = {}
        """Calls that are not done, by their index."""
        self._over: set[object] = set()
        """Calls that were closed before they were done."""
        self._call_ids: set[str | None] = set()
        """Of all calls that were announced."""
        self._event: object = _NO_EVENT
        """With the next four: what a frame looks like that adds to the same block as the last one did."""
        self._index: object = None
        self._number_key = ""
        self._number: object = None
        self._key: Hashable = None

    def decode(self, frame: Frame) -> list[Delta]:
        payload = frame.payload
        if payload is None:
            return []
        kind = payload.get("type")
        if (
            kind == self._event
            and payload.get("output_index") == self._index
            and payload.get(self._number_key) == self._number
            and type(text := payload.get("delta")) is str
            and text
            and not payload.get("logprobs")
        ):
            return [Piece(self._key, text)]
        event = _EVENTS.get(kind) if isinstance(kind, str) else None
        if event is None:
            return []
        deltas = list(event(self, payload))
        self._expect(payload, deltas)
        return deltas

    def _expect(self, payload: Json, deltas: list[Delta]) -> None:
        """The next frame probably continues this one."""
        self._event = _NO_EVENT
        if deltas and type(piece := deltas[-1]) is Piece and payload["type"] in _CONTINUED:
            self._event = payload["type"]
            self._index = payload.get("output_index")
            self._number_key = _CONTINUED[payload["type"]]
            self._number = payload.get(self._number_key)
            self._key = piece.key

    # --- the response -------------------------------------------------------------------------------

    def _created(self, payload: Json) -> Iterator[Delta]:
        response = payload["response"]
        created = response.get("created_at")
        is_time = type(created) is int or (type(created) is float and math.isfinite(created))
        yield Open(_text(response.get("id")), int(created) if is_time else None, response)

    def _alive(self, payload: Json) -> Iterator[Delta]:
        yield Ping()

    def _terminal(self, payload: Json) -> Iterator[Delta]:
        response = payload["response"]
        # vLLM's event says completed where its response says incomplete.
        is_cut = "incomplete" in (payload["type"].removeprefix("response."), response.get("status"))
        listed = response.get("output")
        entries = listed if isinstance(listed, list) else []
        yield from self._texts.close()
        for index in list(self._calls):
            yield from self._end(index, _find(entries, index), whole=not is_cut)
        if is_cut:
            yield from self._unannounced(entries)
        details = response.get("incomplete_details")
        why = details.get("reason") if isinstance(details, dict) else None
        reason = Reason.TOOLS if self._call_ids else Reason.STOP
        yield Finish(_REASONS.get(str(why), Reason.LENGTH) if is_cut else reason)
        usage = usage_of(response)
        if usage is not None:
            yield usage
        yield End()

    def _unannounced(self, entries: list[Any]) -> Iterator[Delta]:
        """Calls that only the last event lists: the limit cut them before they were announced."""
        for position, entry in enumerate(entries):
            if type_of(entry) in CALLS and _text(entry.get("call_id")) not in self._call_ids:
                yield from self._begin(f"listed {position}", entry)
                yield from self._end(f"listed {position}", entry, whole=False)

    # --- items --------------------------------------------------------------------------------------

    def _added(self, payload: Json) -> Iterator[Delta]:
        index, said = plain(payload.get("output_index")), payload["item"]
        kind = type_of(said)
        yield from self._close_whole()
        if kind in CALLS:
            yield from self._begin(index, said)
        elif kind in ("message", "reasoning"):
            self._texts.items[index] = Spoken(kind)

    def _close_whole(self) -> Iterator[Delta]:
        """Calls whose arguments are complete: some servers say only at the end of all that they are done."""
        for index in [index for index, call in self._calls.items() if call.arguments.complete]:
            self._over.add(index)
            yield Close(self._calls.pop(index).key)

    def _begin(self, index: object, said: Json) -> Iterator[Delta]:
        """A call."""
        if not said.get("name"):
            raise Malformed("a function call without a name")
        yield from self._texts.close()
        call = self._calls[index] = _Call(type_of(said), self._texts.new_key())
        name, space, call_id = (_text(said.get(key)) for key in ("name", "namespace", "call_id"))
        self._call_ids.add(call_id)
        yield Block(call.key, Form.TOOL, call_id, f"{space}__{name}" if space else name)

    def _done(self, payload: Json) -> Iterator[Delta]:
        index, said = plain(payload.get("output_index")), payload["item"]
        call = self._calls.get(index)
        if call is None and index in self._over:
            return
        if call is None:
            yield from self._texts.done(index, said)
            return
        is_cut = said.get("status") == "incomplete"
        if is_cut and call.kind != INPUT.item:
            is_cut = not _is_object(_text(said.get("arguments")) or "".join(call.pieces))
        yield from self._end(index, said, whole=not is_cut)

    def _end(self, index: object, said: Json, *, whole: bool) -> Iterator[Delta]:
        """The end of a call."""
        call = self._calls.pop(index)
        yield from self._rest(call, said.get(CALLS[call.kind].text), whole=whole)
        yield Close(call.key, whole=whole)

    # --- what calls say -----------------------------------------------------------------------------

    def _delta(self, payload: Json) -> Iterator[Delta]:
        call, text = self._calls.get(plain(payload.get("output_index"))), payload.get("delta")
        if call is None or not isinstance(text, str) or not text:
            return
        if call.kind == INPUT.item:
            call.pieces.append(text)
            return
        if not call.pieces:
            call.pieces.append(text)
        call.arguments.take(text)
        yield Piece(call.key, text)

    def _arguments_done(self, payload: Json) -> Iterator[Delta]:
        call = self._calls.get(plain(payload.get("output_index")))
        if call is not None and call.kind != INPUT.item:
            yield from self._rest(call, payload.get(CALLS[call.kind].text), whole=True)

    def _rest(self, call: _Call, said: object, *, whole: bool) -> Iterator[Delta]:
        """The text of a call, as far as no delta has said it."""
        if call.kind == INPUT.item:
            text = _dumps({"input": _text(said) or "".join(call.pieces)})
            yield Piece(call.key, text if whole else text.removesuffix('"}'))
        elif not call.pieces and isinstance(said, str) and said:
            call.pieces.append(said)
            yield Piece(call.key, said)

    # --- what texts say -----------------------------------------------------------------------------

    def _said(self, payload: Json, channel: Channel) -> Iterator[Delta]:
        return self._texts.delta(payload, channel)

    def _text_done(self, payload: Json, channel: Channel) -> Iterator[Delta]:
        return self._texts.text_done(payload, channel)

    def _part_done(self, payload: Json) -> Iterator[Delta]:
        return self._texts.part_done(payload, "content_index")

    def _summary_done(self, payload: Json) -> Iterator[Delta]:
        return self._texts.part_done(payload, "summary_index")

    def _annotation(self, payload: Json) -> Iterator[Delta]:
        return self._texts.annotation(payload)


def _find(entries: list[Any], index: object) -> Json:
    """The entry of the final output at this index."""
    if isinstance(index, int) and 0 <= index < len(entries) and isinstance(entries[index], dict):
        found: Json = entries[index]
        return found
    return {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _dumps(value: object) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # half of a split emoji
        return json.dumps(value, separators=(",", ":"))


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


_Event = Callable[[ResponsesDecoder, Json], Iterator[Delta]]


def _of(channel: Channel) -> dict[str, _Event]:
    """The events of a text."""
    return {
        f"{channel.event}.delta": lambda decoder, payload: decoder._said(payload, channel),
        f"{channel.event}.done": lambda decoder, payload: decoder._text_done(payload, channel),
    }


_EVENTS: dict[str, _Event] = {
    "response.created": ResponsesDecoder._created,
    "response.queued": ResponsesDecoder._alive,
    "response.in_progress": ResponsesDecoder._alive,
    "keepalive": ResponsesDecoder._alive,
    "response.output_item.added": ResponsesDecoder._added,
    "response.output_item.done": ResponsesDecoder._done,
    "response.content_part.done": ResponsesDecoder._part_done,
    "response.reasoning_summary_part.done": ResponsesDecoder._summary_done,
    "response.output_text.annotation.added": ResponsesDecoder._annotation,
    "response.completed": ResponsesDecoder._terminal,
    "response.incomplete": ResponsesDecoder._terminal,
    **{name: event for channel in CHANNELS if channel.part in FORMS for name, event in _of(channel).items()},
    **{f"{channel.event}.delta": ResponsesDecoder._delta for channel in CALLS.values()},
    **{f"{channel.event}.done": ResponsesDecoder._arguments_done for channel in CALLS.values()},
}
