"""Files that are looked at again and again: has what was read of them changed?

A look is cheap: it asks for the file's identity, size and time. Only where that differs is the content
compared, so a touched file, or one that was swapped for its equal, is no change. Looks follow links, so
the swap of a directory behind one (Kubernetes replaces ``..data`` beside a mounted ConfigMap) is seen like
an edit, as is an editor that writes another file and renames it.

What is just being written must not be read: only what looks the same twice in a row counts, all files
together. A file that is gone is waited for a little longer, because some write by removing first.

What could not be used is tried again now and then, though no file has changed: a name may be resolved by
now, a file that was missing, and so is not known here, may have come.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from typing import NamedTuple

INTERVAL = 1.0
"""Seconds from one look to the next."""
GONE = 5
"""Looks in a row that must agree when a file is gone."""
AGAIN = 60
"""Looks after which what could not be used is tried again."""


class Look(NamedTuple):
    """What tells one state of a file from another without reading it."""

    device: int
    inode: int
    size: int
    modified: int


def look(path: str) -> Look | None:
    """None where there is no file. What is no regular file is never read: that might not end."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return Look(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def content(path: str) -> bytes:
    """A digest of it; empty where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return b""


class Watch:
    """The files that one reading of the settings has used, each as it was when its content was compared."""

    def __init__(
        self, look: Callable[[str], Look | None] = look, content: Callable[[str], bytes] = content
    ) -> None:
        self._look = look
        self._content = content
        self._looks: dict[str, Look | None] = {}
        self._contents: dict[str, bytes] = {}
        self._last: dict[str, Look | None] = {}
        self._alike = 0
        self._again = 0
        """Looks until what could not be used is tried again; 0: it could be."""

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(self._looks)

    def follow(self, files: Iterable[str]) -> bool:
        """Watch these; True: some are new and may have changed since they were read, so read again."""
        before, self._looks = self._looks, dict.fromkeys(files)
        if self._looks.keys() <= before.keys():
            self._looks = {file: before[file] for file in self._looks}
            self._contents = {file: self._contents[file] for file in self._looks}
            return False
        self.note()
        return True

    def note(self) -> None:
        """They are about to be read: what is there now is no change any more."""
        self._looks = self._look_at_all()  # before the content: what changes between them is seen next time
        self._contents = self._read_all()
        self._again = 0

    def failed(self) -> None:
        """What was read of them could not be used."""
        self._again = AGAIN

    def changed(self) -> bool:
        """Look once; True: read again."""
        self._again = max(0, self._again - 1)
        return self._differs() or self._again == 1

    def _differs(self) -> bool:
        """What was read is not what is there, and nobody is just writing it."""
        looks = self._look_at_all()
        self._alike = self._alike + 1 if looks == self._last else 1
        self._last = looks
        gone = any(looks[file] is None and self._looks[file] is not None for file in looks)
        if looks == self._looks or self._alike < (GONE if gone else 2):
            return False
        self._looks = looks
        before, self._contents = self._contents, self._read_all()
        return self._contents != before

    def _look_at_all(self) -> dict[str, Look | None]:
        return {file: self._look(file) for file in self._looks}

    def _read_all(self) -> dict[str, bytes]:
        return {file: b"" if look is None else self._content(file) for file, look in self._looks.items()}
