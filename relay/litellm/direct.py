"""Where a deployment of LiteLLM is asked without LiteLLM, or why it cannot be.

Only what would be the same request: a parameter that LiteLLM adds to requests, a rule that it keeps for
this deployment, or a credential that is not a plain key leave the deployment to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from relay.config import Upstream
from relay.errors import UsageError
from relay.litellm.file import Deployment, LiteLLMFile, shown
from relay.litellm.providers import PROVIDERS, Provider, profile_of, provider_of, responses_only

USED = frozenset(
    [
        "model",
        "custom_llm_provider",
        "api_base",
        "base_url",
        "api_key",
        "api_version",
        "organization",
        "extra_headers",
        "headers",
        "order",
        "weight",
        "rpm",
        "tpm",
        "timeout",
        "stream_timeout",
        "max_parallel_requests",
        "litellm_credential_name",
    ]
)
"""Parameters that relay acts on, or weighs."""
NEUTRAL = frozenset(
    [
        "max_retries",
        "num_retries",
        "cooldown_time",
        "tags",
        "tag_regex",
        "model_info",
        "base_model",
        "region_name",
        "litellm_trace_id",
        "use_in_pass_through",
        "configurable_clientside_auth_params",
        "max_file_size_mb",
        "keepalive_seconds",
        "itpm",
        "otpm",
        "allow_client_keepalive_override",
        "tiered_pricing",
        "id",
        "created_at",
        "updated_at",
        "created_by",
        "updated_by",
    ]
)
"""Those that change no request and no answer: how LiteLLM counts, retries and lists."""
_PRICE = re.compile(r".*cost_per_.*|.*_cost(?:_above_.*|_batches|_flex|_priority)?|.*_multiplier.*")
UNSET = "not set here"
"""How a reason ends that is relay's own lack."""
_INFO = {
    "access_groups": "who may use it depends on access groups",
    "team_id": "it belongs to a team",
    "blocked": "it is blocked",
    "supported_environments": "it is for some environments only",
}
"""What ``model_info`` may say that only LiteLLM keeps."""
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_HEADER_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_FRAMING = frozenset(
    [
        "host",
        "connection",
        "content-length",
        "content-type",
        "transfer-encoding",
        "upgrade",
        "te",
        "trailer",
        "accept",
        "accept-encoding",
        "expect",
        "keep-alive",
        "proxy-connection",
    ]
)
_TEXTS = ("api_base", "base_url", "api_key", "api_version", "organization")
_KEY_HEADERS = ("authorization", "x-api-key", "api-key")
_AZURE_VERSION = "2025-02-01-preview"
"""What LiteLLM asks Azure for where no version is said."""
_AZURE_V1 = ("preview", "latest", "v1")


@dataclass(frozen=True, slots=True)
class Straight:
    """How one deployment is asked: the server, still without a name, and what is this deployment's own."""

    upstream: Upstream
    model: str
    dialects: tuple[str, ...]
    profile: str

    @property
    def url(self) -> str:
        """For a person; without a path that holds the key, as those of some gateways do."""
        upstream = self.upstream
        path = "" if upstream.api_key in upstream.base_path else upstream.base_path
        return f"{upstream.origin}{path}"


def straight(deployment: Deployment, file: LiteLLMFile) -> Straight | str:
    """How it is asked, or in a few words why only LiteLLM can."""
    params = deployment.params
    api_base = _text(params, "api_base") or _text(params, "base_url")
    name, model = provider_of(deployment.model, deployment.custom, api_base)
    known = PROVIDERS.get(name)
    if known is None:
        return f"relay cannot ask {shown(name)} itself" if name else "its provider is not said"
    reason = _kept_by_litellm(deployment, file)
    if reason:
        return reason
    key = _key(params, known, file.environ)
    if not key:
        return " nor ".join(("no api_key is known here", *known.key_variables))
    if not _HEADER_VALUE.fullmatch(key) or " " in key or key.startswith("oidc/"):
        return "its api_key is not a plain key"
    if key.startswith("sk-ant-oat"):
        return "its api_key is a token of a person's login"
    headers = _headers(params)
    if isinstance(headers, str):
        return headers
    base = api_base or _variable(file.environ, known.base_variables) or next(iter(known.bases), "")
    if not base:
        return " nor ".join(("no api_base is known here", *known.base_variables))
    made = _azure if name == "azure" else _azure_ai if name == "azure_ai" else _plain
    place = made(base, model, params, file.environ, known)
    if isinstance(place, str):
        return place
    dialects = place.dialects
    if responses_only(name, model, deployment.mode):
        model = model.removeprefix("responses/")
        dialects = tuple(one for one in dialects if one == "responses")
        if not dialects:
            return "it is asked by the Responses API, which is elsewhere"
    if known.model_prefix and "*" not in model and not model.startswith("accounts/") and "#" not in model:
        model = known.model_prefix + model
    upstream = replace(
        place,
        sdk=True,
        api_key=key,
        key_header=known.key_header,
        headers=headers,
        concurrency=_count(params.get("max_parallel_requests")),
    )
    return Straight(upstream, model, dialects, profile_of(known, model, base))


