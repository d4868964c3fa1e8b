"""A second turn: what a client got comes back in its history, and the upstream is told its own words again.

Calls under the ids and names that the upstream gave them, texts, and reasoning in the form that its maker
wants back, through whichever dialect it went.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay import dialects
from relay.dialects.request import Profile
from tests.asked import Step, asked, plain_id
from tests.dialects.drive import Event, events
from tests.streams import Answer, download
from tests.told import Json, Tale
from tests.translated import others, stream_of, told, translation
from tests.translation_sources import Source, of_kind

THINKING: dict[str, Json] = {
    "chat": {},
    "messages": {"thinking": {"type": "enabled", "budget_tokens": 2048}},
    "responses": {
        "reasoning": {"effort": "medium", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
    },
}
FIRST: dict[str, Json] = {
    "chat": {"messages": [{"role": "user", "content": "hi"}]},
    "messages": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 4096},
    "responses": {"input": [{"role": "user", "content": "hi"}]},
}


def first_turn(client: str) -> Json:
    return {"model": "m", "stream": True, **FIRST[client], **THINKING[client]}


def answered(
    client: str, upstream: str, body: bytes, request: Json, profile: Profile | None = None
) -> Answer:
    return download(stream_of(translation(client, upstream, request, profile)), [body])


# --- what a client makes of its answer ----------------------------------------------------------------


def second_turn(client: str, stream: list[Event]) -> Json:
    """The answer as the SDK of this dialect collects it, a result for every call, and one more question."""
    request = json.loads(json.dumps(first_turn(client)))
    calls = [ident for ident, _, _ in told[client](stream).calls]
    if client == "chat":
        request["messages"] += [_completion(stream)]
        results = [{"role": "tool", "tool_call_id": ident, "content": f"r-{ident}"} for ident in calls]
        request["messages"] += [*results, {"role": "user", "content": "more"}]
    elif client == "messages":
        blocks = [{"type": "tool_result", "tool_use_id": ident, "content": f"r-{ident}"} for ident in calls]
        request["messages"] += [{"role": "assistant", "content": _blocks(stream)}]
        request["messages"] += [{"role": "user", "content": [*blocks, {"type": "text", "text": "more"}]}]
    else:
        items = [_returned(item) for item in stream[-1].payload["response"]["output"]]
        outputs = [
            {"type": "function_call_output", "call_id": ident, "output": f"r-{ident}"} for ident in calls
        ]
        request["input"] += [*items, *outputs, {"role": "user", "content": "more"}]
    return dict(request)


def _completion(stream: list[Event]) -> Json:
    tale = told["chat"](stream)
    message: Json = {"role": "assistant", "content": tale.text("text") or None}
    if tale.text("refusal"):
        message["refusal"] = tale.text("refusal")
    if tale.text("reasoning"):
        message["reasoning_content"] = tale.text("reasoning")
    calls = [one for one in tale.said if one.kind == "call"]
    if calls:
        message["tool_calls"] = [
            {"id": one.id, "type": "function", "function": {"name": one.name, "arguments": one.text}}
            for one in calls
        ]
    return message


def _blocks(stream: list[Event]) -> list[Json]:
    """As the SDK accumulates them."""
    blocks: list[Json] = []
    text: dict[int, str] = {}
    for _, payload in stream:
        if payload["type"] == "content_block_start":
            blocks.append(dict(payload["content_block"]))
        elif payload["type"] == "content_block_delta":
            delta, block = payload["delta"], blocks[payload["index"]]
            if delta["type"] == "input_json_delta":
                text[payload["index"]] = text.get(payload["index"], "") + delta["partial_json"]
            elif delta["type"] == "signature_delta":
                block["signature"] = delta["signature"]
            elif delta["type"] in ("text_delta", "thinking_delta"):
                kind = delta["type"].removesuffix("_delta")
                block[kind] += delta[kind]
    for index, whole in text.items():
        blocks[index]["input"] = json.loads(whole)
    return blocks


def _returned(item: Json) -> Json:
    """The SDK and codex give items back as they came."""
    return {key: value for key, value in item.items() if value is not None}


# --- recorded answers -------------------------------------------------------------------------------

SOURCES = [
    source
    for source in of_kind("whole")
    if told[source.dialect](source.events).finish
    in ("stop", "tool_calls", "end_turn", "tool_use", "completed")
    and all(isinstance(arguments, dict) for _, _, arguments in told[source.dialect](source.events).calls)
]
"""Answers that nothing was cut of."""


def expected_steps(before: Tale, upstream: str, ids: list[str | None]) -> list[Step]:
    """What the upstream is to be told in the second turn."""
    steps: list[Step] = [("user", "text", "hi")]
    said = "".join(before.text("text", "refusal").split())
    if said:
        steps.append(("assistant", "text", said))
    names = [plain_id(str(ident)) if upstream == "messages" else ident for ident in ids]
    calls = zip(names, before.calls, strict=True)
    steps += [("assistant", "call", ident, name, arguments) for ident, (_, name, arguments) in calls]
    steps += [("result", new, f"r-{old}") for new, old in zip(names, ids, strict=True)]
    last = ("user", "text", "more" if len(steps) > 1 else "himore")
    return [*(steps if len(steps) > 1 else []), last]


@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_an_upstream_is_told_its_own_words_again(source: Source) -> None:
    before = told[source.dialect](source.events)
    for client in others(source.dialect):
        answer = answered(client, source.dialect, source.body, first_turn(client))
        given = [ident for ident, _, _ in told[client](answer.events).calls]
        ids = [own or new for (own, _, _), new in zip(before.calls, given, strict=True)]
        request = second_turn(client, answer.events)
        sent = json.loads(translation(client, source.dialect, request).body)
        assert asked(source.dialect, sent).steps == expected_steps(before, source.dialect, ids)


@pytest.mark.parametrize("source", [s for s in SOURCES if s.dialect == "messages"], ids=str)
def test_thinking_comes_back_to_messages_as_it_was(source: Source) -> None:
    """A signature proves exactly these bytes."""
    kinds = ("thinking", "redacted_thinking")
    own = [block for block in _own_blocks(source) if block["type"] in kinds]
    own = [block for block in own if block.get("signature") or block.get("data")]
    answer = answered("responses", "messages", source.body, first_turn("responses"))
    request = second_turn("responses", answer.events)
    sent = json.loads(translation("responses", "messages", request).body)
    back = [block for message in sent["messages"] for block in message["content"] if block["type"] in kinds]
    assert back == own


def _own_blocks(source: Source) -> list[Json]:
    """The blocks that the API made, without its hosted tools' input."""
    ours = [event for event in source.events if event.payload and "delta" in event.payload]
    ours = [event for event in ours if event.payload["delta"].get("type") == "input_json_delta"]
    return _blocks([event for event in source.events if event.payload and event not in ours])


