"""The judges: openai's and anthropic's Python SDKs, each asked both ways, raw and helper.

They are sent the request documents of ``asking``, so that a judge and a measurement ask the same.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import anthropic
import openai

from ..reading import arguments
from .asking import KEY

warnings.filterwarnings("ignore", module="pydantic")
HANG = 30.0
RETRYABLE = (408, 409, 429)
"""Beside 500 and above: what the SDKs send again by themselves where they have not begun to read."""


@dataclass
class Told:
    """What an application was told."""

    way: str
    text: str = ""
    tools: list[Any] = field(default_factory=list)
    finish: str = ""
    failed: str = ""
    """An error of the API or of the connection, as applications catch them; or a failure event."""
    crashed: str = ""
    """Another exception: the SDK could not make sense of the stream."""
    events: list[str] = field(default_factory=list)

    @property
    def seen(self) -> str:
        if self.crashed or self.failed:
            return f"{self.way}: {(self.crashed or self.failed)[:80]}"
        return (
            f"{self.way}: {len(self.text.split())} words, {len(self.tools)} calls, {self.finish or 'no end'}"
        )


class Clients:
    """The two SDKs' clients of one address, without retries."""

    def __init__(self, port: int) -> None:
        base: dict[str, Any] = {"api_key": KEY, "max_retries": 0, "timeout": HANG}
        self.openai = openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", **base)
        self.anthropic = anthropic.AsyncAnthropic(base_url=f"http://127.0.0.1:{port}", **base)

    async def close(self) -> None:
        await self.openai.close()
        await self.anthropic.close()


Way = Callable[[Clients, dict[str, Any], Told], Awaitable[None]]


async def judge(port: int, dialect: str, body: dict[str, Any]) -> list[Told]:
    """Both ways, one after the other; nothing that they raise gets out."""
    made, found = Clients(port), []
    asked = {name: value for name, value in body.items() if name != "stream"}
    try:
        for name, way in WAYS[dialect].items():
            told = Told(name)
            try:
                async with asyncio.timeout(HANG):
                    await way(made, asked, told)
            except Exception as error:
                # openai's helper raises after response.failed, which has told it already.
                said = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
                if not told.failed:
                    told.failed, told.crashed = (said, "") if _expected(error) else ("", said)
            found.append(told)
    finally:
        await made.close()
    return found


async def _chat_raw(made: Clients, body: dict[str, Any], told: Told) -> None:
    calls: dict[int, list[str]] = {}
    async for chunk in await made.openai.chat.completions.create(stream=True, **body):
        for choice in chunk.choices or ():
            told.text += (choice.delta and choice.delta.content) or ""
            told.finish = choice.finish_reason or told.finish
            for part in (choice.delta and choice.delta.tool_calls) or ():
                call = calls.setdefault(part.index, ["", ""])
                call[0] += (part.function and part.function.name) or ""
                call[1] += (part.function and part.function.arguments) or ""
    told.tools = [(name, arguments(pieces)) for name, pieces in calls.values()]


async def _chat_helper(made: Clients, body: dict[str, Any], told: Told) -> None:
    async with made.openai.chat.completions.stream(**body) as stream:
        async for _ in stream:
            pass
        choice = (await stream.get_final_completion()).choices[0]
    told.text, told.finish = choice.message.content or "", choice.finish_reason or ""
    calls = choice.message.tool_calls or ()
    told.tools = [(call.function.name, arguments(call.function.arguments)) for call in calls]


async def _responses_raw(made: Clients, body: dict[str, Any], told: Told) -> None:
    async for event in await made.openai.responses.create(stream=True, **body):
        _lifecycle(told, event)
        if event.type == "response.output_text.delta":
            told.text += event.delta
        elif event.type == "response.output_item.done" and event.item.type == "function_call":
            told.tools.append((event.item.name, arguments(event.item.arguments)))


async def _responses_helper(made: Clients, body: dict[str, Any], told: Told) -> None:
    async with made.openai.responses.stream(**body) as stream:
        async for event in stream:
            _lifecycle(told, event)
        final = await stream.get_final_response()
    told.text = final.output_text
    told.tools = [(i.name, arguments(i.arguments)) for i in final.output if i.type == "function_call"]


def _lifecycle(told: Told, event: Any) -> None:
    kind = event.type or ""
    told.events.append(kind)
    if kind in ("error", "response.failed"):
        told.failed = kind
    elif kind in ("response.completed", "response.incomplete"):
        told.finish = kind


async def _messages_raw(made: Clients, body: dict[str, Any], told: Told) -> None:
    calls: dict[int, list[str]] = {}
    async for event in await made.anthropic.messages.create(stream=True, **body):
        told.events.append(event.type)
        if event.type == "content_block_start" and event.content_block.type == "tool_use":
            calls[event.index] = [event.content_block.name, ""]
        elif event.type == "content_block_delta":
            told.text += getattr(event.delta, "text", None) or ""
            if event.index in calls:
                calls[event.index][1] += getattr(event.delta, "partial_json", None) or ""
        elif event.type == "message_delta":
            told.finish = event.delta.stop_reason or told.finish
    told.tools = [(name, arguments(pieces)) for name, pieces in calls.values()]


async def _messages_helper(made: Clients, body: dict[str, Any], told: Told) -> None:
    async with made.anthropic.messages.stream(**body) as stream:
        async for event in stream:
            told.events.append(event.type)
        final = await stream.get_final_message()
    told.text = "".join(block.text for block in final.content if block.type == "text")
    told.finish = final.stop_reason or ""
    told.tools = [(block.name, block.input) for block in final.content if block.type == "tool_use"]


WAYS: dict[str, dict[str, Way]] = {
    "chat": {"raw": _chat_raw, "helper": _chat_helper},
    "responses": {"raw": _responses_raw, "helper": _responses_helper},
    "messages": {"raw": _messages_raw, "helper": _messages_helper},
}


def retryable(told: Told) -> bool:
    """Whether the error is of a class that clients try again: the server's, the connection's, overload."""
    final = ("invalid_request", "authentication", "permission", "not_found", "BadRequest", "NotFound")
    return bool(told.failed) and not any(word.lower() in told.failed.lower() for word in final)


def _expected(error: Exception) -> bool:
    if isinstance(error, openai.APIError | anthropic.APIError):
        return True
    return type(error).__module__.startswith(("httpx", "httpcore"))
