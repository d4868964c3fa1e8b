"""The way of one request: which route it takes, and which targets its key may reach.

The head leaves some routes, the key says whose request it is, the document decides. Until then the first
of them stands for the one that is taken.
"""

from __future__ import annotations

from relay.config import Settings
from relay.errors import BodyTooLarge, Forbidden, NotFound, RelayError, Unauthorized
from relay.metrics import KEYS_CHECKED
from relay.models_merged import unknown
from relay.net import models
from relay.net.admission import Permission, Verdict
from relay.net.relay import Relay
from relay.net.translating import document_limit
from relay.net.upload import IDEMPOTENT
from relay.retry import Attempts
from relay.routes import Asked, known_models
from relay.routing import Target, Targets
from relay.wire import endpoints
from relay.wire.framing import Buffer
from relay.wire.http1 import RequestHead


class Way:
    """Decided step by step, each once: ``admit``, then ``take``."""

    __slots__ = (
        *("_head", "_listed", "_lists", "_relay", "_routes"),
        *("model", "permission", "route", "targets"),
    )

    def __init__(self, relay: Relay, head: RequestHead) -> None:
        self._relay = relay
        self._head = head
        self._routes = relay.router.candidates(head)
        self.route = self._routes.first(head) or relay.router.nowhere
        self.targets: Targets = self.route.targets
        # LiteLLM's own list knows what its keys may use.
        self._lists = relay.router.ruled and relay.settings.litellm is None and models.wants(head)
        self._listed = models.routes_of(relay, head) if self._lists else []
        """Whose upstreams say which models they have."""
        self.model: str | None = None
        """As the client names it, where the route or the key depends on it."""
        self.permission: Permission | None = None
        """What the key may do, where relay has looked at it."""

    @property
    def settings(self) -> Settings:
        return self.route.settings

    @property
    def document_limit(self) -> int | None:
        """Bytes of a request body that is read whole; None for one that streams through."""
        limit = document_limit(self._routes, self._head)
        if limit is None and self._guarded and endpoints.has_document(self._head):
            return self.settings.limits.document  # the key may be good for some models only
        return limit

    @property
    def lists_models(self) -> bool:
        """The request asks which models there are, and no single upstream could tell."""
        if not self._lists:
            return False
        servers = {target.server for route in self._listed for target in route.targets}
        return len(servers) > 1 or any(route.rule.models for route in self._listed)

    def permits(self, model: str) -> bool:
        """The key may be good for this model."""
        return self.permission is None or self.permission.allows(model) is not Verdict.NO

    @property
    def _guarded(self) -> bool:
        """Whose request it is must be known here."""
        keys = self._relay.settings.keys
        if not keys.verifier:
            return bool(keys.digests)
        return self._routes.keyed or any(route.keyed for route in self._listed)

    async def admit(self) -> None:
        """Ask who it is; raises Unauthorized."""
        if self._relay.admission is None or not self._guarded:
            return
        counters = self._relay.counters
        try:
            self.permission = await self._relay.admission.admit(self._head)
        except RelayError as error:
            outcome = "refused" if isinstance(error, Unauthorized) else "unavailable"
            counters.count(KEYS_CHECKED, outcome)
            raise
        counters.count(KEYS_CHECKED, "accepted")

    def take(self, document: Buffer | None) -> None:
        """The route of this document; raises NotFound and Forbidden."""
        if not self._relay.router.ruled and self.permission is None:
            return
        asked = Asked() if document is None else Asked.read(document)
        route = self._routes.choose(asked, self._head)
        if route is None:
            raise self._lost(asked.model)
        self.route, self.targets, self.model = route, route.targets, asked.model
        limit = route.settings.limits.document
        if document is not None and len(document) > limit:
            raise BodyTooLarge(f"the request body is above {limit} bytes")
        if self.permission is not None and route.keyed:
            self._ask_permission(self.permission.allows(asked.model))

    def attempts(self, began: float, *, completion: bool) -> Attempts:
        """Those that the route allows."""
        idempotent = self._head.method in IDEMPOTENT
        return Attempts(
            self.settings.retry,
            idempotent=idempotent,
            completion=completion,
            began=began,
            delegated=self.settings.litellm is not None,
        )

    def model_at(self, target: Target) -> str | None:
        """The name by which this target knows the client's model; None where it is the same."""
        return self.route.model_at(target, self.model)

    @property
    def forwards_keys(self) -> bool:
        """The client's key is meant for upstreams, too."""
        keys = self._relay.settings.keys
        return keys.forward or bool(keys.verifier) or not keys.digests

    def _ask_permission(self, verdict: Verdict) -> None:
        """What relay cannot answer for goes where the client's own key is asked for."""
        if verdict is Verdict.YES:
            return
        self.targets = self.route.unkeyed
        if not len(self.targets):
            raise Forbidden("the key is not permitted to use this model here")

    def _lost(self, model: str | None) -> NotFound:
        if model is None:
            return NotFound("no route serves this request; its configuration says which paths there are")
        dialect = endpoints.completion_dialect(self._head)
        if endpoints.counts_tokens(self._head) or endpoints.speaks_anthropic(self._head):
            dialect = "messages"
        return unknown(model, known_models(self._routes.routes), dialect or "chat")
