"""What ``relay.yaml`` makes of the settings: what each entry becomes, what counts where several speak."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.address import ListenAddress, Origin
from relay.cli import serve_options
from relay.config import (
    Direct,
    Limits,
    LiteLLM,
    Repair,
    Repeat,
    Retry,
    RouteRule,
    RouteTarget,
    Settings,
    Timeouts,
    Tls,
    Upstream,
)
from relay.errors import UsageError
from relay.settings import options, scalars
from relay.settings.flat import flat
from relay.settings.resolving import Wrong
from tests.settings.kit import UPSTREAM, in_folder, resolved, settings_of

__all__ = ["in_folder"]

ROOT = Path(__file__).resolve().parents[2]
ONE = Settings(upstreams=(Upstream(Origin("u", 80), name="up"),))
PRODUCT = """\
# yaml-language-server: $schema=./relay.schema.json
listen: [127.0.0.1:8787, unix:/run/relay/relay.sock]
admin: 127.0.0.1:8788
upstreams:
  - {name: vllm, url: unix:/run/vllm.sock, dialects: [chat]}
  - {name: litellm, url: http://litellm:4000, dialects: [chat, messages, responses]}
  - {name: claude, url: https://api.anthropic.com, dialects: [messages], api_key: ${ANTHROPIC_API_KEY}}
routes:
  - {models: ["claude-*"], path: /v1/messages, to: [claude, litellm]}
  - {models: ["*"], to: vllm, repair: on, keep_alive: 15s}
timeouts: {connect: 5s, head: 300s, first_frame: 300s, idle: 300s, client_stall: 60s}
drain: {delay: 5s, timeout: 30s}
"""


# --- what each entry becomes ------------------------------------------------------------------


def test_the_example_of_the_documentation_is_read(in_folder: Path) -> None:
    read = settings_of(PRODUCT, environ={"ANTHROPIC_API_KEY": "sk-1"})
    assert read.listen == (ListenAddress("127.0.0.1", 8787), ListenAddress(path="/run/relay/relay.sock"))
    assert read.admin == (ListenAddress("127.0.0.1", 8788),)
    assert [one.name for one in read.upstreams] == ["vllm", "litellm", "claude"]
    assert read.upstreams[2].api_key == "sk-1"
    assert read.routes == (
        RouteRule(
            to=(RouteTarget("claude", 1), RouteTarget("litellm", 2)),
            models=("claude-*",),
            paths=("/v1/messages",),
        ),
        RouteRule(to=(RouteTarget("vllm"),), models=("*",), repair=Repair.ON, timeouts=(("silence", 15.0),)),
    )
    assert (read.drain.delay, read.drain.timeout) == (5, 30)
    assert "${ANTHROPIC_API_KEY}" in (ROOT / "docs" / "configuration.md").read_text()


@pytest.mark.parametrize(
    ("text", "upstream"),
    [
        ("url: https://h/base", Upstream(Origin("h", 443, tls=True), "/base")),
        ("base_url: http://h/v1", Upstream(Origin("h", 80), "/v1", sdk=True)),
        ("{url: http://h, dialects: chat}", Upstream(Origin("h", 80), dialects=("chat",))),
        ("{url: http://h, dialects: none}", Upstream(Origin("h", 80))),
        ("{url: http://h, order: 0, weight: 3}", Upstream(Origin("h", 80), order=0, weight=3)),
        ("{url: http://h, concurrency: none}", Upstream(Origin("h", 80))),
        ("{url: http://h, query: a=b&c=d}", Upstream(Origin("h", 80), query="a=b&c=d")),
        ("{url: http://h, api_key: '123'}", Upstream(Origin("h", 80), api_key="123")),
        ("{url: http://h, api_key: ${DIGITS}}", Upstream(Origin("h", 80), api_key="123")),
        ("{url: http://h, api_key: os.environ/DIGITS}", Upstream(Origin("h", 80), api_key="123")),
        ("{url: http://h, key_file: key}", Upstream(Origin("h", 80), api_key="from-file")),
        (
            "{url: http://h, key_header: api-key, headers: {X-Team: a b}}",
            Upstream(Origin("h", 80), key_header="api-key", headers=(("X-Team", "a b"),)),
        ),
    ],
)
def test_an_upstream(text: str, upstream: Upstream, in_folder: Path) -> None:
    (in_folder / "key").write_text("from-file\n")
    (in_folder / "key").chmod(0o600)
    assert settings_of(f"upstreams:\n- {text}\n", environ={"DIGITS": "123"}).upstreams == (upstream,)


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("to: up", [RouteRule((RouteTarget("up"),))]),
        ("to: http://o", [RouteRule((RouteTarget("http://o"),))]),
        ("to: [up, http://o]", [RouteRule((RouteTarget("up", 1), RouteTarget("http://o", 2)))]),
        (
            "to: [{upstream: up, weight: 3}, {upstream: http://o, weight: 1}]",
            [RouteRule((RouteTarget("up", 1, 3), RouteTarget("http://o", 1, 1)))],
        ),
        (
            "to: [{upstream: up, order: 5}, "
            "{upstream: http://o, model: m-*, dialects: [chat], profile: vllm}]",
            [RouteRule((RouteTarget("up", 5), RouteTarget("http://o", 2, 1, "m-*", ("chat",), "vllm")))],
        ),
        (
            "{to: up, models: {a: x, b: y, c: x}}",
            [
                RouteRule((RouteTarget("up", model="x"),), models=("a", "c")),
                RouteRule((RouteTarget("up", model="y"),), models=("b",)),
            ],
        ),
        (
            "{to: [{upstream: up, model: own}, http://o], models: {a: x}}",
            [
                RouteRule(
                    (RouteTarget("up", model="own"), RouteTarget("http://o", 2, model="x")), models=("a",)
                )
            ],
        ),
        ("{to: up, path: [/a, /b*]}", [RouteRule((RouteTarget("up"),), paths=("/a", "/b*"))]),
        ("{to: up, headers: {X-A: b*}}", [RouteRule((RouteTarget("up"),), headers=(("x-a", "b*"),))]),
        ("{to: up, stream: yes}", [RouteRule((RouteTarget("up"),), stream=True)]),
        ("{to: up, without: [a, b]}", [RouteRule((RouteTarget("up"),), without=("a", "b"))]),
        (
            "{to: up, name: n, repair: no, ask_usage: on, retry: completions}",
            [
                RouteRule(
                    (RouteTarget("up"),), "n", repair=Repair.OFF, ask_usage=True, repeat=Repeat.COMPLETIONS
                )
            ],
        ),
        (
            "{to: up, keep_alive: 5s, timeouts: {idle: none}, limits: {frame: 1MiB}}",
            [
                RouteRule(
                    (RouteTarget("up"),),
                    timeouts=(("idle", 0.0), ("silence", 5.0)),
                    limits=(("frame", 1 << 20),),
                )
            ],
        ),
    ],
)
def test_a_route(text: str, rules: list[RouteRule], in_folder: Path) -> None:
    upstreams = f"upstreams: [{UPSTREAM}, {{url: http://o}}]"
    assert list(settings_of(f"{upstreams}\nroutes:\n- {text}\n").routes) == rules


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("listen: :1", {"listen": (ListenAddress("", 1),)}),
        (
            "{listen: [unix:/a], socket_mode: 0660}",
            {"listen": (ListenAddress(path="/a"),), "socket_mode": 0o660},
        ),
        ("tls: {cert: c, key: sub/k}", {"tls": Tls("c", "sub/k")}),
        ("tls: {cert: /c, key: /k, client_ca: /a}", {"tls": Tls("/c", "/k", "/a")}),
        ("repair: no", {"repair": Repair.OFF}),
        ("repair: Report", None),
        ("ask_usage: Yes", {"ask_usage": True}),
        ("retry: off", {"retry": Retry(Repeat.OFF)}),
        ("retry: {repeat: completions, attempts: 5}", {"retry": Retry(Repeat.COMPLETIONS, 5)}),
        ("keep_alive: none", {"timeouts": Timeouts(silence=0)}),
        ("{keep_alive: 20s, timeouts: {silence: 20s}}", {"timeouts": Timeouts(silence=20)}),
        ("timeouts: {idle: 0}", {"timeouts": Timeouts(idle=0)}),
        ("limits: {body: 1GB}", {"limits": Limits(body=10**9)}),
        ("timeouts:", {}),
        ("timeouts: &t {idle: 1s}", {"timeouts": Timeouts(idle=1)}),
    ],
)
def test_a_setting(text: str, changed: dict[str, Any] | None, in_folder: Path) -> None:
    whole = (
        f"{{upstreams: [{UPSTREAM}], {text[1:]}"
        if text.startswith("{")
        else f"upstreams: [{UPSTREAM}]\n{text}\n"
    )
    if changed is None:
        with pytest.raises(UsageError, match="did you mean report"):
            settings_of(whole)
    else:
        assert settings_of(whole) == replace(ONE, **changed)


def test_client_keys_are_kept_as_hashes(in_folder: Path) -> None:
    (in_folder / "keys.txt").write_text("# clients\nsk-two\n")
    (in_folder / "keys.txt").chmod(0o600)
    one, two, three = (hashlib.sha256(key.encode()).digest() for key in ("sk-one", "sk-two", "sk-three"))
    text = f"upstreams: [{UPSTREAM}]\nkeys: {{accept: [sk-one, 'sha256:{three.hex()}'], file: keys.txt}}\n"
    found = resolved(text)
    assert found.settings.keys.digests == (one, three, two)
    assert found.files == ("relay.yaml", "keys.txt")
    assert "sk-" not in repr(found) + "".join(flat(found.settings).values())


def test_files_are_sought_beside_the_file_that_names_them(in_folder: Path) -> None:
    (in_folder / "conf").mkdir()
    (in_folder / "conf" / "key").write_text("secret")
    (in_folder / "conf" / "own.yaml").write_text(
        "upstreams: [{url: http://u, key_file: key}]\ntls: {cert: c.pem, key: /k.pem}\n"
    )
    read = resolved(None, ["-c", "conf/own.yaml"])
    assert read.settings.upstreams[0].api_key == "secret"
    assert read.settings.tls == Tls("conf/c.pem", "/k.pem")
    assert read.files == ("conf/own.yaml", "conf/key")


def test_a_secret_that_everybody_can_read_is_warned_of(in_folder: Path) -> None:
    (in_folder / "key").write_text("secret")
    (in_folder / "key").chmod(0o644)
    [warning] = resolved("upstreams: [{url: http://u, key_file: key}]").warnings
    assert warning.startswith("relay.yaml:1:39: key can be read by every user")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "{upstreams: [{name: a, url: http://a}, {name: b, url: http://b}], routes: [{to: a}]}",
            "relay.yaml:1:47: no route leads to b",
        ),
        (
            "{upstreams: [{name: a, url: http://a, api_key: k}], listen: ':80'}",
            "relay.yaml:1:48: everybody who reaches relay uses the key of a: keys.accept says who may",
        ),
    ],
)
def test_what_is_seldom_meant_is_warned_of(text: str, told: str, in_folder: Path) -> None:
    assert list(resolved(text).warnings) == [told]


# --- what counts where several speak ----------------------------------------------------------

SWITCHED = {"ask_usage": "--ask-usage", "hold_thinking": "--hold-thinking", "continue": "--continue"}
FLAGS = {path: flag for flag, path in serve_options.SINGLE.items()}
LINES = {part: flag for flag, (part, _, _) in serve_options.LINES.items()}
CONTINUING = "{name: up, url: http://u, profile: vllm, dialects: [chat]}"
SECOND = "{name: other, url: http://o}"
BESIDE: dict[str, str] = {
    "tls.cert": "tls.key: k",
    "tls.key": "tls.cert: c",
    "tls.client_ca": "tls.cert: c\ntls.key: k",
    "spend.token": "spend.webhook: http://w",
    "litellm.url": "litellm.config: config.yaml",
    "litellm.direct": "litellm.config: config.yaml",
    "litellm.translate": "litellm.config: config.yaml",
    "socket_mode": "listen: unix:/l",
}
"""What a setting needs beside it."""
CHOSEN: dict[str, list[str]] = {
    "repair": ["report", "off", "on"],
    "retry.repeat": ["off", "completions", "safe"],
    "litellm.direct": ["streams", "all", "none"],
    "litellm.translate": ["litellm", "relay", "litellm"],
    "litellm.url": ["http://l1", "http://l2", "http://l3"],
    "litellm.config": ["one.yaml", "two.yaml", "three.yaml"],
    "spend.webhook": ["http://w1", "http://w2", "http://w3"],
    "keys.verifier": ["up", "other", "up"],
    "socket_mode": ["600", "660", "666"],
}
"""Three values that differ from each other, the first two also from the default."""


def values_for(path: str) -> list[str]:
    if path in CHOSEN:
        return CHOSEN[path]
    kind = type(scalars.default(path))
    if kind is bool:
        return ["on", "off", "on"]
    if kind is float:
        return ["4s", "3s", "2s"] if path != "retry.pause" else ["4ms", "3ms", "2ms"]
    if kind is int:
        sized = path.startswith("limits.") and path.partition(".")[2] in options.SIZES[Limits]
        return ["40KiB", "30KiB", "20KiB"] if sized else ["40", "30", "20"]
    return ["one", "two", "three"]


def flag_for(path: str, text: str) -> list[str] | None:
    """None where no flag sets it."""
    if path in SWITCHED:
        return [SWITCHED[path] if text == "on" else SWITCHED[path].replace("--", "--no-", 1)]
    if path in FLAGS:
        return [FLAGS[path], text]
    part, _, name = path.partition(".")
    if path == "retry.repeat":
        return ["--retry", text]
    if part in LINES:
        return [LINES[part], f"{name}={text}"]
    return None


def written(path: str, text: str) -> str:
    part, dot, name = path.partition(".")
    lines = [f"{part}: {{{name}: {text}}}" if dot else f"{part}: {text}"]
    for beside in filter(None, BESIDE.get(path, "").splitlines()):
        key, _, value = beside.partition(": ")
        section, dot, inner = key.partition(".")
        if dot and section == part:
            lines[0] = lines[0][:-1] + f", {inner}: {value}}}"
        else:
            lines.append(f"{section}: {{{inner}: {value}}}" if dot else beside)
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("path", scalars.FIELDS)
def test_a_flag_counts_before_a_variable_before_the_file_before_the_default(
    path: str, in_folder: Path
) -> None:
    for name in ("config.yaml", *CHOSEN["litellm.config"]):
        (in_folder / name).write_text(
            "model_list: [{model_name: m, litellm_params: {model: openai/m, api_key: k}}]"
        )
    first, second, third = values_for(path)
    text = f"upstreams: [{CONTINUING}, {SECOND}]\n{written(path, third)}"
    name = scalars.variable(path)

    def found(flags: list[str], environ: dict[str, str]) -> tuple[Any, str]:
        read = resolved(text, flags, environ)
        assert flat(read.settings).keys() == read.origins.keys()
        return flat(read.settings)[path], read.origins[path]

    if path in scalars.SECRET:
        first = second = third = "set, not shown"
    by_file, origin = found([], {})
    assert (by_file, origin.rpartition(":")[0].rpartition(":")[0]) == (third, "relay.yaml")
    assert found([], {name: values_for(path)[1]}) == (second, name)
    flag = flag_for(path, first)
    if flag is not None:
        shown = flag[0] if path not in SWITCHED else SWITCHED[path]
        assert found(flag, {name: second}) == (first, shown)
        assert found(flag, {}) == (first, shown)
    assert resolved(f"upstreams: [{UPSTREAM}]\n").origins.get(path, "default") == "default"


def test_a_flag_takes_the_place_of_the_whole_list_of_the_file(in_folder: Path) -> None:
    text = f"upstreams: [{UPSTREAM}]\nlisten: [':1', ':2']\nadmin: ':3'\n"
    read = resolved(text, ["--listen", ":4", "--upstream", "http://o weight=2"], {"RELAY_ADMIN": ":5 :6"})
    assert read.settings.listen == (ListenAddress("", 4),)
    assert read.settings.admin == (ListenAddress("", 5), ListenAddress("", 6))
    assert [str(one) for one in read.settings.upstreams] == ["http://o"]
    assert (read.origins["listen"], read.origins["admin"]) == ("--listen", "RELAY_ADMIN")
    assert read.origins["upstreams[http://o].weight"] == "--upstream"
    assert read.origins["upstreams[http://o].order"] == "default"


def test_flags_say_what_upstreams_of_the_file_do_not(in_folder: Path) -> None:
    text = (
        "upstreams: [{url: http://a}, {url: http://b, dialects: [chat], profile: openai}, "
        "{url: http://c, dialects: none}]"
    )
    read = settings_of(text, ["--upstream-dialect", "messages", "--upstream-profile", "vllm"])
    spoken = [(one.dialects, one.profile) for one in read.upstreams]
    assert spoken == [(("messages",), "vllm"), (("chat",), "openai"), ((), "vllm")]


# --- LiteLLM ----------------------------------------------------------------------------------

LITELLM = "model_list: [{model_name: gpt, litellm_params: {model: openai/gpt-4o, api_key: os.environ/OAI}}]\n"


def test_what_litellms_file_makes_comes_after_what_is_ones_own(in_folder: Path) -> None:
    (in_folder / "config.yaml").write_text(LITELLM + "general_settings: {master_key: sk-master}\n")
    text = (
        f"upstreams: [{UPSTREAM}]\nroutes: [{{models: [own], to: [up, litellm]}}]\n"
        "litellm: {config: config.yaml, direct: streams}\n"
    )
    read = resolved(text, environ={"OAI": "sk-1"})
    names = [str(one) for one in read.settings.upstreams]
    assert names[:2] == ["up", "litellm"]
    assert read.settings.routes[0].models == ("own",)
    assert any("gpt" in rule.models for rule in read.settings.routes[1:])
    assert read.settings.litellm == LiteLLM("config.yaml", direct=Direct.STREAMS)
    assert read.settings.keys.digests == (hashlib.sha256(b"sk-master").digest(),)
    assert read.said
    assert read.files == ("relay.yaml", "config.yaml")
    assert read.origins["upstreams[litellm].url"] == "config.yaml"
    assert read.origins["keys.accept"] == "config.yaml"
    by_flag = resolved(None, ["--litellm", "config.yaml", "--direct", "streams"], {"OAI": "sk-1"})
    assert by_flag.settings.upstreams == read.settings.upstreams[1:]
    assert by_flag.settings.routes == read.settings.routes[1:]


def test_ones_own_keys_take_the_place_of_litellms(in_folder: Path) -> None:
    (in_folder / "config.yaml").write_text(LITELLM + "general_settings: {master_key: sk-master}\n")
    read = settings_of("{litellm: {config: config.yaml}, keys: {accept: [sk-own]}}", environ={"OAI": "sk-1"})
    assert read.keys.digests == (hashlib.sha256(b"sk-own").digest(),)
    assert read.keys.verifier == ""


def test_two_upstreams_cannot_be_called_litellm(in_folder: Path) -> None:
    (in_folder / "config.yaml").write_text(LITELLM)
    with pytest.raises(UsageError, match=r"relay.yaml:1:21: .*give yours another name"):
        settings_of(
            "{upstreams: [{name: litellm, url: http://u}], litellm: {config: config.yaml}}",
            environ={"OAI": "k"},
        )


# --- anything at all --------------------------------------------------------------------------

PIECES = st.lists(
    st.sampled_from(
        [
            *"{}[]:,-&*#|>'\"!%@` \n\té~",
            *("\n  ", "\n- ", ": ", "no", "12:30", "2024-10-21", "0x1F", "1_000", "<<", "---\n"),
            *[
                "name",
                "url",
                "to",
                "models",
                "routes",
                "upstreams",
                "timeouts",
                "idle",
                "keys",
                "accept",
                "listen",
            ],
            *("http://a", "5", "5s", "64KiB", "${X}", "${X:-5s}", "os.environ/X"),
        ]
    ),
    max_size=12,
).map("".join)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(at=st.integers(0, len(PRODUCT)), removed=st.integers(0, 40), added=PIECES)
def test_any_change_of_a_file_is_read_or_told(at: int, removed: int, added: str, in_folder: Path) -> None:
    text = PRODUCT[:at] + added + PRODUCT[at + removed :]
    try:
        read = resolved(text, environ={"ANTHROPIC_API_KEY": "sk-1"})
    except Wrong as wrong:
        told = str(wrong)
    else:
        told = "fine"
        assert flat(read.settings).keys() == read.origins.keys()
    assert told


def test_nothing_that_reads_files_is_imported_without_one() -> None:
    script = (
        "import sys; from relay import cli; from relay.cli import serve_options as s; import argparse\n"
        "p = argparse.ArgumentParser(); s.add_arguments(p)\n"
        "s.settings_of(p.parse_args(['--upstream', 'http://a']), {})\n"
        "print([name for name in ('yaml', 'msgspec') if name in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30, cwd=ROOT
    )
    assert ran.stdout.strip() == "[]"
