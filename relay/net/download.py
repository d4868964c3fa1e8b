"""The response on its way down: the head held for the first frame, then one read in, one write out.

``receive`` is the hot path of relay. It is called by the loop's callback for each read of the
upstream, and what the read produced has been given to the client's socket when it returns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from relay.checked import CheckedStream
from relay.config import Timeouts
from relay.errors import FramingError, RelayError, UpstreamError, UpstreamTruncated
from relay.net.keepalive import KeepAlive
from relay.net.outlet import Outlet
from relay.net.upstream import UpstreamConnection
from relay.opening import Machine
from relay.wire.framing import Buffer, Data


class Owner(Protocol):
    """The attempt whose response this is."""

    def commit(self) -> None: ...

    def finished(self, *, exact: bool) -> None: ...

    def fail(self, error: RelayError) -> None: ...

    def held_up(self) -> None: ...


class Download:
    """One response, from its head to its end."""

    __slots__ = (
        *("_early", "_ending", "_held", "_keep_alive"),
        *("_outlet", "_owner", "_timeouts", "_upstream", "machine"),
    )

    def __init__(
        self,
        owner: Owner,
        upstream: UpstreamConnection,
        outlet: Outlet,
        machine: Machine,
        *,
        head: bytes,
        timeouts: Timeouts,
    ) -> None:
        self._owner = owner
        self._upstream = upstream
        self._outlet = outlet
        self.machine = machine
        self._held: bytes | None = head
        self._timeouts = timeouts
        self._ending = False
        self._early: asyncio.TimerHandle | None = None
        self._keep_alive: KeepAlive | None = None
        if isinstance(machine, CheckedStream):
            machine.recogniser.clock = upstream.loop.time
        upstream.sink = self.receive
        upstream.deadline.start(timeouts.first_frame)

    def receive(self, data: Data, view: memoryview, start: int, end: int) -> None:
        """Bytes of the body; whole frames leave before this returns."""
        machine = self.machine
        try:
            out = machine.receive(data, view, start, end)
        except (FramingError, RelayError) as error:
            self._fail(error, UpstreamError(f"the upstream sent a malformed response body: {error}"))
            return
        if self._held is None and len(out) == 1:
            self._outlet.write(out[0])
        else:
            self._send(out)
        if machine.complete:
            self._owner.finished(exact=machine.consumed == end)
        elif self._outlet.full:
            # The client does not keep up. The idle limit measures the upstream only, so it rests.
            self._upstream.pause()
            self._upstream.deadline.stop()
            self._owner.held_up()
        elif machine.ended:
            if not self._ending:  # once: what comes now is nothing, and pushes nothing back
                self._ending = True
                self._upstream.deadline.start(self._timeouts.terminal)
        elif machine.lively:
            self._upstream.deadline.touch()

    def receive_eof(self) -> None:
        """The upstream closed: the end of the body, or a cut."""
        try:
            out = self.machine.receive_eof()
        except (FramingError, RelayError) as error:
            self._fail(error, UpstreamTruncated(f"the upstream closed the connection early: {error}"))
            return
        self._send(out)
        self.release_head()
        self._owner.finished(exact=False)

    def abandon(self, error: RelayError) -> str | None:
        """The upstream failed: end the body in a way that says so; how it ended, None if nothing could."""
        out = self.machine.abandon(error)
        if out is None:
            return None
        self._outlet.writelines(out)
        return self.machine.end_code

    def close(self) -> None:
        """No more will be received."""
        if self._early is not None:
            self._early.cancel()
            self._early = None
        if self._keep_alive is not None:
            self._keep_alive.close()
            self._keep_alive = None  # it knows us

    def go_on(self, upstream: UpstreamConnection) -> None:
        """The rest comes from another upstream."""
        if self._keep_alive is not None:
            self._keep_alive.close()
        self._upstream = upstream
        self._ending = False
        upstream.sink = self.receive
        upstream.deadline.start(self._timeouts.first_frame)
        self._watch_silence()

    def release_head(self) -> None:
        """Let the head go, with or without a frame; nothing happens when it has left."""
        if self._held is not None:
            self._commit([])

    def resume(self) -> None:
        """The client has taken what waited for it."""
        self._upstream.resume()
        self._upstream.deadline.start(self._timeouts.idle)

    def _fail(self, error: FramingError | RelayError, broken: RelayError) -> None:
        """Send what was whole, then end it for the machine's own reason, or for its broken framing."""
        if error.before:
            self._send(error.before)
        self._owner.fail(error if isinstance(error, RelayError) else broken)

    def _send_keep_alive(self) -> None:
        assert isinstance(self.machine, CheckedStream)
        if not self._outlet.full and (out := self.machine.keep_alive()):
            self._outlet.writelines(out)

    def _send(self, out: Sequence[Buffer]) -> None:
        if self._held is not None:
            if out or self.machine.complete:
                self._commit(out)
            elif self._early is None and isinstance(self.machine, CheckedStream) and self.machine.holding:
                seconds = self._timeouts.look_ahead
                self._early = self._upstream.loop.call_later(seconds, self._release_early)
        elif out:
            self._outlet.writelines(out)

    def _release_early(self) -> None:
        """What announces an answer has waited long enough for one."""
        assert isinstance(self.machine, CheckedStream)
        if out := self.machine.release_early():
            self._send(out)

    def _commit(self, out: Sequence[Buffer]) -> None:
        assert self._held is not None
        head, self._held = self._held, None
        if self._early is not None:
            self._early.cancel()
        if note := self.machine.note:
            head = head.removesuffix(b"\r\n") + note + b"\r\n"
        self._owner.commit()
        self._upstream.deadline.start(self._timeouts.idle)
        self._outlet.writelines([head, *out])
        self._watch_silence()

    def _watch_silence(self) -> None:
        if self._timeouts.silence and isinstance(self.machine, CheckedStream):
            deadline, silence = self._upstream.deadline, self._timeouts.silence
            self._keep_alive = KeepAlive(self._upstream.loop, deadline, silence, self._send_keep_alive)
