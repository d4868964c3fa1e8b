"""What relay does in front of a LiteLLM whose file it has read: upstreams, routes, keys, and what it says.

Everything may go through LiteLLM. With ``direct`` a completion goes straight to the deployments of its
model that can be asked without LiteLLM, and to LiteLLM when they fail before the first frame. The order
of a model's deployments is kept, and so is their share: what a deployment that cannot be asked directly
would have got goes to LiteLLM. A request that says what only LiteLLM understands goes there, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256

from relay.access import Keys
from relay.config import Direct, LiteLLM, Repeat, RouteRule, RouteTarget, Upstream
from relay.litellm.direct import UNSET
from relay.litellm.file import LiteLLMFile, read, shown
from relay.litellm.notes import goes_round, rules_out, unseen
from relay.litellm.providers import RESPONSES_ONLY
from relay.litellm.ways import DIALECTS, NAME, Way, Ways, ways_of
from relay.source.problems import Problem

PATHS = {
    "chat": ("/v1/chat/completions", "/chat/completions"),
    "responses": ("/v1/responses", "/responses"),
    "messages": ("/v1/messages",),
}
"""Where LiteLLM takes completions that name one of its models."""
_OWN = (
    "litellm_metadata",
    "tags",
    "guardrails",
    "guardrail_config",
    "policies",
    "fallbacks",
    "context_window_fallbacks",
    "content_policy_fallbacks",
    "context_window_fallback_dict",
    "disable_fallbacks",
    "num_retries",
    "max_retries",
    "retry_policy",
    "retry_strategy",
    "timeout",
    "request_timeout",
    "stream_timeout",
    "force_timeout",
    "cooldown_time",
    "routing_strategy",
    "allowed_model_region",
    "cache",
    "caching",
    "caching_groups",
    "cache_key",
    "no-log",
    "turn_off_message_logging",
    "mock_response",
    "mock_tool_calls",
    "mock_timeout",
    "mock_testing_fallbacks",
    "mock_testing_context_fallbacks",
    "mock_testing_content_policy_fallbacks",
    "mock_testing_rate_limit_error",
    "api_key",
    "api_base",
    "base_url",
    "api_version",
    "organization",
    "custom_llm_provider",
    "litellm_credential_name",
    "user_config",
    "model_list",
    "model_config",
    "extra_body",
    "extra_headers",
    "headers",
    "provider_specific_header",
    "drop_params",
    "additional_drop_params",
    "modify_params",
    "allowed_openai_params",
    "prompt_id",
    "prompt_variables",
    "prompt_version",
    "prompt_label",
    "litellm_system_prompt",
    "litellm_session_id",
    "litellm_trace_id",
    "litellm_call_id",
    "search_tool_name",
    "enable_json_schema_validation",
    "merge_reasoning_content_in_choices",
    "supports_system_message",
    "ensure_alternating_roles",
    "silent_model",
    "use_litellm_proxy",
    "use_chat_completions_api",
    "ssl_verify",
)
"""Fields of a request that only LiteLLM understands."""
_KEPT = ("previous_response_id", "conversation", "background")
"""Those that name a response which is kept, under an id of LiteLLM's making, or ask to keep one."""
WITHOUT = {
    "chat": (*_OWN, *_KEPT, "metadata"),
    "responses": (*_OWN, *_KEPT, "metadata"),
    "messages": _OWN,
}
"""Who says one of these is not sent past LiteLLM. ``metadata`` is LiteLLM's as well as OpenAI's; in
Anthropic's, where it is told who asks, every request of Claude Code has it."""


