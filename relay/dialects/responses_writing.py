"""A neutral request as the document that a Responses upstream takes.

Nothing is stored there unless the client said so: the whole conversation is sent, and reasoning comes back
encrypted where the client can hold it.
"""

from __future__ import annotations

from typing import Any

from relay.dialects.naming import Names, user_of
from relay.dialects.request import Extra, Output, Profile, Request
from relay.dialects.responses_document import Json
from relay.dialects.responses_writing_items import write_input
from relay.dialects.responses_writing_tools import write_choice, write_tools

_MIN_TOKENS = 16
"""OpenAI refuses less (pi 6265, cc-switch 7287)."""
_ENCRYPTED = "reasoning.encrypted_content"
_LOGPROBS = "message.output_text.logprobs"
_KEPT = (
    *("metadata", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"),
    *("safety_identifier", "service_tier", "top_logprobs"),
)
"""Extras of the same name and value."""
_ELSEWHERE = ("logprobs", "store", "verbosity", "web_search_options")
"""Extras that are written below."""


def write(request: Request, profile: Profile) -> dict[str, Any]:
    """The document; notes in the request what this upstream cannot be told."""
    names = Names(request, profile)
    document: Json = {"model": request.model, "input": write_input(request, profile, names)}
    document["stream"] = request.stream  # transformers streams unless it is told not to
    tools = write_tools(request, names)
    if tools:
        document["tools"] = tools
        choice = write_choice(request, names)
        document |= {} if choice is None else {"tool_choice": choice}
        document |= {} if request.parallel is None else {"parallel_tool_calls": request.parallel}
    _sampling(request, document)
    reasoning = _reasoning(request, profile)
    if reasoning:
        document["reasoning"] = reasoning
    text = _text(request)
    if text:
        document["text"] = text
    include = _include(request, has_reasoning=bool(reasoning))
    if include:
        document["include"] = include
    if request.user is not None:
        document["user"] = user_of(request)
    store = request.extras.get("store")
    document["store"] = store is not None and store.value is True
    return document


def _sampling(request: Request, document: Json) -> None:
    if request.max_tokens is not None:
        document["max_output_tokens"] = max(request.max_tokens, _MIN_TOKENS)
        if request.max_tokens < _MIN_TOKENS:
            request.drop("max_tokens")
    for name, value in (("temperature", request.temperature), ("top_p", request.top_p)):
        if value is not None:
            document[name] = value
    if request.top_k is not None:
        request.drop("top_k")
    if request.stop:
        request.drop("stop_sequences" if request.dialect == "messages" else "stop")
    for name, extra in request.extras.items():
        if name in _KEPT:
            document[name] = extra.value
        elif name not in _ELSEWHERE:
            request.drop(extra.path)


def _reasoning(request: Request, profile: Profile) -> Json:
    """The effort, and a summary to show; no other form of the reasoning is given away."""
    thinking = request.thinking
    effort = thinking.level()
    if effort is not None:
        effort = profile.effort(effort)
    if effort == "none":
        return {"effort": effort}
    if effort is None and not (thinking.adaptive or thinking.summary):
        return {}
    shown = {} if thinking.hidden else {"summary": thinking.summary or "auto"}
    return shown if effort is None else {"effort": effort, **shown}


def _text(request: Request) -> Json:
    text: Json = {}
    if request.output is not None:
        text["format"] = _format(request.output)
    verbosity = request.extras.get("verbosity")
    if verbosity is not None:
        text["verbosity"] = verbosity.value
    return text


def _format(output: Output) -> Json:
    if output.schema is None:
        return {"type": "json_object"}
    form: Json = {"type": "json_schema", "name": output.name or "output", "schema": output.schema}
    for name, value in (("strict", output.strict), ("description", output.description)):
        if value is not None:
            form[name] = value
    return form


def _include(request: Request, *, has_reasoning: bool) -> list[str]:
    """What the answer shall hold beside the output; a Messages client keeps it as the signature."""
    holds = request.thinking.sealed
    logprobs = request.extras.get("logprobs", Extra(False, ""))
    wanted = ((_ENCRYPTED, has_reasoning and holds), (_LOGPROBS, logprobs.value is True))
    return [name for name, is_wanted in wanted if is_wanted]
