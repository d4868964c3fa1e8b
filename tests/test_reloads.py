"""What came of a reload, as its supervisor notes it, and as ``relay reload`` tells it."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from net.kit import until
from test_supervisor import Supervised, supervised

from relay import reloads
from relay.cli import reload
from relay.errors import UsageError
from relay.metrics import RELOAD_SUCCESSFUL, RELOAD_TIME, Counters
from relay.reloads import DONE, FAILED, PENDING, Outcome, Reloads

ME = os.getpid()


@pytest.fixture
def notes() -> Iterator[Reloads]:
    notes = Reloads(Counters())
    notes.open()
    yield notes
    notes.close()


# --- notes ------------------------------------------------------------------------------------


def test_the_last_outcome_is_there_for_others(notes: Reloads) -> None:
    assert reloads.outcome(ME) == Outcome(0, PENDING, "")
    notes.succeeds("")
    assert reloads.outcome(ME) == Outcome(0, DONE, "")
    notes.begins()
    assert reloads.outcome(ME) == Outcome(1, PENDING, "")
    notes.fails("relay.yaml:3:1: what is this?\n  3 | thís")
    assert reloads.outcome(ME) == Outcome(1, FAILED, "relay.yaml:3:1: what is this?\n  3 | thís")
    notes.begins()
    notes.hangs("a worker died")
    assert reloads.outcome(ME) == Outcome(2, PENDING, "a worker died")
    notes.succeeds("a: 1 → 2")
    assert reloads.outcome(ME) == Outcome(2, DONE, "a: 1 → 2")
    notes.close()
    assert reloads.outcome(ME) is None


def test_what_is_said_is_bounded(notes: Reloads) -> None:
    notes.fails("x" * 10_000_000)
    outcome = reloads.outcome(ME)
    assert outcome is not None
    assert len(outcome.said) < 100_000


def test_where_the_system_has_no_such_memory_nothing_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    notes = Reloads(Counters())
    notes.open()
    notes.succeeds("")
    assert reloads.outcome(ME) is None
    notes.close()


def test_figures() -> None:
    counters = Counters()
    notes = Reloads(counters)

    def figures() -> tuple[float, bool]:
        return counters.total(RELOAD_SUCCESSFUL), time.time() - counters.total(RELOAD_TIME) < 60

    assert figures() == (0, False)
    notes.serves()
    assert figures() == (1, True)
    counters.put(1.0, RELOAD_TIME)
    notes.begins()
    assert figures() == (1, False)
    notes.fails("bad")
    assert figures() == (0, False)
    notes.begins()
    notes.hangs("it dies")
    assert figures() == (0, False)
    notes.serves()
    assert figures() == (1, True)


def test_settings_that_serve_late_do_not_hide_a_failure_since(notes: Reloads) -> None:
    notes.begins()
    notes.begins()
    notes.fails("bad")
    notes.succeeds("what the first of them has changed")
    assert reloads.outcome(ME) == Outcome(2, FAILED, "bad")


def test_only_this_users_are_found(notes: Reloads, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ME in reloads.running(os.geteuid())
    assert ME not in reloads.running(os.geteuid() + 1)


# --- the command ------------------------------------------------------------------------------


async def asked(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    reload.add_arguments(parser)
    return await asyncio.to_thread(reload.run, parser.parse_args(arguments))


async def served(running: Supervised, name: str = "one") -> str:
    await running.said(f"all serve {name}")
    await until(lambda: (it := reloads.outcome(running.process.pid)) is not None and it.state == DONE)
    return str(running.process.pid)


def prepare(running: Supervised, settings: str, manner: str = "serves") -> None:
    running.manner(manner)
    (running.folder / "settings").write_text(settings)


async def test_a_reload_that_succeeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with supervised(tmp_path, "one 2 5") as running:
        pid = await served(running)
        for name in ("two", "three"):
            prepare(running, f"{name} 2 5")
            assert await asked(pid) == 0
            assert capsys.readouterr() == (f"reloaded\nnow {name}\n", "")
            await running.said(f"all serve {name}")
        assert reloads.outcome(running.process.pid) == Outcome(2, DONE, "now three")


async def test_a_reload_that_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with supervised(tmp_path) as running:
        pid = await served(running)
        for settings, why in [("bad", "these settings are bad"), ("broken", "ZeroDivisionError")]:
            prepare(running, settings)
            assert await asked(pid) == 1
            said = f"relay: not reloaded, the settings stay as they were: {why}\n"
            assert capsys.readouterr() == ("", said)
        prepare(running, "two 1 5")
        assert await asked(pid) == 0


async def test_a_reload_that_is_not_done_in_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with supervised(tmp_path) as running:
        pid = await served(running)
        prepare(running, "two 1 5", "hangs")
        assert await asked(pid, "--timeout", "50ms") == 1
        assert capsys.readouterr().err == "relay: not reloaded within 50ms, and still trying\n"
        prepare(running, "three 1 5", "dies")
        assert await asked(pid, "--timeout", "500ms") == 1
        assert "500ms, and still trying: a worker with the new settings ended (3)" in capsys.readouterr().err
        running.manner("serves")
        await served(running, "three")


async def test_one_that_is_busy_has_not_reloaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with supervised(tmp_path) as running:
        pid = await served(running)
        running.process.signal(signal.SIGSTOP)
        assert await asked(pid, "--timeout", "50ms") == 1
        running.process.signal(signal.SIGCONT)
        assert "still trying" in capsys.readouterr().err


async def test_one_that_ends_meanwhile(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with supervised(tmp_path) as running:
        pid = await served(running)
        running.process.signal(signal.SIGSTOP)
        asking = asyncio.ensure_future(asked(pid))
        await asyncio.sleep(0.05)
        (orphan,) = running.process.workers()
        running.process.signal(signal.SIGKILL)
        assert await asking == 1
        os.kill(orphan, signal.SIGKILL)
        assert capsys.readouterr().err == f"relay: relay {pid} has ended\n"


async def test_its_workers_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with supervised(tmp_path) as running:
        await served(running)
        (worker,) = running.process.workers()
        assert worker not in reloads.running(os.geteuid())
        assert await asked(str(worker)) == 3
        assert "is no relay" in capsys.readouterr().err
        assert running.process.workers() == [worker]
        assert "got" not in running.process.heard


async def test_no_other_process_gets_the_signal(capsys: pytest.CaptureFixture[str]) -> None:
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert await asked(str(other.pid)) == 3
        assert other.poll() is None
    finally:
        other.communicate()
    assert other.returncode == 1  # the end of its input, no signal
    assert "is no relay" in capsys.readouterr().err


async def test_none_or_several(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(reloads, "running", lambda uid: [])
    assert await asked() == 3
    assert capsys.readouterr() == ("", "relay: no relay of this user runs here\n")
    monkeypatch.setattr(reloads, "running", lambda uid: [ME, 1])
    with pytest.raises(UsageError, match=rf"say which(?s:.*)\n  {ME}: .*python(?s:.*)\n  1: "):
        await asked()


async def test_the_one_that_runs_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with supervised(tmp_path) as running:
        pid = int(await served(running))
        found = reloads.running(os.geteuid())
        assert pid in found
        monkeypatch.setattr(reloads, "running", lambda uid: [one for one in found if one == pid])
        prepare(running, "two 1 5")
        assert await asked() == 0


async def test_a_bad_timeout(notes: Reloads) -> None:
    with pytest.raises(UsageError, match="duration '10'"):
        await asked(str(ME), "--timeout", "10")
