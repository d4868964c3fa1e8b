"""Around completions, for an upstream of another dialect: tokens, models, probes, stored responses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from relay.config import Repair

from .conftest import Serve
from .kit import Message, ScriptedUpstream, answer, get, post
from .test_checked_streams import Played, play

COUNTED = b"/v1/messages/count_tokens?beta=true"
QUESTION = {
    "model": "m",
    "system": "Be brief.",
    "messages": [{"role": "user", "content": "How are you today?"}],
    "tools": [{"name": "t", "input_schema": {"type": "object"}}],
}


async def converted(
    serve: Serve, upstream: ScriptedUpstream, request: bytes, dialect: str = "chat"
) -> Played:
    return await play(serve, upstream, request, dialects=(dialect,))


async def reply(played: Played, body: Any, *fields: bytes, status: bytes = b"200 OK") -> Message:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    await played.upstream.send(answer(raw, *fields, status=status))
    return await played.client.message()


def count(**more: Any) -> bytes:
    return post(json.dumps(QUESTION | more).encode(), b"x-api-key: k", target=COUNTED)


# --- tokens -------------------------------------------------------------------------------------


async def test_a_chat_server_is_asked_in_anthropics_way(serve: Serve, upstream: ScriptedUpstream) -> None:
    """llama.cpp and vLLM answer it."""
    played = await converted(serve, upstream, count())
    assert played.request.head.target == b"/v1/messages/count_tokens"
    assert played.request.head[b"authorization"] == b"Bearer k"
    assert json.loads(played.request.body) == QUESTION
    got = await reply(played, {"input_tokens": 42})
    assert json.loads(got.body) == {"input_tokens": 42}
    assert got.head[b"x-relay-estimated"] is None


async def test_tokens_are_counted_by_vllms_tokenizer(serve: Serve, upstream: ScriptedUpstream) -> None:
    played = await play(serve, upstream, count(), dialects=("chat",), profile="vllm")
    asked = json.loads(played.request.body)
    assert played.request.head.target == b"/tokenize"
    assert [message["role"] for message in asked["messages"]] == ["system", "user"]
    assert asked["tools"][0]["function"]["name"] == "t"
    assert asked["add_generation_prompt"] is True
    assert asked.keys() == {"model", "messages", "tools", "add_generation_prompt"}
    got = await reply(played, {"count": 42, "max_model_len": 100, "tokens": [1, 2]})
    assert json.loads(got.body) == {"input_tokens": 42}


async def test_a_responses_upstream_is_asked_in_its_own_way(serve: Serve, upstream: ScriptedUpstream) -> None:
    played = await converted(serve, upstream, count(), "responses")
    asked = json.loads(played.request.body)
    assert played.request.head.target == b"/v1/responses/input_tokens"
    assert asked.keys() <= {"model", "input", "instructions", "tools"}
    got = await reply(played, {"object": "response.input_tokens", "input_tokens": 17})
    assert json.loads(got.body) == {"input_tokens": 17}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"Not Found", b"404 Not Found"),
        ({"error": {"message": "no"}}, b"405 Method Not Allowed"),
        ({"detail": "?"}, b"422 Unprocessable Entity"),
        ({"tokens": []}, b"200 OK"),
        ({"count": "many"}, b"200 OK"),
        (b"<html>", b"200 OK"),
    ],
)
async def test_without_a_tokenizer_the_estimate_says_that_it_is_one(
    serve: Serve, upstream: ScriptedUpstream, body: Any, status: bytes
) -> None:
    played = await converted(serve, upstream, count())
    got = await reply(played, body, status=status)
    assert got.status == 200
    assert got.head[b"x-relay-estimated"] == b"input_tokens"
    few = json.loads(got.body)["input_tokens"]
    assert 10 < few < 60
    # More text is more tokens.
    await played.client.send(count(system="Be brief. " * 100))
    await played.upstream.message()
    more = json.loads((await reply(played, body, status=status)).body)["input_tokens"]
    assert few + 200 < more < few + 300


async def test_an_upstream_that_refuses_to_count_is_heard(serve: Serve, upstream: ScriptedUpstream) -> None:
    played = await converted(serve, upstream, count())
    error = {"error": {"message": "Slow.", "code": "rate_limit_exceeded"}}
    got = await reply(played, error, b"retry-after: 3", status=b"429 Too Many Requests")
    assert got.status == 429
    assert got.head[b"retry-after"] == b"3"
    assert json.loads(got.body)["error"] == {"type": "rate_limit_error", "message": "Slow."}


async def test_a_question_that_cannot_be_read_is_refused(serve: Serve, upstream: ScriptedUpstream) -> None:
    relay = await serve(upstream, dialects=("chat",), repair=Repair.ON)
    wire = await relay.connect()
    await wire.send(count(messages=7))
    got = await wire.message()
    assert got.status == 400
    assert "messages" in json.loads(got.body)["error"]["message"]
    assert upstream.nobody_waits()


async def test_an_upstream_of_the_dialect_counts_itself(serve: Serve, upstream: ScriptedUpstream) -> None:
    played = await converted(serve, upstream, count(), "messages")
    assert played.request.head.target == COUNTED
    assert json.loads(played.request.body) == QUESTION
    got = await reply(played, {"input_tokens": 9})
    assert json.loads(got.body) == {"input_tokens": 9}


# --- models -------------------------------------------------------------------------------------

OPENAI_MODEL = {
    "id": "m",
    "object": "model",
    "created": 1700000000,
    "owned_by": "vllm",
    "max_model_len": 4096,
}
ANTHROPIC_MODEL = {"type": "model", "id": "c", "display_name": "C", "created_at": "2025-01-02T03:04:05Z"}
VERSION = b"anthropic-version: 2023-06-01"


async def test_anthropics_sdk_gets_the_models_of_an_openai_server(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    request = get(b"/v1/models?limit=1000", VERSION, b"x-api-key: k", b"accept-encoding: gzip, br")
    played = await converted(serve, upstream, request)
    assert played.request.head.target == b"/v1/models?limit=1000"
    assert played.request.head[b"accept-encoding"] == b"identity"
    assert played.request.head[b"authorization"] == b"Bearer k"
    got = await reply(played, {"object": "list", "data": [OPENAI_MODEL]})
    model = {"type": "model", "id": "m", "display_name": "m", "created_at": "2023-11-14T22:13:20Z"}
    assert json.loads(got.body) == {
        "data": [model | {"max_input_tokens": 4096}],
        "has_more": False,
        "first_id": "m",
        "last_id": "m",
    }


async def test_openais_sdk_gets_the_models_of_an_anthropic_server(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    request = get(b"/v1/models", b"authorization: Bearer k")
    played = await converted(serve, upstream, request, "messages")
    assert played.request.head[b"x-api-key"] == b"k"
    listed = {"data": [ANTHROPIC_MODEL], "has_more": False, "first_id": "c", "last_id": "c"}
    got = await reply(played, listed)
    model = {"id": "c", "object": "model", "created": 1735787045, "owned_by": "anthropic"}
    assert json.loads(got.body) == {"object": "list", "data": [model]}


@pytest.mark.parametrize(
    ("fields", "model"), [((), OPENAI_MODEL), ((VERSION,), ANTHROPIC_MODEL)], ids=["openai", "anthropic"]
)
async def test_models_in_the_clients_shape_pass_as_they_are(
    serve: Serve, upstream: ScriptedUpstream, fields: tuple[bytes, ...], model: dict[str, Any]
) -> None:
    listed = {"data": [model]} | ({"has_more": False} if fields else {"object": "list"})
    for document in (listed, model):
        played = await converted(serve, upstream, get(b"/v1/models", *fields))
        raw = json.dumps(document, indent=1).encode()
        assert (await reply(played, raw)).body == raw
        played.upstream.close()


@pytest.mark.parametrize(
    "body", [b"[]", b"<html>", b'{"data": 3}', b'{"data": [3]}', b'{"data": [{"id": 3}]}']
)
async def test_what_is_no_list_of_models_passes(
    serve: Serve, upstream: ScriptedUpstream, body: bytes
) -> None:
    played = await converted(serve, upstream, get(b"/v1/models", VERSION))
    assert (await reply(played, body)).body == body


async def test_one_model_and_none(serve: Serve, upstream: ScriptedUpstream) -> None:
    played = await converted(serve, upstream, get(b"/v1/models/m", VERSION))
    got = json.loads((await reply(played, OPENAI_MODEL)).body)
    assert (got["type"], got["id"]) == ("model", "m")
    await played.client.send(get(b"/v1/models/x", VERSION))
    await played.upstream.message()
    error = {"error": {"message": "no such model", "code": "model_not_found"}}
    none = await reply(played, error, status=b"404 Not Found")
    assert none.status == 404
    assert json.loads(none.body)["error"] == {"type": "not_found_error", "message": "no such model"}


# --- probes and stored responses ----------------------------------------------------------------


@pytest.mark.parametrize(("said", "status"), [(b"404 Not Found", 200), (b"200 OK", 200), (b"502 Bad", 502)])
async def test_a_probe_says_whether_anybody_is_there(
    serve: Serve, upstream: ScriptedUpstream, said: bytes, status: int
) -> None:
    played = await converted(serve, upstream, get(b"/", method=b"HEAD"))
    await played.upstream.send(b"HTTP/1.1 %b\r\ncontent-length: 9\r\n\r\n" % said)
    assert (await played.client.head()).status == status
    assert not played.client.waiting()


async def test_other_paths_pass_as_they_are(serve: Serve, upstream: ScriptedUpstream) -> None:
    played = await converted(serve, upstream, get(b"/"))
    got = await reply(played, b"hello", status=b"404 Not Found")
    assert (got.status, got.body) == (404, b"hello")


@pytest.mark.parametrize(
    "request_",
    [
        get(b"/v1/responses/resp_1"),
        get(b"/v1/responses/resp_1", method=b"DELETE"),
        get(b"/v1/responses/resp_1/input_items?limit=2"),
        post(b"{}", target=b"/v1/responses/resp_1/cancel"),
        post(b"{}", target=b"/v1/responses/compact"),
        post(b"{}", target=b"/v1/responses/input_tokens"),
    ],
)
async def test_stored_responses_are_not_there(
    serve: Serve, upstream: ScriptedUpstream, request_: bytes
) -> None:
    relay = await serve(upstream, dialects=("chat",), repair=Repair.ON)
    wire = await relay.connect()
    await wire.send(request_)
    got = await wire.message()
    assert got.status == 404
    assert json.loads(got.body)["error"]["type"] == "invalid_request_error"
    assert upstream.nobody_waits()


async def test_a_responses_upstream_has_them(serve: Serve, upstream: ScriptedUpstream) -> None:
    played = await converted(serve, upstream, get(b"/v1/responses/resp_1"), "responses")
    assert (await reply(played, b'{"id": "resp_1"}')).body == b'{"id": "resp_1"}'
