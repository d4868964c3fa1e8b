"""Every timeout and every limit acts, and is never when it is switched off.

Those that the tests of their subject prove are named in ``PROOFS``; the others are proved here. That
something does *not* happen is asked after relay has dealt with all that was before (``settle``): a limit of
0 that was taken for a limit would have fired by then.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import dataclasses
import json
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from relay.config import Limits, Repair, Timeouts
from relay.errors import BodyTooLarge, ClientStalled, HeadTooLarge, UpstreamTimeout
from relay.net.server import ClientConnection
from relay.settings import options

from .conftest import Serve
from .kit import (
    COMPLETION,
    EVENT_STREAM,
    Ended,
    Message,
    ScriptedUpstream,
    Wire,
    answer,
    chunk,
    echo,
    get,
    post,
    until,
)
from .process import serving
from .test_checked_streams import (
    BEGUN,
    COMPLETE,
    DONE,
    PATHS,
    ROLE,
    STOP,
    WORD,
    ask,
    begin,
    events,
    failed,
    play,
)
from .test_departure import blocked, pour
from .test_pool import pooled, served_by, streamed

HERE = Path(__file__).parent
every_dialect = pytest.mark.parametrize("dialect", PATHS)

PROOFS: dict[tuple[type, str], tuple[str, ...]] = {
    (Timeouts, "client_head"): (
        "bad_heads.a_head_that_never_ends_in_time",
        "bad_heads.a_head_that_trickles_is_not_pardoned",
    ),
    (Timeouts, "client_body"): (
        "bad_heads.a_body_that_stops_coming",
        "checked_streams.a_document_that_stops_coming_is_a_408",
    ),
    (Timeouts, "keep_alive"): ("forwarding.an_idle_client_is_closed",),
    (Timeouts, "client_stall"): (
        "backpressure.a_client_that_stays_stalled_is_dropped",
        "limits.a_client_that_stalled_is_told_from_one_that_left",
        "limits.a_client_that_takes_little_at_a_time_has_not_stalled",
    ),
    (Timeouts, "linger"): (
        "limits.an_upload_that_nobody_wants_is_not_read_for_ever",
        "forwarding.a_slow_client_gets_all_of_an_early_response",
    ),
    (Timeouts, "connect"): ("upstream_failures.a_connection_that_is_not_accepted_in_time",),
    (Timeouts, "head"): (
        "upstream_failures.a_silent_upstream_times_out",
        "limits.the_time_for_the_head_counts_from_the_end_of_the_request",
    ),
    (Timeouts, "first_frame"): (
        "upstream_failures.silence_between_head_and_first_frame",
        "limits.comments_are_no_first_frame",
    ),
    (Timeouts, "look_ahead"): (
        "limits.an_announcement_waits_for_what_it_announces",
        "limits.an_announcement_is_not_held_for_ever",
        "failover.an_announcement_is_held_until_it_is_worth_something",
    ),
    (Timeouts, "idle"): (
        "upstream_failures.silence_inside_a_stream_cuts_it",
        "checked_streams.a_cut_stream_ends_with_the_error_of_its_dialect",
        "checked_streams.an_upstream_that_only_comments_is_silent",
        "backpressure.a_stalled_client_does_not_time_the_upstream_out",
        "limits.the_idle_limit_begins_anew_when_the_client_has_caught_up",
    ),
    (Timeouts, "exchange"): (
        "limits.an_exchange_that_is_too_long_before_its_head",
        "limits.a_stream_that_is_too_long_ends_with_the_error_of_its_dialect",
        "limits.a_download_that_is_too_long_is_cut",
    ),
    (Timeouts, "silence"): ("checked_streams.a_waiting_client_gets_a_sign_of_life",),
    (Timeouts, "terminal"): (
        "checked_streams.an_upstream_that_hangs_after_its_last_word",
        "checked_streams.an_upstream_that_talks_on_after_its_last_word",
    ),
    (Timeouts, "pool_idle"): (
        "pool.idle_connections_expire",
        "pool.resting_connections_expire_like_all_others",
    ),
    (Timeouts, "rest"): (
        "pool.a_server_that_closes_after_each_stream_unannounced_loses_no_request",
        "pool.a_connection_that_has_rested_is_used_again",
    ),
    (Limits, "head"): (
        "limits.a_clients_head_above_the_limit_is_a_431",
        "limits.an_upstreams_head_above_the_limit_is_a_502",
        "bad_heads.heads_at_the_limits_pass",
    ),
    (Limits, "fields"): (
        "limits.a_clients_head_above_the_limit_is_a_431",
        "limits.an_upstreams_head_above_the_limit_is_a_502",
        "bad_heads.heads_at_the_limits_pass",
    ),
    (Limits, "frame"): (
        "limits.a_frame_above_the_limit_is_the_error_of_the_dialect",
        "limits.what_is_above_the_limit_before_the_head_is_a_502",
        "streaming.a_frame_above_the_limit_is_cut",
    ),
    (Limits, "document"): ("checked_streams.a_document_above_the_limit_is_refused",),
    (Limits, "translated"): ("translated_streams.a_body_above_the_limit_is_refused_in_the_clients_dialect",),
    (Limits, "objects"): ("limits.a_translated_request_of_too_many_objects_is_a_413",),
    (Limits, "body"): (
        "limits.any_other_body_above_the_limit_is_a_413",
        "limits.a_body_at_the_limit_passes",
    ),
    (Limits, "replay"): ("pool.no_repetition_of_a_body_above_the_limit",),
    (Limits, "connections"): ("limits.no_more_clients_than_the_limit_are_served",),
    (Limits, "idle_connections"): ("pool.no_more_idle_connections_than_the_limit",),
}
"""Which tests show that it acts: ``file.name`` for ``test_file.py`` and ``test_name``."""

NEVER: dict[tuple[type, str], tuple[str, ...]] = {
    (Timeouts, "keep_alive"): ("limits.an_idle_client_that_may_stay",),
    (Timeouts, "head"): ("limits.an_upstream_that_may_think",),
    (Timeouts, "first_frame"): ("limits.an_upstream_that_may_think",),
    (Timeouts, "look_ahead"): ("limits.an_announcement_that_is_not_held",),
    (Timeouts, "idle"): ("limits.an_upstream_that_may_think",),
    (Timeouts, "exchange"): ("limits.an_upstream_that_may_think",),
    (Timeouts, "silence"): ("limits.a_client_that_gets_no_sign_of_life",),
    (Timeouts, "rest"): ("limits.a_connection_that_need_not_rest",),
    (Limits, "body"): ("limits.a_body_of_any_size",),
    (Limits, "replay"): ("limits.a_request_whose_body_is_not_kept",),
    (Limits, "connections"): ("limits.as_many_clients_as_there_are_descriptors_for",),
    (Limits, "idle_connections"): ("limits.a_connection_that_is_not_kept",),
}
"""Which show that 0 switches it off, where it may be."""


# --- the tables -------------------------------------------------------------------------------


def fields_of(*structs: type) -> set[tuple[type, str]]:
    return {(struct, field.name) for struct in structs for field in dataclasses.fields(struct)}


@cache
def names_in(name: str) -> frozenset[str]:
    tree = ast.parse((HERE / f"test_{name}.py").read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in tree.body if isinstance(node, kinds))


def test_every_timeout_and_every_limit_is_proved() -> None:
    assert set(PROOFS) == fields_of(Timeouts, Limits)


def test_what_may_be_switched_off_is_proved_to_be_off() -> None:
    assert set(NEVER) == {
        (struct, name) for struct, name in fields_of(Timeouts, Limits) if options.OFF[struct][name].words
    }


ALL = sorted({proof for table in (PROOFS, NEVER) for row in table.values() for proof in row})


@pytest.mark.parametrize("proof", ALL)
def test_every_proof_is_there(proof: str) -> None:
    file, _, name = proof.partition(".")
    assert f"test_{name}" in names_in(file)


# --- the client's side ------------------------------------------------------------------------


def error_of(response: Message) -> dict[str, Any]:
    error = json.loads(response.body)["error"]
    assert isinstance(error, dict)
    return error


@contextlib.asynccontextmanager
async def again_and_again(send: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Meanwhile this is sent all the time, until there is nobody to send it to."""

    async def go_on() -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                await send()

    task = asyncio.create_task(go_on())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_an_idle_client_that_may_stay(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream, keep_alive=0)
    upstream.serve(echo)
    client = await relay.connect()
    await relay.settle()
    await client.send(post(b"first"))
    assert (await client.message()).body == b"first"
    await relay.settle()
    await client.send(post(b"second"))
    assert (await client.message()).body == b"second"


