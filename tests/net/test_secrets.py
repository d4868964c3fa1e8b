"""Nothing that a client or a model said gets into the log, however a request fails.

Names of fields do: those that an upstream cannot be told.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import orjson
import pytest

from relay.config import Repair, Repeat, Retry

from .conftest import Serve
from .kit import EVENT_STREAM, ScriptedUpstream, Wire, answer, chunk, post
from .test_checked_streams import ROLE, chat, frame

Upstreams = Callable[[int], list[ScriptedUpstream]]

PROMPT, ANSWER, KEY, TOOL = "PROMPTxyzzy", "ANSWERxyzzy", "sk-KEYxyzzy", "ARGUMENTSxyzzy"
SECRETS = (PROMPT, ANSWER, KEY, TOOL, "xyzzy")
ASKED = {
    "model": "m",
    "stream": True,
    "max_tokens": 9,
    "messages": [{"role": "user", "content": PROMPT}],
}
WRONG = {
    "a role": ASKED | {"messages": [{"role": PROMPT, "content": PROMPT}]},
    "a value": ASKED | {"tool_choice": {"type": PROMPT}},
}
ERROR = {"error": {"message": f"bad prompt {PROMPT} of {KEY}", "type": "invalid_request_error", "code": 400}}
DIED = {"error": {"message": f"died at {ANSWER}", "type": "server_error", "code": 500}}


def echoes(status: bytes, *writes: bytes) -> Callable[[Wire], object]:
    """An upstream that says again what it was asked, as many do."""

    async def play(wire: Wire) -> None:
        while True:
            await wire.message()
            if status == b"200 OK":
                await wire.send(EVENT_STREAM + b"".join(map(chunk, writes)))
                wire.close()
                return
            await wire.send(answer(b"".join(writes), b"content-type: application/json", status=status))

    return play


UPSTREAMS = {
    "error first": (b"200 OK", frame(ERROR)),
    "server error first": (b"200 OK", frame(DIED)),
    "error midway": (b"200 OK", ROLE + frame(DIED)),
    "no frame": (b"200 OK", f"data: {ANSWER}\n\n".encode()),
    "cut": (
        b"200 OK",
        ROLE + chat({"content": ANSWER}),
    ),
    "status": (b"503 Busy", orjson.dumps(DIED)),
    "bad request": (b"400 Bad Request", orjson.dumps(ERROR)),
}


@pytest.mark.parametrize("dialects", ["", " dialects=chat"])
@pytest.mark.parametrize("target", [b"/v1/chat/completions", b"/v1/messages"])
@pytest.mark.parametrize("how", UPSTREAMS)
async def test_the_log_repeats_nobody(
    serve: Serve,
    upstreams: Upstreams,
    caplog: pytest.LogCaptureFixture,
    how: str,
    target: bytes,
    dialects: str,
) -> None:
    caplog.set_level(logging.DEBUG, "relay")
    both = upstreams(2)
    for one in both:
        one.serve(echoes(*UPSTREAMS[how]))  # type: ignore[arg-type]
    retry = Retry(repeat=Repeat.COMPLETIONS, attempts=2, pause=0.001)
    relay = await serve(*[one.url + dialects for one in both], repair=Repair.ON, also={"retry": retry})
    client = await relay.connect()
    secret = f"authorization: Bearer {KEY}".encode()
    path = target + b"?api_key=" + KEY.encode()
    await client.send(post(orjson.dumps(ASKED), secret, b"connection: close", target=path))
    got = await client.rest()
    assert got
    assert caplog.records or how == "bad request"
    assert not [secret for secret in SECRETS if secret in caplog.text]
    if how not in ("error first", "bad request"):  # there it is the upstream's own word
        assert KEY.encode() not in got


@pytest.mark.parametrize("what", WRONG)
async def test_a_refused_request_is_not_quoted_in_the_log(
    serve: Serve, upstreams: Upstreams, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    caplog.set_level(logging.DEBUG, "relay")
    (upstream,) = upstreams(1)
    upstream.serve(echoes(b"400 Bad Request", orjson.dumps(ERROR)))  # type: ignore[arg-type]
    relay = await serve(f"{upstream.url} dialects=chat", repair=Repair.ON)
    client = await relay.connect()
    fields = (f"x-api-key: {KEY}".encode(), b"connection: close")
    await client.send(post(orjson.dumps(WRONG[what]), *fields, target=b"/v1/messages"))
    await client.rest()
    assert not [secret for secret in SECRETS if secret in caplog.text]


@pytest.mark.parametrize(
    "raw",
    [
        f"GET /?key={KEY} HTTP/1.1\r\nhost: a\r\nauthorization : {KEY}\r\n\r\n",
        f"GET /?key={KEY} HTTP/9.1\r\nhost: a\r\n\r\n",
        f"GET /{PROMPT} HTTP/1.1\r\nhost: {KEY}\x01\r\n\r\n",
        f"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {KEY}\r\n\r\n",
        f"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{KEY}\r\n",
        f"{KEY}\r\n\r\n",
    ],
)
async def test_rubbish_is_not_quoted(
    serve: Serve, upstreams: Upstreams, caplog: pytest.LogCaptureFixture, raw: str
) -> None:
    caplog.set_level(logging.DEBUG, "relay")
    (upstream,) = upstreams(1)
    relay = await serve(upstream)
    client = await relay.connect()
    await client.send(raw.encode())
    assert b"xyzzy" not in await client.rest()
    assert "xyzzy" not in caplog.text
