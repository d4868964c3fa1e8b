"""An example for every repair of the Messages checker: its rule, what came, what leaves."""

from __future__ import annotations

from typing import Any

from tests.dialects.drive import Event
from tests.dialects.messages_kit import (
    CHAT_CHUNK,
    END,
    PING,
    delta,
    finish,
    message_start,
    named,
    start,
    stop,
    text,
    without,
)

Stream = list[Event]

HEAD = message_start()
HELLO = named(start("text"), text("Hello"), stop())
TAIL = named(finish(), END)
MADE_START = message_start(id="msg_t1", model="m-1", usage={"input_tokens": 0, "output_tokens": 0})
FAILED = {"type": "error", "error": {"type": "api_error", "message": "boom"}}
ARGUMENTS = '{"a":1}'


def whole(*payloads: dict[str, Any], reason: str = "end_turn") -> Stream:
    return named(HEAD, *payloads, finish(reason), END)


def unnamed(stream: Stream, name: str | None = None) -> Stream:
    return [Event(name, payload) for _, payload in stream]


THE_FRAME = [
    ("messages-event-missing", unnamed(whole()), whole()),
    ("messages-event-wrong", unnamed(whole(), "message"), whole()),
    (
        "messages-type-missing",
        [Event(event, without(payload, "type")) for event, payload in whole()],
        whole(),
    ),
    ("messages-event-unnamed", [*named(HEAD), Event(None, {}), Event("message", {}), *TAIL], whole()),
    ("messages-event-early", named({"type": "sparkle", "x": 1}, HEAD, finish(), END), whole()),
    ("messages-ping-type", [*named(HEAD), Event("ping", {}), *TAIL], named(HEAD, PING, finish(), END)),
    ("messages-done-sentinel", [*whole(), Event(None, None)], whole()),
    ("messages-chat-chunk", [*named(HEAD), Event(None, CHAT_CHUNK), *TAIL], whole()),
    ("messages-after-end", [*whole(), *named(PING, text("x"), END)], whole()),
    (
        "messages-error-form",
        [*named(HEAD), Event(None, {"error": {"message": "boom", "code": 500}})],
        named(HEAD, FAILED),
    ),
    (
        "messages-error-form",
        named(HEAD, {"type": "error", "error": {"type": "internal_error", "message": "boom"}}),
        named(HEAD, FAILED),
    ),
    ("messages-error-form", named(HEAD, {"type": "error", "message": "boom"}), named(HEAD, FAILED)),
    (
        "messages-error-form",
        [*named(HEAD), Event("error", {"code": 500, "details": "boom"})],
        named(HEAD, FAILED),
    ),
    (
        "messages-error-form",
        named(HEAD, {"type": "response.failed", "response": {"error": {"message": "boom"}}}),
        named(HEAD, FAILED),
    ),
]

