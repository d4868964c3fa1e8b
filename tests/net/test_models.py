"""Upstreams are asked for their models, all at once: what each is sent, and whom nobody waits for."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from relay.config import RouteRule, RouteTarget, Settings, Timeouts, Upstream
from relay.errors import ModelNotFound, RelayError, UpstreamError, UpstreamRefused, UpstreamTimeout
from relay.net.hangup import Hangups
from relay.net.models import merged, wants
from relay.net.pool import Pool
from relay.net.relay import Relay
from relay.wire.http1 import Inbound, RequestHead

from .kit import ScriptedUpstream, Wire, answer, get, until, within

MODELS = b"/v1/models"
VERSION = b"anthropic-version: 2023-06-01"
KEY = b"authorization: Bearer client"

Upstreams = Callable[[int], list[ScriptedUpstream]]
Asked = Callable[..., "asyncio.Task[dict[str, Any]]"]


def head(target: bytes = MODELS, *fields: bytes) -> RequestHead:
    return Inbound().receive_request(get(target, *fields))


def listed(*idents: str, **more: Any) -> bytes:
    data = [{"id": ident, "object": "model", "created": 1, "owned_by": "o", **more} for ident in idents]
    return answer(json.dumps({"object": "list", "data": data}).encode())


def behind(*urls: str, routes: Sequence[RouteRule] = (), **said: Any) -> Settings:
    """Upstreams a, b, c … at these places, all of which serve everything unless routes say otherwise."""
    known = tuple(
        replace(Upstream.parse(url), name=name, **said) for name, url in zip("abc", urls, strict=False)
    )
    everything = (RouteRule(tuple(RouteTarget(str(one)) for one in known)),)
    return Settings(upstreams=known, routes=tuple(routes) or everything)


@pytest.fixture
async def ask(quiet: None) -> AsyncIterator[Asked]:
    """``ask(settings, head)`` begins; its result is the document."""
    loop = asyncio.get_running_loop()
    relays: list[Relay] = []

    async def run(relay: Relay, asked: RequestHead, said: dict[str, Any]) -> dict[str, Any]:
        status, headers, body = await merged(relay, asked, **{"forward": True, **said})
        assert (status, dict(headers)[b"content-length"]) == (200, b"%d" % len(body))
        document: dict[str, Any] = json.loads(body)
        return document

    def begin(settings: Settings, asked: RequestHead | None = None, **said: Any) -> Any:
        if not relays or relays[-1].settings is not settings:
            relays.append(Relay(loop, settings, Pool(loop, settings, None), Hangups(loop)))
        return loop.create_task(run(relays[-1], asked or head(), said))

    yield begin
    for relay in relays:
        assert relay.pool.open_count <= relay.pool.idle_count
        relay.pool.close()
        relay.hangups.close()
    await until(lambda: not any(relay.pool.open_count for relay in relays))


def idents(document: dict[str, Any]) -> list[str]:
    return [model["id"] for model in document["data"]]


async def asked_at(upstream: ScriptedUpstream) -> tuple[Wire, Any]:
    wire = await upstream.accept()
    return wire, (await wire.message(has_body=False)).head


# --- one list -----------------------------------------------------------------------------------


async def test_all_are_asked_before_any_has_answered(ask: Asked, upstreams: Upstreams) -> None:
    one, two = upstreams(2)
    task = ask(behind(one.url, two.url), head(MODELS, KEY))
    first, asked = await asked_at(one)
    second, _ = await asked_at(two)
    assert (asked.target, asked[b"authorization"]) == (MODELS, b"Bearer client")
    await second.send(listed("y", "z"))
    await first.send(listed("x", "y", max_model_len=7))
    document = await within(task)
    assert idents(document) == ["x", "y", "z"]
    assert document["data"][1]["max_model_len"] == 7


async def test_anthropics_client_and_one_model(ask: Asked, upstream: ScriptedUpstream) -> None:
    settings = behind(upstream.url)
    for target in (MODELS + b"?limit=1", MODELS + b"/org%2Fx"):
        task = ask(settings, head(target, VERSION, b"x-api-key: client"))
        wire, asked = await asked_at(upstream)
        assert asked.target == MODELS + b"?limit=1000"
        assert (asked[b"x-api-key"], asked[b"anthropic-version"]) == (b"client", b"2023-06-01")
        await wire.send(listed("org/x", "y"))
        wire.sock.shutdown(1)
        document = await within(task)
        assert document.get("has_more", True)
        model = document if "data" not in document else document["data"][0]
        assert (model["type"], model["id"]) == ("model", "org/x")


async def test_a_model_that_nobody_has(ask: Asked, upstream: ScriptedUpstream) -> None:
    task = ask(behind(upstream.url), head(MODELS + b"/y", VERSION))
    wire, _ = await asked_at(upstream)
    await wire.send(listed("x"))
    with pytest.raises(ModelNotFound) as raised:
        await within(task)
    assert json.loads(raised.value.body or b"")["error"]["type"] == "not_found_error"


async def test_who_may_not_use_a_model_does_not_see_it(ask: Asked, upstream: ScriptedUpstream) -> None:
    task = ask(behind(upstream.url), permitted=lambda name: name != "y")
    wire, _ = await asked_at(upstream)
    await wire.send(listed("x", "y"))
    assert idents(await within(task)) == ["x"]


async def test_only_the_upstreams_of_the_clients_routes(ask: Asked, upstreams: Upstreams) -> None:
    one, two = upstreams(2)
    rules = [
        RouteRule((RouteTarget("a"),), models=("x",)),
        RouteRule((RouteTarget("b"),), models=("y",), headers=(("x-team", "red"),)),
    ]
    task = ask(behind(one.url, two.url, routes=rules))
    wire, _ = await asked_at(one)
    await wire.send(listed("x", "y"))
    assert idents(await within(task)) == ["x"]
    assert two.nobody_waits()


async def test_upstreams_of_one_place_are_asked_once(ask: Asked, upstream: ScriptedUpstream) -> None:
    settings = behind(upstream.url, upstream.url)
    task = ask(settings)
    wire, _ = await asked_at(upstream)
    await wire.send(listed("x"))
    assert idents(await within(task)) == ["x"]
    assert upstream.nobody_waits()


async def test_with_another_key_they_are_asked_twice(ask: Asked, upstream: ScriptedUpstream) -> None:
    settings = behind(upstream.url, upstream.url)
    first, second = settings.upstreams
    task = ask(replace(settings, upstreams=(first, replace(second, api_key="own"))), head(MODELS, KEY))
    keys = set()
    for ident in ("x", "y"):
        wire, asked = await asked_at(upstream)
        keys.add(asked[b"authorization"])
        await wire.send(listed(ident))
    assert sorted(idents(await within(task))) == ["x", "y"]
    assert keys == {b"Bearer client", b"Bearer own"}


# --- what is sent -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "base", "asked", "target", "key"),
    [
        ({}, "", MODELS, MODELS, b"Bearer client"),
        ({}, "/base", b"/team/v1/models", b"/base/team/v1/models", b"Bearer client"),
        ({}, "/base/v1", MODELS, b"/base/v1/models", b"Bearer client"),
        ({}, "", b"/models?team_id=7&limit=3", b"/v1/models?team_id=7", b"Bearer client"),
        ({"query": "api-version=1"}, "", MODELS, b"/v1/models?api-version=1", b"Bearer client"),
        ({"dialects": ("chat",), "api_key": "own"}, "", MODELS, MODELS, b"Bearer own"),
        ({"sdk": True, "dialects": ("chat",)}, "/v1b/oai", MODELS, b"/v1b/oai/models", b"Bearer client"),
        ({"sdk": True, "dialects": ("responses",)}, "/v1", b"/models?x=1", b"/v1/models", b"Bearer client"),
    ],
)  # fmt: skip
async def test_where_and_with_which_key(
    ask: Asked,
    upstream: ScriptedUpstream,
    said: dict[str, Any],
    base: str,
    asked: bytes,
    target: bytes,
    key: bytes,
) -> None:
    fields = (KEY, b"openai-organization: org", b"x-secret: no", b"user-agent: theirs")
    task = ask(behind(upstream.url + base, **said), head(asked, *fields))
    wire, got = await asked_at(upstream)
    await wire.send(listed("x"))
    await within(task)
    assert (got.target, got[b"authorization"]) == (target, key)
    assert got[b"x-secret"] is None
    assert got[b"openai-organization"] == b"org"
    assert got[b"accept-encoding"] == b"identity"


@pytest.mark.parametrize(
    ("said", "key"), [({}, b"client"), ({"api_key": "own"}, b"own")], ids=["client's", "own"]
)
async def test_an_anthropic_server_is_asked_in_its_way(
    ask: Asked, upstream: ScriptedUpstream, said: dict[str, Any], key: bytes
) -> None:
    task = ask(behind(upstream.url, sdk=True, dialects=("messages",), **said), head(b"/models", KEY))
    wire, asked = await asked_at(upstream)
    assert asked.target == MODELS + b"?limit=1000"
    assert (asked[b"x-api-key"], asked[b"authorization"]) == (key, None)
    assert asked[b"anthropic-version"] == b"2023-06-01"
    model = {"type": "model", "id": "c", "display_name": "C", "created_at": "2025-01-02T03:04:05Z"}
    await wire.send(answer(json.dumps({"data": [model], "has_more": False}).encode()))
    assert (await within(task))["data"][0]["object"] == "model"


async def test_an_openai_server_hears_nothing_of_anthropic(ask: Asked, upstream: ScriptedUpstream) -> None:
    task = ask(behind(upstream.url, dialects=("chat",)), head(MODELS, VERSION, b"x-api-key: client"))
    wire, asked = await asked_at(upstream)
    assert (asked[b"authorization"], asked[b"x-api-key"]) == (b"Bearer client", None)
    assert asked[b"anthropic-version"] is None
    await wire.send(listed("x"))
    assert (await within(task))["data"][0]["type"] == "model"


async def test_a_key_that_is_meant_for_relay_goes_no_further(ask: Asked, upstream: ScriptedUpstream) -> None:
    task = ask(behind(upstream.url), head(MODELS, KEY), forward=False)
    wire, asked = await asked_at(upstream)
    assert b"client" not in asked.raw
    await wire.send(listed("x"))
    await within(task)


# --- who does not answer ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        b"",
        answer(b"{}", status=b"500 Internal Server Error"),
        answer(b"{}", status=b"401 Unauthorized"),
        answer(b"<html>"),
        answer(b'{"data": 3}'),
        b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{",
        b"nonsense\r\n\r\n",
        answer(b'[{"id": "z"}' + b" " * (4 << 20) + b"]"),
    ],
    ids=["nothing", "500", "401", "html", "no list", "half", "no http", "too much"],
)
async def test_an_upstream_that_fails_is_left_out(ask: Asked, upstreams: Upstreams, said: bytes) -> None:
    one, two = upstreams(2)
    task = ask(behind(one.url, two.url))
    first, _ = await asked_at(one)
    second, _ = await asked_at(two)
    await second.send(listed("y"))
    sending = asyncio.ensure_future(first.send(said))
    if b"99" in said or not said:
        await sending
        first.close()
    assert idents(await within(task)) == ["y"]
    sending.cancel()


async def test_the_log_names_it_when_it_begins(
    ask: Asked, upstreams: Upstreams, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = upstreams(2)
    settings = behind(one.url, two.url)
    told = []
    for said in (b"500 Oh", b"500 Oh", b"200 OK", b"500 Oh"):
        caplog.clear()
        task = ask(settings, head(MODELS, KEY))
        for upstream, raw in ((one, answer(b"[]", b"connection: close", status=said)), (two, listed("y"))):
            wire, _ = await asked_at(upstream)
            await wire.send(raw)
            wire.sock.shutdown(1)
        await within(task)
        told.append([record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING])
    line = "the models of upstream a are left out: a answered with status 500"
    assert told == [[line], [], [], [line]]


@pytest.mark.parametrize("status", [b"404 Not Found", b"405 No", b"501 No"])
async def test_a_server_without_a_list_has_only_what_routes_name(
    ask: Asked, upstream: ScriptedUpstream, status: bytes
) -> None:
    rules = [RouteRule((RouteTarget("a"),), models=("x", "y*"))]
    task = ask(behind(upstream.url, routes=rules))
    wire, _ = await asked_at(upstream)
    await wire.send(answer(b"", status=status))
    assert idents(await within(task)) == ["x"]


async def test_who_is_slow_is_not_waited_for(ask: Asked, upstreams: Upstreams) -> None:
    one, two = upstreams(2)
    settings = replace(behind(one.url, two.url), timeouts=Timeouts(head=0.05))
    task = ask(settings)
    await asked_at(one)
    wire, _ = await asked_at(two)
    await wire.send(listed("y"))
    assert idents(await within(task, 5)) == ["y"]


@pytest.mark.parametrize(("slow", "kind"), [(True, UpstreamTimeout), (False, UpstreamError)])
@pytest.mark.parametrize("fields", [(), (VERSION,)], ids=["openai", "anthropic"])
async def test_when_none_answers_the_client_hears_of_it(
    ask: Asked, upstreams: Upstreams, slow: bool, kind: type[RelayError], fields: tuple[bytes, ...]
) -> None:
    one, two = upstreams(2)
    settings = replace(behind(one.url, two.url), timeouts=Timeouts(head=0.05))
    task = ask(settings, head(MODELS, *fields))
    await asked_at(one)
    wire, _ = await asked_at(two)
    if not slow:
        await wire.send(answer(b"", status=b"500 Oh"))
    with pytest.raises(kind) as raised:
        await within(task)
    assert type(raised.value) is kind
    document = json.loads(raised.value.body or b"")
    assert "b answered with status 500" in document["error"]["message"] or slow
    assert document.get("type") == ("error" if fields else None)


async def test_when_none_accepts_the_clients_key_it_hears_that(
    ask: Asked, upstream: ScriptedUpstream
) -> None:
    task = ask(behind(upstream.url), head(MODELS, VERSION))
    wire, _ = await asked_at(upstream)
    await wire.send(answer(b'{"error": {"message": "Bad key."}}', status=b"401 Unauthorized"))
    with pytest.raises(UpstreamRefused) as raised:
        await within(task)
    assert raised.value.status == 401
    said = json.loads(raised.value.body or b"")["error"]
    assert said == {"type": "authentication_error", "message": "Bad key."}


async def test_an_own_key_that_is_refused_is_not_the_clients_affair(
    ask: Asked, upstream: ScriptedUpstream
) -> None:
    task = ask(behind(upstream.url, api_key="own"))
    wire, _ = await asked_at(upstream)
    await wire.send(answer(b'{"error": {"message": "Bad key own."}}', status=b"401 Unauthorized"))
    with pytest.raises(UpstreamError, match="a answered with status 401") as raised:
        await within(task)
    assert raised.value.status == 502
    assert b"Bad key" not in (raised.value.body or b"")


async def test_a_client_that_leaves_takes_the_questions_with_it(ask: Asked, upstreams: Upstreams) -> None:
    one, two = upstreams(2)
    task = ask(behind(one.url, two.url))
    wires = [(await asked_at(upstream))[0] for upstream in (one, two)]
    task.cancel()
    for wire in wires:
        await within(wire.gone())
    with pytest.raises(asyncio.CancelledError):
        await task


def test_what_it_is_for() -> None:
    assert wants(head())
    assert wants(head(b"/models/x"))
    assert not wants(head(b"/v1/chat/completions"))
