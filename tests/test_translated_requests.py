"""Every recorded request in each other dialect: the same is asked, in a document that the SDKs' types take.

What a request asks is read by ``asked``. What differs is named in the request's `dropped`, or follows a rule.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any, get_type_hints

import pytest
from anthropic.types import message_create_params
from openai.types.chat import completion_create_params
from openai.types.responses import response_create_params
from pydantic import TypeAdapter

from relay.errors import BadDocument
from tests.asked import asked, expected
from tests.conversations import faults
from tests.streams import CORPUS, FOLDERS
from tests.told import Json
from tests.translated import others, translation

PARAMS: dict[tuple[str, bool], Any] = {
    ("chat", True): completion_create_params.CompletionCreateParamsStreaming,
    ("chat", False): completion_create_params.CompletionCreateParamsNonStreaming,
    ("messages", True): message_create_params.MessageCreateParamsStreaming,
    ("messages", False): message_create_params.MessageCreateParamsNonStreaming,
    ("responses", True): response_create_params.ResponseCreateParamsStreaming,
    ("responses", False): response_create_params.ResponseCreateParamsNonStreaming,
}
BEYOND = {"chat": {"top_k"}, "messages": {"temperature", "top_p", "top_k"}, "responses": set()}
"""Fields that servers take and the SDKs do not; Anthropic does with `anthropic-version: 2023-06-01`."""


@dataclass(frozen=True)
class Recorded:
    dialect: str
    name: str
    document: Json

    def __str__(self) -> str:
        return f"{self.dialect}/{self.name}"


@cache
def requests() -> list[Recorded]:
    """What real clients sent; none where the corpus is not beside the project."""
    found: list[Recorded] = []
    for dialect, folder in FOLDERS.items():
        beside = CORPUS / "recorded" / folder
        for path in sorted([*beside.glob("*.json"), *beside.glob("pairs/*.json")]):
            request = json.loads(path.read_bytes())["request"]
            if isinstance(request, dict):
                path = path.relative_to(beside)
                found.append(Recorded(dialect, path.with_suffix("").as_posix(), _with_model(request)))
    return found


def _with_model(request: Json) -> Json:
    """Vertex has the model in its path."""
    return {"model": "m", **request} if "anthropic_version" in request else request


# --- refused ----------------------------------------------------------------------------------------

REFUSED: dict[str, str] = {
    "several choices": r"n: only one choice can be asked for",
    "audio out": r"modalities: the upstream cannot answer with audio",
    "Mistral's audio": r"input_audio: expected an object",
    "OpenRouter's tools": r"tools\[0\]\.type: 'openrouter:",
    "Perplexity's file": r"messages\[0\]\.content\[1\]\.type: 'file_url'",
    "a call without an id": r"messages\[1\]\.tool_calls\[0\]\.id: is required",
    "a result of no call": r"messages\[2\]\.content\[0\]: no tool call found",
    "hosted tools only": r"tools\[0\]: this tool is run by Anthropic's API only, and there is no other",
    "built-in schema": r"tools\[0\]\.type: computer_\d+ has its schema built into",
    "an uploaded file": r"messages\[0\]\.content\[1\](\.source)?: files are kept by the API",
    "a document, to a chat server": r"messages\[0\]\.content\[1\]: the upstream takes no documents",
    "background": r"background: is not supported",
    "a stored response": r"previous_response_id: Previous response with id",
    "a stored prompt": r"prompt: is not supported",
}
# fmt: off
HOW_MANY = {
    "several choices": 20, "audio out": 2, "Mistral's audio": 2,
    "OpenRouter's tools": 6, "Perplexity's file": 2,
    "a call without an id": 2, "a result of no call": 2,
    "hosted tools only": 30, "built-in schema": 10, "an uploaded file": 6,
    "a document, to a chat server": 1, "background": 4, "a stored response": 2, "a stored prompt": 2,
}
# fmt: on
"""Why recorded requests are refused, the words that say so, and how often in all."""


@dataclass(frozen=True)
class Sent:
    """A request, and what became of it."""

    recorded: Recorded
    upstream: str
    document: Json
    dropped: list[str]
    refused: str | None = None

    def __str__(self) -> str:
        return f"{self.upstream}<{self.recorded}"


def sent(recorded: Recorded, upstream: str) -> Sent:
    try:
        found = translation(recorded.dialect, upstream, recorded.document)
    except BadDocument as refused:
        assert refused.status == 400  # noqa: PT017 (a parameter is made here)
        said = json.loads(refused.body)["error"]["message"]
        return Sent(recorded, upstream, {}, [], said)
    return Sent(recorded, upstream, json.loads(found.body), found.request.dropped)


ALL = [sent(recorded, upstream) for recorded in requests() for upstream in others(recorded.dialect)]
each_translated = pytest.mark.parametrize("request_sent", [one for one in ALL if not one.refused], ids=str)


@pytest.mark.skipif(not ALL, reason="the corpus is not beside this project")
def test_a_request_is_refused_for_a_stated_reason_only() -> None:
    counted = dict.fromkeys(HOW_MANY, 0)
    for one in ALL:
        if one.refused:
            reasons = [reason for reason, words in REFUSED.items() if re.search(words, one.refused)]
            assert len(reasons) == 1, f"{one}: {one.refused}"
            counted[reasons[0]] += 1
    assert counted == HOW_MANY


# --- the same is asked ------------------------------------------------------------------------------

FIELDS = ("system", "tools", "choice", "parallel", "schema", "user", "stream", "temperature")
MAY_GO = {
    "stop": ("stop", "stop_sequences"),
    "top_p": ("top_p",),
    "effort": ("reasoning_effort", "reasoning.effort", "thinking", "output_config.effort"),
}
"""Fields that an upstream may have no place for, and what the warning calls them."""


@each_translated
def test_the_same_is_asked_in_every_dialect(request_sent: Sent) -> None:
    recorded, dropped = request_sent.recorded, request_sent.dropped
    before = expected(asked(recorded.dialect, recorded.document), request_sent.upstream)
    after = asked(request_sent.upstream, request_sent.document)
    assert request_sent.document["model"] == recorded.document["model"]
    if not any(re.fullmatch(r"messages\[\d+\].*content\[\d+\]", path) for path in dropped):
        assert after.steps == before.steps
    assert faults(request_sent.upstream, request_sent.document) == []
    for field in FIELDS:
        assert getattr(after, field) == getattr(before, field), field
    for field, names in MAY_GO.items():
        if getattr(after, field) != getattr(before, field):
            assert getattr(after, field) in (None, [])
            assert set(dropped) & set(names)


@each_translated
def test_the_limit_is_kept(request_sent: Sent) -> None:
    """Messages must have one, OpenAI's Responses one of 16 or more."""
    upstream, recorded = request_sent.upstream, request_sent.recorded
    given = asked(recorded.dialect, recorded.document).max_tokens
    limit = asked(upstream, request_sent.document).max_tokens
    if upstream == "messages":
        assert limit == (given or 16384)
    elif upstream == "responses" and given is not None and given < 16:
        assert limit == 16
        assert {"max_tokens", "max_completion_tokens"} & set(request_sent.dropped)
    else:
        assert limit == given


