"""The rules of docs/behaviour.md are the code's: each told once, each in use, and each was seen to fire."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from relay import dialects
from relay.mending import FRAME_RULES
from relay.wire.sse import write_frame
from tests.dialects import messages_kit as messages
from tests.dialects import responses_kit as responses
from tests.dialects.drive import CONTEXT, Event
from tests.live.corpus import litellm
from tests.streams import CORPUS, Answer, checked, download, handwritten

ROOT = Path(__file__).resolve().parents[1]
BEHAVIOUR = ROOT / "docs" / "behaviour.md"
NO_TOOL_NAMED = dataclasses.replace(CONTEXT, named_tool=False)

RULES = {"frames": frozenset(FRAME_RULES)} | {
    name: frozenset(checker.rules) for name, checker in dialects.BY_NAME.items()
}
"""The names in the code, by the dialect whose streams they mend."""
ALL_RULES = sorted(rule for names in RULES.values() for rule in names)
OFF_BY_DEFAULT = {rule for checker in dialects.BY_NAME.values() for rule in checker.off_by_default}

needs_corpus = pytest.mark.skipif(
    not CORPUS.is_dir(), reason="the folder of streams is not beside this project"
)


# --- the document -----------------------------------------------------------------------------


class Row(NamedTuple):
    rule: str
    before: str
    after: str
    default: str
    seen_in: str


def section(title: str) -> str:
    """The text under a heading of the third level."""
    return BEHAVIOUR.read_text().split(f"\n### {title}\n")[1].split("\n### ")[0].split("\n## ")[0]


def rows(group: str) -> list[Row]:
    """The table under a heading of the fourth level."""
    titles, tables = zip(
        *(part.split("\n", 1) for part in section("Rules").split("\n#### ")[1:]), strict=True
    )
    table = dict(zip((title.split()[0].lower() for title in titles), tables, strict=True))[group]
    lines = re.findall(r"^\| *`.*\|$", table, re.MULTILINE)
    return [Row(*(cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1])) for line in lines]


every_group = pytest.mark.parametrize("group", RULES)


@every_group
def test_every_rule_is_told_once_under_its_dialect(group: str) -> None:
    told = [row.rule.strip("`") for row in rows(group)]
    assert sorted(told) == sorted(RULES[group])


@every_group
def test_every_row_says_what_becomes_of_what(group: str) -> None:
    for row in rows(group):
        assert row.before, row.rule
        assert row.after, row.rule
        assert not re.search(r"\.sse|corpus|repaired-", "".join(row)), "a reader has no corpus"


@every_group
def test_the_defaults_are_those_of_the_code(group: str) -> None:
    told = {row.rule.strip("`"): row.default.split(",")[0] for row in rows(group)}
    assert told == {rule: "off" if rule in OFF_BY_DEFAULT else "on" for rule in RULES[group]}


# --- the code ---------------------------------------------------------------------------------


def strings(node: ast.AST) -> Iterator[str]:
    """The strings that are written in an expression; of an f-string all that it can be."""
    if isinstance(node, ast.Constant):
        yield str(node.value)
    elif isinstance(node, ast.JoinedStr):
        yield from map("".join, product(*(list(strings(part)) for part in node.values)))
    elif not isinstance(node, ast.Compare):  # `rule in self.off` asks, and mends nothing
        for child in ast.iter_child_nodes(node):
            yield from strings(child)


@cache
def mentioned() -> frozenset[str]:
    """Strings in the bodies of functions: the tables of rules stand outside of them."""
    trees = [ast.parse(path.read_text()) for path in (ROOT / "relay").rglob("*.py")]
    functions = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return frozenset(
        text for function in functions for statement in function.body for text in strings(statement)
    )


@pytest.mark.parametrize("rule", ALL_RULES)
def test_every_rule_is_used(rule: str) -> None:
    assert rule in mentioned()


# --- streams ----------------------------------------------------------------------------------


def text(stream: list[Event]) -> bytes:
    """A stream as its bytes."""
    return b"".join(
        write_frame(event, b"[DONE]" if payload is None else json.dumps(payload).encode())
        for event, payload in stream
    )


def chunk(delta: Any, finish: Any = None, **more: Any) -> Event:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    envelope = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return Event(None, {**envelope, "choices": [choice], **more})


ROLE, STOP, DONE = chunk({"role": "assistant", "content": ""}), chunk({}, "stop"), Event(None, None)
CALL = chunk(
    {
        "tool_calls": [
            {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        ]
    }
)


def chat(*frames: Event, finish: Event = STOP) -> bytes:
    return text([ROLE, *frames, finish, DONE])


CHAT = {
    "chat-content-type": chat(chunk({"content": {"city": "Paris"}})),
    "chat-reasoning-details": chat(chunk({"reasoning_details": [{"type": "reasoning.text", "text": "a"}]})),
    "chat-finish-type": chat(chunk({"content": "a"}, finish=False)),
    "chat-tool-function-null": chat(
        CALL, chunk({"tool_calls": [{"index": 0, "function": None}]}), finish=chunk({}, "tool_calls")
    ),
    "chat-tool-empty": chat(chunk({"content": "a", "tool_calls": [{"index": 0}]})),
    "chat-error-empty": chat(chunk({"content": "a"}, error=None)),
}

HEAD, END, FINISH = messages.message_start(), messages.END, messages.finish()


def message(*payloads: dict[str, Any], finish: dict[str, Any] = FINISH) -> bytes:
    return text(messages.named(HEAD, *payloads, finish, END))


def without_event(*payloads: dict[str, Any]) -> bytes:
    return text([*messages.named(HEAD), *(Event(None, p) for p in payloads), *messages.named(FINISH, END)])


MESSAGES = {
    "messages-event-unnamed": without_event({}),
    "messages-event-early": text(messages.named({"type": "status"}, HEAD, FINISH, END)),
    "messages-delta-incomplete": message({"type": "message_delta", "usage": {"output_tokens": 1}}),
    "messages-stop-stray": text(messages.named(END, HEAD, FINISH, END)),
    "messages-stop-reason-lost": message(FINISH, finish=messages.finish(None)),
    "messages-stop-reason-error": message(finish=messages.finish("error")),
    "messages-block-stop-stray": message(messages.stop()),
    "messages-block-untyped": message(
        {"type": "content_block_start", "index": 0}, messages.text("a"), messages.stop()
    ),
    "messages-block-late-start": text(
        messages.named(HEAD, FINISH, messages.start("text"), messages.stop(), END)
    ),
    "messages-index-unknown": message(
        messages.start("tool"),
        messages.delta("input_json", "{}", 1),
        messages.stop(1),
        finish=messages.finish("tool_use"),
    ),
    "messages-tool-id": message(
        messages.start("tool", id=None), messages.stop(), finish=messages.finish("tool_use")
    ),
}

HELLO = responses.message("msg_1", "Hello")
ITEM = responses.item_event("added", 0, responses.message("msg_1", status="in_progress"))
PLACE = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
PART: dict[str, Any] = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
PART_ADDED = {"type": "response.content_part.added", **PLACE, "part": PART}
ANSWER = [
    ITEM,
    PART_ADDED,
    responses.delta("output_text", "msg_1", 0, "Hello", content_index=0),
    responses.item_event("done", 0, HELLO),
]


def response(*payloads: dict[str, Any], output: Any = (HELLO,)) -> bytes:
    return text(responses.numbered(responses.opening(), *payloads, responses.ending(*output)))


RESPONSES = {
    "responses-delta-null": response(
        *ANSWER[:2], responses.delta("output_text", "msg_1", 0, None, content_index=0), *ANSWER[2:]
    ),
    "responses-done-text": response(
        *ANSWER[:3], {"type": "response.output_text.done", **PLACE, "text": "", "logprobs": []}, *ANSWER[3:]
    ),
    "responses-id-repeated": response(
        *ANSWER, {**ITEM, "output_index": 1}, responses.item_event("done", 1, HELLO), output=(HELLO, HELLO)
    ),
    "responses-output": response(
        *ANSWER, responses.item_event("done", 1, responses.call("fc_1", "call_1", "f", "{}"))
    ),
    "responses-stray": response(*ANSWER, responses.item_event("done", 1, responses.message("msg_2"))),
    "responses-twice": response(ITEM, *ANSWER),
    "responses-unknown-event": response(*ANSWER, {"type": "response.weather", "sky": "blue"}),
}

EXAMPLES = {
    rule: (dialect, body)
    for dialect, bodies in (("chat", CHAT), ("messages", MESSAGES), ("responses", RESPONSES))
    for rule, body in bodies.items()
}
"""A stream for each rule that none of the collected ones needs."""


def run(dialect: str, body: bytes, *, rule: str | None = None) -> Answer:
    """What a client gets whose request named no tool; a rule that is off by default is on if it is meant."""
    off = frozenset[str]() if rule in OFF_BY_DEFAULT else None
    return download(checked(dialect, context=NO_TOOL_NAMED, off=off), [body])


@pytest.mark.parametrize("rule", EXAMPLES)
def test_an_example_is_mended_by_its_rule(rule: str) -> None:
    dialect, body = EXAMPLES[rule]
    answer = run(dialect, body, rule=rule)
    assert rule in answer.stream.repairs
    again = run(dialect, answer.body, rule=rule)
    assert again.stream.repairs == {}
    assert again.body == answer.body


@cache
def fired() -> frozenset[str]:
    """The rules that mended one of the collected streams."""
    streams = [(sample.dialect, sample.body) for sample in handwritten().values()]
    streams += [
        (capture.dialect, capture.body) for capture in litellm(CORPUS / "litellm") if capture.status == 200
    ]
    return frozenset(rule for dialect, body in streams for rule in run(dialect, body).stream.repairs)


@needs_corpus
@pytest.mark.parametrize("rule", ALL_RULES)
def test_every_rule_has_been_seen_to_fire(rule: str) -> None:
    assert rule in fired() or rule in EXAMPLES


@pytest.mark.parametrize(("named_tool", "times"), [(False, 1), (True, 0), (None, 0)])
def test_stop_after_a_call_is_mended_only_where_no_tool_was_named(
    named_tool: bool | None, times: int
) -> None:
    context = dataclasses.replace(CONTEXT, named_tool=named_tool)
    answer = download(checked("chat", context=context), [chat(CALL)])
    assert answer.stream.repairs.get("chat-finish-tools", 0) == times
