"""Kinds of values as they stand in ``relay.yaml``, for editors: what each looks like."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

_FILLED_IN = r"|.*\$\{.+\}.*|os\.environ/.+"
"""What is filled in from the environment can be anything."""

Time = Annotated[
    str,
    Meta(pattern=rf"^(none|[0-9]+(\.[0-9]+)?(ms|s|m|h){_FILLED_IN})$", examples=["250ms", "5s", "2m"]),
]
OptionalTime = Time | Literal[0]
Size = Annotated[str, Meta(pattern=rf"^(none|[0-9]+([KMG]i?B|B){_FILLED_IN})$", examples=["16KiB", "64MiB"])]
OptionalSize = Size | Literal[0]
Count = Annotated[int, Meta(ge=0)] | Annotated[str, Meta(pattern=rf"^(none{_FILLED_IN})$")]
Switch = bool | Annotated[str, Meta(pattern=rf"^(on|off{_FILLED_IN})$")]
Words = str | list[str]
