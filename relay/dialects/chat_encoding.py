"""Deltas → chunks of a chat stream.

The dialect has no frame for the beginning of a text or the end of anything, so most deltas are one
chunk or none. Only the input of a custom tool is held until it is whole: it leaves as text, and comes
as JSON. Tools may interleave; they are counted from 0 whatever stands between them (LiteLLM 5231).
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import orjson

from relay.dialects.arguments import custom_input
from relay.dialects.chat_document import CHUNK, error_document
from relay.dialects.chat_said import FINISH, call, call_id, identity
from relay.dialects.chat_usage import write_usage
from relay.dialects.checker import Malformed
from relay.dialects.codec import Encoder
from relay.dialects.deltas import (
    Block,
    Close,
    Context,
    Delta,
    End,
    Failure,
    Finish,
    Form,
    Open,
    Piece,
    Usage,
)
from relay.dialects.frame import Frame
from relay.dialects.request import Request, Tool

FIELDS = {Form.TEXT: "content", Form.REASONING: "reasoning_content", Form.REFUSAL: "refusal"}
_HELD = 8 << 20
"""Characters of a custom tool's input that may wait; more is no tool call any more."""
_TAIL = b'"},"finish_reason":null}]}'
_TOOL_TAIL = b'"}}]},"finish_reason":null}]}'


class _Call:
    """A tool call of the client's: its place, and what has been said of it."""

    __slots__ = ("begun", "held", "index", "size", "tool")

    def __init__(self, index: int, tool: Tool) -> None:
        self.index = index
        self.tool = tool
        self.begun = False
        """A piece of its arguments has been seen."""
        self.held: list[str] = []
        """The arguments of a custom tool, and how many characters they have."""
        self.size = 0


class ChatEncoder(Encoder):
    def __init__(self, context: Context, request: Request) -> None:
        super().__init__(context, request)
        self._shared: dict[str, Any] = {}
        self._head = b""
        """The bytes that every chunk begins with, up to its delta."""
        self._blocks: dict[Hashable, Form | _Call] = {}
        self._usage: Usage | None = None
        self._over = False
        self._before = self._after = b""
        """What stands around the text of one more piece; nothing when there is no short way."""

    def encode(self, delta: Delta) -> list[Frame]:
        if self._over:
            return []
        self._before = b""
        match delta:
            case Piece():
                return self._piece(delta)
            case Block():
                return self._block(delta)
            case Close():
                return self._close(delta)
            case Open():
                return self._open(delta)
            case Finish():
                return [self._chunk({}, FINISH[delta.said(calls=self.calls > 0).reason])]
            case Usage():
                self._usage = delta
            case End():
                self._over = True
                return self._end()
            case Failure():
                self._over = True
                return [Frame(None, error_document(delta))]
            case _:
                pass  # citations have no place in this dialect; a sign of life is a comment
        return []

    def more(self, text: bytes) -> bytes | None:
        return self._before + text + self._after if self._before else None

    def keep_alive(self) -> None:
        """A comment line: any JSON without choices breaks openai-node's helper."""

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> Frame:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return Frame(None, {**self._shared, "choices": [choice]})

    def _open(self, delta: Open) -> list[Frame]:
        self._shared = {**identity(self.context, delta), "object": CHUNK}
        try:
            self._head = orjson.dumps(self._shared)[:-1] + b',"choices":[{"index":0,"delta":{"'
        except TypeError:  # half a character in the model's name
            self._head = b""
        return [self._chunk({"role": "assistant", "content": ""})]

    def _block(self, delta: Block) -> list[Frame]:
        if delta.form is not Form.TOOL:
            self._blocks[delta.key] = delta.form
            return []
        tool = self.request.tool(delta.name or "")
        state = self._blocks[delta.key] = _Call(self.calls, tool)
        self.calls += 1
        header = call(call_id(self.context, delta, state.index), tool, "")
        return [self._chunk({"tool_calls": [{"index": state.index, **header}]})]

    def _piece(self, delta: Piece) -> list[Frame]:
        block = self._blocks[delta.key]
        if isinstance(block, Form):
            field = FIELDS[block]
            frame = self._chunk({field: delta.text})
            if delta.logprobs is None:
                self._before, self._after = self._head and self._head + f'{field}":"'.encode(), _TAIL
            elif block is not Form.REASONING:
                logprobs = {"content": None, "refusal": None, field: delta.logprobs}
                frame.payload["choices"][0]["logprobs"] = logprobs  # type: ignore[index]
            return [frame]
        block.begun = True
        if block.tool.custom:
            block.held.append(delta.text)
            block.size += len(delta.text)
            if block.size > _HELD:
                raise Malformed("the input of a custom tool is too long")
            return []
        opening = f'tool_calls":[{{"index":{block.index},"function":{{"arguments":"'
        self._before, self._after = self._head and self._head + opening.encode(), _TOOL_TAIL
        return [self._arguments(block, delta.text)]

    def _arguments(self, block: _Call, text: str) -> Frame:
        return self._chunk({"tool_calls": [{"index": block.index, "function": {"arguments": text}}]})

    def _close(self, delta: Close) -> list[Frame]:
        block = self._blocks.pop(delta.key)
        if isinstance(block, Form):
            return []
        if block.held:
            text = custom_input("".join(block.held))
            return [self._chunk({"tool_calls": [{"index": block.index, "custom": {"input": text}}]})]
        if block.begun or block.tool.custom or not delta.whole:
            return []
        return [self._arguments(block, "{}")]

    def _end(self) -> list[Frame]:
        frames = [Frame(None, None)]
        if self._usage is not None and self.request.usage_asked:
            frames.insert(0, Frame(None, {**self._shared, "choices": [], "usage": write_usage(self._usage)}))
        return frames
