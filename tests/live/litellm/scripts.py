"""What the scripted upstreams say, frame by frame, each in its provider's own dialect.

Every word of an answer is its own delta and occurs nowhere else in a run (``q07.012``), so that the
client's arrival of a word can be set against the upstream's clock however it was cut on the way.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Frame = tuple[bytes, str | None]
"""The bytes, and the word that they bring."""
CREATED = 1_700_000_000
TOOL = ("get_weather", ('{"city": ', '"Paris"}'))


@dataclass(frozen=True)
class Play:
    """How an upstream answers until it is told otherwise.

    cut     after so many words, where ``end`` is not ``whole``: by FIN, RST, or as if it were the end
    before  seconds of silence before the head
    error   the first frame is an error
    """

    words: int = 40
    gap: float = 0.025
    end: str = "whole"
    cut: int = 3
    before: float = 0.0
    status: int = 200
    error: bool = False
    tool: bool = False


def words(stream: str, play: Play) -> list[str]:
    return [f"{stream}.{number:03d} " for number in range(play.words)]


def frames(flavour: str, dialect: str, stream: str, model: str, play: Play) -> Iterator[Frame]:
    """A whole stream. The cutting is the connection's business."""
    if play.error:
        yield from _error_first(dialect)
    elif dialect == "chat":
        yield from _chat(flavour, stream, model, play)
    elif dialect == "messages":
        yield from _messages(stream, model, play)
    else:
        yield from _responses(stream, model, play)


def document(dialect: str, stream: str, model: str, play: Play) -> bytes:
    """The same answer, asked for without ``stream``."""
    text = "".join(words(stream, play))
    if dialect == "chat":
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        made = _chat_base(stream, model, "chat.completion") | {
            "choices": [choice],
            "usage": _chat_usage(play),
        }
    elif dialect == "messages":
        made = _message(stream, model) | {
            "content": [{"type": "text", "text": text}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 9, "output_tokens": play.words},
        }
    else:
        made = _response(stream, model, "completed") | {
            "output": [_text_item(stream, text)],
            "usage": _usage(play),
        }
    return json.dumps(made).encode()


# Chat: vLLM's has an empty list of tool calls in every chunk (LiteLLM 29286).


def _chat(flavour: str, stream: str, model: str, play: Play) -> Iterator[Frame]:
    extra: dict[str, Any] = {"tool_calls": []} if flavour == "vllm" else {}

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _data(_chat_base(stream, model, "chat.completion.chunk") | {"choices": [choice]})

    yield chunk({"role": "assistant", "content": "", **extra}), None
    for word in words(stream, play):
        yield chunk({"content": word, **extra}), word
    if play.tool:
        name, pieces = TOOL
        function = {"name": name, "arguments": ""}
        call = {"index": 0, "id": f"call_{stream}", "type": "function", "function": function}
        yield chunk({"tool_calls": [call]}), None
        for piece in pieces:
            yield chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}), None
    yield chunk(dict(extra), "tool_calls" if play.tool else "stop"), None
    yield (
        _data(
            _chat_base(stream, model, "chat.completion.chunk") | {"choices": [], "usage": _chat_usage(play)}
        ),
        None,
    )
    yield b"data: [DONE]\n\n", None


def _chat_base(stream: str, model: str, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{stream}", "object": kind, "created": CREATED, "model": model}


def _chat_usage(play: Play) -> dict[str, int]:
    return {"prompt_tokens": 9, "completion_tokens": play.words, "total_tokens": 9 + play.words}


# Messages.


def _messages(stream: str, model: str, play: Play) -> Iterator[Frame]:
    yield _event({"type": "message_start", "message": _message(stream, model)}), None
    text = {"type": "text", "text": ""}
    yield _event({"type": "content_block_start", "index": 0, "content_block": text}), None
    yield _event({"type": "ping"}), None
    for number, word in enumerate(words(stream, play)):
        delta = {"type": "text_delta", "text": word}
        yield _event({"type": "content_block_delta", "index": 0, "delta": delta}), word
        if number % 10 == 9:
            yield _event({"type": "ping"}), None
    yield _event({"type": "content_block_stop", "index": 0}), None
    if play.tool:
        name, pieces = TOOL
        block = {"type": "tool_use", "id": f"toolu_{stream}", "name": name, "input": {}}
        yield _event({"type": "content_block_start", "index": 1, "content_block": block}), None
        for piece in pieces:
            delta = {"type": "input_json_delta", "partial_json": piece}
            yield _event({"type": "content_block_delta", "index": 1, "delta": delta}), None
        yield _event({"type": "content_block_stop", "index": 1}), None
    reason = {"stop_reason": "tool_use" if play.tool else "end_turn", "stop_sequence": None}
    usage = {"output_tokens": play.words}
    yield _event({"type": "message_delta", "delta": reason, "usage": usage}), None
    yield _event({"type": "message_stop"}), None


def _message(stream: str, model: str) -> dict[str, Any]:
    base = {"id": f"msg_{stream}", "type": "message", "role": "assistant", "content": [], "model": model}
    return base | {
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 9, "output_tokens": 1},
    }


