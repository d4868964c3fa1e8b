"""Handwritten streams that differ behind relay on purpose: better than the stream alone, or left alone."""

from __future__ import annotations

from fnmatch import fnmatchcase

LEFT = {
    "error/*/json-error-body": "better: the error under a 200 gets its status, where clients saw nothing",
    "malformed/chat-completions/done-only": "better: an empty answer is a 502, where clients saw nothing",
    "malformed/responses/chat-chunk-leak": "better: another dialect is a 502, where clients saw nothing",
    "malformed/messages/tool-no-block-stop": "better: the AI SDK gets the call, which it dropped",
    "quirk/responses/event-line-mismatch": "better: openai-node 4 gets the text, which it dropped",
    "error/chat-completions/error-midstream-openrouter": "better: the AI SDK sees the error, which it missed",
    "malformed/messages/tool-bad-json": "left alone: which of the two glued objects was meant, nobody knows",
    "malformed/responses/unknown-event": "left alone: its rule is off by default, some clients want it",
    "quirk/chat-completions/reasoning-details": "left alone: its rule is off by default, it loses details",
}
"""By a pattern over ``kind/dialect/file``."""


def why(key: str) -> str | None:
    """Why this stream may differ, or None when it may not."""
    return next((reason for pattern, reason in LEFT.items() if fnmatchcase(key, pattern)), None)
