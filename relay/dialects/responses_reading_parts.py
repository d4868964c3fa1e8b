"""The parts of a Responses client's messages and tool outputs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from relay.dialects.reading import Fields, checked_base64, wrong
from relay.dialects.request import Audio, BadRequest, File, Image, Refusal, Request, Text

Content = Text | Image | File | Audio | Refusal

_DATA_URI = re.compile(r"data:([^;,]*)((?:;[^;,]*)*),", re.IGNORECASE)
_KINDS = {"pdf": "application/pdf", "txt": "text/plain", "md": "text/markdown", "json": "application/json"}
_STORED = "relay has no stored files; send the content itself"


def read_content(request: Request, content: object, path: str, *, result: bool = False) -> list[Content]:
    """A string, or a list of parts."""
    if content is None:
        return []
    if isinstance(content, str):
        return [Text(content, path)] if content else []
    if not isinstance(content, list):
        raise wrong(path, "a string or a list", content)
    return [_part(request, Fields(part, f"{path}[{at}]"), result) for at, part in enumerate(content)]


def _part(request: Request, part: Fields, result: bool) -> Content:
    kind = part.needed_text("type")
    reader = _READERS.get(kind)
    if reader is None or (result and kind in ("input_audio", "refusal")):
        raise BadRequest(part.at("type"), f"unknown type of content: {kind!r}")
    read: Content = reader(part)
    for name in ("annotations", "logprobs"):
        part.take(name)
    part.drop_rest(request)
    return read


def _text(part: Fields) -> Text:
    text = part.text("text")
    if text is None:
        raise BadRequest(part.at("text"), "is required")
    return Text(text, part.path)


def _refusal(part: Fields) -> Refusal:
    return Refusal(part.text("refusal") or "", part.path)


def _image(part: Fields) -> Image:
    _refuse_stored(part, "file_id")
    url, detail = part.needed_text("image_url"), part.text("detail")
    detail = "high" if detail == "original" else detail
    if url[:5].lower() == "data:":
        media_type, data = _data(url, part.at("image_url"), "image/png")
        return Image(media_type=media_type, data=data, detail=detail, path=part.path)
    if url[:8].lower().startswith(("http://", "https://")):
        return Image(url=url, detail=detail, path=part.path)
    raise BadRequest(part.at("image_url"), "expected an http or https URL, or a data URI")


def _file(part: Fields) -> File:
    _refuse_stored(part, "file_id")
    _refuse_stored(part, "file_url")
    data, name = part.needed_text("file_data"), part.text("filename")
    part.take("detail")
    likely = _KINDS.get((name or "").rpartition(".")[2].lower(), "application/pdf")
    media_type, content = likely, data
    if data[:5].lower() == "data:":
        media_type, content = _data(data, part.at("file_data"), likely)
    else:
        checked_base64(data, part.at("file_data"))
    return File(content, media_type, name, part.path)


def _audio(part: Fields) -> Audio:
    audio = part.fields("input_audio")
    if audio is None:
        raise BadRequest(part.at("input_audio"), "is required")
    data, form = audio.needed_text("data"), audio.needed_text("format")
    checked_base64(data, audio.at("data"))
    return Audio(data, form, part.path)


def _refuse_stored(part: Fields, name: str) -> None:
    if part.take(name) is not None:
        raise BadRequest(part.at(name), f"is not supported: {_STORED}", code="unsupported_parameter")


def _data(uri: str, path: str, default: str) -> tuple[str, str]:
    """Media type and base64 of a data URI."""
    head = _DATA_URI.match(uri)
    if head is None or not head[2].lower().endswith(";base64"):
        raise BadRequest(path, "expected a data URI with base64")
    data = uri[head.end() :]
    checked_base64(data, path)
    return head[1].lower() or default, data


_READERS: dict[str, Callable[[Fields], Any]] = {
    "input_text": _text,
    "output_text": _text,
    "text": _text,
    "refusal": _refusal,
    "input_image": _image,
    "input_file": _file,
    "input_audio": _audio,
}
