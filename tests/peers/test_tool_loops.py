"""The real SDKs hold whole conversations with tools through relay, with every kind of upstream.

The upstream refuses what a real one refuses, so a loop that ends well says that each of its requests was
legal there, not only that the answers were legal here.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.scripted.client import Client, Given, Tool
from tests.scripted.loops import TOOLS, check_heard, check_seen, loop, play
from tests.scripted.paths import Paths
from tests.scripted.script import Answer, Conversation, Decline, Think, Use, answer
from tests.scripted.sdks import CLIENTS

DIALECTS = tuple(CLIENTS)
PAIRS = [(client, upstream) for upstream in DIALECTS for client in DIALECTS]
TRANSLATED = [(client, upstream) for client, upstream in PAIRS if client != upstream]

BOTH = pytest.mark.parametrize("stream", [False, True], ids=["document", "stream"])
EACH_PAIR = pytest.mark.parametrize(("dialect", "upstream"), PAIRS)
EACH_TRANSLATED = pytest.mark.parametrize(("dialect", "upstream"), TRANSLATED)


@pytest.fixture(scope="module")
def paths() -> Iterator[Paths]:
    running = Paths()
    yield running
    running.close()


@BOTH
@EACH_PAIR
def test_a_loop(paths: Paths, dialect: str, upstream: str, stream: bool) -> None:
    path = paths(upstream)
    server = path.plays(play)
    with path.client(dialect, stream) as client:
        heard = loop(client)
    check_heard(heard)
    check_seen(server, heard)


@BOTH
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_loop_with_openais_own_chat_server(paths: Paths, dialect: str, stream: bool) -> None:
    """It refuses `max_tokens` and `top_k`, and takes no reasoning back."""
    path = paths("chat", "openai", openai=True)
    server = path.plays(play)
    with path.client(dialect, stream) as client:
        heard = loop(client)
    check_heard(heard)
    check_seen(server, heard)


@BOTH
@pytest.mark.parametrize("dialect", ["messages", "responses"])
@pytest.mark.parametrize(("profile", "name"), [("vllm", "reasoning"), ("deepseek", "reasoning_content")])
def test_thoughts_go_back_to_a_server_that_takes_them(
    paths: Paths, profile: str, name: str, dialect: str, stream: bool
) -> None:
    path = paths("chat", profile, reasoning_field=name)
    server = path.plays(play)
    with path.client(dialect, stream) as client:
        heard = loop(client)
    check_heard(heard)
    check_seen(server, heard)
    said = [m for m in server.completions[2].body["messages"] if m["role"] == "assistant"]
    assert [message[name] for message in said] == [heard[0].thoughts, heard[1].thoughts]


@pytest.mark.parametrize("dialect", ["messages", "responses"])
def test_thoughts_go_back_with_their_signature(paths: Paths, dialect: str) -> None:
    """The upstream itself checks the signatures; here that there were any."""
    path = paths("messages")
    server = path.plays(play)
    with path.client(dialect, True) as client:
        loop(client)
    kinds = [
        [block["type"] for block in message["content"]]
        for message in server.completions[2].body["messages"]
        if message["role"] == "assistant"
    ]
    assert kinds == [["thinking", "text", "tool_use", "tool_use"], ["thinking", "text", "tool_use"]]


@BOTH
@pytest.mark.parametrize("dialect", ["chat", "responses"])
def test_a_loop_with_a_budget_for_thoughts(paths: Paths, dialect: str, stream: bool) -> None:
    """With a budget, the upstream refuses a turn whose call has lost its thought."""
    path = paths("messages", "claude-budget")
    server = path.plays(play)
    with path.client(dialect, stream) as client:
        heard = loop(client)
    check_heard(heard)
    check_seen(server, heard)
    asked = [(request.body.get("thinking") or {}).get("budget_tokens") for request in server.completions]
    kept = 8192 if dialect == "responses" else None
    assert asked == [8192, kept, kept, 8192]


@EACH_PAIR
def test_loops_at_the_same_time(paths: Paths, dialect: str, upstream: str) -> None:
    """Nothing of one conversation gets into another."""

    def quoting(conversation: Conversation) -> Answer:
        told = [result.text for result in conversation.results] or [conversation.prompt]
        if conversation.rounds == 3:
            return answer(*(f"{text}." for text in told))
        return answer(Think(told[0]), Use("look", {"what": told[0]}), Use("clock", {"zone": told[-1]}))

    def talk(number: int) -> None:
        with path.client(dialect, bool(number % 2)) as client:
            said = client.ask(f"number {number}")
            for _ in range(3):
                look, clock = said.calls
                assert (look.input, clock.input) == ({"what": look_at(number)}, {"zone": look_at(number)})
                client.give([Given(look.id, look_at(number)), Given(clock.id, look_at(number))])
                said = client.hear()
            assert said.text == f"{look_at(number)}.{look_at(number)}."

    def look_at(number: int) -> str:
        return f"number {number}"

    path = paths(upstream)
    server = path.plays(quoting)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(talk, range(8)))
    assert server.refusals == []
    calls = [ident for request in server.completions for ident in server.dialect.view(request.body).calls]
    assert len(set(calls)) == 8 * 6


# What a stream may not wait for.


HELD = {"chat": 2, "messages": 4, "responses": 5}
"""Frames up to the first text, by the upstream's dialect."""


