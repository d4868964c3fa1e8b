"""Which failures may be followed by another attempt, when, and what the target asked for."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.config import Repeat, Retry
from relay.errors import (
    BodyTooLarge,
    Busy,
    ClientError,
    ClientStalled,
    ClientTimeout,
    RelayError,
    ShuttingDown,
    UpstreamClosed,
    UpstreamDenied,
    UpstreamError,
    UpstreamMalformed,
    UpstreamRefused,
    UpstreamStatus,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnreachable,
)
from relay.retry import (
    LONGEST_WAIT,
    Attempts,
    Fate,
    counts_as_failure,
    fate_of,
    fate_of_status,
    wait_asked,
)

# --- fates ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "fate"),
    [
        (429, Fate.REFUSED),
        (503, Fate.REFUSED),
        (529, Fate.REFUSED),
        (502, Fate.FAILED),
        (504, Fate.FAILED),
        (400, Fate.FINAL),
        (401, Fate.FINAL),
        (404, Fate.FINAL),
        (408, Fate.FINAL),
        (413, Fate.FINAL),
        (422, Fate.FINAL),
        (500, Fate.FINAL),
        (501, Fate.FINAL),
        (200, Fate.FINAL),
    ],
)
def test_the_fate_of_a_status(status: int, fate: Fate) -> None:
    assert fate_of_status(status) is fate


def test_the_retryable_statuses_are_those_whose_fate_is_not_final() -> None:
    assert {status for status in range(100, 600) if fate_of_status(status) is not Fate.FINAL} == {
        *(429, 502, 503, 504, 529)
    }


def refused(status: int) -> UpstreamRefused:
    return UpstreamRefused("no", status, b"{}")


@pytest.mark.parametrize(
    ("error", "fate", "failure"),
    [
        (UpstreamUnreachable("x"), Fate.UNSENT, True),
        (UpstreamTimeout("x"), Fate.FAILED, True),
        (UpstreamClosed("x"), Fate.FAILED, True),
        (UpstreamTruncated("x"), Fate.FAILED, True),
        (UpstreamMalformed("x"), Fate.FAILED, True),
        (UpstreamDenied("x"), Fate.DENIED, True),
        (UpstreamError("x"), Fate.FAILED, True),
        (refused(429), Fate.REFUSED, False),
        (refused(503), Fate.REFUSED, True),
        (refused(529), Fate.REFUSED, True),
        (refused(500), Fate.FAILED, True),
        (refused(502), Fate.FAILED, True),
        (refused(504), Fate.FAILED, True),
        (UpstreamStatus(429), Fate.REFUSED, False),
        (UpstreamStatus(502), Fate.FAILED, True),
        (refused(400), Fate.FINAL, False),
        (refused(404), Fate.FINAL, False),
        (ClientError("x"), Fate.FINAL, False),
        (BodyTooLarge("x"), Fate.FINAL, False),
        (ClientTimeout("x"), Fate.FINAL, False),
        (ClientStalled("x"), Fate.FINAL, False),
        (ShuttingDown("x"), Fate.FINAL, False),
        (Busy("x"), Fate.FINAL, False),
        (RelayError("x"), Fate.FINAL, False),
    ],
)
def test_the_fate_of_an_error_and_what_it_says_of_the_target(
    error: RelayError, fate: Fate, failure: bool
) -> None:
    assert fate_of(error, unsent=False) is fate
    assert counts_as_failure(error) is failure


@pytest.mark.parametrize(
    ("error", "fate"),
    [
        (UpstreamClosed("a pooled connection that was dead"), Fate.UNSENT),
        (UpstreamTimeout("it did not accept a connection"), Fate.UNSENT),
        (refused(400), Fate.FINAL),
        (Busy("x"), Fate.FINAL),
        (ShuttingDown("x"), Fate.FINAL),
        (ClientTimeout("x"), Fate.FINAL),
    ],
)
def test_the_fate_of_what_was_surely_not_read(error: RelayError, fate: Fate) -> None:
    assert fate_of(error, unsent=True) is fate


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        *[(status, False) for status in (200, 204, 301, 400, 401, 403, 404, 408, 409, 413, 422, 429, 499)],
        *[(status, True) for status in (500, 502, 503, 504, 520, 529)],
        *[(status, False) for status in (501, 505)],
    ],
)
def test_which_statuses_speak_against_a_target(status: int, failure: bool) -> None:
    assert counts_as_failure(status) is failure


# --- Retry-After -----------------------------------------------------------------------------------

WALL = datetime(1994, 11, 6, 8, 49, 30, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("fields", "wait"),
    [
        ([], None),
        ([(b"retry-after", b"7")], 7.0),
        ([(b"Retry-After", b" 7 ")], 7.0),
        ([(b"retry-after", b"1.5")], 1.5),
        ([(b"retry-after", b"0")], 0.0),
        ([(b"retry-after-ms", b"250")], 0.25),
        ([(b"retry-after", b"1"), (b"retry-after-ms", b"250")], 0.25),
        ([(b"retry-after", b"7"), (b"retry-after-ms", b"soon")], 7.0),
        ([(b"llm_provider-retry-after", b"7")], 7.0),
        ([(b"llm_provider-retry-after", b"7"), (b"retry-after", b"2")], 2.0),
        ([(b"llm_provider-retry-after-ms", b"70")], 0.07),
        ([(b"retry-after", b"3"), (b"retry-after", b"9")], 3.0),
        ([(b"retry-after", b"Sun, 06 Nov 1994 08:49:37 GMT")], 7.0),
        ([(b"retry-after", b"Sunday, 06-Nov-94 08:49:37 GMT")], 7.0),
        ([(b"retry-after", b"Sun Nov  6 08:49:37 1994")], 7.0),
        ([(b"retry-after", b"Sun, 06 Nov 1994 08:49:00 GMT")], 0.0),
        ([(b"retry-after", b"Fri, 31 Dec 9999 23:59:59 GMT")], LONGEST_WAIT),
        ([(b"retry-after", b"99999999999")], LONGEST_WAIT),
        ([(b"retry-after", b"9" * 5000)], LONGEST_WAIT),
        ([(b"retry-after-ms", b"9" * 5000)], LONGEST_WAIT),
        *[
            ([(b"retry-after", rubbish)], None)
            for rubbish in (
                b"",
                b"-1",
                b"+1",
                b"1e3",
                b"nan",
                b"inf",
                b"soon",
                b"1_0",
                b"1 2",
                b"\xb2",
                b"Sun",
                b"Sun, 99 Nov 1994 08:49:37 GMT",
                b"Sun, 06 Nov 99999999999 08:49:37 GMT",
                b"7 seconds",
            )
        ],
        ([(b"retry-after-ms", b"Sun, 06 Nov 1994 08:49:37 GMT")], None),
    ],
)
def test_what_a_target_asks_for(fields: list[tuple[bytes, bytes]], wait: float | None) -> None:
    assert wait_asked(fields, WALL) == (wait if wait is None else pytest.approx(wait))


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"retry-after", b"retry-after-ms", b"llm_provider-retry-after", b"x"]),
            st.binary(max_size=40)
            | st.from_regex(
                r"[A-Z][a-z]{2}, [0-9]{1,3} [A-Za-z]{3} [0-9]{1,6} [0-9:]{1,9} ?[A-Z+0-9-]{0,6}"
            ).map(lambda text: text.encode("utf-8", "replace")),
        ),
        max_size=4,
    ),
    st.floats(0, 4e9),
)
def test_no_header_asks_for_more_than_the_longest_wait_or_breaks(
    fields: list[tuple[bytes, bytes]], wall: float
) -> None:
    wait = wait_asked(fields, wall)
    assert wait is None or 0 <= wait <= LONGEST_WAIT


@settings(max_examples=100)
@given(st.integers(0, int(LONGEST_WAIT)), st.integers(0, 2_000_000_000))
def test_a_date_is_the_same_as_its_seconds(seconds: int, wall: int) -> None:
    date = format_datetime(datetime.fromtimestamp(wall + seconds, UTC), usegmt=True)
    assert wait_asked([(b"retry-after", date.encode())], float(wall)) == seconds


def test_a_date_without_a_zone_is_utc_wherever_relay_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "XXX-5")
    time.tzset()
    try:
        assert wait_asked([(b"retry-after", b"Sun Nov  6 08:49:37 1994")], WALL) == 7.0
    finally:
        monkeypatch.undo()
        time.tzset()


# --- attempts --------------------------------------------------------------------------------------


def attempts(
    retry: Retry | None = None, *, idempotent: bool = False, completion: bool = True, begun: int = 1
) -> Attempts:
    made = Attempts(retry or Retry(), idempotent=idempotent, completion=completion, began=0.0)
    for _ in range(begun):
        made.begin()
    return made


def again(
    made: Attempts,
    fate: Fate = Fate.UNSENT,
    now: float = 0.0,
    *,
    wait: float | None = None,
    elsewhere: bool = False,
    dice: float = 0.5,
) -> float | None:
    return made.again(fate, now, wait=wait, elsewhere=elsewhere, dice=dice)


IDEMPOTENT, COMPLETION, OTHER = (True, False), (False, True), (False, False)


@pytest.mark.parametrize(
    ("repeat", "request_kind", "fates"),
    [
        (Repeat.OFF, IDEMPOTENT, set()),
        (Repeat.OFF, COMPLETION, set()),
        (Repeat.OFF, OTHER, set()),
        (Repeat.SAFE, IDEMPOTENT, {Fate.UNSENT, Fate.REFUSED, Fate.FAILED}),
        (Repeat.SAFE, COMPLETION, {Fate.UNSENT, Fate.REFUSED}),
        (Repeat.SAFE, OTHER, {Fate.UNSENT}),
        (Repeat.COMPLETIONS, IDEMPOTENT, {Fate.UNSENT, Fate.REFUSED, Fate.FAILED}),
        (Repeat.COMPLETIONS, COMPLETION, {Fate.UNSENT, Fate.REFUSED, Fate.FAILED}),
        (Repeat.COMPLETIONS, OTHER, {Fate.UNSENT}),
    ],
)
def test_which_fates_allow_another_attempt(
    repeat: Repeat, request_kind: tuple[bool, bool], fates: set[Fate]
) -> None:
    idempotent, completion = request_kind
    made = attempts(Retry(repeat=repeat), idempotent=idempotent, completion=completion)
    assert {fate for fate in Fate if again(made, fate) is not None} == fates


@pytest.mark.parametrize(
    ("repeat", "request_kind", "allowed"),
    [
        (Repeat.OFF, COMPLETION, False),
        (Repeat.SAFE, COMPLETION, True),
        (Repeat.SAFE, IDEMPOTENT, True),
        (Repeat.SAFE, OTHER, False),
        (Repeat.COMPLETIONS, COMPLETION, True),
    ],
)
def test_who_does_not_accept_the_key_is_not_asked_again_but_another_is(
    repeat: Repeat, request_kind: tuple[bool, bool], allowed: bool
) -> None:
    idempotent, completion = request_kind
    made = attempts(Retry(repeat=repeat), idempotent=idempotent, completion=completion)
    assert again(made, Fate.DENIED) is None
    assert again(made, Fate.DENIED, elsewhere=True) == (0.0 if allowed else None)


def test_a_target_that_tries_again_by_itself_is_asked_once() -> None:
    made = Attempts(
        Retry(repeat=Repeat.COMPLETIONS), idempotent=True, completion=True, began=0.0, delegated=True
    )
    made.begin()
    assert {fate for fate in Fate if again(made, fate) is not None} == {Fate.UNSENT}
    assert {fate for fate in Fate if again(made, fate, elsewhere=True) is None} == {Fate.FINAL}


def test_attempts_are_counted_with_the_first() -> None:
    assert again(attempts(Retry(attempts=3), begun=2)) is not None
    assert again(attempts(Retry(attempts=3), begun=3)) is None
    assert again(attempts(Retry(attempts=1), begun=1)) is None


def test_another_target_is_asked_at_once() -> None:
    assert again(attempts(), wait=20.0, elsewhere=True, dice=1.0) == 0.0


@pytest.mark.parametrize(
    ("begun", "seconds"), [(1, 0.1), (2, 0.2), (3, 0.4), (6, 3.2), (7, 5.0), (8, 5.0), (5000, 5.0)]
)
def test_the_same_target_after_a_pause_that_doubles(begun: int, seconds: float) -> None:
    made = attempts(Retry(attempts=10_000), begun=begun)
    assert again(made, dice=1.0) == pytest.approx(seconds)
    assert again(made, dice=0.25) == pytest.approx(seconds / 4)
    assert again(made, dice=0.0) == 0.0


def test_never_before_the_time_that_the_target_asked_for() -> None:
    assert again(attempts(), Fate.REFUSED, wait=4.0, dice=0.0) == 4.0
    later = again(attempts(), Fate.REFUSED, wait=4.0, dice=1.0)
    assert later == pytest.approx(4.1)  # those refused together do not come back together


def test_who_asks_for_longer_than_the_longest_pause_is_not_waited_for() -> None:
    made = attempts(Retry(longest_pause=5.0))
    assert again(made, Fate.REFUSED, wait=5.0, dice=0.0) == 5.0
    assert again(made, Fate.REFUSED, wait=5.1, dice=0.0) is None
    assert again(made, Fate.REFUSED, wait=5.1, elsewhere=True) == 0.0


def test_no_attempt_begins_after_the_budget() -> None:
    made = attempts(Retry(budget=30.0, longest_pause=60.0, pause=0.1))
    assert again(made, now=29.9, dice=0.0) == 0.0
    assert again(made, now=30.0, dice=0.0) is None
    assert again(made, now=29.95, dice=1.0) is None
    assert again(made, now=29.95, elsewhere=True) == 0.0
    assert again(made, Fate.REFUSED, now=1.0, wait=29.0, dice=0.0) is None
    assert again(made, Fate.REFUSED, now=0.9, wait=29.0, dice=0.0) == 29.0
    assert again(attempts(Retry(budget=0.0)), now=0.0, elsewhere=True) is None


RETRIES = st.builds(
    Retry,
    repeat=st.sampled_from(Repeat),
    attempts=st.integers(1, 8),
    budget=st.floats(0, 100),
    pause=st.floats(0, 10),
    longest_pause=st.floats(0, 60),
)


@settings(max_examples=500)
@given(RETRIES, st.booleans(), st.booleans(), st.data())
def test_no_request_is_tried_too_often_too_late_or_against_its_fate(
    retry: Retry, idempotent: bool, completion: bool, data: st.DataObject
) -> None:
    now = data.draw(st.floats(0, 1e6))
    made = Attempts(retry, idempotent=idempotent, completion=completion, began=now)
    began = now
    while made.count < 20:
        made.begin()
        now += data.draw(st.floats(0, 20))
        fate = data.draw(st.sampled_from(Fate))
        wait = data.draw(st.none() | st.floats(0, LONGEST_WAIT))
        elsewhere = data.draw(st.booleans())
        seconds = made.again(fate, now, wait=wait, elsewhere=elsewhere, dice=data.draw(st.floats(0, 1)))
        if seconds is None:
            break
        assert fate is not Fate.FINAL
        assert retry.repeat is not Repeat.OFF
        assert fate is not Fate.FAILED or idempotent or (completion and retry.repeat is Repeat.COMPLETIONS)
        assert fate is not Fate.REFUSED or idempotent or completion
        assert math.isfinite(seconds)
        if elsewhere:
            assert seconds == 0
        else:
            assert (wait or 0) <= seconds <= (wait or 0) + retry.longest_pause
        now += seconds
        assert now < began + retry.budget
    assert made.count <= retry.attempts
