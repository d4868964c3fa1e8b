"""Variables in values: what is filled in, what stays, and what is told of one that is not set."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.source.interpolation import filled, has_variables
from relay.source.nodes import Scalar, kind_of
from relay.source.problems import Place, Problem

ENVIRON = {
    "PORT": "8000",
    "API_KEY": "planted-secret",
    "EMPTY": "",
    "ODD": "${PORT}\n$$ }",
    "LONG": "x" * 100_000,
}


def read(text: str, *, dollars: bool = True) -> tuple[Scalar, list[Problem]]:
    place = Place("relay.yaml", 3, 7, f" key: {text}")
    problems: list[Problem] = []
    return filled(Scalar(text, kind_of(text), False, place), ENVIRON, problems, dollars=dollars), problems


@pytest.mark.parametrize(
    ("text", "value", "variables"),
    [
        ("http://127.0.0.1:${PORT}/v1", "http://127.0.0.1:8000/v1", ("PORT",)),
        ("${PORT}${PORT}", "80008000", ("PORT", "PORT")),
        ("${EMPTY}", "", ("EMPTY",)),
        ("${ODD}", "${PORT}\n$$ }", ("ODD",)),
        ("${PORT:-9000}", "8000", ("PORT",)),
        ("${NOT_SET:-word}", "word", ("NOT_SET",)),
        ("${EMPTY:-word}", "word", ("EMPTY",)),
        ("${NOT_SET:-}", "", ("NOT_SET",)),
        ("${NOT_SET:-a b: c, [d]}", "a b: c, [d]", ("NOT_SET",)),
        ("${NOT_SET:-{$}}", "{}", ("NOT_SET",)),
        ("${NOT_SET:-$$x$}y}", "$x}y", ("NOT_SET",)),
        ("${NOT_SET:-$PATH}", "$PATH", ("NOT_SET",)),
        ("${NOT_SET:-$${PORT$}}", "${PORT}", ("NOT_SET",)),
        ("$${PORT}", "${PORT}", ()),
        ("$$${PORT}", "$8000", ("PORT",)),
        ("a$$b", "a$b", ()),
        ("os.environ/PORT", "8000", ("PORT",)),
        ("os.environ/EMPTY", "", ("EMPTY",)),
    ],
)
def test_what_is_filled_in(text: str, value: str, variables: tuple[str, ...]) -> None:
    scalar, problems = read(text)
    assert problems == []
    assert (scalar.text, scalar.kind, scalar.variables) == (value, "text", variables)
    assert (scalar.filled, scalar.shown, scalar.written) == (True, text, text)
    assert has_variables(text)


@pytest.mark.parametrize(
    "text", ["a", "cost$", "$PORT", "a $ b", "$(PORT)", "{PORT}", "see os.environ/PORT", "5"]
)
def test_what_stays(text: str) -> None:
    scalar, problems = read(text)
    assert problems == []
    assert (scalar.text, scalar.kind, scalar.filled, scalar.shown) == (text, kind_of(text), False, text)


@pytest.mark.parametrize(
    ("text", "column", "width", "message"),
    [
        (
            "http://${HOST}:${PORT}",
            14,
            7,
            "the variable HOST is not set; set it, or give a default: ${HOST:-…}",
        ),
        ("${API_KYE}", 7, 10, "the variable API_KYE is not set; did you mean API_KEY?"),
        ("os.environ/API_KYE", 7, 18, "the variable API_KYE is not set; did you mean API_KEY?"),
        ("os.environ/", 7, 11, "this names no variable; expected os.environ/NAME"),
        ("os.environ/a-b", 7, 14, "this names no variable; expected os.environ/NAME"),
        ("x ${PORT:-${HOST}}", 9, 15, "a default cannot hold a variable; write $${ for the characters ${"),
        ("a${PORT", 8, 6, "this ${ is never closed; write $${ for the characters ${"),
        *[
            (
                f"x{text}",
                8,
                len(text),
                "this names no variable; expected ${NAME} or ${NAME:-default}, or $${ for the characters ${",
            )
            for text in ("${}", "${a b}", "${1}", "${:-x}", "${PORT:x}", "${PORT-x}", "${PORT:?x}", "${a.b}")
        ],
    ],
)
def test_a_fault_has_its_words(text: str, column: int, width: int, message: str) -> None:
    scalar, [problem] = read(text)
    assert (problem.place.column, problem.place.width, problem.message) == (column, width, message)
    assert (scalar.text, scalar.kind, scalar.written) == ("", "broken", text)
    assert "planted" not in str(problem) + repr(scalar)


def test_each_fault_of_a_value_is_told() -> None:
    _, problems = read("${A1}-${A2}-${A1}-${PORT}")
    assert [problem.place.column for problem in problems] == [7, 13, 19]


def test_a_fault_in_a_later_line_is_shown_there() -> None:
    problems: list[Problem] = []
    scalar = Scalar("one ${A1}\ntwo ${A2} x\n", "text", True, Place("f", 3, 6, "key: |"))
    filled(scalar, {}, problems, source="|\n  one ${A1}\r\n  two ${A2} x\n")
    assert [problem.place for problem in problems] == [
        Place("f", 4, 7, "  one ${A1}", 5),
        Place("f", 5, 7, "  two ${A2} x", 5),
    ]


def test_a_fault_behind_an_escape_is_shown_at_its_value() -> None:
    problems: list[Problem] = []
    place = Place("f", 1, 4, 'a: "\\x24{HOST}"', 13)
    filled(Scalar("${HOST}", "text", True, place), {}, problems)
    assert [problem.place for problem in problems] == [place]


def test_a_value_cannot_grow_without_bound() -> None:
    scalar, [problem] = read("${LONG}" * 11)
    assert "longer than 1048576 characters" in problem.message
    assert (scalar.kind, scalar.text) == ("broken", "")


@pytest.mark.timeout(10)
@pytest.mark.parametrize("piece", ["$$", "$", "${", "${A:-", "${A:-$$", "$}", "${A1:-x\n"])
def test_no_text_takes_long(piece: str) -> None:
    text = "${PORT:-" + piece * 5000
    scalar, problems = read(text)
    assert scalar.kind == "broken"
    assert problems


def test_without_dollars_only_the_environment_of_litellm_is_known() -> None:
    assert read("${PORT} $$", dollars=False)[0].text == "${PORT} $$"
    assert read("os.environ/PORT", dollars=False)[0].text == "8000"


PIECES = ["$", "$$", "{", "}", "${", "PORT", "NOT_SET", ":-", "os.environ/", "a", " ", "\n", "${PORT}", "$}"]


@given(st.lists(st.sampled_from(PIECES), max_size=20).map("".join))
def test_any_text_is_filled_or_refused(text: str) -> None:
    scalar, problems = read(text)
    assert (scalar.kind == "broken") == bool(problems)
    if "$" not in text and not text.startswith("os.environ/"):
        assert scalar.text == text


@given(st.text())
def test_a_dollar_written_twice_is_one(text: str) -> None:
    doubled = text.replace("$", "$$")
    if not text.startswith("os.environ/"):
        assert read(doubled)[0].text == text
