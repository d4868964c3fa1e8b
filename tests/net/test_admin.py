"""The admin listener in this process: what it says, and that nobody can keep others from asking."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator

import pytest

from relay.net import admin
from relay.net.admin import Admin, Answer

from .kit import Wire, get, post, until, within


class Desk:
    """A running admin listener; ``reason`` is why relay is not ready."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.admin = Admin(asyncio.get_running_loop(), lambda: self.reason)
        self.wires: list[Wire] = []

    async def start(self) -> None:
        self.server = await self.admin.loop.create_server(self.admin.connection, "127.0.0.1", 0)

    async def connect(self) -> Wire:
        sock = socket.socket()
        wire = Wire(sock)
        self.wires.append(wire)
        await within(asyncio.get_running_loop().sock_connect(sock, self.server.sockets[0].getsockname()))
        return wire

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Status and body; the connection is closed after it."""
        wire = await self.connect()
        await wire.send(request)
        message = await wire.message(has_body=not request.startswith(b"HEAD"))
        assert message.head[b"connection"] == b"close"
        assert await wire.read_to_end() == b""
        return message.status, message.body


@pytest.fixture
async def desk(quiet: None) -> AsyncIterator[Desk]:
    desk = Desk()
    await desk.start()
    yield desk
    desk.server.close()
    for wire in desk.wires:
        wire.close()
    await until(lambda: not desk.admin.connections)


async def test_health(desk: Desk) -> None:
    status, body = await desk.ask(get(b"/healthz"))
    assert (status, json.loads(body)) == (200, {"status": "alive"})
    desk.reason = "draining"
    assert (await desk.ask(get(b"/healthz")))[0] == 200


async def test_readiness(desk: Desk) -> None:
    status, body = await desk.ask(get(b"/readyz"))
    assert (status, json.loads(body)) == (200, {"status": "ready"})
    desk.reason = "draining"
    status, body = await desk.ask(get(b"/readyz?verbose"))
    assert (status, json.loads(body)) == (503, {"status": "unready", "reason": "draining"})
    assert body.count(b"\n") == 1


async def test_head_has_no_body(desk: Desk) -> None:
    wire = await desk.connect()
    await wire.send(get(b"/readyz", method=b"HEAD"))
    head = await wire.head()
    assert head.status == 200
    assert head[b"content-length"] == b"19"
    assert await wire.read_to_end() == b""


@pytest.mark.parametrize(
    "request_", [get(b"/"), get(b"/healthz/"), get(b"/v1/chat/completions"), post(b"{}", target=b"/healthz")]
)
async def test_there_is_nothing_else(desk: Desk, request_: bytes) -> None:
    assert (await desk.ask(request_))[0] == 404


async def test_a_page_more(desk: Desk) -> None:
    desk.admin.pages[b"/metrics"] = lambda: Answer(admin.HTTPStatus.OK, b"x" * 500_000, b"text/plain")
    assert await desk.ask(get(b"/metrics")) == (200, b"x" * 500_000)


async def test_a_head_in_pieces(desk: Desk) -> None:
    wire = await desk.connect()
    for byte in get(b"/healthz"):
        await wire.send(bytes([byte]))
    assert (await wire.message()).status == 200


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"rubbish\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\n\n", 400),
        (b"GET /healthz HTTP/2.0\r\nhost: a\r\n\r\n", 505),
        (b"GET /healthz HTTP/1.1\r\nhost: a\r\nx: " + b"x" * 20_000, 431),
        (get(b"/healthz", *(b"x: 1" for _ in range(200))), 431),
    ],
)
async def test_what_is_no_request_is_refused(desk: Desk, request_: bytes, status: int) -> None:
    assert (await desk.ask(request_))[0] == status


async def test_only_the_first_of_several_is_answered(desk: Desk) -> None:
    wire = await desk.connect()
    await wire.send(get(b"/healthz") + get(b"/readyz"))
    assert (await wire.message()).status == 200
    assert await wire.rest() == b""


async def test_a_head_that_does_not_come(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "_SECONDS", 0.05)
    wire = await desk.connect()
    await wire.send(b"GET /healthz HTTP/1.1\r\n")
    assert (await wire.message()).status == 408
    assert await wire.read_to_end() == b""


async def test_an_answer_that_is_not_taken(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "_SECONDS", 0.05)
    desk.admin.pages[b"/large"] = lambda: Answer(admin.HTTPStatus.OK, b"x" * 50_000_000)
    wire = await desk.connect()
    await wire.send(get(b"/large"))
    await wire.head()
    await until(lambda: not desk.admin.connections)


async def test_the_oldest_makes_room(desk: Desk) -> None:
    waiting = [await desk.connect() for _ in range(admin._CONNECTIONS)]
    await until(lambda: len(desk.admin.connections) == admin._CONNECTIONS)
    assert (await desk.ask(get(b"/healthz")))[0] == 200
    assert await waiting[0].rest() == b""
    await waiting[1].send(get(b"/healthz"))
    assert (await waiting[1].message()).status == 200


async def test_one_that_leaves(desk: Desk) -> None:
    wire = await desk.connect()
    await wire.send(b"GET /hea")
    await until(lambda: len(desk.admin.connections) == 1)
    wire.reset()
    await until(lambda: not desk.admin.connections)
