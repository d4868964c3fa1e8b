"""Deltas as a Responses stream: translation.md 4.3 and 6.2, sections 8 to 10, and any legal deltas."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.dialects.deltas import (
    Block,
    Cite,
    Close,
    Delta,
    End,
    Failure,
    Finish,
    Form,
    Open,
    Piece,
    Ping,
    Reason,
    Usage,
)
from relay.dialects.frame import Frame
from relay.dialects.request import Extra, Reasoning, Request, Thinking
from relay.dialects.responses import Responses
from relay.dialects.responses_encoding import ResponsesEncoder
from relay.dialects.responses_envelope import opened
from tests.dialects.drive import CONTEXT, Event, seen
from tests.dialects.responses_kit import HANDWRITTEN, RECORDED, names, stream, with_corpus
from tests.dialects.responses_legal import Illegal, outcome
from tests.dialects.responses_neutral import (
    TOOLS,
    Said,
    decoded,
    encoded,
    finish_of,
    legal_deltas,
    said_by,
    said_in,
    thorough,
    usage_in,
)

STOP = [Finish(Reason.STOP), End()]
LENGTH = [Finish(Reason.LENGTH), End()]


def asked(**members: Any) -> Request:
    return Request("responses", called=TOOLS, **members)


def text(key: int, *said: str) -> list[Delta]:
    return [Block(key, Form.TEXT), *(Piece(key, piece) for piece in said), Close(key)]


def tool(
    key: int, *arguments: str, call_id: str = "call_a", name: str = "get_weather", whole: bool = True
) -> list[Delta]:
    pieces = [Piece(key, piece) for piece in arguments]
    return [Block(key, Form.TOOL, call_id, name), *pieces, Close(key, whole=whole)]


def thought(key: int, *said: str, signature: str | None = None) -> list[Delta]:
    return [Block(key, Form.REASONING), *(Piece(key, piece) for piece in said), Close(key, signature)]


def short(found: list[Event]) -> list[str]:
    """The events by their names, without what all of them begin with."""
    return [str(event).removeprefix("response.") for event, _ in found]


def items(deltas: list[Delta], request: Request | None = None) -> list[str]:
    """The events between the first two and the last; the stream is legal."""
    found = encoded([Open(), *deltas], request or asked())
    assert outcome(found) in ("completed", "incomplete")
    assert short(found)[:2] == ["created", "in_progress"]
    return short(found)[2:-1]


def final(deltas: list[Delta], request: Request | None = None) -> dict[str, Any]:
    response: dict[str, Any] = encoded([Open(), *deltas], request or asked())[-1].payload["response"]
    return response


MESSAGE = ["output_item.added", "content_part.added"]
SPOKEN = ["output_text.done", "content_part.done"]
DONE = ["output_item.done"]
TEXT = [*MESSAGE, "output_text.delta", *SPOKEN]
ARGUMENTS = ["output_item.added", "function_call_arguments.delta", "function_call_arguments.done", *DONE]
RAW = [*MESSAGE, "reasoning_text.delta", "reasoning_text.done", "content_part.done", *DONE]
SUMMARY = [
    *("output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta"),
    *("reasoning_summary_text.done", "reasoning_summary_part.done"),
    *DONE,
]

ROWS: dict[str, tuple[list[Delta], list[str]]] = {
    "content": (text(1, "Hel", "lo"), [*TEXT[:3], "output_text.delta", *SPOKEN, *DONE]),
    "refusal": (
        [Block(1, Form.REFUSAL), Piece(1, "No."), Close(1)],
        [*MESSAGE, "refusal.delta", "refusal.done", "content_part.done", *DONE],
    ),
    "nothing said → nothing": ([*text(1), *thought(2)], []),
    "a new tool closes the message": ([*text(1, "Hi"), *tool(2, "{}")], [*TEXT, *DONE, *ARGUMENTS]),
    "text after a tool is a new message": (
        [*tool(1, "{}"), *text(2, "Hi")],
        [*ARGUMENTS, *TEXT, *DONE],
    ),
    "no arguments": (tool(1), [ARGUMENTS[0], *ARGUMENTS[2:]]),
    "calls open at once": (
        [
            *tool(1, "{}")[:1],
            *tool(2, "{}", call_id="call_b")[:2],
            Piece(1, "{}"),
            Close(2),
            Close(1),
        ],
        [ARGUMENTS[0], *ARGUMENTS[:2], ARGUMENTS[1], *ARGUMENTS[2:], *ARGUMENTS[2:]],
    ),
    "custom tools at once and late": (
        tool(1, '{"inp', 'ut":"x"}', name="apply_patch"),
        ["output_item.added", "custom_tool_call_input.delta", "custom_tool_call_input.done", *DONE],
    ),
    "idle": ([Ping()], ["keepalive"]),
    "6.2 adjacent texts are parts of one message": (
        [*text(1, "A"), *text(2, "B")],
        [*TEXT, *TEXT[1:], *DONE],
    ),
    "6.2 a source": (
        [Block(1, Form.TEXT), Piece(1, "A"), Cite(1, "https://a.example"), Close(1)],
        [*TEXT[:3], "output_text.annotation.added", *SPOKEN, *DONE],
    ),
    "reasoning without summary asked for": (thought(1, "Hm."), RAW),
}


@pytest.mark.parametrize("row", ROWS)
def test_4_3(row: str) -> None:
    deltas, expected = ROWS[row]
    assert items([*deltas, *STOP]) == expected


@pytest.mark.parametrize(
    "request_",
    [asked(thinking=Thinking(summary="auto")), asked(summarised=True)],
    ids=["4.3 summary asked for", "6.2 the upstream's reasoning is a summary"],
)
def test_reasoning_as_a_summary(request_: Request) -> None:
    assert items([*thought(1, "Hm."), *STOP], request_) == SUMMARY


def test_4_3_refusal_as_text_for_codex() -> None:
    refusal: list[Delta] = [Block(1, Form.REFUSAL), Piece(1, "No."), Close(1), *STOP]
    assert items(refusal, asked(shows_refusals=False)) == [*TEXT, *DONE]


def test_before_the_first_delta_there_is_no_sign_of_life_but_comments() -> None:
    encoder = ResponsesEncoder(CONTEXT, asked())
    assert encoder.keep_alive() is None
    assert encoder.encode(Ping()) == []
    encoder.encode(Open())
    alive = encoder.keep_alive()
    assert alive is not None
    assert alive.payload == {"type": "keepalive", "sequence_number": 2}
    encoder.encode(Finish(Reason.STOP))
    encoder.encode(End())
    assert encoder.keep_alive() is None


# --- items ------------------------------------------------------------------------------------------


def test_names_of_calls_are_the_clients() -> None:
    found = encoded(
        [Open(), *tool(1, "{}", name="multi__spawn"), *tool(2, name="apply_patch", call_id="call_b"), *STOP],
        asked(),
    )
    added = [payload["item"] for event, payload in found if event == "response.output_item.added"]
    assert added[0] == {
        "id": "fc_t1_0",
        "type": "function_call",
        "status": "in_progress",
        "arguments": "",
        "call_id": "call_a",
        "name": "spawn",
        "namespace": "multi",
    }
    assert added[1] == {
        "id": "ctc_t1_1",
        "type": "custom_tool_call",
        "status": "in_progress",
        "input": "",
        "call_id": "call_b",
        "name": "apply_patch",
    }


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"input":"*** Begin\\n"}', "*** Begin\n"),
        ('{"patch":"x"}', "x"),
        ('{"a":"x","b":"y"}', '{"a":"x","b":"y"}'),
        ('{"input":3}', '{"input":3}'),
        ("*** Begin", "*** Begin"),
        ('"quoted"', "quoted"),
        ("[1]", "[1]"),
        ("{}", ""),
        ("", ""),
    ],
)
def test_the_input_of_a_custom_tool(arguments: str, text: str) -> None:
    response = final([*tool(1, *([arguments] if arguments else []), name="apply_patch"), *STOP])
    assert response["output"][0]["input"] == text


def test_a_call_without_an_id_gets_one() -> None:
    response = final([Block(1, Form.TOOL, None, "f"), Close(1), *STOP])
    assert (response["output"][0]["call_id"], response["output"][0]["arguments"]) == ("call_t1_0", "{}")


def test_a_source_says_which_text_it_is_of() -> None:
    response = final(
        [Block(1, Form.TEXT), Piece(1, "Häuser"), Cite(1, "https://a.example", "A"), Close(1), *STOP]
    )
    [part] = response["output"][0]["content"]
    source = {"type": "url_citation", "start_index": 0, "end_index": 6, "url": "https://a.example"}
    assert part["annotations"] == [{**source, "title": "A"}]


def test_logprobs_are_in_the_delta_and_in_the_done_events() -> None:
    entry = {"token": "Hi", "bytes": [72, 105], "logprob": -0.5, "top_logprobs": []}
    request = asked(extras={"logprobs": Extra(True, "include[0]")})
    deltas: list[Delta] = [Open(), Block(1, Form.TEXT), Piece(1, "Hi", [entry]), Close(1), *STOP]
    found = encoded(deltas, request)
    listed = [payload["logprobs"] for _, payload in found if "logprobs" in payload]
    assert listed == [[entry], [entry]]
    assert found[-1].payload["response"]["output"][0]["content"][0]["logprobs"] == [entry]


SEALED = asked(thinking=Thinking(sealed=True))


def envelopes(deltas: list[Delta], request: Request) -> list[Reasoning | None]:
    output = final([*deltas, *STOP], request)["output"]
    return [opened(item["encrypted_content"]) for item in output if "encrypted_content" in item]


SEALINGS: dict[str, tuple[list[Delta], list[Reasoning | None]]] = {
    "4.3 the text": (thought(1, "Hm", "m."), [Reasoning("Hmm.")]),
    "6.2 the signature": (thought(1, "Hm.", signature="sig=="), [Reasoning("Hm.", "sig==")]),
    "6.2 a signature without a text": (thought(1, signature="sig=="), [Reasoning("", "sig==")]),
    "6.2 redacted thinking": (
        [Block(1, Form.REASONING, sealed="AAAA"), Close(1)],
        [Reasoning("", None, "AAAA")],
    ),
    "half of a split emoji": (thought(1, "\ud83d"), [Reasoning("?")]),
}


@pytest.mark.parametrize("row", SEALINGS)
def test_the_envelope_holds(row: str) -> None:
    deltas, expected = SEALINGS[row]
    assert envelopes(deltas, SEALED) == expected
    assert envelopes(deltas, asked()) == []


def test_redacted_thinking_is_nothing_to_a_client_that_cannot_hold_it() -> None:
    assert items([Block(1, Form.REASONING, sealed="AAAA"), Close(1), *STOP]) == []


# --- the end ----------------------------------------------------------------------------------------


ENDS: dict[str, tuple[Reason, str, str | None]] = {
    "stop": (Reason.STOP, "completed", None),
    "stop sequence": (Reason.SEQUENCE, "completed", None),
    "tool_calls": (Reason.TOOLS, "completed", None),
    "length": (Reason.LENGTH, "incomplete", "max_output_tokens"),
    "content_filter": (Reason.FILTER, "incomplete", "content_filter"),
}


@pytest.mark.parametrize("row", ENDS)
def test_8_stop_reasons(row: str) -> None:
    reason, status, why = ENDS[row]
    found = encoded([Open(), *text(1, "Hi"), Finish(reason), End()], asked())
    assert outcome(found) == status
    response = found[-1].payload["response"]
    assert response["incomplete_details"] == (None if why is None else {"reason": why})
    assert response["output"][0]["status"] == status
    assert found[-2].payload["item"] == response["output"][0]


def test_a_call_that_the_limit_cut_stays_open_and_is_listed() -> None:
    deltas = [*text(1, "Hi"), *tool(2, '{"city":"Pa', whole=False), *LENGTH]
    assert items(deltas) == [*TEXT, *DONE, *ARGUMENTS[:2]]
    last = final(deltas)["output"][-1]
    assert (last["arguments"], last["status"]) == ('{"city":"Pa', "incomplete")


@pytest.mark.parametrize(
    ("cut", "text"),
    [('{"input":"ab', "ab"), ('{"input":"a\\u00e', "a"), ('{"inp', ""), ("", ""), ("free", "")],
)
def test_a_custom_call_that_the_limit_cut(cut: str, text: str) -> None:
    deltas = [*tool(1, *([cut] if cut else []), name="apply_patch", whole=False), *LENGTH]
    assert items(deltas) == ["output_item.added"]
    last = final(deltas)["output"][-1]
    assert (last["input"], last["status"]) == (text, "incomplete")


def test_6_2_a_call_that_was_not_whole_is_done_when_the_limit_did_not_cut_it() -> None:
    assert items([*tool(1, '{"a', whole=False), *STOP]) == ARGUMENTS


def test_9_usage() -> None:
    response = final([*STOP[:1], Usage(9, 7, 4, 2, 5), *STOP[1:]])
    assert response["usage"] == {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 16,
    }


def test_9_unknown_usage_is_null() -> None:
    assert final(STOP)["usage"] is None


@pytest.mark.parametrize("ident", ["chatcmpl-9f", "msg_9f", "resp_9f", "9f"])
def test_1_ids_keep_their_suffix(ident: str) -> None:
    found = encoded([Open(ident, 17), *STOP], asked())
    for _, payload in found:
        assert (payload["response"]["id"], payload["response"]["created_at"]) == ("resp_9f", 17)


def test_1_model_is_the_name_that_was_asked_for_and_the_request_is_repeated() -> None:
    echo = {"instructions": "Be kind.", "tools": [{"type": "function"}], "metadata": {"a": "b"}}
    found = encoded([Open(), *STOP], asked(echo=echo))
    for _, payload in found:
        response = payload["response"]
        assert (response["model"], response["id"], response["store"]) == ("m-1", "resp_t1", False)
        assert {name: response[name] for name in echo} == echo


FAILURE = Failure("died", 503, "overloaded_error", param="input")


@pytest.mark.parametrize("before", [[], [Open()], [Open(), *text(1, "Hi")[:2]]], ids=len)
def test_10_a_failure_has_the_form_that_reaches_every_client(before: list[Delta]) -> None:
    found = encoded([*before, FAILURE], asked())
    checker = Responses(CONTEXT)
    own = seen(checker.fail(FAILURE))
    assert outcome(found) == "failed"
    assert short(found)[-2:] == ["error", "failed"]
    for (event, payload), (own_event, own_payload) in zip(found[-2:], own, strict=True):
        assert event == own_event
        unnumbered = {"sequence_number": 0}
        assert {**payload, **unnumbered} == {**own_payload, **unnumbered}
    assert not any(name.endswith("done") for name in short(found))


# --- the corpus -------------------------------------------------------------------------------------

SAME = (
    *("text", "two-parts", "tool-single", "tool-parallel", "tool-parallel-interleaved", "text-then-tool"),
    *("reasoning-summary-then-text", "reasoning-text-then-text", "reasoning-summary-then-tool"),
    *("reasoning-text-then-tool", "refusal", "incomplete", "incomplete-content-filter"),
    "incomplete-tool-open",
)
UNSAID = ("encrypted_content", "status")
"""Of a reasoning item: what relay was not asked for, and what most servers leave out."""


def told(found: list[Event]) -> list[Event]:
    """The stream with its items numbered, so that streams of different ids can be compared."""
    whole = json.dumps([list(event) for event in found])
    for _, payload in found:
        if payload["type"] == "response.output_item.added":
            whole = whole.replace(f'"{payload["item"]["id"]}"', f'"item {payload["output_index"]}"')
    same = json.loads(whole)
    for _, payload in same:
        output = payload["response"]["output"] if "response" in payload else [payload.get("item", {})]
        for item in output:
            if item.get("type") == "reasoning":
                for name in UNSAID:
                    item.pop(name, None)
    return [Event(*event) for event in same]


@with_corpus
@pytest.mark.parametrize("name", SAME)
def test_2_decoded_and_encoded_a_handwritten_stream_is_the_same(name: str) -> None:
    given_ = stream(HANDWRITTEN / f"{name}.sse")
    thinking = Thinking(summary="auto" if "summary" in name else None)
    echo = {"background": False, "temperature": 1.0, "top_p": 1.0}
    deltas = [delta for delta in decoded(given_) if not isinstance(delta, Ping)]
    assert told(encoded(deltas, asked(thinking=thinking, echo=echo))) == told(given_)


@with_corpus
def test_decoded_and_encoded_a_recorded_stream_says_the_same() -> None:
    for name in names(RECORDED):
        if name == "openai--prism--openai-stream-rate-limited-1":
            continue
        deltas = decoded(stream(RECORDED / f"{name}.sse"))
        found = encoded(deltas, asked(thinking=Thinking(summary="auto", sealed=True)), hot=True)
        assert outcome(found) in ("completed", "incomplete"), name
        again = decoded(found)
        spoken = [said for said in said_in(deltas) if said.text]
        assert [said for said in said_in(again) if said.text] == spoken, name
        assert finish_of(again) == finish_of(deltas)
        before, after = usage_in(deltas), usage_in(again)
        assert before is None or (after and (after.input, after.output)) == (before.input, before.output)


# --- any legal deltas -------------------------------------------------------------------------------


def expected(deltas: list[Delta]) -> list[Said]:
    """What a client shall read: empty texts are not said, and calls bear the client's names."""
    found: list[Said] = []
    for said in said_in(deltas):
        if said.form == "tool":
            tool = TOOLS[str(said.name)]
            arguments = said.text or "{}"
            if tool.custom:
                arguments = json.dumps(json.loads(arguments), separators=(",", ":"), ensure_ascii=False)
            found.append(said._replace(text=arguments, name=tool.flat))
        elif said.text:
            found.append(said)
    return found


