"""Frames that only announce an answer wait for one that says more: what fails until then is a true status."""

from __future__ import annotations

import json
import random
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.checked import CheckedStream
from relay.dialects.announcing import announces
from relay.dialects.frame import Frame
from relay.errors import UpstreamClosed, UpstreamError, UpstreamMalformed, UpstreamRefused, UpstreamTruncated
from relay.wire.framing import BodyDecoder, ChunkedDecoder, ChunkedEncoder, PlainEncoder, UntilCloseDecoder
from relay.wire.sse import write_frame
from tests.cuts import SIZES, every_way, placed, split
from tests.dialects import responses_kit as responses
from tests.dialects.drive import Event, events
from tests.streams import FRAMINGS, LIMIT, Answer, Sample, checked, download, handwritten, mender_of, recorded
from tests.translated import PAIRS, translation
from tests.wire.event_stream import frames

DIALECTS = ["chat", "messages", "responses"]
SAMPLES = handwritten()
Json = dict[str, Any]


def looking(
    dialect: str, decoder: BodyDecoder | None = None, *, report: bool = False, chunked: bool = True
) -> CheckedStream:
    encoder = ChunkedEncoder() if chunked else PlainEncoder()
    mender = mender_of(dialect, report=report)
    return CheckedStream(decoder or UntilCloseDecoder(), encoder, mender, frame_limit=LIMIT, look_ahead=True)


def translating(client: str, upstream: str) -> CheckedStream:
    asked = translation(client, upstream)
    mender = asked.translator(asked.context("t1", 1763600000))
    return CheckedStream(UntilCloseDecoder(), ChunkedEncoder(), mender, frame_limit=LIMIT, look_ahead=True)


def released(stream: CheckedStream) -> bytes:
    """What its owner lets go, unframed."""
    answer = Answer(stream)
    answer.write(b"".join(stream.release_early()))
    return answer.body


# --- frames -------------------------------------------------------------------------------------


def chunk(delta: Json | None, finish: str | None = None, **more: Any) -> Json:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {
        "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more
    }  # fmt: skip


def call(**function: str) -> Json:
    return {"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": function}]}


MESSAGE: Json = {
    "id": "m", "type": "message", "role": "assistant", "model": "m", "content": [],
    "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 3, "output_tokens": 1},
}  # fmt: skip


def block(content: Json) -> Json:
    return {"type": "content_block_start", "index": 0, "content_block": content}


def delta(kind: str, field: str, text: str) -> Json:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": kind, field: text}}


RESPONSE = responses.response()
PLACE = {"item_id": "msg_1", "output_index": 0, "content_index": 0}


def item(kind: str, item: Json) -> Json:
    return {"type": f"response.output_item.{kind}", "output_index": 0, "item": item}


MESSAGE_ITEM = {"id": "msg_1", "type": "message", "status": "in_progress", "role": "assistant", "content": []}
REASONING_ITEM = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "stub"}
TEXT_PART = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}

ANNOUNCEMENTS: dict[str, list[Json]] = {
    "chat": [
        {"choices": [], "prompt_filter_results": [{"prompt_index": 0}], "id": "", "object": "", "model": ""},
        chunk({"role": "assistant", "content": ""}),
        chunk({"role": "assistant", "content": None, "refusal": None, "tool_calls": []}),
        chunk({"reasoning_content": "", "content": ""}),
        chunk({}),
        chunk({"content": ""}, "", usage={"prompt_tokens": 3, "completion_tokens": 0, "total_tokens": 3}),
    ],
    "messages": [
        {"type": "ping"},
        {"type": "message_start", "message": MESSAGE},
        block({"type": "thinking", "thinking": "", "signature": ""}),
        delta("thinking_delta", "thinking", ""),
        {"type": "content_block_stop", "index": 0},
        {**block({"type": "text", "text": ""}), "index": 1},
        {**delta("text_delta", "text", ""), "index": 1},
        {"type": "ping"},
    ],
    "responses": [
        {"type": "response.created", "response": RESPONSE},
        {"type": "response.queued", "response": {**RESPONSE, "status": "queued"}},
        {"type": "response.in_progress", "response": RESPONSE},
        {"type": "keepalive"},
        item("added", MESSAGE_ITEM),
        {"type": "response.content_part.added", **PLACE, "part": TEXT_PART},
        {"type": "response.output_text.delta", **PLACE, "delta": "", "logprobs": []},
    ],
}
"""Legal beginnings of streams in which nothing is said."""

