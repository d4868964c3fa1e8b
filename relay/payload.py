"""The JSON of a payload, as the parsers of the SDKs take it, and numbers that only some of them take."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import orjson

from relay.dialects.frame import Frame

NO_NUMBER = re.compile(rb"NaN|Infinity|[eE]\+?[0-9]{3}")
"""What may be a number that no client can hold."""


def is_whole(text: bytes | bytearray) -> bool:
    """The payload is whole by itself."""
    return text.startswith(b"[DONE]") or parse(text) is not None


def parse(text: bytes | bytearray) -> Any:
    """The JSON value, None when it is none.

    Python's own parser also takes what most clients take: half surrogates, and NaN.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            return json.loads(text.decode())
        except (ValueError, RecursionError):
            return None


def mend_numbers(frame: Frame, path: tuple[str | int, ...], value: Any) -> Iterator[bool]:
    """Null for what JSON has no number for; the whole of ``logprobs``, half of which the AI SDK refuses."""
    members = value.items() if isinstance(value, dict) else enumerate(value)
    for key, member in list(members):
        if isinstance(member, float) and (member != member or member in (float("inf"), float("-inf"))):
            place = (*path, key)
            if "logprobs" in place:
                place = place[: place.index("logprobs") + 1]
            frame.set(place, None)
            yield True
        elif isinstance(member, (dict, list)):
            yield from mend_numbers(frame, (*path, key), member)
