"""Records of usage go to the log and to a webhook, and no stream waits for either."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from relay.access import Spend
from relay.config import Settings, Timeouts, Upstream
from relay.net import spending
from relay.net.pool import Pool
from relay.net.spending import Spending

from .kit import Message, ScriptedUpstream, Wire, answer, until, within

Keep = Callable[..., "Books"]
TOOK = answer(b"")


class Books:
    """A ``Spending``, and how many records it has dropped."""

    def __init__(self, settings: Spend, pause: float) -> None:
        loop = asyncio.get_running_loop()
        upstreams = (Upstream.parse("http://127.0.0.1:1"),)
        self.pool = Pool(loop, Settings(upstreams, timeouts=Timeouts(connect=2.0)), None)
        self.dropped = 0
        self.spending = Spending(loop, self.pool, settings, self._drop, pause=pause)

    def note(self, *numbers: int) -> None:
        for number in numbers:
            self.spending.note({"id": f"{number}"})

    def _drop(self, count: int) -> None:
        self.dropped += count


@pytest.fixture
async def keep(quiet: None) -> AsyncIterator[Keep]:
    """``keep(url)``: books whose webhook is there."""
    made: list[Books] = []

    def begin(url: str = "", *, pause: float = 0.001, **settings: Any) -> Books:
        made.append(Books(Spend(webhook=url, **settings), pause))
        return made[-1]

    yield begin
    for books in made:
        await books.spending.close(0)
        assert books.pool.open_count <= books.pool.idle_count
        books.pool.close()
    await until(lambda: not any(books.pool.open_count for books in made))
    logging.getLogger("relay.spend").setLevel(logging.NOTSET)


def ids(message: Message) -> list[int]:
    return [int(record["id"]) for record in json.loads(message.body)]


async def told(upstream: ScriptedUpstream, raw: bytes = TOOK) -> tuple[Wire, Message]:
    """The next message on a new connection, answered."""
    wire = await upstream.accept()
    message = await wire.message()
    await wire.send(raw)
    return wire, message


def lines(caplog: pytest.LogCaptureFixture, name: str = "relay") -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == name]


# --- the log ------------------------------------------------------------------------------------


async def test_a_line_for_each_record(keep: Keep, caplog: pytest.LogCaptureFixture) -> None:
    keep(log=True).spending.note({"id": "a", "model": "two\nlines"})
    (line,) = lines(caplog, "relay.spend")
    assert json.loads(line) == {"id": "a", "model": "two\nlines"}
    assert "\n" not in line


async def test_it_is_shown_where_little_else_is(keep: Keep, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("relay").setLevel(logging.WARNING)  # caplog sets it back
    keep(log=True).note(1)
    assert len(lines(caplog, "relay.spend")) == 1


async def test_nothing_is_said_that_was_not_asked_for(keep: Keep, caplog: pytest.LogCaptureFixture) -> None:
    books = keep()
    books.note(1)
    assert lines(caplog, "relay.spend") == []
    assert books.dropped == 0


# --- the webhook --------------------------------------------------------------------------------


async def test_a_record_is_posted(keep: Keep, upstream: ScriptedUpstream) -> None:
    books = keep(upstream.url + "/spend/?team=7", token="secret")
    books.note(1)
    _, message = await told(upstream)
    assert message.head.line == b"POST /spend/?team=7 HTTP/1.1"
    assert message.head[b"authorization"] == b"Bearer secret"
    assert message.head[b"content-type"] == b"application/json"
    assert message.head[b"host"] == upstream.url.removeprefix("http://").encode()
    assert ids(message) == [1]
    assert books.dropped == 0


async def test_without_a_token_none_is_sent(keep: Keep, upstream: ScriptedUpstream) -> None:
    keep(upstream.url).note(1)
    _, message = await told(upstream)
    assert message.head[b"authorization"] is None


async def test_over_a_unix_socket(keep: Keep, tmp_path: Path) -> None:
    upstream = ScriptedUpstream.unix(str(tmp_path / "books.sock"))
    keep(upstream.url).note(1)
    _, message = await told(upstream)
    assert (message.head.target, ids(message)) == (b"/", [1])
    await upstream.close()


async def test_what_gathers_meanwhile_goes_together_in_its_order(
    keep: Keep, upstream: ScriptedUpstream
) -> None:
    books = keep(upstream.url)
    books.note(1)
    wire = await upstream.accept()
    first = await wire.message()
    books.note(2, 3, 4)
    await wire.send(TOOK)
    second = await wire.message()  # on the same connection
    await wire.send(TOOK)
    assert (ids(first), ids(second)) == ([1], [2, 3, 4])


async def test_a_body_has_an_end(keep: Keep, upstream: ScriptedUpstream) -> None:
    books = keep(upstream.url)
    books.note(*range(250))
    sizes = []
    wire = await upstream.accept()
    for _ in range(3):
        sizes.append(len(ids(await wire.message())))
        await wire.send(TOOK)
    assert sizes == [100, 100, 50]
    await books.spending.close(5)
    assert books.dropped == 0


async def test_no_task_waits_for_the_next_record(keep: Keep, upstream: ScriptedUpstream) -> None:
    books = keep(upstream.url)
    books.note(1)
    await told(upstream)
    await until(lambda: books.spending._sender is None)
    books.note(2)
    await until(lambda: books.spending._sender is not None)


async def test_more_than_may_wait_are_dropped_and_counted(
    keep: Keep, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    books = keep(upstream.url, queue=3)
    books.note(1)
    wire = await upstream.accept()
    assert ids(await wire.message()) == [1]
    books.note(2, 3, 4, 5)  # the first is on its way, and still waits
    assert books.dropped == 2
    await wire.send(TOOK)
    assert ids(await wire.message()) == [2, 3]
    await wire.send(TOOK)
    books.note(6)
    assert books.dropped == 2
    assert sum("gets no records" in line for line in lines(caplog)) == 1


FAILURES = {
    "closed": b"",
    "500": answer(b"", b"connection: close", status=b"500 Oh"),
    "503": answer(b"", b"connection: close", status=b"503 Oh"),
    "429": answer(b"", b"connection: close", status=b"429 Slow"),
    "nonsense": b"nonsense\r\n\r\n",
    "half": b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx",
    "too much": answer(b"x" * 70_000),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_what_fails_is_tried_again(keep: Keep, upstream: ScriptedUpstream, failure: str) -> None:
    books = keep(upstream.url)
    books.note(1, 2)
    for raw in (FAILURES[failure], FAILURES[failure], FAILURES[failure], TOOK):
        wire, message = await told(upstream, raw)
        wire.sock.shutdown(1)
        assert ids(message) == [1, 2]
    await books.spending.close(5)
    assert books.dropped == 0
    assert upstream.nobody_waits()


async def test_but_not_for_ever(
    keep: Keep, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    books = keep(upstream.url)
    for number in (1, 2):
        books.note(number)
        for _ in range(4):
            wire, _ = await told(upstream, FAILURES["500"])
            await within(wire.gone())
        await until(lambda count=number: books.dropped == count)
    assert upstream.nobody_waits()
    books.note(3)
    wire, _ = await told(upstream)
    books.note(4)
    assert ids(await wire.message()) == [4]
    await wire.send(TOOK)
    await books.spending.close(5)
    assert books.dropped == 2
    assert lines(caplog) == [
        "the webhook for spend gets no records: status 500; they are dropped and counted",
        "the webhook for spend takes records again",
    ]


@pytest.mark.parametrize("status", [b"400 No", b"401 No", b"404 No", b"301 No", b"413 No"])
async def test_what_it_will_never_take_is_dropped_at_once(
    keep: Keep, upstream: ScriptedUpstream, status: bytes
) -> None:
    books = keep(upstream.url)
    books.note(1)
    wire, _ = await told(upstream, answer(b"", status=status))
    await until(lambda: books.dropped == 1)
    books.note(2)
    assert ids(await wire.message()) == [2]
    await wire.send(TOOK)
    await books.spending.close(5)
    assert books.dropped == 1


async def test_a_webhook_that_is_not_there(keep: Keep, caplog: pytest.LogCaptureFixture) -> None:
    books = keep("http://127.0.0.1:1/?token=hidden", token="hidden")
    books.note(1, 2)
    await until(lambda: books.dropped == 2)
    (line,) = lines(caplog)
    assert "cannot connect" in line
    assert "hidden" not in line


async def test_an_answer_that_does_not_come(
    keep: Keep, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spending, "_SECONDS", 0.02)
    books = keep(upstream.url)
    books.note(1)
    for _ in range(4):
        wire = await upstream.accept()
        assert ids(await wire.message()) == [1]
        await within(wire.gone())
    await until(lambda: books.dropped == 1)


async def test_the_pauses_grow(keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def slept(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    books = keep("http://127.0.0.1:1", pause=8.0)
    monkeypatch.setattr(spending.asyncio, "sleep", slept)
    books.note(1)
    async with asyncio.timeout(5):
        while not books.dropped:
            await sleep(0.001)
    first, second, third = (pause for pause in pauses if pause > 1)
    assert 4 <= first <= 8 <= second <= 16 <= third <= 32


async def test_a_fault_of_relay_loses_what_waits_and_nothing_else(
    keep: Keep, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, upstream: ScriptedUpstream
) -> None:
    async def fail(*args: Any, **named: Any) -> None:
        raise ZeroDivisionError

    books = keep(upstream.url)
    with monkeypatch.context() as patched:
        patched.setattr(spending, "ask", fail)
        books.note(1, 2)
        await until(lambda: books.dropped == 2)
    assert "fault of relay" in lines(caplog)[0]
    caplog.clear()  # an error that was meant
    books.note(3)
    assert ids((await told(upstream))[1]) == [3]


# --- the end ------------------------------------------------------------------------------------


async def test_at_the_end_what_waits_is_delivered(keep: Keep, upstream: ScriptedUpstream) -> None:
    books = keep(upstream.url)
    books.note(1)
    wire = await upstream.accept()
    await wire.message()
    books.note(2)
    closing = asyncio.ensure_future(books.spending.close(10))
    await asyncio.sleep(0)
    await wire.send(TOOK)
    assert ids(await wire.message()) == [2]
    assert not closing.done()
    await wire.send(TOOK)
    await within(closing)
    assert books.dropped == 0


async def test_the_end_waits_no_longer_than_it_may(keep: Keep, upstream: ScriptedUpstream) -> None:
    books = keep(upstream.url)
    books.note(1, 2, 3)
    wire = await upstream.accept()
    await within(books.spending.close(0.02))
    assert books.dropped == 3
    await wire.gone()
    assert upstream.nobody_waits()


async def test_the_end_does_not_wait_out_a_pause(keep: Keep) -> None:
    books = keep("http://127.0.0.1:1", pause=1000.0)
    books.note(1)
    await asyncio.sleep(0.02)
    await within(books.spending.close(0.02), 5)
    assert books.dropped == 1


async def test_after_the_end_only_the_log_hears(
    keep: Keep, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    books = keep(upstream.url, log=True)
    await books.spending.close(1)
    books.note(1)
    assert books.dropped == 1
    assert len(lines(caplog, "relay.spend")) == 1
    assert upstream.nobody_waits()
