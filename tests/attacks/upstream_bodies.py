"""Answers whose body is broken, cut, endless, early, or followed by what nobody asked for."""

from __future__ import annotations

from .cases import (
    BROKEN,
    CLOSE,
    GATEWAY,
    HOLD,
    POISON,
    RESET,
    SECRET,
    Allowed,
    Case,
    Flood,
    Passed,
    Pause,
    Refused,
    Step,
    answer,
    cases,
    head,
    post,
    refused,
)

HELLO = Passed()
MAYBE = (*BROKEN, HELLO)
FIVE = b"Content-Length: 5"
CHUNKED = b"Transfer-Encoding: chunked"
LAST = b"0\r\n\r\n"
ONE = b"5\r\nhello\r\n"
SPLIT = b"HTTP/1.1 200 OK\r\nX-For: /next-1\r\nContent-Length: 6\r\n\r\n" + POISON


def _chunked(
    name: str, *said: Step, allowed: tuple[Allowed, ...] = BROKEN, relay: str = "cut", growth: int = 0
) -> Case:
    """A chunked answer that begins as it should."""
    first = said[0] if isinstance(said[0], bytes) else b""
    rest = said[1:] if isinstance(said[0], bytes) else said
    return Case(
        "answer: chunks",
        name,
        "RFC 9112 §7.1",
        (head(),),
        allowed,
        relay,
        answer=(answer(CHUNKED, body=first), *rest),
        growth=growth,
    )


CHUNKS = cases(
    "answer: chunks",
    [
        _chunked("no size", b"\r\nhello\r\n" + LAST, relay="502"),
        *(
            _chunked(f"size {size.decode()}", size + b"\r\nhello\r\n" + LAST, relay="502")
            for size in (b"x", b"+5", b"-5", b"0x5", b"5g", b"5.0", b"10000000000000005", b"ffffffffffffffff")
        ),
        _chunked("a secret for a size", SECRET + b"\r\nhello\r\n" + LAST, relay="502"),
        _chunked("a size in the second chunk", ONE + b"x\r\nhello\r\n" + LAST, relay="502"),
        _chunked("bare LF behind the size", b"5\nhello\r\n" + LAST, allowed=MAYBE, relay="502"),
        _chunked("bare LF behind the data", b"5\r\nhello\n" + LAST, allowed=MAYBE, relay="502"),
        _chunked("nothing behind the data", b"5\r\nhello" + LAST, relay="502"),
        _chunked("more data than its size", b"5\r\nhello world\r\n" + LAST, relay="502"),
        _chunked("TERM.EXT: a bare LF in an extension", b"5;\nhello\r\n" + LAST, allowed=MAYBE, relay="502"),
        _chunked("a bare CR in an extension", b"5;a\rb\r\nhello\r\n" + LAST, relay="502"),
        _chunked("a NUL in an extension", b"5;a\x00b\r\nhello\r\n" + LAST, allowed=MAYBE, relay="502"),
        _chunked("an extension without end", b"5;", Pause(0.05), Flood(b"x" * 4096), HOLD, growth=32),
        _chunked(
            "extensions in 1,000 chunks",
            (b"1;" + b"x" * 200 + b"\r\nh\r\n") * 1000 + LAST,
            allowed=(*BROKEN, Passed(body=b"h" * 1000)),
            relay="502",
        ),
        _chunked("a size line without end", b"5", Pause(0.05), Flood(b"0" * 4096), HOLD, growth=32),
        _chunked(
            "a trailer without end",
            ONE + b"0\r\nX: ",
            Pause(0.05),
            Flood(b"x" * 4096),
            HOLD,
            growth=32,
        ),
        _chunked(
            "trailers without end",
            ONE + b"0\r\n",
            Pause(0.05),
            Flood(b"X: y\r\n" * 500),
            HOLD,
            growth=32,
        ),
        _chunked("a trailer that is none", ONE + b"0\r\nno field\r\n\r\n", allowed=MAYBE, relay="502"),
        _chunked("a trailer with a NUL", ONE + b"0\r\nX: \x00\r\n\r\n", allowed=MAYBE, relay="502"),
        _chunked(
            "a length among the trailers",
            ONE + b"0\r\nContent-Length: 0\r\n\r\n",
            allowed=(*BROKEN, Passed(left=(b"content-length",))),
            relay="passed 200",
        ),
        _chunked(
            "Set-Cookie among the trailers",
            ONE + b"0\r\nSet-Cookie: a=b\r\n\r\n",
            allowed=(*BROKEN, Passed(left=(b"set-cookie",))),
            relay="passed 200",
        ),
        _chunked("closed before the last chunk", ONE, CLOSE),
        _chunked("closed in a chunk", b"a\r\nhello", CLOSE),
        _chunked("closed in a size", ONE + b"5", CLOSE),
        _chunked("closed before the last line", ONE + b"0\r\n", CLOSE),
        _chunked("reset in a chunk", b"a\r\nhello", Pause(0.1), RESET),
        _chunked("silent for ever", ONE, HOLD),
    ],
)


def _after(
    name: str,
    *said: Step,
    allowed: tuple[Allowed, ...] = (HELLO,),
    relay: str = "passed 200",
    method: bytes = b"GET",
) -> Case:
    """Bytes beyond the answer: no client may get them."""
    source = "RFC 9112 §9.2, §6.3"
    bare = method == b"HEAD"
    return Case(
        "answer: what follows", name, source, (head(method=method),), allowed, relay, answer=said, bare=bare
    )


