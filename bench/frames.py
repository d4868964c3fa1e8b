"""The traffic both ends agree on: requests, scripts of frames, one stamp in each delta.

A script is what the upstream sends for one stream. The legal ones, one a dialect, give a relay that
checks streams nothing to mend: they have all that their dialect demands, in the sizes that providers
send (a delta has 200 bytes in chat, 140 in messages, 270 in responses). The
others spoil every frame in one way each, so that every frame must be mended.

Every delta travels as one HTTP chunk of its own. The sixteen digits in it are CLOCK_MONOTONIC
nanoseconds, read just before the write; the clock is the same for every process of one machine, so
receipt minus stamp is the time under way. In the responses dialect they stand where OpenAI has its
padding (`obfuscation`), because later events must repeat the text.

What a request asks for travels in its prompt, because a relay may refuse or drop a field it does not
know, and must forward that one.
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
WANTED = re.compile(rb"bench script=([\w-]+) mode=(\w+) deltas=(\d+) interval_us=(\d+) id=(\d+)")


@dataclass(frozen=True, slots=True)
class Script:
    """One stream. Its frames are texts with marks for the stamp and the sequence number.

    first   the first delta, delta: every later one
    numbers whether frames are numbered; the opening has the first numbers
    ending  the frames after so many deltas
    """

    name: str
    dialect: str
    path: str
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


# Chat completions.

_CHUNK_BYTES = 200
_CHUNK_HEAD = {"id": "bench", "object": "chat.completion.chunk", "created": 1700000000, "model": "bench"}


def _chat(name: str = "chat", *, role: str | None = None, named: bool = True) -> Script:
    """With the role in every delta, or without `object`."""
    head = {key: value for key, value in _CHUNK_HEAD.items() if named or key != "object"}

    def chunk(delta: dict[str, str], finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return _frame({**head, "choices": [choice]}, event=False)

    def full(delta: dict[str, str]) -> str:
        """Filled up to the one size that all deltas have."""
        bare = chunk({**delta, "content": _STAMP})
        return chunk({**delta, "content": _STAMP + "x" * (_CHUNK_BYTES - len(bare))})

    first, delta = full({"role": "assistant"}), full({} if role is None else {"role": role})
    end = [chunk({}, "stop"), "data: [DONE]\n\n"]
    stamps = re.compile(rb'"content":"(\d{%d})' % STAMP_DIGITS)
    return Script(name, "chat", "/v1/chat/completions", (), first, delta, False, lambda _: end, stamps)


# Messages.


def _messages(name: str = "messages", *, index: int = 0, event: bool = True) -> Script:
    """With another index on what follows the start of the block, or without event lines."""
    usage = {"input_tokens": 12, "output_tokens": 1}
    message = {"id": "msg_bench0001", "type": "message", "role": "assistant", "model": "bench", "content": []}
    message |= {"stop_reason": None, "stop_sequence": None, "usage": usage}
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    opening = [{"type": "message_start", "message": message}, block, {"type": "ping"}]
    text = {"type": "text_delta", "text": _STAMP + "x" * 9}
    delta = _frame({"type": "content_block_delta", "index": index, "delta": text}, event)
    stopped = {"stop_reason": "end_turn", "stop_sequence": None}

    def ending(deltas: int) -> list[str]:
        finish = {"type": "message_delta", "delta": stopped, "usage": {"output_tokens": deltas}}
        end = [{"type": "content_block_stop", "index": index}, finish, {"type": "message_stop"}]
        return [_frame(payload, event) for payload in end]

    frames = tuple(_frame(payload, event) for payload in opening)
    stamps = re.compile(rb'"text":"(\d{%d})' % STAMP_DIGITS)
    return Script(name, "messages", "/v1/messages", frames, delta, delta, False, ending, stamps)


# Responses.

_ITEM_ID = "msg_0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f607182"
_PIECE = " token"
_RESPONSE = {
    "id": "resp_0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f607182",
    "object": "response", "created_at": 1700000000, "status": "in_progress", "background": False,
    "error": None, "incomplete_details": None, "instructions": None, "max_output_tokens": None,
    "max_tool_calls": None, "model": "bench", "output": [], "parallel_tool_calls": True,
    "previous_response_id": None, "reasoning": {"effort": None, "summary": None}, "store": False,
    "temperature": 1.0, "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [],
    "top_logprobs": 0, "top_p": 1.0, "truncation": "disabled", "usage": None, "user": None, "metadata": {},
}  # fmt: skip


def _responses(name: str = "responses", *, index: int = 0, bare: bool = False) -> Script:
    """With another output_index, or bare of event lines and sequence numbers."""
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
    text = {"delta": _PIECE, "logprobs": [], "obfuscation": _STAMP}
    delta = frame("output_text.delta", _NUMBER, {**place, **text})

    def ending(deltas: int) -> list[str]:
        said, number = _PIECE * deltas, len(opening) + deltas
        done = item("completed", part(said))
        tokens = {"input_tokens": 12, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": deltas}
        tokens |= {"output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 12 + deltas}
        whole = {**_RESPONSE, "status": "completed", "output": [done], "usage": tokens}
        return [
            frame("output_text.done", number, {**place, "text": said, "logprobs": []}),
            frame("content_part.done", number + 1, {**place, "part": part(said)}),
            frame("output_item.done", number + 2, {"output_index": index, "item": done}),
            frame("completed", number + 3, {"response": whole}),
        ]

    stamps = re.compile(rb'"obfuscation":"(\d{%d})' % STAMP_DIGITS)
    return Script(name, "responses", "/v1/responses", opening, delta, delta, not bare, ending, stamps)


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


def request(
    mode: str, deltas: int, interval_us: int, ident: int, *, close: bool = False, script: str = "chat"
) -> bytes:
    """The bytes of one request. Modes: `stream`, `hold` (one delta, then silence), `silent` (no head)."""
    wanted = f"bench script={script} mode={mode} deltas={deltas} interval_us={interval_us} id={ident}"
    dialect = SCRIPTS[script].dialect
    document: dict[str, Any] = {"model": "bench", "stream": True}
    if dialect == "responses":
        document["input"] = wanted
    else:
        document["messages"] = [{"role": "user", "content": wanted}]
    if dialect == "messages":
        document["max_tokens"] = 1024
    body = json.dumps(document).encode()
    head = (
        f"POST {SCRIPTS[script].path} HTTP/1.1\r\nhost: bench.local\r\ncontent-type: application/json\r\n"
        f"accept: text/event-stream\r\nuser-agent: bench\r\ncontent-length: {len(body)}\r\n"
    )
    return (head + ("connection: close\r\n" if close else "") + "\r\n").encode() + body
