"""The admin listener: is this relay alive, does it take requests, and what has it counted.

One socket for all workers, whichever accepts answers; so an answer is about relay as a whole, or about
the state that all workers are in, or holds the figures of all. Each connection carries one request:
probes do not depend on a connection to a worker that may retire. Few connections at a time, each for a
limited time; the oldest makes room for the next, because a probe that hangs must not keep others out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import cast

import orjson

from relay.errors import ClientError, ClientTimeout, RelayError
from relay.metrics import CONTENT_TYPE, Counters
from relay.net.deadline import Deadline
from relay.wire import forwarding
from relay.wire.http1 import HeadReader, Inbound, RequestHead

_HEAD_LIMIT = 16 * 1024
_FIELD_LIMIT = 100
_SECONDS = 10.0
"""From accepting a connection to its end."""
_CONNECTIONS = 64
_CLOSE = (b"connection", b"close")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a page says."""

    status: HTTPStatus
    body: bytes
    content_type: bytes = b"application/json"


Page = Callable[[], Answer]


class Admin:
    """The pages of one worker, and who is asking for one."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        unready: Callable[[], str | None],
        counters: Counters | None = None,
    ) -> None:
        """``unready`` says in a few words why no requests should come here, or None when they may."""
        self.loop = loop
        self._unready = unready
        self._counters = counters or Counters()
        self.pages: dict[bytes, Page] = {
            b"/healthz": _alive,
            b"/readyz": self._ready,
            b"/metrics": self._figures,
        }
        self.connections: dict[AdminConnection, None] = {}

    def connection(self) -> AdminConnection:
        """The protocol of one accepted socket."""
        return AdminConnection(self)

    def enter(self, connection: AdminConnection) -> None:
        self.connections[connection] = None
        if len(self.connections) > _CONNECTIONS:
            next(iter(self.connections)).abort()

    def answer(self, head: RequestHead) -> Answer:
        page = self.pages.get(head.target.split(b"?", 1)[0])
        if page is None or head.method not in (b"GET", b"HEAD"):
            return _answer(HTTPStatus.NOT_FOUND, "not found")
        return page()

    def _ready(self) -> Answer:
        reason = self._unready()
        if reason is not None:
            return _answer(HTTPStatus.SERVICE_UNAVAILABLE, "unready", reason=reason)
        return _answer(HTTPStatus.OK, "ready")

    def _figures(self) -> Answer:
        return Answer(HTTPStatus.OK, self._counters.text(), CONTENT_TYPE)

    def close(self) -> None:
        for connection in list(self.connections):
            connection.abort()


class AdminConnection(asyncio.Protocol):
    """One request, one answer."""

    def __init__(self, admin: Admin) -> None:
        self._admin = admin
        self._deadline = Deadline(admin.loop, self._expired)
        self._heads = HeadReader(_HEAD_LIMIT, _FIELD_LIMIT, ClientError)
        self._answered = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._deadline.start(_SECONDS)
        self._admin.enter(self)

    def data_received(self, data: bytes) -> None:
        if self._answered:
            return
        inbound = Inbound()
        try:
            raw, _ = self._heads.receive(data, 0, len(data))
            if raw is None:
                return
            head = inbound.receive_request(raw)
        except ClientError as error:
            self._refuse(inbound, error)
            return
        answer = self._admin.answer(head)
        headers = [
            (b"content-type", answer.content_type),
            (b"content-length", b"%d" % len(answer.body)),
            (b"cache-control", b"no-store"),
            _CLOSE,
        ]
        body = b"" if head.method == b"HEAD" else answer.body
        self._say(inbound.response(answer.status, answer.status.phrase.encode(), headers) + body)

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.close()
        self._admin.connections.pop(self, None)

    def abort(self) -> None:
        self._admin.connections.pop(self, None)
        self._transport.abort()

    def _refuse(self, inbound: Inbound, error: RelayError) -> None:
        self._say(forwarding.error_response(inbound, error, [_CLOSE], body=True))

    def _say(self, data: bytes) -> None:
        self._answered = True
        self._transport.write(data)
        self._transport.close()

    def _expired(self) -> None:
        if self._answered:
            self.abort()
        else:  # once more, for an answer that is not taken
            self._deadline.start(_SECONDS)
            self._refuse(Inbound(), ClientTimeout("the request head did not come in time"))


def _alive() -> Answer:
    return _answer(HTTPStatus.OK, "alive")


def _answer(code: HTTPStatus, status: str, **more: str) -> Answer:
    return Answer(code, orjson.dumps({"status": status, **more}) + b"\n")
