"""What the SDKs do about a failed upstream: retry what a status tells them, raise what an event does."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import openai
import pytest

Front = Callable[..., int]

CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}


def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({**CHUNK, "choices": [choice]}).encode() + b"\n\n"


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


BEGUN = {
    "chat": chunk({"role": "assistant", "content": "Hello"}),
    "messages": event("message_start", message=MESSAGE)
    + event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    + event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hello"}),
}
ENDED = {
    "chat": chunk({}, "stop") + b"data: [DONE]\n\n",
    "messages": event("content_block_stop", index=0)
    + event(
        "message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 2}
    )
    + event("message_stop"),
}
OVERLOADED = event("error", error={"type": "overloaded_error", "message": "Overloaded"})


class Upstream(http.server.ThreadingHTTPServer):
    """Answers each request with the next of these bodies, and closes; a 200 whatever it holds."""

    def __init__(self, bodies: list[bytes]) -> None:
        self.bodies = bodies
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(http.server.BaseHTTPRequestHandler):
    server: Upstream

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        self.wfile.write(self.server.bodies.pop(0))

    def log_message(self, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def upstream() -> Iterator[Callable[[list[bytes]], int]]:
    servers: list[Upstream] = []

    def start(bodies: list[bytes]) -> int:
        server = Upstream(bodies)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return int(server.server_address[1])

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def ask_chat(port: int) -> str:
    with openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="k", max_retries=1) as client:
        answer = client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "?"}], stream=True
        )
        return "".join(part.choices[0].delta.content or "" for part in answer)


def ask_messages(port: int) -> str:
    with (
        anthropic.Anthropic(base_url=f"http://127.0.0.1:{port}", api_key="k", max_retries=1) as client,
        client.messages.stream(
            model="m", max_tokens=9, messages=[{"role": "user", "content": "?"}]
        ) as answer,
    ):
        return "".join(answer.text_stream)


ASK = {"chat": ask_chat, "messages": ask_messages}


@pytest.mark.parametrize("dialect", ASK)
@pytest.mark.parametrize("first", [OVERLOADED, b"", b": only a comment\n\n"])
def test_what_failed_before_it_began_is_tried_again_by_the_sdk(
    relay: Front, upstream: Callable[[list[bytes]], int], dialect: str, first: bytes
) -> None:
    port = relay(upstream([first, BEGUN[dialect] + ENDED[dialect]]))
    assert ASK[dialect](port) == "Hello"


def test_a_cut_chat_stream_raises_an_error_of_the_servers_class(
    relay: Front, upstream: Callable[[list[bytes]], int]
) -> None:
    port = relay(upstream([BEGUN["chat"]]))
    with pytest.raises(openai.APIError, match="after 1 delta, before a finish reason") as raised:
        ask_chat(port)
    assert (raised.value.type, raised.value.code) == ("server_error", "server_error")


def test_a_cut_message_raises_an_error_of_the_servers_class(
    relay: Front, upstream: Callable[[list[bytes]], int]
) -> None:
    port = relay(upstream([BEGUN["messages"]]))
    with pytest.raises(anthropic.APIStatusError, match="after 1 delta, before message_stop") as raised:
        ask_messages(port)
    body: Any = raised.value.body
    assert body["error"]["type"] == "api_error"
