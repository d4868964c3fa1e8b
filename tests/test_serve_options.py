"""The flags of ``relay serve``: what they make of the settings, and which of them contradict each other."""

from __future__ import annotations

import argparse
import dataclasses
import re
import shlex
from pathlib import Path

import pytest

from relay import cli, dialects
from relay.address import ListenAddress, Origin
from relay.cli import serve_options
from relay.config import (
    Drain,
    Health,
    Limits,
    Queue,
    Repair,
    Repeat,
    Retry,
    Settings,
    Timeouts,
    Tls,
    Upstream,
)
from relay.errors import UsageError

A = Upstream(Origin("a", 80))
B = Upstream(Origin("b", 8000))
ONE = Settings(upstreams=(A,))


def settings(line: str, *, upstream: str = "--upstream http://a ") -> Settings:
    parser = argparse.ArgumentParser(prog="relay serve")
    serve_options.add_arguments(parser)
    return serve_options.settings_of(parser.parse_args(shlex.split(upstream + line)), environ={}).settings


def test_one_upstream_and_nothing_else_is_enough() -> None:
    assert settings("") == ONE


@pytest.mark.parametrize(
    ("line", "changed"),
    [
        ("--listen :80", {"listen": (ListenAddress("", 80),)}),
        ("--listen 127.0.0.1:0 --listen 127.0.0.1:0", {"listen": (ListenAddress("127.0.0.1", 0),) * 2}),
        ("--admin :81 --admin unix:/a", {"admin": (ListenAddress("", 81), ListenAddress(path="/a"))}),
        ("--listen unix:/a --socket-mode 660", {"listen": (ListenAddress(path="/a"),), "socket_mode": 0o660}),
        ("--admin unix:/a --socket-mode 0600", {"admin": (ListenAddress(path="/a"),), "socket_mode": 0o600}),
        ("--tls-cert c --tls-key k", {"tls": Tls("c", "k")}),
        ("--tls-cert c --tls-key k --tls-client-ca a", {"tls": Tls("c", "k", "a")}),
        ("--workers 256", {"workers": 256}),
        ("--drain 5m", {"drain": Drain(timeout=300)}),
        ("--drain 0", {"drain": Drain(timeout=0)}),
        ("--drain 1h --drain-delay 5s", {"drain": Drain(delay=5, timeout=3600)}),
        ("--drain-delay none", {}),
        ("--repair report", {"repair": Repair.REPORT}),
        ("--keep-alive 20s", {"timeouts": Timeouts(silence=20)}),
        ("--keep-alive none", {"timeouts": Timeouts(silence=0)}),
        ("--ask-usage", {"ask_usage": True}),
        ("--hold-thinking", {"hold_thinking": True}),
        ("--retry off", {"retry": Retry(repeat=Repeat.OFF)}),
        ("--retry completions", {"retry": Retry(repeat=Repeat.COMPLETIONS)}),
        (
            "--retry 'safe attempts=5 budget=1m pause=200ms longest-pause=10s'",
            {"retry": Retry(attempts=5, budget=60, pause=0.2, longest_pause=10)},
        ),
        ("--hedge none", {}),
        ("--queue 'length=0 wait=1s'", {"queue": Queue(length=0, wait=1)}),
        (
            "--health 'failures=3 pause=2s longest=2m interval=1s timeout=500ms rise=1 fall=2'",
            {"health": Health(3, 2, 120, 1, 0.5, 1, 2)},
        ),
        ("--timeout idle=1m", {"timeouts": Timeouts(idle=60)}),
        ("--timeout 'idle=none first_frame=1m'", {"timeouts": Timeouts(idle=0, first_frame=60)}),
        ("--timeout client-head=1s --timeout head=2m", {"timeouts": Timeouts(client_head=1, head=120)}),
        ("--keep-alive 20s --timeout silence=20s", {"timeouts": Timeouts(silence=20)}),
        ("--keep-alive 20s --timeout keep-alive=5s", {"timeouts": Timeouts(silence=20, keep_alive=5)}),
        ("--limit head=32KiB --limit connections=500", {"limits": Limits(head=32768, connections=500)}),
    ],
)
def test_a_flag_is_a_setting(line: str, changed: dict[str, object]) -> None:
    assert settings(line) == dataclasses.replace(ONE, **changed)


