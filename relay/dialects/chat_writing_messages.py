"""Turns → chat messages.

Results of tools are messages of their own, and they come before whatever else the user says. Servers
feed all of it to a template that knows little: texts are joined to one string where they can be.
"""

from __future__ import annotations

from typing import Any

import orjson

from relay.dialects.naming import Names
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

_DETAILS = ("auto", "low", "high")


def write_messages(request: Request, profile: Profile, names: Names) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    system: list[dict[str, Any]] = []
    for turn in request.turns:
        if turn.role == "system":
            text = _joined(_texts(turn, request), "\n\n")
            if text:
                message = {"role": profile.system_role, "content": text}
                (system if profile.merge_system else messages).append(message)
        elif turn.role == "assistant":
            messages += _assistant(turn, request, profile, names)
        else:
            messages += _user(turn, request, profile)
    if system:
        system[0]["content"] = "\n\n".join(message["content"] for message in system)
    return [*system[:1], *messages]


def _texts(turn: Turn, request: Request) -> list[Part]:
    """A system prompt has no other parts in this dialect."""
    texts: list[Part] = []
    for part in turn.parts:
        if isinstance(part, Text):
            texts.append(part)
        else:
            request.drop(part.path or turn.path)
    return texts


def _joined(parts: list[Part], separator: str) -> str:
    return separator.join(part.text for part in parts if isinstance(part, Text | Refusal | Reasoning))


def _assistant(turn: Turn, request: Request, profile: Profile, names: Names) -> list[dict[str, Any]]:
    """One message, or none when nothing is left of it."""
    said: list[Part] = []
    thoughts: list[Part] = []
    calls: list[dict[str, Any]] = []
    for part in turn.parts:
        match part:
            case Text() | Refusal():
                said.append(part)
            case Reasoning():
                thoughts.append(part)
            case Call():
                function = {"name": names.of(part.flat), "arguments": _arguments(part.arguments)}
                calls.append({"id": part.id, "type": "function", "function": function})
            case _:
                request.drop(part.path or turn.path)
    text, thought = _joined(said, ""), _joined([part for part in thoughts if _says(part)], "\n")
    message: dict[str, Any] = {"role": "assistant", "content": text if text or not calls else None}
    if thought and profile.reasoning_field is not None:
        message[profile.reasoning_field] = thought
    if calls:
        message["tool_calls"] = calls
    is_thought = not text and not calls  # codex ends with it when it asks again after a cut
    if is_thought and (turn is request.turns[-1] or len(message) == 2):
        return []
    return [message]


def _arguments(text: str) -> str:
    """Templates parse them, so a history in which the model once wrote no object would be stuck for good."""
    if not text.strip():
        return "{}"
    try:
        told = orjson.loads(text)
    except orjson.JSONDecodeError:
        told = None
    return text if isinstance(told, dict) else orjson.dumps({"arguments": text}).decode()


def _says(part: Part) -> bool:
    return isinstance(part, Reasoning) and bool(part.text)


def _user(turn: Turn, request: Request, profile: Profile) -> list[dict[str, Any]]:
    """The results, then one message with their images and all else."""
    messages: list[dict[str, Any]] = []
    moved: list[Part] = []
    rest: list[Part] = []
    for part in turn.parts:
        if isinstance(part, Result):
            messages.append(_result(part, profile, moved))
        elif isinstance(part, Call | Reasoning | Refusal):
            request.drop(part.path or turn.path)
        else:
            rest.append(part)
    content = _content([*moved, *rest], profile)
    if content or not messages:
        messages.append({"role": "user", "content": content})
    return messages


def _result(result: Result, profile: Profile, moved: list[Part]) -> dict[str, Any]:
    """A tool message; what it cannot hold is moved to the user's message after the last of them."""
    kept = (Text, Image) if profile.images_in_results else (Text,)
    parts: list[Part] = [part for part in result.parts if isinstance(part, kept)]
    moved += [part for part in result.parts if not isinstance(part, kept)]
    content = _content(parts, profile)
    return {
        "role": "tool",
        "tool_call_id": result.id,
        "content": content or ("error" if result.error else ""),
    }


def _content(parts: list[Part], profile: Profile) -> str | list[dict[str, Any]]:
    if all(isinstance(part, Text) for part in parts):
        return _joined(parts, "\n")
    return [_part(part, profile) for part in parts if not isinstance(part, Text) or part.text]


def _part(part: Part, profile: Profile) -> dict[str, Any]:
    match part:
        case Text():
            return {"type": "text", "text": part.text}
        case Image():
            return {"type": "image_url", "image_url": _image(part)}
        case Audio():
            return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
        case File():
            return {"type": "file", "file": _file(part, profile)}
        case _:
            raise BadRequest(part.path, "the upstream has no place for this here; leave it out")


def _image(image: Image) -> dict[str, Any]:
    url = image.url or f"data:{image.media_type};base64,{image.data}"
    if image.detail is None:
        return {"url": url}
    return {"url": url, "detail": image.detail if image.detail in _DETAILS else "high"}


def _file(file: File, profile: Profile) -> dict[str, Any]:
    if not profile.files:
        raise BadRequest(file.path, "the upstream takes no documents; send the document's text instead")
    data = f"data:{file.media_type};base64,{file.data}"
    return {"filename": file.name or "document.pdf", "file_data": data}
