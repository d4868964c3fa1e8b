"""What holds for every test.

Asyncio tests run on uvloop: relay is written for its transports and their habits. Hypothesis has no
deadline, for no test asserts a time. In CI, where it tries ten times as many examples, they are the
same in every run: a change fails for what it does, and new examples are found at a desk.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import uvloop
from hypothesis import settings

settings.register_profile("unhurried", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("unhurried")


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}
