"""What a client asks for with its SDK's own parameters, and what the upstream is asked for then."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pydantic
import pytest

from tests.scripted.client import Tool, png
from tests.scripted.loops import TOOLS
from tests.scripted.paths import Path, Paths
from tests.scripted.script import TOKENS, Use, answer
from tests.scripted.sdks import CLIENTS

DIALECTS = tuple(CLIENTS)
PAIRS = [(client, upstream) for upstream in DIALECTS for client in DIALECTS]
TRANSLATED = [(client, upstream) for client, upstream in PAIRS if client != upstream]

EACH_PAIR = pytest.mark.parametrize(("dialect", "upstream"), PAIRS)
EACH_TRANSLATED = pytest.mark.parametrize(("dialect", "upstream"), TRANSLATED)
Body = dict[str, Any]


@pytest.fixture(scope="module")
def paths() -> Iterator[Paths]:
    running = Paths()
    yield running
    running.close()


def asked(path: Path, dialect: str, options: Body, *, tools: bool = True) -> Body:
    """The document that the upstream got."""
    server = path.plays(lambda _: answer("well"))
    with path.client(dialect, False, TOOLS if tools else ()) as client:
        client.options = options
        client.ask("?")
    (seen,) = server.completions
    return dict(seen.body)


CHOICES: dict[str, dict[str, Any]] = {
    "chat": {
        "auto": "auto",
        "none": "none",
        "any": "required",
        "one": {"type": "function", "function": {"name": "look"}},
    },
    "messages": {
        "auto": {"type": "auto"},
        "none": {"type": "none"},
        "any": {"type": "any"},
        "one": {"type": "tool", "name": "look"},
    },
    "responses": {
        "auto": "auto",
        "none": "none",
        "any": "required",
        "one": {"type": "function", "name": "look"},
    },
}


@EACH_PAIR
@pytest.mark.parametrize("choice", ["auto", "none", "any", "one"])
def test_tool_choice(paths: Paths, dialect: str, upstream: str, choice: str) -> None:
    body = asked(paths(upstream), dialect, {"tool_choice": CHOICES[dialect][choice]})
    assert body["tool_choice"] == CHOICES[upstream][choice]


SERIAL: dict[str, Body] = {
    "chat": {"parallel_tool_calls": False},
    "messages": {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
    "responses": {"parallel_tool_calls": False},
}


@EACH_PAIR
def test_one_call_at_a_time(paths: Paths, dialect: str, upstream: str) -> None:
    body = asked(paths(upstream), dialect, SERIAL[dialect])
    assert {name: body[name] for name in SERIAL[upstream]} == SERIAL[upstream]


SYSTEM: dict[str, Body] = {
    "messages": {"system": [{"type": "text", "text": "Be short."}, {"type": "text", "text": "Be kind."}]},
    "responses": {"instructions": "Be short.\n\nBe kind."},
}


@EACH_TRANSLATED
def test_a_system_prompt(paths: Paths, dialect: str, upstream: str) -> None:
    path = paths(upstream)
    server = path.plays(lambda _: answer("well"))
    with path.client(dialect, False) as client:
        client.options = SYSTEM.get(dialect, {})
        if dialect == "chat":
            client.history += [{"role": "system", "content": text} for text in ("Be short.", "Be kind.")]
        client.ask("?")
    told = server.dialect.view(server.completions[0].body)
    assert "\n\n".join(told.system) == "Be short.\n\nBe kind."
    assert told.prompt == "?"


@EACH_TRANSLATED
def test_a_system_message_amid_the_conversation(paths: Paths, dialect: str, upstream: str) -> None:
    """No template takes it, and neither does Messages: it is told in another way, but it is told."""
    path = paths(upstream)
    server = path.plays(lambda _: answer("well"))
    with path.client(dialect, False) as client:
        client.ask("first")
        client.history.append({"role": "system", "content": "Now be rude."})
        client.ask("second")
    told = server.completions[1].body
    assert "Now be rude." in str(told)
    assert server.refusals == []


LIMITS: dict[str, Body] = {
    "chat": {"max_completion_tokens": 77},
    "messages": {"max_tokens": 77},
    "responses": {"max_output_tokens": 77},
}
LIMIT_NAMES = {"chat": "max_tokens", "messages": "max_tokens", "responses": "max_output_tokens"}


@EACH_TRANSLATED
def test_a_limit(paths: Paths, dialect: str, upstream: str) -> None:
    assert asked(paths(upstream), dialect, LIMITS[dialect])[LIMIT_NAMES[upstream]] == 77


def test_the_older_name_of_the_limit(paths: Paths) -> None:
    for upstream in ("messages", "responses"):
        assert asked(paths(upstream), "chat", {"max_tokens": 77})[LIMIT_NAMES[upstream]] == 77


STOPS: dict[str, Body] = {"chat": {"stop": ["END", "."]}, "messages": {"stop_sequences": ["END", "."]}}


@pytest.mark.parametrize(("dialect", "upstream"), [("chat", "messages"), ("messages", "chat")])
def test_stop_sequences(paths: Paths, dialect: str, upstream: str) -> None:
    (name, value), *_ = STOPS[upstream].items()
    assert asked(paths(upstream), dialect, STOPS[dialect])[name] == value


@EACH_PAIR
@pytest.mark.parametrize("kind", ["url", "data"])
def test_an_image(paths: Paths, dialect: str, upstream: str, kind: str) -> None:
    path = paths(upstream)
    server = path.plays(lambda _: answer("well"))
    with path.client(dialect, False) as client:
        client.say("What is this?", png())
        if kind == "url":
            _link(client.history[0]["content"])
        client.hear()
    told = server.dialect.view(server.completions[0].body)
    assert (told.prompt, told.images) == ("What is this?", 1)
    assert ("https://example.com/a.png" in str(told.body)) == (kind == "url")


def _link(content: list[Body]) -> None:
    for part in content:
        if part["type"] == "image":
            part["source"] = {"type": "url", "url": "https://example.com/a.png"}
        elif part["type"] == "image_url":
            part["image_url"] = {"url": "https://example.com/a.png"}
        elif part["type"] == "input_image":
            part["image_url"] = "https://example.com/a.png"


class Place(pydantic.BaseModel):
    city: str
    days: int


@EACH_PAIR
def test_structured_output(paths: Paths, dialect: str, upstream: str) -> None:
    """The SDK's own way: a model class goes in, an instance comes out."""
    path = paths(upstream)
    server = path.plays(lambda _: answer('{"city": "Zürich", "days": 3}'))
    with path.client(dialect, False) as client:
        client.say("?")
        common: Any = {"model": "m"}
        if dialect == "chat":
            parsed = client.sdk.chat.completions.parse(
                **common, messages=client.history, response_format=Place
            )
            place = parsed.choices[0].message.parsed
        elif dialect == "messages":
            parsed = client.sdk.messages.parse(
                **common, messages=client.history, max_tokens=99, output_format=Place
            )
            place = parsed.parsed_output
        else:
            parsed = client.sdk.responses.parse(**common, input=client.history, text_format=Place)
            place = parsed.output_parsed
    assert place == Place(city="Zürich", days=3)
    body = server.completions[0].body
    form = {
        "chat": lambda: body["response_format"]["json_schema"],
        "messages": lambda: body["output_config"]["format"],
        "responses": lambda: body["text"]["format"],
    }[upstream]()
    assert set(form["schema"]["properties"]) == {"city", "days"}


