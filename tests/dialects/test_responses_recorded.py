"""Responses streams of real servers, of LiteLLM's proxies and of a clean upstream; and each of them cut."""

from __future__ import annotations

import json

import pytest

from relay.dialects.checker import Malformed, Truncated
from relay.dialects.deltas import Failure, Usage
from relay.dialects.frame import Frame
from relay.dialects.responses import Responses
from tests.dialects.drive import CONTEXT, Event, seen
from tests.dialects.responses_kit import CORPUS, HANDWRITTEN, RECORDED, legal, names, run, stream, with_corpus
from tests.dialects.responses_legal import outcome, texts

pytestmark = with_corpus

NO_OUTPUT = {"responses-output-missing"}
NUMBERS = {"responses-sequence-missing"}
NAMES = {"responses-event-missing", "responses-done-sentinel"}
COPILOT = {"responses-response-id", "responses-identity", "responses-item-id"}

FAULTY = {
    # completed.output is [] although items were done: helpers would return an empty answer.
    "chatgpt-codex--rig--chatgpt-codex-sessions-parallel-tool-calls-single-turn-nonstreaming-1": NO_OUTPUT,
    "chatgpt-codex--rig--chatgpt-codex-sessions-reasoning-session-two-tool-calls-streaming-2": NO_OUTPUT,
    "chatgpt-codex--rig--chatgpt-codex-sessions-usage-accumulates-across-streaming-multi-turn-2": NO_OUTPUT,
    "chatgpt-codex--rig--chatgpt-codex-tool-args-unicode-arguments-streaming": NO_OUTPUT,
    "chatgpt-codex--rig--chatgpt-streaming-tools-tool-call-completed-response-without-output": NO_OUTPUT,
    # Other ids in every event, for the response and for each item.
    "github-copilot--rig--copilot-reasoning-roundtrip-streaming-1": COPILOT,
    "github-copilot--rig--copilot-reasoning-roundtrip-streaming-2": COPILOT,
    # Recorded before the service numbered its events.
    "openai--dd-trace-py--openai-response-function-call-streamed": NUMBERS,
    "openai--dd-trace-py--openai-response-stream": NUMBERS,
    "openai--dd-trace-py--openai-response-tools-stream": NUMBERS,
    "openai--ruby-openai--responses-stream": NUMBERS,
    # No event lines, [DONE] at the end.
    "openrouter--pydantic-ai--openai-responses-openai-responses-raw-cot-stream-openrouter": NAMES,
    "openrouter--rig--openai-responses-stream-against-openrouter-completes": NAMES,
    # A nested error, then response.failed: relay's own response.failed follows at once, theirs is dropped.
    "openai--prism--openai-stream-rate-limited-1": {"responses-error-form", "responses-after-end"},
    # Resumed after event 0. Nothing tells it from a stream that lost its first frame, so that is supplied.
    "openai--pydantic-ai--openai-responses-background-mode-streaming-starting-after-vcr-2": {
        "responses-created-missing"
    },
}
"""The recorded streams that are mended, and by which rules."""


def test_a_legal_recorded_stream_passes_unchanged() -> None:
    passed = 0
    for name in names(RECORDED):
        if name not in FAULTY:
            given = stream(RECORDED / f"{name}.sse")
            found = run(given)
            assert (found.touched, found.supplied, found.error) == (0, [], None), name
            assert found.out == given
            assert found.checker.repairs == {}
            assert outcome(found.out) in ("completed", "incomplete"), name
            passed += 1
    assert passed == 90 - len(FAULTY)


@pytest.mark.parametrize("name", sorted(FAULTY))
def test_a_faulty_recorded_stream_is_mended(name: str) -> None:
    given = stream(RECORDED / f"{name}.sse")
    found = run(given)
    assert found.checker.repairs.keys() == FAULTY[name]
    assert outcome(found.out) == ("failed" if "rate-limited" in name else "completed")
    assert texts(found.out) == texts(given)
    assert run(found.out).touched == 0


