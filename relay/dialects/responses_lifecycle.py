"""The lifecycle events of a Responses stream: they all carry the response, and all the same one."""

from __future__ import annotations

import json

from relay.dialects.checker import Checker
from relay.dialects.deltas import Kind
from relay.dialects.frame import Frame
from relay.dialects.responses_document import Json, blank, inherited, made, started

TERMINAL = ("response.completed", "response.incomplete", "response.failed")
LIFECYCLE = ("response.created", "response.queued", "response.in_progress", *TERMINAL)

_TYPED: dict[str, type | tuple[type, ...]] = {"id": str, "model": str, "created_at": (int, float)}
_REQUIRED = ("object", "parallel_tool_calls", "tool_choice", "tools")
"""What clients read of the object as soon as they see it."""


class Lifecycle:
    """The response object of one stream."""

    __slots__ = ("_context", "_grammar", "_mends", "_response")

    def __init__(self, checker: Checker) -> None:
        self._context = checker.context
        self._grammar = checker.grammar
        self._mends = checker.mends
        self._response: str | None = None

    @property
    def begun(self) -> bool:
        return self._response is not None

    @property
    def response(self) -> Json | None:
        """As response.created had it: kept as text, a fourth of its size as objects."""
        return None if self._response is None else json.loads(self._response)

    @response.setter
    def response(self, response: Json) -> None:
        self._response = json.dumps(response)

    def latest(self) -> Json:
        """The response as far as it is known."""
        return self.response or blank(self._context)

    def opened(self, payload: Json, *, alone: bool = True) -> list[Frame]:
        """response.created, where the upstream left it out; ``alone``: with the event that follows it."""
        if self._grammar.implied(Kind.BLOCK) is not Kind.OPEN:
            return []
        response = blank(self._context)
        given, ident = payload.get("response"), payload.get("item_id")
        if isinstance(given, dict):
            for key, value in started(given).items():
                if value is not None and isinstance(value, _TYPED.get(key, object)):
                    response[key] = value
        elif isinstance(ident, str) and ident.startswith("resp_"):
            response["id"] = ident  # LiteLLM calls the item by the response's id (27442)
        self._grammar.admit(Kind.OPEN)
        if not self._mends("responses-created-missing"):
            return []
        self.response = response
        out = [made("response.created", response=response)]
        return [*out, made("response.in_progress", response=dict(response))] if alone else out

    def object(self, frame: Frame, payload: Json, kind: str) -> Json:
        """The response of an event, with what the SDKs demand of it; an ending's output is seen to apart."""
        if not isinstance(payload.get("response"), dict):
            if not self._mends("responses-response-members"):
                return blank(self._context)
            frame.set(("response",), {})
        response: Json = payload["response"]
        known = self.response or {}
        differs = "id" in response and known.get("id") not in (None, response["id"])
        if differs and self._mends("responses-response-id"):
            frame.set(("response", "id"), known["id"])
        defaults = {**blank(self._context), **inherited(known)}
        defaults["status"] = kind.removeprefix("response.").replace("created", "in_progress")
        wrong = {key for key, types in _TYPED.items() if not isinstance(response.get(key), types)}
        wrong |= {key for key in _REQUIRED if key not in response}
        if kind in TERMINAL:
            del defaults["output"]
        elif not isinstance(response.get("output"), list):
            wrong.add("output")
        if not wrong or not self._mends("responses-response-members"):
            return response
        for key, value in defaults.items():
            if key in wrong or key not in response:
                frame.set(("response", key), value)
        return response
