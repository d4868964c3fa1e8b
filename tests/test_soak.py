"""The soak of ``bench/soak.py``, short: as processes with kills and reloads, and inside this process, where
tasks, the pool and the slots can be seen. And its judge, which must not find wrong streams right."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
from argparse import Namespace
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from net.conftest import Serve, quiet, serve  # noqa: F401 (fixtures)
from net.kit import until, within

from relay.config import Repair, Repeat, Retry

BENCH = Path(__file__).resolve().parents[1] / "bench"
sys.path.append(str(BENCH))

import soak_clients  # noqa: E402
import soak_streams  # noqa: E402
import soak_upstream  # noqa: E402
from soak_line import Body, Malformed  # noqa: E402
from soak_streams import Script  # noqa: E402

# --- as processes -----------------------------------------------------------------------------------


@pytest.mark.timeout(150)
def test_nothing_is_lost_under_kills_and_reloads() -> None:
    command = [sys.executable, str(BENCH / "soak.py"), "--quick", "--json"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=140, check=False)
    assert run.returncode in (0, 1), run.stderr[-2000:]
    report = json.loads(run.stdout)
    assert report["wrong"] == []
    assert report["streams"] > 300
    assert report["kills"] == 4
    assert report["killed"] > 0
    assert report["reloads"] == 5
    assert report["departures"] > 0
    assert report["felt"] > 0


# --- in this process --------------------------------------------------------------------------------


@pytest.fixture
async def soaked(quiet: None) -> AsyncIterator[list[soak_upstream.Upstream]]:  # noqa: F811
    """Two upstreams of the soak on this loop, each with its ``url``."""
    loop = asyncio.get_running_loop()
    upstreams, servers = [], []
    for _ in range(2):
        upstream = soak_upstream.Upstream()
        server = await loop.create_server(
            lambda made=upstream: soak_upstream.Connection(made), "127.0.0.1", 0
        )
        upstream.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        upstreams.append(upstream)
        servers.append(server)
    yield upstreams
    for server in servers:
        server.close()
    await until(lambda: not any(upstream.connections for upstream in upstreams))


@pytest.mark.parametrize("seed", [1, 2])
async def test_nothing_is_left_of_two_hundred_streams(
    serve: Serve,  # noqa: F811
    soaked: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
) -> None:
    monkeypatch.setattr(soak_clients, "SHARE", 0.2)
    retry = Retry(repeat=Repeat.COMPLETIONS, attempts=4, pause=0.001)
    urls = [upstream.url for upstream in soaked]
    timeouts = {"look_ahead": 0.1, "silence": 0.0, "pool_idle": 0.3}
    running = await serve(*urls, repair=Repair.ON, also={"retry": retry}, **timeouts)
    options = Namespace(port=running.address[1], deltas=8, interval=0.03, seed=seed, silences=False)
    clients = soak_clients.Clients(options)
    scripts = [clients.next_script() for _ in range(200)]
    faults = itertools.cycle(soak_streams.FAULTS)
    for at, one in enumerate(scripts):
        if at % 2 and one.client != "leaves":
            scripts[at] = replace(one, fault=next(faults))
    await within(asyncio.gather(*(clients.attend(script, None, keep=False) for script in scripts)), 50)
    assert clients.results.wrong == []
    assert clients.results.cut == []
    assert sum(clients.results.outcomes.values()) == 200
    relay = running.relay
    await until(lambda: not relay.clients and not any(upstream.active for upstream in soaked))
    await until(lambda: relay.pool.open_count == relay.pool.idle_count == 0)
    assert [target.in_flight for target in relay.targets] == [0, 0]
    assert len(relay.room) == 0
    assert relay.live_tools == {}
    assert [upstream.wrong for upstream in soaked] == [[], []]


# --- the judge --------------------------------------------------------------------------------------

ERRORS = {
    "chat": b'data: {"error":{"message":"closed after 3 deltas","type":"server_error"}}\n\n',
    "messages": b'event: error\ndata: {"type":"error","error":{"message":"closed after 3 deltas"}}\n\n',
    "responses": b'event: error\ndata: {"type":"error","error":{"message":"closed after 3 deltas"},'
    b'"sequence_number":7}\n\n'
    b'event: response.failed\ndata: {"type":"response.failed","sequence_number":8,"response":{"id":"resp_7",'
    b'"status":"failed","error":{"message":"closed after 3 deltas"}}}\n\n',
}
"""Of stream 7, which is cut after the third delta."""

every_dialect = pytest.mark.parametrize("dialect", soak_streams.DIALECTS)


def script(dialect: str, fault: str = "") -> Script:
    made = Script(7, dialect, 6, 0.1, fault=fault)
    assert made.cut == 3
    return made


def broken(dialect: str) -> tuple[bytes, bytes]:
    """What left before the cut, and the delta after it."""
    opening, deltas, _ = script(dialect).frames()
    return b"".join([*opening, *deltas[:3]]), deltas[3]


@every_dialect
def test_only_the_whole_stream_is_whole(dialect: str) -> None:
    mine = script(dialect)
    frames = [frame for part in mine.frames() for frame in part]
    other = [frame for part in Script(8, dialect, 6, 0.1).frames() for frame in part]
    assert mine.verdict(200, b"".join(frames)) == "whole"
    for at, frame in enumerate(frames):
        before, after = frames[:at], frames[at + 1 :]
        lost, doubled, mixed = [], [frame, frame], [other[at]]
        for what in (lost, doubled, mixed, [frame[:-1]], [frame, b": \n\n"]):
            if what != [frame]:  # [DONE] is the same in all streams
                assert mine.verdict(200, b"".join([*before, *what, *after])) != "whole"
    assert mine.verdict(502, b'{"error":{"message":"no"}}') != mine.expected


@every_dialect
def test_an_error_is_the_last_thing_after_all_that_was_sent(dialect: str) -> None:
    mine, (sent, next_delta), error = script(dialect, "reset-between"), broken(dialect), ERRORS[dialect]
    assert mine.verdict(200, sent + error) == mine.expected == "error"
    wrong = {
        "no error": sent,
        "half a frame": sent + next_delta[:20],
        "half a frame before": sent + next_delta[:20] + error,
        "a delta too many": sent + next_delta + error,
        "a delta too few": sent[: sent.rindex(b"data: ")] + error,
        "another before": sent.replace(b"<7.1>", b"<8.1>") + error,
        "something after": sent + error + b": \n\n",
        "an end after": sent + error + b"".join(script(dialect).frames()[2]),
        "twice": sent + error + error,
        "half": sent + error[:-1],
        "miscounted": sent + error.replace(b"after 3", b"after 2"),
        "another event": sent + error.replace(b"event: error", b"event: ping").replace(b'{"error"', b'{"oh"'),
    }
    for what, body in wrong.items():
        assert mine.verdict(200, body) != "error", what


@every_dialect
def test_an_end_is_supplied_only_as_it_would_have_been(dialect: str) -> None:
    mine = script(dialect, "no-end")
    opening, deltas, closing = mine.frames()
    before = b"".join([*opening, *deltas, *closing[:-1]])
    end = soak_streams.supplied(closing[-1]) if dialect == "responses" else closing[-1]
    assert mine.verdict(200, before + end) == mine.expected
    for body in (before, before + end[:-1], before + end + end, b"".join([*opening, *deltas]) + end):
        assert mine.verdict(200, body) not in ("whole", "supplied")


def test_a_body_ends_with_its_last_chunk_and_nothing_follows() -> None:
    whole = b"3\r\nabc\r\na\r\n0123456789\r\n0\r\n\r\n"
    for cut in range(len(whole)):
        body = Body()
        body.feed(whole[:cut])
        assert not body.complete
        assert b"abc0123456789".startswith(body.so_far().removesuffix(b"\r").removesuffix(b"\r\n"))
        body.feed(whole[cut:])
        assert (body.complete, bytes(body.data)) == (True, b"abc0123456789")
        with pytest.raises(Malformed):
            body.feed(b"x")
    for wrong in (b"3\r\nabcd\r\n", b"oh no, no chunk", b"0\r\n\r\nHTTP/1.1"):
        with pytest.raises((Malformed, ValueError)):
            Body().feed(wrong)
