"""Two clients' streams with one tool call id: both are flagged, and nobody else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.crosstalk import ToolIds

LONG = "call_0123456789abcdef"
OTHER = "toolu_zyxwvutsrqponml"


class Stream:
    """One client's stream, as far as its tool ids go."""

    def __init__(self, live: dict[str, ToolIds]) -> None:
        self.flags: set[str] = set()
        self.ids = ToolIds(live, self.flags)


def test_an_id_in_two_live_streams_flags_both() -> None:
    live: dict[str, ToolIds] = {}
    one, two, third = Stream(live), Stream(live), Stream(live)
    one.ids.append(LONG)
    third.ids.append(OTHER)
    assert not one.flags | third.flags
    two.ids.append(LONG)
    assert one.flags == two.flags == {"crosstalk"}
    assert not third.flags


def test_an_id_may_come_again_in_its_own_stream() -> None:
    stream = Stream({})
    stream.ids.append(LONG)
    stream.ids.append(LONG)
    assert not stream.flags


def test_an_id_may_come_again_after_its_stream_is_over() -> None:
    live: dict[str, ToolIds] = {}
    first, second = Stream(live), Stream(live)
    first.ids.append(LONG)
    first.ids.release()
    second.ids.append(LONG)
    assert not first.flags | second.flags


@pytest.mark.parametrize("short", ["", "call_0", "call_1234567890"[:15], "functions.get_weather:0"])
def test_an_id_that_is_not_unique_by_itself_proves_nothing(short: str) -> None:
    live: dict[str, ToolIds] = {}
    one, two = Stream(live), Stream(live)
    one.ids.append(short)
    two.ids.append(short)
    assert not one.flags | two.flags
    assert not live


@pytest.mark.parametrize(("size", "flagged"), [(15, False), (16, True)])
def test_sixteen_characters_are_long_enough(size: int, flagged: bool) -> None:
    live: dict[str, ToolIds] = {}
    one, two = Stream(live), Stream(live)
    one.ids.append("i" * size)
    two.ids.append("i" * size)
    assert bool(two.flags) is flagged


def test_the_ids_of_a_stream_are_listed_in_their_order() -> None:
    stream = Stream({})
    for tool_id in (LONG, "a", OTHER):
        stream.ids.append(tool_id)
    assert list(stream.ids) == [LONG, "a", OTHER]


def test_the_second_of_two_streams_does_not_release_the_id_of_the_first() -> None:
    live: dict[str, ToolIds] = {}
    one, two, third = Stream(live), Stream(live), Stream(live)
    one.ids.append(LONG)
    two.ids.append(LONG)
    two.ids.release()
    third.ids.append(LONG)
    assert third.flags == {"crosstalk"}


STEPS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from([LONG, OTHER, "short", None])), max_size=30)


@given(STEPS)
def test_nothing_is_left_of_streams_that_are_over(steps: list[tuple[int, str | None]]) -> None:
    live: dict[str, ToolIds] = {}
    streams = [Stream(live) for _ in range(4)]
    for number, tool_id in steps:
        if tool_id is None:
            streams[number].ids.release()
        else:
            streams[number].ids.append(tool_id)
    for stream in streams:
        stream.ids.release()
        stream.ids.release()
    assert not live


@given(STEPS)
def test_only_a_stream_that_shares_an_id_is_ever_flagged(steps: list[tuple[int, str | None]]) -> None:
    live: dict[str, ToolIds] = {}
    streams = [Stream(live) for _ in range(4)]
    for number, tool_id in steps:
        if tool_id is not None:
            streams[number].ids.append(tool_id)
    for stream in streams:
        others = {tool_id for other in streams if other is not stream for tool_id in other.ids}
        shared = {tool_id for tool_id in stream.ids if len(tool_id) >= 16} & others
        assert bool(stream.flags) is bool(shared)