MORE: dict[str, list[Json | None]] = {
    "chat": [
        None,
        chunk({"content": "a"}),
        chunk({"content": " "}),
        chunk({"reasoning_content": "a"}),
        chunk({"refusal": "no"}),
        chunk({}, "stop"),
        chunk({"role": "assistant", "content": ""}, "content_filter"),
        chunk(call(name="f", arguments="")),
        chunk({"function_call": {"name": "f", "arguments": ""}}),
        chunk({"images": [{"type": "image_url"}]}),
        chunk({"content": [{"type": "text", "text": ""}]}),
        {**chunk(None), "choices": [{"index": 0, "message": {"content": "a"}, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {}}, {"index": 1, "delta": {"content": "a"}}]},
        {"choices": "x"},
        {"choices": ["x"]},
    ],
    "messages": [
        None,
        {"type": "message_start", "message": {**MESSAGE, "content": [{"type": "text", "text": "a"}]}},
        {"type": "message_start", "message": {**MESSAGE, "stop_reason": "end_turn"}},
        {"type": "message_start"},
        block({"type": "text", "text": "a"}),
        block({"type": "tool_use", "id": "t", "name": "f", "input": {}}),
        block({"type": "server_tool_use", "id": "t", "name": "web_search", "input": {}}),
        block({"type": "redacted_thinking", "data": "x"}),
        block({"type": "new"}),
        block({}),
        {"type": "content_block_start"},
        delta("text_delta", "text", "a"),
        delta("signature_delta", "signature", "s"),
        {"type": "content_block_delta"},
        {"type": "message_delta", "delta": {"stop_reason": "refusal"}},
        {"type": "message_stop"},
        {"type": "new"},
        {},
    ],
    "responses": [
        None,
        item("added", {**MESSAGE_ITEM, "content": [{**TEXT_PART, "text": "a"}]}),
        item("added", {"id": "fc", "type": "function_call", "name": "f", "arguments": "", "call_id": "c"}),
        item("added", {"id": "ws", "type": "web_search_call", "status": "in_progress"}),
        item("done", MESSAGE_ITEM),
        {"type": "response.output_item.added"},
        {"type": "response.content_part.added", "part": {**TEXT_PART, "text": "a"}},
        {"type": "response.content_part.added"},
        {"type": "response.output_text.delta", "delta": "a"},
        {"type": "response.output_text.delta"},
        {"type": "response.output_text.done", "text": ""},
        {"type": "response.web_search_call.in_progress"},
        {"type": "response.completed"},
        {"type": "response.incomplete"},
        {"type": "new"},
        {"type": ["x"]},
        {},
    ],
}
"""Frames that say more, or are not known."""


def text(dialect: str, payload: Json | None, number: int = 0) -> bytes:
    if payload is None:
        return b"data: [DONE]\n\n"
    name = payload.get("type")
    name = name if isinstance(name, str) and dialect != "chat" else None
    numbered = {**payload, "sequence_number": number} if dialect == "responses" else payload
    return write_frame(name, json.dumps(numbered).encode())


@cache
def announced(dialect: str, count: int | None = None) -> bytes:
    """The first so many announcements."""
    return b"".join(
        text(dialect, payload, number) for number, payload in enumerate(ANNOUNCEMENTS[dialect][:count])
    )


