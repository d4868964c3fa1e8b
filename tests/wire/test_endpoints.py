"""What paths are for, and where the same thing is asked in another dialect."""

from __future__ import annotations

from typing import Any

import pytest

from relay.address import Origin
from relay.config import Upstream
from relay.wire import endpoints
from relay.wire.http1 import RequestHead


def head(target: bytes, method: bytes = b"POST") -> RequestHead:
    return RequestHead(method, target, b"1.1", [], b"h", 0, False, True, None)


@pytest.mark.parametrize(
    ("target", "dialect", "base", "expected"),
    [
        (b"/v1/messages", "chat", "", b"/v1/chat/completions"),
        (b"/v1/messages?beta=true", "chat", "", b"/v1/chat/completions"),
        (b"/v1/messages/", "responses", "", b"/v1/responses"),
        (b"/messages", "chat", "", b"/v1/chat/completions"),
        (b"/team/a/v1/messages", "chat", "", b"/team/a/v1/chat/completions"),
        (b"/v1/chat/completions", "messages", "", b"/v1/messages"),
        (b"/chat/completions", "messages", "", b"/v1/messages"),
        (b"/x/chat/completions", "messages", "", b"/x/v1/messages"),
        (b"/x/v1/chat/completions", "responses", "/api", b"/x/v1/responses"),
        (b"/responses", "chat", "", b"/v1/chat/completions"),
        (b"/v1/responses", "chat", "/v1", b"/chat/completions"),
        (b"/v1/responses", "messages", "/api/v1", b"/messages"),
    ],
)
def test_the_same_completion_in_another_dialect(
    target: bytes, dialect: str, base: str, expected: bytes
) -> None:
    assert endpoints.completion_dialect(head(target)) is not None
    assert endpoints.completion_target(head(target), dialect, base) == expected


@pytest.mark.parametrize(
    ("target", "counts"),
    [
        (b"/v1/messages/count_tokens", True),
        (b"/x/v1/messages/count_tokens?beta=true", True),
        (b"/v1/messages", False),
        (b"/v1/messages/count_tokens/more", False),
    ],
)
def test_the_question_for_tokens(target: bytes, counts: bool) -> None:
    assert endpoints.counts_tokens(head(target)) is counts
    assert not endpoints.counts_tokens(head(target, b"GET"))


def test_where_tokens_are_counted() -> None:
    asked = head(b"/x/v1/messages/count_tokens")
    assert endpoints.count_target(asked, b"/tokenize", "") == b"/x/tokenize"
    assert endpoints.count_target(asked, b"/v1/responses/input_tokens", "") == b"/x/v1/responses/input_tokens"
    assert endpoints.count_target(asked, b"/v1/responses/input_tokens", "/v1") == b"/x/responses/input_tokens"


@pytest.mark.parametrize(
    ("method", "target", "stored"),
    [
        (b"GET", b"/v1/responses/resp_1", True),
        (b"POST", b"/v1/responses/compact", True),
        (b"GET", b"/v1/responses", True),
        (b"POST", b"/v1/responses", False),
        (b"POST", b"/v1/responses/", False),
        (b"GET", b"/v1/responsesx", False),
    ],
)
def test_stored_responses(method: bytes, target: bytes, stored: bool) -> None:
    assert endpoints.wants_stored_response(head(target, method)) is stored


@pytest.mark.parametrize(
    ("target", "lists"),
    [
        (b"/v1/models", True),
        (b"/v1/models?limit=3", True),
        (b"/x/v1/models/a", True),
        (b"/v1/models/org/a", True),
        (b"/v1/modelsx", False),
    ],
)
def test_models(target: bytes, lists: bool) -> None:
    assert endpoints.lists_models(head(target, b"GET")) is lists
    assert not endpoints.lists_models(head(target))


def test_probes() -> None:
    assert endpoints.probes(head(b"/", b"HEAD"))
    assert not endpoints.probes(head(b"/", b"GET"))
    assert not endpoints.probes(head(b"/x", b"HEAD"))


@pytest.mark.parametrize(
    ("base", "said", "target", "expected"),
    [
        ("", {}, b"/v1/messages?beta=true", b"/v1/messages?beta=true"),
        ("/proxy", {}, b"/v1/messages", b"/proxy/v1/messages"),
        ("/proxy", {}, b"*", b"*"),
        ("/proxy", {"sdk": True, "query": "a=1"}, b"*", b"*"),
        ("/v1", {"sdk": True}, b"/v1/chat/completions", b"/v1/chat/completions"),
        ("/v1", {"sdk": True}, b"/chat/completions", b"/v1/chat/completions"),
        ("/api/paas/v4", {"sdk": True}, b"/v1/chat/completions", b"/api/paas/v4/chat/completions"),
        (
            "/v1",
            {"sdk": True, "dialects": ("chat",)},
            b"/v1/messages/count_tokens",
            b"/v1/messages/count_tokens",
        ),
        ("", {"sdk": True, "dialects": ("messages",)}, b"/v1/messages", b"/v1/messages"),
        ("", {"sdk": True, "dialects": ("messages",)}, b"/messages", b"/v1/messages"),
        ("/anthropic", {"sdk": True, "dialects": ("messages",)}, b"/v1/models", b"/anthropic/v1/models"),
        ("/x", {"query": "api-version=1"}, b"/v1/models", b"/x/v1/models?api-version=1"),
        ("/x", {"query": "api-version=1"}, b"/v1/models?after=2", b"/x/v1/models?after=2&api-version=1"),
    ],
)
def test_where_an_upstream_is_asked(base: str, said: dict[str, Any], target: bytes, expected: bytes) -> None:
    upstream = Upstream(Origin("model.test", 80), base, **said)
    assert endpoints.target_at(upstream, target) == expected


@pytest.mark.parametrize(
    ("method", "target", "fields", "expected"),
    [
        (b"POST", b"/v1/embeddings", [(b"Content-Type", b"application/json; charset=utf-8")], True),
        (b"POST", b"/v1/embeddings", [], True),
        (
            b"POST",
            b"/v1/audio/transcriptions",
            [(b"content-type", b"multipart/form-data; boundary=x")],
            False,
        ),
        (b"POST", b"/v1/chat/completions", [(b"content-type", b"text/plain")], True),
        (b"PUT", b"/v1/embeddings", [(b"content-type", b"application/json")], False),
    ],
)
def test_which_bodies_may_name_a_model(
    method: bytes, target: bytes, fields: list[tuple[bytes, bytes]], expected: bool
) -> None:
    request = RequestHead(method, target, b"1.1", fields, b"h", 1, False, True, None)
    assert endpoints.has_document(request) is expected
