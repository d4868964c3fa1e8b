"""Whole Messages documents: an answer becomes a stream, a failure becomes an error body."""

from __future__ import annotations

from typing import Any

import pytest

from relay.dialects.checker import Malformed
from relay.dialects.deltas import Failure
from relay.dialects.messages import Messages
from tests.dialects.drive import CONTEXT, seen
from tests.dialects.messages_kit import message_start, run
from tests.dialects.messages_legal import verdict


def test_error_document() -> None:
    assert Messages.error_document(Failure("slow down", 429)) == {
        "type": "error",
        "error": {"type": "rate_limit_error", "message": "slow down"},
        "request_id": None,
    }


def document(**changes: Any) -> dict[str, Any]:
    content = [
        {"type": "thinking", "thinking": "a", "signature": "s"},
        {"type": "text", "text": ""},
        {"type": "text", "text": "b", "citations": [{"x": 1}]},
        {"type": "tool_use", "id": "toolu_a", "name": "f", "input": {"a": [1]}},
        {"type": "tool_use", "id": "toolu_b", "name": "g", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "x", "content": []},
    ]
    message = message_start(content=content, stop_reason="tool_use", stop_details=None)["message"]
    return message | {"container": {"id": "c"}, "context_management": {"edits": []}} | changes


def test_stream_of_a_document_with_everything() -> None:
    frames = seen(Messages.stream_of(document(), CONTEXT))
    ran = run(frames)
    assert ran.out == frames
    assert ran.checker.repairs == {}
    assert verdict(frames) == "complete"
    assert ran.checker.tool_ids == ["toolu_a", "toolu_b"]
    indexes = [payload["index"] for _, payload in frames if payload["type"] == "content_block_start"]
    assert indexes == [0, 1, 2, 3, 4]
    assert frames[-2].payload["delta"] == {
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "container": {"id": "c"},
    }
    assert frames[-2].payload["context_management"] == {"edits": []}


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"type": "error", "error": {"type": "api_error", "message": "x"}},
        {"object": "chat.completion", "choices": []},
        document(content=None),
        document(content="x"),
        document(content=["x"]),
        document(content=[{"text": "x"}]),
        document(content=[{"type": "text", "text": 5}]),
        document(content=[{"type": "text", "text": "a", "citations": 5}]),
        document(content=[{"type": "tool_use", "input": {}}]),
        document(content=[{"type": "tool_use", "name": "f", "input": "x"}]),
    ],
)
def test_what_is_no_message_is_no_stream(wrong: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        Messages.stream_of(wrong, CONTEXT)


@pytest.mark.parametrize("key", ["id", "role", "model", "stop_reason", "stop_sequence", "usage"])
def test_a_document_that_lacks_something_still_becomes_a_stream(key: str) -> None:
    for changed in (
        {name: value for name, value in document().items() if name != key},
        document(**{key: None}),
    ):
        ran = run(seen(Messages.stream_of(changed, CONTEXT)))
        assert verdict(ran.out) == "complete"
