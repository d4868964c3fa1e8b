"""Signs of life: sent after silence, not while the upstream talks, never after the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from relay.net.deadline import Deadline
from relay.net.keepalive import KeepAlive
from tests.net.kit import within


class Timer:
    def __init__(self, at: float, call: Callable[[], None]) -> None:
        self.at = at
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True

    def when(self) -> float:
        return self.at


class Clock:
    """A loop as far as timers need one; its time passes when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, at: float, call: Callable[[], None]) -> Timer:
        self.timers.append(Timer(at, call))
        return self.timers[-1]

    def call_later(self, seconds: float, call: Callable[[], None]) -> Timer:
        return self.call_at(self.now + seconds, call)

    def waiting(self) -> list[Timer]:
        return sorted((timer for timer in self.timers if not timer.cancelled), key=Timer.when)

    def run(self, seconds: float) -> None:
        """Let this much time pass, timer by timer."""
        until = self.now + seconds
        for _ in range(10_000):
            due = [timer for timer in self.waiting() if timer.at <= until]
            if not due:
                self.now = until
                return
            self.timers.remove(due[0])
            self.now = max(self.now, due[0].at)
            due[0].call()
        raise AssertionError("timers without end")


class Watched:
    """A keep-alive of ten seconds beside an idle limit of a thousand."""

    def __init__(self) -> None:
        self.clock = Clock()
        loop: Any = self.clock
        self.sent: list[float] = []
        self.idle = Deadline(loop, lambda: None)
        self.idle.start(1000.0)
        self.keep_alive = KeepAlive(loop, self.idle, 10.0, lambda: self.sent.append(self.clock.now - 1000.0))


def test_each_silent_interval_gets_one_sign_of_life() -> None:
    watched = Watched()
    watched.clock.run(9.9)
    assert watched.sent == []
    watched.clock.run(26)
    assert watched.sent == [10, 20, 30]


def test_a_busy_upstream_gets_none() -> None:
    watched = Watched()
    for _ in range(50):
        watched.clock.run(9)
        watched.idle.touch()
    assert watched.sent == []


def test_silence_is_counted_from_the_upstreams_last_word() -> None:
    watched = Watched()
    watched.clock.run(7)
    watched.idle.touch()
    watched.clock.run(9.5)
    assert watched.sent == []
    watched.clock.run(1)
    assert watched.sent == [17]
    watched.clock.run(5)
    watched.idle.touch()
    watched.clock.run(9)
    assert watched.sent == [17]
    watched.clock.run(2)
    assert watched.sent == [17, 32.5]


def test_a_busy_stream_pays_one_timer_and_not_one_for_each_read() -> None:
    watched = Watched()
    for _ in range(1000):
        watched.clock.run(0.01)
        watched.idle.touch()
        assert len(watched.clock.waiting()) == 2  # one of them is the idle limit's own


def test_it_goes_on_while_the_idle_limit_rests() -> None:
    watched = Watched()
    watched.idle.stop()
    watched.clock.run(25)
    assert watched.sent == [10, 20]


def test_it_does_not_push_the_idle_limit_back() -> None:
    watched = Watched()
    touched = watched.idle.touched
    watched.clock.run(35)
    assert watched.sent
    assert watched.idle.touched == touched


def test_none_is_sent_after_the_end() -> None:
    watched = Watched()
    watched.clock.run(12)
    watched.keep_alive.close()
    watched.idle.close()
    watched.clock.run(100)
    assert watched.sent == [10]
    assert watched.clock.waiting() == []


def test_the_stream_may_end_while_a_sign_of_life_is_sent() -> None:
    """The client's connection turns out to be gone, and the exchange lets go of everything."""
    clock: Any = Clock()
    idle = Deadline(clock, lambda: None)
    sent: list[float] = []

    def send() -> None:
        sent.append(clock.now)
        keep_alive.close()

    keep_alive = KeepAlive(clock, idle, 10.0, send)
    clock.run(100)
    assert len(sent) == 1
    assert clock.waiting() == []


def test_a_timer_that_fires_early_waits_for_the_rest() -> None:
    watched = Watched()
    timer = cast(Timer, watched.clock.waiting()[0])
    watched.clock.timers.remove(timer)
    watched.clock.now += 9.999
    timer.call()
    assert watched.sent == []
    watched.clock.run(0.5)
    assert watched.sent == [10]


@pytest.mark.parametrize("seconds", [0.001, 0.02])
async def test_on_a_real_loop_signs_follow_each_other_until_the_end(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    idle = Deadline(loop, lambda: None)
    third: asyncio.Future[None] = loop.create_future()
    sent: list[float] = []

    def send() -> None:
        sent.append(loop.time())
        if len(sent) == 3:
            third.set_result(None)

    keep_alive = KeepAlive(loop, idle, seconds, send)
    await within(third)
    keep_alive.close()
    count = len(sent)
    await asyncio.sleep(seconds * 3)
    assert len(sent) == count
    assert sent == sorted(sent)
