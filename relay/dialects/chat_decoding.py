"""Chunks of a chat stream → deltas.

A chunk says no more than "this text, in this channel". A block is opened by its first piece and closed
when another begins; a tool call, of which several may be open, when its arguments are complete by then.
Why the answer ended is kept until ``[DONE]``: usage comes after it, and content may (claude-code-router
1587). Empty texts, nulls and ``tool_calls: []`` say nothing, and nothing is made of them (LiteLLM 29286).
"""

from __future__ import annotations

from typing import Any

from relay.dialects.arguments import Arguments
from relay.dialects.chat_content import parts
from relay.dialects.chat_usage import read_usage
from relay.dialects.checker import Malformed
from relay.dialects.codec import Decoder
from relay.dialects.deltas import (
    Block,
    Close,
    Delta,
    End,
    Failure,
    Finish,
    Form,
    Open,
    Piece,
    Reason,
    Usage,
)
from relay.dialects.frame import Frame
from relay.dialects.request import Request

_REASONS = {
    "length": Reason.LENGTH,
    "tool_calls": Reason.TOOLS,
    "function_call": Reason.TOOLS,
    "content_filter": Reason.FILTER,
}
"""Any other word (`eos`, `eos_token`) is a natural end."""
_FAILED = ("error", "abort")
_CUTTING = (Reason.LENGTH, Reason.FILTER)
_LEGACY = -1
"""Where the old function_call stands among the tool indexes."""


class _Tool:
    """A tool call that is open."""

    __slots__ = ("arguments", "key")

    def __init__(self, key: int) -> None:
        self.key = key
        self.arguments = Arguments()


