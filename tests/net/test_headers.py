"""What relay takes out of heads, what it adds, and where requests are sent."""

from __future__ import annotations

import pytest

from .conftest import Serve
from .kit import COMPLETION, Head, ScriptedUpstream, answer, get, post


async def forwarded(serve: Serve, upstream: ScriptedUpstream, request: bytes, base: str = "") -> Head:
    """The request head that the upstream gets."""
    relay = await serve(upstream.url + base)
    client = await relay.connect()
    await client.send(request)
    peer = await upstream.accept()
    message = await peer.message()
    await peer.send(answer(b"ok"))
    assert (await client.message()).status == 200
    return message.head


async def returned(serve: Serve, upstream: ScriptedUpstream, *fields: bytes) -> Head:
    """The response head that the client gets."""
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(get())
    peer = await upstream.accept()
    await peer.head()
    await peer.send(answer(b"ok", *fields))
    return (await client.message()).head


async def test_end_to_end_fields_pass_in_order_and_spelling(serve: Serve, upstream: ScriptedUpstream) -> None:
    fields = [
        b"X-B: 1",
        b"Authorization: Bearer k",
        b"x-a: 2",
        b"X-B: 3",
        b"Accept-Encoding: br",
        b"Cookie: a=b",
    ]
    head = await forwarded(serve, upstream, get(b"/", *fields))
    sent = [tuple(line.split(b": ")) for line in fields]
    assert [field for field in head.fields if field in sent] == sent


async def test_response_fields_pass(serve: Serve, upstream: ScriptedUpstream) -> None:
    fields = [
        b"Set-Cookie: a=1",
        b"Set-Cookie: b=2",
        b"X-RateLimit-Remaining: 9",
        b"retry-after: 3",
        b"Server: s",
    ]
    head = await returned(serve, upstream, *fields)
    for line in fields:
        assert tuple(line.split(b": ")) in head.fields


@pytest.mark.parametrize("side", ["request", "response"])
async def test_hop_by_hop_fields_are_removed(serve: Serve, upstream: ScriptedUpstream, side: str) -> None:
    fields = [
        b"Connection: close-ish, X-Nominated",
        b"Connection: X-Also",
        b"X-Nominated: 1",
        b"x-also: 2",
        b"Keep-Alive: timeout=5",
        b"Proxy-Connection: keep-alive",
        b"Proxy-Authenticate: Basic",
        b"Proxy-Authorization: Basic eDp5",
        b"Proxy: http://evil",
        b"Upgrade: something",
        b"X-Kept: yes",
    ]
    if side == "request":
        head = await forwarded(serve, upstream, get(b"/", *fields, b"TE: gzip"))
    else:
        head = await returned(serve, upstream, *fields)
    assert head[b"x-kept"] == b"yes"
    for name in (
        b"x-nominated x-also keep-alive proxy-connection proxy-authenticate proxy-authorization "
        b"proxy upgrade te connection"
    ).split():
        assert head[name] is None, name


@pytest.mark.parametrize("nominated", [b"content-length", b"host", b"Content-Length, Host"])
async def test_framing_cannot_be_nominated_away(
    serve: Serve, upstream: ScriptedUpstream, nominated: bytes
) -> None:
    """A request whose length is nominated keeps it: without, its body would be the next request."""
    head = await forwarded(serve, upstream, post(b"GET /evil HTTP/1.1\r\n\r\n", b"connection: " + nominated))
    assert head[b"content-length"] == b"22"
    assert head[b"host"] is not None


async def test_host_is_the_targets(serve: Serve, upstream: ScriptedUpstream) -> None:
    head = await forwarded(serve, upstream, get())
    assert head.all(b"host") == [b"127.0.0.1:%d" % upstream.port]
    assert head[b"x-forwarded-host"] == b"relay.test"


async def test_via_and_forwarded_fields(serve: Serve, upstream: ScriptedUpstream) -> None:
    head = await forwarded(serve, upstream, get())
    assert head[b"via"] == b"1.1 relay"
    assert head[b"x-forwarded-for"] == b"127.0.0.1"
    assert head[b"x-forwarded-proto"] == b"http"


