"""The Python SDKs judge the worst streams that LiteLLM was recorded sending, with relay and without.

The captures lie in ``data/litellm``, a small part of the corpus. ``python -m tests.live.judge`` asks
many more clients about all of it; here only so much that a relay that stops mending is seen.
"""

from __future__ import annotations

import asyncio
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from tests.live.clients import WAYS
from tests.live.corpus import CORPUS, Capture, litellm
from tests.live.expected import Truth
from tests.live.judge import python_outcomes
from tests.live.outcome import FAILING, Outcome, Verdict, verdict
from tests.live.replay import Replay
from tests.net.process import serving

DATA = Path(__file__).parents[1] / "data" / "litellm"
CAPTURES = {capture.key: capture for capture in litellm(DATA)}
TRUTH = Truth(DATA / "upstream")
CASES = [(key, name) for key, capture in CAPTURES.items() for name in WAYS[capture.dialect]]

FORWARDED_WELL = {
    "1.85.0/chat--openai--http-429",
    "1.85.0/messages--hosted_vllm--http-529",
    "1.85.0/chat--openai--length",
    "1.85.0/chat--openai--trunc-close",
    "1.85.0/chat--hosted_vllm--mid-error",
    "1.85.0/chat--hosted_vllm--error-first",
    "1.85.0/messages--openai--mid-failed",
    "1.85.0/messages--openai--reasoning",
    "1.85.0/messages--hosted_vllm--text",
    "1.85.0/messages--hosted_vllm--text-tool-onechunk",
    "1.85.0/messages--hosted_vllm--crosstalk",
    "1.85.0/responses--lm_studio--error-first",
    "1.83.10/messages--openai-wildcard--tool",
    "1.109.1/messages--anthropic--mid-error",
    "1.109.1/messages--openai--tool-whole",
    "1.109.1/openai-passthrough--openai--no-done",
    "1.109.1/openai-passthrough--openai--trunc-rst",
    "1.109.1/responses--openai--mid-failed",
}
"""Captures that fail neither Python SDK as they are; relay must not make them worse."""


async def ask_all() -> list[Outcome]:
    async with Replay(CAPTURES.values()).serve() as replay, serving(replay.url) as relay:
        origins = {"before": replay.url, "after": f"http://127.0.0.1:{relay.port}"}
        return await python_outcomes(CAPTURES.values(), origins)


@pytest.fixture(scope="module")
def verdicts() -> dict[tuple[str, str, str], Verdict]:
    """By way, capture and client; all asked in one go, because most of the time is starting up."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pydantic")  # how the SDK dumps a bent answer
        outcomes = asyncio.run(ask_all())
    return {(got.way, got.key, got.judge): verdict(TRUTH(CAPTURES[got.key]), got) for got in outcomes}


@pytest.mark.parametrize(("key", "name"), CASES, ids=[f"{name}-{key}" for key, name in CASES])
def test_behind_relay(verdicts: dict[tuple[str, str, str], Verdict], key: str, name: str) -> None:
    judged = verdicts["after", key, name]
    assert judged.grade not in FAILING, f"{judged.grade}: {judged.reason}"


@pytest.mark.parametrize("key", CAPTURES)
def test_without_relay(verdicts: dict[tuple[str, str, str], Verdict], key: str) -> None:
    """That the judges fail what is bent is what makes their praise worth something."""
    grades = {verdicts["before", key, name].grade for name in WAYS[CAPTURES[key].dialect]}
    assert bool(grades & set(FAILING)) != (key in FORWARDED_WELL), grades


def test_the_table_of_losses_is_that_of_the_bytes() -> None:
    assert TRUTH.gaps(list(CAPTURES.values())) == []


@pytest.mark.skipif(not (CORPUS / "litellm").is_dir(), reason="the corpus is not beside the project")
def test_the_table_of_losses_is_that_of_all_the_bytes() -> None:
    assert Truth(CORPUS / "upstream").gaps(litellm(CORPUS / "litellm")) == []


@pytest.mark.parametrize("end", ["complete", "eof-without-terminator", "reset"])
async def test_the_replay_ends_as_recorded(end: str) -> None:
    capture = replace(CAPTURES["1.85.0/messages--anthropic--trunc-rst"], end=end)
    async with Replay([capture], pieces=3).serve() as replay:
        host, port = replay.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(request(capture))
        received, error = await drained(reader, until=b"\r\n0\r\n\r\n")
        writer.close()
    assert (error is ConnectionResetError) == (end == "reset")
    assert received.endswith(b"\r\n0\r\n\r\n") == (end == "complete")
    if end != "reset":
        assert received.count(b"event: ") == capture.body.count(b"event: ")


def request(capture: Capture) -> bytes:
    fields = f"host: x\r\nx-capture: {capture.key}\r\ncontent-length: 2"
    return f"POST {capture.path} HTTP/1.1\r\n{fields}\r\n\r\n{{}}".encode()


async def drained(reader: asyncio.StreamReader, *, until: bytes) -> tuple[bytes, type[Exception] | None]:
    """All that comes, and the error that ended it."""
    received = b""
    try:
        while not received.endswith(until) and (data := await reader.read(65536)):
            received += data
    except ConnectionError as error:
        return received, type(error)
    return received, None
