"""Is a stream of events in the order that its dialect's own documents give? Written without relay.

For what SDKs forgive: they read on where an event that others rely on is missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any


def faults(dialect: str, body: bytes) -> list[str]:
    """Each kind of fault once, in the order of its first occurrence."""
    checks = {"chat": _chat, "messages": _messages, "responses": _responses}
    return list(dict.fromkeys(checks[dialect](list(_events(body)))))


def _events(body: bytes) -> Iterator[tuple[str, Any]]:
    """The name of each event and its JSON, or the data's text where that is none."""
    for frame in body.replace(b"\r\n", b"\n").split(b"\n\n"):
        name, data = "", []
        for line in frame.decode(errors="replace").split("\n"):
            field, _, value = line.partition(":")
            if field == "event":
                name = value.strip()
            elif field == "data":
                data.append(value.removeprefix(" "))
        if data:
            text = "\n".join(data)
            try:
                yield name, json.loads(text)
            except ValueError:
                yield name, text


def _chat(events: list[tuple[str, Any]]) -> Iterator[str]:
    said = [event for _, event in events if isinstance(event, dict)]
    if not said:
        yield "no chunk"
    if any("error" in event for event in said):
        return
    if len({event.get("id") for event in said}) > 1:
        yield "the id changes"
    if not any(c.get("finish_reason") for event in said for c in event.get("choices") or ()):
        yield "no finish_reason"
    if not events or events[-1][1] != "[DONE]":
        yield "no [DONE]"


def _messages(events: list[tuple[str, Any]]) -> Iterator[str]:
    open_blocks: dict[int, str] = {}
    started = stopped = 0
    for name, event in events:
        if not isinstance(event, dict):
            yield f"data {str(event)[:20]}"
            continue
        kind, index = str(event.get("type", "")), event.get("index", 0)
        if name != kind:
            yield (
                "event: line missing or another"
                if "error" not in event
                else "an error without its event: line"
            )
        started += kind == "message_start"
        stopped += kind in ("message_stop", "error")
        if kind != "message_start" and not started and kind not in ("error", "ping"):
            yield f"{kind} before message_start"
        if kind == "content_block_start":
            if index in open_blocks or index < 0:
                yield f"content_block_start {index} twice or negative"
            open_blocks[index] = event["content_block"]["type"]
        elif kind == "content_block_delta":
            if index not in open_blocks:
                yield f"content_block_delta before content_block_start, index {index}"
            elif event["delta"]["type"] == "input_json_delta" and open_blocks[index] != "tool_use":
                yield f"input_json_delta in a {open_blocks[index]} block"
        elif kind == "content_block_stop" and open_blocks.pop(index, None) is None:
            yield "content_block_stop without its start"
    if started != 1:
        yield f"message_start {started} times"
    if stopped != 1:
        yield "no message_stop and no error" if not stopped else "message_stop more than once"


def _responses(events: list[tuple[str, Any]]) -> Iterator[str]:
    items: set[str] = set()
    kinds: list[str] = []
    for name, event in events:
        if not isinstance(event, dict):
            yield f"data {str(event)[:20]}"
            continue
        kind = str(event.get("type", ""))
        kinds.append(kind)
        if name != kind:
            yield "no event: lines"
        if "sequence_number" not in event:
            yield "no sequence_number"
        if kind == "response.output_item.added":
            items.add(str((event.get("item") or {}).get("id")))
        elif "item_id" in event and event["item_id"] not in items:
            yield f"item_id of no announced item ({str(event['item_id'])[:5]}…)"
    if kinds[:1] != ["response.created"] and kinds[:1] != ["error"]:
        yield f"begins with {kinds[0] if kinds else 'nothing'}, not response.created"
    ends = ("response.completed", "response.incomplete", "response.failed", "error")
    if not kinds or kinds[-1] not in ends:
        yield "no terminal event"
