"""Deltas in, frames of a Messages stream out.

A block begins with its first text, because a block without any must not be sent: clients put it into the
history, and the API then refuses that. Tool calls and sealed reasoning begin at once.
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
from relay.dialects.messages_content import stop_frame
from relay.dialects.messages_envelope import error_frame, start_frame
from relay.dialects.messages_serial import Serial
from relay.dialects.messages_wording import citation, counts, message, stop_reason, tool_use
from relay.dialects.request import Request

_PIECES = {
    Form.TEXT: ("text_delta", "text"),
    Form.REFUSAL: ("text_delta", "text"),
    Form.REASONING: ("thinking_delta", "thinking"),
    Form.TOOL: ("input_json_delta", "partial_json"),
}
"""The delta that a block consists of, and its member."""


class MessagesEncoder(Encoder):
    """One Messages stream, written."""

    def __init__(self, context: Context, request: Request) -> None:
        super().__init__(context, request)
        self._serial = Serial()
        self._hidden: set[Hashable] = set()
        """Open blocks of reasoning that the client does not want to see."""
        self._block = Block(None, Form.TEXT)
        """The open block."""
        self._begun = False
        """Its start has been written."""
        self._index = 0
        self._tight = False
        self._ends: list[Frame] = []
        """The end of thinking that shall leave with the next frame."""
        self._cites: list[Cite] = []
        """Sources of the open block, before its text."""
        self._usage: Usage | None = None
        self._finish = Finish(Reason.STOP)
        self._refused = False
        self._started = self._done = False
        self._kind = self._field = ""
        self._prefix = b""
        """What stands before the text in the payload of a piece of the open block."""
        self._lead: bytes | None = None
        """The same, when the last delta was such a piece."""

    def encode(self, delta: Delta) -> list[Frame]:
        if type(delta) is Piece and not self._hidden and not self._serial.waits:
            return self._piece(delta)  # nearly always
        self._lead = None
        if self._hides(delta):
            return []
        frames: list[Frame] = []
        for said in self._serial.take(delta):
            frames += self._say(said)
        if not isinstance(delta, Piece):
            self._lead = None
        return frames

    def more(self, text: bytes) -> bytes | None:
        lead = self._lead
        return None if lead is None else lead + text + b'"}}'

    def hold_thinking(self) -> None:
        """See ``holding.HoldsThinking``."""
        self._tight = True

    def keep_alive(self) -> Frame | None:
        return Frame("ping", {"type": "ping"}) if self._started and not self._done else None

    def _hides(self, delta: Delta) -> bool:
        if isinstance(delta, Block):
            if delta.form is Form.REASONING and self.request.thinking.hidden:
                self._hidden.add(delta.key)
                return True
        elif self._hidden and isinstance(delta, Piece | Cite | Close) and delta.key in self._hidden:
            if isinstance(delta, Close):
                self._hidden.discard(delta.key)
            return True
        return False

    def _say(self, delta: Delta) -> list[Frame]:
        """A delta whose turn it is."""
        match delta:
            case Piece():
                return self._piece(delta)
            case Block():
                return self._open(delta)
            case Close():
                return self._close(delta)
            case Cite():
                return self._cite(delta)
            case Open():
                self._started = True
                return [start_frame(message(delta.ident, self.context, self._usage))]
            case Usage():
                self._usage = delta
            case Finish():
                self._finish = delta
            case End():
                self._done = True
                return [*self._held(), self._finished(), Frame("message_stop", {"type": "message_stop"})]
            case Failure():
                self._done = True
                return [error_frame(delta)]
            case Ping():
                ping = self.keep_alive()
                return [] if ping is None else [ping]
        return []

    def _open(self, block: Block) -> list[Frame]:
        self._block, self._begun, self._cites = block, False, []
        if block.form is Form.TOOL:
            self.calls += 1
            return self._start(tool_use(block, self._index, self.context, self.request))
        if block.sealed is not None:
            return self._start({"type": "redacted_thinking", "data": block.sealed})
        return []

    def _start(self, content: dict[str, Any]) -> list[Frame]:
        self._begun = True
        self._kind, self._field = _PIECES[self._block.form]
        self._prefix = (
            f'{{"type":"content_block_delta","index":{self._index},'
            f'"delta":{{"type":"{self._kind}","{self._field}":"'
        ).encode()
        payload = {"type": "content_block_start", "index": self._index, "content_block": content}
        return [*self._held(), Frame("content_block_start", payload)]

    def _held(self) -> list[Frame]:
        ends, self._ends = self._ends, []
        return ends

    def _first(self) -> list[Frame]:
        """The start of a block that has waited for its first text, and what has waited with it."""
        if self._block.form is Form.REASONING:
            return self._start({"type": "thinking", "thinking": "", "signature": ""})
        self._refused = self._refused or self._block.form is Form.REFUSAL
        return [
            *self._start({"type": "text", "text": ""}),
            *(self._delta({"type": "citations_delta", "citation": citation(cite)}) for cite in self._cites),
        ]

    def _delta(self, delta: dict[str, Any]) -> Frame:
        return Frame(
            "content_block_delta", {"type": "content_block_delta", "index": self._index, "delta": delta}
        )

    def _piece(self, piece: Piece) -> list[Frame]:
        first = [] if self._begun else self._first()
        self._lead = self._prefix
        return [*first, self._delta({"type": self._kind, self._field: piece.text})]

    def _cite(self, cite: Cite) -> list[Frame]:
        if self._begun:
            return [self._delta({"type": "citations_delta", "citation": citation(cite)})]
        self._cites.append(cite)
        return []

    def _close(self, close: Close) -> list[Frame]:
        frames: list[Frame] = []
        if close.signature and self._block.form is Form.REASONING and self._block.sealed is None:
            frames += [] if self._begun else self._first()
            frames.append(self._delta({"type": "signature_delta", "signature": close.signature}))
        if not self._begun:
            return []
        stop = stop_frame(self._index)
        if self._tight and self._block.form is Form.REASONING:
            self._ends = [stop]
        else:
            frames.append(stop)
        self._index += 1
        self._begun = False
        return frames

    def _finished(self) -> Frame:
        finish = self._finish.said(calls=self.calls > 0)
        reason = stop_reason(finish.reason, refused=self._refused)
        delta = {"stop_reason": reason, "stop_sequence": finish.sequence}
        return Frame("message_delta", {"type": "message_delta", "delta": delta, "usage": counts(self._usage)})
