"""What a request is for: forms of the target, Host, and fields that ``Connection`` or ``Upgrade`` name."""

from __future__ import annotations

from .cases import BAD, SECRET, Allowed, Case, Forwarded, cases, head, refused, sized

FORMS = "RFC 9112 §3.2"
PASSED = Forwarded(method=b"GET", target=b"/case")
SAME = (BAD, Forwarded(method=b"GET", target=b"/case"))
# The authority of an absolute target may stay, where the upstream gets it with a Host that says the same.
ABSOLUTE = (*SAME, Forwarded(method=b"GET", target=b"http://relay.test/case"))
OTHER_HOST = (*SAME, Forwarded(target=b"http://evil.test/case"))


def _target(
    name: str,
    target: bytes,
    allowed: tuple[Allowed, ...] = (BAD,),
    relay: str = "400",
    method: bytes = b"GET",
) -> Case:
    return Case("targets", name, FORMS, (head(method=method, target=target),), allowed, relay)


def _as_it_is(name: str, target: bytes) -> Case:
    """Odd, but a path: passed as it came, or refused; never decoded."""
    return _target(name, target, (refused(403, 404), Forwarded(target=target)), "forwarded")


TARGETS = cases(
    "targets",
    [
        _target("absolute, the same host", b"http://relay.test/case", ABSOLUTE, "forwarded"),
        _target(
            "absolute, in upper case",
            b"HTTP://RELAY.TEST/case",
            (*ABSOLUTE, Forwarded(target=b"HTTP://RELAY.TEST/case")),
            "forwarded",
        ),
        _target("absolute, another host", b"http://evil.test/case", OTHER_HOST),
        _target(
            "absolute, another port",
            b"http://relay.test:81/case",
            (*SAME, Forwarded(target=b"http://relay.test:81/case")),
        ),
        _target("absolute, a user", b"http://user:%b@relay.test/case" % SECRET, SAME),
        _target("absolute, no host", b"http:///case"),
        _target("absolute, one slash", b"http:/case"),
        _target("absolute, a bad port", b"http://relay.test:x/case"),
        _target("absolute, a backslash", b"http://relay.test\\@evil.test/case", SAME),
        _target("absolute, a fragment", b"http://relay.test/case#x", ABSOLUTE),
        _target("ftp", b"ftp://relay.test/case", (BAD, PASSED)),
        _target("file", b"file:///case", (BAD, PASSED)),
        _target("javascript", b"javascript:alert(1)"),
        _target("no slash", b"case"),
        _target("a query alone", b"?case"),
        _target("a host and a port", b"relay.test:80"),
        _target("an asterisk for GET", b"*"),
        _target("an asterisk and more", b"*/case"),
        _target("CONNECT", b"relay.test:443", (refused(405, 501),), method=b"CONNECT"),
        _target("CONNECT with a path", b"/case", (refused(405, 501),), method=b"CONNECT"),
        _target("CONNECT with a URL", b"http://relay.test/case", (refused(405, 501),), method=b"CONNECT"),
        _target("a fragment", b"/case#x", SAME),
        _target("a fragment with a secret", b"/case#" + SECRET, SAME),
        _target("a bare blank", b"/case x"),
        _target("a tab", b"/case\tx"),
        _target("a NUL", b"/case\x00x"),
        _target("a bare CR", b"/case\rx"),
        _target("control 0x01", b"/case\x01x"),
        _target("control 0x7f", b"/case\x7fx"),
        _target("bytes above ASCII", "/case/\u20ac".encode(), (BAD, Forwarded(target=b"/case/%E2%82%AC"))),
        _target(
            "bytes above ASCII in the query",
            "/case?q=\u20ac".encode(),
            (BAD, Forwarded(target=b"/case?q=%E2%82%AC")),
        ),
        _as_it_is("CR LF, percent-encoded", b"/case%0d%0aX-Injected:%20y"),
        _as_it_is("a request, percent-encoded", b"/case%20HTTP/1.1%0d%0a%0d%0aGET%20/x"),
        _as_it_is("NUL, percent-encoded", b"/case%00"),
        _as_it_is("a broken percent-encoding", b"/case%zz"),
        _as_it_is("a backslash", b"/case\\x"),
        _as_it_is("braces and pipes", b"/case/{a}|b^`"),
        _as_it_is("two slashes before", b"//relay.test/case"),
        _as_it_is("a semicolon and dots", b"/case/..;/x"),
        _target("dot segments", b"/x/../case", (*SAME, Forwarded(target=b"/x/../case")), "forwarded"),
        _target(
            "dot segments, encoded",
            b"/x/%2e%2e/case",
            (*SAME, Forwarded(target=b"/x/%2e%2e/case")),
            "forwarded",
        ),
        _target(
            "dot segments above the root",
            b"/../../case",
            (*SAME, Forwarded(target=b"/../../case")),
            "forwarded",
        ),
    ],
)


