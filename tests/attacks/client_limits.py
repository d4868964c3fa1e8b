"""Too much, too slow, gone too early; Expect; and values that relay itself writes into heads."""

from __future__ import annotations

import json

from .cases import (
    BAD,
    CLOSE,
    HALF_CLOSE,
    RESET,
    SECRET,
    SMUGGLED,
    Allowed,
    Case,
    Dropped,
    Flood,
    Forwarded,
    Pause,
    Step,
    Trickle,
    cases,
    chunked,
    head,
    post,
    refused,
    sized,
)

PASSED = Forwarded(method=b"GET")
LARGE = refused(413, 414, 431, silent=True)


def _size(
    name: str, *sent: Step, allowed: tuple[Allowed, ...] = (LARGE,), relay: str = "431", after: bool = True
) -> Case:
    return Case("sizes", name, "RFC 9110 §15.5, RFC 6585 §5", sent, allowed, relay, after=after)


SIZES = cases(
    "sizes",
    [
        _size("a field of 70,000 bytes", head(b"X: " + b"y" * 70_000)),
        _size("a name of 70,000 bytes", head(b"x" * 70_000 + b": y")),
        _size("a target of 70,000 bytes", head(target=b"/case/" + b"y" * 70_000)),
        _size(
            "a method of 70,000 bytes",
            head(method=b"G" * 70_000),
            allowed=(refused(413, 414, 431, 501, silent=True),),
        ),
        _size("a Host of 70,000 bytes", head(host=b"h" * 70_000)),
        _size("a secret of 70,000 bytes", head(b"X-Api-Key: " + SECRET * 4000)),
        _size("10,000 fields", head(*[b"X: y"] * 10_000)),
        _size("300 fields", head(*[b"X: y"] * 300), allowed=(LARGE, PASSED)),
        _size("1,000 cookies", head(*[b"Cookie: a=b"] * 1000), allowed=(LARGE, PASSED)),
        _size(
            "20,000 options of Connection",
            head(b"Connection: " + b"a," * 20_000),
            allowed=(LARGE, PASSED),
            relay="forwarded",
        ),
        _size("one field line without end", head()[:-2] + b"X: ", Flood(b"y" * 4096, 500), after=False),
        _size("a request line without end", b"GET /case/", Flood(b"y" * 4096, 500), after=False),
        _size("fields without end", head()[:-2], Flood(b"X: y\r\n" * 500, 500), after=False),
        _size(
            "empty lines without end",
            Flood(b"\r\n" * 2000, 200),
            allowed=(LARGE, refused(408, silent=True)),
            relay="400",
            after=False,
        ),
        _size(
            "a completion of 100 MiB",
            head(b"Content-Length: 104857600", method=b"POST", target=b"/v1/chat/completions"),
            b"{",
            Pause(0.3),
            CLOSE,
            allowed=(refused(413), Dropped()),
            relay="silent",
            after=False,
        ),
        _size(
            "a completion of 100,000 objects within each other",
            sized(b'{"model":"m","messages":[' + b'{"a":' * 100_000, target=b"/v1/messages"),
            allowed=(refused(413, sound=True), Forwarded(body=None)),
            relay="413",
        ),
    ],
)

SLOW = refused(408, 504, silent=True)


def _slow(name: str, *sent: Step, allowed: tuple[Allowed, ...] = (SLOW,), relay: str = "408") -> Case:
    return Case("slow and gone", name, "Slowloris, R.U.D.Y.", sent, allowed, relay, after=False)


def _gone(name: str, *sent: Step, allowed: tuple[Allowed, ...] = (Dropped(),), relay: str = "silent") -> Case:
    return Case("slow and gone", name, "RFC 9112 §8", sent, allowed, relay, after=False)


_ONE_CHUNK = b"5\r\nhello\r\n"
SLOW_AND_GONE = cases(
    "slow and gone",
    [
        _slow("a head that stops", head()[:-2]),
        _slow("a head that stops in its first line", b"GET /ca"),
        _slow("a head that trickles", Trickle(head()[:-2] + b"X: " + b"y" * 1000)),
        _slow("fields that trickle", Trickle(head()[:-2] + b"X: y\r\n" * 200)),
        _slow("nothing at all", Pause(0.1), allowed=(SLOW,), relay="silent"),
        _slow("a bare CR LF", b"\r\n", allowed=(SLOW,), relay="silent"),
        _slow("a body that stops", post(b"Content-Length: 10", body=b"hello")),
        _slow("a body that never begins", post(b"Content-Length: 10")),
        _slow("a chunked body that stops between chunks", chunked(_ONE_CHUNK)),
        _slow("a chunked body that stops in a chunk", chunked(b"a\r\nhello")),
        _slow("a chunked body that stops in a size", chunked(_ONE_CHUNK + b"5")),
        _slow("a chunked body that stops before the last line", chunked(_ONE_CHUNK + b"0\r\n")),
        _slow(
            "a completion that stops",
            post(b"Content-Length: 99", body=b'{"model":', target=b"/v1/chat/completions"),
        ),
        _gone("closed in the head", head()[:-2], CLOSE),
        _gone("closed in the body", post(b"Content-Length: 10", body=b"hello"), CLOSE),
        _gone("closed in a chunk", chunked(b"a\r\nhello"), CLOSE),
        _gone("closed between chunks", chunked(_ONE_CHUNK), CLOSE),
        _gone("closed in the trailers", chunked(_ONE_CHUNK + b"0\r\nX: y\r\n"), CLOSE),
        _gone(
            "closed in a completion",
            post(b"Content-Length: 99", body=b'{"model":', target=b"/v1/messages"),
            CLOSE,
        ),
        _gone("reset in the head", head()[:-2], Pause(0.02), RESET),
        _gone("reset in the body", post(b"Content-Length: 10", body=b"hello"), Pause(0.02), RESET),
        _gone("reset in a chunk", chunked(b"a\r\nhello"), Pause(0.02), RESET),
        _gone("half-closed in the body", post(b"Content-Length: 10", body=b"hello"), HALF_CLOSE),
        _gone("half-closed in a chunk", chunked(b"a\r\nhello"), HALF_CLOSE),
        _gone("half-closed in the head", head()[:-2], HALF_CLOSE),
        _gone("closed behind the request", head(), Pause(0.05), CLOSE, allowed=(Dropped(whole=True),)),
    ],
)


