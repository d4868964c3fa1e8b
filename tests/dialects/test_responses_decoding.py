"""A Responses upstream's stream as deltas: translation.md 7.2, sections 8 and 9, and all recorded streams."""

from __future__ import annotations

from typing import Any

import pytest

from relay.dialects.deltas import (
    Block,
    Cite,
    Close,
    Delta,
    End,
    Finish,
    Form,
    Open,
    Piece,
    Ping,
    Reason,
    Usage,
)
from relay.dialects.frame import Frame
from relay.dialects.request import Request
from relay.dialects.responses_decoding import ResponsesDecoder
from tests.dialects.responses_kit import (
    HANDWRITTEN,
    RECORDED,
    call,
    delta,
    ending,
    item_event,
    message,
    names,
    numbered,
    opening,
    spoken,
    stream,
    with_corpus,
)
from tests.dialects.responses_neutral import (
    Said,
    cited,
    decoded,
    decoded_file,
    finish_of,
    is_legal,
    said_by,
    said_in,
    usage_in,
)

ARGS = '{"city":"Paris"}'
WEATHER = Said("tool", ARGS, "call_a", "get_weather")
THOUGHT = Said("reasoning", "Thinking.")


def body(*payloads: dict[str, Any]) -> list[Delta]:
    """The deltas between the first and the last ones of a completed stream of these events."""
    deltas = decoded(numbered(opening(), *payloads, ending()))
    assert is_legal(deltas)
    return deltas[1:-2]


def part_event(suffix: str, index: int, number: int, part: dict[str, Any], kind: str = "content_part") -> Any:
    name = "summary_index" if "summary" in kind else "content_index"
    place = {"item_id": f"it_{index}", "output_index": index, name: number}
    return {"type": f"response.{kind}.{suffix}", **place, "part": part}


def thinking(*parts: str, encrypted: str | None = None, streamed: bool = True) -> list[dict[str, Any]]:
    """The events of a reasoning item with these summaries."""
    item: dict[str, Any] = {"id": "it_0", "type": "reasoning", "summary": []}
    found = [item_event("added", 0, item)]
    whole = [{"type": "summary_text", "text": text} for text in parts]
    for number, part in enumerate(whole if streamed else []):
        found += [
            part_event("added", 0, number, {**part, "text": ""}, "reasoning_summary_part"),
            delta("reasoning_summary_text", "it_0", 0, part["text"], summary_index=number),
            part_event("done", 0, number, part, "reasoning_summary_part"),
        ]
    sealed = {} if encrypted is None else {"encrypted_content": encrypted}
    return [*found, item_event("done", 0, {**item, "summary": whole, **sealed})]


def calling(*arguments: str, done: str, status: str = "completed") -> list[dict[str, Any]]:
    """The events of a function call; ``done`` is how its done item has the arguments."""
    return [
        item_event("added", 0, call("fc_1", "call_a", "f", "", "in_progress")),
        *(delta("function_call_arguments", "fc_1", 0, text) for text in arguments),
        item_event("done", 0, call("fc_1", "call_a", "f", done, status)),
    ]


def customs(*pieces: str, text: str) -> list[dict[str, Any]]:
    item = {
        "id": "ctc_1",
        "type": "custom_tool_call",
        "call_id": "call_a",
        "name": "apply_patch",
        "input": "",
    }
    return [
        item_event("added", 0, item),
        *(delta("custom_tool_call_input", "ctc_1", 0, piece) for piece in pieces),
        {
            "type": "response.custom_tool_call_input.done",
            "item_id": "ctc_1",
            "output_index": 0,
            "input": text,
        },
        item_event("done", 0, {**item, "input": text}),
    ]


def refusing() -> list[dict[str, Any]]:
    part = {"type": "refusal", "refusal": "No."}
    return [
        item_event("added", 0, {**message("it_0"), "content": []}),
        part_event("added", 0, 0, {**part, "refusal": ""}),
        delta("refusal", "it_0", 0, "No.", content_index=0),
        part_event("done", 0, 0, part),
        item_event("done", 0, {**message("it_0"), "content": [part]}),
    ]


