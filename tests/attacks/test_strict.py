"""The runner's own reader: strict, whatever the cuts, and apart from relay's."""

from __future__ import annotations

import pytest

from .strict import Malformed, Message, Unfinished, read_request, read_response

HOST = b"Host: h\r\n"
POST = b"POST / HTTP/1.1\r\n" + HOST
OK = b"HTTP/1.1 200 OK\r\n"

SOUND = {
    "nothing but a host": (b"GET / HTTP/1.1\r\n" + HOST + b"\r\n", b""),
    "HTTP/1.0": (b"GET / HTTP/1.0\r\n\r\n", b""),
    "length": (POST + b"Content-Length: 5\r\n\r\nhello", b"hello"),
    "chunked": (
        POST + b"Transfer-Encoding: Chunked\r\n\r\n2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\nX: y\r\n\r\n",
        b"hello",
    ),
    "absolute": (b"GET http://H/a HTTP/1.1\r\n" + HOST + b"\r\n", b""),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_request_is_read_at_every_cut_and_no_further(name: str) -> None:
    raw, body = SOUND[name]
    for cut in range(len(raw)):
        with pytest.raises(Unfinished):
            read_request(raw[:cut])
    message = read_request(raw + b"GET")
    assert (message.body, message.size) == (body, len(raw))


@pytest.mark.parametrize(
    "raw",
    [
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        POST + b"Content-Length: +5\r\n\r\nhello",
        POST + b"Content-Length: 18446744073709551621\r\n\r\nhello",
        POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n 1\r\na\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nno field\r\n\r\n",
        POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"X : y\r\n\r\n",
        POST + b"X: y\n\r\n",
        POST + b"X: y\rZ: z\r\n\r\n",
        POST + b"X: y\r\n z\r\n\r\n",
        POST + b"X: \x00\r\n\r\n",
        POST + HOST + b"\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h/x\r\n\r\n",
        b"GET / HTTP/1.2\r\n" + HOST + b"\r\n",
        b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /#x HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET http://other/ HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET * HTTP/1.1\r\n" + HOST + b"\r\n",
        b"CONNECT h:80 HTTP/1.1\r\n" + HOST + b"\r\n",
    ],
)
def test_what_two_peers_could_read_differently_is_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        read_request(raw)


def answered(raw: bytes, method: bytes = b"GET", *, ended: bool = False) -> Message:
    return read_response(raw, method, ended=ended)


def test_answers_end_where_they_say() -> None:
    assert answered(OK + b"Content-Length: 2\r\n\r\nhi!").body == b"hi"
    assert answered(OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n!").body == b"hi"
    assert answered(OK + b"\r\nhi", ended=True).body == b"hi"
    assert answered(OK + b"Content-Length: 2\r\n\r\n", b"HEAD").body == b""
    assert answered(b"HTTP/1.1 304 X\r\nContent-Length: 2\r\n\r\n").body == b""
    with pytest.raises(Unfinished, match="body"):
        answered(OK + b"\r\nhi")
    with pytest.raises(Unfinished, match="head"):
        answered(OK, ended=True)


@pytest.mark.parametrize(
    "line", [b"HTTP/1.1 099 X", b"HTTP/1.1 20 X", b"HTTP/2.0 200 X", b"ICY 200 OK", b"HTTP/1.1 200 \x00"]
)
def test_a_status_line_that_is_none_is_malformed(line: bytes) -> None:
    with pytest.raises(Malformed):
        answered(line + b"\r\n\r\n")
