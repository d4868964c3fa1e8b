"""A chat request → the neutral one.

Types are checked for what another dialect must be told; what goes by its OpenAI name is its upstream's
to judge. Members that nobody knows are noted, for they could have changed the answer.
"""

from __future__ import annotations

import math
from typing import Any

from relay.dialects.chat_reading_messages import Messages
from relay.dialects.chat_reading_parts import leave
from relay.dialects.chat_reading_tools import read_tools
from relay.dialects.conversation import settle
from relay.dialects.reading import Fields, wrong
from relay.dialects.request import BadRequest, Extra, Output, Request

_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_EXTRAS: dict[str, tuple[Any, ...]] = {
    "seed": (),
    "logit_bias": ({},),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "verbosity": (),
    "service_tier": (),
    "metadata": ({},),
    "store": (False,),
    "safety_identifier": ("",),
    "prompt_cache_key": ("",),
    "prompt_cache_retention": (),
    "prompt_cache_options": ({},),
    "prediction": (),
    "web_search_options": (),
    "moderation": (),
}
"""What goes by its OpenAI name, and the values that ask for nothing."""


def read(document: dict[str, Any]) -> Request:
    fields = Fields(document)
    request = Request("chat", fields.needed_text("model"))
    messages = fields.items("messages")
    if messages is None:
        raise BadRequest("messages", "is required")
    request.turns = Messages(request.drop).read(messages)
    _stream(fields, request)
    _sampling(fields, request)
    read_tools(fields, request)
    _output(fields, request)
    _refused(fields)
    request.user = fields.text("user") or None
    request.thinking.effort = _word(fields, "reasoning_effort", _EFFORTS)
    for name, nothing in _EXTRAS.items():
        value = fields.take(name)
        if value is not None and not any(value is none or value == none for none in nothing):
            request.extras[name] = Extra(value, name)
    leave(fields, request.drop)
    settle(request, strict=False)
    return request


def _stream(fields: Fields, request: Request) -> None:
    request.stream = fields.boolean("stream") or False
    options = fields.fields("stream_options")
    if options is not None:
        request.usage_asked = options.boolean("include_usage") or False
        leave(options, request.drop, "include_obfuscation")


def _sampling(fields: Fields, request: Request) -> None:
    first, second = _limit(fields, "max_completion_tokens"), _limit(fields, "max_tokens")
    request.max_tokens = second if first is None else first
    request.temperature = _finite(fields, "temperature")
    request.top_p = _finite(fields, "top_p")
    top_k = fields.integer("top_k")
    request.top_k = top_k if top_k is not None and top_k > 0 else None  # vLLM's -1 is "all of them"
    stop = fields.take("stop")
    if isinstance(stop, str):
        request.stop = [stop] if stop else []
    elif stop is not None:
        if not isinstance(stop, list):
            raise wrong("stop", "a string or a list of strings", stop)
        for at, text in enumerate(stop):
            if not isinstance(text, str):
                raise wrong(f"stop[{at}]", "a string", text)
        request.stop = [text for text in stop if text]


def _limit(fields: Fields, name: str) -> int | None:
    limit = fields.integer(name)
    if limit is not None and limit < 1:
        raise BadRequest(name, f"expected at least 1, found {limit}")
    return limit


def _finite(fields: Fields, name: str) -> float | None:
    value = fields.number(name)
    if value is None:
        return None
    if value < 0 or (isinstance(value, float) and not math.isfinite(value)):
        raise BadRequest(name, f"expected a number that is not negative, found {value}")
    return value


def _word(fields: Fields, name: str, words: tuple[str, ...]) -> str | None:
    word = fields.text(name)
    if word is not None and word not in words:
        raise BadRequest(name, f"{word!r} is not one of {', '.join(words)}")
    return word


def _output(fields: Fields, request: Request) -> None:
    form = fields.fields("response_format")
    if form is None:
        return
    kind = form.needed_text("type")
    if kind == "json_object":
        request.output = Output(path="response_format")
    elif kind == "json_schema":
        inner = form.fields("json_schema")
        schema = None if inner is None else inner.take("schema")
        at = "response_format.json_schema"
        if inner is None or schema is None:
            raise BadRequest(at if inner is None else f"{at}.schema", "is required")
        if not isinstance(schema, dict):
            raise wrong(f"{at}.schema", "an object", schema)
        request.output = Output(
            schema,
            inner.text("name"),
            inner.boolean("strict"),
            inner.text("description"),
            "response_format",
        )
        leave(inner, request.drop)
    elif kind != "text":
        raise BadRequest(form.at("type"), f"{kind!r} is not one of text, json_object, json_schema")
    leave(form, request.drop)


def _refused(fields: Fields) -> None:
    """What no other dialect can do, and no client would do without."""
    number = fields.integer("n")
    if number is not None and number != 1:
        raise BadRequest("n", "only one choice can be asked for here; send several requests")
    modalities = fields.items("modalities")
    if modalities is not None and modalities != ["text"]:
        if "audio" in modalities:
            raise BadRequest("modalities", "the upstream cannot answer with audio; ask for text only")
        if modalities:
            raise BadRequest("modalities", "expected ['text']")
    if fields.take("audio") is not None:
        raise BadRequest("audio", "the upstream cannot answer with audio; leave it out")
