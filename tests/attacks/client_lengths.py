"""Where a body ends, as Content-Length and Transfer-Encoding say it: CL.TE, TE.CL, TE.TE, CL.0."""

from __future__ import annotations

from .cases import (
    BAD,
    SECRET,
    SMUGGLED,
    Allowed,
    Case,
    Forwarded,
    cases,
    chunked,
    head,
    post,
    refused,
    sized,
)

HELLO = b"5\r\nhello\r\n0\r\n\r\n"
AS_SAID = Forwarded(body=b"hello")
LENGTH = "RFC 9112 §6.3, 9110 §8.6"
BOTH = "RFC 9112 §6.1, §6.3"
OBFUSCATED = "HTTP Desync Attacks (2019)"


def _length(name: str, *fields: bytes, allowed: tuple[Allowed, ...] = (BAD,), relay: str = "400") -> Case:
    """A body of five bytes, whatever its length field says."""
    return Case("lengths", name, LENGTH, (post(*fields, body=b"hello"),), allowed, relay)


def _one(value: bytes, name: str, *, legal: bool = False, relay: str = "400") -> Case:
    allowed = (BAD, AS_SAID) if legal else (BAD,)
    return _length(name, b"Content-Length: " + value, allowed=allowed, relay=relay)


LENGTHS = cases(
    "lengths",
    [
        _length(
            "the same twice",
            b"Content-Length: 5",
            b"Content-Length: 5",
            allowed=(BAD, AS_SAID),
            relay="forwarded",
        ),
        _length("5 and 6", b"Content-Length: 5", b"Content-Length: 6"),
        _length("0 and 5", b"content-length: 0", b"Content-Length: 5"),
        _length("5 and nothing", b"Content-Length: 5", b"Content-Length:"),
        _length("5 and 05", b"Content-Length: 5", b"Content-Length: 05", allowed=(BAD, AS_SAID)),
        _one(b"5, 5", "a list of the same", legal=True, relay="forwarded"),
        _one(b"5, 6", "a list of two"),
        _one(b"5,", "a list that ends empty"),
        _one(b",5", "a list that begins empty"),
        _one(b"+5", "+5"),
        _one(b"-5", "-5"),
        _one(b"-0", "-0"),
        _one(b"0x5", "0x5"),
        _one(b"1_0", "1_0"),
        _one(b"5.0", "5.0"),
        _one(b"5e0", "5e0"),
        _one(b"5 5", "5 5"),
        _one(b"5;q=1", "a parameter"),
        _one(b'"5"', "quoted"),
        _one(b"five", "a word"),
        _one(b"", "empty"),
        _one(b"   ", "blanks"),
        _one(SECRET, "a secret"),
        _one("\u0665".encode(), "an Arabic digit"),
        _one("\uff15".encode(), "a wide digit"),
        _one(b"00005", "leading zeros", legal=True, relay="forwarded"),
        _one(b"0000000000000000005", "19 digits", legal=True),
        _one(b"18446744073709551621", "2^64 and 5"),
        _one(b"340282366920938463463374607431768211461", "2^128 and 5"),
        _one(b"   5", "blanks before", legal=True, relay="forwarded"),
        _one(b"\t5\t", "tabs around", legal=True, relay="forwarded"),
        _one(b"5\x0b", "a vertical tab behind"),
        _one(b"\x0c5", "a form feed before"),
        _one(b"5\x00", "a NUL behind"),
        _one(b"\xa05", "a no-break space before"),
        _length("space before the colon", b"Content-Length : 5"),
        _length("tab before the colon", b"Content-Length\t: 5"),
        _length("a NUL in the name", b"Content-\x00Length: 5"),
        _length("folded", b"Content-Length:\r\n 5", allowed=(BAD, AS_SAID)),
        _length("behind a bare LF", b"X: y\nContent-Length: 5", allowed=(BAD, AS_SAID)),
        _length("behind a bare CR", b"X: y\rContent-Length: 5"),
        Case(
            "lengths",
            "named with an underscore",
            "CGI and WSGI read it as the real one",
            (post(b"Content_Length: 5"),),
            (BAD, Forwarded(absent=(b"content_length",))),
            "400",
        ),
        Case(
            "lengths",
            "more bytes than it says",
            LENGTH,
            (sized(b"hello") + b"rubbish\r\n\r\n",),
            (BAD, Forwarded(body=b"hello", rubbish=True)),
            "forwarded",
        ),
        Case(
            "lengths",
            "CL.0: GET with a body",
            "Browser-Powered Desync (2022)",
            (head(b"Content-Length: %d" % len(SMUGGLED)) + SMUGGLED,),
            (BAD, Forwarded(body=SMUGGLED)),
            "forwarded",
        ),
        Case(
            "lengths",
            "CL.0: OPTIONS with a body",
            "Browser-Powered Desync (2022)",
            (head(b"Content-Length: %d" % len(SMUGGLED), method=b"OPTIONS") + SMUGGLED,),
            (BAD, Forwarded(body=SMUGGLED)),
            "forwarded",
        ),
        Case(
            "lengths",
            "0.CL: a body without a length",
            "HTTP/1.1 must die (2025)",
            (post(body=b"hello"),),
            (refused(411), Forwarded(rubbish=True)),
            "forwarded",
        ),
    ],
)


