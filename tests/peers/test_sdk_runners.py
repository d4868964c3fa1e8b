"""The loops that the SDKs bring: they call the functions themselves, and check what they are given.

OpenAI's compares every item of a stream with the completed response, and validates the history that it
sends back. Anthropic's asks the server to keep the conversation, and has to be told when it cannot.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic.lib.tools import ToolError
from openai.lib.responses_tool_runner import (
    RegisteredFunction,
    ResponsesToolCheckpoint,
    ResponsesToolLedger,
    ResponsesToolRunner,
)

from tests.scripted import Server
from tests.scripted.client import Tool
from tests.scripted.paths import Path, Paths
from tests.scripted.script import Answer, Conversation, Think, Use, answer
from tests.scripted.sdks import CLIENTS

DIALECTS = tuple(CLIENTS)
BOTH = pytest.mark.parametrize("stream", [False, True], ids=["document", "stream"])


@pytest.fixture(scope="module")
def paths() -> Iterator[Paths]:
    running = Paths()
    yield running
    running.close()


def looking(conversation: Conversation) -> Answer:
    """Two rounds; the first has two calls."""
    if conversation.rounds == 2:
        return answer(f"{conversation.results[0].text}.")
    uses = [Use("look", {"what": "nothing"}), Use("look", {"what": "map"})]
    return answer(Think("hm"), "Let me see. ", *uses[conversation.rounds :])


# Anthropic's.


@BOTH
@pytest.mark.parametrize("upstream", DIALECTS)
def test_anthropics(paths: Paths, upstream: str, stream: bool) -> None:
    server = run_anthropics(paths(upstream), stream, thread=False)
    assert server.refusals == []


@BOTH
@pytest.mark.parametrize("upstream", DIALECTS)
def test_anthropics_learns_that_no_threads_are_kept(paths: Paths, upstream: str, stream: bool) -> None:
    server = run_anthropics(paths(upstream), stream)
    assert len(server.refusals) <= 1  # an upstream of its own dialect is asked itself
    assert not any("thread" in request.body for request in server.completions)


def run_anthropics(path: Path, stream: bool, **options: Any) -> Server:
    called: list[str] = []

    @anthropic.beta_tool
    def look(what: str) -> str:
        """Look at something."""
        called.append(what)
        if what == "nothing":
            raise ToolError("there is nothing")
        return f"saw {what}"

    server = path.plays(looking)
    with path.client("messages", stream) as client:
        asked: Any = {"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": "?"}]}
        runner = client.sdk.beta.messages.tool_runner(**asked, **options, tools=[look], stream=stream)
        last = [turn.get_final_message() if stream else turn for turn in runner][-1]
    assert called == ["nothing", "map", "map"]
    assert [block.text for block in last.content if block.type == "text"] == ["saw map."]
    told = [result.text for result in server.dialect.view(server.completions[1].body).results]
    assert told == ["there is nothing", "saw map"]
    return server


# OpenAI's.


@pytest.mark.parametrize("way", ["document", "stream", "eager"])
@pytest.mark.parametrize("kept", [False, True], ids=["", "ledger"])
@pytest.mark.parametrize("upstream", DIALECTS)
def test_openais(paths: Paths, upstream: str, kept: bool, way: str) -> None:
    """``eager``: a call runs when its item is done, before the response is."""
    called: list[Any] = []
    saved: list[ResponsesToolCheckpoint] = []

    def look(arguments: dict[str, object]) -> str:
        called.append(arguments["what"])
        return f"saw {arguments['what']}"

    schema = Tool("look", {"what": {"type": "string"}}).schema
    tool: Any = {
        "type": "function",
        "name": "look",
        "parameters": schema,
        "strict": True,
        "description": None,
    }
    path = paths(upstream)
    server = path.plays(looking)
    with path.client("responses", way != "document") as client:
        runner = ResponsesToolRunner(functions=[RegisteredFunction(tool, look)])
        final = runner.run(
            client.sdk,
            {"model": "m", "input": [{"role": "user", "content": "?"}], "store": False},
            stream=way != "document",
            eager=way == "eager",
            ledger=ResponsesToolLedger("run", saved.append) if kept else None,
        )
        runner.close()
    assert called == ["nothing", "map", "map"]
    assert final.output_text == "saw map."
    assert server.refusals == []
    assert bool(saved) == kept