def _expect(name: str, *fields: bytes, sent: bytes | None = None, relay: str = "forwarded") -> Case:
    raw = sized(b"hello", *fields) if sent is None else sent
    allowed = (refused(417), Forwarded(body=None if sent else b"hello"))
    return Case("expect", name, "HTTP/1.1 must die (2025), RFC 9110 §10.1.1", (raw,), allowed, relay)


EXPECT = cases(
    "expect",
    [
        _expect("100-continue", b"Expect: 100-continue"),
        _expect("in upper case", b"EXPECT: 100-CONTINUE"),
        _expect("twice", b"Expect: 100-continue", b"Expect: 100-continue"),
        _expect("a list", b"Expect: 100-continue, 100-continue"),
        _expect("a word before", b"Expect: y 100-continue"),
        _expect("something else", b"Expect: 200-ok"),
        _expect("empty", b"Expect:"),
        _expect("behind a blank", b"Expect:  100-continue"),
        _expect("without a body", sent=head(b"Expect: 100-continue")),
        _expect(
            "in HTTP/1.0",
            sent=post(b"Content-Length: 5", b"Expect: 100-continue", body=b"hello", version=b"HTTP/1.0"),
        ),
        _expect("of a chunked body", sent=chunked(_ONE_CHUNK + b"0\r\n\r\n", b"Expect: 100-continue")),
        _expect(
            "a request for a body",
            sent=post(b"Content-Length: %d" % len(SMUGGLED), b"Expect: 100-continue", body=SMUGGLED),
        ),
    ],
)

EVIL = 'm"\r\nX-Injected: y\r\n\r\nHTTP/1.1 200 OK\r\n'


def _document(name: str, document: object, path: bytes, relay: str = "forwarded") -> Case:
    """A completion whose text ends up in heads where relay translates it."""
    sent = sized(json.dumps(document).encode(), b"Content-Type: application/json", target=path)
    allowed = (refused(404, 422, sound=True), Forwarded(body=None))
    return Case("injection", name, "values that relay writes", (sent,), allowed, relay)


def _value(name: str, *fields: bytes, absent: tuple[bytes, ...] = ()) -> Case:
    allowed = (BAD, Forwarded(method=b"GET", absent=absent))
    return Case("injection", name, "values that relay writes", (head(*fields),), allowed, "forwarded")


_SAY = [{"role": "user", "content": "hi"}]
_MESSAGES = {"model": "m", "max_tokens": 5, "messages": _SAY}
INJECTION = cases(
    "injection",
    [
        _document("a model's name", {**_MESSAGES, "model": EVIL}, b"/v1/messages"),
        _document(
            "a model's name, not translated", {"model": EVIL, "messages": _SAY}, b"/v1/chat/completions"
        ),
        _document("a field's name", {**_MESSAGES, EVIL: 1}, b"/v1/messages"),
        _document("a field's name above ASCII", {**_MESSAGES, "\u2028\u00e9\U0001f600": 1}, b"/v1/messages"),
        _document("a field's name with NUL", {**_MESSAGES, "a\x00b\x7f": 1}, b"/v1/messages"),
        _document("a field's name of 70,000 letters", {**_MESSAGES, "x" * 70_000: 1}, b"/v1/messages"),
        _document("1,000 fields", {**_MESSAGES, **{f"x-{n}": 1 for n in range(1000)}}, b"/v1/messages"),
        _document("a field's name, responses", {"model": "m", "input": "hi", EVIL: 1}, b"/v1/responses"),
        _document("a stream's model", {**_MESSAGES, "model": EVIL, "stream": False}, b"/v1/messages"),
        _document("a wrong type", {**_MESSAGES, "messages": SECRET.decode()}, b"/v1/messages", relay="400"),
        _document(
            "a role",
            {**_MESSAGES, "messages": [{"role": SECRET.decode(), "content": "x"}]},
            b"/v1/messages",
            relay="400",
        ),
        _value("X-Request-Id, percent-encoded", b"X-Request-Id: 1%0d%0aX-Injected: y"),
        _value("X-Request-Id, above ASCII", "X-Request-Id: 1\u560d\u560aX-Injected: y".encode()),
        _value("X-Request-Id of 8,000 bytes", b"X-Request-Id: " + b"1" * 8000),
        _value("X-Forwarded-For", b"X-Forwarded-For: 10.0.0.1, evil%0d%0aX-Injected: y"),
        _value("X-Forwarded-For 50 times", *[b"X-Forwarded-For: 10.0.0.1"] * 50),
        _value("X-Forwarded-Host", b"X-Forwarded-Host: evil.test\\r\\nX-Injected: y"),
        _value("X-Relay-Id", b"X-Relay-Id: 1"),
        _value("Via", b"Via: 1.1 evil (\\r\\nX-Injected: y)"),
    ],
)

CASES = [*SIZES, *SLOW_AND_GONE, *EXPECT, *INJECTION]
