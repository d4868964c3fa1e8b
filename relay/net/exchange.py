"""One request: attempt, hedge, finish, cut.

A coroutine conducts until the response is committed: it waits for a target with room, lets an attempt
run, and another after one that failed, as far as `retry.py` allows. From the commit on only callbacks
are at work. Each read of the upstream is written to the client before its callback returns, and a live
stream holds no task.

Whatever ends an exchange does so in one of four ways: ``finished`` (the response is whole),
``_refuse`` (nothing was committed: an answer of our own), ``cut`` (something was: the client must
see that the rest is missing), ``client_left``.
"""

from __future__ import annotations

import asyncio
import logging
import random

from relay.continued import ContinuedStream
from relay.errors import ClientError, ClientTimeout, FramingError, RelayError, UpstreamTimeout
from relay.net import aftermath, models
from relay.net.attempt import Attempt, Failed
from relay.net.continuation import Continuation
from relay.net.document import Document
from relay.net.hedging import race
from relay.net.relay import Client, Relay, report
from relay.net.reply import Reply
from relay.net.upload import Upload
from relay.net.way import Way
from relay.retry import Fate
from relay.routing import Target
from relay.wire.forwarding import ResponseForm
from relay.wire.framing import Data
from relay.wire.http1 import Inbound, RequestHead, ResponseHead

log = logging.getLogger("relay")


