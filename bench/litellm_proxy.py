"""LiteLLM, the rival in translation: installed where it is missing, configured to do nothing else.

It lives in a virtual environment of its own, made from the Python that runs the bench and kept in
the user's cache: its hundred packages are nothing to put beside relay's five. Of its requirements
two pins are lifted, because a package index that lags by a day or two would otherwise decide
whether it can be had: `certifi` are the roots of TLS, `litellm-proxy-extras` the migrations of a
database, and neither has a part in a stream on loopback without a database.

It is asked at /v1/messages for a model of a chat upstream, with all that it could do besides left
out or switched off: one worker, no keys, no database, no telemetry, no logs, no prices fetched
from GitHub, no retries.
"""

import os
import platform
import subprocess
import sys
import venv
from pathlib import Path

WANTED = "litellm[proxy]==1.109.*"
LIFTED = ("certifi", "litellm-proxy-extras")
INSTALLED_WITHIN = 900.0
READY_WITHIN = 120.0
STREAMS = 64
"""More of them are not tried: it falls behind with these, and then a latency is that of a queue."""

CONFIG = """\
model_list:
  - model_name: bench
    litellm_params:
      model: hosted_vllm/bench
      api_base: http://127.0.0.1:{upstream}/v1
      api_key: none
litellm_settings:
  telemetry: false
  num_retries: 0
general_settings:
  disable_spend_logs: true
  disable_error_logs: true
"""
ENVIRONMENT = {
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOG": "ERROR",
    "LITELLM_TELEMETRY": "False",
}


def home() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "sse-relay" / "litellm" / f"python-{platform.python_version()}"


def missing() -> str | None:
    """Why LiteLLM cannot be had, after an attempt to install it; None when it is there."""
    if _program("litellm").exists():
        return None
    folder = home()
    print(f"installing {WANTED} into {folder}", file=sys.stderr, flush=True)
    try:
        venv.create(folder, with_pip=True, clear=True)
        _run(_program("python"), "-m", "pip", "install", "--quiet", "uv")
        lifted = folder / "lifted.txt"
        lifted.write_text("".join(f"{name}\n" for name in LIFTED))
        install = ("pip", "install", "--quiet", "--python", _program("python"))
        _run(_program("uv"), *install, "--override", lifted, WANTED)
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout or "no output").strip().splitlines()
        return f"{WANTED} could not be installed: {' '.join(line.strip() for line in lines[-2:])}"
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{WANTED} could not be installed: {error}"
    return None


def version() -> str:
    script = "from importlib.metadata import version; print(*map(version, ('litellm', 'uvicorn')))"
    litellm, uvicorn = _run(_program("python"), "-c", script).split()
    return f"LiteLLM {litellm} with uvicorn {uvicorn}"


def command(upstream: int, port: int, folder: Path) -> list[str]:
    config = folder / "litellm.yaml"
    config.write_text(CONFIG.format(upstream=upstream))
    ends = ["--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    return [str(_program("litellm")), *ends, "--num_workers", "1"]


def environment() -> dict[str, str]:
    """This process's, less what would give LiteLLM a database or a key."""
    left_out = ("LITELLM_", "DATABASE_")
    return {name: value for name, value in os.environ.items() if not name.startswith(left_out)} | ENVIRONMENT


def _program(name: str) -> Path:
    return home() / "bin" / name


def _run(*command: str | Path) -> str:
    answer = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, timeout=INSTALLED_WITHIN, check=True
    )
    return answer.stdout
