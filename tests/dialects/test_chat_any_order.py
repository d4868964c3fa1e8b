"""Frames of real chat streams in any order, with anything in any member: legal comes out, or a failure."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

import tests.cuts  # noqa: F401 (the profile without a deadline)
from relay.dialects.chat import Chat
from tests.dialects.chat_reading import HANDWRITTEN, Outcome, part_of, run, said, verdict
from tests.dialects.drive import CONTEXT, Event, events

pytestmark = pytest.mark.skipif(
    not HANDWRITTEN.is_dir(), reason="the folder of recorded streams is not beside this project"
)

UNREADABLE = ("nan", "single-newline", "truncated-json", "json-body", "json-error-body", "empty-body")
REMOVED = object()
VALUES = [
    REMOVED,
    None,
    "",
    0,
    1,
    -1,
    2,
    1.5,
    True,
    False,
    [],
    {},
    "x",
    "stop",
    "assistant",
    [{}],
    [None],
    {"a": 1},
]
"""What a member may become."""

Change = tuple[int, int]
"""Which member of a payload becomes which of the values; odd numbers mean no change."""


STREAMS = [
    events(path.read_bytes()) for path in sorted(HANDWRITTEN.glob("*.sse")) if path.stem not in UNREADABLE
]
POOL = [*{json.dumps(frame): frame for stream in STREAMS for frame in stream}.values()]
"""Every frame of the handwritten streams, once."""
_DONE = Event(None, None)
NO_CHANGE: Change = (0, 1)


def _members(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    found = [(*path, key) for key, _ in inner]
    for key, below in inner:
        found += _members(below, (*path, key))
    return found


def changed(event: Event, change: Change) -> Event:
    """The frame with one member removed or replaced."""
    which, value = change
    if which % 2 or event.payload is None:
        return event
    payload = copy.deepcopy(event.payload)
    members = _members(payload)
    *path, last = members[which // 2 % len(members)] if members else ("x",)
    parent = payload
    for key in path:
        parent = parent[key]
    if VALUES[value] is not REMOVED:
        parent[last] = copy.deepcopy(VALUES[value])
    elif isinstance(parent, dict):
        parent.pop(last, None)
    else:
        del parent[last]
    return Event(event.event, payload)


CHANGE = st.tuples(st.integers(0, 79), st.integers(0, len(VALUES) - 1))
ANY_FRAMES = st.lists(st.tuples(st.integers(0, len(POOL) - 1), CHANGE), max_size=12).map(
    lambda drawn: [changed(POOL[which], change) for which, change in drawn]
)


@st.composite
def whole(draw: st.DrawFn) -> list[Event]:
    """A handwritten stream; some frames are changed, some change places or come twice."""
    stream = list(STREAMS[draw(st.integers(0, len(STREAMS) - 1))])
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(stream) - 1))
        stream[at] = changed(stream[at], draw(CHANGE))
    for _ in range(draw(st.integers(0, 2))):
        stream.insert(draw(st.integers(0, len(stream))), stream[draw(st.integers(0, len(stream) - 1))])
    return stream


FRAMES = ANY_FRAMES | whole()
ANY_NUMBER = settings(
    max_examples=10_000 if os.environ.get("CI") else 1_000, suppress_health_check=list(HealthCheck)
)


def plain(stream: list[Event]) -> list[Event]:
    """The same with all text in the one form that leaves: what no loss is measured by."""
    out = copy.deepcopy(stream)
    for _, payload in out:
        choices = payload.get("choices") if isinstance(payload, dict) else None
        for choice in choices if isinstance(choices, list) else []:
            delta = choice.get("delta") if isinstance(choice, dict) else None
            if isinstance(delta, dict):
                _flatten(delta)
    return out


def _flatten(delta: dict[str, Any]) -> None:
    content, calls = delta.get("content"), delta.get("tool_calls")
    parts = [content] if isinstance(content, dict) else content
    if isinstance(parts, list) and None not in (told := [part_of(part) for part in parts]):
        delta["content"] = "".join(text for kind, text in told if kind == "text")
        if any(kind == "thinking" for kind, _ in told):
            before = delta.get("reasoning_content")
            thoughts = [text for kind, text in told if kind == "thinking"]
            delta["reasoning_content"] = "".join([before if isinstance(before, str) else "", *thoughts])
    elif content is not None and not isinstance(content, str | list):
        delta["content"] = json.dumps(content, separators=(",", ":"))
    for entry in calls if isinstance(calls, list) else []:
        function = entry.get("function") if isinstance(entry, dict) else None
        arguments = function.get("arguments") if isinstance(function, dict) else None
        if arguments is not None and not isinstance(arguments, str):
            function["arguments"] = json.dumps(arguments, separators=(",", ":"))


def assert_nothing_is_lost(outcome: Outcome) -> None:
    before, after = said(plain(outcome.taken)), said(plain(outcome.out))
    if "chat-message" in outcome.repairs:  # what it adds is news, and comes from `message`
        return
    if "chat-tool-name-late" in outcome.repairs:  # held arguments come later than others
        before["arguments"], after["arguments"] = (
            "".join(sorted(told.get("arguments", ""))) for told in (before, after)
        )
    assert {**before, "": ""} == {**after, "": ""}


@ANY_NUMBER
@given(FRAMES, st.booleans())
def test_any_frames_become_a_legal_stream_or_a_failed_one(stream: list[Event], done: bool) -> None:
    outcome = run([*stream, *([_DONE] if done else [])])
    event(outcome.end)
    read = verdict(outcome.out)
    assert read == ("complete" if outcome.end == "complete" else "failed")
    if outcome.end == "complete":
        assert_nothing_is_lost(outcome)
    again = run(outcome.out)
    assert again.untouched
    assert again.out == outcome.out


@settings(ANY_NUMBER, max_examples=ANY_NUMBER.max_examples // 4)
@given(FRAMES, st.sets(st.sampled_from(sorted(Chat.rules))), st.booleans())
def test_no_switch_makes_a_checker_break(stream: list[Event], off: set[str], added: bool) -> None:
    context = dataclasses.replace(CONTEXT, usage_asked=True, usage_added=added, named_tool=False)
    outcome = run(stream, context, off=frozenset(off))
    assert not off & outcome.repairs.keys()


@settings(ANY_NUMBER, max_examples=ANY_NUMBER.max_examples // 4)
@given(FRAMES)
def test_without_repairs_every_frame_is_left_alone(stream: list[Event]) -> None:
    outcome = run(stream, off=frozenset(Chat.rules))
    if outcome.end in ("complete", "failed"):
        assert outcome.out == stream


def test_the_pool_is_large_and_the_changes_change() -> None:
    assert len(POOL) > 100
    chunk = next(event for event in POOL if event.payload and event.payload.get("choices"))
    others = {json.dumps(changed(chunk, (which, value))) for which in range(0, 40, 2) for value in (0, 1, 12)}
    assert len(others) > 20
    assert changed(chunk, NO_CHANGE[::-1]) == chunk