def _kept_by_litellm(deployment: Deployment, file: LiteLLMFile) -> str:
    """What only LiteLLM does for this deployment; empty if nothing."""
    if deployment.unset:
        verb = "is" if len(deployment.unset) == 1 else "are"
        return f"{' and '.join(deployment.unset)} {verb} {UNSET}"
    for name in _TEXTS:
        if not isinstance(deployment.params.get(name), str | None):
            return f"its {name} is no text"
    for key, reason in _INFO.items():
        if deployment.info.get(key):
            return reason
    if file.section("router_settings").get("enable_tag_filtering") and deployment.params.get("tags"):
        return "it is chosen by tags"
    changing = list(changed_by(deployment.params))
    if changing:
        verb = "is" if len(changing) == 1 else "are"
        return f"{' and '.join(changing)} {verb} set for it"
    return ""


def changed_by(params: Mapping[Any, Any]) -> Iterator[str]:
    """Names of the parameters that may change a request or its answer: all that are not known to be neutral.

    What is empty, or switched off, changes nothing.
    """
    for key, value in params.items():
        if value is None or value is False or value == {} or value == []:
            continue
        name = str(key)
        if name not in USED and name not in NEUTRAL and not _PRICE.fullmatch(name):
            yield name if re.fullmatch(r"[\w.-]{1,60}", name) else repr(name[:60])


def _plain(
    base: str, model: str, params: Mapping[str, Any], environ: Mapping[str, str], known: Provider
) -> Upstream | str:
    """A base URL as SDKs take it; LiteLLM allows the whole URL, too."""
    base = base.rstrip("/")
    for end in ("/v1/messages",) if known.dialects == ("messages",) else ("/chat/completions",):
        base = base.removesuffix(end)
    if known.suffix:
        base = base.removesuffix(known.suffix) + known.suffix
    return _server(base, known.dialects)


def _azure(
    base: str, model: str, params: Mapping[str, Any], environ: Mapping[str, str], known: Provider
) -> Upstream | str:
    """``/openai/v1``, where the document names the model, or the path of one deployment.

    Under the latter there is no Responses API.
    """
    version = (
        _text(params, "api_version")
        or environ.get("AZURE_API_VERSION")
        or environ.get("AZURE_DEFAULT_API_VERSION")
        or _AZURE_VERSION
    )
    base = base.rstrip("/")
    if base.endswith("/openai/v1") or version in _AZURE_V1:
        query = "api-version=preview" if version == "preview" else ""
        return _server(base.removesuffix("/openai/v1") + "/openai/v1", known.dialects, query)
    if "*" in model or "/" in model:
        return "its deployment depends on the request"
    if re.match(r"command-|mistral-", model):
        return "LiteLLM asks Azure for models of others in their own way"
    if "/openai/deployments" not in base:
        base = f"{base.removesuffix('/openai')}/openai/deployments/{quote(model, safe='')}"
    return _server(base.removesuffix("/chat/completions"), ("chat",), urlencode({"api-version": version}))


def _azure_ai(
    base: str, model: str, params: Mapping[str, Any], environ: Mapping[str, str], known: Provider
) -> Upstream | str:
    """Only the OpenAI form of Foundry and of serverless endpoints, with a key that they take."""
    if "claude" in model.lower():
        return "LiteLLM asks Azure for Claude in its own way"
    url, _, _ = base.partition("?")
    if ".ai.azure.com" in url or ".openai.azure.com" in url or not url.rstrip("/").endswith("/v1"):
        return "LiteLLM asks Azure AI in its own way"
    return _plain(base, model, params, environ, known)


def _server(base: str, dialects: tuple[str, ...], query: str = "") -> Upstream | str:
    url, _, said = base.partition("?")
    try:
        place = Upstream.parse(url)
    except UsageError:
        return "its api_base is not a URL that relay could ask"
    if place.origin.path is not None:
        return "its api_base is not a URL that relay could ask"
    both = "&".join(part for part in (urlencode(parse_qsl(said)), query) if part)
    return replace(place, dialects=dialects, query=both)


def _key(params: Mapping[str, Any], known: Provider, environ: Mapping[str, str]) -> str:
    return _text(params, "api_key") or _variable(environ, known.key_variables) or known.no_key


def _headers(params: Mapping[str, Any]) -> tuple[tuple[str, str], ...] | str:
    found: dict[str, str] = {}
    for name in ("headers", "extra_headers"):
        said = params.get(name)
        if said and not isinstance(said, dict):
            return f"its {name} are no section"
        for key, value in (said or {}).items():
            text = str(value) if isinstance(value, int | float | str) else ""
            if (
                not isinstance(key, str)
                or not _HEADER_NAME.fullmatch(key)
                or not _HEADER_VALUE.fullmatch(text)
            ):
                return f"its {name} hold what no header may"
            if key.lower() in _FRAMING or key.lower() in _KEY_HEADERS:
                return f"its {name} set {key.lower()}"
            found[key.lower()] = text
    organization = _text(params, "organization")
    if organization:
        if not _HEADER_VALUE.fullmatch(organization):
            return "its organization is what no header may hold"
        found["openai-organization"] = organization
    return tuple(found.items())


def _text(params: Mapping[str, Any], name: str) -> str:
    said = params.get(name)
    return said.strip() if isinstance(said, str) else ""


def _variable(environ: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((environ[name] for name in names if environ.get(name)), "")


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 31 else 0
