"""Messages frames as deltas, row by row of the mapping, and over every recorded stream."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

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
from relay.dialects.messages_decoding import MessagesDecoder
from relay.dialects.request import Request
from tests.dialects.drive import Event, events
from tests.dialects.messages_kit import (
    END,
    PING,
    delta,
    files,
    finish,
    message_start,
    named,
    run,
    start,
    stop,
    text,
)
from tests.dialects.messages_telling import Tale, decoded, of_deltas, of_frames

START = message_start()


def deltas_of(*payloads: dict[str, Any]) -> list[Delta]:
    return decoded(MessagesDecoder(Request("chat")), named(*payloads))


def after_start(*payloads: dict[str, Any]) -> list[Delta]:
    """What these say, one frame after the other, behind a message_start."""
    return deltas_of(START, *payloads)[1:]


def web(url: str | None, **more: Any) -> dict[str, Any]:
    return {"type": "web_search_result_location", "url": url, "cited_text": "x"} | more


TOOL = Block(0, Form.TOOL, "toolu_a", "f")

ROWS: dict[str, tuple[list[dict[str, Any]], list[Delta]]] = {
    "5.3-text_delta": ([start("text"), text("Hi")], [Block(0, Form.TEXT), Piece(0, "Hi")]),
    "5.3-text_delta-empty": ([start("text"), text("")], [Block(0, Form.TEXT)]),
    "5.3-text-in-the-start": (
        [start("text", text="Hi"), stop()],
        [Block(0, Form.TEXT), Piece(0, "Hi"), Close(0)],
    ),
    "5.3-thinking_delta": (
        [start("thinking"), delta("thinking", "Hm")],
        [Block(0, Form.REASONING), Piece(0, "Hm")],
    ),
    "6.2-signature_delta": (
        [start("thinking"), delta("thinking", "Hm"), delta("signature", "c2ln"), stop()],
        [Block(0, Form.REASONING), Piece(0, "Hm"), Close(0, "c2ln")],
    ),
    "6.2-signature-without-thinking": (
        [start("thinking"), delta("signature", "c2ln"), stop()],
        [Block(0, Form.REASONING), Close(0, "c2ln")],
    ),
    "6.2-signature-in-the-start": (
        [start("thinking", signature="c2ln"), stop()],
        [Block(0, Form.REASONING), Close(0, "c2ln")],
    ),
    "6.2-signature-twice": (
        [start("thinking"), delta("signature", "YQ"), delta("signature", "Yg"), stop()],
        [Block(0, Form.REASONING), Close(0, "Yg")],
    ),
    "6.2-redacted_thinking": (
        [start("redacted"), stop()],
        [Block(0, Form.REASONING, sealed="QQ"), Close(0)],
    ),
    "5.3-tool_use": (
        [
            start("tool"),
            delta("input_json", ""),
            delta("input_json", '{"a"'),
            delta("input_json", ":1}"),
            stop(),
        ],
        [TOOL, Piece(0, '{"a"'), Piece(0, ":1}"), Close(0)],
    ),
    "5.3-tool_use-no-arguments": ([start("tool"), stop()], [TOOL, Close(0)]),
    "5.3-tool_use-remembered-input": (
        [start("tool", input={"a": [1, None]}), stop()],
        [TOOL, Piece(0, '{"a":[1,null]}'), Close(0)],
    ),
    "5.3-tool_use-input-again-as-deltas": (
        [start("tool", input={"a": 1}), delta("input_json", '{"a":1}'), stop()],
        [TOOL, Piece(0, '{"a":1}'), Close(0)],
    ),
    "6.2-tool-incomplete-waits": (
        [start("tool"), delta("input_json", '{"a'), stop()],
        [TOOL, Piece(0, '{"a')],
    ),
    "6.2-tool-incomplete-max_tokens": (
        [start("tool"), delta("input_json", '{"a'), stop(), finish("max_tokens")],
        [TOOL, Piece(0, '{"a'), Close(0, whole=False), Usage(11, 4)],
    ),
    "6.2-tool-incomplete-otherwise": (
        [start("tool"), delta("input_json", '{"a'), stop(), finish("tool_use")],
        [TOOL, Piece(0, '{"a'), Close(0), Usage(11, 4)],
    ),
    "6.2-tool-incomplete-followed-by-another": (
        [start("tool"), delta("input_json", '{"a'), stop(), start("text", 1)],
        [TOOL, Piece(0, '{"a'), Close(0), Block(1, Form.TEXT)],
    ),
    "6.2-tool-complete-max_tokens": (
        [start("tool"), delta("input_json", "{}"), stop(), finish("max_tokens")],
        [TOOL, Piece(0, "{}"), Close(0), Usage(11, 4)],
    ),
    "6.2-citations_delta-with-url": (
        [start("text"), delta("citations", web("https://a.example", title="A")), text("Hi")],
        [Block(0, Form.TEXT), Cite(0, "https://a.example", "A"), Piece(0, "Hi")],
    ),
    "6.2-citations-in-the-start": (
        [start("text", citations=[web("https://a.example")])],
        [Block(0, Form.TEXT), Cite(0, "https://a.example")],
    ),
    "6.2-citations_delta-without-url": (
        [start("text"), delta("citations", {"type": "char_location", "document_index": 0})],
        [Block(0, Form.TEXT)],
    ),
    "5.2-server-tools": (
        [start("server"), delta("input_json", '{"query"'), stop(), start("tool", 1)],
        [Block(1, Form.TOOL, "toolu_a", "f")],
    ),
    "5.3-other-blocks-and-deltas": (
        [start("unknown"), delta("sparkle", "x"), stop(), start("text", 1), delta("sparkle", "x", 1)],
        [Block(1, Form.TEXT)],
    ),
    "5.3-ping": ([PING], [Ping()]),
    "5.3-unknown-event": ([{"type": "sparkle"}], []),
}


@pytest.mark.parametrize("row", ROWS)
def test_a_row_of_the_mapping(row: str) -> None:
    payloads, deltas = ROWS[row]
    assert after_start(*payloads) == deltas


def test_each_frame_is_answered_at_once() -> None:
    decoder = MessagesDecoder(Request("chat"))
    stream = named(START, start("text"), text("a"), stop(), finish(), END)
    answers = [decoded(decoder, [event]) for event in stream]
    assert [len(answer) for answer in answers] == [1, 1, 1, 1, 1, 2]


def test_5_3_message_start() -> None:
    assert deltas_of(START) == [Open("msg_1", document=START["message"])]


@pytest.mark.parametrize(
    ("reason", "neutral"),
    [
        ("end_turn", Reason.STOP),
        ("pause_turn", Reason.STOP),
        ("tool_use", Reason.TOOLS),
        ("max_tokens", Reason.LENGTH),
        ("model_context_window_exceeded", Reason.LENGTH),
        ("refusal", Reason.FILTER),
        ("sparkle", Reason.STOP),
        (None, Reason.STOP),
    ],
)
def test_8_stop_reasons(reason: str | None, neutral: Reason) -> None:
    assert after_start(finish(reason), END) == [Usage(11, 4), Finish(neutral), End()]


def test_8_stop_sequence() -> None:
    last = finish("stop_sequence")
    last["delta"]["stop_sequence"] = "END"
    assert after_start(last, END)[-2:] == [Finish(Reason.SEQUENCE, "END"), End()]


def test_8_the_last_stop_reason_holds() -> None:
    assert after_start(finish("end_turn"), finish(None), END)[-2:] == [Finish(Reason.STOP), End()]
    assert after_start(finish(None), finish("max_tokens"), END)[-2:] == [Finish(Reason.LENGTH), End()]


def test_9_usage_of_both_events_is_merged() -> None:
    usage = {
        "input_tokens": 10,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 1000,
        "output_tokens": 1,
    }
    last = finish()
    last["usage"] |= {"output_tokens_details": {"thinking_tokens": 3}, "input_tokens": 20}
    said = deltas_of(message_start(usage=usage), last, END)
    assert said[1] == Usage(input=1120, output=4, cached=100, cache_write=1000, reasoning=3)


def test_a_whole_answer_in_message_start() -> None:
    content = [
        {"type": "text", "text": "Hi"},
        {"type": "tool_use", "id": "toolu_a", "name": "f", "input": {"a": 1}},
        {"type": "tool_use", "id": "toolu_b", "name": "f", "input": {}},
    ]
    opened = message_start(content=content, stop_reason="tool_use")
    deltas = deltas_of(opened, END)
    assert of_deltas(deltas).reason is Reason.TOOLS
    assert [told.text for told in of_deltas(deltas).blocks] == ["Hi", '{"a":1}', ""]


def test_pieces_that_the_hot_path_took_are_not_missed() -> None:
    """Only the last block can have been cut, whatever of it was seen."""
    seen = [
        start("tool"),
        delta("input_json", '{"a":'),
        stop(),
        start("tool", 1),
        stop(1),
        finish("max_tokens"),
    ]
    assert [said for said in after_start(*seen) if isinstance(said, Close)] == [Close(0), Close(1)]


# --- recorded streams -----------------------------------------------------------------------------


def neutral(tale: Tale) -> Tale:
    """With the stop reason and the counts of the dialect as deltas name them."""
    known = {
        "stop_sequence": Reason.SEQUENCE,
        "tool_use": Reason.TOOLS,
        "max_tokens": Reason.LENGTH,
        "model_context_window_exceeded": Reason.LENGTH,
        "refusal": Reason.FILTER,
    }
    tale.reason = known.get(str(tale.reason), Reason.STOP)
    counts = tale.counts
    cached, written = counts.get("cache_read_input_tokens", 0), counts.get("cache_creation_input_tokens", 0)
    tale.counts = {
        "input": counts.get("input_tokens", 0) + cached + written,
        "output": counts.get("output_tokens", 0),
        "cached": cached,
        "cache_write": written,
    }
    return tale


def passed(path: Path) -> list[Event]:
    """What the checker lets out."""
    ran = run(events(path.read_bytes()))
    return ran.out


@pytest.mark.parametrize("path", files("recorded/messages/*.sse"))
def test_recorded_streams(path: Path) -> None:
    stream = passed(path)
    tale = of_deltas(decoded(MessagesDecoder(Request("chat")), stream))
    assert tale.ended == "done"
    assert tale == neutral(of_frames(stream))


UNREADABLE = ("bad-json.sse", "raw-newline.sse")
"""Frames that are no JSON never reach a checker."""
OTHERS = [
    param
    for pattern in ("handwritten/messages/*.sse", "litellm/1.85.0/messages--*.sse")
    for param in files(pattern)
    if param.values[0] is None
    or not (param.values[0].name in UNREADABLE or param.values[0].read_bytes().lstrip().startswith(b"{"))
]


@pytest.mark.parametrize("path", OTHERS)
def test_whatever_the_checker_lets_out(path: Path) -> None:
    """An error frame never reaches a decoder; all before it does."""
    stream = [event for event in passed(path) if event.event != "error"]
    tale = of_deltas(decoded(MessagesDecoder(Request("chat")), stream))
    expected = neutral(of_frames(stream))
    if tale.ended == "done":
        assert tale == expected
    else:
        assert tale.blocks == expected.blocks
