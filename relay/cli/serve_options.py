"""The flags of ``relay serve``, and the settings that they make.

A flag holds one setting, or a line of them (``relay.options``). What contradicts itself, or asks for
what no upstream here can do, is refused before anything starts.
"""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from relay import dialects, options
from relay.config import (
    Drain,
    Health,
    Limits,
    ListenAddress,
    Origin,
    Queue,
    Repair,
    Retry,
    Settings,
    Timeouts,
    Tls,
    Upstream,
)
from relay.errors import UsageError

CONTINUING = tuple(name for name, profile in dialects.PROFILES.items() if profile.continues)
"""Servers that can go on with an answer that another has begun."""

_CHOICES = {"dialects": sorted(dialects.BY_NAME), "profile": list(dialects.PROFILES)}
_HEDGE = ("hedge",)
"""Of ``Retry``, but a flag of its own."""
_WIDTH = 100

EXAMPLES = """\
examples:
  relay serve --upstream http://127.0.0.1:8000
  relay serve --upstream 'http://a:8000 weight=3 health=/health' --upstream http://b:8000 --hedge 2s
  relay serve --upstream 'unix:/run/vllm.sock dialects=chat profile=vllm' --timeout idle=60s
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "relay serve --upstream 'URL [NAME=VALUE ...]' [--upstream ...] [flags]"
    parser.description = EXAMPLES
    parser.formatter_class = _Help
    _add_upstreams(parser.add_argument_group("upstreams"))
    _add_listeners(parser.add_argument_group("listeners and processes"))
    _add_streams(parser.add_argument_group("streams and limits"))


def settings_of(args: argparse.Namespace) -> Settings:
    """What the flags say; contradictions are refused."""
    settings = Settings(
        upstreams=_upstreams(args),
        listen=_addresses("--listen", args.listen or ["127.0.0.1:8787"]),
        admin=_addresses("--admin", args.admin),
        socket_mode=_socket_mode(args.socket_mode),
        tls=_tls(args),
        workers=args.workers,
        drain=_drain(args),
        repair=Repair(args.repair),
        ask_usage=args.ask_usage,
        hold_thinking=args.hold_thinking,
        continuation=args.continuation,
        retry=_retry(args),
        queue=options.read(Queue(), args.queue, "--queue"),
        health=_health(args),
        timeouts=_timeouts(args),
        limits=options.read(Limits(), " ".join(args.limit), "--limit"),
    )
    _check(settings)
    return settings


# --- flags ------------------------------------------------------------------------------------


class _Help(argparse.RawDescriptionHelpFormatter):
    """One width on every terminal, so that it fits one screen."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=_WIDTH)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(text, width, break_on_hyphens=False)  # a name of a limit stays in one piece


def _add_upstreams(group: Any) -> None:
    add = group.add_argument
    add(
        "--upstream",
        action="append",
        required=True,
        metavar="URL",
        help="http://host[:port][/base], https://… or unix:/path.sock, then, if wanted, name order=1 "
        "weight=1 concurrency=none health=/PATH dialects profile; may repeat",
    )
    add(
        "--upstream-dialect",
        action="append",
        choices=_CHOICES["dialects"],
        default=[],
        metavar="NAME",
        help="chat, messages or responses, of upstreams that do not say: requests in others are "
        "translated to the first; may repeat (default: each path is forwarded as it is)",
    )
    add(
        "--upstream-profile",
        choices=_CHOICES["profile"],
        default="generic",
        metavar="KIND",
        help=f"of upstreams that do not say: {', '.join(_CHOICES['profile'])}",
    )
    add(
        "--retry", default="", metavar="WORDS", help=f"off, safe or completions; {_defaults(Retry(), _HEDGE)}"
    )
    add("--hedge", default="none", metavar="TIME", help="without an answer for so long, ask a second one too")
    add("--queue", default="", metavar="WORDS", help=f"when all of them are full: {_defaults(Queue())}")
    add("--health", default="", metavar="WORDS", help=_defaults(Health()))


def _add_listeners(group: Any) -> None:
    add = group.add_argument
    add(
        "--listen",
        action="append",
        metavar="ADDR",
        help="host:port, [::1]:port, unix:/path.sock; may repeat (127.0.0.1:8787)",
    )
    add("--admin", action="append", default=[], metavar="ADDR", help="the same, for health and figures")
    add("--socket-mode", metavar="MODE", help="permissions of UNIX sockets, such as 660")
    add("--tls-cert", metavar="FILE", help="certificate chain of the listeners, PEM; HUP reads it again")
    add("--tls-key", metavar="FILE", help="its key, PEM")
    add("--tls-client-ca", metavar="FILE", help="clients must show a certificate that these have signed")
    add("--workers", type=int, default=1, metavar="N", help="processes (default 1)")
    add("--drain", default="30s", metavar="TIME", help="how long streams may run on after SIGTERM (30s)")
    add("--drain-delay", default="none", metavar="TIME", help="how long the listeners stay open before that")


def _add_streams(group: Any) -> None:
    add = group.add_argument
    add(
        "--repair",
        choices=[repair.value for repair in Repair],
        default=Repair.ON.value,
        metavar="MODE",
        help="on: mend malformed streams (default); report: only count; off: neither",
    )
    add("--keep-alive", metavar="TIME", help="signs of life for clients that wait; none: never (15s)")
    add("--ask-usage", action="store_true", help="ask chat upstreams for token counts in any case")
    add("--hold-thinking", action="store_true", help="hold the end of thinking until the next event")
    add(
        "--continue",
        dest="continuation",
        action="store_true",
        help=f"go on with text that was cut, on another upstream ({', '.join(CONTINUING)})",
    )
    add(
        "--timeout",
        action="append",
        default=[],
        metavar="NAME=TIME",
        help=f"may repeat: {_defaults(Timeouts())}",
    )
    add(
        "--limit",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=f"may repeat: {_defaults(Limits())}",
    )


