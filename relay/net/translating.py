"""Completions whose upstream does not speak the client's dialect, and which treatment a request gets."""

from __future__ import annotations

import logging
import re
import time
from dataclasses import replace

from relay.dialects.deltas import Context
from relay.net.checking import Answered, Checking, Watch
from relay.net.converting import Absent, Converting, Counting, Listing, Probing
from relay.net.relay import Relay
from relay.opening import open_response
from relay.translation import Translation
from relay.wire import endpoints, translated
from relay.wire.forwarding import ResponseForm
from relay.wire.http1 import RequestHead, ResponseHead

log = logging.getLogger("relay")

_UNSPEAKABLE = re.compile(r"[^A-Za-z0-9_.,\[\]()-]")
_NUMBER = re.compile(r"[0-9]+")
_SAID = 1000
"""Characters of dropped paths in a header."""
_WARNINGS = 1000
"""Kinds of losses that are told apart in the log."""


class Translating(Converting):
    """A completion, in another dialect."""

    _translation: Translation
    _watch: Watch | None = None

    def _prepare(self, head: RequestHead) -> RequestHead:
        codex = any(
            name.lower() == b"originator" and value.startswith(b"codex") for name, value in head.headers
        )
        body = self.document.body
        translation = Translation(self._client, self._upstream, body, self._profile, codex=codex)
        self._translation = translation
        self.headers = ((b"x-relay-dialect", translation.name.encode()),)
        if translation.request.dropped:
            self._warn(translation)
        target = endpoints.completion_target(head, self._upstream.name, self._base)
        return self._send(head, target, translation.body, stream=translation.request.stream)

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
        translator = self._translation.translator(self._context)
        self._watch = Watch(self._relay, translator.checker)
        machine = open_response(form, head.body_decoder(), self._relay.settings.limits.frame, translator)
        said = translated.response_head(head, self._client.name, b"text/event-stream; charset=utf-8")
        return Answered(said, replace(form, retyped=False), machine)

    @property
    def _context(self) -> Context:
        return self._translation.context(self._id, int(time.time()))

    def close(self) -> None:
        if self._watch is not None:
            self._watch.close()


Treatment = Checking | Converting


def treatment_of(relay: Relay, head: RequestHead, exchange_id: str) -> Treatment | None:
    """What is done with a request and its answer; None for one that is only forwarded."""
    spoken = relay.settings.upstream.dialects
    if not spoken:
        return Checking.of(relay, head, exchange_id)
    wanted = endpoints.completion_dialect(head)
    if wanted is not None:
        if wanted in spoken:
            return Checking.of(relay, head, exchange_id)
        return Translating(relay, head, exchange_id, wanted, spoken[0])
    if endpoints.lists_models(head):
        client = "messages" if endpoints.speaks_anthropic(head) else "chat"
        return Listing(relay, head, exchange_id, client, spoken[0])
    if "messages" not in spoken and endpoints.counts_tokens(head):
        return Counting(relay, head, exchange_id, "messages", spoken[0])
    if "messages" not in spoken and endpoints.probes(head):
        return Probing(relay, head, exchange_id, "messages", spoken[0])
    if "responses" not in spoken and endpoints.wants_stored_response(head):
        return Absent(relay, head, exchange_id, "responses", spoken[0])
    return None
