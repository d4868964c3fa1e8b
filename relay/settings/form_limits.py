"""The shape of ``timeouts`` and ``limits`` in ``relay.yaml``, of all requests and of one route's."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from relay.config import Limits, Timeouts
from relay.settings.form_words import Count, OptionalSize, OptionalTime, Size, Time


class TimeoutsForm(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One for each phase that can hang."""

    of: ClassVar[type] = Timeouts
    client_head: Annotated[Time, Meta(description="a client's head, first byte to last")] = "10s"
    client_body: Annotated[Time, Meta(description="silence inside a request body")] = "30s"
    keep_alive: Annotated[OptionalTime, Meta(description="an idle connection of a client")] = "75s"
    client_stall: Annotated[Time, Meta(description="a client takes nothing of what waits for it")] = "60s"
    linger: Annotated[Time, Meta(description="dropping the rest of a request already answered")] = "5s"
    connect: Annotated[Time, Meta(description="to an upstream, TLS included")] = "5s"
    head: Annotated[OptionalTime, Meta(description="from the request's last byte to the head")] = "300s"
    first_frame: Annotated[OptionalTime, Meta(description="from there to the first frame")] = "300s"
    look_ahead: Annotated[OptionalTime, Meta(description="announcing frames are held so long")] = "100ms"
    idle: Annotated[OptionalTime, Meta(description="silence of the upstream in an answer")] = "300s"
    exchange: Annotated[OptionalTime, Meta(description="from the request's head to the end")] = "none"
    silence: Annotated[OptionalTime, Meta(description="the same setting as keep_alive at the top")] = "15s"
    terminal: Annotated[Time, Meta(description="from the terminal frame to the body's end")] = "5s"
    pool_idle: Annotated[Time, Meta(description="an idle connection to an upstream")] = "4s"
    rest: Annotated[OptionalTime, Meta(description="a plain connection after a stream")] = "50ms"


class LimitsForm(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Bytes and counts beyond which a peer is refused."""

    of: ClassVar[type] = Limits
    head: Annotated[Size, Meta(description="bytes of a head")] = "64KiB"
    fields: Annotated[Count, Meta(description="fields of a head")] = 100
    frame: Annotated[Size, Meta(description="one frame, or a document that becomes a stream")] = "16MiB"
    document: Annotated[Size, Meta(description="the request body of a completion")] = "64MiB"
    translated: Annotated[Size, Meta(description="the same where it is translated")] = "32MiB"
    objects: Annotated[Count, Meta(description="JSON objects and lists in one that is translated")] = 50000
    body: Annotated[OptionalSize, Meta(description="any other request body")] = "none"
    replay: Annotated[OptionalSize, Meta(description="kept of a body so that it can be sent again")] = (
        "256KiB"
    )
    connections: Annotated[Count, Meta(description="of clients, in one worker")] = "none"
    idle_connections: Annotated[Count, Meta(description="to one origin")] = 512


class RouteTimeouts(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Of one route: those that begin when its requests are known."""

    connect: Time | None = None
    head: OptionalTime | None = None
    first_frame: OptionalTime | None = None
    look_ahead: OptionalTime | None = None
    idle: OptionalTime | None = None
    exchange: OptionalTime | None = None
    silence: OptionalTime | None = None
    terminal: Time | None = None


class RouteLimits(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Of one route."""

    frame: Size | None = None
    document: Size | None = None
    translated: Size | None = None
    objects: Count | None = None
