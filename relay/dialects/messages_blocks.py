"""The order of a Messages stream's content blocks: one open at a time, numbered 0, 1, 2, …

The upstream's numbers are only names here; each block gets the next one as it reaches the client.
Some decisions need the frame that follows, so a frame may be held until then. That moves the
moment of these frames and nothing else, and never before there is a next one to send:

    start of an empty text block    its stop may be next, and then the block is left out
    start of a tool with an input   the same input may come again as deltas
    stop of text or thinking        a late delta may be next; a tool's stop is never held, for
                                    clients run the tool upon it

A block that begins inside another waits until that one has stopped: whether blocks are interleaved
or a stop is missing can only be told later, and a stop that is too early would lose the rest.
"""

from __future__ import annotations

from typing import Any

from relay.dialects.checker import Checker, Malformed
from relay.dialects.deltas import Kind
from relay.dialects.frame import Frame
from relay.dialects.grammar import State
from relay.dialects.messages_content import (
    HOMES,
    PIECES,
    TOOLS,
    Block,
    carries,
    mend_delta,
    mend_start,
    number,
    start_frame,
    stop_frame,
    undecided,
)
from relay.dialects.messages_output import Output


class Blocks:
    """The blocks of one stream."""

    def __init__(self, checker: Checker, output: Output) -> None:
        self._checker = checker
        self._grammar = checker.grammar
        self._output = output
        self.steady: Block | None = None
        """The open block, when deltas of its own type need no further look."""
        self.current: Block | None = None
        self.next = 0
        self.begun = False
        self.tool_called = False
        self._last: Block | None = None
        self._closed = -1
        self._moved = False
        """Blocks were added or left out, so that all later numbers differ."""
        self._waiting: dict[int, list[Frame]] = {}
        self._releasing = False

    def called(self, tool_id: object) -> None:
        """The client is asked to run a tool."""
        self.tool_called = True
        if isinstance(tool_id, str):
            self._checker.tool_ids.append(tool_id)

    def forget(self) -> None:
        """The stream has failed: what is held or waits is not sent."""
        self._output.forget()
        self._waiting.clear()
        self.steady = self.current = None

    def start(self, frame: Frame, payload: dict[str, Any]) -> None:
        content, key = payload.get("content_block"), number(payload)
        if not isinstance(content, dict) or not isinstance(content.get("type"), str) or not content["type"]:
            if carries(content):
                raise Malformed("a content block of no type")
            return self._drop("messages-block-untyped", frame)
        if self._grammar.state is State.FINISHED:
            if content["type"] not in HOMES.values() or content.get("text") or content.get("thinking"):
                raise Malformed("a content block after message_delta")
            return self._drop("messages-block-late-start", frame)
        while (current := self.current) is not None:
            inside = key is not None and key >= 0 and key not in current.names and not current.supplied
            if key is not None and inside and self._checker.mends("messages-block-interleaved"):
                self._waiting.setdefault(key, []).append(self._output.keep(frame))
                return None
            self.close(None)
        self._begin(frame, content, key)
        return None

    def _begin(self, frame: Frame, content: dict[str, object], key: int | None) -> None:
        index = self.next
        mend_start(frame, content, self._checker.mends, f"toolu_{self._checker.context.ident}_{index}")
        if key != index:
            if self._moved or self._checker.mends("messages-block-index"):
                frame.set(("index",), index)
            elif key is not None:
                index = key
        block = self._opened(str(content["type"]), index, {key}, supplied=False)
        block.filled = bool(content.get("text") or content.get("thinking"))
        block.has_text = bool(content.get("text"))
        self._checker.deltas += block.filled
        if block.type == "tool_use":
            self.called(content.get("id"))
        if undecided(content):
            self._output.hold_start(frame)
        else:
            self._output.send(frame)

    def _opened(self, type_: str, index: int, names: set[int | None], *, supplied: bool) -> Block:
        block = Block(type_, index, names, supplied=supplied)
        self._grammar.admit(Kind.BLOCK, index, block)
        self.current, self.steady, self.begun = block, None, True
        self.next = index + 1
        return block

    def _supply(self, type_: str, names: set[int | None], *, supplied: bool) -> Block:
        """A block that the upstream did not begin, or not as one of its own."""
        block = self._opened(type_, self.next, names, supplied=supplied)
        self._output.send(start_frame(type_, block.client))
        return block

    def delta(self, frame: Frame, payload: dict[str, Any]) -> None:
        delta, key = payload.get("delta"), number(payload)
        if not isinstance(delta, dict) or not isinstance(delta.get("type"), str):
            if carries(delta):
                raise Malformed("a delta of no type")
            return self._drop("messages-delta-stray", frame)
        if self._grammar.state is State.FINISHED:
            return self._drop_empty(frame, delta, "content after message_delta")
        mend_delta(frame, delta, self._checker.mends)
        block = self._addressed(frame, delta, key)
        if block is None:
            return None
        if not block.takes(delta["type"]):
            return self._misfit(frame, delta, block)
        if self._output.start is not None:
            if not carries(delta) and delta["type"] == block.piece:
                self._renumber(frame, block)
                return self._output.hold_too(frame)
            if (
                block.type in TOOLS
                and delta["type"] == block.piece
                and self._checker.mends("messages-tool-input-twice")
            ):
                self._output.start.set(("content_block", "input"), {})
        self._grammar.admit(Kind.PIECE, block.client)
        self._pass(frame, delta, block)
        if block.filled:
            block.upstream = key
            self.steady = block
        return None

    def _addressed(self, frame: Frame, delta: dict[str, object], key: int | None) -> Block | None:
        """The open block that the delta belongs to; None when the delta has been dealt with."""
        kind = str(delta["type"])
        while (current := self.current) is not None:
            if key in current.names:
                return current
            if key is None or key < 0:
                if not self._checker.mends("messages-index-negative"):
                    self._output.send(frame)
                    return None
                current.names.add(key)
                return current
            if key in self._waiting:
                self._waiting[key].append(self._output.keep(frame))
                return None
            if key <= self._closed:
                self._drop_empty(frame, delta, f"a delta of block {key}, which was followed by another")
                return None
            if not current.filled and current.takes(kind) and self._checker.mends("messages-index-unknown"):
                current.names.add(key)
                return current
            if not current.supplied and self._checker.mends("messages-block-interleaved"):
                self._waiting[key] = [self._output.keep(frame)]
                return None
            self.close(None)
        return self._orphan(frame, delta, key)

    def _orphan(self, frame: Frame, delta: dict[str, object], key: int | None) -> Block | None:
        """A delta while no block is open: late for the last one, or the first of a new one."""
        kind = str(delta["type"])
        nameless = key is None or key < 0
        held, last = self._output.stopped, self._last
        if held is not None and (nameless or key in held.names) and held.takes(kind):
            if self._checker.mends("messages-delta-late"):
                self._renumber(frame, held)
                self._count(delta, held)
                self._output.pass_by(frame)
                return None
        elif not carries(delta):
            self._drop("messages-delta-stray", frame)
            return None
        late = key is not None and 0 <= key <= self._closed
        if late and (last is None or key not in last.names or kind == "signature_delta"):
            raise Malformed(f"a delta of block {key}, which was stopped long before")
        if kind not in HOMES:
            raise Malformed(f"a delta of type {kind} without a block")
        if not self._checker.mends("messages-block-start-missing"):
            self._output.send(frame)
            return None
        self._moved = self._moved or late
        return self._supply(HOMES[kind], {key}, supplied=True)

    def _misfit(self, frame: Frame, delta: dict[str, object], block: Block) -> None:
        """A delta whose type the open block does not take."""
        kind = str(delta["type"])
        if not carries(delta):
            block.dropped = True
            return self._drop("messages-delta-misfit-empty", frame)
        if kind not in HOMES:
            raise Malformed(f"a delta of type {kind} in a block of type {block.type}")
        if not self._checker.mends("messages-delta-misfit"):
            return self._output.send(frame)
        if block.type in TOOLS:
            block.stray.append(self._output.keep(frame))
            return None
        if self._unseen(block):
            self._undo(block)
        else:
            self._end(block)
        other = self._supply(HOMES[kind], block.names, supplied=block.supplied)
        other.began_as, other.has_text, other.dropped = block.began_as, block.has_text, block.dropped
        self._moved = True
        return self._pass(frame, delta, other)

    def _pass(self, frame: Frame, delta: dict[str, object], block: Block) -> None:
        self._renumber(frame, block)
        self._count(delta, block)
        self._output.send(frame)

    def _renumber(self, frame: Frame, block: Block) -> None:
        assert frame.payload is not None
        index = frame.payload.get("index")
        if index != block.client or type(index) is not int:
            frame.set(("index",), block.client)

    def _count(self, delta: dict[str, object], block: Block) -> None:
        if carries(delta):
            block.filled = True
            block.has_text = block.has_text or delta["type"] == "text_delta"
            if delta["type"] in PIECES.values():
                self._checker.piece(len(str(delta.get(block.field or ""))))

    def stop(self, frame: Frame, payload: dict[str, Any]) -> None:
        key, current = number(payload), self.current
        if current is not None and key in current.names:
            return self.close(frame)
        if (
            current is not None
            and (key is None or key < 0)
            and self._checker.mends("messages-index-negative")
        ):
            return self.close(frame)
        if key is not None and key in self._waiting:
            self._waiting[key].append(self._output.keep(frame))
            return None
        return self._drop("messages-block-stop-stray", frame)

    def close(self, stop: Frame | None) -> None:
        """End the open block with the upstream's stop, or with one supplied; the next may begin."""
        block = self.current
        assert block is not None
        if block.lost_text:
            self._checker.flags.add("text-lost")
        if self._unseen(block) and self._output.holds_one and self._checker.mends("messages-block-empty"):
            self._undo(block)
        else:
            if stop is not None or self._checker.mends("messages-block-stop-missing"):
                self._end(block, stop)
            else:
                self._admit_close(block)
            self._last = block
            self._closed = max(self._closed, *(key for key in block.names if key is not None), -1)
        if block.stray:
            self._rehouse(block.stray)
        self._release()

    def _unseen(self, block: Block) -> bool:
        """Its start is still held, and nothing is in it."""
        return block.type == "text" and self._output.start is not None

    def _undo(self, block: Block) -> None:
        """As if it had never begun."""
        self._admit_close(block)
        self._output.undo()
        self.next, self._moved = block.client, True

    def _end(self, block: Block, stop: Frame | None = None) -> None:
        self._admit_close(block)
        if stop is None:
            self._output.send(stop_frame(block.client))
            return
        self._renumber(stop, block)
        if block.type in self._output.stops:
            self._output.hold_stop(stop, block)
        else:
            self._output.send(stop)

    def _admit_close(self, block: Block) -> None:
        self._grammar.admit(Kind.CLOSE, block.client)
        self.current = self.steady = None

    def _rehouse(self, frames: list[Frame]) -> None:
        """Texts that came inside a tool call get blocks of their own after it."""
        self._moved = True
        for frame in frames:
            assert frame.payload is not None
            delta = frame.payload["delta"]
            home = HOMES[delta["type"]]
            if self.current is None or self.current.type != home:
                if self.current is not None:
                    self._end(self.current)
                self._supply(home, set(), supplied=True)
            assert self.current is not None
            self._pass(frame, delta, self.current)
        if self.current is not None:
            self._end(self.current)

    def _release(self) -> None:
        """Let the blocks that wait have their turn, until one of them is open."""
        if self._releasing:
            return
        take = {
            "content_block_start": self.start,
            "content_block_delta": self.delta,
            "content_block_stop": self.stop,
        }
        self._releasing = True
        try:
            while self._waiting and self.current is None:
                for frame in self._waiting.pop(next(iter(self._waiting))):
                    assert frame.payload is not None
                    take[frame.payload["type"]](frame, frame.payload)
        finally:
            self._releasing = False
        if not self._waiting:
            self._output.nothing_waits()

    def _drop(self, rule: str, frame: Frame) -> None:
        """Leave out a frame that says nothing."""
        if not self._checker.mends(rule):
            self._output.send(frame)

    def _drop_empty(self, frame: Frame, delta: dict[str, object], why: str) -> None:
        if carries(delta):
            raise Malformed(why)
        self._drop("messages-delta-stray", frame)