async def test_forwarded_fields_of_a_proxy_before_are_kept(serve: Serve, upstream: ScriptedUpstream) -> None:
    request = get(
        b"/",
        b"X-Forwarded-For: 10.1.1.1",
        b"x-forwarded-for: 10.2.2.2",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Host: public.example",
        b"Via: 2 edge",
    )
    head = await forwarded(serve, upstream, request)
    assert head.all(b"x-forwarded-for") == [b"10.1.1.1, 10.2.2.2, 127.0.0.1"]
    assert head.all(b"x-forwarded-proto") == [b"https"]
    assert head.all(b"x-forwarded-host") == [b"public.example"]
    assert head.all(b"via") == [b"2 edge, 1.1 relay"]


async def test_every_response_names_its_exchange(serve: Serve, upstream: ScriptedUpstream) -> None:
    head = await returned(serve, upstream)
    assert head[b"x-relay-id"]
    assert head[b"x-request-id"] == head[b"x-relay-id"]
    assert head[b"x-relay-upstream"] == upstream.url.encode()


async def test_the_upstreams_request_id_is_kept(serve: Serve, upstream: ScriptedUpstream) -> None:
    head = await returned(serve, upstream, b"X-Request-Id: req_1")
    assert head.all(b"x-request-id") == [b"req_1"]


async def test_trace_context_is_untouched(serve: Serve, upstream: ScriptedUpstream) -> None:
    trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    head = await forwarded(serve, upstream, get(b"/", b"traceparent: " + trace))
    assert head.all(b"traceparent") == [trace]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"http://relay.test/a?b=c", b"/a?b=c"),
        (b"HTTP://relay.test", b"/"),
        (b"https://relay.test/x", b"/x"),
        (b"http://relay.test?q", b"/?q"),
    ],
)
async def test_absolute_form_becomes_origin_form(
    serve: Serve, upstream: ScriptedUpstream, target: bytes, expected: bytes
) -> None:
    head = await forwarded(serve, upstream, get(target))
    assert head.target == expected
    assert head[b"host"] == b"127.0.0.1:%d" % upstream.port
    assert head[b"x-forwarded-host"] == b"relay.test"


async def test_options_asterisk(serve: Serve, upstream: ScriptedUpstream) -> None:
    head = await forwarded(serve, upstream, get(b"*", method=b"OPTIONS"), base="/base")
    assert head.line == b"OPTIONS * HTTP/1.1"


@pytest.mark.parametrize("base", ["/api", "/api/", "/a/b%20c"])
async def test_base_path_goes_before_every_target(
    serve: Serve, upstream: ScriptedUpstream, base: str
) -> None:
    head = await forwarded(serve, upstream, get(b"/v1/models?x=/"), base=base)
    assert head.target == base.rstrip("/").encode() + b"/v1/models?x=/"


@pytest.mark.parametrize(
    ("target", "method"),
    [(COMPLETION, b"POST"), (b"/v1/messages?beta=true", b"POST"), (b"/responses", b"POST")],
)
async def test_completions_ask_for_no_compression(
    serve: Serve, upstream: ScriptedUpstream, target: bytes, method: bytes
) -> None:
    head = await forwarded(serve, upstream, get(target, b"accept-encoding: gzip, br", method=method))
    assert head.all(b"accept-encoding") == [b"identity"]


async def test_event_source_asks_for_no_compression(serve: Serve, upstream: ScriptedUpstream) -> None:
    request = get(b"/events", b"accept: text/event-stream", b"accept-encoding: gzip")
    assert (await forwarded(serve, upstream, request)).all(b"accept-encoding") == [b"identity"]


async def test_other_paths_keep_their_accept_encoding(serve: Serve, upstream: ScriptedUpstream) -> None:
    head = await forwarded(serve, upstream, get(COMPLETION, b"accept-encoding: gzip, br"))
    assert head.all(b"accept-encoding") == [b"gzip, br"]


async def test_connection_close_of_the_upstream_is_its_own(serve: Serve, upstream: ScriptedUpstream) -> None:
    """The client's connection stays; the upstream's is not used again."""
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(get(b"/1"))
    peer = await upstream.accept()
    await peer.head()
    await peer.send(answer(b"ok", b"connection: close"))
    assert (await client.message()).head[b"connection"] is None
    await peer.gone()
    await client.send(get(b"/2"))
    assert (await (await upstream.accept()).head()).target == b"/2"
