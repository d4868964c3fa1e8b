"""A request document read strictly: what is missing or of the wrong type is named, never guessed.

A name is the path from the top, ``messages[2].content``, because that is what has to be found.
"""

from __future__ import annotations

from dataclasses import dataclass

import orjson


class InvalidRequest(Exception):
    """A request document that says what cannot be served; ``field`` names the place."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message if field is None else f"{field}: {message}")
        self.field = field


@dataclass(frozen=True, slots=True)
class Fields:
    """One JSON object and its path; ``null`` is the same as absent."""

    values: dict[str, object]
    path: str = ""

    def name(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def string(self, name: str, default: str | None = None) -> str:
        """A string that is not empty; required where there is no default."""
        value = self.values.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or (not value and default is None):
            raise self._wrong(name, "a string")
        return value

    def boolean(self, name: str) -> bool:
        value = self.values.get(name)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return bool(value)

    def positive(self, name: str) -> int | None:
        """An integer from 1."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self._wrong(name, "an integer above 0")
        return value

    def child(self, name: str) -> Fields | None:
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self._wrong(name, "an object")
        return Fields(value, self.name(name))

    def required_child(self, name: str) -> Fields:
        value = self.child(name)
        if value is None:
            raise self._wrong(name, "an object")
        return value

    def objects(self, name: str) -> list[Fields]:
        """A list of objects; absent is empty."""
        value = self.values.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self._wrong(name, "a list of objects")
        return [self._item(name, index, item) for index, item in enumerate(value)]

    def required_objects(self, name: str) -> list[Fields]:
        """A list of objects that is not empty."""
        found = self.objects(name)
        if not found:
            raise self._wrong(name, "a list that is not empty")
        return found

    def parts(self, name: str) -> list[Fields]:
        """Content parts: a list of objects with a type, or a string, which is one text part."""
        value = self.values.get(name)
        if isinstance(value, str):
            return [Fields({"type": "text", "text": value}, self.name(name))]
        if value is not None and not isinstance(value, list):
            raise self._wrong(name, "a string or a list of parts")
        found = self.objects(name)
        for part in found:
            part.string("type")
        return found

    def _item(self, name: str, index: int, item: object) -> Fields:
        path = f"{self.name(name)}[{index}]"
        if not isinstance(item, dict):
            raise InvalidRequest("expected an object", path)
        return Fields(item, path)

    def _wrong(self, name: str, expected: str) -> InvalidRequest:
        what = "is required" if self.values.get(name) is None else "is not what it must be"
        return InvalidRequest(f"{what}, expected {expected}", self.name(name))


def decode(body: bytes) -> Fields:
    """The one JSON object that a request body is."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidRequest("the body is JSON but no object")
    return Fields(document)


def text_of(parts: list[Fields]) -> str:
    """The text of all parts that have any."""
    return " ".join(part.string("text", "") for part in parts)
