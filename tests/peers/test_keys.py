"""Refused keys as the SDKs see them: AuthenticationError, with the sentence that says what to do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import anthropic
import openai
import pytest

from relay.access import Keys
from relay.config import Repair, RouteRule, RouteTarget, Upstream
from tests.net.kit import ScriptedUpstream, Wire, answer, quiet_loop, start_relay, stop_relay

GOOD, WRONG, MASTER = "sk-good", "sk-wrong", "sk-master"
ASKED: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
SAID = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


async def litellm(wire: Wire) -> None:
    """Knows one key; without an answer for who asks with ``sk-down``."""
    while True:
        head = (await wire.message()).head
        key = (head[b"authorization"] or b"").removeprefix(b"Bearer ").decode()
        if key == "sk-down":
            await wire.send(answer(b"<html>", status=b"502 Bad Gateway"))
        elif key == GOOD:
            said = {"key": hashlib.sha256(key.encode()).hexdigest(), "info": {"models": []}}
            await wire.send(answer(json.dumps(said).encode()))
        else:
            error = {"message": f"not known: {key}", "type": "token_not_found_in_db", "code": "401"}
            await wire.send(answer(json.dumps({"error": error}).encode(), status=b"401 Unauthorized"))


async def provider(wire: Wire) -> None:
    while True:
        head = (await wire.message()).head
        assert head[b"authorization"] == b"Bearer own"
        await wire.send(answer(json.dumps(SAID).encode(), b"content-type: application/json"))


@pytest.fixture
async def address() -> AsyncIterator[str]:
    """A relay that asks a LiteLLM for keys and goes straight to a provider."""
    async with quiet_loop():
        servers = [ScriptedUpstream.tcp(), ScriptedUpstream.tcp()]
        servers[0].serve(litellm)
        servers[1].serve(provider)
        known, direct = (Upstream.parse(server.url) for server in servers)
        also = {
            "upstreams": (
                replace(known, name="litellm"),
                replace(direct, name="direct", dialects=("chat",), api_key="own"),
            ),
            "routes": (RouteRule((RouteTarget("direct"),)),),
            "keys": Keys(digests=(hashlib.sha256(MASTER.encode()).digest(),), verifier="litellm"),
        }
        running = await start_relay("http://unused.test", repair=Repair.ON, also=also)
        host, port = running.address
        yield f"http://{host}:{port}"
        await stop_relay(running)
        for server in servers:
            await server.close()


async def chat(client: openai.AsyncOpenAI) -> Any:
    return await client.chat.completions.create(**ASKED)


async def chat_stream(client: openai.AsyncOpenAI) -> Any:
    return [chunk async for chunk in await client.chat.completions.create(**ASKED, stream=True)]


async def responses(client: openai.AsyncOpenAI) -> Any:
    return await client.responses.create(model="m", input="hi")


async def embeddings(client: openai.AsyncOpenAI) -> Any:
    return await client.embeddings.create(model="m", input="hi")


async def models(client: openai.AsyncOpenAI) -> Any:
    return await client.models.list()


async def messages(client: anthropic.AsyncAnthropic) -> Any:
    return await client.messages.create(**ASKED, max_tokens=9)


async def messages_stream(client: anthropic.AsyncAnthropic) -> Any:
    async with client.messages.stream(**ASKED, max_tokens=9) as stream:
        return await stream.get_final_message()


async def count_tokens(client: anthropic.AsyncAnthropic) -> Any:
    return await client.messages.count_tokens(**ASKED)


AskOpenAI = Callable[[openai.AsyncOpenAI], Awaitable[Any]]
AskAnthropic = Callable[[anthropic.AsyncAnthropic], Awaitable[Any]]
OPENAI: list[AskOpenAI] = [
    chat,
    chat_stream,
    responses,
    embeddings,
    models,
]
ANTHROPIC: list[AskAnthropic] = [
    messages,
    messages_stream,
    count_tokens,
]


@pytest.mark.parametrize("ask", OPENAI, ids=lambda ask: ask.__name__)
async def test_openais_sdk_raises_authentication_error(address: str, ask: AskOpenAI) -> None:
    async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key=WRONG, max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as raised:
            await ask(client)
    assert raised.value.code == "invalid_api_key"
    assert "is not accepted: LiteLLM does not accept it" in raised.value.message
    assert WRONG not in str(raised.value.body)


@pytest.mark.parametrize("ask", ANTHROPIC, ids=lambda ask: ask.__name__)
@pytest.mark.parametrize("where", ["api_key", "auth_token"])
async def test_anthropics_sdk_raises_authentication_error(
    address: str, ask: AskAnthropic, where: str
) -> None:
    async with anthropic.AsyncAnthropic(base_url=address, max_retries=0, **{where: WRONG}) as client:  # type: ignore[arg-type]
        with pytest.raises(anthropic.AuthenticationError) as raised:
            await ask(client)
    body: Any = raised.value.body
    assert body["error"]["type"] == "authentication_error"
    assert "is not accepted: LiteLLM does not accept it" in body["error"]["message"]
    assert WRONG not in str(body)


@pytest.mark.parametrize("key", [GOOD, MASTER])
async def test_accepted_keys_work_in_both_families(address: str, key: str) -> None:
    async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0) as client:
        assert (await chat(client)).choices[0].message.content == "hello"
    for said in ({"api_key": key}, {"auth_token": key}):
        async with anthropic.AsyncAnthropic(base_url=address, max_retries=0, **said) as theirs:  # type: ignore[arg-type]
            assert (await messages(theirs)).content[0].text == "hello"


async def test_a_key_that_cannot_be_checked_is_not_refused(address: str) -> None:
    """503: the SDKs try again, and nobody throws a good key away."""
    async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="sk-down", max_retries=0) as client:
        with pytest.raises(openai.InternalServerError) as raised:
            await chat(client)
    assert raised.value.status_code == 503
    async with anthropic.AsyncAnthropic(base_url=address, api_key="sk-down", max_retries=0) as theirs:
        with pytest.raises(anthropic.APIStatusError) as theirs_raised:
            await messages(theirs)
    body: Any = theirs_raised.value.body
    assert theirs_raised.value.status_code == 503
    assert body["error"]["type"] == "overloaded_error"
    assert "cannot be checked now" in body["error"]["message"]
