"""The flags of ``relay serve``, and what they say about the settings.

A flag holds one setting, or a line of them (``relay.settings.options``). What it says is heard before the
environment and the file (``relay.cli.settings``).
"""

from __future__ import annotations

import argparse
import os
import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from relay import dialects
from relay.address import ListenAddress, Origin
from relay.config import Direct, Health, Limits, Queue, Repair, Retry, Timeouts, Upstream
from relay.errors import UsageError
from relay.settings import options, scalars
from relay.settings.resolved import Resolved
from relay.settings.resolving import Known, resolve
from relay.settings.said import Layer, Said

CONTINUING = tuple(name for name, profile in dialects.PROFILES.items() if profile.continues)
"""Servers that can go on with an answer that another has begun."""

CHOICES = {
    "dialects": sorted(dialects.BY_NAME),
    "profile": list(dialects.PROFILES),
    "key_header": options.KEY_HEADERS,
}
_HEDGE = ("hedge",)
"""Of ``Retry``, but a flag of its own."""
_WIDTH = 100

EXAMPLES = """\
examples:
  relay serve --upstream 'http://a:8000 weight=3 health=/health' --upstream http://b:8000 --hedge 2s
  relay serve -c relay.yaml --timeout idle=60s
  relay serve --litellm config.yaml --direct streams
"""

Add = Callable[..., Any]
"""``add_argument`` of a group, or one that keeps its flags out of the help."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "relay serve [-c FILE] [--upstream 'URL [NAME=VALUE ...]'] [--litellm FILE] [flags]"
    parser.description = EXAMPLES
    parser.formatter_class = Help
    _add_upstreams(parser.add_argument_group("upstreams").add_argument)
    _add_listeners(parser.add_argument_group("listeners and processes").add_argument)
    _add_streams(parser.add_argument_group("streams and limits").add_argument)


def add_quietly(add: Add) -> None:
    """The same for a command that takes them, but has a help of its own."""

    def quiet(*names: str, **how: Any) -> Any:
        return add(*names, **{**how, "help": argparse.SUPPRESS})

    for some in (_add_upstreams, _add_listeners, _add_streams):
        some(quiet)


def said_of(args: argparse.Namespace) -> Layer:
    """What the flags say."""
    said: Layer = {}
    for flag, path in SINGLE.items():
        value = getattr(args, _dest(flag))
        if value is not None:
            said[path] = _single(flag, path, value)
    for flag, (part, struct, lead) in LINES.items():
        line = " ".join(getattr(args, _dest(flag)))
        words = options.words(struct, line, flag, lead=lead, without=_HEDGE if lead else ())
        for name, value, word in words:
            path = f"{part}.{name}"
            if path in said and said[path].value != value:
                raise UsageError(f"{said[path].origin} and {flag} {name} say different things: say it once")
            said.setdefault(path, Said(value, flag, f"{flag} {word}"))
    return said | dict(_lists(args))


# --- flags ------------------------------------------------------------------------------------


class Help(argparse.RawDescriptionHelpFormatter):
    """One width on every terminal, so that it fits one screen."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=_WIDTH)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(text, width, break_on_hyphens=False)  # a name of a limit stays in one piece


def _add_upstreams(add: Add) -> None:
    add("-c", "--config", metavar="FILE", help="relay.yaml; flags and RELAY_* variables come before it")
    add(
        "--upstream",
        action="append",
        default=[],
        metavar="URL",
        help="http://host[:port][/base], https://…, unix:/path.sock; may repeat; words: "
        "name dialects profile health=/PATH order=1 weight=1 concurrency=none",
    )
    add(
        "--upstream-dialect",
        action="append",
        choices=CHOICES["dialects"],
        default=[],
        metavar="NAME",
        help="chat, messages or responses, where it does not say; others are translated to the first "
        "(default: each path as it is); may repeat",
    )
    add(
        "--upstream-profile",
        choices=CHOICES["profile"],
        metavar="KIND",
        help=f"the same: {' '.join(CHOICES['profile'])}",
    )
    add("--litellm", metavar="FILE", help="LiteLLM's own config.yaml: be in front of that LiteLLM")
    add("--litellm-url", metavar="URL", help="where it listens (http://127.0.0.1:4000)")
    add(
        "--direct",
        choices=[direct.value for direct in Direct],
        metavar="WHAT",
        help="streams or all: go past it to providers that speak a dialect (none)",
    )
    add(
        "--retry",
        action="append",
        default=[],
        metavar="WORDS",
        help=f"off safe completions; {_defaults(Retry(), _HEDGE)}",
    )
    add("--hedge", metavar="TIME", help="without an answer for so long, ask a second one too")
    add("--queue", action="append", default=[], metavar="WORDS", help=f"when full: {_defaults(Queue())}")
    add("--health", action="append", default=[], metavar="WORDS", help=_defaults(Health()))


