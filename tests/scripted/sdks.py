"""The real SDKs in one shape.

Each keeps its conversation as its users do: what the SDK returned goes back as it is, where the SDK takes it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import anthropic
import openai

from .client import Call, Client, Given, Heard, Tool, encoded
from .script import Document


class Chat(Client):
    def connect(self) -> openai.OpenAI:
        return _openai(self.url, self.key)

    @property
    def resource(self) -> Any:
        return self.sdk.chat.completions

    def say(self, text: str, image: bytes | None = None) -> None:
        content: Any = text
        if image is not None:
            url = {"url": f"data:image/png;base64,{encoded(image)}"}
            content = [{"type": "text", "text": text}, {"type": "image_url", "image_url": url}]
        self.history.append({"role": "user", "content": content})

    def give(self, results: Sequence[Given]) -> None:
        for given in results:
            self.history.append({"role": "tool", "tool_call_id": given.id, "content": given.text})
        for given in results:
            if given.image is not None:  # this dialect has no images in results
                self.say("The picture:", given.image)

    def request(self) -> Document:
        tools: Document = {"tools": [self._tool(tool) for tool in self.tools]} if self.tools else {}
        return {"model": "m", "messages": self.history, **tools, **self.options}

    def _tool(self, tool: Tool) -> Document:
        if tool.custom:
            return {"type": "custom", "custom": {"name": tool.name}}
        return {"type": "function", "function": {"name": tool.name, "parameters": tool.schema}}

    def hear(self) -> Heard:
        if self.stream:
            options: Any = {"include_usage": True}
            with self.resource.stream(**self.request(), stream_options=options) as stream:
                answer = self._final(stream)
        else:
            answer = self.resource.create(**self.request())
        (choice,) = answer.choices
        message = choice.message
        calls = message.tool_calls or []
        thoughts = getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None) or ""
        self.history.append(self._said(message, thoughts) if self.stream else message)
        usage = answer.usage
        return Heard(
            message.content or "",
            thoughts,
            [_chat_call(call) for call in calls],
            {"tool_calls": "tools", "content_filter": "filter"}.get(
                choice.finish_reason, choice.finish_reason
            ),
            usage.prompt_tokens if usage else 0,
            usage.completion_tokens if usage else 0,
            usage.prompt_tokens_details.cached_tokens if usage else 0,
            answer.model,
            message.refusal or "",
        )

    def _final(self, stream: Any) -> Any:
        """The SDK raises for an answer that is not whole, since it may have been asked to parse it."""
        if any(tool.custom for tool in self.tools):
            stream.until_done()
            return stream.current_completion_snapshot  # the helper cannot parse custom calls
        try:
            return stream.get_final_completion()
        except (openai.LengthFinishReasonError, openai.ContentFilterFinishReasonError):
            return stream.current_completion_snapshot

    def _said(self, message: Any, thoughts: str) -> Document:
        """The stream helper's own message has fields that no server takes."""
        said: Document = {"role": "assistant", "content": message.content}
        if message.tool_calls:
            dumped = [call.to_dict(mode="json", exclude_none=True) for call in message.tool_calls]
            for call in dumped:
                call.pop("index", None)
                call.get("function", {}).pop("parsed_arguments", None)
            said["tool_calls"] = dumped
        return {**said, "reasoning_content": thoughts} if thoughts else said


class Messages(Client):
    def connect(self) -> anthropic.Anthropic:
        plain = anthropic.DefaultHttpxClient(verify=False)  # certificates take longer than a loop
        return anthropic.Anthropic(
            base_url=self.url, api_key=self.key, max_retries=0, timeout=20, http_client=plain
        )

    @property
    def resource(self) -> Any:
        return self.sdk.messages

    def say(self, text: str, image: bytes | None = None) -> None:
        content: Any = text
        if image is not None:
            content = [self._image(image), {"type": "text", "text": text}]
        self.history.append({"role": "user", "content": content})

    def give(self, results: Sequence[Given]) -> None:
        blocks = []
        for given in results:
            content: Any = given.text
            if given.image is not None:
                content = [{"type": "text", "text": given.text}, self._image(given.image)]
            flag = {"is_error": True} if given.error else {}
            blocks.append({"type": "tool_result", "tool_use_id": given.id, "content": content, **flag})
        self.history.append({"role": "user", "content": blocks})

    def _image(self, image: bytes) -> Document:
        source = {"type": "base64", "media_type": "image/png", "data": encoded(image)}
        return {"type": "image", "source": source}

    def request(self) -> Document:
        tools = [{"name": tool.name, "input_schema": tool.schema} for tool in self.tools]
        declared: Document = {"tools": tools} if tools else {}
        return {"model": "m", "max_tokens": 2000, "messages": self.history, **declared, **self.options}

    def hear(self) -> Heard:
        if self.stream:
            with self.resource.stream(**self.request()) as stream:
                answer = stream.get_final_message()
        else:
            answer = self.resource.create(**self.request())
        self.history.append({"role": "assistant", "content": answer.content})
        stops = {"end_turn": "stop", "tool_use": "tools", "max_tokens": "length", "refusal": "filter"}
        usage = answer.usage
        cached = usage.cache_read_input_tokens or 0
        return Heard(
            "".join(block.text for block in answer.content if block.type == "text"),
            "".join(block.thinking for block in answer.content if block.type == "thinking"),
            [Call(use.id, use.name, use.input) for use in answer.content if use.type == "tool_use"],
            stops[answer.stop_reason],
            usage.input_tokens + cached + (usage.cache_creation_input_tokens or 0),
            usage.output_tokens,
            cached,
            answer.model,
        )


