"""A strict reading of the legal order of a Messages stream, to judge what a checker lets out.

It shares nothing with relay: the tables are those of the public API reference. A stream is

    complete    ended by message_stop, and everything before it is legal
    failed      ended by an error event, and everything before it is legal
    open        legal so far
    illegal     and why, after a colon
"""

from __future__ import annotations

from typing import Any

from tests.dialects.drive import Event

BLOCKS = {
    "text": {"text": str},
    "thinking": {"thinking": str, "signature": str},
    "redacted_thinking": {},
    "tool_use": {"id": str, "name": str, "input": dict},
    "server_tool_use": {"id": str, "name": str, "input": dict},
    "mcp_tool_use": {"id": str, "name": str, "input": dict},
}
DELTAS = {
    "text_delta": ("text", {"text"}),
    "citations_delta": (None, {"text"}),
    "thinking_delta": ("thinking", {"thinking"}),
    "signature_delta": ("signature", {"thinking"}),
    "input_json_delta": ("partial_json", {"tool_use", "server_tool_use", "mcp_tool_use"}),
}
MESSAGE = {"id": str, "model": str, "content": list, "usage": dict}
CHAT_REASONS = {"stop", "length", "tool_calls", "function_call", "content_filter", "error", "abort"}
ERRORS = {
    "invalid_request_error",
    "authentication_error",
    "billing_error",
    "permission_error",
    "not_found_error",
    "conflict_error",
    "request_too_large",
    "rate_limit_error",
    "api_error",
    "timeout_error",
    "overloaded_error",
}


class Illegal(Exception):
    pass


def verdict(stream: list[Event]) -> str:
    judge = Judge()
    for event in stream:
        try:
            judge.take(event)
        except Illegal as why:
            return f"illegal: {why}"
    return {"DONE": "complete", "FAILED": "failed"}.get(judge.state, "open")


def need(condition: object, why: str) -> None:
    if not condition:
        raise Illegal(why)


class Judge:
    """``state`` is INIT, BETWEEN, BLOCK, ENDING, DONE or FAILED."""

    def __init__(self) -> None:
        self.state = "INIT"
        self.next = 0
        self.block: dict[str, Any] = {}
        self.fresh = False
        """Nothing has come since the start of the block."""
        self.tool_called = False
        self.whole = False
        self.reason: object = None

    def take(self, event: Event) -> None:
        name, payload = event
        need(isinstance(payload, dict), "no JSON object")
        kind = payload.get("type")
        need(isinstance(kind, str) and kind, "no type")
        need(name == kind, f"event line {name} on a {kind}")
        need(self.state not in ("DONE", "FAILED"), f"{kind} after the end")
        if self.block and kind != "content_block_delta":
            empty = (
                self.block["type"] == "text" and not self.block["text"] and not self.block.get("citations")
            )
            need(not (empty and self.fresh and kind == "content_block_stop"), "an empty text block")
            self.fresh = False
        known = getattr(self, f"_{kind}", None)
        if known is None:
            need(self.state != "INIT", f"{kind} before message_start")
        else:
            known(payload)

    def _ping(self, payload: dict[str, Any]) -> None:
        pass

    def _error(self, payload: dict[str, Any]) -> None:
        error = payload.get("error")
        need(isinstance(error, dict), "error without an object")
        need(error.get("type") in ERRORS, f"error of type {error.get('type')}")
        need(isinstance(error.get("message"), str), "error without message")
        self.state = "FAILED"

    def _message_start(self, payload: dict[str, Any]) -> None:
        need(self.state == "INIT", f"message_start in {self.state}")
        message = payload.get("message")
        need(isinstance(message, dict), "message_start without message")
        for key, kind in MESSAGE.items():
            need(isinstance(message.get(key), kind), f"message.{key}")
        need(message.get("type") == "message" and message.get("role") == "assistant", "message type and role")
        need("stop_reason" in message and "stop_sequence" in message, "message without stop_reason")
        for key in ("input_tokens", "output_tokens"):
            need(is_number(message["usage"].get(key)), f"message.usage.{key}")
        self.next = len(message["content"])
        self.whole = bool(message["content"] and message["stop_reason"])
        self.tool_called = any(
            isinstance(block, dict) and block.get("type") == "tool_use" for block in message["content"]
        )
        self.state = "BETWEEN"

    def _content_block_start(self, payload: dict[str, Any]) -> None:
        need(self.state == "BETWEEN", f"content_block_start in {self.state}")
        need(type(payload.get("index")) is int and payload["index"] == self.next, "index of a block")
        block = payload.get("content_block")
        need(isinstance(block, dict) and isinstance(block.get("type"), str), "content_block")
        for key, kind in BLOCKS.get(block["type"], {}).items():
            need(isinstance(block.get(key), kind), f"{block['type']}.{key}")
        self.tool_called |= block["type"] == "tool_use"
        self.whole = False
        self.block, self.fresh, self.state = block, True, "BLOCK"

    def _content_block_delta(self, payload: dict[str, Any]) -> None:
        need(self.state == "BLOCK", f"content_block_delta in {self.state}")
        need(type(payload.get("index")) is int and payload["index"] == self.next, "index of a delta")
        delta = payload.get("delta")
        need(isinstance(delta, dict) and isinstance(delta.get("type"), str), "delta")
        kind = self.block["type"]
        if delta["type"] in DELTAS:
            field, fitting = DELTAS[delta["type"]]
            need(kind in fitting or kind not in BLOCKS, f"{delta['type']} in a block of type {kind}")
            need(field is None or isinstance(delta.get(field), str), f"{delta['type']}.{field}")
            twice = self.fresh and kind in BLOCKS and self.block.get("input") and delta.get("partial_json")
            need(not twice, "input in the start and again")
        empty_json = delta["type"] == "input_json_delta" and not delta["partial_json"]
        self.fresh = self.fresh and empty_json and bool(self.block.get("input"))

    def _content_block_stop(self, payload: dict[str, Any]) -> None:
        need(self.state == "BLOCK", f"content_block_stop in {self.state}")
        need(type(payload.get("index")) is int and payload["index"] == self.next, "index of a stop")
        self.next += 1
        self.block, self.state = {}, "BETWEEN"

    def _message_delta(self, payload: dict[str, Any]) -> None:
        need(self.state in ("BETWEEN", "ENDING"), f"message_delta in {self.state}")
        delta, usage = payload.get("delta"), payload.get("usage")
        need(isinstance(delta, dict), "message_delta without delta")
        need(isinstance(usage, dict) and is_number(usage.get("output_tokens")), "message_delta without usage")
        reason = delta.get("stop_reason")
        need(not self.reason or reason, "the stop reason was taken back")
        need(reason is None or isinstance(reason, str), "stop_reason of another type")
        need(reason not in CHAT_REASONS, f"stop_reason {reason}")
        need(not (reason == "end_turn" and self.tool_called), "end_turn after a tool call")
        self.reason, self.state = reason, "ENDING"

    def _message_stop(self, payload: dict[str, Any]) -> None:
        need(
            self.state == "ENDING" or (self.state == "BETWEEN" and self.whole),
            f"message_stop in {self.state}",
        )
        self.state = "DONE"


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
