"""Every handwritten Responses stream, and what becomes of it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from relay.dialects.checker import Malformed, Truncated
from relay.dialects.deltas import Failure
from relay.dialects.responses import Responses
from tests.dialects.drive import CONTEXT, Event, seen
from tests.dialects.responses_kit import HANDWRITTEN, Run, legal, names, run, stream, with_corpus
from tests.dialects.responses_legal import outcome, texts

pytestmark = with_corpus

BYTES = {"bom", "comment-first", "comment-line", "cr", "crlf", "empty-data", "event-only", "no-final-blank"}
BYTES |= {"id-then-comment-line", "id-then-keepalive", "keepalive-comment", "no-final-newline", "retry-only"}
"""What is wrong or rare in them is below the payloads: here they are legal."""

DOCUMENTS = {"json-body", "json-error-body"}
UNREADABLE = {"bad-json"}

ACCEPTED = {
    "args-in-added", "args-only-done", "completed-item-id-differs", "completed-reordered",
    "completed-usage-null", "in-progress-repeated", "no-logprobs", "no-part-done", "no-text-done",
    "refusal-as-text", "tool-name-only-added",
}  # fmt: skip
"""Unusual, but accepted by every SDK: left alone."""

MENDED = {
    "completed-output-missing": {"responses-output-missing"},
    "completed-twice": {"responses-after-end"},
    "created-no-output": {"responses-response-members"},
    "created-twice": {"responses-created-twice"},
    "done-appended": {"responses-done-sentinel"},
    "event-line-mismatch": {"responses-event-mismatch"},
    "item-id-changes-done": {"responses-identity"},
    "no-event-lines": {"responses-event-missing"},
    "no-sequence-numbers": {"responses-sequence-missing"},
    "sequence-constant": {"responses-sequence"},
    "sequence-minus-one": {"responses-sequence"},
}
"""Mended without a twin in the corpus, by these rules."""

PASSED_ON = (
    "error-hybrid-first", "error-hybrid-then-failed", "failed", "rate-limited", "context-length",
    "failed-insufficient-quota", "failed-invalid-prompt", "failed-server-is-overloaded", "failed-slow-down",
    "failed-usage-not-included",
)  # fmt: skip

ERRORS: dict[str, set[str]] = {
    "error-nested-then-failed": {"responses-error-form", "responses-after-end"},
    "error-no-event-line": {"responses-error-form", "responses-event-missing", "responses-sequence-missing"},
    "error-then-failed": {"responses-error-form", "responses-after-end"},
    "failed-first": {"responses-error-form", "responses-sequence"},
    "failed-then-error-hybrid": {"responses-after-end"},
    **{name: set() for name in PASSED_ON},
}
"""Failures that the upstream tells of; all end as a failure. (Two have a twin and are tested with it.)"""

FAILING = {
    "chat-chunk-leak": Malformed,
    "empty-body": Truncated,
    "truncated-clean": Truncated,
    "truncated-tool": Truncated,
}
"""What cannot be mended."""

GENERATED = {"resp_t1": "resp_h1", "fc_t1_0": "fc_r1", "call_t1_0": "call_r1"}
"""Ids that the twins made up, by those that the checker makes up."""

UNKNOWN = ("background", "temperature", "top_p")
"""Members of a made-up response that the twins give OpenAI's defaults; relay does not know them."""


def without_keepalive(twin: list[Event]) -> list[Event]:
    return [event for event in twin if event.event != "keepalive"]


def without_done(twin: list[Event]) -> list[Event]:
    twin[-2].payload["response"]["output"][0]["id"] = "resp_h1"
    return [Event(payload["type"], payload) for _, payload in twin[:-1]]


def without_cache_writes(twin: list[Event]) -> list[Event]:
    del twin[-1].payload["response"]["usage"]["input_tokens_details"]["cache_write_tokens"]
    return twin


DEVIATIONS: dict[str, Callable[[list[Event]], list[Event]]] = {
    # An invented response.created would call the whole answer by an id that the upstream does not know.
    "keepalive-first": without_keepalive,
    # Event lines and numbers are mended too, [DONE] is not forwarded, completed lists what was streamed.
    "litellm-27442": without_done,
    # Zero cache writes are not known.
    "completed-usage-chat-names": without_cache_writes,
}
"""How the checker's output differs from a twin, and why. (Numbers are compared by the legal reading only.)"""

OPT_IN = {"unknown-event": frozenset[str]()}
"""Rules that are off by default, and what is off here."""

CUT = "upstream closed the stream before response.completed"
MESSAGES = {"empty-body": "upstream closed the stream before response.created"}


def comparable(given: list[Event]) -> list[tuple[str | None, Any]]:
    """Without numbers and with one name for generated ids."""
    text = json.dumps([[event, payload] for event, payload in given])
    for own, theirs in GENERATED.items():
        text = text.replace(f'"{own}"', f'"{theirs}"')
    found = []
    for event, payload in json.loads(text):
        if payload is not None:
            payload.pop("sequence_number", None)
            for key in UNKNOWN:
                payload.get("response", {}).pop(key, None)
        found.append((event, payload))
    return found


def twins() -> set[str]:
    return {name.removeprefix("repaired-") for name in names(HANDWRITTEN, "repaired-*.sse")} - {"cr-eof-lf"}


def plain() -> set[str]:
    """The valid files, which need no table: all that no other class has."""
    classes = (BYTES, DOCUMENTS, UNREADABLE, ACCEPTED, MENDED, ERRORS, FAILING, twins())
    return {name for name in names(HANDWRITTEN) if not name.startswith("repaired-")}.difference(*classes)


