"""config/relay.yaml holds every setting with its default; docs/configuration.md nothing that is not so."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from relay import cli, dialects
from relay.address import Origin
from relay.config import ROUTE_LIMITS, ROUTE_TIMEOUTS, RouteRule, RouteTarget, Settings, Upstream
from relay.settings import environment, options
from relay.settings import form as file_form
from relay.settings.form_limits import RouteLimits, RouteTimeouts
from tests.settings.kit import in_folder, resolved, settings_of
from tests.settings.test_file_settings import PRODUCT

__all__ = ["in_folder"]

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = (ROOT / "config" / "relay.yaml").read_text()
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text()
ENVIRON = {"UPSTREAM_API_KEY": "sk-1"}
FORMS = [
    one
    for one in vars(file_form).values()
    if isinstance(one, type) and issubclass(one, msgspec.Struct) and one is not msgspec.Struct
]
AS_IT_STANDS = Settings(upstreams=(Upstream(Origin("127.0.0.1", 8000), name="vllm"),))

NOT_IN_A_FORM = {"base_path", "origin", "sdk", "digests"}
"""Of the settings' structs: how an address, or a key, is kept."""


def uncommented() -> str:
    """With the settings behind ``#``; prose has a blank there, and examples a second one."""
    return "".join(re.sub(r"^(\s*)#(?=[a-z])", r"\1", line) + "\n" for line in EXAMPLE.splitlines())


def test_as_it_stands_it_is_one_upstream_and_all_defaults(in_folder: Path) -> None:
    assert settings_of(EXAMPLE) == AS_IT_STANDS


def test_uncommented_it_says_the_defaults(in_folder: Path) -> None:
    text = uncommented()
    assert len(yaml.safe_load(text)) > 12
    read = resolved(text)
    assert read.settings == AS_IT_STANDS
    said = {path for path, origin in read.origins.items() if origin.startswith("relay.yaml:")}
    assert {"timeouts.idle", "limits.frame", "keys.ttl", "upstreams[vllm].weight", "workers"} <= said


def examples() -> dict[str, Any]:
    """What stands behind ``##``, each part by itself."""
    blocks: dict[str, str] = {}
    name = ""
    for line in EXAMPLE.splitlines():
        found = re.match(r"(\s*)## ?(.*)", line)
        if found is None or not found[2] or found[2].startswith("have no default"):
            name = ""
            continue
        text = found[1] + found[2]
        if not found[2].startswith((" ", "-")):
            name = text.strip().partition(":")[0]
            blocks[name] = ""
        blocks[name] += text[len(found[1]) :] + "\n"
    return blocks


@pytest.mark.parametrize("name", examples())
def test_each_example_is_good(name: str, in_folder: Path) -> None:
    """Where it stands: in the upstream, under its part, or at the top."""
    for file in ("cert.pem", "key.pem", "ca.pem", "keys.txt"):
        (in_folder / file).write_text("sk-1")
    (in_folder / "config.yaml").write_text("model_list: []")
    block = examples()[name].strip()
    if name == "key_file":
        block = f"key_file: {in_folder / 'keys.txt'}"
    inside = {"accept": "keys", "file": "keys", "verifier": "keys", "webhook": "spend", "token": "spend"}
    upstream = "name: vllm, url: http://u"
    beside = {"token": "webhook: http://w, ", "socket_mode": "listen: unix:/l\n"}.get(name, "")
    if name in ("base_url", "query", "api_key", "key_file", "key_header", "headers"):
        address = "" if name == "base_url" else "url: http://u, "
        text = f"upstreams: [{{name: vllm, {address}{block}}}]\n"
    elif name in inside:
        text = f"upstreams: [{{{upstream}}}]\n{inside[name]}: {{{beside}{block}}}\n"
    else:
        text = f"upstreams: [{{{upstream}}}]\n{beside}{block}\n"
    assert settings_of(text, environ=ENVIRON) != settings_of(
        f"upstreams: [{{{upstream}}}]\n{beside if name == 'socket_mode' else ''}"
    )


@pytest.mark.parametrize("form", FORMS)
def test_every_field_of_every_struct_stands_in_the_example(form: type) -> None:
    for field in msgspec.structs.fields(form):
        name = field.encode_name
        if name not in ("paths", "key_file"):
            assert re.search(rf"(?m)(?:^|[\s{{,#-]){name}:", EXAMPLE), name
    assert "path and paths are the same" in EXAMPLE


def config_fields() -> Iterator[tuple[type, str]]:
    """Each field of the settings, in a form: whoever adds one adds it there."""
    of_sections = {form.of: form for form in FORMS if hasattr(form, "of")}
    for struct, form in of_sections.items():
        names = {field.name for field in msgspec.structs.fields(form)}
        for field in dataclasses.fields(struct):
            if field.name not in names | NOT_IN_A_FORM:
                yield form, field.name


