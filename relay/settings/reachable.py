"""Which rules no request ever reaches, because an earlier one takes all that they would."""

from __future__ import annotations

from collections.abc import Sequence

from relay.config import RouteRule


def taken_by(rules: Sequence[RouteRule], at: int) -> int | None:
    """The first rule before this one that takes every request of it."""
    return next((earlier for earlier in range(at) if takes_all(rules[earlier], rules[at])), None)


def takes_all(first: RouteRule, other: RouteRule) -> bool:
    """Every request that fits ``other`` fits ``first``, too."""
    return (
        _wider(first.models, other.models)
        and _wider(first.paths, other.paths)
        and first.stream in (None, other.stream)
        and set(first.without) <= set(other.without)
        and all(_has_header(other, name, pattern) for name, pattern in first.headers)
    )


def _has_header(rule: RouteRule, name: str, pattern: str) -> bool:
    return any(one == name and _covers(pattern, value) for one, value in rule.headers)


def _wider(patterns: Sequence[str], others: Sequence[str]) -> bool:
    """Without any everything fits, also what has nothing to compare."""
    if not patterns:
        return True
    return bool(others) and all(any(_covers(one, other) for one in patterns) for other in others)


def _covers(pattern: str, other: str) -> bool:
    """Whatever fits ``other`` fits ``pattern``: so it is where the other's own text does.

    A ``*`` of it then lies inside what one of ``pattern`` stands for, whatever it stands for itself.
    """
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == other
    last = rest.pop()
    if len(first) + len(last) > len(other) or not (other.startswith(first) and other.endswith(last)):
        return False
    at, end = len(first), len(other) - len(last)
    for part in rest:
        found = other.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True
