"""What the fuzzer has found, each as the smallest input that shows it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from relay import dialects
from relay.errors import UpstreamClosed, UpstreamRefused, document
from relay.model_list import ModelList
from tests.streams import Answer, checked, download
from tests.test_checked import DONE, FINISH, SMALLEST, START, TEXT, chunk, frame, typed
from tests.translated import PAIRS, REQUESTS, convert, translate, verdict
from tests.translated import told as by_dialect

HALF_A_SURROGATE = '"\\ud83d"'
ABOVE_64_BITS = "1" * 400  # up to 308 digits orjson reads as a float
NOT_JSON = b"data: {broken\n\n"
every_pair = pytest.mark.parametrize(("client", "upstream"), PAIRS)


# --- a read that ends between CR and LF -------------------------------------------------------------


def test_a_read_that_ends_between_cr_and_lf_leaves_but_for_its_last_frame() -> None:
    body = (START + TEXT + TEXT).replace(b"\n", b"\r\n")
    answer = Answer(checked("chat"))
    answer.read(body[:-1])
    assert len(answer.events) == 2


def test_reads_that_all_end_between_cr_and_lf_are_not_kept_for_ever() -> None:
    line = TEXT.replace(b"\n", b"\r\n")
    answer = Answer(checked("chat", limit=1000))
    answer.read(START + line[:-1])
    for _ in range(100):
        answer.read(b"\n" + line[:-1])
    assert len(answer.events) == 101
    assert len(answer.stream._carry) < 1000


@pytest.mark.parametrize(
    "end",
    [
        b"\n\r",
        b"\r\n\r",
        b"\r\r\n\r",
    ],
)
def test_reads_that_end_so_by_a_strange_hand_are_not_kept_for_ever(end: bytes) -> None:
    line = TEXT.replace(b"\n", end)
    answer = Answer(checked("chat", limit=1000))
    for _ in range(100):
        answer.read(line)
        assert len(answer.stream._carry) <= 1000
    assert len(answer.events) >= 99


def test_a_read_that_ends_between_cr_and_lf_is_not_lost_with_the_connection() -> None:
    answer = Answer(checked("chat"))
    answer.read(START + TEXT)
    answer.read(FINISH.replace(b"\n", b"\r\n")[:-1])
    answer.fail(UpstreamClosed("the upstream broke the connection: reset"))
    assert answer.stream.end_code == "OK"
    assert verdict("chat", answer.events) == "complete"


# --- after the last word ----------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", SMALLEST)
def test_what_follows_the_last_word_does_not_change_how_a_stream_ended(dialect: str) -> None:
    answer = download(checked(dialect), [b"".join(SMALLEST[dialect]), NOT_JSON])
    assert verdict(dialect, answer.events) == "complete"
    assert answer.stream.end_code == "OK"


@pytest.mark.parametrize(("client", "upstream"), [pair for pair in PAIRS if pair[0] != "chat"])
def test_what_follows_the_last_word_is_not_translated_into_an_error(client: str, upstream: str) -> None:
    answer = translate(client, upstream, [b"".join(SMALLEST[upstream]), NOT_JSON])
    assert verdict(client, answer.events) == "complete"


@pytest.mark.parametrize(("client", "upstream"), [*PAIRS, *[(name, name) for name in SMALLEST]])
def test_nor_does_a_last_frame_without_its_empty_line(client: str, upstream: str) -> None:
    body = b"".join(SMALLEST[upstream]) + b"data: [1]"
    answer = download(checked(client), [body]) if client == upstream else translate(client, upstream, body)
    assert verdict(client, answer.events) == "complete"
    assert answer.stream.end_code == "OK"


# --- frames that one LF parts -----------------------------------------------------------------------


@pytest.mark.parametrize("client", ["messages", "responses"])
def test_text_after_frames_that_one_lf_parts_is_text(client: str) -> None:
    thought = frame(chunk({"reasoning_content": "think"}))
    told, parted = frame(chunk({"content": "b"})), frame(chunk({"content": "c"}))
    answer = translate(client, "chat", START + TEXT + told[:-1] + thought + parted + FINISH + DONE)
    assert verdict(client, answer.events) == "complete"
    assert by_dialect[client](answer.events).text("reasoning") == "think"


# --- calls that nobody can answer -------------------------------------------------------------------


def called(name: dict[str, str]) -> bytes:
    """A Responses stream with one function call."""
    item = {"id": "fc_1", "type": "function_call", "call_id": "c1", "arguments": "{}", **name}
    response = {"id": "resp_1", "object": "response", "status": "completed", "model": "m", "output": [item]}
    return typed({"type": "response.completed", "sequence_number": 0, "response": response})


NAMELESS = pytest.mark.parametrize("name", [{}, {"name": ""}], ids=["none", "empty"])


@NAMELESS
def test_a_call_without_a_name_is_not_announced(name: dict[str, str]) -> None:
    answer = download(checked("responses"), [called(name)])
    if answer.refused is None:
        verdict("responses", answer.events)


@NAMELESS
@pytest.mark.parametrize("client", ["chat", "messages"])
def test_a_call_without_a_name_is_not_translated(client: str, name: dict[str, str]) -> None:
    answer = translate(client, "responses", called(name))
    assert b'"name":""' not in answer.body


@pytest.mark.parametrize("client", ["chat", "responses"])
def test_a_call_without_a_name_in_the_start_of_a_message_is_not_translated(client: str) -> None:
    start = json.loads(SMALLEST["messages"][0].partition(b"data: ")[2])
    start["message"] |= {
        "content": [{"type": "tool_use", "id": "c1", "input": {"a": 1}}],
        "stop_reason": "tool_use",
    }
    answer = translate(client, "messages", typed(start) + SMALLEST["messages"][-1])
    assert b'"name":""' not in answer.body


def test_an_error_of_ours_may_quote_half_a_surrogate() -> None:
    delta = b'{"type":%b,"text":"a"}' % HALF_A_SURROGATE.encode()
    event = b'data: {"type":"content_block_delta","index":0,"delta":%b}\n\n' % delta
    answer = download(checked("messages"), [event])
    assert answer.refused is not None
    assert json.loads(document(answer.refused))["error"]["message"]


# --- parts of no kind -------------------------------------------------------------------------------


def test_a_summary_of_a_strange_type_is_announced_as_what_it_is() -> None:
    item = {"id": "rs_1", "type": "reasoning", "summary": [{"type": "other", "text": "t"}]}
    response = {"id": "resp_1", "object": "response", "status": "completed", "model": "m", "output": [item]}
    last = typed({"type": "response.completed", "sequence_number": 0, "response": response})
    assert verdict("responses", download(checked("responses"), [last]).events) == "complete"


# --- values that orjson does not write --------------------------------------------------------------

ANSWERS: dict[str, Any] = {
    "chat": {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "TEXT"}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 77, "total_tokens": 3},
    },
    "messages": {
        "id": "x",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "TEXT"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 77},
    },
    "responses": {
        "id": "x",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": "m",
        "output": [
            {
                "id": "msg",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "TEXT", "annotations": []}],
            }
        ],
        "usage": {"input_tokens": 1, "output_tokens": 77, "total_tokens": 3},
    },
}


@every_pair
@pytest.mark.parametrize(
    ("old", "new"), [('"TEXT"', HALF_A_SURROGATE), ("77", ABOVE_64_BITS)], ids=["text", "number"]
)
def test_an_answer_may_hold_what_orjson_does_not_write(
    client: str, upstream: str, old: str, new: str
) -> None:
    body = json.dumps(ANSWERS[upstream]).replace(old, new).encode()
    assert new in json.dumps(convert(client, upstream, body, REQUESTS[client]))


@every_pair
def test_an_errors_message_may_hold_half_a_surrogate(client: str, upstream: str) -> None:
    body = b'{"error":{"message":%b,"type":"server_error"}}' % HALF_A_SURROGATE.encode()
    with pytest.raises(UpstreamRefused) as caught:
        convert(client, upstream, body, REQUESTS[client], status=500)
    assert json.loads(caught.value.body or b"")["error"]["message"]


@pytest.mark.parametrize("dialect", SMALLEST)
def test_an_error_in_place_of_a_stream_may_hold_half_a_surrogate(dialect: str) -> None:
    body = b'data: {"error":{"message":%b,"type":"server_error"}}\n\n' % HALF_A_SURROGATE.encode()
    answer = download(checked(dialect), [body])
    assert isinstance(answer.refused, UpstreamRefused)


def test_a_list_of_models_may_hold_numbers_above_64_bits() -> None:
    body = b'{"object":"list","data":[{"id":"m","max_model_len":%b}]}' % ABOVE_64_BITS.encode()
    found = ModelList(dialects.CODECS["messages"]).convert(200, body)
    assert json.loads(found)["data"][0]["id"] == "m"


@pytest.mark.parametrize("client", ["chat", "messages"])
@pytest.mark.parametrize("time", [b"NaN", b"1e400", b"-Infinity", ABOVE_64_BITS.encode()])
def test_the_time_of_an_answer_may_be_no_number(client: str, time: bytes) -> None:
    body = json.dumps(ANSWERS["responses"]).encode().replace(b'"created_at": 1', b'"created_at": ' + time)
    assert convert(client, "responses", body, REQUESTS[client])


@pytest.mark.parametrize("client", ["chat", "messages"])
def test_the_time_of_an_answer_may_be_a_number_above_all(client: str) -> None:
    body = json.dumps(ANSWERS["responses"]).replace('"created_at": 1', f'"created_at": {ABOVE_64_BITS}')
    assert convert(client, "responses", body.encode(), REQUESTS[client])
