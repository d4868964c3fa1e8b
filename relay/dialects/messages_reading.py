"""A client's Messages request, read into the neutral one."""

from __future__ import annotations

from typing import Any

from relay.dialects.conversation import settle
from relay.dialects.messages_reading_parts import Contents
from relay.dialects.messages_reading_tools import read_tools
from relay.dialects.reading import Fields, wrong
from relay.dialects.request import BadRequest, Call, Output, Request, Text, Thinking, Turn

_BILLING = "x-anthropic-billing-header"
"""Claude Code's first system block: a hash that differs in every request and defeats every prefix cache."""

_EFFORTS = frozenset({"none", "minimal", "low", "medium", "high", "xhigh", "max"})
_SILENT = ("cache_control", "anthropic_version", "anthropic_beta")
_DEFAULTS = {"service_tier": "auto", "speed": "standard"}
"""Values that ask for nothing."""


def read(document: dict[str, Any]) -> Request:
    """Raises BadRequest."""
    top = Fields(document)
    request = Request("messages", top.needed_text("model"), usage_asked=True)
    request.stream = top.boolean("stream") is True
    request.max_tokens = _limit(top)
    _sample(request, top)
    _converse(request, top)
    read_tools(request, top)
    request.thinking = _thinking(request, top)
    _output(request, top)
    _metadata(request, top)
    _refuse_server_side(request, top)
    _refuse_threads(top)
    for name in _SILENT:
        top.take(name)
    for path, value in top.rest().items():
        if not (value == _DEFAULTS.get(path) or _keeps_all(path, value)):
            request.drop(path)
    settle(request, strict=True)
    return request


def _limit(top: Fields) -> int:
    limit = top.integer("max_tokens")
    if limit is None:
        raise BadRequest("max_tokens", "is required")
    if limit < 1:
        raise BadRequest("max_tokens", "must be 1 or more")
    return limit


def _sample(request: Request, top: Fields) -> None:
    request.temperature, request.top_p = top.number("temperature"), top.number("top_p")
    request.top_k = top.integer("top_k")
    for index, sequence in enumerate(top.items("stop_sequences") or []):
        if not isinstance(sequence, str):
            raise wrong(f"stop_sequences[{index}]", "a string", sequence)
        request.stop.append(sequence)


def _converse(request: Request, top: Fields) -> None:
    contents = Contents(request)
    system = top.take("system")
    if system is not None:
        parts = contents.texts(system, "system")
        told = [part for part in parts if isinstance(part, Text) and not part.text.startswith(_BILLING)]
        if told:
            request.turns.append(Turn("system", list(told), "system"))
    messages = top.items("messages")
    if not messages:
        raise BadRequest(
            "messages", "is required" if messages is None else "at least one message is required"
        )
    for index, value in enumerate(messages):
        turn = _turn(request, contents, Fields(value, f"messages[{index}]"))
        if turn.parts or turn.role == "user":
            request.turns.append(turn)


def _turn(request: Request, contents: Contents, message: Fields) -> Turn:
    role = message.needed_text("role")
    content, path = message.take("content"), message.at("content")
    message.take("cache_control")
    message.drop_rest(request)
    if role == "user":
        return Turn("user", contents.of_user(content, path), message.path)
    if role == "system":
        return Turn("system", contents.texts(content, path), message.path)
    if role != "assistant":
        raise BadRequest(message.at("role"), f"must be user, assistant or system, not {role!r}")
    turn = Turn("assistant", contents.of_assistant(content, path), message.path)
    seen: set[str] = set()
    for part in turn.parts:
        if isinstance(part, Call):
            if part.id in seen:
                raise BadRequest(f"{part.path}.id", f"a second tool call of the id {part.id!r}")
            seen.add(part.id)
    return turn


def _thinking(request: Request, top: Fields) -> Thinking:
    asked = top.fields("thinking")
    if asked is None:
        return Thinking()
    kind = asked.needed_text("type")
    hidden = asked.text("display") == "omitted"
    if kind == "disabled":
        thinking = Thinking(effort="none")
    elif kind == "enabled":
        budget = asked.integer("budget_tokens")
        if budget is None or budget < 1:
            raise BadRequest(
                asked.at("budget_tokens"), "is required" if budget is None else "must be 1 or more"
            )
        thinking = Thinking(budget=budget, hidden=hidden, sealed=not hidden)
    elif kind in ("adaptive", "between_tools"):
        thinking = Thinking(adaptive=True, hidden=hidden, sealed=not hidden)
    else:
        raise BadRequest(asked.at("type"), f"no such kind of thinking: {kind!r}")
    asked.drop_rest(request)
    return thinking


def _output(request: Request, top: Fields) -> None:
    """``output_config``, and the older ``output_format`` beside it."""
    config = top.fields("output_config")
    wanted = top.fields("output_format")
    if config is not None:
        effort = config.text("effort")
        if effort is not None and effort not in _EFFORTS:
            raise BadRequest(config.at("effort"), f"no such effort: {effort!r}")
        if effort is not None and request.thinking.effort != "none":
            request.thinking.effort = effort
        wanted = config.fields("format") or wanted
        config.drop_rest(request)
    if wanted is None:
        return
    kind = wanted.needed_text("type")
    schema = wanted.take("schema")
    if kind != "json_schema":
        raise BadRequest(wanted.at("type"), f"must be json_schema, not {kind!r}")
    if not isinstance(schema, dict):
        if schema is None:
            raise BadRequest(wanted.at("schema"), "is required")
        raise wrong(wanted.at("schema"), "an object", schema)
    request.output = Output(schema, name="output", strict=True, path=wanted.path)
    wanted.drop_rest(request)


def _metadata(request: Request, top: Fields) -> None:
    metadata = top.fields("metadata")
    if metadata is not None:
        request.user = metadata.text("user_id")
        metadata.drop_rest(request)


def _refuse_server_side(request: Request, top: Fields) -> None:
    if top.items("mcp_servers"):
        raise BadRequest("mcp_servers", "are called by Anthropic's API only: give their tools as tools")
    container = top.take("container")
    if isinstance(container, dict) and container.get("skills"):
        raise BadRequest("container.skills", "are run by Anthropic's API only: leave them out")
    if container is not None:
        request.drop("container")


def _refuse_threads(top: Fields) -> None:
    """A conversation that the server keeps; the SDK sends all of it again when it reads this in an error."""
    thread = top.take("thread")
    if thread is not None:
        raise BadRequest(
            "thread",
            "relay keeps no conversations: send all messages",
            details={"error_code": "thread_unsupported_request", "unsupported": ["thread"]},
        )


def _keeps_all(path: str, value: object) -> bool:
    """Claude Code sends this `context_management` with every turn: keep all thinking."""
    if path != "context_management" or not isinstance(value, dict):
        return False
    edits = value.get("edits")
    return not edits or edits == [{"type": "clear_thinking_20251015", "keep": "all"}]
