"""Whose key goes where: the provider's to the provider, the client's no further than LiteLLM."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from .asking import KEY, Answer, ask, document
from .configs import MODELS, ROUTES
from .finding import Finding, Place

PROVIDERS = {"openai": "sk-openai", "vllm": "sk-vllm", "lmstudio": "sk-lm", "anthropic": "sk-anthropic"}
WRONG = "sk-nobody"


async def check(place: Place) -> list[Finding]:
    """One row for each way, over all routes."""
    found = []
    for way, port in place.ways.items():
        statuses: set[int] = set()
        faults = []
        for route in ROUTES:
            body = document(route[0], MODELS[route[1]])
            wrong = [one async for one in _right(place, port, route[0], body)]
            place.upstream.plays(words=3, gap=0.0)
            bad = await ask(port, route[0], body, key=WRONG)
            statuses.add(bad.status)
            if bad.status not in (400, 401) or place.upstream.asked:
                wrong.append(f"a wrong key: HTTP {bad.status}, {len(place.upstream.asked)} asked")
            if route[0] == "messages" and b'"type":"error"' not in bad.body.replace(b" ", b""):
                wrong.append("refused in another dialect")
            faults += [f"{'--'.join(route)}: {one}" for one in wrong]
        refused = ", ".join(map(str, sorted(statuses)))
        seen = (
            f"each provider gets its own key, never the client's; a wrong one: HTTP {refused}, nobody asked"
        )
        found.append(place.found("keys", ("all routes",), way, seen, "; ".join(faults)))
    return found


async def _right(place: Place, port: int, dialect: str, body: dict[str, Any]) -> AsyncIterator[str]:
    """What is wrong with the keys of a request that is served."""
    place.upstream.plays(words=3, gap=0.0)
    answer = await ask(port, dialect, body)
    if answer.status != 200 or not place.upstream.asked:
        yield f"HTTP {answer.status}"
    for asked in place.upstream.asked:
        held = " ".join(asked.headers.values())
        if PROVIDERS[asked.flavour] not in held:
            yield "the provider's key does not arrive"
        if KEY in held:
            yield "the client's key goes to the provider"
    if _shows(answer):
        yield "the client sees a provider's key"


def _shows(answer: Answer) -> bool:
    said = answer.body + repr(answer.headers).encode()
    return any(key.encode() in said for key in PROVIDERS.values())
