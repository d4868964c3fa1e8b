"""Tool call ids that live in two clients' streams at once: the sign that a server mixed them.

LiteLLM 1.83 and 1.85 kept one queue for all of their streams, so that a client could be sent
another client's tool calls (reference: litellm AnthropicStreamWrapper.chunk_queue). An id that is
unique by its length and is announced in two live streams is proof of it.
"""

from __future__ import annotations

from collections.abc import Iterator

_LONG_ENOUGH = 16
"""Shorter ids, and those made of a name and a number (``functions.weather:0``), repeat by themselves."""


class ToolIds:
    """The ids announced in one stream, claimed against all live ones; ends with ``release``."""

    __slots__ = ("_flags", "_live", "_own")

    def __init__(self, live: dict[str, ToolIds], flags: set[str]) -> None:
        self._live = live
        self._flags = flags
        self._own: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return iter(self._own)

    def append(self, tool_id: str) -> None:
        self._own.append(tool_id)
        if len(tool_id) < _LONG_ENOUGH or ":" in tool_id:
            return
        other = self._live.setdefault(tool_id, self)
        if other is not self:
            self._flags.add("crosstalk")
            other._flags.add("crosstalk")

    def release(self) -> None:
        """The stream is over."""
        for tool_id in self._own:
            if self._live.get(tool_id) is self:
                del self._live[tool_id]
