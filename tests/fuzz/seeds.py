"""Streams to begin with: of the corpus, or of our own folder where that is not beside the project.

Long ones are thinned: their middle is more of the same, and an input costs by its length.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tests.fuzz.mutate import split_frames
from tests.streams import CORPUS, FOLDERS, handwritten, recorded

OWN = Path(__file__).resolve().parents[1] / "data" / "litellm"
_FIRST, _LAST = 8, 6
"""Frames that a long stream keeps."""
_LONGEST = 6000
_LARGEST_FILE = 24_000


@cache
def streams(dialect: str) -> tuple[bytes, ...]:
    """Streams of this dialect, those of models and servers and those that somebody made up."""
    paths = [path for name, path in recorded() if name == dialect]
    paths += sorted((CORPUS / "upstream").glob(f"{dialect}--*.sse"))
    paths += sorted((CORPUS / "litellm").glob(f"*/{dialect}--*.sse"))
    paths += sorted(OWN.glob(f"*/{dialect}--*.sse"))
    found = [sample.body for sample in handwritten().values() if sample.dialect == dialect]
    found += [path.read_bytes() for path in paths if path.stat().st_size <= _LARGEST_FILE]
    thin = dict.fromkeys(_thinned(body) for body in found)
    return tuple(body for body in thin if 0 < len(body) <= _LONGEST)


@cache
def strangers(dialect: str) -> tuple[bytes, ...]:
    """Streams of the other dialects, to splice with."""
    return tuple(body for other in FOLDERS if other != dialect for body in streams(other))


def _thinned(body: bytes) -> bytes:
    if len(body) <= _LONGEST // 2:
        return body
    parts = split_frames(body)
    return body if len(parts) <= _FIRST + _LAST else b"".join(parts[:_FIRST] + parts[-_LAST:])