def test_every_setting_is_in_a_form() -> None:
    assert list(config_fields()) == []
    top = {field.name for field in msgspec.structs.fields(file_form.File)}
    assert {field.name for field in dataclasses.fields(Settings)} <= top
    route = {field.name for field in msgspec.structs.fields(file_form.RouteForm)}
    assert {field.name for field in dataclasses.fields(RouteRule)} - {"repeat"} <= route
    target = {field.name for field in msgspec.structs.fields(file_form.TargetForm)}
    assert {field.name for field in dataclasses.fields(RouteTarget)} == target
    assert {field.name for field in msgspec.structs.fields(RouteTimeouts)} == set(ROUTE_TIMEOUTS)
    assert {field.name for field in msgspec.structs.fields(RouteLimits)} == set(ROUTE_LIMITS)


def numbers() -> list[tuple[type, str, Any]]:
    forms = [form for form in FORMS if hasattr(form, "of")]
    return [
        (form, field.name, field.default)
        for form in forms
        for field in msgspec.structs.fields(form)
        if isinstance(field.default, str | int | bool) and field.default not in ("", "authorization")
    ]


@pytest.mark.parametrize(("form", "name", "default"), numbers())
def test_the_defaults_of_the_schema_are_those_of_the_settings(form: Any, name: str, default: Any) -> None:
    if name in (
        "config",
        "url",
        "base_url",
        "api_key",
        "key_file",
        "translate",
        "upstream",
        "client_ca",
        "file",
    ):
        return
    [own] = [field.default for field in dataclasses.fields(form.of) if field.name == name]
    text = options.written(form.of, name, own)
    assert (
        text == {True: "on", False: "off"}.get(default, str(default))
        if isinstance(default, bool)
        else str(default)
    )


def test_the_schema_in_the_folder_is_the_one_that_relay_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "--schema"]) == 0
    printed = capsys.readouterr().out
    assert (ROOT / "config" / "relay.schema.json").read_text() == printed
    schema = json.loads(printed)
    profiles = schema["$defs"]["UpstreamForm"]["properties"]["profile"]["enum"]
    assert sorted(profiles) == sorted(dialects.PROFILES)


@pytest.mark.parametrize("text", [PRODUCT, uncommented(), EXAMPLE], ids=["product", "all", "as-is"])
def test_files_that_are_read_fit_the_schema(text: str) -> None:
    """As far as msgspec checks it: with YAML's types, as an editor would."""
    document = yaml.load(re.sub(r"\$\{\w+\}", "'x'", text), Loader=_Core)
    msgspec.convert(document, file_form.File)


class _Core(yaml.SafeLoader):
    """YAML 1.2, which editors read: on and off are words."""


_Core.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in found if not tag.endswith((":bool", ":timestamp"))]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


# --- docs/configuration.md --------------------------------------------------------------------


def test_the_documentation_begins_with_the_example(in_folder: Path) -> None:
    first = re.findall(r"```yaml\n(.*?)```", CONFIGURATION, re.DOTALL)[0]
    assert first == PRODUCT


def test_its_other_pieces_of_a_route_are_good(in_folder: Path) -> None:
    pieces = re.findall(r"```yaml\n(.*?)```", CONFIGURATION, re.DOTALL)[1:]
    upstreams = ", ".join(
        f"{{name: {name}, url: http://{name}}}" for name in ("a", "b", "c", "claude", "litellm", "vllm")
    )
    one, two = pieces
    for to in re.split(r"(?m)^(?=to:)", one)[1:]:
        text = f"upstreams: [{upstreams}]\nroutes:\n- name: x\n" + "".join(
            f"  {line}\n" for line in to.splitlines()
        )
        assert settings_of(text).routes[0].to
    text = f"upstreams: [{upstreams}]\nroutes:\n- name: x\n" + "".join(
        f"  {line}\n" for line in two.splitlines()
    )
    renamed = {rule.models: [target.model for target in rule.to] for rule in settings_of(text).routes}
    assert renamed == {("fast",): ["qwen3-coder", "gpt-4o-mini"], ("openai/*",): ["qwen3-coder", "*"]}


def test_its_variables_are_variables() -> None:
    known = {*environment.variables(), environment.CONFIG}
    named = set(re.findall(r"RELAY_[A-Z0-9_]+", CONFIGURATION)) - {"RELAY_"}
    foreign = {"RELAY_SERVICE_HOST", "RELAY_PORT_8787_TCP"}
    assert named - foreign <= known
    assert set(environment.unknown(dict.fromkeys(foreign, "x"))) == set()


def test_its_commands_are_commands(in_folder: Path) -> None:
    (in_folder / "relay.yaml").write_text("upstreams: [{url: http://127.0.0.1:1}]")
    commands = re.findall(r"(?m)^(relay check [^#\n]*)", CONFIGURATION)
    assert len(commands) >= 3
    codes = [cli.main(shlex.split(command)[1:]) for command in commands]
    assert codes == [3 if "--reach" in command else 0 for command in commands]


def test_its_flags_are_flags(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["serve", "--help"])
    with pytest.raises(SystemExit):
        cli.main(["check", "--help"])
    told = capsys.readouterr().out
    for flag in set(re.findall(r"`(--[a-z-]+)", CONFIGURATION)):
        assert flag in told or flag.replace("--no-", "--") in told, flag
