"""A conversation as the input items of a Responses upstream."""

from __future__ import annotations

from typing import Any

from relay.dialects.arguments import custom_input
from relay.dialects.naming import Names, digest
from relay.dialects.request import (
    Audio,
    BadRequest,
    Call,
    File,
    Image,
    Part,
    Profile,
    Reasoning,
    Refusal,
    Request,
    Result,
    Text,
    Turn,
)
from relay.dialects.responses_document import Json
from relay.dialects.responses_envelope import unmarked

_IDENT = 64
"""Characters of a call's id."""


def write_input(request: Request, profile: Profile, names: Names) -> list[Json]:
    """Every turn as items, in order."""
    custom: set[str] = set()
    items: list[Json] = []
    for turn in request.turns:
        if turn.role == "assistant":
            items += _assistant(turn, names, custom)
        else:
            role = profile.system_role if turn.role == "system" else "user"
            items += _given(turn, role, custom)
    return items


def _given(turn: Turn, role: str, custom: set[str]) -> list[Json]:
    """What the client gives: results, each an item, then a message."""
    results = [_result(part, custom) for part in turn.parts if isinstance(part, Result)]
    content = [_content(part) for part in turn.parts if not isinstance(part, Result)]
    if not content and (turn.parts or role != "user"):
        return results
    content = content or [_content(Text(""))]  # the user has said nothing, which is not no user
    return [*results, {"type": "message", "role": role, "content": content}]


def _assistant(turn: Turn, names: Names, custom: set[str]) -> list[Json]:
    """What the assistant said is a message, what it thought and did are items beside it.

    Its text is a string: in a list of parts every part needs fields that only its maker knows, and servers
    that check them refuse a part without (vllm 33089, codex 12669).
    """
    items: list[Json] = []
    message: Json | None = None
    for part in turn.parts:
        match part:
            case Text() | Refusal():
                if message is None:
                    message = {"type": "message", "role": "assistant", "content": ""}
                    items.append(message)
                message["content"] += part.text
            case Reasoning():
                thought = _reasoning(part)
                if thought is not None:
                    message = None
                    items.append(thought)
            case Call():
                message = None
                items.append(_call(part, names, custom))
            case _:
                raise BadRequest(part.path, "an assistant's message cannot hold this")
    return items


def _reasoning(part: Reasoning) -> Json | None:
    """Only its own maker's reasoning means anything to this upstream."""
    encrypted = unmarked(part.signature)
    if encrypted is None:
        return None
    summary = [{"type": "summary_text", "text": part.text}] if part.text else []
    return {"type": "reasoning", "summary": summary, "encrypted_content": encrypted}


def _call(part: Call, names: Names, custom: set[str]) -> Json:
    named = {"call_id": _call_id(part.id), "name": names.of(part.flat)}
    if not part.custom:
        return {"type": "function_call", **named, "arguments": part.arguments}
    custom.add(part.id)
    return {"type": "custom_tool_call", **named, "input": custom_input(part.arguments)}


def _call_id(ident: str) -> str:
    """In as many characters as OpenAI takes."""
    return ident if len(ident) <= _IDENT else f"call_{digest(ident)[: _IDENT // 2]}"


def _result(part: Result, custom: set[str]) -> Json:
    kind = "custom_tool_call_output" if part.id in custom else "function_call_output"
    output: str | list[Json]
    if all(isinstance(inner, Text) for inner in part.parts):
        output = "\n".join(inner.text for inner in part.parts if isinstance(inner, Text))
        if part.error and not output:
            output = "error"
    else:
        output = [_content(inner) for inner in part.parts]
    return {"type": kind, "call_id": _call_id(part.id), "output": output}


def _content(part: Part) -> Json:
    """A part of a message of the user's, of a system prompt, or of a result."""
    match part:
        case Text():
            return {"type": "input_text", "text": part.text}
        case Image():
            url = part.url or f"data:{part.media_type or 'image/png'};base64,{part.data or ''}"
            return {"type": "input_image", "image_url": url, "detail": part.detail or "auto"}
        case File():
            data = f"data:{part.media_type};base64,{part.data}"
            return {"type": "input_file", "filename": part.name or _file_name(part), "file_data": data}
        case Audio():
            sound: Any = {"data": part.data, "format": part.format}
            return {"type": "input_audio", "input_audio": sound}
    raise BadRequest(part.path, "cannot stand in this message")


def _file_name(part: File) -> str:
    """The API wants one."""
    return "document.pdf" if part.media_type == "application/pdf" else "document.txt"
