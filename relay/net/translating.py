"""Completions whose upstream does not speak the client's dialect, and which treatment a request gets."""

from __future__ import annotations

import logging
import re
import time
from dataclasses import replace

from relay.config import Repair, Settings, Upstream
from relay.continuing import Transcript
from relay.dialects.deltas import Context
from relay.net.checking import Answered, Checking, Watch, transcript_of
from relay.net.converting import Absent, Converting, Counting, Listing, Probing
from relay.net.relay import Relay
from relay.opening import open_response
from relay.routes import Candidates, Route
from relay.translation import Translation
from relay.wire import endpoints, translated
from relay.wire.forwarding import ResponseForm
from relay.wire.framing import Buffer
from relay.wire.http1 import RequestHead, ResponseHead

log = logging.getLogger("relay")

_UNSPEAKABLE = re.compile(r"[^A-Za-z0-9_.,\[\]()-]")
_NUMBER = re.compile(r"[0-9]+")
_SAID = 1000
"""Characters of dropped paths in a header."""
_WARNINGS = 1000
"""Kinds of losses that are told apart in the log."""
_METHODS = 32
"""Whose limits are kept; clients choose them."""


class Translating(Converting):
    """A completion, in another dialect."""

    _translation: Translation
    _watch: Watch | None = None
    _transcript: Transcript | None = None

    def _write(self, head: RequestHead, body: bytearray) -> tuple[RequestHead, Buffer]:
        codex = any(
            name.lower() == b"originator" and value.startswith(b"codex") for name, value in head.headers
        )
        objects = self._settings.limits.objects
        translation = Translation(
            self._client, self._upstream, body, self._profile, codex=codex, objects=objects
        )
        self._translation = translation
        self.headers = ((b"x-relay-dialect", translation.name.encode()),)
        if translation.request.dropped:
            self._warn(translation)
        target = endpoints.completion_target(head, self._upstream.name, self._base)
        if self._upstream.name == "chat" and translation.request.stream:
            self._transcript = transcript_of(self._settings, self._target, translation.body)
        said = self._head(head, target, translation.body, stream=translation.request.stream)
        return said, translation.body

    def _warn(self, translation: Translation) -> None:
        """Say what the upstream was not told: to the client always, in the log once for the same fields."""
        said = ",".join(_UNSPEAKABLE.sub("?", path) for path in translation.request.dropped)[:_SAID]
        self.headers += ((b"x-relay-dropped", said.encode()),)
        kind = f"{translation.name} {_NUMBER.sub('*', said)}"
        new = kind not in self._relay.warned
        if new and len(self._relay.warned) < _WARNINGS:
            self._relay.warned.add(kind)
        level = logging.WARNING if new else logging.INFO
        log.log(level, "exchange %s, %s: the upstream cannot be told %s", self._id, translation.name, said)

    def answered(self, request: RequestHead, head: ResponseHead) -> Answered:
        form = ResponseForm.decide(request, head, stream_asked=True)
        if not self._translation.request.stream or head.status != 200 or not form.framed:
            return self._whole(request, head, self._translation.conversion(self._context))
        settings = self._settings
        translator = self._translation.translator(self._context, hold_thinking=settings.hold_thinking)
        self._watch = Watch(self._relay, translator.checker)
        look_ahead, limit = settings.timeouts.look_ahead > 0, settings.limits.frame
        machine = open_response(
            form,
            head.body_decoder(),
            limit,
            translator,
            look_ahead=look_ahead,
            transcript=self._transcript,
            headers=head.headers,
        )
        said = translated.response_head(head, self._client.name, b"text/event-stream; charset=utf-8")
        return Answered(said, replace(form, retyped=False), machine)

    @property
    def model(self) -> str | None:
        return self._translation.request.model

    @property
    def _context(self) -> Context:
        return self._translation.context(self._id, int(time.time()))

    def close(self) -> None:
        if self._watch is not None:
            self._watch.close()


Treatment = Checking | Converting


def treatment_of(
    relay: Relay, settings: Settings, upstream: Upstream, head: RequestHead, exchange_id: str
) -> Treatment | None:
    """What is done with a request to this upstream and with its answer; None where it is only forwarded."""
    kind, client = _kind(settings, upstream, head)
    if kind is None:
        return None
    return kind(relay, settings, upstream, exchange_id, client)


def document_limit(candidates: Candidates, head: RequestHead) -> int | None:
    """Bytes of a request body that is read whole before it is sent; None for one that streams through.

    Completions are where something is done with them, or where they may be sent to another upstream, and
    what says which of these routes is taken.
    """
    known = candidates.limits
    kind = head.method, endpoints.has_document(head)
    if known is not None and kind in known:
        return known[kind]
    said = [_document_limit(route, head) for route in candidates.routes]
    limit = max((one for one in said if one is not None), default=None)
    if known is not None and len(known) < _METHODS:
        known[kind] = limit
    return limit


def _document_limit(route: Route, head: RequestHead) -> int | None:
    limits = route.settings.limits
    kinds = [_kind(route.settings, target.upstream, head)[0] for target in route.targets]
    forwarded = len(kinds) > 1 and endpoints.completion_dialect(head) is not None
    asked = route.asks_document and endpoints.has_document(head)
    if (forwarded and None in kinds) or Checking in kinds or asked:
        return limits.document
    return None if kinds.count(None) == len(kinds) else limits.translated


def _kind(
    settings: Settings, upstream: Upstream, head: RequestHead
) -> tuple[type[Checking] | type[Converting] | None, str]:
    """The treatment of such a request by such an upstream, and the dialect of its client."""
    spoken, wanted = upstream.dialects, endpoints.completion_dialect(head)
    if wanted is not None and (not spoken or wanted in spoken):
        return (None if settings.repair is Repair.OFF else Checking), wanted
    if not spoken:
        return None, ""
    if wanted is not None:
        return Translating, wanted
    if endpoints.lists_models(head):
        return Listing, "messages" if endpoints.speaks_anthropic(head) else "chat"
    if "messages" not in spoken and endpoints.counts_tokens(head):
        return Counting, "messages"
    if "messages" not in spoken and endpoints.probes(head):
        return Probing, "messages"
    if "responses" not in spoken and endpoints.wants_stored_response(head):
        return Absent, "responses"
    return None, ""
