"""Deltas as a Responses stream.

A message item holds the texts that follow one another; it ends when something else begins, or the answer.
Reasoning and calls are an item each, and calls may be open side by side. A call that the output limit cut
gets no done event, because codex would run it: only the last event lists it.

A block of text is announced with its first piece, so an empty one leaves no trace.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from relay.dialects.codec import Encoder
from relay.dialects.deltas import (
    Block,
    Cite,
    Close,
    Context,
    Delta,
    End,
    Failure,
    Finish,
    Form,
    Open,
    Piece,
    Ping,
    Reason,
    Usage,
)
from relay.dialects.frame import Frame
from relay.dialects.request import Request
from relay.dialects.responses_document import Json, blank, error_frame, failed_frame
from relay.dialects.responses_encoding_items import Item, Part, call, called, envelope, message, reasoning
from relay.dialects.responses_items import (
    CALLS,
    INPUT,
    OUTPUT_TEXT,
    PART_EVENTS,
    REASONING,
    REFUSAL,
    SUMMARY,
    Channel,
)
from relay.dialects.responses_logprobs import entries

_IDENTS = ("chatcmpl-", "cmpl-", "msg_", "resp_")
"""What an upstream's id begins with; the rest of it is kept."""
_CUT = {Reason.LENGTH: "max_output_tokens", Reason.FILTER: "content_filter"}


class _Block:
    """A block that is open, and the part that says it; None before its first piece."""

    __slots__ = ("form", "part", "sealed")

    def __init__(self, form: Form, part: Part | None = None, sealed: str | None = None) -> None:
        self.form = form
        self.part = part
        self.sealed = sealed


