"""Where deployments are asked without LiteLLM, with which share, and why others are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.litellm.plans import CONFIGS, asked, config, line, model, planned, targets, upstream


@pytest.mark.parametrize(
    ("said", "url", "expected"),
    [
        (
            model(api_key="k"),
            "https://api.openai.com/v1",
            {"key_header": "authorization", "sdk": True, "api_key": "k"},
        ),
        (model(api_key="k", base_url="http://a:1/v1/"), "http://a:1/v1", {"dialects": ("chat", "responses")}),
        (
            model(api_key="k", organization="org-1"),
            "https://api.openai.com/v1",
            {"headers": (("openai-organization", "org-1"),)},
        ),
        (
            model(api_key="k", headers={"X-A": 1}, extra_headers={"x-a": "two", "X-B": "b"}),
            "https://api.openai.com/v1",
            {"headers": (("x-a", "two"), ("x-b", "b"))},
        ),
        (
            model(model="anthropic/c", api_key="k"),
            "https://api.anthropic.com",
            {"key_header": "x-api-key", "dialects": ("messages",)},
        ),
        (
            model(model="anthropic/c", api_key="k", api_base="http://a/proxy/v1/messages"),
            "http://a/proxy",
            {},
        ),
        (
            model(
                model="azure/d", api_key="k", api_base="https://r.openai.azure.com/", api_version="2024-10-21"
            ),
            "https://r.openai.azure.com/openai/deployments/d",
            {"query": "api-version=2024-10-21", "key_header": "api-key", "dialects": ("chat",)},
        ),
        (
            model(model="azure/d", api_key="k", api_base="https://r.openai.azure.com"),
            "https://r.openai.azure.com/openai/deployments/d",
            {"query": "api-version=2025-02-01-preview"},
        ),
        (
            model(model="azure/d", api_key="k", api_base="https://r.openai.azure.com/openai/v1/"),
            "https://r.openai.azure.com/openai/v1",
            {"query": "", "dialects": ("chat", "responses")},
        ),
        (
            model(model="azure/d", api_key="k", api_base="https://r.openai.azure.com", api_version="preview"),
            "https://r.openai.azure.com/openai/v1",
            {"query": "api-version=preview"},
        ),
        (
            model(model="azure/d", api_key="k", api_base="https://gw/openai/deployments/other?x=1"),
            "https://gw/openai/deployments/other",
            {"query": "x=1&api-version=2025-02-01-preview"},
        ),
        (
            model(model="azure_ai/m", api_key="k", api_base="https://m.inference.ml.azure.com/v1"),
            "https://m.inference.ml.azure.com/v1",
            {},
        ),
        (
            model(model="hosted_vllm/q", api_base="http://v:8000/v1"),
            "http://v:8000/v1",
            {"api_key": "fake-api-key"},
        ),
        (model(model="hosted_vllm/q", api_base="http://v:8000/v1/chat/completions"), "http://v:8000/v1", {}),
        (model(model="ollama/l"), "http://localhost:11434/v1", {"api_key": "ollama"}),
        (model(model="ollama_chat/l", api_base="http://o:11434/v1"), "http://o:11434/v1", {}),
        (model(model="groq/l", api_key="k"), "https://api.groq.com/openai/v1", {"dialects": ("chat",)}),
        (
            model(model="q", custom_llm_provider="lm_studio", api_base="http://l:1234/v1"),
            "http://l:1234/v1",
            {},
        ),
        (
            model(model="openai/q", api_key="k", max_parallel_requests=7),
            "https://api.openai.com/v1",
            {"concurrency": 7},
        ),
    ],
)
def test_where_a_deployment_is_asked(
    tmp_path: Path, said: dict[str, Any], url: str, expected: dict[str, Any]
) -> None:
    made = config(tmp_path, said)
    server = made.upstreams[1]
    assert f"{server.origin}{server.base_path}" == url
    for name, value in expected.items():
        assert getattr(server, name) == value
    assert url in line(made)


def test_a_base_and_a_key_come_from_the_environment(tmp_path: Path) -> None:
    environ = {
        "HOSTED_VLLM_API_BASE": "http://v:1/v1",
        "HOSTED_VLLM_API_KEY": "vk",
        "OPENAI_BASE_URL": "http://o:2/v1",
        "OPENAI_API_KEY": "ok",
    }
    made = config(tmp_path, model(model="hosted_vllm/q"), model("n", "gpt-4o"), environ=environ)
    assert [(f"{one.origin}{one.base_path}", one.api_key) for one in made.upstreams[1:]] == [
        ("http://v:1/v1", "vk"),
        ("http://o:2/v1", "ok"),
    ]


def test_servers_are_shared_by_what_they_are(tmp_path: Path) -> None:
    made = config(
        tmp_path,
        model("a", "openai/x", api_key="k"),
        model("b", "openai/y", api_key="k"),
        model("c", "openai/x", api_key="other"),
        model("d", "openai/x", api_key="k", organization="o"),
    )
    assert [str(one) for one in made.upstreams] == ["litellm", "openai", "openai-2", "openai-3"]
    assert [targets(made, name)[0].upstream for name in "abcd"] == [
        "openai",
        "openai",
        "openai-2",
        "openai-3",
    ]


def test_a_limit_of_one_deployment_is_its_own(tmp_path: Path) -> None:
    made = config(
        tmp_path,
        model("a", "openai/x", api_key="k", max_parallel_requests=2),
        model("b", "openai/y", api_key="k", max_parallel_requests=2),
    )
    assert len(made.upstreams) == 3


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (model(model="bedrock/x"), "relay cannot ask bedrock itself"),
        (model(model="nothing-known"), "its provider is not said"),
        (model(api_key="os.environ/ABSENT"), "ABSENT is not set here"),
        (model(model="mistral/x"), "no api_key is known here nor MISTRAL_AZURE_API_KEY nor MISTRAL_API_KEY"),
        (model(model="hosted_vllm/x"), "no api_base is known here nor HOSTED_VLLM_API_BASE"),
        (model(api_key="k", temperature=0), "temperature is set for it"),
        (model(api_key="k", max_tokens=1, extra_body={"a": 1}), "extra_body and max_tokens are set for it"),
        (model(api_key="k", drop_params=True), "drop_params is set for it"),
        (model(api_key="k", mock_response="hello"), "mock_response is set for it"),
        (model(api_key="k", guardrails=["g"]), "guardrails is set for it"),
        (model(api_key="k", api_base=7), "its api_base is no text"),
        (model(api_key="k", api_base="ftp://a"), "its api_base is not a URL that relay could ask"),
        (
            model(api_key="k", api_base="http://user:pw@a/v1"),
            "its api_base is not a URL that relay could ask",
        ),
        (model(api_key="k", api_base="unix:/x"), "its api_base is not a URL that relay could ask"),
        (model(api_key="two\nlines"), "its api_key is not a plain key"),
        (model(api_key="oidc/google/x"), "its api_key is not a plain key"),
        (model(model="anthropic/c", api_key="sk-ant-oat01-x"), "its api_key is a token of a person's login"),
        (model(api_key="k", extra_headers={"a": "b\r\nc: d"}), "its extra_headers hold what no header may"),
        (
            model(api_key="k", extra_headers={"Authorization": "Bearer x"}),
            "its extra_headers set authorization",
        ),
        (model(api_key="k", headers={"Host": "x"}), "its headers set host"),
        (model(api_key="k", info={"team_id": "t"}), "it belongs to a team"),
        (model(api_key="k", info={"access_groups": ["g"]}), "who may use it depends on access groups"),
        (model(api_key="k", litellm_credential_name="absent"), "the credential absent is not set here"),
        (
            model(model="azure/a/b", api_key="k", api_base="https://a"),
            "its deployment depends on the request",
        ),
        (model(model="azure/d", api_key="k", api_base="https://a", tenant_id="t"), "tenant_id is set for it"),
        (
            model(model="azure_ai/m", api_key="k", api_base="https://m.services.ai.azure.com/models"),
            "LiteLLM asks Azure AI in its own way",
        ),
        (model(api_key="k", model="openai/*"), "its model has other wildcards than its name"),
    ],
)
def test_why_only_litellm_is_asked(tmp_path: Path, said: dict[str, Any], reason: str) -> None:
    made = config(tmp_path, said, environ={})
    assert [str(one) for one in made.upstreams] == ["litellm"]
    assert line(made).endswith(f": {reason}")


@pytest.mark.parametrize(
    "name",
    [
        "max_retries",
        "num_retries",
        "rpm",
        "tags",
        "input_cost_per_token",
        "cache_read_input_token_cost",
        "use_in_pass_through",
    ],
)
def test_what_changes_no_request_does_not_matter(tmp_path: Path, name: str) -> None:
    assert len(config(tmp_path, model(**dict[str, Any]({"api_key": "k", name: 1}))).upstreams) == 2


@pytest.mark.parametrize("value", [None, False, [], {}])
def test_what_is_off_does_not_matter(tmp_path: Path, value: Any) -> None:
    assert len(config(tmp_path, model(api_key="k", drop_params=value, extra_body=value)).upstreams) == 2


@pytest.mark.parametrize(
    "mode", ["embedding", "image_generation", "audio_transcription", "rerank", "completion"]
)
def test_other_modes_are_litellms(tmp_path: Path, mode: str) -> None:
    made = config(tmp_path, model(api_key="k", info={"mode": mode}))
    assert line(made) == f"m  left to LiteLLM: it is for {mode.replace('_', ' ')}"
    assert asked(made, "m") == [("litellm", None)]


def test_responses_only_models_are_asked_so(tmp_path: Path) -> None:
    made = config(
        tmp_path,
        model(model="openai/gpt-5-codex", api_key="k"),
        model("n", "openai/responses/gpt-4o", api_key="k"),
    )
    assert [target.dialects for target in targets(made, "m")] == [("responses",), ("responses",)]
    assert asked(made, "n") == [("openai", "gpt-4o"), ("litellm", None)]


def test_fireworks_models_get_their_whole_name(tmp_path: Path) -> None:
    made = config(
        tmp_path,
        model(model="fireworks_ai/x", api_key="k"),
        model("n", "fireworks_ai/accounts/a/models/y", api_key="k"),
    )
    assert asked(made, "m")[0][1] == "accounts/fireworks/models/x"
    assert asked(made, "n")[0][1] == "accounts/a/models/y"


# ----- order and shares -----


def test_shares_and_orders_of_a_production_file() -> None:
    made = planned(CONFIGS / "balanced.yaml")
    assert [(one.upstream, one.order, one.weight) for one in targets(made, "gpt-4o")] == [
        ("azure", 1, 6),
        ("azure-2", 1, 3),
        ("litellm", 1, 1),
    ]
    assert [(one.upstream, one.order) for one in targets(made, "claude", "/v1/messages")] == [
        ("anthropic", 1),
        ("litellm", 2),
    ]
    assert [(one.upstream, one.order) for one in targets(made, "llama")] == [
        ("together_ai", 1),
        ("groq", 2),
        ("litellm", 3),
    ]
    assert upstream(made, "anthropic").headers == (("anthropic-beta", "context-1m-2025-08-07"),)
    assert upstream(made, "anthropic").concurrency == 20
    assert "a share through LiteLLM: AZURE_TENANT_ID and" in line(made, "gpt-4o")


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([{"weight": 9}, {"weight": 3}], [3, 1]),
        ([{"weight": 0.25}, {"weight": 0.75}], [333, 1000]),
        ([{"rpm": 10}, {"tpm": 100000}], [1]),
        ([{"tpm": 100}, {"tpm": 100, "rpm": 0}], [1, 1]),
        ([{"weight": 1}, {}], [1]),
        ([{"weight": "2"}, {"weight": "1"}], [2, 1]),
        ([{"weight": -1}, {"weight": None}], [1, 1]),
        ([{"weight": 1e300}, {"weight": 1}], [1]),
        ([{"weight": 10**14}, {"weight": 1}], [1000, 1]),
    ],
)
def test_weights_are_litellms(tmp_path: Path, weights: list[dict[str, Any]], expected: list[int]) -> None:
    made = config(tmp_path, *(model(api_key=f"k{index}", **said) for index, said in enumerate(weights)))
    assert [one.weight for one in targets(made, "m")[:-1]] == expected


def test_a_deployment_that_comes_first_and_cannot_be_asked_keeps_its_place(tmp_path: Path) -> None:
    made = config(tmp_path, model(model="bedrock/x", order=1), model(api_key="k", order=2))
    assert asked(made, "m") == [("litellm", None)]
    assert "relay cannot ask bedrock itself" in line(made)


def test_the_same_model_at_the_same_server_is_asked_once(tmp_path: Path) -> None:
    made = config(tmp_path, model(api_key="k"), model(api_key="k"), model(api_key="other"))
    assert [(one.upstream, one.weight) for one in targets(made, "m")] == [
        ("openai", 2),
        ("openai-2", 1),
        ("litellm", 1),
    ]
