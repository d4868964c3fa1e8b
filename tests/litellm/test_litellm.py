"""LiteLLM's file, read as LiteLLM reads it: nothing of it is an error that LiteLLM would not have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from relay.litellm.file import LiteLLMFile, read
from relay.source.problems import Problem

CONFIGS = Path(__file__).parents[1] / "data" / "litellm_config"
NOTHING: Mapping[str, str] = {}


def load(path: Path, environ: Mapping[str, str] = NOTHING) -> tuple[LiteLLMFile | None, list[Problem]]:
    problems: list[Problem] = []
    return read(str(path), environ, problems), problems


def written(tmp_path: Path, text: str, environ: Mapping[str, str] = NOTHING) -> LiteLLMFile:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    file, problems = load(path, environ)
    assert file is not None
    assert not problems
    return file


def refused(tmp_path: Path, text: str | bytes) -> list[str]:
    path = tmp_path / "config.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    file, problems = load(path)
    assert file is None
    assert problems
    return [str(problem) for problem in problems]


def one(model: str = "openai/gpt-4o", **params: Any) -> str:
    said = "".join(f", {name}: {value}" for name, value in params.items())
    return f"model_list: [{{model_name: m, litellm_params: {{model: {model}{said}}}}}]\n"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_typical_files_are_read(path: Path) -> None:
    file, problems = load(path)
    assert file is not None
    assert not problems
    assert not file.warnings
    assert file.deployments


def test_a_deployment_knows_its_place() -> None:
    file, _ = load(CONFIGS / "mixed.yaml")
    assert file is not None
    assert [one.name for one in file.deployments][:3] == ["gpt-4o", "claude-sonnet", "gpt-4.1-azure"]
    assert file.deployments[1].place.endswith("mixed.yaml:7")
    assert file.deployments[8].mode == "embedding"
    assert file.aliases == {"gpt-4": "gpt-4o", "fast": "qwen"}


def test_a_variable_is_filled_in_or_named() -> None:
    path = CONFIGS / "mixed.yaml"
    file, _ = load(path, {"OPENAI_API_KEY": "sk-o"})
    assert file is not None
    assert file.deployments[0].params["api_key"] == "sk-o"
    assert file.deployments[1].unset == ("ANTHROPIC_API_KEY",)
    assert file.deployments[1].params["api_key"] is None


def test_anchors_credentials_variables_and_included_files() -> None:
    file, _ = load(CONFIGS / "anchored.yaml", {"OUTER_TEAM_KEY": "sk-team"})
    assert file is not None
    qwen, named, mini = file.deployments
    assert qwen.params["api_key"] == "sk-from-the-file"
    assert qwen.params["api_base"] == "http://vllm.internal:8000/v1"
    assert named.params["api_key"] == "sk-team"
    assert (mini.name, mini.place.rpartition("/")[2]) == ("mini", "more-models.yaml:2")
    assert [Path(path).name for path in file.files] == ["anchored.yaml", "more-models.yaml"]
    assert file.aliases["hidden-qwen"] == "qwen"


def test_an_included_file_adds_to_lists_and_replaces_the_rest(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(
        one("openai/b") + "litellm_settings: {num_retries: 7}\ninclude: [c.yaml]"
    )
    (tmp_path / "c.yaml").write_text(one("openai/c") + "include: [config.yaml, c.yaml]")
    file = written(tmp_path, one("openai/a") + "litellm_settings: {cache: true}\ninclude: [b.yaml]")
    assert [one.model for one in file.deployments] == ["openai/a", "openai/b", "openai/c"]
    assert file.section("litellm_settings") == {"num_retries": 7}
    assert len(file.files) == 3


def test_an_included_file_that_is_missing_is_told_where_it_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(one() + "include:\n  - absent.yaml\n")
    file, (problem,) = load(path)
    assert file is not None
    assert problem.place[:3] == (str(path), 3, 3)
    assert "absent.yaml" in problem.message


@pytest.mark.parametrize("include", ["models.yaml", "{a: b}", "[3]", "[[a]]"])
def test_an_include_that_is_no_list_of_names(tmp_path: Path, include: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"include: {include}\n")
    _, problems = load(path)
    assert len(problems) == 1


def test_what_is_legal_for_litellm_is_no_error(tmp_path: Path) -> None:
    file = written(
        tmp_path, one(api_key="'${NOT_A_VARIABLE}'", api_base="'http://a/v1'") + "\nx: {a: 1, a: 2}\n"
    )
    assert file.deployments[0].params["api_key"] == "${NOT_A_VARIABLE}"
    (warning,) = file.warnings
    assert ":3: 'a' is there twice" in warning


def test_the_last_of_two_lists_counts(tmp_path: Path) -> None:
    file = written(tmp_path, one("openai/a") + one("openai/b"))
    assert [one.model for one in file.deployments] == ["openai/b"]
    assert file.deployments[0].place.endswith("config.yaml:2")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("just text", "no section"),
        ("{litellm_params: {model: openai/a}}", "without a model_name"),
        ("{model_name: 4, litellm_params: {model: openai/a}}", "without a model_name"),
        ("{model_name: a}", "a has no litellm_params"),
        ("{model_name: a, litellm_params: {api_key: sk-secret}}", "a has no model"),
        ("{model_name: a, litellm_params: {model: [openai/a]}}", "a has no model"),
    ],
)
def test_what_litellm_cannot_serve_is_left_out_with_a_word(tmp_path: Path, entry: str, words: str) -> None:
    file = written(tmp_path, f"model_list:\n  - {entry}\n")
    assert not file.deployments
    (warning,) = file.warnings
    assert words in warning
    assert ":2:" in warning
    assert "secret" not in warning


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- a list",
        "just text",
        "model_list: [",
        "a: b: c",
        "a: 'open",
        "a:\n\t- b",
        "a: *nowhere",
        "a: !python/object:os.system {}",
        "? [a]\n: b",
        "{a: b}\n---\n{c: d}",
        "a: 2024-13-45",
        "[" * 5000,
        "a: &a [*a, *a]\n&a b: c: d",
        b"\xff\xfe",
        b"a: \x00",
    ],
    ids=range(16),
)
def test_what_litellm_cannot_load_is_a_problem(tmp_path: Path, text: str | bytes) -> None:
    assert refused(tmp_path, text)


def test_a_mistake_is_shown_in_its_place(tmp_path: Path) -> None:
    (said,) = refused(tmp_path, "model_list:\n  - model_name: a\n   litellm_params: {}\n")
    assert said.startswith(f"{tmp_path}/config.yaml:3:")


def test_no_key_is_shown_beside_a_mistake(tmp_path: Path) -> None:
    (said,) = refused(tmp_path, 'general_settings:\n  master_key: "sk-very-secret-1234\n')
    assert "very-secret" not in said


def test_a_structure_that_holds_itself_is_read(tmp_path: Path) -> None:
    file = written(tmp_path, "x: &x {again: *x}\n" + one(extra_headers="{a: b}"))
    assert file.deployments[0].params["extra_headers"] == {"a": "b"}


def test_nothing_shows_a_value() -> None:
    file, _ = load(CONFIGS / "anchored.yaml", {"OUTER_TEAM_KEY": "sk-team-secret"})
    assert file is not None
    assert "secret" not in repr(file)
    assert "sk-from" not in repr(file)
