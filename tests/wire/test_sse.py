"""Where frames end: the scanner that skips bytes against a machine that reads every one."""

from __future__ import annotations

import itertools
import re
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire import sse
from relay.wire.sse import FrameScanner
from tests.cuts import SIZES, every_way, placed, split
from tests.wire.event_stream import FrameReader, frame_ends

ALPHABET = [b"\r", b"\n", b"\r\n", b"a"]
LINES = [*ALPHABET, b"data: x", b": comment", b"\x00", b"\xef\xbb\xbf", b"\xc2\x85", b"\x0b", b"\x0c"]
STREAM = st.lists(st.sampled_from(ALPHABET), max_size=30) | st.lists(st.sampled_from(LINES), max_size=20)


def scan(pieces: list[bytes]) -> list[int]:
    """What the scanner says of each piece: an offset into it, or -1."""
    scanner = FrameScanner()
    said = []
    for piece in pieces:
        data, start, end = placed(piece)
        cut = scanner.receive(data, start, end)
        assert cut == -1 or start < cut <= end
        said.append(-1 if cut == -1 else cut - start)
    return said


def read(pieces: list[bytes]) -> list[int]:
    """The same from the machine that reads every byte."""
    reader = FrameReader()
    return [reader.last_frame_end(piece) for piece in pieces]


@pytest.mark.parametrize(
    ("stream", "ends"),
    [
        (b"data: a\n\n", [9]),
        (b"data: a\r\n\r\n", [11]),
        (b"data: a\r\r", [9]),
        (b"data: a\n\r\n", [10]),
        (b"data: a\r\n\n", [10]),
        (b"data: a\r\r\n", [10]),
        (b"data: a\n\r", [9]),
        (b"a\n\nb\n\n", [3, 6]),
        (b"a\n\nb\nc", [3]),
        (b": comment\n\n", [11]),
        (b"\n", [1]),
        (b"\r\n", [2]),
        (b"\r", [1]),
        (b"\n\n\n", [1, 2, 3]),
        (b"\r\n\r\n", [2, 4]),
        (b"\r\r\r", [1, 2, 3]),
        (b"a\n\n\n", [3, 4]),
        (b"a\x0b\x0bb\x85\x85\xe2\x80\xa8\xe2\x80\xa8", []),
        (b"", []),
    ],
)
def test_a_frame_ends_after_its_empty_line(stream: bytes, ends: list[int]) -> None:
    assert frame_ends(stream) == ends
    assert scan([stream]) == [ends[-1] if ends else -1]


@pytest.mark.parametrize("length", range(1, 8))
def test_every_short_stream_in_two_pieces_is_cut_where_the_table_says(length: int) -> None:
    for symbols in itertools.product((b"\r", b"\n", b"a"), repeat=length):
        stream = b"".join(symbols)
        for cut in range(length + 1):
            pieces = [stream[:cut], stream[cut:]]
            assert scan(pieces) == read(pieces), pieces


@pytest.mark.parametrize("length", range(1, 7))
def test_every_short_stream_byte_by_byte_is_cut_where_the_table_says(length: int) -> None:
    for symbols in itertools.product((b"\r", b"\n", b"a"), repeat=length):
        assert scan(list(symbols)) == read(list(symbols)), symbols


@given(STREAM.map(b"".join), SIZES)
def test_the_scanner_agrees_with_the_table_at_every_cut(stream: bytes, sizes: list[int]) -> None:
    pieces = split(stream, sizes)
    assert scan(pieces) == read(pieces)


@given(STREAM)
def test_the_scanner_agrees_with_the_table_when_pieces_are_symbols_and_empty_reads(
    symbols: list[bytes],
) -> None:
    pieces = [piece for symbol in symbols for piece in (symbol, b"")]
    assert scan(pieces) == read(pieces)


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n", b"\r\n\n"])
def test_a_long_stream_of_one_line_end_is_cut_where_the_table_says(end: bytes) -> None:
    stream = b"".join(b"data: %d%b" % (number, end) for number in range(40))
    for pieces in every_way(stream):
        assert scan(pieces) == read(pieces)


