"""What a person is told at the start and after a reload: all of it, and never a screen too much."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from relay.address import ListenAddress
from relay.cli import banner
from relay.config import RouteRule, RouteTarget, Settings, Upstream

NAMED = replace(Upstream.parse("http://127.0.0.1:8000/base"), name="vllm")


@dataclass
class Socket:
    url: str


@dataclass
class Served:
    """As much of a generation as is told."""

    settings: Settings
    clients: list[Socket] = field(default_factory=lambda: [Socket("http://127.0.0.1:8787")])
    admin: list[Socket] = field(default_factory=list)


def said(settings: Settings, *lines: str, watched: tuple[str, ...] = ()) -> list[str]:
    first, *others, last = banner.started(Served(settings), lines, watched, 0.123)
    assert first.endswith("listening on http://127.0.0.1:8787")
    assert last == "ready in 0.12 s"
    return others


def test_upstreams_with_and_without_a_name() -> None:
    plain = replace(NAMED, name="")
    assert said(Settings((NAMED, plain))) == [
        "forwarding to vllm (http://127.0.0.1:8000/base)",
        "forwarding to http://127.0.0.1:8000/base",
    ]


def test_what_is_translated() -> None:
    assert said(Settings((replace(NAMED, dialects=("chat",)),)))[1:] == [
        "it speaks chat; translated: messages, responses"
    ]


def test_routes() -> None:
    claude, litellm = RouteTarget("claude", 1), RouteTarget("litellm", 2)
    routes = (
        RouteRule((litellm, claude), models=("claude-*", "opus"), paths=("/v1/messages",)),
        RouteRule((claude, replace(litellm, order=1)), headers=(("x-team", "secret-name"),)),
    )
    assert said(Settings((NAMED,), routes))[1:] == [
        "claude-*, opus on /v1/messages: to claude, else litellm",
        "any model with x-team: to claude or litellm",
    ]


def test_what_is_said_of_routes_elsewhere_replaces_them() -> None:
    routes = (RouteRule((RouteTarget("vllm"),)),)
    lines = [f"model-{number}: through LiteLLM" for number in range(50)]
    assert said(Settings((NAMED,), routes), *lines)[1:] == lines


def test_only_so_many_of_a_kind() -> None:
    upstreams = tuple(replace(NAMED, name=f"u{number}") for number in range(300))
    routes = tuple(RouteRule((RouteTarget(f"u{number}"),)) for number in range(21))
    lines = said(Settings(upstreams, routes))
    assert len(lines) == 42
    assert lines[20] == "and 280 more upstreams; relay check --show names them all"
    assert lines[41] == "and 1 more route; relay check --show names them all"


def test_what_is_watched() -> None:
    assert said(Settings((NAMED,)), watched=("a.yaml",))[1:] == ["watching a.yaml for changes"]
    assert said(Settings((NAMED,)), watched=("a", "b", "c"))[1:] == ["watching a and 2 more for changes"]


def test_several_of_all() -> None:
    settings = Settings((NAMED,), workers=3, admin=(ListenAddress("127.0.0.1", 1),))
    _, *others = banner.started(Served(settings, admin=[Socket("http://127.0.0.1:1")]), (), (), 1)
    assert others == [
        "health on http://127.0.0.1:1",
        "forwarding to vllm (http://127.0.0.1:8000/base)",
        "ready in 1.00 s, 3 workers",
    ]


def test_what_a_reload_has_changed() -> None:
    assert banner.difference([]) == ["nothing has changed in the settings"]
    assert banner.difference(["a: 1 → 2", "b: changed, not shown"]) == [
        "changed: a: 1 → 2",
        "changed: b: changed, not shown",
    ]
    lines = banner.difference([f"a{number}: 1 → 2" for number in range(500)])
    assert len(lines) == 21
    assert lines[-1] == "and 480 more changes; relay check --show names them all"
    assert banner.reloaded(1).startswith("reloaded; 1 new worker,")
    assert banner.reloaded(2).startswith("reloaded; 2 new workers,")
