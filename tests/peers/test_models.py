"""Several upstreams' models behind one relay, as the SDKs list and retrieve them, and names nobody knows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import anthropic
import openai
import pytest

from relay.config import Repair, RouteRule, RouteTarget, Upstream
from tests.net.kit import ScriptedUpstream, Wire, answer, quiet_loop, start_relay, stop_relay

GPT = {"id": "org/gpt", "object": "model", "created": 1700000000, "owned_by": "vllm", "max_model_len": 4096}
LLAMA = {"id": "llama", "object": "model", "created": 1700000000, "owned_by": "vllm"}
CLAUDE = {
    "type": "model",
    "id": "claude-9",
    "display_name": "Claude 9",
    "created_at": "2025-01-02T03:04:05Z",
}
OURS = {"object": "list", "data": [GPT, LLAMA]}
THEIRS = {"data": [CLAUDE], "has_more": False, "first_id": "claude-9", "last_id": "claude-9"}
ROUTES = (
    RouteRule((RouteTarget("claude"),), models=("claude-*",)),
    RouteRule((RouteTarget("vllm", model="org/gpt"),), models=("fast",)),
    RouteRule((RouteTarget("vllm", model="*"),), models=("local/*",)),
)
NAMES = ["fast", "local/org/gpt", "local/llama", "claude-9"]


def lists(models: dict[str, Any]) -> Callable[[Wire], Any]:
    """A server that answers every question with these."""

    async def handle(wire: Wire) -> None:
        while True:
            request = await wire.message(has_body=False)
            assert request.head.target.partition(b"?")[0] == b"/v1/models"
            await wire.send(answer(json.dumps(models).encode(), b"content-type: application/json"))

    return handle


@pytest.fixture
async def address() -> AsyncIterator[str]:
    """A relay in front of an OpenAI server and an Anthropic one."""
    async with quiet_loop():
        servers = [ScriptedUpstream.tcp(), ScriptedUpstream.tcp()]
        for server, models in zip(servers, (OURS, THEIRS), strict=True):
            server.serve(lists(models))
        vllm, claude = (Upstream.parse(server.url) for server in servers)
        upstreams = (
            replace(vllm, name="vllm", dialects=("chat",)),
            replace(claude, name="claude", dialects=("messages",), api_key="own"),
        )
        also = {"upstreams": upstreams, "routes": ROUTES}
        running = await start_relay("http://unused.test", repair=Repair.ON, also=also)
        host, port = running.address
        yield f"http://{host}:{port}"
        await stop_relay(running)
        for server in servers:
            await server.close()


@pytest.fixture
async def chatgpt(address: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="k", max_retries=0) as client:
        yield client


@pytest.fixture
async def claude(address: str) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=address, api_key="k", max_retries=0) as client:
        yield client


async def test_openai_lists_all_of_them(chatgpt: openai.AsyncOpenAI) -> None:
    models = [model async for model in chatgpt.models.list()]
    assert [model.id for model in models] == NAMES
    assert {model.object for model in models} == {"model"}
    assert models[0].to_dict()["max_model_len"] == 4096
    assert (models[3].created, models[3].owned_by) == (1735787045, "anthropic")


async def test_anthropic_lists_all_of_them(claude: anthropic.AsyncAnthropic) -> None:
    models = [model async for model in claude.models.list()]
    assert [model.id for model in models] == NAMES
    assert {model.type for model in models} == {"model"}
    assert models[0].max_input_tokens == 4096
    assert (models[3].display_name, models[3].created_at.year) == ("Claude 9", 2025)


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
async def test_anthropic_turns_pages(claude: anthropic.AsyncAnthropic, limit: int) -> None:
    page = await claude.models.list(limit=limit)
    assert len(page.data) == limit
    assert [model.id async for model in page] == NAMES
    back = await claude.models.list(limit=limit, before_id=NAMES[-1])
    seen = [model.id for model in back.data]
    while back.has_next_page():
        back = await back.get_next_page()
        seen = [model.id for model in back.data] + seen
    assert seen == NAMES[:-1]


async def test_the_blocking_clients_too(address: str) -> None:
    def ask() -> list[list[str]]:
        with (
            openai.OpenAI(base_url=f"{address}/v1", api_key="k", max_retries=0) as chatgpt,
            anthropic.Anthropic(base_url=address, api_key="k", max_retries=0) as claude,
        ):
            return [[model.id for model in client.models.list()] for client in (chatgpt, claude)]

    assert await asyncio.to_thread(ask) == [NAMES, NAMES]


@pytest.mark.parametrize("name", NAMES)
async def test_each_of_them_by_its_name(
    chatgpt: openai.AsyncOpenAI, claude: anthropic.AsyncAnthropic, name: str
) -> None:
    ours, theirs = await chatgpt.models.retrieve(name), await claude.models.retrieve(name)
    assert (ours.id, ours.object) == (name, "model")
    assert (theirs.id, theirs.type) == (name, "model")


async def test_openai_hears_in_its_own_way_of_a_name_that_nobody_knows(chatgpt: openai.AsyncOpenAI) -> None:
    messages: Any = [{"role": "user", "content": "hello"}]
    for question in (
        chatgpt.models.retrieve("claude-8"),
        chatgpt.chat.completions.create(model="claud-9", messages=messages),
        chatgpt.chat.completions.create(model="claud-9", messages=messages, stream=True),
        chatgpt.responses.create(model="claud-9", input="hello"),
    ):
        with pytest.raises(openai.NotFoundError) as raised:
            await question
        assert (raised.value.code, raised.value.param) == ("model_not_found", "model")
        assert "did you mean claude-" in raised.value.message


async def test_anthropic_hears_in_its_own_way_of_a_name_that_nobody_knows(
    claude: anthropic.AsyncAnthropic,
) -> None:
    said: Any = {"max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}
    for question in (
        claude.models.retrieve("claude-8"),
        claude.messages.create(model="fats", **said),
        claude.messages.create(model="fats", **said, stream=True),
    ):
        with pytest.raises(anthropic.NotFoundError) as raised:
            await question
        body: Any = raised.value.body
        assert (body["type"], body["error"]["type"]) == ("error", "not_found_error")
        assert "did you mean " in raised.value.message


async def test_anthropic_hears_the_same_when_it_counts_tokens(claude: anthropic.AsyncAnthropic) -> None:
    messages: Any = [{"role": "user", "content": "hello"}]
    with pytest.raises(anthropic.NotFoundError) as raised:
        await claude.messages.count_tokens(model="fats", messages=messages)
    body: Any = raised.value.body
    assert body["type"] == "error"


async def test_anthropic_hears_of_a_page_that_is_not_there(claude: anthropic.AsyncAnthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="after_id"):
        await claude.models.list(after_id="nobody")


async def test_when_no_upstream_answers() -> None:
    async with quiet_loop():
        upstreams = tuple(replace(Upstream.parse("http://127.0.0.1:1"), name=name) for name in "ab")
        routes = tuple(RouteRule((RouteTarget(name),), models=(f"{name}*",)) for name in "ab")
        running = await start_relay("http://unused.test", also={"upstreams": upstreams, "routes": routes})
        address = "http://{}:{}".format(*running.address)
        async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="k", max_retries=0) as chatgpt:
            with pytest.raises(openai.InternalServerError, match="no upstream has said") as raised:
                await chatgpt.models.list()
            assert raised.value.status_code == 502
        async with anthropic.AsyncAnthropic(base_url=address, api_key="k", max_retries=0) as claude:
            with pytest.raises(anthropic.InternalServerError, match="no upstream has said"):
                await claude.models.list()
        await stop_relay(running)
