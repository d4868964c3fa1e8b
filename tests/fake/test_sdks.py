"""The real SDKs against the fake over a socket: nothing it sends may surprise them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anthropic
import openai
import orjson
import pytest

from relay.fake.text import words

from .conftest import DELTAS

TEXT = "".join(words(DELTAS))
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CHAT_TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]
MESSAGES_TOOLS = [{"name": "weather", "input_schema": SCHEMA}]
RESPONSES_TOOLS = [{"type": "function", "name": "weather", "parameters": SCHEMA, "strict": False}]
HELLO = [{"role": "user", "content": "hello"}]
USE_TOOL = [{"role": "user", "content": "use the tool"}]
ARGUMENTS = {"city": "sample"}


@pytest.fixture
async def gpt(port) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0
    ) as client:
        yield client


@pytest.fixture
async def claude(port) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(
        base_url=f"http://127.0.0.1:{port}", api_key="none", max_retries=0
    ) as client:
        yield client


async def test_chat_document(gpt):
    found = await gpt.chat.completions.create(model="m", messages=HELLO)
    assert found.choices[0].message.content == TEXT
    assert found.choices[0].finish_reason == "stop"
    assert found.usage.completion_tokens == DELTAS


async def test_chat_stream(gpt):
    stream = await gpt.chat.completions.create(
        model="m", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    said = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert "".join(text or "" for text in said) == TEXT
    assert chunks[-1].usage.total_tokens == DELTAS + 1


async def test_chat_helper_with_a_tool(gpt):
    async with gpt.chat.completions.stream(model="m", messages=USE_TOOL, tools=CHAT_TOOLS) as stream:
        deltas = [event async for event in stream if event.type == "tool_calls.function.arguments.delta"]
        final = await stream.get_final_completion()
    assert len(deltas) > 1
    [call] = final.choices[0].message.tool_calls
    assert orjson.loads(call.function.arguments) == ARGUMENTS
    assert final.choices[0].finish_reason == "tool_calls"


async def test_chat_tool_round_trip(gpt):
    asked = await gpt.chat.completions.create(model="m", messages=USE_TOOL, tools=CHAT_TOOLS)
    message = asked.choices[0].message
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "rain"}
    history = [*USE_TOOL, message.model_dump(exclude_none=True), result]
    found = await gpt.chat.completions.create(model="m", messages=history, tools=CHAT_TOOLS)
    assert found.choices[0].message.content == TEXT


async def test_responses_document(gpt):
    found = await gpt.responses.create(model="m", input="hello")
    assert (found.status, found.output_text) == ("completed", TEXT)


async def test_responses_stream(gpt):
    stream = await gpt.responses.create(model="m", input="hello", stream=True)
    events = [event async for event in stream]
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == TEXT
    assert events[-1].response.usage.output_tokens == DELTAS


async def test_responses_helper(gpt):
    async with gpt.responses.stream(model="m", input="hello") as stream:
        seen = {event.type async for event in stream}
        final = await stream.get_final_response()
    assert "response.output_text.done" in seen
    assert final.output_text == TEXT


async def test_responses_tool_round_trip(gpt):
    async with gpt.responses.stream(model="m", input=USE_TOOL, tools=RESPONSES_TOOLS) as stream:
        async for _ in stream:
            pass
        final = await stream.get_final_response()
    [call] = final.output
    assert orjson.loads(call.arguments) == ARGUMENTS
    sent_back = {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    found = await gpt.responses.create(model="m", input=[*USE_TOOL, sent_back, result], tools=RESPONSES_TOOLS)
    assert found.output_text == TEXT


async def test_openai_models_and_errors(gpt):
    assert [model.id async for model in gpt.models.list()] == ["fake"]
    with pytest.raises(openai.BadRequestError) as caught:
        await gpt.chat.completions.create(model="m", messages=[])
    assert caught.value.param == "messages"
    with pytest.raises(openai.NotFoundError):
        await gpt.embeddings.create(model="m", input="x")


async def test_messages_document(claude):
    found = await claude.messages.create(model="m", max_tokens=99, messages=HELLO)
    assert found.content[0].text == TEXT
    assert (found.stop_reason, found.usage.output_tokens) == ("end_turn", DELTAS)


async def test_messages_stream(claude):
    stream = await claude.messages.create(model="m", max_tokens=5, messages=HELLO, stream=True)
    events = [event async for event in stream]
    text = "".join(event.delta.text for event in events if event.type == "content_block_delta")
    assert text == "".join(words(5))
    assert events[-2].delta.stop_reason == "max_tokens"


async def test_messages_helper(claude):
    async with claude.messages.stream(model="m", max_tokens=99, messages=HELLO) as stream:
        said = [text async for text in stream.text_stream]
        final = await stream.get_final_message()
    assert said == list(words(DELTAS))
    assert final.usage.output_tokens == DELTAS


async def test_messages_tool_round_trip(claude):
    async with claude.messages.stream(
        model="m", max_tokens=99, messages=USE_TOOL, tools=MESSAGES_TOOLS
    ) as stream:
        final = await stream.get_final_message()
    [block] = final.content
    assert (block.type, block.input, final.stop_reason) == ("tool_use", ARGUMENTS, "tool_use")
    result = {"type": "tool_result", "tool_use_id": block.id, "content": "rain"}
    back = {"type": "tool_use", "id": block.id, "name": block.name, "input": block.input}
    history = [
        *USE_TOOL,
        {"role": "assistant", "content": [back]},
        {"role": "user", "content": [result]},
    ]
    found = await claude.messages.create(model="m", max_tokens=99, messages=history, tools=MESSAGES_TOOLS)
    assert found.content[0].text == TEXT


async def test_anthropic_count_models_and_errors(claude):
    assert (await claude.messages.count_tokens(model="m", messages=HELLO)).input_tokens == 1
    assert [model.id async for model in claude.models.list()] == ["fake"]
    with pytest.raises(anthropic.BadRequestError, match="messages"):
        await claude.messages.create(model="m", max_tokens=9, messages=[])
