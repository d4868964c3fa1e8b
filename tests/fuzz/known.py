"""Findings that are not mended yet. Each has a test of its own in ``test_found``, and goes when that passes.

An input that breaks something in one of these ways is counted, and is no finding: the next one must not hide
behind it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.fuzz.case import Case

_CUTS = re.compile(r"it ends \w+ in several reads|for other reads|[0-9]+ bytes are kept")


def strange_line_ends(case: Case, error: Exception) -> bool:
    """Frames that end with CR LF CR twice are held until a read ends otherwise, or lost."""
    return b"\r\n\r" in case.raw and _CUTS.search(str(error)) is not None


KNOWN: dict[str, Callable[[Case, Exception], bool]] = {
    "strange line ends": strange_line_ends,
}
"""By name, what tells that an input has found it again."""


def excuse(case: Case, error: Exception) -> str | None:
    """The name of the known finding that this is."""
    return next((name for name, excused in KNOWN.items() if excused(case, error)), None)
