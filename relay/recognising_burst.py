"""Burst: the first pieces of one answer, in any dialect: how large they are, and how close they came.

It reads the frames that came within 50 ms of the first piece and keeps no bytes but those of an unfinished
frame. What it finds says nothing by itself; ``recognising`` judges it.
"""

from __future__ import annotations

from typing import Any

import orjson

from relay.wire import sse
from relay.wire.framing import Data

SLICE = 5
"""Characters: CHUNK_SIZE of litellm/responses/streaming_iterator.py."""
BURST = 0.05
"""Seconds from the first piece."""
ENOUGH = 64
"""Slices; no more are counted."""
_FRAMES = 512
_FRAME_LIMIT = 256 * 1024
_ENDS = ("message_stop", "response.completed", "response.incomplete", "response.failed")

Block = tuple[object, ...]


class Burst:
    """What came first.

    open             more bytes are wanted
    began, last      when the first piece came, and the last that was looked at
    pieces, blocks   pieces of text, of reasoning and of arguments, and what they are pieces of
    slices           pieces of just ``SLICE`` characters
    uneven           a piece was longer, or was shorter and not the last of its block
    text, longest    characters of text and reasoning, and of the longest piece of them
    counted          output tokens that the first event of a response knew
    counts_at_stop   the last event of a message counted tokens
    ended            the dialect's own last word came with the rest
    only_end         that was the first word, too, of a response that did not fail
    finish           the finish reason of a chat
    announced        a chat chunk had a role or a tool call
    """

    __slots__ = (
        *("_rest", "_scanner", "_short", "announced", "began", "blocks", "counted", "counts_at_stop"),
        *("ended", "finish", "frames", "last", "longest", "only_end", "open", "pieces"),
        *("slices", "text", "uneven"),
    )

    def __init__(self) -> None:
        self.open = True
        self.began = self.last = 0.0
        self.frames = self.pieces = self.slices = self.text = self.longest = self.counted = 0
        self.blocks: set[Block] = set()
        self.uneven = self.ended = self.counts_at_stop = False
        self.announced = self.only_end = False
        self.finish: object = None
        self._short: set[Block] = set()
        """Blocks that have had a piece that was no whole slice."""
        self._scanner = sse.FrameScanner()
        self._rest = bytearray()

    def take(self, data: Data, start: int, end: int, at: float) -> None:
        """``data[start:end]`` of the body as it came, and when it was read."""
        if self.pieces and at - self.began > BURST:
            self.close()
            return
        cut = self._scanner.receive(data, start, end)
        if cut < 0:
            self._rest += data[start:end]
        else:
            text = self._rest + data[start:cut]
            begin = 0
            for stop in sse.frame_ends(text, 0, len(text)):
                self._frame(text, begin, stop, at)
                begin = stop
                if self._clear:
                    break
            self._rest = bytearray(data[cut:end])
            self.open = self.frames < _FRAMES and not self._clear
        if not self.open or len(self._rest) > _FRAME_LIMIT:
            self.close()

    @property
    def _clear(self) -> bool:
        """More pieces change nothing."""
        return self.slices >= ENOUGH or (self.uneven and self.pieces > len(self.blocks))

    def close(self) -> None:
        """No more is looked at."""
        self.open = False
        self._rest = bytearray()

    def _frame(self, data: bytearray, start: int, end: int, at: float) -> None:
        self.frames += 1
        payload = _payload(data, start, end)
        if payload is None:
            self.ended = self.ended or data.find(b"[DONE]", start, end) >= 0
            return
        before = self.pieces
        kind = payload.get("type")
        if isinstance(kind, str):
            self._event(kind, payload)
        else:
            self.chunk(payload)
        if self.pieces > before:
            self.last = at
            if not before:
                self.began = at

    def chunk(self, payload: dict[str, Any]) -> None:
        """Of the chat dialect."""
        choices = payload.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict):
                continue
            self.finish = choice.get("finish_reason") or self.finish
            delta, index = choice.get("delta"), _name(choice.get("index"))
            if isinstance(delta, dict):
                self._delta(index, delta)

    def _delta(self, index: object, delta: dict[str, Any]) -> None:
        calls = delta.get("tool_calls")
        self.announced = self.announced or bool(delta.get("role") or calls)
        self._piece((index, "content"), delta.get("content"))
        self._piece((index, "reasoning"), delta.get("reasoning_content") or delta.get("reasoning"))
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, dict) and isinstance(function := call.get("function"), dict):
                block = (index, "tool", _name(call.get("index")))
                self._piece(block, function.get("arguments"), text=False)

    def _event(self, kind: str, payload: dict[str, Any]) -> None:
        """Of the other two dialects."""
        delta = payload.get("delta")
        if kind == "content_block_delta" and isinstance(delta, dict):
            index = _name(payload.get("index"))
            self._piece((index, "text"), delta.get("text"))
            self._piece((index, "thinking"), delta.get("thinking"))
            self._piece((index, "input"), delta.get("partial_json"), text=False)
        elif kind.endswith(".delta"):
            places = ("item_id", "output_index", "content_index", "summary_index")
            block = (kind, *(_name(payload.get(place)) for place in places))
            self._piece(block, delta, text="text" in kind or "refusal" in kind)
        elif kind == "response.created":
            self.counted = _output(payload.get("response"))
        elif kind in _ENDS:
            self.ended = True
            self.only_end = kind == "response.completed" and self.frames == 1
            self.counts_at_stop = kind == "message_stop" and isinstance(payload.get("usage"), dict)

    def _piece(self, block: Block, piece: object, *, text: bool = True) -> None:
        if not piece or not isinstance(piece, str):
            return
        size = len(piece)
        self.pieces += 1
        self.blocks.add(block)
        if size > SLICE or block in self._short:
            self.uneven = True
        elif size < SLICE:
            self._short.add(block)
        else:
            self.slices += 1
        if text:
            self.text += size
            self.longest = max(self.longest, size)


def id_at_end(data: Data, start: int, end: int) -> str:
    """The id of the last of these whole frames of a chat, if no piece has it and the pieces share one."""
    pieces: set[object] = set()
    last: object = None
    burst = Burst()
    for stop in sse.frame_ends(data, start, end):
        payload, before = _payload(data, start, stop), burst.pieces
        start = stop
        if payload is not None and payload.get("choices"):
            burst.chunk(payload)
            last = payload.get("id")
            if burst.pieces > before:
                pieces.add(_name(last))
    return last if isinstance(last, str) and len(pieces) < 2 and last not in pieces else ""


def _payload(data: Data, start: int, end: int) -> dict[str, Any] | None:
    text = sse.read_fields(data, start, end).data
    try:
        payload = orjson.loads(text or b"null")
    except orjson.JSONDecodeError:
        return None
    return payload if isinstance(payload, dict) else None


def _name(value: object) -> object:
    """An index or id as a part of a block's name, whatever came in its place."""
    return value if isinstance(value, str | int) else None


def _output(response: object) -> int:
    usage = response.get("usage") if isinstance(response, dict) else None
    output = usage.get("output_tokens") if isinstance(usage, dict) else None
    return output if type(output) is int else 0
