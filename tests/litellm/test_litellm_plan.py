"""What relay does in front of a LiteLLM: its routes and keys, whatever the file holds."""

from __future__ import annotations

import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.config import Direct, LiteLLM, Repeat, RouteTarget, Settings
from relay.litellm.plan import WITHOUT, plan
from relay.routes import Asked, Router
from relay.source.problems import Problem
from relay.wire.http1 import Inbound
from tests.litellm.plans import (
    CONFIGS,
    DIALECT_OF,
    KEYS,
    asked,
    config,
    line,
    model,
    planned,
    route,
    targets,
    upstream,
)

# ----- nothing direct: all through LiteLLM -----


def test_without_direct_everything_goes_through_litellm() -> None:
    made = planned(CONFIGS / "mixed.yaml", Direct.NONE)
    assert [str(one) for one in made.upstreams] == ["litellm"]
    assert all([target.upstream for target in rule.to] == ["litellm"] for rule in made.routes)
    assert not upstream(made, "litellm").api_key
    assert not upstream(made, "litellm").dialects


@pytest.mark.parametrize(
    ("name", "dialects"),
    [
        ("gpt-4o", ("chat", "responses")),
        ("gpt-4", ("chat", "responses")),
        ("claude-sonnet", ("messages", "chat")),
        ("gpt-4.1-azure", ("chat", "responses")),
        ("qwen", ("chat", "responses")),
        ("gemini", ("chat",)),
        ("claude-bedrock", ("messages", "chat")),
        ("text-embedding-3-small", ()),
        ("openai/gpt-5.2", ("chat", "responses")),
        ("openai/gpt-5.2-codex", ("responses",)),
        ("a-model-of-the-database", ()),
    ],
)
def test_litellm_is_asked_in_what_the_deployment_speaks(name: str, dialects: tuple[str, ...]) -> None:
    for path in DIALECT_OF:
        (target,) = targets(planned(CONFIGS / "mixed.yaml", Direct.NONE), name, path)
        assert target.dialects == dialects


def test_litellm_translates_if_told_to() -> None:
    made = planned(CONFIGS / "mixed.yaml", translate=False)
    assert all(
        not target.dialects for rule in made.routes for target in rule.to if target.upstream == "litellm"
    )
    assert asked(made, "gpt-4o") == [("openai", "gpt-4o"), ("litellm", None)]
    assert asked(made, "gpt-4o", "/v1/messages") == [("litellm", None)]
    assert "translated" not in "".join(made.said)


@pytest.mark.parametrize(
    "path", ["/v1/embeddings", "/v1/messages/count_tokens", "/key/info", "/anthropic/v1/messages"]
)
def test_other_paths_go_to_litellm_as_they_are(path: str) -> None:
    (target,) = targets(planned(CONFIGS / "mixed.yaml"), "gpt-4o", path)
    assert target == RouteTarget("litellm")


def test_deployments_that_differ_are_asked_in_what_all_speak(tmp_path: Path) -> None:
    made = config(
        tmp_path,
        model(),
        model(model="anthropic/claude-opus-4-8"),
        model(model="gemini/x"),
        direct=Direct.NONE,
    )
    assert targets(made, "m")[0].dialects == ("chat",)


# ----- direct: who is asked -----


@pytest.mark.parametrize(
    ("name", "path", "expected"),
    [
        ("gpt-4o", "/v1/chat/completions", [("openai", "gpt-4o"), ("litellm", None)]),
        ("gpt-4o", "/v1/responses", [("openai", "gpt-4o"), ("litellm", None)]),
        ("gpt-4o", "/v1/messages", [("openai", "gpt-4o"), ("litellm", None)]),
        ("gpt-4", "/responses", [("openai", "gpt-4o"), ("litellm", None)]),
        ("claude-sonnet", "/v1/messages", [("anthropic", "claude-sonnet-4-5-20250929"), ("litellm", None)]),
        ("claude-sonnet", "/v1/responses", [("anthropic", "claude-sonnet-4-5-20250929"), ("litellm", None)]),
        ("gpt-4.1-azure", "/v1/chat/completions", [("azure", "my-gpt-41"), ("litellm", None)]),
        ("gpt-4.1-azure", "/v1/responses", [("litellm", None)]),
        (
            "fast",
            "/chat/completions",
            [("hosted_vllm", "Qwen/Qwen3-32B"), ("hosted_vllm-2", "Qwen/Qwen3-32B"), ("litellm", None)],
        ),
        ("openai/gpt-5.2", "/v1/chat/completions", [("openai", "gpt-5.2"), ("litellm", None)]),
        ("openai/gpt-5.2-codex", "/v1/chat/completions", [("litellm", None)]),
        ("gemini", "/v1/chat/completions", [("litellm", None)]),
        ("cool-gpt", "/v1/chat/completions", [("litellm", None)]),
        ("text-embedding-3-small", "/v1/chat/completions", [("litellm", None)]),
        ("unheard-of", "/v1/chat/completions", [("litellm", None)]),
    ],
)
def test_streams_go_straight(name: str, path: str, expected: list[tuple[str, str | None]]) -> None:
    assert asked(planned(CONFIGS / "mixed.yaml"), name, path) == expected


