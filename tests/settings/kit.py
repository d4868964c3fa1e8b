"""Settings from the text of a file, flags and an environment, as ``relay serve`` would read them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from relay.cli import serve_options
from relay.config import Settings
from relay.settings.resolved import Resolved
from relay.settings.resolving import Wrong
from relay.source.problems import Problem

UPSTREAM = "{name: up, url: http://u}"


def resolved(
    text: str | None, flags: Sequence[str] = (), environ: Mapping[str, str] | None = None
) -> Resolved:
    """``text`` is that of ``relay.yaml`` in the working directory."""
    config = []
    if text is not None:
        Path("relay.yaml").write_text(text)
        config = ["-c", "relay.yaml"]
    parser = argparse.ArgumentParser(prog="relay serve")
    serve_options.add_arguments(parser)
    return serve_options.settings_of(parser.parse_args([*config, *flags]), environ or {})


def settings_of(
    text: str | None, flags: Sequence[str] = (), environ: Mapping[str, str] | None = None
) -> Settings:
    return resolved(text, flags, environ).settings


def problems_of(
    text: str, environ: Mapping[str, str] | None = None, flags: Sequence[str] = ()
) -> Sequence[Problem]:
    """What is wrong with the file."""
    with pytest.raises(Wrong) as caught:
        resolved(text, flags, environ)
    assert caught.value.lines == ()
    return caught.value.problems


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
