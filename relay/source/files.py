"""Small files, read whole: configuration and secrets. Nothing here waits, or reads without end."""

from __future__ import annotations

import os
import stat

from relay.errors import UsageError


class Unreadable(UsageError):
    """The end of a sentence that begins with the file's name: ``there is no such file``."""


def contents(path: str, limit: int) -> tuple[bytes, int]:
    """What a file holds, and its mode."""
    try:
        with open(path or ".", "rb", opener=_at_once) as file:
            mode = os.fstat(file.fileno()).st_mode
            if stat.S_ISDIR(mode):
                raise Unreadable("it is a directory")
            os.set_blocking(file.fileno(), True)
            data = file.read(limit + 1)
    except FileNotFoundError as error:
        raise Unreadable("there is no such file") from error
    except IsADirectoryError as error:
        raise Unreadable("it is a directory") from error
    except PermissionError as error:
        raise Unreadable("there is no permission to read it") from error
    except ValueError as error:
        raise Unreadable("a file's name cannot hold a NUL") from error
    except OSError as error:
        raise Unreadable(f"it cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise Unreadable(f"it is larger than {limit >> 10} KiB")
    return data, mode


def _at_once(path: str, flags: int) -> int:
    """A named pipe that nobody writes to would hold relay for ever; so it is empty."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
