"""Which target is chosen: the fittest with room, by load and by weight; and what is never done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from relay.address import Origin
from relay.config import Health, Upstream
from relay.health import Trust
from relay.routing import Target, Targets, servers

NOW = 100.0
HEALTH = Health(failures=2, pause=1.0, longest=8.0, rise=1, fall=1)


def targets(*upstreams: dict[str, int], workers: int = 1) -> Targets:
    """Named a, b, c …, with what is given of order, weight and concurrency."""
    known = [
        Upstream(Origin("model.test", 8000 + number), name=chr(ord("a") + number), **options)
        for number, options in enumerate(upstreams)
    ]
    return Targets(map(Target, servers(known, HEALTH, workers=workers)))


def take(group: Targets, now: float = NOW, tried: Sequence[Target] = ()) -> Target:
    target = group.choose(now, tried)
    assert target is not None
    return target


def names(group: Targets, count: int) -> str:
    """Who is chosen for so many requests, each over before the next."""
    chosen = []
    for _ in range(count):
        target = take(group)
        chosen.append(target.name)
        target.release()
    return "".join(chosen)


def pause(target: Target, now: float = NOW) -> None:
    for _ in range(HEALTH.failures):
        target.health.failed(now)


# --- rank -------------------------------------------------------------------------------------------


def test_one_target_serves_all() -> None:
    group = targets({})
    assert names(group, 3) == "aaa"
    assert len(group) == 1


def test_a_name_or_else_the_url() -> None:
    (target,) = Targets(map(Target, servers([Upstream.parse("http://model.test:8000/base")], HEALTH)))
    assert target.name == "http://model.test:8000/base"
    assert "model.test" in repr(target)


def test_the_lower_order_comes_first() -> None:
    group = targets({"order": 2}, {"order": 1}, {"order": 2})
    assert names(group, 4) == "bbbb"


def test_the_next_order_takes_what_the_first_has_no_room_for() -> None:
    group = targets({"order": 1, "concurrency": 2}, {"order": 2})
    assert [take(group).name for _ in range(4)] == ["a", "a", "b", "b"]


def test_fewest_in_flight_for_its_weight() -> None:
    group = targets({"weight": 3}, {"weight": 1})
    chosen = [take(group) for _ in range(8)]
    assert Counter(target.name for target in chosen) == {"a": 6, "b": 2}
    (next(target for target in chosen if target.name == "b")).release()
    assert take(group).name == "b"


def test_a_stream_counts_until_it_is_released() -> None:
    """sglang#9491: counted to the head only, the server with the streams looks idle."""
    group = targets({}, {})
    stream = take(group)
    assert len({take(group).name for _ in range(1)} | {stream.name}) == 2
    other = next(target for target in group if target is not stream)
    for _ in range(3):
        other.release()
        assert take(group) is other


def test_untried_before_tried() -> None:
    group = targets({}, {})
    a, b = group
    assert take(group, tried=[a]) is b
    assert take(group, tried=[b]) is a


def test_a_doubtful_one_that_was_not_tried_before_a_tried_one() -> None:
    group = targets({}, {})
    a, b = group
    pause(b)
    assert take(group, tried=[a]) is b


def test_when_all_were_tried_they_are_tried_again() -> None:
    group = targets({}, {})
    assert group.choose(NOW, list(group)) is not None


def test_not_doubtful_before_doubtful_whatever_its_order() -> None:
    group = targets({"order": 1}, {"order": 2})
    a, b = group
    pause(a)
    assert take(group) is b
    assert take(group, NOW + 1) is a


def test_when_all_are_doubtful_the_soonest_is_chosen() -> None:
    group = targets({}, {}, {})
    a, b, c = group
    pause(a)
    b.health.wait(NOW + 0.5)
    c.health.checked(False, NOW)
    assert [take(group, tried=tried) for tried in ([], [b], [a, b])] == [b, a, c]


def test_relay_does_not_refuse_for_its_own_suspicion() -> None:
    group = targets({})
    (only,) = group
    pause(only)
    only.health.checked(False, NOW)
    only.health.wait(NOW + 60)
    assert [take(group) for _ in range(3)] == [only] * 3


# --- room -------------------------------------------------------------------------------------------


def test_none_when_every_one_is_full() -> None:
    group = targets({"concurrency": 1}, {"concurrency": 2})
    held = [take(group) for _ in range(3)]
    assert group.choose(NOW) is None
    assert all(target.full for target in group)
    held[0].release()
    assert group.choose(NOW) is held[0]


