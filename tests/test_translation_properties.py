"""Translation of what nobody has recorded: made-up answers, frames in any order, made-up conversations."""

from __future__ import annotations

import copy
import json
import os
from collections import Counter
from collections.abc import Container
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from relay import dialects, patching
from relay.dialects.deltas import Block, Close, Delta, Form
from relay.dialects.request import Profile, Request
from relay.errors import BadDocument, RelayError
from tests.asked import Step, asked, expected
from tests.conversations import Round, conversations, faults, written
from tests.cuts import split
from tests.dialects.chat_deltas import legal_deltas
from tests.dialects.drive import CONTEXT, Event, events
from tests.dialects.messages_telling import runs
from tests.dialects.test_chat_any_order import FRAMES
from tests.dialects.test_messages_any_order import any_stream
from tests.dialects.test_responses_any_order import damaged, jumbles
from tests.streams import Answer, checked, download
from tests.test_translated_documents import ANSWERS, MODELS, WHOLE
from tests.told import Tale
from tests.translated import (
    NAMES,
    PAIRS,
    carried,
    convert,
    counts_of,
    finish_of,
    others,
    told,
    translate,
    translation,
    verdict,
)
from tests.translation_sources import sources

EXAMPLES = 500 if "CI" in os.environ else 300
several = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
TEXTS = (Form.TEXT, Form.REASONING, Form.REFUSAL)
SIZES = st.lists(st.integers(30, 1000), min_size=1, max_size=6)
"""Sizes of reads; a frame is 100 to 500 bytes. Byte by byte the recorded streams are read."""
each_dialect = pytest.mark.parametrize("upstream", NAMES)
with_corpus = pytest.mark.skipif(not sources(), reason="the corpus is not beside this project")


def encoded(upstream: str, deltas: list[Delta]) -> bytes:
    """The stream of a server of this dialect."""
    asked_there = Request("messages", "m-1", stream=True, usage_asked=True)
    encoder = dialects.CODECS[upstream].encoder(CONTEXT, asked_there)
    return b"".join(patching.encode(frame) for delta in deltas for frame in encoder.encode(delta))


def is_serial(deltas: list[Delta], forms: Container[Form] = tuple(Form)) -> bool:
    """One block of these forms at a time; what interleaves has another order in each dialect."""
    still_open: set[object] = set()
    for delta in deltas:
        if isinstance(delta, Block) and delta.form in forms:
            still_open.add(delta.key)
        elif isinstance(delta, Close):
            still_open.discard(delta.key)
        if len(still_open) > 1:
            return False
    return True


def told_apart(tale: Tale) -> Tale:
    """With ids for calls that were given one twice."""
    times: Counter[str | None] = Counter()
    for one in tale.said:
        if one.kind == "call":
            times[one.id] += 1
            one.id = one.id if times[one.id] == 1 else f"{one.id}_{times[one.id]}"
    return tale


def spoken(tale: Tale, client: str) -> tuple[Any, ...]:
    """The texts, each kind for itself, and the calls."""
    merged = [("text", "refusal")] if client == "messages" else [("text",), ("refusal",)]
    return (*(tale.text(*kinds) for kinds in [*merged, ("reasoning",)]), tale.calls)


@each_dialect
@several
@given(deltas=runs() | legal_deltas(), sizes=SIZES)
def test_a_made_up_answer_says_the_same(upstream: str, deltas: list[Delta], sizes: list[int]) -> None:
    body = encoded(upstream, deltas)
    before = told_apart(told[upstream](events(body)))
    for client in others(upstream):
        answer = translate(client, upstream, split(body, sizes))
        assert answer.stream.end_code == "OK"
        assert verdict(client, answer.events) == "complete"
        after = told[client](answer.events)
        if is_serial(deltas):
            assert carried(after, client) == carried(before, client)
        if is_serial(deltas, TEXTS):
            assert spoken(after, client) == spoken(before, client)
        assert after.finish == finish_of(before, upstream, client)
        assert after.counts == counts_of(before, client)
        assert answer.body == translate(client, upstream, body).body
        again = download(checked(client, chunked=False), [answer.body])
        assert (again.body, again.stream.repairs) == (answer.body, {})


# --- frames in any order ----------------------------------------------------------------------------

ANY: dict[str, st.SearchStrategy[list[Event]]] = {
    "chat": FRAMES,
    "messages": any_stream,
    "responses": jumbles() | damaged(),
}


def as_bytes(stream: list[Event]) -> bytes:
    """As a server would write these frames."""
    return b"".join(
        (b"" if name is None else b"event: %b\n" % name.encode())
        + (b"data: %b\n\n" % (b"[DONE]" if payload is None else json.dumps(payload).encode()))
        for name, payload in stream
    )


def end_of(answer: Answer, client: str) -> str:
    """``refused``, ``failed`` or ``complete``; anything else raises."""
    if answer.refused is not None:
        assert answer.writes == []
        assert answer.refused.status >= 400
        return "refused"
    assert answer.ended
    end = verdict(client, answer.events)
    if answer.broken is not None:
        assert end == "failed"
    return end


@with_corpus
@each_dialect
@several
@given(data=st.data(), sizes=SIZES)
def test_any_frames_become_a_legal_stream_or_a_failure(
    upstream: str, data: st.DataObject, sizes: list[int]
) -> None:
    body = as_bytes(data.draw(ANY[upstream]))
    for client in others(upstream):
        answer = translate(client, upstream, split(body, sizes))
        end = end_of(answer, client)
        event(end)
        if end != "refused":
            tale = told[client](answer.events)
            assert (tale.error is None) == (end == "complete")
            assert tale.finish is None or end == "complete"
            again = download(checked(client, chunked=False), [answer.body])
            assert again.stream.repairs == {}
            assert again.body == answer.body or again.refused
        same = translate(client, upstream, split(body, sizes))
        assert (same.body, str(same.refused), str(same.broken)) == (
            answer.body,
            str(answer.refused),
            str(answer.broken),
        )


