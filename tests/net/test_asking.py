"""relay's own questions: whole and bounded, on pooled connections, and nothing is left open."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from relay.address import Origin
from relay.config import Settings, Timeouts, Upstream
from relay.errors import RelayError, UpstreamClosed, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from relay.net import asking
from relay.net.asking import Answer, ask
from relay.net.pool import Pool
from relay.wire.http1 import ResponseHead

from .kit import ScriptedUpstream, Wire, answer, chunk, until, within


@pytest.fixture
async def pool(quiet: None) -> AsyncIterator[Pool]:
    """Closed at the end, when all that it still holds must be idle."""
    loop = asyncio.get_running_loop()
    made = Pool(loop, Settings(upstreams=(), timeouts=Timeouts(rest=0.0)), None)
    yield made
    await until(lambda: made.open_count <= made.idle_count)
    made.close()
    await until(lambda: made.open_count == 0)


def start(
    pool: Pool, upstream: Upstream | ScriptedUpstream, method: bytes = b"GET", **said: Any
) -> asyncio.Task[Answer]:
    """Ask it in the background."""
    if isinstance(upstream, ScriptedUpstream):
        upstream = Upstream.parse(upstream.url)
    given = {"target": b"/key/info", "headers": [], "seconds": 0.0, "limit": 1000, **said}
    coroutine = ask(
        pool,
        upstream,
        method,
        given["target"],
        given["headers"],
        given.get("body", b""),
        seconds=given["seconds"],
        limit=given["limit"],
    )
    return asyncio.get_running_loop().create_task(coroutine)


async def warm(pool: Pool, upstream: ScriptedUpstream) -> Wire:
    """The upstream's end of an idle connection."""
    task = start(pool, upstream)
    wire = await upstream.accept()
    await wire.message()
    await wire.send(answer(b"warm"))
    await within(task)
    assert pool.idle_count == 1
    return wire


# --- what is asked ------------------------------------------------------------------------------------


async def test_the_request(pool: Pool, upstream: ScriptedUpstream) -> None:
    known = replace(
        Upstream.parse(f"{upstream.url}/base"), query="api-version=1", headers=(("X-Team", "blue"),)
    )
    headers = [(b"authorization", b"Bearer sk-1"), (b"User-Agent", b"mine"), (b"x-team", b"red")]
    task = start(pool, known, headers=headers)
    head = (await (wire := await upstream.accept()).message()).head
    assert head.line == b"GET /base/key/info?api-version=1 HTTP/1.1"
    assert head[b"host"] == upstream.url.removeprefix("http://").encode()
    assert head[b"authorization"] == b"Bearer sk-1"
    assert head[b"user-agent"] == b"mine"
    assert head[b"x-team"] == b"blue"
    assert head[b"accept-encoding"] == b"identity"
    assert head[b"content-length"] is head[b"transfer-encoding"] is head[b"connection"] is None
    await wire.send(answer(b"{}", b"content-type: application/json"))
    said = await within(task)
    assert (said.status, said.body) == (200, b"{}")
    assert (b"content-type", b"application/json") in said.headers


@pytest.mark.parametrize(
    ("base", "target", "query", "line"),
    [
        ("", b"/v1/models?limit=1", "", b"/v1/models?limit=1"),
        ("", b"/v1/models?limit=1", "a=b", b"/v1/models?limit=1&a=b"),
        ("/hook", b"", "", b"/hook"),
        ("", b"", "", b"/"),
    ],
)
async def test_the_target(
    pool: Pool, upstream: ScriptedUpstream, base: str, target: bytes, query: str, line: bytes
) -> None:
    task = start(pool, replace(Upstream.parse(upstream.url + base), query=query), target=target)
    wire = await upstream.accept()
    assert (await wire.head()).target == line
    await wire.send(answer(b""))
    await within(task)


