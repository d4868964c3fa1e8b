"""Each completion leaves one record of what it has cost, however it ended."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from relay.access import Spend
from relay.config import Repair, RouteRule, RouteTarget, Upstream
from tests.test_spend import DOCUMENTS, frames

from .conftest import Serve
from .kit import EVENT_STREAM, RunningRelay, ScriptedUpstream, Wire, answer, chunk, get, post, until

PATHS = {"chat": b"/v1/chat/completions", "messages": b"/v1/messages"}
LAST = b"0\r\n\r\n"


@pytest.fixture
async def records(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Callable[[], list[dict[str, Any]]]]:
    """Those that were noted until now."""
    yield lambda: [
        json.loads(record.getMessage()) for record in caplog.records if record.name == "relay.spend"
    ]
    logging.getLogger("relay.spend").setLevel(logging.NOTSET)


Records = Callable[[], list[dict[str, Any]]]


async def begin(
    serve: Serve, upstream: ScriptedUpstream, client: str, spoken: str, *, stream: bool = True, **said: Any
) -> tuple[RunningRelay, Wire, Wire, dict[str, Any]]:
    """A completion of ``fast``, which the upstream knows as ``real``, as far as its request."""
    there = replace(Upstream.parse(upstream.url), name="books", dialects=(spoken,), api_key="own")
    rule = RouteRule((RouteTarget("books", model="real"),), models=("fast",))
    also = {"upstreams": (there,), "routes": (rule,), "spend": Spend(log=True)}
    relay = await serve(upstream, repair=said.pop("repair", Repair.ON), also=also, **said)
    wire = await relay.connect()
    document = {
        "model": "fast",
        "max_tokens": 9,
        "stream": stream,
        "messages": [{"role": "user", "content": "secret"}],
    }
    await wire.send(
        post(json.dumps(document).encode(), b"authorization: Bearer theirs", target=PATHS[client])
    )
    server = await upstream.accept()
    return relay, wire, server, json.loads((await server.message()).body)


@pytest.mark.parametrize("client", sorted(PATHS))
@pytest.mark.parametrize("spoken", sorted(PATHS))
async def test_a_stream(
    serve: Serve, upstream: ScriptedUpstream, records: Records, client: str, spoken: str
) -> None:
    _, wire, server, asked = await begin(serve, upstream, client, spoken)
    assert asked["model"] == "real"
    await server.send(EVENT_STREAM + chunk(frames(spoken)) + LAST)
    await wire.message()
    (record,) = records()
    assert (record["model"], record["model_group"]) == ("real", "fast")
    assert (record["prompt_tokens"], record["completion_tokens"], record["status"]) == (20, 7, "success")
    assert record["stream"] is True
    assert record["startTime"] <= record["completionStartTime"] <= record["endTime"]
    told = client if client == spoken else f"{client}<{spoken}"
    said = {"upstream": "books", "dialect": told, "end": "OK", "seconds": 0, "attempts": 1}
    assert record["relay"] | {"seconds": 0} == said
    assert not any(word in json.dumps(record) for word in ("secret", "own", "theirs"))


@pytest.mark.parametrize(
    ("client", "spoken"),
    [
        ("chat", "chat"),
        ("messages", "messages"),
        pytest.param("chat", "messages"),
        pytest.param("messages", "chat"),
    ],
)
async def test_a_document(
    serve: Serve, upstream: ScriptedUpstream, records: Records, client: str, spoken: str
) -> None:
    _, wire, server, _ = await begin(serve, upstream, client, spoken, stream=False)
    await server.send(answer(json.dumps(DOCUMENTS[spoken]).encode(), b"content-type: application/json"))
    got = await wire.message()
    assert got.status == 200
    (record,) = records()
    assert (record["prompt_tokens"], record["completion_tokens"], record["stream"]) == (20, 7, False)


async def test_usage_is_asked_for_and_kept_from_a_client_that_did_not(
    serve: Serve, upstream: ScriptedUpstream, records: Records
) -> None:
    _, wire, server, asked = await begin(serve, upstream, "chat", "chat")
    assert asked["stream_options"] == {"include_usage": True}
    await server.send(EVENT_STREAM + chunk(frames("chat")) + LAST)
    got = await wire.message()
    assert b"total_tokens" not in got.body
    assert records()[0]["total_tokens"] == 27


async def test_a_client_that_leaves(serve: Serve, upstream: ScriptedUpstream, records: Records) -> None:
    _, wire, server, _ = await begin(serve, upstream, "messages", "messages")
    await server.send(EVENT_STREAM + chunk(frames("messages", cut=3)))
    await wire.head()
    await wire.chunk()
    wire.close()
    await until(lambda: bool(records()))
    (record,) = records()
    assert (record["status"], record["relay"]["end"], record["prompt_tokens"]) == ("failure", "CD", 20)


@pytest.mark.parametrize("repair", [Repair.ON, Repair.REPORT])
async def test_an_upstream_that_breaks_off(
    serve: Serve, upstream: ScriptedUpstream, records: Records, repair: Repair
) -> None:
    _, wire, server, _ = await begin(serve, upstream, "messages", "messages", repair=repair)
    await server.send(EVENT_STREAM + chunk(frames("messages", cut=3)))
    await wire.head()
    await wire.chunk()
    server.reset()
    await until(lambda: bool(records()))
    (record,) = records()
    assert (record["status"], record["relay"]["end"]) == ("failure", "UR")


async def test_a_refusal_leaves_none(serve: Serve, upstream: ScriptedUpstream, records: Records) -> None:
    _, wire, server, _ = await begin(serve, upstream, "messages", "messages")
    await server.send(answer(b"{}", status=b"400 No"))
    assert (await wire.message()).status == 400
    server.close()
    _, wire, server, _ = await begin(serve, upstream, "chat", "chat")
    server.close()
    assert (await wire.message()).status == 502
    assert records() == []


async def test_what_is_no_completion_leaves_none(
    serve: Serve, upstream: ScriptedUpstream, records: Records
) -> None:
    relay = await serve(upstream, repair=Repair.ON, also={"spend": Spend(log=True)})
    wire = await relay.connect()
    await wire.send(get(b"/v1/models"))
    server = await upstream.accept()
    await server.message(has_body=False)
    await server.send(answer(b"{}"))
    await wire.message()
    assert records() == []