def test_a_tried_target_with_room_serves_where_the_others_are_full() -> None:
    group = targets({}, {"concurrency": 1})
    a, b = group
    assert take(group, tried=[a]) is b
    assert take(group, tried=[a]) is a


@pytest.mark.parametrize(
    ("concurrency", "workers", "limit"), [(0, 4, 0), (8, 1, 8), (8, 4, 2), (10, 4, 2), (3, 4, 1), (1, 1, 1)]
)
def test_a_limit_is_shared_by_the_workers(concurrency: int, workers: int, limit: int) -> None:
    (target,) = targets({"concurrency": concurrency}, workers=workers)
    assert target.limit == limit


def test_more_releases_than_requests_are_a_fault() -> None:
    group = targets({})
    target = take(group)
    target.release()
    with pytest.raises(AssertionError, match="released more often"):
        target.release()


# --- elsewhere --------------------------------------------------------------------------------------


def test_is_there_another_that_is_fit_to_be_asked() -> None:
    group = targets({}, {"concurrency": 1})
    a, b = group
    assert group.elsewhere(NOW, [a])
    assert not group.elsewhere(NOW, [a, b])
    pause(b)
    assert not group.elsewhere(NOW, [a])
    assert group.elsewhere(NOW + 1, [a])  # half-open: this request may be the one that tries it
    b.health.answered()
    assert take(group, tried=[a]) is b
    assert not group.elsewhere(NOW, [a])
    b.release()
    assert group.elsewhere(NOW, [a])


# --- half-open ----------------------------------------------------------------------------------------


def test_one_request_tries_a_half_open_target() -> None:
    group = targets({"order": 1}, {"order": 2})
    a, b = group
    pause(a)
    later = NOW + 1
    assert [take(group, later) for _ in range(4)] == [a, b, b, b]
    a.health.answered()
    assert take(group, later) is a


def test_while_one_is_tried_the_paused_one_is_asked_sooner() -> None:
    group = targets({}, {})
    a, b = group
    pause(a, NOW - 2)
    pause(b)
    assert [take(group), take(group)] == [a, b]


def test_who_tried_it_and_left_without_a_word_makes_room_for_the_next() -> None:
    group = targets({"order": 1}, {"order": 2})
    a, _ = group
    pause(a, NOW - 2)
    assert take(group) is a
    a.release()
    assert take(group) is a


# --- weights ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weights", "order"),
    [
        ([1], "aaa"),
        ([1, 1], "ababab"),
        ([2, 1], "abaaba"),
        ([5, 1, 1], "abaacaa"),
        ([1, 1, 1], "abcabc"),
    ],
)
def test_idle_targets_take_turns_by_weight(weights: list[int], order: str) -> None:
    assert names(targets(*({"weight": weight} for weight in weights)), len(order)) == order


WEIGHTS = st.lists(st.integers(1, 100), min_size=1, max_size=12)


def shares(group: Targets, counts: Counter[str], turns: int) -> list[float]:
    """How far each is from its share."""
    total = sum(target.upstream.weight for target in group)
    return [counts[target.name] - turns * target.upstream.weight / total for target in group]


@settings(max_examples=200)
@given(WEIGHTS)
def test_after_any_number_of_turns_each_is_within_one_of_its_share(weights: list[int]) -> None:
    group = targets(*({"weight": weight} for weight in weights))
    counts: Counter[str] = Counter()
    for turn in range(1, 201):
        counts.update(names(group, 1))
        assert max(map(abs, shares(group, counts, turn))) < 1 + 1e-6


def test_one_heavy_target_does_not_run_ahead_of_many_light_ones() -> None:
    """Where plain stride scheduling gives the heavy one its ten turns in a row."""
    chosen = names(targets({"weight": 10}, *[{"weight": 1}] * 10), 40)
    assert "aaa" not in chosen


