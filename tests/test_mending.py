"""Mender: which frames leave as they came, which are patched where they lie, which are written anew."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.dialects.checker import Malformed, Truncated
from relay.dialects.deltas import Failure
from relay.mending import FRAME_RULES, Mender
from relay.wire.framing import Buffer
from tests.cuts import every_way
from tests.dialects.drive import Event, events
from tests.streams import Sample, checked, download, handwritten, mender_of
from tests.wire.event_stream import frames

SAMPLES = handwritten()
NOTHING_OFF: frozenset[str] = frozenset()


def chunk(delta: str = '{"content":"a"}', finish: str = "null", more: str = "") -> bytes:
    """A chat chunk as compact servers write it."""
    choice = f'{{"index":0,"delta":{delta},"finish_reason":{finish}{more}}}'
    return (
        f'{{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{choice}]}}'.encode()
    )


START = b"data: " + chunk('{"role":"assistant","content":"a"}') + b"\n\n"
TEXT = b"data: " + chunk() + b"\n\n"
FINISH = b"data: " + chunk("{}", '"stop"') + b"\n\n"
DONE = b"data: [DONE]\n\n"
MESSAGE = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": []}
MESSAGE |= {"stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}}
MESSAGE_START = (
    b"event: message_start\ndata: %b\n\n" % json.dumps({"type": "message_start", "message": MESSAGE}).encode()
)
PING = b'event: ping\ndata: {"type":"ping"}\n\n'


def taken(mender: Mender, text: bytes, kind: Callable[[bytes], bytes] = bytearray) -> bytes | None:
    """What leaves for these whole frames; None when they leave as they came."""
    data = kind(text)
    out = mender.take(data, memoryview(data), 0, len(data))
    return None if out is None else b"".join(out)


# --- each rule of this module -------------------------------------------------------------------

STREAM = START + TEXT + FINISH + DONE
RULES: list[tuple[str, str, bytes, bytes]] = [
    ("frame-bom", "chat", b"\xef\xbb\xbf" + STREAM, STREAM),
    ("frame-bom", "chat", b"\xef\xbb\xbf: hello\n\n" + STREAM, b": hello\n\n" + STREAM),
    ("frame-lone-cr", "chat", STREAM.replace(b"\n", b"\r"), STREAM),
    ("frame-empty-data", "chat", START + b"data:\n\n" + TEXT, START + b":ata:\n\n" + TEXT),
    ("frame-empty-data", "chat", START + b"data\n\n" + TEXT, START + b":ata\n\n" + TEXT),
    ("frame-empty-data", "chat", START + b"data:  \n\n" + TEXT, START + b":ata:  \n\n" + TEXT),
    ("frame-empty-data", "responses", b"event: a\ndata: \n\n", b":vent: a\n:ata: \n\n"),
    ("frame-empty-data", "messages", MESSAGE_START + b"data:\n\n", MESSAGE_START + b":ata:\n\n"),
    ("frame-event-only", "chat", START + b"event: ping\r\n\r\n", START + b":vent: ping\r\n\r\n"),
    ("frame-event-only", "messages", MESSAGE_START + b"event: x\n\n", MESSAGE_START + b":vent: x\n\n"),
    ("frame-retry", "chat", START + b"retry: 9\n\n" + TEXT, START + b":etry: 9\n\n" + TEXT),
    ("frame-retry", "responses", b"id: 7\nretry: 9\n\n", b":d: 7\n:etry: 9\n\n"),
    (
        "frame-blank-after-id",
        "chat",
        b"id: 1\n" + START + b": ping\n\n" + TEXT,
        b"id: 1\n" + START + b": ping\n" + TEXT,
    ),
    ("frame-blank-after-id", "chat", b"id: 1\n" + START + b"\n" + TEXT, b"id: 1\n" + START + TEXT),
    (
        "frame-blank-after-id",
        "chat",
        b"id: 1\r\n" + START + b": a\r\n: b\r\n\r\n" + TEXT,
        b"id: 1\r\n" + START + b": a: b\n" + TEXT,
    ),
    ("frame-done-blank", "chat", START + FINISH + b"data: [DONE] \n\n", START + FINISH + DONE),
    ("frame-done-blank", "chat", START + FINISH + b"data: [DONE]x\n\n", START + FINISH + DONE),
    (
        "frame-not-a-number",
        "chat",
        b"data: " + chunk(more=',"logprobs":{"content":[{"logprob":NaN}]}') + b"\n\n",
        b"data: " + chunk('{"content":"a","role":"assistant"}', more=',"logprobs":null}') + b"\n\n",
    ),
    (
        "frame-single-newline",
        "chat",
        START.rstrip() + b"\n" + TEXT.rstrip() + b"\n" + FINISH.rstrip() + b"\n" + DONE,
        STREAM,
    ),
]


@pytest.mark.parametrize(("rule", "dialect", "before", "after"), RULES)
@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_what_no_dialect_is_needed_for_is_mended(
    rule: str, dialect: str, before: bytes, after: bytes, kind: Callable[[bytes], bytes]
) -> None:
    mender = mender_of(dialect)
    out = taken(mender, before, kind)
    if rule == "frame-not-a-number":  # the checker mends it too: what it says counts
        assert out is not None
        assert events(out)[0].payload["choices"][0]["logprobs"] is None
    else:
        assert out == after
    assert mender.repairs[rule] >= 1


def test_every_rule_has_its_line_and_its_example() -> None:
    elsewhere = {"frame-final-blank", "frame-json-body"}  # below: they are no frames
    assert {rule for rule, *_ in RULES} | elsewhere == set(FRAME_RULES)
    assert all(FRAME_RULES.values())


def test_an_event_without_data_is_a_ping_to_a_messages_client_only() -> None:
    assert taken(mender_of("messages"), MESSAGE_START + b"event: ping\n\n") is None
    assert taken(mender_of("responses"), b"event: ping\n\n") == b":vent: ping\n\n"


@pytest.mark.parametrize(
    "text",
    [
        STREAM,
        STREAM.replace(b"\n", b"\r\n"),
        STREAM.replace(b"data: ", b"data:"),
        START + b": ping\n\n" + TEXT,
        b": ping\n" + START,
        START + b"\n\n\n" + TEXT,
        START + b"other: field\n\n" + TEXT,
        b"id: 1\n" + START + TEXT,
        b"id: 1\n" + START + b": a single line\n" + TEXT,
        # Only an id is remembered by a client; retry is not.
        b"retry: 9\n" + START + b": ping\n\n" + TEXT,
        b"data: "
        + chunk('{"content":"NaN Infinity 1e999"}').replace(b"{}", b'{"role":"assistant"}')
        + b"\n\n",
        START.replace(b'"index"', b'\ndata: "index"') + TEXT,
    ],
)
@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_a_legal_run_leaves_as_it_came(text: bytes, kind: Callable[[bytes], bytes]) -> None:
    mender, data = mender_of("chat", off=frozenset({"chat-role-missing"})), kind(text)
    assert mender.take(data, memoryview(data), 0, len(data)) is None
    assert mender.repairs == {}
    assert data == text


def test_several_numbers_that_are_none_are_all_mended() -> None:
    mender = mender_of("chat", off=frozenset({"chat-role-missing"}))
    usage = b'{"a":NaN,"b":[-Infinity,{"c":Infinity}],"d":1e999,"e":1.5}'
    out = taken(mender, TEXT.replace(b'"created":1', b'"created":1,"x":' + usage))
    assert out is not None
    assert events(out)[0].payload["x"] == {"a": None, "b": [None, {"c": None}], "d": None, "e": 1.5}
    assert b"NaN" not in out


@pytest.mark.parametrize("key", ["\\ud83d", "\\u0061", 'x\\"y', "a/b", "a\\/b", "", "é", "created"])
def test_a_number_that_is_none_may_have_any_name(key: str) -> None:
    mender = mender_of("chat", off=frozenset({"chat-role-missing"}))
    out = taken(mender, TEXT.replace(b'"created":1', b'"created":1,"x":{"%b":NaN}' % key.encode()))
    assert out is not None
    assert list(events(out)[0].payload["x"].values()) == [None]
    assert b"NaN" not in out


@pytest.mark.parametrize("depth", [10, 250, 400, 900, 1100, 100_000])
def test_depth_is_no_way_to_break_it(depth: int) -> None:
    deep = b"[" * depth + b"NaN" + b"]" * depth
    text = TEXT.replace(b'"created":1', b'"created":1,"x":' + deep)
    try:
        out = taken(mender_of("chat"), text)
    except Malformed as fault:
        assert re.search("nested too deeply|not JSON", str(fault))  # noqa: PT017
        assert depth > 250
    else:
        assert out is not None
        assert b"NaN" not in out


# --- runs of frames -----------------------------------------------------------------------------


def test_only_what_was_mended_is_no_view_of_the_same_bytes() -> None:
    data = bytearray(START + TEXT + b"data:\n\n" + TEXT + b"event: ping\ndata: {}\n\n" + TEXT)
    out = mender_of("chat").take(data, memoryview(data), 0, len(data))
    assert out is not None
    assert b"".join(out) == START + TEXT + b":ata:\n\n" + TEXT + b":vent: ping\n:ata: {}\n\n" + TEXT
    assert all(isinstance(buffer, memoryview) and buffer.obj is data for buffer in out)
    assert len(out) == 5


@pytest.mark.parametrize("before", [b"", b"\n\n", b"\xff" * 7])
def test_a_run_may_lie_anywhere_in_the_buffer(before: bytes) -> None:
    for text, after in ((START + b"data:\n\n", START + b":ata:\n\n"), (START + TEXT, None)):
        data = bytearray(before + text + b"data: {\n\n")
        out = mender_of("chat").take(data, memoryview(data), len(before), len(before + text))
        assert (None if out is None else b"".join(out)) == after
        assert data.startswith(before)
        assert data.endswith(b"data: {\n\n")


@pytest.mark.parametrize(
    "frame",
    [b"data: {\n\n", b"data: 7\n\n", b'data: "a"\n\n', b"data: null\n\n", b"data: [1]\n\n", b"data: {}}\n\n",
     b'data: {"a": "raw\nnewline"}\n\n', b"data: \xff\n\n", b"data: {\ndata: {\n\n"],
)  # fmt: skip
@pytest.mark.parametrize("dialect", ["chat", "messages", "responses"])
def test_a_frame_that_is_no_json_object_is_malformed(dialect: str, frame: bytes) -> None:
    with pytest.raises(Malformed, match="invalid frame"):
        taken(mender_of(dialect), frame)


def test_what_was_whole_before_a_malformed_frame_may_leave() -> None:
    data = START + b"data:\n\n" + TEXT + TEXT + b"data: {\n\n" + TEXT
    with pytest.raises(Malformed) as caught:
        taken(mender_of("chat"), data)
    assert b"".join(caught.value.before) == START + b":ata:\n\n" + TEXT + TEXT


def test_what_was_whole_before_a_malformed_line_may_leave() -> None:
    lines = START.rstrip() + b"\n" + TEXT.rstrip() + b"\ndata: {\n\n"
    with pytest.raises(Malformed) as caught:
        taken(mender_of("chat"), TEXT.replace(b'"content"', b'"role":"assistant","content"') + lines)
    assert [event.payload["id"] for event in events(b"".join(caught.value.before))] == ["c", "c", "c"]


def test_a_frame_that_was_written_anew_and_silenced_is_left_out() -> None:
    mender = mender_of("messages")
    assert taken(mender, MESSAGE_START + b"data: [DONE] \n\n") == MESSAGE_START
    assert mender.repairs == {"frame-done-blank": 1, "messages-done-sentinel": 1}


def test_after_an_id_a_silenced_frame_is_left_out() -> None:
    """As a comment it would leave with an empty line, which is an empty event to openai-python."""
    text = b"id: 1\n" + START + b'event: ping\ndata: {"type":"ping"}\n\n' + TEXT + b"event: ping\n\n" + FINISH
    assert taken(mender_of("chat"), text) == b"id: 1\n" + START + TEXT + FINISH


def test_a_name_from_json_cannot_make_frames() -> None:
    payload = b'{"type":"a\\n\\ndata: {}\\n\\n","sequence_number":1}'
    for dialect in ("messages", "responses"):
        for text in (b"data: " + payload + b"\n\n", b"event: b\ndata: " + payload + b"\n\n"):
            out = taken(mender_of(dialect, off=NOTHING_OFF), text)
            assert out is None or all(frame.endswith(b"\n\n") for frame in frames(out))
            for event in events(out or b""):
                assert event.payload is None or event.payload.get("type") != {}


@pytest.mark.parametrize(
    ("text", "lively"),
    [
        (b": ping\n\n", False),
        (b"\n\n\n", False),
        (b"data:\n\n", False),
        (b"event: ping\n\n", False),
        (b"retry: 1\n\n", False),
        (TEXT, True),
        (b": a\n\n" + TEXT + b": b\n\n", True),
        (DONE, True),
        (TEXT.replace(b"\n", b"\r\n"), True),
    ],
)
def test_comments_are_no_sign_that_the_upstream_is_at_work(text: bytes, lively: bool) -> None:
    mender = mender_of("chat")
    mender.take(START, memoryview(START), 0, len(START))
    taken(mender, text)
    assert mender.lively is lively


# --- the last frame -----------------------------------------------------------------------------


def rest_of(mender: Mender, rest: bytes) -> bytes:
    return b"".join(mender.take_rest(bytearray(rest)))


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\r"])
def test_a_whole_last_frame_gets_its_empty_line(end: bytes) -> None:
    mender = mender_of("chat")
    taken(mender, START + FINISH)
    out = rest_of(mender, b"data: [DONE]" + end)
    assert frames(out) == [out]
    assert events(out) == [Event(None, None)]
    assert mender.repairs == {"frame-final-blank": 1}
    assert mender.end() == []


@pytest.mark.parametrize(
    "rest",
    [
        b"data: {",
        b'data: {"a":1',
        b"data",
        b"da",
        b"data: [DON",
        b"event: x\n",
        b"event: x\ndata: {\n",
        b": comment",
        b"id: 1\n",
        b"data:\n",
    ],
)
def test_an_unfinished_last_frame_is_left_out(rest: bytes) -> None:
    mender = mender_of("chat")
    taken(mender, START)
    assert rest_of(mender, rest) == b""
    assert mender.repairs == {}


@pytest.mark.parametrize(
    ("rest", "out"),
    [
        (TEXT.rstrip() + b"\n" + FINISH.rstrip(), TEXT + FINISH),
        (TEXT.rstrip() + b"\n" + FINISH.rstrip() + b"\ndata: [DONE]\n", TEXT + FINISH + DONE),
        (TEXT.rstrip() + b"\n" + FINISH[:-30], TEXT),
        (TEXT.rstrip() + b"\ndata: ", TEXT),
    ],
)
def test_a_last_frame_may_be_several_that_one_line_end_parts(rest: bytes, out: bytes) -> None:
    mender = mender_of("chat")
    taken(mender, START)
    assert events(rest_of(mender, rest)) == events(out)


# --- a document instead of a stream -------------------------------------------------------------


@pytest.mark.parametrize("sample", [s for s in SAMPLES.values() if s.name == "json-body"], ids=str)
def test_a_whole_answer_becomes_the_stream_that_it_could_have_been(sample: Sample) -> None:
    for body in (sample.body, b"\xef\xbb\xbf" + sample.body, b"\r\n " + sample.body):
        mender = mender_of(sample.dialect)
        out = b"".join([*mender.take_document(body), *mender.end()])
        assert events(out) == events(sample.repaired())
        assert mender.repairs["frame-json-body"] == 1
        again = mender_of(sample.dialect)
        assert taken(again, out) in (None, out)


@pytest.mark.parametrize("dialect", ["chat", "messages", "responses"])
@pytest.mark.parametrize("text", [b"{", b"[]", b"[1]", b"{}", b'{"object":"list","data":[]}', b"[" * 100_000])
def test_a_document_that_is_no_answer_is_malformed(dialect: str, text: bytes) -> None:
    with pytest.raises(Malformed):
        mender_of(dialect).take_document(text)


@pytest.mark.parametrize("dialect", ["chat", "messages", "responses"])
def test_a_document_that_is_an_error_is_a_failure_and_no_frames(dialect: str) -> None:
    mender = mender_of(dialect)
    assert mender.take_document(b'{"error":{"message":"boom","type":"server_error","code":500}}') == []
    assert mender.checker.failure == Failure("boom", 500, "server_error", "500")


# --- what the corpus says of frames -------------------------------------------------------------

FRAME_LEVEL = re.compile(
    "bom|cr|no-final-.*|single-newline|empty-data|event-only|event-ping-data|retry-only|id-then-keepalive"
    "|done-no-json|done-appended-event|after-.*|message-stop-twice|nan|reasoning-part-vllm"
)
OTHER_BYTES = {
    "chat/id-then-keepalive": "the id stays; the empty line of the comment that follows it goes",
    "responses/id-then-keepalive": "the id stays; the empty line of the comment that follows it goes",
    "messages/event-only": "the comment leaves before the block start that is held for its first delta",
    "messages/tool-input-in-start-and-delta": "an empty object is padded behind it, not inside it",
}
"""Mended at the same length in the corpus, and otherwise here."""
COPIED = {
    "chat/cr": "every frame is rewritten",
    "messages/cr": "every frame is rewritten",
    "responses/cr": "every frame is rewritten",
    **OTHER_BYTES,
    **dict.fromkeys(
        [
            "messages/after-stop",
            "messages/chat-chunk-leak",
            "messages/done-appended-event",
            "messages/index-gap",
            "messages/index-minus-one-all",
            "messages/index-minus-one-start0",
            "messages/index-reused",
            "messages/message-start-null-content",
            "messages/message-stop-twice",
            "messages/text-null",
        ],
        "a text block's start is held for its first delta, and outlives its read",
    ),
}
"""Mended at the same length, but not all of it where it lies."""

MENDED = [sample for sample in SAMPLES.values() if sample.repairs and FRAME_LEVEL.fullmatch(sample.name)]
SAME_LENGTH = [
    sample for sample in SAMPLES.values() if any("same length" in how for _, how in sample.repairs)
]


@pytest.mark.parametrize("sample", MENDED, ids=str)
def test_frames_are_mended_as_in_the_corpus_at_every_cut(sample: Sample) -> None:
    for pieces in every_way(sample.body):
        answer = download(checked(sample.dialect, off=NOTHING_OFF), pieces)
        assert answer.events == events(sample.repaired())
        assert answer.ended
        assert answer.stream.end_code == ("UX" if answer.stream._mender.checker.failure else "OK")


def test_the_corpus_has_an_example_of_nearly_every_frame_rule() -> None:
    if SAMPLES:
        seen: set[str] = set()
        for sample in SAMPLES.values():
            seen |= set(download(checked(sample.dialect), [sample.body]).stream.repairs)
        assert set(FRAME_RULES) - seen == set()


@pytest.mark.parametrize("sample", SAME_LENGTH, ids=str)
def test_what_can_be_mended_at_the_same_length_keeps_every_other_byte(sample: Sample) -> None:
    for pieces in every_way(sample.body, random_ways=3):
        answer = download(checked(sample.dialect, off=NOTHING_OFF), pieces)
        if str(sample) not in OTHER_BYTES:
            assert answer.body == sample.repaired()


@pytest.mark.parametrize("sample", SAME_LENGTH, ids=str)
def test_what_can_be_mended_at_the_same_length_is_mended_in_the_read_buffer(sample: Sample) -> None:
    data = bytearray(sample.body)
    out = mender_of(sample.dialect, off=NOTHING_OFF).take(data, memoryview(data), 0, len(data))
    assert out is not None
    in_place = all(isinstance(buffer, memoryview) and buffer.obj is data for buffer in out)
    assert in_place is (str(sample) not in COPIED)
    if in_place:
        assert data == sample.repaired()


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=str)
def test_bytes_are_never_changed(sample: Sample) -> None:
    whole = b"".join(frames(sample.body))
    data, twin = bytes(bytearray(whole)), bytearray(whole)
    results: list[Any] = []
    for buffer in (data, twin):
        mender = mender_of(sample.dialect, off=NOTHING_OFF)
        try:
            out: list[Buffer] | None = mender.take(buffer, memoryview(buffer), 0, len(buffer))
        except Malformed as fault:
            out = list(fault.before)
        results.append((None if out is None else b"".join(out), mender.repairs))
    assert results[0] == results[1]
    assert data == whole


# --- report: look, count, touch nothing ---------------------------------------------------------


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=str)
def test_a_report_changes_nothing_and_counts_the_same(sample: Sample) -> None:
    for pieces in ([sample.body] if sample.body else [], [bytes([byte]) for byte in sample.body]):
        mended = download(checked(sample.dialect, off=NOTHING_OFF), pieces)
        stream = checked(sample.dialect, off=NOTHING_OFF, report=True)
        reported = download(stream, pieces, place=lambda piece: (bytearray(piece), 0, len(piece)))
        assert reported.body == sample.body
        assert not reported.refused
        assert not reported.broken
        if not mended.refused and not mended.broken:
            assert stream.repairs == mended.stream.repairs
        else:  # what comes after the failure is still looked at
            assert mended.stream.repairs.items() <= stream.repairs.items()


def test_a_report_counts_every_malformed_frame_once() -> None:
    mender = mender_of("chat", report=True)
    text = START + b"data: {\n\n" + TEXT + b"data: 7\n\n" + TEXT + FINISH + DONE
    assert taken(mender, text) is None
    assert mender.repairs == {"malformed": 2}
    assert mender.checker.deltas == 3
    assert mender.end() == []


# --- the end, failures, signs of life -----------------------------------------------------------


def test_an_end_is_supplied_only_where_it_was_announced() -> None:
    mender = mender_of("chat")
    taken(mender, START)
    with pytest.raises(Truncated):
        mender.end()
    taken(mender, FINISH)
    assert b"".join(mender.end()) == DONE


@pytest.mark.parametrize("dialect", ["chat", "messages", "responses"])
@pytest.mark.parametrize("before", [b"", b": hello\n\n"])
def test_a_sign_of_life_and_a_failure_are_frames_that_a_second_relay_passes(
    dialect: str, before: bytes
) -> None:
    mender = mender_of(dialect)
    taken(mender, before)
    sign, failure = mender.keep_alive(), b"".join(mender.fail(Failure("boom")))
    assert sign.endswith(b"\n")
    assert frames(failure)
    assert b"".join(frames(failure)) == failure
    second = mender_of(dialect)
    assert taken(second, sign + failure) is None
    assert second.checker.failure is not None
    assert second.checker.failure.message == "boom"


# --- anything -----------------------------------------------------------------------------------

LINES = st.sampled_from(
    [
        b"data: " + chunk(),
        b"data: " + chunk("{}", '"stop"'),
        b"data: [DONE]",
        b"data: [DONE] x",
        b"data: {",
        b"data:",
        b"data: }",
        b"data: NaN",
        b'data: {"error":"boom"}',
        b'data: {"type":"message_stop"}',
        b'data: {"type":"response.created","response":{}}',
        b'data: {"type":"a\\nb","x":[NaN,1e999,"\\ud83d"]}',
        b"event: message_stop",
        b"event: \xff",
        b"id: 1",
        b"retry: 1",
        b": comment",
        b"\xef\xbb\xbf",
        b"",
        b"",
    ]
)
ANY_FRAMES = st.lists(
    st.tuples(LINES, st.sampled_from([b"\n", b"\n", b"\r\n", b"\r"])).map(b"".join), max_size=12
)


@given(ANY_FRAMES.map(b"".join), st.sampled_from(["chat", "messages", "responses"]), st.booleans())
def test_any_frames_are_mended_or_malformed_and_whole_frames_leave(
    text: bytes, dialect: str, report: bool
) -> None:
    mender = mender_of(dialect, off=NOTHING_OFF, report=report)
    whole = b"".join(frames(text))
    if not whole:
        return
    try:
        out = taken(mender, whole)
    except Malformed as fault:
        assert not report
        out = b"".join(fault.before)
    if out:
        assert out.endswith((b"\n", b"\r"))
        for event in events(out.decode("utf-8", "replace").encode()):  # raises for what is no JSON
            assert event.payload is None or isinstance(event.payload, dict)
