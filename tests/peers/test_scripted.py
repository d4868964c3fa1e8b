"""The scripted server is one that the real SDKs accept, and one that refuses what a real one refuses."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from tests.scripted import Server
from tests.scripted.client import Given, Heard, Tool
from tests.scripted.loops import THINKING, TOOLS, check_heard, check_seen, loop, play
from tests.scripted.refused import BAD, GOOD, Body, chat, messages, responses
from tests.scripted.script import Decline, Fault, Scenario, Think, Use, answer, in_turn
from tests.scripted.sdks import CLIENTS

from .conftest import announced

DIALECTS = tuple(CLIENTS)


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Server]]:
    running = {dialect: Server(dialect, lambda _: answer("well")) for dialect in DIALECTS}
    for server in running.values():
        server.__enter__()
    yield running
    for server in running.values():
        server.close()


def post(server: Server, body: Body, path: str | None = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    headers = {"content-type": "application/json", "anthropic-version": "2023-06-01"}
    connection.request("POST", path or server.dialect.path, json.dumps(body), headers)
    answered = connection.getresponse()
    document = json.loads(answered.read())
    connection.close()
    return answered.status, document


@pytest.mark.parametrize(
    ("dialect", "words", "body"), [(dialect, *case) for dialect in DIALECTS for case in BAD[dialect]]
)
def test_what_a_real_server_refuses(servers: dict[str, Server], dialect: str, words: str, body: Body) -> None:
    status, document = post(servers[dialect], body)
    assert status == 400
    assert re.search(words, document["error"]["message"]), document


@pytest.mark.parametrize(
    ("dialect", "body"), [(dialect, body) for dialect in DIALECTS for body in GOOD[dialect]]
)
def test_what_a_real_server_takes(servers: dict[str, Server], dialect: str, body: Body) -> None:
    assert post(servers[dialect], body)[0] == 200


def test_other_paths_are_not_served(servers: dict[str, Server]) -> None:
    for dialect, server in servers.items():
        for other in DIALECTS:
            if other != dialect:
                status, document = post(server, {}, servers[other].dialect.path)
                assert status == 404
                assert "Not Found" in document["error"]["message"]


def test_a_messages_request_without_a_version(servers: dict[str, Server]) -> None:
    server = servers["messages"]
    with pytest.raises(Fault, match="anthropic-version: header is required"):
        server.dialect.check(messages(), {})
    with pytest.raises(Fault, match="top_k: Extra inputs"):
        server.dialect.check(messages(top_k=3), {"anthropic-version": "2026-10-21"})
    server.dialect.check(messages(top_k=3), {"anthropic-version": "2023-06-01"})


# Its answers, judged by the SDKs.


def heard(dialect: str, scenario: Scenario, stream: bool, *tools: Tool, **manner: Any) -> Heard:
    with Server(dialect, scenario, **manner) as server, CLIENTS[dialect](server.url, stream, tools) as client:
        return client.ask("?")


STREAM = pytest.mark.parametrize("stream", [False, True], ids=["document", "stream"])
EACH = pytest.mark.parametrize("dialect", DIALECTS)


@STREAM
@EACH
def test_a_loop_without_relay(dialect: str, stream: bool) -> None:
    with (
        Server(dialect, play, key="k") as server,
        CLIENTS[dialect](server.url, stream, TOOLS, THINKING[dialect]) as client,
    ):
        said = loop(client)
    check_heard(said)
    check_seen(server, said)
    if dialect == "messages":
        errors = [result.error for result in server.dialect.view(server.completions[1].body).results]
        assert errors == [False, True]


@STREAM
@EACH
def test_an_answer_that_met_its_limit(dialect: str, stream: bool) -> None:
    said = heard(dialect, lambda _: answer("I was going to", length=True), stream)
    assert (said.text, said.stop) == ("I was going to", "length")


@STREAM
@EACH
def test_a_refusal(dialect: str, stream: bool) -> None:
    said = heard(dialect, lambda _: answer(Decline("I will not.")), stream)
    if dialect == "messages":
        assert (said.text, said.stop) == ("I will not.", "filter")
    else:
        assert (said.text, said.refusal, said.stop) == ("", "I will not.", "stop")


@STREAM
def test_a_custom_tool(stream: bool) -> None:
    patch = Tool("apply_patch", {}, custom=True)
    said = heard("responses", lambda _: answer(Use("apply_patch", {"input": "*** Begin"})), stream, patch)
    assert [(call.name, call.input) for call in said.calls] == [("apply_patch", "*** Begin")]


def test_the_older_field_of_reasoning() -> None:
    said = heard("chat", lambda _: answer(Think("hm"), "x"), False, reasoning_field="reasoning_content")
    assert said.thoughts == "hm"


def test_vllm_says_its_text_with_an_empty_list_of_calls() -> None:
    with Server("chat", lambda _: answer("one two three")) as server:
        frames = [*server.dialect.frames(answer("one two three"), chat(), "u", 1)]
    first, *texts = [json.loads(frame[6:]) for frame in frames[:-1]]
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [chunk["choices"][0]["delta"]["tool_calls"] for chunk in texts] == [[]] * 3
    assert all(chunk["choices"] for chunk in texts)  # usage only when asked for


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(429, "slow down", retry_after="7"), "RateLimitError"),
        (Fault(400, "no"), "BadRequestError"),
        (Fault(503, "full"), "InternalServerError"),
    ],
)
@EACH
def test_an_error(dialect: str, fault: Fault, kind: str) -> None:
    sdk = anthropic if dialect == "messages" else openai
    with pytest.raises(getattr(sdk, kind), match=fault.message) as raised:
        heard(dialect, lambda _: fault, True)
    assert raised.value.response.headers.get("retry-after") == fault.headers.get("retry-after")


@STREAM
@EACH
def test_a_cut_answer(dialect: str, stream: bool) -> None:
    """What the SDK makes of it is its own affair; no whole answer comes of it."""
    with pytest.raises(Exception, match=r"(?i)connection|peer|read|reset"):
        heard(dialect, lambda _: answer("one two three", cut=3), stream)


def test_answers_in_turn() -> None:
    with (
        Server("chat", in_turn(Fault(503, "full"), answer("first"), answer("last"))) as server,
        CLIENTS["chat"](server.url, True) as client,
    ):
        with pytest.raises(openai.InternalServerError):
            client.ask("?")
        assert [client.ask("?").text, client.ask("?").text, client.ask("?").text] == ["first", "last", "last"]
        assert [seen.refused for seen in server.requests] == ["503 full", None, None, None]


@EACH
def test_a_stream_that_is_held(dialect: str) -> None:
    """The first frames are there while the rest waits."""
    gate = threading.Event()
    held = answer("one two three", hold=(4, gate))
    with Server(dialect, lambda _: held) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        body = {"chat": chat, "messages": messages, "responses": responses}[dialect](stream=True)
        headers = {"anthropic-version": "2023-06-01"}
        connection.request("POST", server.dialect.path, json.dumps(body), headers)
        answered = connection.getresponse()
        begun = answered.read1(65536)
        assert begun
        assert b"three" not in begun
        gate.set()
        assert b"three" in answered.read()
        connection.close()


# As a program.


SHELLS: dict[str, tuple[Body, Any]] = {
    "Bash": ({"command": {"type": "string"}, "description": {"type": "string"}}, {"command": "echo hi"}),
    "exec_command": ({"cmd": {"type": "string"}, "workdir": {"type": "string"}}, {"cmd": "echo hi"}),
    "shell": (
        {"command": {"type": "array", "items": {"type": "string"}}},
        {"command": ["bash", "-lc", "echo hi"]},
    ),
    "shell_command": ({"command": {"type": "string"}}, {"command": "echo hi"}),
}


@EACH
@pytest.mark.parametrize("shell", SHELLS)
def test_the_program_finds_the_shell(dialect: str, shell: str, tmp_path: Path, start: Any) -> None:
    properties, expected = SHELLS[shell]
    log = tmp_path / "log.jsonl"
    arguments = ("--dialect", dialect, "--scenario", "shell", "--command", "echo hi", "--log", str(log))
    process = start(sys.executable, "-m", "tests.scripted", *arguments, stderr=subprocess.PIPE)
    url = f"http://127.0.0.1:{announced(process, 'listening on')}"
    tool = Tool(shell, properties)
    with CLIENTS[dialect](url, True, (tool, Tool("other", {"x": {"type": "string"}}))) as client:
        said = client.ask("?")
        (call,) = said.calls
        client.give([Given(call.id, "hi")])
        final = client.hear()
    assert (said.thoughts, said.text) == ("I have to look.", "Let me see. ")
    assert call.name == shell
    assert {**call.input, **expected} == call.input  # type: ignore[dict-item]
    assert "'hi'" in final.text
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["number"] > 0, line["refused"]) for line in lines] == [(True, None)] * 2
