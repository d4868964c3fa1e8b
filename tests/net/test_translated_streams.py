"""Completions whose upstream speaks another dialect, over real sockets: heads, deltas, ends, errors."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from relay.config import Limits, Repair

from .conftest import Serve
from .kit import EVENT_STREAM, Message, ScriptedUpstream, answer, chunk, post
from .test_checked_streams import (
    BEGUN,
    DONE,
    PATHS,
    ROLE,
    STOP,
    WORD,
    Played,
    chat,
    events,
    failed,
    frame,
    message,
    play,
)

ASKED: dict[str, dict[str, Any]] = {
    "chat": {"messages": [{"role": "user", "content": "Hi"}]},
    "messages": {"max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]},
    "responses": {"input": "Hi"},
}
PAIRS = [(client, upstream) for client in PATHS for upstream in PATHS if client != upstream]
every_pair = pytest.mark.parametrize(("client", "upstream_dialect"), PAIRS)
USAGE = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
ANSWERS: dict[str, dict[str, Any]] = {
    "chat": {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "real",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
        ],
        "usage": USAGE,
    },
    "messages": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "real",
        "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 5, "output_tokens": 1},
    },
    "responses": {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": "real",
        "output": [
            {
                "id": "msg_1",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "Hello", "annotations": []}],
            }
        ],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {"input_tokens": 5, "output_tokens": 1, "total_tokens": 6},
    },
}


def ask(dialect: str, *fields: bytes, target: bytes | None = None, **body: Any) -> bytes:
    document = {"model": "m", "stream": True, **ASKED[dialect], **body}
    return post(json.dumps(document).encode(), *fields, target=target or PATHS[dialect])


async def translate(
    serve: Serve,
    upstream: ScriptedUpstream,
    request: bytes,
    upstream_dialect: str = "chat",
    **options: Any,
) -> Played:
    return await play(serve, upstream, request, dialects=(upstream_dialect,), **options)


async def answered(played: Played, raw: bytes) -> Message:
    await played.upstream.send(raw)
    return await played.client.message()


def says(dialect: str, document: dict[str, Any]) -> str:
    """The text of an answer that is a document."""
    if dialect == "chat":
        return str(document["choices"][0]["message"]["content"])
    if dialect == "messages":
        return "".join(block["text"] for block in document["content"])
    return "".join(part["text"] for item in document["output"] for part in item["content"])


def text_of(dialect: str, stream: list[Any]) -> str:
    """The text of a stream."""
    if dialect == "chat":
        return "".join(c["delta"].get("content") or "" for e in stream if e != "[DONE]" for c in e["choices"])
    kind = {"messages": "content_block_delta", "responses": "response.output_text.delta"}[dialect]
    deltas = [event["delta"] for event in stream if event["type"] == kind]
    return "".join(delta["text"] if dialect == "messages" else delta for delta in deltas)


# --- streams ------------------------------------------------------------------------------------


async def test_each_delta_leaves_before_the_next_comes(serve: Serve, upstream: ScriptedUpstream) -> None:
    played = await translate(serve, upstream, ask("messages"))
    await played.upstream.send(EVENT_STREAM + chunk(ROLE))
    head = await played.client.head()
    assert head.status == 200
    assert head[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert head[b"x-relay-dialect"] == b"messages<chat"
    assert [event["type"] for event in events(await played.client.chunk())] == ["message_start"]
    await played.upstream.send(chunk(WORD))
    assert [event["type"] for event in events(await played.client.chunk())] == [
        "content_block_start",
        "content_block_delta",
    ]
    for word in (b"a", b"b", b'\\"', b"c", b"d"):
        await played.upstream.send(chunk(WORD.replace(b"Hello", word)))
        (event,) = events(await played.client.chunk())
        assert event["index"] == 0
        assert event["delta"] == {"type": "text_delta", "text": json.loads(b'"%b"' % word)}
    await played.upstream.send(chunk(STOP + frame({"choices": [], "usage": USAGE}) + DONE) + b"0\r\n\r\n")
    *_, delta, stop = events(await played.client.chunk())
    assert delta["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert (delta["usage"]["input_tokens"], delta["usage"]["output_tokens"]) == (5, 1)
    assert stop == {"type": "message_stop"}
    assert await played.client.chunk() == b""


async def test_an_empty_list_of_tools_beside_text_is_text(serve: Serve, upstream: ScriptedUpstream) -> None:
    """What vLLM sends, and others made an empty tool call of (litellm 29286, vllm 44104)."""
    played = await translate(serve, upstream, ask("messages"))
    words = [chat({"content": word, "tool_calls": []}) for word in ("One", " two", " three")]
    stream = b"".join([chat({"role": "assistant", "content": "", "tool_calls": []}), *words, STOP, DONE])
    got = events((await answered(played, EVENT_STREAM + chunk(stream) + b"0\r\n\r\n")).body)
    assert text_of("messages", got) == "One two three"
    assert "input_json_delta" not in json.dumps(got)
    assert [event["type"] for event in got].count("content_block_start") == 1


@every_pair
async def test_a_cut_stream_ends_with_the_error_of_the_client(
    serve: Serve, upstream: ScriptedUpstream, client: str, upstream_dialect: str
) -> None:
    played = await translate(serve, upstream, ask(client), upstream_dialect)
    await played.upstream.send(EVENT_STREAM + chunk(BEGUN[upstream_dialect]))
    head = await played.client.head()
    body = await played.client.chunk()
    played.upstream.close()
    while part := await played.client.chunk():
        body += part
    assert head.status == 200
    assert text_of(client, [e for e in events(body) if "error" not in e]) == "Hello"
    assert "after 1 delta" in failed(client, events(body))
    # The connection serves on.
    await played.client.trailers()
    await played.client.send(ask(client))
    again = await upstream.accept()
    await again.message()
    document = json.dumps(ANSWERS[upstream_dialect]).encode()
    assert (
        text_of(
            client,
            events(
                (
                    await answered(
                        Played(played.relay, played.client, again, played.request), answer(document)
                    )
                ).body
            ),
        )
        == "Hello"
    )


@every_pair
async def test_an_error_before_the_first_delta_is_a_status(
    serve: Serve, upstream: ScriptedUpstream, client: str, upstream_dialect: str
) -> None:
    played = await translate(serve, upstream, ask(client), upstream_dialect)
    error = frame({"type": "error", "error": {"type": "overloaded_error", "message": "Too busy."}}, "error")
    reply = await answered(played, EVENT_STREAM + chunk(error) + b"0\r\n\r\n")
    assert reply.status == (529 if client == "messages" else 503)
    document = json.loads(reply.body)
    assert document["error"]["message"] == "Too busy."
    assert document["error"]["type"] == ("overloaded_error" if client == "messages" else "server_error")


async def test_a_lifecycle_that_only_announces_a_failure_is_a_status(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    """`response.failed` right after `response.created` in one read: nothing has been said yet."""
    played = await translate(serve, upstream, ask("chat"), "responses")
    response = {"id": "resp_1", "object": "response", "status": "in_progress", "output": [], "model": "m"}
    error = {"code": "rate_limit_exceeded", "message": "Slow."}
    stream = message("response.created", sequence_number=0, response=response)
    stream += message(
        "response.failed", sequence_number=1, response=response | {"status": "failed", "error": error}
    )
    reply = await answered(played, EVENT_STREAM + chunk(stream) + b"0\r\n\r\n")
    assert reply.status == 429
    assert json.loads(reply.body)["error"]["code"] == "rate_limit_exceeded"


async def test_a_silent_upstream_gets_keep_alives_of_the_clients_dialect(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    played = await translate(serve, upstream, ask("messages"), silence=0.05)
    await played.upstream.send(EVENT_STREAM + chunk(ROLE))
    await played.client.head()
    await played.client.chunk()
    assert events(await played.client.chunk()) == [{"type": "ping"}]


# --- requests -----------------------------------------------------------------------------------


@every_pair
async def test_a_request_goes_to_the_path_of_the_upstreams_dialect(
    serve: Serve, upstream: ScriptedUpstream, client: str, upstream_dialect: str
) -> None:
    request = ask(client, target=b"/team" + PATHS[client] + b"?beta=true")
    played = await translate(serve, upstream, request, upstream_dialect)
    head, document = played.request.head, json.loads(played.request.body)
    assert head.target == b"/team" + PATHS[upstream_dialect]
    assert head[b"content-type"] == b"application/json"
    assert head[b"accept-encoding"] == b"identity"
    assert document["stream"] is True
    assert "Hi" in json.dumps(document["input" if upstream_dialect == "responses" else "messages"])
    assert (head[b"anthropic-version"] is not None) == (upstream_dialect == "messages")
    played.upstream.close()


@pytest.mark.parametrize("base", ["/v1", "/openai/v1"])
async def test_a_base_path_that_ends_with_the_version_has_it_once(
    serve: Serve, upstream: ScriptedUpstream, base: str
) -> None:
    relay = await serve(upstream.url + base, dialects=("chat",), repair=Repair.ON)
    client = await relay.connect()
    await client.send(ask("messages"))
    request = await (await upstream.accept()).message()
    assert request.head.target == base.encode() + b"/chat/completions"


@pytest.mark.parametrize(
    ("client", "upstream_dialect", "sent", "expected"),
    [
        ("messages", "chat", b"x-api-key: k", {b"authorization": b"Bearer k", b"x-api-key": None}),
        ("messages", "chat", b"authorization: Bearer k", {b"authorization": b"Bearer k"}),
        ("chat", "messages", b"authorization: Bearer k", {b"authorization": None, b"x-api-key": b"k"}),
        ("responses", "chat", b"authorization: Bearer k", {b"authorization": b"Bearer k"}),
        ("chat", "messages", b"openai-organization: o", {b"openai-organization": None}),
        ("messages", "chat", b"anthropic-beta: b", {b"anthropic-beta": None}),
        ("messages", "chat", b"traceparent: t", {b"traceparent": b"t"}),
        ("messages", "responses", b"x-api-key: k", {b"authorization": b"Bearer k"}),
    ],
)
async def test_keys_go_where_the_upstream_looks_for_them(
    serve: Serve,
    upstream: ScriptedUpstream,
    client: str,
    upstream_dialect: str,
    sent: bytes,
    expected: dict[bytes, bytes | None],
) -> None:
    played = await translate(serve, upstream, ask(client, sent), upstream_dialect)
    assert {name: played.request.head[name] for name in expected} == expected
    played.upstream.close()


async def test_what_is_dropped_is_said(
    serve: Serve, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    played = await translate(serve, upstream, ask("messages", speed="fast", **{"od\r\nd: 1": 1}))
    document = json.dumps(ANSWERS["chat"]).encode()
    reply = await answered(played, answer(document))
    assert reply.head[b"x-relay-dropped"] == b"speed,od??d??1"
    warnings = [record for record in caplog.records if "cannot be told" in record.getMessage()]
    assert [record.levelno for record in warnings] == [logging.WARNING]
    assert "speed" in warnings[0].getMessage()
    # The same loss again is no news.
    await played.client.send(ask("messages", speed="fast", **{"od\r\nd: 1": 1}))
    await played.upstream.message()
    await answered(played, answer(document))
    warnings = [record for record in caplog.records if "cannot be told" in record.getMessage()]
    assert [record.levelno for record in warnings] == [logging.WARNING, logging.INFO]


DEEP: Any = 1
for _ in range(400):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("client", "body", "status", "path"),
    [
        ("messages", b"{", 400, "not JSON"),
        ("messages", b"[]", 400, "not a JSON object"),
        ("messages", b'"\xff"', 400, "not JSON"),
        ("messages", {"max_tokens": None}, 400, "max_tokens"),
        ("messages", {"messages": "Hi"}, 400, "messages"),
        (
            "messages",
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            400,
            "messages[0].content[0].text",
        ),
        (
            "messages",
            {
                "messages": [
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "x"}]}
                ]
            },
            400,
            "messages[0].content[0]",
        ),
        (
            "messages",
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {
                                "type": "image",
                                "source": {"type": "base64", "media_type": "image/png", "data": "%%%"},
                            }
                        ],
                    }
                ]
            },
            400,
            "messages[0].content[0].source.data",
        ),
        ("messages", {"tools": [{"name": "t", "input_schema": DEEP}]}, 400, ""),
        ("chat", {"messages": [{"role": "tool", "tool_call_id": "t", "content": "x"}]}, 400, "messages[0]"),
        ("chat", {"messages": [{"role": "nobody", "content": "x"}]}, 400, "messages[0].role"),
        (
            "responses",
            {"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]},
            400,
            "input[0]",
        ),
        ("responses", {"previous_response_id": "resp_1"}, 400, "previous_response_id"),
    ],
)
async def test_a_bad_request_is_refused_before_the_upstream_sees_it(
    serve: Serve, upstream: ScriptedUpstream, client: str, body: Any, status: int, path: str
) -> None:
    upstream_dialect = "messages" if client == "chat" else "chat"
    relay = await serve(upstream, dialects=(upstream_dialect,), repair=Repair.ON)
    wire = await relay.connect()
    if isinstance(body, dict):
        await wire.send(ask(client, **body))
    else:
        await wire.send(post(body, target=PATHS[client]))
    reply = await wire.message()
    assert reply.status == status, reply.body
    error = json.loads(reply.body)["error"]
    assert error["type"] == "invalid_request_error"
    assert path in error["message"]
    if client == "messages":
        assert json.loads(reply.body)["type"] == "error"
    assert upstream.nobody_waits()


async def test_a_body_above_the_limit_is_refused_in_the_clients_dialect(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    relay = await serve(upstream, dialects=("chat",), repair=Repair.ON, limits=Limits(translated=1000))
    wire = await relay.connect()
    await wire.send(ask("messages", system="x" * 2000))
    reply = await wire.message()
    assert reply.status == 413
    assert json.loads(reply.body)["error"]["type"] == "request_too_large"
    assert upstream.nobody_waits()


def test_sixty_megabytes_are_above_the_limit() -> None:
    assert Limits().translated < 60_000_000


async def test_a_compressed_request_is_refused(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream, dialects=("chat",), repair=Repair.ON)
    wire = await relay.connect()
    await wire.send(ask("messages", b"content-encoding: zstd"))
    reply = await wire.message()
    assert reply.status == 415
    assert "compressed" in json.loads(reply.body)["error"]["message"]


async def test_the_dialects_that_the_upstream_speaks_are_forwarded(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    relay = await serve(upstream, dialects=("chat", "messages"), repair=Repair.ON)
    wire = await relay.connect()
    request = ask("messages", odd=1)
    await wire.send(request)
    peer = await upstream.accept()
    got = await peer.message()
    assert (got.head.target, got.body) == (b"/v1/messages", request.split(b"\r\n\r\n", 1)[1])
    await peer.send(answer(b"{}"))
    reply = await wire.message()
    assert reply.head[b"x-relay-dialect"] is None


# --- documents ----------------------------------------------------------------------------------


@every_pair
async def test_a_document_is_translated(
    serve: Serve, upstream: ScriptedUpstream, client: str, upstream_dialect: str
) -> None:
    played = await translate(serve, upstream, ask(client, stream=False), upstream_dialect)
    assert json.loads(played.request.body).get("stream") in (None, False)
    raw = answer(
        json.dumps(ANSWERS[upstream_dialect]).encode(),
        b"content-type: application/json; charset=utf-8",
        b"x-ratelimit-remaining-tokens: 7",
        b"x-request-id: req_1",
        b'etag: "1"',
    )
    reply = await answered(played, raw)
    document = json.loads(reply.body)
    assert reply.status == 200
    assert reply.head.all(b"content-type") == [b"application/json"]
    assert reply.head[b"x-relay-dialect"] == f"{client}<{upstream_dialect}".encode()
    assert reply.head[b"x-ratelimit-remaining-tokens"] == b"7"
    assert reply.head[b"etag"] is None
    assert reply.head.all(b"x-request-id") == [b"req_1"]
    assert reply.head[b"request-id"] == (b"req_1" if client == "messages" else None)
    assert says(client, document) == "Hello"
    assert document["model"] == "m"
    used = document["usage"]
    assert (used.get("input_tokens") or used.get("prompt_tokens")) == 5
    # The upstream's connection is used again.
    await played.client.send(ask(client, stream=False))
    await played.upstream.message()
    assert says(client, json.loads((await answered(played, raw)).body)) == "Hello"


@every_pair
async def test_a_stream_that_is_answered_by_a_document_is_a_stream(
    serve: Serve, upstream: ScriptedUpstream, client: str, upstream_dialect: str
) -> None:
    played = await translate(serve, upstream, ask(client), upstream_dialect)
    document = json.dumps(ANSWERS[upstream_dialect]).encode()
    reply = await answered(played, answer(document, b"content-type: application/json"))
    assert reply.head[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert reply.head[b"x-relay-converted"] == b"json"
    assert text_of(client, events(reply.body)) == "Hello"


@pytest.mark.parametrize("client", ["messages", "responses"])
async def test_a_document_that_is_answered_by_a_stream_is_a_document(
    serve: Serve, upstream: ScriptedUpstream, client: str
) -> None:
    played = await translate(serve, upstream, ask(client, stream=False))
    reply = await answered(played, EVENT_STREAM + chunk(ROLE + WORD + STOP + DONE) + b"0\r\n\r\n")
    assert reply.head[b"content-type"] == b"application/json"
    assert says(client, json.loads(reply.body)) == "Hello"


@every_pair
@pytest.mark.parametrize("ending", ["cut", "garbage", "empty", "wrong", "cut-stream"])
async def test_an_answer_that_is_none_is_a_bad_gateway(
    serve: Serve, upstream: ScriptedUpstream, client: str, upstream_dialect: str, ending: str
) -> None:
    played = await translate(serve, upstream, ask(client, stream=False), upstream_dialect)
    document = json.dumps(ANSWERS[upstream_dialect]).encode()
    if ending == "cut":
        await played.upstream.send(answer(document)[:-5])
        played.upstream.close()
    elif ending == "cut-stream":
        await played.upstream.send(EVENT_STREAM + chunk(BEGUN[upstream_dialect]) + b"0\r\n\r\n")
    else:
        body = {"garbage": b"<html>", "empty": b"", "wrong": b'{"a":1}'}[ending]
        await played.upstream.send(answer(body))
    reply = await played.client.message()
    assert reply.status == 502
    assert json.loads(reply.body)["error"]["message"]


@every_pair
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("status", [400, 401, 404, 413, 429, 500, 503, 529])
async def test_an_upstreams_error_keeps_its_status_and_words(
    serve: Serve, upstream: ScriptedUpstream, client: str, upstream_dialect: str, status: int, stream: bool
) -> None:
    played = await translate(serve, upstream, ask(client, stream=stream), upstream_dialect)
    error = {"error": {"message": "It is so.", "type": "some_error"}}
    raw = answer(
        json.dumps(error).encode(), b"retry-after: 7", b"request-id: req_2", status=b"%d Odd" % status
    )
    reply = await answered(played, raw)
    overloaded = 529 if client == "messages" else 503
    assert reply.status == (overloaded if status in (503, 529) else status)
    assert reply.head[b"retry-after"] == b"7"
    assert reply.head[b"x-request-id"] == b"req_2"
    said = json.loads(reply.body)
    assert said["error"]["message"] == "It is so."
    assert (said.get("type") == "error") == (client == "messages")


async def test_an_error_that_is_no_json_is_told(serve: Serve, upstream: ScriptedUpstream) -> None:
    played = await translate(serve, upstream, ask("messages"))
    reply = await answered(played, answer(b"<h1>Bad\n Gateway</h1>", status=b"502 Bad Gateway"))
    assert reply.status == 502
    said = json.loads(reply.body)["error"]
    assert said == {"type": "api_error", "message": "the upstream answered 502: <h1>Bad Gateway</h1>"}


async def test_a_prompt_that_is_too_long_is_said_in_the_words_clients_look_for(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    played = await translate(serve, upstream, ask("messages"))
    error = {
        "message": "This model's maximum context length is 10 tokens.",
        "type": "BadRequestError",
        "code": 400,
    }
    reply = await answered(played, answer(json.dumps({"error": error}).encode(), status=b"400 Bad Request"))
    assert json.loads(reply.body)["error"] == {
        "type": "invalid_request_error",
        "message": "prompt is too long: This model's maximum context length is 10 tokens.",
    }


async def test_an_http_1_0_client_gets_its_document(serve: Serve, upstream: ScriptedUpstream) -> None:
    body = json.dumps({"model": "m", **ASKED["messages"]}).encode()
    request = post(body, target=PATHS["messages"], version=b"1.0")
    played = await translate(serve, upstream, request)
    await played.upstream.send(answer(json.dumps(ANSWERS["chat"]).encode()))
    raw = await played.client.read_to_end()
    assert says("messages", json.loads(raw.split(b"\r\n\r\n", 1)[1])) == "Hello"


async def test_a_client_that_leaves_stops_the_upstream(serve: Serve, upstream: ScriptedUpstream) -> None:
    played = await translate(serve, upstream, ask("messages"))
    await played.upstream.send(EVENT_STREAM + chunk(ROLE + WORD))
    await played.client.head()
    played.client.close()
    await played.upstream.gone()
