"""One request: attempt, pump, finish.

A coroutine conducts until the response is committed: it takes a connection, sends the request,
waits for the head, and may do so a second time when a pooled connection turns out to be dead.
From the commit on only callbacks are at work. Each read of the upstream is written to the
client before its callback returns, and a live stream holds no task.

Whatever ends an exchange does so in one of four ways: ``finished`` (the response is whole),
``_refuse`` (nothing was committed: an answer of our own), ``_cut`` (something was: the client must
see that the rest is missing), ``client_left``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from relay.errors import ClientError, FramingError, RelayError, UpstreamClosed, UpstreamError, UpstreamTimeout
from relay.net import reply
from relay.net.download import Download
from relay.net.relay import Client, Relay, report
from relay.net.translating import treatment_of
from relay.net.tunnel import Tunnel
from relay.net.upload import Upload
from relay.net.upstream import UpstreamConnection
from relay.opening import open_response
from relay.wire import forwarding
from relay.wire.forwarding import ResponseForm
from relay.wire.framing import Data, Header
from relay.wire.http1 import Inbound, Outbound, RequestHead, ResponseHead

log = logging.getLogger("relay")


class Stale(Exception):
    """A pooled connection died before it answered, and the request may be sent again."""


class Exchange:
    """One request with its response, all attempts included."""

    __slots__ = (
        *("_answer", "_answered", "_client", "_committed", "_download", "_form", "_head", "_id", "_inbound"),
        *("_keep", "_over", "_relay", "_task", "_treatment", "_tunnel", "_upload", "_upstream"),
    )

    def __init__(self, relay: Relay, client: Client, inbound: Inbound, head: RequestHead) -> None:
        self._relay = relay
        self._client = client
        self._inbound: Inbound | None = inbound
        self._head = head
        self._id = next(relay.ids)
        self._treatment = treatment_of(relay, head, self._id)
        self._upload = (
            self._treatment.document if self._treatment else Upload(head, relay.settings.limits.replay)
        )
        self._answered: ResponseHead | None = None
        self._form: ResponseForm | None = None
        self._download: Download | None = None
        self._upstream: UpstreamConnection | None = None
        self._tunnel: Tunnel | None = None
        self._committed = False
        self._keep = False
        self._over = False
        self._answer: asyncio.Future[None] | None = None
        self._task = relay.loop.create_task(self._conduct())

    # The conductor.

    async def _conduct(self) -> None:
        try:
            await self._attempt_all()
        except RelayError as error:
            self._refuse(error)
        except Exception:
            log.exception("a fault of relay itself in exchange %s", self._id)
            self._refuse(RelayError(f"relay failed; its log has the details under {self._id}"))

    async def _attempt_all(self) -> None:
        if self._treatment is not None and self._inbound is not None:
            self._head = await self._treatment.read(self._head, self._client, self._inbound)
        pool, origin = self._relay.pool, self._relay.settings.upstream.origin
        pooled = pool.acquire(origin)
        if pooled is not None:
            try:
                await self._attempt(pooled)
                return
            except Stale:
                log.info("exchange %s: a pooled connection to %s had died; sending again", self._id, origin)
        await self._attempt(await pool.dial(origin))

    async def _attempt(self, upstream: UpstreamConnection) -> None:
        """Send the request and wait until the response is committed, has failed, or is over."""
        codec = Outbound()
        upstream.begin(self, codec, self._head.method)
        self._upstream = upstream
        self._answer = self._relay.loop.create_future()
        head = forwarding.write_request(
            codec, self._head, self._relay.settings.upstream, client=self._client.address, scheme=b"http"
        )
        self._upload.begin(upstream.outlet, head, keep=upstream.reused)
        upstream.deadline.start(self._relay.settings.timeouts.head)
        self._client.feed()  # body bytes that came early leave together with the head
        self._upload.flush()
        await self._answer

    # From the client's connection.

    @property
    def request_complete(self) -> bool:
        return self._upload.complete

    def client_bytes(self, data: Data, view: memoryview, start: int, end: int) -> int:
        """Body bytes; returns where it stopped, ``start`` when it cannot take any now."""
        if self._tunnel is not None:
            self._tunnel.client_bytes(view[start:end])
            return end
        if not self._upload.wants:
            return start
        try:
            start = self._upload.receive(data, view, start, end)
        except (ClientError, FramingError) as error:
            malformed = ClientError(f"malformed request body: {error}")
            self.fail(error if isinstance(error, ClientError) else malformed)
            return end
        upstream = self._upstream
        if upstream is not None:
            if self._download is None:
                upstream.deadline.touch()
            if upstream.outlet.full:
                self._client.pause()
        self._client.rearm()
        return start

    def client_drained(self) -> None:
        """The client has taken all that waited for it."""
        if self._download is not None:
            self._download.resume()
        elif self._upstream is not None:
            self._upstream.resume()

    def client_ended(self) -> bool:
        """The client closed its half; True when that is not the end of it (a tunnel)."""
        if self._tunnel is None:
            return False
        self._tunnel.client_ended()
        return True

    def client_left(self) -> None:
        """The client is gone: so is the reason for the upstream to go on."""
        self._close()

    def fail(self, error: RelayError) -> None:
        """End the exchange for this reason, in whatever phase it is."""
        if self._committed:
            self._cut(error)
        else:
            self._refuse(error)

    # From the upstream's connection.

    def informational(self, head: ResponseHead) -> None:
        if self._head.version == b"1.1" and self._inbound is not None:
            headers = forwarding.response_headers(head)
            self._client.outlet.write(self._inbound.informational(head.status, head.reason, headers))

    def response_started(
        self, head: ResponseHead, data: Data, view: memoryview, start: int, end: int
    ) -> None:
        """The final head, and what came in the same read after it."""
        if head.status == 101:
            self._switch(head, data, view, start, end)
            return
        assert self._upstream is not None
        assert self._inbound is not None
        settings = self._relay.settings
        if self._treatment is not None:
            head, form, machine = self._treatment.answered(self._head, head)
        else:
            form = ResponseForm.decide(self._head, head)
            machine = open_response(form, head.body_decoder(), settings.limits.frame)
        self._answered, self._form = head, form
        self._keep = self._upload.complete and self._head.keep_alive and not self._relay.draining
        raw = reply.forwarded_head(self._inbound, head, form, self._own_headers, keep=self._keep)
        download = Download(
            self, self._upstream, self._client.outlet, machine, head=raw, timeouts=settings.timeouts
        )
        self._download = download
        download.receive(data, view, start, end)
        if not self._over and not form.held:
            download.release_head()

    def upstream_ended(self) -> None:
        """The upstream closed its half of the connection."""
        if self._tunnel is not None:
            self._tunnel.upstream_ended()
        elif self._download is None:
            self._lost_before_head()
        else:
            self._download.receive_eof()

    def upstream_lost(self, error: Exception | None) -> None:
        """The upstream's connection broke, or was closed after its end was seen."""
        if self._tunnel is not None:
            self._cut(UpstreamClosed("the upstream closed the connection"))
        elif self._download is None:
            self._lost_before_head()
        else:
            self.fail(UpstreamClosed(f"the upstream broke the connection: {error or 'closed'}"))

    def upstream_silent(self) -> None:
        timeouts = self._relay.settings.timeouts
        if self._download is None:
            self.fail(UpstreamTimeout(f"the upstream sent no response head within {timeouts.head:g} s"))
        else:
            self.fail(UpstreamTimeout(f"the upstream sent nothing for {timeouts.idle:g} s"))

    def upstream_drained(self) -> None:
        """The upstream has taken all of the request that waited for it."""
        self._client.resume()
        self._client.feed()

    # Committing.

    def _switch(self, head: ResponseHead, data: Data, view: memoryview, start: int, end: int) -> None:
        """``101``: from here on both connections are one pipe."""
        if self._head.upgrade is None:
            self.fail(UpstreamError("the upstream switched protocols unasked"))
            return
        upstream = self._upstream
        assert upstream is not None
        assert self._inbound is not None
        self._client.outlet.write(reply.switched_head(self._inbound, head, self._head.upgrade))
        upstream.deadline.stop()
        self._tunnel = Tunnel(self._client, upstream)
        upstream.sink = self._tunnel.upstream_bytes
        self._inbound = None
        self._committed = True
        self._client.rearm()
        if start < end:
            self._tunnel.upstream_bytes(data, view, start, end)
        self._resolve()
        self._client.feed()

    # From the download.

    def committed(self) -> None:
        """The head has left with the first of the body: from here on there is no second attempt."""
        self._inbound = None
        self._upload.forget()
        self._committed = True
        self._resolve()

    def held_up(self) -> None:
        """The client does not take what was sent to it."""
        self._client.rearm()

    def finished(self, *, exact: bool) -> None:
        """The response is whole; ``exact`` when nothing came after it."""
        upstream, self._upstream = self._upstream, None
        if upstream is None:
            return
        whole = self._upload.complete
        if exact and self._answered and self._answered.reusable and whole and not upstream.outlet.full:
            streamed = self._form is not None and self._form.event_stream
            self._relay.pool.release(upstream, streamed=streamed)
        else:
            upstream.abort()
        self._close()
        self._client.ended(keep=self._keep and not self._relay.draining, linger=not whole)

    def _own_headers(self, said: Sequence[Header]) -> list[Header]:
        """What relay says beside what the upstream ``said``."""
        own = self._relay.own_headers(self._id, said)
        return own if self._treatment is None else [*own, *self._treatment.headers]

    # Ends.

    def _lost_before_head(self) -> None:
        """The connection ended without a response head: try again, or answer 502."""
        upstream = self._upstream
        assert upstream is not None
        stale = upstream.reused and not upstream.answered
        if stale and self._upload.repeatable(unread=upstream.surely_unread):
            upstream.abort()
            self._upload.stop()
            self._upstream = None
            self._resolve(Stale())
        else:
            self._refuse(UpstreamClosed("the upstream closed the connection before it sent a response"))

    def _refuse(self, error: RelayError) -> None:
        """Nothing was committed: the answer is ours."""
        if self._over:
            return
        inbound, whole = self._inbound, self._upload.complete
        self._close()
        report(self._id, self._head, error)
        keep = whole and self._head.keep_alive and not self._relay.draining
        if inbound is not None:
            own = self._own_headers
            out = reply.refusal(inbound, self._head, error, self._answered, own, keep=keep)
            self._client.outlet.write(out)
        self._client.ended(keep=keep, linger=not whole)

    def _cut(self, error: RelayError) -> None:
        """Part of the response has left: its end must not look like one."""
        if self._over:
            return
        end_code = self._download.abandon(error) if self._download is not None else None
        whole = self._upload.complete
        self._close()
        if end_code != "OK":
            report(self._id, self._head, error)
        if end_code is not None:
            self._client.ended(keep=self._keep and not self._relay.draining, linger=not whole)
        else:
            self._client.cut(reset=self._form is None or not self._form.delimited)

    def _close(self) -> None:
        """Let go of everything but the client."""
        self._over = True
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.abort()
        elif not self._committed and asyncio.current_task(self._relay.loop) is not self._task:
            self._task.cancel()  # it was dialling
        if self._download is not None:
            self._download.close()
        if self._treatment is not None:
            self._treatment.close()
        self._download = self._inbound = None  # the download knows us: a cycle would wait for the collector
        self._resolve()

    def _resolve(self, error: Exception | None = None) -> None:
        if self._answer is None or self._answer.done():
            return
        if error is None:
            self._answer.set_result(None)
        else:
            self._answer.set_exception(error)
