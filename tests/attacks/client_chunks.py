"""Chunked bodies of clients: sizes, extensions, line ends, trailers."""

from __future__ import annotations

from .cases import (
    BAD,
    CLOSE,
    SECRET,
    SMUGGLED,
    Allowed,
    Case,
    Dropped,
    Forwarded,
    cases,
    chunked,
    refused,
)

SYNTAX = "RFC 9112 §7.1"
FUNKY = "Funky chunks (2025)"
ENDLESS = "CVE-2023-39326"
AS_SAID = Forwarded(body=b"hello")
MAYBE = (BAD, AS_SAID)
LAST = b"0\r\n\r\n"


def _chunk(
    name: str,
    body: bytes,
    allowed: tuple[Allowed, ...] = (BAD,),
    relay: str = "400",
    source: str = SYNTAX,
    theme: str = "chunks",
) -> Case:
    return Case(theme, name, source, (chunked(body),), allowed, relay)


def _size(size: bytes, name: str, allowed: tuple[Allowed, ...] = (BAD,), relay: str = "400") -> Case:
    """A chunk of five bytes, whatever its size line says."""
    return _chunk(name, size + b"\r\nhello\r\n" + LAST, allowed, relay)


SIZES = [
    _size(b"", "no size"),
    _size(b"x", "a letter"),
    _size(b"5g", "a letter behind"),
    _size(b"+5", "+5"),
    _size(b"-5", "-5"),
    _size(b"0x5", "0x5"),
    _size(b"0_5", "0_5"),
    _size(b"5.0", "5.0"),
    _size(b"5,5", "5,5"),
    _size(b"5 5", "5 5"),
    _size(b'"5"', "quoted"),
    _size(b"5\x00", "a NUL behind"),
    _size(b"\x0b5", "a vertical tab before"),
    _size("\uff15".encode(), "a wide digit"),
    _size(SECRET, "a secret"),
    _size(b" 5", "a blank before"),
    _size(b"5 ", "a blank behind", MAYBE, "forwarded"),
    _size(b"5\t", "a tab behind", MAYBE, "forwarded"),
    _size(b"05", "a leading zero", MAYBE, "forwarded"),
    _size(b"0000000000000005", "16 digits", MAYBE),
    _size(b"10000000000000005", "2^64 and 5"),
    _size(b"ffffffffffffffff", "2^64 less 1"),
    _size(b"8000000000000005", "2^63 and 5"),
    _size(b"f" * 300, "300 digits"),
    Case(
        "chunks",
        "2^32 and 5",
        SYNTAX,
        (chunked(b"100000005\r\nhello\r\n" + LAST + SMUGGLED), CLOSE),
        (BAD, Dropped()),
        "silent",
        after=False,
    ),
]

LINE_ENDS = [
    _chunk("bare LF behind the size", b"5\nhello\r\n" + LAST, MAYBE),
    _chunk("bare CR behind the size", b"5\rhello\r\n" + LAST),
    _chunk("bare LF behind the data", b"5\r\nhello\n" + LAST, MAYBE),
    _chunk("bare CR behind the data", b"5\r\nhello\r" + LAST),
    _chunk("CR CR behind the data", b"5\r\nhello\r\r" + LAST),
    _chunk("nothing behind the data", b"5\r\nhello" + LAST),
    _chunk("two other bytes behind the data", b"5\r\nhelloXX" + LAST, source=FUNKY + ": TERM.SPILL"),
    _chunk("more data than its size", b"5\r\nhello world\r\n" + LAST),
    _chunk("the last chunk with bare LFs", b"5\r\nhello\r\n0\n\n", MAYBE),
    _chunk("a bare LF as the last line", b"5\r\nhello\r\n0\r\n\n", MAYBE),
    _chunk("an empty line between chunks", b"5\r\nhello\r\n\r\n" + LAST),
    _chunk("last chunk -0", b"5\r\nhello\r\n-0\r\n\r\n"),
    _chunk("last chunk 0x0", b"5\r\nhello\r\n0x0\r\n\r\n"),
    _chunk("last chunk 000", b"5\r\nhello\r\n000\r\n\r\n", MAYBE, "forwarded"),
    _chunk("last chunk with an extension", b"5\r\nhello\r\n0;a=b\r\n\r\n", MAYBE, "forwarded"),
]

