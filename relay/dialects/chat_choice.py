"""One choice of a chat stream: its role, its text, its tool calls and why it ends.

The dialect has no frame for the beginning or the end of a block. A text, a reasoning or a tool call
begins with its first piece, any of them may go on while another does, and all are over at the finish
reason, so BLOCK and CLOSE are implied and no repair. OPEN is the role, FINISH the finish reason.
Content after a finish reason is in neither table of the grammar; it is left alone, because every
client appends it.
"""

from __future__ import annotations

from typing import Any

from relay.dialects.chat_content import json_text, parts
from relay.dialects.chat_tools import ToolCalls
from relay.dialects.checker import Checker, Malformed
from relay.dialects.deltas import Kind
from relay.dialects.frame import Frame, Path
from relay.dialects.grammar import Grammar, State

RULES = {
    "chat-message": "a chat.completion frame with `message` becomes a chunk with `delta`",
    "chat-delta-missing": "an absent or null delta becomes an empty one (langchain 18977, autogen 6465)",
    "chat-role-missing": "the first delta of a choice gets the role",
    "chat-role-unknown": "a role that is not `assistant` is taken out, the AI SDK drops the frame",
    "chat-content-parts": "content as a list of parts becomes text and reasoning_content (vercel/ai 8072)",
    "chat-content-type": "content that is JSON instead of text becomes its text (Cloudflare)",
    "chat-thinking-blocks": "LiteLLM's thinking blocks get the index that it gives them since 1.109",
    "chat-reasoning-details": "a list of details without indexes is emptied for openai-python's helper",
    "chat-finish-tools": "`stop` after a tool call becomes `tool_calls` (Gemini, LM Studio 649)",
    "chat-finish-type": "a finish reason that is not text becomes null",
}

TEXTS = ("reasoning_content", "reasoning", "content", "refusal")
DETAILS = "reasoning_details"
BLOCKS = "thinking_blocks"
LITELLM = "provider_specific_fields"
"""Lists that openai-python's helper cannot join when their entries have no index; the third holds the
second once more."""
SILENT = -1
"""What ``mend`` answers when all that the choice says is held back."""


