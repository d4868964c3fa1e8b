"""The Python SDKs, each asked both ways: plain iteration and the helper that builds the answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anthropic
import openai

from .corpus import Capture
from .outcome import Outcome
from .reading import FINISHES, Content, arguments

HANG = 20.0
MESSAGES: Any = [{"role": "user", "content": "x"}]
FAILURES = ("error", "response.failed")

Way = Callable[["Clients", str, Capture, Outcome], Awaitable[None]]


class Clients:
    """One SDK client for each base URL, made when first asked for."""

    def __init__(self) -> None:
        self._made: dict[tuple[Callable[..., Any], str], Any] = {}

    def openai(self, origin: str, capture: Capture) -> Any:
        base = capture.path.removesuffix("/chat/completions").removesuffix("/responses")
        return self._make(openai.AsyncOpenAI, origin + base)

    def anthropic(self, origin: str, capture: Capture) -> Any:
        return self._make(anthropic.AsyncAnthropic, origin + capture.path.removesuffix("/v1/messages"))

    def _make(self, kind: Callable[..., Any], base: str) -> Any:
        key = (kind, base)
        if key not in self._made:
            self._made[key] = kind(base_url=base, api_key="k", max_retries=0, timeout=HANG)
        return self._made[key]

    async def close(self) -> None:
        for client in self._made.values():
            await client.close()


@contextlib.asynccontextmanager
async def clients() -> AsyncIterator[Clients]:
    made = Clients()
    try:
        yield made
    finally:
        await made.close()


def _say(outcome: Outcome, text: str, tools: list[tuple[str, Any]], reasoning: str) -> None:
    content = Content.of(text, tools, reasoning)
    outcome.text, outcome.tools, outcome.reasoning = content.text, content.tools, content.reasoning


def _ask(capture: Capture) -> dict[str, Any]:
    return {"model": capture.model, "extra_headers": {"x-capture": capture.key}}


# Chat.


async def _chat_create(made: Clients, origin: str, capture: Capture, outcome: Outcome) -> None:
    create = made.openai(origin, capture).chat.completions.create
    stream = await create(messages=MESSAGES, stream=True, **_ask(capture))
    text, reasoning = "", ""
    calls: dict[int | None, list[str]] = {}
    async for chunk in stream:
        for choice in chunk.choices or ():
            delta = choice.delta
            text += (delta and delta.content) or ""
            reasoning += _chat_reasoning(delta)
            outcome.finish = choice.finish_reason or outcome.finish
            for part in (delta and delta.tool_calls) or ():
                call, function = calls.setdefault(part.index, ["", ""]), part.function
                call[0] = call[0] or (function and function.name) or ""
                call[1] += (function and function.arguments) or ""
    _say(outcome, text, [(name, arguments(pieces)) for name, pieces in calls.values()], reasoning)


async def _chat_stream(made: Clients, origin: str, capture: Capture, outcome: Outcome) -> None:
    helper = made.openai(origin, capture).chat.completions.stream
    async with helper(messages=MESSAGES, **_ask(capture)) as stream:
        async for _ in stream:
            pass
        final = await stream.get_final_completion()
    choice = final.choices[0]
    message = choice.message
    tools = [(call.function.name, arguments(call.function.arguments)) for call in message.tool_calls or ()]
    _say(outcome, message.content or "", tools, _chat_reasoning(message))
    outcome.finish = choice.finish_reason


def _chat_reasoning(source: Any) -> str:
    """Neither name of the field is OpenAI's own, so the SDK keeps them as extras."""
    extra = (source and source.model_extra) or {}
    return extra.get("reasoning_content") or extra.get("reasoning") or ""


# Responses.


async def _responses_create(made: Clients, origin: str, capture: Capture, outcome: Outcome) -> None:
    create = made.openai(origin, capture).responses.create
    stream = await create(input="x", stream=True, **_ask(capture))
    text, reasoning, tools = "", "", []
    async for event in stream:
        _lifecycle(outcome, event)
        if event.type == "response.output_text.delta":
            text += event.delta
        elif event.type in ("response.reasoning_summary_text.delta", "response.reasoning_text.delta"):
            reasoning += event.delta
        elif event.type == "response.output_item.done" and event.item.type == "function_call":
            tools.append((event.item.name, arguments(event.item.arguments)))
    _say(outcome, text, tools, reasoning)


