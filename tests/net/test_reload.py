"""HUP: live streams end whole, new requests find new workers, and what is wrong changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from .kit import ScriptedUpstream, Wire, chunk, echo, get, post, until, within
from .process import Process, serving
from .test_checked_streams import BEGUN, ask, events, failed
from .test_process import EVENT_STREAM, answered, stream_of_worker


@contextlib.asynccontextmanager
async def reloading(
    upstream: ScriptedUpstream, folder: Path, flags: str, *arguments: str, **options: Any
) -> AsyncIterator[Process]:
    """A relay that finds some of its flags in a file."""
    write(folder, flags)
    program = (sys.executable, "-m", "tests.net.reloading", str(folder / "flags"))
    async with serving(upstream.url, *arguments, program=program, **options) as process:
        yield process


def write(folder: Path, flags: str) -> None:
    (folder / "flags").write_text(flags)


async def reload(process: Process) -> None:
    process.signal(signal.SIGHUP)
    await process.said("reloaded")


async def worker_of(wire: Wire) -> bytes:
    """What the ids of the worker begin with that answers a request on this connection."""
    await wire.send(get())
    name = (await wire.message()).head[b"x-relay-id"]
    assert name is not None
    return name.split(b"-")[0]


async def worker_of_another(wire: Wire) -> bytes:
    """The same, on a connection that is closed afterwards."""
    with contextlib.closing(wire):
        return await worker_of(wire)


def over_unix(path: Path) -> Wire:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(path))
    return Wire(sock)


@pytest.mark.parametrize("workers", [1, 2])
async def test_live_streams_end_whole_and_new_requests_find_new_workers(
    upstream: ScriptedUpstream, workers: int
) -> None:
    async with serving(upstream.url, "--workers", str(workers)) as process:
        old = process.workers()
        streams = []
        while len({name for _, _, name in streams}) < workers:
            streams.append(await stream_of_worker(process, upstream))
        names = {name for _, _, name in streams}
        await reload(process)
        await reload(process)  # and again: those that retire are not disturbed
        while streams[-1][2] in names:  # one that is just being told may still take some
            streams.append(await stream_of_worker(process, upstream))
        assert set(old) <= set(process.workers())
        for client, peer, _ in streams:
            await peer.send(chunk(b"data: 2\n\n") + b"0\r\n\r\n")
            assert await client.chunk() == b"data: 2\n\n"
            assert await client.chunk() == b""
            assert await client.trailers() == []
        await until(lambda: not set(old) & set(process.workers()))
        process.signal(signal.SIGTERM)


async def test_no_request_is_lost(upstream: ScriptedUpstream) -> None:
    upstream.serve(echo)
    async with serving(upstream.url, "--workers", "2") as process:
        done = asyncio.Event()

        async def ask_on_and_on() -> int:
            count = 0
            while not done.is_set():
                await answered(process)
                count += 1
            return count

        asking = [asyncio.ensure_future(ask_on_and_on()) for _ in range(8)]
        for _ in range(3):
            await reload(process)
        done.set()
        assert min(await asyncio.gather(*asking)) > 0


async def test_idle_connections_are_closed(upstream: ScriptedUpstream) -> None:
    upstream.serve(echo)
    async with serving(upstream.url) as process:
        used, unused = await process.connect(), await process.connect()
        before = await worker_of(used)
        await reload(process)
        assert await used.rest() == b""
        assert await unused.rest() == b""
        assert await worker_of(await process.connect()) != before


async def test_bad_settings_change_nothing(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    upstream.serve(echo)
    async with reloading(upstream, tmp_path, "--workers 1") as process:
        client = await process.connect()
        before, pids = await worker_of(client), process.workers()
        for flags, complaint in [("--workers 0", "--workers 0"), ("--tls-cert none.pem", "--tls-key")]:
            write(tmp_path, flags)
            process.signal(signal.SIGHUP)
            await process.said("not reloaded, the settings stay as they were: .*" + complaint)
        assert await worker_of(client) == before
        assert process.workers() == pids
        write(tmp_path, "--workers 2")
        await reload(process)
        assert len(set(process.workers()) - set(pids)) == 2


async def test_addresses_that_stay_come_and_go(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    upstream.serve(echo)
    stays, goes, comes = (tmp_path / name for name in ("stays", "goes", "comes"))
    async with reloading(upstream, tmp_path, f"--listen unix:{goes}", "--listen", f"unix:{stays}") as process:
        file, port = stays.stat().st_ino, process.port
        before = await worker_of_another(over_unix(goes))
        write(tmp_path, f"--listen unix:{comes} --socket-mode 600")
        await reload(process)
        assert not goes.exists()
        assert stays.stat().st_ino == file
        assert (stays.stat().st_mode & 0o777, comes.stat().st_mode & 0o777) == (0o600, 0o600)
        for connect in (lambda: over_unix(stays), lambda: over_unix(comes)):
            while await worker_of_another(connect()) == before:  # it may not have heard yet
                pass
        await worker_of(await process.connect(port))
        process.signal(signal.SIGTERM)
        assert await process.ended() == 0
        assert not stays.exists()
        assert not comes.exists()


async def test_an_address_that_is_taken_changes_nothing(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    upstream.serve(echo)
    new = tmp_path / "new"
    async with reloading(upstream, tmp_path, "") as process:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            write(tmp_path, f"--listen unix:{new} --listen 127.0.0.1:{port}")
            process.signal(signal.SIGHUP)
            await process.said(f"not reloaded.*cannot listen on 127.0.0.1:{port}")
            assert not new.exists()
        await answered(process)
        await reload(process)  # now it is free
        assert new.exists()
        await worker_of(await process.connect(port))


async def test_waiting_clients_are_served_by_whoever_comes(upstream: ScriptedUpstream) -> None:
    """Their connections are in the queue of a socket that the supervisor holds."""
    upstream.serve(echo)
    async with serving(upstream.url) as process:
        (old,) = process.workers()
        os.kill(old, signal.SIGSTOP)
        waiting = [await process.connect() for _ in range(5)]
        for client in waiting:
            await client.send(post(b"hello"))
        await reload(process)
        for client in waiting:
            assert (await client.message()).body == b"hello"
        os.kill(old, signal.SIGCONT)


async def test_a_retired_worker_drains_when_relay_ends(upstream: ScriptedUpstream) -> None:
    async with serving(upstream.url, "--drain", "200ms") as process:
        client = await process.connect()
        await client.send(ask("chat"))
        peer = await upstream.accept()
        await peer.message()
        await peer.send(EVENT_STREAM + chunk(BEGUN["chat"]))
        await client.head()
        body = await client.chunk()
        await reload(process)
        process.signal(signal.SIGTERM)
        while part := await client.chunk():
            body += part
        assert "shutting down" in failed("chat", events(body))
        assert await process.ended() == 0


async def test_a_dead_supervisor_takes_those_that_retire_along(upstream: ScriptedUpstream) -> None:
    async with serving(upstream.url, "--drain", "200ms", "--drain-delay", "1h") as process:
        client, _, _ = await stream_of_worker(process, upstream)
        await reload(process)
        process.signal(signal.SIGKILL)
        assert await process.ended() == -signal.SIGKILL
        assert await client.rest() == b""


class Certificates:
    """What a relay shows, in files that ``renew`` replaces, and who trusts it."""

    def __init__(self, folder: Path) -> None:
        self.cert, self._key = folder / "cert.pem", folder / "key.pem"
        self.flags = ("--tls-cert", str(self.cert), "--tls-key", str(self._key))
        self._authority = trustme.CA()
        self.trust = ssl.create_default_context()
        self._authority.configure_trust(self.trust)
        self.renew()

    def renew(self) -> None:
        leaf = self._authority.issue_cert("127.0.0.1")
        leaf.private_key_pem.write_to_path(str(self._key))
        leaf.cert_chain_pems[0].write_to_path(str(self.cert))

    async def shown(self, process: Process) -> bytes:
        """By whoever accepts, in DER."""
        _, writer = await within(asyncio.open_connection("127.0.0.1", process.port, ssl=self.trust))
        shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()
        return shown


async def test_certificates_are_read_again(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    async with serving(upstream.url, "--workers", "2", *certificates.flags) as process:
        first = await certificates.shown(process)
        assert await certificates.shown(process) == first
        certificates.cert.write_text("-----BEGIN CERTIFICATE-----\nhalf")
        process.signal(signal.SIGHUP)
        await process.said(f"not reloaded.*{certificates.cert}")
        assert await certificates.shown(process) == first
        os.kill(process.workers()[0], signal.SIGKILL)  # the next one serves with what was checked
        await process.said("starting another")
        assert {await certificates.shown(process) for _ in range(8)} == {first}
        certificates.renew()
        await reload(process)
        while await certificates.shown(process) == first:  # one that has not heard yet
            pass
        await until(lambda: len(process.workers()) == 2)
        assert first not in {await certificates.shown(process) for _ in range(8)}


async def test_a_handshake_outlives_a_reload(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    upstream.serve(echo)
    certificates = Certificates(tmp_path)
    async with serving(upstream.url, *certificates.flags) as process:
        begun = await process.connect()
        await certificates.shown(process)  # so the one that came before has been accepted, too
        await reload(process)
        reader, writer = await within(
            asyncio.open_connection(sock=begun.sock, ssl=certificates.trust, server_hostname="127.0.0.1")
        )
        writer.write(post(b"hello", b"connection: close"))
        assert (await within(reader.read())).endswith(b"hello")
        writer.close()