def _defaults(struct: Any, without: Collection[str] = ()) -> str:
    """The numbers of the struct as one would write them."""
    numbers = {name: getattr(struct, name) for name in options.names(type(struct), without)}
    return " ".join(
        f"{name.replace('_', '-')}={options.written(type(struct), name, number)}"
        for name, number in numbers.items()
        if isinstance(number, int | float)
    )


# --- settings ---------------------------------------------------------------------------------


def _upstreams(args: argparse.Namespace) -> tuple[Upstream, ...]:
    said = Upstream(Origin("", 0), dialects=tuple(dict.fromkeys(args.upstream_dialect)))
    said = replace(said, profile=args.upstream_profile)
    upstreams = tuple(options.upstream(text, "--upstream", said, _CHOICES) for text in args.upstream)
    _once("--upstream", [f"{one.origin}{one.base_path}" for one in upstreams])
    _once("--upstream name", [str(one) for one in upstreams])
    return upstreams


def _addresses(flag: str, texts: Sequence[str]) -> tuple[ListenAddress, ...]:
    addresses = tuple(ListenAddress.parse(text) for text in texts)
    _once(flag, [str(address) for address in addresses if address.path or address.port])
    return addresses


def _socket_mode(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"0?[0-7]{3}", text):
        raise UsageError(f"--socket-mode {text}: expected permission bits in octal, such as 660")
    return int(text, 8)


def _tls(args: argparse.Namespace) -> Tls | None:
    if not (args.tls_cert or args.tls_key or args.tls_client_ca):
        return None
    if not (args.tls_cert and args.tls_key):
        missing = "--tls-key" if args.tls_cert else "--tls-cert"
        raise UsageError(f"{missing} is missing: TLS needs a certificate and its key")
    return Tls(args.tls_cert, args.tls_key, args.tls_client_ca or "")


def _drain(args: argparse.Namespace) -> Drain:
    return Drain(
        delay=_number("--drain-delay", Drain, "delay", args.drain_delay),
        timeout=_number("--drain", Drain, "timeout", args.drain),
    )


def _retry(args: argparse.Namespace) -> Retry:
    retry = options.read(Retry(), args.retry, "--retry", lead="repeat", without=_HEDGE)
    if retry.longest_pause < retry.pause:
        raise UsageError(f"--retry {args.retry}: longest-pause is shorter than pause")
    return replace(retry, hedge=_number("--hedge", Retry, "hedge", args.hedge))


def _health(args: argparse.Namespace) -> Health:
    health = options.read(Health(), args.health, "--health")
    if health.longest < health.pause:
        raise UsageError(f"--health {args.health}: longest is shorter than pause")
    return health


def _timeouts(args: argparse.Namespace) -> Timeouts:
    line = " ".join(args.timeout)
    if args.keep_alive is None:
        return options.read(Timeouts(), line, "--timeout")
    before = Timeouts(silence=_number("--keep-alive", Timeouts, "silence", args.keep_alive))
    timeouts = options.read(before, line, "--timeout")
    if timeouts.silence != before.silence:
        raise UsageError("--keep-alive and --timeout silence say different things: say it once")
    return timeouts


def _number(flag: str, struct: type, name: str, text: str) -> float:
    try:
        return float(options.value(struct, name, text))
    except UsageError as error:
        raise UsageError(f"{flag} {text}: {error}") from error


def _once(flag: str, texts: list[str]) -> None:
    for text in texts:
        if texts.count(text) > 1:
            raise UsageError(f"{flag} {text}: is there twice")


def _check(settings: Settings) -> None:
    """Refuse what contradicts itself."""
    if not 1 <= settings.workers <= 256:
        raise UsageError(f"--workers {settings.workers}: expected 1 to 256")
    for one in settings.upstreams:
        if 0 < one.concurrency < settings.workers:
            room = f"fewer than --workers {settings.workers}, each of which needs room for one"
            raise UsageError(f"--upstream {one} concurrency={one.concurrency}: {room}")
    if settings.socket_mode is not None and not any(one.path for one in (*settings.listen, *settings.admin)):
        raise UsageError("--socket-mode: there is no --listen unix:/path.sock that it could be for")
    _once("--admin", [str(one) for one in (*settings.listen, *settings.admin) if one.path or one.port])
    if settings.retry.hedge and len(settings.upstreams) < 2:
        raise UsageError("--hedge: there is no second --upstream that could be asked")
    if settings.repair is not Repair.ON and (settings.hold_thinking or settings.continuation):
        flag = "--continue" if settings.continuation else "--hold-thinking"
        raise UsageError(f"{flag} and --repair {settings.repair.value}: such streams are not changed")
    if settings.continuation and not any(map(_continues, settings.upstreams)):
        profiles = " or ".join(CONTINUING)
        raise UsageError(
            f"--continue: no upstream can; expected one with profile={profiles} that speaks chat"
        )


def _continues(upstream: Upstream) -> bool:
    return upstream.profile in CONTINUING and (not upstream.dialects or "chat" in upstream.dialects)
