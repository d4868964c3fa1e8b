"""What failed, was cut or breaks a rule, in each other dialect: the client's own error, or a legal answer.

An upstream's error is told by the tables of errors; it never becomes a finish.
"""

from __future__ import annotations

import json

import pytest

from tests.dialects.drive import Event, events
from tests.streams import Answer, checked, download, handwritten
from tests.told import Json, Tale
from tests.translated import (
    PAIRS,
    carried,
    counts_of,
    finish_of,
    frames,
    others,
    stream_of,
    told,
    translate,
    translation,
    verdict,
)
from tests.translation_sources import Source, of_kind

# --- errors of the upstream -------------------------------------------------------------------------

Row = tuple[str, tuple[str, str], int]
"""Anthropic's type, OpenAI's type and code, and the status before anything was sent."""
SERVER: Row = ("api_error", ("server_error", "server_error"), 500)
UNKNOWN: Row = ("api_error", ("server_error", "server_error"), 502)
OVERLOADED: Row = ("overloaded_error", ("server_error", "slow_down"), 503)
RATE_LIMIT: Row = ("rate_limit_error", ("rate_limit_error", "rate_limit_exceeded"), 429)
GROQ: Row = ("invalid_request_error", ("invalid_request_error", "tool_use_failed"), 400)
ERRORS: dict[str, Row] = {
    "chat-completions/error-string": UNKNOWN,
    "chat-completions/error-detail": UNKNOWN,
    "chat-completions/finish-error": UNKNOWN,
    "groq-tool-use-failed-error-streaming-1": GROQ,
    "groq-tool-use-failed-error-streaming-with-text-1": GROQ,
    "messages/error-midstream": OVERLOADED,
    "messages/error-first": OVERLOADED,
    "messages/error-no-event-line": OVERLOADED,
    "messages--error-first": OVERLOADED,
    "messages--mid-error": OVERLOADED,
    "responses/rate-limited": RATE_LIMIT,
    "openai-stream-rate-limited-1": RATE_LIMIT,
    "responses/context-length": (
        "invalid_request_error",
        ("invalid_request_error", "context_length_exceeded"),
        400,
    ),
    "responses/failed-insufficient-quota": (
        "rate_limit_error",
        ("rate_limit_error", "insufficient_quota"),
        429,
    ),
    "responses/failed-server-is-overloaded": OVERLOADED,
    "responses/failed-slow-down": OVERLOADED,
    "responses/failed-invalid-prompt": (
        "invalid_request_error",
        ("invalid_request_error", "invalid_prompt"),
        400,
    ),
    "responses/failed-usage-not-included": ("api_error", ("server_error", "usage_not_included"), 502),
}
"""The ends of names of streams; all others that failed are SERVER."""
SAYS = {
    "handwritten/chat-completions/finish-error": "the upstream ended its answer with finish_reason 'error'",
    "handwritten/chat-completions/error-detail": "Internal Server Error",
    "handwritten/chat-completions/error-event-code-details": "boom",
    "handwritten/chat-completions/error-vllm-object": "engine dead",
}
"""Messages that stand elsewhere than in an error."""


def row_of(source: Source) -> Row:
    return next((row for name, row in ERRORS.items() if source.name.endswith(name)), SERVER)


def error_of(answer: Answer, client: str) -> Json:
    """What the client is told, and when: as its whole answer, or as the end of the stream."""
    if answer.refused is not None:
        assert answer.writes == []
        found = json.loads(answer.refused.body)  # type: ignore[attr-defined]
        assert found.get("type") == ("error" if client == "messages" else None)
        return dict(found["error"])
    assert verdict(client, answer.events) == "failed"
    assert answer.stream.end_code == "UX"
    tale = told[client](answer.events)
    assert tale.error is not None
    assert (tale.finish, tale.ended) == (None, False)
    return tale.error


@pytest.mark.parametrize("source", of_kind("failed"), ids=str)
def test_an_upstreams_error_is_told_in_the_clients_words(source: Source) -> None:
    anthropic, openai, status = row_of(source)
    said = SAYS.get(source.name) or _message(source)
    for client in others(source.dialect):
        answer = translate(client, source.dialect, source.body)
        error = error_of(answer, client)
        if client == "messages":
            assert error["type"] == anthropic
            assert error["message"] in (said, f"prompt is too long: {said}")
        else:
            assert (error["type"], error["code"], error["message"]) == (*openai, said)
        if answer.refused is not None:
            overloaded = client == "messages" and status == 503
            assert answer.refused.status == (529 if overloaded else status)


def _message(source: Source) -> str:
    if source.name.endswith("json-error-body"):
        return str(json.loads(source.body)["error"]["message"])
    error = told[source.dialect](source.events).error
    assert error is not None
    return str(error["message"])


# --- cut after any frame ----------------------------------------------------------------------------

CUT_HERE = {
    "chat": (
        *("text-then-tool", "reasoning-then-tool", "tool-parallel-interleaved", "text-usage", "refusal"),
        *("finish-with-content", "usage-on-finish", "n2", "length", "vllm-empty-tool-calls"),
    ),
    "messages": (
        *("text-then-tool", "thinking-then-tool", "tool-parallel", "text-ping", "max-tokens-tool"),
        *("refusal", "two-text-blocks", "usage-late", "message-delta-twice"),
    ),
    "responses": (
        *("text-then-tool", "reasoning-summary-then-tool", "tool-parallel-interleaved", "two-parts"),
        *("refusal", "incomplete", "reasoning-both", "incomplete-tool-open", "queued-first"),
    ),
}
SAMPLES = [
    source
    for source in of_kind("whole")
    if source.name.startswith("handwritten") and source.path.stem in CUT_HERE[source.dialect]
]


