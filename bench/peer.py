"""A process of the bench's own (upstream, clients): asked and answering in lines of JSON.

It ends when its stdin is closed, so it also ends when the conductor is killed.
"""

import contextlib
import json
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

import proxies

HERE = Path(__file__).resolve().parent
ANSWER_WITHIN = 120.0


class Peer:
    """One such process, pinned to one core."""

    def __init__(self, script: str, cpu: int) -> None:
        self.script = script
        with proxies.pinned({cpu}):
            self.process = subprocess.Popen(
                [sys.executable, str(HERE / script)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                process_group=0,
            )

    def read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], ANSWER_WITHIN)
        line = self.process.stdout.readline() if ready else b""
        if not line:
            raise proxies.ProcessError(f"no answer from {self.script}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, **question: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(question).encode() + b"\n")
        self.process.stdin.flush()
        try:
            return self.read()
        except BaseException:
            self.process.kill()  # broken off in the middle: what it would say next answers nothing
            raise

    def end(self) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(proxies.ENDED_WITHIN)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
