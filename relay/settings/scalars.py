"""Every setting that is one value: its dotted path, its one reader, its text, its variable.

``timeouts.idle`` is ``--timeout idle=…``, ``RELAY_TIMEOUTS_IDLE``, and ``idle:`` under ``timeouts:`` in
the file; whichever way its text comes, ``read`` says what it means. The paths follow from the structs,
so that a field is a setting as soon as it exists.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

from relay.access import Keys, Spend
from relay.address import Origin
from relay.config import (
    Drain,
    Health,
    Limits,
    LiteLLM,
    Queue,
    Retry,
    Settings,
    Timeouts,
    Tls,
    Upstream,
)
from relay.errors import UsageError
from relay.settings import options

SECTIONS: Mapping[str, type] = {
    "tls": Tls,
    "drain": Drain,
    "keys": Keys,
    "spend": Spend,
    "litellm": LiteLLM,
    "retry": Retry,
    "queue": Queue,
    "health": Health,
    "timeouts": Timeouts,
    "limits": Limits,
}
"""Parts of the settings that hold single values, by their names in paths."""
_TOP = {
    "workers": "workers",
    "socket_mode": "socket_mode",
    "repair": "repair",
    "ask_usage": "ask_usage",
    "hold_thinking": "hold_thinking",
    "continue": "continuation",
}
"""Single values outside of any part, by what people call them."""

ALIASES: Mapping[str, str] = {
    "keep_alive": "timeouts.silence",
    "retry": "retry.repeat",
    "litellm": "litellm.config",
    "direct": "litellm.direct",
}
"""Shorter names, which mean the same."""
SECRET = frozenset({"spend.token"})
"""Values that nobody is shown."""
WORKERS = 256
_TRANSLATE = {"relay": True, "litellm": False}

FIELDS: Mapping[str, tuple[type, str]] = MappingProxyType(
    {path: (Settings, name) for path, name in _TOP.items()}
    | {
        f"{part}.{name}": (struct, name)
        for part, struct in SECTIONS.items()
        for name in options.names(struct)
    }
)
"""The struct and the field of each path."""

_DEFAULTS = Settings(upstreams=(Upstream(Origin("", 0)),))


def read(path: str, text: str, choices: options.Choices = MappingProxyType({})) -> Any:
    """What this text means for the setting."""
    if path == "socket_mode":
        if not re.fullmatch(r"0?[0-7]{3}", text):
            raise UsageError("expected permission bits in octal, such as 660")
        return int(text, 8)
    if path == "workers":
        if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= WORKERS:
            raise UsageError(f"expected 1 to {WORKERS}")
        return int(text)
    if path == "litellm.translate":
        if text not in _TRANSLATE:
            raise UsageError(f"{text!r} is unknown; {options.like(text, _TRANSLATE)}")
        return _TRANSLATE[text]
    struct, name = FIELDS[path]
    found = options.value(struct, name, text, choices)
    if path == "litellm.url":
        Upstream.parse(found)
    if path == "spend.webhook":
        _check_webhook(found)
    return found


def _check_webhook(url: str) -> None:
    try:
        Upstream.parse(url.partition("?")[0])
    except UsageError as error:
        raise UsageError("expected a URL, such as https://billing.example/usage") from error


def written(path: str, value: Any) -> str:
    """The same the other way round; a secret is never shown."""
    if path in SECRET:
        return "set, not shown" if value else "none"
    if path == "spend.webhook" and "?" in value:
        return f"{value.partition('?')[0]}?(set, not shown)"
    if path == "socket_mode":
        return "none" if value is None else f"{value:03o}"
    if path == "litellm.translate":
        return next(word for word, meant in _TRANSLATE.items() if meant is value)
    if path == "workers":
        return str(value)
    return options.written(*FIELDS[path], value)


def default(path: str) -> Any:
    """None where the setting has none of its own."""
    struct, name = FIELDS[path]
    if struct is Settings:
        return getattr(_DEFAULTS, name)
    field = next(field for field in dataclasses.fields(struct) if field.name == name)
    return None if field.default is dataclasses.MISSING else field.default


def variable(path: str) -> str:
    """The name of a setting in the environment."""
    return "RELAY_" + path.upper().replace(".", "_")


def of_part(part: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Of these values by path, those of one part, by the names of its fields."""
    named: Collection[str] = options.names(SECTIONS[part])
    return {name: values[f"{part}.{name}"] for name in named if f"{part}.{name}" in values}


def of_top(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those outside of any part."""
    return {name: values[path] for path, name in _TOP.items() if path in values}
