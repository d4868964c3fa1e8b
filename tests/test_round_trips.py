"""Every stream of the corpus in each other dialect: legal there, and it says the same.

What a stream says is read by `told_*`, what must become of it stands in `translated`.
"""

from __future__ import annotations

from functools import cache

import pytest

from tests.streams import Answer, checked, download
from tests.told import Tale
from tests.translated import (
    MODEL,
    NAMES,
    PAIRS,
    REQUESTS,
    carried,
    counts_of,
    finish_of,
    others,
    told,
    told_by_document,
    translate,
    verdict,
)
from tests.translation_sources import (
    CUT,
    FAILED,
    LEFT_OUT,
    MALFORMED,
    Source,
    counted,
    of_kind,
    sources,
)

each_whole_source = pytest.mark.parametrize("source", of_kind("whole"), ids=str)
each_pair = pytest.mark.parametrize(("client", "upstream"), PAIRS, ids=[f"{a}<{b}" for a, b in PAIRS])
PREFIXES = {"chat": "chatcmpl-", "messages": "msg_", "responses": "resp_"}


@pytest.mark.skipif(not sources(), reason="the corpus is not beside this project")
def test_every_stream_is_in_exactly_one_class() -> None:
    kinds = {kind: len(of_kind(kind)) for kind in ("whole", "failed", "cut", "malformed")}
    assert kinds == {"whole": 515, "failed": 49, "cut": 10, "malformed": 145}
    names = [source.name for source in sources()]
    assert len(set(names)) == len(names) == sum(kinds.values())
    assert set(names) >= FAILED | CUT | MALFORMED
    assert counted(of_kind("whole")) == LEFT_OUT


@cache
def answered(source: Source, client: str) -> Answer:
    answer = translate(client, source.dialect, source.body)
    assert (answer.refused, answer.broken, answer.stream.end_code) == (None, None, "OK")
    assert answer.ended
    assert verdict(client, answer.events) == "complete"
    return answer


def assert_same(got: list[tuple[object, ...]], expected: list[tuple[object, ...]]) -> None:
    """Call by call, text by text; a call without an id has been given one."""
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        if other[0] == "call" and other[1] is None:
            assert isinstance(one[1], str)
            assert one[1].startswith("call_")
            other = ("call", one[1], *other[2:])
        assert one == other


@each_whole_source
def test_a_stream_says_the_same_in_every_dialect(source: Source) -> None:
    before = told[source.dialect](source.events)
    assert before.error is None
    for client in others(source.dialect):
        after = told[client](answered(source, client).events)
        assert_same(carried(after, client), carried(before, client))
        assert after.finish == finish_of(before, source.dialect, client)
        assert after.counts == counts_of(before, client)
        assert (after.ended, after.error, after.model) == (True, None, MODEL)
        ids = [ident for ident, _, _ in after.calls]
        assert len(set(ids)) == len(ids)
        assert_same_id(after.id, before.id, client)


def assert_same_id(after: str | None, before: str | None, client: str) -> None:
    assert after is not None
    assert after.startswith(PREFIXES[client])
    suffix = after.removeprefix(PREFIXES[client])
    assert suffix
    assert before is None or before.endswith(suffix)


@each_whole_source
def test_there_and_back_says_the_same(source: Source) -> None:
    """Two relays, the second undoing what the first has done."""
    before = told[source.dialect](source.events)
    for between in others(source.dialect):
        there = answered(source, between)
        back = translate(source.dialect, between, there.body)
        assert verdict(source.dialect, back.events) == "complete"
        after, met = told[source.dialect](back.events), told[between](there.events)
        assert_same(carried(after, source.dialect), carried(_through(before, between), source.dialect))
        assert after.finish == finish_of(met, between, source.dialect)
        assert after.counts == counts_of(met, source.dialect)
        if before.finish in KEPT and not (before.text("refusal") or before.calls):
            assert after.finish == before.finish


KEPT = {
    *("stop", "length", "content_filter", "end_turn", "max_tokens", "refusal", "completed"),
    *("incomplete: max_output_tokens", "incomplete: content_filter"),
}
"""Stop reasons that have a counterpart of their own in both other dialects."""


def _through(tale: Tale, dialect: str) -> Tale:
    """What is left of it in this dialect."""
    left = Tale()
    for kind, *what in carried(tale, dialect):
        if kind == "call":
            left.said.append(next(one for one in tale.said if (one.id, one.name) == (what[0], what[1])))
        else:
            left.add(kind, what[0])
    return left


@each_whole_source
def test_a_second_relay_changes_nothing(source: Source) -> None:
    """One that forwards what was translated, and checks it."""
    for client in others(source.dialect):
        first = answered(source, client)
        second = download(checked(client, chunked=False), [first.body])
        assert second.body == first.body
        assert second.stream.repairs == {}
        assert second.stream.end_code == "OK"


@pytest.mark.parametrize("source", [s for s in of_kind("whole") if s.dialect != "responses"], ids=str)
def test_the_last_event_of_a_responses_stream_repeats_what_it_said(source: Source) -> None:
    """Its deltas are read by some clients, its output by others."""
    stream = answered(source, "responses").events
    whole = told_by_document["responses"](stream[-1].payload["response"])
    spoken = told["responses"](stream)
    assert carried(whole, "responses") == carried(spoken, "responses")
    assert (whole.finish, whole.counts, whole.id) == (spoken.finish, spoken.counts, spoken.id)


# --- what a request asks of the answer --------------------------------------------------------------


@each_pair
def test_without_asking_there_is_no_usage_chunk(client: str, upstream: str) -> None:
    """Only chat asks; the other two always tell."""
    source = next((s for s in of_kind("whole") if s.name.endswith("--text") and s.dialect == upstream), None)
    if source is None:
        pytest.skip("the corpus is not beside this project")
    request = {key: value for key, value in REQUESTS[client].items() if key != "stream_options"}
    after = told[client](translate(client, upstream, source.body, request).events)
    assert (after.counts is None) == (client == "chat")


@pytest.mark.parametrize(("member", "stops"), [("stop_reason", ["END"]), ("matched_stop", ["x", "END"])])
def test_a_stop_sequence_of_the_request_is_told(member: str, stops: list[str]) -> None:
    """vLLM's name for it, and SGLang's."""
    chunk = '{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,%s}]}'
    said = chunk % '"delta":{"role":"assistant","content":"a"},"finish_reason":null'
    end = chunk % f'"delta":{{}},"finish_reason":"stop","{member}":"END"'
    body = f"data: {said}\n\ndata: {end}\n\ndata: [DONE]\n\n".encode()
    request = {**REQUESTS["messages"], "stop_sequences": stops}
    after = told["messages"](translate("messages", "chat", body, request).events)
    assert (after.finish, after.sequence) == ("stop_sequence", "END")
    after = told["messages"](translate("messages", "chat", body).events)
    assert (after.finish, after.sequence) == ("end_turn", None)


def test_all_pairs_are_translated() -> None:
    assert len(PAIRS) == len(NAMES) * (len(NAMES) - 1) == 6
