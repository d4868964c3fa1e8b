"""Seed 1: streams that come late or in one piece, by four causes (LiteLLM 28384)."""

from __future__ import annotations

import contextlib
from typing import Any

from . import processes
from .asking import document
from .configs import MODELS
from .finding import ALONE, THROUGH, Finding, Place
from .measuring import Measured, measure

PLAIN = (
    ("chat", "openai"),
    ("chat", "anthropic"),
    ("messages", "anthropic"),
    ("messages", "hosted_vllm"),
    ("responses", "openai"),
)
BEHIND_NGINX = (("chat", "openai"), ("messages", "anthropic"), ("responses", "openai"))
WILDCARD = (("messages", "openai-wildcard"), ("responses", "openai-wildcard"))
SEARCHING = (("messages", "anthropic"), ("responses", "openai"), ("responses", "anthropic"))
SEARCH = {
    "messages": {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
    "responses": {"type": "web_search"},
}
WORSE = 1.0
"""Milliseconds that relay may add to the median without its being called worse; it adds less than 0.2."""


async def plain(place: Place) -> list[Finding]:
    """(d): nothing is wrong, and nothing may become so."""
    found = []
    for route in PLAIN:
        alone = 0.0
        for way, port in place.ways.items():
            one = await measure(place, port, route[0], document(route[0], MODELS[route[1]]))
            if way == ALONE:
                alone = one.delays.at(0.5)
            fault = _late(one)
            if one.delays.at(0.5) > alone + WORSE and alone:
                fault = fault or f"the median was {alone:.1f} ms without relay"
            found.append(place.found("1d plain", route, way, one.seen, fault))
    return found


async def compressed(place: Place) -> list[Finding]:
    """(a): nginx in front, which compresses and buffers."""
    found = []
    for way, port in place.ways.items():
        async with processes.nginx(port, place.folder) as nginx:
            for route in BEHIND_NGINX:
                body = document(route[0], MODELS[route[1]])
                one = await measure(place, nginx.port, route[0], body, gzip=True, runs=_runs(way))
                found.append(place.found("1a nginx gzip", route, way, one.seen, _late(one)))
    return found


async def wildcard(place: Place) -> list[Finding]:
    """(b): a model that LiteLLM's map does not know is asked without ``stream``."""
    return await _named(place, "1b wildcard", {route: {} for route in WILDCARD})


async def searching(place: Place) -> list[Finding]:
    """(c): LiteLLM does the web searches itself, and asks without ``stream``."""
    return await _named(place, "1c web search", {route: {"tools": [SEARCH[route[0]]]} for route in SEARCHING})


async def _named(place: Place, seed: str, routes: dict[tuple[str, str], dict[str, Any]]) -> list[Finding]:
    """Through LiteLLM the cause must be named where there is one; past it nothing may be late."""
    found = []
    for route, more in routes.items():
        for way, port in place.ways.items():
            body = document(route[0], MODELS[route[1]], **more)
            one = await measure(place, port, route[0], body, runs=_runs(way))
            faked = one.asked is not None and not one.asked.streaming
            if way == THROUGH and faked:
                fault = (
                    ""
                    if one.verdict == "faked-stream"
                    else f"verdict {one.verdict or 'missing'}, not faked-stream"
                )
            else:
                fault = _late(one) or ("a faked stream's verdict, wrongly" if one.verdict else "")
            found.append(place.found(seed, route, way, one.seen, fault))
    return found


def _runs(way: str) -> int:
    """LiteLLM alone is expected to fail here: one run shows it."""
    return 1 if way == ALONE else 3


def _late(one: Measured) -> str:
    with contextlib.suppress(KeyError):
        if one.answer.headers["content-type"].startswith("application/json"):
            return "a document, no stream"
    return "" if one.streams else f"{one.delays.within:.0%} within 5 ms"
