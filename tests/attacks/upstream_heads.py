"""Answers whose head is wrong, split, endless, or said in another way than it is framed."""

from __future__ import annotations

from .cases import (
    CLOSE,
    GATEWAY,
    HOLD,
    POISON,
    SECRET,
    Allowed,
    Case,
    Cut,
    Flood,
    Passed,
    Refused,
    Step,
    Trickle,
    answer,
    cases,
    head,
)

HELLO = Passed()
MAYBE = (GATEWAY, HELLO)
ENDLESS = (Refused(GATEWAY.statuses, silent=True),)
FIVE = b"Content-Length: 5"
WEBSOCKET = (b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
SPLIT = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n" + POISON


def _case(
    theme: str,
    name: str,
    source: str,
    *said: Step,
    allowed: tuple[Allowed, ...] = (GATEWAY,),
    relay: str = "502",
    growth: int = 0,
) -> Case:
    return Case(theme, name, source, (head(),), allowed, relay, answer=said, growth=growth)


def _field(name: str, line: bytes, allowed: tuple[Allowed, ...] = (GATEWAY,), relay: str = "502") -> Case:
    """One field line among sound ones; a proxy may also replace it or leave it out."""
    said = answer(line, FIVE, body=b"hello")
    return _case("answer: heads", name, "RFC 9112 §2.2, §5", said, allowed=allowed, relay=relay)


def _line(name: str, line: bytes, allowed: tuple[Allowed, ...] = (GATEWAY,), relay: str = "502") -> Case:
    said = answer(FIVE, body=b"hello").replace(b"HTTP/1.1 200 OK", line)
    return _case("answer: statuses", name, "RFC 9112 §4, RFC 9110 §15", said, allowed=allowed, relay=relay)


HEADS = cases(
    "answer: heads",
    [
        _case(
            "answer: heads",
            "bare LF everywhere",
            "RFC 9112 §2.2",
            answer(FIVE, body=b"hello").replace(b"\r\n", b"\n"),
            allowed=MAYBE,
        ),
        _field("bare LF behind one", b"X: y\nZ: z", MAYBE),
        _case(
            "answer: heads",
            "response splitting behind bare LFs",
            "RFC 9112 §2.2",
            answer(FIVE, b"X: y\n\nhello" + SPLIT),
            allowed=MAYBE,
        ),
        _field("bare CR inside", b"X: y\rX-Injected: z", MAYBE),
        _field("response splitting behind bare CRs", b"X: y\r\r" + SPLIT.replace(b"\r\n", b"\r"), (GATEWAY,)),
        _field("folded", b"X: y\r\n z", MAYBE),
        _field("folded, a field on the second line", b"X: y\r\n X-Injected: z", MAYBE),
        _field("folded length", b"Content-Length:\r\n 5", MAYBE),
        _field("NUL in a value", b"X: y\x00z", MAYBE),
        _field("NUL in a secret", b"Set-Cookie: key=" + SECRET + b"\x00", MAYBE),
        _field("NUL in a name", b"X\x00Y: z", MAYBE),
        _field("control 0x01 in a value", b"X: y\x01z", MAYBE),
        _field("control 0x1b in a value", b"X: y\x1b[2Jz", MAYBE),
        _field("control 0x7f in a value", b"X: y\x7fz", MAYBE),
        _field("space before the colon", b"X : y", MAYBE),
        _field("an empty name", b": y", MAYBE),
        _field("no colon", b"no colon here", MAYBE),
        _field("a secret without a colon", SECRET, MAYBE),
        _field("a name with brackets", b"X(Y): z", MAYBE),
        _field("a name above ASCII", "Sch\u00f6n: z".encode(), MAYBE),
        _field("bytes above ASCII in a value", "X: Zo\u00eb".encode(), (HELLO,), "passed 200"),
        _field("Connection names the length", b"Connection: content-length", MAYBE, "passed 200"),
        _field(
            "Connection names a field",
            b"Connection: x-hop\r\nX-Hop: y",
            (Passed(absent=(b"x-hop",)),),
            "passed 200",
        ),
        _field("Keep-Alive", b"Keep-Alive: timeout=600", (Passed(absent=(b"keep-alive",)),), "passed 200"),
        _field(
            "Upgrade unasked",
            b"Connection: upgrade\r\nUpgrade: h2c",
            (Passed(absent=(b"upgrade",)),),
            "passed 200",
        ),
        _case(
            "answer: heads",
            "an empty line before it",
            "RFC 9112 §2.2",
            b"\r\n" + answer(FIVE, body=b"hello"),
            allowed=MAYBE,
        ),
        _case("answer: heads", "HTTP/0.9", "RFC 9112 §2", b"hello" + POISON, CLOSE),
        _case("answer: heads", "HTML and no head", "RFC 9112 §2", b"<html>%b</html>\r\n\r\n" % POISON, CLOSE),
        _case(
            "answer: heads",
            "a TLS alert, held",
            "RFC 9112 §2",
            b"\x15\x03\x01\x00\x02\x02\x46",
            HOLD,
            relay="502",
        ),
        _case("answer: heads", "SSH, held", "RFC 9112 §2", b"SSH-2.0-OpenSSH_9.2\r\n", HOLD, relay="502"),
        _case("answer: heads", "SMTP, held", "RFC 9112 §2", b"220 relay.test ESMTP\r\n", HOLD, relay="502"),
        _case("answer: heads", "closed at once", "RFC 9110 §15.6.3", CLOSE),
        _case("answer: heads", "closed in the head", "RFC 9110 §15.6.3", answer(FIVE)[:-2], CLOSE),
        _case("answer: heads", "closed in the status line", "RFC 9110 §15.6.3", b"HTTP/1.1 20", CLOSE),
        _case("answer: heads", "a request", "RFC 9112 §4", head(target=b"/smuggled"), HOLD),
    ],
)

STATUSES = cases(
    "answer: statuses",
    [
        _line("000", b"HTTP/1.1 000 None"),
        _line("099", b"HTTP/1.1 099 Odd"),
        _line("99", b"HTTP/1.1 99 Odd"),
        _line("20", b"HTTP/1.1 20 OK"),
        _line("2000", b"HTTP/1.1 2000 OK"),
        _line("600", b"HTTP/1.1 600 Odd", (GATEWAY, Passed(600))),
        _line("999", b"HTTP/1.1 999 Odd", (GATEWAY, Passed(999))),
        _line("-200", b"HTTP/1.1 -200 OK"),
        _line("2e2", b"HTTP/1.1 2e2 OK"),
        _line("two hundred in other digits", "HTTP/1.1 \u0662\u0660\u0660 OK".encode()),
        _line("no status", b"HTTP/1.1 OK"),
        _line("nothing behind the version", b"HTTP/1.1"),
        _line("no reason, no blank", b"HTTP/1.1 200", MAYBE, "passed 200"),
        _line("two blanks before the status", b"HTTP/1.1  200 OK", MAYBE),
        _line("tabs for blanks", b"HTTP/1.1\t200\tOK", MAYBE),
        _line("a NUL in the reason", b"HTTP/1.1 200 O\x00K", MAYBE),
        _line("a bare CR in the reason", b"HTTP/1.1 200 OK\rX-Injected: y", MAYBE),
        _line("a bare LF behind the reason", b"HTTP/1.1 200 OK\nX: y", MAYBE),
        _line("a reason of 70,000 bytes", b"HTTP/1.1 200 " + b"O" * 70_000, MAYBE),
        _line("HTTP/1.0", b"HTTP/1.0 200 OK", (HELLO,), "passed 200"),
        _line("HTTP/1.2", b"HTTP/1.2 200 OK", MAYBE),
        _line("HTTP/2.0", b"HTTP/2.0 200 OK", MAYBE),
        _line("HTTP/0.9", b"HTTP/0.9 200 OK", MAYBE),
        _line("HTTP/1.", b"HTTP/1. 200 OK"),
        _line("http/1.1", b"http/1.1 200 OK"),
        _line("ICY", b"ICY 200 OK", MAYBE),
        _line("RTSP/1.0", b"RTSP/1.0 200 OK"),
        _line("101 unasked", b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: evil"),
        _line("101 unasked, nothing named", b"HTTP/1.1 101 Switching Protocols"),
        Case(
            "answer: statuses",
            "101 that names another protocol",
            "RFC 9110 §7.8",
            (head(b"Connection: Upgrade", b"Upgrade: websocket", *WEBSOCKET),),
            (GATEWAY,),
            "502",
            after=False,
            answer=(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",),
        ),
        _case(
            "answer: statuses",
            "a thousand 100 before 200",
            "RFC 9110 §15.2",
            b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,
            answer(FIVE, body=b"hello"),
            allowed=MAYBE,
            relay="passed 200",
        ),
        _case(
            "answer: statuses",
            "ten 103 before 200",
            "RFC 8297",
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 10,
            answer(FIVE, body=b"hello"),
            allowed=MAYBE,
            relay="passed 200",
        ),
        _case(
            "answer: statuses",
            "100 with a length and a body",
            "RFC 9110 §15.2",
            b"HTTP/1.1 100 Continue\r\nContent-Length: 6\r\n\r\n" + POISON + answer(FIVE, body=b"hello"),
        ),
        _case(
            "answer: statuses",
            "199",
            "RFC 9110 §15.2",
            b"HTTP/1.1 199 Odd\r\n\r\n",
            answer(FIVE, body=b"hello"),
            allowed=MAYBE,
            relay="passed 200",
        ),
        _case(
            "answer: statuses",
            "100 for ever",
            "RFC 9110 §15.2",
            Flood(b"HTTP/1.1 100 Continue\r\n\r\n" * 20),
            HOLD,
            allowed=ENDLESS,
            growth=32,
        ),
        _case(
            "answer: statuses",
            "103 for ever, 8 KiB each",
            "RFC 8297",
            Flood(b"HTTP/1.1 103 Early Hints\r\nLink: " + b"x" * 8000 + b"\r\n\r\n"),
            HOLD,
            allowed=ENDLESS,
            growth=32,
        ),
        _case(
            "answer: statuses",
            "100 and then nothing",
            "RFC 9110 §15.2",
            b"HTTP/1.1 100 Continue\r\n\r\n",
            HOLD,
            allowed=(*ENDLESS, GATEWAY),
            relay="504",
        ),
    ],
)


def _large(name: str, *said: Step, allowed: tuple[Allowed, ...] = (GATEWAY,), relay: str = "502") -> Case:
    return _case("answer: sizes", name, "RFC 9110 §15.6.3", *said, allowed=allowed, relay=relay, growth=32)


SIZES = cases(
    "answer: sizes",
    [
        _large("a field of 70,000 bytes", answer(b"X: " + b"y" * 70_000, FIVE, body=b"hello"), allowed=MAYBE),
        _large("10,000 fields", answer(*[b"X: y"] * 10_000, FIVE, body=b"hello"), allowed=MAYBE),
        _large("1,000 cookies", answer(*[b"Set-Cookie: a=b"] * 1000, FIVE, body=b"hello"), allowed=MAYBE),
        _large("a field without end", answer()[:-2] + b"X: ", Flood(b"y" * 4096), HOLD),
        _large("fields without end", answer()[:-2], Flood(b"X: y\r\n" * 500), HOLD),
        _large("a status line without end", b"HTTP/1.1 200 ", Flood(b"O" * 4096), HOLD),
        _large("bytes that are no head, without end", Flood(b"x" * 4096), HOLD),
        _large("a head that stops", answer(FIVE)[:-2], HOLD, relay="504"),
        _large("a head that trickles", Trickle(answer(FIVE)[:-2] + b"X: " + b"y" * 1000), HOLD, relay="504"),
        _large("nothing", HOLD, relay="504"),
    ],
)


def _framed(
    name: str, *fields: bytes, body: bytes, allowed: tuple[Allowed, ...] = (GATEWAY,), relay: str = "502"
) -> Case:
    said = answer(*fields, body=body)
    return _case("answer: framing", name, "RFC 9112 §6", said, allowed=allowed, relay=relay)


CHUNKED = b"Transfer-Encoding: chunked"
BODY = b"5\r\nhello\r\n0\r\n\r\n"
LEFT = b"5\r\nhello\r\n0\r\n\r\n" + POISON
FRAMING = cases(
    "answer: framing",
    [
        _framed("the same length twice", FIVE, FIVE, body=b"hello", allowed=MAYBE, relay="passed 200"),
        _framed("two lengths", FIVE, b"Content-Length: 11", body=b"hello" + POISON),
        _framed(
            "a list of the same",
            b"Content-Length: 5, 5",
            body=b"hello",
            allowed=(*MAYBE, Cut()),
            relay="passed 200",
        ),
        _framed("a list of two", b"Content-Length: 5, 11", body=b"hello" + POISON),
        *(
            _framed(f"length {value.decode()}", b"Content-Length: " + value, body=b"hello")
            for value in (b"+5", b"-5", b"0x5", b"1_0", b"5.0", b"five", b"18446744073709551621")
        ),
        _framed("length with a NUL", b"Content-Length: 5\x00", body=b"hello"),
        _framed("a secret for a length", b"Content-Length: " + SECRET, body=b"hello"),
        _framed(
            "a space before the colon of the length", b"Content-Length : 5", body=b"hello", allowed=MAYBE
        ),
        _framed("length and chunked", b"Content-Length: 5", CHUNKED, body=BODY, allowed=MAYBE),
        _framed("chunked and a length", CHUNKED, b"Content-Length: %d" % len(LEFT), body=LEFT, allowed=MAYBE),
        _framed("chunked twice", CHUNKED, CHUNKED, body=BODY, allowed=MAYBE),
        _framed("identity, chunked", b"Transfer-Encoding: identity, chunked", body=BODY, allowed=MAYBE),
        _framed(
            "gzip, chunked",
            b"Transfer-Encoding: gzip, chunked",
            body=BODY,
            allowed=(GATEWAY, Passed(body=None)),
        ),
        _framed("xchunked", b"Transfer-Encoding: xchunked", body=BODY),
        _framed("a vertical tab before chunked", b"Transfer-Encoding: \x0bchunked", body=BODY),
        _framed("folded chunked", b"Transfer-Encoding:\r\n chunked", body=BODY, allowed=MAYBE),
        _framed(
            "a space before the colon of chunked", b"Transfer-Encoding : chunked", body=BODY, allowed=MAYBE
        ),
        _case(
            "answer: framing",
            "chunked in HTTP/1.0",
            "RFC 9112 §6.1",
            answer(CHUNKED, body=BODY, version=b"HTTP/1.0"),
            CLOSE,
            allowed=MAYBE,
        ),
        _case(
            "answer: framing",
            "length and chunked in HTTP/1.0",
            "RFC 9112 §6.1",
            answer(FIVE, CHUNKED, body=BODY, version=b"HTTP/1.0"),
            CLOSE,
            allowed=MAYBE,
        ),
        _case(
            "answer: framing",
            "an unknown coding, until close",
            "RFC 9112 §6.3",
            answer(b"Transfer-Encoding: xchunked", body=b"hello"),
            CLOSE,
            allowed=(*ENDLESS, Cut(), HELLO),
        ),
    ],
)

CASES = [*HEADS, *STATUSES, *SIZES, *FRAMING]
