"""Does each upstream answer, and does it take its key: one question to each, all at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from relay import tls
from relay.config import Settings, Upstream
from relay.errors import RelayError
from relay.net.asking import Answer, ask
from relay.net.pool import Pool
from relay.wire.framing import Header

_SECONDS = 10.0
_LIMIT = 4 * 1024 * 1024
_REFUSED = (401, 403)


@dataclass(frozen=True)
class Reached:
    """What came of one question, told without any key."""

    name: str
    told: str
    code: int
    """0 it answers, 2 it refuses its key, 3 it cannot be reached."""
    document: dict[str, Any]


async def reach(settings: Settings) -> Sequence[Reached]:
    """Ask every upstream."""
    pool = Pool(asyncio.get_running_loop(), settings, tls.upstream_context(settings))
    try:
        return await asyncio.gather(*(_one(pool, upstream) for upstream in settings.upstreams))
    finally:
        pool.close()


async def _one(pool: Pool, upstream: Upstream) -> Reached:
    loop = asyncio.get_running_loop()
    started = loop.time()
    name, url = str(upstream), f"{upstream.origin}{upstream.base_path}"
    document: dict[str, Any] = {"upstream": name, "url": url}
    try:
        answer = await _asked(pool, upstream)
    except RelayError as error:
        return Reached(name, f"cannot be reached: {error}", 3, document | {"error": str(error)})
    milliseconds = (loop.time() - started) * 1000
    told, code = _told(upstream, answer)
    document |= {"status": answer.status, "models": _models(answer), "milliseconds": round(milliseconds, 1)}
    return Reached(name, f"{told}, {milliseconds:.0f} ms", code, document)


async def _asked(pool: Pool, upstream: Upstream) -> Answer:
    """Its list of models; where it has none, whether it is well."""
    headers = _key(upstream)
    answer = await _get(pool, upstream, b"/models" if _bare(upstream) else b"/v1/models", headers)
    if answer.status in (404, 405) and upstream.health:
        return await _get(pool, replace(upstream, base_path=""), upstream.health.encode(), headers)
    return answer


async def _get(pool: Pool, upstream: Upstream, target: bytes, headers: Sequence[Header]) -> Answer:
    return await ask(pool, upstream, b"GET", target, headers, seconds=_SECONDS, limit=_LIMIT)


def _bare(upstream: Upstream) -> bool:
    """Anthropic's SDK names the version in its paths, those of OpenAI in the base URL."""
    return upstream.sdk and "messages" not in upstream.dialects[:1]


def _key(upstream: Upstream) -> list[Header]:
    anthropic = "messages" in upstream.dialects[:1]
    headers: list[Header] = [(b"anthropic-version", b"2023-06-01")] if anthropic else []
    if upstream.api_key:
        field = upstream.key_header or ("x-api-key" if anthropic else "authorization")
        scheme = "Bearer " if field == "authorization" else ""
        headers.append((field.encode(), f"{scheme}{upstream.api_key}".encode()))
    return headers


def _told(upstream: Upstream, answer: Answer) -> tuple[str, int]:
    status = answer.status
    if status in _REFUSED and upstream.api_key:
        return f"{status}: it refuses the key that it is given", 2
    if status in _REFUSED:
        return f"{status}: it answers, and wants a key, which clients must bring", 0
    models = _models(answer)
    if models is not None:
        return f"{status}, {models} model{'' if models == 1 else 's'}", 0
    if status >= 500:
        return f"{status}: it answers that it is unwell", 3
    return f"{status}, no list of models", 0


def _models(answer: Answer) -> int | None:
    try:
        document = json.loads(answer.body)
    except ValueError:
        return None
    models = document.get("data") if isinstance(document, dict) and answer.status == 200 else None
    return len(models) if isinstance(models, list) else None
