"""A message that is done and is announced once more.

transformers' server repeats its message after the tool calls, without deltas, so a client that is given it
reads the text twice. The frames wait until it is known whether they say anything new.
"""

from __future__ import annotations

from collections.abc import Callable

from relay.dialects.frame import Frame
from relay.dialects.responses_document import Json
from relay.dialects.responses_items import Items

_MOST = 16
"""Frames that wait; a repetition has five."""


class Again:
    """The frames of one such message."""

    __slots__ = ("_final", "_frames", "_items", "_mends")

    def __init__(self, items: Items, mends: Callable[[str], bool]) -> None:
        self._items = items
        self._mends = mends
        self._final: Json | None = None
        """The message, as it was done the first time."""
        self._frames: list[Frame] = []

    def sift(self, frame: Frame, kind: str) -> list[Frame]:
        """The frames that are to be taken now: this one, none while in doubt, or all that have waited."""
        payload = frame.payload or {}
        if self._final is None:
            if kind == "response.output_item.added":
                self._final = self._known(payload.get("item"))
            if self._final is None:
                return [frame]
        frame.keep()
        self._frames.append(frame)
        ident = self._final.get("id")
        said = payload.get("item")
        meant = payload.get("item_id", said.get("id") if isinstance(said, dict) else None)
        if kind == "response.output_item.done" and meant == ident:
            if _texts(said) == _texts(self._final) and self._mends("responses-twice"):
                self._final, self._frames = None, []
            return self.release()
        if meant != ident or kind.endswith(".delta") or len(self._frames) > _MOST:
            return self.release()
        return []

    def release(self) -> list[Frame]:
        """What has waited; it says something new, or nothing more comes."""
        self._final, frames, self._frames = None, self._frames, []
        return frames

    def _known(self, said: object) -> Json | None:
        """The message that this announces again."""
        if not isinstance(said, dict) or said.get("type") != "message" or said.get("content"):
            return None
        item = self._items.named(said.get("id"))
        return item.final if item is not None and item.type == "message" else None


def _texts(item: object) -> list[object]:
    content = item.get("content") if isinstance(item, dict) else None
    parts = content if isinstance(content, list) else []
    return [part.get("text") for part in parts if isinstance(part, dict)]
