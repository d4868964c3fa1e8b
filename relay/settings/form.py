"""The shape of ``relay.yaml``: a struct for each part, its fields with what they are and their defaults.

The reader of files walks along these structs, and editors get them as a JSON schema. A field named as one
of the settings' structs (``of``) is read as that one is. Defaults are written as a person would.
"""

from __future__ import annotations

import json
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta, Struct, field

from relay.access import Keys, Spend
from relay.config import Drain, Health, LiteLLM, Queue, Retry, RouteTarget, Tls, Upstream
from relay.settings.form_limits import LimitsForm, RouteLimits, RouteTimeouts, TimeoutsForm
from relay.settings.form_words import Count, OptionalTime, Switch, Time, Words


class UpstreamForm(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A server behind relay."""

    of: ClassVar[type] = Upstream
    name: Annotated[str, Meta(description="what routes, headers and the log call it")] = ""
    url: Annotated[str, Meta(description="http://host[:port][/base], https://… or unix:/path.sock")] = ""
    base_url: Annotated[
        str, Meta(description="in place of url: what SDKs call base URL, such as https://api.openai.com/v1")
    ] = ""
    dialects: Annotated[
        Words, Meta(description="those it speaks: chat, messages, responses; none: paths pass unchanged")
    ] = "none"
    profile: Annotated[
        Literal[
            "generic",
            "openai",
            "vllm",
            "sglang",
            "deepseek",
            "openrouter",
            "claude-budget",
        ],
        Meta(description="what kind of server it is"),
    ] = "generic"
    order: Annotated[Count, Meta(description="those of the lowest order are asked first")] = 1
    weight: Annotated[Count, Meta(description="its share among those of the same order")] = 1
    concurrency: Annotated[Count, Meta(description="requests in flight at once")] = "none"
    health: Annotated[str, Meta(description="a path that is asked whether it is well")] = "none"
    query: Annotated[str, Meta(description="goes to every target, such as api-version=2024-10-21")] = ""
    api_key: Annotated[str, Meta(description="sent in place of the client's key; ${NAME} keeps it out")] = ""
    key_file: Annotated[str, Meta(description="the file that api_key is in")] = ""
    key_header: Annotated[
        Literal["authorization", "x-api-key", "api-key"],
        Meta(description="where it looks for the key; else as its dialect says"),
    ] = "authorization"
    headers: Annotated[
        dict[str, str], Meta(description="set on every request, in place of the client's")
    ] = {}


class TargetForm(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """An upstream as a route asks it."""

    of: ClassVar[type] = RouteTarget
    upstream: Annotated[str, Meta(description="the name of one of the upstreams")]
    order: Annotated[Count, Meta(description="as it stands in the list, or 1 where a weight is given")] = 1
    weight: Annotated[Count, Meta(description="its share among those of the same order")] = 1
    model: Annotated[str, Meta(description="what it calls the model; * is what the route's * was")] = ""
    dialects: Annotated[Words, Meta(description="those it is asked in, where not all it speaks")] = []
    profile: Annotated[str, Meta(description="what kind of server it is here")] = ""


class RouteForm(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Which requests go where; the first route that fits is taken."""

    to: Annotated[
        str | TargetForm | list[str | TargetForm],
        Meta(description="upstreams, asked in this order unless order or weight says otherwise"),
    ]
    name: Annotated[str, Meta(description="what the log calls it")] = ""
    models: Annotated[
        str | list[str] | dict[str, str],
        Meta(description="names, with * for anything; as alias: name where the upstream knows another"),
    ] = []
    path: Annotated[Words, Meta(description="of the request, with * for anything")] = []
    paths: Annotated[Words, Meta(description="the same as path")] = []
    headers: Annotated[dict[str, str], Meta(description="all must be there, values with * for anything")] = {}
    stream: Annotated[
        Switch | None, Meta(description="on: only requests for a stream; off: only the others")
    ] = None
    without: Annotated[Words, Meta(description="only documents that have none of these fields")] = []
    repair: Annotated[Literal["on", "report", "off"] | None, Meta(description="as above, here")] = None
    keep_alive: Annotated[Time | None, Meta(description="as above, here")] = None
    ask_usage: Annotated[Switch | None, Meta(description="as above, here")] = None
    retry: Annotated[Literal["off", "safe", "completions"] | None, Meta(description="retry.repeat, here")] = (
        None
    )
    timeouts: Annotated[RouteTimeouts, Meta(description="as above, here")] = field(
        default_factory=RouteTimeouts
    )
    limits: Annotated[RouteLimits, Meta(description="as above, here")] = field(default_factory=RouteLimits)


class KeysForm(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Whose requests are served; without accept, file and verifier everybody's."""

    of: ClassVar[type] = Keys
    accept: Annotated[Words, Meta(description="keys of clients, or sha256:HEX of them")] = []
    file: Annotated[str, Meta(description="a file of such keys, one a line")] = "none"
    verifier: Annotated[str, Meta(description="the upstream, a LiteLLM, that knows further keys")] = "none"
    forward: Annotated[Switch, Meta(description="a client's key goes on to upstreams that have none")] = False
    ttl: Annotated[
        Time, Meta(description="an accepted key is not asked for again; a revoked one lives on")
    ] = "60s"
    refused_ttl: Annotated[Time, Meta(description="a refused key is not asked for again")] = "10s"
    entries: Annotated[Count, Meta(description="keys remembered")] = 10000
    timeout: Annotated[Time, Meta(description="for one question to the verifier")] = "5s"


class SpendForm(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Who hears of the usage of streams that went past LiteLLM."""

    of: ClassVar[type] = Spend
    log: Annotated[Switch, Meta(description="one record each in the log")] = False
    webhook: Annotated[str, Meta(description="a URL that gets the same as JSON")] = "none"
    token: Annotated[str, Meta(description="the Bearer token that goes with it")] = "none"
    queue: Annotated[Count, Meta(description="records that wait for it; more are dropped")] = 1000


class LiteLLMForm(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The LiteLLM before which relay stands."""

    of: ClassVar[type] = LiteLLM
    config: Annotated[str, Meta(description="its own config.yaml, as it is")]
    url: Annotated[str, Meta(description="where it listens")] = "http://127.0.0.1:4000"
    direct: Annotated[
        Literal["none", "streams", "all"],
        Meta(description="what goes past it to providers that speak a dialect of ours"),
    ] = "none"
    translate: Annotated[
        Literal["relay", "litellm"], Meta(description="who translates what a deployment does not speak")
    ] = "relay"


class TlsForm(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Certificates of the listeners, PEM; HUP reads them again."""

    of: ClassVar[type] = Tls
    cert: Annotated[str, Meta(description="certificate chain")]
    key: Annotated[str, Meta(description="its key")]
    client_ca: Annotated[str, Meta(description="clients must show a certificate it has signed")] = "none"


class DrainForm(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """After SIGTERM."""

    of: ClassVar[type] = Drain
    delay: Annotated[OptionalTime, Meta(description="the listeners stay open, readiness says no")] = "none"
    timeout: Annotated[OptionalTime, Meta(description="then live streams may run on")] = "30s"


class RetryForm(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """How a failed request is tried again, before anything of an answer has left."""

    of: ClassVar[type] = Retry
    repeat: Annotated[
        Literal["off", "safe", "completions"],
        Meta(description="safe: those not taken; completions: those too that may be generated twice"),
    ] = "safe"
    attempts: Annotated[Count, Meta(description="in all, the first included")] = 3
    budget: Annotated[Time, Meta(description="no attempt begins later")] = "30s"
    pause: Annotated[Time, Meta(description="longest wait before the second try at one target")] = "100ms"
    longest_pause: Annotated[Time, Meta(description="where doubling it ends")] = "5s"
    hedge: Annotated[OptionalTime, Meta(description="without an answer for so long, ask a second")] = "none"


class QueueForm(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Requests that wait while every target is full."""

    of: ClassVar[type] = Queue
    length: Annotated[Count, Meta(description="how many")] = 1000
    wait: Annotated[OptionalTime, Meta(description="how long")] = "10s"


class HealthForm(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """When a target is left alone."""

    of: ClassVar[type] = Health
    failures: Annotated[Count, Meta(description="in a row that pause it")] = 5
    pause: Annotated[Time, Meta(description="the first pause; doubles")] = "1s"
    longest: Annotated[Time, Meta(description="where doubling it ends")] = "60s"
    interval: Annotated[OptionalTime, Meta(description="between questions for health paths")] = "5s"
    timeout: Annotated[Time, Meta(description="for one such question")] = "2s"
    rise: Annotated[Count, Meta(description="answers in a row that make it well")] = 2
    fall: Annotated[Count, Meta(description="failures in a row that make it unwell")] = 3


class File(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """relay.yaml. Flags and RELAY_* variables take precedence."""

    listen: Annotated[Words, Meta(description="host:port, [::1]:port or unix:/path.sock")] = "127.0.0.1:8787"
    admin: Annotated[Words, Meta(description="the same, for health and figures")] = []
    socket_mode: Annotated[str | int | None, Meta(description="permissions of UNIX sockets, such as 660")] = (
        None
    )
    tls: TlsForm | None = None
    workers: Annotated[Count, Meta(description="processes, 1 to 256")] = 1
    drain: DrainForm = field(default_factory=DrainForm)
    upstreams: list[UpstreamForm] = []
    routes: list[RouteForm] = []
    litellm: LiteLLMForm | None = None
    keys: KeysForm = field(default_factory=KeysForm)
    spend: SpendForm = field(default_factory=SpendForm)
    repair: Annotated[
        Literal["on", "report", "off"],
        Meta(description="on: mend malformed streams; report: only count; off: neither"),
    ] = "on"
    keep_alive: Annotated[OptionalTime, Meta(description="signs of life for clients that wait")] = "15s"
    ask_usage: Annotated[Switch, Meta(description="ask chat upstreams for token counts in any case")] = False
    hold_thinking: Annotated[Switch, Meta(description="hold the end of thinking until the next event")] = (
        False
    )
    continuation: Annotated[Switch, Meta(description="go on with text that was cut, on another upstream")] = (
        field(default=False, name="continue")
    )
    retry: RetryForm = field(default_factory=RetryForm)
    queue: QueueForm = field(default_factory=QueueForm)
    health: HealthForm = field(default_factory=HealthForm)
    timeouts: TimeoutsForm = field(default_factory=TimeoutsForm)
    limits: LimitsForm = field(default_factory=LimitsForm)


def schema() -> str:
    """The same for editors, as JSON Schema."""
    found = msgspec.json.schema(File)
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **found}, indent=2) + "\n"
