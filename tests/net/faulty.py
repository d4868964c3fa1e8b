"""One exchange brought to a phase, and broken there: how each fault of ``faults`` is made."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from relay import worker
from relay.errors import RelayError

from .faults import ERRORS, FINISH, LAST, Cell, delta
from .kit import EVENT_STREAM, Ended, Head, RunningRelay, ScriptedUpstream, Wire, answer, chunk, until
from .test_checked_streams import BEGUN
from .test_departure import pour
from .test_translated_streams import ask

HALF = b'data: {"unfin'
SHORT = 0.25
"""Seconds of the limit that a fault waits for; long enough to come to its phase before."""
LIMITS: dict[str, dict[str, float]] = {
    "silence": {"head": SHORT, "first_frame": SHORT, "idle": SHORT},
    "last word and silence": {"terminal": 0.05},
    "client is slow": {"client_stall": SHORT},
}
LONG = 8 << 20
"""Bytes that no pair of kernel buffers holds where one side has asked for small ones."""


@dataclass
class Seen:
    """What relay did inside, in order: the machines that answers went through, the errors it reported."""

    machines: list[Any] = field(default_factory=list)
    errors: list[RelayError] = field(default_factory=list)


@dataclass
class Play:
    """One exchange: its two ends, and what has been sent and seen of it so far."""

    relay: RunningRelay
    client: Wire
    dialect: str
    """That of the upstream."""
    seen: Seen
    upstream: Wire = field(init=False)
    head: Head | None = None
    sent: bytes = b""
    got: list[bytes] = field(default_factory=list)
    whole: bool = False
    """The body has its last chunk."""

    async def send(self, frames: bytes) -> None:
        self.sent += frames
        await self.upstream.send(chunk(frames))
        await self.relay.settle()

    async def take(self) -> None:
        """One chunk of the client's body."""
        self.got.append(await self.client.chunk())

    async def take_rest(self) -> None:
        """What is left of the answer, head and all."""
        self.head = self.head or await self.client.head()
        if self.head[b"transfer-encoding"] is None:
            self.got.append((await self.client.message(self.head)).body)
            self.whole = True
            return
        with contextlib.suppress(Ended, ConnectionError):
            while not self.got or self.got[-1]:
                await self.take()
            await self.client.trailers()
            self.whole = True

    @property
    def body(self) -> bytes:
        return b"".join(self.got)


# --- coming to a phase ------------------------------------------------------------------------------


async def begin(
    relay: RunningRelay,
    upstream: ScriptedUpstream,
    client: str,
    dialect: str,
    fault: str,
    seen: Seen,
) -> Play:
    """A client has asked, and the upstream has heard it, if there is one."""
    if fault == "no connection":
        upstream.sock.close()
    wire = await relay.connect(rcvbuf=8192 if fault == "client is slow" else 0)
    await wire.send(ask(client))
    play = Play(relay, wire, dialect, seen)
    if fault != "no connection":
        play.upstream = await upstream.accept()
        await play.upstream.message()
    return play


async def reach(play: Play, cell: Cell) -> None:
    """Let the upstream say what comes before this phase, and the client hear it."""
    phase = cell.phase
    if phase == "head":
        return
    await play.upstream.send(EVENT_STREAM)
    await play.relay.settle()
    if phase == "first frame":
        return
    await play.send(BEGUN[play.dialect])
    play.head = await play.client.head()
    assert play.head.status == 200
    await play.take()
    if phase == "inside":
        await play.upstream.send(chunk(HALF))
        await play.relay.settle()
    elif phase == "finish" and cell.fault != "client is slow":
        await play.send(FINISH[play.dialect])


# --- the faults -------------------------------------------------------------------------------------

Fault = Callable[[Play, str], Awaitable[None]]


async def last_word(play: Play, phase: str) -> None:
    play.sent += LAST[play.dialect]
    await play.upstream.send(chunk(LAST[play.dialect]) + b"0\r\n\r\n")


async def last_word_then_silence(play: Play, phase: str) -> None:
    await play.send(LAST[play.dialect])


async def body_ends(play: Play, phase: str) -> None:
    await play.upstream.send(b"0\r\n\r\n")


async def fin(play: Play, phase: str) -> None:
    play.upstream.close()


async def rst(play: Play, phase: str) -> None:
    play.upstream.reset()


async def nothing(play: Play, phase: str) -> None:
    """The limit that is the fault, or the upstream that is not there, does it all."""


async def no_http(play: Play, phase: str) -> None:
    await play.upstream.send(b"what is this\r\n\r\n")


async def no_json(play: Play, phase: str) -> None:
    await play.upstream.send(chunk(b"\n\n" if phase == "inside" else b"data: {broken\n\n"))


async def status(play: Play, phase: str) -> None:
    fields = b"content-type: application/json"
    await play.upstream.send(answer(b'{"error":{"message":"m"}}', fields, status=b"429 Too Many Requests"))


async def error_event(play: Play, phase: str) -> None:
    play.sent += ERRORS[play.dialect]
    await play.upstream.send(chunk(ERRORS[play.dialect]) + b"0\r\n\r\n")


async def client_closes(play: Play, phase: str) -> None:
    play.client.close()
    await play.upstream.gone()


async def client_resets(play: Play, phase: str) -> None:
    play.client.reset()
    await play.upstream.gone()


async def client_is_slow(play: Play, phase: str) -> None:
    """It takes nothing more; what it would take is more than all buffers between hold."""
    if phase == "between":
        with contextlib.suppress(ConnectionError):
            await pour(play.upstream, chunk(delta(play.dialect, "x" * 65_000)), [0])
        return
    # The end of a long frame, and with it the end of the answer: all is here before any of it can leave.
    long = delta(play.dialect, "x" * LONG)
    rest = FINISH[play.dialect] + LAST[play.dialect]
    await play.upstream.send(b"%x\r\n" % len(long + rest) + long[:-9])
    await until(lambda: len(play.seen.machines[-1]._carry) >= len(long) - 9)
    await play.upstream.send(long[-9:] + rest + b"\r\n0\r\n\r\n")


async def drain(play: Play, phase: str) -> None:
    """The end of the time that live streams have after SIGTERM."""
    await worker._drain(play.relay.relay, [], SimpleNamespace(hurry=asyncio.Event()))  # type: ignore[arg-type]


PLAYED: dict[str, Fault] = {
    "last word": last_word,
    "last word and silence": last_word_then_silence,
    "body ends": body_ends,
    "FIN": fin,
    "RST": rst,
    "silence": nothing,
    "no connection": nothing,
    "no HTTP": no_http,
    "no JSON": no_json,
    "status 429": status,
    "error event": error_event,
    "client closes": client_closes,
    "client resets": client_resets,
    "client is slow": client_is_slow,
    "drain": drain,
}
LEAVES = ("client closes", "client resets", "client is slow")
