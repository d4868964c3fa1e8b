"""A target's health: what pauses it, how it comes back, what it asked for, what checks find."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.config import Health
from relay.health import NO_DOUBT, TargetHealth

SETTINGS = Health(failures=3, pause=1.0, longest=8.0, rise=2, fall=3)
NOW = 100.0


def health(**changes: float) -> TargetHealth:
    values = {"failures": 3, "pause": 1.0, "longest": 8.0, "rise": 2, "fall": 3, **changes}
    return TargetHealth(Health(**values))  # type: ignore[arg-type]


def fail(target: TargetHealth, now: float = NOW, times: int = 3) -> TargetHealth:
    for _ in range(times):
        target.failed(now)
    return target


def try_and_fail(target: TargetHealth) -> float:
    """Ask it as soon as it may be asked, in vain; how long the next pause is."""
    now = target.until
    assert target.half_open(now)
    target.trying()
    target.failed(now)
    return target.until - now


# --- passive: pauses ----------------------------------------------------------------------------


def test_a_new_target_is_well() -> None:
    assert not health().doubtful(0.0)
    assert health().state(0.0) == "well"


def test_failures_in_a_row_pause_it() -> None:
    target = fail(health(), times=2)
    assert not target.doubtful(NOW)
    target.failed(NOW)
    assert target.doubtful(NOW)
    assert target.until == NOW + 1
    assert target.state(NOW) == "paused"


def test_an_answer_between_them_begins_the_count_anew() -> None:
    target = fail(health(), times=2)
    target.answered()
    fail(target, times=2)
    assert not target.doubtful(NOW)


def test_after_the_pause_one_request_tries_it() -> None:
    target = fail(health())
    assert target.doubtful(NOW + 0.999)
    assert not target.half_open(NOW + 0.999)
    assert target.half_open(NOW + 1)
    assert not target.doubtful(NOW + 1)
    assert target.state(NOW + 1) == "half-open"
    target.trying()
    assert not target.half_open(NOW + 1)
    assert target.doubtful(NOW + 1)
    assert target.state(NOW + 1) == "tried"


def test_its_success_makes_it_well() -> None:
    target = fail(health())
    target.trying()
    target.answered()
    assert not target.doubtful(NOW + 1)
    assert target.state(NOW + 1) == "well"


def test_the_first_of_an_answer_ends_the_try_but_forgets_no_failure_until_it_is_whole() -> None:
    """A server that begins every stream and cuts it is paused too."""
    target = fail(health(), times=2)
    target.answering()
    target.failed(NOW)
    assert target.state(NOW) == "paused"
    target.trying()
    target.answering()
    assert target.state(NOW + 1) == "well"
    target.failed(NOW + 1)
    assert target.until == NOW + 1 + 2
    target.trying()
    target.answering()
    target.answered()
    fail(target, NOW + 3, times=2)
    assert not target.doubtful(NOW + 3)


def test_one_failure_of_the_try_pauses_it_longer_each_time_up_to_the_limit() -> None:
    target = fail(health())
    assert [try_and_fail(target) for _ in range(5)] == [2, 4, 8, 8, 8]


def test_a_try_that_says_nothing_lets_the_next_one_try() -> None:
    target = fail(health())
    target.trying()
    target.left()
    assert target.half_open(NOW + 1)
    target.trying()
    assert target.doubtful(NOW + 1)


def test_a_departed_client_changes_nothing_elsewhere() -> None:
    paused, well = fail(health()), health()
    paused.left()
    well.left()
    assert paused.state(NOW) == "paused"
    assert well.state(NOW) == "well"


def test_what_was_sent_before_the_pause_neither_prolongs_nor_repeats_it() -> None:
    """A hundred streams that a dead server cut are one piece of news."""
    target = fail(health())
    fail(target, NOW + 0.5, times=100)
    assert target.until == NOW + 1
    fail(target, NOW + 1.5, times=100)
    assert target.half_open(NOW + 1.5)


def test_an_answer_ends_a_pause() -> None:
    """Where there is no other target, requests go to a paused one, and some will be the first to work."""
    target = fail(health())
    target.answered()
    assert target.state(NOW) == "well"
    assert target.until <= NOW


def test_soon_after_a_pause_the_next_is_longer() -> None:
    target = fail(health())
    assert try_and_fail(target) == 2
    now = target.until
    target.trying()
    target.answered()
    fail(target, now + 1.9)
    assert target.until == now + 1.9 + 4


def test_who_held_out_as_long_as_its_last_pause_starts_anew() -> None:
    target = fail(health())
    assert try_and_fail(target) == 2
    now = target.until
    target.trying()
    target.answered()
    fail(target, now + 2)
    assert target.until == now + 2 + 1


def test_a_try_long_after_the_pause_that_fails_is_still_its_failure() -> None:
    target = fail(health())
    target.trying()
    target.failed(NOW + 1000)
    assert target.until == NOW + 1000 + 2


def test_zero_failures_never_pause() -> None:
    assert not fail(health(failures=0), times=100).doubtful(NOW)


# --- passive: what it asked for -------------------------------------------------------------------


def test_who_asks_for_time_is_left_alone_and_well_afterwards() -> None:
    target = health()
    target.wait(NOW + 7)
    assert target.doubtful(NOW + 6.9)
    assert target.state(NOW) == "waiting"
    assert target.until == NOW + 7
    assert not target.doubtful(NOW + 7)
    assert target.state(NOW + 7) == "well"


def test_a_shorter_wait_does_not_shorten_a_longer_one() -> None:
    target = health()
    target.wait(NOW + 7)
    target.wait(NOW + 2)
    assert target.until == NOW + 7


def test_a_wait_is_no_failure_and_does_not_end_the_count() -> None:
    target = fail(health(), times=2)
    target.wait(NOW)
    target.wait(NOW)
    assert not target.doubtful(NOW)
    target.failed(NOW)
    assert target.doubtful(NOW)


def test_an_answer_does_not_take_back_what_was_asked_for() -> None:
    target = health()
    target.wait(NOW + 7)
    target.answered()
    assert target.doubtful(NOW)


def test_a_try_that_is_asked_to_wait_leaves_the_target_half_open_for_then() -> None:
    target = fail(health())
    target.trying()
    target.wait(NOW + 9)
    assert target.doubtful(NOW + 8)
    assert target.half_open(NOW + 9)
    assert not target.doubtful(NOW + 9)


# --- active ---------------------------------------------------------------------------------------


def check(target: TargetHealth, *found: bool, now: float = NOW) -> None:
    for well in found:
        target.checked(well, now)


@pytest.mark.parametrize(
    ("found", "unwell"),
    [
        ((), False),
        ((False, False), False),
        ((False, False, False), True),
        ((False, False, True, False, False), False),
        ((False, False, False, True), True),
        ((False, False, False, True, True), False),
        ((False, False, False, True, False, True), True),
        ((False, False, False, True, True, False, False), False),
    ],
)
def test_checks_count_in_a_row(found: tuple[bool, ...], unwell: bool) -> None:
    target = health()
    check(target, *found)
    assert target.doubtful(NOW) is unwell
    assert target.state(NOW) == ("unwell" if unwell else "well")


def test_no_answer_to_a_request_makes_an_unwell_target_well() -> None:
    target = health()
    check(target, False, False, False)
    target.answered()
    assert target.doubtful(NOW)


def test_good_checks_end_a_pause_early_for_one_request() -> None:
    target = fail(health(pause=8))
    check(target, True, now=NOW + 1)
    assert target.doubtful(NOW + 1)
    check(target, True, now=NOW + 2)
    assert target.half_open(NOW + 2)
    target.trying()
    target.failed(NOW + 3)
    assert target.until == NOW + 3 + 8


def test_checks_from_before_a_pause_do_not_end_it() -> None:
    target = health(pause=8)
    check(target, True, True, True)
    fail(target)
    check(target, True, now=NOW + 1)
    assert target.doubtful(NOW + 1)


def test_checks_do_not_shorten_what_was_asked_for() -> None:
    target = health()
    target.wait(NOW + 60)
    check(target, True, True)
    assert target.doubtful(NOW + 59)


# --- the order of doubts ----------------------------------------------------------------------------


def waiting(until: float) -> TargetHealth:
    target = health()
    target.wait(until)
    return target


def unwell() -> TargetHealth:
    target = health()
    check(target, False, False, False)
    return target


def tried() -> TargetHealth:
    target = fail(health(), NOW - 2)
    target.trying()
    return target


def test_what_is_expected_to_work_soonest_comes_first() -> None:
    ordered = [health(), waiting(NOW + 0.5), fail(health()), waiting(NOW + 3), tried(), unwell()]
    doubts = [target.doubt(NOW) for target in ordered]
    assert doubts == sorted(doubts)
    assert len(set(doubts)) == len(doubts)


def test_targets_without_doubt_are_equal() -> None:
    half_open = fail(health(), NOW - 2)
    once_asked = waiting(NOW - 1)
    assert half_open.doubt(NOW) == once_asked.doubt(NOW) == health().doubt(NOW) == NO_DOUBT


# --- for all histories --------------------------------------------------------------------------------

EVENTS = st.sampled_from(["answered", "failed", "left", "trying", "wait", "good check", "bad check"])
HISTORIES = st.lists(st.tuples(EVENTS, st.floats(0.0, 20.0)), max_size=60)


def happen(target: TargetHealth, event: str, now: float, *, wait: float = 3.0) -> None:
    if event in ("answered", "left"):
        getattr(target, event)()
    elif event == "failed":
        target.failed(now)
    elif event == "trying":
        if target.half_open(now):
            target.trying()
    elif event == "wait":
        target.wait(now + wait)
    else:
        target.checked(event == "good check", now)


@settings(max_examples=300)
@given(HISTORIES)
def test_no_pause_is_longer_than_the_limit_and_each_is_the_first_or_twice_the_last(
    history: list[tuple[str, float]],
) -> None:
    target, now, last = health(), 1.0, 0.0
    for event, later in history:
        now += later
        before = target.until
        if event not in ("wait", "good check"):  # these change the end, not the length
            happen(target, event, now)
            if target.until > max(before, now):
                length = target.until - now
                assert any(abs(length - one) < 1e-6 for one in (1.0, min(2 * last, 8.0)))
                last = length
        assert target.until <= now + 8


@settings(max_examples=300)
@given(HISTORIES)
def test_nothing_is_doubted_for_ever(history: list[tuple[str, float]]) -> None:
    """Whatever happened: time, good checks and the end of the try leave a target that may be asked."""
    target, now = health(), 1.0
    for event, later in history:
        now += later
        happen(target, event, now)
        assert (target.state(now) in ("well", "half-open")) is not target.doubtful(now)
        assert target.doubt(now)[0] is target.doubtful(now)
        assert not (target.half_open(now) and target.state(now) == "tried")
    check(target, True, True, now=now)
    target.left()
    assert not target.doubtful(now + 8.0)
