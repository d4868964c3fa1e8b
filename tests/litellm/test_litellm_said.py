"""What relay says about LiteLLM's file: a line for each model, and what direct streams go round."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from relay.config import Direct
from tests.litellm.plans import CONFIGS, KEYS, asked, config, model, planned


def test_one_aligned_line_for_each_name() -> None:
    made = planned(CONFIGS / "mixed.yaml")
    assert made.said[0] == (
        "gpt-4o                  streams straight to https://api.openai.com/v1 "
        "(chat, responses; messages translated), then LiteLLM"
    )
    assert len(made.said) == 11
    assert len({one.index("  ") <= 24 for one in made.said}) == 1


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
@pytest.mark.parametrize("direct", Direct)
def test_no_key_is_ever_said(path: Path, direct: Direct) -> None:
    environ = {**KEYS, "OUTER_TEAM_KEY": "sk-team", "AZURE_CLIENT_SECRET": "sk-client"}
    made = planned(path, direct, environ)
    told = "".join((*made.said, *made.warnings, repr(made)))
    assert "sk-" not in told
    assert "fake-api-key" not in told


def test_a_key_in_a_path_is_not_said(tmp_path: Path) -> None:
    made = config(tmp_path, model(api_key="abcdef123", api_base="https://gw/abcdef123/v1"))
    assert "abcdef" not in "".join(made.said)


def test_what_direct_streams_go_round_is_named() -> None:
    made = planned(CONFIGS / "balanced.yaml")
    (around,) = [one for one in made.warnings if one.startswith("without effect")]
    for word in (
        "callbacks (prometheus, otel)",
        "cache",
        "fallbacks",
        "router_settings.cooldown_time",
        "alerting",
    ):
        assert word in around
    assert "set_verbose" not in around
    assert "routing_strategy" not in around
    assert "redis" not in around
    assert any("store_model_in_db" in one for one in made.warnings)
    assert any("timeout, stream_timeout" in one and "claude" in one for one in made.warnings)


def test_nothing_is_gone_round_without_direct() -> None:
    made = planned(CONFIGS / "mixed.yaml", Direct.NONE)
    assert not made.warnings


@pytest.mark.parametrize(
    ("top", "word"),
    [
        (
            {"guardrails": [{"guardrail_name": "pii", "litellm_params": {"default_on": True}}]},
            "the guardrail pii is always on",
        ),
        (
            {"litellm_settings": {"guardrails": [{"old": {"callbacks": ["lakera"], "default_on": True}}]}},
            "the guardrail old",
        ),
        (
            {"litellm_settings": {"callbacks": ["detect_prompt_injection"]}},
            "the callback detect_prompt_injection",
        ),
        ({"litellm_settings": {"headers": {"a": "b"}}}, "litellm_settings.headers changes every request"),
        ({"policies": {"p": {}}}, "policies decide on guardrails"),
        (
            {"general_settings": {"master_key": "sk-m", "custom_auth": "a.b"}},
            "custom_auth decides who may ask",
        ),
        (
            {"general_settings": {"master_key": "sk-m", "enable_jwt_auth": True}},
            "enable_jwt_auth decides who may ask",
        ),
        (
            {"router_settings": {"default_litellm_params": {"temperature": 0}}},
            "default_litellm_params sets temperature",
        ),
    ],
)
@pytest.mark.parametrize("direct", [Direct.STREAMS, Direct.ALL])
def test_what_protects_keeps_everything_with_litellm(
    tmp_path: Path, top: dict[str, Any], word: str, direct: Direct
) -> None:
    made = config(tmp_path, model(api_key="k"), direct=direct, **top)
    assert [str(one) for one in made.upstreams] == ["litellm"]
    assert asked(made, "m") == [("litellm", None)]
    assert any(one.startswith("nothing goes past LiteLLM") and word in one for one in made.warnings)


def test_a_guardrail_on_request_is_named_only(tmp_path: Path) -> None:
    made = config(
        tmp_path,
        model(api_key="k"),
        guardrails=[{"guardrail_name": "pii", "litellm_params": {"default_on": False}}],
    )
    assert len(made.upstreams) == 2
    assert any("guardrails" in one for one in made.warnings)


def test_a_variable_that_only_litellm_may_have_is_named_with_its_models(tmp_path: Path) -> None:
    lacking = model(api_key="os.environ/ABSENT")
    made = config(
        tmp_path, lacking, lacking, model("n", api_key="os.environ/ABSENT"), model("o", api_key="k")
    )
    assert "ABSENT is not set here: LiteLLM alone asks m, n" in made.warnings
    assert not any("ABSENT" in one for one in config(tmp_path, lacking, direct=Direct.NONE).warnings)
