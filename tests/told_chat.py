"""What a chat stream or a completion says; of several choices the first."""

from __future__ import annotations

import json
from collections.abc import Iterable

from tests.dialects.drive import Event
from tests.told import COUNTS, Json, Said, Tale, known


def stream(given: Iterable[Event]) -> Tale:
    tale, calls = Tale(), _Calls()
    for _, payload in given:
        if payload is None:
            tale.ended = True
            continue
        if payload.get("error"):
            error = payload["error"]
            tale.error = error if isinstance(error, dict) else {"message": error}
        tale.id = tale.id or payload.get("id") or None
        tale.model = tale.model or payload.get("model")
        tale.counts = _counts(payload, tale.counts)
        for choice in payload.get("choices") or []:
            if not choice.get("index"):
                _said(tale, choice.get("delta") or {}, calls)
                tale.finish = _more_telling(tale.finish, choice.get("finish_reason"))
                tale.sequence = choice.get("stop_reason") or tale.sequence
    return tale


def _more_telling(before: str | None, reason: object) -> str | None:
    """LM Studio says `stop` again beside the usage."""
    if not isinstance(reason, str) or not reason:
        return before
    return before if before and reason == "stop" else reason


def _said(tale: Tale, delta: Json, calls: _Calls) -> None:
    content = delta.get("content")
    if isinstance(content, dict):  # Cloudflare's structured output
        content = json.dumps(content, separators=(",", ":"))
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    thought = delta.get("reasoning_content")
    tale.add("reasoning", thought)
    if delta.get("reasoning") != thought:
        tale.add("reasoning", delta.get("reasoning"))
    for part in parts:
        for inner in part.get("thinking") or []:
            tale.add("reasoning", inner["text"])
    for part in parts:
        tale.add("text", part.get("text"))
    tale.add("refusal", delta.get("refusal"))
    for entry in delta.get("tool_calls") or []:
        calls.take(tale, entry)
    if delta.get("function_call"):
        calls.take(tale, {"index": "function", "function": delta["function_call"]})


class _Calls:
    """A new index begins a call, and so does a new id."""

    def __init__(self) -> None:
        self.by_index: dict[object, Said] = {}
        self.ids: set[str] = set()

    def take(self, tale: Tale, entry: Json) -> None:
        index, ident = entry.get("index"), entry.get("id")
        body = entry.get("function") or entry.get("custom") or {}
        if index not in self.by_index and not (ident or any(body.values())):
            return  # Snowflake's empty ones
        call = self.by_index.get(index)
        if call is None or (ident and ident not in self.ids):
            call = self.by_index[index] = tale.call(ident or None, None)
            self.ids.add(ident or "")
        call.name = call.name or body.get("name")
        given = body.get("arguments")
        call.text += given if isinstance(given, str) else json.dumps(given) if given else ""
        if body.get("input"):
            call.text += json.dumps({"input": body["input"]})


def _counts(payload: Json, before: dict[str, int] | None) -> dict[str, int] | None:
    usage = payload.get("usage") or (payload.get("x_groq") or {}).get("usage")
    if not usage:
        return before
    prompt, completion = (usage.get(f"{kind}_tokens_details") or {} for kind in ("prompt", "completion"))
    found = {
        "input": usage.get("prompt_tokens"),
        "output": usage.get("completion_tokens"),
        "cached": prompt.get("cached_tokens", usage.get("prompt_cache_hit_tokens")),
        "written": prompt.get("cache_write_tokens"),
        "reasoning": completion.get("reasoning_tokens"),
    }
    return dict.fromkeys(COUNTS, 0) | (before or {}) | known(found)


def document(whole: Json) -> Tale:
    """A whole answer of chat; of its choices the first."""
    choice = whole["choices"][0]
    tale = Tale(id=whole.get("id"), model=whole.get("model"), ended=True)
    _said(tale, choice["message"], _Calls())
    tale.counts = _counts(whole, None)
    tale.finish = choice.get("finish_reason")
    tale.sequence = choice.get("stop_reason")
    return tale