def _both(
    name: str, *fields: bytes, body: bytes, source: str = BOTH, te_wins: bool = False, says: bytes = b"hello"
) -> Case:
    """Length and coding; where a reader lets the coding win, it must close afterwards."""
    winner = (Forwarded(body=says, close=True),) if te_wins else ()
    return Case("length and coding", name, source, (post(*fields, body=body),), (BAD, *winner), "400")


CL_TE = b"5\r\nhello\r\n0\r\n\r\n" + SMUGGLED
TE_CL = b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)
CHUNKED = b"Transfer-Encoding: chunked"

LENGTH_AND_CODING = cases(
    "length and coding",
    [
        _both("CL.TE", b"Content-Length: %d" % len(CL_TE), CHUNKED, body=CL_TE, te_wins=True),
        _both("CL.TE, coding first", CHUNKED, b"Content-Length: %d" % len(CL_TE), body=CL_TE, te_wins=True),
        _both("CL.TE, length of the chunks", b"Content-Length: 15", CHUNKED, body=HELLO, te_wins=True),
        _both("TE.CL", b"Content-Length: 4", CHUNKED, body=TE_CL, te_wins=True, says=SMUGGLED),
        _both("length 0 beside chunked", b"Content-Length: 0", CHUNKED, body=HELLO, te_wins=True),
        _both("length of nothing beside chunked", b"Content-Length:", CHUNKED, body=HELLO),
        _both("two lengths beside chunked", b"Content-Length: 5", b"Content-Length: 6", CHUNKED, body=HELLO),
        _both("in HTTP/1.0", b"Content-Length: 15", CHUNKED, body=HELLO, te_wins=True),
        *(
            _both(f"TE.TE: {name}", b"Content-Length: %d" % len(HELLO), field, body=HELLO, source=OBFUSCATED)
            for name, field in {
                "xchunked": b"Transfer-Encoding: xchunked",
                "identity": b"Transfer-Encoding: identity",
                "space before the colon": b"Transfer-Encoding : chunked",
                "vertical tab": b"Transfer-Encoding: \x0bchunked",
                "quoted": b'Transfer-Encoding: "chunked"',
                "behind a bare CR": b"X: y\rTransfer-Encoding: chunked",
                "NUL behind": b"Transfer-Encoding: chunked\x00",
            }.items()
        ),
        *(
            _both(
                f"TE.TE: {name}",
                b"Content-Length: %d" % len(HELLO),
                field,
                body=HELLO,
                source=OBFUSCATED,
                te_wins=True,
            )
            for name, field in {
                "folded": b"Transfer-Encoding:\r\n chunked",
                "behind a bare LF": b"X: y\nTransfer-Encoding: chunked",
                "upper case": b"TRANSFER-ENCODING: CHUNKED",
                "chunked and identity": CHUNKED + b"\r\nTransfer-Encoding: identity",
            }.items()
        ),
        Case(
            "length and coding",
            "TE.TE: named with an underscore",
            OBFUSCATED,
            (post(b"Content-Length: 15", b"Transfer_Encoding: chunked", body=HELLO),),
            (BAD, Forwarded(body=HELLO, absent=(b"transfer_encoding",))),
            "400",
        ),
    ],
)


def _coding(name: str, *fields: bytes, allowed: tuple[Allowed, ...] = (BAD,), relay: str = "400") -> Case:
    return Case("codings", name, "RFC 9112 §6.1, §7", (post(*fields, body=HELLO),), allowed, relay)


def _value(value: bytes, name: str, *, legal: bool = False, relay: str = "400") -> Case:
    return _coding(
        name, b"Transfer-Encoding: " + value, allowed=(BAD, AS_SAID) if legal else (BAD,), relay=relay
    )


