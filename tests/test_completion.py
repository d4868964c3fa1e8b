"""What a completion's request asks for, whatever its body is."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.completion import Completion, ask_usage

DIALECTS = ("chat", "messages", "responses")
NOTHING = [b"", b"{", b"null", b"[]", b'"stream"', b"7", b"\xff\xfe", b'[{"stream":true}]', b"{" * 5000]


def read(dialect: str = "chat", **members: Any) -> Completion:
    return Completion.read(dialect, orjson.dumps(members))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("body", NOTHING)
def test_a_body_that_is_no_json_object_asks_for_nothing(dialect: str, body: bytes) -> None:
    assert Completion.read(dialect, body) == Completion(dialect)


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_a_body_is_read_from_whatever_holds_it(kind: type[bytes]) -> None:
    assert Completion.read("chat", kind(b'{"stream": true}')).stream


@pytest.mark.parametrize(
    ("value", "stream"),
    [(True, True), (False, False), (None, False), ("true", False), (1, False), ([True], False)],
)
def test_only_true_asks_for_a_stream(value: object, stream: bool) -> None:
    assert read(stream=value).stream is stream


def test_a_request_without_the_key_asks_for_no_stream() -> None:
    assert not read(messages=[]).stream


@pytest.mark.parametrize(("value", "model"), [("gpt-4o", "gpt-4o"), ("", ""), (None, None), (7, None)])
def test_the_model_is_a_name_or_unknown(value: object, model: str | None) -> None:
    assert read(model=value).model == model
    assert read().model is None


@pytest.mark.parametrize(
    ("dialect", "options", "asked"),
    [
        ("chat", {"include_usage": True}, True),
        ("chat", {"include_usage": False}, False),
        ("chat", {"include_usage": "true"}, False),
        ("chat", {}, False),
        ("chat", None, False),
        ("chat", [True], False),
        ("messages", None, True),
        ("responses", {"include_obfuscation": False}, True),
    ],
)
def test_usage_comes_by_itself_everywhere_but_in_chat(dialect: str, options: object, asked: bool) -> None:
    assert read(dialect, stream_options=options).usage_asked is asked


@pytest.mark.parametrize(
    ("choice", "named"),
    [
        ({"type": "function", "function": {"name": "f"}}, True),
        ({"type": "tool", "name": "f"}, True),
        ("auto", False),
        ("required", False),
        (None, False),
    ],
)
def test_a_named_tool_is_an_object(choice: object, named: bool) -> None:
    assert read(tool_choice=choice).named_tool is named


@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize("asked", [False, True])
def test_the_checker_is_told_of_usage_that_relay_added(asked: bool, added: bool) -> None:
    completion = read(model="m", stream_options={"include_usage": asked}, tool_choice={})
    context = completion.context("x1", 17, usage_added=added)
    assert (context.ident, context.created, context.model, context.named_tool) == ("x1", 17, "m", True)
    assert context.usage_asked is (asked or added)
    assert context.usage_added is added


# --- ask_usage ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "asking"),
    [
        (b'{"model":"m"}', b'{"stream_options":{"include_usage":true},"model":"m"}'),
        (b"{}", b'{"stream_options":{"include_usage":true}}'),
        (
            b'{"a": 1.0, "stream_options": null, "b": "\\u00e9"}',
            b'{"a": 1.0, "stream_options": {"include_usage":true}, "b": "\\u00e9"}',
        ),
        (
            b'{"stream_options":{"include_usage":false}}',
            b'{"stream_options":{"include_usage":true} }',
        ),
        (
            b'{"stream_options":{"x":[1]},"z":1}',
            b'{"stream_options":{"x":[1],"include_usage":true},"z":1}',
        ),
    ],
)
def test_usage_is_asked_for_and_nothing_else_is_changed(body: bytes, asking: bytes) -> None:
    before = bytearray(body)
    assert ask_usage(before) == asking
    assert before == body, "the document itself stays: it may be sent as it came"


KEYS = st.sampled_from(["stream_options", "include_usage", "model", "messages", 'a"b', "é"]) | st.text(
    max_size=4
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text('ab"\\{}é', max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(KEYS, VALUES, max_size=4), st.booleans(), st.sampled_from([None, 2]))
def test_every_request_can_ask_for_usage(
    document: dict[str, Any], ascii_only: bool, indent: int | None
) -> None:
    body = bytearray(json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode())
    options = document.get("stream_options")
    expected = document | {
        "stream_options": (options if isinstance(options, dict) else {}) | {"include_usage": True}
    }
    asking = ask_usage(body)
    assert json.loads(asking) == expected
    assert Completion.read("chat", asking).usage_asked


def test_the_last_of_two_equal_keys_counts_as_for_every_parser() -> None:
    body = bytearray(b'{"stream_options":{"a":1},"stream_options":null}')
    assert Completion.read("chat", ask_usage(body)).usage_asked