_HEADERS = ("tags", "timeout", "stream-timeout", "num-retries", "spend-logs-metadata")
"""Of ``x-litellm-…``: whoever sends one asks something of LiteLLM itself."""
_OPEN = (
    "no master key is known, neither in general_settings nor as LITELLM_MASTER_KEY, so whoever reaches relay "
    "would use the providers' keys; give relay the same as LiteLLM"
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What takes the place of ``upstreams``, ``routes`` and ``keys``, and what to say about it."""

    upstreams: tuple[Upstream, ...]
    routes: tuple[RouteRule, ...]
    keys: Keys
    said: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


def plan(
    settings: LiteLLM, environ: Mapping[str, str], problems: list[Problem], *, guarded: bool = False
) -> Plan:
    """Read LiteLLM's file and say what comes of it; what cannot be read is a problem.

    ``guarded``: relay has keys of its own to ask clients for.
    """
    litellm = replace(Upstream.parse(settings.url), name=NAME)
    file = read(settings.config, environ, problems)
    if file is None:
        last = RouteRule(to=(RouteTarget(NAME),), name=NAME)
        return Plan((litellm,), (last,), Keys(), files=(settings.config,))
    keys, about_keys = _keys(file)
    barred = list(rules_out(file)) if settings.direct is not Direct.NONE else []
    if settings.direct is not Direct.NONE and not (keys.asked or guarded):
        barred.append(_OPEN)
    ways = ways_of(file, settings, barred=bool(barred))
    return Plan(
        (litellm, *ways.upstreams),
        tuple(_routes(ways, settings)),
        keys,
        tuple(_said(ways, settings)),
        (*file.warnings, *about_keys, *_warnings(ways, file, settings, barred)),
        file.files,
    )


def _routes(ways: Ways, settings: LiteLLM) -> Iterator[RouteRule]:
    """Names before patterns, a longer pattern before a shorter one, as LiteLLM looks for a model.

    Rules of names that differ in nothing else are one.
    """
    named = [way for way in ways.ways if not way.pattern]
    if ways.upstreams:
        yield from _asked_of_litellm()
    yield from _together(rule for way in named for rule in _straight(way, settings))
    yield from _together(_through(way, settings) for way in named)
    for way in sorted((way for way in ways.ways if way.pattern), key=_specific, reverse=True):
        yield from _beside(way, settings)
        yield from _straight(way, settings)
        yield _through(way, settings)
        if not way.name.endswith("*"):  # LiteLLM's patterns are open at their end
            yield replace(_through(way, settings), models=tuple(f"{model}*" for model in way.models))
    yield RouteRule(to=(RouteTarget(NAME),), name=NAME)


def _asked_of_litellm() -> Iterator[RouteRule]:
    """Completions whose head speaks to LiteLLM; it translates them, too."""
    paths = tuple(path for dialect in DIALECTS for path in PATHS[dialect])
    for name in _HEADERS:
        asked = ((f"x-litellm-{name}", "*"),)
        yield RouteRule(to=(RouteTarget(NAME),), name=NAME, paths=paths, headers=asked)


def _straight(way: Way, settings: LiteLLM) -> Iterator[RouteRule]:
    """Rules that lead past LiteLLM: one for each list of targets that its dialects have."""
    rules: dict[tuple[tuple[RouteTarget, ...], tuple[str, ...]], tuple[str, ...]] = {}
    for dialect in DIALECTS:
        targets = way.targets(dialect, settings.translate)
        if targets:
            key = targets, WITHOUT[dialect]
            rules[key] = (*rules.get(key, ()), *PATHS[dialect])
    for (targets, without), paths in rules.items():
        yield RouteRule(
            to=targets,
            name="direct",
            models=way.models,
            paths=paths,
            stream=True if settings.direct is Direct.STREAMS else None,
            without=without,
            repeat=Repeat.COMPLETIONS,
            timeouts=way.timeouts(direct=True),
        )


def _through(way: Way, settings: LiteLLM) -> RouteRule:
    paths = tuple(path for dialect in DIALECTS for path in PATHS[dialect])
    return RouteRule(
        to=(way.through(settings.translate),),
        name=NAME,
        models=way.models,
        paths=paths,
        timeouts=way.timeouts(direct=False),
    )


def _beside(way: Way, settings: LiteLLM) -> Iterator[RouteRule]:
    """Models of OpenAI under a pattern that have no Chat Completions: LiteLLM knows which road they take."""
    if way.mixed:
        models = tuple(model.replace("*", one) for model in way.models for one in RESPONSES_ONLY)
        yield replace(_through(replace(way, asked=("responses",)), settings), models=models)


def _together(rules: Iterable[RouteRule]) -> list[RouteRule]:
    """Those that differ in their models only as one."""
    found: dict[RouteRule, tuple[str, ...]] = {}
    for rule in rules:
        key = replace(rule, models=())
        found[key] = (*found.get(key, ()), *rule.models)
    return [replace(rule, models=models) for rule, models in found.items()]


def _specific(way: Way) -> tuple[int, int]:
    """How LiteLLM ranks patterns: by the length of their regular expression, then by its signs."""
    expression = re.escape(way.name).replace(r"\*", "(.*)")
    return len(expression), sum(map(expression.count, "*+?\\^$|()"))


def _keys(file: LiteLLMFile) -> tuple[Keys, list[str]]:
    """The master key is known here; of others LiteLLM is asked."""
    general = file.section("general_settings")
    said = general["master_key"] if "master_key" in general else file.environ.get("LITELLM_MASTER_KEY")
    master = file.filled(said)
    if isinstance(master, str) and master:
        return Keys((sha256(master.encode("utf-8", "surrogateescape")).digest(),), NAME), []
    if said:
        unknown = "general_settings.master_key is not known here: every key is asked of LiteLLM"
        return Keys(verifier=NAME), [unknown]
    return Keys(), []


def _said(ways: Ways, settings: LiteLLM) -> Iterator[str]:
    """One line for each name of the file, in its order."""
    lines = [(way.name, _line(way, settings)) for way in ways.ways if way.name not in ways.aliases]
    lines += [(alias, f"as {shown(target)}") for alias, target in ways.aliases.items()]
    width = min(max((len(shown(name)) for name, _ in lines), default=0), 40)
    for name, line in lines:
        yield f"{shown(name):{width}}  {line}"


def _line(way: Way, settings: LiteLLM) -> str:
    if way.left and not way.asked:
        return f"left to LiteLLM: {way.left}"
    through = f"through LiteLLM{_dialects(way.asked, settings.translate)}"
    asked = [dialect for dialect in DIALECTS if way.targets(dialect, settings.translate)]
    reasons = list(dict.fromkeys(share.reason for share in way.shares if share.reason))
    if way.left:
        reasons.append(way.left)
    if not asked:
        return f"{through}: {'; '.join(reasons)}" if reasons else through
    used = {target.upstream for dialect in asked for target in way.targets(dialect, settings.translate)}
    places: dict[tuple[str, ...], list[str]] = {}
    for share in way.shares:
        if share.straight is not None and share.upstream in used:
            urls = places.setdefault(share.straight.dialects, [])
            if share.straight.url not in urls:
                urls.append(share.straight.url)
    where = " and ".join(
        _some(urls) + _dialects(spoken, settings.translate, asked) for spoken, urls in places.items()
    )
    verb = "streams straight to" if settings.direct is Direct.STREAMS else "goes straight to"
    rest = f"; a share through LiteLLM: {'; '.join(reasons)}" if reasons else ""
    return f"{verb} {where}, then LiteLLM{rest}"


def _dialects(spoken: tuple[str, ...], translate: bool, asked: Iterable[str] = DIALECTS) -> str:
    """`` (chat, responses; messages translated)``."""
    own = [dialect for dialect in spoken if dialect in asked]
    others = [dialect for dialect in asked if dialect not in spoken]
    if not spoken or not own:
        return ""
    return f" ({', '.join(own)}" + (f"; {', '.join(others)} translated)" if others and translate else ")")


def _warnings(ways: Ways, file: LiteLLMFile, settings: LiteLLM, barred: list[str]) -> Iterator[str]:
    yield from unseen(file)
    if settings.direct is Direct.NONE:
        return
    if barred:
        yield f"nothing goes past LiteLLM: {'; '.join(barred)}"
        return
    for what, names in _unset(ways).items():
        yield f"{what}: LiteLLM alone asks {_some(names)}"
    direct = [way for way in ways.ways if any(way.targets(one, settings.translate) for one in DIALECTS)]
    if not direct:
        return
    around = list(goes_round(file))
    if around:
        yield f"without effect on streams that go past LiteLLM: {', '.join(around)}"
    shorter = [shown(way.name) for way in direct if way.shorter]
    if shorter:
        yield f"timeout, stream_timeout: relay's own hold for direct streams of {_some(shorter)}"
    if any(
        share.straight is not None and "responses" in share.straight.dialects
        for way in direct
        for share in way.shares
    ):
        yield "a response that a direct stream stores has the provider's id, by which LiteLLM cannot find it"


def _unset(ways: Ways) -> dict[str, list[str]]:
    """Deployments whose variables LiteLLM may have, but not relay: names by what is missing."""
    found: dict[str, list[str]] = {}
    for way in ways.ways:
        for share in way.shares:
            if share.reason.endswith(UNSET) and shown(way.name) not in found.setdefault(share.reason, []):
                found[share.reason].append(shown(way.name))
    return found


def _some(names: list[str]) -> str:
    more = len(names) - 5
    return ", ".join(names[:5]) + (f" and {more} more" if more > 0 else "")
