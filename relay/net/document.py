"""A completion's request on its way up: read whole, then sent as one document.

What it asks for decides how its answer is read (a stream or not, which model, usage or not), and
an attempt that failed can be followed by another. Its framing is undone: the upstream gets a length.
"""

from __future__ import annotations

import asyncio

from relay.errors import BodyTooLarge
from relay.net.relay import Client
from relay.wire.framing import Data, Span
from relay.wire.http1 import Inbound, RequestHead


class Document:
    """One request body, up to ``limit`` bytes; stands where an ``Upload`` stands for other requests."""

    __slots__ = ("_decoder", "_limit", "_whole", "body")

    resendable = True
    """It is here until the response is committed."""

    def __init__(self, head: RequestHead, limit: int, loop: asyncio.AbstractEventLoop) -> None:
        self._decoder = head.body_decoder()
        self._limit = limit
        self._whole = loop.create_future()
        self.body = bytearray()
        if head.length is not None and head.length > limit:
            raise self._too_large()
        if self._decoder.complete:
            self._whole.set_result(None)

    @property
    def complete(self) -> bool:
        """All of the body has been read from the client."""
        return self._decoder.complete

    @property
    def wants(self) -> bool:
        return not self._decoder.complete

    async def whole(self) -> None:
        """Wait until the body is complete."""
        await self._whole

    async def read(self, head: RequestHead, client: Client, inbound: Inbound) -> None:
        """Ask the client for the body where it waits to be asked, and wait until it is complete."""
        if self.wants and head.expects_continue:
            client.outlet.write(inbound.informational(100, b"Continue", []))
        client.feed()
        await self.whole()

    def receive(self, data: Data, view: memoryview, start: int, end: int) -> int:
        """Take body bytes; returns where the body ended. Raises FramingError and BodyTooLarge."""
        spans: list[Span] = []
        stop = self._decoder.receive(data, start, end, spans)
        for begin, until in spans:
            self.body += view[begin:until]
        if len(self.body) > self._limit:
            raise self._too_large()
        if self._decoder.complete and not self._whole.done():
            self._whole.set_result(None)
        return stop

    def forget(self) -> None:
        """The response is committed: nothing will be sent again."""
        self.body = bytearray()

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(f"the request body is above {self._limit} bytes")
