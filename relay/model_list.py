"""`/v1/models` in the shape that the client's SDK reads, whichever the upstream has."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import Any

from relay.collected import Conversion
from relay.dialects.codec import Codec
from relay.payload import parse
from relay.translating import refusal
from relay.translation import failure_of
from relay.wire import edit

_LONG_AGO = "1970-01-01T00:00:00Z"
"""Anthropic's own value for a date that is not known."""


class ModelList(Conversion):
    """The list, or one model. What is neither passes as it is."""

    def __init__(self, client: Codec) -> None:
        self._client = client

    def convert(self, status: int, body: bytes) -> bytes:
        if not 200 <= status < 300:
            raise refusal(self._client, failure_of(body, status))
        answer = parse(body)
        if not isinstance(answer, dict):
            return body
        anthropic = self._client.name == "messages"
        models, one = answer.get("data"), _anthropic if anthropic else _openai
        if isinstance(models, list):
            is_own = "has_more" in answer if anthropic else answer.get("object") == "list"
            if is_own or not all(isinstance(m, dict) and isinstance(m.get("id"), str) for m in models):
                return body
            return edit.dumps(_list([one(model) for model in models], anthropic=anthropic))
        is_own = answer.get("type" if anthropic else "object") == "model"
        return body if is_own or not isinstance(answer.get("id"), str) else edit.dumps(one(answer))


def _list(models: list[dict[str, Any]], *, anthropic: bool) -> dict[str, Any]:
    if not anthropic:
        return {"object": "list", "data": models}
    first, last = (models[0]["id"], models[-1]["id"]) if models else (None, None)
    return {"data": models, "has_more": False, "first_id": first, "last_id": last}


def _anthropic(model: dict[str, Any]) -> dict[str, Any]:
    when = _LONG_AGO
    created = model.get("created")
    if isinstance(created, int | float) and 0 <= created < 1e11:
        when = datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    shown = {"type": "model", "id": model["id"], "display_name": model["id"], "created_at": when}
    limit = model.get("max_model_len")  # vLLM's name for it
    return shown | ({"max_input_tokens": limit} if isinstance(limit, int) else {})


def _openai(model: dict[str, Any]) -> dict[str, Any]:
    created = 0
    with contextlib.suppress(ValueError):
        created = int(datetime.fromisoformat(str(model.get("created_at"))).timestamp())
    return {"id": model["id"], "object": "model", "created": created, "owned_by": "anthropic"}
