"""The SDKs' own stream helpers, which check the grammar, through relay from ``relay fake``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import anthropic
import openai
import pytest

from relay.fake.text import DEFAULT_DELTAS

MESSAGES: Any = [{"role": "user", "content": "hello"}]
TOOL_MESSAGES: Any = [{"role": "user", "content": "call the tool"}]
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CHAT_TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}]
TOOLS: Any = [{"name": "weather", "input_schema": PARAMETERS}]


@pytest.fixture
def address(relay: Callable[[int], int], fake: int) -> str:
    return f"http://127.0.0.1:{relay(fake)}"


@pytest.fixture
async def chatgpt(address: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="k", max_retries=0) as client:
        yield client


@pytest.fixture
async def claude(address: str) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=address, api_key="k", max_retries=0) as client:
        yield client


async def test_chat_streams(chatgpt: openai.AsyncOpenAI) -> None:
    whole = await chatgpt.chat.completions.create(model="m", messages=MESSAGES)
    options: Any = {"include_usage": True}
    pieces, usage = [], None
    stream = await chatgpt.chat.completions.create(
        model="m", messages=MESSAGES, stream=True, stream_options=options
    )
    async for event in stream:
        pieces += [choice.delta.content for choice in event.choices if choice.delta.content]
        usage = event.usage or usage
    assert len(pieces) == DEFAULT_DELTAS
    assert "".join(pieces) == whole.choices[0].message.content
    assert usage == whole.usage


async def test_chat_calls_a_tool(chatgpt: openai.AsyncOpenAI) -> None:
    async with chatgpt.chat.completions.stream(model="m", messages=TOOL_MESSAGES, tools=CHAT_TOOLS) as stream:
        final = await stream.get_final_completion()
    assert final.choices[0].finish_reason == "tool_calls"
    assert final.choices[0].message.tool_calls[0].function.name == "weather"


async def test_responses_stream(chatgpt: openai.AsyncOpenAI) -> None:
    whole = await chatgpt.responses.create(model="m", input="hello")
    async with chatgpt.responses.stream(model="m", input="hello") as stream:
        events = [event async for event in stream]
        final = await stream.get_final_response()
    pieces = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert len(pieces) == DEFAULT_DELTAS
    assert "".join(pieces) == final.output_text == whole.output_text


async def test_messages_stream(claude: anthropic.AsyncAnthropic) -> None:
    whole = await claude.messages.create(model="m", max_tokens=1000, messages=MESSAGES)
    async with claude.messages.stream(model="m", max_tokens=1000, messages=MESSAGES) as stream:
        pieces = [text async for text in stream.text_stream]
        final = await stream.get_final_message()
    assert len(pieces) == DEFAULT_DELTAS
    assert "".join(pieces) == final.content[0].text == whole.content[0].text
    assert final.usage.output_tokens == whole.usage.output_tokens


async def test_messages_call_a_tool(claude: anthropic.AsyncAnthropic) -> None:
    async with claude.messages.stream(
        model="m", max_tokens=1000, messages=TOOL_MESSAGES, tools=TOOLS
    ) as stream:
        final = await stream.get_final_message()
    assert final.stop_reason == "tool_use"
    assert final.content[-1].name == "weather"
