"""Request lines and field lines that are none, versions, rubbish on the port, what follows an error."""

from __future__ import annotations

from .cases import BAD, SECRET, Allowed, Case, Foreign, Forwarded, Step, cases, head, post, refused, sized

LINES = "RFC 9112 §2.2, §5"
LINE = "RFC 9112 §3"
VERSION = "RFC 9112 §2.3"
PASSED = Forwarded(method=b"GET", target=b"/case")
MAYBE = (BAD, PASSED)
HOST = b"Host: relay.test\r\n"


def _head(
    theme: str, name: str, source: str, raw: bytes, allowed: tuple[Allowed, ...] = (BAD,), relay: str = "400"
) -> Case:
    return Case(theme, name, source, (raw,), allowed, relay)


def _field(name: str, line: bytes, allowed: tuple[Allowed, ...] = (BAD,), relay: str = "400") -> Case:
    """One field line among sound ones."""
    return _head("field lines", name, LINES, head(line), allowed, relay)


FIELD_LINES = cases(
    "field lines",
    [
        _head("field lines", "bare LF everywhere", LINES, head().replace(b"\r\n", b"\n"), MAYBE),
        _head(
            "field lines", "bare LF behind the request line", LINES, head().replace(b"\r\n", b"\n", 1), MAYBE
        ),
        _field("bare LF behind one", b"X: y\nZ: z", MAYBE),
        _head("field lines", "bare LF as the last line", LINES, head()[:-2] + b"\n", MAYBE),
        _field("bare CR inside", b"X: y\rZ: z", MAYBE),
        _field("CR CR LF behind one", b"X: y\r", MAYBE),
        _head("field lines", "bare CR as the last line", LINES, head()[:-1]),
        _field("folded", b"X: y\r\n z", MAYBE),
        _field("folded with a tab", b"X: y\r\n\tz", MAYBE),
        _field("folded, nothing on the second line", b"X: y\r\n ", MAYBE),
        _field("folded, a field on the second line", b"X: y\r\n X-Injected: z", MAYBE),
        _head(
            "field lines",
            "folded request line",
            LINES,
            b"GET /case HTTP/1.1\r\n X: y\r\n" + HOST + b"\r\n",
            MAYBE,
        ),
        _head("field lines", "a blank before the first", LINES, b"GET /case HTTP/1.1\r\n " + HOST + b"\r\n"),
        _field("space before the colon", b"X : y"),
        _field("tab before the colon", b"X\t: y"),
        _field("no colon", b"no colon here", MAYBE),
        _field("no colon, a secret", SECRET, MAYBE),
        _field("only a colon", b":", MAYBE),
        _field("an empty name", b": y", MAYBE),
        _field("a blank for a name", b" : y", MAYBE),
        _field("a name with a blank", b"X Y: z"),
        _field("a name with brackets", b"X(Y): z", MAYBE),
        _field("a name with a slash", b"X/Y: z", MAYBE),
        _field("a name with an at sign", b"X@Y: z", MAYBE),
        _field("a name with a quote", b'X"Y": z', MAYBE),
        _field("a name above ASCII", "Sch\u00f6n: z".encode(), MAYBE),
        _field("a secret for a name, in brackets", b"(" + SECRET + b"): z", MAYBE),
        _field("NUL in a name", b"X\x00Y: z"),
        _field("NUL in a value", b"X: y\x00z"),
        _field("NUL in a secret", b"X-Api-Key: " + SECRET + b"\x00"),
        _field("control 0x01 in a value", b"X: y\x01z", MAYBE),
        _field("control 0x08 in a value", b"X: y\x08z", MAYBE),
        _field("control 0x0b in a value", b"X: y\x0bz", MAYBE),
        _field("control 0x1b in a value", b"X: y\x1b[2Jz", MAYBE),
        _field("control 0x1f in a value", b"X: y\x1fz", MAYBE),
        _field("control 0x7f in a value", b"X: y\x7fz", MAYBE),
        _field("no value", b"X:", (PASSED,), "forwarded"),
        _field("a colon in the value", b"X: y: z", (PASSED,), "forwarded"),
    ],
)