# Responses, as LM Studio sends them: sequence numbers, ids, all lifecycle events.


def _responses(stream: str, model: str, play: Play) -> Iterator[Frame]:
    number = iter(range(100_000))

    def event(kind: str, **rest: Any) -> bytes:
        return _event({"type": kind, "sequence_number": next(number), **rest})

    yield event("response.created", response=_response(stream, model, "in_progress")), None
    yield event("response.in_progress", response=_response(stream, model, "in_progress")), None
    at: dict[str, Any] = {"output_index": 0}
    item = _text_item(stream, "") | {"status": "in_progress", "content": []}
    yield event("response.output_item.added", **at, item=item), None
    part = {"item_id": f"msg_{stream}", **at, "content_index": 0}
    yield event("response.content_part.added", **part, part=_part("")), None
    for word in words(stream, play):
        yield event("response.output_text.delta", **part, delta=word, logprobs=[]), word
    text = "".join(words(stream, play))
    yield event("response.output_text.done", **part, text=text, logprobs=[]), None
    yield event("response.content_part.done", **part, part=_part(text)), None
    yield event("response.output_item.done", **at, item=_text_item(stream, text)), None
    output = [_text_item(stream, text)]
    if play.tool:
        name, pieces = TOOL
        at, said = {"output_index": 1}, {"item_id": f"fc_{stream}"}
        yield (
            event("response.output_item.added", **at, item=_call_item(stream, name, "", "in_progress")),
            None,
        )
        for piece in pieces:
            yield event("response.function_call_arguments.delta", **said, **at, delta=piece), None
        whole = "".join(pieces)
        done = _call_item(stream, name, whole, "completed")
        yield event("response.function_call_arguments.done", **said, **at, arguments=whole, name=name), None
        yield event("response.output_item.done", **at, item=done), None
        output.append(done)
    finished = _response(stream, model, "completed") | {"output": output, "usage": _usage(play)}
    yield event("response.completed", response=finished), None


def _response(stream: str, model: str, status: str) -> dict[str, Any]:
    nothing = ("error", "incomplete_details", "instructions", "max_output_tokens", "previous_response_id")
    base = {"id": f"resp_{stream}", "object": "response", "created_at": CREATED, "status": status}
    base |= dict.fromkeys((*nothing, "usage", "user"))
    base |= {"model": model, "output": [], "parallel_tool_calls": True, "store": True, "temperature": 1.0}
    return base | {"tool_choice": "auto", "tools": [], "top_p": 1.0, "truncation": "disabled", "metadata": {}}


def _text_item(stream: str, text: str) -> dict[str, Any]:
    base = {"id": f"msg_{stream}", "type": "message", "status": "completed", "role": "assistant"}
    return base | {"content": [_part(text)]}


def _call_item(stream: str, name: str, arguments: str, status: str) -> dict[str, Any]:
    base = {"id": f"fc_{stream}", "type": "function_call", "status": status, "arguments": arguments}
    return base | {"call_id": f"call_{stream}", "name": name}


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _usage(play: Play) -> dict[str, Any]:
    details: dict[str, Any] = {"input_tokens_details": {"cached_tokens": 0}}
    details["output_tokens_details"] = {"reasoning_tokens": 0}
    return {"input_tokens": 9, "output_tokens": play.words, "total_tokens": 9 + play.words} | details


def _error_first(dialect: str) -> Iterator[Frame]:
    if dialect == "messages":
        error = {"type": "overloaded_error", "message": "the script says so"}
        yield _event({"type": "error", "error": error}), None
    elif dialect == "chat":
        yield _data({"error": {"message": "the script says so", "type": "server_error", "code": 500}}), None
    else:
        said = {"code": "server_error", "message": "the script says so", "param": None}
        yield _event({"type": "error", "sequence_number": 0, **said}), None


def _data(value: Any) -> bytes:
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"


def _event(value: Any) -> bytes:
    return b"event: %b\n%b" % (value["type"].encode(), _data(value))
