"""Token counts of chat: where servers put them, and the object that SDKs expect."""

from __future__ import annotations

from typing import Any

from relay.dialects.deltas import Usage


def read_usage(payload: dict[str, Any], before: Usage | None) -> Usage | None:
    """The totals in a chunk, wherever they are, over those of ``before``: the last value of each counts.

    None when the chunk says nothing of them.
    """
    usage, groq = payload.get("usage"), payload.get("x_groq")
    if usage is None and isinstance(groq, dict):
        usage = groq.get("usage")
    if not isinstance(usage, dict):
        return None
    before = before or Usage()
    prompt, completion = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    return Usage(
        input=_number(usage, "prompt_tokens", before.input),
        output=_number(usage, "completion_tokens", before.output),
        # DeepSeek has a name of its own for it.
        cached=_number(prompt, "cached_tokens", _number(usage, "prompt_cache_hit_tokens", before.cached)),
        cache_write=_number(prompt, "cache_write_tokens", before.cache_write),
        reasoning=_number(completion, "reasoning_tokens", before.reasoning),
    )


def _number(source: object, key: str, otherwise: int | None) -> int | None:
    value = source.get(key) if isinstance(source, dict) else None
    return value if type(value) is int else otherwise


def write_usage(usage: Usage) -> dict[str, Any]:
    """The `usage` object; SDKs need the three totals, and details only where they are known."""
    prompt, completion = usage.input or 0, usage.output or 0
    document: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    read = {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write}
    if known := {key: value for key, value in read.items() if value is not None}:
        document["prompt_tokens_details"] = known
    if usage.reasoning is not None:
        document["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning}
    return document
