"""The response on its way down: the head held for the first frame, then one read in, one write out.

``receive`` is the hot path of relay. It is called by the loop's callback for each read of the
upstream, and what the read produced has been given to the client's socket when it returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from relay.errors import FramingError, RelayError, UpstreamClosed, UpstreamError
from relay.net.outlet import Outlet
from relay.net.upstream import UpstreamConnection
from relay.stream import ResponseStream
from relay.wire.framing import Buffer, Data, Reframer


class Owner(Protocol):
    """The exchange whose response this is."""

    def committed(self) -> None: ...

    def finished(self, *, exact: bool) -> None: ...

    def fail(self, error: RelayError) -> None: ...

    def held_up(self) -> None: ...


class Download:
    """One response, from its head to its end."""

    __slots__ = ("_held", "_idle", "_machine", "_outlet", "_owner", "_upstream")

    def __init__(
        self,
        owner: Owner,
        upstream: UpstreamConnection,
        outlet: Outlet,
        machine: Reframer | ResponseStream,
        *,
        head: bytes,
        idle: float,
    ) -> None:
        self._owner = owner
        self._upstream = upstream
        self._outlet = outlet
        self._machine = machine
        self._held: bytes | None = head
        self._idle = idle
        upstream.sink = self.receive
        upstream.deadline.start(idle)

    def receive(self, data: Data, view: memoryview, start: int, end: int) -> None:
        """Bytes of the body; whole frames leave before this returns."""
        machine = self._machine
        if self._held is None and machine.passes(data, start, end):
            self._outlet.write(view[start:end])
        else:
            try:
                self._send(machine.receive(data, view, start, end))
            except FramingError as error:
                self._send(error.before)
                self._owner.fail(UpstreamError(f"the upstream sent a malformed response body: {error}"))
                return
            if machine.complete:
                self._owner.finished(exact=machine.consumed == end)
                return
        if self._outlet.full:
            # The client does not keep up. The idle limit measures the upstream only, so it rests.
            self._upstream.pause()
            self._upstream.deadline.stop()
            self._owner.held_up()
        else:
            self._upstream.deadline.touch()

    def receive_eof(self) -> None:
        """The upstream closed: the end of the body, or a cut."""
        try:
            out = self._machine.receive_eof()
        except FramingError as error:
            self._owner.fail(UpstreamClosed(f"the upstream closed the connection early: {error}"))
            return
        self._send(out)
        self.release_head()
        self._owner.finished(exact=False)

    def release_head(self) -> None:
        """Let the head go, with or without a frame; nothing happens when it has left."""
        if self._held is not None:
            self._commit([])

    def resume(self) -> None:
        """The client has taken what waited for it."""
        self._upstream.resume()
        self._upstream.deadline.start(self._idle)

    def _send(self, out: Sequence[Buffer]) -> None:
        if self._held is not None:
            if out or self._machine.complete:
                self._commit(out)
        elif out:
            self._outlet.writelines(out)

    def _commit(self, out: Sequence[Buffer]) -> None:
        assert self._held is not None
        self._outlet.writelines([self._held, *out])
        self._held = None
        self._owner.committed()
