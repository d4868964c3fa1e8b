"""Profiles of servers by name; the first is for a server that nothing is known of."""

from __future__ import annotations

from relay.dialects.request import Profile

_OPENAI = Profile(
    name="openai",
    limit="max_completion_tokens",
    system_role="developer",
    merge_system=False,
    efforts=("none", "minimal", "low", "medium", "high", "xhigh", "max"),
    top_k=False,
    openai_fields=True,
    files=True,
    tool_name_limit=64,
    stop_limit=4,
)

BY_NAME: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile(),
        _OPENAI,
        Profile(
            name="vllm",
            reasoning_field="reasoning",
            template_thinking=True,
            continues_prefill=True,
            continues="rendered",
            tokenize=True,
        ),
        Profile(
            name="sglang",
            reasoning_field="reasoning_content",
            template_thinking=True,
            continues="appended",
        ),
        Profile(name="deepseek", reasoning_field="reasoning_content", top_k=False),
        Profile(name="openrouter", files=True, reasoning_field="reasoning"),
        Profile(name="claude-budget", thinking_budgets=True),
    )
}
