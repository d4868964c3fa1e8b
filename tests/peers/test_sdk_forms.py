"""Every form of answer that the SDKs know, asked of the blocking and the awaiting clients.

What a stream says must be what the same request says in one document, one delta for each the fake
sends. ``ask`` runs a form on either kind of client, so that no form is tested on one alone.
"""

from __future__ import annotations

import contextlib
import inspect
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anthropic
import openai
import pytest

from relay.fake.answer import Tool, fragments
from relay.fake.text import DEFAULT_DELTAS

from .conftest import free_port
from .test_sdks import CHAT_TOOLS, MESSAGES, PARAMETERS, TOOL_MESSAGES, TOOLS

RESPONSES_TOOLS: Any = [{"type": "function", "name": "weather", "parameters": PARAMETERS}]
CHAT: Any = {"model": "m", "messages": MESSAGES}
MESSAGE: Any = {"model": "m", "max_tokens": 1000, "messages": MESSAGES}
ARGUMENTS = fragments(Tool("weather", PARAMETERS))


class Asked:
    """One client, blocking or not, behind one way of asking."""

    def __init__(self, client: Any) -> None:
        self.client = client

    async def ask(self, method: Callable[..., Any], **arguments: Any) -> Any:
        answer = method(**arguments)
        return await answer if inspect.isawaitable(answer) else answer

    async def events(self, stream: Any) -> list[Any]:
        """All that the stream yields."""
        if hasattr(stream, "__aiter__"):
            return [event async for event in stream]
        return list(stream)

    @contextlib.asynccontextmanager
    async def opened(self, manager: Any) -> AsyncIterator[Any]:
        if hasattr(manager, "__aenter__"):
            async with manager as stream:
                yield stream
        else:
            with manager as stream:
                yield stream

    async def done(self, result: Awaitable[Any] | Any) -> Any:
        return await result if inspect.isawaitable(result) else result


@pytest.fixture
def address(relay: Callable[[int], int], fake: int) -> str:
    return f"http://127.0.0.1:{relay(fake)}"


@pytest.fixture(params=[openai.OpenAI, openai.AsyncOpenAI], ids=["blocking", "awaiting"])
async def chatgpt(request: pytest.FixtureRequest, address: str) -> AsyncIterator[Asked]:
    asked = Asked(request.param(base_url=f"{address}/v1", api_key="k", max_retries=0))
    yield asked
    await asked.done(asked.client.close())


@pytest.fixture(params=[anthropic.Anthropic, anthropic.AsyncAnthropic], ids=["blocking", "awaiting"])
async def claude(request: pytest.FixtureRequest, address: str) -> AsyncIterator[Asked]:
    asked = Asked(request.param(base_url=address, api_key="k", max_retries=0))
    yield asked
    await asked.done(asked.client.close())


async def test_chat(chatgpt: Asked) -> None:
    create = chatgpt.client.chat.completions.create
    whole = await chatgpt.ask(create, **CHAT)
    stream = await chatgpt.ask(create, **CHAT, stream=True, stream_options={"include_usage": True})
    events = await chatgpt.events(stream)
    pieces = [choice.delta.content for event in events for choice in event.choices if choice.delta.content]
    assert len(pieces) == DEFAULT_DELTAS
    assert "".join(pieces) == whole.choices[0].message.content
    assert events[-1].usage == whole.usage


async def test_a_chat_tool_call(chatgpt: Asked) -> None:
    create = chatgpt.client.chat.completions.create
    arguments: Any = {"model": "m", "messages": TOOL_MESSAGES, "tools": CHAT_TOOLS}
    (call,) = (await chatgpt.ask(create, **arguments)).choices[0].message.tool_calls
    events = await chatgpt.events(await chatgpt.ask(create, **arguments, stream=True))
    deltas = [call for event in events for call in event.choices[0].delta.tool_calls or []]
    assert deltas[0].function.name == call.function.name == "weather"
    pieces = [delta.function.arguments for delta in deltas if delta.function.arguments]
    assert pieces == list(ARGUMENTS)
    assert "".join(pieces) == call.function.arguments
    assert events[-1].choices[0].finish_reason == "tool_calls"


