"""Deltas as one Messages document, row by row of the mapping, and as the SDK reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from anthropic.types import Message
from hypothesis import given, settings

from relay.dialects.checker import Malformed
from relay.dialects.deltas import (
    Block,
    Cite,
    Close,
    Delta,
    End,
    Failure,
    Finish,
    Form,
    Open,
    Piece,
    Ping,
    Reason,
    Usage,
)
from relay.dialects.messages import Messages
from relay.dialects.messages_answer import MessagesAnswer
from relay.dialects.messages_decoding import MessagesDecoder
from relay.dialects.messages_encoding import MessagesEncoder
from relay.dialects.request import Request, Thinking, Tool
from tests.dialects.drive import CONTEXT, seen
from tests.dialects.messages_kit import files
from tests.dialects.messages_telling import EXAMPLES, decoded, encoded, of_frames, runs


def document_of(*deltas: Delta, request: Request | None = None) -> dict[str, Any]:
    answer = MessagesAnswer(CONTEXT, request or Request("messages"))
    for delta in deltas:
        answer.take(delta)
    return answer.document()


def whole(*blocks: Delta, reason: Reason = Reason.STOP, request: Request | None = None) -> dict[str, Any]:
    return document_of(Open("chatcmpl-1"), *blocks, Finish(reason), End(), request=request)


def block(form: Form, *texts: str, key: str = "k", **more: Any) -> list[Delta]:
    return [Block(key, form, **more), *(Piece(key, text) for text in texts), Close(key)]


def tool(*texts: str) -> list[Delta]:
    return block(Form.TOOL, *texts, tool_id="toolu_a", name="f")


def tool_use(arguments: dict[str, Any]) -> dict[str, Any]:
    return {"type": "tool_use", "id": "toolu_a", "name": "f", "input": arguments}


SOURCE = {
    "type": "web_search_result_location",
    "cited_text": "",
    "url": "https://a.example",
    "title": "",
    "encrypted_index": "",
}
ROWS: dict[str, tuple[list[Delta], list[dict[str, Any]]]] = {
    "3.2-reasoning": (
        block(Form.REASONING, "H", "m"),
        [{"type": "thinking", "thinking": "Hm", "signature": ""}],
    ),
    "3.2-reasoning-signed": (
        [Block("k", Form.REASONING), Close("k", "c2ln")],
        [{"type": "thinking", "thinking": "", "signature": "c2ln"}],
    ),
    "3.2-reasoning-sealed": (
        block(Form.REASONING, sealed="QQ"),
        [{"type": "redacted_thinking", "data": "QQ"}],
    ),
    "3.2-reasoning-empty": (block(Form.REASONING), []),
    "3.2-content": (block(Form.TEXT, "H", "i"), [{"type": "text", "text": "Hi"}]),
    "3.2-content-empty": (block(Form.TEXT), []),
    "3.2-tool_calls": (tool('{"a":', "1}"), [tool_use({"a": 1})]),
    "3.2-tool_calls-no-arguments": (tool(), [tool_use({})]),
    "3.2-tool_calls-blank-arguments": (tool(" "), [tool_use({})]),
    "3.2-nothing-at-all": ([], []),
    "cite": (
        [Block("k", Form.TEXT), Piece("k", "Hi"), Cite("k", "https://a.example"), Close("k")],
        [{"type": "text", "text": "Hi", "citations": [SOURCE]}],
    ),
    "ping": ([Ping()], []),
}


@pytest.mark.parametrize("row", ROWS)
def test_a_row_of_the_mapping(row: str) -> None:
    deltas, content = ROWS[row]
    assert whole(*deltas)["content"] == content


def test_3_2_interleaved_blocks_keep_the_order_in_which_they_began() -> None:
    first, second = tool("{}"), block(Form.TOOL, '{"b":2}', key="b", tool_id="toolu_b", name="g")
    mixed = [first[0], second[0], second[1], first[1], second[2], first[2]]
    assert [said["id"] for said in whole(*mixed)["content"]] == ["toolu_a", "toolu_b"]


def test_3_2_the_whole_document() -> None:
    deltas: list[Delta] = [
        Open("chatcmpl-1"),
        *block(Form.TEXT, "Hi"),
        Usage(10, 4, 6),
        Finish(Reason.STOP),
        End(),
    ]
    assert document_of(*deltas) == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m-1",
        "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 4,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 6,
            "output_tokens": 4,
        },
    }


def test_3_2_refusal() -> None:
    said = whole(*block(Form.REFUSAL, "No"))
    assert said["content"] == [{"type": "text", "text": "No"}]
    assert said["stop_reason"] == "refusal"


@pytest.mark.parametrize("arguments", ['{"a', "[1]", "1", "null", '{"a":1}{'])
def test_3_2_arguments_that_are_no_object(arguments: str) -> None:
    with pytest.raises(Malformed, match="f are not an object"):
        whole(*tool(arguments), reason=Reason.TOOLS)
    cut = whole(*block(Form.TEXT, "Hi", key="t"), *tool(arguments), reason=Reason.LENGTH)
    assert [said["type"] for said in cut["content"]] == ["text"]
    assert cut["stop_reason"] == "max_tokens"


def test_3_2_a_call_that_was_cut_is_left_out() -> None:
    begun = [Block("k", Form.TOOL, "toolu_a", "f"), Piece("k", "{}"), Close("k", whole=False)]
    assert whole(*begun, reason=Reason.LENGTH)["content"] == []


@pytest.mark.parametrize(
    ("reason", "calls", "said"),
    [
        (Reason.STOP, False, "end_turn"),
        (Reason.STOP, True, "tool_use"),
        (Reason.TOOLS, True, "tool_use"),
        (Reason.TOOLS, False, "end_turn"),
        (Reason.LENGTH, True, "max_tokens"),
        (Reason.FILTER, False, "refusal"),
    ],
)
def test_8_stop_reasons(reason: Reason, calls: bool, said: str) -> None:
    assert whole(*(tool() if calls else []), reason=reason)["stop_reason"] == said


def test_8_stop_sequence() -> None:
    said = document_of(Open(), Finish(Reason.SEQUENCE, "END"), End())
    assert (said["stop_reason"], said["stop_sequence"]) == ("stop_sequence", "END")


def test_3_1_thinking_display_omitted() -> None:
    request = Request("messages", thinking=Thinking(hidden=True))
    sealed = block(Form.REASONING, key="s", sealed="QQ")
    assert whole(*block(Form.REASONING, "Hm"), *sealed, request=request)["content"] == []


def test_tool_names_are_the_clients() -> None:
    request = Request("messages", called={"f": Tool("a much longer name")})
    assert whole(*tool(), request=request)["content"][0]["name"] == "a much longer name"


def test_ids_that_are_made_differ() -> None:
    calls = [*block(Form.TOOL, key="a", name="f"), *block(Form.TOOL, key="b", name="f")]
    assert len({said["id"] for said in whole(*calls)["content"]}) == 2


def test_a_failure_is_no_document() -> None:
    with pytest.raises(Malformed, match="broken"):
        document_of(Open(), Failure("broken"))


@settings(max_examples=EXAMPLES)
@given(runs())
def test_the_sdk_reads_any_answer_and_the_checker_takes_it_apart_into_the_same(deltas: list[Delta]) -> None:
    said = document_of(*deltas)
    read = Message.model_validate_json(json.dumps(said), strict=True)
    assert len(read.content) == len(said["content"])
    told = of_frames(seen(Messages.stream_of(said, CONTEXT)))
    streamed = of_frames(encoded(MessagesEncoder(CONTEXT, Request("messages")), deltas))
    assert [(one.form, one.name, one.signature, one.sealed) for one in told.blocks] == [
        (one.form, one.name, one.signature, one.sealed) for one in streamed.blocks
    ]
    assert [one.text for one in told.blocks if one.form != "tool"] == [
        one.text for one in streamed.blocks if one.form != "tool"
    ]
    assert told.counts == streamed.counts
    assert told.sequence == streamed.sequence


@pytest.mark.parametrize("path", files("recorded/messages/pairs/*.json"))
def test_recorded_documents_taken_apart_and_put_together_again(path: Path) -> None:
    response = json.loads(path.read_text())["response"]
    if not isinstance(response, dict) or response.get("type") != "message":
        pytest.skip("no answer")
    stream = seen(Messages.stream_of(response, CONTEXT))
    said = document_of(*decoded(MessagesDecoder(Request("messages")), stream))
    known = ("text", "thinking", "redacted_thinking", "tool_use")
    kept = [
        _bare(block) for block in response["content"] if block["type"] in known and block.get("text") != ""
    ]
    assert [_bare(block) for block in said["content"]] == kept
    assert said["stop_reason"] == {"pause_turn": "end_turn"}.get(
        response["stop_reason"], response["stop_reason"]
    )
    Message.model_validate_json(json.dumps(said), strict=True)


def _bare(block: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in block.items() if key not in ("citations", "caller")}
