"""All cases, in the order in which they are played; a case is known by its theme and its name."""

from __future__ import annotations

from . import (
    client_chunks,
    client_heads,
    client_lengths,
    client_limits,
    client_targets,
    sound,
    upstream_bodies,
    upstream_heads,
    upstream_streams,
)
from .cases import Case

MODULES = (
    sound,
    client_lengths,
    client_chunks,
    client_heads,
    client_targets,
    client_limits,
    upstream_heads,
    upstream_bodies,
    upstream_streams,
)

CASES: list[Case] = [case for module in MODULES for case in module.CASES]

THEMES = list(dict.fromkeys(case.theme for case in CASES))
