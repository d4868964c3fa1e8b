"""Streams for the tests of the Messages checker: where they lie, how to write one, how to run one."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from relay.dialects.checker import Malformed, Truncated
from relay.dialects.deltas import Failure
from relay.dialects.frame import Frame
from relay.dialects.messages import Messages
from tests.dialects.drive import CONTEXT, Event, seen

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus"
NONE_OFF: frozenset[str] = frozenset()


def files(pattern: str) -> Any:
    """A parameter for each file; one that skips where the corpus is not beside the project."""
    found = sorted(CORPUS.glob(pattern))
    if not found:
        return [pytest.param(None, marks=pytest.mark.skip("the corpus is not here"), id="no-corpus")]
    return [pytest.param(path, id="/".join(path.relative_to(CORPUS).parts[1:])) for path in found]


def copied(payload: Any) -> Any:
    """A copy; ten times as fast as ``deepcopy``, and a test of any order makes a million."""
    return orjson.loads(orjson.dumps(payload))


class Ran(NamedTuple):
    out: list[Event]
    how: str
    """`ok`, or the exception with its text; the stream was then failed."""
    checker: Messages


def run(stream: list[Event], *, off: frozenset[str] = NONE_OFF, failure: Failure | None = None) -> Ran:
    """What a client gets, the end or the failure included."""
    checker, out = Messages(CONTEXT, off=off), []
    try:
        for event, payload in stream:
            frame = Frame(event, copied(payload))
            answer = checker.check(frame)
            out += [Event(event, payload)] if answer is None else seen(answer)
        out += seen(checker.end())
    except Truncated as error:
        how = f"Truncated({error})"
        out += seen(checker.fail(failure or Failure(f"upstream closed the stream before {error}")))
    except Malformed as error:
        how = f"Malformed({error})"
        out += seen(checker.fail(failure or Failure("upstream sent an invalid frame")))
    else:
        how = "ok"
    return Ran(out, how, checker)


def same_ids(stream: list[Event]) -> list[Event]:
    """With the ids that relay makes replaced by those of the corpus."""
    return [
        Event(event, json.loads(json.dumps(payload).replace("msg_t1", "msg_h1"))) for event, payload in stream
    ]


def named(*payloads: dict[str, Any]) -> list[Event]:
    return [Event(payload["type"], payload) for payload in payloads]


def message_start(**changes: Any) -> dict[str, Any]:
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 11, "output_tokens": 1},
    }
    return {"type": "message_start", "message": message | changes}


EMPTY: dict[str, dict[str, Any]] = {
    "text": {"type": "text", "text": ""},
    "thinking": {"type": "thinking", "thinking": "", "signature": ""},
    "tool": {"type": "tool_use", "id": "toolu_a", "name": "f", "input": {}},
    "server": {"type": "server_tool_use", "id": "srvtoolu_a", "name": "web_search", "input": {}},
    "redacted": {"type": "redacted_thinking", "data": "QQ"},
    "unknown": {"type": "sparkle", "data": "x"},
}


def start(kind: str, index: object = 0, **changes: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": EMPTY[kind] | changes}


_FIELDS = {
    "text": "text",
    "thinking": "thinking",
    "signature": "signature",
    "input_json": "partial_json",
    "citations": "citation",
    "sparkle": "sparkle",
}


def delta(kind: str, value: object, index: object = 0) -> dict[str, Any]:
    inner = {"type": f"{kind}_delta", _FIELDS[kind]: value}
    return {"type": "content_block_delta", "index": index, "delta": inner}


def text(value: object, index: object = 0) -> dict[str, Any]:
    return delta("text", value, index)


def stop(index: object = 0) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def finish(reason: str | None = "end_turn", output: int = 4) -> dict[str, Any]:
    inner = {"stop_reason": reason, "stop_sequence": None}
    return {"type": "message_delta", "delta": inner, "usage": {"output_tokens": output}}


PING: dict[str, Any] = {"type": "ping"}
END: dict[str, Any] = {"type": "message_stop"}
CHAT_CHUNK: dict[str, Any] = {"object": "chat.completion.chunk", "choices": [{"delta": {"content": "x"}}]}


def without(payload: dict[str, Any], *path: str) -> dict[str, Any]:
    """The payload less the member there."""
    payload = copy.deepcopy(payload)
    parent = payload
    for key in path[:-1]:
        parent = parent[key]
    del parent[path[-1]]
    return payload
