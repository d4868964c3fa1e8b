"""Heads that change their dialect: keys, versions, ids, and what speaks of a body that is not sent."""

from __future__ import annotations

import pytest

from relay.wire import translated
from relay.wire.framing import Header
from relay.wire.http1 import RequestHead, ResponseHead


def request(*fields: Header) -> RequestHead:
    return RequestHead(b"POST", b"/v1/messages?beta=true", b"1.1", list(fields), b"h", 3, True, True, None)


def response(*fields: Header, status: int = 200) -> ResponseHead:
    return ResponseHead(status, b"Fine", b"1.1", list(fields), 9, False, True)


def sent(dialect: str, *fields: Header) -> dict[bytes, bytes]:
    head = translated.request_head(request(*fields), dialect, b"/t", 7, stream=True)
    assert len({name for name, _ in head.headers}) == len(head.headers)
    return dict(head.headers)


def said(dialect: str, *fields: Header) -> list[Header]:
    return translated.response_head(response(*fields), dialect, b"text/event-stream").headers


def test_a_request_has_the_head_of_its_new_document() -> None:
    head = translated.request_head(
        request(
            (b"Content-Length", b"3"), (b"Content-Type", b"text/plain"), (b"Accept", b"*/*"), (b"X-A", b"1")
        ),
        "chat",
        b"/v1/chat/completions",
        7,
        stream=False,
    )
    assert (head.method, head.target, head.length, head.chunked) == (
        b"POST",
        b"/v1/chat/completions",
        7,
        False,
    )
    assert head.headers == [
        (b"X-A", b"1"),
        (b"accept", b"application/json"),
        (b"content-type", b"application/json"),
        (b"content-length", b"7"),
    ]


@pytest.mark.parametrize(
    ("dialect", "fields", "authorization", "key"),
    [
        ("chat", [(b"x-api-key", b"k")], b"Bearer k", None),
        ("chat", [(b"Authorization", b"Bearer t")], b"Bearer t", None),
        ("chat", [(b"Authorization", b"Bearer t"), (b"x-api-key", b"k")], b"Bearer t", None),
        ("responses", [(b"X-Api-Key", b"k")], b"Bearer k", None),
        ("messages", [(b"authorization", b"Bearer t")], None, b"t"),
        ("messages", [(b"authorization", b"bearer t")], None, b"t"),
        ("messages", [(b"authorization", b"Bearer t"), (b"x-api-key", b"k")], None, b"k"),
        ("messages", [(b"authorization", b"Basic b")], b"Basic b", None),
        ("chat", [(b"authorization", b"Basic b")], b"Basic b", None),
        ("chat", [], None, None),
        ("messages", [], None, None),
    ],
)
def test_the_key_stands_where_the_upstream_looks_for_it(
    dialect: str, fields: list[Header], authorization: bytes | None, key: bytes | None
) -> None:
    got = sent(dialect, *fields)
    assert (got.get(b"authorization"), got.get(b"x-api-key")) == (authorization, key)


def test_versions_and_betas_end_here() -> None:
    theirs = [
        (b"Anthropic-Beta", b"b"),
        (b"anthropic-version", b"2099-01-01"),
        (b"OpenAI-Organization", b"o"),
    ]
    assert not [name for name in sent("chat", *theirs) if name.lower().startswith((b"anthropic", b"openai"))]
    assert sent("messages", *theirs)[b"anthropic-version"] == translated.ANTHROPIC_VERSION


@pytest.mark.parametrize(
    ("value", "compressed"), [(b"gzip", True), (b"identity", False), (b" Identity", False), (b"zstd", True)]
)
def test_a_compressed_request(value: bytes, compressed: bool) -> None:
    assert translated.is_compressed(request((b"Content-Encoding", value))) is compressed
    assert not translated.is_compressed(request())


def test_what_speaks_of_the_upstreams_body_is_left_out() -> None:
    fields = [
        (b"Content-Encoding", b"gzip"),
        (b"ETag", b"1"),
        (b"Content-Length", b"9"),
        (b"X-RateLimit-A", b"2"),
    ]
    assert said("chat", *fields) == [(b"X-RateLimit-A", b"2"), (b"content-type", b"text/event-stream")]


@pytest.mark.parametrize("name", [b"request-id", b"X-Request-Id"])
def test_a_request_id_has_the_names_that_clients_look_for(name: bytes) -> None:
    assert said("messages", (name, b"r"))[1:] == [(b"x-request-id", b"r"), (b"request-id", b"r")]
    assert said("chat", (name, b"r"))[1:] == [(b"x-request-id", b"r")]


def test_of_two_request_ids_one_is_told() -> None:
    assert [value for name, value in said("chat", (b"x-request-id", b"a"), (b"request-id", b"b"))[1:]] == [
        b"a"
    ]


def test_another_status_has_no_reason_of_the_old_one() -> None:
    same = translated.response_head(response(status=404), "chat", b"a/b")
    other = translated.response_head(response(status=404), "chat", b"a/b", status=200)
    assert (same.status, same.reason, other.status, other.reason) == (404, b"Fine", 200, b"")
    assert other.reusable


def test_a_request_without_a_document_keeps_its_path() -> None:
    head = translated.bodiless(request((b"x-api-key", b"k"), (b"Accept-Encoding", b"br")), "chat")
    assert head.target == b"/v1/messages?beta=true"
    assert dict(head.headers) == {b"authorization": b"Bearer k", b"accept-encoding": b"identity"}
