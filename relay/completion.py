"""What the request of a completion asks for, as far as its answer depends on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from relay.dialects.deltas import Context
from relay.wire import edit


@dataclass(frozen=True, slots=True)
class Completion:
    """One request in its dialect; a body that is no JSON object asks for nothing.

    stream       an event stream (exactly ``true``; absent means no, whatever ``Accept`` says)
    model        by the name the client uses
    usage_asked  token counts in the stream
    named_tool   the one tool to call is named
    """

    dialect: str
    stream: bool = False
    model: str | None = None
    usage_asked: bool = False
    named_tool: bool = False

    @classmethod
    def read(cls, dialect: str, body: bytes | bytearray) -> Completion:
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            return cls(dialect)
        if not isinstance(document, dict):
            return cls(dialect)
        model = document.get("model")
        return cls(
            dialect,
            stream=document.get("stream") is True,
            model=model if isinstance(model, str) else None,
            usage_asked=dialect != "chat" or _options(document).get("include_usage") is True,
            named_tool=isinstance(document.get("tool_choice"), dict),
        )

    def context(self, ident: str, created: int, *, usage_added: bool) -> Context:
        """The same for the checker of its answer."""
        return Context(
            ident=ident,
            created=created,
            model=self.model,
            usage_asked=self.usage_asked or usage_added,
            usage_added=usage_added,
            named_tool=self.named_tool,
        )


def ask_usage(body: bytearray) -> bytearray:
    """The same chat request, asking for usage in the stream."""
    asking = bytearray(body)
    options = _options(orjson.loads(body))
    edit.set_value(asking, ["stream_options"], options | {"include_usage": True})
    return asking


def _options(document: dict[str, Any]) -> dict[str, Any]:
    options = document.get("stream_options")
    return options if isinstance(options, dict) else {}
