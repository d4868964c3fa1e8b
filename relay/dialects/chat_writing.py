"""The neutral request → a chat request, as the upstream's profile allows it."""

from __future__ import annotations

from typing import Any

from relay.dialects.chat_writing_messages import write_messages
from relay.dialects.chat_writing_tools import write_tools
from relay.dialects.naming import Names, user_of
from relay.dialects.request import Output, Profile, Request

_KEPT = (
    *("seed", "logit_bias", "frequency_penalty", "presence_penalty"),
    *("logprobs", "top_logprobs", "prediction", "web_search_options"),
)
_OPENAI = (
    *("verbosity", "service_tier", "safety_identifier"),
    *("prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"),
)
"""Known to OpenAI and Azure; elsewhere only the first of them is missed."""


def write(request: Request, profile: Profile) -> dict[str, Any]:
    names = Names(request, profile)
    document: dict[str, Any] = {"model": request.model, "messages": write_messages(request, profile, names)}
    if request.stream:
        document["stream"] = True
        document["stream_options"] = {"include_usage": True}
    if request.max_tokens is not None:
        document[profile.limit] = request.max_tokens
    _sampling(request, profile, document)
    write_tools(request, names, document)
    _thinking(request, profile, document)
    if request.output is not None:
        document["response_format"] = _format(request.output)
    if request.user is not None:
        document["user"] = user_of(request)
    _extras(request, profile, document)
    if profile.continues_prefill and _is_prefill(document["messages"]):
        document |= {"continue_final_message": True, "add_generation_prompt": False}
    return document


def _sampling(request: Request, profile: Profile, document: dict[str, Any]) -> None:
    if request.temperature is not None:
        document["temperature"] = request.temperature
    if request.top_p is not None:
        document["top_p"] = request.top_p
    if request.top_k is not None:
        if profile.top_k:
            document["top_k"] = request.top_k
        else:
            request.drop("top_k")
    stop = request.stop
    if profile.stop_limit is not None and len(stop) > profile.stop_limit:
        # Of the dialects that are translated to this one only Messages has them.
        request.drop("stop_sequences" if request.dialect == "messages" else "stop")
        stop = stop[: profile.stop_limit]
    if stop:
        document["stop"] = stop


def _thinking(request: Request, profile: Profile, document: dict[str, Any]) -> None:
    thinking = request.thinking
    level = thinking.level()
    if level is None:
        return
    if profile.template_thinking:
        document["chat_template_kwargs"] = {"enable_thinking": level != "none"}
    effort = profile.effort(level)
    if effort is not None:
        document["reasoning_effort"] = effort


def _format(output: Output) -> dict[str, Any]:
    if output.schema is None:
        return {"type": "json_object"}
    schema: dict[str, Any] = {"name": output.name or "output", "schema": output.schema}
    if output.description is not None:
        schema["description"] = output.description
    if output.strict is not None:
        schema["strict"] = output.strict
    return {"type": "json_schema", "json_schema": schema}


def _extras(request: Request, profile: Profile, document: dict[str, Any]) -> None:
    for name, extra in request.extras.items():
        if name in _KEPT or (name in _OPENAI and profile.openai_fields):
            document[name] = extra.value
        elif name == "store":
            if extra.value is True:  # nothing is kept between requests
                request.drop(extra.path)
        elif name == "verbosity" or (name not in _OPENAI and name != "metadata"):
            request.drop(extra.path)
    if "top_logprobs" in document:
        document["logprobs"] = True  # the one is refused without the other


def _is_prefill(messages: list[dict[str, Any]]) -> bool:
    """The assistant's message stands last, so the answer is to go on with it."""
    return bool(messages) and messages[-1]["role"] == "assistant" and "tool_calls" not in messages[-1]