class Exchange:
    """One request with its response, all attempts included."""

    __slots__ = (
        *("_budget", "_committed", "_cut_by", "_limit", "_live", "_over", "_relay", "_reply", "_task"),
        *("_taken_up", "_tried", "began", "client", "head", "id", "inbound", "upload", "way"),
    )

    def __init__(self, relay: Relay, client: Client, inbound: Inbound, head: RequestHead) -> None:
        self._relay = relay
        self.client = client
        self.inbound = inbound
        self.head = head
        self.id = next(relay.ids)
        self.way = Way(relay, head)
        self._reply = Reply(self.id, inbound, head)
        limit = self.way.document_limit
        limits = self.way.settings.limits
        self.upload = Upload(head, limits) if limit is None else Document(head, limit, relay.loop)
        self.began = relay.loop.time()
        self._budget = self.way.attempts(self.began, completion=limit is not None)
        self._tried: list[Target] = []
        self._live: list[Attempt] = []
        self._committed: Attempt | None = None
        self._cut_by: RelayError | None = None
        """What broke off the answer whose rest is looked for."""
        self._taken_up = 0
        self._over = False
        self._limit: asyncio.TimerHandle | None = None
        self._limit_time()
        self._task = relay.loop.create_task(self._conduct())

    # The conductor.

    async def _conduct(self) -> None:
        try:
            await self._attempt_all()
        except RelayError as error:
            self._refuse(error)
        except asyncio.CancelledError:
            if not self._over:
                raise
            # By `_close`. A task keeps what it was cancelled with, and with that our frames, and us.
        except Exception:
            log.exception("a fault of relay itself in exchange %s", self.id)
            self._refuse(RelayError(f"relay failed; its log has the details under {self.id}"))

    async def _attempt_all(self) -> None:
        await self.way.admit()
        if self.way.lists_models:
            await self._list_models()
            return
        document = self.upload if isinstance(self.upload, Document) else None
        if document is not None:
            await document.read(self.head, self.client, self.inbound)
        provisional = self.way.settings
        self.way.take(None if document is None else document.body)
        if self.way.settings is not provisional:
            self._budget = self.way.attempts(self.began, completion=document is not None)
            self._limit_time()
        while True:
            failed = await self._outcome(await self._next())
            if failed is None:
                return
            if failed.after is None:
                self._refuse(failed.error, failed.attempt)
                return
            await asyncio.sleep(failed.after)

    async def _list_models(self) -> None:
        """The answer is made of what several upstreams say."""
        way = self.way
        status, headers, body = await models.merged(
            self._relay, self.head, forward=way.forwards_keys, permitted=way.permits
        )
        keep, whole = self.keep, self.upload.complete
        self._close()
        self.client.outlet.write(self._reply.answer(status, headers, body, keep=keep))
        self.client.ended(keep=keep, linger=not whole)

    async def _next(self) -> Attempt:
        """An attempt at the best target that has room."""
        return self._begin(await self._relay.room.place(self.way.targets, self._tried))

    def _begin(self, target: Target) -> Attempt:
        self._tried.append(target)
        self._budget.begin()
        attempt = Attempt(self, self._relay, target)
        self._live.append(attempt)
        return attempt

    async def _outcome(self, attempt: Attempt) -> Failed | None:
        hedge = self.way.settings.retry.hedge
        if hedge and isinstance(self.upload, Document):
            return await race(attempt, hedge, self._second)
        return await attempt.run()

    def _second(self) -> Attempt | None:
        """An attempt at a target that has not been asked, beside the one that keeps us waiting."""
        targets, now = self.way.targets, self._relay.loop.time()
        if self._budget.used_up or not targets.elsewhere(now, self._tried):
            return None
        target = targets.choose(now, self._tried)
        if target is None:
            return None
        log.info(
            "exchange %s: no answer from %s yet; asking %s too", self.id, self._tried[-1].name, target.name
        )
        return self._begin(target)

    def _limit_time(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
        whole = self.way.settings.timeouts.exchange
        self._limit = self._relay.loop.call_at(self.began + whole, self._too_long) if whole else None

    # From the client's connection.

    @property
    def request_complete(self) -> bool:
        return self.upload.complete

    def client_bytes(self, data: Data, view: memoryview, start: int, end: int) -> int:
        """Body bytes; returns where it stopped, ``start`` when it cannot take any now."""
        attempt = self._live[-1] if self._live else None
        if attempt is not None and attempt.tunnel is not None:
            attempt.tunnel.client_bytes(view[start:end])
            return end
        if not self.upload.wants:
            return start
        try:
            start = self.upload.receive(data, view, start, end)
        except (ClientError, FramingError) as error:
            malformed = ClientError(f"malformed request body: {error}")
            self.fail(error if isinstance(error, ClientError) else malformed)
            return end
        if attempt is not None:
            attempt.request_sent_on()
        self.client.rearm()
        return start

    def client_drained(self) -> None:
        """The client has taken all that waited for it."""
        if self._live:
            self._live[-1].client_drained()

    def client_ended(self) -> bool:
        """The client closed its half; True when that is not the end of it (a tunnel)."""
        tunnel = self._committed.tunnel if self._committed is not None else None
        if tunnel is None:
            return False
        tunnel.client_ended()
        return True

    def client_left(self, error: RelayError | None = None) -> None:
        """The client is gone, or sent away for a reason: so is what the upstream would go on for."""
        if error is not None and not self._over:
            report(self.id, self.head, error, self._budget.count)
        self._close("CD" if error is None else error.end)

    def fail(self, error: RelayError) -> None:
        """End the exchange for this reason, in whatever phase it is."""
        if self._committed is not None:
            self.cut(self._committed, error)
        else:
            self._refuse(error)

    def _too_long(self) -> None:
        whole = self.way.settings.timeouts.exchange
        if self.upload.complete:
            self.fail(UpstreamTimeout(f"the answer was not complete {whole:g} s after its request"))
        else:
            self.fail(ClientTimeout(f"the request was not complete {whole:g} s after its head"))

    # From the attempts.

    @property
    def keep(self) -> bool:
        return self.upload.complete and self.head.keep_alive and not self._relay.draining

    def informational(self, head: ResponseHead) -> None:
        self.client.outlet.write(self._reply.informational(head))

    def response_head(self, attempt: Attempt, head: ResponseHead, form: ResponseForm) -> bytes:
        self._answered_by(attempt)
        return self._reply.forwarded_head(head, form, keep=attempt.keep)

    def switched(self, head: ResponseHead, protocol: bytes) -> None:
        self.client.outlet.write(self._reply.switched(head, protocol))

    def _answered_by(self, attempt: Attempt | None) -> None:
        reply = self._reply
        reply.attempts = self._budget.count
        reply.by = None if attempt is None else attempt.target
        reply.noted = () if attempt is None or attempt.treatment is None else attempt.treatment.headers

    def again(self, fate: Fate, wait: float | None) -> float | None:
        """Seconds until another attempt may begin after one that failed; None: none may."""
        if wait is not None:
            self._reply.wait = max(wait, self._reply.wait)
        if not self.upload.resendable:
            return None
        if len(self._live) > 1:
            return 0.0  # there is another one under way
        now = self._relay.loop.time()
        elsewhere = self.way.targets.elsewhere(now, self._tried)
        return self._budget.again(fate, now, wait=wait, elsewhere=elsewhere, dice=random.random())

    def failed(self, attempt: Attempt, error: RelayError, after: float | None) -> None:
        """An attempt came to nothing."""
        self._live.remove(attempt)
        if after is not None and not self._over:
            name, why = attempt.target.name, error.logged
            log.warning("exchange %s: attempt %d, at %s, failed: %s", self.id, self._budget.count, name, why)

    def committed(self, attempt: Attempt) -> None:
        """The head is about to leave with the first of the body: from here on there is no second attempt."""
        self._committed = attempt
        self.upload.forget()
        for other in [other for other in self._live if other is not attempt]:
            other.close()
        self._live = [attempt]

    def finished(self, attempt: Attempt, *, linger: bool) -> None:
        """The response is whole."""
        keep = attempt.keep and not self._relay.draining
        self._close()
        self.client.ended(keep=keep, linger=linger)

    # Ends.

    def _refuse(self, error: RelayError, attempt: Attempt | None = None) -> None:
        """Nothing was committed: the answer is ours."""
        if self._over:
            return
        whole, keep = self.upload.complete, self.keep
        said = None if attempt is None else attempt.answered
        self._answered_by(attempt)
        out = self._reply.refusal(error, said, keep=keep)
        self._close()
        report(self.id, self.head, error, self._budget.count)
        self.client.outlet.write(out)
        self.client.ended(keep=keep, linger=not whole)

    def cut(self, attempt: Attempt, error: RelayError) -> None:
        """Part of the response has left: another target has the rest, or its end must not look like one."""
        if self._over:
            return
        stream = attempt.stream
        if stream is None:
            self._end(attempt, error)
        elif self._cut_by is not None and stream.continued == self._taken_up:
            self._end(attempt, self._cut_by)  # whoever was to go on did not
        elif (why := stream.obstacle(error)) or stream.continued >= self.way.settings.retry.attempts:
            log.info("exchange %s: not continued: %s", self.id, why or "it was too often")
            self._end(attempt, error)
        else:
            self._cut_by, self._taken_up = error, stream.continued
            attempt.part()
            self._task = self._relay.loop.create_task(self._continue(attempt, stream))

    async def _continue(self, attempt: Attempt, stream: ContinuedStream) -> None:
        """Somebody else goes on with the answer, or it ends for the reason that it was cut."""
        cut_by = self._cut_by
        assert cut_by is not None
        try:
            if await Continuation(self._relay, self, attempt, stream).run():
                return
        except RelayError as error:
            log.info("exchange %s: not continued: %s", self.id, error.logged)
        except Exception:
            log.exception("a fault of relay itself in exchange %s", self.id)
        self._end(attempt, cut_by)

    def _end(self, attempt: Attempt, error: RelayError) -> None:
        if self._over:
            return
        end_code = attempt.abandon(error)
        whole, keep = self.upload.complete, attempt.keep and not self._relay.draining
        self._close(end_code or error.end)
        if end_code != "OK":
            report(self.id, self.head, error, self._budget.count)
        if end_code is not None:
            self.client.ended(keep=keep, linger=not whole)
        else:
            self.client.cut(reset=attempt.form is None or not attempt.form.delimited)

    def _close(self, end: str = "") -> None:
        """Let go of everything but the client; ``end`` is the code of what came before the end."""
        if self._committed is not None and not self._over:
            aftermath.tell(self._relay, self, self._committed, self._budget.count, end)
        self._over = True
        if self._limit is not None:
            self._limit.cancel()
        waits = self._committed is None or self._cut_by is not None
        if waits and asyncio.current_task(self._relay.loop) is not self._task:
            self._task.cancel()  # for the document, a target, a connection, an answer
        for attempt in self._live:
            attempt.close()
        self._live, self._committed = [], None  # they know us: a circle would wait for the collector
