"""What only LiteLLM does: what rules out that anything goes past it, and what such streams go round.

A rule that protects (a guardrail that is always on, an own way to decide who may ask) rules it out,
whatever ``direct`` says, ``all`` included: a rule that its owner believes in force must not depend on
which way a request took. What counts, writes down or steadies (callbacks, budgets, caches, retries) is
named in a warning, and so is every key that relay does not know: better one too many.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from relay.litellm.direct import changed_by
from relay.litellm.file import LiteLLMFile, shown

_WHO, _WHAT, _EVERY = "decides who may ask", "refuses requests", "changes every request"
_RULES: dict[str, dict[str, str]] = {
    "general_settings": {
        "custom_auth": _WHO,
        "enable_jwt_auth": _WHO,
        "enable_oauth2_auth": _WHO,
        "enable_oauth2_proxy_auth": _WHO,
        "allowed_ips": _WHO,
        "litellm_key_header_name": "moves the clients' keys to another header",
        "allowed_routes": _WHAT,
        "enforced_params": _WHAT,
        "enforce_user_param": _WHAT,
        "completion_model": _EVERY,
    },
    "litellm_settings": {
        "api_base": _EVERY,
        "api_key": _EVERY,
        "headers": _EVERY,
        "organization": _EVERY,
        "custom_prompt_dict": _EVERY,
        "blocked_user_list": _WHAT,
        "banned_keywords_list": _WHAT,
        "pre_call_rules": _WHAT,
        "post_call_rules": "refuses answers",
        "route_all_chat_openai_to_responses": "asks in another dialect",
    },
    "router_settings": {},
}
"""Keys that rule out going past LiteLLM, and why."""
_GUARDS = frozenset(
    [
        "llamaguard_moderations",
        "llmguard_moderations",
        "hide_secrets",
        "detect_prompt_injection",
        "banned_keywords",
        "blocked_user_check",
        "lakera_prompt_injection",
        "aporia_prompt_injection",
        "google_text_moderation",
        "openai_moderations",
        "azure_content_safety",
        "presidio",
        "lakera",
    ]
)
"""Callbacks that do."""
_POLICIES = ("policies", "policy_attachments")

_SILENT: dict[str, frozenset[str]] = {
    "general_settings": frozenset(
        [
            "master_key",
            "database_url",
            "database_type",
            "database_connection_pool_limit",
            "database_connection_timeout",
            "store_model_in_db",
            "store_prompts_in_spend_logs",
            "disable_spend_logs",
            "disable_error_logs",
            "proxy_batch_write_at",
            "use_redis_transaction_buffer",
            "allow_requests_on_db_unavailable",
            "ui_access_mode",
            "background_health_checks",
            "health_check_interval",
            "health_check_details",
            "health_check_model",
            "proxy_budget_rescheduler_min_time",
            "proxy_budget_rescheduler_max_time",
            "litellm_license",
            "admin_only_routes",
            "public_routes",
            "pass_through_endpoints",
            "custom_sso",
            "custom_key_generate",
            "disable_swagger",
            "disable_master_key_return",
            "key_management_system",
            "key_management_settings",
            "cache",
            "maximum_spend_logs_retention_period",
            "allow_client_side_credentials",
            "user_api_key_cache_ttl",
        ]
    ),
    "litellm_settings": frozenset(
        [
            "set_verbose",
            "debug",
            "json_logs",
            "log_raw_request_response",
            "suppress_debug_info",
            "telemetry",
            "redact_user_api_key_info",
            "public_model_groups",
            "ui_theme_config",
            "upperbound_key_generate_params",
            "default_key_generate_params",
            "default_internal_user_params",
            "enable_preview_features",
            "store_audit_logs",
            "langfuse_default_tags",
            "s3_callback_params",
            "aws_sqs_callback_params",
            "datadog_params",
            "prometheus_metrics_config",
            "custom_prometheus_metadata_labels",
            "enable_redis_auth_cache",
        ]
    ),
    "router_settings": frozenset(
        [
            "model_group_alias",
            "redis_host",
            "redis_port",
            "redis_password",
            "redis_url",
            "redis_db",
            "set_verbose",
            "debug_level",
            "polling_interval",
            "default_litellm_params",
            "client_ttl",
        ]
    ),
}
"""Keys without effect on a completion that goes past LiteLLM, or that are told elsewhere."""
_TOP = ("guardrails", "mcp_servers", "mcp_tools", "vector_store_registry", "search_tools", "prompts")
_ELSEWHERE = ("key_management_system", "key_management_settings")


def rules_out(file: LiteLLMFile) -> Iterator[str]:
    """Why nothing may go past LiteLLM; nothing where it may."""
    for section, rules in _RULES.items():
        said = file.section(section)
        yield from (f"{section}.{key} {why}" for key, why in rules.items() if _said(said.get(key)))
    for name in _always_on(file):
        yield f"the guardrail {shown(name)} is always on"
    for key in _POLICIES:
        if _said(file.top.get(key)):
            yield f"{key} decide on guardrails"
    callbacks = _names(file.section("litellm_settings").get("callbacks"))
    for name in sorted(_GUARDS.intersection(callbacks)):
        yield f"the callback {name} {_WHAT}"
    params = file.section("router_settings").get("default_litellm_params")
    changing = list(changed_by(params)) if isinstance(params, dict) else []
    if changing:
        yield f"router_settings.default_litellm_params sets {', '.join(changing)}"


def goes_round(file: LiteLLMFile) -> Iterator[str]:
    """What of the file has no effect on streams that go past LiteLLM: its keys, callbacks by their names."""
    for section, rules in _RULES.items():
        for key, value in file.section(section).items():
            if not _said(value) or key in rules or key in _SILENT[section] or value == "simple-shuffle":
                continue
            names = _names(value) if isinstance(key, str) and key.endswith(("callback", "callbacks")) else []
            yield f"{section}.{shown(str(key))}" + (f" ({', '.join(map(shown, names))})" if names else "")
    yield from (key for key in _TOP if _said(file.top.get(key)))


def unseen(file: LiteLLMFile) -> Iterator[str]:
    """Where LiteLLM keeps models or values that relay does not see."""
    general = file.section("general_settings")
    if any(_said(general.get(key)) for key in _ELSEWHERE):
        yield "general_settings.key_management_system: values of a secret manager are not known here"
    if _said(general.get("store_model_in_db")):
        yield "general_settings.store_model_in_db: models of the database go through LiteLLM"
    if file.environ.get("LITELLM_CONFIG_BUCKET_NAME"):
        yield "LITELLM_CONFIG_BUCKET_NAME is set: LiteLLM reads its file from a bucket, relay reads this one"


def _always_on(file: LiteLLMFile) -> Iterator[str]:
    """Of ``guardrails``, and of the older form below ``litellm_settings``: lists of one-key sections."""
    said = file.top.get("guardrails")
    for one in said if isinstance(said, list) else ():
        params = one.get("litellm_params") if isinstance(one, dict) else None
        if isinstance(params, dict) and _said(file.filled(params.get("default_on"))):
            yield str(one.get("guardrail_name"))
    older = file.section("litellm_settings").get("guardrails")
    for one in older if isinstance(older, list) else ():
        for name, params in one.items() if isinstance(one, dict) else ():
            if isinstance(params, dict) and _said(file.filled(params.get("default_on"))):
                yield str(name)


def _said(value: Any) -> bool:
    return not (value is None or value is False or value == {} or value == [] or value == "")


def _names(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