def _line(name: str, line: bytes, allowed: tuple[Allowed, ...] = (BAD,), relay: str = "400") -> Case:
    """This request line above sound fields."""
    return _head("request lines", name, LINE, line + b"\r\n" + HOST + b"\r\n", allowed, relay)


def _version(version: bytes, allowed: tuple[Allowed, ...] = (), relay: str = "505") -> Case:
    raw = b"GET /case " + version + b"\r\n" + HOST + b"\r\n"
    return _head("versions", version.decode(), VERSION, raw, (refused(505), *allowed), relay)


REQUEST_LINES = cases(
    "request lines",
    [
        _line("two blanks", b"GET  /case HTTP/1.1", MAYBE),
        _line("two blanks before the version", b"GET /case  HTTP/1.1", MAYBE),
        _line("tabs for blanks", b"GET\t/case\tHTTP/1.1", MAYBE),
        _line("a form feed for a blank", b"GET\x0c/case HTTP/1.1", MAYBE),
        _line("a blank before", b" GET /case HTTP/1.1", MAYBE),
        _line("a blank behind", b"GET /case HTTP/1.1 ", MAYBE),
        _line("four words", b"GET /case /smuggled HTTP/1.1"),
        _line("a NUL behind the method", b"GET\x00 /case HTTP/1.1"),
        _line("a method in brackets", b"G(T /case HTTP/1.1"),
        _line("a method above ASCII", b"G\xc3\x8aT /case HTTP/1.1"),
        _line("a secret for a method", b"(" + SECRET + b") /case HTTP/1.1"),
        _line("a method with a colon", b"GET: /case HTTP/1.1"),
        _line(
            "a method in lower case",
            b"get /case HTTP/1.1",
            (refused(405, 501), Forwarded(method=b"get")),
            "forwarded",
        ),
        _line(
            "an unknown method",
            b"BREW /case HTTP/1.1",
            (refused(405, 501), Forwarded(method=b"BREW")),
            "forwarded",
        ),
        _line("no target", b"GET HTTP/1.1"),
        _line("no version", b"GET /case", (refused(505),)),
        _line("only a method", b"GET"),
        _line("a BOM before", b"\xef\xbb\xbfGET /case HTTP/1.1"),
        _head(
            "request lines",
            "two empty lines before",
            "RFC 9112 §2.2",
            b"\r\n\r\n" + head(),
            MAYBE,
            "forwarded",
        ),
        _head("request lines", "four empty lines before", "RFC 9112 §2.2", b"\r\n" * 4 + head(), MAYBE),
        _head("request lines", "a bare LF before", "RFC 9112 §2.2", b"\n" + head(), MAYBE),
        _head("request lines", "a bare CR before", "RFC 9112 §2.2", b"\r" + head(), MAYBE),
        _head("request lines", "a NUL before", "RFC 9112 §2.2", b"\x00" + head()),
    ],
)

