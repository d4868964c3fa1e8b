"""What LiteLLM calls a provider, and where one can be asked without it.

``PROVIDERS`` holds those that speak one of relay's dialects themselves: their base URL, where LiteLLM
looks for a base and a key that its file does not say, and what they are asked in. A dialect is named
only where LiteLLM, too, asks the provider in it: so a request that goes straight to one never meets a
path that it would not have met. Facts are those of LiteLLM 1.83.10, 1.85.0 and 1.109.1;
``tests/live/litellm_providers.py`` compares them with an installed one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Provider:
    """One that can be asked in a dialect of ours.

    bases           LiteLLM's own base URL, the newest version's first; empty: the file must say one
    base_variables  of the environment, in which LiteLLM looks for a base that the file does not say
    key_variables   the same for the key
    no_key          what LiteLLM sends where no key is known, to servers that need none; empty: one is needed
    dialects        those that it is asked in
    suffix          the path of its API below the base, where LiteLLM asks it by another API
    profile         what kind of server it is, by the name of its ``request.Profile``
    official        the profile at LiteLLM's own base URL, where others speak the same API
    key_header      where it looks for the key
    model_prefix    of every model, which users may leave out
    """

    bases: tuple[str, ...] = ()
    base_variables: tuple[str, ...] = ()
    key_variables: tuple[str, ...] = ()
    no_key: str = ""
    dialects: tuple[str, ...] = ("chat",)
    suffix: str = ""
    profile: str = "generic"
    official: str = ""
    key_header: str = "authorization"
    model_prefix: str = ""


def _openai_like(base: str, stem: str, *keys: str, **said: str) -> Provider:
    """A service that has an OpenAI endpoint, whose variables are called after it."""
    return Provider((base,), (f"{stem}_API_BASE",), keys or (f"{stem}_API_KEY",), **said)  # type: ignore[arg-type]


PROVIDERS: dict[str, Provider] = {
    "anthropic": Provider(
        ("https://api.anthropic.com",),
        ("ANTHROPIC_API_BASE", "ANTHROPIC_BASE_URL"),
        ("ANTHROPIC_API_KEY",),
        dialects=("messages",),
        key_header="x-api-key",
    ),
    "openai": Provider(
        ("https://api.openai.com/v1",),
        ("OPENAI_BASE_URL", "OPENAI_API_BASE"),
        ("OPENAI_API_KEY",),
        dialects=("chat", "responses"),
        official="openai",
    ),
    "azure": Provider(
        (),
        ("AZURE_API_BASE",),
        ("AZURE_OPENAI_API_KEY", "AZURE_API_KEY"),
        dialects=("chat", "responses"),
        profile="openai",
        key_header="api-key",
    ),
    "azure_ai": Provider((), ("AZURE_AI_API_BASE",), ("AZURE_AI_API_KEY",)),
    "custom_openai": Provider((), (), ("OPENAI_API_KEY",)),
    "openai_like": Provider((), (), ("OPENAI_LIKE_API_KEY",)),
    "hosted_vllm": Provider(
        (),
        ("HOSTED_VLLM_API_BASE",),
        ("HOSTED_VLLM_API_KEY",),
        no_key="fake-api-key",
        dialects=("chat", "responses"),
        profile="vllm",
    ),
    "lm_studio": Provider((), ("LM_STUDIO_API_BASE",), ("LM_STUDIO_API_KEY",), no_key="fake-api-key"),
    "llamafile": Provider(
        ("http://127.0.0.1:8080/v1",), ("LLAMAFILE_API_BASE",), ("LLAMAFILE_API_KEY",), no_key="fake-api-key"
    ),
    "docker_model_runner": Provider(
        ("http://localhost:22088/engines/llama.cpp",),
        ("DOCKER_MODEL_RUNNER_API_BASE",),
        ("DOCKER_MODEL_RUNNER_API_KEY",),
        no_key="dummy-key",
        suffix="/v1",
    ),
    # LiteLLM asks Ollama by its own API; its OpenAI endpoint has the same models.
    "ollama": Provider(
        ("http://localhost:11434",), ("OLLAMA_API_BASE",), ("OLLAMA_API_KEY",), no_key="ollama", suffix="/v1"
    ),
    "ollama_chat": Provider(
        ("http://localhost:11434",), ("OLLAMA_API_BASE",), ("OLLAMA_API_KEY",), no_key="ollama", suffix="/v1"
    ),
    "openrouter": Provider(
        ("https://openrouter.ai/api/v1",),
        ("OPENROUTER_API_BASE",),
        ("OPENROUTER_API_KEY", "OR_API_KEY"),
        dialects=("chat", "responses"),
        profile="openrouter",
    ),
    "xai": Provider(
        ("https://api.x.ai/v1",), ("XAI_API_BASE",), ("XAI_API_KEY",), dialects=("chat", "responses")
    ),
    "together_ai": Provider(
        ("https://api.together.ai/v1", "https://api.together.xyz/v1"),
        ("TOGETHER_AI_API_BASE",),
        ("TOGETHER_API_KEY", "TOGETHER_AI_API_KEY", "TOGETHERAI_API_KEY", "TOGETHER_AI_TOKEN"),
    ),
    "fireworks_ai": Provider(
        ("https://api.fireworks.ai/inference/v1",),
        ("FIREWORKS_API_BASE",),
        ("FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY", "FIREWORKSAI_API_KEY", "FIREWORKS_AI_TOKEN"),
        model_prefix="accounts/fireworks/models/",
    ),
    "mistral": Provider(
        ("https://api.mistral.ai/v1",),
        ("MISTRAL_AZURE_API_BASE",),
        ("MISTRAL_AZURE_API_KEY", "MISTRAL_API_KEY"),
    ),
    "deepseek": _openai_like("https://api.deepseek.com/beta", "DEEPSEEK", profile="deepseek"),
    "groq": _openai_like("https://api.groq.com/openai/v1", "GROQ"),
    "perplexity": _openai_like(
        "https://api.perplexity.ai", "PERPLEXITY", "PERPLEXITYAI_API_KEY", "PERPLEXITY_API_KEY"
    ),
    "cerebras": _openai_like("https://api.cerebras.ai/v1", "CEREBRAS"),
    "nvidia_nim": _openai_like("https://integrate.api.nvidia.com/v1", "NVIDIA_NIM"),
    "moonshot": _openai_like("https://api.moonshot.ai/v1", "MOONSHOT"),
    "deepinfra": _openai_like("https://api.deepinfra.com/v1/openai", "DEEPINFRA"),
    "sambanova": _openai_like("https://api.sambanova.ai/v1", "SAMBANOVA"),
    "nebius": _openai_like("https://api.studio.nebius.ai/v1", "NEBIUS"),
    "novita": _openai_like("https://api.novita.ai/v3/openai", "NOVITA"),
    "hyperbolic": _openai_like("https://api.hyperbolic.xyz/v1", "HYPERBOLIC"),
    "lambda_ai": _openai_like("https://api.lambda.ai/v1", "LAMBDA"),
    "nscale": _openai_like("https://inference.api.nscale.com/v1", "NSCALE"),
    "dashscope": _openai_like("https://dashscope.aliyuncs.com/compatible-mode/v1", "DASHSCOPE"),
    "zai": _openai_like("https://api.z.ai/api/paas/v4", "ZAI"),
    "friendliai": Provider(
        ("https://api.friendli.ai/serverless/v1",),
        ("FRIENDLI_API_BASE",),
        ("FRIENDLIAI_API_KEY", "FRIENDLI_TOKEN"),
    ),
}

_BARE = (
    (
        "openai",
        re.compile(
            r"(?:gpt-|chatgpt-|chat-latest$|o[134](?:$|-)|codex-|daybreak-|computer-use-|ft:gpt-)(?!.*(?:instruct|image))"
        ),
    ),
    ("anthropic", re.compile(r"claude-(?!2|instant)")),
)
"""Models that LiteLLM knows without a provider before them."""
_RESPONSES_ONLY = re.compile(r"codex|-pro(?:-20|$)|deep-research|gpt-daybreak", re.IGNORECASE)
"""Models of OpenAI that have no Chat Completions: LiteLLM's map calls their mode ``responses``."""
RESPONSES_ONLY = ("*codex*", "*-pro", "*-pro-20*", "*deep-research*", "*gpt-daybreak*")
"""The same as patterns, for routes whose models are patterns."""
_BUDGETS = re.compile(r"claude-(?:[23]|instant|(?:opus|sonnet|haiku)-4(?:-[015])?(?:-latest|-20\d{6}|@|$))")
"""Claudes that think within a budget; later ones are told an effort."""
_CLAUDE = ("anthropic", "vertex_ai", "azure_ai", "bedrock")
"""Where LiteLLM asks a Claude in its own dialect, whoever serves it."""