@given(legal_deltas(), st.booleans(), st.booleans())
@settings(thorough)
def test_any_legal_deltas_are_a_legal_stream_that_says_the_same(
    deltas: list[Delta], summary: bool, sealed: bool
) -> None:
    request = asked(thinking=Thinking(summary="auto" if summary else None, sealed=sealed))
    found = encoded(deltas, request)
    try:
        status = outcome(found)
    except Illegal as broken:
        raise AssertionError(str(broken)) from broken
    reason = finish_of(deltas)
    assert status == ("incomplete" if reason in (Reason.LENGTH, Reason.FILTER) else "completed")
    assert [payload["sequence_number"] for _, payload in found] == list(range(len(found)))
    response = found[-1].payload["response"]
    assert said_by(response) == expected(deltas)
    usage = usage_in(deltas)
    assert (response["usage"] is None) == (usage is None)
    checker = Responses(CONTEXT)
    for event, payload in found:
        assert checker.check(Frame(event, json.loads(json.dumps(payload)))) is None
    assert checker.repairs == {}


@given(legal_deltas(), st.booleans())
@settings(thorough)
def test_the_short_way_writes_the_same_stream(deltas: list[Delta], summary: bool) -> None:
    request = asked(thinking=Thinking(summary="auto" if summary else None, sealed=True))
    assert encoded(deltas, request, hot=True) == encoded(deltas, request)


