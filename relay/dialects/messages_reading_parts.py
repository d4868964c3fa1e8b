"""The content of a client's messages: blocks in, neutral parts out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from relay.dialects.messages_content import compact
from relay.dialects.reading import Fields, checked_base64, wrong
from relay.dialects.request import (
    BadRequest,
    Call,
    File,
    Image,
    Part,
    Reasoning,
    Request,
    Result,
    Text,
)

_SERVER = frozenset({"server_tool_use", "mcp_tool_use", "mcp_tool_result", "mcp_tool_listing"})
_STRANGE = frozenset(
    {"tool_reference", "tool_addition", "tool_removal", "browser_state", "compaction", "fallback"}
)
"""Blocks of features that end with the API: left out with a warning, as server tools are."""
_IN_DOCUMENTS = frozenset({"text", "image"})
_IN_RESULTS = frozenset({"text", "image", "document", "search_result"})
_NO_FILES = "files are kept by the API that they were uploaded to: send the content itself as base64"

Given = Text | Image | File
"""What a tool may give back, and a document be made of."""


class Contents:
    """Reads blocks, and notes in the request what is left out."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def texts(self, value: object, path: str) -> list[Part]:
        """A string, or text blocks: a system prompt."""
        parts: list[Part] = []
        for block in _blocks(value, path):
            kind = block.needed_text("type")
            if kind == "text":
                parts += self._text(block)
            elif kind in _STRANGE:
                self._request.drop(block.path, kind)
            else:
                raise BadRequest(block.at("type"), f"only text is possible here, not {kind!r}")
        return parts

    def of_user(self, value: object, path: str) -> list[Part]:
        return self._parts(value, path, _USER, "user")

    def of_assistant(self, value: object, path: str) -> list[Part]:
        return self._parts(value, path, _ASSISTANT, "assistant")

    def _parts(self, value: object, path: str, known: dict[str, _Reader], role: str) -> list[Part]:
        parts: list[Part] = []
        for block in _blocks(value, path):
            kind = block.needed_text("type")
            if kind in known:
                parts += known[kind](self, block)
            elif kind in _SERVER or kind in _STRANGE or kind.endswith("_tool_result"):
                self._request.drop(block.path, kind)
            else:
                where = f" in a message of the {role}"
                raise BadRequest(block.at("type"), f"no such content block{where}: {kind!r}")
        return parts

    def _done(self, block: Fields) -> None:
        """What nobody has asked for is left out; cache hints cannot change an answer."""
        block.take("cache_control")
        block.drop_rest(self._request)

    def _text(self, block: Fields) -> list[Part]:
        text, path = block.text("text"), block.path
        if text is None:
            raise BadRequest(block.at("text"), "is required")
        block.take("citations")  # sources of what was said: the text is the same without them
        self._done(block)
        return [Text(text, path)] if text else []

    def _image(self, block: Fields) -> list[Part]:
        return [self._picture(block)]

    def _picture(self, block: Fields) -> Image:
        source = _needed(block, "source")
        kind = source.needed_text("type")
        block.take("transformations")
        if kind == "url":
            image = Image(url=source.needed_text("url"), path=block.path)
        elif kind == "base64":
            media_type = source.needed_text("media_type")
            image = Image(media_type=media_type, data=_base64(source), path=block.path)
        elif kind == "file":
            raise BadRequest(source.path, _NO_FILES)
        else:
            raise BadRequest(source.at("type"), f"no such source of an image: {kind!r}")
        self._done(source)
        self._done(block)
        return image

    def _document(self, block: Fields) -> list[Part]:
        return list(self._papers(block))

    def _papers(self, block: Fields) -> list[Given]:
        title, context = block.text("title"), block.text("context")
        self._citations(block)
        source = _needed(block, "source")
        kind = source.needed_text("type")
        given: list[Given]
        if kind == "base64":
            file = File(_base64(source), source.text("media_type") or "application/pdf", title, block.path)
            given = [Text(context, block.path), file] if context else [file]
        elif kind == "text":
            source.take("media_type")
            given = _titled([title, context], [Text(source.needed_text("data"))], block.path)
        elif kind == "content":
            inside = self._given(source.take("content"), source.at("content"), _IN_DOCUMENTS)
            given = _titled([title, context], inside, block.path)
        elif kind in ("url", "file"):
            raise BadRequest(
                source.path, _NO_FILES if kind == "file" else "send the document itself as base64"
            )
        else:
            raise BadRequest(source.at("type"), f"no such source of a document: {kind!r}")
        self._done(source)
        self._done(block)
        return given

    def _search_result(self, block: Fields) -> list[Part]:
        return list(self._found(block))

    def _found(self, block: Fields) -> list[Given]:
        title, source = block.text("title"), block.text("source")
        self._citations(block)
        inside = self._given(block.take("content"), block.at("content"), _IN_DOCUMENTS)
        self._done(block)
        return _titled([title, source], inside, block.path)

    def _citations(self, block: Fields) -> None:
        """No other dialect can be asked for them."""
        asked = block.fields("citations")
        if asked is not None and asked.boolean("enabled"):
            self._request.drop(block.at("citations"))

    def _result(self, block: Fields) -> list[Part]:
        ident, error = block.needed_text("tool_use_id"), block.boolean("is_error")
        parts = self._given(block.take("content"), block.at("content"), _IN_RESULTS)
        self._done(block)
        return [Result(ident, parts, bool(error), block.path)]

    def _given(self, value: object, path: str, known: frozenset[str]) -> list[Given]:
        """What a tool gave, or a document holds."""
        parts: list[Given] = []
        for block in () if value is None else _blocks(value, path):
            kind = block.needed_text("type")
            if kind not in known:
                if kind not in _STRANGE:
                    raise BadRequest(block.at("type"), f"no such content block here: {kind!r}")
                self._request.drop(block.path)
            elif kind == "text":
                parts += [part for part in self._text(block) if isinstance(part, Text)]
            elif kind == "image":
                parts.append(self._picture(block))
            elif kind == "document":
                parts += self._papers(block)
            else:
                parts += self._found(block)
        return parts

    def _thinking(self, block: Fields) -> list[Part]:
        text, signature = block.text("thinking"), block.text("signature")
        self._done(block)
        if not text and not signature:
            return []
        return [Reasoning(text or "", signature or None, path=block.path)]

    def _redacted(self, block: Fields) -> list[Part]:
        data = block.needed_text("data")
        self._done(block)
        return [Reasoning(sealed=data, path=block.path)]

    def _call(self, block: Fields) -> list[Part]:
        ident, name = block.needed_text("id"), block.needed_text("name")
        given = block.take("input")
        if given is not None and not isinstance(given, dict):
            raise wrong(block.at("input"), "an object", given)
        caller = block.fields("caller")
        if caller is not None and caller.text("type") != "direct":
            self._request.drop(block.at("caller"))
        self._done(block)
        try:
            arguments = compact(given or {})
        except RecursionError:
            raise BadRequest(block.at("input"), "is nested too deep") from None
        return [Call(ident, name, arguments, path=block.path)]

    def _upload(self, block: Fields) -> list[Part]:
        raise BadRequest(block.path, _NO_FILES)


