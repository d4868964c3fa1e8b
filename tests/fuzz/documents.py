"""JSON documents: what clients ask in another dialect than the upstream's, and whole answers to it.

A request is sent on in an order that the other dialect allows, or refused with a document; an answer becomes
an answer, or an error with a status. No value in either may break relay, nor make it say what is no JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any

import orjson

from relay import dialects
from relay.completion import Completion, ask_usage
from relay.errors import BadDocument, RelayError
from relay.model_list import ModelList
from relay.token_count import TokenCount
from relay.translation import Translation
from tests.conversations import faults
from tests.fuzz import tokens
from tests.fuzz.case import Case, Finding, hold
from tests.fuzz.follow import check_refusal
from tests.fuzz.mutate import OF_DOCUMENTS, bent, rubbish
from tests.streams import CORPUS, FOLDERS
from tests.translated import NAMES, REQUESTS, translation

STATUSES = ("200", "200", "200", "201", "400", "401", "404", "429", "500", "503", "529")
KINDS = ("request", "request", "request", "usage", "count", "answer", "answer", "answer", "models")
_ROOM = 8_000
GROWTH = 40
_LARGEST_SEED = 12_000
_LAST_WORD = ("calls not answered at the end", "calls without outputs")
"""Nothing says that anything was to follow; what a client did not answer relay does not make up."""

_TOOL = {
    "name": "f",
    "description": "d",
    "parameters": {"type": "object", "properties": {"a": {"type": "string"}}},
}
_CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":"b"}'}}
_OWN_REQUESTS: dict[str, list[Any]] = {
    "chat": [
        {
            "model": "m",
            "messages": [
                {"role": "system", "content": "s"},
                {"role": "user", "content": [{"type": "text", "text": "hi"}]},
                {"role": "assistant", "content": None, "tool_calls": [_CALL]},
                {"role": "tool", "tool_call_id": "c1", "content": "r"},
            ],
            "tools": [{"type": "function", "function": _TOOL}],
            "tool_choice": "auto",
            "max_tokens": 5,
            "temperature": 0.5,
            "stop": ["x"],
        }
    ],
    "messages": [
        {
            "model": "m",
            "max_tokens": 5,
            "system": "s",
            "messages": [
                {"role": "user", "content": "hi"},
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {}}],
                },
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "r"}]},
            ],
            "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}],
            "thinking": {"type": "enabled", "budget_tokens": 1024},
        }
    ],
    "responses": [
        {
            "model": "m",
            "instructions": "s",
            "input": [
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
                {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c1", "output": "r"},
            ],
            "tools": [{"type": "function", **_TOOL}],
            "reasoning": {"effort": "low"},
        }
    ],
}
_OWN_ANSWERS: dict[str, list[Any]] = {
    "chat": [
        {
            "id": "x",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "a", "tool_calls": [_CALL]},
                    "finish_reason": "tool_calls",
                }
            ],
            "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
        },
        {"error": {"message": "m", "type": "t", "code": 429, "param": None}},
    ],
    "messages": [
        {
            "id": "x",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": [
                {"type": "text", "text": "a"},
                {"type": "tool_use", "id": "c", "name": "f", "input": {}},
            ],
            "stop_reason": "tool_use",
            "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 2},
        },
        {"type": "error", "error": {"type": "overloaded_error", "message": "m"}},
    ],
    "responses": [
        {
            "id": "x",
            "object": "response",
            "created_at": 1,
            "status": "completed",
            "model": "m",
            "output": [
                {
                    "id": "msg",
                    "type": "message",
                    "status": "completed",
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": "a", "annotations": []}],
                }
            ],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
        },
        {"error": {"message": "m", "type": "server_error"}},
    ],
}  # fmt: skip
_OWN_LISTS: list[Any] = [
    {"object": "list", "data": [{"id": "m", "object": "model", "created": 1, "max_model_len": 9}]},
    {"data": [{"type": "model", "id": "m", "created_at": "2025-01-01T00:00:00Z"}], "has_more": False},
    {"id": "m", "object": "model", "created": 1.5},
]


@cache
def recorded(part: str, dialect: str) -> tuple[bytes, ...]:
    """Requests or responses of the corpus, and some of our own."""
    found: list[Any] = list((_OWN_REQUESTS if part == "request" else _OWN_ANSWERS)[dialect])
    found += [REQUESTS[dialect]] if part == "request" else []
    for path in sorted((CORPUS / "recorded" / FOLDERS[dialect] / "pairs").glob("*.json")):
        found.append(json.loads(path.read_bytes())[part])
    texts = [json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode() for document in found]
    return tuple(text for text in dict.fromkeys(texts) if len(text) <= _LARGEST_SEED)


LISTS = tuple(json.dumps(document).encode() for document in _OWN_LISTS)


class Documents:
    """Requests and whole answers between two dialects."""

    name = "documents"

    def draw(self, dice: Random) -> Case:
        kind, client = dice.choice(KINDS), dice.choice(NAMES)
        upstream = dice.choice([name for name in NAMES if name != client])
        if kind in ("request", "usage", "count"):
            seeds = recorded("request", {"usage": "chat", "count": "messages"}.get(kind, client))
        else:
            seeds = LISTS if kind == "models" else recorded("response", upstream)
        raw = (
            rubbish(dice, tokens.JSON)
            if dice.random() < 0.02
            else bent(dice, dice.choice(seeds), OF_DOCUMENTS, seeds)
        )
        profile = dice.choice(sorted(dialects.PROFILES))
        return Case(raw, (1,), (kind, client, upstream, dice.choice(STATUSES), profile))

    def check(self, case: Case) -> str:
        kind, *_ = case.how
        check: dict[str, Callable[[Case], str]] = {
            "request": check_request,
            "usage": check_usage,
            "count": check_count,
            "answer": check_answer,
            "models": check_models,
        }
        return f"{kind} {check[kind](case)}"


def check_request(case: Case) -> str:
    """It is refused, or sent on in an order that the upstream's dialect allows."""
    _, client, upstream, _, profile = case.how
    codecs, kind = dialects.CODECS, dialects.PROFILES[profile]
    try:
        sent = Translation(codecs[client], codecs[upstream], case.raw, kind).body
    except BadDocument as error:
        hold(error.status == 400, f"status {error.status}")
        check_refusal(error)
        return "refused"
    hold(len(sent) <= GROWTH * len(case.raw) + _ROOM, f"{len(case.raw)} bytes became {len(sent)}")
    again = Translation(codecs[client], codecs[upstream], case.raw, kind).body
    hold(again == sent, "the same request is sent in two ways")
    document = read(sent)
    wrong = [fault for fault in faults(upstream, document) if fault not in _LAST_WORD]
    hold(not [fault for fault in wrong if kind.merge_system or "later system" not in fault], f"{wrong}")
    return "sent"