# --- documents with anything in them ----------------------------------------------------------------

VALUES = (None, "", "x", 0, -1, 1.5, True, [], {}, [None], [{}], {"type": "text"}, "stop", "tool_use")


def members(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, below in inner for found in ((*path, key), *members(below, (*path, key)))]


def damage(draw: st.DrawFn, document: Any) -> None:
    """Remove a member, or put something else in its place."""
    *path, last = draw(st.sampled_from(members(document)))
    parent = document
    for key in path:
        parent = parent[key]
    if draw(st.booleans()):
        parent[last] = copy.deepcopy(draw(st.sampled_from(VALUES)))
    else:
        del parent[last]


@st.composite
def broken_answers(draw: st.DrawFn) -> tuple[str, Any]:
    """A recorded answer with some members removed or replaced."""
    pair = draw(st.sampled_from(ANSWERS))
    document = json.loads(pair.body)
    for _ in range(draw(st.integers(1, 3))):
        if document:
            damage(draw, document)
    return pair.dialect, document


@with_corpus
@several
@given(broken=broken_answers())
def test_any_document_becomes_an_answer_or_an_error(broken: tuple[str, Any]) -> None:
    upstream, document = broken
    body = json.dumps(document).encode()
    for client in others(upstream):
        try:
            answer = convert(client, upstream, body, WHOLE[client])
        except RelayError as error:
            assert error.status >= 400  # noqa: PT017 (either end is right)
        else:
            MODELS[client].model_validate(answer)
        end_of(translate(client, upstream, body), client)


# --- conversations ----------------------------------------------------------------------------------


ROLES = ("user", "assistant", "system")


def heard(steps: list[Step]) -> tuple[Any, ...]:
    """Who said what, and what was called: where Responses mixes them, other dialects need an order."""
    return (
        *("".join(step[2] for step in steps if step[:2] == (role, "text")) for role in ROLES),
        [step for step in steps if step[:2] == ("assistant", "call")],
        sorted(step for step in steps if step[0] == "result"),
        sorted(step for step in steps if step[1] == "image"),
    )


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
@several
@given(rounds=conversations(), dice=st.randoms(use_true_random=False))
def test_a_conversation_keeps_its_words_and_gets_the_order(
    client: str, upstream: str, rounds: list[Round], dice: Random
) -> None:
    document = written(client, rounds, dice)
    found = translation(client, upstream, document)
    sent = json.loads(found.body)
    assert faults(upstream, sent) == []
    before, after = expected(asked(client, document), upstream), asked(upstream, sent)
    assert after.system == before.system
    if client == "responses":
        assert heard(after.steps) == heard(before.steps)
    else:
        assert after.steps == before.steps
    assert after.tools == before.tools
    assert translation(client, upstream, document).body == found.body
    back = json.loads(translation(upstream, client, sent).body)
    assert faults(client, back) == []
    assert heard(asked(client, back).steps) == heard(expected(after, client).steps)


@pytest.mark.parametrize("profile", list(dialects.PROFILES.values()), ids=list(dialects.PROFILES))
@settings(several, max_examples=EXAMPLES // 6)
@given(pair=st.sampled_from(PAIRS), rounds=conversations(), dice=st.randoms(use_true_random=False))
def test_the_order_holds_for_every_server(
    profile: Profile, pair: tuple[str, str], rounds: list[Round], dice: Random
) -> None:
    client, upstream = pair
    found = translation(client, upstream, written(client, rounds, dice), profile)
    wrong = faults(upstream, json.loads(found.body))
    assert [fault for fault in wrong if profile.merge_system or "later system" not in fault] == []


MESSAGES = {"chat": "messages", "messages": "messages", "responses": "input"}


@st.composite
def broken_requests(draw: st.DrawFn) -> tuple[str, Any]:
    """A conversation with messages lost, doubled or moved, and members removed or replaced."""
    client = draw(st.sampled_from(NAMES))
    document = written(client, draw(conversations()), draw(st.randoms(use_true_random=False)))
    document = json.loads(json.dumps(document))
    listed = document[MESSAGES[client]]
    for _ in range(draw(st.integers(0, 2))):
        at, to = draw(st.integers(0, len(listed))), draw(st.integers(0, len(listed)))
        moved = listed[at : at + 1]
        if draw(st.booleans()):
            del listed[at : at + 1]
        if draw(st.booleans()):
            listed[to:to] = copy.deepcopy(moved)
    for _ in range(draw(st.integers(0, 2))):
        damage(draw, document)
    return client, document


@several
@given(broken=broken_requests())
def test_any_request_is_put_in_order_or_refused(broken: tuple[str, Any]) -> None:
    client, document = broken
    for upstream in others(client):
        try:
            found = translation(client, upstream, document)
        except BadDocument as refused:
            said = json.loads(refused.body)["error"]["message"]
            assert (refused.status, str(refused)) == (400, said)  # noqa: PT017 (either end is right)
            event("refused")
        else:
            event("sent")
            wrong = faults(upstream, json.loads(found.body))
            assert [fault for fault in wrong if fault not in LAST_WORD] == []


LAST_WORD = ("calls not answered at the end", "calls without outputs")
"""Nothing says that anything was to follow."""