def test_only_streams_or_all() -> None:
    assert asked(planned(CONFIGS / "mixed.yaml"), "gpt-4o", stream=False) == [("litellm", None)]
    everything = planned(CONFIGS / "mixed.yaml", Direct.ALL)
    assert asked(everything, "gpt-4o", stream=False) == [("openai", "gpt-4o"), ("litellm", None)]
    assert "goes straight to" in line(everything, "gpt-4o")


def test_a_direct_route_fails_over_before_the_first_frame() -> None:
    assert route(planned(CONFIGS / "mixed.yaml"), "gpt-4o").rule.repeat is Repeat.COMPLETIONS


@pytest.mark.parametrize(
    "field",
    ["guardrails", "fallbacks", "litellm_metadata", "mock_response", "num_retries", "api_key", "tags"],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
def test_what_only_litellm_understands_goes_to_it(field: str, path: str) -> None:
    assert asked(planned(CONFIGS / "mixed.yaml"), "gpt-4o", path, **{field: 1}) == [("litellm", None)]


def test_metadata_is_anthropics_own_but_litellms_elsewhere() -> None:
    made = planned(CONFIGS / "mixed.yaml")
    assert len(asked(made, "claude-sonnet", "/v1/messages", metadata=1)) == 2
    assert asked(made, "gpt-4o", metadata=1) == [("litellm", None)]


def test_a_stored_response_is_continued_where_its_id_is_known() -> None:
    made = planned(CONFIGS / "mixed.yaml")
    assert asked(made, "gpt-4o", "/v1/responses", previous_response_id=1) == [("litellm", None)]


def test_no_field_of_a_dialect_is_taken_for_litellms() -> None:
    """What Claude Code, Codex and the SDKs send every time must not lead round the provider."""
    usual = {
        "chat": "model messages stream stream_options tools tool_choice temperature max_tokens "
        "max_completion_tokens reasoning_effort response_format user store seed stop n logprobs",
        "responses": "model input instructions stream tools tool_choice reasoning store include "
        "prompt_cache_key parallel_tool_calls text max_output_tokens truncation service_tier client_metadata",
        "messages": "model messages system stream tools tool_choice max_tokens temperature thinking metadata "
        "stop_sequences top_k top_p context_management output_config service_tier container mcp_servers",
    }
    for dialect, fields in usual.items():
        assert not set(fields.split()).intersection(WITHOUT[dialect])


# ----- names -----


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("openai/gpt-4o", [("openai", "gpt-4o"), ("litellm", None)]),
        ("openai/gpt-5.2", [("openai-2", "gpt-5.2"), ("litellm", None)]),
        ("anthropic/claude-opus-4-8", [("anthropic", "claude-opus-4-8"), ("litellm", None)]),
        ("qwen-local", [("hosted_vllm", "qwen"), ("litellm", None)]),
        ("qwen-local-2", [("litellm", None)]),
        ("team-a/llama-3", [("litellm", None)]),
        ("gpt-4o", [("litellm", None)]),
    ],
)
def test_the_pattern_that_litellm_would_take(name: str, expected: list[tuple[str, str | None]]) -> None:
    assert asked(planned(CONFIGS / "wildcard.yaml"), name) == expected


