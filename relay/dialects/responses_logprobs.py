"""Log probabilities: the same entries as in chat, with the bytes of each token where chat has them."""

from __future__ import annotations

from typing import Any


def chat_logprobs(listed: object) -> list[Any] | None:
    """The entries of a delta as `logprobs.content` has them; None when there are none."""
    if not isinstance(listed, list) or not listed:
        return None
    return [_spelled(entry) for entry in listed if isinstance(entry, dict)] or None


def _spelled(entry: dict[str, Any]) -> dict[str, Any]:
    """Chat's entries have the bytes of a token; those of a Responses delta do not."""
    token, top = entry.get("token"), entry.get("top_logprobs")
    spelled = list(token.encode("utf-8", "replace")) if isinstance(token, str) else None
    whole = {"bytes": spelled, **entry}
    if isinstance(top, list):
        whole["top_logprobs"] = [_spelled(other) for other in top if isinstance(other, dict)]
    return whole


def entries(logprobs: list[Any] | None) -> list[Any]:
    """A piece's entries with what the Responses types demand of them."""
    found = [entry for entry in logprobs or () if isinstance(entry, dict)]
    return [{"bytes": [], "top_logprobs": [], **_given(entry)} for entry in found]


def _given(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if value is not None}