def sourced(*, announced: bool) -> list[dict[str, Any]]:
    """A text with two sources, of which one is a file."""
    sources = [
        {"type": "url_citation", "url": "https://a.example", "title": "A", "start_index": 0, "end_index": 1},
        {"type": "file_citation", "file_id": "f", "filename": "f.txt", "index": 0},
    ]
    part = {"type": "output_text", "text": "Hi", "annotations": sources, "logprobs": []}
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    events = [
        {
            "type": "response.output_text.annotation.added",
            **place,
            "annotation_index": at,
            "annotation": source,
        }
        for at, source in enumerate(sources)
    ]
    first, second, third, fourth, _, _ = spoken("Hi")
    done = {"type": "response.content_part.done", **place, "part": part}
    item = {**message("msg_1"), "content": [part]}
    return [first, second, third, fourth, *(events if announced else []), done, item_event("done", 0, item)]


def hosted() -> list[dict[str, Any]]:
    item = {"id": "ws_1", "type": "web_search_call", "status": "in_progress"}
    return [
        item_event("added", 0, item),
        {"type": "response.web_search_call.searching", "item_id": "ws_1", "output_index": 0},
        item_event("done", 0, {**item, "status": "completed"}),
    ]


def both(first: str) -> list[dict[str, Any]]:
    """A reasoning item that says the same in both channels, this one first."""
    item: dict[str, Any] = {"id": "it_0", "type": "reasoning", "summary": []}
    raw = [
        part_event("added", 0, 0, {"type": "reasoning_text", "text": ""}),
        delta("reasoning_text", "it_0", 0, "raw", content_index=0),
        part_event("done", 0, 0, {"type": "reasoning_text", "text": "raw"}),
    ]
    short = thinking("short")[1:-1]
    lists = {
        "summary": [{"type": "summary_text", "text": "short"}],
        "content": [{"type": "reasoning_text", "text": "raw"}],
    }
    texts = [*raw, *short] if first == "raw" else [*short, *raw]
    return [item_event("added", 0, item), *texts, item_event("done", 0, {**item, **lists})]


def text(*said: str) -> list[Delta]:
    return [Block(1, Form.TEXT), *(Piece(1, piece) for piece in said), Close(1)]


def thought(*said: str, signature: str | None = None) -> list[Delta]:
    return [Block(1, Form.REASONING), *(Piece(1, piece) for piece in said), Close(1, signature)]


def tool(*arguments: str, name: str = "f", whole: bool = True) -> list[Delta]:
    pieces = [Piece(1, piece) for piece in arguments]
    return [Block(1, Form.TOOL, "call_a", name), *pieces, Close(1, whole=whole)]


ENTRY = {"token": "Hi", "logprob": -0.5, "top_logprobs": [{"token": "Hi", "logprob": -0.5}]}
SPELLED = {
    "token": "Hi",
    "bytes": [72, 105],
    "logprob": -0.5,
    "top_logprobs": [{"token": "Hi", "bytes": [72, 105], "logprob": -0.5}],
}
LOGGED = spoken("Hi")
LOGGED[2] = {**LOGGED[2], "logprobs": [ENTRY]}
NAMESPACED = calling("{}", done="{}")
NAMESPACED[0] = item_event(
    "added", 0, {**call("fc_1", "call_a", "spawn", "", "in_progress"), "namespace": "m"}
)
SILENT_PARTS = [*spoken(""), *spoken("Hi", ident="msg_2", index=1)]
SECOND_PART = spoken("Hel", "lo")
SECOND_PART[-1:] = [
    part_event("added", 0, 1, {"type": "output_text", "text": ""}),
    delta("output_text", "msg_1", 0, "!", content_index=1),
    item_event("done", 0, message("msg_1", "Hello", "!")),
]