_Reader: TypeAlias = Callable[[Contents, Fields], list[Part]]

_USER: dict[str, _Reader] = {
    "text": Contents._text,
    "image": Contents._image,
    "document": Contents._document,
    "search_result": Contents._search_result,
    "tool_result": Contents._result,
    "container_upload": Contents._upload,
}
_ASSISTANT: dict[str, _Reader] = {
    "text": Contents._text,
    "thinking": Contents._thinking,
    "redacted_thinking": Contents._redacted,
    "tool_use": Contents._call,
}


def _blocks(value: object, path: str) -> Iterable[Fields]:
    """A string is one text block."""
    if isinstance(value, str):
        yield Fields({"type": "text", "text": value}, path)
    elif isinstance(value, list):
        for index, block in enumerate(value):
            yield Fields(block, f"{path}[{index}]")
    elif value is None:
        raise BadRequest(path, "is required")
    else:
        raise wrong(path, "a string or a list", value)


def _needed(fields: Fields, name: str) -> Fields:
    found = fields.fields(name)
    if found is None:
        raise BadRequest(fields.at(name), "is required")
    return found


def _base64(source: Fields) -> str:
    return checked_base64(source.needed_text("data"), source.at("data"))


def _titled(lines: list[str | None], inside: list[Given], path: str) -> list[Given]:
    """Head lines and texts as one text; pictures after it."""
    texts = [line for line in lines if line] + [part.text for part in inside if isinstance(part, Text)]
    rest: list[Given] = [part for part in inside if not isinstance(part, Text)]
    return [Text("\n".join(texts), path), *rest] if texts else rest
