"""What an intermediary changes in a head, field by field."""

from __future__ import annotations

import json

import pytest

from relay.errors import ClientError, RelayError, ShuttingDown, UpstreamTimeout
from relay.wire.endpoints import completion_dialect
from relay.wire.forwarding import (
    ResponseForm,
    error_response,
    request_headers,
    response_headers,
)
from relay.wire.framing import Header
from relay.wire.http1 import Inbound, Outbound, RequestHead, ResponseHead

HOP_BY_HOP = (
    b"Connection Keep-Alive Proxy-Connection Proxy-Authenticate Proxy-Authorization TE Transfer-Encoding "
    b"Upgrade HTTP2-Settings Proxy".split()
)


def request(*fields: Header, line: bytes = b"GET /x HTTP/1.1") -> RequestHead:
    written = b"".join(b"%b: %b\r\n" % field for field in ((b"Host", b"front:8787"), *fields))
    return Inbound().receive_request(line + b"\r\n" + written + b"\r\n")


def response(*fields: Header, status: int = 200, method: bytes = b"GET") -> ResponseHead:
    written = b"".join(b"%b: %b\r\n" % field for field in fields)
    return Outbound().receive_response(b"HTTP/1.1 %d X\r\n%b\r\n" % (status, written), method)


def forwarded(head: RequestHead, *, client: str | None = "10.0.0.9", scheme: bytes = b"http") -> list[Header]:
    return request_headers(head, host=b"back:9000", client=client, scheme=scheme)


def values(headers: list[Header], name: bytes) -> list[bytes]:
    return [value for field, value in headers if field.lower() == name]


# --- requests ---------------------------------------------------------------------------------


def test_end_to_end_fields_pass_in_order_with_their_spelling() -> None:
    fields = [(b"X-b", b"1"), (b"authorization", b"Bearer k"), (b"x-B", b"2"), (b"Content-Length", b"5")]
    headers = forwarded(request(*fields, line=b"POST /x HTTP/1.1"))
    assert headers[: 1 + len(fields)] == [(b"Host", b"back:9000"), *fields]


@pytest.mark.parametrize("name", HOP_BY_HOP)
def test_a_hop_by_hop_field_does_not_reach_the_upstream(name: bytes) -> None:
    value = b"chunked" if name == b"Transfer-Encoding" else b"x"
    head = request((name, value))
    head.chunked = False  # then a transfer-encoding would be the client's own
    assert values(forwarded(head), name.lower()) == []


def test_fields_that_connection_nominates_are_removed() -> None:
    nominations = [(b"Connection", b"X-Secret, close"), (b"connection", b"\tX-OTHER ,,")]
    headers = forwarded(request(*nominations, (b"x-secret", b"1"), (b"X-Other", b"2"), (b"x-kept", b"3")))
    assert values(headers, b"x-secret") == values(headers, b"x-other") == []
    assert values(headers, b"x-kept") == [b"3"]


@pytest.mark.parametrize("value", [b"5", b"005", b"5, 5", b"000000000000000005"])
def test_a_length_is_said_in_a_way_that_nobody_reads_as_octal(value: bytes) -> None:
    head = request((b"Content-Length", value), line=b"POST /x HTTP/1.1")
    assert values(forwarded(head), b"content-length") == [b"5"]


def test_connection_cannot_nominate_away_what_relay_has_to_say() -> None:
    nominated = b"content-length, host, via, x-forwarded-for, x-forwarded-proto, x-forwarded-host"
    fields = [(b"Connection", nominated), (b"Content-Length", b"5"), (b"X-Forwarded-For", b"1.1.1.1")]
    headers = forwarded(request(*fields, line=b"POST /x HTTP/1.1"))
    assert values(headers, b"content-length") == [b"5"]
    assert values(headers, b"host") == [b"back:9000"]
    assert values(headers, b"x-forwarded-for") == [b"1.1.1.1, 10.0.0.9"]
    assert values(headers, b"via") == [b"1.1 relay"]
    assert values(headers, b"x-forwarded-proto") == [b"http"]
    assert values(headers, b"x-forwarded-host") == [b"front:8787"]


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        (b"via", [], b"1.1 relay"),
        (b"via", [b"1.0 a"], b"1.0 a, 1.1 relay"),
        (b"via", [b"1.0 a, 1.1 b", b"1.1 c"], b"1.0 a, 1.1 b, 1.1 c, 1.1 relay"),
        (b"x-forwarded-for", [], b"10.0.0.9"),
        (b"x-forwarded-for", [b"1.1.1.1"], b"1.1.1.1, 10.0.0.9"),
        (b"x-forwarded-for", [b"1.1.1.1", b"2.2.2.2, ::1"], b"1.1.1.1, 2.2.2.2, ::1, 10.0.0.9"),
    ],
)
def test_relay_adds_itself_to_the_end_of_one_merged_field(
    name: bytes, before: list[bytes], after: bytes
) -> None:
    headers = forwarded(request(*[(name.title(), value) for value in before]))
    assert values(headers, name) == [after]


