"""A small value that fits a JSON schema, for the arguments of a tool call.

Required properties only, all of them where none is required. The schema is a stranger's: whatever
is odd in it becomes null or is left out, and neither depth nor size can run away.
"""

from __future__ import annotations

from typing import cast

MAX_DEPTH = 8
MAX_VALUES = 64

_SAMPLES: dict[str, object] = {"string": "sample", "integer": 1, "number": 1.5, "boolean": True, "null": None}


def sample(schema: object) -> dict[str, object]:
    """An object for ``schema``; empty where it describes none."""
    value = _Sampler(schema).value(schema, 0)
    return value if isinstance(value, dict) else {}


class _Sampler:
    """One walk: the root that references point into and the values left to spend."""

    def __init__(self, root: object) -> None:
        self._root = root
        self._left = MAX_VALUES

    def value(self, schema: object, depth: int) -> object:
        self._left -= 1
        if not isinstance(schema, dict) or depth > MAX_DEPTH or self._left < 0:
            return None
        if "$ref" in schema:
            return self.value(self._resolve(schema["$ref"]), depth + 1)
        for given in ("const", "default"):
            if _is_plain(schema.get(given)):
                return schema[given]
        for choice in ("enum", "anyOf", "oneOf", "allOf", "examples"):
            options = schema.get(choice)
            if isinstance(options, list) and options:
                first = options[0]
                return self.value(first, depth + 1) if choice.endswith("Of") else _plain(first)
        return self._typed(schema, depth)

    def _typed(self, schema: dict[str, object], depth: int) -> object:
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = kind[0] if kind else None
        if kind == "object" or (kind is None and "properties" in schema):
            return self._object(schema, depth)
        if kind == "array":
            return [] if "items" not in schema else [self.value(schema["items"], depth + 1)]
        least = schema.get("minimum")
        if kind in ("integer", "number") and isinstance(least, int | float):
            return least
        return _SAMPLES.get(kind) if isinstance(kind, str) else None

    def _object(self, schema: dict[str, object], depth: int) -> dict[str, object]:
        properties = schema.get("properties")
        if not isinstance(properties, dict):
            return {}
        required = schema.get("required")
        names = required if isinstance(required, list) and required else list(properties)
        return {
            name: self.value(properties[name], depth + 1)
            for name in names[:MAX_VALUES]
            if isinstance(name, str) and name in properties and self._left > 0
        }

    def _resolve(self, reference: object) -> object:
        """A pointer into the same document, ``#/$defs/place``; any other is null."""
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return None
        found = self._root
        for step in reference[2:].split("/"):
            found = cast("dict[str, object]", found).get(step) if isinstance(found, dict) else None
        return found


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float | bool)


def _plain(value: object) -> object:
    return value if _is_plain(value) else None