ROWS: dict[str, tuple[list[dict[str, Any]], list[Delta]]] = {
    "output_text.delta → TEXT": (spoken("Hel", "lo"), text("Hel", "lo")),
    "refusal.delta → REFUSAL": (refusing(), [Block(1, Form.REFUSAL), Piece(1, "No."), Close(1)]),
    "reasoning_summary_text.delta → REASONING": (thinking("Hm."), thought("Hm.")),
    "a blank line between summary parts": (thinking("One.", "Two."), thought("One.", "\n\nTwo.")),
    "both kinds of reasoning: raw seen first wins": (both("raw"), thought("raw")),
    "both kinds of reasoning: summary seen first wins": (both("short"), thought("short")),
    "encrypted_content → signature, marked": (
        thinking("Hm.", encrypted="gA"),
        thought("Hm.", signature="oai1.gA"),
    ),
    "encrypted_content without a text": (thinking(encrypted="gA"), thought(signature="oai1.gA")),
    "encrypted_content that is empty": (thinking("Hm.", encrypted=""), thought("Hm.")),
    "reasoning without anything": (thinking(), []),
    "a summary only in the done item": (thinking("Hm.", streamed=False), thought("Hm.")),
    "output_item.added function_call → TOOL": (
        calling('{"a"', ":1}", done='{"a":1}'),
        tool('{"a"', ":1}"),
    ),
    "a function of a namespace": (NAMESPACED, tool("{}", name="m__spawn")),
    "arguments only in done": (calling(done='{"a":1}'), tool('{"a":1}')),
    "arguments that are empty": (calling(done=""), tool()),
    "done does not repeat what deltas said": (calling('{"a": 1}', done='{"a":1}'), tool('{"a": 1}')),
    "an incomplete call": (
        calling('{"a"', done='{"a"', status="incomplete"),
        tool('{"a"', whole=False),
    ),
    "an incomplete call that is whole": (calling("{}", done="{}", status="incomplete"), tool("{}")),
    "custom_tool_call → one piece at done": (
        customs('say "', 'hi"', text='say "hi"'),
        tool('{"input":"say \\"hi\\""}', name="apply_patch"),
    ),
    "custom_tool_call without deltas": (
        customs(text="x"),
        tool('{"input":"x"}', name="apply_patch"),
    ),
    "annotation.added url_citation → Cite": (
        sourced(announced=True),
        [Block(1, Form.TEXT), Piece(1, "Hi"), Cite(1, "https://a.example", "A"), Close(1)],
    ),
    "annotations only in the done part": (
        sourced(announced=False),
        [Block(1, Form.TEXT), Piece(1, "Hi"), Cite(1, "https://a.example", "A"), Close(1)],
    ),
    "logprobs as chat has them": (LOGGED, [Block(1, Form.TEXT), Piece(1, "Hi", [SPELLED]), Close(1)]),
    "hosted tool events → nothing": (hosted(), []),
    "keepalive → Ping": ([{"type": "keepalive"}], [Ping()]),
    "in_progress → Ping": ([{"type": "response.in_progress", "response": opening()["response"]}], [Ping()]),
    "an empty text → nothing": (SILENT_PARTS, text("Hi")),
    "two parts of a message → two blocks": (
        SECOND_PART,
        [*text("Hel", "lo"), Block(2, Form.TEXT), Piece(2, "!"), Close(2)],
    ),
}


@pytest.mark.parametrize("row", ROWS)
def test_7_2(row: str) -> None:
    given, expected = ROWS[row]
    assert body(*given) == expected


def test_7_2_created_tells_id_and_time() -> None:
    first = decoded(numbered(opening(), ending()))[0]
    assert isinstance(first, Open)
    assert (first.ident, first.created) == ("resp_1", 1)
    assert first.document is not None
    assert first.document["model"] == "m-1"


def incomplete(reason: str | None, *output: Any) -> dict[str, Any]:
    event = ending(*output, incomplete_details={"reason": reason})
    event["type"] = "response.incomplete"
    event["response"]["status"] = "incomplete"
    return event


