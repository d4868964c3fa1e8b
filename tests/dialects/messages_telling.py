"""What a Messages stream, a document or a run of deltas tells, read independently, to be compared.

``Tale`` is the common form. Adjacent pieces are joined; nothing else is changed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson
from hypothesis import strategies as st

from relay.dialects.codec import Decoder, Encoder
from relay.dialects.deltas import (
    Block,
    Cite,
    Close,
    Delta,
    End,
    Failure,
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
from tests.dialects.drive import Event
from tests.dialects.messages_kit import files

EXAMPLES = 500 if "CI" in os.environ else 300

REQUESTS = [
    param
    for param in files("recorded/messages/*.json") + files("recorded/messages/pairs/*.json")
    if param.values[0] is None or json.loads(param.values[0].read_text())["request"] is not None
]
"""Where recorded requests are; of some streams only the answer is."""


@dataclass
class Told:
    """One block."""

    form: str
    text: str = ""
    tool_id: str | None = None
    name: str | None = None
    signature: str = ""
    sealed: str | None = None
    urls: list[str] = field(default_factory=list)
    given: str = field(default="", compare=False)
    """The arguments of a tool that came with its start: they count when no delta follows."""


@dataclass
class Tale:
    blocks: list[Told] = field(default_factory=list)
    reason: object = None
    sequence: str | None = None
    counts: dict[str, int] = field(default_factory=dict)
    ended: str = "open"


def of_frames(stream: Iterable[Event]) -> Tale:
    """As a client reads them; blocks of server tools are passed over."""
    tale, by_index = Tale(), {}
    for _, payload in stream:
        kind = payload["type"]
        if kind == "message_start":
            tale.counts |= _numbers(payload["message"]["usage"])
            for block in payload["message"]["content"]:
                _begin(tale, {}, -1, block)
            tale.reason = payload["message"]["stop_reason"]
        elif kind == "content_block_start":
            _begin(tale, by_index, payload["index"], payload["content_block"])
        elif kind == "content_block_delta" and payload["index"] in by_index:
            _add(by_index[payload["index"]], payload["delta"])
        elif kind == "content_block_stop" and payload["index"] in by_index:
            told = by_index[payload["index"]]
            told.text = told.text or told.given
        elif kind == "message_delta":
            tale.reason = payload["delta"]["stop_reason"] or tale.reason
            tale.sequence = payload["delta"].get("stop_sequence")
            tale.counts |= _numbers(payload["usage"])
        elif kind == "message_stop":
            tale.ended = "done"
        elif kind == "error":
            tale.ended = "failed"
    return tale


def _numbers(usage: dict[str, Any]) -> dict[str, int]:
    return {key: value for key, value in usage.items() if type(value) is int}


def _begin(tale: Tale, by_index: dict[int, Told], index: int, block: dict[str, Any]) -> None:
    kind = block["type"]
    if kind == "tool_use":
        given = orjson.dumps(block["input"]).decode() if block["input"] else ""
        told = Told("tool", given if index < 0 else "", tool_id=block["id"], name=block["name"], given=given)
    elif kind == "thinking":
        told = Told("reasoning", block["thinking"], signature=block["signature"])
    elif kind == "redacted_thinking":
        told = Told("reasoning", sealed=block["data"])
    elif kind == "text":
        told = Told("text", block["text"])
        told.urls += [citation["url"] for citation in block.get("citations") or [] if citation.get("url")]
    else:
        return
    by_index[index] = told
    tale.blocks.append(told)


def _add(told: Told, delta: dict[str, Any]) -> None:
    if delta["type"] == "signature_delta":
        told.signature = delta["signature"]
    elif delta["type"] == "citations_delta":
        told.urls += [delta["citation"]["url"]] if delta["citation"].get("url") else []
    else:
        told.text += delta.get("text") or delta.get("thinking") or delta.get("partial_json") or ""


def of_deltas(deltas: Iterable[Delta]) -> Tale:
    """Every delta must be legal."""
    grammar, tale, by_key = Grammar(serial=False), Tale(), {}
    for delta in deltas:
        key = getattr(delta, "key", None)
        assert grammar.admit(delta.kind, key, delta), delta
        match delta:
            case Block():
                told = Told(delta.form.value, tool_id=delta.tool_id, name=delta.name, sealed=delta.sealed)
                by_key[key] = told
                tale.blocks.append(told)
            case Piece():
                assert delta.text
                by_key[key].text += delta.text
            case Cite():
                by_key[key].urls.append(delta.url)
            case Close():
                by_key[key].signature = delta.signature or ""
            case Finish():
                tale.reason, tale.sequence = delta.reason, delta.sequence
            case Usage():
                tale.counts = {name: getattr(delta, name) or 0 for name in COUNTED}
            case Failure():
                tale.ended = "failed"
            case End():
                tale.ended = "done"
    if tale.ended == "done":
        assert grammar.state is State.DONE
        assert not grammar.blocks
    return tale


COUNTED = ("input", "output", "cached", "cache_write")


def decoded(decoder: Decoder, stream: Iterable[Event]) -> list[Delta]:
    return [delta for event, payload in stream for delta in decoder.decode(Frame(event, payload))]


def encoded(encoder: Encoder, deltas: Iterable[Delta]) -> list[Event]:
    return [Event(frame.event, frame.payload) for delta in deltas for frame in encoder.encode(delta)]


# --- legal runs of deltas, with any blocks interleaved ------------------------------------------

TEXTS = st.text(min_size=1, max_size=6)


def _json_pieces(value: str, cut: int) -> list[str]:
    text = json.dumps({"a": value})
    return [piece for piece in (text[:cut], text[cut:]) if piece]


_TOOLS = st.builds(
    lambda name, pieces, ident: (Form.TOOL, name, pieces, ident),
    st.sampled_from(["f", "g"]),
    st.one_of(st.just([]), st.builds(_json_pieces, TEXTS, st.integers(0, 12))),
    st.sampled_from([None, "toolu_1", "call_x", "functions.f:0"]),
)
_OTHERS = st.builds(
    lambda form, pieces, extra: (form, None, pieces, extra),
    st.sampled_from([Form.TEXT, Form.REASONING, Form.REFUSAL]),
    st.lists(TEXTS, max_size=3),
    st.sampled_from([None, "signature", "sealed", "cite"]),
)
USAGES = st.builds(
    lambda output, fresh, cached, written: Usage(fresh + cached + written, output, cached, written),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(0, 9),
)


def _steps(key: int, block: tuple[Form, str | None, list[str], str | None]) -> list[Delta]:
    form, name, pieces, extra = block
    if form is Form.REASONING and extra == "sealed":
        return [Block(key, form, sealed="c2VhbA"), Close(key)]
    steps: list[Delta] = [Block(key, form, extra, name) if form is Form.TOOL else Block(key, form)]
    steps += [Piece(key, text) for text in pieces]
    if form is Form.TEXT and extra == "cite":
        steps.append(Cite(key, "https://a.example", "A"))
    signed = form is Form.REASONING and extra == "signature"
    return [*steps, Close(key, "c2ln" if signed else None)]


@st.composite
def runs(draw: st.DrawFn) -> list[Delta]:
    """Blocks in any interleaving, however unlikely, with pings between."""
    blocks = draw(st.lists(st.one_of(_TOOLS, _OTHERS), max_size=5))
    left = [_steps(key, block) for key, block in enumerate(blocks)]
    deltas: list[Delta] = [Open(draw(st.sampled_from([None, "chatcmpl-abc", "resp_1"])))]
    while any(left):
        open_now = [steps for steps in left if steps and not isinstance(steps[0], Block)]
        fresh = next((steps for steps in left if steps and isinstance(steps[0], Block)), None)
        choices = open_now + ([fresh] if fresh is not None else [])
        deltas.append(draw(st.sampled_from(choices)).pop(0))
        if draw(st.integers(0, 9)) == 0:
            deltas.append(Ping())
    reason = draw(st.sampled_from(list(Reason)))
    usage: list[Delta] = draw(st.lists(USAGES, max_size=2))
    finish = Finish(reason, "END" if reason is Reason.SEQUENCE else None)
    return [*deltas, *usage[:1], finish, *usage[1:], End()]