@pytest.mark.parametrize("source", [s for s in SOURCES if s.dialect == "responses"], ids=str)
def test_encrypted_reasoning_comes_back_to_responses_as_it_was(source: Source) -> None:
    done = [
        payload["item"]
        for _, payload in source.events
        if payload and payload["type"] == "response.output_item.done"
    ]
    thoughts = [item for item in done if item["type"] == "reasoning"]
    own = [item["encrypted_content"] for item in thoughts if item.get("encrypted_content")]
    answer = answered("messages", "responses", source.body, first_turn("messages"))
    sent = json.loads(translation("messages", "responses", second_turn("messages", answer.events)).body)
    back = [item for item in sent["input"] if item.get("type") == "reasoning"]
    assert [item["encrypted_content"] for item in back] == own
    assert all(item["summary"] == [] or item["summary"][0]["text"] for item in back)


@pytest.mark.parametrize("client", ["messages", "responses"])
@pytest.mark.parametrize("name", ["reasoning-then-tool", "reasoning-then-text", "reasoning-vllm"])
def test_reasoning_comes_back_to_a_chat_server_that_has_a_field_for_it(client: str, name: str) -> None:
    source = next((s for s in SOURCES if s.name.endswith(f"chat-completions/{name}")), None)
    if source is None:
        pytest.skip("the corpus is not beside this project")
    thought = told["chat"](source.events).text("reasoning")
    for profile, field in (("vllm", "reasoning"), ("deepseek", "reasoning_content"), ("generic", None)):
        answer = answered(client, "chat", source.body, first_turn(client))
        request = second_turn(client, answer.events)
        sent = json.loads(translation(client, "chat", request, dialects.PROFILES[profile]).body)
        assistant = next(message for message in sent["messages"] if message["role"] == "assistant")
        told_back = {key: value for key, value in assistant.items() if key.startswith("reasoning")}
        assert told_back == ({field: thought} if field else {})


