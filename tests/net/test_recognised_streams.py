"""What a proxy did to a stream stands in the head of the answer where the first read shows it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import Serve
from .kit import ScriptedUpstream, answer, chunk
from .test_checked_streams import DONE, PATHS, ROLE, STOP, ask, chat, play

DATA = Path(__file__).parents[1] / "data" / "recognising"


@pytest.mark.parametrize(
    ("capture", "verdict"),
    [
        ("1.83.10/messages--wild--faked", b"faked-stream"),
        ("1.85.0/responses--o1p--faked", b"faked-stream"),
        ("1.85.0/messages--claude--websearch", b"faked-stream"),
        ("1.109.1/chat--gpt--cached", b"cache-replay"),
    ],
)
async def test_litellm(serve: Serve, upstream: ScriptedUpstream, capture: str, verdict: bytes) -> None:
    record = json.loads((DATA / f"{capture}.json").read_bytes())
    played = await play(serve, upstream, ask(capture.split("/")[1].split("--")[0]))
    fields = [
        f"{name}: {value}".encode()
        for name, value in record["headers"]
        if name.lower() != "transfer-encoding"
    ]
    await played.upstream.send(answer((DATA / f"{capture}.sse").read_bytes(), *fields))
    head = await played.client.head()
    assert (head.status, head[b"x-relay-verdict"]) == (200, verdict)


@pytest.mark.parametrize(("pieces", "verdict"), [(16, b"faked-stream"), (15, None)])
async def test_any_server(
    serve: Serve, upstream: ScriptedUpstream, pieces: int, verdict: bytes | None
) -> None:
    played = await play(serve, upstream)
    body = ROLE + chat({"content": "twelve chars"}) * pieces + STOP + DONE
    await played.upstream.send(answer(body, b"content-type: text/event-stream"))
    assert (await played.client.head())[b"x-relay-verdict"] == verdict


@pytest.mark.parametrize("dialect", PATHS)
async def test_an_honest_stream_has_no_verdict(
    serve: Serve, upstream: ScriptedUpstream, dialect: str
) -> None:
    body = (DATA / f"1.85.0/{dialect}--gpt--live.sse").read_bytes()
    played = await play(serve, upstream, ask(dialect))
    start = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-litellm-version: 1.85.0\r\n"
    await played.upstream.send(start + b"transfer-encoding: chunked\r\n\r\n" + chunk(body) + b"0\r\n\r\n")
    assert (await played.client.head())[b"x-relay-verdict"] is None
