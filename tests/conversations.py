"""Conversations made up, written in each dialect in every way that it allows; and what order each demands.

A conversation is a list of rounds; how a round is written is a matter of dice: strings or lists of parts,
results in any order, in Responses calls and outputs in any arrangement. Every word in it is said once.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from hypothesis import strategies as st

Json = dict[str, Any]
PIXEL = "iVBORw0KGgo="


@dataclass
class Call:
    id: str
    name: str
    arguments: Json
    words: list[str]
    """What its result says."""
    image: str | None = None
    """A picture in its result."""


@dataclass
class Round:
    """One turn; an assistant's with the results of its calls."""

    role: str
    words: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    thought: str | None = None


@st.composite
def conversations(draw: st.DrawFn) -> list[Round]:
    """Any roles in any order, up to four calls at once."""
    rounds: list[Round] = []
    for number in range(draw(st.integers(1, 6))):
        role = draw(st.sampled_from(["user", "assistant", "assistant", "system"] if number else ["user"]))
        words = [f"{role}{number}.{part}" for part in range(draw(st.integers(0, 2)))]
        turn = Round(role, words)
        if role == "user":
            turn.images = [
                draw(st.sampled_from([f"https://a.example/{number}.png", f"data:image/png;base64,{PIXEL}"]))
                for _ in range(draw(st.integers(0, 2)))
            ]
        elif role == "assistant":
            turn.calls = [_call(draw, f"{number}.{at}") for at in range(draw(st.integers(0, 4)))]
            turn.thought = draw(st.sampled_from([None, f"thought{number}"]))
        if not (turn.words or turn.images or turn.calls):
            turn.words = [f"{role}{number}.x"]
        rounds.append(turn)
    return rounds


def _call(draw: st.DrawFn, number: str) -> Call:
    ident = draw(st.sampled_from(["call_", "toolu_", "functions.f:"])) + number.replace(".", "_")
    arguments = draw(st.sampled_from([{}, {"a": "é\n"}, {"a": {"b": [1, None]}}]))
    words = [f"result{number}.{part}" for part in range(draw(st.integers(0, 2)))]
    image = draw(st.sampled_from([None, None, f"https://a.example/r{number}.png"]))
    return Call(ident, draw(st.sampled_from(["f", "g"])), arguments, words, image)


def written(dialect: str, rounds: list[Round], dice: Random) -> Json:
    return {"chat": _chat, "messages": _messages, "responses": _responses}[dialect](rounds, dice)


SCHEMA = {"type": "object", "properties": {"a": {}}}


# --- chat -------------------------------------------------------------------------------------------


def _chat(rounds: list[Round], dice: Random) -> Json:
    messages: list[Json] = []
    for turn in rounds:
        parts: list[Json] = [{"type": "text", "text": word} for word in turn.words]
        parts += [{"type": "image_url", "image_url": {"url": url}} for url in turn.images]
        plain = not turn.images and dice.random() < 0.5
        role = dice.choice(["system", "developer"]) if turn.role == "system" else turn.role
        message: Json = {"role": role, "content": "\n".join(turn.words) if plain else parts}
        if turn.calls:
            message["content"] = message["content"] or dice.choice([None, ""])
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
                }
                for call in turn.calls
            ]
        if turn.thought:
            message["reasoning_content"] = turn.thought
        messages.append(message)
        results = [_chat_result(call, dice) for call in turn.calls]
        dice.shuffle(results)
        messages += results
    functions = [{"name": name, "parameters": SCHEMA} for name in "fg"]
    tools = [{"type": "function", "function": function} for function in functions]
    return {"model": "m", "messages": messages, "tools": tools}


def _chat_result(call: Call, dice: Random) -> Json:
    """This dialect has no images there."""
    parts = [{"type": "text", "text": word} for word in call.words]
    content = dice.choice(["\n".join(call.words), parts]) if parts else ""
    return {"role": "tool", "tool_call_id": call.id, "content": content}


# --- messages ---------------------------------------------------------------------------------------


def _messages(rounds: list[Round], dice: Random) -> Json:
    messages: list[Json] = []
    pending: list[Json] = []
    system = []
    for number, turn in enumerate(rounds):
        if turn.role == "system" and all(one.role == "system" for one in rounds[:number]):
            system += [{"type": "text", "text": word} for word in turn.words]
            continue
        if pending and turn.role != "user":
            messages.append({"role": "user", "content": pending})
            pending = []
        blocks = _blocks(turn, dice)
        if turn.role != "assistant" and all(block["type"] == "text" for block in blocks) and not pending:
            content = dice.choice([blocks, "\n".join(turn.words)])
        else:
            content = pending + blocks
        pending = []
        messages.append({"role": turn.role, "content": content})
        pending = [_result(call, dice) for call in turn.calls]
        dice.shuffle(pending)
    if pending:
        messages.append({"role": "user", "content": pending})
    tools = [{"name": name, "input_schema": SCHEMA} for name in "fg"]
    document = {"model": "m", "max_tokens": 99, "messages": messages, "tools": tools}
    return {**document, "system": system} if system else document


def _blocks(turn: Round, dice: Random) -> list[Json]:
    blocks: list[Json] = []
    if turn.thought:
        blocks.append({"type": "thinking", "thinking": turn.thought, "signature": "c2ln"})
    said: list[Json] = [{"type": "text", "text": word} for word in turn.words]
    said += [{"type": "image", "source": _source(url)} for url in turn.images]
    if turn.role == "user":
        dice.shuffle(said)
    blocks += said
    blocks += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments} for call in turn.calls
    ]
    return blocks