class Responses(Client):
    def connect(self) -> openai.OpenAI:
        return _openai(self.url, self.key)

    @property
    def resource(self) -> Any:
        return self.sdk.responses

    def say(self, text: str, image: bytes | None = None) -> None:
        content: Any = text
        if image is not None:
            content = [{"type": "input_text", "text": text}, self._image(image)]
        self.history.append({"role": "user", "content": content})

    def give(self, results: Sequence[Given]) -> None:
        custom = {getattr(item, "call_id", "") for item in self.history if _kind(item) == "custom_tool_call"}
        for given in results:
            output: Any = given.text
            if given.image is not None:
                output = [{"type": "input_text", "text": given.text}, self._image(given.image)]
            kind = "custom_tool_call_output" if given.id in custom else "function_call_output"
            self.history.append({"type": kind, "call_id": given.id, "output": output})

    def _image(self, image: bytes) -> Document:
        url = f"data:image/png;base64,{encoded(image)}"
        return {"type": "input_image", "image_url": url, "detail": "auto"}

    def request(self) -> Document:
        tools: Document = {"tools": [self._tool(tool) for tool in self.tools]} if self.tools else {}
        return {"model": "m", "input": self.history, "store": False, **tools, **self.options}

    def _tool(self, tool: Tool) -> Document:
        if tool.custom:
            return {"type": "custom", "name": tool.name}
        return {"type": "function", "name": tool.name, "parameters": tool.schema, "strict": True}

    def hear(self) -> Heard:
        if self.stream:
            with self.resource.stream(**self.request()) as stream:
                answer = [event for event in stream if _ends(event)][-1].response
        else:
            answer = self.resource.create(**self.request())
        self.history += answer.output
        calls = [item for item in answer.output if item.type in ("function_call", "custom_tool_call")]
        reason = answer.incomplete_details.reason if answer.incomplete_details else None
        usage = answer.usage
        return Heard(
            answer.output_text,
            "".join(_thoughts(item) for item in answer.output if item.type == "reasoning"),
            [Call(call.call_id, call.name, _input(call)) for call in calls],
            {"max_output_tokens": "length", "content_filter": "filter"}.get(
                str(reason), "tools" if calls else "stop"
            ),
            usage.input_tokens if usage else 0,
            usage.output_tokens if usage else 0,
            usage.input_tokens_details.cached_tokens if usage else 0,
            answer.model,
            "".join(
                part.refusal
                for item in answer.output
                if item.type == "message"
                for part in item.content
                if part.type == "refusal"
            ),
        )


def _openai(url: str, key: str) -> openai.OpenAI:
    plain = openai.DefaultHttpxClient(verify=False)
    return openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=20, http_client=plain)


def _chat_call(call: Any) -> Call:
    if call.type == "custom":
        custom = call.custom if isinstance(call.custom, dict) else call.custom.to_dict()
        return Call(call.id, custom["name"], custom["input"])
    return Call(call.id, call.function.name, _parsed(call.function.arguments))


def _parsed(arguments: str) -> Document | str:
    """What a cut answer holds stays text."""
    try:
        document: Document = json.loads(arguments)
    except ValueError:
        return arguments
    return document


def _kind(item: Any) -> Any:
    return item.get("type") if isinstance(item, dict) else item.type


def _ends(event: Any) -> bool:
    return event.type in ("response.completed", "response.incomplete", "response.failed")


def _thoughts(item: Any) -> str:
    texts = [part.text for part in item.summary] or [part.text for part in item.content or []]
    return "".join(texts)


def _input(call: Any) -> Document | str:
    if call.type == "custom_tool_call":
        return str(call.input)
    return _parsed(call.arguments)


CLIENTS: dict[str, type[Client]] = {"chat": Chat, "messages": Messages, "responses": Responses}
