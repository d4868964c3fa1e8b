"""How a Messages stream ends, and what else the checker tells of it: usage, flags, signs of life."""

from __future__ import annotations

import pytest

from relay.dialects.checker import Malformed, Truncated
from relay.dialects.deltas import Context, Failure, Usage
from relay.dialects.frame import Frame
from relay.dialects.messages import Messages
from relay.dialects.messages_output import MOST_BYTES, MOST_FRAMES
from tests.dialects.drive import CONTEXT, Event, checked, events, seen
from tests.dialects.messages_kit import (
    CHAT_CHUNK,
    CORPUS,
    END,
    PING,
    delta,
    finish,
    message_start,
    named,
    run,
    start,
    stop,
    text,
)
from tests.dialects.messages_legal import verdict

BOOM = Failure("upstream died", 502)
HEAD = message_start()
FAILED = {"type": "error", "error": {"type": "api_error", "message": "upstream died"}}

THINKING_TEXT_TOOL = named(
    message_start(),
    start("thinking"),
    delta("thinking", "a"),
    PING,
    delta("signature", "s"),
    stop(),
    start("text", 1),
    PING,
    text("b", 1),
    stop(1),
    start("server", 2, input={"q": 1}),
    stop(2),
    start("tool", 3),
    delta("input_json", "", 3),
    delta("input_json", "{}", 3),
    stop(3),
    finish(None),
    finish("tool_use"),
    END,
)
INTERLEAVED = named(
    message_start(),
    start("tool"),
    start("text", 1),
    text("a"),
    text("b", 1),
    stop(1),
    delta("input_json", "{}"),
    stop(),
    finish("tool_use"),
    END,
)
RECORDED = [
    "recorded/messages/anthropic--vercel-ai--anthropic-anthropic-web-fetch-tool.1.sse",
    "recorded/messages/anthropic--fantasy--testanthropiccommon-claude-sonnet-4-multi-tool-streaming-1.sse",
    "litellm/1.83.10/messages--openai-wildcard--text.sse",
    "litellm/1.85.0/messages--hosted_vllm--reasoning.sse",
]


def streams() -> list[list[Event]]:
    found = [events(path.read_bytes()) for name in RECORDED if (path := CORPUS / name).exists()]
    return [THINKING_TEXT_TOOL, INTERLEAVED, *found]


every_stream = pytest.mark.parametrize("stream", streams())


@every_stream
def test_no_prefix_is_given_an_end_that_was_not_announced(stream: list[Event]) -> None:
    for cut in range(len(stream) + 1):
        ran = run(stream[:cut], failure=BOOM)
        reasons = [payload["delta"].get("stop_reason") for _, payload in stream[:cut] if "delta" in payload]
        announced = any(reasons) or any(payload["type"] == "message_stop" for _, payload in stream[:cut])
        assert ran.how == ("ok" if announced else f"Truncated({'message_stop' if cut else 'message_start'})")
        assert verdict(ran.out) == ("complete" if announced else "failed")


@every_stream
def test_a_failure_closes_nothing(stream: list[Event]) -> None:
    """What leaves after a failure is the error alone, and nothing that was held or waited."""
    for cut in range(len(stream)):
        checker = Messages(CONTEXT)
        out = checked(checker, stream[:cut], end=False)
        over = checker.done
        frames = seen(checker.fail(BOOM))
        assert frames == ([] if over else named(FAILED))
        assert verdict([*out, *frames]) in ("failed", "complete")
        assert checker.done
        late = Frame("ping", PING)
        assert checker.check(late) == [late]
        assert late.silenced
        assert checker.end() == []
        assert checker.fail(BOOM) == []
        assert checker.keep_alive() is None


def test_nothing_passes_after_a_failure_in_the_midst_of_a_block() -> None:
    checker = Messages(CONTEXT)
    checked(checker, named(message_start(), start("text"), text("a"), text("b")), end=False)
    checker.fail(BOOM)
    late = Frame("content_block_delta", text("c"))
    assert checker.check(late) == [late]
    assert late.silenced


def test_a_held_stop_leaves_before_an_end_that_is_supplied_and_not_before_an_error() -> None:
    stream = named(message_start(), start("text"), text("a"), stop())
    checker = Messages(CONTEXT)
    assert checked(checker, stream, end=False) == stream[:-1]
    with pytest.raises(Truncated, match="message_stop"):
        checker.end()
    assert seen(checker.fail(BOOM)) == named(FAILED)

    ran = run([*stream, *named(finish())])
    assert ran.out == [*stream, *named(finish(), END)]