@each_translated
def test_there_and_back_asks_the_same(request_sent: Sent) -> None:
    between, own = request_sent.upstream, request_sent.recorded.dialect
    back = translation(between, own, request_sent.document)
    before, after = expected(asked(between, request_sent.document), own), asked(own, json.loads(back.body))
    assert after.steps == before.steps
    if before.temperature == 1 and after.effort:
        before.temperature = None  # the default, and with thinking no other value is possible
    for field in FIELDS:
        if field not in back.request.dropped:
            assert getattr(after, field) == getattr(before, field), field


# --- what the SDKs would have sent ------------------------------------------------------------------


@cache
def adapter(dialect: str, stream: bool) -> TypeAdapter[Any]:
    return TypeAdapter(PARAMS[dialect, stream])


def walk(value: Any) -> None:
    """Iterables are checked as they are read."""
    if isinstance(value, dict):
        for inner in value.values():
            walk(inner)
    elif not isinstance(value, str | bytes) and hasattr(value, "__iter__"):
        for inner in value:
            walk(inner)


@each_translated
def test_the_sdks_types_take_the_document(request_sent: Sent) -> None:
    document, upstream = request_sent.document, request_sent.upstream
    stream = document.get("stream") is True
    walk(adapter(upstream, stream).validate_python(document))
    known = set(get_type_hints(PARAMS[upstream, stream]))
    assert set(document) <= known | BEYOND[upstream]