@EACH_PAIR
def test_the_first_delta_comes_before_the_second_is_sent(paths: Paths, dialect: str, upstream: str) -> None:
    gate = threading.Event()
    path = paths(upstream)
    path.plays(lambda _: answer("one two three", hold=(HELD[upstream], gate)))
    with path.client(dialect, True) as client:
        client.say("?")
        stream = _opened(client)
        first = next(text for event in stream if (text := _text(event)))
        assert not gate.is_set()
        gate.set()
        rest = "".join(_text(event) for event in stream)
    assert (first, first + rest) == ("one two", "one two three")


@EACH_PAIR
def test_arguments_come_before_the_call_is_whole(paths: Paths, dialect: str, upstream: str) -> None:
    gate = threading.Event()
    path = paths(upstream)
    use = Use("look", {"what": "a long and winding road"})
    held = {"chat": 3, "messages": 5, "responses": 4}[upstream]
    path.plays(lambda _: answer(use, hold=(held, gate)))
    with path.client(dialect, True) as client:
        client.say("?")
        stream = _opened(client)
        first = next(text for event in stream if (text := _arguments(event)))
        assert not gate.is_set()
        gate.set()
        rest = "".join(_arguments(event) for event in stream)
    assert first == '{"what"'
    assert json.loads(first + rest) == use.input


def _opened(client: Client) -> Iterator[Any]:
    return iter(client.resource.create(**client.request(), stream=True))


def _text(event: Any) -> str:
    if hasattr(event, "choices"):
        return "".join(choice.delta.content or "" for choice in event.choices)
    if event.type == "content_block_delta":
        return str(getattr(event.delta, "text", ""))
    return str(event.delta) if event.type == "response.output_text.delta" else ""


def _arguments(event: Any) -> str:
    if hasattr(event, "choices"):
        calls = [call for choice in event.choices for call in choice.delta.tool_calls or []]
        return "".join(call.function.arguments or "" for call in calls)
    if event.type == "content_block_delta":
        return str(getattr(event.delta, "partial_json", ""))
    return str(event.delta) if event.type == "response.function_call_arguments.delta" else ""


# Answers of other kinds.


@BOTH
@EACH_PAIR
def test_a_call_without_arguments(paths: Paths, dialect: str, upstream: str, stream: bool) -> None:
    raw = "" if upstream == "chat" and dialect != "chat" else None
    path = paths(upstream)
    server = path.plays(lambda c: answer("done") if c.results else answer(Use("now", {}, raw)))
    with path.client(dialect, stream, (Tool("now", {}),)) as client:
        (call,) = client.ask("?").calls
        client.give([Given(call.id, "")])
        assert client.hear().text == "done"
    assert (call.name, call.input) == ("now", {})
    assert server.refusals == []


@BOTH
@EACH_PAIR
def test_text_after_and_between_calls(paths: Paths, dialect: str, upstream: str, stream: bool) -> None:
    """Two rounds of thoughts, words and calls in one answer."""
    parts = (Think("a"), "one. ", Use("look", {"what": "x"}), "two. ", Use("look", {"what": "y"}))
    path = paths(upstream)
    server = path.plays(lambda c: answer("done") if c.results else answer(*parts))
    with path.client(dialect, stream) as client:
        said = client.ask("?")
        client.give([Given(call.id, f"saw {call.id}") for call in said.calls])
        assert client.hear().text == "done"
    assert (said.thoughts, said.text, said.stop) == ("a", "one. two. ", "tools")
    assert [call.input for call in said.calls] == [{"what": "x"}, {"what": "y"}]
    told = server.dialect.view(server.completions[1].body).results
    assert [result.text for result in told] == [f"saw {call.id}" for call in said.calls]
    assert server.refusals == []


@BOTH
@EACH_TRANSLATED
def test_an_answer_that_met_its_limit(paths: Paths, dialect: str, upstream: str, stream: bool) -> None:
    path = paths(upstream)
    path.plays(lambda _: answer(Think("hm"), "I was going to", length=True))
    with path.client(dialect, stream) as client:
        said = client.ask("?")
    assert (said.thoughts, said.text, said.stop) == ("hm", "I was going to", "length")


