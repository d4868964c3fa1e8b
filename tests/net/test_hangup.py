"""Peers that leave while nobody reads from them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from relay.net.hangup import Hangups

from .kit import Wire, within


@pytest.fixture
async def hangups() -> AsyncIterator[Hangups]:
    one = Hangups(asyncio.get_running_loop())
    yield one
    one.close()


def connected() -> tuple[socket.socket, Wire]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        far = socket.create_connection(listener.getsockname())
        near, _ = listener.accept()
    near.setblocking(False)
    return near, Wire(far)


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_departure_is_told_once(hangups: Hangups, how: str) -> None:
    """Also with unread bytes in between, which would hide an end from whoever peeks."""
    near, far = connected()
    left: list[str] = []
    event = asyncio.Event()

    def gone() -> None:
        left.append("gone")
        event.set()

    hangups.watch(near.fileno(), gone)
    await far.send(b"unread")
    getattr(far, how)()
    await within(event.wait())
    for _ in range(5):
        await asyncio.sleep(0)
    assert left == ["gone"]
    near.close()


async def test_bytes_are_no_departure_and_unwatched_is_not_told(hangups: Hangups) -> None:
    watched, talker = connected()
    unwatched, leaver = connected()
    witness, last = connected()
    left: list[str] = []
    event = asyncio.Event()
    hangups.watch(watched.fileno(), lambda: left.append("watched"))
    hangups.watch(watched.fileno(), lambda: left.append("twice"))
    hangups.watch(unwatched.fileno(), lambda: left.append("unwatched"))
    hangups.watch(witness.fileno(), event.set)
    hangups.unwatch(unwatched.fileno())
    hangups.unwatch(unwatched.fileno())
    await talker.send(b"still here")
    leaver.close()
    last.close()
    await within(event.wait())
    assert left == []
    for one in (watched, unwatched, witness, talker, leaver, last):
        one.close()


async def test_one_departure_may_unwatch_another(hangups: Hangups) -> None:
    """Both ends of one exchange can go in the same turn."""
    first, first_far = connected()
    second, second_far = connected()
    left: list[str] = []

    def gone(name: str, other: socket.socket) -> None:
        left.append(name)
        hangups.unwatch(other.fileno())

    hangups.watch(first.fileno(), lambda: gone("first", second))
    hangups.watch(second.fileno(), lambda: gone("second", first))
    first_far.close()
    second_far.close()
    async with asyncio.timeout(20):
        while not left:
            await asyncio.sleep(0)
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(left) == 1
    first.close()
    second.close()


async def test_a_reused_number_is_watched_anew(hangups: Hangups) -> None:
    near, far = connected()
    number = near.fileno()
    hangups.watch(number, lambda: pytest.fail("an old watch was told"))
    hangups.unwatch(number)
    near.close()
    far.close()
    again, again_far = connected()
    event = asyncio.Event()
    hangups.watch(again.fileno(), event.set)
    again_far.close()
    await within(event.wait())
    again.close()
