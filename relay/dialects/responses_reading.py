"""A Responses client's request, read into a neutral one.

relay keeps nothing between requests: what refers to a stored response is refused with the words of the real
service, so that a client that can sends the whole history again.
"""

from __future__ import annotations

from typing import Any

from relay.dialects.conversation import settle
from relay.dialects.reading import Fields, wrong
from relay.dialects.request import EFFORTS, BadRequest, Extra, Output, Request
from relay.dialects.responses_reading_items import Conversation
from relay.dialects.responses_reading_tools import read_choice, read_tools

_STATELESS = "relay keeps no state between requests; send the whole conversation in `input`"
_ECHOED = (
    *("background", "instructions", "max_output_tokens", "max_tool_calls", "metadata", "parallel_tool_calls"),
    *("prompt_cache_key", "prompt_cache_retention", "safety_identifier", "service_tier", "temperature"),
    *("tool_choice", "tools", "top_logprobs", "top_p", "truncation", "user"),
)
"""Fields that the response object repeats as they were."""
_EXTRAS = (
    *("safety_identifier", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"),
    "service_tier",
)
_SILENT = ("client_metadata", "metadata")
"""Cannot change the answer."""
_LOGPROBS = "message.output_text.logprobs"
_MIN_TOKENS = 1


def read(document: dict[str, Any]) -> Request:
    """Raises BadRequest, with the path of what is wrong."""
    fields = Fields(document)
    request = Request("responses", usage_asked=True)
    request.echo = _echo(document)
    _refuse_state(fields)
    request.model = fields.needed_text("model")
    request.stream = fields.boolean("stream") or False
    _limits(fields, request)
    _reasoning(fields, request)
    _text(fields, request)
    _includes(fields, request)
    conversation = Conversation(request, fields.text("instructions"))
    conversation.read(fields.take("input"))
    more_tools = conversation.tools
    request.tools = read_tools(request, [("tools", fields.items("tools") or []), *more_tools])
    request.tool_choice = read_choice(request, fields.take("tool_choice"))
    request.parallel = fields.boolean("parallel_tool_calls")
    _rest(fields, request)
    request.turns = conversation.turns
    settle(request, strict=False)
    return request


def _echo(document: dict[str, Any]) -> dict[str, Any]:
    """What the answer repeats of the request. Nothing is stored, whatever was asked."""
    echo = {name: document[name] for name in _ECHOED if document.get(name) is not None}
    for name, default in (("text", {"format": {"type": "text"}}), ("reasoning", _NO_REASONING)):
        given = document.get(name)
        if isinstance(given, dict):
            echo[name] = {**default, **given}
    return {**echo, "store": False}


_NO_REASONING: dict[str, Any] = {"effort": None, "summary": None}


def _refuse_state(fields: Fields) -> None:
    """The stateful half of the API."""
    previous = fields.text("previous_response_id")
    if previous:
        raise BadRequest(
            "previous_response_id",
            f"Previous response with id '{previous}' not found.",
            code="previous_response_not_found",
        )
    for name in ("conversation", "prompt"):
        if fields.take(name) is not None:
            raise BadRequest(name, f"is not supported: {_STATELESS}", code="unsupported_parameter")
    if fields.boolean("background"):
        raise BadRequest(
            "background",
            "is not supported: relay keeps no state between requests; leave it out and read the stream",
            code="unsupported_parameter",
        )


def _limits(fields: Fields, request: Request) -> None:
    request.max_tokens = fields.integer("max_output_tokens")
    if request.max_tokens is not None and request.max_tokens < _MIN_TOKENS:
        raise BadRequest("max_output_tokens", f"must be at least {_MIN_TOKENS}")
    request.temperature = fields.number("temperature")
    request.top_p = fields.number("top_p")
    if fields.take("max_tool_calls") is not None:
        request.drop("max_tool_calls")


def _reasoning(fields: Fields, request: Request) -> None:
    reasoning = fields.fields("reasoning")
    if reasoning is None:
        return
    effort = reasoning.text("effort")
    if effort is None or effort in ("none", *EFFORTS):
        request.thinking.effort = effort
    else:
        request.drop("reasoning.effort")
    old = reasoning.text("generate_summary")
    request.thinking.summary = reasoning.text("summary") or old
    reasoning.drop_rest(request)


def _text(fields: Fields, request: Request) -> None:
    text = fields.fields("text")
    if text is None:
        return
    verbosity = text.text("verbosity")
    if verbosity is not None:
        request.extras["verbosity"] = Extra(verbosity, "text.verbosity")
    form = text.fields("format")
    if form is not None:
        request.output = _output(form)
        form.drop_rest(request)
    text.drop_rest(request)


def _output(form: Fields) -> Output | None:
    kind = form.needed_text("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return Output(path=form.path)
    if kind != "json_schema":
        raise BadRequest(form.at("type"), f"expected text, json_object or json_schema, found {kind!r}")
    schema = form.take("schema")
    if not isinstance(schema, dict):
        raise wrong(form.at("schema"), "an object", schema)
    name, strict, description = form.text("name"), form.boolean("strict"), form.text("description")
    return Output(schema, name, strict, description, form.path)


def _includes(fields: Fields, request: Request) -> None:
    top = fields.integer("top_logprobs")
    if top:
        if top < 0:
            raise BadRequest("top_logprobs", "must not be negative")
        request.extras["top_logprobs"] = Extra(top, "top_logprobs")
        request.extras["logprobs"] = Extra(True, "top_logprobs")
    for position, name in enumerate(fields.items("include") or []):
        path = f"include[{position}]"
        if not isinstance(name, str):
            raise wrong(path, "a string", name)
        if name == "reasoning.encrypted_content":
            request.thinking.sealed = True
        elif name == _LOGPROBS:
            request.extras["logprobs"] = Extra(True, path)
        else:
            request.drop(path)


def _rest(fields: Fields, request: Request) -> None:
    """What needs no reading, and what is not known."""
    request.user = fields.text("user")
    if fields.boolean("store"):
        request.drop("store")
    truncation = fields.text("truncation")
    if truncation not in (None, "disabled"):
        request.drop("truncation")
    for name in _EXTRAS:
        value = fields.take(name)
        if value is not None:
            request.extras[name] = Extra(value, name)
    for name in _SILENT:
        fields.take(name)
    options = fields.fields("stream_options")
    if options is not None:
        options.take("include_obfuscation")
        options.drop_rest(request)
    fields.drop_rest(request)
