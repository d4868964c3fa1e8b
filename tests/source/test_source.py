"""YAML as its lines: structure as PyYAML has it, every mistake in its place, never an exception."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.source import composing
from relay.source.faults import Lines
from relay.source.reading import (
    Listing,
    Node,
    Place,
    Problem,
    Scalar,
    Section,
    parse,
    plain,
    read,
    read_foreign,
    why_not_text,
)

ENVIRON = {"PORT": "8000", "API_KEY": "planted-secret", "EMPTY": "", "ODD": "a: b\n- c", "NO": "no"}


@pytest.fixture(params=["CSafeLoader", "SafeLoader"], autouse=True)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """libyaml's parser and PyYAML's own, which is all that some installations have."""
    monkeypatch.setattr(composing, "_Parser", getattr(yaml, request.param))


each_parser = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def found(text: str) -> tuple[Node | None, list[Problem]]:
    problems: list[Problem] = []
    return parse(text, "relay.yaml", ENVIRON, problems), problems


def good(text: str) -> Node:
    node, problems = found(text)
    assert not problems, list(map(str, problems))
    assert node is not None
    return node


def section(text: str) -> Section:
    node = good(text)
    assert isinstance(node, Section)
    return node


def scalar(text: str) -> Scalar:
    inner = section(f"name: {text}").entries["name"]
    assert isinstance(inner, Scalar)
    return inner


def told(text: str) -> list[str]:
    """Each problem, without the line that it shows."""
    return [str(problem).splitlines()[0].removeprefix("relay.yaml:") for problem in found(text)[1]]


def scalars(node: Node) -> Iterator[Scalar]:
    if isinstance(node, Scalar):
        yield node
    else:
        for inner in node.items if isinstance(node, Listing) else node.entries.values():
            yield from scalars(inner)


# --- values -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind", "read_as"),
    [
        ("word", "text", ""),
        ("127.0.0.1:8787", "text", ""),
        ("5s", "text", ""),
        ("gpt-4", "text", ""),
        ("no", "switch", "false"),
        ("On", "switch", "true"),
        ("true", "switch", "true"),
        ("12:30", "sexagesimal", "the number 750, in base sixty"),
        ("12:30.5", "sexagesimal", "the number 750.5, in base sixty"),
        ("12", "number", "a number"),
        ("0x1F", "number", "a number"),
        ("1_000", "number", "a number"),
        ("1.5", "number", "a number"),
        (".5", "number", "a number"),
        ("1e3", "number", "a number"),
        (".inf", "number", "a number"),
        ("010", "octal", "the number 8, in base eight"),
        ("0o17", "octal", "a number"),
        ("2024-10-21", "date", "a date"),
        ("2024-10-21 10:00:00", "date", "a date"),
        ("~", "null", "no value"),
        ("Null", "null", "no value"),
    ],
)
def test_a_value_is_its_text_and_what_yaml_reads_there(text: str, kind: str, read_as: str) -> None:
    node = scalar(text)
    assert (node.text, node.kind, node.quoted, node.filled) == (text, kind, False, False)
    assert why_not_text(node) == (
        f'YAML reads {text} as {read_as}: write "{text}", in quotes' if read_as else ""
    )
    quoted = scalar(f'"{text}"')
    assert (quoted.text, quoted.kind, quoted.quoted, why_not_text(quoted)) == (text, "text", True, "")


def test_nothing_is_no_text() -> None:
    assert (scalar("").kind, why_not_text(scalar(""))) == ("null", "there is no value")
    assert (scalar('""').kind, why_not_text(scalar('""'))) == ("text", "")
    assert plain(good("# nothing\n")) is None
    assert plain(good("")) is None


def test_tags_say_what_a_value_is() -> None:
    assert (scalar("!!str 12").kind, plain(scalar("!!str 12"))) == ("text", "12")
    assert plain(scalar("! 12")) == yaml.safe_load("! 12")
    assert plain(scalar("!!int '12'")) == 12
    assert told("a: !ENV b\n") == ["1:4: relay knows no !ENV; leave it out"]
    assert told("a: !!python/name:os.system b\n") == [
        "1:4: relay knows no !!python/name:os.system; leave it out"
    ]
    assert told("a: !!set {b}\n") == ["1:4: relay knows no !!set; leave it out"]


def test_places_are_those_of_the_words() -> None:
    node = section('a: 1\nlist:\n  - é😀: x y # z\n  - "two"\n')
    assert node.keys["list"] == Place("relay.yaml", 2, 1, "list:", 4)
    items = node.entries["list"]
    assert isinstance(items, Listing)
    first, second = items.items
    assert isinstance(first, Section)
    assert first.keys["é😀"] == Place("relay.yaml", 3, 5, "  - é😀: x y # z", 2)
    assert first.entries["é😀"].place == Place("relay.yaml", 3, 9, "  - é😀: x y # z", 3)
    assert second.place == Place("relay.yaml", 4, 5, '  - "two"', 5)


# --- variables --------------------------------------------------------------------------------


def test_references_need_no_quotes_inside_brackets() -> None:
    node = section("a: [${PORT}, {b: ${PORT:-x}, c: ${NOT_SET:-}}] # ${HOST\n")
    assert plain(node) == {"a": ["8000", {"b": "8000", "c": ""}]}
    assert [inner.place.column for inner in scalars(node)] == [5, 18, 33]
    assert plain(good("a: [$${PORT}, '${PORT}'] # \ue000\n")) == {"a": ["${PORT}", "8000"]}
    assert plain(good("a: ['\ue000\ue001', ${PORT}]\n")) == {"a": ["\ue000\ue001", "8000"]}


def test_references_change_no_structure() -> None:
    assert plain(good("a: ${ODD}\nb: '${ODD}'\nc: [${ODD}]\n")) == {
        "a": "a: b\n- c",
        "b": "a: b\n- c",
        "c": ["a: b\n- c"],
    }


def test_what_came_from_a_variable_is_text_and_not_shown() -> None:
    node = scalar("x${API_KEY}")
    assert (node.text, node.kind, node.variables, node.shown) == (
        "xplanted-secret",
        "text",
        ("API_KEY",),
        "x${API_KEY}",
    )
    assert why_not_text(scalar("${NO}")) == ""
    assert plain(scalar("${PORT}")) == "8000"
    assert "planted" not in repr(node)


def test_names_are_not_filled_in() -> None:
    assert told("${PORT}: 1\n") == ["1:1: a name cannot come from a variable; only values can"]
    assert told("{${PORT}: 1}\n") == ["1:2: a name cannot come from a variable; only values can"]


def test_an_unset_variable_is_told_once_where_its_anchor_is() -> None:
    assert told("a: &a ${HOST}\nb: *a\nc: *a\n") == [
        "1:7: the variable HOST is not set; set it, or give a default: ${HOST:-…}"
    ]


# --- structure --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "base: &b {x: 1, y: 2}\none: {<<: *b, y: 3}\ntwo: *b\n",
        "base: &b {x: 1, y: 2}\none: {y: 3, <<: *b}\n",
        "a: &a {x: 1}\nb: &b {x: 2, y: 2}\nc: {<<: [*a, *b]}\n",
        "a: {<<: {x: 1}, <<: {y: 1}}\n",
        "a: &a x\nb: [*a, *a]\n",
        "'<<': 3\n",
        "\ufeffa: 1\r\nb: |\r\n  x\r\n  y\r\n".removeprefix("\ufeff"),
        "a: >-\n  folded\n  text\n\nb: 'it''s'\n",
        "--- {a: 1}\n...\n",
        "? a\n: b\n",
        "a: 0b11\nb: 0x1F\nc: 1_0\nd: -.inf\ne: 190:20:30\nf: 010\n",
    ],
)
def test_structure_is_as_pyyaml_has_it(text: str) -> None:
    assert plain(good(text)) == yaml.safe_load(text)


def test_words_of_yaml_1_1_that_nobody_means_stay_text() -> None:
    assert plain(good("a: <<\nb: =\nc: [<<]\n")) == {"a": "<<", "b": "=", "c": ["<<"]}


def test_dates_stay_text() -> None:
    assert plain(good("a: 2024-10-21\nb: 2024-13-99\n")) == {"a": "2024-10-21", "b": "2024-13-99"}


def test_aliases_cannot_grow_without_bound() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert told("\n".join(lines)) == ["5:45: aliases repeat more than 100000 values"]
    merges = ["a0: &a0 {" + ", ".join(f"k{n}: 1" for n in range(1000)) + "}"]
    merges += ["b: {<<: [" + ", ".join(["*a0"] * 1000) + "]}"]
    assert "aliases repeat more than" in told("\n".join(merges))[0]


def test_what_is_repeated_may_be_broken_further_down() -> None:
    assert told("a: [*b]\nb: &b 1\nc: {<<: *d}\n") == [
        "1:5: *b stands for nothing: no &b comes before it; in quotes it is text",
        "3:9: *d stands for nothing: no &d comes before it; in quotes it is text",
    ]


# --- mistakes ---------------------------------------------------------------------------------

MISTAKES = [
    ("a:\n\tb: 1\n", "2:1: a tab cannot indent in YAML: use blanks"),
    ("a:\n  b: 1\n\tc: 2\n", "3:1: a tab cannot indent in YAML: use blanks"),
    ("a:\n  - 1\n \t- 2\n", "3:2: a tab cannot indent in YAML: use blanks"),
    (
        "a: b: c\n",
        "1:5: a second colon with a blank in one line: put the value in quotes, or begin a new line",
    ),
    ("a:b\nc: d\n", "1:2: a blank is missing after this colon"),
    ("c: d\na:b\n", "2:2: a blank is missing after this colon"),
    ("c: d\na:b\ne: f\n", "2:2: a blank is missing after this colon"),
    ("a:\n  - name:x\n    url: http://h\n", "2:9: a blank is missing after this colon"),
    ("a: 1\nword\nb: 2\n", "2:1: expected a colon and a blank after this name"),
    ("a: 'x\nb: 1\n", "1:4: this quote is never closed"),
    ('a: "open\n', "1:4: this quote is never closed"),
    (
        "a: 'x\nb: 'y'\n",
        "1:4: the text in quotes that begins here goes on to line 2: is its closing quote missing?",
    ),
    ("a: 'b' c\n", "1:8: text after a closing quote: put all of it, or none of it, in quotes"),
    ("a: [1, 2\nb: 3\n", "1:4: this [ is not closed before line 2, or a comma is missing there"),
    ("a: {b: 1\n", "1:4: this { is never closed"),
    ("a: {b: 1 {c: 2}}\n", "1:10: expected a comma, or }, before this"),
    ("a: [1, , 2]\n", "1:8: a value is missing here"),
    ("a: [b : }]\n", "1:9: a value is missing here"),
    ("a: [", "1:4: this [ is never closed"),
    ("a: @b\n", '1:4: a word that begins with @ is nothing that YAML knows: in quotes it is text ("@b")'),
    ("models: *\n", '1:9: a word that begins with * is an alias: in quotes it is text ("*")'),
    ("models: [*, a]\n", '1:10: a word that begins with * is an alias: in quotes it is text ("*")'),
    ("a: %b\n", '1:4: a word that begins with % is a directive: in quotes it is text ("%b")'),
    ("a: *b\n", "1:4: *b stands for nothing: no &b comes before it; in quotes it is text"),
    ("a: &x [*x]\n", "1:8: *x stands for nothing: it holds itself"),
    ("a: &x {<<: *x}\n", "1:12: *x stands for nothing: it holds itself"),
    ("<<: 3\n", "1:1: << takes in a section, or a list of sections, by alias: <<: *name"),
    ("a: 1\n b: 2\n", "2:2: this line is indented further than the one before it, which has a value already"),
    ("a:\n  b: 1\n c: 2\n", "3:2: this line is indented otherwise than the lines that it belongs to"),
    (" a: 1\nb: 2\n", "2:1: this line is indented otherwise than the lines that it belongs to"),
    ("- a\nb: 1\n", "2:1: this line is indented otherwise than the lines that it belongs to"),
    ("{a: 1} x\n", "1:8: this cannot follow here: is a quote or a comma missing before it?"),
    (
        "a: >x\n",
        "1:5: behind | or > nothing but + or - may follow in the same line; the text begins in the next",
    ),
    ("a: 1\n---\nb: 2\n", "2:1: a second document begins here; one file holds one"),
    ("a: 1\nb: 2\na: 3\n", "3:1: a is there twice; it was in line 1 already"),
    ("{a: 1, 'a': 3}\n", "1:8: a is there twice; it was in line 1 already"),
    ("on: 1\n", '1:1: YAML reads on as true: write "on", in quotes'),
    ("a: {1: 1}\n", '1:5: YAML reads 1 as a number: write "1", in quotes'),
    (": 1\n", "1:1: a name is missing before this colon"),
    ("? [1]\n: 2\n", "1:3: a name is expected before the colon, not a list or a section"),
    ("? {b: 1}\n: 2\n", "1:3: a name is expected before the colon, not a list or a section"),
    ("a: \x07b\n", "1:4: the control character U+0007 cannot stand in YAML"),
    ("a: b\x00\n", "1:5: the control character U+0000 cannot stand in YAML"),
    ("[" * 1000, "1:66: this is nested more than 64 times"),
    ("- " * 1000, "1:131: this is nested more than 64 times"),
]


@pytest.mark.parametrize(("text", "message"), MISTAKES)
def test_a_mistake_has_its_place_and_its_cause(text: str, message: str) -> None:
    assert told(text) == [message]


def test_the_end_of_a_file_is_shown_at_its_last_words() -> None:
    assert Lines("f", "a: b\n\n").place(2, 0) == Place("f", 1, 5, "a: b")
    assert Lines("f", "").place(0, 0) == Place("f", 1, 1, "")


def test_an_escape_that_nobody_knows() -> None:
    (message,) = told('a: "C:\\quit"\n')
    assert "in double quotes a \\ is written \\\\, in single quotes it stays as it is" in message


@pytest.mark.parametrize("escape", ["\\ud800", "\\UFFFFFFFF", "\\xZZ"])
def test_an_escape_that_is_no_character(escape: str) -> None:
    assert len(told(f'a: "{escape}"\n')) == 1


def test_all_mistakes_of_a_file_are_told_in_one_run() -> None:
    text = """\