async def test_responses(chatgpt: Asked) -> None:
    create = chatgpt.client.responses.create
    whole = await chatgpt.ask(create, model="m", input="hello")
    events = await chatgpt.events(await chatgpt.ask(create, model="m", input="hello", stream=True))
    pieces = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert len(pieces) == DEFAULT_DELTAS
    assert "".join(pieces) == whole.output_text
    assert events[-1].type == "response.completed"
    assert events[-1].response.usage == whole.usage


async def test_a_responses_tool_call(chatgpt: Asked) -> None:
    create = chatgpt.client.responses.create
    arguments: Any = {"model": "m", "input": "call the tool", "tools": RESPONSES_TOOLS}
    (item,) = (await chatgpt.ask(create, **arguments)).output
    assert (item.type, item.name) == ("function_call", "weather")
    events = await chatgpt.events(await chatgpt.ask(create, **arguments, stream=True))
    kind = "response.function_call_arguments.delta"
    pieces = [event.delta for event in events if event.type == kind]
    assert pieces == list(ARGUMENTS)
    assert "".join(pieces) == item.arguments


async def test_messages(claude: Asked) -> None:
    create = claude.client.messages.create
    whole = await claude.ask(create, **MESSAGE)
    events = await claude.events(await claude.ask(create, **MESSAGE, stream=True))
    pieces = [event.delta.text for event in events if event.type == "content_block_delta"]
    assert len(pieces) == DEFAULT_DELTAS
    assert "".join(pieces) == whole.content[0].text
    assert events[-1].type == "message_stop"


async def test_the_messages_stream_helper(claude: Asked) -> None:
    whole = await claude.ask(claude.client.messages.create, **MESSAGE)
    async with claude.opened(claude.client.messages.stream(**MESSAGE)) as stream:
        pieces = await claude.events(stream.text_stream)
        final = await claude.done(stream.get_final_message())
    assert len(pieces) == DEFAULT_DELTAS
    assert "".join(pieces) == final.content[0].text == whole.content[0].text
    assert final.stop_reason == whole.stop_reason == "end_turn"


async def test_a_messages_tool_use(claude: Asked) -> None:
    arguments: Any = {"model": "m", "max_tokens": 1000, "messages": TOOL_MESSAGES, "tools": TOOLS}
    (block,) = (await claude.ask(claude.client.messages.create, **arguments)).content
    assert (block.type, block.name) == ("tool_use", "weather")
    events = await claude.events(await claude.ask(claude.client.messages.create, **arguments, stream=True))
    pieces = [event.delta.partial_json for event in events if event.type == "content_block_delta"]
    assert pieces == list(ARGUMENTS)
    assert json.loads("".join(pieces)) == block.input


async def test_the_models_of_openai(chatgpt: Asked) -> None:
    page = await chatgpt.done(chatgpt.client.models.list())
    assert [model.id for model in page.data] == ["fake"]


async def test_the_models_of_anthropic(claude: Asked) -> None:
    page = await claude.done(claude.client.models.list())
    assert [(model.id, model.type) for model in page.data] == [("fake", "model")]


@pytest.mark.parametrize("stream", [False, True])
async def test_an_upstream_that_is_down(relay: Callable[[int], int], stream: bool) -> None:
    """Each SDK's own kind of error for a server that failed, with relay's words in it."""
    address = f"http://127.0.0.1:{relay(free_port())}"
    async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="k", max_retries=0) as chatgpt:
        with pytest.raises(openai.InternalServerError, match="cannot connect to http") as raised:
            await chatgpt.chat.completions.create(**CHAT, stream=stream)
        assert (raised.value.status_code, raised.value.code) == (503, "upstream_unreachable")
    async with anthropic.AsyncAnthropic(base_url=address, api_key="k", max_retries=0) as claude:
        with pytest.raises(anthropic.InternalServerError, match="cannot connect to http") as refused:
            await claude.messages.create(**MESSAGE, stream=stream)
        assert refused.value.status_code == 503
