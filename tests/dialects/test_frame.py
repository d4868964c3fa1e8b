"""A frame notes what a dialect decides; it never touches bytes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from relay.dialects.frame import REMOVED, Frame

RAW = b'data: {"a":1}\n\n'


def frame() -> Frame:
    return Frame("e", {"a": 1, "d": {"x": None, "l": [{"i": 0}, {"i": 1}]}}, RAW)


def test_a_new_frame_has_no_changes() -> None:
    assert not frame().changed
    assert frame().edits == []


def test_a_value_is_replaced_or_added_and_noted_with_its_path() -> None:
    changed = frame()
    changed.set(("a",), 2)
    changed.set(("d", "new"), [])
    changed.set(("d", "l", 1, "i"), 5)
    assert changed.payload == {"a": 2, "d": {"x": None, "l": [{"i": 0}, {"i": 5}], "new": []}}
    assert changed.edits == [(("a",), 2, True), (("d", "new"), [], False), (("d", "l", 1, "i"), 5, True)]
    assert changed.changed


def test_a_removed_member_is_noted_once_and_only_if_it_was_there() -> None:
    changed = frame()
    changed.remove(("d", "x"))
    changed.remove(("d", "x"))
    changed.remove(("never",))
    assert changed.payload == {"a": 1, "d": {"l": [{"i": 0}, {"i": 1}]}}
    assert changed.edits == [(("d", "x"), REMOVED, True)]


def test_the_parent_of_a_path_must_exist() -> None:
    for change in (lambda: frame().set(("no", "x"), 1), lambda: frame().remove(("no", "x"))):
        with pytest.raises(KeyError):
            change()


@pytest.mark.parametrize("event", ["other", None])
def test_a_new_name_is_a_change_of_no_value(event: str | None) -> None:
    changed = frame()
    changed.rename(event)
    assert (changed.event, changed.changed, changed.edits) == (event, True, [])


def test_a_silenced_frame_keeps_its_payload() -> None:
    changed = frame()
    changed.silence()
    assert changed.changed
    assert changed.payload == frame().payload


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_kept_frame_outlives_the_buffer_that_it_came_in(kind: Callable[[bytes], bytes]) -> None:
    buffer = bytearray(RAW)
    held = Frame(None, {"a": 1}, buffer if kind is bytearray else kind(buffer))
    held.keep()
    buffer[:] = b"x" * len(buffer)
    assert held.raw == RAW
    assert type(held.raw) is bytes
    assert not held.changed


def test_a_synthetic_frame_has_no_bytes_to_keep() -> None:
    synthetic = Frame(None, None)
    synthetic.keep()
    assert synthetic.raw is None
    assert not synthetic.changed
