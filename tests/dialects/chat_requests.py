"""Chat requests as agents send them."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

PNG = "data:image/png;base64,iVBORw0KGgo="
USER = {"role": "user", "content": "Hi"}
SIMPLE: dict[str, Any] = {"model": "m-1", "messages": [USER]}


def function(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **more}}


def called(ident: str, name: str, arguments: str = "{}") -> dict[str, Any]:
    return {"id": ident, "type": "function", "function": {"name": name, "arguments": arguments}}


def answered(ident: str, content: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": ident, "content": content}


SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
AGENT: dict[str, Any] = {
    "model": "m-1",
    "messages": [
        {"role": "system", "content": "You are an agent."},
        {"role": "user", "content": "Compare the weather."},
        {
            "role": "assistant",
            "content": "Let me look.",
            "reasoning_content": "Two cities.",
            "tool_calls": [
                called("functions.weather:0", "weather", '{"city":"Paris"}'),
                called("functions.weather:1", "weather", '{"city":"Rome"}'),
            ],
        },
        answered("functions.weather:0", "18 degrees"),
        answered("functions.weather:1", "27 degrees"),
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "And here?"},
                {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [called("call_c", "weather", '{"city":"Oslo"}')],
        },
        answered("call_c", ""),
    ],
    "tools": [
        function("weather", description="Weather of a city", parameters=SCHEMA, strict=True),
        function("stop", parameters={"type": "object", "properties": {}}),
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "temperature": 0.2,
    "top_p": 0.9,
    "max_tokens": 500,
    "stop": ["END"],
    "seed": 7,
    "user": "u-1",
    "reasoning_effort": "low",
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
    },
    "stream": True,
    "stream_options": {"include_usage": True},
}
FORCED: dict[str, Any] = {
    **SIMPLE,
    "tools": [function("f", parameters=SCHEMA)],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "max_completion_tokens": 10,
    "logprobs": True,
    "top_logprobs": 2,
}
LEGACY: dict[str, Any] = {
    "model": "m-1",
    "messages": [
        USER,
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "1"},
    ],
    "functions": [{"name": "f", "parameters": SCHEMA}],
    "function_call": "auto",
}
CUSTOM: dict[str, Any] = {
    "model": "m-1",
    "messages": [
        USER,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "a", "type": "custom", "custom": {"name": "edit", "input": "x"}}],
        },
        answered("a", [{"type": "text", "text": "done"}]),
    ],
    "tools": [
        {
            "type": "custom",
            "custom": {
                "name": "edit",
                "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "s: X"}},
            },
        }
    ],
    "tool_choice": {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "auto", "tools": [{"type": "custom", "custom": {"name": "edit"}}]},
    },
}
FILES: dict[str, Any] = {
    "model": "m-1",
    "messages": [
        {
            "role": "user",
            "content": [
                {
                    "type": "file",
                    "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"},
                },
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                {"type": "text", "text": "What is it?"},
            ],
        }
    ],
}
REQUESTS = {
    "simple": SIMPLE,
    "agent": AGENT,
    "forced": FORCED,
    "legacy": LEGACY,
    "custom": CUSTOM,
    "files": FILES,
}


def mutated(data: st.DataObject, document: dict[str, Any], values: st.SearchStrategy[Any]) -> dict[str, Any]:
    """The document with one member of it, anywhere, replaced or removed."""
    document = copy.deepcopy(document)
    places = list(_places(document))
    if places:
        parent, key = places[data.draw(st.integers(0, len(places) - 1))]
        if isinstance(parent, dict) and data.draw(st.booleans()):
            del parent[key]
        else:
            parent[key] = data.draw(values)
    return document


def _places(value: Any) -> Any:
    inner = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in inner:
        yield value, key
        yield from _places(value[key])
