"""The streams both ends agree on: scripts of frames, one stamp in each delta.

A script is what the upstream sends for one stream. The legal ones, one a dialect, give a relay that
checks streams nothing to mend: they have all that their dialect demands, in the sizes that providers
send (a delta has 200 bytes in chat, 140 in messages, 270 in responses). The
others spoil every frame in one way each, so that every frame must be mended.

Every delta travels as one HTTP chunk of its own. The sixteen digits in it are CLOCK_MONOTONIC
nanoseconds, read just before the write; the clock is the same for every process of one machine, so
receipt minus stamp is the time under way. In the responses dialect they stand where OpenAI has its
padding (`obfuscation`), because later events must repeat the text.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

STAMP_DIGITS = 16
_STAMP = "S" * STAMP_DIGITS
_NUMBER = "#"  # where a sequence number goes

RESPONSE_HEAD = (
    b"HTTP/1.1 200 OK\r\n"
    b"content-type: text/event-stream; charset=utf-8\r\n"
    b"cache-control: no-cache\r\n"
    b"x-request-id: bench-0001\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
# A body ends with these bytes and no frame can: a frame's chunk ends with "\n\n\r\n".
LAST_CHUNK = b"0\r\n\r\n"
OK = b"HTTP/1.1 200"


@dataclass(frozen=True, slots=True)
class Script:
    """One stream. Its frames are texts with marks for the stamp and the sequence number.

    first   the first delta, delta: every later one
    numbers whether frames are numbered; the opening has the first numbers
    ending  the frames after so many deltas
    """

    name: str
    dialect: str
    opening: tuple[str, ...]
    first: str
    delta: str
    numbers: bool
    ending: Callable[[int], list[str]]
    stamps: re.Pattern[bytes]

    def start(self, now: int) -> bytes:
        """The response's head, the frames before the first delta, and that one."""
        number = len(self.opening)
        return RESPONSE_HEAD + _chunks(self.opening) + _filled(self.first, self.numbers, number, now)

    def piece(self, number: int, now: int) -> bytes:
        """The delta of this number, counted from 0; any but the first."""
        return _filled(self.delta, self.numbers, len(self.opening) + number, now)

    def end(self, deltas: int) -> bytes:
        """What follows so many deltas."""
        return _end(self.ending, deltas)


def _filled(frame: str, numbers: bool, number: int, now: int) -> bytes:
    if not numbers:
        return _template(frame, 0) % now
    return _template(frame, len(str(number))) % (number, now)


@cache
def _template(frame: str, digits: int) -> bytes:
    """The chunk of this frame, to be filled in; its size depends on how long the number is."""
    if digits == 0:
        return _chunk(frame).replace(_STAMP.encode(), b"%016d")
    chunk = _chunk(frame.replace(_NUMBER, _NUMBER * digits))
    return chunk.replace(_NUMBER.encode() * digits, b"%d").replace(_STAMP.encode(), b"%016d")


@cache
def _end(ending: Callable[[int], list[str]], deltas: int) -> bytes:
    return _chunks(ending(deltas)) + LAST_CHUNK


def _chunks(frames: Any) -> bytes:
    return b"".join(map(_chunk, frames))


def _chunk(frame: str) -> bytes:
    payload = frame.encode()
    return b"%x\r\n%b\r\n" % (len(payload), payload)


def _frame(payload: dict[str, Any], event: bool = True) -> str:
    text = json.dumps(payload, separators=(",", ":")).replace(f'"{_NUMBER}"', _NUMBER)
    return (f"event: {payload['type']}\n" if event else "") + f"data: {text}\n\n"


TOLD = {
    "chat": re.compile(rb'"content":"(\d{%d})' % STAMP_DIGITS),
    "messages": re.compile(rb'"text": ?"(\d{%d})' % STAMP_DIGITS),
    "responses": re.compile(rb'"delta":"(\d{%d})' % STAMP_DIGITS),
}
"""The stamps of a text that was said in this dialect, whoever wrote the frames."""
_NO_STAMPS = re.compile(rb"(?!)")
_PIECE = " token"
_TOOL = "note"
_ARGUMENTS = ('{"text":"', '"}')
_CALL_ID = "fc_0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f607182"


# Chat completions.

_CHUNK_BYTES = 200
_CHUNK_HEAD = {"id": "bench", "object": "chat.completion.chunk", "created": 1700000000, "model": "bench"}


