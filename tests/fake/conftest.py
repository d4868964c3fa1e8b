"""A fake on a loopback port, in the loop of the test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from relay.address import ListenAddress
from relay.fake.connection import Pace
from relay.fake.server import serving
from relay.listen import bind

DELTAS = 12


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """A fake that answers twelve words as fast as they are taken."""
    with bind(ListenAddress("127.0.0.1", 0)) as sock:
        async with serving([sock], Pace(rate=0, deltas=DELTAS)):
            yield sock.getsockname()[1]


@pytest.fixture
async def slow_port() -> AsyncIterator[int]:
    """A fake whose second delta comes after the test has ended."""
    with bind(ListenAddress("127.0.0.1", 0)) as sock:
        async with serving([sock], Pace(rate=1 / 3600, deltas=DELTAS)):
            yield sock.getsockname()[1]
