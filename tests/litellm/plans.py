"""Plans of LiteLLM's files, and who is asked by them, found by relay's own router."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from relay.config import Direct, LiteLLM, RouteTarget, Settings, Upstream
from relay.litellm.plan import PATHS, Plan, plan
from relay.routes import Asked, Route, Router
from relay.source.problems import Problem
from relay.wire.http1 import RequestHead

CONFIGS = Path(__file__).parents[1] / "data" / "litellm_config"
KEYS = {
    name: f"sk-{name.lower().replace('_', '-')}"
    for name in [
        "OPENAI_API_KEY",
        "ANTHROPIC_API_KEY",
        "AZURE_API_KEY_EU",
        "AZURE_API_KEY_US",
        "GROQ_API_KEY",
        "TOGETHER_API_KEY",
        "FIREWORKS_API_KEY",
        "LITELLM_MASTER_KEY",
        "OPENAI_API_KEY_GPT5",
    ]
} | {"AZURE_API_BASE_EU": "https://eu.openai.azure.com/"}
DIALECT_OF = {path: dialect for dialect, paths in PATHS.items() for path in paths}


def planned(
    path: Path | str, direct: Direct = Direct.STREAMS, environ: Mapping[str, str] = KEYS, **said: Any
) -> Plan:
    problems: list[Problem] = []
    made = plan(LiteLLM(str(path), direct=direct, **said), environ, problems)
    assert not problems
    return made


def config(
    folder: Path,
    *models: dict[str, Any],
    direct: Direct = Direct.STREAMS,
    environ: Mapping[str, str] = KEYS,
    **top: Any,
) -> Plan:
    """The plan of one file, given as ordinary values."""
    path = folder / "config.yaml"
    path.write_text(
        yaml.safe_dump({"model_list": list(models), "general_settings": {"master_key": "sk-m"}} | top)
    )
    return planned(path, direct, environ)


def model(
    name: str = "m", model: str = "openai/gpt-4o", info: Mapping[str, Any] | None = None, **params: Any
) -> dict[str, Any]:
    said = {"model": model, **params}
    return {"model_name": name, "litellm_params": said, "model_info": dict(info or {})}


def head(path: str, headers: Mapping[str, str] | None = None) -> RequestHead:
    found = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    return RequestHead(b"POST", path.encode(), b"1.1", found, b"relay", None, False, True, None)


def route(
    made: Plan, name: str, path: str = "/v1/chat/completions", *, stream: bool = True, **fields: Any
) -> Route:
    """The route that relay's own router takes for such a request."""
    router = Router(Settings(upstreams=made.upstreams, routes=made.routes))
    asking = head(path)
    chosen = router.candidates(asking).choose(Asked(name, stream, frozenset({"model", *fields})), asking)
    assert chosen is not None
    return chosen


def asked(
    made: Plan, name: str, path: str = "/v1/chat/completions", **said: Any
) -> list[tuple[str, str | None]]:
    """Whom such a request goes to, in their order, and the model that each is asked for."""
    found = route(made, name, path, **said)
    targets = sorted(found.targets, key=lambda target: target.upstream.order)
    return [(target.name, found.model_at(target, name)) for target in targets]


def targets(made: Plan, name: str, path: str = "/v1/chat/completions") -> tuple[RouteTarget, ...]:
    return route(made, name, path).rule.to


def upstream(made: Plan, name: str) -> Upstream:
    return next(one for one in made.upstreams if one.name == name)


def line(made: Plan, name: str = "m") -> str:
    return next(line for line in made.said if line.split()[0] == name)
