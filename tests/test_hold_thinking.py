"""With ``hold_thinking`` no Messages client is left with finished thinking alone: it would not try again."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay import dialects
from relay.checked import CheckedStream
from relay.errors import UpstreamClosed, UpstreamTimeout
from relay.mending import Mender
from relay.wire.framing import PlainEncoder, UntilCloseDecoder
from relay.wire.sse import write_frame
from tests.cuts import SIZES, every_way, split
from tests.dialects import messages_legal
from tests.dialects import responses_kit as responses
from tests.dialects.drive import CONTEXT, Event, events
from tests.streams import LIMIT, Answer, Sample, download, handwritten, recorded
from tests.translated import others, translation
from tests.wire.event_stream import frames

SAMPLES = [sample for sample in handwritten().values() if sample.dialect == "messages"]
Json = dict[str, Any]


def same_dialect(*, hold: bool = True, report: bool = False, dialect: str = "messages") -> CheckedStream:
    mender = Mender(dialects.BY_NAME[dialect](CONTEXT), report=report, hold_thinking=hold)
    return CheckedStream(UntilCloseDecoder(), PlainEncoder(), mender, frame_limit=LIMIT)


def translated(upstream: str, *, hold: bool = True, client: str = "messages") -> CheckedStream:
    asked = translation(client, upstream)
    mender = asked.translator(asked.context("t1", 1763600000), hold_thinking=hold)
    return CheckedStream(UntilCloseDecoder(), PlainEncoder(), mender, frame_limit=LIMIT)


# --- streams that think, then speak or call -----------------------------------------------------


def named(payload: Json) -> bytes:
    return write_frame(payload["type"], json.dumps(payload).encode())


def start(index: int, block: Json) -> bytes:
    return named({"type": "content_block_start", "index": index, "content_block": block})


def delta(index: int, kind: str, field: str, text: str) -> bytes:
    return named({"type": "content_block_delta", "index": index, "delta": {"type": kind, field: text}})


def stop(index: int) -> bytes:
    return named({"type": "content_block_stop", "index": index})


PING = named({"type": "ping"})
HEAD = named(
    {
        "type": "message_start",
        "message": {
            "id": "m", "type": "message", "role": "assistant", "model": "m", "content": [],
            "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 3, "output_tokens": 1},
        },
    }
)  # fmt: skip
THINK = [
    start(0, {"type": "thinking", "thinking": "", "signature": ""}),
    delta(0, "thinking_delta", "thinking", "Hm"),
    delta(0, "signature_delta", "signature", "proof"),
]
SEALED = [start(0, {"type": "redacted_thinking", "data": "sealed"})]
SPEAK = [start(1, {"type": "text", "text": ""}), delta(1, "text_delta", "text", "Hi"), stop(1)]
CALL = [start(1, {"type": "tool_use", "id": "t", "name": "f", "input": {}}), stop(1)]
END = [
    named(
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 9},
        }
    ),
    named({"type": "message_stop"}),
]
CALLED = [END[0].replace(b"end_turn", b"tool_use"), END[1]]

every_thought = pytest.mark.parametrize("thought", [THINK, SEALED], ids=["thinking", "redacted"])
every_next = pytest.mark.parametrize(
    "following", [[*SPEAK, *END], [*CALL, *CALLED], END], ids=["text", "tool", "nothing"]
)


def feed(stream: CheckedStream, texts: list[bytes]) -> Answer:
    return download(stream, texts, eof=False)


def is_stop(event: Event) -> bool:
    return event.event == "content_block_stop"


@every_thought
def test_the_end_of_thinking_waits(thought: list[bytes]) -> None:
    assert feed(same_dialect(), [HEAD, *thought, stop(0)]).body == HEAD + b"".join(thought)


@every_thought
@every_next
@pytest.mark.parametrize("pings", [0, 2])
def test_it_leaves_with_what_follows_in_one_write(
    thought: list[bytes], following: list[bytes], pings: int
) -> None:
    answer = feed(same_dialect(), [HEAD, *thought, stop(0), *[PING] * pings])
    assert answer.body == HEAD + b"".join([*thought, *[PING] * pings]), "a ping passes, and nothing with it"
    writes = len(answer.writes)
    for text in following:
        answer.read(text)
    answer.close()
    assert answer.body == HEAD + b"".join([*thought, *[PING] * pings, stop(0), *following])
    assert answer.writes[writes].startswith(stop(0))
    assert len(frames(answer.writes[writes])) > 1
    assert answer.stream.repairs == {}
    assert answer.stream.end_code == "OK"


@every_thought
@every_next
def test_whole_in_one_read_or_byte_by_byte_it_is_the_same(
    thought: list[bytes], following: list[bytes]
) -> None:
    body = b"".join([HEAD, *thought, stop(0), *following])
    for pieces in every_way(body):
        assert download(same_dialect(), pieces).body == body


ERROR = named({"type": "error", "error": {"type": "overloaded_error", "message": "boom"}})


def upstream_fails(answer: Answer) -> None:
    answer.read(ERROR)
    answer.close()


def frame_is_malformed(answer: Answer) -> None:
    answer.read(b"data: {\n\n")


def another_message_begins(answer: Answer) -> None:
    answer.read(HEAD.replace(b'"m"', b'"other"'))


FAILURES: list[Callable[[Answer], None]] = [
    upstream_fails,
    frame_is_malformed,
    another_message_begins,
    Answer.close,
    lambda answer: answer.fail(UpstreamClosed("the upstream broke the connection: reset")),
    lambda answer: answer.fail(UpstreamTimeout("the upstream sent nothing for 300 s")),
]


@every_thought
@pytest.mark.parametrize("fail", FAILURES)
@pytest.mark.parametrize("between", [[], [PING], [SPEAK[0]], [PING, SPEAK[0], PING], [SPEAK[0], stop(1)]])
def test_a_failure_before_what_follows_leaves_thinking_open(
    thought: list[bytes], fail: Callable[[Answer], None], between: list[bytes]
) -> None:
    answer = feed(same_dialect(), [HEAD, *thought, stop(0), *between])
    fail(answer)
    kinds = [event.event for event in answer.events if event.event != "ping"]
    assert kinds == [*(event.event for event in events(HEAD + b"".join(thought))), "error"]
    assert answer.ended
    assert answer.stream.end_code in ("UX", "UP", "UE", "UR", "UT")
    assert messages_legal.verdict(answer.events) == "failed"


def test_once_something_follows_a_failure_finds_it_closed() -> None:
    answer = feed(same_dialect(), [HEAD, *THINK, stop(0), *SPEAK[:2]])
    answer.read(ERROR)
    answer.close()
    assert len(list(filter(is_stop, answer.events))) == 1


def test_a_sign_of_life_does_not_let_it_go() -> None:
    stream = same_dialect()
    answer = feed(stream, [HEAD, *THINK, stop(0)])
    answer.write(b"".join(stream.keep_alive()))
    assert events(answer.writes[-1]) == [Event("ping", {"type": "ping"})]
    answer.read(SPEAK[0])
    assert not any(map(is_stop, answer.events))
    answer.read(SPEAK[1])
    assert answer.writes[-1] == stop(0) + SPEAK[0] + SPEAK[1]


def test_a_signature_that_is_late_is_before_it() -> None:
    """vLLM sends it after the stop."""
    stream = same_dialect()
    answer = feed(stream, [HEAD, *THINK[:2], stop(0), PING, THINK[2], *SPEAK, *END])
    assert answer.body == b"".join([HEAD, *THINK[:2], PING, THINK[2], stop(0), *SPEAK, *END])
    assert stream.repairs == {"messages-delta-late": 1}


def test_an_empty_text_between_thinking_and_a_call_is_left_out_and_lets_nothing_go() -> None:
    stream = same_dialect()
    empty = [SPEAK[0], stop(1)]
    answer = feed(stream, [HEAD, *THINK, stop(0), *empty])
    assert not any(map(is_stop, answer.events))
    call = [text.replace(b'"index": 1', b'"index": 2') for text in CALL]
    for text in [*call, *CALLED]:
        answer.read(text)
    assert answer.body == b"".join([HEAD, *THINK, stop(0), *CALL, *CALLED])
    assert stream.repairs == {"messages-block-empty": 1}


def test_several_thoughts_each_leave_with_the_next() -> None:
    """A stop is what follows, too: one block at most is open for the sake of a retry."""
    second = [text.replace(b'"index": 0', b'"index": 1') for text in [*THINK, stop(0)]]
    answer = feed(same_dialect(), [HEAD, *THINK, stop(0), *second])
    assert answer.body == b"".join([HEAD, *THINK, stop(0), *second[:-1]])


def test_text_and_tools_are_not_held_any_longer() -> None:
    on, off = same_dialect(), same_dialect(hold=False)
    texts = [
        HEAD,
        *[text.replace(b'"index": 1', b'"index": 0') for text in SPEAK],
        PING,
        *CALL,
        PING,
        *CALLED,
    ]
    for text in texts:
        assert feed(on, [text]).body == feed(off, [text]).body


def test_without_it_a_ping_lets_the_end_go() -> None:
    answer = feed(same_dialect(hold=False), [HEAD, *THINK, stop(0), PING])
    assert answer.body == b"".join([HEAD, *THINK, stop(0), PING])
    answer = feed(same_dialect(hold=False), [HEAD, *SEALED, stop(0)])
    assert answer.body == b"".join([HEAD, *SEALED, stop(0)])


def test_a_report_changes_nothing() -> None:
    body = b"".join([HEAD, *THINK, stop(0), PING, *SPEAK, *END])
    for text in frames(body):
        assert feed(same_dialect(report=True), [text]).body == text


@pytest.mark.parametrize("dialect", ["chat", "responses"])
def test_other_dialects_have_no_such_end(dialect: str) -> None:
    body = {"chat": CHAT, "responses": RESPONSES}[dialect]
    on, off = same_dialect(dialect=dialect), same_dialect(dialect=dialect, hold=False)
    for text in body:
        assert feed(on, [text]).body == feed(off, [text]).body


def but_pings(body: bytes) -> list[bytes]:
    return [text for text in frames(body) if not text.startswith(b"event: ping")]


def assert_only_pings_move(body: bytes, pieces: list[bytes]) -> None:
    on, off = download(same_dialect(), pieces), download(same_dialect(hold=False), pieces)
    assert str(on.refused) == str(off.refused)
    assert on.stream.repairs == off.stream.repairs
    assert on.stream.end_code == off.stream.end_code
    if off.stream.end_code == "OK":
        assert but_pings(on.body) == but_pings(off.body)
        assert sorted(frames(on.body)) == sorted(frames(off.body))


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_of_a_whole_stream_only_pings_move(sample: Sample) -> None:
    for pieces in every_way(sample.body, random_ways=3):
        assert_only_pings_move(sample.body, pieces)


@pytest.mark.skipif(not recorded(), reason="the folder of recorded streams is not beside this project")
def test_of_a_recorded_stream_only_pings_move() -> None:
    paths = [path for dialect, path in recorded() if dialect == "messages"]
    for path in paths:
        body = path.read_bytes()
        assert_only_pings_move(body, split(body, [1460]))


# --- translated ---------------------------------------------------------------------------------


def chunk(delta: Json, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    payload = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return write_frame(None, json.dumps(payload).encode())


CHAT = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"reasoning_content": "Hm"}),
    chunk({"reasoning_content": ", so"}),
    chunk({"content": "Hi"}),
    chunk({}, "stop"),
    b"data: [DONE]\n\n",
]
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm"}]}
SUMMARY = {"item_id": "rs_1", "output_index": 0, "summary_index": 0}
PART = {"type": "summary_text", "text": ""}
ANSWER = responses.message("msg_1", "Hi")
RESPONSES = [
    write_frame(event, json.dumps(payload).encode())
    for event, payload in responses.numbered(
        responses.opening(),
        responses.item_event("added", 0, {**THOUGHT, "summary": []}),
        {"type": "response.reasoning_summary_part.added", **SUMMARY, "part": PART},
        {"type": "response.reasoning_summary_text.delta", **SUMMARY, "delta": "Hm"},
        {"type": "response.reasoning_summary_text.done", **SUMMARY, "text": "Hm"},
        {"type": "response.reasoning_summary_part.done", **SUMMARY, "part": {**PART, "text": "Hm"}},
        responses.item_event("done", 0, {**THOUGHT, "encrypted_content": "proof"}),
        *responses.spoken("Hi", index=1),
        responses.ending({**THOUGHT, "encrypted_content": "proof"}, ANSWER),
    )
]
DONE = 7
"""Frames of it until the thought is whole."""


def test_a_translated_thought_stays_open_until_something_follows() -> None:
    on, off = translated("responses"), translated("responses", hold=False)
    thought = feed(off, RESPONSES[:DONE]).body
    assert is_stop(events(thought)[-1])
    answer = feed(on, RESPONSES[:DONE])
    assert answer.body + frames(thought)[-1] == thought
    assert events(answer.body)[-1].payload["delta"]["type"] == "signature_delta"
    writes = len(answer.writes)
    for text in RESPONSES[DONE:]:
        answer.read(text)
    kinds = [event.event for event in events(answer.writes[writes])]
    assert kinds == ["content_block_stop", "content_block_start", "content_block_delta"]
    assert thought + download(off, RESPONSES[DONE:]).body == answer.body


@pytest.mark.parametrize("fail", [Answer.close, *FAILURES[4:]])
def test_a_translated_thought_is_open_when_the_upstream_fails(fail: Callable[[Answer], None]) -> None:
    answer = feed(translated("responses"), RESPONSES[:DONE])
    answer.write(b"".join(answer.stream.keep_alive()))
    fail(answer)
    assert not any(map(is_stop, answer.events))
    assert [event.event for event in answer.events[-2:]] == ["ping", "error"]


def test_an_error_of_the_upstream_finds_a_translated_thought_open() -> None:
    error = write_frame(
        "error", json.dumps({"type": "error", "code": "server_error", "message": "x"}).encode()
    )
    answer = download(translated("responses"), [*RESPONSES[:DONE], error])
    assert not any(map(is_stop, answer.events))
    assert answer.events[-1].event == "error"


def test_a_translated_answer_that_only_thinks_ends_legally() -> None:
    ending = responses.numbered(responses.ending({**THOUGHT, "encrypted_content": "proof"}))
    last = [write_frame(event, json.dumps({**p, "sequence_number": 9}).encode()) for event, p in ending]
    answer = download(translated("responses"), [*RESPONSES[:DONE], *last])
    assert [event.event for event in answer.events[-3:]] == [
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert messages_legal.verdict(answer.events) == "complete"


BODIES = {"chat": CHAT, "responses": RESPONSES}


@pytest.mark.parametrize("upstream", others("messages"))
def test_a_translated_stream_is_the_same_with_and_without(upstream: str) -> None:
    body = b"".join(BODIES[upstream])
    expected = download(translated(upstream, hold=False), [body]).body
    assert messages_legal.verdict(events(expected)) == "complete"
    for pieces in [BODIES[upstream], *every_way(body, random_ways=3)]:
        assert download(translated(upstream), pieces).body == expected


def test_sealed_reasoning_is_held_too() -> None:
    sealed = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "proof"}
    texts = [
        write_frame(event, json.dumps(payload).encode())
        for event, payload in responses.numbered(
            responses.opening(),
            responses.item_event("added", 0, {**sealed, "encrypted_content": ""}),
            responses.item_event("done", 0, sealed),
        )
    ]
    off = feed(translated("responses", hold=False), texts).events
    on = feed(translated("responses"), texts).events
    assert list(filter(is_stop, on)) == []
    assert on == [event for event in off if not is_stop(event)]


@pytest.mark.parametrize("client", ["chat", "responses"])
def test_of_other_clients_nothing_is_held(client: str) -> None:
    texts = [HEAD, *THINK, stop(0), *SPEAK, *END]
    on, off = translated("messages", client=client), translated("messages", client=client, hold=False)
    for text in texts:
        assert feed(on, [text]).body == feed(off, [text]).body


# --- any order ----------------------------------------------------------------------------------

POOL = [
    HEAD, PING, *THINK, stop(0), *SEALED, *SPEAK, *CALL, *END, ERROR, stop(2),
    *(text.replace(b'"index": 1', b'"index": 2') for text in (*SPEAK, *CALL)),
    *(text.replace(b'"index": 0', b'"index": 1') for text in (*THINK, *SEALED)),
    b": comment\n\n", b"data: [DONE]\n\n",
]  # fmt: skip


@given(st.lists(st.sampled_from(POOL), max_size=12), SIZES)
def test_frames_in_any_order_leave_legal_and_none_is_lost(texts: list[bytes], sizes: list[int]) -> None:
    body = HEAD + b"".join(texts)
    on = download(same_dialect(), split(body, sizes))
    assert_only_pings_move(body, [body])
    if on.refused is None:
        assert messages_legal.verdict(on.events) in ("complete", "failed")
