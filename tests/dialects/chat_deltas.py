"""Chat streams as deltas and deltas as chat streams, and what either of them says, read by itself."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from relay.dialects.chat import Chat
from relay.dialects.chat_decoding import ChatDecoder
from relay.dialects.chat_encoding import ChatEncoder
from relay.dialects.deltas import (
    Block,
    Close,
    Context,
    Delta,
    End,
    Failure,
    Finish,
    Form,
    Open,
    Piece,
    Reason,
    Usage,
)
from relay.dialects.frame import Frame
from relay.dialects.grammar import Grammar
from relay.dialects.request import Request
from tests.dialects.drive import CONTEXT, Event

REQUEST = Request("messages", "m-1", stream=True, usage_asked=True)


def decoded(stream: Iterable[Event], request: Request = REQUEST, context: Context = CONTEXT) -> list[Delta]:
    """The deltas of a stream that has passed the checker; raises what the checker raises."""
    checker, decoder = Chat(context), ChatDecoder(request)
    deltas: list[Delta] = []
    for event, payload in stream:
        frame = Frame(event, copy.deepcopy(payload))
        answer = checker.check(frame)
        for legal in [frame] if answer is None else answer:
            if not legal.silenced and checker.failure is None:
                deltas += decoder.decode(legal)
    for frame in checker.end():
        deltas += decoder.decode(frame)
    return deltas


def encoded(deltas: Iterable[Delta], request: Request = REQUEST, context: Context = CONTEXT) -> list[Event]:
    encoder = ChatEncoder(context, request)
    return [Event(frame.event, frame.payload) for delta in deltas for frame in encoder.encode(delta)]


def admitted(deltas: Iterable[Delta]) -> bool:
    """Whether the grammar takes them all, to the end."""
    grammar = Grammar(serial=False)
    last = None
    for delta in deltas:
        last = delta
        key = getattr(delta, "key", None)
        assert grammar.admit(delta.kind, key, delta), delta
        assert not isinstance(delta, Piece) or delta.text
        assert not isinstance(delta, Finish | End) or not grammar.blocks
    return isinstance(last, End | Failure)


@dataclasses.dataclass
class Told:
    """What an answer says."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: list[list[str]] = dataclasses.field(default_factory=list)
    """Id, name and arguments."""
    finish: str | None = None
    usage: tuple[int | None, ...] | None = None


def told_by_deltas(deltas: Iterable[Delta]) -> Told:
    told, calls = Told(), {}
    forms: dict[Any, Form] = {}
    names = {Form.TEXT: "text", Form.REASONING: "reasoning", Form.REFUSAL: "refusal"}
    for delta in deltas:
        match delta:
            case Block():
                forms[delta.key] = delta.form
                if delta.form is Form.TOOL:
                    calls[delta.key] = [delta.tool_id or "", delta.name or "", ""]
                    told.calls.append(calls[delta.key])
            case Piece() if forms[delta.key] is Form.TOOL:
                calls[delta.key][2] += delta.text
            case Piece():
                name = names[forms[delta.key]]
                setattr(told, name, getattr(told, name) + delta.text)
            case Finish():
                told.finish = delta.reason.value
            case Usage():
                told.usage = (delta.input, delta.output, delta.cached, delta.reasoning)
            case _:
                pass
    return told


FINISHES = {
    "length": "length",
    "tool_calls": "tools",
    "function_call": "tools",
    "content_filter": "filter",
}


def told_by_chunks(stream: Iterable[Event]) -> Told:
    """Of choice 0 of a legal stream, in the words of the deltas."""
    told, calls = Told(), {}
    for _, payload in stream:
        for choice in (payload or {}).get("choices") or []:
            if choice["index"] != 0:
                continue
            delta = choice["delta"]
            thoughts = {delta.get("reasoning_content") or "", delta.get("reasoning") or ""}
            assert len(thoughts - {""}) < 2
            told.reasoning += "".join(thoughts)
            told.text += delta.get("content") or ""
            told.refusal += delta.get("refusal") or ""
            for entry in delta.get("tool_calls") or []:
                function = entry.get("function") or {}
                if entry["index"] not in calls:
                    calls[entry["index"]] = [entry["id"], function["name"], ""]
                    told.calls.append(calls[entry["index"]])
                calls[entry["index"]][2] += function.get("arguments") or ""
            if finish := choice.get("finish_reason"):
                told.finish = FINISHES.get(finish, told.finish or "stop")
        usage = (payload or {}).get("usage")
        if usage is None and isinstance(groq := (payload or {}).get("x_groq"), dict):
            usage = groq.get("usage")
        if isinstance(usage, dict):
            read, written = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
            told.usage = (
                usage.get("prompt_tokens"),
                usage.get("completion_tokens"),
                (read or {}).get("cached_tokens", usage.get("prompt_cache_hit_tokens")),
                (written or {}).get("reasoning_tokens"),
            )
    return told


# --- legal deltas, made up ----------------------------------------------------------------------

TEXT = st.text(min_size=1, max_size=6)
ARGUMENTS = st.dictionaries(st.text(max_size=4), st.text(max_size=4) | st.integers(), max_size=2).map(
    lambda value: json.dumps(value, ensure_ascii=False)
)
USAGE = st.builds(
    Usage,
    *[st.integers(0, 1000)] * 2,
    *[st.none() | st.integers(0, 9)] * 3,
)


@st.composite
def legal_deltas(draw: st.DrawFn) -> list[Delta]:
    """An answer: texts one after the other, tools that interleave with them and with each other."""
    deltas: list[Delta] = [Open(draw(st.sampled_from(["chatcmpl-1", "msg_2", "resp_3", "gen-4", None])))]
    open_tools: dict[int, list[str]] = {}
    open_text: int | None = None
    texts = (Form.TEXT, Form.REASONING, Form.REFUSAL)
    for key in range(draw(st.integers(0, 6))):
        if open_text is not None:
            deltas.append(Close(open_text))
            open_text = None
        if draw(st.booleans()):
            deltas.append(Block(key, draw(st.sampled_from(texts))))
            deltas += [Piece(key, text) for text in draw(st.lists(TEXT, min_size=1, max_size=3))]
            open_text = key
        else:
            deltas.append(Block(key, Form.TOOL, f"call_{key}", draw(st.sampled_from(["f", "g"]))))
            open_tools[key] = draw(st.just([]) | ARGUMENTS.map(lambda text: _pieces(text, 3)))
        for tool in sorted(open_tools):
            for _ in range(draw(st.integers(0, 2))):
                if open_tools[tool]:
                    deltas.append(Piece(tool, open_tools[tool].pop(0)))
            if not open_tools[tool] and draw(st.booleans()):
                deltas.append(Close(tool))
                del open_tools[tool]
    if open_text is not None:
        deltas.append(Close(open_text))
    for tool, rest in sorted(open_tools.items()):
        deltas += [*(Piece(tool, text) for text in rest), Close(tool)]
    deltas.append(Finish(draw(st.sampled_from(Reason))))
    return [*deltas, *draw(st.just([]) | USAGE.map(lambda usage: [usage])), End()]


def _pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]
