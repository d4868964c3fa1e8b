"""The SDKs ask a model server, in each dialect, streaming and not; what they say it said."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import anthropic
import openai

LIMIT = 400
PATIENCE = 60.0
TOOLS: dict[str, dict[str, Any]] = {
    "weather": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
    },
    "clock": {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]},
}
PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
FINISHES = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "completed": "stop",
    "incomplete": "length",
}


@dataclass(frozen=True)
class Question:
    """What a client wants, in no dialect."""

    model: str
    text: str
    limit: int = LIMIT
    stop: str = ""
    tools: bool = False
    thinks: bool = False
    thinking: dict[str, Any] = field(default_factory=dict)
    """What a chat request carries besides, when it thinks."""


@dataclass
class Said:
    """One answer, in no dialect."""

    text: str = ""
    reasoning: str = ""
    tools: list[tuple[str, Any]] = field(default_factory=list)
    finish: str | None = None
    stopped_by: str | None = None
    read: int = 0
    """Tokens of the prompt, cached ones included."""
    written: int = 0
    deltas: int = 0
    """Events that carried something; 0 for a document."""


def request(dialect: str, question: Question) -> dict[str, Any]:
    """The question in a dialect."""
    body: dict[str, Any] = {"model": question.model, "temperature": 0}
    schemas = TOOLS.items() if question.tools else ()
    if dialect == "responses":
        body |= {"input": question.text, "max_output_tokens": question.limit}
        tools: list[Any] = [{"type": "function", "name": n, "parameters": s} for n, s in schemas]
        body |= {"reasoning": {"effort": "medium"}} if question.thinks else {}
    elif dialect == "messages":
        body |= {"messages": [{"role": "user", "content": question.text}], "max_tokens": question.limit}
        tools = [{"name": n, "input_schema": s} for n, s in schemas]
        body |= {"stop_sequences": [question.stop]} if question.stop else {}
        if question.thinks:
            body |= {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2048}
            body["output_config"] = {"effort": "medium"}
    else:
        body |= {"messages": [{"role": "user", "content": question.text}], "max_tokens": question.limit}
        tools = [{"type": "function", "function": {"name": n, "parameters": s}} for n, s in schemas]
        body |= {"stop": [question.stop]} if question.stop else {}
        body |= question.thinking if question.thinks else {}
    return body | ({"tools": tools} if tools else {})


def sdk(dialect: str, question: Question) -> dict[str, Any]:
    """The same for an SDK, which takes apart what it has no name for, as Anthropic's ``temperature``."""
    body = request(dialect, question)
    unknown = {"chat_template_kwargs", *(["temperature"] if dialect == "messages" else [])} & set(body)
    rest = {name: value for name, value in body.items() if name not in unknown}
    return rest | ({"extra_body": {name: body[name] for name in sorted(unknown)}} if unknown else {})


