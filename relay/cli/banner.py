"""What ``relay serve`` tells a person: where it listens, where requests go, and what a reload has changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

from relay import __version__, dialects

if TYPE_CHECKING:
    from relay.config import RouteRule, Upstream
    from relay.generation import Generation

_MOST = 20
"""Lines about things of one kind; a configuration may have hundreds of them."""


def started(
    generation: Generation, said: Sequence[str], watched: Sequence[str], seconds: float
) -> Iterator[str]:
    """What a person wants to know when it serves."""
    settings = generation.settings
    for listener in generation.clients:
        url = listener.url.replace("http:", "https:", 1) if settings.tls else listener.url
        yield f"relay {__version__} listening on {url}"
    for listener in generation.admin:
        yield f"health on {listener.url}"
    for upstream in settings.upstreams[:_MOST]:
        yield from _upstream(upstream)
    yield from _rest(len(settings.upstreams), "upstreams")
    if said:  # where the routes come from says what they are
        yield from said
    else:
        yield from map(_route, settings.routes[:_MOST])
        yield from _rest(len(settings.routes), "routes")
    if watched:
        more = f" and {len(watched) - 1} more" if len(watched) > 1 else ""
        yield f"watching {watched[0]}{more} for changes"
    workers = f", {settings.workers} workers" if settings.workers > 1 else ""
    yield f"ready in {seconds:.2f} s{workers}"


def reloaded(workers: int) -> str:
    return f"reloaded; {workers} new worker{'s' if workers > 1 else ''}, old ones end with their last stream"


def difference(changed: Sequence[str]) -> list[str]:
    """Each setting that a reload has changed."""
    if not changed:
        return ["nothing has changed in the settings"]
    return [f"changed: {one}" for one in changed[:_MOST]] + list(_rest(len(changed), "changes"))


def _upstream(upstream: Upstream) -> Iterator[str]:
    url = f"{upstream.origin}{upstream.base_path}"
    yield f"forwarding to {upstream.name} ({url})" if upstream.name else f"forwarding to {url}"
    if spoken := upstream.dialects:
        others = ", ".join(sorted(set(dialects.BY_NAME) - set(spoken)))
        yield f"it speaks {', '.join(spoken)}; translated: {others or 'nothing'}"


def _route(rule: RouteRule) -> str:
    """``claude-* on /v1/messages: to claude, else litellm``. Values of headers are not shown."""
    what = ", ".join(rule.models) or "any model"
    paths = f" on {', '.join(rule.paths)}" if rule.paths else ""
    headers = f" with {', '.join(name for name, _ in rule.headers)}" if rule.headers else ""
    targets = groupby(sorted(rule.to, key=attrgetter("order")), attrgetter("order"))
    to = ", else ".join(" or ".join(target.upstream for target in alike) for _, alike in targets)
    return f"{what}{paths}{headers}: to {to}"


def _rest(count: int, what: str) -> Iterator[str]:
    if count > _MOST:
        more = count - _MOST
        yield f"and {more} more {what if more > 1 else what[:-1]}; relay check --show names them all"