async def test_a_client_that_stalled_is_told_from_one_that_left(
    serve: Serve, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    relay = await serve(upstream, client_stall=0.1)
    client = await relay.connect(rcvbuf=8192)
    await client.send(post(b"{}", target=COMPLETION))
    peer = await upstream.accept()
    await peer.message()
    await peer.send(EVENT_STREAM)
    with pytest.raises(ConnectionError):
        await pour(peer, chunk(b"data: " + b"x" * 65000 + b"\n\n"), [0])
    await until(lambda: not relay.relay.clients)
    assert f"{ClientStalled.status} {ClientStalled.code}" in caplog.text
    assert ClientStalled.end == "CT"


async def test_a_client_that_takes_little_at_a_time_has_not_stalled(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    relay = await serve(upstream, client_stall=0.3)
    client = await relay.connect(rcvbuf=4096)
    await client.send(get())
    peer = await upstream.accept()
    await peer.head()
    (connection,) = relay.relay.clients
    assert isinstance(connection, ClientConnection)
    sock = connection.transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    body = b"b" * 60_000  # one read of relay's
    await peer.send(answer(body))
    assert (await client.head()).status == 200
    for _ in range(50):
        await asyncio.sleep(0.02)
        assert await client.receive(1000)


async def test_an_upload_that_nobody_wants_is_not_read_for_ever(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    relay = await serve(upstream, linger=0.05)
    client = await relay.connect()
    await client.send(get(b"/", b"content-length: 1000000", method=b"POST") + b"x" * 1000)
    peer = await upstream.accept()
    await peer.head()
    await peer.send(answer(b"too large", status=b"413 Payload Too Large"))
    assert (await client.message()).status == 413
    await until(lambda: not relay.relay.clients)  # though this client never leaves


async def test_a_client_that_gets_no_sign_of_life(serve: Serve, upstream: ScriptedUpstream) -> None:
    played = await play(serve, upstream, silence=0)
    await begin(played, ROLE)
    assert await played.client.chunk() == ROLE
    await played.relay.settle()
    assert played.client.waiting() == b""
    await played.upstream.send(chunk(WORD))
    assert await played.client.chunk() == WORD


# --- the upstream's side ----------------------------------------------------------------------


async def test_an_upstream_that_may_think(serve: Serve, upstream: ScriptedUpstream) -> None:
    played = await play(serve, upstream, head=0, first_frame=0, idle=0, exchange=0)
    parts = [b": waiting\n\n", ROLE, WORD, STOP + DONE]
    for step in (EVENT_STREAM, *map(chunk, parts), b"0\r\n\r\n"):
        await played.relay.settle()
        await played.upstream.send(step)
    response = await played.client.message()
    assert (response.status, response.body) == (200, b"".join(parts))


async def test_the_time_for_the_head_counts_from_the_end_of_the_request(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    """An upload that takes longer than that, and goes on, is nothing that the upstream does."""
    relay = await serve(upstream, head=0.2)
    client = await relay.connect()
    await client.send(get(b"/", b"transfer-encoding: chunked", method=b"POST"))
    peer = await upstream.accept()
    await peer.head()
    loop = asyncio.get_running_loop()
    end = loop.time() + 0.5
    while loop.time() < end:
        await client.send(chunk(b"part"))
        assert await peer.chunk() == b"part"
    await client.send(b"0\r\n\r\n")
    await peer.gone()  # now it is
    response = await client.message()
    assert response.status == 504
    assert error_of(response)["code"] == UpstreamTimeout.code


async def test_comments_are_no_first_frame(serve: Serve, upstream: ScriptedUpstream) -> None:
    played = await play(serve, upstream, first_frame=0.2)
    await played.upstream.send(EVENT_STREAM)

    async def comment() -> None:
        await played.upstream.send(chunk(b": waiting\n\n"))
        await played.relay.settle()

    async with again_and_again(comment):
        response = await played.client.message()
    assert response.status == 504
    assert error_of(response)["code"] == UpstreamTimeout.code


ANNOUNCED = {
    "chat": ROLE,
    "messages": BEGUN["messages"].split(b"event: content_block_start")[0],
    "responses": BEGUN["responses"].split(b"event: response.output_text.delta")[0],
}
"""What comes before the first delta."""


@every_dialect
async def test_an_announcement_waits_for_what_it_announces(
    serve: Serve, upstream: ScriptedUpstream, dialect: str
) -> None:
    played = await play(serve, upstream, ask(dialect), look_ahead=60)
    await played.upstream.send(EVENT_STREAM + chunk(ANNOUNCED[dialect]))
    await played.relay.settle()
    assert played.client.waiting() == b""
    await played.upstream.send(chunk(BEGUN[dialect].removeprefix(ANNOUNCED[dialect])))
    assert (await played.client.head()).status == 200
    got = b""
    while len(got) < len(BEGUN[dialect]):
        got += await played.client.chunk()
    assert got == BEGUN[dialect]


@every_dialect
async def test_an_announcement_is_not_held_for_ever(
    serve: Serve, upstream: ScriptedUpstream, dialect: str
) -> None:
    played = await play(serve, upstream, ask(dialect), look_ahead=0.05)
    await begin(played, ANNOUNCED[dialect])
    assert await played.client.chunk() == ANNOUNCED[dialect]


@every_dialect
async def test_an_announcement_that_is_not_held(
    serve: Serve, upstream: ScriptedUpstream, dialect: str
) -> None:
    played = await play(serve, upstream, ask(dialect), look_ahead=0)
    await played.upstream.send(EVENT_STREAM + chunk(ANNOUNCED[dialect]))
    await played.relay.settle()
    assert ANNOUNCED[dialect] in played.client.waiting()


async def test_the_idle_limit_begins_anew_when_the_client_has_caught_up(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    """It has rested for longer than it is; then the upstream's silence counts, and only then."""
    relay = await serve(upstream, idle=0.1)
    client = await relay.connect(rcvbuf=8192)
    await client.send(post(b"{}", target=COMPLETION))
    peer = await upstream.accept()
    await peer.message()
    frame = b"data: " + b"x" * 65000 + b"\n\n"
    await peer.send(EVENT_STREAM)
    sent = [0]
    sending = asyncio.create_task(pour(peer, chunk(frame), sent))
    await blocked(sending, sent)
    sending.cancel()
    await asyncio.wait([sending])
    await asyncio.sleep(0.2)  # twice the limit: the very thing that must not matter
    await client.head()
    left = sent[0] // len(chunk(frame)) * len(frame)
    while left:
        left -= len(await client.chunk())
    assert await client.rest() == b""  # now it is the upstream that is silent, and the end is a cut
    await peer.gone()


# --- the whole of it --------------------------------------------------------------------------


async def test_an_exchange_that_is_too_long_before_its_head(serve: Serve, upstream: ScriptedUpstream) -> None:
    played = await play(serve, upstream, exchange=0.05)
    response = await played.client.message()
    assert response.status == 504
    assert error_of(response)["code"] == UpstreamTimeout.code
    assert UpstreamTimeout.end == "UT"
    await played.upstream.gone()


@every_dialect
async def test_a_stream_that_is_too_long_ends_with_the_error_of_its_dialect(
    serve: Serve, upstream: ScriptedUpstream, dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """However busy the upstream is."""
    played = await play(serve, upstream, ask(dialect), exchange=0.2, idle=60, silence=0)
    head = await begin(played, BEGUN[dialect])
    delta = BEGUN[dialect].removeprefix(ANNOUNCED[dialect])

    async def go_on() -> None:
        await played.upstream.send(chunk(delta))
        await played.relay.settle()

    async with again_and_again(go_on):
        response = await played.client.message(head)
    assert response.body.startswith(BEGUN[dialect])
    assert failed(dialect, events(response.body))
    assert f"{UpstreamTimeout.status} {UpstreamTimeout.code}" in caplog.text


async def test_a_download_that_is_too_long_is_cut(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream, exchange=0.1)
    client = await relay.connect()
    await client.send(get())
    peer = await upstream.accept()
    await peer.head()
    await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345")
    head = await client.head()
    with pytest.raises((Ended, ConnectionResetError)):
        await client.message(head)
    await peer.gone()


async def test_what_was_done_in_time_is_not_cut_afterwards(serve: Serve, upstream: ScriptedUpstream) -> None:
    """The limit is of one exchange, and goes with it."""
    relay = await serve(upstream, exchange=0.1)
    upstream.serve(echo)
    client = await relay.connect()
    loop = asyncio.get_running_loop()
    end = loop.time() + 0.4
    while loop.time() < end:
        await client.send(post(b"again"))
        assert (await client.message()).body == b"again"


# --- heads ------------------------------------------------------------------------------------

SMALL = Limits(head=512, fields=10)
TOO_BIG = {"bytes": [b"x: " + b"y" * 512], "fields": [b"x: y"] * 11}


@pytest.mark.parametrize("what", TOO_BIG)
async def test_a_clients_head_above_the_limit_is_a_431(
    serve: Serve, upstream: ScriptedUpstream, what: str
) -> None:
    relay = await serve(upstream, limits=SMALL)
    client = await relay.connect()
    await client.send(get(b"/", *TOO_BIG[what]))
    response = await client.message()
    assert response.status == 431
    assert error_of(response)["code"] == HeadTooLarge.code
    assert await client.read_to_end() == b""
    assert upstream.nobody_waits()


@pytest.mark.parametrize("what", TOO_BIG)
async def test_an_upstreams_head_above_the_limit_is_a_502(
    serve: Serve, upstream: ScriptedUpstream, what: str
) -> None:
    relay = await serve(upstream, limits=SMALL)
    client = await relay.connect()
    await client.send(get())
    peer = await upstream.accept()
    await peer.head()
    await peer.send(answer(b"", *TOO_BIG[what]))
    assert (await client.message()).status == 502
    await peer.gone()


# --- frames -----------------------------------------------------------------------------------


@every_dialect
async def test_a_frame_above_the_limit_is_the_error_of_the_dialect(
    serve: Serve, upstream: ScriptedUpstream, dialect: str
) -> None:
    played = await play(serve, upstream, ask(dialect), limits=Limits(frame=2000))
    head = await begin(played, BEGUN[dialect])
    await played.upstream.send(chunk(b"data: " + b"x" * 3000))
    response = await played.client.message(head)
    assert response.body.startswith(BEGUN[dialect])
    assert failed(dialect, events(response.body))
    await played.upstream.gone()


@pytest.mark.parametrize("what", ["frame", "document"])
async def test_what_is_above_the_limit_before_the_head_is_a_502(
    serve: Serve, upstream: ScriptedUpstream, what: str
) -> None:
    """A first frame, and a document that would become the stream that was asked for."""
    played = await play(serve, upstream, limits=Limits(frame=2000))
    if what == "frame":
        await played.upstream.send(EVENT_STREAM + chunk(ROLE[:-1] + b" " * 3000))
    else:
        said = {**COMPLETE, "system_fingerprint": "x" * 3000}
        body = json.dumps(said).encode()
        await played.upstream.send(answer(body, b"content-type: application/json"))
    assert (await played.client.message()).status == 502


# --- request bodies ---------------------------------------------------------------------------


@pytest.mark.parametrize("more", [0, 1])
async def test_a_translated_request_of_too_many_objects_is_a_413(
    serve: Serve, upstream: ScriptedUpstream, more: int
) -> None:
    """One at the limit passes."""
    parts = [{"type": "text", "text": "{[" * 20}] * 20
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": parts}]}
    objects = 1 + 1 + 1 + 1 + len(parts)
    relay = await serve(upstream, dialects=("chat",), repair=Repair.ON, limits=Limits(objects=objects - more))
    client = await relay.connect()
    await client.send(post(json.dumps(body).encode(), target=PATHS["messages"]))
    if not more:
        peer = await upstream.accept()
        assert json.loads((await peer.message()).body)["messages"]
        return
    response = await client.message()
    assert response.status == 413
    assert json.loads(response.body)["type"] == "error"  # in the client's dialect
    assert error_of(response)["type"] == "request_too_large"
    assert upstream.nobody_waits()


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_any_other_body_above_the_limit_is_a_413(
    serve: Serve, upstream: ScriptedUpstream, framing: str
) -> None:
    """With a length before the upstream hears of it; the upstream of a chunked one sees no end of it."""
    relay = await serve(upstream, limits=Limits(body=1000))
    client = await relay.connect()
    if framing == "length":
        await client.send(post(b"x" * 1001))
    else:
        head = get(b"/", b"transfer-encoding: chunked", method=b"POST")
        await client.send(head + chunk(b"x" * 600))
        peer = await upstream.accept()
        await peer.head()
        assert await peer.chunk() == b"x" * 600
        await client.send(chunk(b"x" * 401))
        assert not (await peer.rest()).endswith(b"0\r\n\r\n")
    response = await client.message()
    assert response.status == 413
    assert error_of(response)["code"] == BodyTooLarge.code
    assert await client.read_to_end() == b""
    assert upstream.nobody_waits()


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_body_at_the_limit_passes(serve: Serve, upstream: ScriptedUpstream, framing: str) -> None:
    relay = await serve(upstream, limits=Limits(body=1000))
    upstream.serve(echo)
    client = await relay.connect()
    body = b"x" * 1000
    head = get(b"/", b"transfer-encoding: chunked", method=b"POST")
    await client.send(post(body) if framing == "length" else head + chunk(body) + b"0\r\n\r\n")
    assert (await client.message()).body == body


async def test_a_body_of_any_size(serve: Serve, upstream: ScriptedUpstream) -> None:
    """It is not read whole, nor counted."""
    relay = await serve(upstream, limits=Limits(body=0, document=1000, translated=1000, replay=1000))
    client = await relay.connect()
    await client.send(get(b"/", b"content-length: 999999999999999999", method=b"POST") + b"x" * 5000)
    peer = await upstream.accept()
    assert (await peer.head())[b"content-length"] == b"999999999999999999"
    assert await peer.read_exactly(5000) == b"x" * 5000


async def test_a_request_whose_body_is_not_kept(serve: Serve, upstream: ScriptedUpstream) -> None:
    """What has no body can still be sent again."""
    relay = await serve(upstream, limits=Limits(replay=0))
    client, peer = await pooled(relay, upstream)
    await client.send(get(b"/", b"content-length: 1", method=b"PUT") + b"x")
    await peer.message()
    peer.close()
    assert (await client.message()).status == 502
    assert upstream.nobody_waits()
    client, peer = await pooled(relay, upstream)
    await client.send(get())
    await peer.message()
    peer.close()
    await served(await upstream.accept(), client)


async def served(peer: Wire, client: Wire) -> None:
    await peer.message()
    await peer.send(answer(b"served"))
    assert (await client.message()).body == b"served"


# --- connections ------------------------------------------------------------------------------


async def test_no_more_clients_than_the_limit_are_served(upstream: ScriptedUpstream) -> None:
    """Whoever comes next waits, and is served when one leaves."""
    upstream.serve(echo)
    async with serving(upstream.url, "--limit", "connections=2") as process:
        clients = [await process.connect() for _ in range(3)]
        for client in clients[:2]:
            await client.send(post(b"here"))
            assert (await client.message()).body == b"here"
        await clients[2].send(post(b"waiting"))
        for client in clients[:2] * 20:
            await client.send(post(b"still here"))
            assert (await client.message()).body == b"still here"
        assert clients[2].waiting() == b""
        clients[0].close()
        assert (await clients[2].message()).body == b"waiting"


async def test_as_many_clients_as_there_are_descriptors_for(upstream: ScriptedUpstream) -> None:
    upstream.serve(echo)
    async with serving(upstream.url, "--limit", "connections=none") as process:
        clients = [await process.connect() for _ in range(20)]
        for client in clients:
            await client.send(post(b"here"))
            assert (await client.message()).body == b"here"


async def test_a_connection_that_is_not_kept(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream, limits=Limits(idle_connections=0))
    client, peer = await pooled(relay, upstream)
    await peer.gone()
    assert relay.pool.open_count == 0
    await client.send(get())
    await served(await upstream.accept(), client)


async def test_a_connection_that_need_not_rest(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream, rest=0)
    client, peer = await streamed(relay, upstream)
    await served_by(client, peer, post(b"{}"))
    assert upstream.nobody_waits()
