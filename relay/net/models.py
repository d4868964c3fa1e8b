"""Asks the upstreams of a client's routes for their models, all at once, and answers with one list.

Who does not answer in time is left out, and named in the log when it begins; a server without such a list
has none to add. Only where nobody has answered does the client hear of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from urllib.parse import urlencode

from relay import dialects
from relay.config import Upstream
from relay.dialects.deltas import Failure
from relay.errors import RelayError, UpstreamError, UpstreamRefused, UpstreamTimeout
from relay.model_list import Model, models_in
from relay.models_merged import Question, merge
from relay.net.asking import Answer, ask
from relay.net.relay import Relay
from relay.routes import Route
from relay.translating import refusal
from relay.translation import failure_of
from relay.wire import edit, endpoints, translated
from relay.wire.credentials import KEY_FIELDS, with_credentials
from relay.wire.framing import Header
from relay.wire.http1 import RequestHead

log = logging.getLogger("relay")

_SECONDS = 10.0
_BYTES = 4 * 1024 * 1024
"""OpenRouter's list has half a million."""
_NO_LIST = (404, 405, 501)
_CLIENTS_FAULT = (401, 403)
_PASSED_ON = KEY_FIELDS | {b"cookie"}
_FAMILIES = (b"openai-", b"x-litellm-")
_ANTHROPIC = b"anthropic-"
_ALL = {"limit": "1000"}
"""Anthropic's lists end after 20 models where nobody asks for more."""


def wants(head: RequestHead) -> bool:
    """The request asks for the models, or for one of them."""
    return Question.read(head) is not None


def routes_of(relay: Relay, head: RequestHead) -> list[Route]:
    """Those whose models such a question is about: all that this client's completions may take.

    They lead to more upstreams than the path of the question itself, and those with a key of their own are
    asked with it: whoever may ask must have been let in to all of them.
    """
    question = Question.read(head)
    if question is None or not relay.router.ruled:
        return [*relay.router.candidates(head).routes]
    return [route for route in relay.router.routes if question.serves(route, head)]


async def merged(
    relay: Relay,
    head: RequestHead,
    *,
    forward: bool,
    permitted: Callable[[str], bool] | None = None,
) -> tuple[int, list[Header], bytes]:
    """Status, headers and body of the answer; raises RelayError with one in the client's dialect.

    ``forward``: the client's key is meant for upstreams that have none. ``permitted`` says of a name
    whether this client may use it.
    """
    question = Question.read(head)
    assert question is not None
    routes = routes_of(relay, head)
    listed = await _Asking(relay, head, question, forward=forward).ask_all(_upstreams(relay, routes))
    models = merge(routes, listed)
    if permitted is not None:
        models = {name: model for name, model in models.items() if permitted(name)}
    body = question.answer(models)
    return 200, [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))], body


def _upstreams(relay: Relay, routes: Iterable[Route]) -> list[Upstream]:
    """Those that the routes lead to, as they are configured and in that order."""
    names = {target.name for route in routes for target in route.targets}
    return [target.upstream for target in relay.router.targets if target.name in names]


_Request = tuple[Upstream, bytes, tuple[Header, ...]]