@pytest.mark.parametrize("before", [b"", b"a", b"a\r", b"a\n", b"a\r\r", b"a\r\n\r\n"])
@pytest.mark.parametrize("after", [b"\n", b"\r\n", b"\r", b"b", b"b\n", b"b\n\n"])
def test_a_frame_that_was_not_shown_counts_as_ended_at_a_lf(before: bytes, after: bytes) -> None:
    scanner = FrameScanner()
    scanner.receive(before, 0, len(before))
    scanner.frame_ended()
    assert scanner.receive(after, 0, len(after)) == read([b"x\n\n", after])[1]


# --- frame_ends: every frame of a range ---------------------------------------------------------

ENDS = [b"\n", b"\r\n", b"\r"]
LINE = st.sampled_from(
    [
        b"data: x",
        b"data:x",
        b"data:  x",
        b"data: ",
        b"data:",
        b"data",
        b"data: {}",
        b'data: {"a":":\xe2\x80\xa8"}',
        b"event: a",
        b"event:a",
        b"event",
        b"event: a: b",
        b"id: 1",
        b"retry: 9",
        b": comment",
        b":",
        b"",
        b"",
        b"Data: no",
        b" data: no",
        b"data : no",
        b"other: x",
        b"\xff\x00",
        b"data: \x0b\x0c\xc2\x85",
    ]
)
MIXED = st.lists(st.tuples(LINE, st.sampled_from(ENDS)).map(b"".join), max_size=14).map(b"".join)
UNIFORM = st.tuples(st.lists(LINE, max_size=14), st.sampled_from(ENDS)).map(
    lambda parts: b"".join(line + parts[1] for line in parts[0])
)
TEXT = MIXED | UNIFORM


def whole_frames(text: bytes) -> bytes:
    """The text up to the end of its last whole frame."""
    ends = frame_ends(text)
    return text[: ends[-1]] if ends else b""


@given(TEXT.map(whole_frames).filter(bool))
def test_every_frame_of_a_range_ends_where_the_table_says(text: bytes) -> None:
    data, start, end = placed(text)
    assert [at - start for at in sse.frame_ends(data, start, end)] == frame_ends(text)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("other", ENDS)
def test_frames_of_two_line_ends_in_one_range_are_told_apart(end: bytes, other: bytes) -> None:
    text = b"data: 1" + end * 2 + b"data: 2" + other * 2
    assert sse.frame_ends(text, 0, len(text)) == [7 + 2 * len(end), len(text)]


@pytest.mark.parametrize("length", range(1, 8))
def test_every_short_range_is_split_where_the_table_says(length: int) -> None:
    for symbols in itertools.product((b"\r", b"\n", b"a"), repeat=length):
        text = whole_frames(b"".join(symbols))
        if text:
            assert sse.frame_ends(text, 0, len(text)) == frame_ends(text), text


# --- read_fields and payload_at: what a frame says ----------------------------------------------


class Message(NamedTuple):
    """What a browser's EventSource is told by one frame; None in its place is nothing at all."""

    type: bytes
    data: bytes


def standard_reading(frame: bytes) -> Message | None:
    """HTML Standard, "Interpreting an event stream", to the letter."""
    kind = buffer = b""
    for line in frame.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"):
        name, colon, value = line.partition(b":")
        if colon and value[:1] == b" ":
            value = value[1:]
        if name == b"event":
            kind = value
        elif name == b"data":
            buffer += value + b"\n"
    return Message(kind or b"message", buffer[:-1]) if buffer else None


def relays_reading(frame: bytes) -> Message | None:
    data, start, end = placed(frame)
    fields = sse.read_fields(data, start, end)
    return None if fields.data is None else Message(fields.event or b"message", fields.data)


def split_frames(text: bytes) -> list[bytes]:
    ends = frame_ends(text)
    return [text[a:b] for a, b in zip([0, *ends], ends, strict=False)]


@given(TEXT)
def test_a_frame_says_what_the_standard_says(text: bytes) -> None:
    for frame in split_frames(text):
        assert relays_reading(frame) == standard_reading(frame)


