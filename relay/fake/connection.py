"""One client connection: requests read whole, one after another, and each answered at its pace.

While a stream runs, a second task waits for the client to leave, because between two deltas nobody
else would notice. A client that closes its half is taken to be gone. Every frame is one write of
one chunk; delta i is due at start + i / rate, so a late one does not push back those after it.
"""

from __future__ import annotations

import asyncio
import email.utils
import http
import itertools
import secrets
import time
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass

from relay.config import Limits
from relay.errors import ClientError, ClientTimeout, FramingError, RelayError, document
from relay.fake.api import Call, Reply, reply
from relay.fake.frame import Frame
from relay.wire.framing import BodyEncoder, ChunkedEncoder, Header, PlainEncoder
from relay.wire.http1 import HeadReader, Inbound, RequestHead

MAX_BODY = 16 * 1024 * 1024
MAX_AHEAD = 64 * 1024
"""Bytes of pipelined requests that are kept while a stream runs."""
SILENCE = 75.0
"""Seconds without a byte after which a client that owes one is let go."""
LINGER = 2.0

_READ = 64 * 1024


class BodyTooLarge(ClientError):
    """A request body above MAX_BODY."""

    status = 413
    code = "body_too_large"


@dataclass(frozen=True, slots=True)
class Pace:
    """Deltas per second, 0 for as fast as they are taken, and how many make an answer."""

    rate: float
    deltas: int


class Connection:
    """Serves one accepted socket until either side is done."""

    def __init__(self, pace: Pace, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._pace = pace
        self._reader = reader
        self._writer = writer
        self._pending = bytearray()

    async def serve(self) -> None:
        try:
            while await self._exchange():
                pass
            self._writer.close()
        except (ConnectionError, TimeoutError):
            pass  # the client has left or fallen silent: there is nobody to tell
        finally:
            if not self._writer.is_closing():
                self._writer.transport.abort()

    async def _exchange(self) -> bool:
        """One request and its answer; True if another may follow."""
        inbound = Inbound()
        try:
            head = await self._receive_head(inbound)
            if head is None:
                return False
            body = await self._receive_body(inbound, head)
        except RelayError as error:
            await self._refuse(inbound, error)
            return False
        unique, now = secrets.token_hex(12), int(time.time())
        answer = reply(Call(head.method, head.target, head.headers, body, unique, now), self._pace.deltas)
        if isinstance(answer.body, bytes):
            self._writer.write(_whole(inbound, head.method, answer, answer.body))
            await self._writer.drain()
        else:
            first = _head(inbound, answer)
            encoder = ChunkedEncoder() if head.version == b"1.1" else PlainEncoder()
            await self._while_there(self._stream(first, answer.body, encoder))
        return head.keep_alive

    # Reading.

    async def _receive_head(self, inbound: Inbound) -> RequestHead | None:
        """The next request, or None when the client closes instead."""
        limits = Limits()
        heads = HeadReader(limits.head, limits.fields, ClientError)
        while True:
            try:
                if not self._pending and not await self._read():
                    return None
            except ClientTimeout:
                if heads.begun:
                    raise
                return None  # idle between requests
            raw, used = heads.receive(self._pending, 0, len(self._pending))
            del self._pending[:used]
            if raw is not None:
                return inbound.receive_request(raw)

    async def _receive_body(self, inbound: Inbound, head: RequestHead) -> bytes:
        if (head.length or 0) > MAX_BODY:
            raise BodyTooLarge(f"the body is above {MAX_BODY} bytes")
        decoder = head.body_decoder()
        if not head.has_body:
            return b""
        if _expects_continue(head) and not self._pending:
            self._writer.write(inbound.informational(100, b"Continue", []))
        body = bytearray()
        while not decoder.complete:
            if not self._pending and not await self._read():
                raise ConnectionResetError("the client closed inside its body")
            spans: list[tuple[int, int]] = []
            try:
                used = decoder.receive(self._pending, 0, len(self._pending), spans)
            except FramingError as error:
                raise ClientError(f"malformed request body: {error}") from error
            for start, end in spans:
                body += self._pending[start:end]
            del self._pending[:used]
            if len(body) > MAX_BODY:
                raise BodyTooLarge(f"the body is above {MAX_BODY} bytes")
        return bytes(body)

    async def _read(self) -> bool:
        """More into ``_pending``; False when the client has closed its half."""
        try:
            async with asyncio.timeout(SILENCE):
                data = await self._reader.read(_READ)
        except TimeoutError as error:
            raise ClientTimeout("the request stopped coming") from error
        self._pending += data
        return bool(data)

    # Answering.

    async def _stream(self, head: bytes, frames: Iterator[Frame], encoder: BodyEncoder) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        turns = itertools.count()
        for frame in frames:
            if frame.is_delta and self._pace.rate:
                await asyncio.sleep(start + next(turns) / self._pace.rate - loop.time())
            self._writer.write(head + b"".join(encoder.encode([frame.data])))
            head = b""
            await self._writer.drain()
            # The loop joins what is written in one turn of it; each frame has to leave alone.
            await asyncio.sleep(0)
        self._writer.writelines(encoder.end([]))
        await self._writer.drain()

    async def _while_there(self, stream: Coroutine[None, None, None]) -> None:
        """Run a stream to its end; ConnectionResetError as soon as the client has left."""
        leaving = asyncio.ensure_future(self._client_left())
        sending = asyncio.ensure_future(stream)
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            sending.cancel()
            outcomes = await asyncio.gather(sending, leaving, return_exceptions=True)
        if isinstance(outcomes[0], asyncio.CancelledError):
            raise ConnectionResetError("the client left its stream")
        if outcomes[0] is not None:
            raise outcomes[0]

    async def _client_left(self) -> None:
        """Returns when the client closes; requests sent ahead wait in ``_pending``."""
        while len(self._pending) < MAX_AHEAD:
            data = await self._reader.read(_READ)
            if not data:
                return
            self._pending += data
        await asyncio.Event().wait()  # no more is taken; a client that is gone fails the writes

    async def _refuse(self, inbound: Inbound, error: RelayError) -> None:
        """Say what was wrong and close, because nothing after it can be trusted.

        Closing with bytes unread would reset the connection and could take the answer away from the
        client, so for a moment they are read and dropped (RFC 9112 §9.6).
        """
        body = document(error)
        answer = Reply(error.status, body)
        self._writer.write(_whole(inbound, b"", answer, body, [(b"connection", b"close")]))
        await self._writer.drain()
        self._writer.write_eof()
        async with asyncio.timeout(LINGER):
            while await self._reader.read(_READ):
                pass


def _head(inbound: Inbound, answer: Reply, own: list[Header] | None = None) -> bytes:
    date = (b"date", email.utils.formatdate(usegmt=True).encode())
    reason = http.HTTPStatus(answer.status).phrase.encode()
    return inbound.response(answer.status, reason, [*answer.headers, date, *(own or [])])


def _whole(
    inbound: Inbound, method: bytes, answer: Reply, body: bytes, own: list[Header] | None = None
) -> bytes:
    length = (b"content-length", str(len(body)).encode())
    head = _head(inbound, answer, [length, *(own or [])])
    return head if method == b"HEAD" else head + body


def _expects_continue(head: RequestHead) -> bool:
    return head.version == b"1.1" and any(
        name.lower() == b"expect" and value.lower() == b"100-continue" for name, value in head.headers
    )
