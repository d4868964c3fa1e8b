"""The rest of an answer that was cut, asked of other targets; opt-in (`--continue`).

The client's stream waits meanwhile, its keep-alives go on. Only a target that begins an event stream with 200
takes the attempt over; whatever else it says is as if nobody had been asked.
"""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import replace

from relay.config import Settings, Upstream
from relay.continued import ContinuedStream
from relay.dialects import PROFILES
from relay.errors import RelayError, UpstreamClosed, UpstreamTimeout
from relay.net.attempt import Attempt
from relay.net.owner import Owner
from relay.net.relay import Relay
from relay.net.upstream import UpstreamConnection
from relay.retry import Attempts, Fate
from relay.routing import Target
from relay.wire import edit, endpoints, forwarding
from relay.wire.credentials import with_credentials
from relay.wire.framing import Data
from relay.wire.http1 import Outbound, RequestHead, ResponseHead

log = logging.getLogger("relay")


class Continuation:
    """Who could go on, and what they say to that."""

    def __init__(
        self, relay: Relay, owner: Owner[Attempt], attempt: Attempt, stream: ContinuedStream
    ) -> None:
        self._relay = relay
        self._owner = owner
        self._attempt = attempt
        self._stream = stream

    async def run(self) -> bool:
        """True once the attempt goes on at another target; False when there is none."""
        relay, now = self._relay, self._relay.loop.time
        budget = Attempts(self._owner.way.settings.retry, idempotent=True, completion=True, began=now())
        tried = [self._attempt.target]
        targets = self._owner.way.targets
        tried += [target for target in targets if not self._can_go_on(target.upstream)]
        after: float | None = 0.0
        while after is not None:
            await asyncio.sleep(after)
            target = await relay.room.place(targets, tried)
            budget.begin()
            tried.append(target)
            asked = _Asked(self, target)
            try:
                if self._can_go_on(target.upstream) and await asked.run():
                    return True
            finally:
                if not asked.took_over:  # it keeps its slot, even where it ended the answer in the same read
                    relay.room.leave(target)
            elsewhere = targets.elsewhere(now(), tried)
            after = budget.again(Fate.UNSENT, now(), wait=None, elsewhere=elsewhere, dice=random.random())
        return False

    def _can_go_on(self, upstream: Upstream) -> bool:
        forwards = not upstream.dialects and endpoints.completion_dialect(self._owner.head) == "chat"
        return self._stream.fits(PROFILES[upstream.profile]) and (forwards or "chat" in upstream.dialects)

    def send(self, connection: UpstreamConnection, asked_of: Target) -> None:
        """The request for the rest."""
        owner, upstream = self._owner, asked_of.upstream
        target = owner.head.target
        if endpoints.completion_dialect(owner.head) != "chat":
            target = endpoints.completion_target(owner.head, "chat", upstream.base_path)
        document = bytearray(self._stream.request(PROFILES[upstream.profile]))
        if (name := owner.way.model_at(asked_of) or owner.way.model) is not None:
            edit.set_value(document, ["model"], name, there=True)
        asked = with_credentials(
            self._attempt.request.head.with_document(len(document)), upstream, forward=owner.way.forwards_keys
        )
        head = forwarding.write_request(
            Outbound(),
            replace(asked, target=target),
            upstream,
            client=owner.client.address,
            scheme=owner.client.scheme,
        )
        connection.outlet.writelines([head, document])

    def took_over(
        self,
        target: Target,
        connection: UpstreamConnection,
        head: ResponseHead,
        data: Data,
        view: memoryview,
        start: int,
        end: int,
    ) -> None:
        """This target goes on; what followed its head in the same read is the first of the rest."""
        log.warning("exchange %s: cut, and continued by %s", self._owner.id, target.name)
        self._stream.resume(head.body_decoder(), target.name)
        self._attempt.go_on(target, connection, head)
        if start < end:
            assert connection.sink is not None
            connection.sink(data, view, start, end)

    @property
    def head(self) -> RequestHead:
        return self._owner.head

    @property
    def settings(self) -> Settings:
        return self._owner.way.settings

    @property
    def relay(self) -> Relay:
        return self._relay

    def tell(self, target: Target, why: str) -> None:
        log.warning("exchange %s: %s cannot continue it: %s", self._owner.id, target.name, why)


class _Asked:
    """One target that was asked for the rest: the listener of its connection until it answers."""

    def __init__(self, continuation: Continuation, target: Target) -> None:
        self._continuation = continuation
        self._relay = continuation.relay
        self._target = target
        self._connection: UpstreamConnection | None = None
        self.took_over = False
        self._outcome: asyncio.Future[bool] = self._relay.loop.create_future()

    async def run(self) -> bool:
        """Did it take over."""
        pool, origin = self._relay.pool, self._target.upstream.origin
        try:
            self._connection = connection = pool.acquire(origin) or await pool.dial(
                origin, self._continuation.settings.timeouts.connect
            )
            connection.begin(self, Outbound(), b"POST")
            connection.deadline.start(self._continuation.settings.timeouts.head)
            self._continuation.send(connection, self._target)
            return await self._outcome
        except RelayError as error:
            self._continuation.tell(self._target, error.logged)
            return False
        finally:
            if self._connection is not None:
                self._connection.abort()

    def informational(self, head: ResponseHead) -> None:
        """Nothing of it is for the client."""

    def response_started(
        self, head: ResponseHead, data: Data, view: memoryview, start: int, end: int
    ) -> None:
        form = forwarding.ResponseForm.decide(self._continuation.head, head)
        if head.status != 200 or not form.framed or form.coding:
            self.fail(UpstreamClosed(f"it answered with status {head.status}, and no plain event stream"))
            return
        connection, self._connection = self._connection, None
        assert connection is not None
        self.took_over = True
        self._outcome.set_result(True)
        self._continuation.took_over(self._target, connection, head, data, view, start, end)

    def fail(self, error: RelayError) -> None:
        if not self._outcome.done():
            self._outcome.set_exception(error)

    def upstream_ended(self) -> None:
        self.fail(UpstreamClosed("it closed the connection"))

    def upstream_lost(self, error: Exception | None) -> None:
        self.fail(UpstreamClosed("it broke the connection"))

    def upstream_drained(self) -> None:
        """The document has left."""

    def upstream_silent(self) -> None:
        self.fail(UpstreamTimeout(f"no response head within {self._continuation.settings.timeouts.head:g} s"))