@given(TEXT)
def test_the_last_data_line_and_the_lines_of_other_fields_are_found(text: bytes) -> None:
    for frame in split_frames(text):
        data, start, end = placed(frame)
        fields = sse.read_fields(data, start, end)
        lines = [line for line in re.split(rb"\r\n|\r|\n", frame) if line.partition(b":")[0] == b"data"]
        assert fields.pieces == len(lines)
        if lines:
            begin, stop = fields.payload
            assert lines[-1].endswith(data[begin:stop])
            assert data[begin:stop] == standard_reading(lines[-1] + b"\n\n").data  # type: ignore[union-attr]
        others = [re.match(rb"[^:\r\n]*", data[at:end])[0] for at in fields.others]  # type: ignore[index]
        assert set(others) <= {b"id", b"retry"}
        assert len(others) == len(re.findall(rb"(?:^|[\r\n])(?:id|retry)(?=[:\r\n])", frame))


@given(TEXT)
def test_a_usual_form_says_the_same_as_the_long_way(text: bytes) -> None:
    for frame in split_frames(text):
        data, start, end = placed(frame)
        payload, name = sse.payload_at(data, start, end)
        if payload >= 0:
            event = None if name < 0 else data[name : payload - 7]
            fields = sse.read_fields(data, start, end)
            assert (fields.event, fields.data, fields.pieces) == (event, data[payload : end - 2], 1)
            assert fields.payload == (payload, end - 2)


@pytest.mark.parametrize(
    ("frame", "payload", "name"),
    [
        (b"data: {}\n\n", 6, -1),
        (b"data: \n\n", 6, -1),
        (b"data:  {}\n\n", 6, -1),
        (b"event: a\ndata: {}\n\n", 15, 7),
        (b"event: \ndata: {}\n\n", 14, 7),
    ],
)
def test_the_usual_forms_are_known(frame: bytes, payload: int, name: int) -> None:
    data, start, end = placed(frame)
    assert sse.payload_at(data, start, end) == (start + payload, -1 if name < 0 else start + name)


@pytest.mark.parametrize(
    "frame",
    [
        b"\n",
        b": x\n\n",
        b"data:{}\n\n",
        b"data\n\n",
        b"data: {}\r\n\r\n",
        b"data: {}\r\r",
        b"data: {}\r\n\n",
        b"data: {\r}\n\n",
        b"data: {\ndata: }\n\n",
        b"event:a\ndata: {}\n\n",
        b"event: a\r\ndata: {}\n\n",
        b"event: a\n\n",
        b"data: {}\nevent: a\n\n",
        b"event: a\nevent: b\ndata: {}\n\n",
        b"event: a\ndata: {}\nid: 1\n\n",
        b"id: 1\ndata: {}\n\n",
        b"\ndata: {}\n\n",
        b"\xef\xbb\xbfdata: {}\n\n",
        b"data: {}\n",
        b"event: a\ndata: {}\n",
    ],
)
def test_every_other_form_takes_the_long_way(frame: bytes) -> None:
    data, start, end = placed(frame)
    assert sse.payload_at(data, start, end) == (-1, -1)


# --- silence ------------------------------------------------------------------------------------


@given(TEXT.map(whole_frames))
def test_a_silenced_frame_is_comments_of_the_same_length(text: bytes) -> None:
    for frame in split_frames(text):
        silenced = bytearray(frame)
        sse.silence(memoryview(silenced) if len(frame) % 2 else silenced)
        assert standard_reading(bytes(silenced)) is None
        assert sse.read_fields(silenced, 0, len(silenced)).others == ()
        assert frame_ends(bytes(silenced)) == frame_ends(frame)
        assert len(silenced) == len(frame)


def test_only_the_first_byte_of_each_line_is_overwritten() -> None:
    frame = bytearray(b"event: ping\r\ndata: {}\n: c\rx\n\n")
    sse.silence(frame)
    assert frame == b":vent: ping\r\n:ata: {}\n: c\r:\n\n"


# --- write_frame and rename ---------------------------------------------------------------------

NAMES = st.sampled_from(["a", "ping", "content_part.added", "response.reasoning_part.added", "x y"])