def _source(url: str) -> Json:
    if url.startswith("data:"):
        return {"type": "base64", "media_type": "image/png", "data": url.partition(",")[2]}
    return {"type": "url", "url": url}


def _result(call: Call, dice: Random) -> Json:
    parts: list[Json] = [{"type": "text", "text": word} for word in call.words]
    if call.image:
        parts.append({"type": "image", "source": _source(call.image)})
    block: Json = {"type": "tool_result", "tool_use_id": call.id, "content": parts}
    if not call.image:
        block["content"] = dice.choice([parts, "\n".join(call.words)])
    if not parts and dice.random() < 0.5:
        del block["content"]
    return block


# --- responses --------------------------------------------------------------------------------------


def _responses(rounds: list[Round], dice: Random) -> Json:
    """Outputs stand after their calls, and before the user speaks again or not."""
    items: list[Json] = []
    owed: list[Json] = []
    for turn in rounds:
        if turn.role == "user" or dice.random() < 0.5:
            items, owed = items + owed, []
        if turn.thought:
            items.append(
                {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "x"}]}
            )
        if turn.words or turn.images:
            items.append(_message(turn, dice))
        for call in turn.calls:
            items.append(
                {
                    "type": "function_call",
                    "call_id": call.id,
                    "name": call.name,
                    "arguments": json.dumps(call.arguments),
                }
            )
            owed.append(_output(call, dice))
            if dice.random() < 0.3:
                items, owed = items + owed, []
        dice.shuffle(owed)
    tools = [{"type": "function", "name": name, "parameters": SCHEMA, "strict": False} for name in "fg"]
    return {"model": "m", "input": items + owed, "tools": tools}


def _message(turn: Round, dice: Random) -> Json:
    kind = "output_text" if turn.role == "assistant" else "input_text"
    parts: list[Json] = [{"type": kind, "text": word} for word in turn.words]
    parts += [{"type": "input_image", "image_url": url, "detail": "auto"} for url in turn.images]
    role = dice.choice(["system", "developer"]) if turn.role == "system" else turn.role
    plain = not turn.images and dice.random() < 0.5
    item: Json = {"role": role, "content": "\n".join(turn.words) if plain else parts}
    return {"type": "message", **item} if dice.random() < 0.5 else item


def _output(call: Call, dice: Random) -> Json:
    parts: list[Json] = [{"type": "input_text", "text": word} for word in call.words]
    if call.image:
        parts.append({"type": "input_image", "image_url": call.image, "detail": "auto"})
    plain = not call.image and dice.random() < 0.5
    output = "\n".join(call.words) if plain or not parts else parts
    return {"type": "function_call_output", "call_id": call.id, "output": output}


# --- the order that each dialect demands --------------------------------------------------------------


def faults(dialect: str, document: Json) -> list[str]:
    """What its API would refuse."""
    judges: dict[str, Callable[[Json], list[str]]] = {
        "chat": _chat_faults,
        "messages": _messages_faults,
        "responses": _responses_faults,
    }
    return judges[dialect](document)


def _chat_faults(document: Json) -> list[str]:
    found: list[str] = []
    owed: set[str] = set()
    for number, message in enumerate(document["messages"]):
        role = message["role"]
        if role == "tool":
            if message["tool_call_id"] not in owed:
                found.append(f"{number}: a tool message without its call")
            owed.discard(message["tool_call_id"])
            continue
        if owed:
            found.append(f"{number}: {sorted(owed)} not answered at once")
        owed = {call["id"] for call in message.get("tool_calls") or []}
        if role == "system" and number:
            found.append(f"{number}: a later system message")
        said = message.get("content")
        if not message.get("tool_calls") and (said is None or (role == "assistant" and not said)):
            found.append(f"{number}: an empty message")
        if message.get("tool_calls") == []:
            found.append(f"{number}: no calls")
    return found + (["calls not answered at the end"] if owed else [])


def _messages_faults(document: Json) -> list[str]:
    found: list[str] = []
    owed: set[str] = set()
    used: set[str] = set()
    before = "assistant"
    for number, message in enumerate(document["messages"]):
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        kinds = [block["type"] for block in blocks]
        if message["role"] == before:
            found.append(f"{number}: {before} twice, or first")
        before = message["role"]
        results = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
        if results != owed or kinds.count("tool_result") != len(results):
            found.append(f"{number}: results of {sorted(results)} for calls of {sorted(owed)}")
        if "tool_result" in kinds[kinds.count("tool_result") :]:
            found.append(f"{number}: a result after other content")
        if not blocks or any(block["type"] == "text" and not block["text"].strip() for block in blocks):
            found.append(f"{number}: empty content")
        if before == "user" and {"tool_use", "thinking"} & set(kinds):
            found.append(f"{number}: an assistant's block of the user")
        called = [block["id"] for block in blocks if block["type"] == "tool_use"]
        if len(used) + len(called) != len(used | set(called)):
            found.append(f"{number}: an id of a call used again")
        owed = set(called)
        used |= owed
    return found + (["calls not answered at the end"] if owed else [])


def _responses_faults(document: Json) -> list[str]:
    found: list[str] = []
    calls: list[str] = []
    outputs: list[str] = []
    for number, item in enumerate(document["input"]):
        if item.get("type") == "function_call":
            calls.append(item["call_id"])
        elif item.get("type") == "function_call_output":
            if calls.count(item["call_id"]) <= outputs.count(item["call_id"]):
                found.append(f"{number}: an output without its call, or a second one")
            outputs.append(item["call_id"])
        elif item.get("content") is None and item.get("type") != "reasoning":
            found.append(f"{number}: an empty message")
    if sorted(calls) != sorted(outputs):
        found.append("calls without outputs")
    return found