_EMPTY = Passed(body=b"")
FOLLOWING = cases(
    "answer: what follows",
    [
        _after("another answer", answer(FIVE, body=b"hello") + SPLIT),
        _after("another answer, soon", answer(FIVE, body=b"hello"), Pause(0.05), SPLIT),
        _after("another answer, chunked", answer(CHUNKED, body=ONE + LAST) + SPLIT),
        _after("another answer, chunked, soon", answer(CHUNKED, body=ONE + LAST), Pause(0.05), SPLIT),
        _after("a hundred answers", answer(FIVE, body=b"hello") + SPLIT * 100),
        _after("rubbish", answer(FIVE, body=b"hello") + POISON),
        _after("rubbish, soon", answer(FIVE, body=b"hello"), Pause(0.05), POISON),
        _after("a 100 Continue", answer(FIVE, body=b"hello") + b"HTTP/1.1 100 Continue\r\n\r\n" + SPLIT),
        _after(
            "a 408, as of a server that gave up waiting",
            answer(FIVE, body=b"hello"),
            Pause(0.05),
            b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 6\r\n\r\n" + POISON,
            CLOSE,
        ),
        _after("a line break", answer(FIVE, body=b"hello") + b"\r\n"),
        _after("more than its length", answer(FIVE, body=b"hello" + POISON)),
        _after(
            "a body for HEAD", answer(b"Content-Length: 6", body=POISON), allowed=(_EMPTY,), method=b"HEAD"
        ),
        _after(
            "a chunked body for HEAD",
            answer(CHUNKED, body=b"6\r\n%b\r\n" % POISON + LAST),
            allowed=(_EMPTY,),
            method=b"HEAD",
        ),
        _after(
            "a body for HEAD, soon",
            answer(b"Content-Length: 6"),
            Pause(0.05),
            POISON,
            allowed=(_EMPTY,),
            method=b"HEAD",
        ),
        _after(
            "204 with a body",
            answer(b"Content-Length: 6", body=POISON, status=b"204 No Content"),
            allowed=(GATEWAY, Passed(204, b"")),
            relay="passed 204",
        ),
        _after(
            "204 with a chunked body",
            answer(CHUNKED, body=b"6\r\n%b\r\n" % POISON + LAST, status=b"204 No Content"),
            allowed=(GATEWAY, Passed(204, b"", absent=(b"transfer-encoding",))),
            relay="passed 204",
        ),
        _after(
            "304 with a body",
            answer(b"Content-Length: 6", body=POISON, status=b"304 Not Modified"),
            allowed=(GATEWAY, Passed(304, b"")),
            relay="passed 304",
        ),
        _after(
            "304 with a chunked body",
            answer(CHUNKED, body=b"6\r\n%b\r\n" % POISON + LAST, status=b"304 Not Modified"),
            allowed=(GATEWAY, Passed(304, b"")),
            relay="passed 304",
        ),
        _after(
            "a length that is too great, closed",
            answer(b"Content-Length: 50", body=b"hello"),
            CLOSE,
            allowed=BROKEN,
            relay="cut",
        ),
        _after(
            "a length that is too great, held",
            answer(b"Content-Length: 50", body=b"hello"),
            HOLD,
            allowed=BROKEN,
            relay="cut",
        ),
        _after(
            "a length that is too great, reset",
            answer(b"Content-Length: 50", body=b"hello"),
            Pause(0.05),
            RESET,
            allowed=BROKEN,
            relay="cut",
        ),
        _after(
            "until close, then reset", answer(body=b"hello"), Pause(0.1), RESET, allowed=BROKEN, relay="cut"
        ),
        _after("until close", answer(body=b"hello"), CLOSE),
        _after("until close, never closed", answer(body=b"hello"), HOLD, allowed=BROKEN, relay="cut"),
    ],
)


def _early(name: str, sent: tuple[Step, ...], allowed: tuple[Allowed, ...], relay: str) -> Case:
    """The upstream answers when it has the head; the rest of the body is no request."""
    said = (answer(FIVE, body=b"hello"),)
    source = "HTTP/1.1 must die (2025), RFC 9112 §9.6"
    return Case("answer: early", name, source, sent, allowed, relay, answer=said, early=True, after=False)


_REST = head(target=b"/smuggled")
_PROMISE = post(b"Content-Length: %d" % (len(_REST) + 5), body=b"hello")
EARLY = cases(
    "answer: early",
    [
        _early(
            "the rest of the body looks like a request", (_PROMISE, Pause(0.05), _REST), MAYBE, "passed 200"
        ),
        _early(
            "the rest never comes",
            (_PROMISE,),
            (*MAYBE, Refused(frozenset({408}), silent=True)),
            "passed 200",
        ),
        _early(
            "Expect: 100-continue is answered by 200",
            (post(b"Content-Length: %d" % len(_REST), b"Expect: 100-continue"), Pause(0.05), _REST),
            MAYBE,
            "passed 200",
        ),
        _early(
            "the rest of a chunked body looks like a request",
            (post(CHUNKED, body=ONE), Pause(0.05), _REST),
            (*MAYBE, refused()),
            "passed 200",
        ),
    ],
)

CASES = [*CHUNKS, *FOLLOWING, *EARLY]
