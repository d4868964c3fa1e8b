"""A request of too many objects and lists is refused before it is read, whatever its texts look like."""

from __future__ import annotations

import json
import time
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay import dialects
from relay.dialects.reading import objects_in
from relay.dialects.request import Profile
from relay.errors import BadDocument
from relay.translation import Translation, document_of, refusing
from tests.translated import NAMES, PAIRS, REQUESTS

Json = dict[str, Any]
CODECS = dialects.CODECS


def opened(value: object) -> int:
    """Objects and lists in it, by walking."""
    if isinstance(value, dict):
        return 1 + sum(map(opened, value.values()))
    return 1 + sum(map(opened, value)) if isinstance(value, list) else 0


def translate(client: str, upstream: str, body: bytes, objects: int = 0) -> Translation:
    return Translation(CODECS[client], CODECS[upstream], body, Profile(), objects=objects)


# --- counting -----------------------------------------------------------------------------------

ODD = st.text(alphabet='{}[]"\\ne,:', max_size=8) | st.text(max_size=4)
VALUES = st.recursive(
    ODD | st.integers(-9, 9) | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(ODD, inner, max_size=4),
    max_leaves=25,
)


@given(VALUES, st.integers(0, 12), st.booleans(), st.sampled_from([None, 1]))
def test_the_count_is_above_the_limit_where_there_are_more_and_only_there(
    value: object, most: int, ascii_only: bool, indent: int | None
) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")
    found, true = objects_in(body, most), opened(value)
    assert (found > most) is (true > most)
    assert found >= min(true, most)
    assert objects_in(bytearray(body), most) == found


@given(st.binary(max_size=60) | st.text(alphabet='{["\\', max_size=60).map(str.encode), st.integers(0, 9))
def test_what_is_no_json_is_counted_somehow(body: bytes, most: int) -> None:
    assert objects_in(body, most) >= 0


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (b"", 0),
        (b"{}", 1),
        (rb'{"a": "{[\"{[\\"}', 1),
        (rb'{"a": "\\\\", "b": [{}]}', 3),
        (rb'["\"", "{", "\\", {"\"{": "["}]', 2),
        (b'["","{","",["{{"],"[",""]', 2),
        (b'{"a\\n": "{\\n", "b": []}', 2),
    ],
)
def test_strings_do_not_count(body: bytes, count: int) -> None:
    assert objects_in(body, 1) == count or (count > 1 and objects_in(body, 1) > 1)
    assert objects_in(body, 1000) == body.count(b"{") + body.count(b"["), "few braces need no look at strings"


# --- refusing -----------------------------------------------------------------------------------


def long_request(client: str, messages: int) -> Json:
    """A conversation of so many messages, one object each."""
    turns = [{"role": "user", "content": "hi"}] * messages
    return {**REQUESTS[client], ("input" if client == "responses" else "messages"): turns}


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_a_request_of_too_many_objects_is_refused_in_the_clients_dialect(client: str, upstream: str) -> None:
    request = long_request(client, 100)
    body, count = json.dumps(request).encode(), opened(request)
    assert translate(client, upstream, body, count).body
    assert translate(client, upstream, body).body
    with pytest.raises(BadDocument) as refused:
        translate(client, upstream, body, count - 1)
    assert refused.value.status == 413
    document = json.loads(refused.value.body or b"")
    assert "request_too_large" in (document["error"]["type"], document["error"].get("code"))
    assert f"more than {count - 1} JSON objects" in document["error"]["message"]
    assert (document.get("type") == "error") is (client == "messages")


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_a_long_text_full_of_braces_is_none_of_that(client: str, upstream: str) -> None:
    text = 'x = {"a": [{}]}; // \\" \\\\ \n' * 5000
    turns = [{"role": "user", "content": text}]
    body = json.dumps(
        {**REQUESTS[client], ("input" if client == "responses" else "messages"): turns}
    ).encode()
    assert body.count(b"{") > 5000
    assert json.dumps(text).encode() in translate(client, upstream, body, 100).body.replace(b'","', b'", "')


@pytest.mark.parametrize("client", NAMES)
def test_other_bad_requests_keep_their_status(client: str) -> None:
    for body in (b"", b"{", b"[]", b'{"model": 1}'):
        with pytest.raises(BadDocument) as refused:
            translate(client, next(name for name in NAMES if name != client), body, 10)
        assert refused.value.status == 400


def test_a_document_that_is_only_counted_is_bounded_too() -> None:
    body = json.dumps(long_request("messages", 50)).encode()
    with pytest.raises(BadDocument) as refused, refusing(CODECS["messages"]):
        document_of(body, 20)
    assert refused.value.status == 413
    assert document_of(body) == document_of(body, 1000)


@pytest.mark.parametrize("depth", [300, 1000, 1024, 1025, 100_000])
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_a_request_nested_too_deeply_is_a_bad_request(client: str, upstream: str, depth: int) -> None:
    """The parser stops at 1,024 levels, the writer at 254; nothing between them recurses further."""
    deep = b'{"type":"object","properties":{"a":' + b"[" * depth + b"]" * depth + b"}}"
    tool = {"name": "f", "parameters": "@", "input_schema": "@"}
    tools = [{"type": "function", "function": tool} if client == "chat" else {**tool, "type": "function"}]
    if client == "messages":
        tools = [{"name": "f", "input_schema": "@"}]
    body = json.dumps({**REQUESTS[client], "tools": tools}).encode().replace(b'"@"', deep)
    with pytest.raises(BadDocument) as refused:
        translate(client, upstream, body)
    assert refused.value.status == 400


# --- time ---------------------------------------------------------------------------------------

MIB = 1 << 20
HOSTILE = {
    "many items": b'{"model":"m","messages":['
    + b'{"role":"user","content":"xxxxxxxxxxxxxxxx"},' * 330_000
    + b"1]}",
    "many lists": b"[" * 15 * MIB,
    "strings of a brace": b"[" + b'"{",' * (15 * MIB // 4) + b"1]",
    "strings and lists": b"[" + b'"{",[],' * (15 * MIB // 7) + b"1]",
    "escaped quotes": b'["' + b'\\"{' * (5 * MIB) + b'"]',
    "backslashes": b'["' + b"\\\\{" * (5 * MIB) + b'"]',
    "one string of braces": b'{"a":"' + b"{" * 15 * MIB + b'"}',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_counting_takes_a_moment_whatever_comes(name: str) -> None:
    """15 MiB that took 5 s to read; 0.03 to 0.2 s here, and a generous bound for a busy machine."""
    begin = time.thread_time()
    objects_in(HOSTILE[name], 100_000)
    assert time.thread_time() - begin < 1.5


def test_a_request_of_300_000_items_is_refused_in_a_moment() -> None:
    begin = time.thread_time()
    with pytest.raises(BadDocument):
        translate("chat", "messages", HOSTILE["many items"], 100_000)
    assert time.thread_time() - begin < 1.5
    assert len(orjson.loads(HOSTILE["many items"])["messages"]) == 330_001
