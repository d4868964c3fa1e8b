"""``--watch``: a change in a file does what HUP does, and what is wrong in it changes nothing."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from .kit import ScriptedUpstream, chunk, echo, until
from .process import Process, fails, serving, spawn
from .test_process import NOWHERE, asked, stream_of_worker
from .test_reload import Certificates, worker_of_another

GOOD = "timeouts: {{idle: {}}}\n"


class Mount:
    """A folder as the kubelet mounts a ConfigMap: the file is a link through a link that is swapped."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self.file = folder / "relay.yaml"

    def put(self, text: str) -> None:
        self._count += 1
        version = self._folder / f"..2026_11_22_{self._count}"
        version.mkdir()
        (version / "relay.yaml").write_text(text)
        (self._folder / "..data_tmp").symlink_to(version.name)
        (self._folder / "..data_tmp").rename(self._folder / "..data")
        if not self.file.is_symlink():
            self.file.symlink_to("..data/relay.yaml")


@contextlib.asynccontextmanager
async def watching(upstream: ScriptedUpstream, file: Path, *arguments: str) -> AsyncIterator[Process]:
    async with serving(upstream.url, "-c", str(file), "--watch", *arguments) as process:
        assert f"watching {file} for changes" in process.banner
        yield process


async def figure(process: Process, name: str) -> float:
    status, body = await asked(process, b"/metrics")
    assert status == 200
    (sample,) = (
        sample
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
        if sample.name == name
    )
    return sample.value


async def test_an_edit_is_taken_over(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    upstream.serve(echo)
    file = tmp_path / "relay.yaml"
    file.write_text(GOOD.format("50s"))
    async with watching(upstream, file, "--workers", "2") as process:
        before = set(process.workers())
        file.write_text(GOOD.format("60s"))
        await process.said(r"changed: timeouts\.idle: 50s → 60s\nreloaded; 2 new workers")
        assert len(set(process.workers()) - before) == 2


async def test_a_live_stream_runs_through_all_that_a_mounted_file_goes_through(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    mount = Mount(tmp_path)
    mount.put(GOOD.format("50s"))
    async with watching(upstream, mount.file, "--admin", "127.0.0.1:0") as process:
        client, peer, _ = await stream_of_worker(process, upstream)
        (old,) = process.workers()
        assert await figure(process, "relay_config_last_reload_successful") == 1

        async def goes_on() -> None:
            await peer.send(chunk(b"data: 2\n\n"))
            assert await client.chunk() == b"data: 2\n\n"

        mount.put("timeouts:\n  idel: 60s\n")
        await process.said(
            rf"not reloaded, the settings stay as they were: {re.escape(str(mount.file))}:2:3: "
        )
        await goes_on()
        assert process.workers() == [old]
        assert await figure(process, "relay_config_last_reload_successful") == 0
        mount.put("timeouts:\n  idle: 60s\n")
        await process.said(r"changed: timeouts\.idle: 50s → 60s\nreloaded")
        await goes_on()
        await until(lambda: len(process.workers()) == 2)
        assert await figure(process, "relay_config_last_reload_successful") == 1
        mount.file.unlink()  # somebody replaces the mount by a file of its own
        mount.file.write_text("timeouts:\n  idle: 70s\n")
        await process.said(r"changed: timeouts\.idle: 60s → 70s\nreloaded")
        await goes_on()
        await peer.send(b"0\r\n\r\n")
        assert await client.chunk() == b""
        assert await client.trailers() == []
        await until(lambda: old not in process.workers())


async def test_certificates_are_watched(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    async with serving(upstream.url, "--watch", *certificates.flags) as process:
        assert any(line.startswith(f"watching {certificates.cert} and ") for line in process.banner)
        first = await certificates.shown(process)
        certificates.renew()
        await process.said("reloaded")
        await until(lambda: len(process.workers()) == 1)
        assert await certificates.shown(process) != first


async def test_there_is_nothing_to_watch() -> None:
    code, err = await fails("--upstream", NOWHERE, "--watch")
    assert code == 2
    assert "--watch: no file is read" in err


@pytest.mark.parametrize("signals", [1, 2])
async def test_relay_reload(upstream: ScriptedUpstream, tmp_path: Path, signals: int) -> None:
    upstream.serve(echo)
    file = tmp_path / "relay.yaml"
    file.write_text(GOOD.format("50s"))
    async with serving(upstream.url, "-c", str(file)) as process:
        name = await worker_of_another(await process.connect())
        command = (sys.executable, "-m", "relay", "reload", str(process.pid))
        for _ in range(signals):
            file.write_text(GOOD.format("60s"))
            code, out, _ = await run(command)
            assert code == 0
        said = "timeouts.idle: 50s → 60s" if signals == 1 else "nothing has changed"
        assert said in out
        file.write_text(GOOD.format("60"))
        code, out, err = await run(command)
        assert (code, out) == (1, "")
        assert f"{file}:1:18: " in err
        assert await worker_of_another(await process.connect()) != name
    assert await run(command) == (
        3,
        "",
        f"relay: process {process.pid} is no relay; workers are none: it is their parent that reloads\n",
    )


async def run(program: tuple[str, ...]) -> tuple[int | None, str, str]:
    child = await spawn(program=program)
    out, err = await child.communicate()
    return child.returncode, out.decode(), err.decode()