CONTENT = {
    "chat": text("chat", chunk({"content": "a"})),
    "messages": text("messages", {**delta("text_delta", "text", "a"), "index": 1}),
    "responses": text(
        "responses", {"type": "response.output_text.delta", **PLACE, "delta": "a", "logprobs": []}, 9
    ),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_only_announces_is_known_in_every_dialect(dialect: str) -> None:
    assert [p for p in ANNOUNCEMENTS[dialect] if not announces(dialect, Frame(None, p))] == []
    assert [p for p in MORE[dialect] if announces(dialect, Frame(None, p))] == []


def test_the_name_of_the_event_serves_where_there_is_no_type() -> None:
    assert announces("messages", Frame("ping", {}))
    assert announces("responses", Frame("response.created", {"response": RESPONSE}))
    assert announces("responses", Frame("response.output_item.added", {"item": REASONING_ITEM}))


# --- held, and let go ---------------------------------------------------------------------------


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_announcements_leave_with_the_first_frame_that_says_more(dialect: str, framing: str) -> None:
    body = announced(dialect) + CONTENT[dialect]
    for pieces in every_way(FRAMINGS[framing](body)[1]):
        stream = looking(dialect, FRAMINGS[framing](body)[0])
        answer = Answer(stream)
        for piece in pieces:
            answer.read(piece)
        assert answer.writes[0].startswith(body)
        assert stream.deltas == 1


@pytest.mark.parametrize("dialect", DIALECTS)
def test_it_holds_from_the_first_announcement_to_the_first_frame_that_says_more(dialect: str) -> None:
    stream = looking(dialect)
    assert not stream.holding
    download(stream, [b": comment\n\n", b"\n"], eof=False)
    assert not stream.holding, "a comment announces nothing"
    for end in range(2, len(ANNOUNCEMENTS[dialect]) + 1):
        stream = looking(dialect)
        assert download(stream, frames(announced(dialect, end)), eof=False).body == b""
        assert stream.holding
        assert stream.keep_alive() == [], "there is no head to follow yet"
        assert stream.lively, "the upstream is at work"
        download(stream, [CONTENT[dialect]], eof=False)
        assert not stream.holding


@pytest.mark.parametrize("dialect", DIALECTS)
def test_without_look_ahead_the_first_announcement_leaves(dialect: str) -> None:
    stream = checked(dialect)
    first = frames(announced(dialect))[:2]
    assert download(stream, first, eof=False).body == b"".join(first)
    assert not stream.holding
    assert stream.release_early() == []


@pytest.mark.parametrize(
    ("dialect", "payload"), [(name, payload) for name in DIALECTS for payload in MORE[name]]
)
def test_every_frame_that_says_more_ends_the_holding(dialect: str, payload: Json | None) -> None:
    begin = announced(dialect, 2)
    stream = looking(dialect)
    answer = download(stream, [begin, text(dialect, payload, 2)], eof=False)
    assert not stream.holding or answer.refused
    if isinstance(answer.refused, UpstreamMalformed):
        assert not answer.writes
    elif stream.deltas:
        assert answer.body.startswith(begin)


TOOLS = {
    "chat": chunk(call(name="f", arguments="")),
    "messages": {**block({"type": "tool_use", "id": "t", "name": "f", "input": {}}), "index": 2},
    "responses": item(
        "added", {"id": "f", "type": "function_call", "name": "f", "arguments": "", "call_id": "c"}
    ),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_start_of_a_tool_call_leaves_at_once(dialect: str) -> None:
    begin, tool = announced(dialect, 2), text(dialect, TOOLS[dialect], 2)
    if dialect == "messages":
        tool = tool.replace(b'"index": 2', b'"index": 0')
    assert download(looking(dialect), [begin, tool], eof=False).body == begin + tool


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_owner_lets_go_what_is_held_and_nothing_is_held_from_then_on(dialect: str, chunked: bool) -> None:
    texts = frames(announced(dialect))
    for at in range(2, len(texts) + 1):
        stream = looking(dialect, chunked=chunked)
        answer = download(stream, texts[:at], eof=False)
        answer.write(b"".join(stream.release_early()))
        assert not stream.holding
        assert stream.release_early() == []
        # The start of an empty text block is the checker's to hold: the block may come to nothing.
        kept = b"".join(texts[5:at]) if dialect == "messages" and at in (6, 7) else b""
        stop = texts[4] if dialect == "messages" and at == 5 else b""
        assert answer.body + kept + stop == b"".join(texts[:at])
        for rest in [*texts[at:], CONTENT[dialect]]:
            answer.read(rest)
        assert answer.body == b"".join(texts) + CONTENT[dialect]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_owner_who_lets_go_too_early_gets_what_comes_at_once(dialect: str) -> None:
    stream = looking(dialect)
    answer = download(stream, [b": comment\n\n"], eof=False)
    assert stream.release_early() == []
    assert answer.body == b""
    answer.read(announced(dialect, 2))
    assert answer.body == b": comment\n\n" + announced(dialect, 2)


def test_a_frame_in_the_middle_does_not_leave_with_what_is_held() -> None:
    stream, begin = looking("chat"), announced("chat", 2)
    download(stream, [begin + CONTENT["chat"][:20]], eof=False)
    assert released(stream) == begin


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_is_held_is_bounded(dialect: str) -> None:
    begin, sent = announced(dialect, 2), b""
    padded = b": " + b"x" * 1020 + b"\n\n"
    stream = looking(dialect)
    answer = download(stream, [begin], eof=False)
    for _ in range((256 * 1024 - len(begin)) // 1024):
        answer.read(padded)
        sent += padded
    assert answer.body == b""
    answer.read(padded)
    assert answer.body == begin + sent + padded
    assert not stream.holding
    assert stream.keep_alive() != []
    answer.read(text(dialect, ERRORS[dialect][0][0], 3))
    answer.close()
    assert answer.refused is None
    assert stream.end_code == "UX"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_report_holds_nothing(dialect: str) -> None:
    stream = looking(dialect, report=True)
    assert download(stream, [announced(dialect, 2)], eof=False).body == announced(dialect, 2)
    assert not stream.holding
    assert stream.release_early() == []


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_stream_given_up_after_its_head_has_left_says_what_it_held(dialect: str) -> None:
    """An owner may have sent the head alone."""
    stream, begin = looking(dialect), announced(dialect, 2)
    answer = download(stream, [begin], eof=False)
    answer.writes.append(b"")
    answer.fail(UpstreamClosed("the upstream broke the connection"))
    assert answer.body.startswith(begin)
    assert "broke the connection after 0 deltas" in answer.body.decode()
    assert answer.ended


# --- failures -----------------------------------------------------------------------------------


def failed(code: str, message: str = "boom") -> Json:
    response = {**RESPONSE, "status": "failed", "error": {"code": code, "message": message}}
    return {"type": "response.failed", "response": response}


ERRORS: dict[str, list[tuple[Json, int]]] = {
    "chat": [
        ({"error": {"message": "boom", "type": "rate_limit_error", "code": 429}}, 429),
        ({"error": {"message": "boom", "type": "invalid_request_error"}}, 400),
        ({"error": {"message": "boom", "type": "server_error"}}, 500),
        ({"error": {"message": "boom", "code": "server_is_overloaded"}}, 503),
        ({"error": "boom"}, 502),
        ({**chunk({"content": ""}, "error"), "error": {"message": "boom", "code": 504}}, 504),
    ],
    "messages": [
        ({"type": "error", "error": {"type": "overloaded_error", "message": "boom"}}, 529),
        ({"type": "error", "error": {"type": "rate_limit_error", "message": "boom"}}, 429),
        ({"type": "error", "error": {"type": "api_error", "message": "boom"}}, 500),
        ({"type": "error", "error": {"type": "invalid_request_error", "message": "boom"}}, 400),
        ({"type": "error", "error": {"type": "timeout_error", "message": "boom"}}, 504),
        ({"error": {"message": "boom", "code": 400}}, 400),
    ],
    "responses": [
        (failed("rate_limit_exceeded"), 429),
        (failed("insufficient_quota"), 429),
        (failed("server_error"), 500),
        (failed("server_is_overloaded"), 503),
        (failed("slow_down"), 503),
        (failed("invalid_prompt"), 400),
        (failed("context_length_exceeded"), 400),
        (failed("new_code"), 502),
        ({"type": "error", "code": "rate_limit_exceeded", "message": "boom", "param": None}, 429),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "boom"}}, 529),
    ],
}
every_error = pytest.mark.parametrize(
    ("dialect", "error", "status"), [(name, *row) for name in DIALECTS for row in ERRORS[name]]
)