@given(st.none() | NAMES, st.sampled_from([b"{}", b"[DONE]", b'{"a":"\\n"}']))
def test_a_written_frame_is_in_a_usual_form_and_says_what_was_asked(
    event: str | None, payload: bytes
) -> None:
    frame = sse.write_frame(event, payload)
    assert standard_reading(frame) == Message((event or "message").encode(), payload)
    assert sse.payload_at(frame, 0, len(frame))[0] >= 0
    assert frame_ends(frame) == [len(frame)]


@given(st.none() | NAMES, st.none() | NAMES)
def test_a_renamed_frame_has_the_new_name_and_the_same_payload(old: str | None, new: str | None) -> None:
    before = sse.write_frame(old, b'{"a":1}')
    frame = bytearray(before)
    payload, name = sse.payload_at(frame, 0, len(frame))
    sse.rename(frame, new, name, payload)
    assert standard_reading(bytes(frame)) == Message((new or "message").encode(), b'{"a":1}')
    assert frame_ends(bytes(frame)) == [len(frame)]
    if old is not None and new is not None and len(new) in (len(old), *range(len(old) - 1)):
        assert len(frame) == len(before), "the name has room: nothing moves"
    if new is None:
        assert frame == b'data: {"a":1}\n\n'


@pytest.mark.parametrize(
    ("old", "new", "after"),
    [
        ("reasoning_part.added", "content_part.added", b"event: content_part.added\n:\ndata: {}\n\n"),
        ("abcdef", "abc", b"event: abc\n: \ndata: {}\n\n"),
        ("abc", "xyz", b"event: xyz\ndata: {}\n\n"),
        ("abcd", "abc", b"event: abc\ndata: {}\n\n"),
        ("ab", "abcd", b"event: abcd\ndata: {}\n\n"),
        (None, "ab", b"event: ab\ndata: {}\n\n"),
        ("ab", None, b"data: {}\n\n"),
        (None, None, b"data: {}\n\n"),
    ],
)
def test_a_shorter_name_leaves_an_empty_comment(old: str | None, new: str | None, after: bytes) -> None:
    frame = bytearray(sse.write_frame(old, b"{}"))
    payload, name = sse.payload_at(frame, 0, len(frame))
    sse.rename(frame, new, name, payload)
    assert frame == after


@pytest.mark.parametrize("name", ["a\nb", "a\r\n\r\ndata: evil", "\n\n", "\ud83d"])
def test_a_name_from_json_stays_in_its_line(name: str) -> None:
    renamed = bytearray(sse.write_frame("long enough for the shorter name", b"{}"))
    payload, at = sse.payload_at(renamed, 0, len(renamed))
    sse.rename(renamed, name, at, payload)
    for frame in (bytes(renamed), sse.write_frame(name, b"{}")):
        assert frame_ends(frame) == [len(frame)]
        assert getattr(standard_reading(frame), "data", None) == b"{}"


# --- frames that are parted by one line end -----------------------------------------------------


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        (b'data: {"a":1}\ndata: ', True),
        (b'data:{"a":1}\ndata:{"a', True),
        (b"data: [DONE]\ndata: x", True),
        (b': hello\ndata: {"a":1}\ndata: {', True),
        (b'event: e\ndata: {"a":1}\ndata: {', True),
        # One document spread over lines.
        (b'data: {\ndata: "a":1}\n', False),
        (b"data: {\ndata: }\ndata: {}\ndata: {}", False),
        (b'data: {"a":\ndata: {}\ndata: }', False),
        (b"data: 1\ndata: 2", False),
        (b"data: [1]\ndata: 2", False),
        (b"data: \ndata: {}", False),
        # One data line only, or none.
        (b'data: {"a":1}\n', False),
        (b'data: {"a":1}\nevent: e\n', False),
        (b'data: {"a":1}\nid: 1\ndata: {}', False),
        (b"event: e\ndata: {}\n", False),
        (b': {"a":1}\n: {}\n', False),
        (b"", False),
    ],
)
def test_frames_without_an_empty_line_are_known_by_a_first_line_that_is_whole(
    text: bytes, whole: bool
) -> None:
    assert sse.first_line_is_whole(bytearray(text)) is whole