def test_the_short_way_is_taken_and_given_up() -> None:
    encoder = ResponsesEncoder(CONTEXT, asked())
    assert encoder.more(b"x") is None
    for delta in (Open(), Block(1, Form.TEXT), Piece(1, "a")):
        encoder.encode(delta)
    assert encoder.more(b'\\"\\u00e4') == (
        b'{"type":"response.output_text.delta","sequence_number":5,"item_id":"msg_t1_0","output_index":0,'
        b'"content_index":0,"delta":"\\"\\u00e4","logprobs":[]}'
    )
    encoder.encode(Ping())
    assert encoder.more(b"x") is None
    done = [Event(frame.event, frame.payload) for frame in encoder.encode(Close(1))]
    assert done[0].payload["text"] == 'a"ä'


def test_the_short_way_joins_the_halves_of_an_emoji() -> None:
    encoder = ResponsesEncoder(CONTEXT, asked())
    for delta in (Open(), Block(1, Form.TEXT), Piece(1, "\ud83d")):
        encoder.encode(delta)
    assert encoder.more(b"\\ude00") is not None
    done = encoder.encode(Close(1))
    assert done[0].payload is not None
    assert done[0].payload["text"] == "😀"


def test_the_short_way_is_not_for_what_has_logprobs_or_waits() -> None:
    request = asked(extras={"top_logprobs": Extra(2, "top_logprobs")})
    for asked_, block in (
        (request, Block(1, Form.TEXT)),
        (asked(), Block(1, Form.TOOL, "c", "apply_patch")),
    ):
        encoder = ResponsesEncoder(CONTEXT, asked_)
        for delta in (Open(), block, Piece(1, "a")):
            encoder.encode(delta)
        assert encoder.more(b"x") is None