def assert_refused(answer: Answer, dialect: str, status: int) -> None:
    assert isinstance(answer.refused, UpstreamRefused)
    assert answer.body == b""
    assert answer.refused.status == status
    assert answer.refused.body is not None
    document = json.loads(answer.refused.body)
    assert document["error"]["message"].endswith("boom")  # Anthropic's clients look for words before it
    assert (document.get("type") == "error") is (dialect == "messages")


@every_error
def test_an_error_after_announcements_is_a_true_status(dialect: str, error: Json, status: int) -> None:
    for count in (1, 2, 3, None):
        begin = announced(dialect, count)
        body = begin + text(dialect, error, 9) + (b"data: [DONE]\n\n" if dialect == "chat" else b"")
        for pieces in [frames(body), *every_way(body, random_ways=2)]:
            assert_refused(download(looking(dialect), pieces), dialect, status)


@pytest.mark.parametrize(
    ("code", "status"),
    [("invalid_image_url", 400), ("image_too_large", 400), ("unsupported_image_media_type", 400),
     ("image_content_policy_violation", 400), ("vector_store_timeout", 504)],
)  # fmt: skip
def test_the_other_codes_of_the_responses_api_have_their_status(code: str, status: int) -> None:
    answer = download(looking("responses"), [announced("responses", 2), text("responses", failed(code), 3)])
    assert_refused(answer, "responses", status)


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_error_after_announcements_is_a_true_status_in_every_framing(dialect: str, framing: str) -> None:
    error, status = ERRORS[dialect][0]
    body = b": comment\n\n" + announced(dialect) + text(dialect, error, 9)
    for pieces in every_way(FRAMINGS[framing](body)[1]):
        assert_refused(download(looking(dialect, FRAMINGS[framing](body)[0]), pieces), dialect, status)


