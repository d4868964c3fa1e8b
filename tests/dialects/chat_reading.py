"""What a legal chat stream is, read strictly and by itself, and how a checker is run over one.

The reader knows nothing of relay. It asks of a stream what the strictest SDK asks of it, and what no
SDK asks it leaves open: the order of text, reasoning and calls, content after the finish reason,
unknown members, other values of ``object``.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from relay.dialects.chat import Chat
from relay.dialects.checker import Malformed, Truncated
from relay.dialects.deltas import Context, Failure
from relay.dialects.frame import REMOVED, Frame
from tests.dialects.drive import CONTEXT, Event, events, seen

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus"
HANDWRITTEN = CORPUS / "handwritten" / "chat-completions"
RECORDED = CORPUS / "recorded" / "chat-completions"
DIED = Failure(
    "upstream closed the stream before finish_reason", type="server_error", code="stream_truncated"
)


def streams(pattern: str) -> list[Path]:
    """Files of the corpus; none where it is not beside the project."""
    return sorted(CORPUS.glob(pattern))


# --- running a checker ------------------------------------------------------------------------


@dataclasses.dataclass
class Outcome:
    """What a client got, and how the stream ended: complete, failed, or why relay failed it."""

    checker: Chat
    end: str = "complete"
    untouched: bool = True
    out: list[Event] = dataclasses.field(default_factory=list)
    taken: list[Event] = dataclasses.field(default_factory=list)
    """What went in before the end."""

    @property
    def repairs(self) -> dict[str, int]:
        return self.checker.repairs


def run(stream: list[Event], context: Context = CONTEXT, *, off: frozenset[str] | None = None) -> Outcome:
    """Every frame through a checker, the end of the body, and the error frame where it comes to that."""
    checker = Chat(context, off=off)
    outcome = Outcome(checker)
    try:
        for event, payload in stream:
            if not checker.done:
                outcome.taken.append(Event(event, copy.deepcopy(payload)))
            frame = Frame(event, copy.deepcopy(payload))
            answer = checker.check(frame)
            if answer is None or frame in answer:
                assert edited(payload, frame) == frame.payload
            outcome.untouched &= answer is None
            outcome.out += [Event(event, payload)] if answer is None else seen(answer)
        rest = checker.end()
        outcome.untouched &= not rest
        outcome.out += seen(rest)
        if checker.failure is not None:
            outcome.end = "failed"
    except (Malformed, Truncated) as error:
        outcome.end = f"{type(error).__name__}: {error}"
        outcome.untouched = False
        outcome.out += seen(checker.fail(DIED))
    assert checker.done
    return outcome


def edited(payload: Any, frame: Frame) -> Any:
    """The payload with the frame's edits in their order: what a stream makes of them.

    Where one leads nowhere, because it lies in an earlier one, a stream writes the payload anew.
    """
    payload = copy.deepcopy(payload)
    for (*path, last), value, _ in frame.edits:
        parent = payload
        for key in path:
            parent = parent[key]
        if value is not REMOVED:
            parent[last] = copy.deepcopy(value)
        elif last in parent:
            del parent[last]
        else:
            return frame.payload
    return payload


def run_file(path: Path, context: Context = CONTEXT, *, off: frozenset[str] | None = None) -> Outcome:
    return run(events(path.read_bytes()), context, off=off)


# --- reading strictly -------------------------------------------------------------------------


class Illegal(AssertionError):
    """A stream that some SDK trips over."""


def demand(condition: object, complaint: str) -> None:
    if not condition:
        raise Illegal(complaint)


def verdict(stream: Iterable[Event]) -> str:
    """``complete`` or ``failed``; anything else is Illegal."""
    choices: dict[int, _Choice] = {}
    state = "open"
    for _, payload in stream:
        demand(state != "complete", "a frame after [DONE]")
        if payload is None:
            demand(state in ("open", "failed"), "[DONE] twice")
            demand(state == "failed" or choices, "[DONE] before any choice")
            demand(
                state == "failed" or all(c.finish for c in choices.values()), "[DONE] before a finish reason"
            )
            state = "failed and done" if state == "failed" else "complete"
            continue
        demand(state == "open", "a frame after an error")
        demand(isinstance(payload, dict), "a payload is not an object")
        if payload.get("error"):
            demand(isinstance(payload["error"], dict), "an error is not an object")
            demand(isinstance(payload["error"].get("message"), str), "an error without a message")
            state = "failed"
            continue
        _read_chunk(payload, choices)
    demand(state != "open", "neither [DONE] nor an error")
    return state.split()[0]


def _read_chunk(payload: dict[str, Any], choices: dict[int, _Choice]) -> None:
    demand("error" not in payload, "an error that is none")
    listed = payload.get("choices")
    demand(isinstance(listed, list), "choices are not a list")
    if listed or payload.get("usage"):
        demand(payload.get("object") and isinstance(payload["object"], str), "no object")
    for choice in listed:
        demand(isinstance(choice, dict), "a choice is not an object")
        index = choice.get("index")
        demand(type(index) is int and 0 <= index <= len(choices), f"choice index {index!r}")
        choices.setdefault(index, _Choice()).read(choice)


class _Choice:
    def __init__(self) -> None:
        self.began = False
        self.finish: str | None = None
        self.calls: list[str] = []

    def read(self, choice: dict[str, Any]) -> None:
        delta, finish = choice.get("delta"), choice.get("finish_reason")
        demand(isinstance(delta, dict), "a delta is not an object")
        demand(finish is None or isinstance(finish, str), "a finish reason is not text")
        role = delta.get("role")
        demand(role in ("assistant", None), f"role {role!r}")
        if delta or finish:
            demand(self.began or role == "assistant", "a choice begins without a role")
            self.began = True
        self.finish = finish or self.finish
        content, calls = delta.get("content"), delta.get("tool_calls")
        demand(content is None or isinstance(content, str) or _foreign(content), f"content {content!r}")
        demand(calls is None or isinstance(calls, list), "tool_calls are not a list")
        for entry in calls or []:
            demand(isinstance(entry, dict), "a tool call is not an object")
            self._read_call(entry)

    def _read_call(self, entry: dict[str, Any]) -> None:
        index, function = entry.get("index"), entry.get("function")
        demand(type(index) is int and 0 <= index <= len(self.calls), f"tool index {index!r}")
        demand(isinstance(function, dict), "a function is not an object")
        name, kind = function.get("name"), entry.get("type")
        demand(isinstance(function.get("arguments"), str | None), "arguments are not text")
        demand("type" not in entry or (isinstance(kind, str) and kind), f"type {kind!r}")
        demand(isinstance(name, str | None), f"name {name!r}")
        if index == len(self.calls):
            demand(name, "a call without a name")
            demand(isinstance(entry.get("id"), str) and entry["id"], "a call without an id")
            demand(kind, "a call without a type")
            self.calls.append(name)
        else:
            demand(entry.get("id") in (None, ""), "an id again")
            demand(name != self.calls[index], "a name again")


def _foreign(content: object) -> bool:
    """A list with parts that are neither text nor thinking: nobody can say what to make of it."""
    return isinstance(content, list) and None in [part_of(part) for part in content]


def part_of(part: Any) -> tuple[str, str] | None:
    """The kind and the text of a part of a content list; None when it is of another kind."""
    if isinstance(part, str):
        return "text", part
    value = (
        part.get(part["type"])
        if isinstance(part, dict) and part.get("type") in ("text", "thinking")
        else None
    )
    if isinstance(value, list) and part["type"] == "thinking":
        told = [part_of(inner) for inner in value]
        value = None if None in told else "".join(text for _, text in told)
    return (part["type"], value) if isinstance(value, str) else None


# --- what a stream says -----------------------------------------------------------------------


def said(stream: Iterable[Event]) -> dict[str, str]:
    """All text by its kind, in order, whichever choice it is of and whatever form it has."""
    told: dict[str, str] = {}
    for key, text in _pieces(stream):
        told[key] = told.get(key, "") + text
    return told


def _pieces(stream: Iterable[Event]) -> Iterator[tuple[str, str]]:
    for _, payload in stream:
        for choice in (payload or {}).get("choices") or []:
            delta = (choice or {}).get("delta") or {}
            for key in ("content", "refusal", "reasoning", "reasoning_content"):
                if isinstance(value := delta.get(key), str) and value:
                    yield key, value
            for entry in delta.get("tool_calls") or []:
                arguments = ((entry or {}).get("function") or {}).get("arguments")
                if isinstance(arguments, str) and arguments:
                    yield "arguments", arguments