ENDINGS: dict[str, tuple[list[dict[str, Any]], Reason]] = {
    "completed": ([*spoken("Hi"), ending(message("msg_1", "Hi"))], Reason.STOP),
    "completed with function_call": ([*calling("{}", done="{}"), ending()], Reason.TOOLS),
    "incomplete max_output_tokens": ([*spoken("Hi"), incomplete("max_output_tokens")], Reason.LENGTH),
    "incomplete content_filter": ([*spoken("Hi"), incomplete("content_filter")], Reason.FILTER),
    "incomplete for another reason": ([*spoken("Hi"), incomplete(None)], Reason.LENGTH),
}


@pytest.mark.parametrize("row", ENDINGS)
def test_8_stop_reasons(row: str) -> None:
    given, reason = ENDINGS[row]
    deltas = decoded(numbered(opening(), *given))
    assert is_legal(deltas)
    assert deltas[-2:] == [Finish(reason), End()]


def test_9_usage() -> None:
    usage = {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 16,
    }
    deltas = decoded(numbered(opening(), ending(usage=usage)))
    assert deltas[-3:] == [Finish(Reason.STOP), Usage(9, 7, 4, 2, 5), End()]


def test_a_call_that_the_limit_left_open_is_not_whole() -> None:
    open_call = calling('{"a', done="")[:-1]
    deltas = decoded(numbered(opening(), *open_call, incomplete("max_output_tokens")))
    assert is_legal(deltas)
    assert deltas[-3:] == [Close(1, whole=False), Finish(Reason.LENGTH), End()]


def test_a_call_that_only_the_last_event_lists_is_not_whole() -> None:
    cut = call("fc_1", "call_a", "f", '{"a', "incomplete")
    deltas = decoded(numbered(opening(), *spoken("Hi"), incomplete("max_output_tokens", cut)))
    assert is_legal(deltas)
    assert said_in(deltas) == [Said("text", "Hi"), Said("tool", '{"a', "call_a", "f")]
    assert deltas[-3:] == [Close(2, whole=False), Finish(Reason.LENGTH), End()]


def test_a_custom_call_that_was_cut_is_cut_json() -> None:
    cut = customs("ab", text="")[:2]
    deltas = decoded(numbered(opening(), *cut, incomplete("max_output_tokens")))
    assert deltas[-4:-2] == [Piece(1, '{"input":"ab'), Close(1, whole=False)]


def test_a_text_ends_when_a_call_begins_and_goes_on_as_another_block() -> None:
    first, part, hel, lo, *ends = spoken("Hel", "lo")
    begun, more, done = calling("{}", done="{}")
    for event in (begun, more, done):
        event["output_index"] = 1
    deltas = body(first, part, hel, begun, lo, more, done, *ends)
    assert deltas == [
        *text("Hel"),
        Block(2, Form.TOOL, "call_a", "f"),
        Block(3, Form.TEXT),
        Piece(3, "lo"),
        Piece(2, "{}"),
        Close(2),
        Close(3),
    ]


def test_nothing_that_is_not_text_makes_it_fail() -> None:
    decoder = ResponsesDecoder(Request("chat"))
    for payload in (None, {}, {"type": 7}, {"type": []}, {"type": "response.unknown"}):
        assert decoder.decode(Frame(None, payload)) == []


# --- the corpus -------------------------------------------------------------------------------------