def _host(name: str, *lines: bytes, allowed: tuple[Allowed, ...] = (BAD,), relay: str = "400") -> Case:
    return Case("hosts", name, "RFC 9110 §7.2, RFC 9112 §3.2", (head(*lines, host=None),), allowed, relay)


def _value(name: str, value: bytes, *, legal: bool = False) -> Case:
    """One Host with this value; a proxy that writes its own may pass the request on."""
    return _host(name, b"Host: " + value, allowed=SAME, relay="forwarded" if legal else "400")


HOSTS = cases(
    "hosts",
    [
        _host("none"),
        _host("two", b"Host: relay.test", b"Host: evil.test"),
        _host("the same twice", b"Host: relay.test", b"Host: relay.test"),
        _host("one and an empty one", b"Host: relay.test", b"Host:"),
        _host("a blank before the colon", b"Host : relay.test"),
        _host("folded", b"Host:\r\n relay.test", allowed=SAME),
        _host("on a folded line", b"X: y\r\n Host: relay.test"),
        _host("behind a bare LF", b"X: y\nHost: relay.test", allowed=SAME),
        _value("empty", b"", legal=True),
        _value("a path", b"relay.test/evil"),
        _value("a user", b"user@relay.test"),
        _value("a blank", b"relay.test evil.test"),
        _value("a tab", b"relay.test\tevil.test"),
        _value("a port that is none", b"relay.test:x"),
        _value("a port of six digits", b"relay.test:808080"),
        _value("a negative port", b"relay.test:-1"),
        _value("two ports", b"relay.test:80:80"),
        _value("an empty port", b"relay.test:", legal=True),
        _value("half an IPv6 address", b"[::1"),
        _value("more behind an IPv6 address", b"[::1]evil.test"),
        _value("brackets without an address", b"[relay.test]"),
        _value("an IPv6 address without brackets", b"::1"),
        _value("an IPv6 address", b"[::1]:80", legal=True),
        _value("a quote", b'relay.test"'),
        _value("a tag", b"<script>alert(1)</script>"),
        _value("a backslash", b"relay.test\\evil.test"),
        _value("a fragment", b"relay.test#evil.test"),
        _value("a query", b"relay.test?evil.test"),
        _value("a URL", b"http://relay.test"),
        _value("bytes above ASCII", "r\u00e9lay.test".encode()),
        _value("a NUL", b"relay.test\x00evil.test"),
        _value("control 0x01", b"relay.test\x01"),
        _value("a broken percent-encoding", b"relay%zz.test"),
        _value("a secret and a slash", SECRET + b"/"),
    ],
)

NOMINATED = "RFC 9110 §7.6.1"
NAMED = Forwarded(body=b"hello")


def _nominated(
    name: str, *fields: bytes, allowed: Forwarded = NAMED, maybe: bool = False, theme: str = "nominated"
) -> Case:
    """A sound POST of five bytes with these fields beside its length."""
    outcomes: tuple[Allowed, ...] = (BAD, allowed) if maybe else (allowed,)
    return Case(theme, name, NOMINATED, (sized(b"hello", *fields),), outcomes, "forwarded")