def test_what_is_counted_on_the_way() -> None:
    given = stream(RECORDED / "openai--pydantic-ai--openai-responses-phase-streamed-on-part-start-1.sse")
    checker = run(given).checker
    assert checker.deltas == sum(len(pieces) for pieces in texts(given).values()) > 0
    final = given[-1].payload["response"]
    calls = [item["call_id"] for item in final["output"] if item["type"] == "function_call"]
    assert checker.tool_ids == calls != []
    usage = final["usage"]
    details = usage["input_tokens_details"]
    reasoning = usage["output_tokens_details"]["reasoning_tokens"]
    assert checker.usage == Usage(
        usage["input_tokens"],
        usage["output_tokens"],
        details["cached_tokens"],
        details["cache_write_tokens"],
        reasoning,
    )
    assert (checker.started, checker.announced, checker.done, checker.flags) == (True, True, True, set())


# --- LiteLLM and its upstream ---------------------------------------------------------------------


def test_what_litellm_sends_becomes_legal_or_a_failure() -> None:
    outcomes: dict[str, int] = {}
    for name in names(CORPUS, "litellm/*/responses--*.sse"):
        given = stream(CORPUS / f"{name}.sse")
        found = run(given)
        end = outcome(found.out)
        if found.error is not None:
            # An error's document, an empty body, or a stream that was cut: nothing else may fail.
            assert isinstance(found.error, Truncated), name
            is_cut = "trunc" in name and given
            assert is_cut or not given, name
        elif end == "failed":
            assert found.checker.failure is not None, name
        outcomes[end] = outcomes.get(end, 0) + 1
        assert run(found.out).touched == 0, name
    assert outcomes == {"completed": 181, "failed": 80, "incomplete": 6}


def test_litellms_texts_arrive_whole() -> None:
    """Every piece in its order; what only the last event had is streamed before it."""
    for name in names(CORPUS, "litellm/*/responses--*.sse"):
        given = stream(CORPUS / f"{name}.sse")
        before, after = texts(given), texts(run(given).out)
        if "1.83.10/responses--openai-wildcard" in name and "completed" in str(given[-2:]):
            # The faked stream has no calls and no reasoning but in its last event.
            assert before.items() <= after.items(), name
            listed = [event for event in given if event.payload][-1].payload["response"]["output"]
            calls = [item["arguments"] for item in listed if item["type"] == "function_call"]
            assert after.get("response.function_call_arguments.delta", []) == calls, name
        else:
            assert before == after, name


def test_litellms_reasoning_gets_one_item_of_its_own() -> None:
    """1.85.0 sends each piece under a new id and under the message's index."""
    found = run(stream(CORPUS / "litellm/1.85.0/responses--lm_studio--reasoning.sse"))
    reasoning, text = (
        {
            (payload["item_id"], payload["output_index"])
            for event, payload in found.out
            if event == f"response.{kind}"
        }
        for kind in ("reasoning_summary_text.delta", "output_text.delta")
    )
    assert len(reasoning) == len(text) == 1
    output = found.out[-1].payload["response"]["output"]
    assert [item["id"] for item in output] == [ident for ident, _ in (*text, *reasoning)]
    assert output[1]["summary"] == [{"type": "summary_text", "text": "r0 r1 r2 r3 "}]


def test_litellm_in_front_of_a_tool_call_closes_no_message() -> None:
    """It ends a message that it never began (37852), and counts the call from 1."""
    found = run(stream(CORPUS / "litellm/1.85.0/responses--anthropic--tools2.sse"))
    added = [payload for event, payload in found.out if event == "response.output_item.added"]
    assert [(payload["output_index"], payload["item"]["name"]) for payload in added] == [
        (0, "get_weather"),
        (1, "get_time"),
    ]
    output = found.out[-1].payload["response"]["output"]
    assert [item.get("name") for item in output] == ["get_weather", "get_time"]
    assert found.checker.tool_ids == ["toolu_01abc", "toolu_02abc"]


