"""What the content blocks of a Messages stream hold, and which deltas fill them.

Block, delta and event types may be added to the API at any time, so what is not named here is
passed as it is: a block of an unknown type takes any delta, a delta of an unknown type fits any
block.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import orjson

from relay.dialects.checker import Malformed
from relay.dialects.frame import Frame

FIELDS = {
    "text_delta": "text",
    "citations_delta": "citation",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
    "input_json_delta": "partial_json",
}
"""The member of each delta that holds what it brings."""

TAKES: dict[str, frozenset[str]] = {
    "text": frozenset({"text_delta", "citations_delta"}),
    "thinking": frozenset({"thinking_delta", "signature_delta"}),
    "redacted_thinking": frozenset(),
    "tool_use": frozenset({"input_json_delta"}),
    "server_tool_use": frozenset({"input_json_delta"}),
    "mcp_tool_use": frozenset({"input_json_delta"}),
}

TOOLS = frozenset({"tool_use", "server_tool_use", "mcp_tool_use"})

PIECES = {
    "text": "text_delta",
    "thinking": "thinking_delta",
    "tool_use": "input_json_delta",
    "server_tool_use": "input_json_delta",
    "mcp_tool_use": "input_json_delta",
}
"""The delta that a block consists of; these are counted."""

HOMES = {
    "text_delta": "text",
    "citations_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "thinking",
}
"""The block that can be begun for a delta that has none; of a tool call, name and id are unknown."""

Mends = Callable[[str], bool]


class Block:
    """One open content block.

    ``names`` are the indexes by which the upstream means it, ``client`` is the one that the client
    was told; ``upstream`` is the index of its last delta. ``supplied`` blocks were never begun by
    the upstream. ``began_as`` is the type that the upstream gave it, ``has_text`` whether text came
    since, ``dropped`` whether an empty delta of another type did in its stead.
    """

    __slots__ = (
        "began_as",
        "client",
        "dropped",
        "field",
        "filled",
        "fitting",
        "has_text",
        "names",
        "piece",
        "stray",
        "supplied",
        "type",
        "upstream",
    )

    def __init__(self, type_: str, client: int, names: set[int | None], *, supplied: bool) -> None:
        self.type = self.began_as = type_
        self.client = client
        self.names = names
        self.supplied = supplied
        self.fitting = TAKES.get(type_)
        self.piece = PIECES.get(type_)
        self.field = FIELDS.get(self.piece or "")
        self.upstream: int | None = None
        self.filled = self.has_text = self.dropped = False
        self.stray: list[Frame] = []

    @property
    def lost_text(self) -> bool:
        """LiteLLM 29286: an empty piece of JSON where each piece of text was."""
        return self.began_as == "text" and self.dropped and not self.has_text

    def takes(self, kind: str) -> bool:
        return self.fitting is None or kind in self.fitting or kind not in FIELDS


def start_frame(type_: str, index: int) -> Frame:
    """The beginning of an empty block that the upstream forgot to begin."""
    block = {
        "text": {"type": "text", "text": ""},
        "thinking": {"type": "thinking", "thinking": "", "signature": ""},
    }
    return Frame(
        "content_block_start", {"type": "content_block_start", "index": index, "content_block": block[type_]}
    )


def stop_frame(index: int) -> Frame:
    return Frame("content_block_stop", {"type": "content_block_stop", "index": index})


def number(payload: dict[str, Any]) -> int | None:
    """The upstream's index of the block; -1 is as good as none, but may be used as a name."""
    index = payload.get("index")
    return index if type(index) is int else None


def carries(delta: object) -> bool:
    """Would anything be lost without it."""
    if not isinstance(delta, dict):
        return bool(delta)
    field = FIELDS.get(kind) if isinstance(kind := delta.get("type"), str) else None
    if field is not None:
        return bool(delta.get(field))
    return any(value for key, value in delta.items() if key != "type")


def mend_delta(frame: Frame, delta: dict[str, Any], mends: Mends) -> None:
    """A text that is null becomes an empty one; any other that is no text cannot be read."""
    field = FIELDS.get(delta["type"])
    if field is None or field == "citation" or isinstance(delta.get(field), str):
        return
    if delta.get(field) is not None:
        raise Malformed(f"{delta['type']} whose {field} is not a text")
    if mends("messages-delta-null"):
        frame.set(("delta", field), "")


def mend_start(frame: Frame, block: dict[str, Any], mends: Mends, new_id: str) -> None:
    """Fill in what each kind of block must have from the first, as far as it is empty."""
    kind = block["type"]
    if kind in ("text", "thinking"):
        _need_text(frame, block, kind, "messages-text-missing", mends)
    if kind == "thinking":
        _need_text(frame, block, "signature", "messages-thinking-signature", mends)
    if kind in TOOLS:
        _mend_tool(frame, block, mends, new_id)


def undecided(block: dict[str, Any]) -> bool:
    """Only the next frame tells: an empty text may be a spurious block, a full input may come again."""
    if block["type"] == "text":
        return not block.get("text") and not block.get("citations")
    return block["type"] in TOOLS and bool(block.get("input"))


def _need_text(frame: Frame, block: dict[str, Any], key: str, rule: str, mends: Mends) -> None:
    value = block.get(key)
    if isinstance(value, str):
        return
    if value is not None:
        raise Malformed(f"a {block['type']} block whose {key} is not a text")
    if mends(rule):
        frame.set(("content_block", key), "")


def _mend_tool(frame: Frame, block: dict[str, Any], mends: Mends, new_id: str) -> None:
    if not isinstance(block.get("name"), str) or not block["name"]:
        raise Malformed("a tool call without a name")
    if (not isinstance(block.get("id"), str) or not block["id"]) and mends("messages-tool-id"):
        frame.set(("content_block", "id"), new_id)
    given = block.get("input")
    if isinstance(given, dict):
        return
    if isinstance(given, str) and given:
        given = _object(given)
    if given and not isinstance(given, dict):
        raise Malformed("a tool call whose input is not an object")
    if mends("messages-tool-input"):
        frame.set(("content_block", "input"), given or {})


def _object(text: str) -> object:
    try:
        return orjson.loads(text)
    except ValueError:
        return text


def compact(value: object) -> str:
    """This value as JSON without blanks."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # a lone surrogate, half of a split emoji
        return json.dumps(value, separators=(",", ":"))
