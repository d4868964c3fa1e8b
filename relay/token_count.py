"""Anthropic's `count_tokens` over an upstream that does not speak Messages.

It is asked in the upstream's own way: OpenAI's `/v1/responses/input_tokens`, `/tokenize` of vLLM, and of
other chat servers Anthropic's endpoint itself, which llama.cpp and new ones of vLLM have. Where there is
none, the answer is an estimate and a header says so: a client that plans its context by it is better off
than with an error on every turn (litellm 30043).
"""

from __future__ import annotations

import math
from typing import Any

import orjson

from relay.collected import Conversion
from relay.dialects.codec import Codec
from relay.dialects.request import Image, Profile, Request, Result
from relay.payload import parse
from relay.translating import refusal
from relay.translation import document_of, failure_of, refusing

_BYTES_A_TOKEN = 4
_TOKENS_A_MESSAGE = 4
_TOKENS_AN_IMAGE = 1600
"""Anthropic's for one of a megapixel; images are not measured here."""
_UNKNOWN = (400, 404, 405, 422, 501)
"""How servers say that they have no such endpoint, or not for this."""


class TokenCount(Conversion):
    """One question, as the upstream is asked it, and its answer."""

    def __init__(
        self, client: Codec, upstream: Codec, body: bytes | bytearray, profile: Profile, *, objects: int = 0
    ) -> None:
        """Raises BadDocument; ``objects`` bounds the request as it bounds those of completions."""
        self._client = client
        self.path, asked = b"/v1/messages/count_tokens", None
        with refusing(client):
            document = document_of(body, objects)
            request = client.read({"max_tokens": 1} | document)
            self._estimate = estimate(request)
            if upstream.name == "responses":
                self.path = b"/v1/responses/input_tokens"
                asked = _some(upstream.write(request, profile), "model", "input", "instructions", "tools")
            elif profile.tokenize:
                self.path = b"/tokenize"
                asked = _some(upstream.write(request, profile), "model", "messages", "tools")
                asked["add_generation_prompt"] = True
            self.body = bytes(body) if asked is None else orjson.dumps(asked)

    def status(self, status: int) -> int:
        """The status of the answer to the client."""
        return 200 if status in _UNKNOWN else status

    def convert(self, status: int, body: bytes) -> bytes:
        if not (200 <= status < 300 or status in _UNKNOWN):
            raise refusal(self._client, failure_of(body, status))
        count = _count_in(parse(body)) if status < 300 else None
        if count is None:
            self.note = b"x-relay-estimated: input_tokens\r\n"
            count = self._estimate
        return orjson.dumps({"input_tokens": count})


def _some(document: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: document[name] for name in names if name in document}


def estimate(request: Request) -> int:
    """Tokens by size: a quarter of the bytes, a few for each message, a fixed sum for an image."""
    size = len(_text_of(request).encode("utf-8", "replace"))
    tools = [[tool.flat, tool.description, tool.schema] for tool in request.tools]
    size += len(orjson.dumps(tools)) if tools else 0
    images = sum(isinstance(part, Image) for part in _parts(request))
    messages = len(request.turns) * _TOKENS_A_MESSAGE
    return max(1, math.ceil(size / _BYTES_A_TOKEN) + messages + images * _TOKENS_AN_IMAGE)


def _text_of(request: Request) -> str:
    """All that the model would read as text."""
    said = (
        getattr(part, "text", None)
        or f"{getattr(part, 'name', '') or ''} {getattr(part, 'arguments', '')}".strip()
        for part in _parts(request)
    )
    return "\n".join(filter(None, said))


def _parts(request: Request) -> list[Any]:
    parts: list[Any] = []
    for turn in request.turns:
        for part in turn.parts:
            parts += part.parts if isinstance(part, Result) else [part]
    return parts


def _count_in(answer: object) -> int | None:
    """The number in the answer of one of the servers; None when it is none of them."""
    if not isinstance(answer, dict):
        return None
    told = (answer.get("input_tokens"), answer.get("count"))
    return next((value for value in told if type(value) is int and value > 0), None)
