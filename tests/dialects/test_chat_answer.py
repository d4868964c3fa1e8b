"""Deltas → one chat.completion, as openai-python's models read it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from relay.dialects.chat_answer import ChatAnswer
from relay.dialects.deltas import (
    Block,
    Cite,
    Close,
    Delta,
    End,
    Finish,
    Form,
    Open,
    Piece,
    Ping,
    Reason,
    Usage,
)
from relay.dialects.request import Request, Tool
from tests.dialects.chat_deltas import REQUEST, decoded, legal_deltas, told_by_deltas
from tests.dialects.chat_reading import run_file, streams
from tests.dialects.drive import CONTEXT, events

types = pytest.importorskip("openai.types.chat")
OPENED = Open("msg_9", None)


def document(deltas: list[Delta], request: Request = REQUEST) -> dict[str, Any]:
    answer = ChatAnswer(CONTEXT, request)
    for delta in deltas:
        answer.take(delta)
    made = answer.document()
    types.ChatCompletion.model_validate(made)
    return made


def answered(message: dict[str, Any], finish: str = "stop", **more: Any) -> dict[str, Any]:
    whole = {"role": "assistant", "content": None, "refusal": None, **message}
    return {
        "id": "chatcmpl-9",
        "object": "chat.completion",
        "created": 1763600000,
        "model": "m-1",
        "choices": [{"index": 0, "message": whole, "logprobs": None, "finish_reason": finish}],
        **more,
    }


def function(ident: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": ident, "type": "function", "function": {"name": name, "arguments": arguments}}


STOPPED = [Finish(Reason.STOP), End()]
ROWS: dict[str, tuple[list[Delta], dict[str, Any]]] = {
    "5.2 text blocks are joined": (
        [Block(0, Form.TEXT), Piece(0, "Hi"), Close(0), Block(1, Form.TEXT), Piece(1, "!"), Close(1)],
        answered({"content": "Hi!"}),
    ),
    "5.2 no text is null": ([], answered({})),
    "5.2 thinking is joined by LF": (
        [
            *[Block(0, Form.REASONING), Piece(0, "A"), Close(0)],
            *[Block(1, Form.REASONING, sealed="x"), Close(1)],
            *[Block(2, Form.REASONING), Piece(2, "B"), Close(2, "sig")],
            *[Block(3, Form.TEXT), Piece(3, "C"), Close(3)],
        ],
        answered({"content": "C", "reasoning_content": "A\nB"}),
    ),
    "5.2 tool_use": (
        [
            *[Block(0, Form.TOOL, "toolu_1", "f"), Block(1, Form.TOOL, "toolu_2", "g")],
            *[Piece(1, "{"), Piece(0, '{"a":1}'), Piece(1, "}"), Close(0), Close(1)],
        ],
        answered(
            {"tool_calls": [function("toolu_1", "f", '{"a":1}'), function("toolu_2", "g", "{}")]},
            "tool_calls",
        ),
    ),
    "5.2 no arguments": (
        [Block(0, Form.TOOL, "toolu_1", "f"), Close(0)],
        answered({"tool_calls": [function("toolu_1", "f", "{}")]}, "tool_calls"),
    ),
    "7.2 refusal": (
        [Block(0, Form.REFUSAL), Piece(0, "No"), Piece(0, "."), Close(0)],
        answered({"refusal": "No."}),
    ),
    "5.2 citations": (
        [Block(0, Form.TEXT), Piece(0, "Hi"), Cite(0, "https://a", "A"), Close(0), Ping()],
        answered({"content": "Hi"}),
    ),
    "9 usage, the last one": (
        [Usage(1, 1), Usage(5, 2, 3, 0, 1)],
        answered(
            {},
            usage={
                "prompt_tokens": 5,
                "completion_tokens": 2,
                "total_tokens": 7,
                "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 1},
            },
        ),
    ),
}


@pytest.mark.parametrize("row", ROWS)
def test_row(row: str) -> None:
    deltas, expected = ROWS[row]
    assert document([OPENED, *deltas, *STOPPED]) == expected


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        (Reason.STOP, "stop"),
        (Reason.SEQUENCE, "stop"),
        (Reason.TOOLS, "stop"),
        (Reason.LENGTH, "length"),
        (Reason.FILTER, "content_filter"),
    ],
)
def test_8_finish(reason: Reason, finish: str) -> None:
    assert document([OPENED, Finish(reason), End()]) == answered({}, finish)


def test_8_a_call_that_was_cut_is_what_came_of_it() -> None:
    cut = [Block(0, Form.TOOL, "a", "f"), Piece(0, '{"a'), Close(0, whole=False)]
    none = [Block(1, Form.TOOL, "b", "g"), Close(1, whole=False)]
    calls = [function("a", "f", '{"a'), function("b", "g", "")]
    deltas: list[Delta] = [OPENED, *cut, *none, Finish(Reason.LENGTH), End()]
    assert document(deltas) == answered({"tool_calls": calls}, "length")


def test_a_custom_tool_and_a_renamed_one() -> None:
    request = Request("chat", called={"edit": Tool("edit", custom=True), "x_1": Tool("x y")})
    deltas: list[Delta] = [
        *[OPENED, Block(0, Form.TOOL, "a", "edit"), Piece(0, '{"input":"1\\n2"}'), Close(0)],
        *[Block(1, Form.TOOL, "b", "x_1"), Close(1), *STOPPED],
    ]
    custom = {"id": "a", "type": "custom", "custom": {"name": "edit", "input": "1\n2"}}
    expected = answered({"tool_calls": [custom, function("b", "x y", "{}")]}, "tool_calls")
    assert document(deltas, request) == expected


def test_log_probabilities_are_joined() -> None:
    first, second = (
        {"token": text, "logprob": -0.5, "bytes": None, "top_logprobs": []} for text in ("a", "b")
    )
    deltas: list[Delta] = [OPENED, Block(0, Form.TEXT), Piece(0, "a", [first]), Piece(0, "b", [second])]
    made = document([*deltas, Close(0), *STOPPED])
    assert made["choices"][0]["logprobs"] == {"content": [first, second], "refusal": None}


UNREADABLE = ("nan", "single-newline", "truncated-json", "json-body", "json-error-body", "empty-body")
WHOLE = [
    path
    for path in streams("handwritten/chat-completions/*.sse")
    if path.stem not in (*UNREADABLE, "finish-error") and run_file(path).end == "complete"
]


@pytest.mark.parametrize("path", WHOLE, ids=lambda path: path.stem)
def test_a_recorded_stream_as_a_document(path: Path) -> None:
    deltas = decoded(events(path.read_bytes()))
    told, message = told_by_deltas(deltas), document(deltas)["choices"][0]["message"]
    assert (message["content"] or "", message["refusal"] or "") == (told.text, told.refusal)
    assert message.get("reasoning_content", "") == told.reasoning
    calls = [[call["id"], call["function"]["name"]] for call in message.get("tool_calls", [])]
    assert calls == [call[:2] for call in told.calls]


@settings(max_examples=500 if "CI" in os.environ else 300)
@given(legal_deltas())
def test_any_answer_is_a_document_that_says_the_same(deltas: list[Delta]) -> None:
    told, made = told_by_deltas(deltas), document(deltas)
    message = made["choices"][0]["message"]
    assert (message["content"] or "", message["refusal"] or "") == (told.text, told.refusal)
    calls = [
        [call["id"], call["function"]["name"], call["function"]["arguments"]]
        for call in message.get("tool_calls", [])
    ]
    assert calls == [[ident, name, text or "{}"] for ident, name, text in told.calls]
    assert message.get("reasoning_content", "").replace("\n", "") == told.reasoning.replace("\n", "")
    if told.usage is not None:
        usage = made["usage"]
        assert (usage["prompt_tokens"], usage["completion_tokens"]) == told.usage[:2]
