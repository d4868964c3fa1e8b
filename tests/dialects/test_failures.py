"""Errors as upstreams write them: each form is read, and nothing else is taken for one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.dialects import failures
from relay.dialects.deltas import Failure
from tests.dialects.drive import events

HERE = Path(__file__).resolve().parents[1]
SHARED = HERE.parents[1] / "shared" / "corpus"
CAPTURES = SHARED / "litellm" if SHARED.is_dir() else HERE / "data" / "litellm"
needs_corpus = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the folder of recorded streams is not beside this project"
)

# --- every form ---------------------------------------------------------------------------------

FORMS: list[tuple[str, str | None, Any, Failure]] = [
    (
        "OpenAI",
        None,
        {"error": {"message": "boom", "type": "server_error", "param": None, "code": "server_error"}},
        Failure("boom", 500, "server_error", "server_error"),
    ),
    (
        "OpenAI, a number as code (vLLM)",
        None,
        {"error": {"message": "boom", "type": "InternalServerError", "param": None, "code": 500}},
        Failure("boom", 500, "InternalServerError", "500"),
    ),
    (
        "Anthropic",
        "error",
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "r"},
        Failure("Overloaded", 529, "overloaded_error"),
    ),
    (
        "flat Responses event",
        "error",
        {"type": "error", "sequence_number": 5, "code": "server_error", "message": "died", "param": None},
        Failure("died", 500, None, "server_error"),
    ),
    (
        "Responses, flat and nested",
        "error",
        {"type": "error", "code": "a", "message": "a", "error": {"code": "slow_down", "message": "nested"}},
        Failure("nested", 503, None, "slow_down"),
    ),
    (
        "response.failed",
        "response.failed",
        {
            "type": "response.failed",
            "response": {"id": "r", "error": {"code": "rate_limit_exceeded", "message": "Later."}},
        },
        Failure("Later.", 429, None, "rate_limit_exceeded"),
    ),
    (
        "response.failed that does not say why",
        "response.failed",
        {"type": "response.failed", "response": {"error": None}},
        Failure("the upstream reported an error", 502),
    ),
    ("a bare text (Ollama)", None, {"error": "model not found"}, Failure("model not found", 502)),
    (
        "old vLLM",
        None,
        {"object": "error", "message": "dead", "type": "InternalServerError", "param": None, "code": 500},
        Failure("dead", 500, "InternalServerError", "500"),
    ),
    ("FastAPI", None, {"detail": "Internal Server Error"}, Failure("Internal Server Error", 502)),
    ("TGIS", "error", {"code": 500, "details": "boom"}, Failure("boom", 500, None, "500")),
    (
        "a list of one (Gemini)",
        None,
        [{"error": {"code": 429, "message": "Quota", "status": "RESOURCE_EXHAUSTED"}}],
        Failure("Quota", 429, None, "429"),
    ),
    (
        "beside a chunk (OpenRouter)",
        None,
        {"choices": [{"index": 0, "delta": {}}], "error": {"code": 502, "message": "Provider disconnected"}},
        Failure("Provider disconnected", 502, None, "502"),
    ),
    (
        "Python's None (LiteLLM)",
        None,
        {"error": {"message": "m", "type": "None", "param": "None", "code": "401"}},
        Failure("m", 401, None, "401"),
    ),
    (
        "no message",
        None,
        {"error": {"code": 503}},
        Failure("the upstream reported an error", 503, None, "503"),
    ),
    ("a message that is no text", None, {"error": {"message": ["a"]}}, Failure('["a"]', 502)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("event", "document", "failure"), [form[1:] for form in FORMS], ids=[f[0] for f in FORMS]
)
def test_every_form_of_an_error_is_read(event: str | None, document: object, failure: Failure) -> None:
    assert failures.read(document, event=event) == failure


@pytest.mark.parametrize(
    "document",
    [
        None,
        7,
        "error",
        [],
        [{"error": "a"}, {"error": "b"}],
        [[{"error": "a"}]],
        {},
        {"error": None},
        {"error": ""},
        {"error": {}},
        {"error": False},
        {"type": "response.completed", "response": {"error": None}},
        {"type": "response.created", "response": {"error": {"message": "not at depth one"}}},
        {"object": "chat.completion.chunk", "choices": [], "error": None},
        {"type": "message_start", "detail": "x"},
        {"choices": [], "detail": "x"},
        {"type": "ping"},
        {"message": "x", "code": 500},
    ],
)
def test_what_is_no_error_is_not_taken_for_one(document: object) -> None:
    assert failures.read(document) is None


# --- statuses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"type": "invalid_request_error"}, 400),
        ({"type": "authentication_error"}, 401),
        ({"type": "permission_error"}, 403),
        ({"type": "not_found_error"}, 404),
        ({"type": "request_too_large"}, 413),
        ({"type": "rate_limit_error"}, 429),
        ({"type": "api_error"}, 500),
        ({"type": "timeout_error"}, 504),
        ({"type": "overloaded_error"}, 529),
        ({"code": "context_length_exceeded"}, 400),
        ({"code": "insufficient_quota"}, 429),
        ({"code": "server_is_overloaded"}, 503),
        ({"code": "401"}, 401),
        ({"code": 404, "type": "server_error"}, 404),
        # A code says more than a type; a number that is no error says nothing.
        ({"code": "rate_limit_exceeded", "type": "invalid_request_error"}, 429),
        ({"code": 200, "type": "overloaded_error"}, 529),
        ({"code": 1234, "type": "api_error"}, 500),
        ({"code": -1}, 502),
        ({"code": 0}, 502),
        ({"code": True}, 502),
        ({"code": 500.0}, 502),
        ({"type": "never_heard_of"}, 502),
        ({}, 502),
    ],
)
def test_an_error_has_the_status_that_it_would_have_had_as_an_answer(
    error: dict[str, Any], status: int
) -> None:
    failure = failures.read({"error": error | {"message": "m"}})
    assert failure is not None
    assert failure.status == status


def test_the_status_that_it_came_with_is_its_status() -> None:
    failure = failures.read({"error": {"message": "m", "code": 500}}, status=418)
    assert failure is not None
    assert failure.status == 418


# --- names in each dialect ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "messages_type", "openai_type", "openai_code"),
    [
        (Failure("m"), "api_error", "server_error", "server_error"),
        (Failure("m", 500), "api_error", "server_error", "server_error"),
        (Failure("m", 504), "timeout_error", "server_error", "timeout"),
        (Failure("m", 503), "overloaded_error", "server_error", "slow_down"),
        (Failure("m", 429), "rate_limit_error", "rate_limit_error", "rate_limit_exceeded"),
        (Failure("m", 400), "invalid_request_error", "invalid_request_error", "invalid_request_error"),
        (Failure("m", 418), "invalid_request_error", "invalid_request_error", "invalid_request_error"),
        (Failure("m", 401), "authentication_error", "invalid_request_error", "invalid_api_key"),
        # What the upstream called it wins where the dialect knows the name.
        (Failure("m", 529, "overloaded_error"), "overloaded_error", "server_error", "slow_down"),
        (Failure("m", 500, "api_error"), "api_error", "server_error", "server_error"),
        (Failure("m", 400, "BadRequestError"), "invalid_request_error", "BadRequestError", "BadRequestError"),
        (Failure("m", 500, "server_error", "internal"), "api_error", "server_error", "internal"),
        (Failure("m", 500, None, "500"), "api_error", "server_error", "server_error"),
        (Failure("m", 429, None, "429"), "rate_limit_error", "rate_limit_error", "rate_limit_exceeded"),
    ],
)
def test_a_failure_has_a_name_in_every_dialect(
    failure: Failure, messages_type: str, openai_type: str, openai_code: str
) -> None:
    assert failures.messages_type(failure) == messages_type
    assert failures.openai_type(failure) == openai_type
    assert failures.openai_code(failure) == openai_code


@pytest.mark.parametrize("status", [500, 502, 503, 504, 529])
def test_a_broken_upstream_is_never_called_the_clients_fault(status: int) -> None:
    """Clients do not repeat what they are told is their own fault."""
    failure = Failure("m", status)
    assert "invalid" not in failures.openai_type(failure) + failures.openai_code(failure)
    assert "invalid" not in failures.messages_type(failure)


# --- recorded errors ----------------------------------------------------------------------------


def read_all(path: Path) -> list[Failure]:
    """What the frames of a stream, or its one document, say of errors."""
    body = path.read_bytes()
    if body[:1] in (b"{", b"["):
        found = [failures.read(json.loads(body))]
    else:
        found = [failures.read(event.payload, event=event.event) for event in events(body)]
    return [failure for failure in found if failure is not None]


@needs_corpus
def test_every_handwritten_error_is_read() -> None:
    records = [
        json.loads(line) for line in (SHARED / "handwritten" / "results.jsonl").read_bytes().splitlines()
    ]
    paths = {SHARED / "handwritten" / r["dialect"] / r["file"] for r in records if r["kind"] == "error"}
    assert len(paths) > 30
    assert [path.name for path in sorted(paths) if not read_all(path)] == []


@needs_corpus
def test_no_frame_of_a_valid_stream_is_an_error() -> None:
    records = [
        json.loads(line) for line in (SHARED / "handwritten" / "results.jsonl").read_bytes().splitlines()
    ]
    paths = {SHARED / "handwritten" / r["dialect"] / r["file"] for r in records if r["kind"] == "valid"}
    paths |= set((SHARED / "recorded").rglob("*.sse"))
    said = {path.stem: read_all(path) for path in paths if read_all(path)}
    assert {name: [failure.status for failure in failed] for name, failed in said.items()} == {
        "groq--pydantic-ai--groq-tool-use-failed-error-streaming-1": [400],
        "groq--pydantic-ai--groq-tool-use-failed-error-streaming-with-text-1": [400],
        "openai--prism--openai-stream-rate-limited-1": [429, 429],
    }


@pytest.mark.parametrize("version", ["1.83.10", "1.85.0", "1.109.1"])
def test_what_litellm_says_of_a_broken_upstream_is_read(version: str) -> None:
    paths = sorted((CAPTURES / version).glob("*.json"))
    assert paths
    for path in paths:
        status, read = json.loads(path.read_bytes())["status"], read_all(path.with_suffix(".sse"))
        assert all(400 <= failure.status < 600 and failure.message for failure in read), path.name
        if status >= 400:
            assert [failure.status for failure in read] == [status], path.name
        elif "error-first" in path.name and "1.109" in version:
            assert read, path.name  # the older ones left some errors out


# --- anything -----------------------------------------------------------------------------------

WORDS = st.sampled_from(
    [
        "error",
        "message",
        "type",
        "code",
        "detail",
        "details",
        "object",
        "response",
        "choices",
        "response.failed",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=15,
)  # fmt: skip


@given(JSON, st.sampled_from([None, "error", "ping"]))
def test_whatever_an_upstream_writes_is_an_error_with_a_status_and_names_or_none(
    document: Any, event: str | None
) -> None:
    failure = failures.read(document, event=event)
    if failure is not None:
        assert 400 <= failure.status < 600
        assert isinstance(failure.message, str)
        assert failure.message
        assert failures.messages_type(failure).isidentifier()
        assert failures.openai_type(failure)
        assert failures.openai_code(failure)


@pytest.mark.parametrize(
    "code",
    [
        "٤٠٠",
        10**4000,
        "²",
        "5" * 5000,
    ],
)
def test_a_code_of_odd_digits_is_a_code(code: object) -> None:
    failure = failures.read({"error": {"message": "m", "code": code}})
    assert failure is not None
    assert failure.status in (400, 502)
