"""Messages of a chat request → turns."""

from __future__ import annotations

from typing import Any

from relay.dialects.chat_reading_parts import Drop, calls, content, leave
from relay.dialects.reading import Fields
from relay.dialects.request import BadRequest, Call, Part, Reasoning, Refusal, Result, Turn

_ECHOED = ("name", "reasoning_details", "thinking_blocks", "provider_specific_fields")
"""`name` has no place elsewhere; the others are reasoning that only its maker can read."""


class Messages:
    """Reads one message after the other."""

    def __init__(self, drop: Drop) -> None:
        self._drop = drop
        self._legacy: dict[str, str] = {}
        """Calls in the old form that have no result yet: their ids, made up here, by function."""

    def read(self, entries: list[Any]) -> list[Turn]:
        if not entries:
            raise BadRequest("messages", "at least one message is required")
        return [self._turn(Fields(entry, f"messages[{at}]")) for at, entry in enumerate(entries)]

    def _turn(self, fields: Fields) -> Turn:
        role = fields.needed_text("role")
        if role in ("system", "developer"):
            turn = Turn("system", self._needed(fields, "text"), fields.path)
        elif role == "user":
            turn = Turn("user", self._needed(fields, "text image_url input_audio file"), fields.path)
        elif role == "assistant":
            turn = Turn("assistant", self._assistant(fields), fields.path)
        elif role == "tool":
            turn = Turn("user", [self._result(fields, fields.needed_text("tool_call_id"))], fields.path)
        elif role == "function":
            turn = Turn("user", [self._function(fields)], fields.path)
        else:
            raise BadRequest(
                fields.at("role"),
                f"{role!r} is no role; expected system, developer, user, assistant or tool",
            )
        leave(fields, self._drop, *_ECHOED)
        return turn

    def _needed(self, fields: Fields, kinds: str) -> list[Part]:
        value = fields.take("content")
        if value is None:
            raise BadRequest(fields.at("content"), "is required")
        return content(value, fields.at("content"), self._drop, kinds)

    def _assistant(self, fields: Fields) -> list[Part]:
        """Reasoning, what was said, calls: the order in which they were made."""
        parts: list[Part] = []
        first, second = fields.text("reasoning_content"), fields.text("reasoning")
        if thought := first or second:
            parts.append(Reasoning(thought, path=fields.at("reasoning_content" if first else "reasoning")))
        parts += content(fields.take("content"), fields.at("content"), self._drop, "text refusal thinking")
        if refusal := fields.text("refusal"):
            parts.append(Refusal(refusal, fields.at("refusal")))
        parts += calls(fields.items("tool_calls") or [], fields.at("tool_calls"), self._drop)
        legacy = fields.fields("function_call")
        if legacy is not None:
            name = legacy.needed_text("name")
            ident = f"call_{fields.path.strip(']').replace('[', '_')}"
            self._legacy[name] = ident
            parts.append(Call(ident, name, legacy.text("arguments") or "", path=legacy.path))
            leave(legacy, self._drop)
        return parts

    def _result(self, fields: Fields, ident: str) -> Result:
        parts = content(fields.take("content"), fields.at("content"), self._drop, "text image_url file")
        return Result(ident, parts, path=fields.path)

    def _function(self, fields: Fields) -> Result:
        """A result in the old form, which knows the function and not the call."""
        name = fields.needed_text("name")
        ident = self._legacy.pop(name, None)
        if ident is None:
            raise BadRequest(fields.at("name"), f"no function call of {name!r} before it")
        return self._result(fields, ident)
