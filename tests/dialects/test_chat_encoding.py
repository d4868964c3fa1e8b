"""Deltas → chat chunks: every row of the tables, legal by an independent reader and by openai-python."""

from __future__ import annotations

import json
import os
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.dialects.chat import Chat
from relay.dialects.chat_encoding import ChatEncoder
from relay.dialects.checker import Malformed
from relay.dialects.deltas import (
    Block,
    Cite,
    Close,
    Context,
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
from relay.dialects.request import Request, Tool
from tests.dialects.chat_deltas import (
    REQUEST,
    decoded,
    encoded,
    legal_deltas,
    told_by_chunks,
    told_by_deltas,
)
from tests.dialects.chat_reading import HANDWRITTEN, verdict
from tests.dialects.drive import CONTEXT, Event, events

MANY = settings(max_examples=500 if "CI" in os.environ else 300)
SHARED = {"id": "chatcmpl-t1", "object": "chat.completion.chunk", "created": 1763600000, "model": "m-1"}
CUSTOM = Tool("edit", custom=True)


def choice(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {**SHARED, "choices": [{"index": 0, "delta": delta, "finish_reason": finish, **more}]}


def tool(index: int, **more: Any) -> dict[str, Any]:
    return choice({"tool_calls": [{"index": index, **more}]})


def header(index: int, ident: str, name: str) -> dict[str, Any]:
    return tool(index, id=ident, type="function", function={"name": name, "arguments": ""})


def arguments(index: int, text: str) -> dict[str, Any]:
    return tool(index, function={"arguments": text})


def payloads(deltas: list[Delta], request: Request = REQUEST, context: Context = CONTEXT) -> list[Any]:
    """What leaves after the role chunk."""
    first, *rest = [payload for _, payload in encoded([Open(), *deltas], request, context)]
    assert first == choice({"role": "assistant", "content": ""})
    return rest


ROWS: dict[str, tuple[list[Delta], list[Any]]] = {
    "5.3 text": (
        [Block(0, Form.TEXT), Piece(0, "Hi"), Piece(0, "!"), Close(0)],
        [choice({"content": "Hi"}), choice({"content": "!"})],
    ),
    "5.3 thinking": (
        [Block(0, Form.REASONING), Piece(0, "Hm"), Close(0)],
        [choice({"reasoning_content": "Hm"})],
    ),
    "5.3 a signature": ([Block(0, Form.REASONING), Close(0, signature="x")], []),
    "5.3 redacted thinking": ([Block(0, Form.REASONING, sealed="x"), Close(0)], []),
    "7.2 refusal": ([Block(0, Form.REFUSAL), Piece(0, "No"), Close(0)], [choice({"refusal": "No"})]),
    "5.3 a tool": (
        [Block(7, Form.TOOL, "toolu_1", "f"), Piece(7, '{"a"'), Piece(7, ":1}"), Close(7)],
        [header(0, "toolu_1", "f"), arguments(0, '{"a"'), arguments(0, ":1}")],
    ),
    "5.3 a tool without arguments": (
        [Block(0, Form.TOOL, "toolu_1", "f"), Close(0)],
        [header(0, "toolu_1", "f"), arguments(0, "{}")],
    ),
    "8 a tool that was cut before its arguments": (
        [Block(0, Form.TOOL, "toolu_1", "f"), Close(0, whole=False)],
        [header(0, "toolu_1", "f")],
    ),
    "C8 tools are counted for themselves": (
        [
            *[Block(0, Form.TEXT), Piece(0, "Hi"), Close(0)],
            *[Block(1, Form.TOOL, "a", "f"), Piece(1, "{}"), Close(1)],
            *[Block(2, Form.TOOL, "b", "g"), Piece(2, "{}"), Close(2)],
        ],
        [
            choice({"content": "Hi"}),
            *[header(0, "a", "f"), arguments(0, "{}")],
            *[header(1, "b", "g"), arguments(1, "{}")],
        ],
    ),
    "7.2 tools interleave": (
        [
            Block(0, Form.TOOL, "a", "f"),
            Block(1, Form.TOOL, "b", "g"),
            *[Piece(0, "{"), Piece(1, "{"), Piece(0, "}"), Piece(1, "}")],
            *[Close(0), Close(1)],
        ],
        [
            header(0, "a", "f"),
            header(1, "b", "g"),
            *[arguments(0, "{"), arguments(1, "{"), arguments(0, "}"), arguments(1, "}")],
        ],
    ),
    "a tool without an id": (
        [Block(0, Form.TOOL, None, "f"), Close(0)],
        [header(0, "call_t1_0", "f"), arguments(0, "{}")],
    ),
    "7.2 annotations": ([Block(0, Form.TEXT), Piece(0, "Hi"), Cite(0, "https://a"), Close(0)],
        [choice({"content": "Hi"})]),
    "5.3 ping": ([Ping()], []),
    "8 end_turn": ([Finish(Reason.STOP), End()], [choice({}, "stop"), None]),
    "8 stop_sequence": ([Finish(Reason.SEQUENCE, "x"), End()], [choice({}, "stop"), None]),
    "8 max_tokens": ([Finish(Reason.LENGTH), End()], [choice({}, "length"), None]),
    "8 refusal": ([Finish(Reason.FILTER), End()], [choice({}, "content_filter"), None]),
    "8 tool_use without a call": ([Finish(Reason.TOOLS), End()], [choice({}, "stop"), None]),
    "8 end_turn after a call (C3)": (
        [Block(0, Form.TOOL, "a", "f"), Piece(0, "{}"), Close(0), Finish(Reason.STOP), End()],
        [header(0, "a", "f"), arguments(0, "{}"), choice({}, "tool_calls"), None],
    ),
    "9 usage": (
        [Usage(5, 2, 3, 1, 0), Finish(Reason.STOP), End()],
        [
            choice({}, "stop"),
            {
                **SHARED,
                "choices": [],
                "usage": {
                    "prompt_tokens": 5,
                    "completion_tokens": 2,
                    "total_tokens": 7,
                    "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 1},
                    "completion_tokens_details": {"reasoning_tokens": 0},
                },
            },
            None,
        ],
    ),
    "9 usage after the finish; the last counts": (
        [Usage(5, 1), Finish(Reason.STOP), Usage(5, 2), End()],
        [
            choice({}, "stop"),
            {
                **SHARED,
                "choices": [],
                "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
            },
            None,
        ],
    ),
    "9 unknown usage": ([Finish(Reason.STOP), End()], [choice({}, "stop"), None]),
    "10 a failure, and nothing after it": (
        [Block(0, Form.TEXT), Piece(0, "Hi"), Failure("gone", 500), Close(0), End()],
        [
            choice({"content": "Hi"}),
            {
                "error": {
                    "message": "gone",
                    "type": "server_error",
                    "param": None,
                    "code": "server_error",
                }
            },
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
def test_row(row: str) -> None:
    deltas, chunks = ROWS[row]
    assert payloads(deltas) == chunks


def test_the_failure_is_the_one_that_the_checker_writes() -> None:
    failure = Failure("gone", 429, None, "slow", param="model")
    checker = Chat(CONTEXT)
    (frame,) = checker.fail(failure)
    assert encoded([failure]) == [Event(frame.event, frame.payload)]
    assert frame.payload is not None
    assert frame.payload["error"]["param"] == "model"


def test_7_1_usage_only_where_it_was_asked_for() -> None:
    deltas: list[Delta] = [Usage(5, 2), Finish(Reason.STOP), End()]
    assert payloads(deltas, Request("chat")) == [choice({}, "stop"), None]


@pytest.mark.parametrize(
    ("upstreams", "ident"),
    [
        ("msg_01Ab", "chatcmpl-01Ab"),
        ("resp_68", "chatcmpl-68"),
        ("chatcmpl-9", "chatcmpl-9"),
        ("gen-17", "chatcmpl-gen-17"),
        (None, "chatcmpl-t1"),
        ("", "chatcmpl-t1"),
    ],
)
def test_1_the_id_keeps_its_suffix_and_the_model_is_the_clients(upstreams: str | None, ident: str) -> None:
    deltas: list[Delta] = [Open(upstreams, 17), Finish(Reason.STOP), Usage(1, 1), End()]
    chunks = [payload for _, payload in encoded(deltas) if payload]
    assert len(chunks) == 3
    assert {(c["id"], c["model"], c["created"]) for c in chunks} == {(ident, "m-1", 17)}


def test_names_of_tools_are_the_clients() -> None:
    request = Request("chat", called={"long_1234": Tool("long name")})
    assert payloads([Block(0, Form.TOOL, "a", "long_1234")], request) == [header(0, "a", "long name")]


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (['{"input": "a\\n', 'b"}'], "a\nb"),
        (['{"input": 3}'], '{"input": 3}'),
        (["[]"], "[]"),
        (['{"inp'], '{"inp'),
    ],
)
def test_a_custom_tool_gets_its_input_as_text_when_it_is_whole(pieces: list[str], text: str) -> None:
    request = Request("chat", called={"edit": CUSTOM})
    given_: list[Delta] = [Block(0, Form.TOOL, "a", "edit"), *(Piece(0, piece) for piece in pieces), Close(0)]
    assert payloads(given_, request) == [
        tool(0, id="a", type="custom", custom={"name": "edit", "input": ""}),
        tool(0, custom={"input": text}),
    ]


def test_the_input_of_a_custom_tool_is_bounded() -> None:
    encoder = ChatEncoder(CONTEXT, Request("chat", called={"edit": CUSTOM}))
    encoder.encode(Open())
    encoder.encode(Block(0, Form.TOOL, "a", "edit"))
    for _ in range(8):
        assert encoder.encode(Piece(0, "x" * (1 << 20))) == []
    with pytest.raises(Malformed, match="too long"):
        encoder.encode(Piece(0, "x"))


def test_log_probabilities_go_with_their_text() -> None:
    token = {"token": "Hi", "logprob": -0.1, "bytes": None, "top_logprobs": []}
    said = payloads([Block(0, Form.TEXT), Piece(0, "Hi", [token])])
    assert said == [choice({"content": "Hi"}, logprobs={"content": [token], "refusal": None})]


def test_every_delta_leaves_in_its_own_call() -> None:
    encoder = ChatEncoder(CONTEXT, REQUEST)
    deltas: list[Delta] = [
        *[Open(), Block(0, Form.TEXT), Piece(0, "a"), Close(0)],
        *[Block(1, Form.TOOL, "t", "f"), Piece(1, "{}"), Close(1), Finish(Reason.STOP), End()],
    ]
    assert [len(encoder.encode(delta)) for delta in deltas] == [1, 0, 1, 0, 1, 1, 0, 1, 1]
    assert encoder.keep_alive() is None


PAIRS = [
    *("text", "tool-single", "tool-parallel", "tool-parallel-interleaved", "text-then-tool"),
    *("reasoning-then-text", "reasoning-then-tool", "refusal", "length", "content-filter"),
    *("tool-args-truncated", "text-usage"),
]


@pytest.mark.skipif(not HANDWRITTEN.is_dir(), reason="the recorded streams are not beside this project")
@pytest.mark.parametrize("name", PAIRS)
def test_2_the_shape_is_that_of_the_written_example(name: str) -> None:
    """Chunk by chunk; the example may say in one what relay says in several."""
    example = events((HANDWRITTEN / f"{name}.sse").read_bytes())
    made = encoded(decoded(example))
    assert verdict(made) == "complete"
    assert told_by_chunks(made) == told_by_chunks(example)
    assert set(keys(made)) <= set(keys(example)) | {("choices", "delta", "content")}


def keys(stream: list[Event]) -> list[tuple[str, ...]]:
    """Where in the chunks something stands."""
    return [path for _, payload in stream if payload is not None for path in _keys(payload)]


def _keys(value: Any) -> list[tuple[str, ...]]:
    if isinstance(value, list):
        return [path for inner in value for path in _keys(inner)]
    if not isinstance(value, dict):
        return [()]
    return [(key, *path) for key, inner in value.items() for path in [(), *_keys(inner)]]


# --- any deltas ---------------------------------------------------------------------------------


@MANY
@given(legal_deltas())
def test_any_legal_deltas_become_a_legal_stream_that_says_the_same(deltas: list[Delta]) -> None:
    stream = encoded(deltas)
    assert verdict(stream) == "complete"
    before, after = told_by_deltas(deltas), told_by_chunks(stream)
    for call in before.calls:
        call[2] = call[2] or "{}"
    if before.finish in ("stop", "tools", "sequence"):
        before.finish = "tools" if before.calls else "stop"
    assert after == before


@settings(MANY, max_examples=MANY.max_examples // 3)
@given(legal_deltas())
def test_openai_python_adds_the_chunks_up_to_the_same(deltas: list[Delta]) -> None:
    chat = pytest.importorskip("openai.lib.streaming.chat")
    types = pytest.importorskip("openai.types.chat")
    *rest, _ = deltas
    deltas = [Finish(Reason.STOP) if isinstance(delta, Finish) else delta for delta in rest] + [End()]
    state = chat.ChatCompletionStreamState()
    for _, payload in encoded(deltas):
        if payload is not None:
            state.handle_chunk(types.ChatCompletionChunk.model_validate(payload, strict=False))
    message = state.get_final_completion().choices[0].message
    told = told_by_deltas(deltas)
    assert (message.content or "") == told.text
    assert (message.refusal or "") == told.refusal
    calls = [[call.id, call.function.name, call.function.arguments] for call in message.tool_calls or []]
    assert calls == [[ident, name, text or "{}"] for ident, name, text in told.calls]


@MANY
@given(legal_deltas(), st.text(max_size=8))
def test_the_short_way_gives_the_bytes_of_the_long_one(deltas: list[Delta], text: str) -> None:
    encoder = ChatEncoder(CONTEXT, REQUEST)
    inside = orjson.dumps(text)[1:-1]
    assert encoder.more(inside) is None
    pieces = 0
    for delta in deltas:
        encoder.encode(delta)
        if not isinstance(delta, Piece):
            assert encoder.more(inside) is None
            continue
        pieces += 1
        short = encoder.more(inside)
        assert encoder.more(inside) == short
        (frame,) = encoder.encode(Piece(delta.key, text))
        assert short == orjson.dumps(frame.payload)
    assert pieces == sum(isinstance(delta, Piece) for delta in deltas)


def test_there_is_no_short_way_for_what_is_held_or_has_more_to_say() -> None:
    encoder = ChatEncoder(CONTEXT, Request("chat", called={"edit": CUSTOM}))
    encoder.encode(Open())
    for block, piece in (
        (Block(0, Form.TOOL, "a", "edit"), Piece(0, "{")),
        (Block(1, Form.TEXT), Piece(1, "a", [{"token": "a"}])),
    ):
        encoder.encode(block)
        encoder.encode(piece)
        assert encoder.more(b"x") is None


def test_half_a_character_in_the_models_name_only_takes_the_short_way() -> None:
    encoder = ChatEncoder(Context("t1", 1, "m\ud800"), REQUEST)
    encoder.encode(Open())
    encoder.encode(Block(0, Form.TEXT))
    (frame,) = encoder.encode(Piece(0, "a"))
    assert json.loads(json.dumps(frame.payload))["model"] == "m\ud800"
    assert encoder.more(b"x") is None