def test_a_name_comes_before_a_pattern(tmp_path: Path) -> None:
    made = config(tmp_path, model("*", "groq/*", api_key="g"), model("exact", api_key="k"))
    assert asked(made, "exact")[0] == ("openai", "gpt-4o")
    assert asked(made, "other")[0] == ("groq", None)


def test_an_alias_comes_before_a_name(tmp_path: Path) -> None:
    router = {
        "model_group_alias": {"a": "b", "c": {"model": "a", "hidden": True}, "d": "team/x", "e": "nothing"}
    }
    made = config(
        tmp_path,
        model("a", "openai/first", api_key="k"),
        model("b", "openai/second", api_key="k"),
        model("team/*", "groq/*", api_key="g"),
        router_settings=router,
    )
    assert asked(made, "a")[0] == ("openai", "second")
    assert asked(made, "c")[0] == ("openai", "first")
    assert asked(made, "d") == [("litellm", None)]
    assert targets(made, "d")[0].dialects == ("chat",)
    assert "as b" in line(made, "a")


def test_names_with_signs_are_names(tmp_path: Path) -> None:
    made = config(tmp_path, model("a.b[c]?", api_key="k"), model("x y", api_key="k"))
    assert asked(made, "a.b[c]?")[0][0] == "openai"
    assert asked(made, "aXb[c]?") == [("litellm", None)]


# ----- timeouts -----


def test_relay_waits_no_shorter_than_litellm(tmp_path: Path) -> None:
    made = config(
        tmp_path, model(api_key="k", timeout=600, num_retries=4), model("n", api_key="k", timeout=20)
    )
    assert dict(route(made, "m").rule.timeouts) == {"head": 630.0, "first_frame": 630.0, "idle": 630.0}
    assert dict(route(made, "m", stream=False).rule.timeouts)["head"] == 600 * 5 + 30
    assert not route(made, "n").rule.timeouts


# ----- keys -----


def test_the_master_key_is_known_by_its_digest() -> None:
    made = planned(CONFIGS / "mixed.yaml")
    assert made.keys.digests == (sha256(KEYS["LITELLM_MASTER_KEY"].encode()).digest(),)
    assert made.keys.verifier == "litellm"


def test_the_master_key_may_be_in_the_environment(tmp_path: Path) -> None:
    made = config(tmp_path, model(), general_settings={}, environ={"LITELLM_MASTER_KEY": "sk-e"})
    assert made.keys.digests == (sha256(b"sk-e").digest(),)


def test_a_master_key_that_is_not_known_here_is_asked_of_litellm(tmp_path: Path) -> None:
    made = config(tmp_path, model(), general_settings={"master_key": "os.environ/ABSENT"})
    assert (made.keys.digests, made.keys.verifier) == ((), "litellm")
    assert any("master_key" in one for one in made.warnings)


def test_without_a_master_key_nothing_goes_past_litellm(tmp_path: Path) -> None:
    made = config(tmp_path, model(api_key="k"), general_settings={}, environ={})
    assert not made.keys.asked
    assert any("no master key" in one for one in made.warnings)
    assert [str(one) for one in made.upstreams] == ["litellm"]


def test_keys_of_relays_own_do_as_well_as_a_master_key(tmp_path: Path) -> None:
    config(tmp_path, model(api_key="k"), general_settings={}, environ={})
    settings = LiteLLM(str(tmp_path / "config.yaml"), direct=Direct.STREAMS)
    made = plan(settings, {}, [], guarded=True)
    assert [str(one) for one in made.upstreams] == ["litellm", "openai"]
    assert not made.keys.asked


def test_whoever_speaks_to_litellm_in_the_head_is_heard_by_it(tmp_path: Path) -> None:
    made = config(tmp_path, model("gpt", "openai/gpt-4o", api_key="k"))
    router = Router(Settings(upstreams=made.upstreams, routes=made.routes))
    head = Inbound().receive_request(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: r\r\nx-litellm-tags: a\r\ncontent-length: 2\r\n\r\n"
    )
    route = router.candidates(head).choose(Asked("gpt", stream=True), head)
    assert route is not None
    assert [target.name for target in route.targets] == ["litellm"]


