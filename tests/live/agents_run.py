"""One case of the matrix: played, and judged by what holds in every case."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..scripted.server import Server
from .agents_script import Model, Turn, overloaded, too_long
from .agents_setup import KEY, Relay, Said, claude, codex, relaying
from .agents_tap import Tap, tapping
from .agents_told import Told, told

PROMPT = "Make the proof file, please"
NATIVE = {"claude": "messages", "codex": "responses"}
PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
PAUSE = 0.004
"""Seconds between two frames: so short that nobody waits, so long that a frame is read before a reset."""
DROPPED: dict[str, set[str]] = {
    "claude": set(),
    "codex": {
        *("tools[](web_search)", "tools[](tool_search)", "tools[].format", "input[].tools[].tools[].format"),
        *("text.verbosity", "reasoning.context"),
    },
}
"""What these CLIs ask for and no other dialect can say."""


@dataclass(frozen=True)
class Kind:
    """What the model does, and how that is judged.

    ``turns``: how many requests with tools the model gets, where that is fixed. ``flags``: more arguments
    for relay. ``ways``: only over these upstreams.
    """

    name: str
    turn: Turn
    check: Callable[[Run], None]
    turns: int | None = None
    model: str = "local-model"
    agents: tuple[str, ...] = ("claude", "codex")
    flags: tuple[str, ...] = ()
    ways: tuple[str, ...] = ("direct", "chat", "messages", "responses")


@dataclass
class Run:
    """One case as it went."""

    case: Case
    model: Model
    server: Server
    said: Said = field(default_factory=lambda: Said(None, [], "", Path()))
    told: Told = field(default_factory=Told)
    tap: Tap | None = None
    relay: Relay | None = None
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)

    def expect(self, holds: Any, words: str) -> None:
        if not holds:
            self.failures.append(words)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """What the upstream was asked in the agent's turns, titles and the like left out."""
        return [
            seen.body
            for seen in self.server.requests
            if isinstance(seen.body, dict) and seen.body.get("tools")
        ]


@dataclass(frozen=True)
class Case:
    """``way``: the upstream's dialect behind relay, or ``direct``."""

    agent: str
    way: str
    kind: Kind

    @property
    def name(self) -> str:
        where = "without relay" if self.way == "direct" else f"over {self.way}"
        return f"{self.agent} {where}: {self.kind.name}"

    @property
    def dialect(self) -> str:
        return NATIVE[self.agent] if self.way == "direct" else self.way

    @property
    def translated(self) -> bool:
        return self.dialect != NATIVE[self.agent]


def play(case: Case, home: Path, flags: list[str]) -> Run:
    """Run one case and judge it."""
    with Server(case.dialect, Model(case.kind.turn), key=KEY, delay=PAUSE) as server:
        run = Run(case, server.scenario, server)
        try:
            _drive(run, home, flags)
            _judge_every(run)
            case.kind.check(run)
        except Exception as error:  # the other cases are to be seen all the same
            run.failures.append(f"the harness stumbled: {error!r}")
    return run


def _drive(run: Run, home: Path, flags: list[str]) -> None:
    """The CLI's run, and the relay and the tap around it."""
    case, url = run.case, run.server.url
    with contextlib.ExitStack() as running:
        if case.way != "direct":
            spoken = ["--upstream-dialect", case.dialect, *flags] if case.translated else []
            run.relay = running.enter_context(relaying(url, *spoken, *case.kind.flags))
            url = run.relay.url
        run.tap = running.enter_context(tapping(url))
        begun = time.monotonic()
        start = claude if case.agent == "claude" else codex
        run.said = start(run.tap.url, case.kind.model, PROMPT, home)
        run.seconds = time.monotonic() - begun
        run.told = told(case.agent, run.said)


def _judge_every(run: Run) -> None:
    """What holds in every case: nothing illegal went up, and relay has neither crashed nor lost a field."""
    kind = run.case.kind
    run.expect(run.said.status is not None, "took too long")
    if kind.turns is not None:
        run.expect(run.model.turns == kind.turns, f"{run.model.turns} turns, not {kind.turns}")
    faults = {
        seen.refused for seen in run.server.requests if seen.refused and seen.path == PATHS[run.case.dialect]
    }
    if kind.turn not in (overloaded, too_long):
        for words in sorted(faults):
            run.expect(False, f"the upstream refused: {words}")
    if run.relay is None or run.tap is None:
        return
    if any("Traceback" in line for line in run.relay.lines):
        run.expect(False, f"relay printed a traceback: {run.relay.lines[-1]}")
    if run.case.translated:
        wanted = f"{NATIVE[run.case.agent]}<{run.case.dialect}"
        run.expect(
            run.tap.said("x-relay-dialect") == [wanted], f"x-relay-dialect {run.tap.said('x-relay-dialect')}"
        )
    for field_ in sorted(dropped(run)):
        run.expect(field_ in DROPPED[run.case.agent], f"relay dropped {field_}")


def dropped(run: Run) -> set[str]:
    """The fields that relay says it left out, without the numbers of members."""
    if run.tap is None or run.relay is None:
        return set()
    paths = {path.strip() for value in run.tap.said("x-relay-dropped") for path in value.split(",")}
    return {re.sub(r"\[\d+\]", "[]", path) for path in paths}
