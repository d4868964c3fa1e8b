"""One completion that is asked for in one dialect and answered in another."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import orjson

from relay.collected import Conversion
from relay.dialects import failures
from relay.dialects.checker import Malformed, Truncated
from relay.dialects.codec import Answer, Codec, Encoder
from relay.dialects.deltas import Context, Delta, Failure
from relay.dialects.frame import Frame
from relay.dialects.reading import TooLarge, objects_in
from relay.dialects.request import BadRequest, Profile, Request
from relay.errors import BadDocument
from relay.payload import parse
from relay.translating import Translator, refusal
from relay.wire import edit, sse

_SAID = 300
"""Characters of an error that is no JSON which its message repeats."""


class Translation:
    """The request, read in the client's dialect and written in the upstream's."""

    __slots__ = ("_client", "_upstream", "body", "request")

    def __init__(
        self,
        client: Codec,
        upstream: Codec,
        body: bytes | bytearray,
        profile: Profile,
        *,
        codex: bool = False,
        objects: int = 0,
    ) -> None:
        """Raises BadDocument for a request that cannot be served, or has more than so many ``objects``."""
        self._client = client
        self._upstream = upstream
        with refusing(client):
            self.request: Request = client.read(document_of(body, objects))
            self.request.shows_refusals = not codex
            self.body = orjson.dumps(upstream.write(self.request, profile))
        self.request.turns = []  # sent, and not needed for the answer

    @property
    def name(self) -> str:
        """``messages<chat``: what the client gets, and from what it was made."""
        return f"{self._client.name}<{self._upstream.name}"

    def context(self, ident: str, created: int) -> Context:
        request = self.request
        named = request.tool_choice is not None and request.tool_choice.mode == "tool"
        return Context(ident, created, request.model, usage_asked=True, named_tool=named)

    def translator(self, context: Context, *, hold_thinking: bool = False) -> Translator:
        """What the frames of a streamed answer pass through."""
        decoder = self._upstream.decoder(self.request)
        encoder = self._client.encoder(context, self.request)
        checker = self._upstream.checker(context)
        return Translator(checker, decoder, encoder, self._client, hold_thinking=hold_thinking)

    def conversion(self, context: Context) -> TranslatedDocument:
        """What becomes of an answer that is no stream, errors among them."""
        return TranslatedDocument(self._client, self._upstream, context, self.request)


class TranslatedDocument(Conversion):
    """A whole answer in the client's dialect."""

    def __init__(self, client: Codec, upstream: Codec, context: Context, request: Request) -> None:
        self._client = client
        self._upstream = upstream
        self._context = context
        self._request = request

    def convert(self, status: int, body: bytes) -> bytes:
        if not 200 <= status < 300:
            raise refusal(self._client, failure_of(body, status))
        answer = self._client.answer(self._context, self._request)
        checker = self._upstream.checker(self._context)
        decoder = self._upstream.decoder(self._request)
        collector = Collector(self._context, self._request, answer)
        translator = Translator(checker, decoder, collector, self._client)
        try:
            _take_all(translator, bytearray(body))
            if checker.failure is None:
                return edit.dumps(answer.document())
        except Truncated as missing:
            failure = Failure(f"the upstream closed the connection before {missing}")
            raise refusal(self._client, failure) from missing
        except (Malformed, RecursionError) as fault:
            failure = Failure(f"the upstream's answer cannot be translated: {fault}")
            raise refusal(self._client, failure) from fault
        finally:
            self.usage = checker.usage
            checker.close()
        raise refusal(self._client, checker.failure)


class Collector(Encoder):
    """Takes deltas for a document instead of writing frames."""

    def __init__(self, context: Context, request: Request, answer: Answer) -> None:
        super().__init__(context, request)
        self._answer = answer

    def encode(self, delta: Delta) -> list[Frame]:
        self._answer.take(delta)
        return []

    def keep_alive(self) -> None:
        """Nobody hears it."""


def _take_all(translator: Translator, body: bytearray) -> None:
    """An answer that is a document, or a stream that nobody asked for."""
    if body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[")):
        translator.take_document(bytes(body))
    else:
        cut = max(sse.FrameScanner().receive(body, 0, len(body)), 0)
        translator.take(body, memoryview(body), 0, cut)
        if cut < len(body):
            translator.take_rest(body[cut:])
    translator.end()


def document_of(body: bytes | bytearray, objects: int = 0) -> dict[str, Any]:
    """A request's document; raises BadRequest when it is none.

    Reading takes some 15 µs an item, and nothing else is done meanwhile: ``objects`` bounds it, 0 does not.
    """
    if objects and objects_in(body, objects) > objects:
        raise TooLarge("", f"a request of more than {objects} JSON objects and lists is not translated")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest("", f"the request body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise BadRequest("", "the request body is not a JSON object")
    return document


def failure_of(body: bytes, status: int) -> Failure:
    """What an answer with this status says; its message is kept word for word."""
    failure = failures.read(parse(body), status=status)
    if failure is not None:
        return failure
    said = " ".join(body.decode("utf-8", "replace").split())[:_SAID]
    return Failure(f"the upstream answered {status}" + (f": {said}" if said else ""), status)


@contextlib.contextmanager
def refusing(client: Codec) -> Iterator[None]:
    """A request that cannot be served is refused in the client's dialect."""
    try:
        try:
            yield
        except (orjson.JSONEncodeError, RecursionError) as deep:
            raise BadRequest("", "the request is nested too deeply") from deep
    except BadRequest as error:
        status = error.status if isinstance(error, TooLarge) else 400
        failure = Failure(
            str(error),
            status,
            "invalid_request_error" if status == 400 else "request_too_large",
            error.code,
            param=error.path or None,
            details=error.details,
        )
        raise BadDocument(str(error), status, edit.dumps(client.error_document(failure))) from error
