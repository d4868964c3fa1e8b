"""Legal frames of a Messages stream in, deltas out.

Block indexes are the keys of the deltas. Blocks of server tools and of unknown types mean nothing to
other dialects and are passed over, with all that is in them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from relay.dialects.arguments import Arguments
from relay.dialects.checker import Malformed
from relay.dialects.codec import Decoder
from relay.dialects.deltas import (
    Block,
    Cite,
    Close,
    Delta,
    End,
    Finish,
    Form,
    Open,
    Piece,
    Ping,
    Reason,
)
from relay.dialects.frame import Frame
from relay.dialects.messages_content import compact
from relay.dialects.messages_envelope import Counts
from relay.dialects.request import Request

_FORMS = {
    "text": Form.TEXT,
    "thinking": Form.REASONING,
    "redacted_thinking": Form.REASONING,
    "tool_use": Form.TOOL,
}

_REASONS = {
    "stop_sequence": Reason.SEQUENCE,
    "tool_use": Reason.TOOLS,
    "max_tokens": Reason.LENGTH,
    "model_context_window_exceeded": Reason.LENGTH,
    "refusal": Reason.FILTER,
}
"""All others are a stop, `pause_turn` among them: no other dialect can resume it."""


class _Open:
    """What is kept of the open block: the signature so far, or what a tool was given."""

    __slots__ = ("arguments", "form", "given", "signature")

    def __init__(self, form: Form) -> None:
        self.form = form
        self.signature: str | None = None
        self.arguments = Arguments()
        self.given: dict[str, Any] = {}


class MessagesDecoder(Decoder):
    """One Messages stream, read."""

    def __init__(self, request: Request) -> None:
        self._counts = Counts()
        self._counted = False
        self._open: dict[int, _Open] = {}
        self._doubtful: int | None = None
        """The last tool, when it was stopped with incomplete arguments: the stop reason tells whether
        they were cut."""
        self._arguments: Arguments | None = None
        """Of the tool that the last piece belonged to, if it did to one."""
        self._reason: str | None = None
        self._sequence: str | None = None

    def decode(self, frame: Frame) -> list[Delta]:
        payload = frame.payload
        kind = payload.get("type") if payload is not None else None
        take = _TAKES.get(kind) if isinstance(kind, str) else None
        return [] if take is None or payload is None else take(self, payload)

    def more(self, text: bytes) -> None:
        if self._arguments is not None:
            self._arguments.take_spelled(text)

    def _message_start(self, payload: dict[str, Any]) -> list[Delta]:
        message = payload["message"]
        self._counts.merge(message.get("usage"))
        deltas: list[Delta] = [Open(_text(message, "id") or None, document=message)]
        for index, block in enumerate(message["content"]):
            # A whole answer in one event: tool calls made by a program are announced like this.
            deltas += self._settled()
            if isinstance(block, dict):
                deltas += self._begun(index, block)
                deltas += self._stopped(index)
        self._said(message)
        return deltas

    def _block_start(self, payload: dict[str, Any]) -> list[Delta]:
        return self._settled() + self._begun(payload["index"], payload["content_block"])

    def _begun(self, index: int, content: dict[str, Any]) -> list[Delta]:
        kind = _text(content, "type")
        form = _FORMS.get(kind)
        if form is None:
            return []
        if form is Form.TOOL and not _text(content, "name"):
            raise Malformed("a tool_use block without a name")
        block = self._open[index] = _Open(form)
        if form is Form.TOOL:
            block.given = content.get("input") or {}
            return [Block(index, form, _text(content, "id") or None, _text(content, "name"))]
        if kind == "redacted_thinking":
            return [Block(index, form, sealed=_text(content, "data"))]
        deltas: list[Delta] = [Block(index, form)]
        for citation in content.get("citations") or []:
            deltas += _cited(index, citation)
        if text := _text(content, "text" if form is Form.TEXT else "thinking"):
            deltas.append(Piece(index, text))
        block.signature = _text(content, "signature") or None
        return deltas

    def _block_delta(self, payload: dict[str, Any]) -> list[Delta]:
        index, delta = payload["index"], payload["delta"]
        block = self._open.get(index)
        if block is None:
            return []
        kind = delta["type"]
        if kind == "signature_delta":
            block.signature = _text(delta, "signature") or block.signature
            return []
        if kind == "citations_delta":
            return _cited(index, delta.get("citation"))
        field = _PIECES.get(kind)
        text = _text(delta, field) if field is not None else ""
        if not text:
            return []
        self._arguments = block.arguments if block.form is Form.TOOL else None
        if self._arguments is not None:
            self._arguments.take(text)
        return [Piece(index, text)]

    def _block_stop(self, payload: dict[str, Any]) -> list[Delta]:
        return self._stopped(payload["index"])

    def _stopped(self, index: int) -> list[Delta]:
        block = self._open.pop(index, None)
        if block is None:
            return []
        deltas: list[Delta] = []
        if block.arguments.empty and block.given:
            deltas.append(Piece(index, compact(block.given)))
        elif not block.arguments.empty and not block.arguments.complete:
            self._doubtful = index
            return []
        deltas.append(Close(index, block.signature))
        return deltas

    def _settled(self, *, cut: bool = False) -> list[Delta]:
        """Close the tool that was stopped early; only the last block of all can have been cut."""
        index, self._doubtful = self._doubtful, None
        return [] if index is None else [Close(index, whole=not cut)]

    def _message_delta(self, payload: dict[str, Any]) -> list[Delta]:
        self._counts.merge(payload.get("usage"))
        self._said(payload["delta"])
        deltas = self._settled(cut=_REASONS.get(self._reason or "") is Reason.LENGTH)
        return deltas + self._usage()

    def _said(self, delta: dict[str, Any]) -> None:
        """Why it ends, if this says so; the last one holds."""
        if reason := _text(delta, "stop_reason"):
            self._reason = reason
            self._sequence = _text(delta, "stop_sequence") or None

    def _usage(self) -> list[Delta]:
        usage = self._counts.usage()
        self._counted = usage is not None
        return [] if usage is None else [usage]

    def _message_stop(self, payload: dict[str, Any]) -> list[Delta]:
        deltas = self._settled()
        if not self._counted:
            deltas += self._usage()
        reason = _REASONS.get(self._reason or "", Reason.STOP)
        return [*deltas, Finish(reason, self._sequence if reason is Reason.SEQUENCE else None), End()]

    def _ping(self, payload: dict[str, Any]) -> list[Delta]:
        return [Ping()]


def _cited(index: int, citation: object) -> list[Delta]:
    """Only what can be followed: places in documents mean nothing elsewhere."""
    if not isinstance(citation, dict) or not _text(citation, "url"):
        return []
    return [Cite(index, citation["url"], _text(citation, "title") or None)]


def _text(holder: dict[str, Any], field: str) -> str:
    value = holder.get(field)
    return value if isinstance(value, str) else ""


_PIECES = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}

_TAKES: dict[str, Callable[[MessagesDecoder, dict[str, Any]], list[Delta]]] = {
    "message_start": MessagesDecoder._message_start,
    "content_block_start": MessagesDecoder._block_start,
    "content_block_delta": MessagesDecoder._block_delta,
    "content_block_stop": MessagesDecoder._block_stop,
    "message_delta": MessagesDecoder._message_delta,
    "message_stop": MessagesDecoder._message_stop,
    "ping": MessagesDecoder._ping,
}
