"""`/v1/models` in the shape that the client's SDK reads, whichever the upstream has."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from relay.collected import Conversion
from relay.dialects.codec import Codec
from relay.payload import parse
from relay.translating import refusal
from relay.translation import failure_of
from relay.wire import edit

Model = dict[str, Any]
"""What a server says of one model; ``id`` is a text."""

_LONG_AGO = "1970-01-01T00:00:00Z"
"""Anthropic's own value for a date that is not known."""
_LENGTHS = ("max_input_tokens", "max_model_len", "context_length")
"""Names of the context's length: LiteLLM's, vLLM's, OpenRouter's."""


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
        models = answer.get("data")
        if isinstance(models, list):
            is_own = "has_more" in answer if anthropic else answer.get("object") == "list"
            if is_own or not all(map(_is_model, models)):
                return body
            return edit.dumps(listing(models, anthropic=anthropic))
        is_own = answer.get("type" if anthropic else "object") == "model"
        return body if is_own or not _is_model(answer) else edit.dumps(shaped(answer, anthropic=anthropic))


def models_in(body: bytes) -> list[Model] | None:
    """The models of a list in any shape, a bare one among them (Together); None where it is none."""
    answer = parse(body)
    models = answer.get("data") if isinstance(answer, dict) else answer
    return [model for model in models if _is_model(model)] if isinstance(models, list) else None


def listing(models: Sequence[Model], *, anthropic: bool, has_more: bool = False) -> dict[str, Any]:
    """The whole answer: Anthropic's, one page of it, or OpenAI's."""
    shown = [shaped(model, anthropic=anthropic) for model in models]
    if not anthropic:
        return {"object": "list", "data": shown}
    first, last = (shown[0]["id"], shown[-1]["id"]) if shown else (None, None)
    return {"data": shown, "has_more": has_more, "first_id": first, "last_id": last}


def shaped(model: Model, *, anthropic: bool) -> Model:
    """One model, from either API."""
    if anthropic:
        return model if model.get("type") == "model" else _anthropic(model)
    if model.get("type") == "model" and "object" not in model:
        return _openai(model)
    return {"id": model["id"], "object": "model", "created": 0, "owned_by": "unknown"} | model


def _is_model(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("id"), str)


def _anthropic(model: Model) -> Model:
    when = _LONG_AGO
    created = model.get("created")
    if isinstance(created, int | float) and 0 <= created < 1e11:
        when = datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    shown = {"type": "model", "id": model["id"], "display_name": model["id"], "created_at": when}
    limit = next((model[name] for name in _LENGTHS if type(model.get(name)) is int), None)
    return shown if limit is None else shown | {"max_input_tokens": limit}


def _openai(model: Model) -> Model:
    created = 0
    with contextlib.suppress(ValueError, OverflowError):
        created = int(datetime.fromisoformat(str(model.get("created_at"))).timestamp())
    return {"id": model["id"], "object": "model", "created": created, "owned_by": "anthropic"}
