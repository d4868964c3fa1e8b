"""Requests that go up, and whose answers come down, in another form than their client's.

Only where the operator has said which dialects the upstream speaks. Completions have a module of their
own (``translating``); here is what stands around them: tokens are counted with what the upstream has,
models are listed in the client's shape, probes are answered.
"""

from __future__ import annotations

from relay import dialects
from relay.collected import Conversion
from relay.config import Settings, Upstream
from relay.dialects.deltas import Failure
from relay.errors import BadDocument, BodyTooLarge
from relay.model_list import ModelList
from relay.net.checking import Answered
from relay.net.relay import Relay
from relay.opening import open_converted, open_response
from relay.token_count import TokenCount
from relay.wire import edit, endpoints, translated
from relay.wire.forwarding import ResponseForm
from relay.wire.framing import Buffer, Header
from relay.wire.http1 import RequestHead, ResponseHead

JSON = b"application/json"


class Converting:
    """One such request, from its document to the end of its answer."""

    def __init__(
        self, relay: Relay, settings: Settings, upstream: Upstream, exchange_id: str, client: str
    ) -> None:
        self._relay = relay
        self._settings = settings
        self._id = exchange_id
        self._target = upstream
        self._client = dialects.CODECS[client]
        self._upstream = dialects.CODECS[upstream.dialects[0]]
        self._base = upstream.base_path
        self._profile = dialects.PROFILES[upstream.profile]
        self.headers: tuple[Header, ...] = ()

    def ask(self, head: RequestHead, body: bytearray) -> tuple[RequestHead, Buffer]:
        """The request to send, with the upstream's document in place of the client's."""
        limit = self._settings.limits.translated
        if len(body) > limit:
            raise BodyTooLarge(f"a request body that is translated may have {limit} bytes")
        if head.has_body and translated.is_compressed(head):
            raise self._refused("a compressed request body cannot be translated: send it plain", 415)
        return self._write(head, body)

    def answered(self, request: RequestHead, head: ResponseHead) -> Answered:
        """The answer as it came."""
        form = ResponseForm.decide(request, head)
        return Answered(head, form, open_response(form, head.body_decoder(), self._settings.limits.frame))

    @property
    def spoken(self) -> str:
        """The upstream's dialect."""
        return self._upstream.name

    @property
    def model(self) -> str | None:
        """As it was asked for, where that is known."""
        return None

    def close(self) -> None:
        """The exchange is over."""

    def _write(self, head: RequestHead, body: bytearray) -> tuple[RequestHead, Buffer]:
        return head.with_document(len(body)) if head.has_body else head, body

    def _whole(
        self, request: RequestHead, head: ResponseHead, conversion: Conversion, status: int | None = None
    ) -> Answered:
        """The answer as one document of another form."""
        form = ResponseForm.collected(request, head)
        limit = self._settings.limits.frame
        machine = open_converted(form, head.body_decoder(), conversion, status=head.status, limit=limit)
        return Answered(translated.response_head(head, self._client.name, JSON, status=status), form, machine)

    def _head(self, head: RequestHead, target: bytes, body: bytes, *, stream: bool = False) -> RequestHead:
        """The head for this document in place of the client's."""
        return translated.request_head(head, self._upstream.name, target, len(body), stream=stream)

    def _refused(self, message: str, status: int) -> BadDocument:
        failure = Failure(message, status, "invalid_request_error")
        return BadDocument(message, status, edit.dumps(self._client.error_document(failure)))


class Counting(Converting):
    """Anthropic's question for the number of tokens."""

    _count: TokenCount

    def _write(self, head: RequestHead, body: bytearray) -> tuple[RequestHead, Buffer]:
        objects = self._settings.limits.objects
        count = self._count = TokenCount(self._client, self._upstream, body, self._profile, objects=objects)
        return self._head(head, endpoints.count_target(head, count.path, self._base), count.body), count.body

    def answered(self, request: RequestHead, head: ResponseHead) -> Answered:
        return self._whole(request, head, self._count, self._count.status(head.status))


class Listing(Converting):
    """The models, in the shape of the client's SDK."""

    def _write(self, head: RequestHead, body: bytearray) -> tuple[RequestHead, Buffer]:
        return translated.bodiless(head, self._upstream.name), b""

    def answered(self, request: RequestHead, head: ResponseHead) -> Answered:
        return self._whole(request, head, ModelList(self._client))


class Probing(Converting):
    """Is anybody there? Claude Code asks for `/`, of which servers of models know nothing."""

    def answered(self, request: RequestHead, head: ResponseHead) -> Answered:
        status = head.status if head.status >= 500 else 200
        said = translated.response_head(head, self._client.name, JSON, status=status)
        form = ResponseForm.decide(request, head)
        return Answered(said, form, open_response(form, head.body_decoder(), 0))


class Absent(Converting):
    """What the Responses API keeps, over an upstream that keeps nothing."""

    def _write(self, head: RequestHead, body: bytearray) -> tuple[RequestHead, Buffer]:
        raise self._refused("relay keeps no responses, and its upstream does not speak that dialect", 404)