EXTENSIONS = [
    _chunk("a semicolon alone", b"5;\r\nhello\r\n" + LAST, MAYBE, "forwarded"),
    _chunk("a quoted string with a semicolon", b'5;a="b;c"\r\nhello\r\n' + LAST, MAYBE, "forwarded"),
    _chunk("a quoted string with CR LF", b'5;a="\r\nhello\r\n' + LAST, MAYBE, "forwarded", FUNKY),
    _chunk("no size before", b";a=b\r\nhello\r\n" + LAST),
    _chunk("TERM.EXT: a bare LF inside", b"5;\nhello\r\n" + LAST, MAYBE, source=FUNKY + ": TERM.EXT"),
    _chunk(
        "TERM.EXT: a chunk behind the bare LF",
        b"2;\nxx\r\n%x\r\n%b\r\n" % (len(SMUGGLED), SMUGGLED) + LAST,
        (BAD, Forwarded(body=b"xx" + SMUGGLED)),
        source=FUNKY + ": TERM.EXT",
    ),
    _chunk("EXT.TERM: a bare CR inside", b"5;a\rb\r\nhello\r\n" + LAST, source=FUNKY + ": EXT.TERM"),
    _chunk("a NUL inside", b"5;a\x00b\r\nhello\r\n" + LAST, MAYBE),
    _chunk("a control byte inside", b"5;a\x01b\r\nhello\r\n" + LAST, MAYBE),
    _chunk("a secret inside, then rubbish", b"5;%b\r\nhello?\r\n" % SECRET + LAST),
    _chunk(
        "20,000 bytes",
        b"5;" + b"x" * 20_000 + b"\r\nhello\r\n" + LAST,
        (refused(413, 504), AS_SAID),
        source=ENDLESS,
    ),
    _chunk(
        "200 bytes in each of 1,000 chunks",
        (b"1;" + b"x" * 200 + b"\r\nh\r\n") * 1000 + LAST,
        (refused(413, 504), Forwarded(body=b"h" * 1000)),
        source=ENDLESS,
    ),
    Case(
        "chunks",
        "a million bytes without end",
        ENDLESS,
        (chunked(b"5;" + b"x" * 1_000_000),),
        (refused(408, 413, 504, silent=True),),
        "400",
        after=False,
    ),
]


def _trailer(
    name: str, lines: bytes, allowed: tuple[Allowed, ...] = (BAD,), relay: str = "400", source: str = SYNTAX
) -> Case:
    return _chunk(name, b"5\r\nhello\r\n0\r\n" + lines, allowed, relay, source, "trailers")


def _left_out(name: bytes, value: bytes = b"1") -> Case:
    """A field that steers framing or routing must not come after the body: it is refused, or left out."""
    steers = name not in (b"X-Forwarded-For", b"X-Api-Key")
    allowed = (BAD, Forwarded(body=b"hello", left=(name.lower(),) if steers else ()))
    source = "RFC 9110 §6.5.1"
    return _trailer(
        f"{name.decode()} among them", b"%b: %b\r\n\r\n" % (name, value), allowed, "forwarded", source
    )


TRAILERS = [
    _trailer("a line without a colon", b"no field\r\n\r\n", MAYBE),
    _trailer("a request", SMUGGLED, MAYBE),
    _trailer("folded", b"X: y\r\n z\r\n\r\n", MAYBE),
    _trailer("space before the colon", b"X : y\r\n\r\n", MAYBE),
    _trailer("a bare LF", b"X: y\n\r\n", MAYBE),
    _trailer("a bare CR", b"X: y\rZ: z\r\n\r\n", MAYBE),
    _trailer("a NUL", b"X: \x00\r\n\r\n", MAYBE),
    _trailer("an empty name", b": y\r\n\r\n", MAYBE),
    _trailer("a name that is no token", b"X(Y): z\r\n\r\n", MAYBE),
    _trailer("4,000 fields", b"X: y\r\n" * 4000 + b"\r\n", (refused(413, 431), AS_SAID)),
    _trailer("one of 20,000 bytes", b"X: " + b"y" * 20_000 + b"\r\n\r\n", (refused(413, 431), AS_SAID)),
    _left_out(b"Content-Length", b"0"),
    _left_out(b"Transfer-Encoding", b"chunked"),
    _left_out(b"Host", b"evil.test"),
    _left_out(b"Connection", b"close"),
    _left_out(b"X-Forwarded-For", b"10.0.0.1"),
    _left_out(b"X-Api-Key", SECRET),
    _left_out(b"Content_Length", b"0"),
    Case(
        "trailers",
        "a million bytes without end",
        ENDLESS,
        (chunked(b"0\r\nX: " + b"y" * 1_000_000),),
        (refused(408, 413, 431, 504, silent=True),),
        "400",
        after=False,
    ),
]

CASES = [*cases("chunks", [*SIZES, *LINE_ENDS, *EXTENSIONS]), *cases("trailers", TRAILERS)]
