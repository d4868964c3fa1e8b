"""The runner as a command, with each proxy that it can start and with one that runs already."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter

import pytest

from .catalogue import CASES
from .proxies import NAMES, ROOT, started
from .upstream import Upstream


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.attacks.run", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=50, check=False, cwd=ROOT)


def installed(name: str) -> bool:
    return name == "relay" or shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/sbin") is not None


@pytest.mark.parametrize("name", NAMES)
def test_sound_requests_and_answers_pass_through_each_proxy(name: str) -> None:
    if not installed(name):
        pytest.skip(f"{name} is not installed")
    ran = run("--proxy", name, "--only", "sound: ", "--json")
    told = json.loads(ran.stdout)
    assert ran.returncode == 0, ran.stdout
    assert told["proxy"].split()[0] == name
    assert told["score"]["sound"]["passed"] == told["score"]["all"]["of"] > 15


def test_a_proxy_that_runs_already() -> None:
    upstream = Upstream()
    port = upstream.port
    with started("relay", port) as proxy:
        upstream.close()
        where = f"127.0.0.1:{proxy.address[1]}"
        ran = run("--proxy", where, "--upstream-port", str(port), "--only", "nominated: ", "--all")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "pass  nominated: host " in ran.stdout
    assert "nominated                 18 of 18" in ran.stdout


def test_a_proxy_that_is_none() -> None:
    ran = run("--proxy", "squid")
    assert (ran.returncode, ran.stderr) == (3, "squid: expected relay, nginx, haproxy or HOST:PORT\n")


def test_the_table_in_the_docs_counts_the_cases_there_are() -> None:
    text = (ROOT / "docs" / "attacks.md").read_text()
    told = {theme: int(of) for theme, of in re.findall(r"^\| ([a-z: ]+) \| (\d+) \|", text, re.MULTILINE)}
    assert told == Counter(case.theme for case in CASES)
    assert f"| **all** | **{len(CASES)}** |" in text
