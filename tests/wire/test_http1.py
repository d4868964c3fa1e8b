"""Heads: what h11 tolerates and a relay must not is refused, whatever the cuts."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.errors import ClientError, HeadTooLarge, RelayError, UpstreamError, VersionNotSupported
from relay.wire.framing import ChunkedDecoder, Header, LengthDecoder, UntilCloseDecoder
from relay.wire.http1 import HeadReader, Inbound, Outbound, RequestHead, ResponseHead
from tests.cuts import SIZES, every_way, placed, split

LIMIT, FIELDS = 64 * 1024, 100
AFTER = b"5\r\nhello\r\n"


def read_head(
    pieces: list[bytes], fault: type[RelayError] = ClientError, *, limit: int = LIMIT, fields: int = FIELDS
) -> tuple[bytes | None, bytes]:
    """The head, or None while it is unfinished, and the bytes that were not read."""
    reader, head, rest = HeadReader(limit, fields, fault), None, b""
    for piece in pieces:
        data, start, end = placed(piece)
        if head is None:
            head, stop = reader.receive(data, start, end)
            assert start <= stop <= end
            start = stop
        rest += data[start:end]
    return head, rest


def finished(read: tuple[bytes | None, bytes]) -> bytes:
    if read[0] is None:
        pytest.fail("the reader waits for more of this head")
    return read[0]


def request(raw: bytes) -> RequestHead:
    """One request head, the same at every cut."""
    heads = {read_head(pieces) for pieces in every_way(raw)}
    assert len(heads) == 1
    head, _ = heads.pop()
    assert head is not None
    return Inbound().receive_request(head)


def response(raw: bytes, method: bytes = b"GET") -> ResponseHead:
    heads = {read_head(pieces, UpstreamError) for pieces in every_way(raw)}
    assert len(heads) == 1
    head, _ = heads.pop()
    assert head is not None
    return Outbound().receive_response(head, method)


def refused(raw: bytes) -> int:
    """The status that this request is refused with, the same at every cut."""
    statuses = set()
    for pieces in every_way(raw):
        with pytest.raises(ClientError) as caught:
            Inbound().receive_request(finished(read_head(pieces)))
        statuses.add(caught.value.status)
    assert len(statuses) == 1, f"the answer depends on the cuts: {statuses}"
    return statuses.pop()


def refused_response(raw: bytes) -> int:
    for pieces in every_way(raw):
        with pytest.raises(UpstreamError) as caught:
            Outbound().receive_response(finished(read_head(pieces, UpstreamError)), b"GET")
    return caught.value.status


def get(*fields: bytes, line: bytes = b"GET / HTTP/1.1", host: bytes | None = b"h") -> bytes:
    own = [] if host is None else [b"Host: " + host]
    return b"\r\n".join([line, *own, *fields, b"", b""])


def answer(*fields: bytes, line: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join([line, *fields, b"", b""])


# --- HeadReader -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "fault"),
    [
        (get(), ClientError),
        (get(b"A: b", b"C: \xe9\t d"), ClientError),
        (get(b"Empty:"), ClientError),
        (answer(), UpstreamError),
        (answer(b"A: b"), UpstreamError),
    ],
)
def test_a_head_ends_at_its_empty_line_and_what_follows_is_left(head: bytes, fault: type[RelayError]) -> None:
    assert {read_head(pieces, fault) for pieces in every_way(head + AFTER)} == {(head, AFTER)}


@pytest.mark.parametrize("length", range(len(get(b"A: b"))))
def test_an_unfinished_head_is_none_yet_and_begun(length: int) -> None:
    reader = HeadReader(LIMIT, FIELDS, ClientError)
    for byte in split(get(b"A: b")[:length], [1]):
        assert reader.receive(byte, 0, 1) == (None, 1)
    assert reader.begun == (length > 0)


def test_a_reader_is_ready_for_the_next_head_of_the_same_connection() -> None:
    reader, data = HeadReader(LIMIT, FIELDS, ClientError), get(b"A: 1") + get(b"B: 2")
    first, stop = reader.receive(data, 0, len(data))
    assert not reader.begun
    second, end = reader.receive(data, stop, len(data))
    assert (first, second, end) == (get(b"A: 1"), get(b"B: 2"), len(data))


@pytest.mark.parametrize("empty", [b"\r\n", b"\r\n\r\n"])
def test_two_empty_lines_before_a_request_are_ignored(empty: bytes) -> None:
    data, start, end = placed(empty + get())
    assert HeadReader(LIMIT, FIELDS, ClientError).receive(data, start, end) == (get(), end)


def test_an_empty_line_before_a_request_is_ignored_at_every_cut() -> None:
    assert {read_head(pieces) for pieces in every_way(b"\r\n" + get())} == {(get(), b"")}


def test_a_third_empty_line_before_a_request_is_refused_at_every_cut() -> None:
    with pytest.raises(ClientError):
        read_head([b"\r\n"] * 3 + [get()])


def test_an_empty_line_before_a_response_is_refused() -> None:
    assert refused_response(b"\r\n" + answer()) == 502


def padded(size: int, line: bytes) -> bytes:
    """A head of exactly this many bytes."""
    head = line + b"\r\nHost: h\r\nA: \r\n\r\n"
    return head[:-4] + b"v" * (size - len(head)) + b"\r\n\r\n"


def test_a_head_of_exactly_the_limit_is_read() -> None:
    head = padded(2000, b"GET / HTTP/1.1")
    assert {read_head(pieces, limit=2000) for pieces in every_way(head + AFTER)} == {(head, AFTER)}


@pytest.mark.parametrize(
    ("fault", "expected", "line"),
    [
        (ClientError, HeadTooLarge, b"GET / HTTP/1.1"),
        (UpstreamError, UpstreamError, b"HTTP/1.1 200 OK"),
    ],
    ids=["client", "upstream"],
)
def test_a_head_one_byte_above_the_limit_is_refused(
    fault: type[RelayError], expected: type[RelayError], line: bytes
) -> None:
    for pieces in every_way(padded(2001, line)):
        with pytest.raises(expected, match="above 2000 bytes"):
            read_head(pieces, fault, limit=2000)


def test_an_endless_head_is_refused_before_it_ends() -> None:
    assert refused(b"GET / HTTP/1.1\r\nA: " + b"v" * LIMIT) == 431


def test_one_large_read_is_counted_although_h11_would_take_it() -> None:
    assert refused(padded(256 * 1024, b"GET / HTTP/1.1")) == 431


def test_no_limit_is_no_limit() -> None:
    head = padded(256 * 1024, b"GET / HTTP/1.1")
    assert read_head([head], limit=0) == (head, b"")
    many = get(*[b"A: b"] * 500)
    assert read_head([many], fields=0) == (many, b"")


def test_the_heads_of_one_answer_share_the_limit() -> None:
    """1xx heads without end would otherwise be passed on without end."""
    hint = answer(b"Link: </a>", line=b"HTTP/1.1 103 X")
    reader = HeadReader(len(hint) * 10, FIELDS, UpstreamError)
    for _ in range(10):
        assert reader.receive(hint, 0, len(hint)) == (hint, len(hint))
    with pytest.raises(UpstreamError, match=f"above {len(hint) * 10} bytes"):
        reader.receive(hint, 0, len(hint))


def test_each_request_has_the_whole_limit() -> None:
    reader = HeadReader(len(get()), FIELDS, ClientError)
    for _ in range(10):
        assert reader.receive(get(), 0, len(get())) == (get(), len(get()))


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"EHLO relay.test\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n",
        b'{"model": "m"}',
        b"\xef\xbb\xbfGET / HTTP/1.1\r\n",
        b"GET / HTTP/1.1 \r\n",
        b"GET /\xe9 HTTP/1.1\r\n",
        b"\r\n\r\n\r\n",
        b"\r" * 5,
        bytes(5),
        b" GET / HTTP/1.1",
    ],
)
def test_what_cannot_become_a_request_is_refused_without_waiting_for_its_end(rubbish: bytes) -> None:
    assert refused(rubbish) == 400


@pytest.mark.parametrize(
    "rubbish",
    [
        b"220 relay.test ESMTP\r\n",
        b"SSH-2.0-x\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"ICY 2",
        b"HTTP/2",
        b"\r\n",
        b"h",
    ],
)
def test_what_cannot_become_an_answer_is_refused_without_waiting_for_its_end(rubbish: bytes) -> None:
    assert refused_response(rubbish) == 502


def test_tls_on_a_plain_port_is_called_by_its_name() -> None:
    with pytest.raises(ClientError, match="TLS"):
        read_head([b"\x16\x03\x01"])
    with pytest.raises(UpstreamError, match="TLS"):
        read_head([b"\x15\x03\x01"], UpstreamError)


@pytest.mark.parametrize("name", [b"Content_Length", b"content_length", b"Transfer_Encoding"])
def test_a_field_that_some_servers_take_for_framing_is_refused(name: bytes) -> None:
    assert refused(get(name + b": 5")) == 400


@pytest.mark.parametrize(("count", "status"), [(101, 431), (500, 431)])
def test_more_fields_than_the_limit_are_refused(count: int, status: int) -> None:
    assert refused(get(*[b"A: b"] * (count - 1))) == status


def test_as_many_fields_as_the_limit_are_read() -> None:
    assert len(request(get(*[b"A: b"] * 99)).headers) == 100


def test_too_many_response_fields_are_the_upstreams_fault() -> None:
    assert refused_response(answer(*[b"A: b"] * 101)) == 502


# --- what h11 takes and a relay must not ------------------------------------------------------

REFUSED_IN_BOTH = {
    "LF after the start line": b"%b\nA: b\r\n\r\n",
    "LF after a field": b"%b\r\nA: b\nC: d\r\n\r\n",
    "LF for the empty line": b"%b\r\nA: b\r\n\n",
    "only LF": b"%b\nA: b\n\n",
    "CR alone": b"%b\r\nA: b\rC: d\r\n\r\n",
    "CR before CR LF": b"%b\r\nA: b\r\r\n\r\n",
    "folded line": b"%b\r\nA: b\r\n c\r\n\r\n",
    "line folded with a tab": b"%b\r\nTransfer-Encoding:\r\n\tchunked\r\n\r\n",
    "blank before the first field": b"%b\r\n A: b\r\n\r\n",
    "control byte": b"%b\r\nA: b\x01c\r\n\r\n",
    "escape": b"%b\r\nA: \x1b[31m\r\n\r\n",
    "delete": b"%b\r\nA: b\x7f\r\n\r\n",
    "NUL": b"%b\r\nA: b\x00c\r\n\r\n",
    "vertical tab": b"%b\r\nA: b\x0bc\r\n\r\n",
    "blank before the colon": b"%b\r\nA : b\r\n\r\n",
    "no colon": b"%b\r\nA\r\n\r\n",
    "empty name": b"%b\r\n: b\r\n\r\n",
    "name in quotes": b'%b\r\n"A": b\r\n\r\n',
    "name in Latin-1": b"%b\r\n\xc4: b\r\n\r\n",
    "two lengths": b"%b\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    "a list of two lengths": b"%b\r\nContent-Length: 5, 6\r\n\r\n",
    "length beside chunked": b"%b\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "chunked beside length": b"%b\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
    "length of 19 digits": b"%b\r\nContent-Length: 1000000000000000000\r\n\r\n",
    "length above 64 bits": b"%b\r\nContent-Length: 18446744073709551621\r\n\r\n",
    "length of 100 digits": b"%b\r\nContent-Length: " + b"1" * 100 + b"\r\n\r\n",
    "signed length": b"%b\r\nContent-Length: +5\r\n\r\n",
    "negative length": b"%b\r\nContent-Length: -5\r\n\r\n",
    "hexadecimal length": b"%b\r\nContent-Length: 0x5\r\n\r\n",
    "length with underscore": b"%b\r\nContent-Length: 1_0\r\n\r\n",
    "decimal length": b"%b\r\nContent-Length: 5.0\r\n\r\n",
    "length in Arabic digits": b"%b\r\nContent-Length: \xd9\xa5\r\n\r\n",
    "empty length": b"%b\r\nContent-Length:\r\n\r\n",
    "unknown coding": b"%b\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "identity coding": b"%b\r\nTransfer-Encoding: identity\r\n\r\n",
    "chunked twice": b"%b\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    "chunked with a vertical tab": b"%b\r\nTransfer-Encoding: \x0bchunked\r\n\r\n",
}


@pytest.mark.parametrize("template", REFUSED_IN_BOTH.values(), ids=REFUSED_IN_BOTH)
def test_a_request_head_that_two_peers_could_read_differently_is_refused(template: bytes) -> None:
    assert refused(template % b"POST / HTTP/1.1\r\nHost: h") == 400


@pytest.mark.parametrize("template", REFUSED_IN_BOTH.values(), ids=REFUSED_IN_BOTH)
def test_a_response_head_that_two_peers_could_read_differently_is_refused(template: bytes) -> None:
    assert refused_response(template % b"HTTP/1.1 200 OK") == 502


def test_transfer_encoding_in_http_1_0_is_refused_both_ways() -> None:
    assert refused(get(b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.0")) == 400
    assert refused_response(answer(b"Transfer-Encoding: chunked", line=b"HTTP/1.0 200 OK")) == 502


@pytest.mark.parametrize("version", [b"1.2", b"2.0", b"9.9", b"0.9", b"3", b"2", b"1.10", b"1.11"])
def test_other_versions_are_refused(version: bytes) -> None:
    assert refused(get(line=b"GET / HTTP/" + version)) == 505
    assert refused_response(answer(line=b"HTTP/%b 200 OK" % version)) == 502


def test_the_preface_of_http_2_is_a_version_that_is_not_served() -> None:
    with pytest.raises(VersionNotSupported):
        Inbound().receive_request(b"PRI * HTTP/2.0\r\n\r\n")


@pytest.mark.parametrize(
    "line",
    [
        b"GET /",
        b"GET  / HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b"GET / http/1.1",
        b"GET / HTTP/1,1",
        b"GET /a b HTTP/1.1",
        b"GET\t/ HTTP/1.1",
        b"G(T / HTTP/1.1",
        b"GET / HTTQ/1.1",
        b"GET /\xe9 HTTP/1.1",
        b"\x16\x03\x01\x02\x00",
        b"hello",
    ],
)
def test_a_malformed_request_line_is_refused(line: bytes) -> None:
    assert refused(get(line=line)) == 400


@pytest.mark.parametrize("status", [b"999", b"600", b"099", b"000", b"20", b"2000", b"abc", b""])
def test_a_status_outside_100_to_599_is_refused(status: bytes) -> None:
    assert refused_response(answer(line=b"HTTP/1.1 %b OK" % status)) == 502


@pytest.mark.parametrize("line", [b"ICY 200 OK", b"HTTP/1.1200 OK", b"<html>", b"HTTP 200 OK"])
def test_a_malformed_status_line_is_refused(line: bytes) -> None:
    assert refused_response(answer(line=line)) == 502


def test_an_error_does_not_repeat_what_a_field_said() -> None:
    with pytest.raises(ClientError) as caught:
        Inbound().receive_request(get(b"Authorization : Bearer secret"))
    with pytest.raises(UpstreamError) as caught_too:
        Outbound().receive_response(answer(b"Set-Cookie : secret"), b"GET")
    assert "secret" not in str(caught.value) + str(caught_too.value)


# --- targets and Host -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "host", "target", "authority"),
    [
        (b"GET / HTTP/1.1", b"h", b"/", b"h"),
        (b"GET /a/b?c=d%20e HTTP/1.1", b"h:80", b"/a/b?c=d%20e", b"h:80"),
        (b"GET //a HTTP/1.1", b"h", b"//a", b"h"),
        (b"OPTIONS * HTTP/1.1", b"h", b"*", b"h"),
        (b"GET http://h/a?b HTTP/1.1", b"h", b"/a?b", b"h"),
        (b"GET HTTPS://H:8/a HTTP/1.1", b"h:8", b"/a", b"H:8"),
        (b"GET http://h HTTP/1.1", b"h", b"/", b"h"),
        (b"GET http://h?q HTTP/1.1", b"h", b"/?q", b"h"),
        (b"OPTIONS http://h HTTP/1.1", b"h", b"*", b"h"),
        (b"OPTIONS http://h/ HTTP/1.1", b"h", b"/", b"h"),
        (b"OPTIONS http://h?q HTTP/1.1", b"h", b"/?q", b"h"),
        (b"GET http://[::1]:9/ HTTP/1.1", b"[::1]:9", b"/", b"[::1]:9"),
        (b"GET http://h/ HTTP/1.0", None, b"/", b"h"),
        (b"GET / HTTP/1.0", None, b"/", b""),
    ],
)
def test_a_target_becomes_origin_form_and_names_its_authority(
    line: bytes, host: bytes | None, target: bytes, authority: bytes
) -> None:
    head = request(get(line=line, host=host))
    assert (head.target, head.host) == (target, authority)


@pytest.mark.parametrize(
    "line",
    [
        b"GET * HTTP/1.1",
        b"GET a HTTP/1.1",
        b"GET h:80 HTTP/1.1",
        b"GET ftp://h/ HTTP/1.1",
        b"GET http:/// HTTP/1.1",
        b"GET http:h/ HTTP/1.1",
        b"GET http://other/ HTTP/1.1",
        b"GET http://h:81/ HTTP/1.1",
        b"GET http://user@h/ HTTP/1.1",
        b"GET /a#b HTTP/1.1",
        b"GET http://h/#b HTTP/1.1",
        b"CONNECT h:443 HTTP/1.1",
        b"CONNECT / HTTP/1.1",
    ],
)
def test_a_target_that_is_neither_a_path_nor_a_url_of_this_host_is_refused(line: bytes) -> None:
    assert refused(get(line=line)) == 400


def test_user_information_is_refused_even_when_host_repeats_it() -> None:
    assert refused(get(line=b"GET http://user@h/ HTTP/1.1", host=b"user@h")) == 400


@pytest.mark.parametrize(
    "host",
    [
        b"h",
        b"h:80",
        b"a-b.c_d.example",
        b"127.0.0.1:8787",
        b"[::1]",
        b"[::ffff:1.2.3.4]:1",
        b"%41",
        b"h:",
        b"",
    ],
)
def test_a_host_is_a_name_or_an_address_with_or_without_a_port(host: bytes) -> None:
    assert request(get(host=host)).host == host


@pytest.mark.parametrize(
    "host",
    [
        b"h/a",
        b"h?a",
        b"h#a",
        b"user@h",
        b"a b",
        b"a,b c",
        b"h:80:90",
        b"h:port",
        b"h:-1",
        b"h:123456",
        b"::1",
        b"[::1",
        b"[::1]x",
        b"[h]",
        b"h\\a",
        b"<h>",
        b'"h"',
        b"%4",
        b"%zz",
        b"h\xe9",
    ],
)
def test_a_host_that_is_no_host_and_port_is_refused(host: bytes) -> None:
    assert refused(get(host=host)) == 400


def test_a_missing_or_second_host_is_refused() -> None:
    assert refused(get(host=None)) == 400
    assert refused(get(b"Host: h")) == 400


# --- what a request head says -----------------------------------------------------------------


def test_names_keep_their_spelling_and_fields_their_order() -> None:
    head = request(get(b"x-B: 1", b"X-a:2", b"x-B: \t3 "))
    assert head.headers == [(b"Host", b"h"), (b"x-B", b"1"), (b"X-a", b"2"), (b"x-B", b"3")]
    assert (head.method, head.version) == (b"GET", b"1.1")


@pytest.mark.parametrize(
    ("fields", "length", "chunked", "has_body"),
    [
        ([], None, False, False),
        ([b"Content-Length: 0"], 0, False, False),
        ([b"Content-Length: 5"], 5, False, True),
        ([b"content-length: 005"], 5, False, True),
        ([b"Content-Length: 5, 5"], 5, False, True),
        ([b"Content-Length: 5", b"Content-Length: 5"], 5, False, True),
        ([b"Content-Length: 999999999999999999"], 10**18 - 1, False, True),
        ([b"Transfer-Encoding: chunked"], None, True, True),
        ([b"transfer-encoding: CHUNKED"], None, True, True),
    ],
)
def test_the_length_of_a_request_body(
    fields: list[bytes], length: int | None, chunked: bool, has_body: bool
) -> None:
    head = request(get(*fields, line=b"POST / HTTP/1.1"))
    assert (head.length, head.chunked, head.has_body) == (length, chunked, has_body)
    assert isinstance(head.body_decoder(), ChunkedDecoder if chunked else LengthDecoder)
    assert head.body_decoder().complete is not has_body


@pytest.mark.parametrize(
    ("version", "fields", "kept"),
    [
        (b"1.1", [], True),
        (b"1.1", [b"Connection: keep-alive"], True),
        (b"1.1", [b"Connection: close"], False),
        (b"1.1", [b"Connection: TE, Close"], False),
        (b"1.1", [b"Connection: keep-alive", b"Connection: close"], False),
        (b"1.1", [b"Connection: closed"], True),
        (b"1.0", [], False),
        (b"1.0", [b"Connection: keep-alive"], False),
    ],
)
def test_a_connection_is_kept_only_in_http_1_1_and_unless_closed(
    version: bytes, fields: list[bytes], kept: bool
) -> None:
    assert request(get(*fields, line=b"GET / HTTP/" + version)).keep_alive is kept
    assert (
        response(answer(*fields, b"Content-Length: 0", line=b"HTTP/%b 200 OK" % version)).keep_alive is kept
    )


UPGRADE = [b"Connection: Upgrade", b"Upgrade: websocket"]


@pytest.mark.parametrize(
    ("fields", "upgrade"),
    [
        (UPGRADE, b"websocket"),
        ([b"Connection: keep-alive, upgrade", b"Upgrade: x/1"], b"x/1"),
        ([b"Upgrade: websocket"], None),
        ([b"Connection: Upgrade"], None),
        ([b"Connection: Upgrade", b"Upgrade: h2c"], None),
        ([b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: websocket, H2C"], None),
        ([*UPGRADE, b"Content-Length: 5"], None),
        ([*UPGRADE, b"Transfer-Encoding: chunked"], None),
        ([*UPGRADE, b"Content-Length: 0"], b"websocket"),
    ],
)
def test_an_upgrade_is_taken_when_nominated_without_a_body_and_never_to_h2c(
    fields: list[bytes], upgrade: bytes | None
) -> None:
    assert request(get(*fields)).upgrade == upgrade


def test_an_upgrade_in_http_1_0_is_ignored() -> None:
    assert request(get(*UPGRADE, line=b"GET / HTTP/1.0")).upgrade is None


# --- what a response head says ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "status", "fields", "length", "chunked"),
    [
        (b"GET", 200, [b"Content-Length: 5"], 5, False),
        (b"GET", 200, [b"Transfer-Encoding: chunked"], None, True),
        (b"GET", 200, [], None, False),
        (b"GET", 404, [], None, False),
        (b"HEAD", 200, [b"Content-Length: 5"], 0, False),
        (b"HEAD", 200, [b"Transfer-Encoding: chunked"], 0, False),
        (b"HEAD", 200, [], 0, False),
        (b"GET", 204, [], 0, False),
        (b"GET", 204, [b"Content-Length: 5"], 0, False),
        (b"GET", 304, [b"Content-Length: 5"], 0, False),
        (b"GET", 304, [b"Transfer-Encoding: chunked"], 0, False),
        (b"GET", 100, [], 0, False),
        (b"GET", 103, [b"Link: </a>"], 0, False),
    ],
)
def test_the_length_of_a_response_body(
    method: bytes, status: int, fields: list[bytes], length: int | None, chunked: bool
) -> None:
    head = response(answer(*fields, line=b"HTTP/1.1 %d X" % status), method)
    assert (head.status, head.length, head.chunked) == (status, length, chunked)
    expected = ChunkedDecoder if chunked else UntilCloseDecoder if length is None else LengthDecoder
    assert isinstance(head.body_decoder(), expected)
    assert head.reusable is (expected is not UntilCloseDecoder)


@pytest.mark.parametrize(
    ("line", "fields", "reusable"),
    [
        (b"HTTP/1.1 200 OK", [b"Content-Length: 5"], True),
        (b"HTTP/1.1 200 OK", [b"Content-Length: 5", b"Connection: close"], False),
        (b"HTTP/1.1 200 OK", [b"Transfer-Encoding: chunked", b"Connection: x, Close"], False),
        (b"HTTP/1.0 200 OK", [b"Content-Length: 5"], False),
        (b"HTTP/1.1 200 OK", [b"Connection: keep-alive"], False),
    ],
)
def test_a_connection_serves_again_when_the_end_shows_and_nobody_closes(
    line: bytes, fields: list[bytes], reusable: bool
) -> None:
    assert response(answer(*fields, line=line), b"GET").reusable is reusable


@pytest.mark.parametrize(
    ("line", "reason"),
    [(b"HTTP/1.1 200 OK", b"OK"), (b"HTTP/1.1 200 ", b""), (b"HTTP/1.1 404 Not  Found!", b"Not  Found!")],
)
def test_the_reason_is_kept(line: bytes, reason: bytes) -> None:
    assert response(answer(line=line)).reason == reason


def test_informational_heads_come_before_the_final_one() -> None:
    outbound = Outbound()
    heads = [answer(line=b"HTTP/1.1 %d X" % status) for status in (100, 103, 103, 200)]
    assert [outbound.receive_response(raw, b"POST").status for raw in heads] == [100, 103, 103, 200]


# --- writing heads ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "status", "fields", "added"),
    [
        (b"1.1", 200, [], [(b"transfer-encoding", b"chunked")]),
        (b"1.1", 200, [(b"Content-Length", b"0")], []),
        (b"1.1", 204, [], []),
        (b"1.1", 304, [], []),
        (b"1.0", 200, [], [(b"connection", b"close")]),
        (b"1.0", 200, [(b"Content-Length", b"0")], [(b"connection", b"close")]),
    ],
)
def test_a_final_head_gets_the_framing_that_its_client_can_read(
    version: bytes, status: int, fields: list[Header], added: list[Header]
) -> None:
    inbound = Inbound()
    inbound.receive_request(get(line=b"GET / HTTP/" + version))
    raw = inbound.response(status, b"X", [(b"x-A", b"1"), *fields])
    written = [tuple(line.split(b": ", 1)) for line in raw.split(b"\r\n")[1:-2]]
    assert raw.startswith(b"HTTP/1.1 %d X\r\n" % status)
    assert [(name.lower(), value) for name, value in written[1 + len(fields) :]] == added


def test_an_informational_head_has_no_framing() -> None:
    inbound = Inbound()
    inbound.receive_request(get())
    raw = inbound.informational(103, b"Early Hints", [(b"link", b"</a>")])
    assert raw == b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"


def test_a_request_that_was_written_reads_back_the_same() -> None:
    fields = [(b"Host", b"h"), (b"x-A", b"1"), (b"content-length", b"5")]
    raw = Outbound().request(b"POST", b"/a?b", fields)
    head = request(raw)
    assert (head.method, head.target, head.headers, head.length) == (b"POST", b"/a?b", fields, 5)


@pytest.mark.parametrize("value", [b"a\nb", b"a\r\nX: y", b"a\r\n\r\nHTTP/1.1 200 OK"])
def test_a_line_break_in_a_head_that_is_written_is_an_error(value: bytes) -> None:
    with pytest.raises(RelayError, match="line break"):
        Inbound().response(200, b"OK", [(b"a", value)])
    with pytest.raises(RelayError, match="line break"):
        Outbound().request(b"GET", b"/", [(b"a", value)])


# --- properties -------------------------------------------------------------------------------

TOKENS = [
    b"GET",
    b"CONNECT",
    b" ",
    b"/",
    b"*",
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"HTTP/2.0",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
]
TOKENS += [
    b"\r",
    b"Host: h\r\n",
    b"Host:",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"A: b\r\n",
]
TOKENS += [
    b"\x00",
    b"\xff",
    b"\t",
    b":",
    b"100",
    b"101",
    b"200",
    b"204",
    b"999",
    b"Upgrade: x\r\n",
    b"http://h/#",
]
SOUP = st.lists(st.sampled_from(TOKENS), max_size=14).map(b"".join) | st.binary(max_size=60)
REQUEST_SOUP = SOUP | SOUP.map(lambda soup: b"GET / HTTP/1.1\r\nHost: h\r\n" + soup + b"\r\n\r\n")
RESPONSE_SOUP = SOUP | SOUP.map(lambda soup: b"HTTP/1.1 200 OK\r\n" + soup + b"\r\n\r\n")


@given(REQUEST_SOUP, SIZES)
@example(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", [1])
def test_any_bytes_are_a_request_head_an_unfinished_one_or_a_client_error(
    wire: bytes, sizes: list[int]
) -> None:
    try:
        raw, rest = read_head(split(wire, sizes), limit=200, fields=5)
        if raw is not None:
            head = Inbound().receive_request(raw)
            assert head.target.startswith(b"/") or head.target == b"*"
            assert wire.endswith(raw + rest)
    except ClientError:
        pass


@given(RESPONSE_SOUP, SIZES, st.sampled_from([b"GET", b"HEAD", b"POST"]))
def test_any_bytes_are_a_response_head_an_unfinished_one_or_an_upstream_error(
    wire: bytes, sizes: list[int], method: bytes
) -> None:
    try:
        raw, rest = read_head(split(wire, sizes), UpstreamError, limit=200, fields=5)
        if raw is not None:
            assert 100 <= Outbound().receive_response(raw, method).status <= 599
            assert wire == raw + rest
    except UpstreamError:
        pass


@given(RESPONSE_SOUP, SIZES)
def test_a_head_is_the_same_at_every_cut(wire: bytes, sizes: list[int]) -> None:
    answers = []
    for pieces in ([wire], split(wire, sizes)):
        try:
            answers.append(read_head(pieces, UpstreamError))
        except UpstreamError:
            answers.append((None, b"refused"))
    assert answers[0] == answers[1]
