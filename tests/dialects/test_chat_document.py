"""Whole documents of the chat dialect: an answer as a stream, an error as an HTTP body."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from relay.dialects import failures
from relay.dialects.chat import Chat
from relay.dialects.checker import Malformed
from relay.dialects.deltas import Failure, Usage
from tests.dialects.chat_reading import HANDWRITTEN, RECORDED, run, said, verdict
from tests.dialects.drive import CONTEXT, Event, events, seen

beside = pytest.mark.skipif(
    not HANDWRITTEN.is_dir(), reason="the folder of recorded streams is not beside this project"
)
PAIRS = sorted((RECORDED / "pairs").glob("*.json"))
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def answer(message: Any, finish: Any = "stop", **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {"id": "c-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], **more}


def stream_of(document: dict[str, Any], context: Any = CONTEXT) -> list[Event]:
    """The stream, which a checker finds nothing to mend in."""
    stream = seen(Chat.stream_of(document, context))
    assert verdict(stream) == "complete"
    assert run(stream, context).untouched
    return stream


@beside
def test_the_handwritten_document_becomes_the_expected_stream() -> None:
    document = json.loads((HANDWRITTEN / "json-body.sse").read_bytes())
    assert stream_of(document) == events((HANDWRITTEN / "repaired-json-body.sse").read_bytes())


@beside
def test_the_handwritten_error_document_is_an_error() -> None:
    document = json.loads((HANDWRITTEN / "json-error-body.sse").read_bytes())
    with pytest.raises(Malformed):
        Chat.stream_of(document, CONTEXT)
    assert failures.read(document) == Failure("boom", 500, "server_error", "500")


@pytest.mark.parametrize("path", PAIRS, ids=lambda path: path.stem)
def test_a_recorded_answer_keeps_all_it_says(path: Path) -> None:
    pair = json.loads(path.read_bytes())
    document = pair["response"]
    if pair["status"] >= 400:
        with pytest.raises(Malformed):
            Chat.stream_of(document, CONTEXT)
        assert failures.read(document, status=pair["status"]) is not None
        return
    stream = stream_of(document)
    told = said(stream)
    for key in ("content", "refusal", "reasoning", "reasoning_content"):
        texts = [choice["message"].get(key) for choice in document["choices"]]
        if all(isinstance(text, str | None) for text in texts) and any(texts):
            assert told[key] == "".join(text or "" for text in texts)
    calls = [call for choice in document["choices"] for call in choice["message"].get("tool_calls") or []]
    arguments = [call["function"]["arguments"] for call in calls]
    assert told.get("arguments", "") == "".join(a if isinstance(a, str) else json.dumps(a) for a in arguments)
    assert (run(stream).checker.usage is not None) == bool(document.get("usage"))


def test_calls_get_what_a_stream_needs() -> None:
    calls = [
        {"function": {"name": "f", "arguments": {"a": 1}}},
        {"id": "b", "type": "function", "function": {"name": "g", "arguments": ""}},
    ]
    stream = stream_of(answer({"role": "assistant", "content": None, "tool_calls": calls}, None))
    entries = [event.payload["choices"][0]["delta"]["tool_calls"] for event in stream[1:3]]
    assert entries == [
        [
            {
                "index": 0,
                "id": "call_t1_0_0",
                "type": "function",
                "function": {"name": "f", "arguments": '{"a":1}'},
            }
        ],
        [{"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": ""}}],
    ]
    assert stream[-2].payload["choices"][0]["finish_reason"] == "tool_calls"


def test_everything_else_goes_out_once() -> None:
    document = answer({"role": "assistant", "content": "Hi", "annotations": [{"a": 1}]}, citations=["u"])
    document["choices"][0] |= {"logprobs": {"content": []}, "stop_reason": 7}
    stream = stream_of(document)
    assert [("citations" in event.payload) for event in stream[:-1]] == [True, False, False]
    assert stream[1].payload["choices"][0] == {
        "index": 0,
        "delta": {"content": "Hi", "annotations": [{"a": 1}]},
        "finish_reason": None,
        "logprobs": {"content": []},
    }
    assert stream[2].payload["choices"][0]["stop_reason"] == 7


def test_reasoning_comes_before_text_and_choices_one_after_another() -> None:
    document = answer({"role": "assistant", "content": "a", "reasoning": "r"})
    document["choices"].append({"index": 1, "message": {"content": "b"}, "finish_reason": "length"})
    stream = stream_of(document)
    assert [event.payload["choices"][0]["index"] for event in stream[:-1]] == [0, 0, 0, 0, 1, 1, 1]
    assert stream[1].payload["choices"][0]["delta"] == {"reasoning": "r"}


@pytest.mark.parametrize(
    ("asked", "added", "chunks"), [(None, False, 1), (True, False, 1), (False, False, 0), (False, True, 0)]
)
def test_usage_goes_to_who_may_want_it(asked: bool | None, added: bool, chunks: int) -> None:
    context = dataclasses.replace(CONTEXT, usage_asked=asked, usage_added=added)
    stream = seen(Chat.stream_of(answer({"content": "Hi"}, usage=USAGE), context))
    assert [event.payload["usage"] for event in stream[:-1] if "usage" in event.payload] == [USAGE] * chunks
    if chunks:
        assert run(stream, context).checker.usage == Usage(input=3, output=2)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"error": {"message": "x"}},
        {"choices": []},
        {"choices": {}},
        {"choices": [5]},
        {"choices": [{"text": "a completion of the old kind"}]},
        {"choices": [{"delta": {"content": "a chunk"}}]},
        {"type": "message", "content": []},
        {"object": "response", "output": []},
        answer({"tool_calls": [{"function": {"arguments": "1"}}]}),
    ],
)
def test_what_is_no_answer_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        Chat.stream_of(document, CONTEXT)


@pytest.mark.parametrize(
    ("failure", "type_", "code"),
    [
        (Failure("m"), "server_error", "server_error"),
        (Failure("m", 429), "rate_limit_error", "rate_limit_exceeded"),
        (Failure("m", 400), "invalid_request_error", "invalid_request_error"),
        (
            Failure("m", 404, "invalid_request_error", "model_not_found"),
            "invalid_request_error",
            "model_not_found",
        ),
        (Failure("m", 529, "overloaded_error"), "server_error", "slow_down"),
    ],
)
def test_an_error_document_is_what_the_sdks_read(failure: Failure, type_: str, code: str) -> None:
    error = {"message": "m", "type": type_, "param": None, "code": code}
    assert Chat.error_document(failure) == {"error": error}
    assert seen(Chat(CONTEXT).fail(failure)) == [Event(None, {"error": error})]
