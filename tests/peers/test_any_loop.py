"""Whatever is said, called, answered and shown in a conversation arrives, between any two dialects."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.scripted.client import Given, Heard, png
from tests.scripted.loops import TOOLS
from tests.scripted.paths import Path, Paths
from tests.scripted.script import Answer, Say, Think, Use
from tests.scripted.sdks import CLIENTS

DIALECTS = tuple(CLIENTS)
TRANSLATED = [(client, upstream) for upstream in DIALECTS for client in DIALECTS if client != upstream]
several = settings(
    max_examples=60 if "CI" in os.environ else 12,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # every example is a dozen requests: none to shrink
)


@dataclass(frozen=True)
class Told:
    """The result of a call, whatever its id will be."""

    text: str
    error: bool
    shown: bool


@dataclass(frozen=True)
class Round:
    answer: Answer
    results: list[Told]


texts = st.text(min_size=1, max_size=40).filter(str.strip)
blanks = st.sampled_from([" ", "\n", "\n\n", "\t"])
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
uses = st.builds(
    Use,
    st.sampled_from([tool.name for tool in TOOLS]),
    st.dictionaries(st.text(max_size=6), values, max_size=4),
)
spoken = st.builds(Say, texts | blanks) | st.builds(Think, texts)
told = st.builds(Told, st.text(max_size=40), st.booleans(), st.just(False))
told |= st.builds(Told, texts, st.booleans(), st.just(True))


@st.composite
def rounds(draw: st.DrawFn) -> list[Round]:
    """Answers with calls and the results of these; an answer without calls is the last."""
    found = []
    for _ in range(draw(st.integers(0, 3))):
        parts = draw(st.lists(spoken | uses, min_size=1, max_size=6))
        parts.append(draw(uses))
        said = Answer(tuple(parts), interleave=draw(st.booleans()))
        found.append(Round(said, [draw(told) for _ in said.uses]))
    return [*found, Round(Answer(tuple(draw(st.lists(spoken, min_size=1, max_size=4)))), [])]


@pytest.fixture(scope="module")
def paths() -> Iterator[Paths]:
    running = Paths()
    yield running
    running.close()


@pytest.mark.parametrize(("dialect", "upstream"), TRANSLATED)
def test_any_loop(paths: Paths, dialect: str, upstream: str) -> None:
    path = paths(upstream)

    @several
    @given(texts, rounds(), st.booleans())
    def holds(question: str, script: list[Round], stream: bool) -> None:
        hold(path, dialect, stream, question, script)

    holds()


def hold(path: Path, dialect: str, stream: bool, question: str, script: list[Round]) -> None:
    upstream = path.server.dialect.name
    server = path.plays(lambda conversation: script[conversation.rounds].answer)
    with path.client(dialect, stream) as client:
        said = client.ask(question)
        for step in script:
            check(said, step.answer)
            if not step.results:
                break
            client.give(
                [
                    Given(call.id, result.text, result.error, png() if result.shown else None)
                    for call, result in zip(said.calls, step.results, strict=True)
                ]
            )
            said = client.hear()
        else:
            raise AssertionError("the last answer has no calls")
        again = client.ask("again?")  # the whole history goes up once more, with an answer at its end
    check(again, script[-1].answer)
    assert server.refusals == []
    views = [server.dialect.view(request.body) for request in server.completions]
    assert views[0].prompt == question
    for view, step in zip(views[1:-1], script[:-1], strict=True):
        results = [said_of(result, dialect, upstream) for result in step.results]
        assert [result.text for result in view.results] == results
        shown = sum(result.shown for result in step.results)
        seen = sum(result.images for result in view.results)
        assert seen == shown or view.images >= shown  # in the results, or beside them


def said_of(result: Told, dialect: str, upstream: str) -> str:
    """Only Messages has a flag for errors: one without words is told in a word. It takes no blank text."""
    text = result.text if upstream != "messages" or result.text.strip() else ""
    return text or ("error" if result.error and dialect == "messages" else "")


def check(said: Heard, answer: Answer) -> None:
    assert said.text == answer.text
    assert said.thoughts.replace("\n", "") == answer.thoughts.replace("\n", "")
    assert [(call.name, call.input) for call in said.calls] == [(use.name, use.input) for use in answer.uses]
    assert said.stop == ("tools" if answer.uses else "stop")