a: b: c
b: 1
b: 2
c: 'x
d: ${NOPE}
e: *anchor_may_stand_in_what_was_not_read
f:
  - x
 g: 3
h: [1
i: 2
"""
    node, problems = found(text)
    assert node is None
    assert [problem.place.line for problem in problems] == [1, 4, 9, 10, 3, 5]  # first what is no YAML


def test_a_file_that_is_all_wrong_is_told_of_in_reasonable_time() -> None:
    assert len(told("a: b: c\n" * 10_000)) == 20
    assert len(told("a: \x01\n" * 10_000)) == 20


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "piece",
    [
        "[",
        "{",
        "[a,",
        "{a: ",
        "- ",
        "? ",
        "a: b\n",
        "'",
        '"\n',
        "- &a b\n- *a\n",
        "!",
        "#\n",
        "a ",
        "a\n",
        "${",
        "${A:-$$",
        "${AP_KEY}]\ny: [",
    ],
)
def test_no_file_takes_long(piece: str) -> None:
    node, problems = found("x: [" + piece * (200_000 // len(piece)))
    assert node is not None or problems


# --- files of other programs ------------------------------------------------------------------


def test_a_file_of_another_program_is_read_as_that_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("a: ${PORT}\nb: os.environ/NOT_SET\n429: $$\non: 1\na: 2\n")
    problems: list[Problem] = []
    warnings: list[Problem] = []
    node = read_foreign(str(path), problems, warnings)
    assert node is not None
    assert plain(node) == {"a": 2, "b": "os.environ/NOT_SET", "429": "$$", "on": 1}
    assert problems == []
    assert [warning.message for warning in warnings] == [
        "a is there twice; this one counts, not the one of line 1"
    ]


# --- files ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a: 1\nb: x\xe9\n", "{}:2:5: the byte 0xe9 is no UTF-8; save the file as UTF-8"),
        ("a: é\n".encode("utf-16"), "{}: it is UTF-16; save it as UTF-8"),
        (b"#" * (1 << 20) + b"\n", "{}: it is larger than 1024 KiB"),
        (None, "{}: there is no such file"),
    ],
)
def test_a_file_that_cannot_be_read(data: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "relay.yaml"
    if data is not None:
        path.write_bytes(data)
    problems: list[Problem] = []
    assert read(str(path), {}, problems) is None
    assert str(problems[0]).splitlines()[0] == message.format(path)


def test_paths_that_are_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    said = {}
    for name in (str(tmp_path), "\0", "", str(tmp_path / "pipe" / "x")):
        problems: list[Problem] = []
        assert read(name, {}, problems) is None
        said[name] = problems[0].message
    assert said[str(tmp_path)] == "it is a directory"
    assert said["\0"] == "a file's name cannot hold a NUL"
    assert said[""] == "it is a directory"
    assert said[str(tmp_path / "pipe" / "x")] == "it cannot be read: Not a directory"
    assert plain(read(str(tmp_path / "pipe"), {}, []) or good("")) is None  # nobody writes: it does not wait


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_is_not_ours(tmp_path: Path) -> None:
    path = tmp_path / "relay.yaml"
    path.touch(mode=0o200)
    problems: list[Problem] = []
    assert read(str(path), {}, problems) is None
    assert problems[0].message == "there is no permission to read it"


def test_a_mark_of_utf_8_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "relay.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    node = read(str(path), {}, [])
    assert isinstance(node, Section)
    assert plain(node) == {"a": 1, "b": 2}
    assert node.keys["b"] == Place(str(path), 2, 1, "b: 2", 1)


# --- anything ---------------------------------------------------------------------------------

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp"]), max_size=30)
VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abcdef", min_size=1), inner, max_size=4)
    ),
    max_leaves=20,
)
PIECES = [": ", ":", "- ", "? ", "a", "b", "1", "\n", "\n  ", "\t", " ", "[", "]", "{", "}", ",", "&a ", "*a"]
PIECES += [
    "!",
    "|",
    ">",
    "'",
    '"',
    "\\",
    "%",
    "@",
    "#",
    "<<",
    "~",
    "$",
    "${",
    "${PORT}",
    "${X:-",
    "os.environ/",
]
PIECES += [
    "---",
    "...",
    "\r",
    "\u2028",
    "\x85",
    "é",
    "😀",
    "\x00",
    "\ue000",
    "!!str ",
    "0x",
    "2024-10-21",
    "12:30",
]


@each_parser
@given(VALUES, st.booleans())
def test_structure_is_what_yaml_says(value: Any, flow: bool) -> None:
    text = yaml.safe_dump(value, allow_unicode=True, default_flow_style=flow)
    problems: list[Problem] = []
    node = parse(text, "relay.yaml", None, problems)
    wrong = [problem for problem in problems if 'write "' not in problem.message]  # {'e': …} may be {1e5: …}
    assert wrong == []
    if not problems:
        assert node is not None
        assert plain(node) == yaml.safe_load(text)


@settings(each_parser, max_examples=400)
@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join) | st.text(max_size=60))
def test_any_text_becomes_nodes_or_problems(text: str) -> None:
    node, problems = found(text)
    assert isinstance(node, Scalar | Listing | Section | None)
    assert node is not None or problems
    for problem in problems:
        line, column = problem.place.line, problem.place.column
        assert str(problem).startswith(f"relay.yaml:{line}:{column}: ")
        assert 1 <= column <= len(problem.place.text) + 1


@each_parser
@given(st.dictionaries(WORDS, st.lists(WORDS, max_size=3), max_size=5), st.booleans())
def test_places_point_to_the_words_that_they_hold(value: dict[str, list[str]], flow: bool) -> None:
    text = yaml.safe_dump(value, allow_unicode=True, width=10_000, default_flow_style=flow)
    lines = Lines("relay.yaml", text)
    for inner in scalars(good(text) if not found(text)[1] else Listing([], lines.place(0, 0))):
        place = inner.place
        assert lines[place.line - 1] == place.text
        word = place.text[place.column - 1 : place.column - 1 + place.width]
        if not inner.quoted and not inner.filled:
            assert word == inner.text or len(inner.text) == 0
        elif word[:1] == word[-1:] == "'":
            assert inner.written or word[1:-1].replace("''", "'") == inner.text


@each_parser
@given(st.text(st.sampled_from("abc: \n"), max_size=40))
def test_what_one_parser_refuses_the_other_does_too(text: str) -> None:
    try:
        refused = yaml.compose(text, yaml.SafeLoader) and False
    except yaml.YAMLError:
        refused = True
    assert (found(text)[0] is None) == bool(refused)
