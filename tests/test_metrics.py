"""Figures of several processes: none is lost, none is counted twice, and Prometheus reads them."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from relay import __version__, metrics, recognising
from relay.metrics import FAMILIES, KEYS_CHECKED, RELOAD_SUCCESSFUL, SPEND_DROPPED, VERDICTS, Counters, Family

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def read(counters: Counters) -> Samples:
    """What a strict reader finds in the text."""
    text = counters.text().decode()
    assert text.endswith("\n")
    families = list(text_string_to_metric_families(text))
    assert [family.documentation for family in families] == [family.help for family in FAMILIES]
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def sample(counters: Counters, name: str, **labels: str) -> float:
    return read(counters)[name, frozenset(labels.items())]


def in_a_child(work: Callable[[], None]) -> None:
    """Do it in a forked process, and wait for that."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0


def test_what_nobody_has_counted_is_zero() -> None:
    samples = read(Counters())
    for outcome in ("accepted", "refused", "unavailable"):
        assert samples[KEYS_CHECKED, frozenset({("outcome", outcome)})] == 0
    assert samples[SPEND_DROPPED, frozenset()] == 0


def test_the_version_is_told() -> None:
    assert sample(Counters.shared(), "relay_build_info", version=__version__) == 1


def test_counting() -> None:
    counters = Counters()
    counters.know("upstream", ["a", "b"])
    counters.count(VERDICTS, "a", "lying-end")
    slot = counters.slot(VERDICTS, "b", "faked-stream")
    for _ in range(3):
        counters.cells[slot] += 1.0
    counters.count(SPEND_DROPPED)
    counters.put(1792.5, RELOAD_SUCCESSFUL)
    assert sample(counters, VERDICTS, upstream="a", verdict="lying-end") == 1
    assert sample(counters, VERDICTS, upstream="b", verdict="faked-stream") == 3
    assert sample(counters, VERDICTS, upstream="b", verdict="lying-end") == 0
    assert sample(counters, SPEND_DROPPED) == 1
    assert sample(counters, RELOAD_SUCCESSFUL) == 1792.5
    assert counters.total(VERDICTS, "b", "faked-stream") == 3


def test_a_name_that_is_not_known_is_other() -> None:
    counters = Counters()
    counters.know("upstream", ["a"])
    counters.count(VERDICTS, "b", "lying-end")
    assert counters.slot(VERDICTS, "c", "lying-end") == counters.slot(VERDICTS, "d", "lying-end")
    assert sample(counters, VERDICTS, upstream="other", verdict="lying-end") == 1


@pytest.mark.parametrize("series", [(VERDICTS, "a", "no verdict"), ("no_family",), (VERDICTS, "a")])
def test_what_was_never_declared_is_a_mistake(series: tuple[str, ...]) -> None:
    with pytest.raises((KeyError, ValueError)):
        Counters().count(*series)


def test_there_are_only_so_many_names() -> None:
    counters = Counters()
    counters.know("upstream", (f"u{number}" for number in range(10_000)))
    text = counters.text()
    assert text.count(b'verdict="lying-end"') == metrics.NAMES + 1
    assert counters.slot(VERDICTS, "u0", "lying-end") != counters.slot(VERDICTS, "other", "lying-end")
    assert counters.slot(VERDICTS, "u9999", "lying-end") == counters.slot(VERDICTS, "other", "lying-end")


def test_more_series_than_there_is_room_for_are_refused_not_mixed_up() -> None:
    with pytest.raises(ValueError, match="relay_wide_total"):
        Counters(
            [Family("relay_wide_total", "counter", "", {"a": tuple(map(str, range(metrics.SLOTS + 1)))})]
        )


def test_names_that_come_later_move_nothing() -> None:
    counters = Counters()
    counters.know("upstream", ["a"])
    counters.count(VERDICTS, "a", "lying-end")
    counters.know("upstream", ["b", "a"])  # a reload
    counters.count(VERDICTS, "b", "lying-end")
    counters.know("upstream", ["b"])  # another: what a has done has been done
    assert sample(counters, VERDICTS, upstream="a", verdict="lying-end") == 1
    assert sample(counters, VERDICTS, upstream="b", verdict="lying-end") == 1


def test_an_awkward_name() -> None:
    name = 'unix:/a "b"\\c\nd'
    counters = Counters()
    counters.know("upstream", [name])
    counters.count(VERDICTS, name, "lying-end")
    assert sample(counters, VERDICTS, upstream=name, verdict="lying-end") == 1


def test_every_process_counts_for_all_and_any_can_tell() -> None:
    counters = Counters.shared()
    rows = [counters.take() for _ in range(3)]
    assert len(set(rows)) == 3
    for row in rows:

        def work(row: int = row) -> None:
            counters.enter(row)
            counters.count(SPEND_DROPPED)

        in_a_child(work)
    counters.count(SPEND_DROPPED)
    assert sample(counters, SPEND_DROPPED) == 4

    def tell() -> None:
        assert sample(counters, SPEND_DROPPED) == 4

    in_a_child(tell)


def test_a_row_keeps_what_was_counted_and_drops_what_was_held() -> None:
    counters = Counters.shared()
    row = counters.take()

    def work() -> None:
        counters.enter(row)
        counters.count(SPEND_DROPPED)
        counters.put(1.0, RELOAD_SUCCESSFUL)

    for life in (1, 2):
        in_a_child(work)
        assert sample(counters, RELOAD_SUCCESSFUL) == 1
        counters.leave(row)
        assert sample(counters, SPEND_DROPPED) == life
        assert sample(counters, RELOAD_SUCCESSFUL) == 0
        assert counters.take() == row


def test_a_process_too_many_disturbs_nobody() -> None:
    counters = Counters(rows=2)
    row = counters.take()
    assert counters.take() == -1
    counters.enter(row)
    counters.count(SPEND_DROPPED)
    counters.enter(-1)
    counters.count(SPEND_DROPPED)
    assert sample(counters, SPEND_DROPPED) == 1
    counters.leave(-1)
    assert counters.take() == -1
    counters.leave(row)
    assert counters.take() == row


def test_every_verdict_has_its_series() -> None:
    verdicts = next(family for family in FAMILIES if family.name == VERDICTS).labels["verdict"]
    assert set(verdicts) == {recognising.FAKED, recognising.REPLAY, recognising.LYING}
