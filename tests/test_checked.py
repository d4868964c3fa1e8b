"""CheckedStream: legal streams pass, broken ones say so, and the client never sees half a frame."""

from __future__ import annotations

import functools
import gzip
import json
import os
import random
import re
import zlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.checked import CheckedStream
from relay.errors import (
    UpstreamClosed,
    UpstreamError,
    UpstreamMalformed,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamTruncated,
)
from relay.wire import sse
from relay.wire.framing import BodyDecoder, ChunkedDecoder, LengthDecoder, UntilCloseDecoder
from tests.cuts import every_way, placed, split
from tests.dialects.drive import Event, events
from tests.streams import (
    FRAMINGS,
    LIMIT,
    Answer,
    Sample,
    checked,
    download,
    handwritten,
    recorded,
)
from tests.wire.event_stream import frame_ends, frames

SAMPLES = handwritten()
DIALECTS = ["chat", "messages", "responses"]
EXAMPLES = 10_000 if os.environ.get("CI") else 1_000


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {
        "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more
    }  # fmt: skip


def frame(payload: dict[str, Any], event: str | None = None) -> bytes:
    name = b"" if event is None else b"event: %b\n" % event.encode()
    return name + b"data: " + json.dumps(payload, separators=(",", ":")).encode() + b"\n\n"


def typed(payload: dict[str, Any]) -> bytes:
    return frame(payload, payload["type"])


START = frame(chunk({"role": "assistant", "content": ""}))
TEXT = frame(chunk({"content": "a"}))
FINISH = frame(chunk({}, "stop"))
DONE = b"data: [DONE]\n\n"
PING = b": ping\n\n"

# The least that each dialect can say, should the corpus not be beside the project.
SMALLEST: dict[str, list[bytes]] = {
    "chat": [START, TEXT, TEXT, FINISH, DONE],
    "messages": [
        typed(
            {
                "type": "message_start",
                "message": {
                    "id": "m", "type": "message", "role": "assistant", "model": "m", "content": [],
                    "stop_reason": None, "stop_sequence": None,
                    "usage": {"input_tokens": 3, "output_tokens": 1},
                },
            }
        ),
        typed({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        typed({"type": "ping"}),
        typed({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}}),
        typed({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "b"}}),
        typed({"type": "content_block_stop", "index": 0}),
        typed(
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                "usage": {"output_tokens": 4},
            }
        ),
        typed({"type": "message_stop"}),
    ],
}  # fmt: skip


HERE = Path(__file__).parent / "data" / "litellm" / "upstream"
SMALLEST["responses"] = frames((HERE / "responses--tool.sse").read_bytes())
MENDED_HERE = {"chat--no-done", "responses--minimal"}


# --- reading what left --------------------------------------------------------------------------


def assert_at_a_boundary(body: bytes) -> None:
    """Whole frames, and after them at most comment lines: a frame may be written next."""
    if body.endswith((b"\n\n", b"\r\n\r\n")):
        return
    rest = body[len(b"".join(frames(body))) :]
    lines = rest.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    assert lines[-1] == b"", f"a line is open: {rest[-60:]!r}"
    assert all(line.startswith(b":") for line in lines[:-1]), f"a frame is open: {rest[-60:]!r}"


def assert_writes_end_with_frames(answer: Answer) -> None:
    for write in answer.writes:
        assert_at_a_boundary(write)


def failure_in(event: Event) -> str | None:
    """The message of a dialect's last error event."""
    payload = event.payload or {}
    error = payload.get("error") or payload.get("response", {}).get("error")
    return error["message"] if isinstance(error, dict) else None


def is_finish(event: Event) -> bool:
    """The dialect's announcement of an end, or the end itself."""
    payload = event.payload
    if payload is None:
        return True
    if any(choice.get("finish_reason") for choice in payload.get("choices") or ()):
        return True
    if payload.get("type") in ("message_start", "message_delta"):  # a start may hold all of an answer
        return (payload.get("message") or payload["delta"]).get("stop_reason") is not None
    return payload.get("type") in ("message_stop", "response.completed", "response.incomplete")


def says_all_is_done(dialect: str, seen: list[Event]) -> bool:
    """The upstream has said, in some form, that the answer is complete (reference: repairs, section 7)."""
    if any(map(is_finish, seen)):
        return True
    kinds = [event.payload.get("type") for event in seen if event.payload]
    items = [event.payload["item"]["type"] for event in seen if event.event == "response.output_item.done"]
    opened = kinds.count("response.output_item.added")
    return dialect == "responses" and opened == len(items) and bool({"message", "function_call"} & set(items))


LAST = {"chat": None, "messages": "message_stop", "responses": "response.completed"}


def is_error(event: Event) -> bool:
    return failure_in(event) is not None and not is_finish(event)


# --- legal streams pass as the bytes that came --------------------------------------------------

KINDS = ("valid", "valid-rare", "quirk")
MENDED_THOUGH_LEGAL = {
    "chat/role-empty": "an empty role is no role, the AI SDK drops the frame",
    "messages/empty-data": "the AI SDK reports an error for it",
    "responses/done-appended": "[DONE] is not part of the dialect",
    "responses/no-event-lines": "old SDKs and browsers need the names",
    "responses/event-line-mismatch": "old SDKs and browsers need the names",
}
PASSING = [
    sample
    for key, sample in SAMPLES.items()
    if sample.kind in KINDS and not sample.repairs and key not in MENDED_THOUGH_LEGAL
]


def assert_passes(dialect: str, body: bytes, framing: str, pieces: list[bytes], decoder: BodyDecoder) -> None:
    answer = download(checked(dialect, decoder), pieces)
    assert answer.body == body
    assert answer.ended or framing == "length"
    assert not answer.refused
    assert not answer.broken
    assert answer.stream.repairs == {}
    assert answer.stream.end_code in ("OK", "UX")
    if not body.strip() or frames(body):
        assert_writes_end_with_frames(answer)


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("sample", PASSING, ids=str)
def test_a_legal_stream_passes_byte_for_byte_at_every_cut(sample: Sample, framing: str) -> None:
    _, wire = FRAMINGS[framing](sample.body)
    for pieces in every_way(wire, random_ways=4):
        assert_passes(sample.dialect, sample.body, framing, pieces, FRAMINGS[framing](sample.body)[0])


