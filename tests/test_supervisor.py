"""The supervisor with workers that do as they are told: deaths, reloads, ends, and what systemd hears."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from net.kit import within
from net.process import Process
from supervised import LAST_STREAM, Scripted

from relay.supervisor import STEADY, Place, Worker, restart_pause


def test_pauses_grow() -> None:
    assert [restart_pause(deaths) for deaths in range(11)] == [
        0,
        0,
        0.1,
        0.2,
        0.4,
        0.8,
        1.6,
        3.2,
        6.4,
        10,
        10,
    ]
    assert restart_pause(1_000_000) == 10


def test_a_death_after_a_steady_life_counts_as_the_first(tmp_path: Path) -> None:
    (tmp_path / "settings").write_text("one 1 5")
    generation = Scripted(tmp_path)
    place = Place()
    now = 100.0
    pauses = []
    for life in (0.0, STEADY - 1, 1.0, STEADY, 0.0):
        place.serving = worker = Worker(1, now, generation)
        now += life
        place.has_lost(worker, now)
        assert place.wants(generation)
        pauses.append(round(place.due - now, 3))
    assert pauses == [0, 0.1, 0.2, 0, 0.1]


class Supervised:
    """A running ``tests.supervised``; ``reload`` and ``manner`` write what it reads."""

    def __init__(self, folder: Path, process: Process) -> None:
        self.folder = folder
        self.process = process

    async def said(self, pattern: str) -> re.Match[str]:
        return await self.process.said(pattern)

    async def started(self, name: str = "one", place: int = 0) -> int:
        """The pid of the next worker of this generation and place."""
        return int((await self.said(rf"{name} {place} (\d+) \w+\n"))[1])

    async def all_said(self, *patterns: str) -> None:
        """In whatever order: what one process says may come before what another one said sooner."""
        await self.said("(?s)" + "".join(f"(?=.*{pattern})" for pattern in patterns))

    def reload(self, settings: str, manner: str = "serves") -> None:
        self.manner(manner)
        (self.folder / "settings").write_text(settings)
        self.process.signal(signal.SIGHUP)

    def manner(self, manner: str) -> None:
        (self.folder / "manner").write_text(manner)

    async def stopped(self) -> None:
        self.process.signal(signal.SIGTERM)
        assert await self.process.ended() == 0


@contextlib.asynccontextmanager
async def supervised(
    folder: Path, settings: str = "one 1 5", manner: str = "serves", **environment: str
) -> AsyncIterator[Supervised]:
    (folder / "settings").write_text(settings)
    (folder / "manner").write_text(manner)
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.supervised", str(folder)),
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[1],
        env={**os.environ, **environment},
    )
    process = Process(child, [], [])
    try:
        yield Supervised(folder, process)
    finally:
        if child.returncode is None:
            workers = process.workers()
            child.kill()
            for pid in workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        await child.communicate()


# --- deaths -----------------------------------------------------------------------------------


async def test_one_that_fails_before_relay_has_ever_served_is_the_end(tmp_path: Path) -> None:
    async with supervised(tmp_path, "one 3 5", manner="dies") as running:
        await running.said(r"worker \d+ ended \(3\) before relay had ever served")
        assert await running.process.ended() == 3


async def test_one_that_is_killed_before_relay_has_ever_served_is_replaced(tmp_path: Path) -> None:
    async with supervised(tmp_path, manner="hangs") as running:
        first = await running.started()
        running.manner("serves")
        os.kill(first, signal.SIGKILL)
        await running.said(rf"worker {first} ended \(-9\); starting another")
        await running.said("all serve one")
        await running.stopped()


async def test_one_that_dies_again_and_again_is_tried_again(tmp_path: Path) -> None:
    async with supervised(tmp_path) as running:
        first = await running.started()
        await running.said("all serve one")
        running.manner("dies")
        os.kill(first, signal.SIGKILL)
        await running.said("starting another")
        for _ in range(3):
            pid = await running.started()
            await running.said(rf"worker {pid} ended \(3\); starting another")
        running.manner("serves")
        await running.said(r"one 0 \d+ serves")
        await running.stopped()


async def test_one_that_is_killed_is_replaced_and_no_other_is_touched(tmp_path: Path) -> None:
    async with supervised(tmp_path, "one 2 5") as running:
        heard = await running.said(r"(?s)(.*)all serve one")
        first, second = (int(pid) for _, pid in sorted(re.findall(r"one (\d) (\d+) serves", heard[1])))
        os.kill(first, signal.SIGKILL)
        await running.said(rf"worker {first} ended \(-9\); starting another")
        third = await running.started(place=0)
        running.process.signal(signal.SIGTERM)
        heard = await running.said(r"all stop one\n(\d+) got SIGTERM\n(\d+) got SIGTERM\n")
        assert {int(pid) for pid in heard.groups()} == {second, third}
        assert await running.process.ended() == 0


# --- reloads ----------------------------------------------------------------------------------


async def test_a_reload_retires_the_old_when_the_new_serves(tmp_path: Path) -> None:
    async with supervised(tmp_path) as running:
        old = await running.started()
        await running.said("all serve one")
        running.reload("two 1 5")
        new = await running.started("two")
        await running.all_said("all serve two", f"{old} got RETIRE")
        assert running.process.workers() == [old, new]  # for as long as its last stream takes
        os.kill(old, LAST_STREAM)
        while running.process.workers() != [new]:
            await asyncio.sleep(0.001)
        await running.stopped()
        assert "starting another" not in running.process.heard


@pytest.mark.parametrize(
    ("settings", "said"), [("bad", "these settings are bad"), ("broken", "ZeroDivisionError")]
)
async def test_settings_that_cannot_be_read_change_nothing(tmp_path: Path, settings: str, said: str) -> None:
    async with supervised(tmp_path) as running:
        old = await running.started()
        await running.said("all serve one")
        running.reload(settings)
        await running.said("not reloaded, the settings stay as they were")
        await running.said(said)
        assert running.process.workers() == [old]
        os.kill(old, signal.SIGKILL)
        await running.started("one")
        await running.stopped()


async def test_the_old_serves_on_while_the_new_die(tmp_path: Path) -> None:
    async with supervised(tmp_path) as running:
        old = await running.started()
        await running.said("all serve one")
        running.reload("two 1 5", "dies")
        for _ in range(3):
            pid = await running.started("two")
            await running.said(rf"worker {pid} ended \(3\)")
        assert old in running.process.workers()
        running.manner("serves")
        heard = await running.said(r"(?s)(.*)two 0 \d+ serves")
        assert "RETIRE" not in heard[1]
        await running.said(f"{old} got RETIRE")
        await running.stopped()


async def test_a_new_one_that_is_killed_before_it_serves_is_tried_again(tmp_path: Path) -> None:
    async with supervised(tmp_path) as running:
        old = await running.started()
        await running.said("all serve one")
        running.reload("two 1 5", "hangs")
        new = await running.started("two")
        running.manner("serves")
        os.kill(new, signal.SIGKILL)
        await running.started("two")
        await running.all_said("all serve two", f"{old} got RETIRE")
        await running.stopped()


async def test_the_old_that_is_killed_meanwhile_is_not_replaced_by_its_like(tmp_path: Path) -> None:
    async with supervised(tmp_path) as running:
        old = await running.started()
        await running.said("all serve one")
        running.reload("two 1 5", "hangs")
        new = await running.started("two")
        os.kill(old, signal.SIGKILL)
        await running.said(rf"worker {old} ended \(-9\)")
        running.manner("serves")
        os.kill(new, signal.SIGKILL)
        heard = await running.said(r"(?s)(.*)all serve two")
        assert "one 0" not in heard[1]
        await running.stopped()


async def test_a_second_reload_overtakes_the_first(tmp_path: Path) -> None:
    async with supervised(tmp_path) as running:
        first = await running.started()
        await running.said("all serve one")
        running.reload("two 1 5", "hangs")
        second = await running.started("two")
        running.reload("three 1 5")
        await running.all_said("all serve three", f"{first} got RETIRE", f"{second} got RETIRE")
        assert "all serve two" not in running.process.heard
        await running.stopped()  # the one that hangs is told to end, too


async def test_more_workers_and_fewer(tmp_path: Path) -> None:
    async with supervised(tmp_path) as running:
        await running.said("all serve one")
        running.reload("two 3 5")
        heard = await running.said(r"(?s)(.*)all serve two")
        more = re.findall(r"two (\d) (\d+) serves", heard[1])
        assert sorted(place for place, _ in more) == ["0", "1", "2"]
        running.reload("three 1 5")
        await running.said("all serve three")
        for _, pid in more:
            os.kill(int(pid), LAST_STREAM)
        while len(running.process.workers()) > 2:  # the first has not been told that its stream ended
            await asyncio.sleep(0.001)
        await running.stopped()


async def test_a_signal_to_end_during_a_reload_reaches_all(tmp_path: Path) -> None:
    async with supervised(tmp_path) as running:
        old = await running.started()
        await running.said("all serve one")
        running.reload("two 1 5", "hangs")
        new = await running.started("two")
        running.process.signal(signal.SIGTERM)
        heard = await running.said(r"all stop two\n(\d+) got SIGTERM\n(\d+) got SIGTERM\n")
        assert {int(pid) for pid in heard.groups()} == {old, new}
        assert await running.process.ended() == 0


async def test_no_reload_while_it_ends(tmp_path: Path) -> None:
    async with supervised(tmp_path, "one 1 100", "deaf") as running:
        pid = await running.started()
        await running.said("all serve one")
        running.process.signal(signal.SIGTERM)
        await running.said(f"{pid} got SIGTERM")
        running.reload("two 1 5")
        running.process.signal(signal.SIGTERM)
        assert await running.process.ended() == 130
        assert "two" not in running.process.heard


async def test_what_workers_have_counted_outlives_them(tmp_path: Path) -> None:
    async with supervised(tmp_path, "one 2 5") as running:
        heard = await running.said(r"(?s)(.*)all serve one\ncounted 2\n")
        for pid in map(int, re.findall(r"one \d (\d+)", heard[1])):
            os.kill(pid, signal.SIGKILL)
            await running.said(r"one \d \d+ serves")
        running.reload("two 1 5")
        await running.said(r"all serve two\n(\d+ got RETIRE\n)*counted 5\n")
        await running.stopped()


# --- ends -------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_workers_get_the_signal_itself(tmp_path: Path, number: signal.Signals) -> None:
    async with supervised(tmp_path) as running:
        pid = await running.started()
        await running.said("all serve one")
        running.process.signal(number)
        await running.said(f"{pid} got {number.name}")
        assert await running.process.ended() == 0


async def test_a_second_signal_kills(tmp_path: Path) -> None:
    async with supervised(tmp_path, "one 2 100", "deaf") as running:
        await running.said("all serve one")
        running.process.signal(signal.SIGTERM)
        await running.said(r"got SIGTERM\n\d+ got SIGTERM")
        running.process.signal(signal.SIGINT)
        assert await running.process.ended() == 130


async def test_one_that_does_not_end_is_killed(tmp_path: Path) -> None:
    async with supervised(tmp_path, "one 1 0.05", "deaf") as running:
        pid = await running.started()
        await running.said("all serve one")
        running.process.signal(signal.SIGTERM)
        await running.said(f"worker {pid} does not end; killed")
        assert await running.process.ended() == 0


async def test_a_crash_loop_does_not_keep_it_from_ending(tmp_path: Path) -> None:
    async with supervised(tmp_path) as running:
        first = await running.started()
        await running.said("all serve one")
        running.manner("dies")
        os.kill(first, signal.SIGKILL)
        for _ in range(3):
            await running.said("starting another")
        await running.stopped()


# --- the service manager ----------------------------------------------------------------------


@contextlib.contextmanager
def manager(address: str) -> AsyncIterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address)
        sock.setblocking(False)
        yield sock


async def told(sock: socket.socket) -> dict[str, str]:
    message = await within(asyncio.get_running_loop().sock_recv(sock, 4096))
    return dict(line.split("=", 1) for line in message.decode().split("\n"))


async def test_what_the_service_manager_hears(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with manager(path) as sock:
        async with supervised(tmp_path, "one 2 5", NOTIFY_SOCKET=path) as running:
            assert await told(sock) == {"READY": "1", "STATUS": "serving with 2 workers"}
            running.reload("two 1 5")
            reloading = await told(sock)
            assert reloading.pop("MONOTONIC_USEC").isdecimal()
            assert reloading == {"RELOADING": "1", "STATUS": "reloading"}
            assert await told(sock) == {"READY": "1", "STATUS": "serving with 1 worker"}
            running.reload("bad")
            assert "RELOADING" in await told(sock)
            assert await told(sock) == {"READY": "1", "STATUS": "serving with 1 worker"}
            running.process.signal(signal.SIGTERM)
            assert await told(sock) == {"STOPPING": "1", "STATUS": "draining"}
            assert await running.process.ended() == 0
        with pytest.raises(BlockingIOError):
            sock.recv(4096)


async def test_signs_of_life_for_the_watchdog(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with manager(path) as sock:
        async with supervised(tmp_path, NOTIFY_SOCKET=path, WATCHDOG_USEC="20000") as running:
            heard = [await told(sock) for _ in range(6)]
            assert heard.count({"WATCHDOG": "1"}) == 5
            await running.stopped()
