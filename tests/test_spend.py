"""The record of what a completion has cost: LiteLLM's names, the upstream's counts, and nobody's words."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.address import Origin
from relay.config import Upstream
from relay.dialects.deltas import Usage
from relay.errors import UpstreamClosed, UpstreamTruncated, UsageError
from relay.opening import Machine
from relay.spend import Exchanged, MeteredBody, open_metered, record, usage_of, webhook
from relay.stream import ResponseStream
from relay.wire.framing import BodyDecoder, ChunkedDecoder, LengthDecoder, PlainEncoder, UntilCloseDecoder
from tests.cuts import every_way, placed
from tests.streams import checked, download, in_chunks
from tests.translated import translate

CLAUDE = Upstream(
    Origin("api.test", 443, tls=True),
    "/v1",
    name="claude",
    api_key="sk-provider",
    headers=(("x-secret", "hidden"),),
    query="token=hidden",
)
DONE = Exchanged(
    id="abc-1",
    now=1000.0,
    began=50.0,
    first=50.25,
    ended=52.0,
    upstream=CLAUDE,
    dialect="messages",
    model="fast",
    model_there="claude-9",
    stream=True,
    key="0123456789abcdef",
)
CHAT_USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 7,
    "total_tokens": 27,
    "prompt_tokens_details": {"cached_tokens": 16, "cache_write_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 5},
}
STREAMS = {
    "chat": [
        {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "secret words"}}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {"choices": [], "usage": CHAT_USAGE},
    ],
    "messages": [
        {
            "type": "message_start",
            "message": {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": "claude-9",
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": {
                    "input_tokens": 2,
                    "cache_read_input_tokens": 16,
                    "cache_creation_input_tokens": 2,
                    "output_tokens": 1,
                },
            },
        },
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": "secret words"},
        },
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 7, "output_tokens_details": {"thinking_tokens": 5}},
        },
        {"type": "message_stop"},
    ],
}
RESPONSES_USAGE = {
    "input_tokens": 20,
    "input_tokens_details": {"cached_tokens": 16, "cache_write_tokens": 2},
    "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 5},
    "total_tokens": 27,
}
TOLD = Usage(input=20, output=7, cached=16, cache_write=2, reasoning=5)
DOCUMENTS: dict[str, dict[str, Any]] = {
    "chat": {
        "id": "c",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "secret words"}}],
        "usage": CHAT_USAGE,
    },
    "messages": {
        "id": "m",
        "type": "message",
        "content": [{"type": "tool_use", "id": "t", "name": "n", "input": {"usage": {"input_tokens": 9}}}],
        "usage": {
            "input_tokens": 2,
            "cache_read_input_tokens": 16,
            "cache_creation_input_tokens": 2,
            "output_tokens": 7,
            "output_tokens_details": {"thinking_tokens": 5},
        },
    },
    "responses": {"id": "r", "object": "response", "output": [], "usage": RESPONSES_USAGE, "store": True},
}

LITELLMS = {
    *("id", "call_type", "stream", "status", "model", "model_group", "api_base", "prompt_tokens"),
    *("completion_tokens", "total_tokens", "startTime", "endTime", "completionStartTime", "response_time"),
    "metadata",
}
"""Of ``litellm.types.utils.StandardLoggingPayload`` (1.109.1), those that relay can tell."""


def frames(dialect: str, *, cut: int | None = None) -> bytes:
    events = [
        (f"event: {said['type']}\n" if "type" in said else "") + f"data: {json.dumps(said)}\n\n"
        for said in STREAMS[dialect][:cut]
    ]
    return "".join([*events, "data: [DONE]\n\n" if dialect == "chat" and cut is None else ""]).encode()


def of(exchanged: Exchanged, machine: Machine | None = None) -> dict[str, Any]:
    found = record(exchanged, machine)
    assert found is not None
    return found


# --- the record ---------------------------------------------------------------------------------


def test_a_whole_record() -> None:
    stream = download(checked("messages"), [frames("messages")]).stream
    assert of(DONE, stream) == {
        "id": "abc-1",
        "call_type": "anthropic_messages",
        "stream": True,
        "status": "success",
        "model": "claude-9",
        "model_group": "fast",
        "api_base": "https://api.test/v1",
        "prompt_tokens": 20,
        "completion_tokens": 7,
        "total_tokens": 27,
        "startTime": 998.0,
        "endTime": 1000.0,
        "completionStartTime": 998.25,
        "response_time": 0.25,
        "metadata": {
            "user_api_key_hash": "0123456789abcdef",
            "usage_object": {
                "prompt_tokens": 20,
                "completion_tokens": 7,
                "total_tokens": 27,
                "prompt_tokens_details": {"cached_tokens": 16, "cache_write_tokens": 2},
                "completion_tokens_details": {"reasoning_tokens": 5},
            },
        },
        "relay": {"upstream": "claude", "dialect": "messages", "end": "OK", "seconds": 2.0, "attempts": 1},
    }


def test_its_names_are_litellms() -> None:
    assert of(DONE).keys() == LITELLMS | {"relay"}


@pytest.mark.parametrize("dialect", sorted(STREAMS))
@pytest.mark.parametrize("report", [False, True])
def test_every_stream_that_is_looked_at_tells_its_tokens(dialect: str, report: bool) -> None:
    stream = download(checked(dialect, report=report), [frames(dialect)]).stream
    assert stream.usage == TOLD
    assert of(replace(DONE, dialect=dialect), stream)["total_tokens"] == 27


@pytest.mark.parametrize(("client", "upstream"), [("messages", "chat"), ("chat", "messages")])
def test_a_translated_stream_tells_its_upstreams_tokens(client: str, upstream: str) -> None:
    stream = translate(client, upstream, frames(upstream)).stream
    found = of(replace(DONE, dialect=client, spoken=upstream), stream)
    assert (found["prompt_tokens"], found["completion_tokens"]) == (20, 7)
    assert found["relay"]["dialect"] == f"{client}<{upstream}"


def test_what_was_told_before_a_cut_is_there_and_the_rest_is_not_guessed() -> None:
    answer = download(checked("messages"), [frames("messages", cut=3)])
    assert isinstance(answer.broken, UpstreamTruncated)
    found = of(DONE, answer.stream)
    assert (found["status"], found["relay"]["end"]) == ("failure", "UE")
    assert found["prompt_tokens"] == 20
    answer = download(checked("chat"), [frames("chat", cut=1)])
    found = of(replace(DONE, dialect="chat"), answer.stream)
    assert (found["prompt_tokens"], found["completion_tokens"], found["total_tokens"]) == (None, None, None)
    assert found["metadata"]["usage_object"] is None


def test_who_ended_it_is_said_by_the_exchange() -> None:
    stream = checked("chat")
    found = of(replace(DONE, dialect="chat", end="CD"), stream)
    assert (found["status"], found["relay"]["end"]) == ("failure", "CD")


@pytest.mark.parametrize("status", [400, 401, 429, 500, 529])
def test_a_refusal_costs_nothing(status: int) -> None:
    assert record(replace(DONE, status=status), None) is None


def test_bytes_that_nobody_looked_at_tell_nothing() -> None:
    stream = ResponseStream(UntilCloseDecoder(), PlainEncoder(), frame_limit=100)
    assert of(replace(DONE, model_there=None, key="", first=None), stream) == of(DONE) | {
        "model": "fast",
        "completionStartTime": 1000.0,
        "response_time": 2.0,
        "metadata": {"user_api_key_hash": None, "usage_object": None},
    }


def test_an_answer_that_was_no_stream_took_all_of_its_time() -> None:
    assert of(replace(DONE, stream=False))["response_time"] == 2.0


@pytest.mark.parametrize(
    ("dialect", "call"),
    [("chat", "acompletion"), ("messages", "anthropic_messages"), ("responses", "aresponses")],
)
def test_calls_have_litellms_names(dialect: str, call: str) -> None:
    assert of(replace(DONE, dialect=dialect))["call_type"] == call


def test_no_secret_is_in_it() -> None:
    for dialect in STREAMS:
        text = json.dumps(
            of(replace(DONE, dialect=dialect), download(checked(dialect), [frames(dialect)]).stream)
        )
        assert not any(word in text for word in ("secret", "hidden", "sk-provider"))


def test_a_name_that_a_client_chose_has_an_end() -> None:
    found = of(replace(DONE, model="x" * 10_000, model_there=None))
    assert len(found["model"]) == len(found["model_group"]) == 256
    assert of(replace(DONE, model=None, model_there=None))["model_group"] == ""


# --- whole answers ------------------------------------------------------------------------------

FRAMINGS: list[tuple[str, Any]] = [
    ("length", lambda body: (LengthDecoder(len(body)), body)),
    ("chunked", lambda body: (ChunkedDecoder(), in_chunks(body, 40))),
    ("until close", lambda body: (UntilCloseDecoder(), body)),
]


def metered(decoder: BodyDecoder, dialect: str, *, never_empty: bool = True) -> MeteredBody:
    return open_metered(chunked=False, decoder=decoder, dialect=dialect, never_empty=never_empty)


def pass_through(machine: MeteredBody, pieces: list[bytes]) -> bytes:
    out = b""
    for piece in pieces:
        data, start, end = placed(piece)
        out += b"".join(machine.receive(data, memoryview(data), start, end))
    if not machine.complete:
        out += b"".join(machine.receive_eof())
    return out


@pytest.mark.parametrize("dialect", sorted(DOCUMENTS))
@pytest.mark.parametrize(("name", "framing"), FRAMINGS)
def test_a_document_passes_as_it_is_and_tells_its_tokens(dialect: str, name: str, framing: Any) -> None:
    body = json.dumps(DOCUMENTS[dialect], indent=1).encode()
    _, raw = framing(body)
    for pieces in every_way(raw):
        machine = metered(framing(body)[0], dialect)
        assert machine.usage is None
        assert pass_through(machine, pieces) == body
        assert machine.usage == TOLD
        assert of(replace(DONE, dialect=dialect, stream=False), machine)["total_tokens"] == 27


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[1]",
        b"null",
        b'{"usage": null}',
        b'{"usage": []}',
        b'{"usage": {}}',
        b'{"usage": {"prompt_tokens": "7", "input_tokens": "7"}}',
        b'{"usage": ' + b'{"a":' * 9000 + b"1" + b"}" * 9000 + b"}",
    ],
)
@pytest.mark.parametrize("dialect", sorted(DOCUMENTS))
def test_a_document_without_usage(dialect: str, body: bytes) -> None:
    usage = usage_of(dialect, body) or Usage()
    assert usage == Usage()


def test_counts_below_nothing_are_not_believed() -> None:
    body = b'{"usage": {"input_tokens": -5, "output_tokens": 7}}'
    machine = metered(LengthDecoder(len(body)), "responses")
    pass_through(machine, [body])
    found = of(replace(DONE, dialect="responses"), machine)
    assert (found["prompt_tokens"], found["completion_tokens"]) == (None, 7)


def test_a_long_document_is_not_kept() -> None:
    document = {"padding": "x" * (1 << 20)} | DOCUMENTS["chat"]
    body = json.dumps(document).encode()
    machine = metered(LengthDecoder(len(body)), "chat")
    assert pass_through(machine, [body[at : at + 65536] for at in range(0, len(body), 65536)]) == body
    assert machine.usage is None
    assert machine._document is None


def test_reading_the_usage_of_a_long_document_takes_no_time() -> None:
    """At the end of an exchange the loop waits: about 10 ms for a megabyte of small blocks here."""
    document = DOCUMENTS["messages"] | {"content": [{"type": "text", "text": "x"}] * 30_000}
    body = json.dumps(document).encode()
    began = time.process_time()
    assert usage_of("messages", body) == TOLD
    assert time.process_time() - began < 0.2


def test_an_empty_answer_stays_a_failure_where_it_is_one() -> None:
    with pytest.raises(UpstreamClosed, match="empty"):
        pass_through(metered(ChunkedDecoder(), "chat"), [b"0\r\n\r\n"])
    assert pass_through(metered(ChunkedDecoder(), "chat", never_empty=False), [b"0\r\n\r\n"]) == b""


KEYS = ("usage", "prompt_tokens", "input_tokens", "output_tokens", "output_tokens_details", "cached_tokens")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*KEYS, "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.sampled_from(sorted(DOCUMENTS)), JSON)
def test_no_document_makes_it_fail(dialect: str, usage: Any) -> None:
    found = usage_of(dialect, json.dumps({"usage": usage}).encode())
    assert found is None or all(type(count) in (int, type(None)) for count in (found.input, found.output))


# --- the webhook --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "origin", "target"),
    [
        ("http://books.test", "http://books.test", b"/"),
        ("https://books.test:8443/spend/", "https://books.test:8443", b"/spend/"),
        ("http://books.test/a/b?token=x&y=%20", "http://books.test", b"/a/b?token=x&y=%20"),
        ("http://books.test?token=x", "http://books.test", b"/?token=x"),
        ("unix:/run/books.sock", "unix:/run/books.sock", b"/"),
    ],
)
def test_where_the_webhook_is(url: str, origin: str, target: bytes) -> None:
    upstream, asked = webhook(url)
    assert (str(upstream.origin), upstream.base_path, asked) == (origin, "", target)
    assert "token" not in str(upstream)


@pytest.mark.parametrize(
    "url", ["books.test", "ftp://books.test", "http://u:p@books.test", "http://b.test/ä"]
)
def test_where_no_webhook_can_be(url: str) -> None:
    with pytest.raises(UsageError):
        webhook(url)