CONNECTION = cases(
    "nominated",
    [
        _nominated("content-length", b"Connection: content-length", maybe=True),
        _nominated("host", b"Connection: host", maybe=True),
        _nominated("authorization", b"Connection: authorization", maybe=True),
        _nominated("content-type", b"Connection: content-type", b"Content-Type: text/plain", maybe=True),
        _nominated("cookie", b"Connection: cookie", b"Cookie: a=b", maybe=True),
        _nominated("connection", b"Connection: connection", maybe=True),
        _nominated(
            "via and x-forwarded-for",
            b"Connection: via, x-forwarded-for",
            b"X-Forwarded-For: 10.0.0.1",
            maybe=True,
        ),
        _nominated("close and content-length", b"Connection: close, content-length", maybe=True),
        _nominated(
            "a field of this hop",
            b"Connection: X-Hop",
            b"X-Hop: y",
            allowed=Forwarded(body=b"hello", absent=(b"x-hop",)),
        ),
        _nominated(
            "in a second line",
            b"Connection: keep-alive",
            b"Connection: x-hop",
            b"X-Hop: y",
            allowed=Forwarded(body=b"hello", absent=(b"x-hop",)),
        ),
        _nominated("commas alone", b"Connection: , ,,", maybe=True),
        _nominated("a hundred names", b"Connection: " + b", ".join(b"x-%d" % n for n in range(100))),
        _nominated("no token", b'Connection: (x), "y"', maybe=True),
        _nominated(
            "Keep-Alive", b"Keep-Alive: timeout=5", allowed=Forwarded(body=b"hello", absent=(b"keep-alive",))
        ),
        _nominated(
            "Proxy-Connection",
            b"Proxy-Connection: keep-alive",
            allowed=Forwarded(body=b"hello", absent=(b"proxy-connection",)),
        ),
        _nominated("TE", b"TE: chunked", b"Connection: TE", allowed=Forwarded(body=b"hello")),
        _nominated(
            "Proxy (httpoxy, CVE-2016-5385)",
            b"Proxy: http://evil.test/",
            allowed=Forwarded(body=b"hello", absent=(b"proxy",)),
        ),
        Case(
            "nominated",
            "transfer-encoding",
            NOMINATED,
            (
                head(b"Transfer-Encoding: chunked", b"Connection: transfer-encoding", method=b"POST")
                + b"5\r\nhello\r\n0\r\n\r\n",
            ),
            (BAD, NAMED),
            "forwarded",
        ),
    ],
)


def _upgrade(
    name: str, *fields: bytes, absent: tuple[bytes, ...] = (), source: str = "h2c Smuggling (2020)"
) -> Case:
    """The upstream does not switch: the next request is one of HTTP/1.1, and read as such."""
    allowed = Forwarded(method=b"GET", absent=absent)
    return Case("upgrade", name, source, (head(*fields),), (BAD, allowed), "forwarded")


UPGRADE = cases(
    "upgrade",
    [
        _upgrade(
            "h2c",
            b"Connection: Upgrade, HTTP2-Settings",
            b"Upgrade: h2c",
            b"HTTP2-Settings: AAMAAABk",
            absent=(b"upgrade",),
        ),
        _upgrade("h2c in upper case", b"Connection: Upgrade", b"Upgrade: H2C", absent=(b"upgrade",)),
        _upgrade("h2c in a list", b"Connection: Upgrade", b"Upgrade: websocket, h2c", absent=(b"upgrade",)),
        _upgrade("h2c not nominated", b"Upgrade: h2c", absent=(b"upgrade",)),
        _upgrade(
            "a WebSocket that is refused",
            b"Connection: Upgrade",
            b"Upgrade: websocket",
            b"Sec-WebSocket-Version: 777",
            source="WebSocket smuggling (2019)",
        ),
        _upgrade("an unknown protocol", b"Connection: Upgrade", b"Upgrade: evil/1.0", source="RFC 9110 §7.8"),
        Case(
            "upgrade",
            "with a body",
            "RFC 9110 §7.8",
            (sized(b"hello", b"Connection: Upgrade", b"Upgrade: websocket"),),
            (BAD, Forwarded(body=b"hello")),
            "forwarded",
        ),
    ],
)

CASES = [*TARGETS, *HOSTS, *CONNECTION, *UPGRADE]