@every_error
def test_after_content_it_is_an_event(dialect: str, error: Json, status: int) -> None:
    body = announced(dialect) + CONTENT[dialect]
    answer = download(looking(dialect), [body, text(dialect, error, 10)])
    assert answer.refused is None
    assert answer.body.startswith(body)
    assert "boom" in answer.body.decode()
    assert answer.stream.end_code == "UX"


@every_error
def test_after_the_owner_has_let_go_it_is_an_event(dialect: str, error: Json, status: int) -> None:
    answer = download(looking(dialect), [announced(dialect, 2)], eof=False)
    answer.write(b"".join(answer.stream.release_early()))
    answer.read(text(dialect, error, 2))
    answer.close()
    assert answer.refused is None
    assert "boom" in answer.body.decode()
    assert answer.stream.end_code == "UX"


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_end_after_announcements_is_no_answer(dialect: str, framing: str) -> None:
    for count in (2, None):
        body = announced(dialect, count)
        for pieces in every_way(FRAMINGS[framing](body)[1], random_ways=3):
            answer = download(looking(dialect, FRAMINGS[framing](body)[0]), pieces)
            assert isinstance(answer.refused, UpstreamTruncated)
            assert answer.refused.status == 502
            assert str(answer.refused).startswith(
                "the upstream closed the connection after 0 deltas, before "
            )
            assert answer.body == b""


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("wire", [b"5\r\ndata", b"zz\r\n", b"7\r\ndata: {\r\n7\r\n"])
def test_a_cut_or_a_broken_framing_after_announcements_is_no_answer(dialect: str, wire: bytes) -> None:
    begin = announced(dialect, 2)
    chunks = b"%x\r\n%b\r\n" % (len(begin), begin) + wire
    for pieces in every_way(chunks):
        answer = download(looking(dialect, ChunkedDecoder()), pieces)
        assert isinstance(answer.refused, UpstreamError)
        assert answer.refused.status == 502
        assert answer.body == b""


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_malformed_frame_after_announcements_is_a_bad_gateway(dialect: str) -> None:
    body = announced(dialect) + b"data: {\n\n"
    for pieces in [frames(body), *every_way(body)]:
        answer = download(looking(dialect), pieces)
        assert isinstance(answer.refused, UpstreamMalformed)
        assert answer.body == b""


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_end_after_nothing_is_an_empty_stream_as_ever(dialect: str) -> None:
    answer = download(looking(dialect), [b": comment\n\n"])
    assert isinstance(answer.refused, UpstreamClosed)
    assert "empty event stream" in str(answer.refused)


