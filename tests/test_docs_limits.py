"""docs/limits.md tells every limit once: its flag, its default, and whether it can be switched off."""

from __future__ import annotations

import argparse
import dataclasses
import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest

from relay.cli import serve_options
from relay.config import Drain, Health, Limits, Queue, Retry, Settings, Timeouts, Upstream
from relay.net import descriptors
from relay.settings import options

LIMITS = Path(__file__).resolve().parents[1] / "docs" / "limits.md"
FLAGS: dict[type, str] = {
    Timeouts: "--timeout {}={}",
    Limits: "--limit {}={}",
    Queue: "--queue {}={}",
    Retry: "--retry {}={}",
    Health: "--health {}={}",
}
OWN = {
    (Upstream, "concurrency"): "--upstream 'URL concurrency={}'",
    (Retry, "hedge"): "--hedge {}",
    (Drain, "delay"): "--drain-delay {}",
    (Drain, "timeout"): "--drain {}",
}
"""Fields whose flag is not that of their struct."""
NO_LIMITS = {(Upstream, "order"), (Upstream, "weight")}

FIELDS = [
    (struct, field.name)
    for struct in (*FLAGS, Drain, Upstream)
    for field in dataclasses.fields(struct)
    if type(field.default) in (int, float) and (struct, field.name) not in NO_LIMITS
]
every_field = pytest.mark.parametrize(
    ("struct", "name"), FIELDS, ids=[f"{struct.__name__}.{name}" for struct, name in FIELDS]
)


class Row(NamedTuple):
    what: str
    setting: str
    beyond: str
    off: str


def rows() -> list[Row]:
    """All rows of the tables that tell of settings."""
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in LIMITS.read_text().splitlines()
        if line.startswith("| ")
    ]
    return [Row(*row) for row in cells if len(row) == len(Row._fields) and row[1] != "setting"]


def flag(struct: type, name: str) -> str:
    """As the document shows it: with its default."""
    default = options.written(struct, name, struct.__dataclass_fields__[name].default)
    if (struct, name) in OWN:
        return OWN[struct, name].format(default)
    return FLAGS[struct].format(name.replace("_", "-"), default)


def row_of(struct: type, name: str) -> Row:
    [row] = [row for row in rows() if row.setting == f"`{flag(struct, name)}`"]
    return row


def test_every_field_has_its_row_and_every_row_its_field() -> None:
    assert sorted(row.setting for row in rows()) == sorted(f"`{flag(*field)}`" for field in FIELDS)


@every_field
def test_a_row_says_what_is_limited(struct: type, name: str) -> None:
    assert row_of(struct, name).what


@every_field
def test_a_row_says_how_it_is_switched_off_or_why_it_is_not(struct: type, name: str) -> None:
    off = options.OFF[struct][name]
    words = " ".join(f"`{word}`" for word in off.words) or "no"
    assert row_of(struct, name).off == f"{words}: {off.effect}"


def settings(line: str) -> Settings:
    parser = argparse.ArgumentParser()
    serve_options.add_arguments(parser)
    return serve_options.settings_of(parser.parse_args(shlex.split(line)), environ={}).settings


@every_field
def test_a_flag_can_be_given_as_it_is_shown_and_changes_nothing(struct: type, name: str) -> None:
    line = flag(struct, name)
    url = "" if "URL" in line else "--upstream http://h "
    assert settings(url + line.replace("URL", "http://h")) == settings("--upstream http://h")


def test_other_flags_in_the_text_can_be_given_too() -> None:
    shown = [span for span in re.findall(r"`(--[^`]+)`", LIMITS.read_text()) if " " in span]
    assert len(shown) > len(FIELDS)
    for line in shown:
        if "URL" not in line:
            assert settings(f"--upstream http://h {line}")


def test_the_descriptors_that_are_no_clients_are_as_many_as_the_text_says() -> None:
    assert f"(descriptors - {descriptors.RESERVE}) / 2" in LIMITS.read_text()
