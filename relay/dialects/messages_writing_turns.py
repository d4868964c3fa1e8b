"""A neutral conversation, written as the messages of a Messages request.

The API wants messages of user and assistant in turns, a user's first, no empty text, and the results of
tools at the start of the message after their calls; ``settle`` has put them there.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable
from typing import Any

import orjson

from relay.dialects.naming import Names, id_of
from relay.dialects.request import (
    BadRequest,
    Call,
    File,
    Image,
    Part,
    Reasoning,
    Refusal,
    Request,
    Result,
    Text,
    Turn,
)

_FOREIGN = "oai1."
"""What signatures begin with that stand for OpenAI's encrypted reasoning; Anthropic would refuse them."""


def conversation(request: Request, names: Names) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The system prompt and the messages."""
    turns = request.turns
    leading = next((at for at, turn in enumerate(turns) if turn.role != "system"), len(turns))
    system = [block for turn in turns[:leading] for block in _blocks(turn.parts, names)]
    messages: list[dict[str, Any]] = []
    for turn in turns[leading:]:
        _append(messages, turn, list(_blocks(turn.parts, names)))
    if not messages or messages[0]["role"] == "assistant":
        messages.insert(0, {"role": "user", "content": [_text("(start)")]})
    if messages[-1]["role"] == "assistant":
        _trim(messages)
    return system, messages


def thinks(message: dict[str, Any]) -> bool:
    """Does this message begin with a thought."""
    return message["content"][0]["type"] in ("thinking", "redacted_thinking")


def answers_tools(message: dict[str, Any]) -> bool:
    """Does this message hold the results of tools."""
    return any(block["type"] == "tool_result" for block in message["content"])


def _append(messages: list[dict[str, Any]], turn: Turn, content: list[dict[str, Any]]) -> None:
    """As a message of its own, or in the one before of the same role."""
    role = "assistant" if turn.role == "assistant" else "user"
    if not content and turn.role == "user":
        content = [_text("(empty)")]
    if not content:
        return
    if messages and messages[-1]["role"] == role:
        messages[-1]["content"] += content
    else:
        messages.append({"role": role, "content": content})


def _trim(messages: list[dict[str, Any]]) -> None:
    """The API refuses a last word of the assistant's that ends with blanks, or with a thought."""
    content = messages[-1]["content"]
    while content and content[-1]["type"] in ("thinking", "redacted_thinking"):
        content.pop()
    if not content:
        messages.pop()
    elif content[-1]["type"] == "text":
        content[-1]["text"] = content[-1]["text"].rstrip()


def _blocks(parts: Iterable[Part], names: Names) -> Iterable[dict[str, Any]]:
    for part in parts:
        match part:
            case Text() | Refusal():
                if part.text.strip():
                    yield _text(part.text)
            case Image():
                yield _image(part)
            case File():
                yield _document(part)
            case Call():
                yield _call(part, names)
            case Result():
                yield _result(part, names)
            case Reasoning():
                yield from _thought(part)
            case _:
                raise BadRequest(part.path, "sound cannot be sent to this upstream: leave it out")


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _image(image: Image) -> dict[str, Any]:
    if image.url is not None:
        return {"type": "image", "source": {"type": "url", "url": image.url}}
    source = {"type": "base64", "media_type": image.media_type, "data": image.data}
    return {"type": "image", "source": source}


def _document(file: File) -> dict[str, Any]:
    media_type = file.media_type.partition(";")[0].strip().lower()
    source: dict[str, Any]
    if media_type == "application/pdf":
        source = {"type": "base64", "media_type": media_type, "data": file.data}
    elif media_type.startswith("text/") or media_type == "application/json":
        source = {"type": "text", "media_type": "text/plain", "data": _decoded(file)}
    else:
        raise BadRequest(
            file.path, f"a file of type {media_type} cannot be sent to this upstream: send a PDF or text"
        )
    return {"type": "document", "source": source} | ({"title": file.name} if file.name else {})


def _decoded(file: File) -> str:
    try:
        return binascii.a2b_base64(file.data).decode()
    except ValueError:
        raise BadRequest(file.path, "is not text in UTF-8") from None


def _call(call: Call, names: Names) -> dict[str, Any]:
    ident, name = id_of(call.id), names.of(call.flat)
    return {"type": "tool_use", "id": ident, "name": name, "input": _input(call.arguments)}


def _input(arguments: str) -> dict[str, Any]:
    """History may hold arguments that are no object, cut ones for example; the API takes nothing else."""
    if not arguments.strip():
        return {}
    try:
        given = orjson.loads(arguments)
    except ValueError:
        given = None
    return given if isinstance(given, dict) else {"arguments": arguments}


def _result(result: Result, names: Names) -> dict[str, Any]:
    content = list(_blocks(result.parts, names))
    block: dict[str, Any] = {"type": "tool_result", "tool_use_id": id_of(result.id)}
    if content:
        alone = content[0]["text"] if len(content) == 1 and content[0]["type"] == "text" else None
        block["content"] = content if alone is None else alone
    return block | ({"is_error": True} if result.error else {})


def _thought(thought: Reasoning) -> Iterable[dict[str, Any]]:
    """Only as its maker signed it."""
    if thought.sealed is not None:
        yield {"type": "redacted_thinking", "data": thought.sealed}
    elif thought.signature and not thought.signature.startswith(_FOREIGN):
        yield {"type": "thinking", "thinking": thought.text, "signature": thought.signature}
