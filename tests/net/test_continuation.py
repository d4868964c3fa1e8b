"""A stream that was cut in its text, continued by another target, over real sockets; opt-in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from relay.config import Queue, Repair, Retry
from relay.errors import ShuttingDown

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
    post,
    until,
)
from .test_checked_streams import DONE, ROLE, STOP, WORD, chat, frame

Upstreams = Callable[[int], list[ScriptedUpstream]]

ASKED = {"model": "m", "stream": True, "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
ON: dict[str, Any] = {"continuation": True, "retry": Retry(attempts=2, pause=0.001)}
REST = chat({"content": ", world"}).replace(b"chatcmpl-1", b"chatcmpl-other")
AGAIN = chat({"role": "assistant", "content": ""}).replace(b"chatcmpl-1", b"chatcmpl-other")
END = b"0\r\n\r\n"
PATHS = {"chat": COMPLETION, "messages": b"/v1/messages", "responses": b"/v1/responses"}
CUT = {"chat": b'data: {"error":', "messages": b"event: error\n", "responses": b"response.failed"}


async def begin(
    serve: Serve, both: list[ScriptedUpstream], dialect: str = "chat", **options: Any
) -> tuple[RunningRelay, Wire, Wire]:
    """A relay before both, its client, and the first upstream that has been asked."""
    first, second = both
    also = {**ON, **options.pop("also", {})}
    relay = await serve(
        f"{first.url} profile=sglang dialects=chat name=first",
        f"{second.url} profile=sglang dialects=chat name=second order=2",
        repair=Repair.ON,
        also=also,
        **options,
    )
    client = await relay.connect()
    asked = dict(ASKED)
    if dialect == "responses":
        asked = {"model": "m", "stream": True, "input": "Hi"}
    await client.send(post(orjson.dumps(asked), target=PATHS[dialect]))
    peer = await first.accept()
    await peer.message()
    return relay, client, peer


async def cut_after_hello(client: Wire, peer: Wire) -> bytes:
    """The first upstream says Hello and half a frame, and is reset; what the client has got."""
    await peer.send(EVENT_STREAM + chunk(ROLE) + chunk(WORD))
    assert (await client.head()).status == 200
    got = b""
    while b"Hello" not in got:
        got += await client.chunk()
    await peer.send(b"40\r\n" + WORD[:30])
    peer.reset()
    return got


async def rest_of(client: Wire) -> bytes:
    got = b""
    while data := await client.chunk():
        got += data
    return got


def text_of(stream: bytes, dialect: str) -> str:
    said = ""
    for line in stream.split(b"\n"):
        if not line.startswith(b"data: {"):
            continue
        payload = orjson.loads(line[6:])
        if dialect == "chat":
            said += payload["choices"][0]["delta"].get("content") or "" if payload.get("choices") else ""
        elif dialect == "messages" and payload["type"] == "content_block_delta":
            said += payload["delta"]["text"]
        elif payload.get("type") == "response.output_text.delta":
            said += payload["delta"]
    return said


@pytest.mark.parametrize("dialect", ["chat", "messages", "responses"])
async def test_another_target_goes_on_and_the_client_sees_one_stream(
    serve: Serve, upstreams: Upstreams, dialect: str
) -> None:
    both = upstreams(2)
    _, client, peer = await begin(serve, both, dialect)
    got = await cut_after_hello(client, peer)
    other = await both[1].accept()
    request: Message = await other.message()
    asked = orjson.loads(request.body)
    assert request.head.target == COMPLETION
    assert asked["messages"][-1] == {"role": "assistant", "content": "Hello"}
    assert (asked["continue_final_message"], asked["add_generation_prompt"]) == (True, False)
    await other.send(EVENT_STREAM + chunk(AGAIN) + chunk(REST) + chunk(STOP + DONE) + END)
    got += await rest_of(client)
    assert text_of(got, dialect) == "Hello, world"
    assert b": relay continued on second after 5 characters\n" in got
    assert CUT[dialect] not in got
    if dialect == "chat":
        assert got.endswith(DONE)
        assert b"chatcmpl-other" not in got


async def test_the_rest_may_come_with_its_head_in_one_read(serve: Serve, upstreams: Upstreams) -> None:
    both = upstreams(2)
    relay, client, peer = await begin(serve, both)
    got = await cut_after_hello(client, peer)
    other = await both[1].accept()
    await other.message()
    await other.send(EVENT_STREAM + chunk(AGAIN + REST + STOP + DONE) + END)
    got += await rest_of(client)
    assert text_of(got, "chat") == "Hello, world"
    await relay.settle()
    assert not any(target.in_flight for target in relay.relay.targets)


async def test_the_slot_moves_with_the_answer(serve: Serve, upstreams: Upstreams) -> None:
    both = upstreams(2)
    relay, client, peer = await begin(serve, both)
    first, second = relay.relay.targets
    await cut_after_hello(client, peer)
    other = await both[1].accept()
    await other.message()
    assert (first.in_flight, second.in_flight) == (0, 1)
    await other.send(EVENT_STREAM + chunk(AGAIN + REST))
    await client.chunk()
    assert (first.in_flight, second.in_flight) == (0, 1)
    await other.send(chunk(STOP + DONE) + END)
    await rest_of(client)
    await until(lambda: not second.in_flight)
    assert relay.pool.idle_count == 1  # the second one's connection is whole, and kept


@pytest.mark.parametrize("how", ["status", "document", "reset", "nobody"])
async def test_where_nobody_goes_on_the_client_is_told_why_it_was_cut(
    serve: Serve, upstreams: Upstreams, how: str
) -> None:
    both = upstreams(2)

    async def play(wire: Wire) -> None:
        await wire.message()
        if how == "status":
            await wire.send(answer(b"{}", status=b"503 Busy"))
        elif how == "document":
            await wire.send(answer(b'{"choices":[]}', b"content-type: application/json"))
        if how == "reset":
            wire.reset()
        else:
            await wire.gone()

    if how == "nobody":
        both[1].sock.close()
    else:
        both[1].serve(play)
    _, client, peer = await begin(serve, both)
    both[0].sock.close()
    await cut_after_hello(client, peer)
    got = await rest_of(client)
    assert CUT["chat"] in got
    assert b"reset" in got or b"closed" in got
    assert b"[DONE]" not in got


async def test_a_continuation_that_is_cut_is_continued_again(serve: Serve, upstreams: Upstreams) -> None:
    both = upstreams(2)
    _, client, peer = await begin(serve, both)
    got = await cut_after_hello(client, peer)
    other = await both[1].accept()
    await other.message()
    await other.send(EVENT_STREAM + chunk(AGAIN + REST))
    while b"world" not in got:
        got += await client.chunk()
    other.reset()
    third = await both[0].accept()
    asked = orjson.loads((await third.message()).body)
    assert asked["messages"][-1]["content"] == "Hello, world"
    await third.send(EVENT_STREAM + chunk(AGAIN + chat({"content": "!"})) + chunk(STOP + DONE) + END)
    got += await rest_of(client)
    assert text_of(got, "chat") == "Hello, world!"


async def test_one_that_begins_and_then_says_nothing_ends_with_the_first_error(
    serve: Serve, upstreams: Upstreams
) -> None:
    both = upstreams(2)
    _, client, peer = await begin(serve, both, first_frame=0.05)
    await cut_after_hello(client, peer)
    other = await both[1].accept()
    await other.message()
    await other.send(EVENT_STREAM)
    got = await rest_of(client)
    assert CUT["chat"] in got
    assert b"broke the connection" in got


async def test_a_client_that_leaves_ends_the_search(serve: Serve, upstreams: Upstreams) -> None:
    both = upstreams(2)
    relay, client, peer = await begin(serve, both)
    await cut_after_hello(client, peer)
    other = await both[1].accept()
    await other.message()
    client.close()
    await other.gone()
    await until(lambda: not any(target.in_flight for target in relay.relay.targets))


async def test_a_client_that_leaves_the_queue_takes_no_slot(serve: Serve, upstreams: Upstreams) -> None:
    both = upstreams(2)
    relay, client, peer = await begin(serve, both, also={"queue": Queue(wait=20.0)})
    for target in relay.relay.targets:
        target.server.limit = 1
    first, second = relay.relay.targets
    for target in (first, second):
        target.server.in_flight += 1  # somebody else's
    await cut_after_hello(client, peer)
    await until(lambda: len(relay.relay.room) == 1)
    client.close()
    await until(lambda: len(relay.relay.room) == 0)
    second.server.in_flight -= 1
    first.server.in_flight -= 1


async def test_signs_of_life_go_on_while_somebody_is_looked_for(serve: Serve, upstreams: Upstreams) -> None:
    both = upstreams(2)
    _, client, peer = await begin(serve, both, silence=0.02)
    await cut_after_hello(client, peer)
    other = await both[1].accept()
    await other.message()
    assert await client.chunk() == b": keepalive\n"
    await other.send(EVENT_STREAM + chunk(AGAIN + REST + STOP + DONE) + END)
    assert b"world" in await rest_of(client)


@pytest.mark.parametrize("off", ["not asked for", "a tool call", "an error of the client's", "no text"])
async def test_what_cannot_be_continued_is_cut_as_ever(serve: Serve, upstreams: Upstreams, off: str) -> None:
    both = upstreams(2)
    also = {"continuation": False} if off == "not asked for" else {}
    _, client, peer = await begin(serve, both, also=also)
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{"}}
    frames = {
        "not asked for": WORD,
        "a tool call": WORD + chat({"tool_calls": [call]}),
        "an error of the client's": WORD + frame({"error": {"message": "no", "code": 400}}),
        "no text": chat({"reasoning_content": "hm"}),
    }
    await peer.send(EVENT_STREAM + chunk(ROLE + frames[off]))
    await client.head()
    await client.chunk()
    if off != "an error of the client's":
        peer.reset()
        assert CUT["chat"] in await rest_of(client)
    assert both[1].nobody_waits()


async def test_draining_cuts_a_stream_whose_rest_is_looked_for(serve: Serve, upstreams: Upstreams) -> None:
    both = upstreams(2)
    relay, client, peer = await begin(serve, both)
    await cut_after_hello(client, peer)
    other = await both[1].accept()
    await other.message()
    for connected in list(relay.relay.clients):
        connected.fail(ShuttingDown("relay is shutting down"))
    assert CUT["chat"] in await rest_of(client)
    await other.gone()
    await asyncio.sleep(0)
