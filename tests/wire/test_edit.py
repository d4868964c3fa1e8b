"""Values changed inside JSON text: the document means what it should, and no other byte has moved."""

from __future__ import annotations

import contextlib
import copy
import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from relay.wire.edit import NotFound, Path, dumps, remove, set_value

LIMIT = 16 * 1024 * 1024
"""The largest frame that relay takes."""


def after_set(text: bytes, path: Path, value: object) -> bytes:
    buffer = bytearray(text)
    set_value(buffer, path, value)
    return bytes(buffer)


def after_remove(text: bytes, path: Path) -> bytes:
    buffer = bytearray(text)
    remove(buffer, path)
    return bytes(buffer)


# --- set_value: at the same length --------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "path", "value", "after"),
    [
        # The patches that were tried with every client (reference: repairs, techniques).
        (b'{"index":-1,"x":1}', ["index"], 0, b'{"index": 0,"x":1}'),
        (b'{"index":-1}', ["index"], 3, b'{"index": 3}'),
        (b'{"text":null}', ["text"], "", b'{"text":""  }'),
        (b'{"choices":null,"a":1}', ["choices"], [], b'{"choices":[]  ,"a":1}'),
        (b'{"delta":null}', ["delta"], {}, b'{"delta":{}  }'),
        (b'{"input":""}', ["input"], {}, b'{"input":{}}'),
        (b'{"d":[{"x":[1,"]"]}],"b":2}', ["d"], [], b'{"d":[]             ,"b":2}'),
        (b'{"p":{"q":NaN}}', ["p"], None, b'{"p":null     }'),
        (b'{"r":"end_turn"}', ["r"], "tool_use", b'{"r":"tool_use"}'),
        (b'{"id":"chatcmpl-long"}', ["id"], "short", b'{"id":"short"        }'),
        (b'{"i":2}', ["i"], 1, b'{"i":1}'),
        (
            b'{"type":"reasoning_part.added"}',
            ["type"],
            "content_part.added",
            b'{"type":"content_part.added"  }',
        ),
        # A number that got longer or shorter ends where the old one ended.
        (b'{"i":12}', ["i"], 1, b'{"i": 1}'),
        (b'{"i":1.5e3}', ["i"], -2, b'{"i":   -2}'),
        (b'{"i":true}', ["i"], 1, b'{"i":1   }'),
    ],
)
def test_a_value_that_fits_takes_the_place_of_the_old_one(
    text: bytes, path: Path, value: object, after: bytes
) -> None:
    assert after_set(text, path, value) == after
    assert len(after) == len(text)


def test_the_buffer_itself_is_changed() -> None:
    buffer = bytearray(b'{"a":null}')
    view = memoryview(buffer)  # a buffer that others look at cannot be resized
    set_value(buffer, ["a"], "")
    remove(buffer, ["a"])
    assert view.tobytes() == b"{        }"


# --- set_value: longer, and added ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "path", "value", "after"),
    [
        (b'{"id":"a","x":1}', ["id"], "longer", b'{"id":"longer","x":1}'),
        (b'{"i":1}', ["i"], 10, b'{"i":10}'),
        (b'{"a":{},"b":[]}', ["a"], {"k": [1, 2]}, b'{"a":{"k":[1,2]},"b":[]}'),
        (b'{"a":"\\"}"}', ["a"], "0123456789", b'{"a":"0123456789"}'),
    ],
)
def test_a_longer_value_moves_what_follows(text: bytes, path: Path, value: object, after: bytes) -> None:
    assert after_set(text, path, value) == after