class ResponsesEncoder(Encoder):
    """One Responses stream, written by relay."""

    def __init__(self, context: Context, request: Request) -> None:
        super().__init__(context, request)
        self._response: Json = {**blank(context), **request.echo}
        self._number = 0
        """The sequence number of the next frame."""
        self._items: list[Item] = []
        self._message: Item | None = None
        """The message that the next text would be a part of."""
        self._blocks: dict[Hashable, _Block] = {}
        self._cut: list[Part] = []
        """Calls that ended without being whole."""
        self._finish = Finish(Reason.STOP)
        self._usage: Usage | None = None
        self._begun = self._ended = False
        summary = request.thinking.summary is not None or request.summarised
        self._reasoning = SUMMARY if summary else REASONING
        self._refusal = REFUSAL if request.shows_refusals else OUTPUT_TEXT
        self._plain = not request.extras.keys() & {"logprobs", "top_logprobs"}
        """No piece brings more than its text."""
        self._current: Part | None = None
        """The part whose delta went out last."""

    def encode(self, delta: Delta) -> list[Frame]:
        if type(delta) is Piece:
            return self._piece(delta)
        self._current = None
        match delta:
            case Block():
                return self._block(delta)
            case Cite():
                return self._cite(delta)
            case Close():
                return self._close(delta)
            case Open():
                return self._open(delta)
            case Finish():
                return self._finished(delta)
            case Usage():
                self._usage = delta
            case End():
                return self._end()
            case Failure():
                return self._failed(delta)
            case Ping():
                alive = self.keep_alive()
                return [] if alive is None else [alive]
        return []

    def more(self, text: bytes) -> bytes | None:
        part = self._current
        if part is None:
            return None
        part.say_inside(text)
        number = self._number
        self._number = number + 1
        before, between, behind = part.frame()
        return b"%b%d%b%b%b" % (before, number, between, text, behind)

    def keep_alive(self) -> Frame | None:
        return self._made("keepalive") if self._begun and not self._ended else None

    def _made(self, kind: str, **members: Any) -> Frame:
        frame = Frame(kind, {"type": kind, "sequence_number": self._number, **members})
        self._number += 1
        return frame

    # --- the response -------------------------------------------------------------------------------

    def _open(self, delta: Open) -> list[Frame]:
        if delta.ident:
            prefix = next((prefix for prefix in _IDENTS if delta.ident.startswith(prefix)), "")
            self._response["id"] = f"resp_{delta.ident.removeprefix(prefix)}"
        if delta.created is not None:
            self._response["created_at"] = delta.created
        self._begun = True
        kinds = ("response.created", "response.in_progress")
        return [self._made(kind, response=dict(self._response)) for kind in kinds]

    def _finished(self, delta: Finish) -> list[Frame]:
        if delta.reason is Reason.FILTER and not self.request.shows_refusals and self._items:
            delta = Finish(Reason.STOP)  # codex would ask again; what it was shown is the refusal
        self._finish = delta
        is_cut = delta.reason in _CUT
        out = self._end_message("incomplete" if is_cut else "completed")
        for part in self._cut:
            if is_cut:
                part.item.done("incomplete", **called(part.item, part.text(), whole=False))
            else:
                out += self._end_call(part)
        self._cut = []
        return out

    def _end(self) -> list[Frame]:
        self._ended = True
        why = _CUT.get(self._finish.reason)
        status = "completed" if why is None else "incomplete"
        ended: Json = {"status": status, "output": [item.final for item in self._items if item.final]}
        ended["incomplete_details"] = None if why is None else {"reason": why}
        ended["usage"] = None if self._usage is None else _counted(self._usage)
        return [self._made(f"response.{status}", response={**self._response, **ended})]

    def _failed(self, failure: Failure) -> list[Frame]:
        """The form that reaches every client; what is open stays open, or codex would run a cut call."""
        self._ended = True
        frames = [error_frame(failure), failed_frame(failure, self._response)]
        for frame in frames:
            assert frame.payload is not None
            frame.payload["sequence_number"] = self._number
            self._number += 1
        return frames

    # --- blocks -------------------------------------------------------------------------------------

    def _block(self, delta: Block) -> list[Frame]:
        block = self._blocks[delta.key] = _Block(delta.form, sealed=delta.sealed)
        if delta.form is not Form.TOOL:
            return []
        self.calls += 1
        tool = self.request.tool(delta.name or "")
        out = self._end_message()
        item = call(len(self._items), self.context.ident, tool, delta.tool_id)
        block.part = item.begin(CALLS[item.type])
        return [*out, self._announce(item)]

    def _piece(self, delta: Piece) -> list[Frame]:
        block = self._blocks[delta.key]
        out = [] if block.part is not None else self._begin(block)
        part = block.part
        assert part is not None
        part.say(delta.text)
        if part.channel is INPUT:  # its text is inside JSON, and stays there until it is whole
            self._current = None
            return out
        logprobs = entries(delta.logprobs)
        part.logprobs += logprobs
        self._current = part if self._plain else None
        out.append(self._made(f"{part.channel.event}.delta", **part.delta(delta.text, logprobs)))
        return out

    def _cite(self, delta: Cite) -> list[Frame]:
        block = self._blocks[delta.key]
        out = [] if block.part is not None else self._begin(block)
        part = block.part
        if part is None or not part.cites:
            return out
        index, annotation = len(part.annotations), part.cite(delta.url, delta.title)
        where = {**part.place, "annotation_index": index, "annotation": annotation}
        return [*out, self._made("response.output_text.annotation.added", **where)]

    def _close(self, delta: Close) -> list[Frame]:
        block = self._blocks.pop(delta.key)
        if block.form is Form.REASONING:
            return self._end_reasoning(block, delta.signature)
        part = block.part
        if part is None:
            return []
        if block.form is Form.TOOL:
            if delta.whole:
                return self._end_call(part)
            self._cut.append(part)
            return []
        out, _ = self._end_part(part)
        return out if part.item is self._message else [*out, *self._end_item(part.item, "completed")]

    # --- items --------------------------------------------------------------------------------------

    def _announce(self, item: Item) -> Frame:
        self._items.append(item)
        return self._made("response.output_item.added", output_index=item.index, item=item.announced())

    def _begin(self, block: _Block) -> list[Frame]:
        """The part that says this block, and its item if need be."""
        out: list[Frame] = []
        if block.form is Form.REASONING:
            channel, item = self._reasoning, reasoning(len(self._items), self.context.ident)
            out += [*self._end_message(), self._announce(item)]
        else:
            channel, known = self._channel(block.form), self._message
            if known is not None and known.open is None:
                item = known
            else:
                self._message = item = message(len(self._items), self.context.ident)
                out.append(self._announce(item))
        block.part = item.begin(channel)
        event = f"{PART_EVENTS[channel.number or '']}.added"
        return [*out, self._made(event, **block.part.place, part=channel.blank())]

    def _channel(self, form: Form) -> Channel:
        return self._refusal if form is Form.REFUSAL else OUTPUT_TEXT

    def _end_part(self, part: Part) -> tuple[list[Frame], str]:
        """The done events of a part, and its whole text."""
        channel, text = part.channel, part.text()
        logprobs = {"logprobs": part.logprobs} if part.cites else {}
        done = self._made(f"{channel.event}.done", **part.place, **{channel.text: text}, **logprobs)
        whole = part.item.end(text)
        event = f"{PART_EVENTS[channel.number or '']}.done"
        return [done, self._made(event, **part.place, part=whole)], text

    def _end_item(self, item: Item, status: str, **members: Any) -> list[Frame]:
        done = item.done(status, **members)
        return [self._made("response.output_item.done", output_index=item.index, item=done)]

    def _end_message(self, status: str = "completed") -> list[Frame]:
        """Something else begins, or nothing more comes. A text that is still open ends its message itself."""
        item, self._message = self._message, None
        return [] if item is None or item.open is not None else self._end_item(item, status)

    def _end_call(self, part: Part) -> list[Frame]:
        item = part.item
        out: list[Frame] = []
        said = called(item, part.text(), whole=True)
        if item.type == INPUT.item and said[INPUT.text]:
            out.append(self._made(f"{INPUT.event}.delta", **part.place, delta=said[INPUT.text]))
        out.append(self._made(f"{part.channel.event}.done", **part.place, **said))
        return [*out, *self._end_item(item, "completed", **said)]

    def _end_reasoning(self, block: _Block, signature: str | None) -> list[Frame]:
        """The item, with relay's envelope where the client wants to give it back."""
        wanted = self.request.thinking.sealed
        part, text = block.part, ""
        out: list[Frame] = []
        if part is not None:
            item = part.item
            out, text = self._end_part(part)
        elif wanted and (signature or block.sealed):
            item = reasoning(len(self._items), self.context.ident)
            out = [*self._end_message(), self._announce(item)]
        else:
            return []
        members = envelope(text, signature, block.sealed) if wanted else {}
        return [*out, *self._end_item(item, "completed", **members)]


def _counted(usage: Usage) -> Json:
    read, written = usage.input or 0, usage.output or 0
    return {
        "input_tokens": read,
        "input_tokens_details": {
            "cached_tokens": usage.cached or 0,
            "cache_write_tokens": usage.cache_write or 0,
        },
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning or 0},
        "total_tokens": read + written,
    }
