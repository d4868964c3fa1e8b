"""Parts of a chat message: texts, images, sound, documents, tool calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from relay.dialects.chat_content import json_text
from relay.dialects.reading import Fields, checked_base64, wrong
from relay.dialects.request import Audio, BadRequest, Call, File, Image, Part, Reasoning, Refusal, Text

_SILENT = ("cache_control", "prompt_cache_breakpoint", "index", "annotations")
"""Members that cannot change an answer: cache hints, and what clients send back as they got it."""

Drop = Callable[[str], None]


def leave(fields: Fields, drop: Drop, *silent: str) -> None:
    """Note the members that nobody read."""
    known = {fields.at(name) for name in (*_SILENT, *silent)}
    for path in fields.rest():
        if path not in known:
            drop(path)


def content(value: object, path: str, drop: Drop, kinds: str) -> list[Any]:
    """A string, or a list of parts of these kinds; empty texts are none."""
    if value is None:
        return []
    if isinstance(value, str):
        return [Text(value, path)] if value else []
    if not isinstance(value, list):
        raise wrong(path, "a string or a list of parts", value)
    read = [_part(part, f"{path}[{at}]", drop, kinds.split()) for at, part in enumerate(value)]
    return [part for part in read if not (isinstance(part, Text) and not part.text)]


def _part(value: object, path: str, drop: Drop, kinds: list[str]) -> Part:
    if isinstance(value, str):  # not OpenAI's, but every server takes it
        value = {"type": "text", "text": value}
    fields = Fields(value, path)
    kind = fields.needed_text("type")
    if kind not in kinds:
        raise BadRequest(f"{path}.type", f"{kind!r} is not possible here; expected {_listed(kinds)}")
    part = _READERS[kind](fields, drop)
    leave(fields, drop)
    return part


def _listed(kinds: list[str]) -> str:
    return " or ".join(repr(kind) for kind in kinds)


def _text(fields: Fields, drop: Drop) -> Part:
    text = fields.text("text")
    if text is None:
        raise BadRequest(fields.at("text"), "is required")
    return Text(text, fields.path)


def _refusal(fields: Fields, drop: Drop) -> Part:
    return Refusal(fields.needed_text("refusal"), fields.path)


def _thinking(fields: Fields, drop: Drop) -> Part:
    """What Mistral's models thought: a text, or parts of one."""
    fields.take("closed")
    thought = fields.take("thinking")
    pieces = thought if isinstance(thought, list) else [thought]
    texts = [piece.get("text") if isinstance(piece, dict) else piece for piece in pieces]
    return Reasoning("".join(text for text in texts if isinstance(text, str)), path=fields.path)


def _image(fields: Fields, drop: Drop) -> Part:
    value, at = fields.take("image_url"), fields.at("image_url")
    if isinstance(value, str):
        value = {"url": value}
    if value is None:
        raise BadRequest(at, "is required")
    inner = Fields(value, at)
    url, detail, at = inner.needed_text("url"), inner.text("detail"), inner.at("url")
    leave(inner, drop)
    if url[:5].lower() == "data:":
        media_type, data = _data(url, at)
        return Image(media_type=media_type or "image/png", data=data, detail=detail, path=fields.path)
    if not url.lower().startswith(("http://", "https://")):
        raise BadRequest(at, "expected an http or https URL, or a data URI with base64")
    return Image(url=url, detail=detail, path=fields.path)


def _audio(fields: Fields, drop: Drop) -> Part:
    inner = fields.fields("input_audio")
    if inner is None:
        raise BadRequest(fields.at("input_audio"), "is required")
    data = checked_base64(inner.needed_text("data"), inner.at("data"))
    part = Audio(data, inner.needed_text("format"), fields.path)
    leave(inner, drop)
    return part


def _file(fields: Fields, drop: Drop) -> Part:
    inner = fields.fields("file")
    if inner is None:
        raise BadRequest(fields.at("file"), "is required")
    if inner.take("file_id") is not None:
        raise BadRequest(
            inner.at("file_id"), "uploaded files cannot be read here; send the file as `file_data`"
        )
    data, at, name = inner.needed_text("file_data"), inner.at("file_data"), inner.text("filename")
    leave(inner, drop)
    if data[:5].lower() == "data:":
        media_type, data = _data(data, at)
    else:
        media_type, data = "", checked_base64(data, at)
    return File(data, media_type or "application/pdf", name, fields.path)


def _data(uri: str, path: str) -> tuple[str, str]:
    """The media type and the base64 of a data URI."""
    head, comma, data = uri.partition(",")
    media_type, *parameters = head[5:].lower().split(";")
    if not comma or "base64" not in parameters:
        raise BadRequest(path, "expected a data URI with base64")
    return media_type, checked_base64(data, path)


_READERS: dict[str, Callable[[Fields, Drop], Part]] = {
    "text": _text,
    "refusal": _refusal,
    "thinking": _thinking,
    "image_url": _image,
    "input_audio": _audio,
    "file": _file,
}


def calls(entries: list[Any], path: str, drop: Drop) -> list[Call]:
    """The tool calls of an assistant's message."""
    read: dict[str, Call] = {}
    for at, entry in enumerate(entries):
        call = _call(Fields(entry, f"{path}[{at}]"), drop)
        if call.id in read:
            raise BadRequest(f"{call.path}.id", f"a second tool call with the id {call.id!r}")
        read[call.id] = call
    return list(read.values())


def _call(fields: Fields, drop: Drop) -> Call:
    ident, kind = fields.needed_text("id"), fields.text("type") or "function"
    inner = fields.fields(kind) if kind in ("function", "custom") else None
    if inner is None:
        if kind in ("function", "custom"):
            raise BadRequest(fields.at(kind), "is required")
        raise BadRequest(
            fields.at("type"), f"{kind!r} is no type of tool calls; expected 'function' or 'custom'"
        )
    call = Call(ident, inner.needed_text("name"), "", custom=kind == "custom", path=fields.path)
    if call.custom:
        call.arguments = json_text({"input": inner.text("input") or ""})
    else:
        call.arguments = inner.text("arguments") or ""
    leave(inner, drop)
    leave(fields, drop)
    return call
