"""What the tests of the Responses dialect share: where its streams are, and one run of a checker."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from relay.dialects.checker import Malformed, Truncated
from relay.dialects.deltas import Failure
from relay.dialects.frame import Frame
from relay.dialects.responses import Responses
from tests.dialects.drive import CONTEXT, Event, events, seen
from tests.dialects.responses_legal import Illegal, outcome

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus"
HANDWRITTEN = CORPUS / "handwritten" / "responses"
RECORDED = CORPUS / "recorded" / "responses"

with_corpus = pytest.mark.skipif(
    not CORPUS.is_dir(), reason="the folder of streams is not beside this project"
)


@cache
def stream(path: Path) -> list[Event]:
    return events(path.read_bytes())


def names(folder: Path, pattern: str = "*.sse") -> list[str]:
    return sorted(path.relative_to(folder).as_posix().removesuffix(".sse") for path in folder.glob(pattern))


class Run(NamedTuple):
    """What a client got, and how it came about."""

    checker: Responses
    out: list[Event]
    touched: int
    """Frames that did not pass as they were."""
    taken: int
    """Frames that came before the end, as the checker saw it."""
    supplied: list[Event]
    """What the end of the body added."""
    error: Malformed | Truncated | None


def run(
    given: list[Event], *, off: frozenset[str] | None = None, message: str | None = None, end: bool = True
) -> Run:
    """A whole stream through a new checker; one that cannot be mended ends as the stream above ends it."""
    checker = Responses(CONTEXT, off=off)
    out: list[Event] = []
    touched, taken, supplied = 0, 0, []
    try:
        for event, payload in given:
            before = checker.done or checker.failure is not None
            answer = checker.check(Frame(event, copy.deepcopy(payload)))
            touched += answer is not None
            taken += not before
            out += [Event(event, payload)] if answer is None else seen(answer)
        supplied = seen(checker.end()) if end else []
    except (Malformed, Truncated) as error:
        out += seen(checker.fail(Failure(message or str(error))))
        return Run(checker, out, touched, taken, [], error)
    return Run(checker, out + supplied, touched, taken, supplied, None)


def legal(given: list[Event]) -> bool:
    try:
        outcome(given)
    except (Illegal, KeyError, TypeError, AttributeError):
        return False
    return True


def response(**members: Any) -> dict[str, Any]:
    """A response object with what every client wants."""
    given = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m-1", "status": "in_progress"}
    rest = {"output": [], "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "usage": None}
    return {**given, **rest, **members}


def numbered(*payloads: dict[str, Any]) -> list[Event]:
    """These payloads as a stream with event lines and sequence numbers."""
    return [
        Event(payload["type"], {**payload, "sequence_number": number})
        for number, payload in enumerate(payloads)
    ]


def opening() -> dict[str, Any]:
    return {"type": "response.created", "response": response()}


def ending(*output: Any, **members: Any) -> dict[str, Any]:
    return {
        "type": "response.completed",
        "response": response(status="completed", output=list(output), **members),
    }


def item_event(suffix: str, index: Any, item: Any) -> dict[str, Any]:
    return {"type": f"response.output_item.{suffix}", "output_index": index, "item": item}


def delta(kind: str, ident: Any, index: Any, text: Any, **numbers: Any) -> dict[str, Any]:
    return {
        "type": f"response.{kind}.delta",
        "item_id": ident,
        "output_index": index,
        "delta": text,
        **numbers,
    }


def message(ident: str, *texts: str, status: str = "completed") -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []} for text in texts]
    return {"id": ident, "type": "message", "status": status, "role": "assistant", "content": content}


def call(ident: Any, call_id: Any, name: Any, arguments: str, status: str = "completed") -> dict[str, Any]:
    item = {"id": ident, "type": "function_call", "status": status, "arguments": arguments}
    return {**item, "call_id": call_id, "name": name}


def payloads(found: Run, kind: str) -> list[dict[str, Any]]:
    return [payload for event, payload in found.out if event == kind]


def spoken(*texts: str, ident: str = "msg_1", index: int = 0) -> list[dict[str, Any]]:
    """The events of a whole message in one part."""
    part = {"type": "output_text", "text": "".join(texts), "annotations": [], "logprobs": []}
    place = {"item_id": ident, "output_index": index, "content_index": 0}
    return [
        item_event("added", index, message(ident, status="in_progress")),
        {"type": "response.content_part.added", **place, "part": {**part, "text": ""}},
        *(delta("output_text", ident, index, text, content_index=0) for text in texts),
        {"type": "response.output_text.done", **place, "text": part["text"], "logprobs": []},
        {"type": "response.content_part.done", **place, "part": part},
        item_event("done", index, message(ident, part["text"])),
    ]
