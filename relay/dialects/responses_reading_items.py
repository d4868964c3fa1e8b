"""The items of a Responses client's input, as the turns of a conversation.

What an assistant said and did stands in several items side by side: reasoning, messages, calls. They are one
turn. A message between a call and its output belongs to the turn of the call (LiteLLM 32536), because other
dialects want results at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from relay.dialects.reading import Fields, wrong
from relay.dialects.request import (
    BadRequest,
    Call,
    File,
    Image,
    Reasoning,
    Refusal,
    Request,
    Result,
    Text,
    Turn,
)
from relay.dialects.responses_envelope import opened
from relay.dialects.responses_reading_parts import Content, read_content

_LEFT_OUT = ("web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call")
_LEFT_OUT_PREFIXES = ("mcp_", "tool_search_", "compaction", "context_compaction")
"""Done by a server that is not there any more; the conversation can go on without."""
_REFUSED = ("computer_call", "local_shell_call", "shell_call", "apply_patch_call", "program")
"""The client did it and waits for the model to see it."""
_KNOWN = ("type", "id", "status", "phase", "name", "role")
"""Members of items that say nothing to a model."""


class Conversation:
    """The turns of a request as they are read, and the tools that stand among them."""

    def __init__(self, request: Request, instructions: str | None) -> None:
        self._request = request
        self.turns: list[Turn] = []
        self.tools: list[tuple[str, list[Any]]] = []
        """What `additional_tools` items hold, by their path."""
        self._outputs: dict[str, int] = {}
        """Where the output of each call stands, by its call id."""
        self._waiting: dict[str, Turn] = {}
        """The turns of calls whose outputs are still to come, by call id."""
        self._first_call: dict[int, int] = {}
        """Where in a turn its first call stands, by the turn's identity."""
        if instructions:
            self.turns.append(Turn("system", [Text(instructions, "instructions")], "instructions"))

    def read(self, given: object) -> None:
        if isinstance(given, str):
            self.turns.append(Turn("user", [Text(given, "input")], "input"))
            return
        if given is None:
            raise BadRequest("input", "is required")
        if not isinstance(given, list):
            raise wrong("input", "a string or a list", given)
        for position, item in enumerate(given):
            call_id = item.get("call_id") if isinstance(item, dict) else None
            if isinstance(call_id, str) and str(item.get("type")).endswith("_call_output"):
                self._outputs[call_id] = position
        for position, item in enumerate(given):
            self._item(position, Fields(item, f"input[{position}]"))

    def _item(self, position: int, item: Fields) -> None:
        kind = item.text("type") or self._guess(item)
        reader = _READERS.get(kind)
        if reader is not None:
            reader(self, position, item)
            for name in _KNOWN:
                item.take(name)
            item.drop_rest(self._request)
        elif kind in _LEFT_OUT or kind.startswith(_LEFT_OUT_PREFIXES):
            self._request.drop(item.path, kind)
        elif kind.startswith(_REFUSED):
            raise BadRequest(item.path, f"items of type {kind} cannot be translated; use function tools")
        else:
            raise BadRequest(item.at("type"), f"unknown type of item: {kind!r}")

    def _guess(self, item: Fields) -> str:
        """A message and a reference need not say what they are."""
        left = item.rest()
        if item.at("role") in left:
            return "message"
        if left.keys() == {item.at("id")}:
            return "item_reference"
        raise BadRequest(item.at("type"), "is required")

    # --- turns --------------------------------------------------------------------------------------

    def _assistant(self, path: str) -> Turn:
        """The assistant's turn that is going on, or a new one."""
        if not self.turns or self.turns[-1].role != "assistant":
            self.turns.append(Turn("assistant", [], path))
        return self.turns[-1]

    def _speaking(self, path: str) -> Turn:
        """The turn that an assistant's message belongs to."""
        if self._waiting:
            return self._waiting[next(reversed(self._waiting))]
        return self._assistant(path)

    # --- items --------------------------------------------------------------------------------------

    def _message(self, position: int, item: Fields) -> None:
        role, content = item.needed_text("role"), item.take("content")
        parts = read_content(self._request, content, item.at("content"))
        if role == "assistant":
            self._said(item.path, parts)
            return
        for part in parts:
            if isinstance(part, Refusal):
                raise BadRequest(part.path, "only an assistant refuses")
        if role == "user":
            self.turns.append(Turn("user", [*parts] or [Text("", item.path)], item.path))
        elif role not in ("system", "developer"):
            raise BadRequest(
                item.at("role"), f"expected user, assistant, system or developer, found {role!r}"
            )
        elif parts:
            self.turns.append(Turn("system", [*parts], item.path))

    def _said(self, path: str, parts: list[Content]) -> None:
        """What an assistant says comes before what it does, in every other dialect."""
        for part in parts:
            if not isinstance(part, Text | Refusal):
                raise BadRequest(part.path, "an assistant's message holds output_text and refusal only")
        if not parts:
            return
        turn = self._speaking(path)
        at = self._first_call.get(id(turn), len(turn.parts))
        turn.parts[at:at] = parts
        if id(turn) in self._first_call:
            self._first_call[id(turn)] += len(parts)

    def _call(self, position: int, item: Fields) -> None:
        arguments = (item.text("arguments") or "").strip() or "{}"
        self._did(position, item, arguments, custom=False)

    def _custom_call(self, position: int, item: Fields) -> None:
        try:
            arguments = orjson.dumps({"input": item.text("input") or ""}).decode()
        except TypeError:
            raise BadRequest(item.at("input"), "is not valid Unicode") from None
        self._did(position, item, arguments, custom=True)

    def _did(self, position: int, item: Fields, arguments: str, *, custom: bool) -> None:
        ident, name, space = item.needed_text("call_id"), item.needed_text("name"), item.text("namespace")
        turn = self._assistant(item.path)
        self._first_call.setdefault(id(turn), len(turn.parts))
        turn.parts.append(Call(ident, name, arguments, space or None, custom, item.path))
        if self._outputs.get(ident, -1) > position:
            self._waiting[ident] = turn

    def _output(self, position: int, item: Fields) -> None:
        ident, output = item.needed_text("call_id"), item.take("output")
        parts = read_content(self._request, output, item.at("output"), result=True)
        given = [part for part in parts if isinstance(part, Text | Image | File)]
        result = Result(ident, given, path=item.path)
        self._waiting.pop(ident, None)
        if not self.turns or not self.turns[-1].parts or not isinstance(self.turns[-1].parts[-1], Result):
            self.turns.append(Turn("user", [], item.path))
        self.turns[-1].parts.append(result)

    def _reasoning(self, position: int, item: Fields) -> None:
        envelope = item.text("encrypted_content")
        known = opened(envelope) if envelope else None
        content = item.items("content") or []
        item.take("summary")  # a summary is not what was thought
        if known is None:
            texts = [part.get("text") for part in content if isinstance(part, dict)]
            text = "".join(text for text in texts if isinstance(text, str))
            known = Reasoning(text)
        if known.text or known.signature or known.sealed:
            known.path = item.path
            self._assistant(item.path).parts.append(known)

    def _reference(self, position: int, item: Fields) -> None:
        ident = item.needed_text("id")
        if not ident.startswith("rs_"):
            raise BadRequest(
                item.at("id"), f"item {ident!r} not found: relay stores no items; send the item itself"
            )
        self._request.drop(item.path, "item_reference")

    def _tools(self, position: int, item: Fields) -> None:
        """codex's small requests have their tools here (0.169)."""
        self.tools.append((item.at("tools"), item.items("tools") or []))


_READERS: dict[str, Callable[[Conversation, int, Fields], None]] = {
    "message": Conversation._message,
    "function_call": Conversation._call,
    "custom_tool_call": Conversation._custom_call,
    "function_call_output": Conversation._output,
    "custom_tool_call_output": Conversation._output,
    "reasoning": Conversation._reasoning,
    "item_reference": Conversation._reference,
    "additional_tools": Conversation._tools,
}
