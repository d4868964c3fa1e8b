"""Any frames in any order: what leaves is legal or says that it failed, and no content is lost.

The frames are those of real streams, some of them with members taken away or replaced by values of
other types. The order is a legal stream's with frames moved, repeated and left out, or none at all.
"""

from __future__ import annotations

import contextlib
import copy
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.dialects.checker import Malformed, Truncated
from relay.dialects.deltas import Failure
from relay.dialects.frame import Frame
from relay.dialects.messages import Messages
from relay.dialects.messages_rules import RULES
from tests.dialects.drive import CONTEXT, Event
from tests.dialects.messages_kit import (
    CHAT_CHUNK,
    END,
    PING,
    copied,
    delta,
    finish,
    message_start,
    named,
    run,
    start,
    stop,
)
from tests.dialects.messages_legal import verdict
from tests.dialects.test_messages_ends import INTERLEAVED, THINKING_TEXT_TOOL

EXAMPLES = 10_000 if os.environ.get("CI") else 1_000
several = settings(max_examples=EXAMPLES, deadline=None)
fewer = settings(max_examples=EXAMPLES // 4, deadline=None)

WEIRD = [None, 5, 1.5, "x", [], {}, True, -1, [[]], {"type": "text"}]


def pool() -> list[Event]:
    frames = named(
        message_start(), message_start(id="msg_2"), finish(), finish("tool_use"), finish(None), END, PING
    )
    for index in (0, 1, 2, -1):
        frames += named(
            *(start(kind, index) for kind in ("text", "thinking", "tool", "server", "redacted", "unknown")),
            start("tool", index, input={"a": 1}),
            *(delta(kind, "x", index) for kind in ("text", "thinking", "signature", "input_json", "sparkle")),
            *(delta(kind, "", index) for kind in ("text", "thinking", "input_json")),
            delta("citations", {"cited_text": "x"}, index),
            stop(index),
            stop(index),
        )
    frames += [
        Event(None, CHAT_CHUNK),
        Event(None, None),
        Event("ping", {}),
        Event("sparkle", {"type": "sparkle"}),
    ]
    frames += named({"type": "error", "error": {"type": "api_error", "message": "x"}})
    return frames


def paths(value: object, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of every member, at every depth."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*at, key)
        yield from paths(inner, (*at, key))


def changed(event: Event, path: tuple[str | int, ...], value: object, *, remove: bool) -> Event:
    payload = copy.deepcopy(event.payload)
    parent: Any = payload
    for key in path[:-1]:
        parent = parent[key]
    if remove:
        del parent[path[-1]]
    else:
        parent[path[-1]] = copy.deepcopy(value)
    return Event(event.event, payload)


def variants() -> list[Event]:
    found = []
    for event in POOL:
        found += [
            Event(name, event.payload) for name in (None, "message", "error", "ping", "content_block_stop")
        ]
        for path in paths(event.payload):
            found += [changed(event, path, value, remove=False) for value in WEIRD]
            found.append(changed(event, path, None, remove=True))
    return found


POOL = pool()
VARIANTS = variants()
any_frame = st.one_of(*[st.sampled_from(POOL)] * 4, st.sampled_from(VARIANTS))
any_frames = st.lists(any_frame, max_size=25)


@st.composite
def disordered(draw: st.DrawFn) -> list[Event]:
    """A legal stream with a few frames moved, left out, repeated, changed or put in between."""
    stream = list(draw(st.sampled_from([THINKING_TEXT_TOOL, INTERLEAVED])))
    for what, at, to in draw(
        st.lists(st.tuples(st.integers(0, 4), st.integers(0, 30), st.integers(0, 30)), max_size=5)
    ):
        at, to = at % max(len(stream), 1), to % (len(stream) + 1)
        if what == 0 and stream:
            stream.insert(min(to, len(stream) - 1), stream.pop(at))
        elif what == 1 and stream:
            stream.insert(to, stream[at])
        elif what == 2 and stream:
            del stream[at]
        else:
            stream.insert(to, draw(any_frame))
    return stream


any_stream = st.one_of(
    disordered(), any_frames, any_frames.map(lambda rest: [*named(message_start()), *rest])
)


def own(stream: list[Event]) -> list[Event]:
    """Copies, of frames that occur twice too: a mend of one must not be seen in the other."""
    return [Event(event, copied(payload)) for event, payload in stream]


def numbered(stream: list[Event]) -> list[Event]:
    """With every piece of content told from every other."""
    marked = own(stream)
    for number, (_, payload) in enumerate(marked):
        inner = payload.get("delta") if isinstance(payload, dict) else None
        for key in ("text", "thinking", "partial_json", "signature"):
            if isinstance(inner, dict) and isinstance(inner.get(key), str) and inner[key]:
                inner[key] = f"{key}-{number}"
    return marked


def pieces(stream: list[Event], *keys: str) -> list[str]:
    inner = [payload.get("delta") for _, payload in stream if isinstance(payload, dict)]
    found = [one.get(key) for one in inner if isinstance(one, dict) for key in keys]
    return [piece for piece in found if isinstance(piece, str) and "-" in piece]


def before_the_end(stream: list[Event]) -> list[Event]:
    """The frames up to the one after which the checker was done."""
    checker = Messages(CONTEXT)
    for number, (event, payload) in enumerate(own(stream)):
        checker.check(Frame(event, payload))
        if checker.done:
            return stream[: number + 1]
    return stream


@several
@given(any_stream)
def test_what_leaves_is_legal_or_has_failed(stream: list[Event]) -> None:
    ran = run(stream)
    assert verdict(ran.out) == ("complete" if ran.how == "ok" and not ran.checker.failure else "failed")
    assert ran.checker.done
    again = run(ran.out)
    assert again.out == ran.out
    assert again.checker.repairs == {}
    assert again.how == "ok"


@several
@given(any_stream.map(numbered))
def test_no_content_is_lost(stream: list[Event]) -> None:
    ran = run(stream)
    if ran.how != "ok" or ran.checker.failure or "messages-event-early" in ran.checker.repairs:
        return  # an event of no known type, before anything has begun, is no content
    came = before_the_end(stream)
    every = ("text", "thinking", "partial_json", "signature")
    assert Counter(pieces(ran.out, *every)) == Counter(pieces(came, *every))
    moved = {"messages-block-interleaved", "messages-delta-misfit", "messages-delta-late"}
    if not moved & set(ran.checker.repairs):
        assert pieces(ran.out, *every) == pieces(came, *every)


@fewer
@given(any_stream, st.sets(st.sampled_from(sorted(RULES)), max_size=6))
def test_with_rules_switched_off_only_known_errors_leave(stream: list[Event], off: set[str]) -> None:
    ran = run(stream, off=frozenset(off))
    assert not off & set(ran.checker.repairs)
    assert ran.checker.done or ran.how == "ok"


@fewer
@given(any_stream)
def test_a_checker_that_only_reports_goes_on_after_a_fault(stream: list[Event]) -> None:
    checker = Messages(CONTEXT)
    for event, payload in own(stream):
        try:
            checker.check(Frame(event, payload))
        except Malformed:
            continue
    try:
        checker.end()
    except Truncated:
        checker.fail(Failure("x"))
    assert checker.done


def deep(depth: int) -> object:
    value: object = "x"
    for _ in range(depth):
        value = [value]
    return value


def put(payload: Any, path: tuple[str | int, ...], value: object) -> None:
    for key in path[:-1]:
        payload = payload[key]
    payload[path[-1]] = value


@pytest.mark.parametrize("off", [frozenset(), frozenset(RULES)], ids=["on", "off"])
def test_depth_is_no_fault(off: frozenset[str]) -> None:
    """Values as deep as the JSON parser allows, deeper than Python compares, copies or writes."""
    for event in POOL:
        for path in [] if event.event == "error" else paths(event.payload):
            checker = Messages(CONTEXT, off=off)
            for number, (name, payload) in enumerate(own([*named(message_start()), event, event])):
                if number > 0:
                    put(payload, path, deep(1000))
                with contextlib.suppress(Malformed):
                    checker.check(Frame(name, payload))


def test_depth_is_no_fault_in_an_error() -> None:
    Messages(CONTEXT).check(Frame("error", {"type": "error", "error": {"message": deep(1000)}}))