def test_a_client_on_a_unix_socket_has_no_address_to_add() -> None:
    assert values(forwarded(request(), client=None), b"x-forwarded-for") == []
    merged = forwarded(request((b"x-forwarded-for", b"1.1.1.1")), client=None)
    assert values(merged, b"x-forwarded-for") == [b"1.1.1.1"]


@pytest.mark.parametrize(
    ("name", "own"), [(b"x-forwarded-proto", b"https"), (b"x-forwarded-host", b"front:8787")]
)
def test_scheme_and_host_are_told_unless_an_earlier_proxy_told_them(name: bytes, own: bytes) -> None:
    assert values(forwarded(request(), scheme=b"https"), name) == [own]
    assert values(forwarded(request((name.title(), b"earlier")), scheme=b"https"), name) == [b"earlier"]


def test_host_is_the_upstreams_and_said_once() -> None:
    assert values(forwarded(request()), b"host") == [b"back:9000"]


@pytest.mark.parametrize("length", [b"chunked", None])
def test_a_chunked_request_stays_chunked(length: bytes | None) -> None:
    fields = [(b"Transfer-Encoding", length)] if length else [(b"Content-Length", b"5")]
    headers = forwarded(request(*fields, line=b"POST /x HTTP/1.1"))
    assert values(headers, b"transfer-encoding") == ([b"chunked"] if length else [])


@pytest.mark.parametrize(
    ("line", "accept", "encoding"),
    [
        (b"POST /v1/chat/completions HTTP/1.1", b"*/*", b"identity"),
        (b"POST /messages?beta=true HTTP/1.1", b"*/*", b"identity"),
        (b"POST /v1/responses/ HTTP/1.1", b"application/json", b"identity"),
        (b"GET /events HTTP/1.1", b"text/event-stream", b"identity"),
        (b"GET /events HTTP/1.1", b"application/json, Text/Event-Stream", b"identity"),
        (b"GET /v1/models HTTP/1.1", b"*/*", b"gzip, br"),
        (b"GET /v1/chat/completions HTTP/1.1", b"*/*", b"gzip, br"),
        (b"POST /v1/embeddings HTTP/1.1", b"application/json", b"gzip, br"),
    ],
)
def test_a_request_that_may_stream_asks_for_no_compression(
    line: bytes, accept: bytes, encoding: bytes
) -> None:
    head = request((b"Accept", accept), (b"Accept-Encoding", b"gzip, br"), line=line)
    assert values(forwarded(head), b"accept-encoding") == [encoding]


def test_a_second_accept_line_may_ask_for_an_event_stream_too() -> None:
    head = request((b"Accept", b"application/json"), (b"Accept", b"text/event-stream"))
    assert values(forwarded(head), b"accept-encoding") == [b"identity"]


@pytest.mark.parametrize(
    ("line", "dialect"),
    [
        (b"POST /v1/chat/completions", "chat"),
        (b"POST /chat/completions", "chat"),
        (b"POST /openai/deployments/gpt-4o/chat/completions?api-version=1", "chat"),
        (b"POST /v1/messages", "messages"),
        (b"POST /messages/", "messages"),
        (b"POST /anthropic/v1/messages?beta=true", "messages"),
        (b"POST /v1/responses", "responses"),
        (b"POST /responses/?a=b", "responses"),
        (b"GET /v1/messages", None),
        (b"POST /v1/messages/count_tokens", None),
        (b"POST /v1/messages/batches", None),
        (b"POST /threads/1/messages", None),
        (b"POST /v1/threads/1/messages", None),
        (b"POST /v1/responses/r_1/cancel", None),
        (b"POST /v1/completions", None),
        (b"POST /v1/embeddings", None),
        (b"POST /v1", None),
        (b"POST /", None),
        (b"POST /x?/v1/messages", None),
    ],
)
def test_completions_are_known_by_method_and_path(line: bytes, dialect: str | None) -> None:
    assert completion_dialect(request(line=line + b" HTTP/1.1")) == dialect


