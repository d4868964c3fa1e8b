"""One try at one target: connect, send, read the head, wait for the first of the answer that counts.

Until its response is committed it can fail without anybody having seen it, and the exchange decides about
another. From then on it is the exchange's one response, and the client is told what fails.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from relay import retry
from relay.continued import ContinuedStream
from relay.errors import (
    RelayError,
    UpstreamClosed,
    UpstreamDenied,
    UpstreamError,
    UpstreamStatus,
    UpstreamTimeout,
)
from relay.net import reply
from relay.net.download import Download
from relay.net.owner import Owner
from relay.net.relay import Relay
from relay.net.slot import Slot
from relay.net.target_request import TargetRequest
from relay.net.translating import treatment_of
from relay.net.tunnel import Tunnel
from relay.net.upstream import UpstreamConnection
from relay.opening import Machine, open_response
from relay.routing import Target
from relay.wire.forwarding import ResponseForm
from relay.wire.framing import Data
from relay.wire.http1 import Outbound, ResponseHead


@dataclass(slots=True)
class Failed:
    """An attempt that came to nothing; another may begin ``after`` so many seconds, or none may."""

    attempt: Attempt
    error: RelayError
    after: float | None


class _Stale(Exception):
    """A pooled connection died before it answered, and the request may be sent again at once."""


class Attempt:
    """One try; holds its target's slot until ``close``."""

    __slots__ = (
        *("_download", "_outcome", "_over", "_owner", "_relay", "_sent", "_slot", "answered"),
        *("committed", "committed_at", "form", "keep", "request", "treatment", "tunnel", "upstream"),
    )

    def __init__(self, owner: Owner[Attempt], relay: Relay, target: Target) -> None:
        self._owner = owner
        self._relay = relay
        self.treatment = treatment_of(relay, owner.way.settings, target.upstream, owner.head, owner.id)
        self.request = TargetRequest(owner, target)
        self._download: Download | None = None
        self._outcome: asyncio.Future[Failed | None] | None = None
        self._sent = False
        self._over = False
        self._slot = Slot(relay, target)
        self.answered: ResponseHead | None = None
        self.committed = False
        self.committed_at: float | None = None
        self.form: ResponseForm | None = None
        self.keep = False
        self.tunnel: Tunnel | None = None
        self.upstream: UpstreamConnection | None = None

    @property
    def target(self) -> Target:
        return self._slot.target

    async def run(self) -> Failed | None:
        """Until the response is committed or over (None), or nothing came of it."""
        if self._over:
            return None  # another one was quicker
        pool, origin = self._relay.pool, self.target.upstream.origin
        outcome: asyncio.Future[Failed | None] = self._relay.loop.create_future()
        self._outcome = outcome
        try:
            self.request.prepare(self.treatment)
            pooled = pool.acquire(origin)
            if pooled is not None:
                try:
                    self._send(pooled)
                    return await outcome
                except _Stale:
                    outcome = self._outcome = self._relay.loop.create_future()
                    self._sent = False
            self._send(await pool.dial(origin, self._owner.way.settings.timeouts.connect))
        except RelayError as error:
            self.fail(error)
        return await outcome

    def _send(self, upstream: UpstreamConnection) -> None:
        if self._over:
            upstream.abort()
            return
        upstream.begin(self, Outbound(), self.request.head.method)
        self.upstream = upstream
        upstream.deadline.start(self._owner.way.settings.timeouts.head)
        self._sent = True
        self.request.send(upstream)

    def request_sent_on(self) -> None:
        """More of the request has been handed over: the time for the head counts from here."""
        if self.upstream is not None and self._download is None:
            self.upstream.deadline.touch()
        if self.upstream is not None and self.upstream.outlet.full:
            self._owner.client.pause()

    def client_drained(self) -> None:
        """The client has taken all that waited for it."""
        if self.upstream is None:
            return  # the answer was cut, and another target is asked for its rest
        (self._download or self.upstream).resume()

    # From the upstream's connection.

    def informational(self, head: ResponseHead) -> None:
        if not self.committed:
            self._owner.informational(head)

    def response_started(
        self, head: ResponseHead, data: Data, view: memoryview, start: int, end: int
    ) -> None:
        """The final head, and what came in the same read after it."""
        if head.status == 101:
            self._switch(head, data, view, start, end)
            return
        if self._asked_to_leave(head):
            return
        assert self.upstream is not None
        owner, settings = self._owner, self._owner.way.settings
        if self.treatment is not None:
            head, form, machine = self.treatment.answered(owner.head, head)
        else:
            form = ResponseForm.decide(owner.head, head)
            machine = open_response(form, head.body_decoder(), settings.limits.frame)
        self.answered, self.form, self.keep = head, form, owner.keep
        raw = owner.response_head(self, head, form)
        download = Download(
            self, self.upstream, owner.client.outlet, machine, head=raw, timeouts=settings.timeouts
        )
        self._download = download
        download.receive(data, view, start, end)
        if not self._over and not form.held:
            download.release_head()

    def upstream_ended(self) -> None:
        """The upstream closed its half of the connection."""
        if self.tunnel is not None:
            self.tunnel.upstream_ended()
        elif self._download is None:
            self._lost_before_head()
        else:
            self._download.receive_eof()

    def upstream_lost(self, error: Exception | None) -> None:
        """The upstream's connection broke, or was closed after its end was seen."""
        if self.tunnel is not None:
            self._owner.cut(self, UpstreamClosed("the upstream closed the connection"))
        elif self._download is None:
            self._lost_before_head()
        else:
            self.fail(UpstreamClosed(f"the upstream broke the connection: {error or 'closed'}"))

    def upstream_silent(self) -> None:
        timeouts = self._owner.way.settings.timeouts
        if self._download is None:
            late = f"the upstream sent no response head within {timeouts.head:g} s"
        elif not self.committed:
            late = f"the upstream sent no frame within {timeouts.first_frame:g} s of its head"
        else:
            late = f"the upstream sent nothing for {timeouts.idle:g} s"
        self.fail(UpstreamTimeout(late))

    def upstream_drained(self) -> None:
        """The upstream has taken all of the request that waited for it."""
        self._owner.client.resume()
        self._owner.client.feed()

    # From the download.

    def commit(self) -> None:
        """The head is about to leave with the first of the body: this attempt is the response."""
        self.committed, self.committed_at = True, self._relay.loop.time()
        self._slot.answering()
        self._owner.committed(self)
        self._resolve(None)

    def held_up(self) -> None:
        """The client does not take what was sent to it."""
        self._owner.client.rearm()

    def finished(self, *, exact: bool) -> None:
        """The response is whole; ``exact`` when nothing came after it."""
        upstream, self.upstream = self.upstream, None
        if upstream is None:
            return
        whole = self._owner.upload.complete
        if exact and self.answered and self.answered.reusable and whole and not upstream.outlet.full:
            streamed = self.form is not None and self.form.event_stream
            self._relay.pool.release(upstream, streamed=streamed)
        else:
            upstream.abort()
        self._slot.answered()
        self._owner.finished(self, linger=not whole)

    # Ends.

    def fail(self, error: RelayError) -> None:
        """What came of it cannot go on, for this reason."""
        if self._over:
            return
        if self.upstream is None or not self.upstream.stale:  # whose peer had closed it, and is not ill
            self._slot.failed(error)
        if self.committed:
            self._owner.cut(self, error)
            return
        fate = retry.fate_of(error, unsent=not self._sent)
        said = [] if error.retry_after is None else [(b"retry-after", error.retry_after.encode())]
        after = self._owner.again(fate, retry.wait_asked(said, time.time()))
        self._end(Failed(self, error, after))

    @property
    def machine(self) -> Machine | None:
        """What the response goes through."""
        return None if self._download is None else self._download.machine

    @property
    def stream(self) -> ContinuedStream | None:
        """The committed response, if another target could go on with it."""
        return self.machine if isinstance(self.machine, ContinuedStream) else None

    def part(self) -> None:
        """Let go of the target; the response itself stays, for another to go on with."""
        if self.upstream is not None:
            self.upstream.abort()
            self.upstream = None
        self._slot.leave()

    def go_on(self, target: Target, upstream: UpstreamConnection, head: ResponseHead) -> None:
        """The rest comes from here."""
        self._slot = Slot(self._relay, target)
        self.upstream, self.answered = upstream, head
        assert self._download is not None
        upstream.hand_over(self)
        self._download.go_on(upstream)

    def abandon(self, error: RelayError) -> str | None:
        """End the committed response in a way that says so; how it ended, None if nothing could."""
        return None if self._download is None else self._download.abandon(error)

    def close(self) -> None:
        """Let go of everything: its connection, its slot."""
        if self._over:
            return
        self._over = True
        if self.upstream is not None:
            self.upstream.abort()
            self.upstream = None
        self.request.stop()
        if self._download is not None:
            self._download.close()
            self._download = None  # it knows us: a cycle would wait for the collector
        if self.treatment is not None:
            self.treatment.close()
        self._slot.leave()
        self._resolve(None)

    def _lost_before_head(self) -> None:
        """The connection ended without a response head."""
        upstream = self.upstream
        assert upstream is not None
        if upstream.stale and self.request.repeatable(unread=upstream.surely_unread):
            upstream.abort()
            self.upstream = None
            self.request.stop()
            if self._outcome is not None:
                self._outcome.set_exception(_Stale())
        else:
            self.fail(UpstreamClosed("the upstream closed the connection before it sent a response"))

    def _asked_to_leave(self, head: ResponseHead) -> bool:
        """A status that says to ask elsewhere, or later, where the exchange may do so."""
        own_key, bypass = bool(self.target.upstream.api_key), self._relay.settings.litellm is not None
        fate = retry.fate_of_status(head.status, own_key=own_key, bypass=bypass)
        if own_key and head.status == 401:
            self.fail(UpstreamDenied(f"{self.target.name} does not accept the key that relay has for it"))
            return True
        asks = fate is not retry.Fate.FINAL
        wait = retry.wait_asked(head.headers, time.time()) if asks else None
        self._slot.said(head.status, wait)
        if not asks or (after := self._owner.again(fate, wait)) is None:
            return False
        self._end(Failed(self, UpstreamStatus(head.status), after))
        return True

    def _switch(self, head: ResponseHead, data: Data, view: memoryview, start: int, end: int) -> None:
        """``101``: from here on both connections are one pipe."""
        owner, upstream = self._owner, self.upstream
        protocol = reply.switched_to(head, owner.head.upgrade or b"")
        if protocol is None:
            self.fail(UpstreamError("the upstream switched to a protocol that was not offered to it"))
            return
        assert upstream is not None
        owner.switched(head, protocol)
        upstream.deadline.stop()
        self.tunnel = Tunnel(owner.client, upstream)
        upstream.sink = self.tunnel.upstream_bytes
        self.commit()
        owner.client.rearm()
        if start < end:
            self.tunnel.upstream_bytes(data, view, start, end)
        owner.client.feed()

    def _end(self, failed: Failed) -> None:
        """Nothing came of it."""
        self._resolve(failed)
        self.close()
        self._owner.failed(self, failed.error, failed.after)

    def _resolve(self, failed: Failed | None) -> None:
        outcome, self._outcome = self._outcome, None  # it holds what failed, and that us: no circle
        if outcome is not None and not outcome.done():
            outcome.set_result(failed)
