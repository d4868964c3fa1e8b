"""Paths, and what is refused: the status, the dialect's error shape, the field that is to blame."""

from __future__ import annotations

import orjson
import pytest

from relay.fake.api import Call, reply

CHAT, MESSAGES, RESPONSES = b"/v1/chat/completions", b"/v1/messages", b"/v1/responses"
USER = {"role": "user", "content": "hi"}


def ask(target, body=b"", method=b"POST", headers=()):
    body = body if isinstance(body, bytes) else orjson.dumps(body)
    return reply(Call(method, target, headers, body, "u", 7), 3)


BAD = [
    (CHAT, b"", None),
    (CHAT, b"\xff", None),
    (CHAT, b"[]", None),
    (CHAT, b"[" * 5000, None),
    (CHAT, {"messages": [USER]}, "model"),
    (CHAT, {"model": 5, "messages": [USER]}, "model"),
    (CHAT, {"model": "m"}, "messages"),
    (CHAT, {"model": "m", "messages": "hi"}, "messages"),
    (CHAT, {"model": "m", "messages": []}, "messages"),
    (CHAT, {"model": "m", "messages": [USER, 5]}, "messages[1]"),
    (CHAT, {"model": "m", "messages": [{"content": "hi"}]}, "messages[0].role"),
    (CHAT, {"model": "m", "messages": [{**USER, "content": 5}]}, "messages[0].content"),
    (CHAT, {"model": "m", "messages": [{**USER, "content": [5]}]}, "messages[0].content[0]"),
    (CHAT, {"model": "m", "messages": [{**USER, "content": [{}]}]}, "messages[0].content[0].type"),
    (CHAT, {"model": "m", "messages": [USER], "stream": 1}, "stream"),
    (CHAT, {"model": "m", "messages": [USER], "n": 2}, "n"),
    (CHAT, {"model": "m", "messages": [USER], "max_tokens": 0}, "max_tokens"),
    (CHAT, {"model": "m", "messages": [USER], "max_tokens": True}, "max_tokens"),
    (CHAT, {"model": "m", "messages": [USER], "stream_options": []}, "stream_options"),
    (
        CHAT,
        {"model": "m", "messages": [{**USER, "content": "tool"}], "tools": [{"type": "function"}]},
        "tools[0].function",
    ),
    (MESSAGES, b"{", None),
    (MESSAGES, {"model": "m", "messages": [USER]}, "max_tokens"),
    (MESSAGES, {"model": "m", "max_tokens": 5}, "messages"),
    (MESSAGES, {"model": "m", "max_tokens": 5, "messages": [USER], "system": 5}, "system"),
    (b"/v1/messages/count_tokens", {"model": "m"}, "messages"),
    (RESPONSES, b"null", None),
    (RESPONSES, {"model": "m"}, "input"),
    (RESPONSES, {"model": "m", "input": ""}, "input"),
    (RESPONSES, {"model": "m", "input": [{"content": "hi"}]}, "input[0].role"),
    (RESPONSES, {"model": "m", "input": "hi", "max_output_tokens": -1}, "max_output_tokens"),
    (RESPONSES, b'{"model":"m","input":"x","metadata":' + b"[" * 400 + b"]" * 400 + b"}", "metadata"),
]


@pytest.mark.parametrize(("target", "body", "field"), BAD)
def test_bad_requests(target, body, field):
    found = ask(target, body)
    document = orjson.loads(found.body)
    assert found.status == 400
    assert document["error"]["type"] == "invalid_request_error"
    if target.startswith(MESSAGES):
        assert document["type"] == "error"
    else:
        assert document["error"]["param"] == field
    assert document["error"]["message"].startswith(field or "the body is")


@pytest.mark.parametrize("prefix", [b"", b"/v1"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        (b"GET", b"/health"),
        (b"HEAD", b"/health"),
        (b"GET", b"/models?limit=5"),
        (b"POST", b"/messages?beta=true"),
        (b"POST", b"/messages/count_tokens"),
        (b"POST", b"/chat/completions"),
        (b"POST", b"/responses"),
    ],
)
def test_paths(prefix, method, path):
    body = {"model": "m", "messages": [USER], "input": "hi", "max_tokens": 5}
    assert ask(prefix + path, body, method).status == 200


@pytest.mark.parametrize(
    ("method", "target"),
    [
        (b"GET", b"/"),
        (b"GET", CHAT),
        (b"POST", b"/v1/models"),
        (b"OPTIONS", b"*"),
        (b"POST", b"/v1/v1/models"),
    ],
)
def test_anything_else_is_not_found(method, target):
    found = ask(target, method=method)
    assert found.status == 404
    assert orjson.loads(found.body)["error"]["code"] == "not_found"


def test_a_client_of_messages_reads_its_own_error_shape_and_models():
    version = [(b"Anthropic-Version", b"2023-06-01")]
    missing = orjson.loads(ask(b"/nowhere", headers=version).body)
    assert (missing["type"], missing["error"]["type"]) == ("error", "not_found_error")
    assert orjson.loads(ask(b"/v1/models", method=b"GET", headers=version).body)["has_more"] is False
    assert orjson.loads(ask(b"/v1/models", method=b"GET").body)["object"] == "list"