CODINGS = cases(
    "codings",
    [
        _value(b"xchunked", "xchunked"),
        _value(b"chunkedx", "chunkedx"),
        _value(b"chun ked", "chun ked"),
        _value(b"identity", "identity"),
        _value(b"gzip", "gzip"),
        _value(b"gzip, chunked", "gzip, chunked"),
        _value(b"chunked, gzip", "chunked, gzip"),
        _value(b"chunked, identity", "chunked, identity"),
        _value(b"identity, chunked", "identity, chunked"),
        _value(b"chunked, chunked", "chunked, chunked"),
        _value(b"chunked,", "chunked and a comma", legal=True),
        _value(b", chunked", "a comma and chunked", legal=True),
        _value(b"chunked;q=1", "a parameter"),
        _value(b'"chunked"', "in quotes"),
        _value(b"'chunked'", "in single quotes"),
        _value(b"", "empty"),
        _value(SECRET, "a secret"),
        _value(b"\x0bchunked", "vertical tab before"),
        _value(b"chunked\x0c", "form feed behind"),
        _value(b"\x00chunked", "NUL before"),
        _value(b"chunked\x00", "NUL behind"),
        _value(b"\xa0chunked", "no-break space before"),
        _value(b"chunk\xc3\xa9d", "bytes above ASCII"),
        _value(b"\t chunked \t", "blanks around", legal=True, relay="forwarded"),
        _value(b"CHUNKED", "upper case", legal=True, relay="forwarded"),
        _value(b"cHuNkEd", "mixed case", legal=True, relay="forwarded"),
        _coding(
            "no space after the colon", b"Transfer-Encoding:chunked", allowed=(AS_SAID,), relay="forwarded"
        ),
        _coding("space before the colon", b"Transfer-Encoding : chunked"),
        _coding("tab before the colon", b"Transfer-Encoding\t: chunked"),
        _coding("twice", CHUNKED, CHUNKED, allowed=(BAD,)),
        _coding("identity, then chunked", b"Transfer-Encoding: identity", CHUNKED),
        _coding("chunked, then identity", CHUNKED, b"Transfer-Encoding: identity"),
        _coding("chunked, then nothing", CHUNKED, b"Transfer-Encoding:", allowed=(BAD, AS_SAID)),
        _coding("folded", b"Transfer-Encoding:\r\n chunked", allowed=(BAD, AS_SAID)),
        _coding("folded with a tab", b"Transfer-Encoding:\r\n\tchunked", allowed=(BAD, AS_SAID)),
        _coding(
            "behind a folded field",
            b"X: y\r\n Transfer-Encoding: chunked",
            allowed=(BAD, Forwarded(rubbish=True)),
        ),
        _coding("behind a bare LF", b"X: y\nTransfer-Encoding: chunked", allowed=(BAD, AS_SAID)),
        _coding("behind a bare CR", b"X: y\rTransfer-Encoding: chunked"),
        Case(
            "codings",
            "named with an underscore",
            "CGI and WSGI read it as the real one",
            (post(b"Transfer_Encoding: chunked"),),
            (BAD, Forwarded(absent=(b"transfer_encoding",))),
            "400",
        ),
        Case(
            "codings",
            "chunked in HTTP/1.0",
            "RFC 9112 §6.1",
            (post(CHUNKED, body=HELLO, version=b"HTTP/1.0"),),
            (BAD, Forwarded(body=b"hello", close=True)),
            "400",
        ),
        Case(
            "codings",
            "chunked in HTTP/1.0 that is kept alive",
            "RFC 9112 §6.1",
            (post(CHUNKED, b"Connection: keep-alive", body=HELLO, version=b"HTTP/1.0"),),
            (BAD, Forwarded(body=b"hello", close=True)),
            "400",
        ),
        Case(
            "codings",
            "GET with a chunked body",
            "Browser-Powered Desync (2022)",
            (head(CHUNKED) + TE_CL,),
            (BAD, Forwarded(body=SMUGGLED)),
            "forwarded",
        ),
        Case(
            "codings",
            "a request inside a chunk",
            "HTTP Desync Attacks (2019)",
            (chunked(TE_CL),),
            (Forwarded(body=SMUGGLED),),
            "forwarded",
        ),
    ],
)

CASES = [*LENGTHS, *LENGTH_AND_CODING, *CODINGS]
