"""The Messages checker and what real servers sent: Anthropic, gateways, three versions of LiteLLM."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from relay.dialects.frame import Frame
from relay.dialects.messages import Messages
from tests.dialects.drive import CONTEXT, Event, events
from tests.dialects.messages_kit import CORPUS, files, run
from tests.dialects.messages_legal import verdict

MENDED = {
    "openrouter--rig--anthropic-streaming-gateway-message-delta-metadata.sse": {"messages-done-sentinel": 1},
}
"""Recorded streams that are not legal as they are."""


@pytest.mark.parametrize("path", files("recorded/messages/*.sse"))
def test_what_providers_sent_leaves_as_it_came(path: Path) -> None:
    """Held frames may move in time: the frames that leave are those that came, in their order."""
    stream = events(path.read_bytes())
    checker, came, left, silent = Messages(CONTEXT), [], [], 0
    for event, payload in stream:
        frame = Frame(event, copy.deepcopy(payload))
        came.append(frame)
        answer = checker.check(frame)
        left += [frame] if answer is None else answer
    assert checker.end() == []
    assert left == came
    assert checker.repairs == MENDED.get(path.name, {})
    for frame, (event, payload) in zip(came, stream, strict=True):
        assert (frame.event, frame.payload) == (event, payload)
        silent += frame.silenced
        assert not frame.edits
        assert not frame.renamed
    assert silent == len(MENDED.get(path.name, {}))
    assert checker.done
    assert checker.announced
    assert checker.started


@pytest.mark.parametrize("path", files("recorded/messages/*.sse"))
def test_one_frame_at_most_is_held(path: Path) -> None:
    """The start of a block that may prove spurious, or the stop of text or thinking; no delta, ever."""
    checker, behind, types = Messages(CONTEXT), 0, {}
    for event, payload in events(path.read_bytes()):
        answer = checker.check(Frame(event, payload))
        behind += 1 - (1 if answer is None else len(answer))
        assert behind in (0, 1)
        if payload is not None and payload["type"] == "content_block_start":
            types[payload["index"]] = payload["content_block"]
        if behind:
            block = types[payload["index"]]
            assert payload["type"] in ("content_block_start", "content_block_stop")
            assert block["type"] in ("text", "thinking") or (
                block["input"] and payload["type"] == "content_block_start"
            )
    assert behind == 0


@pytest.mark.parametrize("path", files("recorded/messages/*.sse"))
def test_recorded_streams_are_legal(path: Path) -> None:
    """Also those that the index marks `no-message-delta`: their message_start holds the whole answer."""
    assert verdict(run(events(path.read_bytes())).out) == "complete"


@pytest.mark.parametrize("path", files("recorded/messages/*.sse"))
def test_usage_and_tool_ids_are_those_of_the_stream(path: Path) -> None:
    stream = [payload for _, payload in events(path.read_bytes()) if payload is not None]
    checker = run(events(path.read_bytes())).checker
    said: dict[str, int] = {}
    for payload in stream:
        usage = payload.get("message", payload).get("usage") or {}
        said |= {key: value for key, value in usage.items() if isinstance(value, int)}
    assert checker.usage is not None
    read = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    assert checker.usage.input == sum(said.get(key, 0) for key in read)
    assert checker.usage.output == said["output_tokens"]
    starts = [payload["content_block"] for payload in stream if payload["type"] == "content_block_start"]
    starts += [block for payload in stream for block in payload.get("message", {}).get("content", [])]
    assert checker.tool_ids == [block["id"] for block in starts if block["type"] == "tool_use"]


PATTERNS = (
    "litellm/*/messages--*.sse",
    "litellm/*/anthropic-passthrough--*.sse",
    "upstream/messages--*.sse",
)
CAPTURES = [
    param
    for pattern in PATTERNS
    for param in files(pattern)
    if param.values[0] is None or not param.values[0].read_bytes().lstrip().startswith(b"{")
]


@pytest.mark.parametrize("path", CAPTURES)
def test_what_litellm_sent_leaves_legal_or_failed(path: Path) -> None:
    ran = run(events(path.read_bytes()))
    if ran.how == "ok":
        assert verdict(ran.out) == ("failed" if ran.checker.failure else "complete")
    else:
        assert ran.how == "Truncated(message_stop)"
        assert verdict(ran.out) == "failed"
    again = run(ran.out)
    assert again.out == ran.out
    assert again.checker.repairs == {}


OUTCOMES = {
    "1.83.10/messages--openai-wildcard--text": (
        {"messages-block-start-missing": 1, "messages-block-stop-missing": 1},
        set(),
    ),
    "1.85.0/messages--openai--text": ({"messages-start-repeated": 1}, set()),
    "1.85.0/messages--hosted_vllm--text": ({"messages-delta-misfit-empty": 40}, {"text-lost"}),
    "1.83.10/messages--hosted_vllm--text": (
        {"messages-delta-misfit-empty": 40, "messages-block-empty": 1},
        {"text-lost"},
    ),
    "1.85.0/messages--hosted_vllm--reasoning": (
        {"messages-delta-misfit": 1, "messages-delta-misfit-empty": 8},
        {"text-lost"},
    ),
    "1.85.0/messages--hosted_vllm--reasoning-plain": ({"messages-delta-misfit": 2}, set()),
    "1.83.10/messages--hosted_vllm--tool": ({"messages-block-empty": 1}, set()),
    "1.85.0/messages--openai--mid-failed": (
        {"messages-start-repeated": 1, "messages-block-stop-missing": 1},
        {"usage-missing"},
    ),
    "1.109.1/messages--openai--text": ({}, set()),
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_what_becomes_of_the_worst_captures(name: str) -> None:
    path = CORPUS / "litellm" / f"{name}.sse"
    if not path.exists():
        pytest.skip("the corpus is not here")
    checker = run(events(path.read_bytes())).checker
    assert (checker.repairs, checker.flags) == OUTCOMES[name]


def test_no_text_of_a_capture_is_lost() -> None:
    """The words that the fake upstream sent, in order, wherever LiteLLM has not lost them itself."""
    checked = 0
    for param in CAPTURES:
        if param.values[0] is None:
            pytest.skip("the corpus is not here")
        stream = events(param.values[0].read_bytes())
        ran = run(stream)
        if ran.how == "ok" and not ran.checker.failure:
            assert words(ran.out) == words(stream)
            checked += 1
    assert checked > 100


def words(stream: list[Event]) -> list[str]:
    end = next(
        (n for n, (_, payload) in enumerate(stream) if payload and payload["type"] == "message_stop"), None
    )
    deltas = [
        payload["delta"]
        for _, payload in stream[:end]
        if payload and "index" in payload and "delta" in payload
    ]
    pieces = [delta.get("text") or delta.get("thinking") or delta.get("partial_json") for delta in deltas]
    return [piece for piece in pieces if piece]