# --- answers without a word ---------------------------------------------------------------------

FINISH = {"type": "message_delta", "delta": {"stop_sequence": None}, "usage": {"output_tokens": 0}}


def message_ends(reason: str) -> list[Json | None]:
    finish = {**FINISH, "delta": {"stop_reason": reason, "stop_sequence": None}}
    return [{"type": "message_start", "message": MESSAGE}, finish, {"type": "message_stop"}]


def response_ends(status: str, **more: Any) -> list[Json | None]:
    ended = {**RESPONSE, "status": status, "usage": None, **more}
    return [
        {"type": "response.created", "response": RESPONSE},
        {"type": "response.in_progress", "response": RESPONSE},
        {"type": f"response.{status}", "response": ended},
    ]


ROLE = chunk({"role": "assistant", "content": ""})
WORDLESS: list[tuple[str, list[Json | None]]] = [
    ("chat", [ROLE, chunk({}, "stop"), None]),
    ("chat", [ROLE, chunk({}, "content_filter"), None]),
    ("chat", [ROLE, chunk({}, "length")]),
    ("messages", message_ends("end_turn")),
    ("messages", message_ends("refusal")),
    ("responses", response_ends("completed", output=[])),
    ("responses", response_ends("incomplete", incomplete_details={"reason": "content_filter"})),
]


@pytest.mark.parametrize(("dialect", "payloads"), WORDLESS)
def test_a_legal_end_without_a_word_is_an_answer(dialect: str, payloads: list[Json | None]) -> None:
    texts = [text(dialect, payload, number) for number, payload in enumerate(payloads)]
    for pieces in [texts, *every_way(b"".join(texts))]:
        answer = download(looking(dialect), pieces)
        assert answer.refused is None
        assert answer.body.startswith(b"".join(texts))
        assert answer.stream.end_code == "OK"
        assert answer.stream.deltas == 0


@pytest.mark.parametrize(("dialect", "payloads"), WORDLESS)
def test_the_finish_leaves_at_once(dialect: str, payloads: list[Json | None]) -> None:
    texts = [text(dialect, payload, number) for number, payload in enumerate(payloads)]
    finish = next(at for at, p in enumerate(payloads) if not announces(dialect, Frame(None, p)))
    assert download(looking(dialect), texts[: finish + 1], eof=False).body == b"".join(texts[: finish + 1])


# --- translated ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_an_error_after_announcements_is_a_true_status_in_the_clients_dialect(
    client: str, upstream: str
) -> None:
    for error, status in ERRORS[upstream]:
        overloaded = {503: 529} if client == "messages" else {529: 503}
        body = announced(upstream) + text(upstream, error, 9)
        for pieces in [frames(body), [body], split(body, [7])]:
            answer = download(translating(client, upstream), pieces)
            assert_refused(answer, client, overloaded.get(status, status))


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_translated_announcements_are_held_and_let_go(client: str, upstream: str) -> None:
    begin = announced(upstream)
    stream, plain = translating(client, upstream), translating(client, upstream)
    answer = download(stream, [begin], eof=False)
    assert answer.body == b""
    assert stream.holding
    early = released(stream)
    assert not stream.holding
    assert early
    download(plain, [begin], eof=False)
    both = download(plain, [CONTENT[upstream]], eof=False).body
    assert both == early + download(stream, [CONTENT[upstream]], eof=False).body
    assert stream.deltas == 1


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_a_translated_end_after_announcements_is_no_answer(client: str, upstream: str) -> None:
    answer = download(translating(client, upstream), frames(announced(upstream, 2)))
    assert isinstance(answer.refused, UpstreamTruncated)
    assert answer.body == b""


# --- whatever the stream ------------------------------------------------------------------------


