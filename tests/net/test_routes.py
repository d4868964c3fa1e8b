"""Routes over real sockets: who is asked, by what name and with whose key, and what unknown models hear."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from relay.access import Keys
from relay.address import Origin
from relay.config import (
    Health,
    Limits,
    LiteLLM,
    Queue,
    Repair,
    Repeat,
    Retry,
    RouteRule,
    RouteTarget,
    Upstream,
)
from relay.metrics import KEYS_CHECKED

from .conftest import Serve
from .kit import COMPLETION, EVENT_STREAM, Message, ScriptedUpstream, Wire, answer, chunk, get, post, until
from .test_checked_streams import DONE, ROLE, STOP, WORD

Upstreams = Callable[[int], list[ScriptedUpstream]]

WHOLE = ROLE + WORD + STOP + DONE
STREAM = EVENT_STREAM + chunk(WHOLE) + b"0\r\n\r\n"
CLIENT_KEY = b"authorization: Bearer the-clients-key"
OUTCOMES = ("accepted", "refused", "unavailable")
REFUSAL = b'{"error":{"message":"Incorrect API key provided: provider-***-key"}}'


def document(model: str | None = "m", **more: Any) -> bytes:
    said = {} if model is None else {"model": model}
    return orjson.dumps({**said, "stream": True, "messages": [{"role": "user", "content": "Hi"}], **more})


def upstream(peer: ScriptedUpstream, name: str, base_path: str = "", **said: Any) -> Upstream:
    return Upstream(Origin("127.0.0.1", peer.port), base_path, name=name, **said)


def to(*names: str, **said: Any) -> tuple[RouteTarget, ...]:
    return tuple(RouteTarget(name, order=order, **said) for order, name in enumerate(names, 1))


async def begin(serve: Serve, upstreams: list[Upstream], *routes: RouteRule, **also: Any) -> Wire:
    """A client of a relay with these routes."""
    more = {"upstreams": tuple(upstreams), "routes": routes, **also}
    relay = await serve("http://127.0.0.1:1", also=more, repair=Repair.ON)
    return await relay.connect()


async def asked(peer: ScriptedUpstream, *says: bytes) -> Message:
    """The next request there, answered by this."""
    wire = await peer.accept()
    request = await wire.message()
    await wire.send(b"".join(says) or STREAM)
    wire.close()
    return request


def words(body: bytes) -> dict[str, Any]:
    said = orjson.loads(body)
    assert isinstance(said, dict)
    return said


async def test_the_model_decides_and_the_target_knows_it_by_its_own_name(
    serve: Serve, upstreams: Upstreams
) -> None:
    one, two = upstreams(2)
    client = await begin(
        serve,
        [upstream(one, "one"), upstream(two, "two")],
        RouteRule(to("one"), models=("gpt-*",)),
        RouteRule(to("two", model="*"), models=("local/*",)),
    )
    body = document("local/llama é", temperature=0.5)
    await client.send(post(body, target=COMPLETION))
    request = await asked(two)
    assert words(request.body) == {**words(body), "model": "llama é"}
    response = await client.message()
    assert (response.status, response.body) == (200, WHOLE)
    assert response.head[b"x-relay-upstream"] == b"two"
    await client.send(post(body := document("gpt-4o"), target=COMPLETION))
    assert (await asked(one)).body == body
    assert (await client.message()).status == 200


@pytest.mark.parametrize(
    ("path", "kind"),
    [(b"/v1/chat/completions", "invalid_request_error"), (b"/v1/messages", "not_found_error")],
)
async def test_an_unknown_model_is_told_which_ones_there_are(
    serve: Serve, upstreams: Upstreams, path: bytes, kind: str
) -> None:
    (one,) = upstreams(1)
    client = await begin(serve, [upstream(one, "one")], RouteRule(to("one"), models=("claude-3", "gpt-*")))
    await client.send(post(document("gtp-4"), target=path))
    response = await client.message()
    assert response.status == 404
    error = words(response.body)["error"]
    assert error["type"] == kind
    assert "gtp-4" in error["message"]
    assert "claude-3" in error["message"]
    assert "gpt-*" in error["message"]
    assert response.head[b"x-relay-id"]
    await client.send(post(document("claude-3"), target=COMPLETION))  # the connection serves on
    await asked(one)
    assert (await client.message()).status == 200
    assert one.nobody_waits()


async def test_a_request_that_no_route_serves(serve: Serve, upstreams: Upstreams) -> None:
    (one,) = upstreams(1)
    client = await begin(serve, [upstream(one, "one")], RouteRule(to("one"), paths=("/v1/messages",)))
    await client.send(get(b"/metrics"))
    response = await client.message()
    assert response.status == 404
    assert "no route" in words(response.body)["error"]["message"]
    await client.send(post(document(None), target=COMPLETION))
    assert (await client.message()).status == 404


async def test_other_documents_are_routed_by_their_model_too(serve: Serve, upstreams: Upstreams) -> None:
    one, two = upstreams(2)
    client = await begin(
        serve,
        [upstream(one, "one"), upstream(two, "two")],
        RouteRule(to("two", model="bge"), models=("embedder",)),
        RouteRule(to("one")),
    )
    body = b'{"model":"embedder","input":["a"]}'
    await client.send(post(body, b"content-type: application/json", target=b"/v1/embeddings"))
    request = await asked(two, answer(b'{"data":[]}'))
    assert words(request.body) == {"model": "bge", "input": ["a"]}
    assert (await client.message()).body == b'{"data":[]}'
    upload = b"\x00\x01" * 1000
    await client.send(post(upload, b"content-type: application/octet-stream", target=b"/v1/files"))
    assert (await asked(one, answer(b"{}"))).body == upload
    assert (await client.message()).status == 200


async def test_a_base_url_as_sdks_take_it_with_a_key_and_a_query(serve: Serve, upstreams: Upstreams) -> None:
    (one,) = upstreams(1)
    azure = upstream(
        one,
        "azure",
        "/openai/deployments/prod",
        sdk=True,
        query="api-version=2024-10-21",
        api_key="provider-secret-key",
        key_header="api-key",
        headers=(("x-team", "ours"),),
        dialects=("chat",),
    )
    client = await begin(serve, [azure])
    await client.send(post(document(), CLIENT_KEY, b"cookie: a=b", b"x-team: theirs", target=COMPLETION))
    request = await asked(one)
    assert request.head.target == b"/openai/deployments/prod/chat/completions?api-version=2024-10-21"
    assert request.head[b"api-key"] == b"provider-secret-key"
    assert request.head[b"x-team"] == b"ours"
    assert request.head[b"authorization"] is request.head[b"cookie"] is None
    response = await client.message()
    assert b"provider-secret-key" not in response.head.raw + response.body


async def test_the_same_target_is_asked_in_another_dialect(serve: Serve, upstreams: Upstreams) -> None:
    (one,) = upstreams(1)
    client = await begin(
        serve,
        [upstream(one, "litellm")],
        RouteRule(to("litellm", dialects=("chat",)), models=("m",)),
        RouteRule(to("litellm")),
    )
    body = orjson.dumps(
        {"model": "m", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    )
    await client.send(post(body, b"x-api-key: the-clients-key", target=b"/v1/messages"))
    request = await asked(one)
    assert request.head.target == COMPLETION
    assert request.head[b"authorization"] == b"Bearer the-clients-key"
    response = await client.message()
    assert response.head[b"x-relay-dialect"] == b"messages<chat"
    assert b"message_stop" in response.body
    await client.send(post(body.replace(b'"m"', b'"other"'), target=b"/v1/messages"))
    assert (await asked(one, answer(b"{}", status=b"400 Bad Request"))).head.target == b"/v1/messages"
    assert (await client.message()).body == b"{}"


FAILURES = {
    "its key": answer(REFUSAL, status=b"401 Unauthorized"),
    "a limit": answer(b"{}", status=b"429 Too Many Requests"),
    "a reset": None,
    "a cut before the first frame": EVENT_STREAM + b"0\r\n\r\n",
    "an error as its first frame": EVENT_STREAM
    + chunk(b'data: {"error":{"message":"down","code":500}}\n\n')
    + b"0\r\n\r\n",
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_what_fails_before_the_first_frame_goes_on_through_the_next(
    serve: Serve, upstreams: Upstreams, failure: str
) -> None:
    provider, litellm = upstreams(2)
    client = await begin(
        serve,
        [
            upstream(provider, "provider", sdk=True, api_key="provider-secret-key", dialects=("chat",)),
            upstream(litellm, "litellm"),
        ],
        RouteRule(
            (RouteTarget("provider", order=1, model="real-name"), RouteTarget("litellm", order=2)),
            models=("m",),
            repeat=Repeat.COMPLETIONS,
        ),
        retry=Retry(pause=0.001),
    )
    await client.send(post(body := document(), CLIENT_KEY, target=COMPLETION))
    wire = await provider.accept()
    request = await wire.message()
    assert words(request.body)["model"] == "real-name"
    assert request.head[b"authorization"] == b"Bearer provider-secret-key"
    said = FAILURES[failure]
    if said is None:
        wire.reset()
    else:
        await wire.send(said)
    second = await asked(litellm)
    assert second.body == body
    assert second.head[b"authorization"] == b"Bearer the-clients-key"
    assert second.head.target == COMPLETION
    response = await client.message()
    assert (response.status, response.body) == (200, WHOLE)
    assert response.head[b"x-relay-attempts"] == b"2"
    assert response.head[b"x-relay-upstream"] == b"litellm"


def past_litellm(provider: ScriptedUpstream, litellm: ScriptedUpstream) -> list[Upstream]:
    direct = upstream(provider, "provider", sdk=True, api_key="k", dialects=("chat",))
    return [direct, upstream(litellm, "litellm")]


async def test_who_asked_for_time_is_quoted_where_litellm_does_not(
    serve: Serve, upstreams: Upstreams
) -> None:
    provider, litellm = upstreams(2)
    client = await begin(
        serve,
        past_litellm(provider, litellm),
        RouteRule(to("provider", "litellm"), models=("m",), repeat=Repeat.COMPLETIONS),
        retry=Retry(pause=0.001),
        litellm=LiteLLM("config.yaml"),
    )
    await client.send(post(document(), CLIENT_KEY, target=COMPLETION))
    await asked(provider, answer(b"{}", b"retry-after: 7", status=b"429 Too Many Requests"))
    await asked(litellm, answer(b"{}", status=b"429 Too Many Requests"))
    response = await client.message()
    assert (response.status, response.head[b"retry-after"]) == (429, b"7")
    assert response.head[b"x-relay-attempts"] == b"2"
    assert litellm.nobody_waits()  # it has tried again by itself


@pytest.mark.parametrize("status", [b"400 Bad Request", b"404 Not Found", b"403 Forbidden"])
async def test_what_a_provider_refuses_litellm_may_get_in_another_form(
    serve: Serve, upstreams: Upstreams, status: bytes
) -> None:
    provider, litellm = upstreams(2)
    client = await begin(
        serve,
        past_litellm(provider, litellm),
        RouteRule(to("provider", "litellm"), models=("m",), repeat=Repeat.COMPLETIONS),
        litellm=LiteLLM("config.yaml"),
        retry=Retry(pause=0.001),
    )
    await client.send(post(document(max_tokens=5), CLIENT_KEY, target=COMPLETION))
    await asked(provider, answer(b'{"error":{"message":"use max_completion_tokens"}}', status=status))
    await asked(litellm)
    assert (await client.message()).status == 200


async def test_one_models_limit_is_no_reason_to_shun_litellm(serve: Serve, upstreams: Upstreams) -> None:
    provider, litellm = upstreams(2)
    client = await begin(
        serve,
        past_litellm(provider, litellm),
        RouteRule(to("provider", "litellm"), models=("m",), repeat=Repeat.COMPLETIONS),
        RouteRule(to("litellm")),
        litellm=LiteLLM("config.yaml"),
        retry=Retry(pause=0.001),
    )
    limited = answer(b"{}", b"retry-after: 30", status=b"429 Too Many Requests")
    await client.send(post(document("other"), CLIENT_KEY, target=COMPLETION))
    await asked(litellm, limited)
    assert (await client.message()).status == 429
    await client.send(post(document(), CLIENT_KEY, target=COMPLETION))
    await asked(provider, limited)
    await asked(litellm)
    assert (await client.message()).status == 200


OPENAI_ERROR = b'{"error":{"message":"no such key","type":"auth_error","param":"None","code":"401"}}'
ANTHROPIC_ERROR = b'{"type": "error", "error": {"type": "authentication_error", "message": "no such key"}}'


@pytest.mark.parametrize("body", [OPENAI_ERROR, ANTHROPIC_ERROR, b"Unauthorized", b"", b"[1]"])
async def test_an_error_of_litellm_has_the_shape_that_the_client_reads(
    serve: Serve, upstreams: Upstreams, body: bytes
) -> None:
    (litellm,) = upstreams(1)
    client = await begin(
        serve, [upstream(litellm, "litellm")], RouteRule(to("litellm")), litellm=LiteLLM("config.yaml")
    )
    said = answer(body, b"x-request-id: r1", status=b"401 Unauthorized")
    await client.send(post(document(max_tokens=5), CLIENT_KEY, target=b"/v1/messages"))
    await asked(litellm, said)
    response = await client.message()
    assert response.status == 401
    assert response.head[b"request-id"] == b"r1"
    if body == OPENAI_ERROR:
        error = words(response.body)
        assert (error["type"], error["error"]["type"]) == ("error", "authentication_error")
        assert error["error"]["message"] == "no such key"
    else:
        assert response.body == body
    await client.send(post(document(), CLIENT_KEY, target=COMPLETION))  # chat's own shape is OpenAI's
    await asked(litellm, said)
    assert (await client.message()).body == body


async def test_a_key_of_relays_own_that_is_refused_is_relays_fault(
    serve: Serve, upstreams: Upstreams, caplog: pytest.LogCaptureFixture
) -> None:
    (provider,) = upstreams(1)
    client = await begin(
        serve,
        [upstream(provider, "provider", api_key="provider-secret-key")],
        retry=Retry(repeat=Repeat.COMPLETIONS),
    )
    await client.send(post(document(), CLIENT_KEY, target=COMPLETION))
    await asked(provider, answer(REFUSAL, status=b"401 Unauthorized"))
    response = await client.message()
    assert response.status == 502
    assert words(response.body)["error"]["code"] == "upstream_denied"
    assert b"provider-" not in response.body.replace(b"provider does not", b"")
    assert provider.nobody_waits()
    assert "secret" not in caplog.text


async def test_the_clients_own_key_that_is_refused_is_the_clients_affair(
    serve: Serve, upstreams: Upstreams
) -> None:
    (one,) = upstreams(1)
    client = await begin(serve, [upstream(one, "one")])
    await client.send(post(document(), CLIENT_KEY, target=COMPLETION))
    await asked(one, answer(b'{"error":{"message":"no such key"}}', status=b"401 Unauthorized"))
    assert (await client.message()).status == 401


async def test_settings_of_a_route(serve: Serve, upstreams: Upstreams) -> None:
    one, two = upstreams(2)
    client = await begin(
        serve,
        [upstream(one, "one"), upstream(two, "two")],
        RouteRule(to("one"), models=("bent",), repair=Repair.OFF, timeouts=(("head", 0.05),)),
        RouteRule(to("two"), models=("*",), limits=(("document", 200),)),
    )
    await client.send(post(document("bent"), target=COMPLETION))
    await asked(one, EVENT_STREAM + chunk(WORD) + b"0\r\n\r\n")
    assert (await client.message()).body == WORD  # untouched: no error, no [DONE]
    await client.send(post(document("bent"), target=COMPLETION))
    await one.accept()  # and never answers
    assert (await client.message()).status == 504
    await client.send(post(document("m", user="x" * 300), target=COMPLETION))
    refused = await client.message()
    assert refused.status == 413
    assert b"200 bytes" in refused.body
    assert two.nobody_waits()


async def test_a_document_above_the_limit_of_every_route_is_not_read(
    serve: Serve, upstreams: Upstreams
) -> None:
    (one,) = upstreams(1)
    client = await begin(
        serve, [upstream(one, "one")], RouteRule(to("one"), models=("*",)), limits=Limits(document=100)
    )
    await client.send(get(COMPLETION, b"content-length: 101", method=b"POST"))
    assert (await client.message()).status == 413


async def test_the_whole_exchange_is_limited_by_its_route(serve: Serve, upstreams: Upstreams) -> None:
    (one,) = upstreams(1)
    client = await begin(
        serve,
        [upstream(one, "one")],
        RouteRule(to("one"), models=("quick",), timeouts=(("exchange", 0.05),)),
        RouteRule(to("one")),
    )
    await client.send(post(document("quick"), target=COMPLETION))
    await one.accept()
    response = await client.message()
    assert response.status == 504
    assert b"0.05 s" in response.body


async def test_who_waits_for_one_server_holds_up_nobody_who_wants_another(
    serve: Serve, upstreams: Upstreams
) -> None:
    one, two = upstreams(2)
    settings = {
        "upstreams": (upstream(one, "one", concurrency=1), upstream(two, "two")),
        "routes": (
            RouteRule(to("one"), models=("a",)),
            RouteRule(to("two"), models=("b",)),
            RouteRule(to("one"), models=("c",)),
        ),
        "queue": Queue(wait=20.0),
        "health": Health(),
    }
    relay = await serve("http://127.0.0.1:1", also=settings)
    first, second, third = [await relay.connect() for _ in range(3)]
    await first.send(post(document("a"), target=COMPLETION))
    wire = await one.accept()
    await wire.message()
    await second.send(post(document("c"), target=COMPLETION))  # another route to the same server
    await until(lambda: len(relay.relay.room) == 1)
    await third.send(post(document("b"), target=COMPLETION))
    await asked(two)
    assert (await third.message()).status == 200
    assert one.nobody_waits()
    await wire.send(STREAM)
    assert (await first.message()).status == 200
    await wire.message()
    await wire.send(STREAM)
    assert (await second.message()).status == 200


LISTED = answer(b'{"object":"list","data":[{"id":"claude-3","object":"model","created":0,"owned_by":"a"}]}')


async def test_no_list_of_models_is_asked_with_relays_key_for_a_client_without_one(
    serve: Serve, upstreams: Upstreams
) -> None:
    provider, litellm = upstreams(2)
    client = await begin(
        serve,
        [upstream(provider, "claude", api_key="provider-secret-key"), upstream(litellm, "litellm")],
        RouteRule(to("claude"), models=("claude-*",), paths=("/v1/messages",)),
        RouteRule(to("litellm"), models=("*",)),
        keys=Keys(verifier="litellm", digests=(hashlib.sha256(b"the-clients-key").digest(),)),
    )
    await client.send(get(b"/v1/models", b"anthropic-version: 2023-06-01"))
    assert (await client.message()).status == 401
    assert provider.nobody_waits()
    await client.send(get(b"/v1/models", b"anthropic-version: 2023-06-01", b"x-api-key: the-clients-key"))
    assert (await asked(provider, LISTED)).head[b"x-api-key"] == b"provider-secret-key"
    assert (await asked(litellm, LISTED)).head[b"x-api-key"] == b"the-clients-key"
    assert b"claude-3" in (await client.message()).body


async def test_litellms_own_list_of_models_passes(serve: Serve, upstreams: Upstreams) -> None:
    provider, litellm = upstreams(2)
    client = await begin(
        serve,
        [upstream(provider, "claude", api_key="provider-secret-key"), upstream(litellm, "litellm")],
        RouteRule(to("claude", "litellm"), models=("claude-*",), paths=("/v1/messages",)),
        RouteRule(to("litellm")),
        keys=Keys(verifier="litellm"),
        litellm=LiteLLM("config.yaml"),
    )
    await client.send(get(b"/v1/models", CLIENT_KEY))
    assert (await asked(litellm, LISTED)).head[b"authorization"] == b"Bearer the-clients-key"
    assert (await client.message()).body == LISTED.partition(b"\r\n\r\n")[2]
    assert provider.nobody_waits()


async def test_keys_are_counted_by_what_came_of_them(serve: Serve, upstreams: Upstreams) -> None:
    (one,) = upstreams(1)
    keys = Keys(digests=(hashlib.sha256(b"the-clients-key").digest(),), verifier="gone", timeout=1.0)
    gone = Upstream(Origin("127.0.0.1", 1), name="gone")
    upstream_ = upstream(one, "one", api_key="own")
    relay = await serve("http://127.0.0.1:1", also={"upstreams": (upstream_, gone), "keys": keys})
    for fields, status in (([CLIENT_KEY], 200), ([], 401), ([b"x-api-key: unknown"], 503)):
        client = await relay.connect()
        await client.send(post(document(), *fields, target=COMPLETION))
        if status == 200:
            await asked(one)
        assert (await client.message()).status == status
    counters = relay.relay.counters
    counted = {one: counters.cells[counters.slot(KEYS_CHECKED, one)] for one in OUTCOMES}
    assert counted == {"accepted": 1, "refused": 1, "unavailable": 1}