# ----- the whole -----


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    problems: list[Problem] = []
    made = plan(LiteLLM(str(tmp_path / "absent.yaml")), {}, problems)
    assert problems
    assert [str(one) for one in made.upstreams] == ["litellm"]


def test_a_thousand_models_are_planned_at_once(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    entries = [model(f"model-{index}", f"openai/gpt-{index}", api_key="k") for index in range(1000)]
    path.write_text(yaml.safe_dump({"model_list": entries}))
    began = time.process_time()
    made = planned(path)
    assert time.process_time() - began < 2
    assert len(made.said) == 1000
    assert len(made.upstreams) == 2


def test_names_that_are_the_providers_share_their_routes(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    entries = [model(f"gpt-{index}", f"openai/gpt-{index}", api_key="k") for index in range(100)]
    path.write_text(yaml.safe_dump({"model_list": entries}))
    made = planned(path)
    assert len([rule for rule in made.routes if not rule.headers]) == 4
    assert asked(made, "gpt-7") == [("openai", None), ("litellm", None)]


_WORDS = st.sampled_from(
    [
        "model_list",
        "model_name",
        "litellm_params",
        "model_info",
        "model",
        "api_base",
        "api_key",
        "api_version",
        "base_url",
        "organization",
        "mode",
        "extra_headers",
        "headers",
        "weight",
        "rpm",
        "order",
        "timeout",
        "max_parallel_requests",
        "custom_llm_provider",
        "tags",
        "litellm_credential_name",
        "litellm_settings",
        "router_settings",
        "general_settings",
        "model_group_alias",
        "master_key",
        "guardrails",
        "callbacks",
        "default_on",
        "credential_list",
        "credential_name",
        "credential_values",
        "environment_variables",
        "default_litellm_params",
        "*",
        "a",
        "openai/*",
        "openai/gpt-4o",
        "azure/x",
        "anthropic/claude-3",
        "os.environ/A",
        "hosted_vllm/q",
        "http://a/v1",
        "2025-01-01",
        "x-[y",
    ]
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | _WORDS | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS | st.integers(), inner, max_size=5),
    max_leaves=12,
)
_PARAMS = st.fixed_dictionaries(
    {"model": _WORDS},
    optional={
        "api_key": _VALUES,
        "api_base": _VALUES,
        "weight": _VALUES,
        "order": _VALUES,
        "extra_headers": _VALUES,
        "timeout": _VALUES,
    },
)
_ENTRY = st.fixed_dictionaries(
    {"model_name": _WORDS, "litellm_params": _PARAMS | _VALUES}, optional={"model_info": _VALUES}
)
_FILES = st.fixed_dictionaries(
    {"model_list": st.lists(_ENTRY | _VALUES, max_size=4) | _VALUES},
    optional=dict.fromkeys(
        (
            "router_settings",
            "litellm_settings",
            "general_settings",
            "guardrails",
            "credential_list",
            "environment_variables",
        ),
        _VALUES,
    ),
)


@settings(max_examples=150)
@given(_FILES | _VALUES, st.sampled_from(Direct), st.booleans())
def test_any_structure_is_a_plan_or_a_problem(
    tmp_path_factory: Any, value: Any, direct: Direct, translate: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(yaml.safe_dump(value, allow_unicode=True), errors="replace")
    problems: list[Problem] = []
    made = plan(LiteLLM(str(path), direct=direct, translate=translate), {"A": "sk-a"}, problems)
    names = {str(one) for one in made.upstreams}
    assert all(target.upstream in names and target.weight >= 1 for rule in made.routes for target in rule.to)
    assert made.routes[-1].to == (RouteTarget("litellm"),)
    Router(Settings(upstreams=made.upstreams, routes=made.routes))


@settings(max_examples=100)
@given(st.text())
def test_any_text_is_a_plan_or_a_problem(tmp_path_factory: Any, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "text.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    problems: list[Problem] = []
    plan(LiteLLM(str(path)), {}, problems)
    assert problems or isinstance(yaml.safe_load(text), dict)


def test_the_router_asks_servers_of_a_plan_in_their_order() -> None:
    made = planned(CONFIGS / "balanced.yaml")
    assert replace(made, said=()).routes == made.routes
    router = Router(Settings(upstreams=made.upstreams, routes=made.routes))
    assert len(router.targets) == len(made.upstreams)