class Choice:
    """Where one choice stands. ``key`` is the upstream's index, ``index`` its place for the client."""

    __slots__ = ("_key", "_rare", "grammar", "index", "steady", "tools")

    def __init__(self, key: int | str, index: int, grammar: Grammar, *, details: bool) -> None:
        self._key = key
        self.index = index
        self.grammar = grammar
        self.tools = ToolCalls(index)
        self.steady = False
        """Open, and a chunk needs no more than ``pieces`` to be seen as legal."""
        self._rare = frozenset((DETAILS, BLOCKS) if details else (BLOCKS,))

    @property
    def finished(self) -> bool:
        return self.grammar.state is State.FINISHED

    def pieces(self, delta: dict[str, Any]) -> int:
        """How many pieces of content the delta adds to what is open; -1 when it is more than that."""
        blocks = self.grammar.blocks
        pieces = 0
        for key, value in delta.items():
            if key in blocks:
                if type(value) is str:
                    if value:
                        pieces += 1
                elif value is not None:
                    return -1
            elif key == "tool_calls":
                if value:
                    more = self.tools.continues(value)
                    if more < 0:
                        return -1
                    pieces += more
                elif value is not None and type(value) is not list:
                    return -1
            elif key in TEXTS:
                if value is not None and value != "":
                    return -1
            elif key == "role":
                if value is not None and value != "assistant":
                    return -1
            elif key in self._rare:
                return -1
            elif value and key in ("function_call", "audio"):
                pieces += _rare_pieces(value)
        if pieces > 1 and _reasons_twice(delta):
            pieces -= 1
        return pieces

    def mend(self, checker: Checker, frame: Frame, path: Path, choice: dict[str, Any]) -> int:
        """Make the choice at ``path`` legal; the pieces of content in it, or SILENT."""
        finish = choice.get("finish_reason")
        if finish is not None and not isinstance(finish, str):
            finish = None
            if checker.mends("chat-finish-type"):
                frame.set((*path, "finish_reason"), None)
        self._delta(checker, frame, path, choice)
        pieces, delta = 0, choice.get("delta")
        if isinstance(delta, dict):
            said = bool(delta)
            self._role(checker, frame, (*path, "delta"), delta, finish)
            pieces += self._texts(checker, frame, (*path, "delta"), delta)
            pieces += self._tool_calls(checker, frame, (*path, "delta", "tool_calls"), delta)
            if said and not delta and not finish:
                return SILENT
        if finish:
            self._finish(checker, frame, (*path, "finish_reason"), finish)
        self.steady = self.grammar.state is State.OPEN and self._key == self.index
        return pieces

    def _delta(self, checker: Checker, frame: Frame, path: Path, choice: dict[str, Any]) -> None:
        delta, message = choice.get("delta"), choice.get("message")
        if isinstance(delta, dict):
            return
        if delta:
            raise Malformed("a delta is not an object")
        if isinstance(message, dict):
            if checker.mends("chat-message"):
                frame.remove((*path, "message"))
                frame.set((*path, "delta"), self._news(message))
        elif checker.mends("chat-delta-missing"):
            frame.set((*path, "delta"), {})

    def _news(self, message: dict[str, Any]) -> dict[str, Any]:
        """What a whole message says that was not streamed before it."""
        if self.finished:
            return {}
        told = {str(key) for key in self.grammar.blocks} | ({"tool_calls"} if self.tools.count else set())
        return {key: value for key, value in message.items() if key not in told}

    def _role(
        self, checker: Checker, frame: Frame, path: Path, delta: dict[str, Any], finish: str | None
    ) -> None:
        role = delta.get("role")
        if role != "assistant":
            begins = self.grammar.implied(Kind.PIECE if delta else Kind.FINISH) is Kind.OPEN
            if begins and (delta or finish):
                if checker.mends("chat-role-missing"):
                    frame.set((*path, "role"), "assistant")
            elif role is not None and checker.mends("chat-role-unknown"):
                frame.remove((*path, "role"))
        if delta or finish:
            self.grammar.admit(Kind.OPEN)

    def _texts(self, checker: Checker, frame: Frame, path: Path, delta: dict[str, Any]) -> int:
        self._content(checker, frame, path, delta)
        pieces = 0
        for key in TEXTS:
            value = delta.get(key)
            if value and isinstance(value, str):
                pieces += 1
                if self.grammar.implied(Kind.PIECE, key) is Kind.BLOCK:
                    self.grammar.admit(Kind.BLOCK, key)
        if (
            DETAILS in self._rare
            and _lacks_index(delta.get(DETAILS))
            and checker.mends("chat-reasoning-details")
        ):
            frame.set((*path, DETAILS), [])
        _number_blocks(checker, frame, path, delta)
        for key in ("function_call", "audio"):
            pieces += _rare_pieces(delta.get(key))
        return pieces - 1 if _reasons_twice(delta) else pieces

    def _content(self, checker: Checker, frame: Frame, path: Path, delta: dict[str, Any]) -> None:
        content = delta.get("content")
        if content is None or isinstance(content, str):
            return
        told = parts(content)
        if told is None:
            # A list with parts of another kind stays what it is: nothing says what to make of it.
            if not isinstance(content, list) and checker.mends("chat-content-type"):
                frame.set((*path, "content"), json_text(content))
            return
        if not checker.mends("chat-content-parts"):
            return
        text, thinking = told
        if thinking is not None:
            before = delta.get("reasoning_content")
            frame.set((*path, "reasoning_content"), (before if isinstance(before, str) else "") + thinking)
        if text is None and thinking is not None:
            frame.remove((*path, "content"))
        else:
            frame.set((*path, "content"), text or "")

    def _tool_calls(self, checker: Checker, frame: Frame, path: Path, delta: dict[str, Any]) -> int:
        entries = delta.get("tool_calls")
        if isinstance(entries, list):
            return self.tools.mend(checker, self.grammar, frame, path, entries) if entries else 0
        if entries:
            raise Malformed("tool_calls is not a list")
        if entries is not None and checker.mends("chat-tool-empty"):
            frame.remove(path)
        return 0

    def _finish(self, checker: Checker, frame: Frame, path: Path, finish: str) -> None:
        if self.tools.waiting:
            raise Malformed("a tool call without a name")
        called = finish == "stop" and self.tools.count > 0 and checker.context.named_tool is False
        if called and checker.mends("chat-finish-tools"):
            frame.set(path, "tool_calls")
        self.admit(Kind.FINISH)

    def admit(self, kind: Kind) -> bool:
        """Take FINISH, END or FAIL, and close silently what it closes."""
        self.steady = False
        while self.grammar.implied(kind) is Kind.CLOSE:
            self.grammar.admit(Kind.CLOSE, next(iter(self.grammar.blocks)))
        return self.grammar.admit(kind)

    @property
    def reason(self) -> str:
        """The finish reason of an answer that is known to be complete and gave none."""
        return "tool_calls" if self.tools.count else "stop"


def _reasons_twice(delta: dict[str, Any]) -> bool:
    """vLLM in transition and some gateways send the same reasoning under both of its names."""
    reasoning = delta.get("reasoning")
    return bool(reasoning) and isinstance(reasoning, str) and reasoning == delta.get("reasoning_content")


def _number_blocks(checker: Checker, frame: Frame, path: Path, delta: dict[str, Any]) -> None:
    """One block is streamed at a time, so its place in the list of the moment is its index."""
    for place in ((BLOCKS,), (LITELLM, BLOCKS)):
        outer = delta if len(place) == 1 else delta.get(LITELLM)
        blocks = outer.get(BLOCKS) if isinstance(outer, dict) else None
        if _lacks_index(blocks) and checker.mends("chat-thinking-blocks"):
            for at, block in enumerate(blocks or []):
                if isinstance(block, dict) and "index" not in block:
                    frame.set((*path, *place, at, "index"), at)


def _lacks_index(entries: object) -> bool:
    return isinstance(entries, list) and any(isinstance(e, dict) and "index" not in e for e in entries)


def _rare_pieces(value: object) -> int:
    """A piece of the old function_call, or of audio."""
    if not isinstance(value, dict):
        return 0
    return 1 if any(value.get(key) for key in ("arguments", "data", "transcript")) else 0
