"""Is ``relay.litellm.providers`` still what LiteLLM does? Asked of installed LiteLLMs, without any network.

    python -m tests.live.litellm_providers [VERSION ...]

Compared: provider and model of every name, base URLs, the variables that a base and a key are taken from,
the dialects that are passed on as they come, the modes of LiteLLM's own map of models, and which pattern
takes a name. Prints what differs, one line each; exits with 1 if anything does.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from relay.config import Direct, LiteLLM, Settings
from relay.litellm.plan import plan
from relay.litellm.providers import PROVIDERS, provider_of, responses_only, speaks
from relay.routes import Asked, Router
from relay.wire.http1 import RequestHead

from .litellm.install import VERSIONS, Lacking, environment, installed

BASED_ELSEWHERE = (
    "anthropic",
    "openai",
    "openrouter",
    "ollama_chat",
    "azure",
    "custom_openai",
    "openai_like",
)
"""Providers whose base and key LiteLLM looks for only as it asks them."""
NAMES = (
    "openai/gpt-4o",
    "gpt-4o",
    "gpt-4o-mini",
    "o3-mini",
    "o1",
    "ft:gpt-4o-2024-08-06:a::b",
    "claude-sonnet-4-5",
    "hosted_vllm/Qwen/Qwen3-32B",
    "groq/llama-3.3-70b-versatile",
    "openrouter/anthropic/claude-sonnet-4",
    "mistral/mistral-large-latest",
    "azure/my-deployment",
    "xai/grok-4",
)
CUSTOM = (("meta/llama", "hosted_vllm"), ("openai/gpt-4o", "openai"), ("gpt-4o", "openai"), ("a/b", "groq"))
PATTERNS = ("*", "openai/*", "openai/gpt-5*", "*-local", "anthropic/*", "a.b/*", "team/*/x", "team/*")
ASKED = (
    "gpt",
    "openai/gpt-4o",
    "openai/gpt-5.2",
    "qwen-local",
    "openai/qwen-local",
    "anthropic/c",
    "a.b/c",
    "axb/c",
    "team/1/x",
    "team/1",
    "team/1/xy",
    "qwen-local-2",
    "openai/",
)

INSIDE = r"""
import json, os, sys
asked = json.load(sys.stdin)
import litellm
from litellm.types.utils import LlmProviders
from litellm.utils import ProviderConfigManager as configs
try:
    from litellm.router_utils.pattern_match_deployments import PatternMatchRouter
except ImportError:
    from litellm.litellm_core_utils.pattern_match_deployments import PatternMatchRouter

def told(model, custom=None):
    try:
        return litellm.get_llm_provider(model=model, custom_llm_provider=custom)
    except Exception:
        return None

def native(provider, model):
    try:
        one = LlmProviders(provider)
        return [
            configs.get_provider_responses_api_config(provider=one, model=model) is not None,
            configs.get_provider_anthropic_messages_config(provider=one, model=model) is not None,
        ]
    except Exception:
        return None

answer = {"names": [told(*one) for one in asked["names"]], "variables": []}
answer["native"] = [native(*one) for one in asked["native"]]
for provider, name in asked["variables"]:
    os.environ[name] = "http://set.example/v1"
    answer["variables"].append(told(provider + "/m"))
    del os.environ[name]
router = PatternMatchRouter()
for pattern in asked["patterns"]:
    router.add_pattern(pattern, {"litellm_params": {"model": "x/" + pattern}, "pattern": pattern})