@pytest.mark.parametrize(
    ("text", "path", "after"),
    [
        (b"{}", ["k"], b'{"k":1}'),
        (b"{ \n}", ["k"], b'{"k":1 \n}'),
        (b'{"a":2}', ["k"], b'{"k":1,"a":2}'),
        (b'{ "a" : 2 }', ["k"], b'{"k":1, "a" : 2 }'),
        (b'{"a":{}}', ["a", "k"], b'{"a":{"k":1}}'),
        (b'{"a":[{},{"b":2}]}', ["a", 1, "k"], b'{"a":[{},{"k":1,"b":2}]}'),
    ],
)
def test_a_missing_member_is_added_as_the_first_of_its_object(text: bytes, path: Path, after: bytes) -> None:
    assert after_set(text, path, 1) == after


# --- remove -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "path", "after"),
    [
        (b'{"a":1,"b":2,"c":3}', ["a"], b'{      "b":2,"c":3}'),
        (b'{"a":1,"b":2,"c":3}', ["b"], b'{"a":1,      "c":3}'),
        (b'{"a":1,"b":2,"c":3}', ["c"], b'{"a":1,"b":2      }'),
        (b'{"a":1}', ["a"], b"{     }"),
        (b'{ "a" : 1 , "b" : 2 }', ["a"], b'{           "b" : 2 }'),
        (b'{ "a" : 1 , "b" : 2 }', ["b"], b'{ "a" : 1           }'),
        (b'{"t":[{"id":"x","type":null}]}', ["t", 0, "type"], b'{"t":[{"id":"x"            }]}'),
        (b'{"l":[1,2,3]}', ["l", 0], b'{"l":[  2,3]}'),
        (b'{"l":[1,2,3]}', ["l", 1], b'{"l":[1,  3]}'),
        (b'{"l":[1,2,3]}', ["l", 2], b'{"l":[1,2  ]}'),
        (b'{"l":[[]]}', ["l", 0], b'{"l":[  ]}'),
    ],
)
def test_a_removed_member_leaves_blanks_and_takes_its_comma(text: bytes, path: Path, after: bytes) -> None:
    assert after_remove(text, path) == after


def test_all_members_can_be_removed_one_after_another_in_any_order() -> None:
    for order in ("abc", "acb", "bac", "bca", "cab", "cba"):
        buffer = bytearray(b'{"a":1 , "b":[2] ,"c":"3"}')
        for key in order:
            remove(buffer, [key])
            json.loads(buffer)
        assert json.loads(buffer) == {}


def test_a_key_that_is_there_twice_is_gone_after_it_was_removed() -> None:
    assert json.loads(after_remove(b'{"a":1,"b":2,"a":3}', ["a"])) == {"b": 2}


# --- the right place ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "path", "after"),
    [
        # The same key deeper, before and after.
        (b'{"d":{"index":5},"index":7}', ["index"], b'{"d":{"index":5},"index":9}'),
        (b'{"index":7,"d":{"index":5}}', ["d", "index"], b'{"index":7,"d":{"index":9}}'),
        (b'{"l":[{"index":1},{"index":2}]}', ["l", 1, "index"], b'{"l":[{"index":1},{"index":9}]}'),
        (b'{"l":[["index"],"index",{"index":2}],"index":1}', ["index"],
         b'{"l":[["index"],"index",{"index":2}],"index":9}'),
        # The same key as a value, and in strings.
        (b'{"k":"index","index":1}', ["index"], b'{"k":"index","index":9}'),
        (b'{"k":"\\"index\\":4","index":1}', ["index"], b'{"k":"\\"index\\":4","index":9}'),
        (b'{"k":"\\\\","index":1}', ["index"], b'{"k":"\\\\","index":9}'),
        (b'{"k":"\\\\\\"","index":1}', ["index"], b'{"k":"\\\\\\"","index":9}'),
        (b'{"k":"}","j":"{[","index":1}', ["index"], b'{"k":"}","j":"{[","index":9}'),
        (b'{"o":{"k":"}\\"]"},"index":1}', ["index"], b'{"o":{"k":"}\\"]"},"index":9}'),
        # Keys that only begin or end alike.
        (b'{"index2":1,"xindex":2,"index":3}', ["index"], b'{"index2":1,"xindex":2,"index":9}'),
        (b'{"output_index":1,"index":3}', ["index"], b'{"output_index":1,"index":9}'),
        # White space and order.
        (b'{"type":"x", "index": 1}', ["index"], b'{"type":"x", "index": 9}'),
        (b' \r\n{\t"index"\n:\t1\r}', ["index"], b' \r\n{\t"index"\n:\t9\r}'),
        (b'{ "a" : [ 1 , { "index" : 1 } ] }', ["a", 1, "index"], b'{ "a" : [ 1 , { "index" : 9 } ] }'),
        # A key may be written with escapes, and twice: then parsers take the last.
        (b'{"\\u0069ndex":1}', ["index"], b'{"\\u0069ndex":9}'),
        (b'{"index":1,"index":2}', ["index"], b'{"index":1,"index":9}'),
        (b'{"d":{"index":1},"d":{"index":2}}', ["d", "index"], b'{"d":{"index":1},"d":{"index":9}}'),
        (b'{"":1,"index":2}', [""], b'{"":9,"index":2}'),
    ],
)  # fmt: skip
def test_only_the_value_at_the_path_is_changed(text: bytes, path: Path, after: bytes) -> None:
    assert after_set(text, path, 9) == after


