"""A completion's request body: collected whole, bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import BodyTooLarge, FramingError
from relay.net.document import Document
from relay.wire.framing import ChunkedEncoder
from relay.wire.http1 import Inbound, RequestHead
from tests.cuts import SIZES, every_way, placed, split
from tests.net.kit import within

LIMIT = 1000
NEXT = b"POST /next HTTP/1.1\r\n"


def head(*fields: bytes) -> RequestHead:
    lines = b"".join(field + b"\r\n" for field in (b"Host: h", *fields))
    return Inbound().receive_request(b"POST /v1/messages HTTP/1.1\r\n" + lines + b"\r\n")


def sized(length: int) -> RequestHead:
    return head(b"Content-Length: %d" % length)


CHUNKED = b"Transfer-Encoding: chunked"


def chunks(body: bytes, sizes: list[int]) -> bytes:
    encoder = ChunkedEncoder()
    return b"".join(
        [*(part for piece in split(body, sizes) for part in encoder.encode([piece])), *encoder.end(())]
    )


def fed(document: Document, pieces: list[bytes]) -> bytes:
    """Give it these reads; what it left unread."""
    rest = b""
    for piece in pieces:
        if not document.wants:
            rest += piece
            continue
        data, start, end = placed(piece)
        stop = document.receive(data, memoryview(data), start, end)
        assert start <= stop <= end
        rest += data[stop:end]
    return rest


Fresh = Callable[[RequestHead], Document]


@pytest.fixture
def fresh() -> Iterator[Fresh]:
    """Documents whose loop is never run: they need it for a future only."""
    loop = asyncio.SelectorEventLoop()
    yield lambda request: Document(request, LIMIT, loop)
    loop.close()


# --- collecting ---------------------------------------------------------------------------------


def test_a_body_is_collected_at_every_cut_and_what_follows_is_left_unread(fresh: Fresh) -> None:
    body = b'{"model":"m","stream":true}'
    for request, wire in ((sized(len(body)), body), (head(CHUNKED), chunks(body, [5]))):
        for pieces in every_way(wire + NEXT):
            document = fresh(request)
            assert not document.complete
            assert fed(document, pieces) == NEXT
            assert document.body == body
            assert document.complete
            assert not document.wants


@given(st.binary(max_size=200), SIZES, SIZES)
def test_any_chunked_body_loses_its_framing(body: bytes, chunk_sizes: list[int], cuts: list[int]) -> None:
    loop = asyncio.SelectorEventLoop()
    try:
        document = Document(head(CHUNKED), LIMIT, loop)
        fed(document, split(chunks(body, chunk_sizes), cuts))
        assert (document.body, document.complete) == (body, True)
    finally:
        loop.close()


def test_bytes_of_the_read_buffer_are_copied(fresh: Fresh) -> None:
    document, buffer = fresh(sized(4)), bytearray(b"abcd")
    document.receive(buffer, memoryview(buffer), 0, 4)
    buffer[:] = b"xxxx"
    assert document.body == b"abcd"


@pytest.mark.parametrize("fields", [[], [b"Content-Length: 0"]])
async def test_a_request_without_a_body_is_whole_at_once(fields: list[bytes]) -> None:
    document = Document(head(*fields), LIMIT, asyncio.get_running_loop())
    assert document.complete
    await within(document.whole())
    assert document.body == b""


async def test_who_waits_is_woken_by_the_last_byte() -> None:
    document = Document(sized(3), LIMIT, asyncio.get_running_loop())
    waiting = asyncio.ensure_future(document.whole())
    for byte in (b"a", b"b"):
        fed(document, [byte])
        await asyncio.sleep(0)
        assert not waiting.done()
    fed(document, [b"c"])
    await within(waiting)


async def test_a_body_may_be_finished_after_nobody_waits_any_more() -> None:
    document = Document(sized(3), LIMIT, asyncio.get_running_loop())
    waiting = asyncio.ensure_future(document.whole())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    fed(document, [b"abc"])
    assert document.complete


# --- limits -------------------------------------------------------------------------------------


def test_a_length_above_the_limit_is_refused_before_a_byte_is_read(fresh: Fresh) -> None:
    fresh(sized(LIMIT))
    with pytest.raises(BodyTooLarge, match=f"above {LIMIT} bytes"):
        fresh(sized(LIMIT + 1))


@pytest.mark.parametrize("step", [1, 7, 600])
def test_a_chunked_body_is_refused_as_soon_as_it_is_above_the_limit(step: int, fresh: Fresh) -> None:
    document = fresh(head(CHUNKED))
    fed(document, split(chunks(b"x" * LIMIT, [100]), [step]))
    assert len(document.body) == LIMIT
    document = fresh(head(CHUNKED))
    with pytest.raises(BodyTooLarge):
        fed(document, split(chunks(b"x" * (LIMIT + 1), [100]), [step]))
    assert not document.complete or len(document.body) > LIMIT


def test_broken_framing_is_an_error(fresh: Fresh) -> None:
    with pytest.raises(FramingError):
        fed(fresh(head(CHUNKED)), [b"xyz\r\n"])


# --- afterwards ---------------------------------------------------------------------------------


def test_the_body_is_let_go_once_the_response_is_committed(fresh: Fresh) -> None:
    document = fresh(sized(4))
    fed(document, [b"body"])
    document.forget()
    assert document.body == b""
    assert document.complete
