"""Deltas as a Responses document: translation.md 4.2, and as the SDK's own types take it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from openai.types.responses import Response

from relay.dialects.checker import Malformed
from relay.dialects.deltas import Block, Cite, Close, Delta, End, Finish, Form, Open, Piece, Reason, Usage
from relay.dialects.request import Request, Thinking, Tool
from relay.dialects.responses import Responses
from relay.dialects.responses_answer import ResponsesAnswer
from tests.dialects.drive import CONTEXT, Event
from tests.dialects.responses_kit import RECORDED, names, stream, with_corpus
from tests.dialects.responses_neutral import (
    TOOLS,
    decoded,
    encoded,
    finish_of,
    legal_deltas,
    said_in,
    thorough,
)


def answer(deltas: list[Delta], request: Request) -> dict[str, Any]:
    found = ResponsesAnswer(CONTEXT, request)
    for delta in deltas:
        found.take(delta)
    document = found.document()
    Response.model_validate(document)
    return document


WHOLE: list[Delta] = [
    Open("chatcmpl-9f", 17),
    Block(1, Form.REASONING),
    Piece(1, "Hm."),
    Close(1),
    Block(2, Form.TEXT),
    Piece(2, "Look."),
    Cite(2, "https://a.example", "A"),
    Close(2),
    Block(3, Form.REFUSAL),
    Piece(3, "No."),
    Close(3),
    Block(4, Form.TOOL, "call_a", "m__g"),
    Piece(4, '{"a":1}'),
    Close(4),
    Block(5, Form.TOOL, "call_b", "apply_patch"),
    Piece(5, '{"input":"x"}'),
    Close(5),
    Finish(Reason.TOOLS),
    Usage(9, 7, 4, 2, 5),
    End(),
]


def test_4_2() -> None:
    called = {"m__g": Tool("g", namespace="m"), "apply_patch": Tool("apply_patch", custom=True)}
    document = answer(WHOLE, Request("responses", called=called, echo={"instructions": "Be kind."}))
    source = {"type": "url_citation", "start_index": 0, "end_index": 5, "url": "https://a.example"}
    assert document == {
        "id": "resp_9f",
        "object": "response",
        "created_at": 17,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": "Be kind.",
        "max_output_tokens": None,
        "model": "m-1",
        "output": [
            {
                "id": "rs_t1_0",
                "type": "reasoning",
                "summary": [],
                "content": [{"type": "reasoning_text", "text": "Hm."}],
            },
            {
                "id": "msg_t1_1",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": [
                    {
                        "type": "output_text",
                        "text": "Look.",
                        "annotations": [{**source, "title": "A"}],
                        "logprobs": [],
                    },
                    {"type": "refusal", "refusal": "No."},
                ],
            },
            {
                "id": "fc_t1_2",
                "type": "function_call",
                "status": "completed",
                "arguments": '{"a":1}',
                "call_id": "call_a",
                "name": "g",
                "namespace": "m",
            },
            {
                "id": "ctc_t1_3",
                "type": "custom_tool_call",
                "status": "completed",
                "input": "x",
                "call_id": "call_b",
                "name": "apply_patch",
            },
        ],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": False,
        "temperature": None,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "truncation": "disabled",
        "usage": {
            "input_tokens": 9,
            "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
            "output_tokens": 7,
            "output_tokens_details": {"reasoning_tokens": 5},
            "total_tokens": 16,
        },
        "user": None,
        "metadata": {},
    }


def test_4_2_nothing_at_all() -> None:
    document = answer([Open(), Finish(Reason.STOP), End()], Request("responses"))
    assert (document["output"], document["usage"]) == ([], None)


def test_an_answer_without_an_end_is_none() -> None:
    unfinished = ResponsesAnswer(CONTEXT, Request("responses"))
    unfinished.take(Open())
    with pytest.raises(Malformed):
        unfinished.document()


@given(legal_deltas())
@settings(thorough)
def test_any_answer_is_what_the_last_event_of_its_stream_says(deltas: list[Delta]) -> None:
    request = Request("responses", called=TOOLS, thinking=Thinking(summary="auto", sealed=True))
    assert answer(deltas, request) == encoded(deltas, request)[-1].payload["response"]


@with_corpus
def test_a_recorded_stream_as_a_document_and_as_a_stream_again() -> None:
    for name in names(RECORDED):
        if name == "openai--prism--openai-stream-rate-limited-1":
            continue
        deltas = decoded(stream(RECORDED / f"{name}.sse"))
        document = answer(deltas, Request("responses", thinking=Thinking(summary="auto", sealed=True)))
        frames = Responses.stream_of(document, CONTEXT)
        again = decoded([Event(frame.event, frame.payload) for frame in frames])
        spoken = [said for said in said_in(deltas) if said.text]
        assert [said for said in said_in(again) if said.text] == spoken, name
        assert finish_of(again) == finish_of(deltas), name
