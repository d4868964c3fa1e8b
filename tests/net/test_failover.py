"""Another attempt before anything of an answer has left: elsewhere, again, beside; and never afterwards."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
import pytest

from relay.config import Health, Queue, Repair, Repeat, Retry

from .conftest import Serve
from .kit import (
    COMPLETION,
    EVENT_STREAM,
    Message,
    RunningRelay,
    ScriptedUpstream,
    Wire,
    answer,
    chunk,
    get,
    post,
    until,
)
from .test_checked_streams import DONE, ROLE, STOP, WORD, frame, message

Upstreams = Callable[[int], list[ScriptedUpstream]]
Handler = Callable[[Wire], Coroutine[Any, Any, None]]

ASKED = orjson.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hi"}]})
WHOLE = ROLE + WORD + STOP + DONE
ALLOWED = Retry(repeat=Repeat.COMPLETIONS, pause=0.001)
SAFE = Retry(pause=0.001)
ERROR = frame({"error": {"message": "engine died", "type": "server_error", "code": 500}})
LIMITED = frame({"error": {"message": "slow down", "type": "rate_limit_error", "code": 429}})
WRONG = frame({"error": {"message": "bad temperature", "type": "invalid_request_error", "code": 400}})


def streams(*writes: bytes, head: bytes = EVENT_STREAM, end: bytes | None = b"0\r\n\r\n") -> Handler:
    """An upstream that answers every request with these chunks."""

    async def play(wire: Wire) -> None:
        while True:
            await wire.message()
            await wire.send(head + b"".join(map(chunk, writes)) + (end or b""))
            if end is None:
                wire.reset()
                return

    return play


def says(status: bytes, *fields: bytes, body: bytes = b'{"error":{"message":"no"}}') -> Handler:
    async def play(wire: Wire) -> None:
        while True:
            await wire.message()
            await wire.send(answer(body, *fields, status=status))

    return play


async def resets(wire: Wire) -> None:
    await wire.message()
    wire.reset()


async def closes(wire: Wire) -> None:
    await wire.message()
    wire.close()


async def silent(wire: Wire) -> None:
    await wire.message()
    await wire.gone()


async def announces(wire: Wire) -> None:
    """A head and nothing else."""
    await wire.message()
    await wire.send(EVENT_STREAM)
    await wire.gone()


async def rubbish(wire: Wire) -> None:
    await wire.message()
    await wire.send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    await wire.gone()


WORKS = streams(WHOLE)


async def ask(relay: RunningRelay, *fields: bytes) -> Message:
    client = await relay.connect()
    await client.send(post(ASKED, *fields, target=COMPLETION))
    return await client.message()


def is_whole(response: Message) -> bool:
    return response.status == 200 and response.body == WHOLE


# --- what is tried elsewhere ------------------------------------------------------------------------

REFUSES = {
    "429": says(b"429 Too Many Requests"),
    "503": says(b"503 Service Unavailable"),
    "529": says(b"529 Overloaded"),
    "rate limit as first frame": streams(LIMITED),
}
FAILS = {
    "502": says(b"502 Bad Gateway"),
    "504": says(b"504 Gateway Timeout"),
    "reset": resets,
    "close": closes,
    "no HTTP": rubbish,
    "empty stream": streams(),
    "empty document": says(b"200 OK", body=b""),
    "head, then reset": streams(end=None),
    "error as first frame": streams(ERROR),
    "half a frame": streams(ROLE[:20], end=None),
    "no frame in time": announces,
    "no head in time": silent,
}
SLOW = {"head": 0.2, "first_frame": 0.2}


@pytest.mark.parametrize("how", [*REFUSES, *FAILS])
async def test_a_completion_is_tried_elsewhere_where_that_is_allowed(
    serve: Serve, upstreams: Upstreams, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = upstreams(2)
    bad.serve({**REFUSES, **FAILS}[how])
    good.serve(WORKS)
    relay = await serve(
        f"{bad.url} name=bad", f"{good.url} order=2", repair=Repair.ON, also={"retry": ALLOWED}, **SLOW
    )
    response = await ask(relay)
    assert is_whole(response), response
    assert response.head[b"x-relay-upstream"] == good.url.encode()
    assert response.head[b"x-relay-attempts"] == b"2"
    assert "attempt 1, at bad, failed" in caplog.text


@pytest.mark.parametrize("how", [*REFUSES, *FAILS])
async def test_only_what_was_refused_is_repeated_without_permission(
    serve: Serve, upstreams: Upstreams, how: str
) -> None:
    bad, good = upstreams(2)
    bad.serve({**REFUSES, **FAILS}[how])
    good.serve(WORKS)
    relay = await serve(bad, f"{good.url} order=2", repair=Repair.ON, also={"retry": SAFE}, **SLOW)
    response = await ask(relay)
    if how in REFUSES:
        assert is_whole(response)
    else:
        assert response.status in (500, 502, 504)
        assert response.head[b"x-relay-attempts"] is None
        assert good.nobody_waits()


async def test_where_nobody_listens_nothing_was_sent(serve: Serve, upstreams: Upstreams) -> None:
    (good,) = upstreams(1)
    good.serve(WORKS)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}"
    for repair in (Repair.ON, Repair.OFF):
        relay = await serve(nowhere, f"{good.url} order=2", repair=repair, also={"retry": SAFE})
        assert is_whole(await ask(relay))


async def test_an_upload_that_nobody_took_goes_elsewhere(serve: Serve, upstreams: Upstreams) -> None:
    (good,) = upstreams(1)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}"
    relay = await serve(nowhere, f"{good.url} order=2", also={"retry": SAFE})
    client = await relay.connect()
    body = b"x" * 3_000_000
    sending = asyncio.ensure_future(client.send(post(body, target=b"/v1/files")))
    peer = await good.accept()
    assert (await peer.message()).body == body
    await sending
    await peer.send(answer(b"taken"))
    assert (await client.message()).body == b"taken"


@pytest.mark.parametrize(
    ("method", "again"), [(b"GET", True), (b"PUT", True), (b"POST", False), (b"PATCH", False)]
)
@pytest.mark.parametrize("how", ["503", "502", "reset"])
async def test_other_requests_are_repeated_where_that_cannot_do_anything_twice(
    serve: Serve, upstreams: Upstreams, method: bytes, again: bool, how: str
) -> None:
    bad, good = upstreams(2)
    bad.serve({**REFUSES, **FAILS}[how])
    good.serve(says(b"200 OK", body=b"served"))
    relay = await serve(bad, f"{good.url} order=2", also={"retry": ALLOWED})
    client = await relay.connect()
    await client.send(get(b"/v1/thing", b"content-length: 4", method=method) + b"body")
    response = await client.message()
    assert (response.body == b"served") is again
    if not again:
        assert response.status in (503, 502)


@pytest.mark.parametrize("status", [b"400 Bad Request", b"401 Unauthorized", b"404 Not Found", b"500 Oh"])
async def test_what_would_fail_again_is_not_repeated(
    serve: Serve, upstreams: Upstreams, status: bytes
) -> None:
    bad, good = upstreams(2)
    bad.serve(says(status, body=b'{"error":{"message":"as it was"}}'))
    relay = await serve(bad, f"{good.url} order=2", repair=Repair.ON, also={"retry": ALLOWED})
    response = await ask(relay)
    assert (response.status, response.body) == (int(status[:3]), b'{"error":{"message":"as it was"}}')
    assert good.nobody_waits()


async def test_a_request_that_is_wrong_is_refused_once(serve: Serve, upstreams: Upstreams) -> None:
    bad, good = upstreams(2)
    bad.serve(streams(WRONG))
    relay = await serve(bad, f"{good.url} order=2", repair=Repair.ON, also={"retry": ALLOWED})
    assert (await ask(relay)).status == 400
    assert good.nobody_waits()


async def test_nothing_is_tried_elsewhere_once_content_has_left(serve: Serve, upstreams: Upstreams) -> None:
    bad, good = upstreams(2)
    bad.serve(streams(ROLE, WORD, end=None))
    relay = await serve(bad, f"{good.url} order=2", repair=Repair.ON, also={"retry": ALLOWED})
    response = await ask(relay)
    assert response.body.startswith(ROLE + WORD)
    assert b'"error"' in response.body
    assert b"[DONE]" not in response.body
    assert good.nobody_waits()


async def test_an_announcement_is_held_until_it_is_worth_something(
    serve: Serve, upstreams: Upstreams
) -> None:
    """Field case J6: `response.created`, and in a later read `response.failed`."""
    bad, good = upstreams(2)
    created = message("response.created", response={"id": "r", "object": "response", "status": "in_progress"})
    failed = message(
        "response.failed",
        response={"id": "r", "status": "failed", "error": {"code": "server_error", "message": "oh"}},
    )
    seen = asyncio.Event()

    async def fails_late(wire: Wire) -> None:
        await wire.message()
        await wire.send(EVENT_STREAM + chunk(created))
        await seen.wait()
        await wire.send(chunk(failed) + b"0\r\n\r\n")

    bad.serve(fails_late)
    good.serve(says(b"418 I am the other"))
    relay = await serve(
        bad, f"{good.url} order=2", repair=Repair.ON, also={"retry": ALLOWED}, look_ahead=20.0
    )
    client = await relay.connect()
    await client.send(post(b'{"model":"m","stream":true,"input":"x"}', target=b"/v1/responses"))
    await until(lambda: bool(bad.wires))
    await relay.settle()
    seen.set()
    assert (await client.message()).status == 418


# --- again at the same one --------------------------------------------------------------------------


async def test_a_single_target_is_asked_again_until_the_attempts_are_used_up(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    upstream.serve(says(b"503 Busy", body=b"the third"))
    relay = await serve(upstream, repair=Repair.ON, also={"retry": SAFE})
    response = await ask(relay)
    assert (response.status, response.body) == (503, b"the third")
    assert response.head[b"x-relay-attempts"] == b"3"


async def test_the_answer_that_is_not_followed_by_another_attempt_passes_whole(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    upstream.serve(says(b"429 Slow", b"retry-after: 3600", b"x-ratelimit-reset: 7", body=b"later"))
    relay = await serve(upstream, repair=Repair.ON, also={"retry": SAFE})
    response = await ask(relay)
    assert (response.status, response.body) == (429, b"later")
    assert response.head[b"retry-after"] == b"3600"
    assert response.head[b"x-ratelimit-reset"] == b"7"
    assert len(upstream.wires) == 1


async def test_a_stream_that_failed_is_asked_for_again(serve: Serve, upstream: ScriptedUpstream) -> None:
    answers = iter([resets, streams(), WORKS])

    async def play(wire: Wire) -> None:
        await next(answers)(wire)

    upstream.serve(play)
    relay = await serve(upstream, repair=Repair.ON, also={"retry": ALLOWED})
    assert is_whole(await ask(relay))


async def test_retrying_can_be_switched_off(serve: Serve, upstreams: Upstreams) -> None:
    bad, good = upstreams(2)
    bad.serve(REFUSES["503"])
    off = Retry(repeat=Repeat.OFF)
    relay = await serve(bad, f"{good.url} order=2", repair=Repair.ON, also={"retry": off})
    assert (await ask(relay)).status == 503
    assert good.nobody_waits()


async def test_a_target_that_asks_for_time_gets_it(serve: Serve, upstreams: Upstreams) -> None:
    bad, good = upstreams(2)
    bad.serve(says(b"429 Slow", b"retry-after: 60"))
    good.serve(WORKS)
    relay = await serve(bad, f"{good.url} order=2", repair=Repair.ON, also={"retry": SAFE})
    assert is_whole(await ask(relay))
    assert is_whole(second := await ask(relay))
    assert second.head[b"x-relay-attempts"] is None
    assert len(bad.wires) == 1


# --- health -----------------------------------------------------------------------------------------


async def test_a_target_that_fails_again_and_again_is_left_alone(serve: Serve, upstreams: Upstreams) -> None:
    bad, good = upstreams(2)
    bad.serve(resets)
    good.serve(WORKS)
    relay = await serve(
        bad,
        f"{good.url} order=2",
        repair=Repair.ON,
        also={"retry": ALLOWED, "health": Health(failures=3, pause=60.0)},
    )
    for _ in range(5):
        assert is_whole(await ask(relay))
    assert len(bad.wires) == 3


async def test_streams_that_are_cut_pause_a_target_too(serve: Serve, upstreams: Upstreams) -> None:
    bad, good = upstreams(2)
    bad.serve(streams(ROLE, WORD, end=None))
    good.serve(WORKS)
    health = Health(failures=2, pause=60.0)
    relay = await serve(bad, f"{good.url} order=2", repair=Repair.ON, also={"health": health})
    for _ in range(2):
        assert not is_whole(await ask(relay))
    assert is_whole(await ask(relay))
    assert len(bad.wires) == 2


async def test_refusals_and_clients_that_leave_pause_nothing(serve: Serve, upstreams: Upstreams) -> None:
    """Field cases F10 and K5."""
    first, second = upstreams(2)

    async def play(wire: Wire) -> None:
        request = await wire.message()
        if request.head[b"x-wait"] is None:
            await wire.send(answer(b"", b"connection: close", status=b"400 Bad Request"))
        else:
            await wire.gone()

    first.serve(play)
    health = Health(failures=1, pause=60.0)
    relay = await serve(first, f"{second.url} order=2", repair=Repair.ON, also={"health": health})
    for _ in range(3):
        assert (await ask(relay)).status == 400
    client = await relay.connect()
    await client.send(post(ASKED, b"x-wait: 1", target=COMPLETION))
    await until(lambda: len(first.wires) == 4)
    client.close()
    await until(lambda: not any(target.in_flight for target in relay.relay.targets))
    assert (await ask(relay)).status == 400
    assert second.nobody_waits()


# --- room -------------------------------------------------------------------------------------------


async def test_a_full_target_makes_the_next_request_wait(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(f"{upstream.url} concurrency=1", repair=Repair.ON)
    first, second = await relay.connect(), await relay.connect()
    await first.send(post(ASKED, target=COMPLETION))
    peer = await upstream.accept()
    await peer.message()
    await second.send(post(ASKED, target=COMPLETION))
    await until(lambda: len(relay.relay.room) == 1)
    assert upstream.nobody_waits()
    await peer.send(EVENT_STREAM + chunk(ROLE + WORD))
    assert (await first.head()).status == 200
    await relay.settle()
    assert upstream.nobody_waits()  # until its last byte (field case K6)
    await peer.send(chunk(STOP + DONE) + b"0\r\n\r\n")
    await peer.message()
    await peer.send(EVENT_STREAM + chunk(WHOLE) + b"0\r\n\r\n")
    assert is_whole(await second.message())


@pytest.mark.parametrize("how", ["too many", "too long"])
async def test_who_cannot_wait_is_told_when_to_come_back(
    serve: Serve, upstream: ScriptedUpstream, how: str
) -> None:
    queue = Queue(length=0) if how == "too many" else Queue(wait=0.05)
    relay = await serve(f"{upstream.url} concurrency=1", repair=Repair.ON, also={"queue": queue})
    first = await relay.connect()
    await first.send(post(ASKED, target=COMPLETION))
    await (await upstream.accept()).message()
    response = await ask(relay)
    assert response.status == 503
    assert response.head[b"retry-after"] == b"1"
    assert orjson.loads(response.body)["error"]["code"] == "busy"


async def test_who_leaves_the_queue_takes_no_slot_along(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(f"{upstream.url} concurrency=1", repair=Repair.ON)
    first, leaves, stays = [await relay.connect() for _ in range(3)]
    await first.send(post(ASKED, target=COMPLETION))
    peer = await upstream.accept()
    await peer.message()
    for client in (leaves, stays):
        await client.send(post(ASKED, target=COMPLETION))
        await relay.settle()
    assert len(relay.relay.room) == 2
    leaves.close()
    first.close()
    await peer.gone()
    peer = await upstream.accept()
    await peer.message()
    await peer.send(EVENT_STREAM + chunk(WHOLE) + b"0\r\n\r\n")
    assert is_whole(await stays.message())


async def test_a_full_target_overflows_to_the_next(serve: Serve, upstreams: Upstreams) -> None:
    small, large = upstreams(2)
    large.serve(WORKS)
    relay = await serve(f"{small.url} concurrency=1", f"{large.url} order=2", repair=Repair.ON)
    first = await relay.connect()
    await first.send(post(ASKED, target=COMPLETION))
    await (await small.accept()).message()
    assert is_whole(await ask(relay))


async def test_work_is_shared_by_requests_in_flight(serve: Serve, upstreams: Upstreams) -> None:
    both = upstreams(2)
    relay = await serve(*both, repair=Repair.ON)
    clients = [await relay.connect() for _ in range(4)]
    for client in clients:
        await client.send(post(ASKED, target=COMPLETION))
    for one in both:
        for _ in range(2):
            await (await one.accept()).message()


# --- beside -----------------------------------------------------------------------------------------

HEDGED = Retry(repeat=Repeat.COMPLETIONS, pause=0.001, hedge=0.02)


async def test_the_second_target_answers_when_the_first_keeps_silent(
    serve: Serve, upstreams: Upstreams
) -> None:
    slow, fast = upstreams(2)
    fast.serve(WORKS)
    relay = await serve(slow, f"{fast.url} order=2", repair=Repair.ON, also={"retry": HEDGED})
    client = await relay.connect()
    await client.send(post(ASKED, target=COMPLETION))
    loser = await slow.accept()
    await loser.message()
    response = await client.message()
    assert is_whole(response)
    assert response.head[b"x-relay-upstream"] == fast.url.encode()
    await loser.gone()  # cancelled, not left to go on


async def test_the_first_target_may_still_win(serve: Serve, upstreams: Upstreams) -> None:
    first, second = upstreams(2)
    relay = await serve(first, f"{second.url} order=2", repair=Repair.ON, also={"retry": HEDGED})
    client = await relay.connect()
    await client.send(post(ASKED, target=COMPLETION))
    winner, loser = await first.accept(), await second.accept()
    await loser.message()
    await winner.message()
    await winner.send(EVENT_STREAM + chunk(WHOLE) + b"0\r\n\r\n")
    assert is_whole(await client.message())
    await loser.gone()


@pytest.mark.parametrize("order", ["first fails", "second fails"])
async def test_one_that_fails_beside_another_is_waited_for_no_longer(
    serve: Serve, upstreams: Upstreams, order: str
) -> None:
    first, second = upstreams(2)
    relay = await serve(first, f"{second.url} order=2", repair=Repair.ON, also={"retry": HEDGED})
    client = await relay.connect()
    await client.send(post(ASKED, target=COMPLETION))
    wires = [await first.accept(), await second.accept()]
    for wire in wires:
        await wire.message()
    bad, good = wires if order == "first fails" else wires[::-1]
    bad.reset()
    await relay.settle()
    await good.send(EVENT_STREAM + chunk(WHOLE) + b"0\r\n\r\n")
    assert is_whole(await client.message())


async def test_a_client_that_leaves_ends_both(serve: Serve, upstreams: Upstreams) -> None:
    first, second = upstreams(2)
    relay = await serve(first, f"{second.url} order=2", repair=Repair.ON, also={"retry": HEDGED})
    client = await relay.connect()
    await client.send(post(ASKED, target=COMPLETION))
    wires = [await first.accept(), await second.accept()]
    client.close()
    for wire in wires:
        await wire.gone()


async def test_a_quick_answer_asks_nobody_else(serve: Serve, upstreams: Upstreams) -> None:
    first, second = upstreams(2)
    first.serve(WORKS)
    hedged = Retry(repeat=Repeat.COMPLETIONS, hedge=20.0)
    relay = await serve(first, f"{second.url} order=2", repair=Repair.ON, also={"retry": hedged})
    assert is_whole(await ask(relay))
    assert second.nobody_waits()


# --- dialects ---------------------------------------------------------------------------------------


async def test_each_target_gets_its_own_dialect(serve: Serve, upstreams: Upstreams) -> None:
    bad, good = upstreams(2)
    bad.serve(REFUSES["503"])
    relay = await serve(
        f"{bad.url} dialects=messages",
        f"{good.url} dialects=chat order=2",
        repair=Repair.ON,
        also={"retry": SAFE},
    )
    client = await relay.connect()
    asked = {"model": "m", "stream": True, "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    await client.send(post(orjson.dumps(asked), target=b"/v1/messages"))
    peer = await good.accept()
    request = await peer.message()
    assert request.head.target == COMPLETION
    await peer.send(EVENT_STREAM + chunk(WHOLE) + b"0\r\n\r\n")
    response = await client.message()
    assert response.head[b"x-relay-dialect"] == b"messages<chat"
    assert b'"text":"Hello"' in response.body