@contextlib.asynccontextmanager
async def chatgpt(url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    address = {"base_url": f"{url}/v1", "api_key": "k"}
    async with openai.AsyncOpenAI(**address, max_retries=0, timeout=PATIENCE) as client:
        yield client


@contextlib.asynccontextmanager
async def claude(url: str) -> AsyncIterator[anthropic.AsyncAnthropic]:
    address = {"base_url": url, "api_key": "k"}
    async with anthropic.AsyncAnthropic(**address, max_retries=0, timeout=PATIENCE) as client:
        yield client


async def chat_whole(url: str, question: Question) -> Said:
    async with chatgpt(url) as client:
        answer = await client.chat.completions.create(**sdk("chat", question))
    choice = answer.choices[0]
    tools = [
        (call.function.name, json.loads(call.function.arguments)) for call in choice.message.tool_calls or ()
    ]
    said = Said(choice.message.content or "", thought(choice.message), tools, choice.finish_reason)
    return counted(said, answer.usage)


async def chat_stream(url: str, question: Question) -> Said:
    """Plain iteration: the helper raises at an answer that was cut by its limit."""
    said, calls = Said(), {}
    options = {"stream": True, "stream_options": {"include_usage": True}}
    async with chatgpt(url) as client:
        async for chunk in await client.chat.completions.create(**sdk("chat", question), **options):
            counted(said, chunk.usage)
            for choice in chunk.choices:
                delta, thinking = choice.delta, thought(choice.delta)
                said.text += delta.content or ""
                said.reasoning += thinking
                said.finish = choice.finish_reason or said.finish
                said.deltas += bool(delta.content or thinking or delta.tool_calls)
                for piece in delta.tool_calls or ():
                    call = calls.setdefault(piece.index, ["", ""])
                    call[0] += piece.function.name or ""
                    call[1] += piece.function.arguments or ""
    said.tools = [(name, json.loads(arguments)) for name, arguments in calls.values()]
    return said


def thought(source: Any) -> str:
    """Neither name of the field is OpenAI's own."""
    extra = source.model_extra or {}
    return extra.get("reasoning_content") or extra.get("reasoning") or ""


def counted(said: Said, usage: Any) -> Said:
    if usage:
        said.read, said.written = usage.prompt_tokens, usage.completion_tokens
    return said


def messages_of(message: Any, deltas: int = 0) -> Said:
    usage = message.usage
    cached = (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
    return Said(
        "".join(block.text for block in message.content if block.type == "text"),
        "".join(block.thinking for block in message.content if block.type == "thinking"),
        [(block.name, block.input) for block in message.content if block.type == "tool_use"],
        *(FINISHES.get(message.stop_reason, message.stop_reason), message.stop_sequence),
        *(usage.input_tokens + cached, usage.output_tokens, deltas),
    )


async def messages_whole(url: str, question: Question) -> Said:
    async with claude(url) as client:
        return messages_of(await client.messages.create(**sdk("messages", question)))


async def messages_stream(url: str, question: Question) -> Said:
    deltas = 0
    async with claude(url) as client, client.messages.stream(**sdk("messages", question)) as stream:
        async for event in stream:
            deltas += event.type == "content_block_delta"
        return messages_of(await stream.get_final_message(), deltas)


def responses_of(response: Any, deltas: int = 0) -> Said:
    reasoning, tools = "", []
    for item in response.output:
        if item.type == "function_call":
            tools.append((item.name, json.loads(item.arguments)))
        elif item.type == "reasoning":
            reasoning += "".join(part.text or "" for part in [*(item.summary or ()), *(item.content or ())])
    finish = FINISHES.get(response.status or "", response.status)
    if response.status == "incomplete" and response.incomplete_details.reason != "max_output_tokens":
        finish = response.incomplete_details.reason
    return Said(
        *(response.output_text, reasoning, tools),
        *("tool_calls" if tools and finish == "stop" else finish, None),
        *((response.usage.input_tokens, response.usage.output_tokens) if response.usage else (0, 0)),
        deltas,
    )


async def responses_whole(url: str, question: Question) -> Said:
    async with chatgpt(url) as client:
        # transformers streams when nothing is said of it
        return responses_of(await client.responses.create(**sdk("responses", question), stream=False))


async def responses_stream(url: str, question: Question) -> Said:
    """Plain iteration: the helper of the SDK leaves an incomplete answer out."""
    deltas, final = 0, None
    async with chatgpt(url) as client:
        stream = await client.responses.create(**sdk("responses", question), stream=True)
        async for event in stream:
            deltas += event.type.endswith(".delta")
            if event.type in ("response.completed", "response.incomplete", "response.failed"):
                final = event.response
    assert final is not None, "the stream had no terminal event"
    return responses_of(final, deltas)


WAYS: dict[str, dict[str, Callable[[str, Question], Awaitable[Said]]]] = {
    "chat": {"stream": chat_stream, "whole": chat_whole},
    "messages": {"stream": messages_stream, "whole": messages_whole},
    "responses": {"stream": responses_stream, "whole": responses_whole},
}
