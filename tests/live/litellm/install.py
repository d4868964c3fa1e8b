"""LiteLLM's own environments: one for each version, made once, outside the project.

    ~/.cache/sse-relay/litellm/VERSION-python-X.Y.Z

Three pins are lifted, because a package index that lags by a day would otherwise decide whether a
version can be had: ``certifi`` are the roots of TLS, the other two the migrations of a database and
what is not free. None has a part in a stream on loopback without a database.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import venv
from pathlib import Path

VERSIONS = ("1.83.10", "1.85.0", "1.109.1")
FORBIDDEN = ("1.82.7", "1.82.8")
"""Published by somebody else, with a thief of keys inside: https://github.com/BerriAI/litellm/issues/24512."""
LIFTED = ("certifi", "litellm-proxy-extras", "litellm-enterprise")
INSTALLED_WITHIN = 900.0
ENVIRONMENT = {
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOG": "ERROR",
    "LITELLM_TELEMETRY": "False",
    "LITELLM_MODE": "PRODUCTION",
    "DO_NOT_TRACK": "1",
    "NO_PROXY": "127.0.0.1,localhost",
}


class Lacking(Exception):
    """A version cannot be had here, and why."""


def home(version: str) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "sse-relay" / "litellm" / f"{version}-python-{platform.python_version()}"


def installed(version: str) -> Path:
    """The program of that version, installed where it is missing."""
    if version in FORBIDDEN:
        raise Lacking(f"LiteLLM {version} is malware; it is never installed")
    folder = home(version)
    program = folder / "bin" / "litellm"
    if program.exists():
        return program
    print(f"installing LiteLLM {version} into {folder}", file=sys.stderr, flush=True)
    try:
        venv.create(folder, with_pip=False, clear=True)
        lifted = folder / "lifted.txt"
        lifted.write_text("".join(f"{name}\n" for name in LIFTED))
        python = ("--python", str(folder / "bin" / "python"))
        _run(*_uv(), "pip", "install", *python, "--override", str(lifted), f"litellm[proxy]=={version}")
    except subprocess.CalledProcessError as error:
        last = (error.stderr or error.stdout or "no output").strip().splitlines()[-2:]
        raise Lacking(f"LiteLLM {version}: {' '.join(line.strip() for line in last)}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Lacking(f"LiteLLM {version}: {error}") from error
    return program


def environment() -> dict[str, str]:
    """This process's, less what would give LiteLLM a database, a key or a proxy."""
    left_out = ("LITELLM_", "DATABASE_", "OPENAI_", "ANTHROPIC_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(left_out)}
    return kept | ENVIRONMENT


def _uv() -> list[str]:
    """uv where it is at hand; else from an environment of its own beside the others."""
    found = shutil.which("uv")
    if found:
        return [found]
    folder = home("uv")
    if not (folder / "bin" / "uv").exists():
        venv.create(folder, with_pip=True, clear=True)
        _run(str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "uv")
    return [str(folder / "bin" / "uv")]


def _run(*command: str) -> None:
    subprocess.run(command, capture_output=True, text=True, timeout=INSTALLED_WITHIN, check=True)
