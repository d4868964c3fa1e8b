"""What paths are for, and where the same thing is asked in another dialect."""

from __future__ import annotations

import pytest

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
