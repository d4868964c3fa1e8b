"""Tool calls of a chat stream: which call a fragment belongs to, and what a call needs to be one.

A call is a header (index, id, type, name) and then fragments of its arguments, all with the same
index. Clients use the index as a place in a list and join whatever is repeated, so indexes must be
dense and a header must come once. Servers forget the index (Gemini, Mistral), give every call the
same one (Ollama 7886), count from 1 (LiteLLM 5231), repeat the header (several), write nulls into it
(SGLang) or send it before they know the name (vLLM's Mistral parser).
"""

from __future__ import annotations

from typing import Any

from relay.dialects.chat_content import json_text
from relay.dialects.checker import Checker, Malformed
from relay.dialects.deltas import Kind
from relay.dialects.frame import Frame, Path
from relay.dialects.grammar import Grammar

RULES = {
    "chat-tool-index-missing": "a fragment without index gets that of its call (open-webui 224, dynamo 4723)",
    "chat-tool-index-shared": "another id under the same index is another call (Ollama 7886, bifrost 1961)",
    "chat-tool-index-gap": "tool indexes that do not count up from 0 are renumbered (LiteLLM 5231)",
    "chat-tool-repeated": "an id or name that comes again with later fragments is taken out of them",
    "chat-tool-null-type": "a null type of later fragments is taken out of them (SGLang)",
    "chat-tool-id-missing": "a tool call without an id gets one",
    "chat-tool-type-missing": "a tool call without a type is a function",
    "chat-tool-name-late": "the header of a tool call waits for its name (vLLM's Mistral parser)",
    "chat-tool-function-null": "a later fragment whose function is null gets an empty one",
    "chat-tool-arguments": "arguments that are JSON instead of text become their text",
    "chat-tool-empty": "an entry of tool_calls that says nothing is taken out",
}


class Call:
    """One tool call: what the upstream calls it, and its place in the client's list."""

    __slots__ = ("held", "ident", "index", "name", "rule")

    def __init__(self, ident: str | None, rule: str) -> None:
        self.ident = ident
        self.name: str | None = None
        self.index: int | None = None
        """None until the header has gone out."""
        self.held: str | None = None
        """Arguments that came before the name; None when nothing is held."""
        self.rule = rule
        """The repair that a different index of its fragments stands for."""


class _Fragment:
    """An entry of ``tool_calls``, whatever it is made of."""

    __slots__ = ("arguments", "entry", "function", "ident", "key", "name")

    def __init__(self, entry: dict[str, Any]) -> None:
        self.entry = entry
        key, ident, function = entry.get("index"), entry.get("id"), entry.get("function")
        self.key: int | str | None = key if type(key) in (int, str) else None
        self.ident = str(ident) if type(ident) in (int, str) and ident != "" else None
        if function and not isinstance(function, dict):
            raise Malformed("the function of a tool call is not an object")
        self.function: dict[str, Any] | None = function if isinstance(function, dict) else None
        name = self.function.get("name") if self.function else None
        self.name = name if isinstance(name, str) and name else None
        self.arguments = _text_of(self.function.get("arguments") if self.function else None)


