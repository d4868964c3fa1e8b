"""Streams whose dialect is known, over real sockets: gate, ends, keep-alives, the request's document."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest

from relay.config import Limits, Repair

from .conftest import Serve
from .kit import (
    EVENT_STREAM,
    GUARD,
    Ended,
    Head,
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

PATHS = {"chat": b"/v1/chat/completions", "messages": b"/v1/messages", "responses": b"/v1/responses"}
CHAT = PATHS["chat"]


def frame(payload: Any, event: str | None = None) -> bytes:
    name = f"event: {event}\n" if event else ""
    text = payload if isinstance(payload, str) else json.dumps(payload, separators=(",", ":"))
    return f"{name}data: {text}\n\n".encode()


def chat(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return frame({**head, "choices": [choice], **more})


def message(kind: str, **fields: Any) -> bytes:
    return frame({"type": kind, **fields}, kind)


ROLE = chat({"role": "assistant", "content": ""})
WORD = chat({"content": "Hello"})
STOP = chat({}, "stop")
DONE = frame("[DONE]")

RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "in_progress",
    "model": "m",
    "output": [],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
}
ITEM = {"id": "msg_1", "type": "message", "status": "in_progress", "role": "assistant", "content": []}
PART = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 1},
}
PLACE = {"item_id": "msg_1", "output_index": 0, "content_index": 0}

BEGUN = {
    "chat": ROLE + WORD,
    "messages": message("message_start", message=MESSAGE)
    + message("content_block_start", index=0, content_block={"type": "text", "text": ""})
    + message("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hello"}),
    "responses": message("response.created", sequence_number=0, response=RESPONSE)
    + message("response.output_item.added", sequence_number=1, output_index=0, item=ITEM)
    + message("response.content_part.added", sequence_number=2, **PLACE, part=PART)
    + message("response.output_text.delta", sequence_number=3, **PLACE, delta="Hello", logprobs=[]),
}
"""The beginning of a stream in each dialect, with one delta, before its finish."""


def events(body: bytes) -> list[Any]:
    """The payloads of a stream; the sentinel stays text."""
    found = []
    for block in body.decode().split("\n\n"):
        data = [line.removeprefix("data: ") for line in block.split("\n") if line.startswith("data: ")]
        found += [text if text == "[DONE]" else json.loads(text) for text in data]
    return found


def ask(dialect: str = "chat", **fields: Any) -> bytes:
    body = json.dumps({"model": "m", "stream": True, **fields}).encode()
    return post(body, target=PATHS[dialect])


class Played:
    """A client that has asked, and the upstream that has heard it."""

    def __init__(self, relay: RunningRelay, client: Wire, upstream: Wire, request: Message) -> None:
        self.relay = relay
        self.client = client
        self.upstream = upstream
        self.request = request


async def play(
    serve: Serve, upstream: ScriptedUpstream, request: bytes | None = None, **options: Any
) -> Played:
    relay = await serve(upstream, **{"repair": Repair.ON, **options})
    client = await relay.connect()
    await client.send(ask() if request is None else request)
    wire = await upstream.accept()
    return Played(relay, client, wire, await wire.message())


def failed(dialect: str, stream: list[Any]) -> str:
    """The message of the error that ends the stream, in the dialect's form."""
    if dialect == "responses":
        error, last = stream[-2:]
        assert last["type"] == "response.failed"
        assert last["response"]["status"] == "failed"
        assert error["message"] == error["error"]["message"] == last["response"]["error"]["message"]
    else:
        error = stream[-1]
    if dialect != "chat":
        assert error["type"] == "error"
    assert "[DONE]" not in stream
    return str(error["error"]["message"])


async def test_each_delta_leaves_before_the_next_comes(serve: Serve, upstream: ScriptedUpstream) -> None:
    played = await play(serve, upstream)
    await played.upstream.send(EVENT_STREAM + chunk(ROLE))
    assert (await played.client.head()).status == 200
    assert await played.client.chunk() == ROLE
    for _ in range(3):
        await played.upstream.send(chunk(WORD))
        assert await played.client.chunk() == WORD
    await played.upstream.send(chunk(STOP + DONE) + b"0\r\n\r\n")
    assert await played.client.chunk() == STOP + DONE
    assert await played.client.chunk() == b""