def is_announced(dialect: str, stream: list[Event]) -> bool:
    """The upstream has said that its answer is whole."""
    payloads = [payload for _, payload in stream if payload]
    if dialect == "chat":
        choices = [choice for payload in payloads for choice in payload["choices"]]
        begun = {choice["index"] for choice in choices}
        return begun == {choice["index"] for choice in choices if choice.get("finish_reason")} != set()
    if dialect == "messages":
        return any(
            payload["type"] == "message_delta" and payload["delta"]["stop_reason"] for payload in payloads
        )
    kinds = [payload["type"] for payload in payloads]
    if {"response.completed", "response.incomplete"} & set(kinds):
        return True
    done = [payload["item"] for payload in payloads if payload["type"] == "response.output_item.done"]
    answers = [item for item in done if item["type"] in ("message", "function_call")]
    whole = all(item.get("status") != "incomplete" for item in done)
    return kinds.count("response.output_item.added") == len(done) and bool(answers) and whole


@pytest.mark.parametrize("source", SAMPLES, ids=str)
def test_a_stream_that_is_cut_fails_unless_its_end_was_announced(source: Source) -> None:
    parts = frames(source.body)
    for length in range(len(parts)):
        cut = b"".join(parts[:length])
        before = told[source.dialect](events(cut))
        for client in others(source.dialect):
            answer = translate(client, source.dialect, cut)
            if not answer.writes:
                assert answer.refused is not None
                assert answer.refused.status == 502
                assert before.said == []
                continue
            after = told[client](answer.events)
            end = verdict(client, answer.events)
            assert end == ("complete" if is_announced(source.dialect, events(cut)) else "failed")
            assert_nothing_lost(before, after, client, failed=end == "failed")
            if end == "failed":
                assert (after.finish, after.ended) == (None, False)
                assert after.error is not None
                assert "closed the connection" in after.error["message"]


def assert_nothing_lost(before: Tale, after: Tale, client: str, *, failed: bool) -> None:
    """All text that came has left; of calls those that had their turn."""
    for kinds in (("text", "refusal"), ("reasoning",)):
        assert after.text(*kinds) == before.text(*kinds)
    if failed:
        assert [call[:2] for call in after.calls] == [call[:2] for call in before.calls][: len(after.calls)]
        assert len(after.calls) == len(before.calls) or client == "messages"
    else:
        assert carried(after, client) == carried(before, client)


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_a_sign_of_life_may_stand_between_any_two_frames(client: str, upstream: str) -> None:
    for source in SAMPLES:
        if source.dialect == upstream:
            answer = Answer(stream_of(translation(client, upstream)))
            for frame in frames(source.body):
                answer.read(frame)
                answer.write(b"".join(answer.stream.keep_alive()))
            answer.close()
            assert verdict(client, answer.events) == "complete"
            plain = told[client](translate(client, upstream, source.body).events)
            assert told[client](answer.events) == plain
            again = download(checked(client, chunked=False), [answer.body])
            assert (again.body, again.stream.repairs) == (answer.body, {})


# --- rules broken -----------------------------------------------------------------------------------

NOT_MENDED = {
    *("chat-completions/truncated-clean", "chat-completions/truncated-json", "chat-completions/empty-body"),
    *("chat-completions/done-only", "chat-completions/truncated-tool"),
    *("messages/truncated-clean", "messages/truncated-tool", "messages/bad-json", "messages/raw-newline"),
    *("messages/empty-body", "responses/truncated-clean", "responses/chat-chunk-leak", "responses/bad-json"),
    *("responses/empty-body", "responses/truncated-tool"),
}
"""Malformed streams that nothing but an error can come of."""


def mended(source: Source) -> list[Event]:
    """How the stream looks repaired: the corpus has it for most, the checker of its dialect for the rest."""
    sample = handwritten().get(f"{source.dialect}/{source.path.stem}")
    if sample is not None and sample.repairs:
        return events(sample.repaired())
    return download(checked(source.dialect, chunked=False), [source.body]).events


@pytest.mark.parametrize("source", of_kind("malformed"), ids=str)
def test_a_stream_that_breaks_a_rule_is_mended_or_fails(source: Source) -> None:
    fails = source.name.removeprefix("handwritten/") in NOT_MENDED
    for client in others(source.dialect):
        answer = translate(client, source.dialect, source.body)
        assert (bool(answer.refused or answer.broken)) == fails
        if not answer.writes:
            assert answer.refused is not None
            assert answer.refused.status == 502
            continue
        assert verdict(client, answer.events) == ("failed" if fails else "complete")
        before, after = told[source.dialect](mended(source)), told[client](answer.events)
        assert said(after, client) == said(before, client)
        if not fails:
            assert after.finish == finish_of(before, source.dialect, client)
            assert after.counts == counts_of(before, client)
        again = download(checked(client, chunked=False), [answer.body])
        assert again.stream.repairs == {}
        assert again.body == answer.body or (fails and after.said == [] and again.refused)


def said(tale: Tale, client: str) -> list[tuple[object, ...]]:
    """The ids that relay gives differ from those that the corpus gives."""
    made = ("call_t1", "call_r1")
    return [
        ("call", None, *one[2:]) if one[0] == "call" and str(one[1]).startswith(made) else one
        for one in carried(tale, client)
    ]