class ToolCalls:
    """The calls of one choice, in the order in which the client learns of them."""

    __slots__ = ("_by_ident", "_by_key", "_choice", "_last", "count", "waiting")

    def __init__(self, choice: int) -> None:
        self._choice = choice
        self._by_key: dict[int | str, Call] = {}
        """The call that the upstream means now by an index."""
        self._by_ident: dict[str, Call] = {}
        self._last: Call | None = None
        self.count = 0
        """Calls whose header has gone out; the next one's index."""
        self.waiting = 0
        """Calls whose header is held because the name has not come."""

    def continues(self, entries: list[Any]) -> int:
        """How many pieces of arguments these entries are; -1 when one is more than a next piece.

        Raises KeyError or TypeError with the same meaning.
        """
        pieces = 0
        for entry in entries:
            index, function = entry["index"], entry["function"]
            arguments = function["arguments"]
            if (
                self._by_key[index].index != index
                or type(index) is not int
                or type(arguments) is not str
                or len(entry) != 2
                or len(function) != 1
            ):
                return -1
            if arguments:
                pieces += 1
        return pieces

    def mend(self, checker: Checker, grammar: Grammar, frame: Frame, path: Path, entries: list[Any]) -> int:
        """Make every entry of the list at ``path`` a header or the next fragment of a call.

        Answers how many pieces of arguments there are.
        """
        pieces, kept = 0, []
        for at, entry in enumerate(entries):
            if entry and not isinstance(entry, dict):
                raise Malformed("a tool call is not an object")
            fragment = _Fragment(entry or {})
            call = self._call(fragment) if entry else None
            if call is None:
                # A piece implies its block, and a block cannot be made without the name.
                if fragment.arguments:
                    raise Malformed("a piece of a tool call that was never announced")
                if checker.mends("chat-tool-empty"):
                    continue
            elif call.index is None:
                if not self._named(checker, call, fragment):
                    continue
                pieces += self._announce(checker, grammar, frame, (*path, at), call, fragment)
            else:
                pieces += self._continue(checker, frame, (*path, at), call, fragment)
            kept.append(entry)
        if kept and len(kept) < len(entries):
            frame.set(path, kept)
        elif not kept:
            frame.remove(path)
        return pieces

    def _call(self, fragment: _Fragment) -> Call | None:
        """The call that the fragment belongs to, a new one if it begins one; None if it is of none."""
        key, ident, name = fragment.key, fragment.ident, fragment.name
        known = None if ident is None else self._by_ident.get(ident)
        call, rule = self._last if key is None else self._by_key.get(key), "chat-tool-index-gap"
        if call is None:
            call = None if name else known
        elif known is not None:
            call = known
        elif _begins(call, fragment):
            call, rule = None, "chat-tool-index-shared"
        if call is None:
            if ident is None and name is None:
                return None
            call = Call(ident, rule)
            if ident is not None:
                self._by_ident[ident] = call
        if key is not None:
            self._by_key[key] = call
        self._last = call
        return call

    def _named(self, checker: Checker, call: Call, fragment: _Fragment) -> bool:
        """Whether the header can go out; otherwise what the fragment says of the call is held."""
        if fragment.name is not None:
            call.name = fragment.name
            self.waiting -= call.held is not None
            return True
        if call.held is None:
            if not checker.mends("chat-tool-name-late"):
                return True
            call.held = ""
            self.waiting += 1
        call.held += fragment.arguments
        return False

    def _announce(
        self, checker: Checker, grammar: Grammar, frame: Frame, path: Path, call: Call, fragment: _Fragment
    ) -> int:
        """Make the entry the header of its call."""
        call.index = self.count
        self._place(checker, frame, path, call, fragment)
        # Refused after the finish reason; every client appends what comes then, so it stays.
        grammar.admit(Kind.BLOCK, call.index, call)
        self.count += 1
        entry, ident, late = fragment.entry, call.ident, call.held is not None
        if late and ident is not None:
            frame.set((*path, "id"), ident)
        elif (ident is None or entry.get("id") != ident) and checker.mends("chat-tool-id-missing"):
            ident = ident or f"call_{checker.context.ident}_{self._choice}_{call.index}"
            frame.set((*path, "id"), ident)
        if ident is not None:
            checker.tool_ids.append(ident)
        if (not isinstance(entry.get("type"), str) or not entry["type"]) and (
            late or checker.mends("chat-tool-type-missing")
        ):
            frame.set((*path, "type"), "function")
        if call.held:
            frame.set((*path, "function", "arguments"), call.held + fragment.arguments)
            call.held = ""
            return 1
        return self._arguments(checker, frame, path, fragment)

    def _continue(self, checker: Checker, frame: Frame, path: Path, call: Call, fragment: _Fragment) -> int:
        """Make the entry a mere piece of its call."""
        entry, function = fragment.entry, fragment.function
        self._place(checker, frame, path, call, fragment)
        if function is None:
            if checker.mends("chat-tool-function-null"):
                frame.set((*path, "function"), {})
            function = {}
        ident, kind, name = entry.get("id"), entry.get("type"), function.get("name")
        again = name is not None and (name == call.name or not isinstance(name, str))
        if (ident not in (None, "") or again) and checker.mends("chat-tool-repeated"):
            for key in ("id", "type"):
                frame.remove((*path, key))
            if again:
                frame.remove((*path, "function", "name"))
        elif (
            "type" in entry
            and (not isinstance(kind, str) or not kind)
            and checker.mends("chat-tool-null-type")
        ):
            frame.remove((*path, "type"))
            if ident is None:
                frame.remove((*path, "id"))
            if name is None and function:
                frame.remove((*path, "function", "name"))
        return self._arguments(checker, frame, path, fragment)

    def _place(self, checker: Checker, frame: Frame, path: Path, call: Call, fragment: _Fragment) -> None:
        """Give the entry the index that its call has for the client."""
        index = fragment.entry.get("index")
        if type(index) is int and index == call.index:
            return
        if checker.mends(call.rule if type(index) is int else "chat-tool-index-missing"):
            frame.set((*path, "index"), call.index)
        elif type(index) is int:
            call.index = index

    def _arguments(self, checker: Checker, frame: Frame, path: Path, fragment: _Fragment) -> int:
        arguments = fragment.function.get("arguments") if fragment.function else None
        if arguments is not None and not isinstance(arguments, str) and checker.mends("chat-tool-arguments"):
            frame.set((*path, "function", "arguments"), fragment.arguments)
        return 1 if fragment.arguments else 0


def _begins(call: Call, fragment: _Fragment) -> bool:
    """Whether the fragment is of another call than this one, which its index (or its place) speaks for."""
    ident, name = fragment.ident, fragment.name
    if ident is not None and ident != call.ident:
        # An id that changes without a new name, or comes late, is the same call's.
        return name is not None or (call.ident is not None and not fragment.arguments)
    if ident is not None or name is None or call.name is None:
        return False
    # No id, but a name, which is never sent in pieces: a server without ids (Gemini).
    return fragment.key is None or (call.ident is None and name != call.name)


def _text_of(arguments: object) -> str:
    if arguments is None or isinstance(arguments, str):
        return arguments or ""
    return json_text(arguments)