@pytest.mark.parametrize("dialect", PATHS)
@pytest.mark.parametrize("end", ["fin", "clean", "reset", "bad-chunk", "silence", "bad-frame"])
async def test_a_cut_stream_ends_with_the_error_of_its_dialect(
    serve: Serve, upstream: ScriptedUpstream, dialect: str, end: str
) -> None:
    played = await play(serve, upstream, ask(dialect), idle=0.15)
    head = await begin(played, BEGUN[dialect])
    body = b""
    unfinished = b'data: {"unfin'
    if end == "fin":
        await played.upstream.send(chunk(unfinished))
        played.upstream.close()
    elif end == "clean":
        await played.upstream.send(chunk(unfinished) + b"0\r\n\r\n")
    elif end == "reset":
        played.upstream.reset()
    elif end == "bad-chunk":
        await played.upstream.send(b"zz\r\n")
    elif end == "bad-frame":
        await played.upstream.send(chunk(b"data: {broken\n\n"))
    body = (await played.client.message(head)).body
    assert body.startswith(BEGUN[dialect])
    text = failed(dialect, events(body))
    assert "after 1 delta" in text
    assert "frame" in text if end == "bad-frame" else "before" in text
    await until(lambda: played.relay.pool.open_count == 0)
    # The body had a proper end, so the client's connection serves on.
    await played.client.send(ask(dialect))
    again = await upstream.accept()
    await again.message()
    await again.send(answer(b"{}", b"content-type: application/json", status=b"418 Teapot"))
    assert (await played.client.message()).status == 418


async def begin(played: Played, frames: bytes) -> Head:
    """Send the upstream's head and these frames; the client's head, its chunks still to be read."""
    await played.upstream.send(EVENT_STREAM + chunk(frames))
    head = await played.client.head()
    assert head.status == 200
    return head


async def test_a_length_that_is_too_long_is_a_cut(serve: Serve, upstream: ScriptedUpstream) -> None:
    played = await play(serve, upstream)
    fields = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 9999\r\n\r\n"
    await played.upstream.send(fields + ROLE + WORD)
    played.upstream.close()
    response = await played.client.message()
    assert "before a finish reason" in failed("chat", events(response.body))