PAIRS: dict[str, tuple[list[Said], Reason]] = {
    "text": ([Said("text", "Hello")], Reason.STOP),
    "no-text-done": ([Said("text", "Hello")], Reason.STOP),
    "no-part-done": ([Said("text", "Hello")], Reason.STOP),
    "two-parts": ([Said("text", "Hello"), Said("text", "Hello")], Reason.STOP),
    "tool-single": ([WEATHER], Reason.TOOLS),
    "args-only-done": ([WEATHER], Reason.TOOLS),
    "args-in-added": ([WEATHER], Reason.TOOLS),
    "text-then-tool": ([Said("text", "Hello"), WEATHER], Reason.TOOLS),
    "reasoning-summary-then-text": ([THOUGHT, Said("text", "Answer.")], Reason.STOP),
    "reasoning-text-then-text": ([THOUGHT, Said("text", "Answer.")], Reason.STOP),
    "reasoning-both": ([THOUGHT, Said("text", "Answer.")], Reason.STOP),
    "reasoning-empty": ([Said("text", "Answer.")], Reason.STOP),
    "reasoning-summary-then-tool": ([THOUGHT, WEATHER], Reason.TOOLS),
    "refusal": ([Said("refusal", "I can't.")], Reason.STOP),
    "incomplete": ([Said("text", "Hello")], Reason.LENGTH),
    "incomplete-content-filter": ([Said("text", "Hello")], Reason.FILTER),
    "incomplete-tool-open": ([Said("tool", '{"city":"Pa', "call_a", "get_weather")], Reason.LENGTH),
    "incomplete-tool-open-empty": ([Said("tool", '{"city":"Pa', "call_a", "get_weather")], Reason.LENGTH),
    "incomplete-tool": ([Said("tool", '{"city":"Pa', "call_a", "get_weather")], Reason.LENGTH),
}


@with_corpus
@pytest.mark.parametrize("name", PAIRS)
def test_2_handwritten(name: str) -> None:
    deltas = decoded_file(HANDWRITTEN / f"{name}.sse")
    assert is_legal(deltas)
    assert (said_in(deltas), finish_of(deltas)) == PAIRS[name]


@with_corpus
@pytest.mark.parametrize("name", ["tool-parallel", "tool-parallel-interleaved"])
def test_2_parallel_calls(name: str) -> None:
    deltas = decoded_file(HANDWRITTEN / f"{name}.sse")
    assert is_legal(deltas)
    assert [said.call_id for said in said_in(deltas)] == ["call_a", "call_b"]


FAILED = "openai--prism--openai-stream-rate-limited-1"


@with_corpus
def test_every_recorded_stream_says_what_its_last_event_says() -> None:
    read = 0
    for name in names(RECORDED):
        if name == FAILED:
            continue
        given = stream(RECORDED / f"{name}.sse")
        deltas = decoded(given)
        assert is_legal(deltas), name
        final = given[-1].payload or given[-2].payload  # [DONE]
        response = final["response"]
        if response["output"]:
            spoken_parts = [said for said in said_by(response) if said.text]
            assert [said for said in said_in(deltas) if said.text] == spoken_parts, name
        calls = any(said.form == "tool" for said in said_in(deltas))
        done = Reason.TOOLS if calls else Reason.STOP
        assert finish_of(deltas) == (done if response["status"] == "completed" else Reason.LENGTH), name
        usage = usage_in(deltas)
        counted = response.get("usage")
        assert (usage and (usage.input, usage.output)) == (
            counted and (counted["input_tokens"], counted["output_tokens"])
        )
        read += 1
    assert read == 89


@with_corpus
def test_sources_are_told_as_often_as_they_are_listed() -> None:
    found = 0
    for name in names(RECORDED):
        given = stream(RECORDED / f"{name}.sse")
        final = (given[-1].payload or given[-2].payload).get("response") or {}
        listed = [
            annotation["url"]
            for item in final.get("output", [])
            if item["type"] == "message"
            for part in item["content"]
            for annotation in part.get("annotations") or []
            if annotation["type"] == "url_citation"
        ]
        if listed:
            assert sorted(cited(decoded(given))) == sorted(listed), name
            found += len(listed)
    assert found > 30


class Slow(ResponsesDecoder):
    """Expects nothing, so every frame takes the long way."""

    def _expect(self, payload: dict[str, Any], deltas: list[Delta]) -> None:
        pass


@with_corpus
def test_the_short_way_says_the_same_as_the_long_one() -> None:
    for name in names(RECORDED):
        fast, slow = ResponsesDecoder(Request("chat")), Slow(Request("chat"))
        for event, payload in stream(RECORDED / f"{name}.sse"):
            if payload is None or payload["type"] in ("error", "response.failed"):
                continue
            assert fast.decode(Frame(event, payload)) == slow.decode(Frame(event, payload)), (name, payload)
