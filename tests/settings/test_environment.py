"""``RELAY_*`` variables: what they say, which of them are told of, and which are none of relay's."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from relay.address import ListenAddress
from relay.config import Timeouts
from relay.errors import UsageError
from relay.settings import environment, scalars
from tests.settings.kit import in_folder, resolved, settings_of

__all__ = ["in_folder"]

UP = {"RELAY_UPSTREAM": "http://u"}


def test_every_setting_has_a_variable_of_its_own() -> None:
    known = environment.variables()
    assert set(known.values()) == {
        *scalars.FIELDS,
        "listen",
        "admin",
        "upstreams",
        "keys.accept",
        "keys.file",
    }
    assert all(known[scalars.variable(path)] == path for path in scalars.FIELDS)


def test_no_file_and_no_flag_are_needed() -> None:
    read = resolved(
        None, environ={"RELAY_UPSTREAM": "http://u weight=2 'name=a' unix:/s", "RELAY_LISTEN": ":1,:2"}
    )
    assert [(str(one), one.weight) for one in read.settings.upstreams] == [("a", 2), ("unix:/s", 1)]
    assert read.settings.listen == (ListenAddress("", 1), ListenAddress("", 2))
    assert read.origins["upstreams[a].weight"] == "RELAY_UPSTREAM"


def test_an_empty_one_says_nothing() -> None:
    assert settings_of(None, environ=UP | {"RELAY_WORKERS": "", "RELAY_LISTEN": " "}) == settings_of(
        None, environ=UP
    )


def test_the_file_may_be_named_by_one(in_folder: Path) -> None:
    (in_folder / "a.yaml").write_text("upstreams: [{url: http://a}]")
    (in_folder / "b.yaml").write_text("upstreams: [{url: http://b}]")
    environ = {"RELAY_CONFIG": "a.yaml"}
    assert [str(one) for one in settings_of(None, environ=environ).upstreams] == ["http://a"]
    assert [str(one) for one in settings_of(None, ["-c", "b.yaml"], environ).upstreams] == ["http://b"]


def test_keys_may_be_there(in_folder: Path) -> None:
    (in_folder / "keys").write_text("sk-b\n")
    keys = settings_of(None, environ=UP | {"RELAY_KEYS_ACCEPT": "sk-a", "RELAY_KEYS_FILE": "keys"}).keys
    assert keys.digests == (hashlib.sha256(b"sk-a").digest(), hashlib.sha256(b"sk-b").digest())


def test_short_names_mean_the_same() -> None:
    assert settings_of(None, environ=UP | {"RELAY_KEEP_ALIVE": "5s"}).timeouts == Timeouts(silence=5)
    both = {"RELAY_KEEP_ALIVE": "5s", "RELAY_TIMEOUTS_SILENCE": "5s"}
    assert settings_of(None, environ=UP | both).timeouts == Timeouts(silence=5)
    with pytest.raises(UsageError, match="say different things"):
        settings_of(None, environ=UP | both | {"RELAY_KEEP_ALIVE": "6s"})


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"RELAY_WORKERS": "0"}, "RELAY_WORKERS=0: expected 1 to 256"),
        (
            {"RELAY_TIMEOUTS_IDLE": "5"},
            "RELAY_TIMEOUTS_IDLE=5: duration '5': expected a number with its unit",
        ),
        ({"RELAY_LISTEN": "80"}, "RELAY_LISTEN=80: listen address '80'"),
        ({"RELAY_UPSTREAM": "http://a wieght=2"}, "did you mean weight?"),
        ({"RELAY_RETRY_HEDGE": "1s"}, "RELAY_RETRY_HEDGE=1s: there is no second upstream"),
        ({"RELAY_KEYS_ACCEPT": "sha256:secret"}, "RELAY_KEYS_ACCEPT: expected sha256:"),
        ({"RELAY_KEYS_FILE": "/gone"}, "RELAY_KEYS_FILE=/gone: /gone: there is no such file"),
        ({"RELAY_SPEND_WEBHOOK": "no"}, "RELAY_SPEND_WEBHOOK=no: expected a URL"),
    ],
)
def test_what_cannot_be_is_told_with_its_variable(variables: dict[str, str], told: str) -> None:
    with pytest.raises(UsageError) as caught:
        settings_of(None, environ=UP | variables)
    assert told in str(caught.value)
    assert "secret" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_all_that_cannot_be_is_told_in_one_run() -> None:
    with pytest.raises(UsageError) as caught:
        settings_of(None, environ=UP | {"RELAY_WORKERS": "0", "RELAY_REPAIR": "maybe"})
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("RELAY_LISTN", "x", "RELAY_LISTN: no setting has this variable; did you mean RELAY_LISTEN?"),
        ("RELAY_TIMEOUT_IDLE", "x", "did you mean RELAY_TIMEOUTS_IDLE?"),
        ("RELAY_PORT", "9000", "did you mean RELAY_LISTEN?"),
        ("RELAY_WHATEVER", "x", "docs/configuration.md tells"),
    ],
)
def test_an_unknown_one_is_warned_of(name: str, value: str, told: str) -> None:
    [warning] = resolved(None, environ=UP | {name: value}).warnings
    assert told in warning


KUBERNETES = {
    "RELAY_SERVICE_HOST": "10.0.0.1",
    "RELAY_SERVICE_PORT": "8787",
    "RELAY_SERVICE_PORT_HTTP": "8787",
    "RELAY_PORT": "tcp://10.0.0.1:8787",
    "RELAY_PORT_8787_TCP": "tcp://10.0.0.1:8787",
    "RELAY_PORT_8787_TCP_PROTO": "tcp",
    "RELAY_PORT_8787_TCP_PORT": "8787",
    "RELAY_PORT_8787_TCP_ADDR": "10.0.0.1",
    "RELAY_ADMIN_SERVICE_HOST": "10.0.0.2",
    "RELAY_ADMIN_PORT": "tcp://10.0.0.2:8788",
}


def test_those_of_kubernetes_are_left_alone() -> None:
    read = resolved(None, environ=UP | KUBERNETES)
    assert read.warnings == ()
    assert read.settings == settings_of(None, environ=UP)


def test_others_are_none_of_relays() -> None:
    assert resolved(None, environ=UP | {"RELAYED": "x", "PATH": "/bin"}).warnings == ()