@pytest.mark.parametrize(
    ("fields", "own"),
    [
        (
            [(b"Connection", b"keep-alive, Upgrade"), (b"Upgrade", b"websocket")],
            [(b"connection", b"Upgrade"), (b"upgrade", b"websocket")],
        ),
        (
            [(b"Connection", b"TE"), (b"TE", b"gzip, Trailers")],
            [(b"connection", b"TE"), (b"te", b"trailers")],
        ),
        ([(b"Connection", b"Upgrade, HTTP2-Settings"), (b"Upgrade", b"h2c"), (b"HTTP2-Settings", b"AA")], []),
        ([(b"Connection", b"TE"), (b"TE", b"gzip")], []),
        ([(b"Connection", b"close")], []),
    ],
)
def test_an_upgrade_and_trailers_are_asked_for_on_relays_own_behalf(
    fields: list[Header], own: list[Header]
) -> None:
    names = {b"connection", b"upgrade", b"te", b"http2-settings"}
    assert [field for field in forwarded(request(*fields)) if field[0].lower() in names] == own


# --- ResponseForm -----------------------------------------------------------------------------

STREAM: Header = (b"Content-Type", b"text/event-stream")
JSON: Header = (b"Content-Type", b"application/json")
CHUNKED: Header = (b"Transfer-Encoding", b"chunked")


def decide(
    *fields: Header, method: bytes = b"POST", version: bytes = b"1.1", status: int = 200
) -> ResponseForm:
    head = request(line=b"%b /x HTTP/%b" % (method, version))
    return ResponseForm.decide(head, response(*fields, status=status, method=method))


def length(value: int) -> Header:
    return b"Content-Length", b"%d" % value


@pytest.mark.parametrize(
    ("fields", "version", "chunked", "delimited"),
    [
        ([JSON, length(5)], b"1.1", False, True),
        ([JSON, length(5)], b"1.0", False, True),
        ([JSON, CHUNKED], b"1.1", True, True),
        ([JSON, CHUNKED], b"1.0", False, False),
        ([JSON], b"1.1", True, True),
        ([JSON], b"1.0", False, False),
        ([STREAM, length(5)], b"1.1", True, True),
        ([STREAM, length(5)], b"1.0", False, False),
        ([STREAM, CHUNKED], b"1.1", True, True),
        ([STREAM], b"1.0", False, False),
    ],
)
def test_a_body_keeps_its_length_or_is_chunked_or_lasts_until_close(
    fields: list[Header], version: bytes, chunked: bool, delimited: bool
) -> None:
    form = decide(*fields, version=version)
    assert (form.chunked, form.delimited) == (chunked, delimited)


@pytest.mark.parametrize(
    ("media_type", "event_stream"),
    [
        (b"text/event-stream", True),
        (b"Text/Event-Stream; charset=utf-8", True),
        (b"text/event-stream ;x", True),
        (b"text/event-streams", False),
        (b"application/json", False),
        (b"application/json; x=text/event-stream", False),
    ],
)
def test_an_event_stream_is_known_by_its_media_type(media_type: bytes, event_stream: bool) -> None:
    form = decide((b"content-type", media_type), CHUNKED)
    assert (form.event_stream, form.framed) == (event_stream, event_stream)


@pytest.mark.parametrize(
    ("fields", "method", "status"),
    [
        ([STREAM, CHUNKED], b"HEAD", 200),
        ([STREAM, length(0)], b"POST", 200),
        ([STREAM], b"POST", 204),
        ([STREAM, CHUNKED], b"POST", 404),
        ([STREAM, CHUNKED], b"POST", 500),
        ([CHUNKED], b"POST", 200),
    ],
)
def test_a_response_without_a_body_or_with_a_failure_is_no_event_stream(
    fields: list[Header], method: bytes, status: int
) -> None:
    form = decide(*fields, method=method, status=status)
    assert not form.event_stream
    assert not form.framed


