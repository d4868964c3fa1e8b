"""A small question of relay's own to an upstream, and its whole answer.

For what is no client's exchange: what a key may do, which models there are, what a stream has cost. It
takes no slot and is not repaired. The answer is bounded in bytes, the whole of it in time, and whoever
asked may be cancelled at any moment: nothing is left open then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from relay import __version__
from relay.config import Upstream
from relay.errors import FramingError, RelayError, UpstreamClosed, UpstreamError, UpstreamTimeout
from relay.net.pool import Pool
from relay.net.upstream import UpstreamConnection
from relay.wire.framing import BodyDecoder, Data, Header, Span
from relay.wire.http1 import Outbound, ResponseHead

_REPEATABLE = (b"GET", b"HEAD")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the upstream said, whatever its status."""

    status: int
    headers: Sequence[Header]
    body: bytes


async def ask(
    pool: Pool,
    upstream: Upstream,
    method: bytes,
    target: bytes,
    headers: Sequence[Header],
    body: bytes = b"",
    *,
    seconds: float,
    limit: int,
) -> Answer:
    """Ask ``upstream`` for ``target``, which its base path is put before and its query behind.

    ``headers`` hold the key, where one is needed, and take the place of relay's own, but not of those that
    are set for the upstream. No more than ``seconds`` (0: no limit) and ``limit`` bytes of body; all that
    can go wrong is a RelayError.
    """
    wanted = _write(upstream, method, target, headers, body)
    try:
        async with asyncio.timeout(seconds or None):
            return await _ask(pool, upstream, method, wanted, limit)
    except TimeoutError as error:
        path = (upstream.base_path.encode() + target).partition(b"?")[0].decode("ascii", "replace")
        asked = f"{method.decode()} {path}"
        raise UpstreamTimeout(f"no answer of {upstream} to {asked} within {seconds:g} s") from error


async def _ask(pool: Pool, upstream: Upstream, method: bytes, wanted: bytes, limit: int) -> Answer:
    pooled = pool.acquire(upstream.origin)
    if pooled is not None:
        try:
            return await _exchange(pool, pooled, method, wanted, limit)
        except UpstreamClosed:
            # Its peer had closed it, or so it seems; what only asks may be asked twice.
            if not pooled.stale or not (method in _REPEATABLE or pooled.surely_unread):
                raise
    return await _exchange(pool, await pool.dial(upstream.origin), method, wanted, limit)


async def _exchange(
    pool: Pool, connection: UpstreamConnection, method: bytes, wanted: bytes, limit: int
) -> Answer:
    question = _Question(connection, limit)
    try:
        connection.begin(question, Outbound(), method)
        connection.outlet.write(wanted)
        answer = await question.answer
    except BaseException:
        connection.abort()
        raise
    if question.reusable and not connection.outlet.full:
        pool.release(connection, streamed=False)
    else:
        connection.abort()
    return answer


def _write(upstream: Upstream, method: bytes, target: bytes, headers: Sequence[Header], body: bytes) -> bytes:
    """The request as it goes over the wire."""
    target = upstream.base_path.encode() + target or b"/"
    if upstream.query:
        target += (b"&" if b"?" in target else b"?") + upstream.query.encode()
    fields = {
        b"host": upstream.origin.authority.encode(),
        b"user-agent": b"relay/" + __version__.encode(),
        b"accept": b"*/*",
        b"accept-encoding": b"identity",
    }
    fields.update((name.lower(), value) for name, value in headers)
    fields.update((name.lower().encode(), value.encode()) for name, value in upstream.headers)
    if body or method not in _REPEATABLE:
        fields[b"content-length"] = b"%d" % len(body)
    return Outbound().request(method, target, list(fields.items())) + body


class _Question:
    """Hears of one answer, as far as its last byte."""

    __slots__ = ("_body", "_connection", "_decoder", "_head", "_limit", "answer", "reusable")

    def __init__(self, connection: UpstreamConnection, limit: int) -> None:
        self.answer: asyncio.Future[Answer] = connection.loop.create_future()
        self.reusable = False
        """The connection can serve another question."""
        self._connection = connection
        self._limit = limit
        self._head: ResponseHead | None = None
        self._decoder: BodyDecoder | None = None
        self._body = bytearray()

    def informational(self, head: ResponseHead) -> None:
        pass

    def response_started(
        self, head: ResponseHead, data: Data, view: memoryview, start: int, end: int
    ) -> None:
        if head.status == 101:
            self.fail(UpstreamError("the upstream switched to a protocol that was not offered to it"))
            return
        self._head = head
        self._decoder = head.body_decoder()
        self._connection.sink = self._receive
        self._receive(data, view, start, end)

    def fail(self, error: RelayError) -> None:
        if not self.answer.done():
            self._connection.sink = self._drop
            self.answer.set_exception(error)

    def upstream_ended(self) -> None:
        if self._head is None or self._decoder is None:
            self.fail(UpstreamClosed("the upstream closed the connection before it answered"))
            return
        try:
            self._decoder.receive_eof()
        except FramingError:
            self.fail(UpstreamClosed("the upstream closed the connection inside its answer"))
            return
        self._finish(self._head, reusable=False)

    def upstream_lost(self, error: Exception | None) -> None:
        self.fail(UpstreamClosed(f"the upstream broke the connection: {error or 'closed'}"))

    def upstream_drained(self) -> None:
        pass

    def upstream_silent(self) -> None:
        pass

    def _receive(self, data: Data, view: memoryview, start: int, end: int) -> None:
        assert self._head is not None
        assert self._decoder is not None
        spans: list[Span] = []
        try:
            stop = self._decoder.receive(data, start, end, spans)
        except FramingError as error:
            self.fail(UpstreamError(f"the upstream's answer is framed wrongly: {error}"))
            return
        for begin, until in spans:
            self._body += view[begin:until]
        if len(self._body) > self._limit:
            self.fail(UpstreamError(f"the upstream's answer is above {self._limit} bytes"))
        elif self._decoder.complete:
            self._finish(self._head, reusable=self._head.reusable and stop == end)

    def _finish(self, head: ResponseHead, *, reusable: bool) -> None:
        if not self.answer.done():
            self.reusable = reusable
            self._connection.sink = self._drop
            self.answer.set_result(Answer(head.status, head.headers, bytes(self._body)))

    def _drop(self, data: Data, view: memoryview, start: int, end: int) -> None:
        """More than was asked for has come before the connection was let go of."""
        self.reusable = False
