"""What is said: words that repeat, arguments that fit a schema, limits that cut."""

from __future__ import annotations

import orjson
import pytest

from relay.fake.answer import Tool, answer, asks_for_tool, fragments
from relay.fake.schema import MAX_VALUES, sample
from relay.fake.text import DEFAULT_DELTAS, TEXT, count_words, words


def test_the_default_length_is_the_text_once():
    assert "".join(words(DEFAULT_DELTAS)) == TEXT


@pytest.mark.parametrize("count", [1, 2, DEFAULT_DELTAS, DEFAULT_DELTAS + 1, 3 * DEFAULT_DELTAS + 7])
def test_every_delta_is_one_word(count):
    pieces = words(count)
    assert len(pieces) == count
    assert count_words("".join(pieces)) == count
    assert all(piece.strip() for piece in pieces)


def test_the_text_repeats_as_paragraphs():
    assert "".join(words(2 * DEFAULT_DELTAS)) == f"{TEXT}\n\n{TEXT}"


@pytest.mark.parametrize(
    ("limit", "kept", "cut"), [(None, 5, False), (6, 5, False), (5, 5, False), (4, 4, True), (1, 1, True)]
)
def test_a_limit_cuts_only_what_is_longer(limit, kept, cut):
    given = answer(tool=None, deltas=5, limit=limit, input_tokens=0)
    assert (given.output_tokens, given.cut) == (kept, cut)


@pytest.mark.parametrize(
    ("text", "asks"),
    [("use a tool", True), ("TOOL!", True), ("which Tools?", True), ("toolbox", False), ("", False)],
)
def test_the_word_that_asks_for_a_tool(text, asks):
    assert asks_for_tool(text) is asks


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "object", "properties": {"city": {"type": "string"}}}, {"city": "sample"}),
        (
            {"properties": {"a": {"type": "integer"}, "b": {"type": "boolean"}}, "required": ["b"]},
            {"b": True},
        ),
        ({"properties": {"unit": {"type": "string", "enum": ["C", "F"]}}}, {"unit": "C"}),
        ({"properties": {"n": {"type": "integer", "minimum": 3}}}, {"n": 3}),
        ({"properties": {"x": {"type": ["number", "null"]}}}, {"x": 1.5}),
        (
            {
                "properties": {
                    "all": {"type": "array", "items": {"type": "string"}},
                    "none": {"type": "array"},
                }
            },
            {"all": ["sample"], "none": []},
        ),
        ({"properties": {"p": {"anyOf": [{"type": "null"}, {"type": "string"}]}}}, {"p": None}),
        (
            {
                "properties": {"at": {"$ref": "#/$defs/place"}},
                "$defs": {"place": {"properties": {"lat": {"const": 7}}}},
            },
            {"at": {"lat": 7}},
        ),
        (
            {"properties": {"odd": 5, "p": {"$ref": "elsewhere"}, "q": {"type": {}}}},
            dict.fromkeys("pq") | {"odd": None},
        ),
        ({"properties": [], "required": 3}, {}),
        ({"type": "string"}, {}),
        (None, {}),
        ([], {}),
    ],
)
def test_arguments_fit_the_schema(schema, value):
    assert sample(schema) == value


def test_a_schema_that_contains_itself_ends():
    node = {"type": "object", "properties": {name: {"$ref": "#/$defs/node"} for name in "abcdefgh"}}
    found = orjson.dumps(sample({**node, "$defs": {"node": node}}))
    assert 8 <= found.count(b":") <= MAX_VALUES


@pytest.mark.parametrize(
    "schema", [None, {"properties": {"city": {"type": "string"}}}, {"properties": {"ü": {"const": "€" * 40}}}]
)
def test_arguments_come_in_several_pieces(schema):
    pieces = fragments(Tool("f", schema))
    assert 2 <= len(pieces) <= 10
    assert orjson.loads("".join(pieces)) == sample(schema)
