"""What of a client's secrets reaches an upstream, and where the upstream's own key stands."""

from __future__ import annotations

import pytest

from relay.address import Origin
from relay.config import Upstream
from relay.wire.credentials import with_credentials
from relay.wire.http1 import Inbound, RequestHead

CLIENT = (
    b"Authorization: Bearer client-key",
    b"X-Api-Key: client-key",
    b"api-key: client-key",
    b"x-goog-api-key: client-key",
    b"x-litellm-api-key: client-key",
    b"x-litellm-tags: team",
    b"Cookie: session=client-key",
)


def asked(path: bytes = b"/v1/chat/completions", *fields: bytes) -> RequestHead:
    lines = [b"POST " + path + b" HTTP/1.1", b"host: relay.test", b"content-length: 2", *fields]
    return Inbound().receive_request(b"\r\n".join(lines) + b"\r\n\r\n")


def upstream(**said: object) -> Upstream:
    return Upstream(Origin("model.test", 443, tls=True), **said)  # type: ignore[arg-type]


def seen(head: RequestHead) -> dict[bytes, bytes]:
    return {name.lower(): value for name, value in head.headers}


def test_without_a_key_of_its_own_an_upstream_gets_the_clients() -> None:
    head = asked(b"/", *CLIENT)
    assert with_credentials(head, upstream(), forward=True) is head


def test_keys_that_relay_has_checked_end_here() -> None:
    fields = seen(with_credentials(asked(b"/", *CLIENT), upstream(), forward=False))
    assert [name for name, value in fields.items() if b"client-key" in value] == [b"cookie"]


@pytest.mark.parametrize("forward", [True, False])
def test_an_upstream_with_a_key_gets_nothing_of_the_clients_secrets(forward: bool) -> None:
    fields = seen(with_credentials(asked(b"/", *CLIENT), upstream(api_key="own"), forward=forward))
    assert not any(b"client-key" in value for value in fields.values())
    assert b"x-litellm-tags" not in fields
    assert fields[b"authorization"] == b"Bearer own"
    assert fields[b"content-length"] == b"2"


@pytest.mark.parametrize(
    ("said", "path", "fields", "field", "value"),
    [
        ({"dialects": ("chat", "responses")}, b"/v1/messages", (), b"authorization", b"Bearer own"),
        ({"dialects": ("messages",)}, b"/v1/chat/completions", (), b"x-api-key", b"own"),
        ({}, b"/v1/messages", (), b"x-api-key", b"own"),
        ({}, b"/v1/models", (b"anthropic-version: 2023-06-01",), b"x-api-key", b"own"),
        ({}, b"/v1/models", (), b"authorization", b"Bearer own"),
        ({"key_header": "api-key"}, b"/v1/messages", (), b"api-key", b"own"),
        ({"key_header": "authorization"}, b"/v1/messages", (), b"authorization", b"Bearer own"),
    ],
)
def test_the_key_stands_where_the_upstream_looks_for_it(
    said: dict[str, object], path: bytes, fields: tuple[bytes, ...], field: bytes, value: bytes
) -> None:
    head = with_credentials(asked(path, *fields), upstream(api_key="own", **said), forward=True)
    keys = {name: text for name, text in seen(head).items() if b"own" in text}
    assert keys == {field: value}


def test_fields_of_the_upstream_replace_the_clients() -> None:
    head = asked(b"/", b"OpenAI-Organization: theirs", b"authorization: Bearer client-key")
    fields = [("openai-organization", "ours"), ("x-extra", "1")]
    given = with_credentials(head, upstream(headers=tuple(fields)), forward=True)
    assert [value for name, value in given.headers if name.lower() == b"openai-organization"] == [b"ours"]
    assert seen(given)[b"x-extra"] == b"1"
    assert seen(given)[b"authorization"] == b"Bearer client-key"


def test_no_key_is_in_the_words_of_an_upstream() -> None:
    one = upstream(api_key="own-secret", headers=(("x-key", "own-secret"),))
    assert "own-secret" not in repr(one) + str(one)
