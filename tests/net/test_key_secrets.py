"""Planted secrets: no key of a client, of a provider or of the list leaves relay by the wrong door.

Clients' keys go to LiteLLM alone, providers' keys to their providers alone, and none is told in an answer
or in the log, whatever is answered to a request.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest

from relay.access import Keys
from relay.config import RouteRule, RouteTarget, Upstream

from .conftest import Serve
from .kit import EVENT_STREAM, RunningRelay, ScriptedUpstream, Wire, answer, post

VIRTUAL, LIMITED, WRONG = b"sk-CLIENTxyzzy-virtual", b"sk-CLIENTxyzzy-limited", b"sk-CLIENTxyzzy-wrong"
MASTER, PROVIDER, SET = b"sk-CLIENTxyzzy-master", b"sk-PROVIDERplugh-1", b"SETplugh-2"
MARKS = (b"xyzzy", b"plugh")

Heard = list[tuple[str, bytes]]


def sha256(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()


@pytest.fixture
def heard() -> Heard:
    """Every request that a server behind relay has got: who, and what."""
    return []


def litellm(heard: Heard) -> Callable[[Wire], Any]:
    """Knows two keys, and answers for the model itself where relay may not."""
    known = {VIRTUAL: {"models": ["m"]}, LIMITED: {"models": [], "max_budget": 5.0}}

    async def play(wire: Wire) -> None:
        while True:
            message = await wire.message()
            heard.append(("litellm", message.head.raw + message.body))
            key = (message.head[b"authorization"] or message.head[b"x-api-key"] or b"").split(b" ")[-1]
            if not message.head.target.startswith(b"/key/info"):
                await wire.send(answer(b'{"by": "litellm"}', b"content-type: application/json"))
            elif key in known:
                await wire.send(answer(orjson.dumps({"key": sha256(key), "info": known[key]})))
            else:
                said = {"message": f"not known: {key.decode()}", "type": "token_not_found_in_db"}
                await wire.send(answer(orjson.dumps({"error": said}), status=b"401 Unauthorized"))

    return play


def provider(heard: Heard, status: bytes) -> Callable[[Wire], Any]:
    async def play(wire: Wire) -> None:
        while True:
            message = await wire.message()
            heard.append(("provider", message.head.raw + message.body))
            if status == b"cut":
                await wire.send(EVENT_STREAM)
                wire.reset()
                return
            await wire.send(answer(b'{"by": "provider"}', b"content-type: application/json", status=status))

    return play


Start = Callable[..., Any]


@pytest.fixture
async def start(serve: Serve, upstreams: Callable[[int], list[ScriptedUpstream]], heard: Heard) -> Start:
    async def begin(status: bytes = b"200 OK") -> RunningRelay:
        servers = upstreams(2)
        servers[0].serve(litellm(heard))
        servers[1].serve(provider(heard, status))
        behind = (
            replace(Upstream.parse(servers[0].url), name="litellm"),
            replace(
                Upstream.parse(servers[1].url),
                name="direct",
                api_key=PROVIDER.decode(),
                headers=(("x-own", SET.decode()),),
            ),
        )
        keys = Keys(digests=(hashlib.sha256(MASTER).digest(),), verifier="litellm")
        routes = (RouteRule((RouteTarget("direct", order=1), RouteTarget("litellm", order=2))),)
        return await serve("http://unused.test", also={"upstreams": behind, "routes": routes, "keys": keys})

    return begin


FIELDS = {
    "bearer": b"authorization: Bearer %b",
    "x-api-key": b"x-api-key: %b",
    "api-key": b"api-key: %b",
    "x-litellm-api-key": b"x-litellm-api-key: %b",
}
COOKIE = b"cookie: session=xyzzy-cookie"


@pytest.mark.parametrize("status", [b"200 OK", b"401 Unauthorized", b"500 Oops", b"cut"])
@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(
    "target", [b"/v1/chat/completions", b"/v1/messages", b"/v1/responses", b"/v1/embeddings"]
)
async def test_each_key_goes_where_it_belongs(
    start: Start,
    heard: Heard,
    caplog: pytest.LogCaptureFixture,
    status: bytes,
    field: str,
    target: bytes,
) -> None:
    caplog.set_level(logging.DEBUG)
    relay = await start(status)
    for key in (VIRTUAL, LIMITED, WRONG, MASTER):
        client = await relay.connect()
        body = orjson.dumps({"model": "m"})
        await client.send(post(body, FIELDS[field] % key, COOKIE, b"connection: close", target=target))
        said = await client.rest()
        assert said.startswith(b"HTTP/1.1 ")
        for mark in MARKS:
            assert mark not in said
    for who, what in heard:
        assert b"plugh" not in what if who == "litellm" else b"xyzzy" not in what
    direct = [what for who, what in heard if who == "provider"]
    assert direct
    assert all(PROVIDER in what and SET in what for what in direct)
    for mark in MARKS:
        assert mark.decode() not in caplog.text


async def test_a_key_that_only_litellm_can_count_does_not_reach_the_provider(
    start: Start, heard: Heard
) -> None:
    relay = await start()
    by = {}
    for key in (VIRTUAL, LIMITED, WRONG, MASTER):
        heard.clear()
        client = await relay.connect()
        await client.send(
            post(orjson.dumps({"model": "m"}), FIELDS["bearer"] % key, target=b"/v1/chat/completions")
        )
        message = await client.message()
        by[key] = (message.status, orjson.loads(message.body).get("by"), [who for who, _ in heard])
    assert by == {
        VIRTUAL: (200, "provider", ["litellm", "provider"]),
        LIMITED: (200, "litellm", ["litellm", "litellm"]),
        WRONG: (401, None, ["litellm"]),
        MASTER: (200, "provider", ["provider"]),
    }


async def test_nor_does_a_model_that_the_key_does_not_list(start: Start, heard: Heard) -> None:
    relay = await start()
    client = await relay.connect()
    asked = post(orjson.dumps({"model": "other"}), FIELDS["bearer"] % VIRTUAL, target=b"/v1/chat/completions")
    await client.send(asked)
    assert (await client.message()).status == 200
    assert [who for who, _ in heard] == ["litellm", "litellm"]


async def test_settings_show_no_key(start: Start) -> None:
    relay = await start()
    shown = repr(relay.relay.settings)
    for secret in (PROVIDER, SET, sha256(MASTER).encode(), hashlib.sha256(MASTER).digest()):
        assert secret.decode("latin-1") not in shown
