"""One list out of those of several upstreams, by the names that clients may use; and names nobody knows."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.address import Origin
from relay.config import RouteRule, RouteTarget, Settings, Upstream
from relay.errors import BadDocument, ModelNotFound
from relay.model_list import models_in
from relay.models_merged import Question, merge, unknown
from relay.routes import Asked, Route, Router
from relay.wire.http1 import RequestHead

VERSION = (b"anthropic-version", b"2023-06-01")


def router(*rules: RouteRule) -> Router:
    """Over upstreams ``a``, ``b`` and ``c``."""
    known = tuple(Upstream(Origin(f"{name}.test", 80), name=name) for name in "abc")
    return Router(Settings(upstreams=known, routes=rules))


def rule(models: Sequence[str], *to: str | RouteTarget, **more: Any) -> RouteRule:
    targets = tuple(RouteTarget(one) if isinstance(one, str) else one for one in to)
    return RouteRule(targets, models=tuple(models), **more)


def names(rules: Sequence[RouteRule], **listed: Sequence[str]) -> list[str]:
    """What a client sees where the upstreams list these."""
    models = {name: [{"id": ident} for ident in idents] for name, idents in listed.items()}
    return list(merge(router(*rules).routes, models))


def head(target: bytes = b"/v1/models", *fields: tuple[bytes, bytes], method: bytes = b"GET") -> RequestHead:
    return RequestHead(
        *(method, target, b"1.1", [*fields], b"relay.test"),
        length=None,
        chunked=False,
        keep_alive=True,
        upgrade=None,
    )


def question(target: bytes = b"/v1/models", *fields: tuple[bytes, bytes]) -> Question:
    asked = Question.read(head(target, *fields))
    assert asked is not None
    return asked


# --- names --------------------------------------------------------------------------------------


def first(routes: Sequence[Route], asked: Asked) -> Route | None:
    """The route that a completion for this takes."""
    return next((route for route in routes if route.fits(asked)), None)


def test_each_upstream_in_its_order_and_each_name_once() -> None:
    assert names([rule([], "a", "b")], a=["x", "y"], b=["y", "z"]) == ["x", "y", "z"]


def test_a_name_that_leads_elsewhere_is_left_out() -> None:
    rules = [rule(["claude-*"], "a"), rule(["*"], "b")]
    assert names(rules, a=["claude-1", "gpt"], b=["claude-2", "llama"]) == ["claude-1", "llama"]


def test_a_name_that_no_route_takes_is_left_out() -> None:
    assert names([rule(["claude-*"], "a")], a=["claude-1", "gpt"]) == ["claude-1"]


def test_the_names_that_routes_spell_out_are_there_though_nobody_lists_them() -> None:
    rules = [rule(["fast", "claude-*"], "a"), rule(["slow"], "b")]
    assert names(rules, a=["claude-1"]) == ["claude-1", "fast", "slow"]
    assert names(rules) == ["fast", "slow"]


def test_an_alias_stands_where_its_model_does_and_has_its_description() -> None:
    rules = [rule(["fast"], RouteTarget("a", model="org/model")), rule(["other"], "b")]
    listed = {"a": [{"id": "org/model", "max_model_len": 7}], "b": [{"id": "other"}]}
    merged = merge(router(*rules).routes, listed)
    assert merged == {"fast": {"id": "fast", "max_model_len": 7}, "other": {"id": "other"}}


def test_a_pattern_that_renames_gives_its_own_names() -> None:
    rules = [rule(["openai/*"], RouteTarget("a", model="*")), rule(["*"], "b")]
    assert names(rules, a=["gpt", "o3"], b=["llama"]) == ["openai/gpt", "openai/o3", "llama"]
    rules = [rule(["*-mine"], RouteTarget("a", model="org/*:free"))]
    assert names(rules, a=["org/x:free", "org/y"]) == ["x-mine"]


def test_many_names_for_one_model_cannot_be_listed() -> None:
    assert names([rule(["claude-*"], RouteTarget("a", model="one"))], a=["one"]) == []


def test_an_earlier_route_decides() -> None:
    rules = [rule(["gpt-*"], "b"), rule(["*"], "a")]
    assert names(rules, a=["gpt-1", "x"], b=[]) == ["x"]


def test_a_route_with_conditions_leaves_the_name_to_those_after_it() -> None:
    """Direct streams, and everything else through another server."""
    rules = [rule(["gpt-*"], "b", stream=True), rule(["*"], "a")]
    assert names(rules, a=["gpt-1", "x"], b=[]) == ["gpt-1", "x"]
    assert names(rules, a=["x"], b=["gpt-2"]) == ["x", "gpt-2"]
    rules = [rule(["gpt-*"], "b", without=("metadata",)), rule(["*"], "a")]
    assert names(rules, a=["gpt-1"], b=[]) == ["gpt-1"]


def test_an_upstream_that_said_nothing_takes_nothing_away() -> None:
    assert names([rule(["x"], "a", "b"), rule(["*"], "a", "b")], b=["x", "y"]) == ["x", "y"]


def test_without_routes_every_upstream_serves_everything() -> None:
    settings = Settings(upstreams=tuple(Upstream(Origin(f"{name}.test", 80), name=name) for name in "ab"))
    routes = Router(settings).candidates(head()).routes
    assert list(merge(routes, {"a": [{"id": "x"}], "b": [{"id": "y"}]})) == ["x", "y"]


IDENTS = st.text("ab/*", min_size=1, max_size=4)
LISTED = st.dictionaries(st.sampled_from("abc"), st.lists(st.text("ab/", min_size=1, max_size=4), max_size=5))
TARGETS = st.builds(RouteTarget, st.sampled_from("abc"), model=st.sampled_from(["", "", "a", "*", "a/*"]))
RULES = st.lists(
    st.builds(
        RouteRule,
        st.lists(TARGETS, min_size=1, max_size=2).map(tuple),
        models=st.lists(IDENTS, max_size=3).map(tuple),
        stream=st.sampled_from([None, None, True, False]),
    ),
    min_size=1,
    max_size=4,
)


@given(rules=RULES, listed=LISTED)
def test_every_name_leads_to_a_server_that_has_it_or_is_spelled_out(
    rules: list[RouteRule], listed: dict[str, list[str]]
) -> None:
    known = router(*rules)
    merged = merge(known.routes, {name: [{"id": one} for one in ids] for name, ids in listed.items()})
    spelled_out = {model for one in rules for model in one.models if "*" not in model}
    assert spelled_out <= merged.keys()
    for name, model in merged.items():
        assert model["id"] == name
        leads = {
            (target.name, route.model_at(target, name) or name)
            for stream in (True, False)
            if (route := first(known.routes, Asked(name, stream=stream))) is not None
            for target in route.targets
        }
        has = any(one in listed.get(server, []) for server, one in leads)
        assert has or name in spelled_out


@given(rules=RULES, listed=LISTED)
def test_no_listed_model_is_lost_that_can_be_asked_for_by_its_own_name(
    rules: list[RouteRule], listed: dict[str, list[str]]
) -> None:
    known = router(*rules)
    merged = merge(known.routes, {name: [{"id": one} for one in ids] for name, ids in listed.items()})
    for server, idents in listed.items():
        for ident in idents:
            route = first(known.routes, Asked(ident, stream=True))
            targets = () if route is None else route.targets
            if any(one.name == server and not one.model for one in targets):
                assert ident in merged


def test_thousands_of_models_over_hundreds_of_routes_take_no_time() -> None:
    """The loop waits: about 10 ms here."""
    rules = [rule([f"model-{number}"], RouteTarget("a", model=f"m/{number}")) for number in range(500)]
    routes = router(*rules, rule(["openai/*"], RouteTarget("b", model="*")), rule(["*"], "c")).routes
    listed = {name: [{"id": f"m/{number}"} for number in range(2000)] for name in "abc"}
    began = time.process_time()
    assert len(merge(routes, listed)) == 4500
    assert time.process_time() - began < 0.5


# --- the question -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "base", "ident"),
    [
        (b"/v1/models", b"/v1", None),
        (b"/v1/models/", b"/v1", None),
        (b"/models", b"", None),
        (b"/v1/models?limit=1", b"/v1", None),
        (b"/team/v1/models/gpt", b"/team/v1", "gpt"),
        (b"/v1/models/org%2Fmodel", b"/v1", "org/model"),
        (b"/v1/models/org/model", b"/v1", "org/model"),
        (b"/v1/models/a/models/%C3%A4", b"/v1", "a/models/ä"),
    ],
)
def test_what_is_asked_for(target: bytes, base: bytes, ident: str | None) -> None:
    asked = question(target)
    assert (asked.base, asked.ident) == (base, ident)


@pytest.mark.parametrize(
    ("target", "method"),
    [
        (b"/v1/models", b"DELETE"),
        (b"/v1/models", b"POST"),
        (b"/v1/modelsx", b"GET"),
        (b"/ui/models", b"GET"),
        (b"/v1beta/models", b"GET"),
        (b"/v1/chat/completions", b"GET"),
        (b"/models?client_version=0.159.3", b"GET"),  # codex wants a catalog that only LiteLLM has
    ],
)
def test_what_is_no_such_question(target: bytes, method: bytes) -> None:
    assert Question.read(head(target, method=method)) is None


def test_pages_are_ours_and_the_rest_of_the_query_goes_on() -> None:
    asked = question(b"/v1/models?limit=2&team_id=a%20b&after_id=x&beta=true")
    assert asked.passed_on == "team_id=a+b&beta=true"


@pytest.mark.parametrize(
    ("paths", "openai_sees", "anthropic_sees"),
    [
        ((), True, True),
        (("/v1/messages",), False, True),
        (("/v1/chat/completions", "/chat/completions"), True, False),
        (("/v1/*",), True, True),
        (("/v1/embeddings",), True, False),
        (("/team/*",), False, False),
        (("/v1/models",), True, True),
    ],
)
def test_only_routes_that_such_a_client_may_take(
    paths: tuple[str, ...], openai_sees: bool, anthropic_sees: bool
) -> None:
    (route,) = router(rule(["x"], "a", paths=paths)).routes
    assert question().serves(route, head()) is openai_sees
    asked = head(b"/v1/models", VERSION)
    assert question(b"/v1/models", VERSION).serves(route, asked) is anthropic_sees


def test_only_routes_of_this_clients_fields() -> None:
    (route,) = router(rule(["x"], "a", headers=(("x-team", "red"),))).routes
    assert question().serves(route, head(b"/v1/models", (b"X-Team", b"red")))
    assert not question().serves(route, head())


# --- the answer ---------------------------------------------------------------------------------

OPENAI = {"id": "m", "object": "model", "created": 1700000000, "owned_by": "vllm", "max_model_len": 4096}
CLAUDE = {"type": "model", "id": "c", "display_name": "C", "created_at": "2025-01-02T03:04:05Z"}
BOTH = {"m": OPENAI, "c": CLAUDE, "bare": {"id": "bare"}}


def test_openais_shape_keeps_what_servers_add() -> None:
    answer = json.loads(question().answer(BOTH))
    assert answer["object"] == "list"
    first, second, third = answer["data"]
    assert first == OPENAI
    assert second == {"id": "c", "object": "model", "created": 1735787045, "owned_by": "anthropic"}
    assert third == {"id": "bare", "object": "model", "created": 0, "owned_by": "unknown"}


def test_anthropics_shape() -> None:
    answer = json.loads(question(b"/v1/models", VERSION).answer(BOTH))
    first, second, third = answer["data"]
    assert first == {
        "type": "model",
        "id": "m",
        "display_name": "m",
        "created_at": "2023-11-14T22:13:20Z",
        "max_input_tokens": 4096,
    }
    assert second == CLAUDE
    assert third["created_at"] == "1970-01-01T00:00:00Z"
    assert (answer["has_more"], answer["first_id"], answer["last_id"]) == (False, "m", "bare")


def test_no_models_at_all() -> None:
    assert json.loads(question().answer({})) == {"object": "list", "data": []}
    answer = json.loads(question(b"/v1/models", VERSION).answer({}))
    assert answer == {"data": [], "has_more": False, "first_id": None, "last_id": None}


@pytest.mark.parametrize("fields", [(), (VERSION,)], ids=["openai", "anthropic"])
def test_one_model(fields: tuple[tuple[bytes, bytes], ...]) -> None:
    answer = json.loads(question(b"/v1/models/m", *fields).answer(BOTH))
    assert answer["id"] == "m"
    assert answer["type" if fields else "object"] == "model"


def test_one_model_that_nobody_has() -> None:
    with pytest.raises(ModelNotFound, match=r"model: x does not exist here\. Known are m, c, bare"):
        question(b"/v1/models/x").answer(BOTH)


@pytest.mark.parametrize(
    ("query", "shown", "more"),
    [
        (b"", "abcdef", False),
        (b"?limit=2", "ab", True),
        (b"?limit=6", "abcdef", False),
        (b"?limit=1000&after_id=", "abcdef", False),
        (b"?limit=2&after_id=b", "cd", True),
        (b"?limit=2&after_id=d", "ef", False),
        (b"?after_id=f", "", False),
        (b"?limit=2&before_id=d", "bc", True),
        (b"?limit=3&before_id=d", "abc", False),
        (b"?before_id=a", "", False),
        (b"?after_id=a&before_id=e&limit=2", "bc", True),
        (b"?after_id=a&before_id=d", "bc", False),
    ],
)
def test_pages(query: bytes, shown: str, more: bool) -> None:
    models = {name: {"id": name} for name in "abcdef"}
    answer = json.loads(question(b"/v1/models" + query, VERSION).answer(models))
    assert "".join(model["id"] for model in answer["data"]) == shown
    assert answer["has_more"] is more
    assert (answer["first_id"], answer["last_id"]) == ((shown[0], shown[-1]) if shown else (None, None))


@pytest.mark.parametrize(
    "query",
    [b"limit=0", b"limit=1001", b"limit=-1", b"limit=x", b"limit=9" * 9, b"after_id=x", b"before_id=x"],
)
def test_a_page_that_cannot_be_turned_to(query: bytes) -> None:
    with pytest.raises(BadDocument) as refused:
        question(b"/v1/models?" + query, VERSION).answer({"a": {"id": "a"}})
    assert refused.value.body is not None
    assert json.loads(refused.value.body)["error"]["type"] == "invalid_request_error"


def test_openais_clients_know_no_pages() -> None:
    answer = json.loads(question(b"/v1/models?limit=1").answer(BOTH))
    assert len(answer["data"]) == 3


def turn(models: dict[str, dict[str, Any]], query: bytes) -> tuple[list[str], bool]:
    answer = json.loads(question(b"/v1/models?" + query, VERSION).answer(models))
    return [model["id"] for model in answer["data"]], answer["has_more"]


@given(st.integers(0, 9), st.integers(1, 4))
def test_all_pages_together_are_the_list(count: int, limit: int) -> None:
    models = {f"{number}": {"id": f"{number}"} for number in range(count)}
    seen, more = turn(models, b"limit=%d" % limit)
    while more:
        page, more = turn(models, f"limit={limit}&after_id={seen[-1]}".encode())
        seen += page
    assert seen == list(models)


@given(st.integers(1, 9), st.integers(1, 4))
def test_all_pages_together_are_the_list_from_its_end(count: int, limit: int) -> None:
    models = {f"{number}": {"id": f"{number}"} for number in range(count)}
    seen, more = [f"{count - 1}"], True
    while more:
        page, more = turn(models, f"limit={limit}&before_id={seen[0]}".encode())
        seen = page + seen
    assert seen == list(models)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"object": "list", "data": [{"id": "a"}, {"id": "b", "x": 1}]}', ["a", "b"]),
        (b'{"data": [{"type": "model", "id": "a"}], "has_more": true}', ["a"]),
        (b'[{"id": "a"}]', ["a"]),
        (b'{"data": [3, {"id": 3}, {"name": "x"}, {"id": "a"}]}', ["a"]),
        (b'{"data": []}', []),
        (b'{"data": null}', None),
        (b'{"models": []}', None),
        (b"3", None),
        (b"<html>", None),
        (b"", None),
    ],
)
def test_lists_in_every_shape(body: bytes, found: list[str] | None) -> None:
    models = models_in(body)
    assert (None if models is None else [model["id"] for model in models]) == found


# --- unknown ------------------------------------------------------------------------------------


def said(error: ModelNotFound) -> dict[str, Any]:
    assert error.body is not None
    document: dict[str, Any] = json.loads(error.body)
    return document


def test_openais_error() -> None:
    error = unknown("gpt-5x", ["gpt-5", "llama"], "chat")
    assert error.status == 404
    assert said(error) == {
        "error": {
            "message": "model: gpt-5x does not exist here; did you mean gpt-5? Known are gpt-5, llama",
            "type": "invalid_request_error",
            "param": "model",
            "code": "model_not_found",
        }
    }


def test_anthropics_error() -> None:
    document = said(unknown("claude", ["claude-1"], "messages"))
    assert (document["type"], document["error"]["type"]) == ("error", "not_found_error")
    assert "did you mean claude-1?" in document["error"]["message"]


def test_responses_has_openais_form() -> None:
    assert said(unknown("x", [], "responses"))["error"]["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("claude-sonnet-4-5", "anthropic/claude-sonnet-4-5"),
        ("CLAUDE-HAIKU", "claude-haiku"),
        ("openai/gpt-5-mini", "gpt-5-mini"),
        ("gpt5", "gpt-5"),
        ("lama", "llama"),
    ],
)
def test_the_name_that_was_meant_comes_first(asked: str, meant: str) -> None:
    known = ["x-ray", "anthropic/claude-sonnet-4-5", "claude-haiku", "gpt-5-mini", "gpt-5", "llama", "o3"]
    message = str(unknown(asked, known, "chat"))
    assert f"did you mean {meant}" in message
    assert f"Known are {meant}, " in message


def test_nothing_is_meant_by_what_is_like_nothing() -> None:
    message = str(unknown("zzz", ["gpt-5", "llama"], "chat"))
    assert message == "model: zzz does not exist here. Known are gpt-5, llama"
    assert str(unknown("zzz", [], "chat")) == "model: zzz does not exist here"


def test_of_many_names_some_are_shown() -> None:
    message = str(unknown("zzz", [f"model-{number}" for number in range(500)], "chat"))
    assert message.endswith("model-18, model-19 and 480 more")


def test_a_name_of_any_length_takes_no_time_and_little_room() -> None:
    """What clients send is not to be compared with everything at length: about 20 ms here."""
    known = [f"provider/some-model-of-a-family-{number}" for number in range(5000)]
    began = time.process_time()
    error = unknown("provider/some-model" * 100_000, known, "messages")
    assert time.process_time() - began < 0.5
    assert len(error.body or b"") < 3000


def test_the_log_does_not_repeat_the_clients_words() -> None:
    assert "secret" not in unknown("secret", ["x"], "chat").logged


@given(st.text(), st.lists(st.text(max_size=9)), st.sampled_from(["chat", "messages", "responses"]))
def test_any_name_can_be_unknown(model: str, known: list[str], dialect: str) -> None:
    assert said(unknown(model, known, dialect))["error"]["message"]