@pytest.mark.parametrize("path", sorted(HERE.glob("*.sse")), ids=lambda path: path.stem)
def test_the_streams_of_our_own_folder_pass_byte_for_byte_at_every_cut(path: Path) -> None:
    dialect, body = path.name.split("-")[0], path.read_bytes()
    for framing in FRAMINGS if path.stem not in MENDED_HERE else ():
        _, wire = FRAMINGS[framing](body)
        for pieces in every_way(wire, random_ways=4):
            assert_passes(dialect, body, framing, pieces, FRAMINGS[framing](body)[0])


@pytest.mark.parametrize("sample", PASSING, ids=str)
def test_a_legal_stream_of_one_frame_per_chunk_passes_in_the_same_chunks(sample: Sample) -> None:
    stream, data = checked(sample.dialect, ChunkedDecoder()), b""
    for text in frames(sample.body):
        raw = b"%x\r\n%b\r\n" % (len(text), text)
        data += b"".join(stream.receive(raw, memoryview(raw), 0, len(raw)))
    data += b"".join(stream.receive(b"0\r\n\r\n", memoryview(b"0\r\n\r\n"), 0, 5))
    assert data.endswith(b"0\r\n\r\n")
    client = Answer(stream)
    client.write(data)
    assert client.body == sample.body


@pytest.mark.skipif(not SAMPLES, reason="the folder of recorded streams is not beside this project")
def test_the_streams_that_are_mended_though_legal_are_still_there() -> None:
    for key in MENDED_THOUGH_LEGAL:
        assert SAMPLES[key].kind in KINDS
        assert download(checked(SAMPLES[key].dialect), [SAMPLES[key].body]).stream.repairs


@pytest.mark.skipif(not recorded(), reason="the folder of recorded streams is not beside this project")
@pytest.mark.parametrize("dialect", DIALECTS)
def test_recorded_streams_pass_byte_for_byte_unless_a_rule_says_why(dialect: str) -> None:
    dice, passed, paths = random.Random(7), 0, [path for name, path in recorded() if name == dialect]
    for path in paths:
        body = path.read_bytes()
        whole = download(checked(dialect), [body])
        same = whole.body == body
        assert same is not bool(whole.stream.repairs or whole.broken), path.name
        passed += same
        for framing in FRAMINGS if same else ():
            decoder, wire = FRAMINGS[framing](body)
            longest = dice.choice((60, 1460, 65536)) if len(body) > 20_000 else dice.choice((1, 7, 300))
            cuts = split(wire, [dice.randint(1, longest) for _ in range(11)])
            answer = download(checked(dialect, decoder), cuts)
            assert answer.body == body, path.name
            assert answer.stream.repairs == {}, path.name
    assert passed >= 0.75 * len(paths)


def test_a_live_read_of_one_frame_leaves_as_the_very_buffer() -> None:
    stream = checked("chat", ChunkedDecoder())
    for text in (START, TEXT, TEXT):
        raw = b"%x\r\n%b\r\n" % (len(text), text)
        data, start, end = placed(raw)
        out = stream.receive(data, memoryview(data), start, end)
        assert b"".join(out) == raw
    assert len(out) == 1
    assert isinstance(out[0], memoryview)
    assert out[0].obj is data


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_legal_sample_reports_its_usage_and_its_deltas_at_every_cut(dialect: str) -> None:
    for sample in (sample for sample in PASSING if sample.dialect == dialect):
        whole = download(checked(dialect), [sample.body]).stream
        cut = download(checked(dialect), split(sample.body, [1])).stream
        assert (whole.usage, whole.deltas) == (cut.usage, cut.deltas)
        assert whole.ended == cut.ended


def known(stream: CheckedStream) -> dict[str, Any]:
    """All that a stream tells of itself."""
    checker = stream._mender.checker
    return {
        "repairs": stream.repairs,
        "usage": stream.usage,
        "deltas": stream.deltas,
        "flags": stream.flags,
        "ended": stream.ended,
        "end_code": stream.end_code,
        "announced": checker.announced,
        "state": checker.grammar.state,
        "tools": list(checker.tool_ids),  # type: ignore[call-overload]
    }


def assert_short_cuts_change_nothing(dialect: str, texts: list[bytes], **options: Any) -> None:
    """A read that is one whole chunk is looked at in a shorter way; what comes of it is the same."""
    slow, fast = checked(dialect, **options), checked(dialect, ChunkedDecoder(), **options)
    plain = download(slow, texts)
    chunks = [b"%x\r\n%b\r\n" % (len(text), text) for text in texts]
    quick = download(fast, [*chunks, b"0\r\n\r\n"])
    assert quick.body == plain.body
    assert str(quick.refused) == str(plain.refused)
    assert str(quick.broken) == str(plain.broken)
    assert known(fast) == known(slow)


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=str)
@pytest.mark.parametrize("report", [False, True])
def test_a_chunk_in_a_read_is_checked_like_any_other_bytes(sample: Sample, report: bool) -> None:
    texts = frames(sample.body)
    texts += [rest] if (rest := sample.body[len(b"".join(texts)) :]) else []
    assert_short_cuts_change_nothing(sample.dialect, texts, report=report)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_recorded_chunk_in_a_read_is_checked_like_any_other_bytes(dialect: str) -> None:
    for name, path in recorded():
        body = path.read_bytes()
        if name == dialect and len(body) < 100_000:
            assert_short_cuts_change_nothing(dialect, frames(body))


# Texts that could be mistaken for another when only what surrounds them is compared.
ODD = ["a", "b", "", " ", '"', "\\", '\\"', "\n", "é", "\u2028", "null", '","x":"', "a" * 300, "content", "}"]
TEXTS = st.lists(st.sampled_from(ODD) | st.text(max_size=3), max_size=20)


@given(TEXTS, st.booleans(), st.sampled_from(["chat", "messages"]))
def test_texts_of_any_kind_one_after_another_pass_and_are_counted(
    texts: list[str], ascii_only: bool, dialect: str
) -> None:
    first, last = SMALLEST[dialect][:2], SMALLEST[dialect][5 if dialect == "messages" else 3 :]
    said = [piece_of(dialect, text, ascii_only=ascii_only) for text in ("a", *texts)]
    whole = [*first, *said, *last]
    streams = [checked(dialect), checked(dialect, ChunkedDecoder())]
    assert download(streams[0], whole).body == b"".join(whole)
    chunks = [b"%x\r\n%b\r\n" % (len(text), text) for text in whole]
    assert download(streams[1], [*chunks, b"0\r\n\r\n"]).body == b"".join(whole)
    assert known(streams[0]) == known(streams[1])
    before = 2 if dialect == "chat" else 1  # the second of the first two frames is a piece in chat
    assert streams[0].deltas == before + sum(map(bool, texts))