def provider_of(model: str, custom: str = "", api_base: str = "") -> tuple[str, str]:
    """Provider and model as LiteLLM tells them apart; an unknown provider is empty.

    ``custom`` is ``custom_llm_provider``: it goes before a model that does not begin with it.
    """
    first, slash, rest = model.partition("/")
    if custom and (first != custom or not slash):
        return custom, model
    if slash:
        return first, rest
    if api_base and _elsewhere(api_base):
        return "", model
    return next((name for name, names in _BARE if names.match(model)), ""), model


def speaks(provider: str, model: str, mode: str = "") -> tuple[str, ...]:
    """The dialects in which LiteLLM passes a request on as it came; empty where that is not known."""
    lowered = model.lower()
    if responses_only(provider, model, mode):
        return ("responses",)
    if provider in _CLAUDE and (provider == "anthropic" or "claude" in lowered):
        return ("chat",) if lowered.startswith("converse/") else ("messages",)
    if provider == "minimax":
        return ("messages",)
    known = PROVIDERS.get(provider)
    if known is not None:
        return known.dialects
    return ("chat",) if provider else ()


def responses_only(provider: str, model: str, mode: str = "") -> bool:
    """It is asked by the Responses API, whatever LiteLLM itself is asked by."""
    if provider not in ("openai", "azure"):
        return False
    return mode == "responses" or model.startswith("responses/") or bool(_RESPONSES_ONLY.search(model))


def profile_of(known: Provider, model: str, base: str) -> str:
    """What kind of server answers for this model at this base URL."""
    if known.key_header == "x-api-key":
        return "claude-budget" if _BUDGETS.search(model) else known.profile
    return known.official if known.official and base.rstrip("/") in known.bases else known.profile


def _elsewhere(api_base: str) -> bool:
    """It is the address of a provider whose name LiteLLM would take from it."""
    try:
        host = urlsplit(api_base if "://" in api_base else f"//{api_base}").hostname
    except ValueError:
        return True
    others = (base for known in PROVIDERS.values() if known.dialects == ("chat",) for base in known.bases)
    return host not in ("localhost", "127.0.0.1") and host in {urlsplit(base).hostname for base in others}
