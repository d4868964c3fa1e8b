"""Feed a recorded stream to a checker, frame by frame, and read what comes out.

This driver knows only what a checker is promised: whole frames with their JSON parsed. Bytes, line
ends and cuts are the business of the stream above it, and are tested there.
"""

from __future__ import annotations

import copy
import json
from typing import Any, NamedTuple

from relay.dialects.checker import Checker
from relay.dialects.deltas import Context
from relay.dialects.frame import Frame

CONTEXT = Context(ident="t1", created=1763600000, model="m-1")


class Event(NamedTuple):
    """A frame that carries data, as a client parses it; payload None is the sentinel [DONE]."""

    event: str | None
    payload: Any


def events(text: bytes) -> list[Event]:
    """The frames with data of a stream with any line ends; comments and other fields are left out."""
    found: list[Event] = []
    name: str | None = None
    data: list[str] = []
    for line in (*text.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n").split("\n"), ""):
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if line == "":
            if data and (payload := "\n".join(data)):
                found.append(Event(name, None if payload.startswith("[DONE]") else json.loads(payload)))
            name, data = None, []
        elif field == "event":
            name = value
        elif field == "data":
            data.append(value)
    return found


def checked(checker: Checker, stream: list[Event], *, end: bool = True) -> list[Event]:
    """What a client gets: every frame through the checker, then its end."""
    out: list[Event] = []
    for event, payload in stream:
        frame = Frame(event, copy.deepcopy(payload))
        answer = checker.check(frame)
        out += [Event(event, payload)] if answer is None else seen(answer)
    if end:
        out += seen(checker.end())
    return out


def seen(frames: list[Frame]) -> list[Event]:
    """These frames as a client gets them; what was silenced is not seen."""
    return [Event(frame.event, frame.payload) for frame in frames if not frame.silenced]