def check_usage(case: Case) -> str:
    """The one thing that is changed in a request of the upstream's own dialect."""
    found = Completion.read("chat", case.raw)
    if not found.stream or found.usage_asked:
        return "left alone"
    before, after = orjson.loads(case.raw), read(bytes(ask_usage(bytearray(case.raw))))
    options = before.pop("stream_options", None)
    wanted = (options if isinstance(options, dict) else {}) | {"include_usage": True}
    hold(after.pop("stream_options") == wanted, "other options than were asked for")
    hold(after == before, "something else was changed")
    return "asked"


def check_count(case: Case) -> str:
    _, _, upstream, status, profile = case.how
    messages, other = dialects.CODECS["messages"], dialects.CODECS[upstream]
    try:
        count = TokenCount(messages, other, case.raw, dialects.PROFILES[profile])
    except BadDocument as error:
        check_refusal(error)
        return "refused"
    read(count.body)
    return f"asked, {_converted(lambda: count.convert(int(status), case.raw))}"


def check_answer(case: Case) -> str:
    _, client, upstream, status, _ = case.how
    asked = translation(client, upstream)
    conversion = asked.conversion(asked.context("t1", 1763600000))
    return _converted(lambda: conversion.convert(int(status), case.raw), GROWTH * len(case.raw) + _ROOM)


def check_models(case: Case) -> str:
    _, client, _, status, _ = case.how
    try:
        found = ModelList(dialects.CODECS[client]).convert(int(status), case.raw)
    except RelayError as error:
        check_refusal(error)
        return "refused"
    if found != case.raw:
        read(found)
    return "passed" if found == case.raw else "converted"


def _converted(convert: Callable[[], bytes], most: int = 0) -> str:
    """What becomes of an answer: a document that is not beyond all measure, or an error."""
    try:
        found = convert()
    except RelayError as error:
        check_refusal(error)
        return "refused"
    hold(not most or len(found) <= most, f"an answer of {len(found)} bytes")
    read(found)
    return "converted"


def read(text: bytes) -> Any:
    """A JSON object, as strictly as a client may read it."""

    def no_number(name: str) -> float:
        raise Finding(f"{name} is no JSON")

    found = json.loads(text.decode(), parse_constant=no_number)
    hold(isinstance(found, dict), "what relay says is no JSON object")
    return found
