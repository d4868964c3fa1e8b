"""What a CLI told its user, out of the events that it prints: the same words for both CLIs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .agents_setup import Said


@dataclass
class Told:
    """``text``: the final answer; ``outputs``: what its commands gave; ``error``: why it says it failed."""

    text: str = ""
    thoughts: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    error: str = ""
    usage: dict[str, Any] = field(default_factory=dict)


def told(agent: str, said: Said) -> Told:
    return _claude(said.events) if agent == "claude" else _codex(said.events)


def _claude(events: list[dict[str, Any]]) -> Told:
    found = Told()
    for kind, block in _blocks(events):
        match kind, block.get("type"):
            case "assistant", "text":
                found.texts.append(block["text"])
            case "assistant", "thinking":
                found.thoughts.append(block["thinking"])
            case "user", "tool_result":
                found.outputs.append(_plain(block.get("content")))
    for event in events:
        if event.get("type") == "result":
            found.text = str(event.get("result", ""))
            found.error = found.text or str(event.get("subtype")) if event.get("is_error") else ""
            found.usage = event.get("usage") or {}
    return found


def _blocks(events: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for event in events:
        content = (
            (event.get("message") or {}).get("content")
            if event.get("type") in ("assistant", "user")
            else None
        )
        if isinstance(content, list):
            yield from ((event["type"], block) for block in content)


def _plain(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or [])


def _codex(events: list[dict[str, Any]]) -> Told:
    found = Told()
    for event in events:
        item = event.get("item") or {}
        match event.get("type"), item.get("type"):
            case "item.completed", "agent_message":
                found.texts.append(item["text"])
            case "item.completed", "reasoning":
                found.thoughts.append(item["text"])
            case "item.completed", "command_execution":
                found.outputs.append(item["aggregated_output"])
            case "turn.failed", _:
                found.error = str((event.get("error") or {}).get("message"))
            case "turn.completed", _:
                found.usage = event.get("usage") or {}
    found.text = found.texts[-1] if found.texts else ""
    return found
