"""What the translation tests of the Responses dialect share: deltas of streams, both sides read plainly."""

from __future__ import annotations

import copy
import json
import os
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import settings
from hypothesis import strategies as st

from relay.dialects.deltas import (
    Block,
    Cite,
    Close,
    Delta,
    End,
    Finish,
    Form,
    Open,
    Piece,
    Ping,
    Reason,
    Usage,
)
from relay.dialects.frame import Frame
from relay.dialects.grammar import Grammar, State
from relay.dialects.request import Request, Tool
from relay.dialects.responses import Responses
from relay.dialects.responses_decoding import ResponsesDecoder
from relay.dialects.responses_encoding import ResponsesEncoder
from tests.dialects.drive import CONTEXT, Event
from tests.dialects.responses_kit import stream

thorough = settings(max_examples=500 if "CI" in os.environ else 300, deadline=None)


class Said(NamedTuple):
    """One block, as whoever reads the answer sees it."""

    form: str
    text: str
    call_id: str | None = None
    name: str | None = None


def decoded(given: list[Event], request: Request | None = None) -> list[Delta]:
    """The deltas of a stream, behind its checker as in the relay; they are legal."""
    checker, decoder = Responses(CONTEXT), ResponsesDecoder(request or Request("chat"))
    deltas: list[Delta] = []
    for event, payload in given:
        frame = Frame(event, copy.deepcopy(payload))
        answer = checker.check(frame)
        for passed in [frame] if answer is None else answer:
            if not passed.silenced:
                deltas += decoder.decode(passed)
    for passed in checker.end():
        deltas += decoder.decode(passed)
    return deltas


def decoded_file(path: Path) -> list[Delta]:
    return decoded(stream(path))


def is_legal(deltas: list[Delta], *, ended: bool = True) -> bool:
    """By the one grammar; a text is never open when something else begins, and no piece is empty."""
    grammar, texts = Grammar(serial=False), set()
    for delta in deltas:
        if not grammar.admit(delta.kind, getattr(delta, "key", None)):
            return False
        if isinstance(delta, Block):
            if texts:
                return False
            if delta.form is not Form.TOOL:
                texts.add(delta.key)
        elif isinstance(delta, Close):
            texts.discard(delta.key)
        elif isinstance(delta, Piece) and not delta.text:
            return False
    return not ended or grammar.state is State.DONE


def said_in(deltas: list[Delta]) -> list[Said]:
    """The blocks in the order of their beginnings."""
    blocks: dict[Any, Block] = {}
    texts: dict[Any, str] = {}
    for delta in deltas:
        if isinstance(delta, Block):
            assert delta.key not in blocks, "a key is used twice"
            blocks[delta.key], texts[delta.key] = delta, ""
        elif isinstance(delta, Piece):
            texts[delta.key] += delta.text
    return [Said(b.form.value, texts[key], b.tool_id, b.name) for key, b in blocks.items()]


def finish_of(deltas: list[Delta]) -> Reason:
    return next(delta.reason for delta in deltas if isinstance(delta, Finish))


def usage_in(deltas: list[Delta]) -> Usage | None:
    return next((delta for delta in reversed(deltas) if isinstance(delta, Usage)), None)


def said_by(response: dict[str, Any]) -> list[Said]:
    """The output of a response, as a client reads it."""
    found: list[Said] = []
    for item in response["output"]:
        match item["type"]:
            case "message":
                texts = {"output_text": ("text", "text"), "refusal": ("refusal", "refusal")}
                for part in item["content"]:
                    form, member = texts[part["type"]]
                    found.append(Said(form, part[member]))
            case "reasoning":
                parts = item["summary"] or item.get("content") or []
                found.append(Said("reasoning", "\n\n".join(part["text"] for part in parts)))
            case "function_call":
                space = f"{item['namespace']}__" if item.get("namespace") else ""
                found.append(Said("tool", item["arguments"], item["call_id"], space + item["name"]))
            case "custom_tool_call":
                arguments = json.dumps({"input": item["input"]}, separators=(",", ":"), ensure_ascii=False)
                found.append(Said("tool", arguments, item["call_id"], item["name"]))
    return found


def encoded(deltas: list[Delta], request: Request | None = None, *, hot: bool = False) -> list[Event]:
    """The stream that a client gets; ``hot``: pieces take the short way wherever there is one."""
    encoder = ResponsesEncoder(CONTEXT, request or Request("responses"))
    found: list[Event] = []
    last: Piece | None = None
    for delta in deltas:
        payload = None
        if hot and isinstance(delta, Piece) and last is not None and last.key == delta.key:
            payload = encoder.more(json.dumps(delta.text)[1:-1].encode())
        if payload is not None:
            found.append(Event(found[-1].event, json.loads(payload)))
        else:
            found += [Event(frame.event, copy.deepcopy(frame.payload)) for frame in encoder.encode(delta)]
        last = delta if isinstance(delta, Piece) else None
    return found


# --- legal deltas -----------------------------------------------------------------------------------

WORDS = st.text(
    st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from('"\\{}\n')), min_size=1, max_size=6
)
ARGUMENTS = st.dictionaries(WORDS, st.one_of(WORDS, st.integers(-9, 9)), max_size=2).map(json.dumps)
TOOLS = {
    "get_weather": Tool("get_weather"),
    "multi__spawn": Tool("spawn", namespace="multi"),
    "apply_patch": Tool("apply_patch", custom=True),
}


@st.composite
def pieces(draw: st.DrawFn, key: int, text: str) -> list[Delta]:
    """A text cut anywhere."""
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(text) - 1)), max_size=3))) if text else []
    bounds = [0, *[cut for cut in cuts if cut < len(text)], len(text)]
    return [Piece(key, text[a:b]) for a, b in pairwise(bounds) if a < b]


@st.composite
def legal_deltas(draw: st.DrawFn) -> list[Delta]:
    """Any legal stream: texts one after the other, tools open side by side, usage early or late."""
    deltas: list[Delta] = [Open("chatcmpl-x1", 1763600001)] if draw(st.booleans()) else [Open()]
    waiting: list[list[Delta]] = []
    for key in range(draw(st.integers(0, 6))):
        form = draw(st.sampled_from(Form))
        if form is Form.TOOL:
            name = draw(st.sampled_from(sorted(TOOLS)))
            text = json.dumps({"input": draw(WORDS)}) if name == "apply_patch" else draw(ARGUMENTS)
            deltas.append(Block(key, form, f"call_{key}", name))
            waiting.append([*draw(pieces(key, text)), Close(key)])
        else:
            text = draw(st.one_of(st.just(""), WORDS))
            deltas += [Block(key, form), *draw(pieces(key, text)), Close(key)]
        while waiting and draw(st.booleans()):
            deltas.append(_next(draw(st.sampled_from(waiting)), waiting))
        if draw(st.integers(0, 9)) == 0:
            deltas.append(Ping())
    while waiting:
        deltas.append(_next(draw(st.sampled_from(waiting)), waiting))
    usage = draw(st.one_of(st.none(), st.builds(Usage, *[st.integers(0, 99)] * 5)))
    deltas.append(Finish(draw(st.sampled_from(Reason))))
    if usage is not None:
        deltas.append(usage)
    return [*deltas, End()]


def _next(queue: list[Delta], waiting: list[list[Delta]]) -> Delta:
    first = queue.pop(0)
    if not queue:
        waiting.remove(queue)
    return first


def cited(deltas: list[Delta]) -> list[str]:
    return [delta.url for delta in deltas if isinstance(delta, Cite)]
