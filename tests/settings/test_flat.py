"""Settings as a table: every one of them, as one would write it, and none of the secrets."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from relay.access import Keys, Spend
from relay.address import Origin
from relay.config import LiteLLM, Repair, Retry, RouteRule, RouteTarget, Settings, Timeouts, Tls, Upstream
from relay.settings import scalars
from relay.settings.flat import changed, flat

UP = Upstream(Origin("u", 80), name="up")
ONE = Settings(upstreams=(UP,))
FULL = replace(ONE, tls=Tls("c", "k"), litellm=LiteLLM("config.yaml"))


def test_every_setting_is_there() -> None:
    table = flat(FULL)
    assert set(scalars.FIELDS) <= set(table)
    told = {path.split(".")[0].split("[")[0] for path in table}
    names = {field.name for field in fields(Settings)} - {"routes", "continuation"}
    assert told == names | {"continue"}


def test_every_field_of_an_upstream_and_a_route_is_there() -> None:
    rule = RouteRule(
        to=(RouteTarget("up", 2, 3, "m", ("chat",), "vllm"),),
        models=("a*",),
        paths=("/v1/*",),
        headers=(("x", "y"),),
        stream=True,
        without=("z",),
        repair=Repair.OFF,
        ask_usage=False,
        repeat=Retry().repeat,
        timeouts=(("idle", 5.0),),
        limits=(("frame", 1024),),
    )
    table = flat(replace(ONE, routes=(rule,)))
    assert {path: text for path, text in table.items() if path.startswith("routes")} == {
        "routes[0].models": "a*",
        "routes[0].paths": "/v1/*",
        "routes[0].headers": "x: y",
        "routes[0].stream": "on",
        "routes[0].without": "z",
        "routes[0].to": "up (order=2 weight=3 model=m dialects=chat profile=vllm)",
        "routes[0].repair": "off",
        "routes[0].ask_usage": "off",
        "routes[0].retry": "safe",
        "routes[0].timeouts.idle": "5s",
        "routes[0].limits.frame": "1KiB",
    }
    shown = {path.rpartition(".")[2] for path in table if path.startswith("upstreams")}
    assert shown == {field.name for field in fields(Upstream)} - {"origin", "base_path", "sdk", "name"} | {
        "url"
    }


@pytest.mark.parametrize("path", scalars.FIELDS)
def test_what_is_shown_reads_as_the_same(path: str) -> None:
    value = scalars.default(path)
    if value not in (None, "") and path != "litellm.config":
        assert scalars.read(path, scalars.written(path, value)) == value


SECRETS: list[Settings] = [
    replace(ONE, upstreams=(replace(UP, api_key="sk-secret"),)),
    replace(ONE, upstreams=(replace(UP, headers=(("authorization", "sk-secret"),)),)),
    replace(ONE, upstreams=(replace(UP, query="a=b&key=sk-secret"),)),
    replace(ONE, keys=Keys(digests=(b"sk-secret",))),
    replace(ONE, spend=Spend(webhook="http://w?sk-secret", token="sk-secret")),
]


@pytest.mark.parametrize("settings", SECRETS)
def test_no_secret_is_shown(settings: Settings) -> None:
    assert "sk-secret" not in "".join(flat(settings).values())
    assert b"sk-secret".hex() not in "".join(flat(settings).values())
    assert "sk-secret" not in "".join(changed(ONE, settings))
    assert flat(settings) != flat(ONE)


@pytest.mark.parametrize(
    ("new", "lines"),
    [
        ({}, []),
        ({"timeouts": Timeouts(idle=5.0)}, ["timeouts.idle: 300s → 5s"]),
        ({"repair": Repair.OFF, "workers": 2}, ["workers: 1 → 2", "repair: on → off"]),
        ({"tls": Tls("c", "k")}, ["tls.cert: - → c", "tls.key: - → k", "tls.client_ca: - → none"]),
        ({"upstreams": (replace(UP, weight=3),)}, ["upstreams[up].weight: 1 → 3"]),
        ({"upstreams": (replace(UP, api_key="a"),)}, ["upstreams[up].api_key: none → set, not shown"]),
        ({"keys": Keys(digests=(b"a",))}, ["keys.accept: none → 1 set, not shown"]),
    ],
)
def test_a_change_is_told_with_the_old_and_the_new(new: dict[str, Any], lines: list[str]) -> None:
    assert changed(ONE, replace(ONE, **new)) == lines


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        (SECRETS[0], replace(ONE, upstreams=(replace(UP, api_key="other"),)), "upstreams[up].api_key"),
        (
            SECRETS[1],
            replace(ONE, upstreams=(replace(UP, headers=(("authorization", "b"),)),)),
            "upstreams[up].headers",
        ),
        (SECRETS[2], replace(ONE, upstreams=(replace(UP, query="a=b&key=other"),)), "upstreams[up].query"),
        (SECRETS[3], replace(ONE, keys=Keys(digests=(b"other",))), "keys.accept"),
    ],
)
def test_of_a_secret_only_that_it_is_another(old: Settings, new: Settings, path: str) -> None:
    assert changed(old, new) == [f"{path}: changed, not shown"]


def test_routes_and_upstreams_that_come_and_go_are_told() -> None:
    routed = replace(ONE, routes=(RouteRule(to=(RouteTarget("up"),), name="all"),))
    assert changed(ONE, routed) == ["routes[all].to: - → up (order=1)"]
    assert changed(routed, ONE) == ["routes[all].to: up (order=1) → -"]
