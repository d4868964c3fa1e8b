"""Values of a chat chunk that are something else than the text they should be."""

from __future__ import annotations

import json

from relay.dialects.checker import Malformed


def json_text(value: object) -> str:
    """JSON where text belongs, as its text."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        raise Malformed("a value is nested too deeply") from None


def parts(content: object) -> tuple[str | None, str | None] | None:
    """The text and the thinking in a list of parts; None when there is anything else in it.

    Mistral's reasoning models send these (vercel/ai 8072).
    """
    text: str | None = None
    thinking: str | None = None
    for part in content if isinstance(content, list) else [content]:
        if (said := _text_part(part)) is not None:
            text = (text or "") + said
        elif isinstance(part, dict) and part.get("type") == "thinking":
            thought = part.get("thinking")
            for inner in thought if isinstance(thought, list) else [thought]:
                if (said := _text_part(inner)) is None:
                    return None
                thinking = (thinking or "") + said
            thinking = thinking or ""
        else:
            return None
    return text, thinking


def _text_part(part: object) -> str | None:
    if isinstance(part, dict) and part.get("type") == "text":
        part = part.get("text")
    return part if isinstance(part, str) else None