def assert_the_same(
    dialect: str, body: bytes, pieces: list[bytes], decoder: BodyDecoder | None = None
) -> None:
    """Looking ahead changes nothing but the moment of what leaves, and a failure before the first word."""
    plain = download(checked(dialect), [body])
    answer = download(looking(dialect, decoder), pieces)
    if answer.refused is None:
        assert answer.body == plain.body
        assert answer.stream.repairs.keys() == plain.stream.repairs.keys()
        assert answer.stream.end_code == plain.stream.end_code
    elif plain.refused is None:
        assert plain.stream.end_code != "OK"
        assert plain.stream.deltas == 0
        assert answer.body == b""
    else:
        assert str(answer.refused) == str(plain.refused)


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=str)
def test_every_handwritten_stream_leaves_as_without_it_at_every_cut(sample: Sample) -> None:
    for pieces in every_way(sample.body, random_ways=3):
        assert_the_same(sample.dialect, sample.body, pieces)


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=str)
def test_a_chunk_in_a_read_is_held_like_any_other_bytes(sample: Sample) -> None:
    texts = frames(sample.body)
    texts += [rest] if (rest := sample.body[len(b"".join(texts)) :]) else []
    chunks = [b"%x\r\n%b\r\n" % (len(one), one) for one in texts]
    slow = download(looking(sample.dialect), texts)
    fast = download(looking(sample.dialect, ChunkedDecoder()), [*chunks, b"0\r\n\r\n"])
    assert fast.body == slow.body
    assert str(fast.refused) == str(slow.refused)
    assert fast.stream.repairs == slow.stream.repairs
    assert (fast.stream.deltas, fast.stream.end_code) == (slow.stream.deltas, slow.stream.end_code)


@pytest.mark.skipif(not recorded(), reason="the folder of recorded streams is not beside this project")
@pytest.mark.parametrize("dialect", DIALECTS)
def test_recorded_streams_leave_as_without_it(dialect: str) -> None:
    dice, passed, paths = random.Random(3), 0, [path for name, path in recorded() if name == dialect]
    for path in paths:
        body = path.read_bytes()
        longest = 65536 if len(body) > 20_000 else dice.choice((1, 7, 300))
        framing = dice.choice(list(FRAMINGS))
        decoder, wire = FRAMINGS[framing](body)
        assert_the_same(dialect, body, split(wire, [dice.randint(1, longest) for _ in range(11)]), decoder)
        passed += download(looking(dialect), [body]).body == body
    assert passed >= 0.75 * len(paths)


@given(st.sampled_from(DIALECTS), st.lists(st.integers(0, 40), max_size=8), SIZES, st.booleans())
def test_frames_in_any_order_leave_whole_and_are_never_held_once_something_was_said(
    dialect: str, picks: list[int], sizes: list[int], let_go: bool
) -> None:
    pool = [*ANNOUNCEMENTS[dialect], *MORE[dialect], *(error for error, _ in ERRORS[dialect])]
    texts = [text(dialect, pool[pick % len(pool)], at) for at, pick in enumerate(picks)]
    stream = looking(dialect)
    answer, held = Answer(stream), False
    for piece in split(b"".join(texts), sizes):
        if answer.over:
            break
        answer.read(piece)
        assert not (stream.holding and stream.deltas)
        assert not (stream.holding and answer.writes)
        held = held or stream.holding
        if let_go and held and not answer.over:
            answer.write(b"".join(stream.release_early()))
            assert not stream.holding
    if not answer.over:
        answer.close()
    assert answer.refused or answer.ended
    assert not (answer.refused and answer.body)
    for event in events(answer.body):
        assert event.payload is None or isinstance(event.payload, dict)


def test_a_document_in_place_of_a_stream_is_not_held() -> None:
    document = {
        "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": "stop"}],
    }  # fmt: skip
    answer = download(looking("chat"), [json.dumps(document).encode()])
    assert answer.refused is None
    assert answer.events[-1] == Event(None, None)
    assert answer.stream.end_code == "OK"


def test_many_small_reads_before_the_first_frame_cost_no_more_each() -> None:
    """What is held is counted, not added up again with every read."""
    stream = looking("chat")
    for _ in range(20_000):
        data, start, end = placed(b":\n\n")
        assert stream.receive(data, memoryview(data), start, end) == []
    assert isinstance(stream._early, bytearray)
    assert len(stream._early) == 60_000
