"""Refusals: LiteLLM's own patience of 22 s, and the Retry-After that it drops."""

from __future__ import annotations

import asyncio
import time

from .asking import ask, document
from .configs import MODELS
from .finding import ALONE, DIRECT, THROUGH, Finding, Place

REFUSED = (("chat", "hosted_vllm"), ("messages", "anthropic"), ("responses", "openai"))
PATIENT = (
    (ALONE, "chat", "hosted_vllm"),
    (THROUGH, "chat", "lm_studio"),
    (THROUGH, "messages", "anthropic"),
)
"""All wait at the same time; each has a deployment of its own, so that attempts can be told apart."""
FLAVOURS = {"hosted_vllm": "vllm", "lm_studio": "lmstudio", "anthropic": "anthropic"}
LIMIT = 90.0
LITELLMS = 3
"""Attempts that LiteLLM makes by itself."""


async def retry_after(place: Place) -> list[Finding]:
    """A 429 with Retry-After 7 where LiteLLM does not try again itself."""
    found = []
    for route in REFUSED:
        for way, port in place.ways.items():
            place.upstream.plays(status=429)
            began = time.monotonic()
            answer = await ask(port, route[0], document(route[0], MODELS[route[1]]), longest=LIMIT)
            after = answer.headers.get("retry-after", "")
            provider = answer.headers.get("llm_provider-retry-after", "")
            seen = (
                f"HTTP {answer.status} in {time.monotonic() - began:.2f} s, Retry-After {after or 'missing'}"
            )
            seen += f", {len(place.upstream.asked)} attempts"
            fault = "" if answer.status == 429 else f"HTTP {answer.status}"
            if not after and (way == DIRECT or provider):
                fault = fault or "Retry-After not restored"
            found.append(place.found("429", route, way, seen, fault))
    return found


async def patience(place: Place) -> list[Finding]:
    """The same where LiteLLM has its own defaults: the answer takes 22 s, which is no timeout of relay's."""
    place.upstream.plays(status=429)
    wanted = [one for one in PATIENT if one[0] in place.ways]
    return await asyncio.gather(*(_patient(place, *one) for one in wanted))


async def _patient(place: Place, way: str, dialect: str, deployment: str) -> Finding:
    began = time.monotonic()
    answer = await ask(place.ways[way], dialect, document(dialect, MODELS[deployment]), longest=LIMIT)
    took = time.monotonic() - began
    attempts = sum(asked.flavour == FLAVOURS[deployment] for asked in place.upstream.asked)
    after = answer.headers.get("retry-after", "missing")
    seen = f"HTTP {answer.status} after {took:.1f} s, {attempts} attempts, Retry-After {after}"
    fault = "" if answer.status == 429 else f"HTTP {answer.status}"
    if attempts > LITELLMS:
        fault = f"{attempts} attempts in {took:.0f} s: relay asked LiteLLM again"
    return place.found("429, LiteLLM's retries", (dialect, deployment), way, seen, fault)
