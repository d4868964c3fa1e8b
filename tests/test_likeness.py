"""Frames that differ in their text only: told without a parser, and never told wrongly."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.likeness import Likeness

BEFORE, AFTER = b'data: {"id":"1","choices":[{"delta":{"content":"', b'","tool_calls":[]}}],"x":"y"}\n\n'


def frame(text: str, *, ascii_only: bool = True) -> bytes:
    return BEFORE + json.dumps(text, ensure_ascii=ascii_only)[1:-1].encode("utf-8", "surrogatepass") + AFTER


def learned(text: str = "Hello") -> Likeness:
    likeness = Likeness()
    raw = frame(text, ascii_only=False)
    likeness.learn(raw, 0, len(raw), text)
    return likeness


def size(likeness: Likeness, raw: bytes) -> int:
    return likeness.size(raw, 0, len(raw))


@pytest.mark.parametrize(
    "text", ["a", " world", 'say "hi"', "line\nline", "é", "漢字", "😀", "\\", "\\n", "\x7f"]
)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_another_text_is_told_with_its_characters(text: str, ascii_only: bool) -> None:
    likeness, raw = learned(), frame(text, ascii_only=ascii_only)
    assert size(likeness, raw) == len(text)
    spelled = likeness.text(memoryview(raw), 0, len(raw))
    assert json.loads(b'"' + spelled + b'"') == text


def test_text_that_is_not_ascii_is_learned_from() -> None:
    assert size(learned("漢字"), frame("次")) == 1


@pytest.mark.parametrize(
    "inside",
    [
        b"",
        b'"',
        b"\\",
        b'a","b":"c',
        b"a\nb",
        b"\xff",
        b"\xc3",
        b"\\u12",
        b"\\ud800",
        b"\\x",
        b"\x00",
        b'a"}}\n\ndata: {"b',
    ],
)
def test_what_is_not_the_inside_of_one_string_is_left_to_the_parser(inside: bytes) -> None:
    assert size(learned(), BEFORE + inside + AFTER) == 0


def test_another_frame_is_not_like_it() -> None:
    likeness = learned()
    assert size(likeness, frame("a").replace(b'"id":"1"', b'"id":"2"')) == 0
    assert size(likeness, frame("a")[:-1]) == 0
    assert size(likeness, BEFORE[:-3] + AFTER) == 0
    likeness.forget()
    assert size(likeness, frame("a")) == 0


def test_a_text_that_stands_twice_teaches_nothing() -> None:
    raw = frame("1")
    likeness = Likeness()
    likeness.learn(raw, 0, len(raw), "1")
    assert size(likeness, frame("2")) == 0


def test_a_frame_with_escapes_teaches_nothing() -> None:
    raw = frame("a\n")
    likeness = Likeness()
    likeness.learn(raw, 0, len(raw), "a\n")
    assert size(likeness, frame("b")) == 0


def walk(value: Any) -> Any:
    """The payload without its text."""
    value["choices"][0]["delta"].pop("content")
    return value


@given(st.binary(max_size=30) | st.text(max_size=12).map(lambda t: json.dumps(t)[1:-1].encode()))
def test_what_is_told_is_what_a_parser_says(inside: bytes) -> None:
    raw = BEFORE + inside + AFTER
    told = size(learned(), raw)
    try:
        payload = orjson.loads(raw[6:-2])
    except orjson.JSONDecodeError:
        assert told == 0
        return
    if told:
        assert b"\n" not in raw[:-2]
        assert len(payload["choices"][0]["delta"]["content"]) == told
        assert walk(payload) == walk(orjson.loads(frame("x")[6:-2]))
