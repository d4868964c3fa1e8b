"""What somebody said about a setting, and where: the flags, the environment and the file each say some.

What is said later in ``flag, environment, file, default`` is not heard. A list is said as a whole: the
addresses of a flag take the place of all those of the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from relay.source.problems import Place


class Said(NamedTuple):
    """A value and where it comes from."""

    value: Any
    origin: Place | str
    """A place in a file, a flag, or a variable."""
    words: str = ""
    """Flag and value as they were written, for an error of one line."""


Layer = dict[str, Said]
"""By dotted path. Parts of lists stand beside them, as ``upstreams[vllm].weight``, for their places."""


def merged(*layers: Mapping[str, Said]) -> Layer:
    """All of them, each before those that follow."""
    heard: Layer = {}
    for layer in layers:
        new = {path: said for path, said in layer.items() if path.partition("[")[0] not in heard}
        heard |= new
    return heard