@EACH_TRANSLATED
def test_a_call_that_met_the_limit_is_none_to_run(paths: Paths, dialect: str, upstream: str) -> None:
    path = paths(upstream)
    path.plays(lambda _: answer("Let me ", Use("look", raw='{"what": "a lo'), length=True))
    with path.client(dialect, True) as client:
        said = client.ask("?")
    assert (said.text, said.stop) == ("Let me ", "length")
    assert all(call.input in ({"what": "a lo"}, {}, '{"what": "a lo') for call in said.calls)


REFUSED = {
    ("chat", "messages"): ("No.", "", "filter"),
    ("chat", "responses"): ("", "No.", "stop"),
    ("messages", "chat"): ("No.", "", "filter"),
    ("messages", "responses"): ("No.", "", "filter"),
    ("responses", "chat"): ("", "No.", "stop"),
    ("responses", "messages"): ("No.", "", "filter"),
}
"""Text, refusal and stop of a client over an upstream whose model declined."""


@BOTH
@EACH_TRANSLATED
def test_a_refusal(paths: Paths, dialect: str, upstream: str, stream: bool) -> None:
    path = paths(upstream)
    path.plays(lambda _: answer(Decline("No.")))
    with path.client(dialect, stream) as client:
        said = client.ask("?")
    assert (said.text, said.refusal, said.stop) == REFUSED[dialect, upstream]


@BOTH
@EACH_TRANSLATED
def test_an_answer_in_the_form_that_was_not_asked_for(
    paths: Paths, dialect: str, upstream: str, stream: bool
) -> None:
    parts = (Think("hm"), "Let me see. ", Use("look", {"what": "x"}))
    path = paths(upstream)
    path.plays(lambda _: answer(*parts, form="document" if stream else "stream"))
    with path.client(dialect, stream) as client:
        said = client.ask("?")
    assert (said.thoughts, said.text, said.stop) == ("hm", "Let me see. ", "tools")
    assert [(call.name, call.input) for call in said.calls] == [("look", {"what": "x"})]


PATCH = "*** Begin Patch\n*** Add File: ü\n+\"'\n*** End Patch\n"


@BOTH
@pytest.mark.parametrize("upstream", DIALECTS)
def test_a_custom_tool(paths: Paths, upstream: str, stream: bool) -> None:
    """Codex's `apply_patch`: free text at the client, a property of a function elsewhere."""
    path = paths(upstream)
    use = Use("apply_patch", {"input": PATCH})
    server = path.plays(lambda c: answer("done") if c.results else answer(use))
    with path.client("responses", stream, (Tool("apply_patch", {}, custom=True), *TOOLS)) as client:
        (call,) = client.ask("?").calls
        client.give([Given(call.id, "Success")])
        assert client.hear().text == "done"
    assert (call.name, call.input) == ("apply_patch", PATCH)
    assert server.refusals == []
    told = server.dialect.view(server.completions[1].body)
    assert [result.text for result in told.results] == ["Success"]
    if upstream != "responses":
        assert told.tools["apply_patch"].schema["required"] == ["input"]


@BOTH
@pytest.mark.parametrize("upstream", ["messages", "responses"])
def test_a_custom_tool_of_a_chat_client(paths: Paths, upstream: str, stream: bool) -> None:
    path = paths(upstream)
    use = Use("apply_patch", {"input": PATCH})
    server = path.plays(lambda c: answer("done") if c.results else answer(use))
    with path.client("chat", stream, (Tool("apply_patch", {}, custom=True),)) as client:
        (call,) = client.ask("?").calls
        client.give([Given(call.id, "Success")])
        assert client.hear().text == "done"
    assert (call.name, call.input) == ("apply_patch", PATCH)
    assert server.refusals == []


@BOTH
@pytest.mark.parametrize("upstream", DIALECTS)
def test_tools_in_a_namespace(paths: Paths, upstream: str, stream: bool) -> None:
    inner = {"type": "function", "name": "read", "parameters": Tool("read", {}).schema, "strict": False}
    tools = [{"type": "namespace", "name": name, "description": "d", "tools": [inner]} for name in ("a", "b")]
    path = paths(upstream)

    def calls(conversation: Conversation) -> Answer:
        if conversation.results:
            return answer("done")
        return answer(Use(next(name for name in conversation.tools if name in ("read", "b__read"))))

    server = path.plays(calls)
    with path.client("responses", stream, ()) as client:
        client.options["tools"] = tools
        (call,) = client.ask("?").calls
        item = client.history[-1]
        client.give([Given(call.id, "r")])
        assert client.hear().text == "done"
    assert (item.name, item.namespace) == ("read", "a" if upstream == "responses" else "b")
    assert server.refusals == []
