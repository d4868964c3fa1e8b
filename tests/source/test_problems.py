"""Problems as they are printed: the place, the line, the caret under the word, and no secret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import UsageError
from relay.source.problems import Place, Problem, Problems, covered


def shown(line: str, column: int, width: int = 1) -> list[str]:
    return str(Problem(Place("relay.yaml", 12, column, line, width), "wrong")).splitlines()


def test_a_problem_is_its_place_its_line_and_a_caret() -> None:
    assert shown("  idle: 300", 9, 3) == [
        "relay.yaml:12:9: wrong",
        "  12 |   idle: 300",
        "     |         ^^^",
    ]
    assert str(Place("relay.yaml", 12, 9, "  idle: 300")) == "relay.yaml:12:9"
    assert str(Problem(Place("r", 1, 1, "ab cd", 2), "x", 5)).endswith("\n    | ^^^^^")


def test_a_problem_of_a_whole_file_has_no_line() -> None:
    assert str(Problem(Place("relay.yaml", 0, 0, ""), "it is a directory")) == "relay.yaml: it is a directory"
    assert str(Problem(Place("keys", 3, 1, ""), "it is no key")) == "keys:3:1: it is no key"


@pytest.mark.parametrize(
    ("line", "column", "told"),
    [
        ("\ta: b", 2, ["→a: b", " ^"]),
        ("a: \x1b[31m", 4, ["a: \N{REPLACEMENT CHARACTER}[31m", "   ^"]),
        ("漢字: b", 5, ["漢字: b", "      ^"]),
        ("e\u0301: b", 5, ["e\u0301: b", "   ^"]),
        ("a", 2, ["a", " ^"]),
        ("a", 99, ["a", " ^"]),
    ],
)
def test_the_caret_stands_where_a_terminal_shows_the_word(line: str, column: int, told: list[str]) -> None:
    assert [text[7:] for text in shown(line, column)[1:]] == told


def test_of_a_long_line_what_is_around_the_word_is_shown() -> None:
    _, line, caret = shown("x" * 500 + "HERE" + "y" * 500, 501, 4)
    assert len(line) < 120
    assert line[caret.index("^") : caret.rindex("^") + 1] == "HERE"
    assert line[7] == line[-1] == "…"


def test_all_are_told_in_their_order_and_once() -> None:
    found = [
        Problem(Place(file, line, 1, "x"), "wrong")
        for file, line in (("b", 1), ("a", 10), ("a", 9), ("a", 9))
    ]
    problems = Problems(found)
    assert [str(problem.place) for problem in problems.all] == ["a:9:1", "a:10:1", "b:1:1"]
    assert str(problems).count("wrong") == 3
    assert isinstance(problems, UsageError)


def test_after_fifty_the_others_are_counted() -> None:
    problems = Problems(Problem(Place("a", line, 1, ""), "wrong") for line in range(1, 61))
    assert len(problems.all) == 60
    assert str(problems).count("wrong") == 50
    assert str(problems).endswith("\nand 10 more")


# --- secrets ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("api_key: planted", "api_key: *******"),
        ("{a: b, api_key: pla nted, order: 1}", "{a: b, api_key: *** ****, order: 1}"),
        ("'api-key': \"pla, nted\" # c", "'api-key': \"***, ****\" # c"),
        ("authorization: Bearer planted", "authorization: ****** *******"),
        ('Authorization: "Bearer ${TOKEN}"', 'Authorization: "****** ${TOKEN}"'),
        ("master_key: sk-1234 # planned", "master_key: ******* # planned"),
        ("accept: [planted, 'pla nted'], ttl: 1s", "accept: [*******, '*** ****'], ttl: 1s"),
        ("url: https://user:planted@host/v1", "url: https://************@host/v1"),
        ("url: https://host/v1?token=planted", "url: https://host/v1?token=*******"),
        ("- sk-planted01", "- ************"),
        ("x-what: Bearer planted", "x-what: Bearer *******"),
        ("apikey " + "0123456789abcdef" * 2, "apikey " + "*" * 32),
    ],
)
def test_what_looks_like_a_secret_is_covered(line: str, told: str) -> None:
    assert covered(line) == told


@pytest.mark.parametrize(
    "line",
    [
        "api_key: ${API_KEY}",
        "api_key: '${API_KEY}'",
        "api_key: os.environ/API_KEY",
        "key_file: /run/secrets/key",
        "key_header: x-api-key",
        "max_tokens: 5",
        "keys:",
        "url: http://127.0.0.1:8000/v1",
        "models: [gpt-4o, claude-*]",
        "keys: {ttl: 60s}",
    ],
)
def test_what_is_no_secret_stays(line: str) -> None:
    assert covered(line) == line


@given(st.text(max_size=80), st.integers(1, 90), st.integers(0, 90))
def test_any_line_can_be_shown(line: str, column: int, width: int) -> None:
    told = str(Problem(Place("f", 1, column, line, 1), "wrong", width))
    assert len(covered(line)) == len(line)
    assert all(character.isprintable() or character == "\n" for character in told)
    assert told.count("\n") == (2 if line else 0)


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "piece",
    ["key", "passwd", "key: ", "://", "://a", "accept: [", "bearer ", "sk-", "a", "eyJ", "'", '"', "ab1"],
)
def test_no_line_takes_long(piece: str) -> None:
    line = piece * (200_000 // len(piece))
    assert len(covered(line)) == len(line)
