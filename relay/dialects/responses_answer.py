"""Deltas as one Responses document: the response that the stream's last event would carry."""

from __future__ import annotations

from typing import Any

from relay.dialects.checker import Malformed
from relay.dialects.codec import Answer
from relay.dialects.deltas import Context, Delta
from relay.dialects.request import Request
from relay.dialects.responses_encoding import ResponsesEncoder


class ResponsesAnswer(Answer):
    """One Responses document."""

    def __init__(self, context: Context, request: Request) -> None:
        super().__init__(context, request)
        self._encoder = ResponsesEncoder(context, request)
        self._response: dict[str, Any] | None = None

    def take(self, delta: Delta) -> None:
        for frame in self._encoder.encode(delta):
            if frame.event in ("response.completed", "response.incomplete") and frame.payload is not None:
                self._response = frame.payload["response"]

    def document(self) -> dict[str, Any]:
        if self._response is None:
            raise Malformed("an answer without an end")
        return self._response
