"""Deltas in, one Messages document out, for a client that asked for no stream."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import orjson

from relay.dialects.checker import Malformed
from relay.dialects.codec import Answer
from relay.dialects.deltas import (
    Block,
    Cite,
    Close,
    Context,
    Delta,
    Failure,
    Finish,
    Form,
    Open,
    Piece,
    Reason,
    Usage,
)
from relay.dialects.messages_wording import citation, message, stop_reason, tool_use
from relay.dialects.request import Request


class _Said:
    """One block and what came for it."""

    __slots__ = ("block", "cites", "signature", "texts", "whole")

    def __init__(self, block: Block) -> None:
        self.block = block
        self.texts: list[str] = []
        self.cites: list[Cite] = []
        self.signature = ""
        self.whole = True

    @property
    def text(self) -> str:
        return "".join(self.texts)


class MessagesAnswer(Answer):
    """One answer, collected."""

    def __init__(self, context: Context, request: Request) -> None:
        super().__init__(context, request)
        self._ident: str | None = None
        self._blocks: list[_Said] = []
        self._open: dict[Hashable, _Said] = {}
        self._usage: Usage | None = None
        self._finish = Finish(Reason.STOP)
        self._failure: Failure | None = None

    def take(self, delta: Delta) -> None:
        match delta:
            case Piece():
                self._open[delta.key].texts.append(delta.text)
            case Block():
                said = self._open[delta.key] = _Said(delta)
                self._blocks.append(said)
            case Cite():
                self._open[delta.key].cites.append(delta)
            case Close():
                said = self._open.pop(delta.key)
                said.signature, said.whole = delta.signature or "", delta.whole
            case Open():
                self._ident = delta.ident
            case Usage():
                self._usage = delta
            case Finish():
                self._finish = delta
            case Failure():
                self._failure = delta

    def document(self) -> dict[str, Any]:
        if self._failure is not None:
            raise Malformed(self._failure.message)
        content = [block for said in self._blocks if (block := self._block(said)) is not None]
        calls = any(block["type"] == "tool_use" for block in content)
        refused = any(said.block.form is Form.REFUSAL and said.texts for said in self._blocks)
        finish = self._finish.said(calls=calls)
        return message(self._ident, self.context, self._usage) | {
            "content": content,
            "stop_reason": stop_reason(finish.reason, refused=refused),
            "stop_sequence": finish.sequence,
        }

    def _block(self, said: _Said) -> dict[str, Any] | None:
        """None for a block that says nothing, or whose arguments were cut."""
        block = said.block
        if block.form is Form.TOOL:
            return self._tool(said)
        if block.form is Form.REASONING:
            return self._reasoning(said)
        if not said.texts:
            return None
        text: dict[str, Any] = {"type": "text", "text": said.text}
        if said.cites:
            text["citations"] = [citation(cite) for cite in said.cites]
        return text

    def _reasoning(self, said: _Said) -> dict[str, Any] | None:
        if self.request.thinking.hidden:
            return None
        if said.block.sealed is not None:
            return {"type": "redacted_thinking", "data": said.block.sealed}
        if not said.texts and not said.signature:
            return None
        return {"type": "thinking", "thinking": said.text, "signature": said.signature}

    def _tool(self, said: _Said) -> dict[str, Any] | None:
        arguments: object = {}
        if text := said.text.strip():
            try:
                arguments = orjson.loads(text)
            except ValueError:
                arguments = None
        if not said.whole or not isinstance(arguments, dict):
            if not said.whole or self._finish.reason is Reason.LENGTH:
                return None
            raise Malformed(f"the arguments of the call of {said.block.name} are not an object")
        index = self._blocks.index(said)
        return tool_use(said.block, index, self.context, self.request) | {"input": arguments}