async def _responses_stream(made: Clients, origin: str, capture: Capture, outcome: Outcome) -> None:
    helper = made.openai(origin, capture).responses.stream
    async with helper(input="x", **_ask(capture)) as stream:
        async for event in stream:
            _lifecycle(outcome, event)
        final = await stream.get_final_response()
    tools, reasoning = [], ""
    for item in final.output:
        if item.type == "function_call":
            tools.append((item.name, arguments(item.arguments)))
        elif item.type == "reasoning":
            reasoning += "".join(part.text or "" for part in [*(item.summary or ()), *(item.content or ())])
    _say(outcome, final.output_text, tools, reasoning)
    outcome.finish = FINISHES.get(final.status or "", final.status)


def _lifecycle(outcome: Outcome, event: Any) -> None:
    kind = event.type or ""
    if kind in FAILURES:
        outcome.told = kind
    if kind in FAILURES or kind in ("response.completed", "response.incomplete"):
        outcome.ended = kind
        status = getattr(getattr(event, "response", None), "status", None)
        outcome.finish = FINISHES.get(status or "", status)


# Messages.


async def _messages_create(made: Clients, origin: str, capture: Capture, outcome: Outcome) -> None:
    create = made.anthropic(origin, capture).messages.create
    stream = await create(max_tokens=99, messages=MESSAGES, stream=True, **_ask(capture))
    text, reasoning, calls, open_calls = "", "", [], {}
    async for event in stream:
        if event.type == "content_block_start" and event.content_block.type == "tool_use":
            call = [event.content_block.name, "", event.content_block.input]
            open_calls[event.index] = call
            calls.append(call)
        elif event.type == "content_block_start":
            open_calls.pop(event.index, None)
        elif event.type == "content_block_delta":
            text += getattr(event.delta, "text", None) or ""
            reasoning += getattr(event.delta, "thinking", None) or ""
            if piece := getattr(event.delta, "partial_json", None):
                if event.index not in open_calls:
                    open_calls[event.index] = ["", "", None]
                    calls.append(open_calls[event.index])
                open_calls[event.index][1] += piece
        elif event.type == "message_delta":
            outcome.finish = _reason(event.delta.stop_reason) or outcome.finish
    tools = [(name, arguments(pieces) if pieces else whole) for name, pieces, whole in calls]
    _say(outcome, text, tools, reasoning)


async def _messages_stream(made: Clients, origin: str, capture: Capture, outcome: Outcome) -> None:
    helper = made.anthropic(origin, capture).messages.stream
    async with helper(max_tokens=99, messages=MESSAGES, **_ask(capture)) as stream:
        async for _ in stream:
            pass
        final = await stream.get_final_message()
    text = "".join(block.text for block in final.content if block.type == "text")
    reasoning = "".join(block.thinking for block in final.content if block.type == "thinking")
    tools = [(block.name, block.input) for block in final.content if block.type == "tool_use"]
    _say(outcome, text, tools, reasoning)
    outcome.finish = _reason(final.stop_reason)


def _reason(stop_reason: str | None) -> str | None:
    return FINISHES.get(stop_reason or "", stop_reason)


WAYS: dict[str, dict[str, Way]] = {
    "chat": {"py openai create": _chat_create, "py openai stream": _chat_stream},
    "responses": {"py openai create": _responses_create, "py openai stream": _responses_stream},
    "messages": {"py anthropic create": _messages_create, "py anthropic stream": _messages_stream},
}


async def judge(made: Clients, origin: str, way: str, capture: Capture, name: str) -> Outcome:
    """One client's answer; nothing it raises gets out."""
    outcome = Outcome(name, capture.key, way)
    try:
        async with asyncio.timeout(HANG):
            await WAYS[capture.dialect][name](made, origin, capture, outcome)
    except Exception as error:
        outcome.raised = "api" if _expected(error) else "sdk"
        outcome.error = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:240]
    return outcome


def _expected(error: Exception) -> bool:
    """An error of the API, or of the connection below it, as applications catch them."""
    if isinstance(error, openai.APIError | anthropic.APIError):
        return True
    return type(error).__module__.startswith(("httpx", "httpcore"))