@pytest.mark.parametrize("content", ['"assistant"', '"\\u0061ssistant"', '"x"', '""'])
@pytest.mark.parametrize("role", ['"evil"', '"user"', '"x"', "null"])
@pytest.mark.parametrize("times", [1, 2, 12])
def test_a_frame_that_differs_in_more_than_its_text_is_looked_at(content: str, role: str, times: int) -> None:
    """Even where the text of the frame before was the same as what differs now."""
    usual = chunk({"role": "assistant", "content": "the text"})
    text = frame(usual).replace(b'"the text"', content.encode())
    other = text.replace(b'"role":"assistant"', b'"role":' + role.encode())
    assert_short_cuts_change_nothing("chat", [START, TEXT, *[text] * times, other, text, FINISH, DONE])


@pytest.mark.parametrize("content", ['a","role":"evil', "a\\\\", 'a\\",', "a\\u0022", 'a"},"x":{"y":"'])
def test_a_text_that_is_more_than_text_is_looked_at(content: str) -> None:
    other = TEXT.replace(b'"content":"a"', b'"content":"%b"' % content.encode())
    assert_short_cuts_change_nothing("chat", [START, TEXT, *[TEXT] * 3, other, TEXT, FINISH, DONE])


def piece_of(dialect: str, text: str, *, ascii_only: bool) -> bytes:
    delta = {"type": "text_delta", "text": text}
    payload = (
        chunk({"content": text})
        if dialect == "chat"
        else {"type": "content_block_delta", "index": 0, "delta": delta}
    )
    name = b"" if dialect == "chat" else b"event: content_block_delta\n"
    return name + b"data: " + json.dumps(payload, ensure_ascii=ascii_only).encode() + b"\n\n"


def test_a_line_end_inside_a_payload_is_no_short_cut() -> None:
    """Blank to JSON, and the end of a line to an event stream."""
    text = TEXT.replace(b'"index":', b'"index":\r')
    for pieces in ([START, TEXT, TEXT, TEXT, text], [START + TEXT, text]):
        stream = checked("chat", ChunkedDecoder())
        answer = download(stream, [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces])
        assert isinstance(answer.broken, UpstreamMalformed)


def test_usage_is_what_the_upstream_said_last() -> None:
    stream = checked("messages")
    download(stream, SMALLEST["messages"])
    assert stream.usage is not None
    assert (stream.usage.input, stream.usage.output) == (3, 4)
    assert stream.deltas == 2


# --- the first frame: nothing leaves before it --------------------------------------------------


def silent(stream: Any, text: bytes) -> None:
    data, start, end = placed(text)
    assert stream.receive(data, memoryview(data), start, end) == []


def test_comments_and_pings_wait_for_the_first_frame() -> None:
    stream = checked("chat")
    for text in (b": a\n\n", b"\n", b": b", b"\n\n", b"retry: 5\n\n", b"event: ping\ndata: {}\n\n"):
        silent(stream, text)
        assert stream.keep_alive() == [], "there is no head to follow yet"
    answer = download(stream, [START])
    assert answer.writes[0] == b": a\n\n\n: b\n\n:etry: 5\n\n:vent: ping\n:ata: {}\n\n" + START


def test_a_ping_of_a_messages_stream_waits_too() -> None:
    stream, ping = checked("messages"), typed({"type": "ping"})
    silent(stream, ping)
    answer = download(stream, [SMALLEST["messages"][0]])
    assert answer.writes[0].endswith(SMALLEST["messages"][0])


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize(
    "body", [b"", b"\n\n", b": ping\n\n", b": ping", b"\xef\xbb\xbf", b"data: {", b"retry: 1\n\n"]
)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_stream_without_a_frame_is_no_answer(dialect: str, body: bytes, framing: str) -> None:
    _, wire = FRAMINGS[framing](body)
    for pieces in every_way(wire):
        answer = download(checked(dialect, FRAMINGS[framing](body)[0]), pieces)
        assert isinstance(answer.refused, UpstreamClosed)
        assert "empty event stream" in str(answer.refused)
        assert answer.refused.status == 502
        assert answer.body == b""


ERRORS: list[tuple[str, bytes, int, str]] = [
    ("chat", frame({"error": {"message": "boom", "type": "rate_limit_error", "code": 429}}), 429, "boom"),
    ("chat", frame({"error": "no model"}), 502, "no model"),
    ("chat", frame({"detail": "Internal Server Error"}), 502, "Internal Server Error"),
    ("chat", b'data: [{"error":{"code":429,"message":"Quota"}}]\n\n', 429, "Quota"),
    ("chat", frame({"code": 500, "details": "boom"}, "error"), 500, "boom"),
    (
        "messages",
        typed({"type": "error", "error": {"type": "overloaded_error", "message": "Busy"}}),
        529,
        "Busy",
    ),
    ("messages", frame({"error": {"message": "boom", "code": 400}}), 400, "boom"),
    ("responses", typed({"type": "error", "code": "server_error", "message": "died"}), 500, "died"),
    (
        "responses",
        typed({"type": "response.failed", "response": {"error": {"code": "slow_down", "message": "Slow"}}}),
        503,
        "Slow",
    ),
]


