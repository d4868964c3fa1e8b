"""The matrix: which CLI over which upstream, what the model does, and how that is judged."""

from __future__ import annotations

from . import agents_checks as check
from . import agents_script as turn
from .agents_run import NATIVE, PATHS, Case, Kind

VLLM = ("--upstream-profile", "vllm")

# Claude Code does not ask again when it has a block of the answer whole; it says that the answer was cut.
KINDS = [
    Kind("work", turn.work, check.whole_tools, turns=3),
    Kind(
        "work, older model",
        turn.work,
        check.whole_tools,
        turns=3,
        model="claude-sonnet-4-5",
        agents=("claude",),
    ),
    Kind("work, profile of vllm", turn.work, check.thoughts_went_back, 3, flags=VLLM, ways=("chat",)),
    Kind("image", turn.look, check.looked, turns=3),
    Kind("cut in the first text", turn.cut_first, check.worked, turns=4),
    Kind("cut in a call", turn.cut_call, check.worked, turns=4, agents=("codex",)),
    Kind("cut in a call", turn.cut_call, check.gave_up, turns=1, agents=("claude",)),
    Kind("cut in the last text", turn.cut_text, check.worked, turns=4, agents=("codex",)),
    Kind(
        "cut, profile of vllm", turn.cut_text, check.worked, 4, agents=("codex",), flags=VLLM, ways=("chat",)
    ),
    Kind("cut in the last text", turn.cut_text, check.gave_up, turns=3, agents=("claude",)),
    Kind("error in the stream", turn.error_frame, check.worked, turns=4),
    Kind("limit in a call", turn.limit, check.not_run),
    Kind("always cut", turn.always_cut, check.gave_up_at_last),
    Kind("overloaded once", turn.overloaded, check.worked, turns=4),
    Kind("too long", turn.too_long, check.out_of_room),
    Kind("patch", turn.edit, check.edited, turns=3, model="gpt-5.5", agents=("codex",)),
    Kind("tool in a namespace", turn.grouped, check.in_its_group, turns=2, agents=("codex",)),
    Kind("script", turn.in_code, check.scripted, turns=2, model="gpt-6.1-sol", agents=("codex",)),
]
WAYS = {agent: ["direct", native, *(d for d in PATHS if d != native)] for agent, native in NATIVE.items()}


def cases() -> list[Case]:
    """Without relay first, which proves the harness; then the control; then what is translated."""
    return [
        Case(agent, WAYS[agent][at], kind)
        for at in range(len(WAYS["claude"]))
        for agent in NATIVE
        for kind in KINDS
        if agent in kind.agents and WAYS[agent][at] in kind.ways
    ]
