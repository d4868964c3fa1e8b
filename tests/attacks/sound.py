"""Requests and answers that are sound: a proxy that refuses them is not safe, it is closed."""

from __future__ import annotations

from .cases import Case, Forwarded, Passed, Step, Trickle, answer, cases, chunked, head, post, sized

THEME = "sound"
GET = Forwarded(method=b"GET", target=b"/case")


def _sent(name: str, allowed: Forwarded, *sent: Step, bare: bool = False, good: int = 0) -> Case:
    return Case(THEME, name, "RFC 9112", sent, (allowed,), "forwarded", bare=bare, good=good)


def _told(name: str, said: bytes, allowed: Passed, *, method: bytes = b"GET") -> Case:
    relay = f"passed {allowed.status}"
    bare = method == b"HEAD"
    return Case(THEME, name, "RFC 9112", (head(method=method),), (allowed,), relay, answer=(said,), bare=bare)


CASES = cases(
    THEME,
    [
        _sent("GET", GET, head()),
        _sent("HEAD", Forwarded(method=b"HEAD"), head(method=b"HEAD"), bare=True),
        _sent("DELETE", Forwarded(method=b"DELETE"), head(method=b"DELETE")),
        _sent("length", Forwarded(body=b"hello"), sized(b"hello")),
        _sent("length 0", Forwarded(), sized(b"")),
        _sent("chunked", Forwarded(body=b"hello"), chunked(b"5\r\nhello\r\n0\r\n\r\n")),
        _sent(
            "chunked, a trailer", Forwarded(body=b"hello"), chunked(b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n")
        ),
        _sent(
            "chunked, an extension", Forwarded(body=b"hello"), chunked(b'5;a=b;c="d"\r\nhello\r\n0\r\n\r\n')
        ),
        _sent("a byte at a time", Forwarded(body=b"hello"), Trickle(sized(b"hello"), every=0.0)),
        _sent(
            "chunked, a byte at a time",
            Forwarded(body=b"hello"),
            Trickle(chunked(b"5\r\nhello\r\n0\r\n\r\n"), every=0.0),
        ),
        _sent("the fourth in a row", GET, head(), good=3),
        _sent("the 21st in a row", GET, head(), good=20),
        _sent(
            "HTTP/1.0 with a length",
            Forwarded(body=b"hello"),
            post(b"Content-Length: 5", body=b"hello", version=b"HTTP/1.0"),
        ),
        _sent(
            "a body that looks like a request",
            Forwarded(body=head(target=b"/smuggled")),
            sized(head(target=b"/smuggled")),
        ),
        _sent("bytes above ASCII in a value", GET, head("X-Name: Zo\u00eb".encode())),
        _told("an answer with a length", answer(b"Content-Length: 5", body=b"hello"), Passed()),
        _told(
            "a chunked answer",
            answer(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"),
            Passed(),
        ),
        _told("404", answer(b"Content-Length: 5", body=b"hello", status=b"404 Not Found"), Passed(404)),
        _told("204", answer(status=b"204 No Content"), Passed(204, b"")),
        _told(
            "a status without a reason", answer(b"Content-Length: 5", body=b"hello", status=b"200 "), Passed()
        ),
        _told("the head for HEAD", answer(b"Content-Length: 5"), Passed(body=b""), method=b"HEAD"),
        _told(
            "103 before 200",
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + answer(b"Content-Length: 5", body=b"hello"),
            Passed(),
        ),
    ],
)
