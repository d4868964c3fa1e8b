"""Findings that are not mended yet. Each has a test of its own in ``test_found``, and goes when that passes.

An input that breaks something in one of these ways is counted, and is no finding: the next one must not hide
behind it.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.fuzz.case import Case

KNOWN: dict[str, Callable[[Case, Exception], bool]] = {}
"""By name, what tells that an input has found it again."""


def excuse(case: Case, error: Exception) -> str | None:
    """The name of the known finding that this is."""
    return next((name for name, excused in KNOWN.items() if excused(case, error)), None)