def test_every_setting_has_a_flag() -> None:
    """A line that changes all of them: whoever adds one adds its flag, if a line can say it."""
    every = settings(
        "--upstream 'http://b:8000 dialects=chat profile=vllm' --listen unix:/l --admin :81 "
        "--socket-mode 600 --tls-cert c --tls-key k --workers 2 --drain 1s --drain-delay 1s --ask-usage "
        "--hold-thinking --continue --retry off --hedge 1s --queue length=1 --health failures=1 "
        "--keep-alive none --limit fields=50"
    )
    reported = settings("--repair report")
    fields = [field.name for field in dataclasses.fields(Settings)]
    unchanged = {name for name in fields if getattr(every, name) == getattr(ONE, name)}
    assert unchanged == {"repair", "routes", "keys", "spend", "litellm"}  # the last: test_file_litellm
    assert reported.repair is not ONE.repair


# --- upstreams --------------------------------------------------------------------------------


def test_upstreams_keep_their_order_and_say_what_they_are() -> None:
    line = "--upstream 'http://a name=first weight=2' --upstream 'http://b:8000 order=2 dialects=chat'"
    assert settings(line, upstream="").upstreams == (
        dataclasses.replace(A, name="first", weight=2),
        dataclasses.replace(B, order=2, dialects=("chat",)),
    )


def test_the_dialect_and_the_profile_are_of_those_that_do_not_say() -> None:
    line = (
        "--upstream 'http://b:8000 dialects=responses profile=openai' --upstream 'http://c dialects=none' "
        "--upstream-dialect messages --upstream-dialect chat --upstream-dialect messages "
        "--upstream-profile vllm"
    )
    spoken = [(one.dialects, one.profile) for one in settings(line).upstreams]
    assert spoken == [(("messages", "chat"), "vllm"), (("responses",), "openai"), ((), "vllm")]


def test_every_dialect_and_profile_can_be_said() -> None:
    for name in dialects.BY_NAME:
        assert settings(f"--upstream 'http://b dialects={name}'").upstreams[1].dialects == (name,)
    for name in dialects.PROFILES:
        assert settings(f"--upstream 'http://b profile={name}'").upstreams[1].profile == name


CHAT = "--upstream 'http://b dialects=chat profile={}' --continue"


@pytest.mark.parametrize("profile", serve_options.CONTINUING)
def test_text_is_continued_where_an_upstream_can(profile: str) -> None:
    assert settings(CHAT.format(profile)).continuation
    assert settings(f"--upstream-profile {profile} --continue").continuation  # where clients ask for chat


def test_a_second_upstream_can_be_asked_beside_the_first() -> None:
    assert settings("--upstream http://b --hedge 2s --retry off").retry == Retry(Repeat.OFF, hedge=2)


