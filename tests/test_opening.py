"""A completion's answer without a byte is a failure, as long as its head can still be kept back."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable

import pytest

from relay.checked import CheckedStream
from relay.errors import FramingError, UpstreamClosed, UpstreamRefused
from relay.opening import FilledBody, Machine, open_converted, open_response
from relay.stream import ResponseStream
from relay.wire.forwarding import ResponseForm
from relay.wire.framing import BodyDecoder, ChunkedDecoder, LengthDecoder, Reframer, UntilCloseDecoder
from tests.cuts import every_way, placed
from tests.streams import FRAMINGS, LIMIT, mender_of
from tests.translated import translation


def form(*, framed: bool = False, chunked: bool = False) -> ResponseForm:
    return ResponseForm(
        event_stream=framed,
        retyped=False,
        framed=framed,
        coding=b"",
        chunked=chunked,
        delimited=True,
        held=framed,
    )


def through(machine: Machine, pieces: list[bytes]) -> bytes:
    """All that leaves; the head may come without a byte of the body, and the connection ends at last."""
    out = b""
    for piece in [b"", *pieces]:
        data, start, end = placed(piece)
        out += b"".join(machine.receive(data, memoryview(data), start, end))
        if machine.complete:
            return out
    return out + b"".join(machine.receive_eof())


EMPTY: dict[str, tuple[Callable[[], BodyDecoder], list[bytes]]] = {
    "length": (lambda: LengthDecoder(0), []),
    "until close": (UntilCloseDecoder, []),
    "chunked": (ChunkedDecoder, [b"0\r\n\r\n"]),
    "chunked, in bytes": (ChunkedDecoder, [b"0", b"\r", b"\n", b"\r", b"\n"]),
    "chunked, trailers": (ChunkedDecoder, [b"0\r\nx: y\r\n\r\n"]),
}


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("framing", EMPTY)
def test_an_empty_body_is_a_bad_gateway(framing: str, chunked: bool) -> None:
    decoder, pieces = EMPTY[framing]
    machine = open_response(form(chunked=chunked), decoder(), LIMIT, never_empty=True)
    with pytest.raises(UpstreamClosed, match="the upstream answered with an empty body") as failed:
        through(machine, pieces)
    assert failed.value.status == 502
    assert not failed.value.before, "nothing may leave"


@pytest.mark.parametrize("framing", EMPTY)
def test_elsewhere_an_empty_body_passes(framing: str) -> None:
    decoder, pieces = EMPTY[framing]
    machine = open_response(form(), decoder(), LIMIT)
    assert type(machine) is Reframer
    assert through(machine, pieces) == b""


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("body", [b"{", b"\n", b'{"id": "c", "choices": []}'])
def test_any_byte_makes_it_an_answer_like_any_other(body: bytes, framing: str, chunked: bool) -> None:
    for pieces in every_way(FRAMINGS[framing](body)[1]):
        one = open_response(form(chunked=chunked), FRAMINGS[framing](body)[0], LIMIT, never_empty=True)
        other = open_response(form(chunked=chunked), FRAMINGS[framing](body)[0], LIMIT)
        assert type(one) is FilledBody
        assert through(one, pieces) == through(other, pieces)
        assert one.consumed == other.consumed
        assert one.complete


def test_bytes_behind_the_body_are_not_its_own() -> None:
    machine = open_response(form(), LengthDecoder(2), LIMIT, never_empty=True)
    data = b"{}HTTP/1.1"
    assert b"".join(machine.receive(data, memoryview(data), 0, len(data))) == b"{}"
    assert machine.consumed == 2


def test_a_cut_is_a_cut() -> None:
    with pytest.raises(FramingError, match="5 bytes short"):
        through(open_response(form(), LengthDecoder(5), LIMIT, never_empty=True), [])


def test_a_stream_has_its_own_word_for_it() -> None:
    machine = open_response(
        form(framed=True), UntilCloseDecoder(), LIMIT, mender_of("chat"), never_empty=True
    )
    assert type(machine) is CheckedStream
    with pytest.raises(UpstreamClosed, match="empty event stream"):
        through(machine, [])
    unseen = open_response(form(framed=True), UntilCloseDecoder(), LIMIT)
    assert type(unseen) is ResponseStream


def test_a_stream_is_opened_to_look_ahead() -> None:
    frame = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
    for look_ahead in (True, False):
        mender = mender_of("chat")
        machine = open_response(form(framed=True), UntilCloseDecoder(), LIMIT, mender, look_ahead=look_ahead)
        assert isinstance(machine, CheckedStream)
        machine.receive(frame, memoryview(frame), 0, len(frame))
        assert machine.holding is look_ahead


@pytest.mark.parametrize("framing", EMPTY)
def test_an_empty_answer_that_is_translated_is_a_bad_gateway_too(framing: str) -> None:
    decoder, pieces = EMPTY[framing]
    asked = translation("messages", "chat")
    conversion = asked.conversion(asked.context("t1", 1))
    machine = open_converted(form(), decoder(), conversion, status=200, limit=LIMIT)
    with pytest.raises(UpstreamRefused) as failed:
        through(machine, pieces)
    assert failed.value.status == 502
    assert json.loads(failed.value.body or b"")["type"] == "error"


def test_a_compressed_body_holds_bytes_even_of_nothing() -> None:
    """It is not looked into: what is passed as it came is taken for what it says."""
    body = gzip.compress(b"")
    machine = open_response(form(), LengthDecoder(len(body)), LIMIT, never_empty=True)
    assert through(machine, [body]) == body
