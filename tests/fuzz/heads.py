"""Request and response heads: read, and written for the peer on the other side.

A plain reader of our own says what a head means. What relay takes, that reader must take and understand
in the same way; what relay then writes, it must understand in one way only.
"""

from __future__ import annotations

import json
from random import Random

from relay.config import Limits, Upstream
from relay.errors import ClientError, UpstreamError
from relay.wire import forwarding
from relay.wire.forwarding import ResponseForm
from relay.wire.http1 import HeadReader, Inbound, Outbound, RequestHead, ResponseHead
from tests.cuts import placed
from tests.fuzz import reader, tokens
from tests.fuzz.case import Case, draw_sizes, hold
from tests.fuzz.mutate import OF_HEADS, bent, rubbish

LIMITS = Limits(head=4096, fields=50)
_AFTER = b"5\r\nhello\r\n0\r\n\r\n"
_ROOM = 600
"""Bytes that relay may add to a head: fields of its own, and once more what it repeats under another name."""
UPSTREAM = Upstream.parse("http://upstream.test:8000")
ENDS_HERE = set(
    b"keep-alive proxy-connection proxy-authenticate proxy-authorization http2-settings proxy".split()
)
OWN_TO_SAY = set(
    b"connection te upgrade transfer-encoding content-length host via accept-encoding cache-control "
    b"x-accel-buffering x-forwarded-for x-forwarded-proto x-forwarded-host retry-after".split()
)
"""What relay may write for its own part, whatever a peer nominated."""


def _head(line: bytes, *fields: bytes) -> bytes:
    return b"\r\n".join([line, *fields, b"", b""])


