"""Deltas as Messages frames, row by row of the mapping, and for any interleaving of blocks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from anthropic.types import RawMessageStreamEvent
from hypothesis import given, settings
from pydantic import TypeAdapter

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
from relay.dialects.frame import Frame
from relay.dialects.messages_decoding import MessagesDecoder
from relay.dialects.messages_encoding import MessagesEncoder
from relay.dialects.request import Request, Thinking, Tool
from tests.dialects.drive import CONTEXT, Event, events
from tests.dialects.messages_kit import CORPUS, delta, files, named, run, start, stop, text
from tests.dialects.messages_legal import verdict
from tests.dialects.messages_telling import EXAMPLES, Tale, Told, decoded, encoded, of_deltas, of_frames, runs


def encoder(request: Request | None = None) -> MessagesEncoder:
    return MessagesEncoder(CONTEXT, request or Request("messages"))


def frames_of(*deltas: Delta, request: Request | None = None) -> list[Event]:
    return encoded(encoder(request), deltas)


def after_open(*deltas: Delta, request: Request | None = None) -> list[Event]:
    return frames_of(Open("chatcmpl-1"), *deltas, request=request)[1:]


TEXT, THOUGHT, TOOL = Block("t", Form.TEXT), Block("r", Form.REASONING), Block("a", Form.TOOL, "toolu_a", "f")
SECOND = Block("b", Form.TOOL, "toolu_b", "g")
SOURCE = {
    "type": "web_search_result_location",
    "cited_text": "",
    "url": "https://a.example",
    "title": "A",
    "encrypted_index": "",
}


def called(index: int, ident: str, name: str) -> dict[str, Any]:
    return start("tool", index, id=ident, name=name)


ROWS: dict[str, tuple[list[Delta], list[dict[str, Any]]]] = {
    "3.3-reasoning": (
        [THOUGHT, Piece("r", "Hm"), Close("r")],
        [start("thinking"), delta("thinking", "Hm"), stop()],
    ),
    "3.3-reasoning-signed": (
        [THOUGHT, Piece("r", "Hm"), Close("r", "c2ln")],
        [start("thinking"), delta("thinking", "Hm"), delta("signature", "c2ln"), stop()],
    ),
    "3.3-reasoning-only-signed": (
        [THOUGHT, Close("r", "c2ln")],
        [start("thinking"), delta("signature", "c2ln"), stop()],
    ),
    "3.3-reasoning-empty": ([THOUGHT, Close("r")], []),
    "3.3-reasoning-sealed": (
        [Block("r", Form.REASONING, sealed="QQ"), Close("r")],
        [start("redacted"), stop()],
    ),
    "3.3-content": ([TEXT, Piece("t", "Hi"), Close("t")], [start("text"), text("Hi"), stop()]),
    "3.3-content-empty": ([TEXT, Close("t")], []),
    "3.3-content-not-begun-before-its-text": ([TEXT], []),
    "3.3-refusal": (
        [Block("n", Form.REFUSAL), Piece("n", "No"), Close("n")],
        [start("text"), text("No"), stop()],
    ),
    "3.3-switch-loses-nothing": (
        [THOUGHT, Piece("r", "Hm"), Close("r"), TEXT, Piece("t", "Hi")],
        [start("thinking"), delta("thinking", "Hm"), stop(), start("text", 1), text("Hi", 1)],
    ),
    "3.3-tool-begins-at-once": ([TOOL], [called(0, "toolu_a", "f")]),
    "3.3-tool-fragment": (
        [TOOL, Piece("a", '{"a"'), Piece("a", ":1}"), Close("a")],
        [called(0, "toolu_a", "f"), delta("input_json", '{"a"'), delta("input_json", ":1}"), stop()],
    ),
    "3.3-tool-no-arguments": ([TOOL, Close("a")], [called(0, "toolu_a", "f"), stop()]),
    "3.3-tool-cut": (
        [TOOL, Piece("a", '{"a'), Close("a", whole=False)],
        [called(0, "toolu_a", "f"), delta("input_json", '{"a'), stop()],
    ),
    "3.3-tool-without-id": ([Block("a", Form.TOOL, None, "f")], [called(0, "toolu_t1_0", "f")]),
    "3.3-tool-foreign-id-unchanged": (
        [Block("a", Form.TOOL, "functions.f:0", "f")],
        [called(0, "functions.f:0", "f")],
    ),
    "3.3-tool-interleaved-waits": (
        [TOOL, SECOND, Piece("b", "{"), Piece("a", "{}"), Piece("b", "}"), Close("a"), Close("b")],
        [
            called(0, "toolu_a", "f"),
            delta("input_json", "{}"),
            stop(),
            called(1, "toolu_b", "g"),
            delta("input_json", "{}", 1),
            stop(1),
        ],
    ),
    "3.3-text-beside-an-open-tool-waits": (
        [TOOL, TEXT, Piece("t", "Hi"), Close("t"), Close("a")],
        [called(0, "toolu_a", "f"), stop(), start("text", 1), text("Hi", 1), stop(1)],
    ),
    "3.3-empty-blocks-take-no-index": (
        [TEXT, Close("t"), Block("u", Form.TEXT), Piece("u", "Hi"), Close("u"), TOOL],
        [start("text"), text("Hi"), stop(), called(1, "toolu_a", "f")],
    ),
    "3.3-idle": ([Ping()], [{"type": "ping"}]),
    "cite": (
        [TEXT, Piece("t", "Hi"), Cite("t", "https://a.example", "A"), Close("t")],
        [start("text"), text("Hi"), delta("citations", SOURCE), stop()],
    ),
    "cite-before-its-text": (
        [TEXT, Cite("t", "https://a.example"), Piece("t", "Hi"), Close("t")],
        [start("text"), delta("citations", SOURCE | {"title": ""}), text("Hi"), stop()],
    ),
    "cite-of-no-text": ([TEXT, Cite("t", "https://a.example"), Close("t")], []),
}


@pytest.mark.parametrize("row", ROWS)
def test_a_row_of_the_mapping(row: str) -> None:
    deltas, payloads = ROWS[row]
    assert after_open(*deltas) == named(*payloads)


@pytest.mark.parametrize(
    ("ident", "said"),
    [
        ("chatcmpl-abc", "msg_abc"),
        ("resp_abc", "msg_abc"),
        ("msg_abc", "msg_abc"),
        ("gen-1-x", "msg_1-x"),
        ("abc", "msg_abc"),
        ("chatcmpl-", "msg_t1"),
        ("", "msg_t1"),
        (None, "msg_t1"),
    ],
)
def test_3_2_ids(ident: str | None, said: str) -> None:
    ((_, payload),) = frames_of(Open(ident))
    assert payload["message"]["id"] == said


def test_3_3_first_chunk() -> None:
    usage = {
        "input_tokens": 0,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 0,
    }
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m-1",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    assert frames_of(Open("chatcmpl-1")) == named({"type": "message_start", "message": message})


def test_3_3_usage_before_the_start_is_in_it() -> None:
    ((_, payload),) = frames_of(Usage(10, 0, cached=4), Open())
    assert payload["message"]["usage"]["input_tokens"] == 6
    assert payload["message"]["usage"]["cache_read_input_tokens"] == 4


CALL: list[Delta] = [TOOL, Close("a")]
NO: list[Delta] = [Block("n", Form.REFUSAL), Piece("n", "No"), Close("n")]


@pytest.mark.parametrize(
    ("blocks", "finish", "reason", "sequence"),
    [
        pytest.param([], Finish(Reason.STOP), "end_turn", None, id="8-stop"),
        pytest.param([], Finish(Reason.SEQUENCE, "END"), "stop_sequence", "END", id="8-stop-sequence"),
        pytest.param(CALL, Finish(Reason.STOP), "tool_use", None, id="8-stop-after-a-call"),
        pytest.param(CALL, Finish(Reason.TOOLS), "tool_use", None, id="8-tool_calls"),
        pytest.param([], Finish(Reason.TOOLS), "end_turn", None, id="8-tool_calls-without-any"),
        pytest.param(CALL, Finish(Reason.LENGTH), "max_tokens", None, id="8-length"),
        pytest.param([], Finish(Reason.FILTER), "refusal", None, id="8-content_filter"),
        pytest.param(NO, Finish(Reason.STOP), "refusal", None, id="8-refusal-text"),
        pytest.param(NO, Finish(Reason.LENGTH), "max_tokens", None, id="8-refusal-text-cut"),
    ],
)
def test_8_stop_reasons(blocks: list[Delta], finish: Finish, reason: str, sequence: str | None) -> None:
    *_, (_, said), last = after_open(*blocks, finish, End())
    assert said["delta"] == {"stop_reason": reason, "stop_sequence": sequence}
    assert last == Event("message_stop", {"type": "message_stop"})


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        pytest.param([], (0, 0, 0, 0, None), id="9-unknown"),
        pytest.param([Usage(10, 4)], (10, 0, 0, 4, None), id="9-no-details"),
        pytest.param([Usage(100, 4, 60, 30, 2)], (10, 30, 60, 4, 2), id="9-cached-is-subtracted"),
        pytest.param([Usage(10, 4, cached=60)], (0, 0, 60, 4, None), id="9-not-below-zero"),
        pytest.param([Usage(1, 1), Usage(10, 4)], (10, 0, 0, 4, None), id="9-the-last-holds"),
    ],
)
def test_9_usage(usage: list[Delta], counts: tuple[int, int, int, int, int | None]) -> None:
    for deltas in ([*usage, Finish(Reason.STOP), End()], [Finish(Reason.STOP), *usage, End()]):
        said = after_open(*deltas)[-2].payload["usage"]
        thinking = said.pop("output_tokens_details", {}).get("thinking_tokens")
        assert (*said.values(), thinking) == counts
        assert list(said) == [
            "input_tokens",
            "cache_creation_input_tokens",
            "cache_read_input_tokens",
            "output_tokens",
        ]


def test_3_3_failure_leaves_the_open_block_open_and_drops_what_waits() -> None:
    failure = Failure("Overloaded", 529, "overloaded_error")
    out = after_open(TOOL, Piece("a", "{"), SECOND, Piece("b", "{}"), failure)
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    assert out == named(called(0, "toolu_a", "f"), delta("input_json", "{"), error)
    assert verdict(frames_of(Open(), failure)) == "failed"


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (Failure("x"), "api_error"),
        (Failure("x", 400, "BadRequestError"), "invalid_request_error"),
        (Failure("x", 429, "requests", "rate_limit_exceeded"), "rate_limit_error"),
        (Failure("x", 503, "server_error", "slow_down"), "overloaded_error"),
        (Failure("x", 504), "timeout_error"),
    ],
)
def test_10_error_types(failure: Failure, kind: str) -> None:
    assert frames_of(failure) == named({"type": "error", "error": {"type": kind, "message": "x"}})


def test_3_1_thinking_display_omitted() -> None:
    request = Request("messages", thinking=Thinking(adaptive=True, hidden=True))
    sealed = Block("s", Form.REASONING, sealed="QQ")
    out = after_open(
        *(
            THOUGHT,
            Piece("r", "Hm"),
            Close("r", "c2ln"),
            sealed,
            Close("s"),
            TEXT,
            Piece("t", "Hi"),
            Close("t"),
        ),
        request=request,
    )
    assert out == named(start("text"), text("Hi"), stop())


def test_tool_names_are_the_clients() -> None:
    request = Request("messages", called={"f_1234": Tool("a much longer name")})
    ((_, payload),) = after_open(Block("a", Form.TOOL, "toolu_a", "f_1234"), request=request)
    assert payload["content_block"]["name"] == "a much longer name"


def test_signs_of_life() -> None:
    under_test = encoder()
    assert under_test.keep_alive() is None
    assert under_test.encode(Ping()) == []
    under_test.encode(Open())
    alive = under_test.keep_alive()
    assert alive is not None
    assert (alive.event, alive.payload) == ("ping", {"type": "ping"})
    for last in (Finish(Reason.STOP), End()):
        under_test.encode(last)
    assert under_test.keep_alive() is None
    assert under_test.encode(Ping()) == []


# --- any deltas ---------------------------------------------------------------------------------


def as_a_client_sees(tale: Tale) -> Tale:
    """What is told in words that Messages has: blocks that say nothing are gone, a refusal is text."""
    blocks: list[Told] = []
    for told in tale.blocks:
        if told.form != "tool" and not told.text and not told.signature and told.sealed is None:
            continue
        told.form = "text" if told.form == "refusal" else told.form
        blocks.append(told)
    tale.blocks = blocks
    return tale


@settings(max_examples=EXAMPLES)
@given(runs())
def test_any_run_of_deltas_is_a_legal_stream_that_tells_the_same(deltas: list[Delta]) -> None:
    out = frames_of(*deltas)
    assert verdict(out) == "complete"
    said, meant = of_frames(out), as_a_client_sees(of_deltas(deltas))
    made = [told.tool_id for told in said.blocks if (told.tool_id or "").startswith("toolu_t1_")]
    assert len(set(made)) == len(made)
    for told, intended in zip(said.blocks, meant.blocks, strict=True):
        told.tool_id = told.tool_id if intended.tool_id else None
        assert told == intended
    calls = any(told.form == "tool" for told in meant.blocks)
    assert said.sequence == (None if calls else meant.sequence)
    counts = meant.counts or dict.fromkeys(("input", "output", "cached", "cache_write"), 0)
    parts = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    assert sum(said.counts[part] for part in parts) == counts["input"]
    assert said.counts["output_tokens"] == counts["output"]
    checked = run(out)
    assert checked.out == out
    assert checked.checker.repairs == {}


EVENTS: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


@settings(max_examples=EXAMPLES)
@given(runs())
def test_the_sdk_reads_every_event(deltas: list[Delta]) -> None:
    for event, payload in frames_of(*deltas):
        if event != "ping":
            EVENTS.validate_json(json.dumps(payload), strict=True)


@settings(max_examples=EXAMPLES)
@given(runs())
def test_decoding_what_was_encoded_tells_the_same(deltas: list[Delta]) -> None:
    out = frames_of(*deltas)
    again = decoded(MessagesDecoder(Request("messages")), out)
    assert frames_of(*again)[1:] == out[1:]


@settings(max_examples=EXAMPLES)
@given(runs())
def test_the_hot_path_writes_what_encode_would_have(deltas: list[Delta]) -> None:
    """After every delta: either no short way, or one that leads to the same bytes."""
    under_test, twin = encoder(), encoder()
    last: Frame | None = None
    for step in deltas:
        frames = under_test.encode(step)
        twin.encode(step)
        last = frames[-1] if frames else None
        hot = under_test.more(json.dumps('é"\\\n')[1:-1].encode())
        if isinstance(step, Piece) and last is not None:
            assert hot is not None
            (frame,) = twin.encode(Piece(step.key, 'é"\\\n'))
            assert frame.event == last.event == "content_block_delta"
            assert orjson.loads(hot) == frame.payload
            plain = under_test.more(b"abc")
            (frame,) = twin.encode(Piece(step.key, "abc"))
            assert plain == orjson.dumps(frame.payload)
        elif not isinstance(step, Piece):
            assert hot is None
    assert verdict(frames_of(*deltas)) == "complete"


def test_no_hot_path_for_a_block_that_waits() -> None:
    under_test = encoder()
    for step in (Open(), TOOL, Piece("a", "{"), SECOND, Piece("b", "{")):
        under_test.encode(step)
    assert under_test.more(b"x") is None


# --- recorded streams ---------------------------------------------------------------------------


@pytest.mark.parametrize("path", files("recorded/messages/*.sse"))
def test_recorded_streams_decoded_and_encoded_again(path: Path) -> None:
    stream = run(events(path.read_bytes())).out
    out = frames_of(*decoded(MessagesDecoder(Request("messages")), stream))
    assert verdict(out) == "complete"
    said, was = of_frames(out), of_frames(stream)
    assert said.blocks == [
        told for told in was.blocks if told.form != "text" or told.text
    ]  # an empty text with citations
    reasons = {"pause_turn": "end_turn", "model_context_window_exceeded": "max_tokens"}
    assert said.reason == reasons.get(str(was.reason), was.reason)
    assert said.sequence == was.sequence
    counted = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    assert [said.counts[name] for name in counted] == [was.counts.get(name, 0) for name in counted]


SHAPES = (
    *("text", "tool-single", "tool-parallel", "text-then-tool", "thinking-then-text", "thinking-then-tool"),
    *("max-tokens", "max-tokens-tool", "refusal", "redacted-thinking", "tool-no-args", "stop-sequence"),
)


@pytest.mark.parametrize("name", SHAPES)
def test_the_shape_is_that_of_the_corpus(name: str) -> None:
    """Frame by frame, but for ids, model and usage."""
    path = CORPUS / f"handwritten/messages/{name}.sse"
    if not path.exists():
        pytest.skip("the corpus is not here")
    stream = run(events(path.read_bytes())).out
    out = frames_of(*decoded(MessagesDecoder(Request("messages")), stream))
    assert shaped(out) == shaped(stream)


def shaped(stream: list[Event]) -> list[Event]:
    found: list[Event] = []
    for event, payload in stream:
        if event in ("message_start", "ping") or payload.get("delta", {}).get("partial_json") == "":
            continue
        if event == "message_delta":
            payload = {"type": event, "delta": {"stop_details": None} | payload["delta"]}
            payload["delta"].pop("stop_details")
        found.append(Event(event, payload))
    return found