# --- names that the upstream does not take ------------------------------------------------------------

LONG = "mcp__" + "a_very_long_name_" * 5
TOOLS: list[Json] = [
    {"type": "function", "name": "plain", "parameters": {}, "strict": False},
    {"type": "function", "name": LONG, "parameters": {}, "strict": False},
    {"type": "custom", "name": "apply_patch", "description": "edits"},
    {
        "type": "namespace",
        "name": "mcp__files",
        "description": "files",
        "tools": [
            {"type": "function", "name": "read", "parameters": {}, "strict": False},
            {"type": "custom", "name": "write"},
        ],
    },
]
OWN = ["plain", LONG, "apply_patch", "mcp__files__read", "mcp__files__write"]
CUSTOM = ("apply_patch", "mcp__files__write")


def calling(upstream: str, name: str, arguments: str, size: int) -> bytes:
    """A server that calls this tool, its arguments in pieces."""
    pieces = [arguments[at : at + size] for at in range(0, len(arguments), size)]
    if upstream == "chat":
        head = {"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": ""}}
        deltas: list[Json] = [{"role": "assistant", "tool_calls": [head]}]
        deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in pieces]
        ends: list[tuple[Json, str | None]] = [*((delta, None) for delta in deltas), ({}, "tool_calls")]
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        payloads = [
            {**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
            for delta, finish in ends
        ]
        return b"".join(b"data: %b\n\n" % json.dumps(one).encode() for one in payloads) + b"data: [DONE]\n\n"
    block = {"type": "tool_use", "id": "call_1", "name": name, "input": {}}
    usage = {"input_tokens": 1, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": []}
    message |= {"stop_reason": None, "stop_sequence": None, "usage": usage}
    payloads = [{"type": "message_start", "message": message}]
    payloads += [{"type": "content_block_start", "index": 0, "content_block": block}]
    for piece in pieces:
        delta = {"type": "input_json_delta", "partial_json": piece}
        payloads.append({"type": "content_block_delta", "index": 0, "delta": delta})
    payloads += [{"type": "content_block_stop", "index": 0}]
    payloads += [{"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": usage}]
    payloads += [{"type": "message_stop"}]
    return b"".join(
        b"event: %b\ndata: %b\n\n" % (p["type"].encode(), json.dumps(p).encode()) for p in payloads
    )


@pytest.mark.parametrize("upstream", ["chat", "messages"])
@pytest.mark.parametrize(
    "number", range(len(OWN)), ids=["plain", "long", "custom", "nested", "nested-custom"]
)
@settings(max_examples=50)
@given(text=st.text(max_size=20), size=st.integers(1, 9))
def test_a_tool_has_its_own_name_and_form_for_the_client(
    upstream: str, number: int, text: str, size: int
) -> None:
    """Codex's: flattened for the upstream, restored in the answer, and flattened again in the history."""
    profile = Profile(tool_name_limit=64)
    request = {**first_turn("responses"), "tools": TOOLS}
    there = [name for name, _ in asked(upstream, json.loads(_sent(request, upstream, profile))).tools]
    assert [len(name) <= 64 for name in there] == [True] * len(OWN)
    arguments = json.dumps({"input": text})
    answer = answered(
        "responses", upstream, calling(upstream, there[number], arguments, size), request, profile
    )
    item = answer.events[-1].payload["response"]["output"][-1]
    space = f"{item['namespace']}__" if "namespace" in item else ""
    assert space + item["name"] == OWN[number]
    if OWN[number] in CUSTOM:
        assert (item["type"], item["input"]) == ("custom_tool_call", text)
    else:
        assert (item["type"], item["arguments"]) == ("function_call", arguments)
    assert events(answer.body) == answer.events
    history = {**second_turn("responses", answer.events), "tools": TOOLS}
    steps = asked(upstream, json.loads(_sent(history, upstream, profile))).steps
    call: Any = next(step for step in steps if step[:2] == ("assistant", "call"))
    assert call[2:] == ("call_1", there[number], {"input": text})


def _sent(request: Json, upstream: str, profile: Profile) -> bytes:
    return bytes(translation("responses", upstream, request, profile).body)