REQUESTS = [
    _head(b"GET / HTTP/1.1", b"Host: h"),
    _head(b"GET / HTTP/1.0"),
    _head(b"POST /v1/chat/completions HTTP/1.1", b"Host: h:80", b"Content-Length: 5", b"X-Api-Key: s"),
    _head(b"POST /v1/messages HTTP/1.1", b"host: [::1]:9", b"transfer-encoding: chunked", b"te: trailers"),
    _head(b"PUT http://h/a?b HTTP/1.1", b"Host: h", b"Expect: 100-continue", b"Content-Length: 12"),
    _head(b"OPTIONS * HTTP/1.1", b"Host: h", b"Connection: close, x-hop", b"X-Hop: 1", b"X-End: 2"),
    _head(b"GET /socket HTTP/1.1", b"Host: h", b"Connection: Upgrade", b"Upgrade: websocket", b"Origin: h"),
    _head(b"GET /a/./b%20c HTTP/1.1", b"Host: h", b"X-Forwarded-For: 1.2", b"Via: 1.1 x", b"Cookie: a=b"),
    _head(b"HEAD /\xc3\xa9 HTTP/1.1", b"Host: h", b"X: \xe9\t y", b"Empty:", b"Accept: text/event-stream"),
    b"\r\n" + _head(b"DELETE /x HTTP/1.1", b"Host: h", b"Content-Length: 0"),
    *(_head(b"GET /%d HTTP/1.1" % size, b"Host: h", b"P: " + b"v" * size) for size in (3000, 4030, 4090)),
    _head(b"GET / HTTP/1.1", b"Host: h", *[b"a: b"] * 48),
]  # fmt: skip
RESPONSES = [
    _head(b"HTTP/1.1 200 OK", b"Content-Length: 5", b"Content-Type: application/json"),
    _head(b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked", b"Content-Type: text/event-stream"),
    _head(b"HTTP/1.0 200 OK", b"Content-Type: text/event-stream; charset=utf-8", b"Set-Cookie: a=b"),
    _head(b"HTTP/1.1 204 No Content", b"Connection: close"),
    _head(b"HTTP/1.1 304 Not Modified", b"ETag: \"x\"", b"Content-Length: 7"),
    _head(b"HTTP/1.1 100 Continue") + _head(b"HTTP/1.1 200 OK", b"content-length: 0"),
    _head(b"HTTP/1.1 103 Early Hints", b"Link: </a>") + _head(b"HTTP/1.1 404 ", b"content-length: 3"),
    _head(b"HTTP/1.1 429 Too Many Requests", b"retry-after: 7", b"x-ratelimit: 1", b"content-length: 2"),
    _head(b"HTTP/1.1 200 \xe9", b"content-encoding: gzip", b"content-type: text/event-stream"),
    _head(b"HTTP/1.1 529", b"llm_provider-retry-after: 9", b"keep-alive: timeout=5", b"content-length: 1"),
    _head(b"HTTP/1.1 200 OK", *[b"a: b"] * 49),
]  # fmt: skip


class Heads:
    """Either side, the same at every cut."""

    name = "heads"

    def draw(self, dice: Random) -> Case:
        side = dice.choice(("request", "response"))
        seeds = REQUESTS if side == "request" else RESPONSES
        if dice.random() < 0.1:
            raw = rubbish(dice, tokens.HTTP)
        else:
            raw = bent(dice, dice.choice(seeds) + dice.choice((b"", _AFTER)), OF_HEADS, seeds)
        how = (side, dice.choice(("GET", "POST", "HEAD")), dice.choice(("1.1", "1.0")))
        return Case(raw, draw_sizes(dice, len(raw)), how)

    def check(self, case: Case) -> str:
        side, method, version = case.how
        asked = _head(f"{method} / HTTP/{version}".encode(), b"Host: h")

        def take(pieces: list[bytes]) -> tuple[str, bytes, int]:
            return take_request(pieces) if side == "request" else take_response(pieces, asked)

        whole, parted = take([case.raw]), take(case.reads)
        if {whole[0], parted[0]} == {"refused", "unfinished"}:
            # How early it is seen that no head can come of it may depend on the reads; not whether.
            whole, parted = take([case.raw + b"\r\n\r\n"]), take([*case.reads, b"\r\n\r\n"])
            hold(whole[0] == "refused", "a head is refused that could still have come")
        hold(whole == parted, f"the cuts matter: {whole} in one read, {parted} in {len(case.reads)}")
        return f"{side} {whole[0]}"


def take_request(pieces: list[bytes]) -> tuple[str, bytes, int]:
    """How it ended, what went to the upstream, how many bytes were used."""
    heads = HeadReader(LIMITS.head, LIMITS.fields, ClientError)
    try:
        raw, used = _read(heads, pieces)
        if raw is None:
            return "unfinished", b"", 0
        head = Inbound().receive_request(raw)
        sent = forwarding.write_request(Outbound(), head, UPSTREAM, client="192.0.2.1", scheme=b"http")
    except ClientError as error:
        hold(error.status in (400, 431, 505), f"status {error.status}")
        check_answer(forwarding.error_response(Inbound(), error, (), body=True))
        return "refused", b"", 0
    check_request(raw, head, sent)
    return "taken", sent, used


def take_response(pieces: list[bytes], asked: bytes) -> tuple[str, bytes, int]:
    """The same for an upstream's answer, its informational heads included."""
    heads = HeadReader(LIMITS.head, LIMITS.fields, UpstreamError)
    inbound, outbound = Inbound(), Outbound()
    request = inbound.receive_request(asked)
    left, used, sent = b"".join(pieces), 0, b""
    try:
        while True:
            raw, here = _read(heads, pieces)
            if raw is None:
                return "unfinished", sent, used
            used += here
            pieces = [part for part in (left[used:],) if part]
            head = outbound.receive_response(raw, request.method)
            sent += (said := _say(inbound, request, head))
            check_response(raw, head, said)
            if head.status >= 200:
                return "taken", sent, used
    except UpstreamError as error:
        hold(error.status == 502, f"status {error.status}")
        return "refused", b"", 0


def _say(inbound: Inbound, request: RequestHead, head: ResponseHead) -> bytes:
    """What the client gets for this head."""
    if head.status < 200:
        return inbound.informational(head.status, head.reason, forwarding.response_headers(head))
    form = ResponseForm.decide(request, head)
    return inbound.response(head.status, head.reason, forwarding.response_headers(head, form))


def _read(heads: HeadReader, pieces: list[bytes]) -> tuple[bytes | None, int]:
    """The first head of these reads, and how many bytes it took, with empty lines before it."""
    used = 0
    for piece in pieces:
        data, start, end = placed(piece)
        raw, stop = heads.receive(data, start, end)
        hold(start <= stop <= end, "reading stopped outside of what was read")
        hold(len(heads._partial) <= LIMITS.head + len(piece), "more is kept than the limit allows")
        used += stop - start
        if raw is not None:
            return raw, used
    return None, used


def check_request(raw: bytes, head: RequestHead, sent: bytes) -> None:
    """Whoever reads what came and whoever reads what leaves sees one and the same request."""
    came, leaves = reader.request_head(raw), reader.request_head(sent)
    hold(came.line[0] == leaves.line[0] == head.method, "another method")
    hold(leaves.line[1] == head.target, "another target")
    hosts = len(came.all(b"host"))
    hold(hosts == 1 or (hosts == 0 and came.line[2] == b"0"), f"{hosts} Host fields")
    hold(leaves.all(b"host") == [UPSTREAM.origin.authority.encode()], "Host is the upstream's")
    hold(reader.framing_of(came) == (head.length, head.chunked), "the body is framed otherwise than was said")
    hold(reader.framing_of(leaves) == (head.length, head.chunked), "the body leaves in another framing")
    hold(not (came.line[2] == b"0" and head.chunked), "chunked in HTTP/1.0")
    check_hops(came, leaves)
    hold(len(sent) <= 2 * len(raw) + _ROOM, f"{len(raw)} bytes became {len(sent)}")


def check_response(raw: bytes, head: ResponseHead, said: bytes) -> None:
    came, leaves = reader.response_head(raw), reader.response_head(said)
    hold(came.line[1] == leaves.line[1] == b"%d" % head.status, "another status")
    hold(leaves.line[0] == b"1", "another version than relay's own")
    hold(leaves.line[2].strip(b" \t") == came.line[2].strip(b" \t"), "another reason")
    length, _ = reader.framing_of(came)
    sent_length, chunked = reader.framing_of(leaves)
    hold(sent_length in (None, length), "another length")
    hold(not chunked or (head.status not in (204, 304) and head.status >= 200), "a body where there is none")
    check_hops(came, leaves)
    hold(len(said) <= 2 * len(raw) + _ROOM, f"{len(raw)} bytes became {len(said)}")


def check_hops(came: reader.Head, leaves: reader.Head) -> None:
    """What was meant for relay alone has ended here."""
    nominated = came.options() - OWN_TO_SAY
    left = [name for name, _ in leaves.fields if name in nominated or name in ENDS_HERE]
    hold(not left, f"hop-by-hop fields leave: {left}")


def check_answer(raw: bytes) -> None:
    """An answer of relay's own is one head and just its body, a JSON document."""
    head, _, body = raw.partition(b"\r\n\r\n")
    parsed = reader.response_head(head + b"\r\n\r\n")
    hold(reader.framing_of(parsed) == (len(body), False), "a length that is not the body's")
    hold(json.loads(body)["error"]["message"], "an error without words")