@pytest.mark.parametrize("body", [b"", b'{"a": 1}', b"x" * 3_000_000])
async def test_a_body(pool: Pool, upstream: ScriptedUpstream, body: bytes) -> None:
    task = start(pool, upstream, b"POST", body=body)
    wire = await upstream.accept()
    message = await wire.message()
    assert message.head[b"content-length"] == b"%d" % len(body)
    assert message.body == body
    await wire.send(answer(b"", status=b"204 No Content"))
    assert (await within(task)).status == 204


# --- what is answered ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "status", "body", "kept"),
    [
        (answer(b"body"), 200, b"body", True),
        (answer(b"no", status=b"401 Unauthorized"), 401, b"no", True),
        (answer(b"no", b"connection: close", status=b"500 Oops"), 500, b"no", False),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\n\r\n" + answer(b"late"), 200, b"late", True),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
            + chunk(b"one")
            + chunk(b"two")
            + b"0\r\n\r\n",
            200,
            b"onetwo",
            True,
        ),
        (answer(b"body") + b"HTTP/1.1 200 OK\r\n", 200, b"body", False),
    ],
)
@pytest.mark.parametrize("whole", [True, False])
async def test_the_answer(
    pool: Pool,
    upstream: ScriptedUpstream,
    response: bytes,
    status: int,
    body: bytes,
    kept: bool,
    whole: bool,
) -> None:
    task = start(pool, upstream)
    wire = await upstream.accept()
    await wire.message()
    with contextlib.suppress(ConnectionError):
        for piece in [response] if whole else [bytes([one]) for one in response]:
            await wire.send(piece)
            await asyncio.sleep(0)
    said = await within(task)
    assert (said.status, said.body) == (status, body)
    if whole:
        assert pool.idle_count == kept
    if not kept:
        assert await wire.rest() == b""


async def test_one_that_ends_with_its_connection(pool: Pool, upstream: ScriptedUpstream) -> None:
    task = start(pool, upstream)
    wire = await upstream.accept()
    await wire.message()
    await wire.send(b"HTTP/1.0 200 OK\r\n\r\nto the end")
    wire.close()
    assert (await within(task)).body == b"to the end"
    assert pool.idle_count == 0


async def test_a_large_one_up_to_the_limit(pool: Pool, upstream: ScriptedUpstream) -> None:
    task = start(pool, upstream, limit=300_000)
    wire = await upstream.accept()
    await wire.message()
    await wire.send(answer(b"x" * 300_000))
    assert len((await within(task)).body) == 300_000


@pytest.mark.parametrize(
    ("response", "kind", "what"),
    [
        (answer(b"x" * 1001), UpstreamError, "above 1000 bytes"),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunk(b"x" * 600) * 2,
            UpstreamError,
            "above 1000 bytes",
        ),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", UpstreamError, "framed wrongly"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc", UpstreamClosed, "inside its answer"),
        (b"HTTP/1.1 200 OK\r\ncontent-le", UpstreamClosed, "before it answered"),
        (b"", UpstreamClosed, "before it answered"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", UpstreamError, "malformed head"),
        (b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", UpstreamError, "switched"),
    ],
)
async def test_what_is_no_answer(
    pool: Pool, upstream: ScriptedUpstream, response: bytes, kind: type[RelayError], what: str
) -> None:
    task = start(pool, upstream)
    wire = await upstream.accept()
    await wire.message()
    await wire.send(response)
    wire.sock.shutdown(1)
    with pytest.raises(kind, match=what):
        await within(task)
    await wire.gone()
    assert pool.idle_count == 0


async def test_a_reset(pool: Pool, upstream: ScriptedUpstream) -> None:
    task = start(pool, upstream)
    wire = await upstream.accept()
    await wire.message()
    wire.reset()
    with pytest.raises(UpstreamClosed):
        await within(task)
    assert upstream.nobody_waits()


async def test_nobody_there(pool: Pool, upstream: ScriptedUpstream) -> None:
    upstream.sock.close()
    with pytest.raises(UpstreamUnreachable):
        await within(start(pool, upstream))


