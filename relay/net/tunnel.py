"""After ``101 Switching Protocols``: bytes both ways, untouched, until both sides are done.

Each direction ends by itself, as TCP does; when one side is lost, the other is closed.
"""

from __future__ import annotations

from typing import Protocol

from relay.net.outlet import Outlet
from relay.wire.framing import Data


class End(Protocol):
    """One connection of the two."""

    outlet: Outlet

    def pause(self) -> None: ...

    def resume(self) -> None: ...


class Tunnel:
    """Two connections joined."""

    __slots__ = ("_client", "_ended", "_upstream")

    def __init__(self, client: End, upstream: End) -> None:
        self._client = client
        self._upstream = upstream
        self._ended: list[End] = []

    def client_bytes(self, view: memoryview) -> None:
        self._pass(view, self._client, self._upstream)

    def upstream_bytes(self, data: Data, view: memoryview, start: int, end: int) -> None:
        self._pass(view[start:end], self._upstream, self._client)

    def client_ended(self) -> None:
        self._end(self._client, self._upstream)

    def upstream_ended(self) -> None:
        self._end(self._upstream, self._client)

    def _pass(self, view: memoryview, source: End, sink: End) -> None:
        sink.outlet.write(view)
        if sink.outlet.full:
            source.pause()

    def _end(self, source: End, sink: End) -> None:
        if source not in self._ended:
            self._ended.append(source)
        if len(self._ended) == 2:
            self._client.outlet.close()
            self._upstream.outlet.close()
        else:
            sink.outlet.end()
