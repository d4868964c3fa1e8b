"""The chat checker over every handwritten and every recorded stream."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from relay.dialects.chat import Chat
from relay.dialects.deltas import Failure
from tests.dialects.chat_reading import HANDWRITTEN, RECORDED, run, run_file, said, verdict
from tests.dialects.drive import CONTEXT, Event, events, seen

pytestmark = pytest.mark.skipif(
    not HANDWRITTEN.is_dir(), reason="the folder of recorded streams is not beside this project"
)

NO_NAMED_TOOL = dataclasses.replace(CONTEXT, named_tool=False)

# --- handwritten: each file is in exactly one of these ----------------------------------------

LEGAL = [
    "azure-prompt-filter",
    "bom",
    "comment-first",
    "comment-line",
    "content-after-finish",
    "content-filter",
    "cr",
    "crlf",
    "done-no-json",
    "empty-choices-first",
    "empty-data",
    "error-first",
    "error-int-code",
    "error-midstream",
    "error-midstream-event",
    "error-no-done",
    "event-only",
    "finish-empty-string",
    "finish-error",
    "finish-missing-key",
    "finish-twice",
    "finish-with-content",
    "function-call-legacy",
    "id-changes",
    "id-field",
    "id-then-comment-line",
    "id-then-keepalive",
    "keepalive-comments",
    "length",
    "line-separator",
    "lone-surrogate",
    "multiline-data",
    "n2",
    "no-final-blank",
    "no-space",
    "null-tool-calls",
    "reasoning-then-text",
    "reasoning-then-tool",
    "reasoning-vllm",
    "refusal",
    "retry-only",
    "role-every-chunk",
    "text",
    "text-continuous-usage",
    "text-then-tool",
    "text-usage",
    "tool-args-empty",
    "tool-args-null",
    "tool-args-truncated",
    "tool-empty-id-name",
    "tool-finish-same-chunk",
    "tool-oneshot",
    "tool-parallel",
    "tool-parallel-interleaved",
    "tool-single",
    "usage-after-finish-nonempty",
    "usage-on-finish",
    "vllm-empty-tool-calls",
]
"""Payloads that no rule changes; what is wrong with some of them is in their bytes."""

MENDED = {
    "after-done": {"chat-after-end": 1},
    "choice-index-1-only": {"chat-choice-index": 3},
    "choice-index-missing": {"chat-choice-index": 3},
    "choices-missing": {"chat-choices-missing": 1},
    "choices-null": {"chat-choices-missing": 1},
    "content-array": {"chat-content-parts": 2},
    "delta-missing": {"chat-delta-missing": 1},
    "delta-null": {"chat-delta-missing": 1},
    "error-detail": {"chat-error-form": 1, "chat-after-end": 1},
    "error-event-code-details": {"chat-error-form": 1},
    "error-vllm-object": {"chat-error-form": 1, "chat-after-end": 1},
    "event-ping-data": {"chat-ping": 1},
    "no-done": {"chat-done-missing": 1},
    "no-final-blank-finish": {"chat-done-missing": 1},
    "no-finish": {"chat-finish-missing": 1},
    "object-missing": {"chat-object-missing": 3},
    "reasoning-details": {"chat-reasoning-details": 2},
    "role-missing": {"chat-role-missing": 1},
    "tool-args-object": {"chat-tool-arguments": 1},
    "tool-finish-stop": {"chat-finish-tools": 1},
    "tool-function-null": {"chat-tool-name-late": 1},
    "tool-id-repeated": {"chat-tool-repeated": 2},
    "tool-index-from-1": {"chat-tool-index-gap": 2},
    "tool-no-id": {"chat-tool-id-missing": 1},
    "tool-no-index": {"chat-tool-index-missing": 1, "chat-finish-tools": 1},
    "tool-no-type": {"chat-tool-type-missing": 1},
    "tool-null-id-name": {"chat-tool-null-type": 1},
    "tool-parallel-no-index": {"chat-tool-index-missing": 2, "chat-finish-tools": 1},
    "tool-parallel-same-index": {"chat-tool-index-shared": 1},
}
"""What is mended, by which rules; ``repaired-X`` is what must come out."""

MENDED_ALONE = {
    # The index calls it a quirk, yet the AI SDK drops the frame with its text.
    "role-empty": {"chat-role-unknown": 2},
    # Its last frame repeats as a message what was streamed; only the finish reason in it is new.
    "message-instead-of-delta": {"chat-message": 1},
    # openai-python and openai-node raise either way, @ai-sdk/openai only without `choices`.
    "error-midstream-openrouter": {"chat-error-in-chunk": 1},
    "error-string": {"chat-error-form": 1, "chat-after-end": 1},
    # The name comes later here, so the header waits for it.
    "rejected-tool-function-null-blank": {"chat-tool-name-late": 1},
}
"""Mended as well, but the corpus has no file of the result."""

FAILED = {
    "done-only": "Malformed: the stream held no chunk",
    "empty-body": "Truncated: the first chunk",
    "truncated-clean": "Truncated: a finish reason",
    "truncated-tool": "Truncated: a finish reason",
}
"""What cannot be mended, and why."""

DOCUMENTS = ["json-body", "json-error-body"]
"""No streams at all (test_chat_document)."""

BYTES = ["nan", "single-newline", "truncated-json"]
"""Nothing that a checker is given as it stands: their frames are not JSON."""

ALL = sorted(path.stem for path in HANDWRITTEN.glob("*.sse"))


def handwritten(name: str) -> Path:
    return HANDWRITTEN / f"{name}.sse"


def test_every_handwritten_file_is_in_one_class() -> None:
    classes = [*LEGAL, *MENDED, *MENDED_ALONE, *FAILED, *DOCUMENTS, *BYTES]
    assert sorted(classes) == [name for name in ALL if not name.startswith("repaired-")]


def test_what_the_index_calls_harmless_is_left_alone() -> None:
    rows = re.findall(
        r"^\| (\S+) \| (valid|valid-rare|quirk) \|",
        (HANDWRITTEN.parent / "index.md").read_text().split("\n## messages")[0],
        re.MULTILINE,
    )
    harmless = {name for name, _ in rows if f"repaired-{name}" not in ALL}
    assert len(harmless) > 40
    assert harmless - set(LEGAL) == {"role-empty"}


@pytest.mark.parametrize("name", LEGAL)
def test_a_legal_stream_is_left_alone(name: str) -> None:
    outcome = run_file(handwritten(name), NO_NAMED_TOOL)
    assert outcome.untouched
    assert outcome.repairs == {}
    assert outcome.end == ("failed" if name.startswith("error") else "complete")
    assert verdict(outcome.out) == outcome.end


@pytest.mark.parametrize("name", MENDED)
def test_a_mended_stream_is_the_expected_one(name: str) -> None:
    outcome = run_file(handwritten(name), NO_NAMED_TOOL, off=frozenset())
    expected = events(handwritten(f"repaired-{name}").read_bytes())
    if name == "tool-no-id":  # the id is ours to choose
        expected = json.loads(json.dumps(expected).replace("call_r1", "call_t1_0_0"))
        expected = [Event(*event) for event in expected]
    assert outcome.out == expected
    assert outcome.repairs == MENDED[name]
    assert verdict(outcome.out) == outcome.end


@pytest.mark.parametrize("name", MENDED_ALONE)
def test_a_stream_is_mended_by_these_rules(name: str) -> None:
    outcome = run_file(handwritten(name))
    assert outcome.repairs == MENDED_ALONE[name]
    assert verdict(outcome.out) == outcome.end
    assert said(outcome.out) == said(outcome.taken)


@pytest.mark.parametrize("name", FAILED)
def test_what_cannot_be_mended_fails(name: str) -> None:
    outcome = run_file(handwritten(name))
    assert outcome.end == FAILED[name]
    assert verdict(outcome.out) == "failed"
    assert outcome.out[:-1] == outcome.taken[: len(outcome.out) - 1]


@pytest.mark.parametrize("name", ["empty-body", "truncated-clean", "truncated-tool"])
def test_a_cut_stream_ends_in_the_expected_error(name: str) -> None:
    expected = events(handwritten(f"repaired-{name}").read_bytes())
    error = expected[-1].payload["error"]
    failure = Failure(error["message"], type=error["type"], code=error["code"])
    assert seen(Chat(CONTEXT).fail(failure)) == expected[-1:]


@pytest.mark.parametrize("name", ALL)
def test_a_second_checker_finds_nothing_to_do(name: str) -> None:
    if name in BYTES or name in DOCUMENTS:
        pytest.skip("not a stream of frames")
    mended = run_file(handwritten(name), NO_NAMED_TOOL, off=frozenset())
    again = run(mended.out, NO_NAMED_TOOL, off=frozenset())
    assert again.untouched
    assert again.repairs == {}
    assert again.out == mended.out
    assert again.checker.deltas == mended.checker.deltas


@pytest.mark.parametrize("name", [name for name in ALL if name.startswith("repaired-")])
def test_a_repaired_stream_is_left_alone(name: str) -> None:
    assert run_file(handwritten(name), NO_NAMED_TOOL, off=frozenset()).untouched


# --- recorded ---------------------------------------------------------------------------------

FAULTY = {
    "azure-openai--dd-trace-py--openai-azure-chat-completion-streamed": {
        "chat-delta-missing": 1,
        "chat-role-missing": 1,
    },
    "cloudflare--chatlas--provider-cloudflare-cloudflare-data-extraction-4": {"chat-role-missing": 1},
    "cloudflare--chatlas--provider-cloudflare-cloudflare-respects-turns-interface-1": {
        "chat-role-missing": 1
    },
    "cloudflare--chatlas--provider-cloudflare-cloudflare-simple-request": {"chat-role-missing": 1},
    "gemini--magentic--openai-chat-model-gemini-acomplete-return-a-list-of-fruit-output-types3-list": {
        "chat-tool-index-missing": 1,
        "chat-tool-id-missing": 1,
    },
    "github-copilot--rig--copilot-streaming-tools-example-streaming-with-tools-2": {
        "chat-object-missing": 14
    },
    "github-copilot--rig--copilot-streaming-tools-raw-stream-emits-required-zero-arg-tool-call": {
        "chat-object-missing": 3
    },
    "github-copilot--rig--raw-followup-uses-tool-result-without-new-tool-calls-2": {
        "chat-object-missing": 13
    },
    "gpustack--ruby_llm--chat-streaming-responses-gpustack-qwen3-supports-streaming-responses": {
        "chat-role-missing": 1,
        "chat-done-missing": 1,
    },
    "groq--pydantic-ai--groq-groq-model-web-search-tool-stream": {"chat-role-missing": 1},
    "huggingface--chatlas--provider-huggingface-huggingface-simple-streaming-request": {
        "chat-done-missing": 1
    },
    # LiteLLM gives a role and a finish reason to one of two choices only.
    "litellm-proxy--dd-trace-py--litellm-completion-stream-multiple-choices-proxy": {
        "chat-role-missing": 1,
        "chat-finish-missing": 1,
    },
    "mistral--magentic--chat-model-mistral-chat-model-mistral-chat-model-few-shot-prompt": {
        "chat-tool-index-missing": 1,
        "chat-tool-type-missing": 1,
    },
    "mistral--magentic--mistral-chat-model-acomplete-async-parallel-function-call": {
        "chat-tool-index-missing": 2,
        "chat-tool-type-missing": 2,
    },
    "mistral--magentic--mistral-chat-model-complete-parallel-function-call": {
        "chat-tool-index-missing": 2,
        "chat-tool-type-missing": 2,
    },
    "mistral--prism--mistral-stream-reasoning-model-1-1": {"chat-content-parts": 134},
    "mistral--ruby_llm--chat-mistral-hybrid-reasoning-streams-thinking-separately-from-content": {
        "chat-content-parts": 18
    },
    "perplexity--langchaingo--tools-perplexity-testtool-integration": {"chat-done-missing": 1},
    "perplexity--prism--perplexity-stream-basic-text-1": {"chat-done-missing": 1},
    "perplexity--rig--perplexity-raw-stream-capture-matrix-stream-raw-exposes-terminal-usage-and-object": {
        "chat-done-missing": 1
    },
    "perplexity--rig--perplexity-streaming-streaming-smoke": {"chat-done-missing": 1},
    "perplexity--vercel-ai--perplexity-perplexity-text": {"chat-done-missing": 1},
    # Snowflake never says why it ends, but it says [DONE].
    "snowflake--pydantic-ai--snowflake-snowflake-model-streaming": {"chat-finish-missing": 1},
    "snowflake--pydantic-ai--snowflake-snowflake-thinking-streaming": {"chat-finish-missing": 1},
    "writer--openllmetry--writer-async-streaming-chat-multiple-choices-legacy": {"chat-done-missing": 1},
    "writer--openllmetry--writer-async-streaming-chat-multiple-tool-call-requests-legacy": {
        "chat-tool-null-type": 14,
        "chat-done-missing": 1,
    },
    "writer--openllmetry--writer-async-streaming-chat-tool-calls-legacy": {"chat-done-missing": 1},
}
"""Recordings of real servers that some SDK trips over, and what is mended in them."""

CUT = [
    # Neither a finish reason nor [DONE]: nobody knows whether it is whole.
    "gpustack--ruby_llm--chat-with-extended-thinking-gpustack-qwen3-streams-thinking-content-when-available"
]
UPSTREAM_ERRORS = {
    "groq--pydantic-ai--groq-tool-use-failed-error-streaming-1": "tool_use_failed",
    "groq--pydantic-ai--groq-tool-use-failed-error-streaming-with-text-1": "tool_use_failed",
}
RECORDINGS = sorted(path.stem for path in RECORDED.glob("*.sse"))


def test_the_tables_name_recordings() -> None:
    assert {*FAULTY, *CUT, *UPSTREAM_ERRORS} <= set(RECORDINGS)
    assert len(RECORDINGS) == 169


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recorded_stream(name: str) -> None:
    outcome = run_file(RECORDED / f"{name}.sse")
    end = "failed" if name in UPSTREAM_ERRORS else "complete"
    if name in CUT:
        end = "Truncated: a finish reason"
    assert outcome.end == end
    assert verdict(outcome.out) == ("complete" if end == "complete" else "failed")
    if name in FAULTY:
        assert outcome.repairs == FAULTY[name]
    elif name not in CUT:
        assert outcome.untouched
        assert outcome.repairs == {}
    if name in UPSTREAM_ERRORS:
        assert outcome.checker.failure is not None
        assert outcome.checker.failure.code == UPSTREAM_ERRORS[name]
    again = run(outcome.out)
    assert again.untouched
    assert again.out == outcome.out


@pytest.mark.parametrize("name", RECORDINGS)
def test_no_text_of_a_recording_is_lost(name: str) -> None:
    outcome = run_file(RECORDED / f"{name}.sse")
    if "chat-content-parts" in outcome.repairs:
        pytest.skip("its text has another form, see the test of that rule")
    assert said(outcome.out) == said(outcome.taken)