THE_MESSAGE = [
    ("messages-start-missing", [*HELLO, *TAIL], [*named(MADE_START), *HELLO, *TAIL]),
    ("messages-start-missing", named(finish(), END), named(MADE_START, finish(), END)),
    (
        "messages-start-repeated",
        [*HELLO, *named(HEAD), *TAIL],  # ours came first, the real one late (CLIProxyAPIPlus 4)
        [*named(MADE_START), *HELLO, *TAIL],
    ),
    ("messages-start-repeated", [*named(HEAD), *HELLO, *named(HEAD), *TAIL], [*named(HEAD), *HELLO, *TAIL]),
    ("messages-start-repeated", named(HEAD, message_start(id="msg_2"), finish(), END), whole()),
    (
        "messages-start-incomplete",
        named({"type": "message_start"}, finish(), END),
        named(MADE_START, finish(), END),
    ),
    (
        "messages-start-incomplete",
        named(message_start(role=None, type=5, stop_reason=None, usage={"input_tokens": 11}), finish(), END),
        named(message_start(usage={"input_tokens": 11, "output_tokens": 0}), finish(), END),
    ),
    (
        "messages-delta-incomplete",
        named(HEAD, finish(), without(finish(output=5), "delta"), END),
        named(HEAD, finish(), finish(output=5), END),
    ),
    (
        "messages-usage-missing",
        named(HEAD, finish(), without(finish(), "usage"), END),
        named(HEAD, finish(), finish(), END),
    ),
    (
        "messages-usage-missing",
        named(HEAD, finish() | {"usage": {"input_tokens": 3}}, END),
        named(HEAD, finish() | {"usage": {"input_tokens": 3, "output_tokens": 0}}, END),
    ),
    ("messages-delta-missing", named(HEAD, END), named(HEAD, finish(output=0), END)),
    (
        "messages-delta-missing",
        named(HEAD, start("tool"), stop(), END),
        named(HEAD, start("tool"), stop(), finish("tool_use", 0), END),
    ),
    ("messages-stop-missing", named(HEAD, finish()), whole()),
    ("messages-stop-stray", named(END, HEAD, finish(), END), whole()),
    (
        "messages-stop-reason-tool",
        whole(start("tool"), stop()),
        whole(start("tool"), stop(), reason="tool_use"),
    ),
    ("messages-stop-reason-foreign", whole(reason="length"), whole(reason="max_tokens")),
    ("messages-stop-reason-foreign", whole(reason="tool_calls"), whole()),
    (
        "messages-stop-reason-foreign",
        named(HEAD, finish(5), finish(), END),  # type: ignore[arg-type]
        named(HEAD, finish(None), finish(), END),
    ),
    (
        "messages-stop-reason-foreign",
        whole(start("tool"), stop(), reason="stop"),
        whole(start("tool"), stop(), reason="tool_use"),
    ),
    (
        "messages-stop-reason-lost",
        named(HEAD, finish("max_tokens"), finish(None), END),
        named(HEAD, finish("max_tokens"), finish("max_tokens"), END),
    ),
    (
        "messages-stop-reason-error",
        named(HEAD, start("tool"), finish("abort"), END),
        named(
            HEAD,
            start("tool"),
            {
                "type": "error",
                "error": {
                    "type": "api_error",
                    "message": "the upstream ended the answer with stop_reason abort",
                },
            },
        ),
    ),
]

THE_ORDER = [
    ("messages-block-start-missing", whole(text("Hi"), stop()), whole(start("text"), text("Hi"), stop())),
    (
        "messages-block-start-missing",  # no starts and no stops at all
        whole(delta("thinking", "a"), delta("signature", "s"), text("b", 1), text("c", 1)),
        whole(
            start("thinking"),
            delta("thinking", "a"),
            delta("signature", "s"),
            stop(),
            start("text", 1),
            text("b", 1),
            text("c", 1),
            stop(1),
        ),
    ),
    (
        "messages-block-stop-missing",
        whole(start("text"), text("a"), start("tool"), delta("input_json", ARGUMENTS), reason="tool_use"),
        whole(
            start("text"),
            text("a"),
            stop(),
            start("tool", 1),
            delta("input_json", ARGUMENTS, 1),
            stop(1),
            reason="tool_use",
        ),
    ),
    ("messages-block-stop-stray", whole(stop(), start("tool"), stop(), stop(), reason="tool_use"),
     whole(start("tool"), stop(), reason="tool_use")),
    (
        "messages-block-untyped",
        whole({"type": "content_block_start", "index": 0}, text("a"), stop()),
        whole(start("text"), text("a"), stop()),
    ),
    (
        "messages-block-index",
        whole(start("text", 3), text("a", 3), text("b", 3), stop(3), start("text", 0), text("c", 0), stop(0)),
        whole(start("text"), text("a"), text("b"), stop(), start("text", 1), text("c", 1), stop(1)),
    ),
    (
        "messages-block-interleaved",
        whole(
            start("tool"),
            start("text", 1),
            text("a", 1),
            start("server", 2),
            delta("input_json", "{", 2),
            delta("input_json", ARGUMENTS),
            stop(1),
            delta("input_json", "}", 2),
            stop(),
            stop(2),
            reason="tool_use",
        ),
        whole(
            start("tool"),
            delta("input_json", ARGUMENTS),
            stop(),
            start("text", 1),
            text("a", 1),
            stop(1),
            start("server", 2),
            delta("input_json", "{", 2),
            delta("input_json", "}", 2),
            stop(2),
            reason="tool_use",
        ),
    ),
    (
        "messages-block-empty",
        whole(start("text"), stop(), start("tool", 1), delta("input_json", "{}", 1),
              delta("input_json", " ", 1), stop(1), reason="tool_use"),
        whole(start("tool"), delta("input_json", "{}"), delta("input_json", " "), stop(), reason="tool_use"),
    ),
    ("messages-block-late-start", named(HEAD, finish(), start("text"), text(""), stop(), END), whole()),
    (
        "messages-index-negative",
        whole(start("text"), text("a", -1), text("b", -1), text("c", None), stop("x")),
        whole(start("text"), text("a"), text("b"), text("c"), stop()),
    ),
    (
        "messages-index-unknown",
        whole(start("tool"), delta("input_json", "{", 1), delta("input_json", "}", 1), stop(1),
              reason="tool_use"),
        whole(start("tool"), delta("input_json", "{"), delta("input_json", "}"), stop(), reason="tool_use"),
    ),
]  # fmt: skip

