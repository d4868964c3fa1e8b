"""Seeds 2 and 3: streams that SDKs choke on, and text that becomes a tool's arguments (27442, 29286)."""

from __future__ import annotations

from typing import Any

from .asking import ask, claude_code, document
from .configs import MODELS
from .finding import ALONE, DIRECT, THROUGH, Finding, Place
from .lifecycle import faults
from .scripts import TOOL, words
from .sdk import Told, judge

MALFORMED = (
    ("messages", "openai-wildcard"),
    ("responses", "openai-wildcard"),
    ("messages", "openai"),
    ("responses", "lm_studio"),
    ("responses", "anthropic"),
)
WANTED = [(TOOL[0], {"city": "Paris"})]
SHORT: dict[str, Any] = {"words": 8, "gap": 0.01}


async def lifecycle(place: Place) -> list[Finding]:
    """Seed 2: text, then text and a tool call, read by hand and by both SDK ways."""
    found = []
    for route in MALFORMED:
        body = document(route[0], MODELS[route[1]])
        lost_before: set[str] = set()
        for way, port in place.ways.items():
            seen, wrong, lost = await _read(place, port, route, body)
            if way == ALONE:
                lost_before = lost
            shown = f"{seen}; {', '.join(sorted(lost))}" if lost else seen
            # What LiteLLM has lost nobody behind it can find again.
            mine = lost - lost_before if way == THROUGH else lost
            found.append(place.found("2 malformed", route, way, shown, "; ".join([*wrong, *sorted(mine)])))
    return found


async def empty_tool_calls(place: Place) -> list[Finding]:
    """Seed 3: a request like Claude Code's for a model of vLLM."""
    found = []
    route = ("messages", "hosted_vllm")
    for way, port in place.ways.items():
        seen, wrong, lost = await _read(place, port, route, claude_code(MODELS["hosted_vllm"]))
        found.append(place.found("3 empty tool_calls", route, way, seen, "; ".join([*wrong, *sorted(lost)])))
    return found


async def _read(
    place: Place, port: int, route: tuple[str, str], body: dict[str, Any]
) -> tuple[str, list[str], set[str]]:
    """What was seen, what is wrong with the form, and which part of the content is missing."""
    wrong: dict[str, None] = {}
    lost: set[str] = set()
    good = 0
    for tool in (False, True):
        place.upstream.plays(**SHORT, tool=tool)
        answer = await ask(port, route[0], body)
        wrong |= dict.fromkeys(faults(route[0], answer.body))
        asked = place.upstream.asked[-1] if place.upstream.asked else None
        passed = asked is not None and asked.streaming and asked.dialect == route[0] and _direct(place, port)
        if passed and asked is not None and answer.body != bytes(asked.wrote):
            wrong["not byte-identical with the provider's"] = None
        place.upstream.plays(**SHORT, tool=tool)
        for number, told in enumerate(await judge(port, route[0], body)):
            good += not _lacks(place, told, number, tool) and not (told.failed or told.crashed)
            lost |= _lacks(place, told, number, tool)
            if told.failed or told.crashed:
                wrong[f"{told.way}: {told.failed or told.crashed}"[:100]] = None
    form = ", ".join(wrong) or "legal" + (", byte-identical" if passed else "")
    return f"SDKs right in {good} of 4; {form}", list(wrong), lost


def _direct(place: Place, port: int) -> bool:
    return DIRECT in place.relays and place.relays[DIRECT].port == port


def _lacks(place: Place, told: Told, number: int, tool: bool) -> set[str]:
    if number >= len(place.upstream.asked):
        return {"never asked"}
    text = "".join(words(place.upstream.asked[number].stream, place.upstream.play))
    lacking = set() if told.text == text else {"text lost"}
    return lacking | ({"tool call lost"} if tool and told.tools != WANTED else set())
