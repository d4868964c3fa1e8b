"""Frozen settings: what relay is told before it starts.

Flags are read here into structs; nothing below this module parses an address, and nothing
that runs changes a setting. Bad text is a ``UsageError`` that says what was expected.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from relay.access import Keys, Spend
from relay.address import NAME, V6, ListenAddress, Origin, socket_path
from relay.errors import UsageError


@dataclass(frozen=True, slots=True)
class Upstream:
    """One server behind relay: its origin and the path that goes before every target."""

    origin: Origin
    base_path: str = ""
    dialects: tuple[str, ...] = ()
    """Those it speaks; empty: every path is forwarded as it is."""
    profile: str = "generic"
    """What kind of server it is, by the name of its ``request.Profile``."""
    name: str = ""
    """What headers and the log call it; the URL where nothing is given."""
    order: int = 1
    """Those of the lowest order are asked first, the others when these cannot."""
    weight: int = 1
    """Its share among those of the same order."""
    concurrency: int = 0
    """Requests in flight at once, until their last byte; 0: no limit."""
    health: str = ""
    """A path that is asked at intervals to see whether it is well; empty: never."""
    sdk: bool = False
    """Its URL is what SDKs call a base URL: the API's paths stand right under it, whatever the client's
    path names (``/chat/completions``, ``/responses``; ``/v1/messages`` in Anthropic's)."""
    query: str = ""
    """Goes to every one of its targets: ``api-version=2024-10-21``."""
    api_key: str = field(default="", repr=False)
    """Sent in place of the client's; empty: the client's own is forwarded."""
    key_header: str = ""
    """Where it looks for the key: ``authorization`` (Bearer), ``x-api-key`` or ``api-key``; empty: as its
    dialect says."""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Set on every request to it, in place of the client's of these names."""

    @classmethod
    def parse(cls, text: str) -> Upstream:
        """Read ``http://host[:port][/base]``, ``https://…`` or ``unix:/path.sock``.

        No error shows a user name, a password or a query: they may be secrets.
        """
        if text.startswith("unix:"):
            return cls(Origin(host="localhost", port=0, path=socket_path(text)))
        shown = repr(re.sub(r"^(\w+:/*)?.*@", r"\1…@", text).partition("?")[0])
        try:
            url = urlsplit(text)
            port = url.port
            host = (url.hostname or "").encode("idna").decode() if url.hostname else ""
        except ValueError as error:
            reason = "a user name has no place here" if "@" in text else error
            raise UsageError(f"upstream {shown}: {reason}") from error
        if url.scheme not in ("http", "https") or not re.fullmatch(f"{NAME}|{V6}", host) or port == 0:
            raise UsageError(
                f"upstream {shown}: expected http://host[:port][/base], https://… or unix:/path.sock"
            )
        if url.query or url.fragment or url.username is not None:
            raise UsageError(f"upstream {shown}: a query, a fragment or a user name has no place here")
        if not re.fullmatch(r"[!-~]*", url.path):
            raise UsageError(f"upstream {shown}: the path must be percent-encoded")
        tls = url.scheme == "https"
        return cls(Origin(host=host, port=port or (443 if tls else 80), tls=tls), url.path.rstrip("/"))

    def __str__(self) -> str:
        return self.name or f"{self.origin}{self.base_path}"


class Repair(enum.Enum):
    """What to do with event streams of completions.

    ON      check every frame, mend what is malformed, end what is cut with the dialect's error
    REPORT  check and count, change nothing
    OFF     do not look
    """

    ON = "on"
    REPORT = "report"
    OFF = "off"


class Repeat(enum.Enum):
    """Which failed requests may be sent again before anything of an answer has left.

    OFF          none, but for those whose pooled connection had died before it took them
    SAFE         those that were not taken (no connection, a refusal by 429, 503 or 529), and idempotent ones
    COMPLETIONS  completions too, however they failed: one may then be generated twice
    """

    OFF = "off"
    SAFE = "safe"
    COMPLETIONS = "completions"


@dataclass(frozen=True, slots=True)
class Retry:
    """How often, how long and how fast a failed request is tried again.

    attempts       in all, the first included
    budget         seconds after the first attempt began in which another may begin
    pause          seconds: the longest wait before the second try at the same target; doubles each time
    longest_pause  where that doubling ends; one that asks to be left alone for longer is not waited for
    hedge          seconds without an answer after which a second target is asked beside the first; 0: never
    """

    repeat: Repeat = Repeat.SAFE
    attempts: int = 3
    budget: float = 30.0
    pause: float = 0.1
    longest_pause: float = 5.0
    hedge: float = 0.0


@dataclass(frozen=True, slots=True)
class Queue:
    """Requests that wait while every target is full: how many, and how many seconds."""

    length: int = 1000
    wait: float = 10.0


@dataclass(frozen=True, slots=True)
class Health:
    """When a target is left alone, in counts and seconds.

    failures   in a row that pause it
    pause      the first pause; doubles with each that follows, after which one request tries it again
    longest    where that doubling ends
    interval   between two questions for its health path, each of which may take ``timeout``
    rise, fall answers in a row that make it well, or unwell
    """

    failures: int = 5
    pause: float = 1.0
    longest: float = 60.0
    interval: float = 5.0
    timeout: float = 2.0
    rise: int = 2
    fall: int = 3


@dataclass(frozen=True, slots=True)
class Drain:
    """After SIGTERM: seconds that the listeners stay open, then seconds that live streams may run on."""

    delay: float = 0.0
    timeout: float = 30.0


@dataclass(frozen=True, slots=True)
class Tls:
    """Files of the listening side, PEM; with ``client_ca`` clients must show a certificate it has signed."""

    cert: str
    key: str
    client_ca: str = ""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds, one for each phase that can hang; 0 switches off what may be (``options.OFF``).

    client_head  from the first byte of a request's head to its last
    client_body  silence inside a request body
    keep_alive   an idle connection of a client
    client_stall the client takes nothing of what waits for it
    linger       reading and dropping after an answer that came before the whole request
    connect      to an upstream, TLS included
    head         from the last byte of the request to the upstream's head
    first_frame  from there to the first frame that holds more than a comment
    look_ahead   how long frames that only announce an answer are held, lest it fail at once
    idle         silence of the upstream inside a response; rests while the client holds it back
    exchange     from the request's head to the answer's last byte
    silence      a waiting client gets a sign of life
    terminal     from the terminal frame to the end of the body
    pool_idle    an upstream connection in the pool
    rest         a plain connection that has carried an event stream is not used again
    """

    client_head: float = 10.0
    client_body: float = 30.0
    keep_alive: float = 75.0
    client_stall: float = 60.0
    linger: float = 5.0
    connect: float = 5.0
    head: float = 300.0
    first_frame: float = 300.0
    look_ahead: float = 0.1
    idle: float = 300.0
    exchange: float = 0.0
    silence: float = 15.0
    terminal: float = 5.0
    pool_idle: float = 4.0
    rest: float = 0.05


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes and counts beyond which a peer is refused; 0 switches off what may be (``options.OFF``).

    head, fields      of a request or a response
    frame             of an event stream; a document that is translated or becomes a stream
    document          the request body of a completion
    translated        the same where it is translated
    objects           JSON objects and lists in one that is translated
    body              any other request body
    replay            bytes of a request body kept so that it can be sent again
    connections       of clients, in one worker; 0: what the process's descriptors allow
    idle_connections  to one origin
    """

    head: int = 64 * 1024
    fields: int = 100
    frame: int = 16 * 1024 * 1024
    document: int = 64 * 1024 * 1024
    translated: int = 32 * 1024 * 1024
    objects: int = 50_000
    body: int = 0
    replay: int = 256 * 1024
    connections: int = 0
    idle_connections: int = 512


@dataclass(frozen=True, slots=True)
class RouteTarget:
    """One upstream of a route, by its name, and how this route asks it.

    order     those of the lowest are asked first, the others when these cannot
    weight    its share among those of the same order
    model     the name that it knows the model by; ``*`` stands for what the ``*`` of the route's pattern
              was; empty: as the client says
    dialects  those it is asked in, where not all that the upstream speaks; empty: the upstream's
    profile   what kind of server it is there; empty: the upstream's
    """

    upstream: str
    order: int = 1
    weight: int = 1
    model: str = ""
    dialects: tuple[str, ...] = ()
    profile: str = ""


@dataclass(frozen=True, slots=True)
class RouteRule:
    """Which requests go to which targets, and how. The first rule that fits a request is taken.

    models   patterns with ``*`` of the name in the document; empty: any, and requests that name none
    paths    patterns with ``*`` of the path without its query; empty: any
    headers  (name in lower case, pattern of its value), all of which must fit
    stream   only requests that ask for a stream, or only those that do not; None: both
    without  fields that the document must not have
    to       at least one
    The others replace the general setting; ``timeouts`` and ``limits`` those of these names.
    """

    to: tuple[RouteTarget, ...]
    name: str = ""
    models: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    stream: bool | None = None
    without: tuple[str, ...] = ()
    repair: Repair | None = None
    ask_usage: bool | None = None
    repeat: Repeat | None = None
    timeouts: tuple[tuple[str, float], ...] = ()
    limits: tuple[tuple[str, int], ...] = ()


ROUTE_TIMEOUTS = ("connect", "head", "first_frame", "look_ahead", "idle", "exchange", "silence", "terminal")
"""Those that a route may have of its own: the others are decided before a request is known."""
ROUTE_LIMITS = ("frame", "document", "translated", "objects")


class Direct(enum.Enum):
    """Which requests go past LiteLLM, straight to providers that speak one of the dialects."""

    NONE = "none"
    STREAMS = "streams"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class LiteLLM:
    """The LiteLLM whose file is read and before which relay stands.

    translate  completions in a dialect that a deployment does not speak are translated here, over one that
               it does; otherwise LiteLLM translates
    """

    config: str
    url: str = "http://127.0.0.1:4000"
    direct: Direct = Direct.NONE
    translate: bool = True


@dataclass(frozen=True, slots=True)
class Settings:
    """All that one relay was told."""

    upstreams: tuple[Upstream, ...]
    routes: tuple[RouteRule, ...] = ()
    """Without any every request may go to every upstream."""
    keys: Keys = field(default_factory=Keys)
    spend: Spend = field(default_factory=Spend)
    litellm: LiteLLM | None = None
    """Where upstreams, routes and keys have come from, beside what else was said."""
    listen: tuple[ListenAddress, ...] = (ListenAddress("127.0.0.1", 8787),)
    admin: tuple[ListenAddress, ...] = ()
    socket_mode: int | None = None
    """Permission bits of UNIX sockets; None: what the umask leaves."""
    tls: Tls | None = None
    workers: int = 1
    drain: Drain = field(default_factory=Drain)
    repair: Repair = Repair.ON
    ask_usage: bool = False
    hold_thinking: bool = False
    """Hold the end of a thinking block until the next frame, so that a failure between stays retryable."""
    continuation: bool = False
    """Continue a stream that was cut after text on another target."""
    retry: Retry = field(default_factory=Retry)
    queue: Queue = field(default_factory=Queue)
    health: Health = field(default_factory=Health)
    timeouts: Timeouts = field(default_factory=Timeouts)
    limits: Limits = field(default_factory=Limits)
