"""Every case of the catalogue against relay in a process of its own, each with its one outcome."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .cases import Case
from .catalogue import CASES
from .judge import Verdict
from .proxies import Proxy, started
from .run import play_one
from .upstream import Upstream


def _param(case: Case) -> object:
    name = f"{case.theme}: {case.name}"
    return pytest.param(case, id=name)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    listening = Upstream()
    yield listening
    listening.close()


@pytest.fixture(scope="module")
def relay(upstream: Upstream) -> Iterator[Proxy]:
    with started("relay", upstream.port) as proxy:
        yield proxy


def test_there_are_enough_cases_of_both_sides() -> None:
    assert len(CASES) >= 150
    assert len({(case.theme, case.name) for case in CASES}) == len(CASES)
    assert sum(case.upstream_side for case in CASES) >= 100


@pytest.mark.parametrize("case", [_param(case) for case in CASES])
def test_relay(relay: Proxy, upstream: Upstream, case: Case) -> None:
    assert play_one(case, relay, upstream, case.relay).verdict == Verdict(case.relay)
