"""Which route a request takes: the first rule that its head and its document fit."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.address import Origin
from relay.config import Repair, Repeat, RouteRule, RouteTarget, Settings, Upstream
from relay.routes import Asked, Candidates, Pattern, Route, Router, known_models
from relay.wire.http1 import Inbound, RequestHead

A, B, C = (
    Upstream(Origin("model.test", 8000 + number), name=name, **said)
    for number, (name, said) in enumerate(
        [("a", {"dialects": ("chat",)}), ("b", {"api_key": "secret", "concurrency": 1}), ("c", {})]
    )
)
TO_A, TO_B, TO_C = ((RouteTarget(name),) for name in "abc")


def head(path: str = "/v1/chat/completions", *fields: bytes) -> RequestHead:
    lines = [b"POST " + path.encode() + b" HTTP/1.1", b"host: relay.test", b"content-length: 0", *fields]
    return Inbound().receive_request(b"\r\n".join(lines) + b"\r\n\r\n")


def router(*rules: RouteRule, **settings: object) -> Router:
    return Router(replace(Settings(upstreams=(A, B, C), routes=rules), **settings))


def taken(
    given_router: Router, asked: Asked, path: str = "/v1/chat/completions", *fields: bytes
) -> str | None:
    asking = head(path, *fields)
    route = given_router.candidates(asking).choose(asked, asking)
    return None if route is None else "".join(target.name for target in route.targets)


# --- patterns ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "text", "part"),
    [
        ("gpt-4o", "gpt-4o", "gpt-4o"),
        ("gpt-4o", "gpt-4o-mini", None),
        ("*", "", ""),
        ("*", "anything", "anything"),
        ("openai/*", "openai/gpt-4o", "gpt-4o"),
        ("openai/*", "anthropic/claude", None),
        ("*-mini", "gpt-4o-mini", "gpt-4o"),
        ("a*a", "a", None),
        ("a*a", "aa", ""),
        ("a*b*c", "a1b2c", "1"),
        ("a*b*c", "abb2c", ""),
        ("a*b*c", "ac", None),
        ("a**c", "a12c", ""),
        ("gpt.4", "gptx4", None),
        ("[a-z]*", "b", None),
    ],
)
def test_a_star_stands_for_any_characters_and_all_else_for_itself(
    pattern: str, text: str, part: str | None
) -> None:
    assert Pattern(pattern).matched(text) == part


@given(st.text("ab*", max_size=6), st.text("ab", max_size=8))
def test_it_matches_what_the_regular_expression_would(pattern: str, text: str) -> None:
    expected = re.fullmatch("(.*?)".join(map(re.escape, pattern.split("*"))), text)
    found = Pattern(pattern).matched(text)
    assert (found is None) == (expected is None)
    if expected is not None and expected.lastindex:
        assert found == expected[1]


# --- which rule -------------------------------------------------------------------------------------


def test_without_rules_everybody_may_serve_everything() -> None:
    (route,) = router().candidates(head("/anything")).routes
    assert [target.name for target in route.targets] == ["a", "b", "c"]
    assert not route.asks_document


def test_the_first_rule_that_fits_is_taken() -> None:
    rules = router(
        RouteRule(TO_A, models=("claude-*",)),
        RouteRule(TO_B, models=("claude-3", "gpt-*")),
        RouteRule(TO_C, models=("*",)),
    )
    assert taken(rules, Asked("claude-3")) == "a"
    assert taken(rules, Asked("gpt-4o")) == "b"
    assert taken(rules, Asked("other")) == "c"
    assert taken(rules, Asked(None)) is None


def test_a_rule_by_path() -> None:
    rules = router(RouteRule(TO_A, paths=("/v1/messages", "/v1/audio/*")), RouteRule(TO_B))
    assert taken(rules, Asked(), "/v1/messages?beta=true") == "a"
    assert taken(rules, Asked(), "/v1/audio/speech") == "a"
    assert taken(rules, Asked(), "/v1/chat/completions") == "b"


def test_a_rule_by_fields_of_the_head() -> None:
    rules = router(RouteRule(TO_A, headers=(("x-tenant", "acme-*"), ("x-tier", "gold"))), RouteRule(TO_B))
    assert taken(rules, Asked(), "/", b"X-Tenant: acme-eu", b"x-tier: gold") == "a"
    assert taken(rules, Asked(), "/", b"x-tenant: acme-eu") == "b"
    anything = router(RouteRule(TO_A, headers=(("x-tenant", "*"),)), RouteRule(TO_B))
    assert taken(anything, Asked(), "/", b"x-tenant:") == "a"
    assert taken(anything, Asked(), "/") == "b"


def test_a_rule_for_streams_and_one_for_documents_that_lack_a_field() -> None:
    rules = router(
        RouteRule(TO_A, stream=True, without=("guardrails", "tags")),
        RouteRule(TO_B, stream=False),
        RouteRule(TO_C),
    )
    assert taken(rules, Asked("m", stream=True, fields=frozenset({"model"}))) == "a"
    assert taken(rules, Asked("m", stream=True, fields=frozenset({"tags"}))) == "c"
    assert taken(rules, Asked("m")) == "b"


def test_candidates_end_with_the_first_that_takes_every_document() -> None:
    rules = router(RouteRule(TO_A, models=("m",)), RouteRule(TO_B), RouteRule(TO_C, models=("n",)))
    assert len(rules.candidates(head()).routes) == 2


def test_what_is_kept_for_a_path_is_what_would_be_found_anew() -> None:
    rules = router(
        RouteRule(TO_A, headers=(("x-a", "*"),)),
        RouteRule(TO_B, models=("m", "n")),
        RouteRule(TO_C, models=("m*",)),
        RouteRule(TO_A, models=("n",)),
        RouteRule(TO_C),
    )
    for _ in range(2):
        assert [taken(rules, Asked(model)) for model in ("m", "mm", "n", "x", None)] == list("bcbcc")
        assert taken(rules, Asked("m"), "/", b"x-a: 1") == "a"
    assert rules.candidates(head()) is rules.candidates(head("/v1/chat/completions?a=1"))


MODELS = st.sampled_from(["a", "b", "ab", "ba", "c"])
RULES = st.builds(
    RouteRule,
    to=st.sampled_from([TO_A, TO_B, TO_C]),
    models=st.lists(st.sampled_from(["a", "b", "ab", "a*", "*b", "*"]), max_size=3).map(tuple),
    paths=st.sampled_from([(), ("/x",), ("/*",)]),
    headers=st.sampled_from([(), (("x-a", "1"),)]),
    stream=st.sampled_from([None, True, False]),
)


@given(
    st.lists(RULES, max_size=8),
    MODELS | st.none(),
    st.booleans(),
    st.sampled_from(["/x", "/y"]),
    st.booleans(),
)
def test_the_index_finds_the_first_rule_that_fits(
    rules: list[RouteRule], model: str | None, stream: bool, path: str, header: bool
) -> None:
    asking, asked = head(path, *([b"x-a: 1"] if header else [])), Asked(model, stream)
    routes = router(*rules).routes
    fits = (r for r in routes if r.fits_path(path) and r.fits_headers(asking) and r.fits(asked))
    assert Candidates(routes, path).choose(asked, asking) is next(fits, None)


def test_many_paths_are_not_kept() -> None:
    rules = router(RouteRule(TO_A, models=("m",)))
    for number in range(200):
        rules.candidates(head(f"/{number}"))
    assert rules.candidates(head("/199")) is not rules.candidates(head("/199"))
    assert rules.candidates(head("/" + "x" * 300)) is not rules.candidates(head("/" + "x" * 300))


def test_no_candidate_where_no_path_fits() -> None:
    assert not router(RouteRule(TO_A, paths=("/v1/messages",))).candidates(head("/metrics")).routes


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        (b'{"model":"m","stream":true}', Asked("m", True, frozenset({"model", "stream"}))),
        (b'{"model":7,"stream":"yes"}', Asked(None, False, frozenset({"model", "stream"}))),
        (b"[1]", Asked()),
        (b"\x1f\x8b", Asked()),
        (b"", Asked()),
    ],
)
def test_what_a_document_asks_for(body: bytes, asked: Asked) -> None:
    assert Asked.read(body) == asked


def test_known_models_are_named_once_and_in_order() -> None:
    rules = router(RouteRule(TO_A, models=("b", "a*")), RouteRule(TO_B, models=("c", "b")), RouteRule(TO_C))
    assert known_models(rules.routes) == ["b", "a*", "c"]


# --- whom it leads to -------------------------------------------------------------------------------


def route_of(rule: RouteRule, **settings: object) -> Route:
    return router(rule, **settings).routes[0]


@pytest.mark.parametrize(
    ("pattern", "model", "asked", "known_as"),
    [
        ("gpt-4", "gpt-4o", "gpt-4", "gpt-4o"),
        ("openai/*", "*", "openai/gpt-4o", "gpt-4o"),
        ("*", "vendor/*", "gpt-4o", "vendor/gpt-4o"),
        ("gpt-4", "", "gpt-4", None),
    ],
)
def test_a_target_knows_the_model_by_its_own_name(
    pattern: str, model: str, asked: str, known_as: str | None
) -> None:
    route = route_of(RouteRule((RouteTarget("a", model=model),), models=(pattern,)))
    (target,) = route.targets
    assert route.model_at(target, asked) == known_as
    assert route.model_at(target, None) is None


def test_order_weight_dialects_and_profile_are_the_routes_own() -> None:
    to = (RouteTarget("c", order=2, weight=3, dialects=("messages",), profile="vllm"), RouteTarget("a"))
    rules = router(RouteRule(to), RouteRule(TO_C))
    here, there = (next(t.upstream for t in route.targets if t.name == "c") for route in rules.routes)
    assert (here.order, here.weight, here.dialects, here.profile) == (2, 3, ("messages",), "vllm")
    assert (there.order, there.weight, there.dialects, there.profile) == (1, 1, (), "generic")


def test_a_server_is_the_same_on_every_route() -> None:
    rules = router(RouteRule(TO_B, models=("m",)), RouteRule(TO_B))
    first, second = (next(iter(route.targets)) for route in rules.routes)
    assert first.server is second.server
    assert first.server in {target.server for target in rules.targets}
    chosen = rules.routes[0].targets.choose(0.0)
    assert chosen is first
    assert second.full
    assert rules.routes[1].targets.choose(0.0) is None
    chosen.release()
    assert not second.full
    first.health.failed(0.0)
    assert second.health is first.health


def test_targets_that_the_clients_key_goes_to() -> None:
    mixed = route_of(RouteRule((RouteTarget("a"), RouteTarget("b"))))
    assert [target.name for target in mixed.unkeyed] == ["a"]
    assert mixed.unkeyed is not mixed.targets
    plain = route_of(RouteRule(TO_A))
    assert plain.unkeyed is plain.targets


def test_routes_that_share_no_server_do_not_wait_for_each_other() -> None:
    rules = router(RouteRule(TO_A), RouteRule(TO_B), RouteRule((RouteTarget("b"), RouteTarget("c"))))
    a, b, both = (route.targets for route in rules.routes)
    assert b.shares(both)
    assert not a.shares(both)


def test_the_settings_of_a_rule_stand_over_the_general_ones() -> None:
    rule = RouteRule(
        TO_A,
        repair=Repair.OFF,
        ask_usage=True,
        repeat=Repeat.OFF,
        timeouts=(("idle", 5.0),),
        limits=(("frame", 1024),),
    )
    own, general = route_of(rule).settings, Settings(upstreams=(A, B, C), routes=(rule,))
    assert (own.repair, own.ask_usage, own.retry.repeat) == (Repair.OFF, True, Repeat.OFF)
    assert own.timeouts == replace(general.timeouts, idle=5.0)
    assert own.limits == replace(general.limits, frame=1024)
    assert (
        replace(
            own,
            repair=general.repair,
            ask_usage=False,
            retry=general.retry,
            timeouts=general.timeouts,
            limits=general.limits,
        )
        == general
    )
