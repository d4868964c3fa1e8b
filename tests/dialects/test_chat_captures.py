"""Chat streams that real LiteLLM proxies sent, and those that they were sent."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from relay.dialects.deltas import Usage
from tests.dialects.chat_reading import CORPUS, run, run_file, said, verdict
from tests.dialects.drive import events

pytestmark = pytest.mark.skipif(
    not CORPUS.is_dir(), reason="the folder of recorded streams is not beside this project"
)

CAPTURES = [
    path.relative_to(CORPUS).with_suffix("").as_posix()
    for pattern in ("litellm/*/chat--*.sse", "litellm/*/openai-passthrough--*.sse", "upstream/chat--*.sse")
    for path in sorted(CORPUS.glob(pattern))
]
ENDS = {
    # What LiteLLM 1.83 and 1.85 make of a cut or failed upstream cannot be told from a whole answer.
    "litellm/1.8*/chat--hosted_vllm--mid-error": "complete",
    "litellm/1.8*/chat--*--trunc-*": "complete",
    "litellm/1.109.1/chat--*--trunc-*": "failed",
    "litellm/*/openai-passthrough--openai--trunc-*": "Truncated: a finish reason",
    "upstream/chat--trunc-*": "Truncated: a finish reason",
    "*--mid-error": "failed",
    "litellm/1.85.0/chat--hosted_vllm--error-first": "complete",
    "*--error-first": "failed",
    "*": "complete",
}
"""How a capture ends, by the first pattern that fits its name."""

MENDED = {
    "litellm/1.85.0/chat--hosted_vllm--error-first": {"chat-role-missing": 1},
    "*--no-done": {"chat-done-missing": 1},
    "litellm/1.85.0/chat--anthropic--reasoning": {"chat-thinking-blocks": 10},
}


def is_stream(name: str) -> bool:
    record = CORPUS / f"{name}.json"
    return not record.is_file() or json.loads(record.read_bytes())["status"] == 200


STREAMS = [name for name in CAPTURES if is_stream(name)]


def path_of(name: str) -> Path:
    return CORPUS / f"{name}.sse"


def test_there_are_captures_of_every_version_and_each_pattern_is_used() -> None:
    assert len(STREAMS) > 150
    assert {name.split("/")[1] for name in STREAMS if "/chat--" in name} >= {"1.83.10", "1.85.0", "1.109.1"}
    first = {next(p for p in ENDS if fnmatchcase(name, p)) for name in STREAMS}
    assert first == set(ENDS)


@pytest.mark.parametrize("name", STREAMS)
def test_a_capture_leaves_legal_or_failed(name: str) -> None:
    outcome = run_file(path_of(name))
    assert outcome.end == next(end for pattern, end in ENDS.items() if fnmatchcase(name, pattern))
    assert verdict(outcome.out) == ("complete" if outcome.end == "complete" else "failed")
    repairs = next((rules for pattern, rules in MENDED.items() if fnmatchcase(name, pattern)), {})
    if name.startswith("litellm") and "/chat--" in name and "no-done" in name:
        repairs = {}  # LiteLLM supplies it
    assert outcome.repairs == repairs
    assert outcome.untouched == (not repairs and not outcome.end.startswith("Truncated"))
    assert said(outcome.out) == said(outcome.taken)
    assert run(outcome.out).untouched


@pytest.mark.parametrize("version", ["1.83.10", "1.85.0"])
def test_an_error_that_litellm_swallowed_shows_in_the_id(version: str) -> None:
    outcome = run_file(path_of(f"litellm/{version}/chat--hosted_vllm--mid-error"))
    assert outcome.checker.flags == {"id-changed"}


def test_usage_is_read_where_the_upstream_sends_it() -> None:
    assert run_file(path_of("upstream/chat--text")).checker.usage == Usage(input=9, output=40)


def test_every_tool_call_is_told_once() -> None:
    ids = run_file(path_of("upstream/chat--tools2")).checker.tool_ids
    text = path_of("upstream/chat--tools2").read_text()
    assert isinstance(ids, list)
    assert len(ids) == len(set(ids)) == 2
    assert all(f'"{ident}"' in text for ident in ids)
    assert len(events(text.encode())) > 4