def test_a_tool_stop_is_not_held() -> None:
    for kind in ("tool", "server", "redacted", "unknown"):
        checker = Messages(CONTEXT)
        checked(checker, named(message_start(), start(kind), PING), end=False)
        assert checker.check(Frame("content_block_stop", stop())) is None


def test_an_error_of_the_upstream_is_the_last_frame() -> None:
    error = {
        "type": "error",
        "error": {"type": "overloaded_error", "message": "Overloaded"},
        "request_id": "r",
    }
    stream = named(message_start(), start("text"), text("a"), stop(), error)
    ran = run([*stream, *named(PING)])
    assert ran.out == stream
    assert ran.checker.failure == Failure("Overloaded", 529, "overloaded_error", None)
    assert ran.checker.done
    assert not ran.checker.announced


def test_an_error_before_anything_is_no_start() -> None:
    ran = run(named(PING, FAILED))
    assert ran.out == named(PING, FAILED)
    assert not ran.checker.started
    assert ran.checker.failure is not None


@pytest.mark.parametrize(
    ("stream", "why"),
    [
        (named(HEAD, delta("input_json", "{")), "without a block"),
        (named(HEAD, start("text"), delta("input_json", "{")), "in a block of type text"),
        (named(HEAD, start("tool"), stop(), delta("input_json", "{")), "without a block"),
        (named(HEAD, start("text"), stop(), start("tool", 1), stop(1), text("a", 0)), "long before"),
        (named(HEAD, start("text"), text("a"), stop(), start("tool", 1), text("b")), "followed by"),
        (
            named(HEAD, start("text"), text("a"), stop(), start("tool", 1), stop(1), text("b")),
            "long before",
        ),
        (
            named(HEAD, start("thinking"), stop(), PING, delta("signature", "s")),
            "long before",
        ),
        (named(HEAD, finish(), text("a")), "after message_delta"),
        (named(HEAD, finish(), start("tool")), "after message_delta"),
        (
            named(HEAD, start("text"), text("a"), message_start(id="msg_2")),
            "second message",
        ),
        (named(HEAD, start("tool", name="")), "without a name"),
        (named(HEAD, start("tool", input=[1])), "not an object"),
        (named(HEAD, start("text", text=5)), "not a text"),
        (named(HEAD, start("text"), text(5)), "not a text"),
        (named(message_start(content="x")), "not a list"),
        (named(HEAD, {"type": "content_block_start", "content_block": {"text": "x"}}), "no type"),
        (named(HEAD, start("text"), {"type": "content_block_delta", "delta": {"text": "x"}}), "no type"),
        ([*named(HEAD), Event(None, {"x": 1})], "no type"),
    ],
)
def test_what_would_lose_content_is_malformed(stream: list[Event], why: str) -> None:
    ran = run(stream, failure=BOOM)
    assert ran.how.startswith("Malformed(")
    assert why in ran.how
    assert verdict(ran.out) == "failed"


def test_a_stream_of_chat_chunks_is_cut_off_before_it_began() -> None:
    ran = run([Event(None, CHAT_CHUNK), Event(None, CHAT_CHUNK), Event(None, None)])
    assert ran.how == "Truncated(message_start)"
    assert ran.checker.repairs == {"messages-chat-chunk": 2, "messages-done-sentinel": 1}
    assert not ran.checker.started