# --- time ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc"])
async def test_the_deadline_is_for_the_whole(pool: Pool, upstream: ScriptedUpstream, said: bytes) -> None:
    task = start(pool, upstream, target=b"/key/info?key=secret", seconds=0.1)
    wire = await upstream.accept()
    await wire.message()
    await wire.send(said)
    with pytest.raises(
        UpstreamTimeout, match=r"no answer of http.* to GET /key/info within 0\.1 s"
    ) as raised:
        await within(task)
    assert "secret" not in str(raised.value)
    assert await wire.rest() == b""


async def test_the_deadline_is_for_the_connection_too(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(origin: Origin) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(pool, "dial", hang)
    with pytest.raises(UpstreamTimeout):
        await within(start(pool, Upstream.parse("http://127.0.0.1:1"), seconds=0.05))


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc"])
async def test_a_caller_that_is_cancelled_leaves_nothing(
    pool: Pool, upstream: ScriptedUpstream, said: bytes
) -> None:
    task = start(pool, upstream)
    wire = await upstream.accept()
    await wire.message()
    await wire.send(said)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await within(task)
    assert await wire.rest() == b""
    await until(lambda: pool.open_count == 0)


async def test_a_caller_that_is_cancelled_while_it_connects(pool: Pool, upstream: ScriptedUpstream) -> None:
    for turns in range(6):
        task = start(pool, upstream)
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await within(task)
        await until(lambda: pool.open_count == 0)


# --- connections ----------------------------------------------------------------------------------------


async def test_they_share_one(pool: Pool, upstream: ScriptedUpstream) -> None:
    wire = await warm(pool, upstream)
    for _ in range(3):
        task = start(pool, upstream)
        await wire.message()
        await wire.send(answer(b"again"))
        assert (await within(task)).body == b"again"
    assert upstream.nobody_waits()


async def test_one_that_speaks_after_its_answer_is_not_kept(
    pool: Pool, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More came before the caller, whose answer was whole, had its turn."""
    finish = asking._Question._finish

    def finish_and_hear_more(self: asking._Question, head: ResponseHead, *, reusable: bool) -> None:
        finish(self, head, reusable=reusable)
        sink = self._connection.sink
        assert sink is not None
        sink(b"stray", memoryview(b"stray"), 0, 5)

    monkeypatch.setattr(asking._Question, "_finish", finish_and_hear_more)
    task = start(pool, upstream)
    wire = await upstream.accept()
    await wire.message()
    await wire.send(answer(b"body"))
    assert (await within(task)).body == b"body"
    assert pool.idle_count == 0


async def test_a_unix_socket(pool: Pool, tmp_path: Path) -> None:
    upstream = ScriptedUpstream.unix(str(tmp_path / "litellm.sock"))
    task = start(pool, upstream)
    wire = await upstream.accept()
    assert (await wire.message()).head[b"host"] == b"localhost"
    await wire.send(answer(b"here"))
    assert (await within(task)).body == b"here"
    await upstream.close()


@pytest.mark.parametrize("how", [Wire.close, Wire.reset])
async def test_a_pooled_one_that_dies_is_replaced_once(
    pool: Pool, upstream: ScriptedUpstream, how: Any
) -> None:
    wire = await warm(pool, upstream)
    task = start(pool, upstream)
    await wire.message()  # taken, and not answered
    how(wire)
    fresh = await upstream.accept()
    await fresh.message()
    how(fresh)
    with pytest.raises(UpstreamClosed):
        await within(task)
    assert upstream.nobody_waits()


async def test_what_changes_something_is_not_asked_twice(pool: Pool, upstream: ScriptedUpstream) -> None:
    wire = await warm(pool, upstream)
    task = start(pool, upstream, b"POST", body=b"{}")
    await wire.message()  # taken, and perhaps acted on
    wire.close()
    with pytest.raises(UpstreamClosed):
        await within(task)
    assert upstream.nobody_waits()


async def test_a_pooled_one_that_dies_inside_its_answer_is_not_replaced(
    pool: Pool, upstream: ScriptedUpstream
) -> None:
    wire = await warm(pool, upstream)
    task = start(pool, upstream)
    await wire.message()
    await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc")
    wire.close()
    with pytest.raises(UpstreamClosed):
        await within(task)
    assert upstream.nobody_waits()