@pytest.mark.parametrize(
    ("encoding", "coding", "framed"),
    [
        (b"gzip", b"gzip", True),
        (b" GZIP ", b"gzip", True),
        (b"x-gzip", b"x-gzip", True),
        (b"deflate", b"deflate", True),
        (b"identity", b"", True),
        (b"", b"", True),
        (b"br", b"", False),
        (b"zstd", b"", False),
        (b"gzip, br", b"", False),
        (b"gzip, gzip", b"", False),
    ],
)
def test_a_coding_is_undone_or_hides_the_frames(encoding: bytes, coding: bytes, framed: bool) -> None:
    form = decide(STREAM, CHUNKED, (b"Content-Encoding", encoding))
    assert form.event_stream
    assert (form.coding, form.framed) == (coding, framed)


@pytest.mark.parametrize(("first", "second"), [(b"gzip", b"gzip"), (b"gzip", b"br"), (b"identity", b"br")])
def test_codings_on_several_lines_hide_the_frames_like_codings_on_one(first: bytes, second: bytes) -> None:
    form = decide(STREAM, CHUNKED, (b"Content-Encoding", first), (b"Content-Encoding", second))
    assert not form.framed


def test_only_an_event_stream_is_decompressed() -> None:
    assert decide(JSON, CHUNKED, (b"Content-Encoding", b"gzip")).coding == b""


# --- responses --------------------------------------------------------------------------------


def returned(*fields: Header, **options: int) -> list[Header]:
    head = response(*fields, **options)
    return response_headers(head, ResponseForm.decide(request(), head))


@pytest.mark.parametrize("name", HOP_BY_HOP)
def test_a_hop_by_hop_field_does_not_reach_the_client(name: bytes) -> None:
    value = b"chunked" if name == b"Transfer-Encoding" else b"x"
    assert returned((b"x-a", b"1"), (name, value)) == [(b"x-a", b"1")]


def test_a_response_loses_what_its_connection_nominates_but_never_its_length() -> None:
    fields = [(b"Connection", b"x-hop, content-length"), (b"X-Hop", b"1"), length(5), (b"Server", b"s")]
    assert returned(*fields) == [length(5), (b"Server", b"s")]


def test_an_event_stream_says_that_nobody_should_buffer_it() -> None:
    own = [(b"Cache-Control", b"no-store"), (b"X-Accel-Buffering", b"yes"), length(9), (b"X-Kept", b"1")]
    assert returned(STREAM, *own) == [
        STREAM,
        (b"X-Kept", b"1"),
        (b"cache-control", b"no-cache, no-transform"),
        (b"x-accel-buffering", b"no"),
    ]


@pytest.mark.parametrize(("encoding", "kept"), [(b"gzip", False), (b"deflate", False), (b"br", True)])
def test_the_coding_is_named_only_while_it_is_there(encoding: bytes, kept: bool) -> None:
    headers = returned(STREAM, CHUNKED, (b"Content-Encoding", encoding))
    assert values(headers, b"content-encoding") == ([encoding] if kept else [])


def test_other_responses_keep_their_caching_their_coding_and_their_length() -> None:
    fields = [JSON, (b"Cache-Control", b"no-store"), (b"Content-Encoding", b"gzip"), length(5)]
    assert returned(*fields) == fields


@pytest.mark.parametrize(("status", "kept"), [(200, True), (304, True), (404, True), (204, False)])
def test_a_length_is_forbidden_in_204(status: int, kept: bool) -> None:
    assert returned(length(5), status=status) == ([length(5)] if kept else [])


def test_an_informational_head_has_no_length() -> None:
    head = response((b"Link", b"</a>"), (b"Content-Length", b"0"), status=103)
    assert response_headers(head) == [(b"Link", b"</a>")]


# --- relay's own answers ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ClientError("why"), b"HTTP/1.1 400 Bad Request"),
        (UpstreamTimeout("why"), b"HTTP/1.1 504 Gateway Timeout"),
        (ShuttingDown("why"), b"HTTP/1.1 503 Service Unavailable"),
    ],
)
@pytest.mark.parametrize("body", [True, False])
def test_an_answer_of_relays_own_is_a_whole_json_response(error: RelayError, line: bytes, body: bool) -> None:
    raw = error_response(Inbound(), error, [(b"x-own", b"1")], body=body)
    head, _, content = raw.partition(b"\r\n\r\n")
    first, *fields = head.split(b"\r\n")
    expected = error_response(Inbound(), error, [], body=True).partition(b"\r\n\r\n")[2]
    assert first == line
    assert {b"content-type: application/json", b"content-length: %d" % len(expected), b"x-own: 1"} <= set(
        fields
    )
    assert content == (expected if body else b"")
    assert json.loads(expected)["error"]["message"] == "why"