@settings(max_examples=100)
@given(WEIGHTS.filter(lambda weights: len(weights) > 1), st.integers(1, 300), st.data())
def test_a_target_that_was_away_gets_its_share_and_no_burst(
    weights: list[int], away: int, data: st.DataObject
) -> None:
    group = targets(*({"weight": weight} for weight in weights))
    names(group, data.draw(st.integers(0, 20)))
    first = next(iter(group))
    first.health.wait(NOW + 1)
    assert first.name not in names(group, away)
    counts: Counter[str] = Counter()
    for turn in range(1, 101):
        target = take(group, NOW + 1)
        target.release()
        counts[target.name] += 1
        assert max(map(abs, shares(group, counts, turn))) < 3


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 5)), min_size=2, max_size=6),
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=40),
)
def test_no_target_starves(given_targets: list[tuple[int, int]], ends: list[tuple[int, int]]) -> None:
    """With requests of every length, each target is chosen again and again."""
    group = targets(*({"weight": weight, "concurrency": limit} for weight, limit in given_targets))
    counts: Counter[str] = Counter()
    held: list[Target] = []
    for turn in range(300):
        most, which = ends[turn % len(ends)]
        while len(held) > most:
            held.pop(which % len(held)).release()
        target = group.choose(NOW)
        if target is not None:
            counts[target.name] += 1
            held.append(target)
    assert all(counts[target.name] for target in group)


# --- for all histories ----------------------------------------------------------------------------------


class Life(RuleBasedStateMachine):
    """Requests come, last, succeed, fail, leave; time passes; checks find what they find."""

    @initialize(
        upstreams=st.lists(
            st.fixed_dictionaries(
                {
                    "order": st.integers(1, 2),
                    "weight": st.integers(1, 5),
                    "concurrency": st.integers(0, 3),
                }
            ),
            min_size=1,
            max_size=4,
        )
    )
    def begin(self, upstreams: list[dict[str, int]]) -> None:
        self.targets = targets(*upstreams)
        self.now = NOW
        self.requests: list[Target] = []

    @rule(data=st.data())
    def request(self, data: st.DataObject) -> None:
        tried = data.draw(st.sets(st.sampled_from(list(self.targets))))
        room = [target for target in self.targets if not target.full]
        doubts = {target: target.health.doubt(self.now) for target in self.targets}
        half_open = [target for target in self.targets if target.health.half_open(self.now)]
        before = [target.in_flight for target in self.targets]
        chosen = self.targets.choose(self.now, tried)
        if chosen is None:
            assert not room
            return
        assert chosen in room
        assert sum(target.in_flight for target in self.targets) == sum(before) + 1
        rivals = [target for target in room if (target in tried) <= (chosen in tried)]
        if chosen in tried:
            assert all(target in tried for target in room)
        assert doubts[chosen] == min(doubts[target] for target in rivals)
        if doubts[chosen][2]:  # a second one tries it: nothing better has room
            assert all(doubts[target][1] or doubts[target][2] for target in rivals)
        if chosen in half_open:
            assert chosen.health.trust is Trust.TRIED
        others = [target for target in half_open if target is not chosen]
        assert all(target.health.half_open(self.now) for target in others)
        self.requests.append(chosen)

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), end=st.sampled_from(["answered", "failed", "silent", "asked to wait"]))
    def end(self, data: st.DataObject, end: str) -> None:
        target = self.requests.pop(data.draw(st.integers(0, len(self.requests) - 1)))
        if end == "answered":
            target.health.answered()
        elif end == "failed":
            target.health.failed(self.now)
        elif end == "asked to wait":
            target.health.wait(self.now + 2)
        target.release()

    @rule(seconds=st.floats(0, 10))
    def later(self, seconds: float) -> None:
        self.now += seconds

    @rule(data=st.data(), well=st.booleans())
    def check(self, data: st.DataObject, well: bool) -> None:
        data.draw(st.sampled_from(list(self.targets))).health.checked(well, self.now)

    @invariant()
    def no_place_is_lost_or_given_twice(self) -> None:
        if not hasattr(self, "targets"):
            return
        for target in self.targets:
            assert target.in_flight == self.requests.count(target) >= 0
            assert not target.limit or target.in_flight <= target.limit
            assert target.full is bool(target.limit and target.in_flight == target.limit)

    @invariant()
    def nobody_is_being_tried_without_a_request(self) -> None:
        if hasattr(self, "targets"):
            tried = [target for target in self.targets if target.health.trust is Trust.TRIED]
            assert all(target.in_flight for target in tried)

    @invariant()
    def credit_does_not_pile_up(self) -> None:
        if hasattr(self, "targets"):
            assert all(abs(target.credit) < len(self.targets) for target in self.targets)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=100, stateful_step_count=50)
