"""Conversations as they are in the wild, each of which some gateway has broken."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.scripted.client import Given
from tests.scripted.histories import CHAT_HISTORIES, MESSAGES_HISTORIES, RESPONSES_HISTORIES
from tests.scripted.paths import Path, Paths
from tests.scripted.script import Answer, Conversation, Think, Use, answer
from tests.scripted.sdks import CLIENTS

DIALECTS = tuple(CLIENTS)
PAIRS = [(client, upstream) for upstream in DIALECTS for client in DIALECTS]
TRANSLATED = [(client, upstream) for client, upstream in PAIRS if client != upstream]

BOTH = pytest.mark.parametrize("stream", [False, True], ids=["document", "stream"])
EACH_PAIR = pytest.mark.parametrize(("dialect", "upstream"), PAIRS)
EACH_TRANSLATED = pytest.mark.parametrize(("dialect", "upstream"), TRANSLATED)

NASTY = (
    'a"b\\c\n\r\n\tdata: [DONE]\n\nevent: x\u2028\u2029\x7f '
    '\U0001f600é\u0301 </think> {"x": 1} \\u0041 \x0b\x1f!'
)


@pytest.fixture(scope="module")
def paths() -> Iterator[Paths]:
    running = Paths()
    yield running
    running.close()


@BOTH
@EACH_PAIR
def test_every_character(paths: Paths, dialect: str, upstream: str, stream: bool) -> None:
    path = paths(upstream)
    use = Use("look", {"what": NASTY})
    server = path.plays(lambda c: answer(NASTY) if c.results else answer(Think(NASTY), NASTY, use))
    with path.client(dialect, stream) as client:
        said = client.ask(NASTY)
        (call,) = said.calls
        client.give([Given(call.id, NASTY)])
        final = client.hear()
    assert (said.thoughts, said.text, call.input, final.text) == (NASTY, NASTY, {"what": NASTY}, NASTY)
    first, second = (server.dialect.view(request.body) for request in server.completions)
    assert (first.prompt, second.results[0].text) == (NASTY, NASTY)


@BOTH
@EACH_PAIR
def test_twenty_calls_at_once(paths: Paths, dialect: str, upstream: str, stream: bool) -> None:
    uses = [Use("look", {"what": f"thing {number}"}) for number in range(20)]
    path = paths(upstream)
    server = path.plays(lambda c: answer("done") if c.results else answer(*uses, interleave=True))
    with path.client(dialect, stream) as client:
        calls = client.ask("?").calls
        client.give([Given(call.id, str(call.input)) for call in reversed(calls)])
        assert client.hear().text == "done"
    assert [call.input for call in calls] == [use.input for use in uses]
    assert len(server.dialect.view(server.completions[1].body).results) == 20
    assert server.refusals == []


@BOTH
@EACH_PAIR
def test_thoughts_between_calls(paths: Paths, dialect: str, upstream: str, stream: bool) -> None:
    parts = (
        *(Think("a"), Use("look", {"what": "x"}), Think("b"), Use("look", {"what": "y"})),
        *(Think("c"), "end"),
    )
    path = paths(upstream)
    server = path.plays(lambda c: answer("done") if c.results else answer(*parts))
    with path.client(dialect, stream) as client:
        said = client.ask("?")
        client.give([Given(call.id, "r") for call in said.calls])
        assert client.hear().text == "done"
    assert said.thoughts.replace("\n", "") == "abc"
    assert (said.text, [call.input for call in said.calls]) == ("end", [{"what": "x"}, {"what": "y"}])
    assert server.refusals == []


@BOTH
@EACH_PAIR
def test_an_answer_of_nothing(paths: Paths, dialect: str, upstream: str, stream: bool) -> None:
    path = paths(upstream)
    path.plays(lambda _: answer())
    with path.client(dialect, stream) as client:
        said = client.ask("?")
    assert (said.text, said.calls, said.stop, said.output) == ("", [], "stop", 12)


@BOTH
@pytest.mark.parametrize("dialect", DIALECTS)
def test_ids_of_kimi(paths: Paths, dialect: str, stream: bool) -> None:
    """The model needs its own ids back, dots and colons included."""
    path = paths("chat")

    def play(conversation: Conversation) -> Answer:
        if conversation.rounds == 2:
            return answer("done")
        return answer(Use("look", {"what": "x"}, id=f"functions.look:{conversation.rounds}"))

    server = path.plays(play)
    with path.client(dialect, stream) as client:
        said = client.ask("?")
        for number in range(2):
            (call,) = said.calls
            assert call.id == f"functions.look:{number}"
            client.give([Given(call.id, "r")])
            said = client.hear()
    assert list(server.dialect.view(server.completions[2].body).calls) == [
        "functions.look:0",
        "functions.look:1",
    ]


@BOTH
@pytest.mark.parametrize("dialect", DIALECTS)
def test_ids_that_come_again(paths: Paths, dialect: str, stream: bool) -> None:
    """Small servers count the calls of each answer from 0."""
    path = paths("chat")

    def play(conversation: Conversation) -> Answer:
        if conversation.rounds == 3:
            return answer("done")
        return answer(Use("look", {"what": str(conversation.rounds)}, id="call_0"), Use("clock", id="call_1"))

    server = path.plays(play)
    with path.client(dialect, stream) as client:
        said = client.ask("?")
        for number in range(3):
            client.give([Given(call.id, f"{call.name} {number}") for call in said.calls])
            said = client.hear()
    assert said.text == "done"
    assert server.refusals == []
    told = [
        message["content"] for message in server.completions[3].body["messages"] if message["role"] == "tool"
    ]
    assert told == [f"{name} {number}" for number in range(3) for name in ("look", "clock")]


# Histories that are not as they should be.


def tell(path: Path, dialect: str, history: list[Any], **options: Any) -> Any:
    """What the upstream was told; it took it."""
    server = path.plays(lambda _: answer("well"))
    with path.client(dialect, False) as client:
        client.options |= options
        client.history += history
        assert client.hear().text == "well"
    assert server.refusals == []
    return server.dialect.view(server.completions[0].body)


@pytest.mark.parametrize("upstream", ["messages", "responses"])
@pytest.mark.parametrize("what", CHAT_HISTORIES)
def test_a_chat_history(paths: Paths, what: str, upstream: str) -> None:
    tell(paths(upstream), "chat", CHAT_HISTORIES[what])


@pytest.mark.parametrize("upstream", ["chat", "responses"])
@pytest.mark.parametrize("what", MESSAGES_HISTORIES)
def test_a_messages_history(paths: Paths, what: str, upstream: str) -> None:
    tell(paths(upstream), "messages", MESSAGES_HISTORIES[what])


@pytest.mark.parametrize("upstream", ["chat", "messages"])
@pytest.mark.parametrize("what", RESPONSES_HISTORIES)
def test_a_responses_history(paths: Paths, what: str, upstream: str) -> None:
    tell(paths(upstream), "responses", RESPONSES_HISTORIES[what])


# What stands beside a conversation.


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("upstream", DIALECTS)
@pytest.mark.parametrize("at", ["first", "amid"])
def test_a_silent_model(dialect: str, upstream: str, at: str, patient: Paths) -> None:
    """The signs of life that relay sends meanwhile are no part of the answer."""
    gate = threading.Event()
    frames = 0 if at == "first" else {"chat": 3, "messages": 6, "responses": 7}[upstream]
    path = patient(upstream)
    path.plays(lambda _: answer(Think("hm, hm, hm"), "one two three", hold=(frames, gate)))
    threading.Timer(0.15, gate.set).start()
    with path.client(dialect, True) as client:
        said = client.ask("?")
    assert (said.thoughts, said.text, said.stop) == ("hm, hm, hm", "one two three", "stop")


@pytest.fixture(scope="module")
def patient() -> Iterator[Paths]:
    """A relay that sends a sign of life every 20 ms."""
    running = Paths("--keep-alive", "20ms")
    yield running
    running.close()


@EACH_TRANSLATED
def test_every_answer_has_an_id_of_its_own(paths: Paths, dialect: str, upstream: str) -> None:
    path = paths(upstream)
    path.plays(lambda _: answer("well"))
    prefix = {"chat": "chatcmpl-", "messages": "msg_", "responses": "resp_"}[dialect]
    with path.client(dialect, False) as client:
        client.say("?")
        found = {client.resource.create(**client.request()).id for _ in range(3)}
    assert len(found) == 3
    assert all(ident.startswith(prefix) for ident in found)


def test_usage_comes_only_to_the_chat_client_that_asked(paths: Paths) -> None:
    for upstream in ("messages", "responses"):
        path = paths(upstream)
        path.plays(lambda _: answer("well"))
        with path.client("chat", True) as client:
            client.say("?")
            create = client.resource.create
            plain = list(create(**client.request(), stream=True))
            counted = list(create(**client.request(), stream=True, stream_options={"include_usage": True}))
        assert all(chunk.choices and chunk.usage is None for chunk in plain)
        assert [chunk.usage.total_tokens for chunk in counted if chunk.usage] == [37]
        assert counted[-1].choices == []
