"""LiteLLM's names of models, and where their providers are; the live check asks LiteLLM itself."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay import dialects
from relay.config import Upstream
from relay.dialects.profiles import BY_NAME
from relay.litellm.providers import PROVIDERS, RESPONSES_ONLY, profile_of, provider_of, responses_only, speaks
from relay.routes import Pattern


@pytest.mark.parametrize(
    ("model", "custom", "api_base", "expected"),
    [
        ("openai/gpt-4o", "", "", ("openai", "gpt-4o")),
        ("openai/gpt-4o", "openai", "", ("openai", "gpt-4o")),
        ("meta-llama/Llama-3", "hosted_vllm", "", ("hosted_vllm", "meta-llama/Llama-3")),
        ("azure/gpt-4o", "openai", "", ("openai", "azure/gpt-4o")),
        ("openai", "openai", "", ("openai", "openai")),
        ("hosted_vllm/Qwen/Qwen3-32B", "", "", ("hosted_vllm", "Qwen/Qwen3-32B")),
        ("gpt-4o", "", "", ("openai", "gpt-4o")),
        ("gpt-4o", "", "http://localhost:8000/v1", ("openai", "gpt-4o")),
        ("gpt-4o", "", "https://api.groq.com/openai/v1", ("", "gpt-4o")),
        ("o3-mini", "", "", ("openai", "o3-mini")),
        ("ft:gpt-4o:acme::1", "", "", ("openai", "ft:gpt-4o:acme::1")),
        ("claude-sonnet-4-5", "", "", ("anthropic", "claude-sonnet-4-5")),
        ("claude-2.1", "", "", ("", "claude-2.1")),
        ("gpt-3.5-turbo-instruct", "", "", ("", "gpt-3.5-turbo-instruct")),
        ("llama3", "", "", ("", "llama3")),
        ("*", "", "", ("", "*")),
        ("openrouter/anthropic/claude-opus-4", "", "", ("openrouter", "anthropic/claude-opus-4")),
        ("", "", "", ("", "")),
    ],
)
def test_provider_and_model(model: str, custom: str, api_base: str, expected: tuple[str, str]) -> None:
    assert provider_of(model, custom, api_base) == expected


@pytest.mark.parametrize(
    ("provider", "model", "mode", "expected"),
    [
        ("openai", "gpt-4o", "", ("chat", "responses")),
        ("openai", "gpt-5-codex", "", ("responses",)),
        ("openai", "o1-pro-2025-03-19", "", ("responses",)),
        ("azure", "my-deployment", "responses", ("responses",)),
        ("openai", "responses/gpt-4o", "", ("responses",)),
        ("openai", "gpt-prose", "", ("chat", "responses")),
        ("openrouter", "openai/gpt-5-codex", "", ("chat", "responses")),
        ("anthropic", "claude-opus-4-8", "", ("messages",)),
        ("bedrock", "eu.anthropic.claude-sonnet-4-6", "", ("messages",)),
        ("bedrock", "converse/anthropic.claude-sonnet-4-6", "", ("chat",)),
        ("bedrock", "amazon.nova-pro", "", ("chat",)),
        ("vertex_ai", "claude-sonnet-4@20250514", "", ("messages",)),
        ("vertex_ai", "gemini-2.5-pro", "", ("chat",)),
        ("gemini", "gemini-2.5-pro", "", ("chat",)),
        ("", "llama3", "", ()),
    ],
)
def test_spoken_through_litellm(provider: str, model: str, mode: str, expected: tuple[str, ...]) -> None:
    assert speaks(provider, model, mode) == expected


@pytest.mark.parametrize(
    ("model", "profile"),
    [
        ("claude-3-7-sonnet-latest", "claude-budget"),
        ("claude-sonnet-4-20250514", "claude-budget"),
        ("claude-opus-4-1-20250805", "claude-budget"),
        ("claude-haiku-4-5", "claude-budget"),
        ("claude-opus-4-6", "generic"),
        ("claude-opus-4-8", "generic"),
        ("claude-sonnet-5", "generic"),
        ("*", "generic"),
    ],
)
def test_claudes_that_think_within_a_budget(model: str, profile: str) -> None:
    assert profile_of(PROVIDERS["anthropic"], model, "https://api.anthropic.com") == profile


def test_openai_is_known_by_its_address() -> None:
    known = PROVIDERS["openai"]
    assert profile_of(known, "gpt-4o", "https://api.openai.com/v1/") == "openai"
    assert profile_of(known, "gpt-4o", "http://localhost:8000/v1") == "generic"


@pytest.mark.parametrize("name", PROVIDERS)
def test_the_table_can_be_used(name: str) -> None:
    known = PROVIDERS[name]
    assert known.profile in BY_NAME
    assert not known.official or known.official in BY_NAME
    assert known.dialects
    assert all(dialect in dialects.BY_NAME for dialect in known.dialects)
    assert known.key_variables
    for base in known.bases:
        Upstream.parse(base)
        assert urlsplit(base).scheme == "https" or known.no_key  # a key never leaves in the clear


@pytest.mark.parametrize(
    "model", ["gpt-5-codex", "codex-mini-latest", "o3-pro", "gpt-5.2-pro-2025-12-11", "o3-deep-research"]
)
def test_patterns_of_responses_models_say_the_same(model: str) -> None:
    assert responses_only("openai", model)
    assert any(Pattern(pattern).matched(model) is not None for pattern in RESPONSES_ONLY)


@given(st.text(), st.text(), st.text())
def test_any_name_is_told_apart(model: str, custom: str, api_base: str) -> None:
    provider, name = provider_of(model, custom, api_base)
    assert model.endswith(name)
    speaks(provider, name, custom)