class _Asking:
    """The questions of one client."""

    def __init__(self, relay: Relay, head: RequestHead, question: Question, *, forward: bool) -> None:
        self._relay = relay
        self._head = head
        self._question = question
        self._forward = forward
        self._complaints: list[RelayError] = []

    async def ask_all(self, upstreams: Sequence[Upstream]) -> dict[str, list[Model]]:
        """The lists of those that have answered, by their names; raises RelayError where none has."""
        same: dict[tuple[object, ...], list[Upstream]] = {}
        for upstream in upstreams:
            target, headers = self._request(upstream)
            request = upstream.origin, upstream.base_path, upstream.query, upstream.headers, target, headers
            same.setdefault(request, []).append(upstream)
        groups = list(same.values())
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(self._ask(group[0])) for group in groups]
        answers = [task.result() for task in asked]
        listed = {
            str(upstream): models
            for group, models in zip(groups, answers, strict=True)
            if models is not None
            for upstream in group
        }
        if upstreams and not listed:
            raise self._failed()
        return {str(upstream): listed[str(upstream)] for upstream in upstreams if str(upstream) in listed}

    async def _ask(self, upstream: Upstream) -> list[Model] | None:
        """What one has; None where it has not said."""
        settings = self._relay.settings
        target, headers = self._request(upstream)
        seconds = min(settings.timeouts.head or _SECONDS, _SECONDS)
        try:
            answer = await ask(
                self._relay.pool, upstream, b"GET", target, headers, seconds=seconds, limit=_BYTES
            )
            models = self._read(upstream, answer)
        except RelayError as error:
            self._complaints.append(error)
            if not isinstance(error, UpstreamRefused):  # what one client may not see is its own affair
                self._warn(upstream, error.logged)
            return None
        self._relay.warned.discard(_kind(upstream))
        return models

    def _read(self, upstream: Upstream, answer: Answer) -> list[Model]:
        if answer.status in _NO_LIST:
            return []
        if not 200 <= answer.status < 300:
            if answer.status in _CLIENTS_FAULT and not upstream.api_key:
                raise refusal(dialects.CODECS[self._question.dialect], failure_of(answer.body, answer.status))
            raise UpstreamError(f"{upstream} answered with status {answer.status}")
        models = models_in(answer.body)
        if models is None:
            raise UpstreamError(f"the answer of {upstream} is no list of models")
        return models

    def _request(self, upstream: Upstream) -> tuple[bytes, tuple[Header, ...]]:
        """The target and the fields for this upstream."""
        question = self._question
        spoken = _spoken(upstream, question.dialect)
        anthropic = spoken == "messages"
        head = replace(self._head, headers=_passed_on(self._head, anthropic=anthropic))
        if upstream.dialects and not upstream.api_key:
            head = translated.bodiless(head, spoken)
        head = with_credentials(head, upstream, forward=self._forward)
        fields = {name.lower(): value for name, value in head.headers}
        fields |= {b"accept": b"application/json", b"accept-encoding": b"identity"}
        if anthropic:
            fields.setdefault(b"anthropic-version", translated.ANTHROPIC_VERSION)
        if upstream.sdk:
            target, query = (b"/v1/models" if anthropic else b"/models"), ""
        else:
            prefix = question.base.removesuffix(b"/v1")
            target, query = endpoints.versioned(prefix, b"/models", upstream.base_path), question.passed_on
        said = "&".join(filter(None, [query, urlencode(_ALL) if anthropic else ""]))
        return target + (f"?{said}".encode() if said else b""), tuple(fields.items())

    def _failed(self) -> RelayError:
        """Nobody has answered."""
        complaints = self._complaints
        own = next((error for error in complaints if error.body is not None), None)
        if own is not None:
            return own  # the client's own key is not accepted
        late = all(isinstance(error, UpstreamTimeout) for error in complaints)
        said = "; ".join(dict.fromkeys(str(error) for error in complaints[:3]))
        error = (UpstreamTimeout if late else UpstreamError)(
            f"no upstream has said which models it has: {said}"
        )
        failure = Failure(str(error), error.status)
        error.body = edit.dumps(dialects.CODECS[self._question.dialect].error_document(failure))
        return error

    def _warn(self, upstream: Upstream, why: str) -> None:
        """Once, until it has answered again."""
        if _kind(upstream) not in self._relay.warned:
            self._relay.warned.add(_kind(upstream))
            log.warning("the models of upstream %s are left out: %s", upstream, why)


def _kind(upstream: Upstream) -> str:
    return f"models of {upstream}"


def _spoken(upstream: Upstream, client: str) -> str:
    """The API that it is asked in: the client's where it has that."""
    spoken = upstream.dialects
    if not spoken or client in spoken or (client == "chat" and "responses" in spoken):
        return client
    return "chat" if spoken[0] == "responses" else spoken[0]


def _passed_on(head: RequestHead, *, anthropic: bool) -> list[Header]:
    """The client's fields that mean something to the upstream's API."""
    families = (*_FAMILIES, _ANTHROPIC) if anthropic else _FAMILIES
    return [
        (name, value)
        for name, value in head.headers
        if name.lower() in _PASSED_ON or name.lower().startswith(families)
    ]
