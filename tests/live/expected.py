"""What a correct client must get for a capture, from what LiteLLM's upstream had sent.

The truth is the upstream's own bytes, read by ``reading``. Where LiteLLM lost or bent the answer
before anybody behind it could see that, ``LOST`` says so, one entry for one cause; what the
capture's own bytes still hold is then accepted as well. ``gaps`` compares the table with the bytes:
a loss without an entry and an entry without a loss are both mistakes of the table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from .corpus import Capture
from .reading import Content, Held, read

UPSTREAM_DIALECT = {
    "openai": {"chat": "chat", "messages": "responses", "responses": "responses"},
    "openai-wildcard": {"messages": "responses", "responses": "responses"},
    "hosted_vllm": {"chat": "chat", "messages": "chat", "responses": "responses"},
    "lm_studio": {"responses": "chat"},
    "anthropic": {"chat": "messages", "messages": "messages", "responses": "messages"},
}
"""The dialect that LiteLLM speaks to an upstream label, by the dialect that came in."""

FAULTS = frozenset({"trunc-clean", "trunc-close", "trunc-rst", "mid-error", "mid-failed", "error-first"})
SAME_ANSWER = {"stall": "text", "silence-nohdr": "text"}
"""Scenarios that differ from another in time only, and share its upstream file."""

NOTHING = Content()

_WORD = re.compile(r"w(\d{3}) ")


@dataclass(frozen=True)
class Lost:
    """Captures whose answer was bent before relay saw it."""

    names: str
    """Glob over ``version/capture``; alternatives stand apart by a blank."""
    reason: str
    anything: bool = False
    """True when not even the bytes say what the answer is."""

    def covers(self, key: str) -> bool:
        return any(fnmatchcase(key, name) for name in self.names.split())


LOST = (
    Lost(
        "1.8[35].*/messages--hosted_vllm--text 1.8[35].*/messages--hosted_vllm--text-tool"
        " 1.8[35].*/messages--hosted_vllm--length 1.8[35].*/messages--hosted_vllm--utf8"
        " 1.8[35].*/messages--hosted_vllm--crlf 1.8[35].*/messages--hosted_vllm--no-done"
        " 1.8[35].*/messages--hosted_vllm--stall 1.8[35].*/messages--hosted_vllm--silence-nohdr"
        " 1.8[35].*/messages--hosted_vllm--reasoning 1.8[35].*/messages--hosted_vllm--reasoning-newkey"
        " 1.8[35].*/messages--hosted_vllm--reasoning-mixed",
        "every text delta came as an empty input_json_delta (LiteLLM 29286)",
    ),
    Lost(
        "1.8[35].*/messages--hosted_vllm--text-tool-onechunk",
        "text that shared a chunk with a tool's name was left out",
    ),
    Lost(
        "1.8[35].*/messages--hosted_vllm--trunc-* 1.8[35].*/chat--*--trunc-*"
        " 1.8[35].*/responses--lm_studio--trunc-* 1.8[35].*/responses--anthropic--trunc-*",
        "a cut upstream was reported as a finished answer, in full form",
    ),
    Lost(
        "1.83.10/messages--hosted_vllm--mid-error 1.83.10/messages--hosted_vllm--error-first"
        " 1.8[35].*/chat--hosted_vllm--mid-error 1.85.0/chat--hosted_vllm--error-first"
        " 1.85.0/messages--openai--mid-failed",
        "the upstream's error was swallowed and a finished answer reported, in full form",
    ),
    Lost(
        "1.83.10/messages--openai-wildcard--tool* 1.83.10/messages--openai-wildcard--text-tool",
        "the faked stream leaves tool calls out",
    ),
    Lost(
        "1.83.10/*--openai-wildcard--reasoning*",
        "the faked stream leaves reasoning out",
    ),
    Lost(
        "1.83.10/responses--openai-wildcard--tool* 1.83.10/responses--openai-wildcard--text-tool",
        "the faked stream streams no item for a tool call; only response.completed holds it",
    ),
    Lost(
        "*/messages--openai--tool-whole",
        "arguments that came only in function_call_arguments.done were left out",
    ),
    Lost("1.85.0/messages--openai--reasoning-newkey", "reasoning_text deltas were left out"),
    Lost(
        "1.8[35].*/responses--lm_studio--reasoning-mixed",
        "text that shared a chunk with reasoning is in the done events only",
    ),
    Lost(
        "1.85.0/messages--hosted_vllm--crosstalk",
        "another client's tool calls are in the stream, also after its own message_stop",
        anything=True,
    ),
)


@dataclass(frozen=True)
class Limit:
    """What one client cannot tell of a legal stream, whoever sent it."""

    judge: str
    names: str
    """Glob over ``version/capture``; alternatives stand apart by a blank."""
    field: str
    """``reasoning`` or ``finish``: what is then not compared."""
    reason: str


LIMITS = (
    Limit(
        "js ai openai",
        "*/chat--* */openai-passthrough--*",
        "reasoning",
        "its chat model does not know the fields for reasoning",
    ),
    Limit(
        "js ai openai",
        "*/responses--openai--reasoning-newkey */responses--hosted_vllm--reasoning-newkey",
        "reasoning",
        "it reads summaries only, not reasoning_text",
    ),
    Limit(
        "js ai openai",
        "1.8*/responses--lm_studio--length 1.8*/responses--anthropic--length",
        "finish",
        "LiteLLM sends response.completed without incomplete_details, and relay invents no reason",
    ),
    Limit(
        "js openai4 stream",
        "*/responses--*--length",
        "finish",
        "its snapshot does not follow response.incomplete",
    ),
)


def limits(judge: str, key: str) -> Iterator[Limit]:
    """What this client cannot tell of this capture."""
    for limit in LIMITS:
        if limit.judge == judge and any(fnmatchcase(key, name) for name in limit.names.split()):
            yield limit


@dataclass(frozen=True)
class Expected:
    """The right outcome, and what else is accepted for ``lost``."""

    error: bool = False
    content: Content = NOTHING
    finish: str | None = None
    held: Held | None = None
    lost: Lost | None = None


class Truth:
    """Expectations for captures, from the folder with the upstream's bytes."""

    def __init__(self, upstream: Path) -> None:
        self.upstream = upstream
        self._read: dict[str, Held] = {}

    def __call__(self, capture: Capture) -> Expected:
        lost = next((entry for entry in LOST if entry.covers(capture.key)), None)
        if self._fails(capture):
            return Expected(error=True, held=self._held(capture), lost=lost)
        if lost is not None and lost.anything:
            return Expected(held=self._held(capture), lost=lost)
        sent = self._sent(capture)
        finish = "length" if sent.finish == "length" else "tool_calls" if sent.content.tools else "stop"
        return Expected(False, _cut(sent.content, capture.words), finish, self._held(capture), lost)

    def _fails(self, capture: Capture) -> bool:
        """The upstream failed, or LiteLLM refused: either way the client must be told."""
        return capture.scenario in FAULTS or capture.status >= 400

    def _held(self, capture: Capture) -> Held:
        return read(capture.dialect, capture.body)

    def _sent(self, capture: Capture) -> Held:
        inbound = capture.name.split("--")[0]
        spoken = capture.dialect
        if not inbound.endswith("-passthrough"):
            spoken = UPSTREAM_DIALECT[capture.label][capture.dialect]
        name = f"{spoken}--{SAME_ANSWER.get(capture.scenario, capture.scenario)}"
        if name not in self._read:
            self._read[name] = read(spoken, (self.upstream / f"{name}.sse").read_bytes())
        return self._read[name]

    def gaps(self, captures: list[Capture]) -> list[str]:
        """Where the table and the bytes disagree."""
        found = []
        for capture in captures:
            want = self(capture)
            if (want.lost is not None and want.lost.anything) or capture.status != 200:
                continue
            assert want.held is not None
            if want.error:
                bent = want.held.finish is not None and not want.held.failed
            else:
                bent = any(content != want.content for content in want.held.all)
            if bent != (want.lost is not None):
                found.append(f"{capture.key}: {'bent, but not listed' if bent else 'listed, but not bent'}")
        return found


def _cut(content: Content, words: int) -> Content:
    """The upstream files were made for more deltas than most requests asked for."""
    text = _WORD.sub(lambda word: word[0] if int(word[1]) < words else "", content.text)
    return replace(content, text=text)