def test_a_clean_upstream_passes_but_for_its_faults() -> None:
    mended = {
        "error-first": {"responses-error-form"},
        "mid-error": {"responses-error-form"},
        "reasoning-newkey": {"responses-reasoning-part"},
        "minimal": {
            "responses-created-missing", "responses-item-missing", "responses-item-not-done",
            "responses-part-missing", "responses-response-id", "responses-sequence",
        },
    }  # fmt: skip
    for name in names(CORPUS, "upstream/responses--*.sse"):
        given = stream(CORPUS / f"{name}.sse")
        found = run(given)
        scenario = name.partition("--")[2]
        assert found.checker.repairs.keys() == mended.get(scenario, set()), name
        assert (found.error is not None) == scenario.startswith("trunc"), name
        assert legal(found.out), name
        assert texts(found.out) == texts(given), name


# --- cut anywhere -----------------------------------------------------------------------------------

SOME = ["text-then-tool", "reasoning-summary-then-text", "tool-parallel-interleaved", "litellm-27442"]
SOME += [
    "two-parts",
    "incomplete",
    "failed",
    "no-item-no-part",
    "error-midstream-nested",
    "orphan-after-reasoning",
]


def prefixes() -> list[tuple[str, list[Event]]]:
    whole = [(name, stream(HANDWRITTEN / f"{name}.sse")) for name in SOME if HANDWRITTEN.is_dir()]
    litellm = CORPUS / "litellm/1.85.0/responses--lm_studio--reasoning.sse"
    if litellm.is_file():
        whole.append((litellm.stem, stream(litellm)))
    return whole


def is_announced(cut: list[Event]) -> bool:
    """Whether the upstream has said that the answer is complete, as far as it got."""
    seen_ids, done_ids, answers = set(), set(), 0
    for _, payload in cut:
        kind = None if payload is None else payload["type"]
        if kind in (None, "response.completed", "response.incomplete", "response.failed", "error"):
            return True
        seen_ids.add(payload.get("item_id") or payload.get("item", {}).get("id"))
        if kind == "response.output_item.done":
            done_ids.add(payload["item"]["id"])
            answers += payload["item"]["type"] in ("message", "function_call")
            answers -= 2 * (payload["item"].get("status") == "incomplete")
    return seen_ids - {None} == done_ids and answers > 0


@pytest.mark.parametrize(("name", "whole"), prefixes())
def test_a_cut_stream_gets_an_end_only_if_it_was_announced(name: str, whole: list[Event]) -> None:
    for length in range(len(whole) + 1):
        cut = whole[:length]
        found = run(cut)
        end = outcome(found.out)
        if found.error is not None:
            assert isinstance(found.error, Truncated)
            assert str(found.error) == "response.completed"
            assert not is_announced(cut), (name, length)
            assert end == "failed"
            assert not found.checker.announced
        else:
            assert is_announced(cut), (name, length)
            assert (end == "failed") == (found.checker.failure is not None)


@pytest.mark.parametrize(("name", "whole"), prefixes())
def test_a_failure_after_any_frame_is_told_in_full(name: str, whole: list[Event]) -> None:
    for length in range(len(whole)):
        checker, out = Responses(CONTEXT), []
        for event, payload in json.loads(json.dumps(whole[:length])):
            frame = Frame(event, payload)
            try:
                answer = checker.check(frame)
            except Malformed:  # pragma: no cover - none of these is
                pytest.fail(name)
            out += seen([frame] if answer is None else answer)
        closed = sum(event == "response.output_item.done" for event, _ in out)
        was_done, last = checker.done, seen(checker.fail(Failure("the upstream is gone")))
        out += last
        assert checker.done
        assert checker.fail(Failure("again")) == checker.end() == []
        assert sum(event == "response.output_item.done" for event, _ in out) == closed
        if not was_done:
            assert [event for event, _ in last][-1] == "response.failed"
            assert outcome(out) == "failed", (name, length)
