"""The Node SDKs: one process of ``node/judge.mjs``, fed with jobs, read for outcomes."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .corpus import Capture
from .outcome import Outcome
from .reading import Content, arguments

HERE = Path(__file__).parent / "node"
LINE = 1 << 22

_OPENAI = [f"js {sdk} {way}" for sdk in ("openai7", "openai6", "openai4") for way in ("create", "stream")]
_ANTHROPIC = [f"js {sdk} {way}" for sdk in ("anthropic1", "anthropic0") for way in ("create", "stream")]

NODE_JUDGES = {
    "chat": [*_OPENAI, "js ai openai", "js ai openai-compatible"],
    "responses": [*_OPENAI, "js ai openai"],
    "messages": [*_ANTHROPIC, "js ai anthropic"],
}


def missing() -> str:
    """What must be done before the Node judges can sit; empty when nothing."""
    if shutil.which("node") is None:
        return "node is not installed"
    return "" if (HERE / "node_modules").is_dir() else f"run npm install in {HERE}"


async def node_outcomes(captures: Iterable[Capture], origins: dict[str, str], at_once: int) -> list[Outcome]:
    """Each capture by every Node judge of its dialect, from each origin."""
    jobs = [
        {
            "judge": name,
            "way": way,
            "key": capture.key,
            "origin": origin,
            "path": capture.path,
            "dialect": capture.dialect,
            "model": capture.model,
        }
        for capture in captures
        for name in NODE_JUDGES[capture.dialect]
        for way, origin in origins.items()
    ]
    child = await asyncio.create_subprocess_exec(
        *("node", "judge.mjs", str(at_once)),
        cwd=HERE,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE,
    )
    try:
        found = await _talk(child, jobs)
    except BaseException:
        child.kill()
        raise
    finally:
        await child.wait()
    assert len(found) == len(jobs), f"node ended after {len(found)} of {len(jobs)} jobs"
    return found


async def _talk(child: asyncio.subprocess.Process, jobs: list[dict[str, Any]]) -> list[Outcome]:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write("".join(json.dumps(job) + "\n" for job in jobs).encode())
    await child.stdin.drain()
    child.stdin.close()
    found: list[Outcome] = []
    async for line in child.stdout:
        record = json.loads(line)
        tools = [(name, arguments(said) if isinstance(said, str) else said) for name, said in record["tools"]]
        record["tools"] = Content.of("", tools, "").tools
        found.append(Outcome.of(record))
        if len(found) % 2000 == 0:
            print(f"node: {len(found)} of {len(jobs)}", file=sys.stderr)
    return found