def _add_listeners(add: Add) -> None:
    add(
        "--listen",
        action="append",
        default=[],
        metavar="ADDR",
        help="host:port, [::1]:port, unix:/path.sock; may repeat (127.0.0.1:8787)",
    )
    add("--admin", action="append", default=[], metavar="ADDR", help="the same, for health and figures")
    add("--socket-mode", metavar="MODE", help="permissions of UNIX sockets, such as 660")
    add("--tls-cert", metavar="FILE", help="certificate chain of the listeners, PEM; HUP reads it again")
    add("--tls-key", metavar="FILE", help="its key, PEM")
    add("--tls-client-ca", metavar="FILE", help="clients must show a certificate that these have signed")
    add("--watch", action="store_true", help="reload when a file that was read has changed")
    add("--workers", type=int, metavar="N", help="processes (default 1)")
    add("--drain", metavar="TIME", help="how long streams may run on after SIGTERM (30s)")
    add("--drain-delay", metavar="TIME", help="how long the listeners stay open before that")


def _add_streams(add: Add) -> None:
    add(
        "--repair",
        choices=[repair.value for repair in Repair],
        metavar="MODE",
        help="on: mend malformed streams (default); report: only count; off: neither",
    )
    add("--keep-alive", metavar="TIME", help="signs of life for clients that wait; none: never (15s)")
    for flag, dest, text in (
        ("ask-usage", "ask_usage", "ask chat upstreams for token counts in any case"),
        ("hold-thinking", "hold_thinking", "hold the end of thinking until the next event"),
        ("continue", "continuation", f"go on with text that was cut elsewhere ({', '.join(CONTINUING)})"),
    ):
        add(f"--{flag}", dest=dest, action="store_true", default=None, help=f"{text}; also --no-{flag}")
        add(f"--no-{flag}", dest=dest, action="store_false", default=None, help=argparse.SUPPRESS)
    add("--timeout", action="append", default=[], metavar="NAME=TIME", help=_defaults(Timeouts()))
    add("--limit", action="append", default=[], metavar="NAME=VALUE", help=_defaults(Limits()))


def _defaults(struct: Any, without: Collection[str] = ()) -> str:
    """The numbers of the struct as one would write them."""
    numbers = {name: getattr(struct, name) for name in options.names(type(struct), without)}
    return " ".join(
        f"{name.replace('_', '-')}={options.written(type(struct), name, number)}"
        for name, number in numbers.items()
        if isinstance(number, int | float)
    )


# --- what they say ----------------------------------------------------------------------------

SINGLE = {
    "--socket-mode": "socket_mode",
    "--tls-cert": "tls.cert",
    "--tls-key": "tls.key",
    "--tls-client-ca": "tls.client_ca",
    "--workers": "workers",
    "--drain": "drain.timeout",
    "--drain-delay": "drain.delay",
    "--repair": "repair",
    "--keep-alive": "timeouts.silence",
    "--ask-usage": "ask_usage",
    "--hold-thinking": "hold_thinking",
    "--continue": "continue",
    "--hedge": "retry.hedge",
    "--litellm": "litellm.config",
    "--litellm-url": "litellm.url",
    "--direct": "litellm.direct",
}
"""Flags of one value, each with the path of its setting."""
LINES: dict[str, tuple[str, type, str]] = {
    "--retry": ("retry", Retry, "repeat"),
    "--queue": ("queue", Queue, ""),
    "--health": ("health", Health, ""),
    "--timeout": ("timeouts", Timeouts, ""),
    "--limit": ("limits", Limits, ""),
}
"""Flags of several: their part, its struct, and what a word without a name is."""


def _dest(flag: str) -> str:
    return {"--continue": "continuation"}.get(flag, flag.removeprefix("--").replace("-", "_"))


def _single(flag: str, path: str, value: Any) -> Said:
    if isinstance(value, bool):
        shown = flag if value else flag.replace("--", "--no-", 1)
        return Said(value, shown, shown)
    try:
        return Said(scalars.read(path, str(value), CHOICES), flag, f"{flag} {value}")
    except UsageError as error:
        raise UsageError(f"{flag} {value}: {error}") from error


def _lists(args: argparse.Namespace) -> Iterator[tuple[str, Said]]:
    """Each takes the place of the whole list that stands elsewhere."""
    if args.upstream:
        yield "upstreams", Said(_upstreams(args), "--upstream", "--upstream")
    for flag, name, texts in (("--listen", "listen", args.listen), ("--admin", "admin", args.admin)):
        if texts:
            addresses = tuple(ListenAddress.parse(text) for text in texts)
            _once(flag, [str(address) for address in addresses if address.path or address.port])
            yield name, Said(addresses, flag, flag)


def _upstreams(args: argparse.Namespace) -> tuple[Upstream, ...]:
    base = _base(args)
    upstreams = tuple(options.upstream(text, "--upstream", base, CHOICES) for text in args.upstream)
    _once("--upstream", [f"{one.origin}{one.base_path}" for one in upstreams])
    _once("--upstream name", [str(one) for one in upstreams])
    return upstreams


def _base(args: argparse.Namespace) -> Upstream:
    """What holds for upstreams that do not say it themselves."""
    base = Upstream(Origin("", 0), dialects=tuple(dict.fromkeys(args.upstream_dialect)))
    return replace(base, profile=args.upstream_profile or base.profile)


def _once(flag: str, texts: list[str]) -> None:
    for text in texts:
        if texts.count(text) > 1:
            raise UsageError(f"{flag} {text}: is there twice")


def settings_of(args: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> Resolved:
    """What they, the environment and the file say together; what cannot be is refused."""
    known = Known(CHOICES, CONTINUING, _base(args))
    return resolve(said_of(args), args.config, environ, known)