async def test_http_1_0_clients_get_the_error_and_then_the_end(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    body = b'{"model":"m","stream":true}'
    played = await play(serve, upstream, post(body, target=CHAT, version=b"1.0"))
    await begin(played, ROLE)
    played.upstream.reset()
    assert "before a finish reason" in failed("chat", events(await played.client.read_to_end()))


@pytest.mark.parametrize("how", ["fin", "reset", "silence"])
async def test_a_forgotten_terminator_is_supplied(
    serve: Serve, upstream: ScriptedUpstream, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    played = await play(serve, upstream, idle=0.1)
    head = await begin(played, ROLE + WORD + STOP)
    if how == "fin":
        played.upstream.close()
    elif how == "reset":
        played.upstream.reset()
    response = await played.client.message(head)
    assert response.body == ROLE + WORD + STOP + DONE
    assert not [record for record in caplog.records if record.levelname == "WARNING"]  # nothing failed


async def test_an_upstream_that_hangs_after_its_last_word(serve: Serve, upstream: ScriptedUpstream) -> None:
    played = await play(serve, upstream, terminal=0.1)
    head = await begin(played, ROLE + STOP + DONE)
    assert (await played.client.message(head)).body == ROLE + STOP + DONE
    await until(lambda: played.relay.pool.open_count == 0)


async def test_an_upstream_that_talks_on_after_its_last_word(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    played = await play(serve, upstream, terminal=0.2)
    head = await begin(played, ROLE + STOP + DONE)

    async def talk() -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                await played.upstream.send(chunk(b": more\n\n"))
                await asyncio.sleep(0.01)

    talking = asyncio.ensure_future(talk())
    assert events((await played.client.message(head)).body)[-1] == "[DONE]"
    await talking


@pytest.mark.parametrize("dialect", PATHS)
async def test_an_error_where_the_answer_should_begin_is_a_status(
    serve: Serve, upstream: ScriptedUpstream, dialect: str
) -> None:
    played = await play(serve, upstream, ask(dialect))
    fields = EVENT_STREAM[:-2] + b"x-ratelimit-remaining: 0\r\nllm_provider-retry-after: 7\r\n\r\n"
    await played.upstream.send(fields + chunk(b": waiting\n\n"))
    await played.relay.settle()
    assert played.client.waiting() == b""  # a comment commits to nothing
    error = {"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}}
    await played.upstream.send(chunk(frame(error, "error")) + b"0\r\n\r\n")
    response = await played.client.message()
    assert response.status == 429
    assert response.head[b"retry-after"] == b"7"
    assert response.head[b"x-ratelimit-remaining"] == b"0"
    assert response.head[b"content-type"] == b"application/json"
    assert json.loads(response.body)["error"]["message"] == "slow down"


async def test_an_error_after_the_first_frame_stays_in_the_stream(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    played = await play(serve, upstream)
    error = frame({"error": {"message": "boom", "type": "server_error", "param": None, "code": None}})
    head = await begin(played, ROLE)
    await played.upstream.send(chunk(error) + b"0\r\n\r\n")
    assert (await played.client.message(head)).body == ROLE + error


@pytest.mark.parametrize("body", [b"", b": only a comment\n\n"])
async def test_an_empty_stream_is_a_502(serve: Serve, upstream: ScriptedUpstream, body: bytes) -> None:
    played = await play(serve, upstream)
    await played.upstream.send(EVENT_STREAM + (chunk(body) if body else b"") + b"0\r\n\r\n")
    response = await played.client.message()
    assert response.status == 502
    assert "empty" in json.loads(response.body)["error"]["message"]


SAID = {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
ENVELOPE = {"id": "chatcmpl-1", "created": 1, "model": "m"}
COMPLETE = {**ENVELOPE, "object": "chat.completion", "choices": [SAID], "usage": USAGE}


async def test_a_document_becomes_the_stream_that_was_asked_for(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    played = await play(serve, upstream)
    await played.upstream.send(answer(json.dumps(COMPLETE).encode(), b"content-type: application/json"))
    response = await played.client.message()
    assert response.status == 200
    assert response.head[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert response.head[b"x-relay-converted"] == b"json"
    stream = events(response.body)
    assert stream[-1] == "[DONE]"
    text = [choice["delta"].get("content") for part in stream[:-1] for choice in part["choices"]]
    assert "".join(piece or "" for piece in text) == "Hello"


async def test_a_document_that_was_asked_for_passes(serve: Serve, upstream: ScriptedUpstream) -> None:
    body = json.dumps(COMPLETE).encode()
    played = await play(serve, upstream, ask(stream=False))
    await played.upstream.send(answer(body, b"content-type: application/json"))
    response = await played.client.message()
    assert response.body == body
    assert response.head[b"content-length"] == b"%d" % len(body)


async def test_an_error_document_under_200_gets_its_status(serve: Serve, upstream: ScriptedUpstream) -> None:
    played = await play(serve, upstream)
    error = b'{"error":{"message":"no such model","type":"invalid_request_error","code":404}}'
    await played.upstream.send(answer(error, b"content-type: application/json"))
    response = await played.client.message()
    assert response.status == 404
    assert json.loads(response.body)["error"]["message"] == "no such model"


async def test_an_http_error_gets_the_providers_retry_after(serve: Serve, upstream: ScriptedUpstream) -> None:
    played = await play(serve, upstream)
    fields = (b"content-type: application/json", b"llm_provider-retry-after: 7")
    await played.upstream.send(answer(b"{}", *fields, status=b"429 Too Many Requests"))
    assert (await played.client.message()).head[b"retry-after"] == b"7"


# Keep-alives.

SIGNS = {
    "chat": b": keepalive\n",
    "messages": b'event: ping\ndata: {"type":"ping"}\n\n',
    "responses": b'event: keepalive\ndata: {"type":"keepalive","sequence_number":4}\n\n',
}


@pytest.mark.parametrize("dialect", PATHS)
async def test_a_waiting_client_gets_a_sign_of_life(
    serve: Serve, upstream: ScriptedUpstream, dialect: str
) -> None:
    played = await play(serve, upstream, ask(dialect), silence=0.05)
    await begin(played, BEGUN[dialect])
    assert await played.client.chunk() == BEGUN[dialect]
    await played.upstream.send(chunk(b"data: {"))  # half a frame never leaves, so this is between frames
    assert await played.client.chunk() == SIGNS[dialect]


async def test_signs_of_life_do_not_keep_a_dead_upstream_alive(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    played = await play(serve, upstream, silence=0.04, idle=0.2)
    head = await begin(played, ROLE)
    body = (await played.client.message(head)).body
    assert SIGNS["chat"] in body
    assert "the upstream sent nothing for 0.2 s" in failed("chat", events(body))


async def test_an_upstream_that_only_comments_is_silent(serve: Serve, upstream: ScriptedUpstream) -> None:
    played = await play(serve, upstream, idle=0.3)
    head = await begin(played, ROLE)
    assert await played.client.chunk() == ROLE

    async def comment() -> bytes:
        body = b""
        while b"error" not in body:
            await played.upstream.send(chunk(b": still here\n\n"))
            body += await played.client.chunk()
        return body

    assert "the upstream sent nothing for 0.3 s" in failed("chat", events(await comment()))
    assert head.status == 200


async def test_nothing_is_committed_by_silence(serve: Serve, upstream: ScriptedUpstream) -> None:
    played = await play(serve, upstream, silence=0.02, first_frame=0.2)
    await played.upstream.send(EVENT_STREAM)
    response = await played.client.message()
    assert response.status == 504


# Modes.

BENT = frame({"id": "x", "object": "chat.completion.chunk", "choices": None}) + ROLE


@pytest.mark.parametrize("repair", [Repair.OFF, Repair.REPORT])
async def test_what_is_not_to_be_mended_passes(
    serve: Serve, upstream: ScriptedUpstream, repair: Repair
) -> None:
    played = await play(serve, upstream, repair=repair)
    await played.upstream.send(EVENT_STREAM + chunk(BENT))
    assert (await played.client.head()).status == 200
    assert await played.client.chunk() == BENT
    played.upstream.reset()
    with pytest.raises((Ended, ConnectionError)):
        await played.client.chunk()


async def test_usage_is_asked_for_and_kept_from_who_did_not_ask(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    played = await play(serve, upstream, ask_usage=True)
    assert json.loads(played.request.body)["stream_options"] == {"include_usage": True}
    extra = frame({**ENVELOPE, "object": "chat.completion.chunk", "choices": [], "usage": USAGE})
    await played.upstream.send(EVENT_STREAM + chunk(ROLE + WORD + STOP + extra + DONE) + b"0\r\n\r\n")
    assert (await played.client.message()).body == ROLE + WORD + STOP + DONE


# The request's document.


async def test_a_chunked_request_reaches_the_upstream_with_a_length(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    body = json.dumps({"model": "m", "stream": True, "messages": ["x" * 100_000]}).encode()
    head = get(CHAT, b"transfer-encoding: chunked", method=b"POST")
    played = await play(serve, upstream, head + chunk(body[:70_000]) + chunk(body[70_000:]) + b"0\r\n\r\n")
    assert played.request.body == body
    assert played.request.head[b"content-length"] == b"%d" % len(body)


async def test_who_expects_100_continue_gets_it(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream, repair=Repair.ON)
    client = await relay.connect()
    body = b'{"model":"m"}'
    fields = (b"content-length: %d" % len(body), b"expect: 100-continue")
    await client.send(get(CHAT, *fields, method=b"POST"))
    assert (await client.head()).status == 100
    await client.send(body)
    wire = await upstream.accept()
    request = await wire.message()
    assert request.body == body
    assert request.head[b"expect"] is None
    await wire.send(answer(b"{}"))
    assert (await client.message()).status == 200


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_document_above_the_limit_is_refused(
    serve: Serve, upstream: ScriptedUpstream, chunked: bool
) -> None:
    relay = await serve(upstream, repair=Repair.ON, limits=Limits(document=1000))
    client = await relay.connect()
    body = b"x" * 1001
    head = get(CHAT, b"transfer-encoding: chunked", method=b"POST")
    await client.send(head + chunk(body) if chunked else post(body, target=CHAT))
    response = await client.message()
    assert response.status == 413
    assert "1000 bytes" in json.loads(response.body)["error"]["message"]
    assert upstream.nobody_waits()


async def test_a_document_that_stops_coming_is_a_408(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream, repair=Repair.ON, client_body=0.05)
    client = await relay.connect()
    await client.send(get(CHAT, b"content-length: 10", method=b"POST") + b"abc")
    assert (await client.message()).status == 408
    assert upstream.nobody_waits()


async def test_a_client_that_leaves_inside_its_document_leaves_nothing(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    relay = await serve(upstream, repair=Repair.ON)
    client = await relay.connect()
    await client.send(get(CHAT, b"content-length: 10", method=b"POST") + b"abc")
    await relay.settle()
    client.close()
    await until(lambda: not relay.relay.clients, GUARD)
    assert upstream.nobody_waits()


@pytest.mark.parametrize("body", [b"", b"not json", b"[1]", b'{"stream":"yes"}', b"\xff\xfe"])
async def test_a_document_that_asks_for_nothing_passes(
    serve: Serve, upstream: ScriptedUpstream, body: bytes
) -> None:
    played = await play(serve, upstream, post(body, target=CHAT))
    assert played.request.body == body
    await played.upstream.send(answer(b'{"error":"no"}', status=b"400 Bad Request"))
    assert (await played.client.message()).status == 400