THE_BLOCKS = [
    (
        "messages-text-missing",
        whole(without(start("text"), "content_block", "text"), text("a"), stop()),
        whole(start("text"), text("a"), stop()),
    ),
    (
        "messages-text-missing",
        whole(start("thinking", thinking=None), stop()),
        whole(start("thinking"), stop()),
    ),
    (
        "messages-thinking-signature",
        whole(without(start("thinking"), "content_block", "signature"), stop()),
        whole(start("thinking"), stop()),
    ),
    (
        "messages-tool-input",
        whole(without(start("tool"), "content_block", "input"), stop(), reason="tool_use"),
        whole(start("tool"), stop(), reason="tool_use"),
    ),
    (
        "messages-tool-input",
        whole(start("tool", input=ARGUMENTS), stop(), reason="tool_use"),
        whole(start("tool", input={"a": 1}), stop(), reason="tool_use"),
    ),
    (
        "messages-tool-input-twice",
        whole(start("tool", input={"a": 1}), delta("input_json", ""), delta("input_json", ARGUMENTS), stop(),
              reason="tool_use"),
        whole(start("tool"), delta("input_json", ""), delta("input_json", ARGUMENTS), stop(),
              reason="tool_use"),
    ),
    (
        "messages-tool-id",
        whole(start("tool", id=None), stop(), reason="tool_use"),
        whole(start("tool", id="toolu_t1_0"), stop(), reason="tool_use"),
    ),
    (
        "messages-delta-null",
        whole(start("thinking"), delta("thinking", None), delta("signature", None), stop()),
        whole(start("thinking"), delta("thinking", ""), delta("signature", ""), stop()),
    ),
    (
        "messages-delta-late",
        whole(start("text"), text("a"), stop(), text("b"), text("c"), start("tool", 1), stop(1),
              reason="tool_use"),
        whole(start("text"), text("a"), text("b"), text("c"), stop(), start("tool", 1), stop(1),
              reason="tool_use"),
    ),
    (
        "messages-delta-misfit",
        whole(start("text"), text("a"), delta("thinking", "b"), text("c"), stop(), start("tool", 1), stop(1),
              reason="tool_use"),
        whole(start("text"), text("a"), stop(), start("thinking", 1), delta("thinking", "b", 1), stop(1),
              start("text", 2), text("c", 2), stop(2), start("tool", 3), stop(3), reason="tool_use"),
    ),
    (
        "messages-delta-misfit",
        whole(start("tool"), text("a"), delta("thinking", "b"), delta("input_json", "{}"), text("c"), stop(),
              reason="tool_use"),
        whole(start("tool"), delta("input_json", "{}"), stop(), start("text", 1), text("a", 1), stop(1),
              start("thinking", 2), delta("thinking", "b", 2), stop(2),
              start("text", 3), text("c", 3), stop(3), reason="tool_use"),
    ),
    (
        "messages-delta-misfit-empty",
        whole(start("text"), text("a"), delta("input_json", ""), stop()),
        whole(start("text"), text("a"), stop()),
    ),
    (
        "messages-delta-stray",
        whole(text(""), start("tool"), stop(), delta("input_json", ""), reason="tool_use"),
        whole(start("tool"), stop(), reason="tool_use"),
    ),
]  # fmt: skip

CASES = [*THE_FRAME, *THE_MESSAGE, *THE_ORDER, *THE_BLOCKS]
