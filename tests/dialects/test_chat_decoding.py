"""Chat chunks → deltas: every row of the table, every recorded stream."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.dialects.chat_decoding import ChatDecoder
from relay.dialects.checker import Malformed, Truncated
from relay.dialects.deltas import (
    Block,
    Close,
    Delta,
    End,
    Failure,
    Finish,
    Form,
    Open,
    Piece,
    Reason,
    Usage,
)
from relay.dialects.frame import Frame
from relay.dialects.request import Request
from tests.dialects.chat_deltas import (
    REQUEST,
    admitted,
    decoded,
    encoded,
    legal_deltas,
    told_by_chunks,
    told_by_deltas,
)
from tests.dialects.chat_frames import DONE, ROLE, STOP, call, chunk, piece, tools
from tests.dialects.chat_reading import CORPUS, run, streams, verdict
from tests.dialects.drive import Event, events

OPENED = Open("c-1", 1)
STOPPED = [Finish(Reason.STOP), End()]
CALLED = [Finish(Reason.TOOLS), End()]
CALLED_CHUNK = chunk({}, "tool_calls")
TOOL = Block(0, Form.TOOL, "call_a", "f")


def text(*pieces: str, key: int = 0, form: Form = Form.TEXT) -> list[Delta]:
    return [Block(key, form), *(Piece(key, said) for said in pieces), Close(key)]


def content(said: str, **more: Any) -> Event:
    return chunk({"content": said}, **more)


ROWS: dict[str, tuple[list[Event], list[Delta]]] = {
    "3.3 a role-only chunk opens nothing": ([ROLE, STOP], [OPENED, *STOPPED]),
    "3.3 content": ([ROLE, content("Hi"), content("!"), STOP], [OPENED, *text("Hi", "!"), *STOPPED]),
    "3.3 the first chunk may hold content": (
        [chunk({"role": "assistant", "content": "Hi"}), STOP],
        [OPENED, *text("Hi"), *STOPPED],
    ),
    "3.3 tool_calls [] beside content is text (LiteLLM 29286)": (
        [ROLE, chunk({"content": "Hi", "tool_calls": []}), chunk({"tool_calls": []}), STOP],
        [OPENED, *text("Hi"), *STOPPED],
    ),
    "3.3 empty texts and nulls are nothing": (
        [
            ROLE,
            chunk({"content": "", "reasoning_content": None, "refusal": "", "tool_calls": None}),
            chunk({"reasoning": ""}),
            chunk({"function_call": None}),
            STOP,
        ],
        [OPENED, *STOPPED],
    ),
    "3.3 reasoning_content": (
        [ROLE, chunk({"reasoning_content": "Hm"}), content("Hi"), STOP],
        [OPENED, *text("Hm", form=Form.REASONING), *text("Hi", key=1), *STOPPED],
    ),
    "3.3 reasoning": (
        [ROLE, chunk({"reasoning": "Hm"}), STOP],
        [OPENED, *text("Hm", form=Form.REASONING), *STOPPED],
    ),
    "3.3 the same reasoning under both names counts once": (
        [ROLE, chunk({"reasoning": "Hm", "reasoning_content": "Hm"}), STOP],
        [OPENED, *text("Hm", form=Form.REASONING), *STOPPED],
    ),
    "3.3 order within one delta (LiteLLM 34701)": (
        [
            ROLE,
            chunk({"tool_calls": [call()], "refusal": "No", "content": "Hi", "reasoning_content": "Hm"}),
            CALLED_CHUNK,
        ],
        [
            OPENED,
            *text("Hm", form=Form.REASONING),
            *text("Hi", key=1),
            *text("No", key=2, form=Form.REFUSAL),
            Block(3, Form.TOOL, "call_a", "f"),
            Close(3),
            *CALLED,
        ],
    ),
    "3.3 refusal": (
        [ROLE, chunk({"refusal": "No"}), chunk({"refusal": "."}), STOP],
        [OPENED, *text("No", ".", form=Form.REFUSAL), *STOPPED],
    ),
    "3.3 text goes on after reasoning came between": (
        [ROLE, content("A"), chunk({"reasoning": "Hm"}), content("B"), STOP],
        [OPENED, *text("A"), *text("Hm", key=1, form=Form.REASONING), *text("B", key=2), *STOPPED],
    ),
    "3.3 a tool in fragments": (
        [ROLE, tools(call()), tools(piece("{")), tools(piece("}")), tools(piece("")), CALLED_CHUNK],
        [OPENED, TOOL, Piece(0, "{"), Piece(0, "}"), Close(0), *CALLED],
    ),
    "3.3 a tool at once": (
        [ROLE, tools(call(arguments="{}")), CALLED_CHUNK],
        [OPENED, TOOL, Piece(0, "{}"), Close(0), *CALLED],
    ),
    "3.3 a tool without arguments has no piece": (
        [ROLE, tools(call()), CALLED_CHUNK],
        [OPENED, TOOL, Close(0), *CALLED],
    ),
    "3.3 a complete tool is closed when another begins": (
        [ROLE, tools(call(arguments="{}")), tools(call(1, "call_b", "g", "{}")), CALLED_CHUNK],
        [
            OPENED,
            TOOL,
            Piece(0, "{}"),
            Close(0),
            Block(1, Form.TOOL, "call_b", "g"),
            Piece(1, "{}"),
            Close(1),
            *CALLED,
        ],
    ),
    "3.3 interleaved tools are open together": (
        [
            ROLE,
            tools(call(), call(1, "call_b", "g")),
            tools(piece("{"), piece("{", 1)),
            tools(piece("}"), piece("}", 1)),
            CALLED_CHUNK,
        ],
        [
            OPENED,
            TOOL,
            Block(1, Form.TOOL, "call_b", "g"),
            Piece(0, "{"),
            Piece(1, "{"),
            Piece(0, "}"),
            Close(0),
            Piece(1, "}"),
            Close(1),
            *CALLED,
        ],
    ),
    "3.3 text beside an incomplete tool": (
        [ROLE, tools(call(arguments='{"a":')), content("Hi"), tools(piece("1}")), CALLED_CHUNK],
        [
            OPENED,
            TOOL,
            Piece(0, '{"a":'),
            Block(1, Form.TEXT),
            Piece(1, "Hi"),
            Piece(0, "1}"),
            Close(0),
            Close(1),
            *CALLED,
        ],
    ),
    "3.3 text after a complete tool": (
        [ROLE, tools(call(arguments="{}")), content("Hi"), CALLED_CHUNK],
        [OPENED, TOOL, Piece(0, "{}"), Close(0), *text("Hi", key=1), *CALLED],
    ),
    "3.3 blanks after a tool was closed": (
        [ROLE, tools(call(arguments="{}")), content("Hi"), tools(piece("\n")), CALLED_CHUNK],
        [OPENED, TOOL, Piece(0, "{}"), Close(0), *text("Hi", key=1), *CALLED],
    ),
    "3.3 the finish chunk may hold content": (
        [ROLE, chunk({"content": "Hi"}, "stop")],
        [OPENED, *text("Hi"), *STOPPED],
    ),
    "3.3 content after the finish reason": (
        [ROLE, content("A"), STOP, content("B")],
        [OPENED, *text("A", "B"), *STOPPED],
    ),
    "3.3 function_call of old": (
        [
            ROLE,
            chunk({"function_call": {"name": "f", "arguments": ""}}),
            chunk({"function_call": {"arguments": "{}"}}),
            chunk({}, "function_call"),
        ],
        [OPENED, Block(0, Form.TOOL, "call_1", "f"), Piece(0, "{}"), Close(0), *CALLED],
    ),
    "3.3 content parts (vercel/ai 8072)": (
        [
            ROLE,
            chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}]}),
            chunk({"content": [{"type": "text", "text": "Hi"}, {"type": "image", "url": "x"}]}),
            STOP,
        ],
        [OPENED, *text("Hm", form=Form.REASONING), *text("Hi", key=1), *STOPPED],
    ),
    "3.3 other choices are left out": (
        [ROLE, chunk({"role": "assistant", "content": "B"}, index=1), STOP, chunk({}, "stop", index=1)],
        [OPENED, *STOPPED],
    ),
    "3.3 Azure's first chunk opens nothing": (
        [
            Event(None, {"id": "", "object": "", "created": 0, "model": "", "choices": []}),
            ROLE,
            STOP,
        ],
        [OPENED, *STOPPED],
    ),
    "8 length": ([ROLE, chunk({}, "length")], [OPENED, Finish(Reason.LENGTH), End()]),
    "8 length cuts a tool": (
        [ROLE, tools(call(arguments='{"a')), chunk({}, "length")],
        [OPENED, TOOL, Piece(0, '{"a'), Close(0, whole=False), Finish(Reason.LENGTH), End()],
    ),
    "8 length after a whole tool": (
        [ROLE, tools(call(arguments="{}")), chunk({}, "length")],
        [OPENED, TOOL, Piece(0, "{}"), Close(0), Finish(Reason.LENGTH), End()],
    ),
    "8 content_filter": ([ROLE, chunk({}, "content_filter")], [OPENED, Finish(Reason.FILTER), End()]),
    "8 tool_calls without any call": ([ROLE, CALLED_CHUNK], [OPENED, *CALLED]),
    "8 eos": ([ROLE, chunk({}, "eos_token")], [OPENED, *STOPPED]),
    "8 empty finish reason": ([ROLE, chunk({"content": "Hi"}, ""), STOP], [OPENED, *text("Hi"), *STOPPED]),
    "8 a second finish reason takes nothing back": (
        [ROLE, chunk({}, "length"), STOP],
        [OPENED, Finish(Reason.LENGTH), End()],
    ),
}


@pytest.mark.parametrize("row", ROWS)
def test_row(row: str) -> None:
    stream, deltas = ROWS[row]
    assert decoded([*stream, DONE]) == deltas
    assert admitted(deltas)


@pytest.mark.parametrize("reason", ["error", "abort"])
def test_8_a_finish_reason_that_is_a_failure(reason: str) -> None:
    *deltas, last = decoded([ROLE, content("Hi"), chunk({"content": "!"}, reason), DONE])
    assert deltas == [OPENED, *text("Hi", "!")[:-1]]
    assert isinstance(last, Failure)
    assert reason in last.message
    assert last.status == 502


@pytest.mark.parametrize(
    ("choice", "finish"),
    [
        ({"stop_reason": "END"}, Finish(Reason.SEQUENCE, "END")),
        ({"matched_stop": "END"}, Finish(Reason.SEQUENCE, "END")),
        ({"stop_reason": "other"}, Finish(Reason.STOP)),
        ({"stop_reason": 128009}, Finish(Reason.STOP)),
        ({"stop_reason": None, "matched_stop": None}, Finish(Reason.STOP)),
        ({"stop_reason": ["END"]}, Finish(Reason.STOP)),
    ],
)
def test_8_stop_sequences(choice: dict[str, Any], finish: Finish) -> None:
    last = chunk({}, "stop")
    last.payload["choices"][0].update(choice)
    assert decoded([ROLE, last, DONE], Request("messages", stop=["END"])) == [OPENED, finish, End()]


COUNTS = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
FULL = COUNTS | {
    "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 1},
    "completion_tokens_details": {"reasoning_tokens": 1},
}


def usage_chunk(usage: Any) -> Event:
    return Event(None, {"id": "c-1", "object": "chat.completion.chunk", "choices": [], "usage": usage})


@pytest.mark.parametrize(
    ("stream", "deltas"),
    [
        pytest.param(
            [STOP, usage_chunk(FULL)], [Usage(5, 2, 3, 1, 1)], id="9 after the finish, with details"
        ),
        pytest.param([chunk({}, "stop", usage=COUNTS)], [Usage(5, 2)], id="9 on the finish chunk"),
        pytest.param([usage_chunk(COUNTS), STOP], [Usage(5, 2)], id="9 before the finish"),
        pytest.param([STOP, chunk({"content": ""}, usage=COUNTS)], [Usage(5, 2)], id="9 with a choice"),
        pytest.param([STOP], [], id="9 unknown"),
        pytest.param([STOP, usage_chunk(None)], [], id="9 null"),
        pytest.param(
            [STOP, usage_chunk(COUNTS | {"prompt_cache_hit_tokens": 4})], [Usage(5, 2, 4)], id="9 DeepSeek"
        ),
        pytest.param([chunk({}, "stop", x_groq={"usage": COUNTS})], [Usage(5, 2)], id="9 Groq"),
    ],
)
def test_usage(stream: list[Event], deltas: list[Delta]) -> None:
    assert decoded([ROLE, *stream, DONE]) == [OPENED, *deltas, *STOPPED]


def test_9_of_running_totals_the_first_and_the_last_are_told() -> None:
    counted = [chunk({"content": "x"}, usage={**COUNTS, "completion_tokens": n}) for n in range(1, 5)]
    deltas = decoded([ROLE, *counted, STOP, usage_chunk({**COUNTS, "completion_tokens": 9}), DONE])
    assert [delta for delta in deltas if isinstance(delta, Usage)] == [Usage(5, 1), Usage(5, 4), Usage(5, 9)]
    assert admitted(deltas)


def test_the_log_probabilities_of_a_text_go_with_it() -> None:
    token = {"token": "Hi", "logprob": -0.1, "bytes": None, "top_logprobs": []}
    said = chunk({"content": "Hi"})
    said.payload["choices"][0]["logprobs"] = {"content": [token], "refusal": None}
    assert decoded([ROLE, said, STOP, DONE])[2] == Piece(0, "Hi", [token])


def test_a_delta_leaves_in_the_call_that_brought_it() -> None:
    decoder = ChatDecoder(REQUEST)
    assert decoder.decode(Frame(None, ROLE.payload)) == [OPENED]
    assert decoder.decode(Frame(None, content("Hi").payload)) == [Block(0, Form.TEXT), Piece(0, "Hi")]
    assert decoder.decode(Frame(None, content("!").payload)) == [Piece(0, "!")]
    assert decoder.decode(Frame(None, STOP.payload)) == []
    assert decoder.decode(Frame(None, None)) == [Close(0), *STOPPED]
    assert decoder.decode(Frame(None, None)) == []


# --- recorded streams ---------------------------------------------------------------------------

FILES = [
    *streams("handwritten/chat-completions/*.sse"),
    *streams("recorded/chat-completions/*.sse"),
    *streams("upstream/chat--*.sse"),
    *streams("litellm/*/chat--*.sse"),
]
UNREADABLE = ("nan", "single-newline", "truncated-json", "json-body", "json-error-body", "empty-body")
recorded = pytest.mark.skipif(
    not CORPUS.is_dir(), reason="the folder of recorded streams is not beside this project"
)


@recorded
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_recorded_stream_says_the_same_in_deltas_and_again_in_chunks(path: Path) -> None:
    if path.stem in UNREADABLE:
        pytest.skip("not a stream of frames")
    stream = events(path.read_bytes())
    outcome = run(stream)
    if outcome.end != "complete":
        assert_broken(stream)
        return
    deltas = decoded(stream)
    assert admitted(deltas)
    failed = isinstance(deltas[-1], Failure)
    read, told = told_by_chunks(outcome.out), told_by_deltas(deltas)
    legacy = "function-call" in path.stem
    if failed or legacy:
        read.finish, read.calls = told.finish, told.calls
    assert told == read
    again = encoded(deltas)
    assert verdict(again) == ("failed" if failed else "complete")
    if failed:
        return
    back = told_by_chunks(again)
    for call_ in told.calls:
        call_[2] = call_[2] or "{}"
    if told.finish in ("stop", "tools"):
        told.finish = "tools" if told.calls else "stop"
    if told.usage is not None:  # what is unknown becomes 0, for SDKs need the totals
        told.usage = (told.usage[0] or 0, told.usage[1] or 0, *told.usage[2:])
    assert back == told


def assert_broken(stream: list[Event]) -> None:
    """A stream that has no end gives none: neither a finish nor an end."""
    try:
        deltas = decoded(stream)
    except (Malformed, Truncated):
        return
    assert not any(isinstance(delta, Finish | End) for delta in deltas)


def test_there_are_many_recordings() -> None:
    assert not CORPUS.is_dir() or len(FILES) > 400


# --- any stream ---------------------------------------------------------------------------------

MANY = settings(max_examples=500 if "CI" in os.environ else 300)


@MANY
@given(legal_deltas())
def test_what_is_encoded_is_decoded_to_the_same(deltas: list[Delta]) -> None:
    again = decoded(encoded(deltas))
    assert admitted(again)
    before, after = told_by_deltas(deltas), told_by_deltas(again)
    for call_ in before.calls:
        call_[2] = call_[2] or "{}"
    if before.finish in ("stop", "tools", "sequence"):
        before.finish = "tools" if before.calls else "stop"
    assert after == before


@MANY
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "content",
                        "reasoning",
                        "refusal",
                        "tool_calls",
                        "function_call",
                        "function",
                        "index",
                        "id",
                        "name",
                        "arguments",
                        "type",
                        "role",
                    ]
                ),
                inner,
                max_size=5,
            )
        ),
        max_leaves=12,
    )
)
def test_whatever_the_checker_lets_pass_is_decoded(delta: Any) -> None:
    try:
        deltas = decoded([ROLE, chunk(delta), chunk(delta), CALLED_CHUNK, DONE])
    except Malformed:
        return
    assert admitted(deltas)
