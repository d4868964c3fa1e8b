"""One case played through a proxy, and all that was seen of it at both ends."""

from __future__ import annotations

import contextlib
import socket
import time
from dataclasses import dataclass, field

from .cases import AFTER, GOOD, Case, End, Pause, Step, head
from .playing import LIMIT, play, speaks
from .strict import Malformed, Message, Unfinished, read_response
from .upstream import Journal, Upstream

_SETTLED_WITHIN = 1.0
_ENOUGH = 32 * 1024 * 1024
_ENOUGH_BEFORE = 10_000
_SMALL = 4096


@dataclass(slots=True)
class Heard:
    """What one connection of the client's brought.

    answers  whole final responses
    partial  there was a head besides, whose body was not all there
    headless there were bytes besides that are no whole head
    closed   how it ended: ``closed``, ``reset``, or empty when the wait did
    fault    why what came was no response
    """

    answers: list[Message] = field(default_factory=list)
    partial: bool = False
    headless: bool = False
    closed: str = ""
    fault: str = ""
    raw: bytearray = field(default_factory=bytearray)


@dataclass(slots=True)
class Observed:
    """A whole case: the client's connection, those of the next clients, what the upstream got."""

    heard: Heard
    next_clients: list[Heard]
    journal: Journal
    settled: bool
    seconds: float


class Connection:
    """A client's connection to the proxy."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._sock = socket.create_connection(address, LIMIT)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.heard = Heard()
        self._rest = bytearray()
        self._before = 0

    def send(self, steps: tuple[Step, ...]) -> None:
        play(self._sock, steps)

    def read(self, methods: list[bytes], *, wanted: int | None = None) -> Heard:
        """Read until the proxy closes, ``wanted`` answers are here, or the wait is a hang."""
        heard = self.heard
        limit = time.monotonic() + LIMIT
        with contextlib.suppress(TimeoutError):
            while not heard.closed and (left := limit - time.monotonic()) > 0:
                self._sock.settimeout(left)
                data = b""
                try:
                    data = self._sock.recv(1 << 16)
                    heard.closed = "" if data else "closed"
                except ConnectionResetError:
                    heard.closed = "reset"
                except TimeoutError:
                    break
                except OSError:
                    heard.closed = "closed"  # by a step of the case itself
                heard.raw += data
                self._rest += data
                if not heard.closed and speaks(self._sock, 0) and len(heard.raw) < _ENOUGH:
                    continue  # a large answer is read anew as seldom as possible
                self._parse(methods)
                if len(heard.raw) > _ENOUGH:
                    break
                if heard.fault or (wanted is not None and len(heard.answers) >= wanted):
                    break
        return heard

    def close(self) -> None:
        self._sock.close()

    def _parse(self, methods: list[bytes]) -> None:
        """Take whole answers off what has come and was not taken yet."""
        heard, data, at = self.heard, bytes(self._rest), 0
        heard.partial = heard.headless = False
        while at < len(data):
            method = methods[min(len(heard.answers), len(methods) - 1)]
            try:
                message = _answer_at(data, at, method, ended=heard.closed == "closed")
            except Unfinished as missing:
                heard.partial = str(missing) == "body"
                heard.headless = not heard.partial
                break
            except Malformed as fault:
                heard.fault = str(fault)
                break
            at += message.size
            if message.status >= 200 or message.status == 101:
                heard.answers.append(message)
            else:
                self._before += 1
                if self._before > _ENOUGH_BEFORE:
                    heard.fault = f"more than {_ENOUGH_BEFORE} heads of 1xx, and no end"
                    break
        del self._rest[:at]


def _answer_at(data: bytes, at: int, method: bytes, *, ended: bool) -> Message:
    """Most are small: there may be a hundred thousand 1xx heads, and each is not to copy all that follow."""
    with contextlib.suppress(Unfinished):
        return read_response(data[at : at + _SMALL], method, ended=ended and at + _SMALL >= len(data))
    return read_response(data[at:], method, ended=ended)


def observe(address: tuple[str, int], upstream: Upstream, case: Case) -> Observed:
    """Play the case, then ask the same proxy twice more, as two other clients would."""
    began = time.monotonic()
    upstream.begin(case.answer, early=case.early)
    heard = _answered_by_case(address, case) if case.upstream_side else _asked_by_case(address, case)
    next_clients = [_ask(address, f"/next-{number}") for number in (1, 2)]
    settled = upstream.settle(_SETTLED_WITHIN)
    return Observed(heard, next_clients, upstream.journal(), settled, time.monotonic() - began)


def _asked_by_case(address: tuple[str, int], case: Case) -> Heard:
    """The client attacks: all of it is sent, with what follows, before anything is read."""
    connection = Connection(address)
    sent = _joined((GOOD,) * case.good + case.sent + ((AFTER,) if case.after else ()))
    connection.send(sent)
    if isinstance(sent[-1], End) and sent[-1].how in ("close", "reset"):
        return Heard(closed="closed")
    methods = [b"GET"] * case.good + [b"HEAD" if case.bare else b"POST", b"GET"]
    heard = connection.read(methods)
    connection.close()
    return heard


def _answered_by_case(address: tuple[str, int], case: Case) -> Heard:
    """The upstream attacks: one request, its answer, then another on the same connection."""
    connection = Connection(address)
    connection.send(case.sent)
    methods = [b"HEAD" if case.bare else b"GET", b"GET"]
    heard = connection.read(methods, wanted=1)
    if heard.answers and not heard.closed and not heard.fault and case.after:
        # What the upstream says later is to be there before the next request is, or it could be its answer.
        pauses = [step.seconds for step in case.answer if isinstance(step, Pause)]
        connection.send((*[Pause(2 * seconds) for seconds in pauses], AFTER))
        connection.read(methods)
    connection.close()
    return heard


def _ask(address: tuple[str, int], target: str) -> Heard:
    """A client that has done nothing wrong."""
    try:
        connection = Connection(address)
    except OSError as error:
        return Heard(fault=f"no connection: {error}")
    connection.send((head(b"Connection: close", target=target.encode()),))
    heard = connection.read([b"GET"])
    connection.close()
    return heard


def _joined(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Bytes that follow each other leave in one write: the proxy finds them in one read."""
    joined: list[Step] = []
    for step in steps:
        if joined and isinstance(step, bytes) and isinstance(joined[-1], bytes):
            joined[-1] += step
        else:
            joined.append(step)
    return tuple(joined)
