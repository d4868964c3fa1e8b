"""How a request is checked: a path in the document, and the words of the server that refuses it."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Any

from .script import Document, Fault

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
MAGIC = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
    "image/gif": b"GIF8",
    "image/webp": b"RIFF",
}


def require(holds: Any, message: str, param: str | None = None, status: int = 400) -> None:
    if not holds:
        raise Fault(status, message, type="invalid_request_error", param=param)


def known(
    document: Document, names: Iterable[str], path: str, words: str = "Unknown parameter: '{}'."
) -> None:
    """Every member has a name that the server knows."""
    for name in document:
        where = f"{path}.{name}" if path else name
        require(name in names, words.format(where), where)


def number(body: Document, name: str, low: float, high: float, *, whole: bool = False) -> None:
    value = body.get(name)
    if value is None:
        return
    kinds = (int,) if whole else (int, float)
    good = isinstance(value, kinds) and not isinstance(value, bool) and low <= value <= high
    require(good, f"{name}: must be between {low} and {high}, not {value!r}", name)


def image(media_type: Any, data: Any, path: str) -> None:
    """Base64 of a picture of the kind it says."""
    require(media_type in MAGIC, f"{path}: media type {media_type!r} is not supported", path)
    try:
        raw = base64.b64decode(data, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise Fault(400, f"{path}: Invalid base64 data", type="invalid_request_error", param=path) from None
    require(raw.startswith(MAGIC[media_type]), f"{path}: Could not process image", path)


def image_url(url: Any, path: str) -> None:
    """A link, or a data URI that holds a picture."""
    require(isinstance(url, str), f"{path}: expected a string", path)
    if url.startswith("data:"):
        match = re.fullmatch(r"data:([^;,]+);base64,(.*)", url, re.DOTALL)
        require(match is not None, f"{path}: Invalid data URI", path)
        assert match is not None
        image(match[1], match[2], path)
    else:
        require(url.startswith(("http://", "https://")), f"{path}: Invalid URL", path)
