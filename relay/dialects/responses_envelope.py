"""Reasoning in a form that a client can hold and give back, across dialects and byte for byte.

A Responses client gives back `encrypted_content`: relay's envelope in it holds what the upstream's dialect
wants back (a text, a signature, sealed data). A Messages client gives back `signature`: the mark on it says
that it is the `encrypted_content` of a Responses upstream. What is neither is foreign and left alone.
"""

from __future__ import annotations

import base64
from typing import Any

import orjson

from relay.dialects.request import Reasoning

_ENVELOPE = "relay1."
_MARK = "oai1."


def sealed(reasoning: Reasoning) -> str:
    """The envelope: a version, then base64url of JSON."""
    content = {"text": reasoning.text, "signature": reasoning.signature, "sealed": reasoning.sealed}
    known = {name: value for name, value in content.items() if value}
    try:
        data = orjson.dumps(known)
    except TypeError:  # half of a split emoji: no upstream wants it back
        data = orjson.dumps({name: _whole(value) for name, value in known.items()})
    return _ENVELOPE + base64.urlsafe_b64encode(data).decode().rstrip("=")


def opened(envelope: str) -> Reasoning | None:
    """What an envelope holds; None for one that is foreign or damaged."""
    if not envelope.startswith(_ENVELOPE):
        return None
    data = envelope.removeprefix(_ENVELOPE)
    try:
        content: Any = orjson.loads(base64.b64decode(data + "=" * (-len(data) % 4), b"-_", validate=True))
    except ValueError:
        return None
    if not isinstance(content, dict) or not content.keys() <= {"text", "signature", "sealed"}:
        return None
    if not all(isinstance(value, str) for value in content.values()):
        return None
    return Reasoning(content.get("text", ""), content.get("signature"), content.get("sealed"))


def marked(encrypted: str) -> str:
    """A Responses upstream's `encrypted_content` as a signature."""
    return _MARK + encrypted


def unmarked(signature: str | None) -> str | None:
    """The `encrypted_content` that a signature holds; None when it is another upstream's."""
    if signature is None or not signature.startswith(_MARK):
        return None
    return signature.removeprefix(_MARK)


def _whole(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