@pytest.mark.parametrize(
    ("text", "path", "after"),
    [
        (b'{"d":{"index":5},"index" :7}', ["index"], b'{"d":{"index":5},"index" :9}'),
        (b'{"d":{"x\\"index":5},"index" :7}', ["index"], b'{"d":{"x\\"index":5},"index" :9}'),
        (b'{"d":{"index":5},"\\u0069ndex":7}', ["index"], b'{"d":{"index":5},"\\u0069ndex":9}'),
        (b'{"d":{"index" : 5 }}', ["d", "index"], b'{"d":{"index" : 9 }}'),
        (b'{"index":{"a":[1]},"b":1}', ["index"], b'{"index":9        ,"b":1}'),
        (b'{"index":"a\\"b","b":1}', ["index"], b'{"index":9     ,"b":1}'),
        (b'{"index":1,"index":2}', ["index"], b'{"index":1,"index":9}'),
        (b'{"index":"index"}', ["index"], b'{"index":9      }'),
        (b'{"d":{"a/b":5},"a\\/b":7}', ["a/b"], b'{"d":{"a/b":5},"a\\/b":9}'),
    ],
)
def test_to_know_that_a_member_is_there_does_not_confuse_it_with_another(
    text: bytes, path: Path, after: bytes
) -> None:
    buffer = bytearray(text)
    set_value(buffer, path, 9, there=True)
    assert buffer == after


def test_the_document_may_begin_anywhere_in_the_text() -> None:
    text = bytearray(b'event: {"a":1}\ndata: {"a":1,"b":null}\n\n')
    set_value(text, ["a"], 22, 21)
    remove(text, ["b"], 21)
    assert text == b'event: {"a":1}\ndata: {"a":22         }\n\n'


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (b'{"a":1}', ["b", "c"]),
        (b'{"a":1}', ["a", "b"]),
        (b'{"a":"{}"}', ["a", "b"]),
        (b'{"a":null}', ["a", "b"]),
        (b'{"a":{}}', ["a", 0]),
        (b'{"a":[1]}', ["a", "b"]),
        (b'{"a":[1]}', ["a", 1]),
        (b'{"a":[]}', ["a", 0]),
        (b'{"a":[{}]}', ["a", 1, "b"]),
        (b"", ["a"]),
        (b"  ", ["a"]),
        (b"7", ["a"]),
        (b"nonsense", ["a"]),
        (b'{"a', ["b"]),
        (b'{"a":', ["a"]),
        (b'{"a":{"b":[1}', ["b"]),
        (b'{"a":"open', ["a"]),
        (b'{"a":,}', ["a"]),
    ],
)
def test_a_path_that_leads_nowhere_is_not_found_and_nothing_changes(text: bytes, path: Path) -> None:
    for change in (lambda buffer: set_value(buffer, path, 1), lambda buffer: remove(buffer, path)):
        buffer = bytearray(text)
        with pytest.raises(NotFound):
            change(buffer)
        assert buffer == text