@pytest.mark.parametrize(("dialect", "error", "status", "message"), ERRORS)
@pytest.mark.parametrize("before", [b"", PING, b"\xef\xbb\xbf"])
@pytest.mark.parametrize("after", [b"", DONE])
def test_an_error_in_place_of_the_first_frame_is_a_true_status(
    dialect: str, error: bytes, status: int, message: str, before: bytes, after: bytes
) -> None:
    for pieces in every_way(before + error + after, random_ways=3):
        answer = download(checked(dialect), pieces)
        assert isinstance(answer.refused, UpstreamRefused)
        assert answer.refused.status == status
        assert str(answer.refused) == message
        assert answer.refused.body is not None
        document = json.loads(answer.refused.body)
        assert document["error"]["message"] == message
        assert (document.get("type") == "error") is (dialect == "messages")
        assert answer.body == b""


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("blank", [b"", b"\r\n \t", b"\xef\xbb\xbf"])
def test_a_json_error_instead_of_a_stream_is_a_true_status(dialect: str, framing: str, blank: bytes) -> None:
    body = blank + b'{"error": {"message": "boom",\n\n "type": "server_error", "code": 503}}\n'
    for pieces in every_way(FRAMINGS[framing](body)[1], random_ways=3):
        answer = download(checked(dialect, FRAMINGS[framing](body)[0]), pieces)
        assert isinstance(answer.refused, UpstreamRefused)
        assert answer.refused.status == 503
        assert answer.refused.retry_after is None


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("sample", [s for s in SAMPLES.values() if s.name == "json-body"], ids=str)
def test_a_json_answer_instead_of_a_stream_becomes_one(sample: Sample, framing: str) -> None:
    _, wire = FRAMINGS[framing](sample.body)
    for pieces in every_way(wire, random_ways=3):
        stream = checked(sample.dialect, FRAMINGS[framing](sample.body)[0])
        answer = download(stream, pieces)
        assert stream.note == b"x-relay-converted: json\r\n"
        assert answer.events == events(sample.repaired())
        assert stream.repairs == {"frame-json-body": 1}
        assert stream.end_code == "OK"
        assert len(answer.writes) == 1, "nothing leaves before the document is whole"


ANSWER = json.dumps(
    {
        "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}],
    }
).encode()  # fmt: skip


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("body", [b"".join(SMALLEST["chat"]), ANSWER])
def test_a_connection_that_closes_after_the_end_adds_nothing(body: bytes, framing: str) -> None:
    decoder, wire = FRAMINGS[framing](body)
    stream = checked("chat", decoder)
    answer = download(stream, [wire])
    before = (answer.body, stream.repairs, stream.end_code)
    assert stream.receive_eof() == []
    assert (answer.body, stream.repairs, stream.end_code) == before


def test_a_stream_is_not_converted() -> None:
    stream = checked("chat")
    download(stream, SMALLEST["chat"])
    assert not stream.note


