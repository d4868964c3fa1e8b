"""Deltas → one chat.completion."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from relay.dialects.arguments import custom_input
from relay.dialects.chat_said import FINISH, call, call_id, identity
from relay.dialects.chat_usage import write_usage
from relay.dialects.codec import Answer
from relay.dialects.deltas import (
    Block,
    Close,
    Context,
    Delta,
    Finish,
    Form,
    Open,
    Piece,
    Reason,
    Usage,
)
from relay.dialects.request import Request


class _Said:
    """One block of the answer."""

    __slots__ = ("block", "logprobs", "texts", "whole")

    def __init__(self, block: Block) -> None:
        self.block = block
        self.texts: list[str] = []
        self.logprobs: list[Any] = []
        self.whole = True


class ChatAnswer(Answer):
    def __init__(self, context: Context, request: Request) -> None:
        super().__init__(context, request)
        self._opened: Open | None = None
        self._open: dict[Hashable, _Said] = {}
        self._blocks: list[_Said] = []
        self._finish = Finish(Reason.STOP)
        self._usage: Usage | None = None

    def take(self, delta: Delta) -> None:
        match delta:
            case Piece():
                said = self._open[delta.key]
                said.texts.append(delta.text)
                said.logprobs += delta.logprobs or []
            case Block():
                self._open[delta.key] = said = _Said(delta)
                self._blocks.append(said)
            case Close():
                self._open.pop(delta.key).whole = delta.whole
            case Open():
                self._opened = delta
            case Finish():
                self._finish = delta
            case Usage():
                self._usage = delta
            case _:
                pass  # citations have no place in this dialect

    def document(self) -> dict[str, Any]:
        calls = self._calls()
        reason = self._finish.said(calls=bool(calls)).reason
        message: dict[str, Any] = {
            "role": "assistant",
            "content": self._text(Form.TEXT, "") or None,
            "refusal": self._text(Form.REFUSAL, "") or None,
        }
        if thought := self._text(Form.REASONING, "\n"):
            message["reasoning_content"] = thought
        if calls:
            message["tool_calls"] = calls
        choice = {
            "index": 0,
            "message": message,
            "logprobs": self._logprobs(),
            "finish_reason": FINISH[reason],
        }
        document = {**identity(self.context, self._opened), "choices": [choice]}
        if self._usage is not None:
            document["usage"] = write_usage(self._usage)
        return document

    def _text(self, form: Form, separator: str) -> str:
        texts = ["".join(said.texts) for said in self._blocks if said.block.form is form]
        return separator.join(text for text in texts if text)

    def _logprobs(self) -> dict[str, Any] | None:
        told = {
            name: [token for said in self._blocks if said.block.form is form for token in said.logprobs]
            for name, form in (("content", Form.TEXT), ("refusal", Form.REFUSAL))
        }
        return {name: tokens or None for name, tokens in told.items()} if any(told.values()) else None

    def _calls(self) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = []
        for said in self._blocks:
            if said.block.form is Form.TOOL:
                tool, text = self.request.tool(said.block.name or ""), "".join(said.texts)
                if tool.custom:
                    text = custom_input(text) if text else ""
                elif not text and said.whole:
                    text = "{}"
                calls.append(call(call_id(self.context, said.block, len(calls)), tool, text))
        return calls