def test_what_is_not_there_cannot_be_removed() -> None:
    with pytest.raises(NotFound):
        remove(bytearray(b'{"a":{"b":1}}'), ["b"])


# --- dumps --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, None, True], "b": "é"}, '{"a":[1,null,true],"b":"é"}'),
        ("\u2028", '"\u2028"'),
        ("half \ud83d", '"half \\ud83d"'),
        ({"\udead": 2**70}, '{"\\udead":1180591620717411303424}'),
        ("\n\r", '"\\n\\r"'),
    ],
)
def test_values_are_written_compactly_and_whatever_can_be_parsed_can_be_written(
    value: object, text: str
) -> None:
    assert dumps(value).decode() == text
    assert json.loads(dumps(value)) == value


def test_a_number_that_no_json_can_hold_is_null_even_beside_half_a_character() -> None:
    assert json.loads(dumps({"a": float("inf")})) == {"a": None}
    assert json.loads(dumps({"a": float("inf"), "b": ["\ud83d", float("nan")]})) == {
        "a": None,
        "b": ["\ud83d", None],
    }


# --- large documents ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "filler",
    [b"x", b"\\n", b"\\\\", b'\\"', b"\\ud83d", b"{[", "é".encode()],
)
def test_a_string_as_large_as_a_frame_is_skipped(filler: bytes) -> None:
    text = bytearray(b'{"big":"' + filler * (LIMIT // len(filler)) + b'","list":["tail"],"index":-1}')
    size = len(text)
    set_value(text, ["index"], 0)
    set_value(text, ["list", 0], "t")
    remove(text, ["list"])
    assert len(text) == size
    assert text[-30:].replace(b" ", b"").endswith(b'","index":0}')


@pytest.mark.parametrize("filler", [b'"x",', b"[],", b'{"a":"}"},', b"1,"])
def test_a_list_as_large_as_a_frame_is_skipped(filler: bytes) -> None:
    text = bytearray(b'{"big":[' + filler * (1024 * 1024 // len(filler)) + b'0],"index":-1}')
    set_value(text, ["index"], 0)
    assert text[-11:] == b'"index": 0}'


def test_deep_nesting_needs_no_recursion() -> None:
    text = bytearray(b'{"deep":' + b'{"a":[' * 100_000 + b"]}" * 100_000 + b',"index":-1}')
    set_value(text, ["index"], 0)
    assert text[-11:] == b'"index": 0}'


# --- properties ---------------------------------------------------------------------------------

STRINGS = st.sampled_from(["", "index", 'a"b', "\\", '"}', "[{", "é\u2028", "\ud83d", "x\ny"]) | st.text(
    max_size=8
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.floats(allow_nan=False, allow_infinity=False)
    | STRINGS
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(STRINGS, inner, max_size=4),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(STRINGS, VALUES, min_size=1, max_size=5)
BLANKS = st.sampled_from(["", "", " ", "\n ", "\t"])


@st.composite
def written(draw: st.DrawFn, value: Any) -> str:
    """One of the many ways to write a JSON value."""
    blank = draw(BLANKS)
    if isinstance(value, dict):
        members = [
            f"{blank}{draw(written(key))}{blank}:{draw(BLANKS)}{draw(written(inner))}"
            for key, inner in value.items()
        ]
        return "{" + f"{draw(BLANKS)},".join(members) + draw(BLANKS) + "}"
    if isinstance(value, list):
        return (
            "[" + f"{blank},{draw(BLANKS)}".join(draw(written(inner)) for inner in value) + draw(BLANKS) + "]"
        )
    return json.dumps(value, ensure_ascii=draw(st.booleans()) or is_half(value))


def is_half(value: Any) -> bool:
    """Half of a character: there are no bytes for it, only an escape."""
    return isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value)


def places(value: Any, before: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every path in a value."""
    members = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    found: list[tuple[str | int, ...]] = []
    for key, inner in members:
        found += [(*before, key), *places(inner, (*before, key))]
    return found


def at(document: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        document = document[key]
    return document


@dataclass(frozen=True)
class Place:
    """A value in a document: its path, its text, and the text on both sides of it."""

    document: Any
    path: tuple[str | int, ...]
    before: bytes
    old: bytes
    after: bytes

    @property
    def text(self) -> bytes:
        return self.before + self.old + self.after

    def expected(self) -> Any:
        """A copy of the document, to be changed in Python's own way."""
        return copy.deepcopy(self.document)


@st.composite
def documents_with_places(draw: st.DrawFn) -> Place:
    document = draw(DOCUMENTS)
    path = draw(st.sampled_from(places(document)))
    marked = copy.deepcopy(document)
    at(marked, path[:-1])[path[-1]] = "the place"
    before, _, after = draw(written(marked)).encode().partition(b'"the place"')
    return Place(document, path, before, draw(written(at(document, path))).encode(), after)


@given(documents_with_places(), VALUES)
def test_after_a_value_was_set_the_document_has_it_and_no_other_byte_has_changed(
    place: Place, value: Any
) -> None:
    text = after_set(place.text, place.path, value)
    expected = place.expected()
    at(expected, place.path[:-1])[place.path[-1]] = value
    assert json.loads(text) == expected
    assert text.startswith(place.before)
    assert text.endswith(place.after)
    assert len(text) == max(len(place.text), len(place.before) + len(dumps(value)) + len(place.after))


@given(documents_with_places(), VALUES)
def test_a_member_that_is_known_to_be_there_is_found_at_the_same_place(place: Place, value: Any) -> None:
    text = bytearray(place.text)
    set_value(text, place.path, value, there=True)
    assert text == after_set(place.text, place.path, value)


@given(documents_with_places(), STRINGS, VALUES)
def test_a_member_that_is_known_to_be_missing_is_added_in_the_same_place(
    place: Place, key: str, value: Any
) -> None:
    assume(key not in place.document)
    text = bytearray(place.text)
    set_value(text, [key], value, there=False)
    assert text == after_set(place.text, [key], value)


@given(documents_with_places())
def test_after_a_member_was_removed_it_is_gone_and_the_length_has_not_changed(place: Place) -> None:
    text = after_remove(place.text, place.path)
    expected = place.expected()
    del at(expected, place.path[:-1])[place.path[-1]]
    assert json.loads(text) == expected
    assert len(text) == len(place.text)
    assert all(new in (byte, ord(" ")) for byte, new in zip(place.text, text, strict=True))


@given(documents_with_places(), STRINGS, VALUES)
def test_a_member_can_be_added_to_every_object(place: Place, key: str, value: Any) -> None:
    path = place.path if isinstance(at(place.document, place.path), dict) else ()
    assume(key not in at(place.document, path))
    text = after_set(place.text, (*path, key), value)
    expected = place.expected()
    at(expected, path)[key] = value
    assert json.loads(text) == expected
    added = len(text) - len(place.text)
    where = next(
        (i for i, (a, b) in enumerate(zip(place.text, text, strict=False)) if a != b), len(place.text)
    )
    assert text[:where] + text[where + added :] == place.text, "all that was there is still there"


@given(
    st.binary(max_size=40) | st.text('{}[]",:\\ an1', max_size=40).map(str.encode),
    st.sampled_from(["a", 0, 3]),
)
def test_any_bytes_are_changed_or_not_found(text: bytes, key: str | int) -> None:
    for change in (lambda buffer: set_value(buffer, [key, "n"], 1), lambda buffer: remove(buffer, [key])):
        with contextlib.suppress(NotFound):
            change(bytearray(text))