@pytest.mark.parametrize("kept", [{"number": MOST_FRAMES + 1}, {"size": MOST_BYTES // 10, "number": 11}])
def test_what_waits_for_a_stop_is_bounded(kept: dict[str, int]) -> None:
    checker = Messages(CONTEXT)
    checked(checker, named(message_start(), start("tool"), start("text", 1)), end=False)
    raw = b"x" * kept.get("size", 1)
    for _ in range(kept["number"] - 2):
        assert checker.check(Frame("content_block_delta", text("a", 1), raw)) == []
    with pytest.raises(Malformed, match="too much waits"):
        checker.check(Frame("content_block_delta", text("a", 1), raw * 11))


def test_what_has_left_waits_no_more() -> None:
    checker, rounds = Messages(CONTEXT), 30
    checked(checker, named(message_start()), end=False)
    for _ in range(rounds):
        checked(checker, named(start("tool"), start("text", 1)), end=False)
        waiting = [text("a", 1)] * (MOST_FRAMES // 10)
        assert checked(checker, named(*waiting), end=False) == []
        assert len(checked(checker, named(stop(), stop(1), PING), end=False)) == len(waiting) + 4
    assert checker.deltas == rounds * len(waiting)


@pytest.mark.parametrize("stops", [True, False])
def test_many_blocks_that_wait_leave_in_one_walk(stops: bool) -> None:
    """As many blocks inside one as may wait: none is looked at again for each of the others."""
    head = named(message_start(), start("tool"))
    waiting = [start("redacted", index) for index in range(1, MOST_FRAMES // 2)]
    if stops:
        waiting = [frame for one in waiting for frame in (one, stop(one["index"]))]
    checker = Messages(CONTEXT)
    assert checked(checker, [*head, *named(*waiting)], end=False) == head
    out = checked(checker, named(finish("tool_use")), end=False)
    assert len(out) == MOST_FRAMES
    assert verdict([*head, *out]) == "open"


def test_frames_that_are_held_own_their_bytes() -> None:
    data = bytearray(b"event: ...\n\n")
    checker = Messages(CONTEXT)
    checked(checker, named(message_start(), start("text"), text("a")), end=False)
    frame = Frame("content_block_stop", stop(), memoryview(data))
    assert checker.check(frame) == []
    data[:] = b"x" * len(data)
    assert frame.raw == b"event: ...\n\n"


def test_keep_alive() -> None:
    checker = Messages(CONTEXT)
    assert checker.keep_alive() is None
    checked(checker, named(PING), end=False)
    assert checker.keep_alive() is None
    checked(checker, named(message_start(), start("text"), text("a")), end=False)
    frame = checker.keep_alive()
    assert frame is not None
    assert (frame.event, frame.payload) == ("ping", PING)
    checked(checker, named(stop(), finish(), END))
    assert checker.keep_alive() is None


def test_usage_is_merged_and_never_added() -> None:
    checker = Messages(CONTEXT)
    first = {
        "input_tokens": 3,
        "cache_read_input_tokens": 5,
        "cache_creation_input_tokens": 7,
        "output_tokens": 1,
    }
    checked(checker, named(message_start(usage=first)), end=False)
    assert checker.usage == Usage(input=15, output=1, cached=5, cache_write=7)
    later = {"output_tokens": 9, "input_tokens": 4, "output_tokens_details": {"thinking_tokens": 2}}
    checked(checker, named(finish() | {"usage": later}, finish() | {"usage": later}), end=False)
    assert checker.usage == Usage(input=16, output=9, cached=5, cache_write=7, reasoning=2)


def test_usage_that_came_once_is_not_missing_when_it_is_not_said_again() -> None:
    assert run(named(message_start(), finish(output=4), finish(output=0), END)).checker.flags == set()
    assert run(named(message_start(), finish(output=0), END)).checker.flags == {"usage-missing"}
    assert run(named(message_start(), finish(output=0), finish(output=4), END)).checker.flags == set()


def test_made_up_zeros_are_no_usage() -> None:
    ran = run(named(start("text"), text("a"), stop(), END))
    assert ran.checker.usage is None
    assert ran.checker.flags == {"usage-missing"}


def test_deltas_counts_pieces_of_content_only() -> None:
    assert run(THINKING_TEXT_TOOL).checker.deltas == 3
    assert run(THINKING_TEXT_TOOL).checker.tool_ids == ["toolu_a"]
    some = named(
        message_start(), start("text"), text("a"), text(""), text("b"), text(""), stop(), finish(), END
    )
    assert run(some).checker.deltas == 2


def test_a_model_that_is_not_known_is_an_empty_name() -> None:
    checker = Messages(Context(ident="x", created=0))
    out = checker.check(Frame("message_delta", finish()))
    assert out is not None
    assert out[0].payload is not None
    assert out[0].payload["message"]["model"] == ""


@pytest.mark.parametrize("empties", [0, 1, 5])
def test_text_lost_is_said_only_when_nothing_of_it_came(empties: int) -> None:
    for came in ("", "x"):
        stream = [
            message_start(),
            start("text"),
            text(came),
            *[delta("input_json", "")] * empties,
            stop(),
            finish(),
            END,
        ]
        assert ("text-lost" in run(named(*stream)).checker.flags) == (empties > 0 and not came)
