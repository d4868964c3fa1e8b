"""An error of LiteLLM as a client of Anthropic's API reads it.

Up to 1.85 its `/v1/messages` answers errors in OpenAI's shape; Anthropic's SDKs then find no type and no
message in them.
"""

from __future__ import annotations

from relay.collected import Conversion
from relay.dialects.codec import Codec
from relay.payload import parse
from relay.translation import failure_of
from relay.wire import edit


class ErrorDocument(Conversion):
    """One that is in the client's shape, or in none that is known, passes as it is."""

    def __init__(self, client: Codec) -> None:
        self._client = client

    def convert(self, status: int, body: bytes) -> bytes:
        answer = parse(body)
        if not isinstance(answer, dict) or answer.get("type") == "error" or not answer.get("error"):
            return body
        return edit.dumps(self._client.error_document(failure_of(body, status)))
