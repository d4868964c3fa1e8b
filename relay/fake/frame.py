"""One frame of an event stream, and whether it waits for its turn.

Only deltas are paced: what opens and closes a stream leaves at once, as it does from a model that
has nothing left to compute.
"""

from __future__ import annotations

from typing import NamedTuple

import orjson


class Frame(NamedTuple):
    """The bytes of one frame, its empty line included."""

    data: bytes
    is_delta: bool = False


DONE = Frame(b"data: [DONE]\n\n")


def unnamed(document: object, *, is_delta: bool = False) -> Frame:
    """A frame that is only data."""
    return Frame(b"data: %b\n\n" % orjson.dumps(document), is_delta)


def named(document: dict[str, object], *, is_delta: bool = False) -> Frame:
    """A frame whose event name is the document's own type."""
    name = str(document["type"]).encode()
    return Frame(b"event: %b\ndata: %b\n\n" % (name, orjson.dumps(document)), is_delta)