found = [router.route(one) for one in asked["asked"]]
answer["matched"] = [None if one is None else one[0]["pattern"] for one in found]
answer["map"] = {
    name: [one.get("litellm_provider"), one.get("mode")]
    for name, one in litellm.model_cost.items()
    if one.get("litellm_provider") in ("openai", "anthropic", "azure")
    and one.get("mode") in ("chat", "responses")
}
print("ANSWER" + json.dumps(answer))
"""


def ask(version: str) -> dict[str, Any]:
    questions = {
        "names": [[name, None] for name in (*NAMES, *(f"{one}/m" for one in PROVIDERS))]
        + [list(one) for one in CUSTOM],
        "native": [list(one) for one in native_questions()],
        "variables": [list(one) for one in variables()],
        "patterns": PATTERNS,
        "asked": ASKED,
    }
    python = installed(version).parent / "python"
    done = subprocess.run(
        [python, "-c", INSIDE],
        input=json.dumps(questions),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=environment(),
    )
    line = next((line for line in done.stdout.splitlines() if line.startswith("ANSWER")), None)
    if line is None:
        raise Lacking(f"LiteLLM {version}: {done.stderr.strip().splitlines()[-1:]}")
    answer: dict[str, Any] = json.loads(line.removeprefix("ANSWER"))
    return answer


def native_questions() -> list[tuple[str, str]]:
    return [(name, "m") for name in PROVIDERS] + [
        ("bedrock", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("bedrock", "converse/anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("bedrock", "amazon.nova-pro-v1:0"),
        ("vertex_ai", "claude-sonnet-4@20250514"),
        ("vertex_ai", "gemini-2.5-pro"),
        ("gemini", "gemini-2.5-pro"),
        ("azure_ai", "claude-sonnet-4-5"),
        ("minimax", "MiniMax-M2"),
    ]


def variables() -> list[tuple[str, str]]:
    return [
        (provider, name)
        for provider, known in PROVIDERS.items()
        if provider not in BASED_ELSEWHERE
        for name in (*known.base_variables, *known.key_variables)
    ]


def differences(answer: dict[str, Any]) -> Iterator[str]:
    yield from _names(answer)
    for (provider, name), told in zip(variables(), answer["variables"], strict=True):
        place = 3 if name in PROVIDERS[provider].base_variables else 2
        if told is None or not str(told[place]).startswith("http://set.example"):
            yield f"{provider}: {name} is not taken from the environment: {told}"
    for (provider, model), native in zip(native_questions(), answer["native"], strict=True):
        yield from _dialects(provider, model, native)
    for name, (provider, mode) in answer["map"].items():
        yield from _mapped(name, provider, mode)
    yield from _patterns(answer["matched"])


def _names(answer: dict[str, Any]) -> Iterator[str]:
    asked = [*((name, "") for name in (*NAMES, *(f"{one}/m" for one in PROVIDERS))), *CUSTOM]
    for (name, custom), told in zip(asked, answer["names"], strict=True):
        ours = provider_of(name, custom)
        if told is None or (told[1], told[0]) != ours:
            yield f"{name} {custom}: {ours} here, {told} there"
            continue
        base = told[3]
        bases = PROVIDERS[ours[0]].bases
        if base is not None and base not in bases:
            yield f"{ours[0]}: {bases} here, {base} there"
        if base is None and bases and ours[0] not in BASED_ELSEWHERE:
            yield f"{ours[0]}: {bases} here, none there"


def _dialects(provider: str, model: str, native: list[bool] | None) -> Iterator[str]:
    ours = speaks(provider, model)
    if native is None:
        yield f"{provider}: unknown there"
        return
    for dialect, there in zip(("responses", "messages"), native, strict=True):
        if dialect in ours and not there:
            yield f"{provider}/{model}: {dialect} is passed on here, not there"


def _mapped(name: str, provider: str, mode: str) -> Iterator[str]:
    """LiteLLM's own map: bare names of two providers, and which have no Chat Completions."""
    if "/" not in name and provider != "azure" and not name.startswith(("ft:", "computer-use")):
        ours = provider_of(name)[0]
        if ours != provider:
            yield f"{name}: {ours or 'no provider'} here, {provider} there"
    model = name.rpartition("/")[2]
    if provider != "anthropic" and mode == "responses" and not responses_only(provider, model):
        yield f"{name}: has Chat Completions here, not there"
    if (
        provider != "anthropic"
        and mode == "chat"
        and responses_only(provider, model)
        and "deep-research" not in model
    ):
        yield f"{name}: has no Chat Completions here, but there"


def _patterns(matched: list[str | None]) -> Iterator[str]:
    """Our own router, over a plan of the same patterns, against LiteLLM's."""
    entries = [
        {
            "model_name": pattern,
            "litellm_params": {"model": f"hosted_vllm/{index}", "api_base": "http://a/v1"},
        }
        for index, pattern in enumerate(PATTERNS)
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(yaml.safe_dump({"model_list": entries}))
        made = plan(LiteLLM(str(path), direct=Direct.STREAMS), {}, [], guarded=True)
    router = Router(Settings(upstreams=made.upstreams, routes=made.routes))
    head = RequestHead(b"POST", b"/v1/chat/completions", b"1.1", [], b"a", None, False, True, None)
    for name, theirs in zip(ASKED, matched, strict=True):
        route = router.candidates(head).choose(Asked(name, True, frozenset({"model"})), head)
        first = min(route.targets, key=lambda target: target.upstream.order) if route else None
        ours = PATTERNS[int(first.model)] if first is not None and first.model else None
        if ours != theirs and not (ours is None and theirs is not None and not theirs.endswith("*")):
            yield f"{name}: taken by {ours} here, {theirs} there"


def main(versions: list[str]) -> int:
    failed = 0
    for version in versions or VERSIONS:
        try:
            found = list(differences(ask(version)))
        except Lacking as lacking:
            print(f"{version}: cannot be asked: {lacking}")
            failed = 1
            continue
        print(f"{version}: {len(found)} differences")
        for line in found:
            print(f"  {line}")
        failed = failed or bool(found)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