class ChatDecoder(Decoder):
    def __init__(self, request: Request) -> None:
        self._stop = frozenset(request.stop)
        self._ident: str | None = None
        self._begun = self._over = False
        self._blocks = 0
        """How many have begun; the key of the next one."""
        self._channel: Form | None = None
        """Which text is open, and its key."""
        self._key = -1
        self._calls: set[int] = set()
        """Tool indexes that have been seen."""
        self._tools: dict[int, _Tool] = {}
        """The open ones of them."""
        self._arguments: Arguments | None = None
        """Of the tool that the last piece belonged to, if it did to one."""
        self._finish: Finish | None = None
        self._failure: Failure | None = None
        self._usage: Usage | None = None
        self._told: Usage | None = None
        """The usage that has gone out."""

    def decode(self, frame: Frame) -> list[Delta]:
        deltas: list[Delta] = []
        payload = frame.payload
        if self._over:
            return deltas
        if payload is None:
            self._end(deltas)
            return deltas
        self._usage = read_usage(payload, self._usage) or self._usage
        choices = payload.get("choices")
        if choices:
            self._open(payload, deltas)
            for choice in choices:
                if not choice.get("index"):
                    self._choice(choice, deltas)
        if self._begun and (self._finish or self._told is None or not choices):
            # Running totals on every chunk tell nothing that the first and the last do not.
            self._count(deltas)
        if self._failure is not None:
            deltas.append(self._failure)
            self._over = True
        return deltas

    def more(self, text: bytes) -> None:
        if self._arguments is not None:
            self._arguments.take_spelled(text)

    def _open(self, payload: dict[str, Any], deltas: list[Delta]) -> None:
        if self._begun:
            return
        self._begun = True
        ident, created = payload.get("id"), payload.get("created")
        self._ident = ident if isinstance(ident, str) and ident else None
        deltas.append(Open(self._ident, created if type(created) is int else None))

    def _choice(self, choice: dict[str, Any], deltas: list[Delta]) -> None:
        """What is said, then why it ends: the last chunk may hold both."""
        delta = choice.get("delta")
        if isinstance(delta, dict):
            self._said(delta, choice.get("logprobs"), deltas)
        finish = choice.get("finish_reason")
        if finish and isinstance(finish, str):
            self._finished(finish, choice)

    def _said(self, delta: dict[str, Any], logprobs: object, deltas: list[Delta]) -> None:
        content, thought = delta.get("content"), _reasoning(delta)
        if content and not isinstance(content, str):
            content, more = _told(content)
            thought += more
        if thought:
            self._text(Form.REASONING, thought, None, deltas)
        if content:
            self._text(Form.TEXT, content, _logprobs(logprobs, "content"), deltas)
        refusal = delta.get("refusal")
        if refusal and isinstance(refusal, str):
            self._text(Form.REFUSAL, refusal, _logprobs(logprobs, "refusal"), deltas)
        if delta.get("tool_calls"):
            for entry in delta["tool_calls"]:
                if isinstance(entry, dict):
                    self._tool(entry.get("index", 0), entry.get("id"), entry.get("function") or {}, deltas)
        legacy = delta.get("function_call")
        if legacy and isinstance(legacy, dict):
            _, _, suffix = (self._ident or "").rpartition("-")
            self._tool(_LEGACY, f"call_{suffix or 'function'}", legacy, deltas)

    def _text(self, form: Form, text: str, logprobs: list[Any] | None, deltas: list[Delta]) -> None:
        if self._channel is not form:
            self._key = self._begin(deltas)
            self._channel = form
            deltas.append(Block(self._key, form))
        self._arguments = None
        deltas.append(Piece(self._key, text, logprobs))

    def _tool(self, index: int, ident: str | None, function: dict[str, Any], deltas: list[Delta]) -> None:
        if index not in self._calls:
            name = function.get("name")
            if not name or not isinstance(
                name, str
            ):  # of the old function_call: the checker mends the others
                raise Malformed("a function call without a name")
            tool = self._tools[index] = _Tool(self._begin(deltas))
            self._calls.add(index)
            deltas.append(Block(tool.key, Form.TOOL, ident, name))
        arguments, open_tool = function.get("arguments"), self._tools.get(index)
        # What comes after a call was closed as complete can only be blanks.
        if arguments and isinstance(arguments, str) and open_tool is not None:
            self._arguments = open_tool.arguments
            self._arguments.take(arguments)
            deltas.append(Piece(open_tool.key, arguments))
            if open_tool.key < self._blocks - 1 and open_tool.arguments.complete:
                deltas.append(Close(self._tools.pop(index).key))  # later blocks wait for its end

    def _begin(self, deltas: list[Delta]) -> int:
        """The key of a new block; what is whole by now is closed before it."""
        self._close_text(deltas)
        whole = [index for index, tool in self._tools.items() if tool.arguments.complete]
        deltas.extend(Close(self._tools.pop(index).key) for index in whole)
        self._blocks += 1
        return self._blocks - 1

    def _close_text(self, deltas: list[Delta]) -> None:
        if self._channel is not None:
            deltas.append(Close(self._key))
            self._channel = None

    def _finished(self, finish: str, choice: dict[str, Any]) -> None:
        if finish in _FAILED:
            self._failure = Failure(f"the upstream ended its answer with finish_reason {finish!r}")
        if self._finish is not None and finish not in _REASONS:
            return  # again, beside the usage (LM Studio); a plain end takes back nothing
        sequence = None
        if finish == "stop":
            # vLLM's name for it, and SGLang's; both also put token ids there.
            met = (choice.get("stop_reason"), choice.get("matched_stop"))
            sequence = next((text for text in met if isinstance(text, str) and text in self._stop), None)
        reason = Reason.SEQUENCE if sequence is not None else _REASONS.get(finish, Reason.STOP)
        self._finish = Finish(reason, sequence)

    def _count(self, deltas: list[Delta]) -> None:
        if self._usage is not None and self._usage != self._told:
            self._told = self._usage
            deltas.append(self._usage)

    def _end(self, deltas: list[Delta]) -> None:
        self._open({}, deltas)
        finish = self._finish or Finish(Reason.STOP)
        self._close_text(deltas)
        for tool in self._tools.values():
            cut = finish.reason in _CUTTING and not tool.arguments.complete
            deltas.append(Close(tool.key, whole=not cut))
        self._count(deltas)
        deltas += finish, End()
        self._over = True


def _reasoning(delta: dict[str, Any]) -> str:
    """Under either name; vLLM in transition and some gateways send the same under both."""
    first, second = delta.get("reasoning_content"), delta.get("reasoning")
    first = first if isinstance(first, str) else ""
    return first + second if isinstance(second, str) and second != first else first


def _told(content: object) -> tuple[str, str]:
    """The text and the thinking of a list of parts, some of which nobody knows."""
    told = [parts(part) for part in content] if isinstance(content, list) else []
    known = [part for part in told if part is not None]
    return "".join(text or "" for text, _ in known), "".join(thought or "" for _, thought in known)


def _logprobs(logprobs: object, name: str) -> list[Any] | None:
    tokens = logprobs.get(name) if isinstance(logprobs, dict) else None
    return tokens if tokens and isinstance(tokens, list) else None