@EACH_TRANSLATED
def test_what_was_done_is_told(paths: Paths, dialect: str, upstream: str) -> None:
    """The client learns what its answer was made of, and what of its request was left out."""
    path = paths(upstream)
    path.plays(lambda _: answer("well"))
    with path.client(dialect, False) as client:
        client.say("?")
        raw = client.resource.with_raw_response.create
        headers = raw(**client.request(), extra_body={"never_heard_of": 1}).headers
    assert headers["x-relay-dialect"] == f"{dialect}<{upstream}"
    assert "never_heard_of" in headers["x-relay-dropped"].split(",")


@EACH_PAIR
def test_the_models(paths: Paths, dialect: str, upstream: str) -> None:
    with paths(upstream).client(dialect, False) as client:
        assert [model.id for model in client.sdk.models.list()] == ["scripted"]


@pytest.mark.parametrize(
    ("upstream", "profile"), [("chat", "vllm"), ("messages", "generic"), ("responses", "generic")]
)
def test_tokens_are_counted(paths: Paths, upstream: str, profile: str) -> None:
    path = paths(upstream, profile)
    server = path.plays(lambda _: answer("well"))
    count = counted(path)
    assert count.parse().input_tokens == TOKENS
    assert "x-relay-estimated" not in count.headers
    assert server.refusals == []


def test_tokens_are_estimated_where_nobody_counts_them(paths: Paths) -> None:
    path = paths("chat")
    path.plays(lambda _: answer("well"))
    count = counted(path)
    assert 50 < count.parse().input_tokens < 200
    assert count.headers["x-relay-estimated"] == "input_tokens"


def counted(path: Path) -> Any:
    with path.client("messages", False) as client:
        client.say("?")
        asked = {name: client.request()[name] for name in ("model", "messages", "tools")}
        return client.sdk.messages.with_raw_response.count_tokens(**asked)


def test_names_come_back_that_are_too_long_for_the_upstream(paths: Paths) -> None:
    """OpenAI takes 64 characters; Claude Code's tools of MCP servers have more."""
    long = Tool("mcp__" + "a_very_long_name_" * 5, {"what": {"type": "string"}})
    path = paths("chat", "openai", openai=True)
    server = path.plays(
        lambda c: answer("done") if c.results else answer(Use(next(iter(c.tools)), {"what": "x"}))
    )
    for stream in (False, True):
        with path.client("messages", stream, (long,)) as client:
            (call,) = client.ask("?").calls
            assert call.name == long.name
    assert server.refusals == []