# --- refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("--upstream http://a", "--upstream http://a: is there twice"),
        ("--upstream http://a:80/", "--upstream http://a: is there twice"),
        ("--upstream 'http://a name=b'", "--upstream http://a: is there twice"),
        ("--upstream 'http://b name=x' --upstream 'http://c name=x'", "--upstream name x: is there twice"),
        ("--upstream 'http://b weight=0'", "--upstream http://b weight=0: cannot be switched off"),
        ("--upstream 'http://b order=-1'", "--upstream http://b order=-1: count '-1'"),
        ("--upstream 'http://b concurrency=1' --workers 2", "fewer than workers 2"),
        ("--upstream 'http://b profile=vlm'", "did you mean vllm?"),
        ("--upstream b:80", "'b:80': expected http://host"),
        ("--listen 80", "'80': expected host:port"),
        ("--listen :80 --listen :80", "--listen :80: is there twice"),
        ("--admin 80", "'80': expected host:port"),
        ("--admin 127.0.0.1:8787", "--admin: 127.0.0.1:8787 is there twice"),
        ("--socket-mode 660", "--socket-mode 660: there is no listen unix:/path.sock"),
        *((f"--listen unix:/a --socket-mode {mode}", "in octal") for mode in ("1660", "66", "668", "rw")),
        ("--tls-cert c", "--tls-key is missing"),
        ("--tls-key k", "--tls-cert is missing"),
        ("--tls-client-ca a", "--tls-cert is missing"),
        ("--workers 0", "--workers 0: expected 1 to 256"),
        ("--workers 257", "--workers 257: expected 1 to 256"),
        ("--drain 30", "--drain 30: duration '30'"),
        ("--drain none", "--drain none: expected 0 for: live streams are cut at once"),
        ("--drain-delay 5", "--drain-delay 5: duration '5'"),
        ("--keep-alive 15", "--keep-alive 15: duration '15'"),
        ("--keep-alive 20s --timeout silence=none", "--keep-alive and --timeout silence"),
        ("--retry sometimes", "--retry sometimes: 'sometimes' is unknown; expected off, safe, completions"),
        ("--retry attempts=0", "the first attempt counts"),
        ("--retry hedge=2s", "no setting is called 'hedge'"),
        ("--retry 'pause=10s'", "longest-pause is shorter than pause"),
        ("--hedge 2", "--hedge 2: duration '2'"),
        ("--hedge 2s", "--hedge 2s: there is no second upstream"),
        ("--queue length=none", "expected 0 for"),
        ("--queue wait=0", "expected none for"),
        ("--health pause=2m", "longest is shorter than pause"),
        ("--health rise=0", "a target would be well without an answer"),
        ("--timeout idle", "--timeout idle: expected idle=VALUE"),
        ("--timeout idle=1s --timeout idle=2s", "--timeout idle=2s: idle is there twice"),
        ("--timeout connect=none", "cannot be switched off"),
        ("--limit head=65536", "--limit head=65536: size '65536'"),
        ("--limit haed=64KiB", "no setting is called 'haed'; did you mean head?"),
        ("--limit frame=0", "cannot be switched off"),
        ("--continue", "--continue: no upstream can"),
        (CHAT.format("openai"), "--continue: no upstream can"),
        ("--upstream 'http://b profile=vllm dialects=messages' --continue", "--continue: no upstream can"),
        (CHAT.format("vllm") + " --repair off", "--continue: not with repair off"),
        ("--hold-thinking --repair report", "--hold-thinking: not with repair report"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(line: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        settings(line)
    assert told in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "line", ["--workers two", "--upstream-dialect cat", "--repair maybe", "--no-such-flag"]
)
def test_what_argparse_refuses_is_code_2(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        settings(line)
    assert caught.value.code == 2
    assert "error: " in capsys.readouterr().err


# --- help -------------------------------------------------------------------------------------


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """``relay serve --help``, on a narrow terminal."""
    monkeypatch.setenv("COLUMNS", "60")
    with pytest.raises(SystemExit) as caught:
        cli.main(["serve", "--help"])
    assert caught.value.code == 0
    return capsys.readouterr().out


def test_the_help_fits_one_screen_and_begins_with_examples(told: str) -> None:
    lines = told.splitlines()
    assert len(lines) <= 50
    assert max(map(len, lines)) <= 100
    assert lines[0].startswith("usage: ")
    assert lines[2] == "examples:"


def test_the_examples_of_the_help_work(told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "relay.yaml").write_text("upstreams: [{url: http://a}]")
    (tmp_path / "config.yaml").write_text(
        "model_list: [{model_name: m, litellm_params: {model: openai/m, api_key: k}}]"
    )
    examples = [line.strip() for line in told.splitlines() if line.startswith("  relay serve ")]
    assert len(examples) == 3
    for example in examples:
        assert settings(example.removeprefix("relay serve "), upstream="")


@pytest.mark.parametrize(
    ("flag", "struct", "elsewhere"),
    [
        ("--timeout", Timeouts, set()),
        ("--limit", Limits, set()),
        ("--retry", Retry, {"repeat", "hedge"}),
        ("--queue", Queue, set()),
        ("--health", Health, set()),
    ],
)
def test_the_help_names_every_number_with_its_default(
    flag: str, struct: type, elsewhere: set[str], told: str
) -> None:
    """What it says can be said, and changes nothing."""
    text = told.split(f"\n  {flag} ")[1].split("\n  --")[0]
    defaults = [word for word in text.split() if re.fullmatch(r"[a-z-]+=[0-9a-zA-Z]+", word)]
    names = {word.split("=")[0].replace("-", "_") for word in defaults}
    assert names == {field.name for field in dataclasses.fields(struct)} - elsewhere
    assert settings(f"{flag} '{' '.join(defaults)}'") == ONE