def result(name: str) -> Run:
    return run(stream(HANDWRITTEN / f"{name}.sse"), off=OPT_IN.get(name), message=MESSAGES.get(name, CUT))


def test_every_file_is_in_a_class_and_only_twins_in_two() -> None:
    tables = [BYTES, DOCUMENTS, UNREADABLE, ACCEPTED, set(MENDED), set(ERRORS), set(FAILING)]
    for position, table in enumerate(tables):
        assert table <= set(names(HANDWRITTEN))
        assert not table.intersection(
            *[other for other in tables[position + 1 :] if table & other] or [set()]
        )
    assert plain() == {
        "incomplete", "incomplete-content-filter", "incomplete-tool", "incomplete-tool-open", "queued-first",
        "incomplete-tool-open-empty", "keepalive-between-created", "keepalive-event", "reasoning-both",
        "reasoning-empty", "reasoning-summary-then-text", "reasoning-summary-then-tool", "two-parts",
        "reasoning-text-then-text", "reasoning-text-then-tool", "refusal", "text", "text-then-tool",
        "tool-parallel", "tool-parallel-interleaved", "tool-single",
    }  # fmt: skip


def test_what_is_legal_or_accepted_passes_unchanged() -> None:
    for name in sorted(plain() | BYTES | ACCEPTED):
        given = stream(HANDWRITTEN / f"{name}.sse")
        found = run(given)
        assert (found.touched, found.out, found.checker.repairs) == (0, given, {}), name
        assert legal(found.out), name


@pytest.mark.parametrize(
    "name", sorted(twins() - BYTES - DOCUMENTS - UNREADABLE) if HANDWRITTEN.is_dir() else []
)
def test_a_malformed_stream_becomes_its_twin(name: str) -> None:
    twin = copy.deepcopy(stream(HANDWRITTEN / f"repaired-{name}.sse"))
    found = result(name)
    assert comparable(found.out) == comparable(DEVIATIONS.get(name, list)(twin))
    assert type(found.error) is FAILING.get(name, type(None))
    assert outcome(found.out) == ("failed" if name in FAILING or "error" in name else "completed")
    assert name in FAILING or found.checker.repairs
    if name != "unknown-event":
        assert not legal(stream(HANDWRITTEN / f"{name}.sse")), "the legal reading sees nothing wrong"


@pytest.mark.parametrize("name", sorted(MENDED))
def test_a_stream_without_a_twin_is_mended(name: str) -> None:
    given = stream(HANDWRITTEN / f"{name}.sse")
    found = run(given)
    assert found.error is None
    assert found.checker.repairs.keys() == MENDED[name]
    assert outcome(found.out) == "completed"
    assert texts(found.out) == texts(given)
    assert not legal(given)


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_an_upstream_error_reaches_every_client(name: str) -> None:
    found = run(stream(HANDWRITTEN / f"{name}.sse"))
    assert found.error is None
    assert found.checker.repairs.keys() == ERRORS[name]
    assert outcome(found.out) == "failed"
    assert found.checker.failure is not None
    assert found.checker.failure.message == found.out[-1].payload["response"]["error"]["message"]
    assert found.checker.done


def test_a_failure_as_the_first_frame_is_no_start() -> None:
    for name in ("failed-first", "error-hybrid-first"):
        assert not run(stream(HANDWRITTEN / f"{name}.sse")).checker.started


def test_what_cannot_be_mended_fails() -> None:
    for name, kind in FAILING.items():
        found = result(name)
        assert type(found.error) is kind, name
        assert outcome(found.out) == "failed", name


def test_a_mended_stream_passes_a_second_time() -> None:
    for name in names(HANDWRITTEN):
        if name not in UNREADABLE | DOCUMENTS:
            once = result(name)
            again = run(once.out, off=OPT_IN.get(name))
            assert (again.touched, again.out, again.checker.repairs) == (0, once.out, {}), name


def test_a_twin_needs_no_more_than_numbers_and_event_lines() -> None:
    """The twins were not renumbered after an insertion; litellm-27442 also kept its frames without names."""
    numbers = {"responses-sequence", "responses-sequence-missing"}
    for name in names(HANDWRITTEN, "repaired-*.sse"):
        found = run(stream(HANDWRITTEN / f"{name}.sse"))
        extra = {"responses-event-missing", "responses-done-sentinel"} if "27442" in name else set()
        assert found.checker.repairs.keys() <= numbers | extra, name


def test_with_every_rule_off_nothing_is_touched() -> None:
    off = frozenset(Responses.rules)
    for name in names(HANDWRITTEN):
        if name not in UNREADABLE | DOCUMENTS | FAILING.keys():
            given = stream(HANDWRITTEN / f"{name}.sse")
            found = run(given, off=off, end=False)
            assert (found.touched, found.out, found.error) == (0, given, None), name


def test_a_document_becomes_a_stream() -> None:
    body = json.loads((HANDWRITTEN / "json-body.sse").read_bytes())
    made = seen(Responses.stream_of(body, CONTEXT))
    assert made == stream(HANDWRITTEN / "repaired-json-body.sse")
    error = json.loads((HANDWRITTEN / "json-error-body.sse").read_bytes())
    with pytest.raises(Malformed, match="no response"):
        Responses.stream_of(error, CONTEXT)


def test_an_http_error_is_read_by_the_sdks() -> None:
    document = Responses.error_document(Failure("too fast", 429, retry_after="3"))
    error = {"message": "too fast", "type": "rate_limit_error", "param": None, "code": "rate_limit_exceeded"}
    assert document == {"error": error}
