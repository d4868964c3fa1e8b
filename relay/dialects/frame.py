"""One frame as a dialect sees it, and what the dialect decides about it.

A dialect never touches bytes. It reads ``event`` and ``payload`` and answers with frames: the one
it was given, untouched or with changes noted on it, frames of its own, or none. The stream that
asked turns notes into patched bytes, so that what was not changed leaves as it came.
"""

from __future__ import annotations

from typing import Any

Path = tuple[str | int, ...]
"""Where in a payload: keys of objects and positions in lists."""


class _Removed:
    """The value of a member that shall not be there."""


REMOVED = _Removed()


class Frame:
    """An ``event`` name (None without an event line) and a ``payload``: a JSON object.

    ``payload`` is None for the sentinel ``[DONE]``.
    ``raw`` is its bytes with the empty line, None for a synthetic one.
    ``edits`` are the noted changes: path, new value, whether something was there.
    ``silenced`` frames leave as comments.
    """

    __slots__ = ("edits", "event", "payload", "raw", "renamed", "silenced")

    def __init__(
        self,
        event: str | None,
        payload: dict[str, Any] | None,
        raw: bytes | bytearray | memoryview | None = None,
    ) -> None:
        self.event = event
        self.payload = payload
        self.raw = raw
        self.edits: list[tuple[Path, object, bool]] = []
        self.renamed = False
        self.silenced = False

    def set(self, path: Path, value: object) -> None:
        """Replace the value there, or add it; its parent must exist."""
        parent, key = self._parent(path), path[-1]
        self.edits.append((path, value, isinstance(parent, list) or key in parent))
        parent[key] = value

    def remove(self, path: Path) -> None:
        """Take a member out of its object; nothing happens when it is not there."""
        parent = self._parent(path)
        if path[-1] in parent:
            del parent[path[-1]]
            self.edits.append((path, REMOVED, True))

    def rename(self, event: str | None) -> None:
        """Give the frame this event line."""
        self.event = event
        self.renamed = True

    def silence(self) -> None:
        """Let its bytes pass as comments: no client will see it, nothing moves."""
        self.silenced = True

    def keep(self) -> None:
        """Own the bytes: a frame that is held must outlive the read that it came in."""
        if self.raw is not None:
            self.raw = bytes(self.raw)

    @property
    def changed(self) -> bool:
        return bool(self.edits) or self.renamed or self.silenced

    def _parent(self, path: Path) -> Any:
        parent: Any = self.payload
        for key in path[:-1]:
            parent = parent[key]
        return parent