def _chunk_of(head: dict[str, Any], delta: dict[str, Any], finish: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return _frame({**head, "choices": [choice]}, event=False)


def _chat(name: str = "chat", *, role: str | None = None, named: bool = True, last: str = "") -> Script:
    """With the role in every delta, or without `object`, or with something else at the end of each text."""
    head = {key: value for key, value in _CHUNK_HEAD.items() if named or key != "object"}

    def full(delta: dict[str, str]) -> str:
        """Filled up to the one size that all deltas have."""
        bare = _chunk_of(head, {**delta, "content": _STAMP + last})
        return _chunk_of(head, {**delta, "content": _STAMP + "x" * (_CHUNK_BYTES - len(bare)) + last})

    first, delta = full({"role": "assistant"}), full({} if role is None else {"role": role})
    end = [_chunk_of(head, {}, "stop"), "data: [DONE]\n\n"]
    return Script(name, "chat", (), first, delta, False, lambda _: end, TOLD["chat"])


def _chat_tool() -> Script:
    """One tool call."""
    call = {"index": 0, "id": "call_bench0001", "type": "function"}
    named = {**call, "function": {"name": _TOOL, "arguments": ""}}

    def more(text: str) -> str:
        return _chunk_of(_CHUNK_HEAD, {"tool_calls": [{"index": 0, "function": {"arguments": text}}]})

    opening = (_chunk_of(_CHUNK_HEAD, {"role": "assistant", "content": None, "tool_calls": [named]}),)
    end = [more(_ARGUMENTS[1]), _chunk_of(_CHUNK_HEAD, {}, "tool_calls"), "data: [DONE]\n\n"]
    first, delta = more(_ARGUMENTS[0] + _STAMP), more(_STAMP + _PIECE)
    return Script("chat-tool", "chat", opening, first, delta, False, lambda _: end, _NO_STAMPS)


# Messages.


def _message_start(block: dict[str, Any]) -> list[dict[str, Any]]:
    """The events before the first delta."""
    usage = {"input_tokens": 12, "output_tokens": 1}
    message = {"id": "msg_bench0001", "type": "message", "role": "assistant", "model": "bench", "content": []}
    message |= {"stop_reason": None, "stop_sequence": None, "usage": usage}
    start = {"type": "content_block_start", "index": 0, "content_block": block}
    return [{"type": "message_start", "message": message}, start, {"type": "ping"}]


def _message_end(index: int, reason: str, deltas: int) -> list[dict[str, Any]]:
    stopped = {"stop_reason": reason, "stop_sequence": None}
    finish = {"type": "message_delta", "delta": stopped, "usage": {"output_tokens": deltas}}
    return [{"type": "content_block_stop", "index": index}, finish, {"type": "message_stop"}]


def _messages(name: str = "messages", *, index: int = 0, event: bool = True, last: str = "") -> Script:
    """With another index on what follows the start of the block, or without event lines, or see `_chat`."""
    text = {"type": "text_delta", "text": _STAMP + "x" * 9 + last}
    delta = _frame({"type": "content_block_delta", "index": index, "delta": text}, event)

    def ending(deltas: int) -> list[str]:
        return [_frame(payload, event) for payload in _message_end(index, "end_turn", deltas)]

    frames = tuple(_frame(payload, event) for payload in _message_start({"type": "text", "text": ""}))
    return Script(name, "messages", frames, delta, delta, False, ending, TOLD["messages"])


def _messages_tool() -> Script:
    """One tool call."""
    block = {"type": "tool_use", "id": "toolu_bench0001", "name": _TOOL, "input": {}}

    def more(text: str) -> str:
        delta = {"type": "input_json_delta", "partial_json": text}
        return _frame({"type": "content_block_delta", "index": 0, "delta": delta})

    def ending(deltas: int) -> list[str]:
        return [more(_ARGUMENTS[1]), *map(_frame, _message_end(0, "tool_use", deltas))]

    opening = tuple(map(_frame, _message_start(block)))
    first, delta = more(_ARGUMENTS[0] + _STAMP), more(_STAMP + _PIECE)
    return Script("messages-tool", "messages", opening, first, delta, False, ending, _NO_STAMPS)


# Responses.

_ITEM_ID = "msg_0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f607182"
_RESPONSE = {
    "id": "resp_0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f607182",
    "object": "response", "created_at": 1700000000, "status": "in_progress", "background": False,
    "error": None, "incomplete_details": None, "instructions": None, "max_output_tokens": None,
    "max_tool_calls": None, "model": "bench", "output": [], "parallel_tool_calls": True,
    "previous_response_id": None, "reasoning": {"effort": None, "summary": None}, "store": False,
    "temperature": 1.0, "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [],
    "top_logprobs": 0, "top_p": 1.0, "truncation": "disabled", "usage": None, "user": None, "metadata": {},
}  # fmt: skip


def _completed(items: list[dict[str, Any]], deltas: int) -> dict[str, Any]:
    """The response as the last event has it."""
    tokens = {"input_tokens": 12, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": deltas}
    tokens |= {"output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 12 + deltas}
    return {**_RESPONSE, "status": "completed", "output": items, "usage": tokens}


def _responses(name: str = "responses", *, index: int = 0, bare: bool = False, last: str = "") -> Script:
    """With another output_index, or bare of event lines and sequence numbers, or see `_chat`."""
    piece = _PIECE + last
    place = {"item_id": _ITEM_ID, "output_index": index, "content_index": 0}

    def frame(kind: str, number: int | str, members: dict[str, Any]) -> str:
        numbered = {} if bare else {"sequence_number": number}
        return _frame({"type": f"response.{kind}", **numbered, **members}, event=not bare)

    def item(status: str, *content: Any) -> dict[str, Any]:
        return {"id": _ITEM_ID, "type": "message", "status": status, "content": content, "role": "assistant"}

    def part(text: str) -> dict[str, Any]:
        return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}

    opening = (
        frame("created", 0, {"response": _RESPONSE}),
        frame("in_progress", 1, {"response": _RESPONSE}),
        frame("output_item.added", 2, {"output_index": index, "item": item("in_progress")}),
        frame("content_part.added", 3, {**place, "part": part("")}),
    )
    text = {"delta": piece, "logprobs": [], "obfuscation": _STAMP}
    delta = frame("output_text.delta", _NUMBER, {**place, **text})

    def ending(deltas: int) -> list[str]:
        said, number = piece * deltas, len(opening) + deltas
        done = item("completed", part(said))
        return [
            frame("output_text.done", number, {**place, "text": said, "logprobs": []}),
            frame("content_part.done", number + 1, {**place, "part": part(said)}),
            frame("output_item.done", number + 2, {"output_index": index, "item": done}),
            frame("completed", number + 3, {"response": _completed([done], deltas)}),
        ]

    stamps = re.compile(rb'"obfuscation":"(\d{%d})' % STAMP_DIGITS)
    return Script(name, "responses", opening, delta, delta, not bare, ending, stamps)


def _responses_tool() -> Script:
    """One tool call."""

    def frame(kind: str, number: int | str, members: dict[str, Any]) -> str:
        return _frame({"type": f"response.{kind}", "sequence_number": number, **members})

    def item(status: str, arguments: str) -> dict[str, Any]:
        call = {"id": _CALL_ID, "type": "function_call", "status": status, "call_id": "call_bench0001"}
        return {**call, "name": _TOOL, "arguments": arguments}

    def more(text: str, number: int | str) -> str:
        members = {"item_id": _CALL_ID, "output_index": 0, "delta": text, "obfuscation": _STAMP}
        return frame("function_call_arguments.delta", number, members)

    opening = (
        frame("created", 0, {"response": _RESPONSE}),
        frame("in_progress", 1, {"response": _RESPONSE}),
        frame("output_item.added", 2, {"output_index": 0, "item": item("in_progress", "")}),
    )

    def ending(deltas: int) -> list[str]:
        said, number = (_PIECE * (deltas - 1)).join(_ARGUMENTS), len(opening) + deltas
        done, place = item("completed", said), {"item_id": _CALL_ID, "output_index": 0}
        return [
            more(_ARGUMENTS[1], number),
            frame("function_call_arguments.done", number + 1, {**place, "name": _TOOL, "arguments": said}),
            frame("output_item.done", number + 2, {"output_index": 0, "item": done}),
            frame("completed", number + 3, {"response": _completed([done], deltas)}),
        ]

    first, delta = more(_ARGUMENTS[0], _NUMBER), more(_PIECE, _NUMBER)
    return Script("responses-tool", "responses", opening, first, delta, True, ending, _NO_STAMPS)


SCRIPTS = {
    script.name: script
    for script in (
        _chat(),
        _messages(),
        _responses(),
        _chat("chat-role", role=""),
        _chat("chat-object", named=False),
        _messages("messages-index", index=-1),
        _messages("messages-event", event=False),
        _responses("responses-index", index=1),
        _responses("responses-bare", bare=True),
    )
}
LEGAL = ("chat", "messages", "responses")
IN_PLACE = {"chat": "chat-role", "messages": "messages-index", "responses": "responses-index"}
"""Every delta is mended at its own length."""
SPLICED = {"chat": "chat-object", "messages": "messages-event", "responses": "responses-bare"}
"""Every delta grows."""
ESCAPED = {
    "chat": _chat("chat-escaped", last="\n"),
    "messages": _messages("messages-escaped", last="\n"),
    "responses": _responses("responses-escaped", last="\n"),
}
"""The text of every delta has an escape in it."""
TOOLS = {"chat": _chat_tool(), "messages": _messages_tool(), "responses": _responses_tool()}
"""Every delta is a piece of a tool call's arguments. For the machines alone: they keep no stamps."""