@pytest.mark.parametrize("body", [b"{", b"[1,2", b'{"choices":"x"}', b"{}", b"[[]]", b"{}{}"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_json_that_is_no_answer_is_a_bad_gateway(dialect: str, body: bytes) -> None:
    answer = download(checked(dialect), split(body, [1]))
    assert isinstance(answer.refused, UpstreamMalformed)
    assert answer.refused.status == 502


def test_a_cut_json_answer_is_a_bad_gateway() -> None:
    answer = download(checked("chat", LengthDecoder(100)), [b'{"choices":[]}'])
    assert isinstance(answer.refused, UpstreamTruncated)


def test_early_bytes_beyond_the_limit_leave() -> None:
    stream, sent = checked("chat"), b""
    comment = b": " + b"x" * 1020 + b"\n\n"
    for _ in range(256):
        silent(stream, comment)
        sent += comment
    answer = download(stream, [comment], eof=False)
    assert answer.body == sent + comment
    assert stream.keep_alive() != []
    # An error has no status any more: it is an event.
    data = frame({"error": {"message": "boom", "code": 500}})
    answer.read(data)
    answer.close()
    assert answer.refused is None
    assert failure_in(answer.events[-1]) == "boom"
    assert stream.end_code == "UX"


def test_a_second_error_after_the_first_frame_is_an_event() -> None:
    stream = checked("chat")
    answer = download(stream, [START, frame({"error": {"message": "boom", "code": 429}})])
    assert answer.refused is None
    assert failure_in(answer.events[-1]) == "boom"
    assert stream.end_code == "UX"
    assert stream.ended


# --- cut anywhere -------------------------------------------------------------------------------

CUT = ["chat/text-usage", "chat/text-then-tool", "messages/text-then-tool", "messages/thinking-then-tool",
       "responses/text-then-tool"]  # fmt: skip
CUT_SAMPLES = [SAMPLES[key] for key in CUT if key in SAMPLES]


@functools.cache
def ends_of(body: bytes) -> list[int]:
    return [0, *frame_ends(body)]


@functools.cache
def whole_until(body: bytes, at: int) -> int:
    """Where the last frame ends that is whole after so many bytes."""
    return max(end for end in ends_of(body) if end <= at)


@functools.cache
def events_until(body: bytes, end: int) -> list[Event]:
    return events(body[:end])


def cut_short(dialect: str, body: bytes, at: int) -> Iterator[tuple[str, Answer]]:
    """Every way in which an upstream can stop after so many bytes of its body."""
    for how in ("chunks", "one chunk", "length", "until close", "reset"):
        decoder: BodyDecoder = UntilCloseDecoder()
        sent = body[:at]
        if how == "chunks":
            decoder, sent = ChunkedDecoder(), chunks_cut_short(body, at)
        elif how == "one chunk":
            decoder, sent = ChunkedDecoder(), b"%x\r\n%b" % (len(body), sent)
        elif how == "length":
            decoder = LengthDecoder(len(body) + 1)
        answer = download(checked(dialect, decoder), [sent] if sent else [], eof=how != "reset")
        if how == "reset" and not answer.over:
            answer.fail(UpstreamClosed("the upstream broke the connection: reset"))
        yield how, answer


def chunks_cut_short(body: bytes, at: int) -> bytes:
    """A chunk for each frame, the last of which ends too early."""
    ends = ends_of(body)
    whole = [body[a:b] for a, b in pairwise(ends) if b <= at]
    left = next((body[a:b] for a, b in pairwise(ends) if a < at < b), b"")
    sent = b"".join(b"%x\r\n%b\r\n" % (len(text), text) for text in whole)
    return sent + (b"%x\r\n%b" % (len(left), left[: at - whole_until(body, at)]) if left else b"")


def assert_whole_or_failed(dialect: str, body: bytes, at: int, how: str, answer: Answer) -> None:
    whole = whole_until(body, at)
    came = events_until(body, whole)
    if how == "until close":
        came = came + last_frame(body[whole:at])
    if answer.refused is not None:
        assert isinstance(answer.refused, UpstreamClosed), "a status: nothing was sent"
        assert not came
        return
    assert answer.ended
    assert_writes_end_with_frames(answer)
    got = answer.events
    # Every item of a response is done: that says something when the upstream closes, nothing at a reset.
    guessed = dialect == "responses" and how == "reset" and not any(map(is_finish, came))
    if says_all_is_done(dialect, came) and not guessed:
        assert answer.stream.end_code == "OK"
        assert payloads(got[: len(came)]) == payloads(came)
        last = got[-1]
        assert (last.payload["type"] if last.payload else None) == LAST[dialect]
        assert not any(map(is_error, got))
    else:
        assert answer.stream.end_code == ("UE" if how != "reset" else "UR")
        assert answer.broken is not None
        same = [event for event in got if not is_error(event)]
        assert payloads(same) == payloads(came[: len(same)]), "nothing is invented before the error"
        assert not any(map(is_finish, got)), "a stop is never made up"
        said = {failure_in(event) for event in got[len(same) :]}
        assert len(said) == 1
        message = str(said.pop())
        closed = "closed the connection" if how != "reset" else "broke the connection: reset"
        count = answer.stream.deltas
        assert re.fullmatch(
            rf"the upstream {closed} after {count} delta{'' if count == 1 else 's'}, before \S.*", message
        ), message


def payloads(seen: list[Event]) -> list[Any]:
    """Without the names: a name that was cut off is made whole."""
    return [event.payload for event in seen]


def last_frame(rest: bytes) -> list[Event]:
    """What a frame says that only lacks its empty line."""
    try:
        return events(rest + b"\n\n")
    except ValueError:
        return []


@pytest.mark.parametrize("sample", CUT_SAMPLES, ids=str)
def test_a_stream_cut_at_any_byte_is_whole_or_says_that_it_failed(sample: Sample) -> None:
    step = 1 if len(sample.body) < 2000 else 3  # of the long dialect every byte is cut below
    for at in [*range(0, len(sample.body), step), len(sample.body)]:
        for how, answer in cut_short(sample.dialect, sample.body, at):
            if at == len(sample.body) and how == "until close":
                assert answer.body == sample.body
            assert_whole_or_failed(sample.dialect, sample.body, at, how, answer)


@pytest.mark.parametrize("dialect", SMALLEST)
def test_the_smallest_stream_cut_at_any_byte_is_whole_or_says_that_it_failed(dialect: str) -> None:
    body = b"".join(SMALLEST[dialect])
    for at in range(len(body) + 1):
        for how, answer in cut_short(dialect, body, at):
            assert_whole_or_failed(dialect, body, at, how, answer)


@pytest.mark.skipif(not recorded(), reason="the folder of recorded streams is not beside this project")
@pytest.mark.parametrize("dialect", DIALECTS)
def test_recorded_streams_cut_anywhere_are_whole_or_say_that_they_failed(dialect: str) -> None:
    dice = random.Random(11)
    for path in dice.sample([path for name, path in recorded() if name == dialect], 40):
        body = path.read_bytes()
        if len(body) > 60_000 or download(checked(dialect), [body]).body != body:
            continue
        if download(checked(dialect), [body]).stream.end_code == "UX":
            continue
        for at in dice.sample(range(1, len(body)), 6):
            for how, answer in cut_short(dialect, body, at):
                assert_whole_or_failed(dialect, body, at, how, answer)


@pytest.mark.parametrize(
    ("sent", "count"), [([START], "0 deltas"), ([START, TEXT], "1 delta"), ([START, TEXT, TEXT], "2 deltas")]
)
def test_a_failure_says_how_far_it_came(sent: list[bytes], count: str) -> None:
    answer = download(checked("chat"), sent)
    text = f"the upstream closed the connection after {count}, before a finish reason"
    assert failure_in(answer.events[-1]) == text
    assert str(answer.broken) == text


def test_a_silent_upstream_is_said_to_be_silent() -> None:
    stream = checked("chat")
    answer = download(stream, [START, TEXT], eof=False)
    answer.fail(UpstreamTimeout("the upstream sent nothing for 600 s"))
    text = failure_in(answer.events[-1])
    assert text == "the upstream sent nothing for 600 s after 1 delta, before a finish reason"
    assert stream.end_code == "UT"
    assert stream.keep_alive() == [], "nothing follows the end"


def test_a_stream_that_announced_its_end_is_completed_whatever_comes_then() -> None:
    for error in (UpstreamTimeout("silent"), UpstreamClosed("reset"), UpstreamError("malformed")):
        stream = checked("chat", ChunkedDecoder())
        body = START + TEXT + FINISH
        answer = download(stream, [b"%x\r\n%b\r\n" % (len(body), body)], eof=False)
        answer.fail(error)
        assert answer.body == body + DONE
        assert answer.ended
        assert stream.end_code == "OK"


def test_a_stream_that_said_its_last_word_needs_no_more() -> None:
    stream = checked("chat", ChunkedDecoder())
    body = START + TEXT + FINISH + DONE
    answer = download(stream, [b"%x\r\n%b\r\n" % (len(body), body)])
    assert stream.ended
    assert answer.body == body
    assert stream.end_code == "OK"
    assert answer.ended


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_failure_is_written_once(dialect: str) -> None:
    answer = download(checked(dialect), [SMALLEST[dialect][0]])
    assert answer.ended
    before = answer.body
    assert answer.stream.abandon(UpstreamClosed("again")) in ([], None)
    assert answer.body == before
    assert answer.stream.keep_alive() == []


# --- malformed ----------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("bad", [b"data: {\n\n", b"data: 7\n\n", b'data: {"a":"raw\nnewline"}\n\n'])
def test_a_malformed_frame_is_an_error_in_its_place(framing: str, bad: bytes) -> None:
    body = START + TEXT + TEXT + bad + TEXT + FINISH + DONE
    for pieces in every_way(FRAMINGS[framing](body)[1]):
        answer = download(checked("chat", FRAMINGS[framing](body)[0]), pieces)
        assert isinstance(answer.broken, UpstreamMalformed)
        assert answer.body.startswith(START + TEXT + TEXT)
        assert len(answer.events) == 4
        assert re.search("invalid frame: .* after 2 deltas$", str(failure_in(answer.events[-1])))
        assert answer.ended
        assert answer.stream.end_code == "UP"


ORPHAN = frame(chunk({"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]}))


@pytest.mark.parametrize("bad", [b"data: {\n\n", b"data: 7\n\n", ORPHAN])
def test_a_malformed_first_frame_is_a_bad_gateway(bad: bytes) -> None:
    for pieces in every_way(PING + bad + START):
        answer = download(checked("chat"), pieces)
        assert isinstance(answer.refused, UpstreamMalformed)
        assert answer.body == b""


UNREADABLE = {
    "chat/truncated-json": [],
    "messages/bad-json": ["content_block_start"],
    "messages/raw-newline": ["content_block_start"],
    "responses/bad-json": [],
}
"""Frames that are no JSON, and what the corpus's mend has before the error that is held back here.

A text block's start waits for its first delta, and no block is opened for the sake of an error.
"""


@pytest.mark.parametrize("key", [key for key in UNREADABLE if key in SAMPLES])
def test_what_cannot_be_read_is_an_error_where_the_corpus_has_one(key: str) -> None:
    sample = SAMPLES[key]
    expected = [event for event in events(sample.repaired()) if event.event not in UNREADABLE[key]]
    for pieces in every_way(sample.body):
        answer = download(checked(sample.dialect), pieces)
        assert [event.event for event in answer.events] == [event.event for event in expected]
        assert [is_error(event) for event in answer.events] == [is_error(event) for event in expected]
        same = [event for event in expected if not is_error(event)]
        assert answer.events[: len(same)] == same


# --- limits -------------------------------------------------------------------------------------


def large(size: int) -> bytes:
    """A legal frame of just so many bytes."""
    text = frame(chunk({"content": ""}))
    return frame(chunk({"content": "x" * (size - len(text))}))


@pytest.mark.parametrize("step", [1000, 1 << 20])
def test_a_frame_up_to_the_limit_passes_and_one_above_it_fails_the_stream(step: int) -> None:
    limit = 256 * 1024
    fits = START + large(limit) + TEXT
    answer = download(checked("chat", limit=limit), split(fits, [step]), eof=False)
    assert answer.body == fits
    answer = download(checked("chat", limit=limit), split(START + large(limit + 2)[:-1], [step]), eof=False)
    assert answer.events[0] == events(START)[0]
    assert re.search(f"above {limit} bytes after 0 deltas, before", str(failure_in(answer.events[-1])))
    assert answer.ended
    assert answer.stream.end_code == "UP"


def test_a_frame_above_the_limit_before_anything_was_sent_is_a_bad_gateway() -> None:
    answer = download(checked("chat", limit=1000), split(large(2000), [300]))
    assert isinstance(answer.refused, UpstreamError)
    assert "above 1000 bytes" in str(answer.refused)


def test_a_json_answer_above_the_limit_is_a_bad_gateway() -> None:
    answer = download(checked("chat", limit=1000), split(b'{"a":"' + b"x" * 2000, [300]))
    assert isinstance(answer.refused, UpstreamError)
    assert "JSON document above 1000 bytes" in str(answer.refused)


def test_one_frame_of_the_largest_size_passes() -> None:
    body = START + large(LIMIT) + FINISH + DONE
    answer = download(checked("chat"), split(body, [64 * 1024]))
    assert answer.body == body
    assert answer.stream.end_code == "OK"


# --- frames that one line end parts -------------------------------------------------------------


def lines_of(*texts: bytes) -> list[bytes]:
    return [text.rstrip() + b"\n" for text in texts]


def test_a_server_without_empty_lines_streams_line_by_line() -> None:
    stream, answer = checked("chat"), None
    live = lines_of(START, TEXT, TEXT, FINISH, DONE)
    answer = download(stream, live[:2], eof=False)
    assert answer.events == events(START + TEXT), (
        "two lines show what it is; from then on each leaves at once"
    )
    for number, line in enumerate(live[2:], start=3):
        answer.read(line)
        assert len(answer.events) == number
    assert answer.events == events(b"".join(SMALLEST["chat"]))
    assert_writes_end_with_frames(answer)
    assert stream.repairs["frame-single-newline"] >= 1
    assert stream.ended


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("before", [b"", b": hello\n", b"event: message\n"])
@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n"])
def test_frames_that_one_line_end_parts_are_told_apart_at_every_cut(
    framing: str, before: bytes, end: bytes
) -> None:
    body = before + b"".join(lines_of(START, TEXT, TEXT, FINISH, DONE)).rstrip() + end
    for pieces in every_way(FRAMINGS[framing](body)[1]):
        answer = download(checked("chat", FRAMINGS[framing](body)[0]), pieces)
        assert payloads(answer.events) == payloads(events(b"".join(SMALLEST["chat"])))
        assert_writes_end_with_frames(answer)
        assert answer.stream.end_code == "OK"


def test_a_malformed_line_does_not_take_the_ones_before_it_along() -> None:
    lines = [*lines_of(START, TEXT, TEXT), b"data: {\n"]
    for pieces in ([b"".join(lines)], lines):
        answer = download(checked("chat"), pieces)
        assert payloads(answer.events[:3]) == payloads(events(START + TEXT + TEXT))
        assert "invalid frame" in str(failure_in(answer.events[-1]))
        assert len(answer.events) == 4


def test_a_payload_spread_over_lines_is_one_frame() -> None:
    pretty = json.dumps(chunk({"role": "assistant", "content": "a"}), indent=1).encode()
    text = b"".join(b"data: " + line + b"\n" for line in pretty.split(b"\n")) + b"\n"
    body = text + FINISH + DONE
    for pieces in every_way(body):
        answer = download(checked("chat"), pieces)
        assert answer.body == body
        assert answer.stream.repairs == {}


# --- signs of life ------------------------------------------------------------------------------


@pytest.mark.parametrize("sample", PASSING, ids=str)
@pytest.mark.parametrize("sizes", [[1], [100, 33]])
def test_a_sign_of_life_between_any_two_reads_is_nothing_to_a_client(
    sample: Sample, sizes: list[int]
) -> None:
    stream = checked(sample.dialect)
    answer = Answer(stream)
    for piece in split(sample.body, sizes):
        answer.read(piece)
        if signs := stream.keep_alive():
            answer.write(b"".join(signs))
    answer.close()
    assert_writes_end_with_frames(answer)
    assert unnumbered(answer.events) == unnumbered(events(sample.body))


def unnumbered(seen: list[Event]) -> list[Event]:
    """The events that are more than signs of life; a sign of life takes a number from those behind it."""
    for event in seen:
        (event.payload or {}).pop("sequence_number", None)
    return [event for event in seen if not is_sign_of_life(event)]


def is_sign_of_life(event: Event) -> bool:
    return bool(event.payload) and event.payload.get("type") in ("ping", "keepalive")


def test_signs_of_life_are_for_live_streams_only() -> None:
    stream = checked("chat")
    assert stream.keep_alive() == []
    answer = download(stream, [START], eof=False)
    assert b"".join(stream.keep_alive()) == b"c\r\n: keepalive\n\r\n"
    download(stream, [FINISH + DONE], eof=False)
    assert stream.keep_alive() == [], "the last word has been said"
    assert answer.body == START


def test_a_sign_of_life_of_a_plain_body_has_no_chunk() -> None:
    stream = checked("chat", chunked=False)
    download(stream, [START], eof=False)
    assert b"".join(stream.keep_alive()) == b": keepalive\n"


@pytest.mark.parametrize(
    ("read", "lively"),
    [(b": ping\n\n", False), (b"\n", False), (b"data:\n\n", False), (TEXT, True), (b"data: {", True)],
)
def test_only_comments_and_empty_frames_are_no_sign_of_work(read: bytes, lively: bool) -> None:
    stream = checked("chat")
    download(stream, [START], eof=False)
    download(stream, [read], eof=False)
    assert stream.lively is lively


# --- flags --------------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize(("deltas", "flagged"), [(7, False), (8, True), (30, True)])
def test_many_deltas_in_one_read_and_none_in_others_are_no_stream(
    framing: str, deltas: int, flagged: bool
) -> None:
    body = START + TEXT * deltas + FINISH + DONE
    decoder, wire = FRAMINGS[framing](body)
    stream = checked("chat", decoder)
    download(stream, [wire])
    assert stream.deltas == deltas
    assert stream.flags == (frozenset({"one-read"}) if flagged else frozenset())


def test_chunks_of_one_frame_each_in_one_read_are_one_read() -> None:
    wire = b"".join(b"%x\r\n%b\r\n" % (len(text), text) for text in (START, *[TEXT] * 20, FINISH, DONE))
    stream = checked("chat", ChunkedDecoder())
    download(stream, [wire + b"0\r\n\r\n"])
    assert stream.flags == {"one-read"}


@pytest.mark.parametrize("first", [START, START + TEXT])
def test_deltas_in_several_reads_are_a_stream(first: bytes) -> None:
    stream = checked("chat")
    download(stream, [first, TEXT, TEXT * 20, FINISH + DONE])
    assert stream.flags == frozenset()


# --- codings and line ends ----------------------------------------------------------------------


@pytest.mark.parametrize("sample", CUT_SAMPLES, ids=str)
def test_a_compressed_stream_is_checked_like_any_other(sample: Sample) -> None:
    body = sample.body.replace(b"\n\n", b"\n\ndata:\n\n", 1)
    for pieces in every_way(gzip.compress(body)):
        answer = download(checked(sample.dialect, coding=b"gzip"), pieces)
        assert answer.events == events(sample.body)
        assert answer.stream.repairs == {"frame-empty-data": 1}
        assert answer.ended


def test_a_frame_that_the_compressor_flushed_leaves_at_once() -> None:
    stream, compressor = checked("chat", coding=b"gzip"), zlib.compressobj(wbits=31)
    for text in SMALLEST["chat"]:
        piece = compressor.compress(text) + compressor.flush(zlib.Z_SYNC_FLUSH)
        assert download(stream, [piece], eof=False).body == text


@pytest.mark.parametrize("sample", CUT_SAMPLES, ids=str)
def test_a_cut_compressed_stream_says_that_it_failed(sample: Sample) -> None:
    compressor, raw = zlib.compressobj(wbits=31), b""
    for text in frames(sample.body)[:2]:
        raw += compressor.compress(text) + compressor.flush(zlib.Z_SYNC_FLUSH)
    answer = download(checked(sample.dialect, coding=b"gzip"), [raw])
    assert is_error(answer.events[-1])
    assert answer.ended


LINE_ENDS = [b"\r\n", b"\r", b"\n"]


@pytest.mark.parametrize("sample", CUT_SAMPLES, ids=str)
@pytest.mark.parametrize("end", [b"\r\n", b"\r"])
def test_streams_of_other_line_ends_are_read_at_every_cut(sample: Sample, end: bytes) -> None:
    body = sample.body.replace(b"\n", end)
    for pieces in every_way(body):
        answer = download(checked(sample.dialect), pieces)
        assert answer.events == events(sample.body)
        assert answer.body == (body if end == b"\r\n" else sample.body)
        assert_writes_end_with_frames(answer)
        assert answer.stream.end_code == "OK"


def with_mixed_ends(body: bytes, dice: random.Random) -> bytes:
    """The same stream; a LF that follows a CR would be the same line end and is not used there."""
    mixed = b""
    for line in body.split(b"\n")[:-1]:
        after_cr = not line and mixed.endswith(b"\r")
        mixed += line + dice.choice(LINE_ENDS[:2] if after_cr else LINE_ENDS)
    return mixed


@pytest.mark.parametrize("sample", CUT_SAMPLES, ids=str)
@pytest.mark.parametrize("seed", range(5))
def test_streams_of_mixed_line_ends_are_read_at_every_cut(sample: Sample, seed: int) -> None:
    body = with_mixed_ends(sample.body, random.Random(seed))
    for pieces in every_way(body):
        answer = download(checked(sample.dialect), pieces)
        assert answer.events == events(sample.body)
        assert_writes_end_with_frames(answer)
        assert answer.stream.end_code == "OK"


@pytest.mark.parametrize("dialect", SMALLEST)
def test_a_stream_that_ends_between_cr_and_lf_is_whole(dialect: str) -> None:
    body = b"".join(SMALLEST[dialect]).replace(b"\n", b"\r\n")[:-1]
    for pieces in every_way(body):
        answer = download(checked(dialect), pieces)
        assert answer.body == body
        assert answer.stream.end_code == "OK"
        assert answer.stream.repairs == {}


# --- a second relay -----------------------------------------------------------------------------


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=str)
def test_what_one_relay_sent_a_second_one_passes_unchanged(sample: Sample) -> None:
    first = download(checked(sample.dialect), [sample.body])
    if first.refused is None:
        second = download(checked(sample.dialect), [first.body])
        assert second.stream.repairs == {}
        if second.refused is None:
            assert second.body == first.body
        else:  # in one read with the error there was nothing before it: a status says it better
            assert first.stream.deltas == 0


# --- report: look on, touch nothing -------------------------------------------------------------


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("sample", SAMPLES.values(), ids=str)
def test_a_reported_stream_leaves_as_it_came_and_ends_with_a_code(sample: Sample, framing: str) -> None:
    decoder, wire = FRAMINGS[framing](sample.body)
    stream = checked(sample.dialect, decoder, report=True)
    answer = download(stream, split(wire, [97]))
    assert answer.body == sample.body
    assert not answer.refused
    assert not answer.broken
    assert not stream.note
    assert stream.keep_alive() == []
    assert stream.end_code in ("OK", "UE", "UX")


def test_a_report_of_a_broken_stream_leaves_it_broken() -> None:
    stream = checked("chat", ChunkedDecoder(), report=True)
    raw = b"%x\r\n%b\r\n" % (len(START), START)
    answer = download(stream, [raw, b"5\r\ndata"])
    assert answer.body == START
    assert not answer.ended
    assert stream.end_code == "UE"


# --- anything -----------------------------------------------------------------------------------


def pool() -> dict[str, list[bytes]]:
    """Frames of every handwritten stream, by dialect; a few of our own where there is no corpus."""
    found: dict[str, list[bytes]] = {dialect: [*SMALLEST[dialect], DONE, PING] for dialect in DIALECTS}
    for sample in SAMPLES.values():
        found[sample.dialect] += frames(sample.body)
    return {
        dialect: sorted(set(texts), key=lambda text: (len(text), text)) for dialect, texts in found.items()
    }


POOL = pool()
SWAPS: list[tuple[bytes, bytes]] = [
    (b"null", b"0"), (b"0", b"-1"), (b"0", b"7"), (b'"', b""), (b"{", b"["), (b"}", b""), (b"\n\n", b"\n"),
    (b"\n", b"\r"), (b"\n", b"\r\n"), (b"data:", b"data"), (b"data: ", b"id: "), (b'"index":0', b'"index":1'),
    (b'"type"', b'"kind"'), (b"[]", b"null"), (b"{}", b"null"), (b'"content"', b'"text"'), (b"1", b"NaN"),
    (b"event: ", b": "), (b'"id":"', b'"id":"x'), (b'"stop"', b"null"), (b'"text"', b'"tool_use"'),
    (b'":"', b'":{"a":"'), (b"e", b"\xff"), (b"a", b"\\ud83d"), (b"in_progress", b""), (b"[", b"[" * 300),
]  # fmt: skip


@st.composite
def mutated_streams(draw: st.DrawFn) -> tuple[str, list[bytes]]:
    """Frames of one dialect, or of two, in any order, some of them bent."""
    dialect = draw(st.sampled_from(DIALECTS))
    others = st.sampled_from(POOL[draw(st.sampled_from(DIALECTS))])
    texts = []
    for number in draw(st.lists(st.integers(0, 9), min_size=1, max_size=10)):
        text = draw(others if number == 9 else st.sampled_from(POOL[dialect]))
        for _ in range(number % 3 if number > 3 else 0):
            old, new = draw(st.sampled_from(SWAPS))
            text = text.replace(old, new, draw(st.integers(1, 3)))
        texts.append(text)
    return dialect, texts


def assert_documented(dialect: str, pieces: list[bytes], decoder: BodyDecoder, *, report: bool) -> None:
    stream = checked(dialect, decoder, report=report, limit=100_000)
    answer = download(stream, pieces)  # an error that is not documented is raised here
    assert stream.repairs.keys() >= set()
    assert isinstance(stream.flags, frozenset)
    if report:
        assert not isinstance(answer.broken, UpstreamMalformed)
        return
    assert answer.refused or answer.ended
    if answer.refused:
        assert answer.body == b""
        assert 400 <= answer.refused.status < 600
        return
    assert_writes_end_with_frames(answer)
    for event in events(answer.body.decode("utf-8", "replace").encode()):  # raises for what is no JSON
        assert event.payload is None or isinstance(event.payload, dict)
    assert stream.end_code in ("OK", "UE", "UX", "UP")


@pytest.mark.timeout(300)
@settings(max_examples=EXAMPLES)
@given(
    mutated_streams(),
    st.sampled_from([1, 3, 50, 1000, 100_000]),
    st.sampled_from(list(FRAMINGS)),
    st.booleans(),
)
def test_any_frames_leave_as_whole_frames_or_a_documented_error(
    case: tuple[str, list[bytes]], step: int, framing: str, report: bool
) -> None:
    dialect, texts = case
    body = b"".join(texts)
    decoder, wire = FRAMINGS[framing](body)
    pieces = split(wire, [step if len(wire) < 3000 else max(step, 50)])
    assert_documented(dialect, pieces, decoder, report=report)


@settings(max_examples=EXAMPLES // 4)
@given(mutated_streams(), st.booleans())
def test_any_frame_in_a_chunk_of_its_own_is_checked_like_any_other_bytes(
    case: tuple[str, list[bytes]], report: bool
) -> None:
    dialect, texts = case
    assert_short_cuts_change_nothing(dialect, [text for text in texts if text], report=report)


@settings(max_examples=EXAMPLES // 4)
@given(
    st.sampled_from(DIALECTS),
    st.lists(
        st.binary(max_size=12)
        | st.sampled_from(
            [b"data: ", b"{", b"}", b"\n", b"\n\n", b"\r", b"event: ", b"[DONE]", b'"a":1', b"5\r\n"]
        ),
        max_size=15,
    ),
    st.sampled_from(["length", "until close", "chunked", "raw chunks"]),
    st.booleans(),
)
def test_any_bytes_leave_as_whole_frames_or_a_documented_error(
    dialect: str, parts: list[bytes], framing: str, report: bool
) -> None:
    body = b"".join(parts)
    if framing == "raw chunks":
        decoder: BodyDecoder = ChunkedDecoder()
        pieces = [part for part in parts if part]
    else:
        decoder, wire = FRAMINGS[framing](body)
        pieces = split(wire, [5])
    assert_documented(dialect, pieces, decoder, report=report)


def test_a_long_frame_in_small_reads_is_gone_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that stays open over many others: it once was parsed again with each of them."""
    parsed: list[int] = []
    whole = sse.first_line_is_whole

    def counted(text: bytearray) -> bool:
        parsed.append(len(text))
        return whole(text)

    monkeypatch.setattr(sse, "first_line_is_whole", counted)
    lines = [b"data: {" + b" " * 1000 + b"\n", *[b"data: \n"] * 200, b'data: "error": {"message": "m"}}\n\n']
    assert download(checked("chat"), lines).refused is not None
    assert len(parsed) <= 1