VERSIONS = cases(
    "versions",
    [
        _version(b"HTTP/1.2", (PASSED,)),
        _version(b"HTTP/1.9", (PASSED,)),
        _version(b"HTTP/0.9"),
        _version(b"HTTP/2.0"),
        _version(b"HTTP/3"),
        _version(b"HTTP/9.9"),
        _version(b"HTTP/1.10", (PASSED,)),
        _version(b"HTTP/11.1"),
        _version(b"HTTP/01.1", relay="505"),
        _version(b"HTTP/1.", relay="400"),
        _version(b"HTTP/1", relay="505"),
        _version(b"HTTP/1.1.1", relay="400"),
        _version(b"HTTP/1,1", relay="400"),
        _version(b"HTTP/+1.1", relay="400"),
        _version(b"HTTP/1.1x", relay="400"),
        _version(b"http/1.1", relay="400"),
        _version(b"Http/1.1", relay="400"),
        _version(b"HTTPS/1.1", relay="400"),
        _version(b"HTTP 1.1", relay="400"),
        _version(b"HTCPCP/1.0", relay="400"),
        _version(b"RTSP/1.0", relay="400"),
        _version(SECRET, relay="400"),
        Case(
            "versions",
            "HTTP/1.0 that asks to be kept alive",
            "RFC 9112 §9.3",
            (head(b"Connection: keep-alive", version=b"HTTP/1.0"),),
            (PASSED,),
            "forwarded",
        ),
        Case(
            "versions",
            "HTTP/1.0 without a Host",
            "RFC 9112 §3.2",
            (head(version=b"HTTP/1.0", host=None),),
            MAYBE,
            "forwarded",
        ),
    ],
)

_HELLO = bytes.fromhex("1603010200010001fc0303") + bytes(range(256)) * 2


def _rubbish(name: str, *sent: Step, relay: str = "400", after: bool = False) -> Case:
    allowed = refused(405, 408, 505, silent=True)
    return Case("rubbish", name, "not HTTP/1.1 at all", sent, (allowed, Foreign()), relay, after=after)


RUBBISH = cases(
    "rubbish",
    [
        _rubbish("a TLS hello", _HELLO),
        _rubbish("a TLS hello that waits for its answer", _HELLO[:11]),
        _rubbish("the HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", relay="505"),
        _rubbish(
            "the HTTP/2 preface with frames", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9), relay="505"
        ),
        _rubbish("SSH", b"SSH-2.0-OpenSSH_9.2\r\n"),
        _rubbish("SMTP", b"EHLO relay.test\r\n"),
        _rubbish("Redis", b"*1\r\n$4\r\nPING\r\n"),
        _rubbish("the PROXY protocol", b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n" + head()),
        _rubbish("an answer", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", after=True),
        _rubbish("JSON", b'{"model": "m", "key": "%b"}\r\n\r\n' % SECRET),
        _rubbish("NULs", bytes(4096)),
        _rubbish("bytes above ASCII", b"\xff" * 4096),
        _rubbish("line feeds", b"\n" * 4096),
        _rubbish("carriage returns", b"\r" * 4096),
        _rubbish("blanks", b" " * 4096),
        _rubbish("colons", b":" * 4096 + b"\r\n\r\n"),
    ],
)


def _then(name: str, *sent: bytes, relay: str = "400", good: int = 0, status: int = 400) -> Case:
    """Sound requests, then a bad one, then others that must not be served."""
    return Case("behind an error", name, "RFC 9112 §9.3.2", sent, (refused(status),), relay, good=good)


BEHIND = cases(
    "behind an error",
    [
        _then("a sound request", head(b"X : y")),
        _then("ten sound requests", head(b"X : y") + head(target=b"/smuggled") * 10),
        _then("a sound one before, one behind", head(b"X : y"), good=1),
        _then("five sound ones before", head(b"X: y\x00"), good=5),
        _then("another bad one", head(b"X : y") + head(b"Y : z")),
        _then("a bad version, then a sound request", head(version=b"HTTP/7.7"), relay="505", status=505),
        _then(
            "a bad body, then a sound request",
            post(b"Transfer-Encoding: chunked", body=b"x\r\n") + head(target=b"/smuggled"),
        ),
        _then("a body before, a bad head behind", head(b"Content-Length: z"), good=2),
        Case(
            "behind an error",
            "a bad head behind a body",
            "RFC 9112 §9.3.2",
            (sized(b"hello") + head(b"X : y", target=b"/smuggled"),),
            (Forwarded(body=b"hello", rubbish=True),),
            "forwarded",
        ),
    ],
)

CASES = [*FIELD_LINES, *REQUEST_LINES, *VERSIONS, *RUBBISH, *BEHIND]
