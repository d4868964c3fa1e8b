"""Whole answers in each other dialect: a document the SDKs' models accept, which says the same; and errors.

Also what was asked for as a stream and came as a document, and the reverse.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from anthropic.types import Message
from openai.types.chat import ChatCompletion
from openai.types.responses import Response
from pydantic import BaseModel

from relay.errors import UpstreamRefused
from tests.streams import CORPUS, FOLDERS, checked, download
from tests.told import Json, Tale
from tests.translated import (
    MODEL,
    PAIRS,
    REQUESTS,
    carried,
    convert,
    counts_of,
    finish_of,
    others,
    told,
    told_by_document,
    translate,
    verdict,
)
from tests.translation_sources import Source, of_kind

MODELS: dict[str, type[BaseModel]] = {"chat": ChatCompletion, "messages": Message, "responses": Response}
WHOLE = {
    dialect: {key: value for key, value in request.items() if not key.startswith("stream")}
    for dialect, request in REQUESTS.items()
}
"""Requests for documents."""
BEGUN = "openai--pydantic-ai--openai-responses-background-mode-reasoning-vcr-1"
"""Asked for in the background: the answer to it is that it has been queued."""


@dataclass(frozen=True)
class Pair:
    dialect: str
    name: str
    status: int
    request: Json
    response: Json

    @property
    def body(self) -> bytes:
        return json.dumps(self.response).encode()

    def __str__(self) -> str:
        return f"{self.dialect}/{self.name}"


@cache
def pairs() -> list[Pair]:
    """A request and its answer; none where the corpus is not beside the project."""
    found: list[Pair] = []
    for dialect, folder in FOLDERS.items():
        for path in sorted(Path(CORPUS / "recorded" / folder / "pairs").glob("*.json")):
            record = json.loads(path.read_bytes())
            found.append(Pair(dialect, path.stem, record["status"], record["request"], record["response"]))
    return found


ANSWERS = [pair for pair in pairs() if pair.status == 200 and pair.name != BEGUN]
ERRORS = [pair for pair in pairs() if pair.status != 200]


def test_every_pair_is_an_answer_or_an_error() -> None:
    assert (len(ANSWERS), len(ERRORS)) in ((88, 17), (0, 0))
    assert len(pairs()) in (len(ANSWERS) + len(ERRORS) + 1, 0)


def arranged(said: list[tuple[Any, ...]], client: str) -> list[tuple[Any, ...]]:
    """As a completion can have it: one text of each kind, then the calls; pieces of reasoning a line each."""
    said = [("call", None, *one[2:]) if one[0] == "call" and one[1] is None else one for one in said]
    if client != "chat":
        return said
    texts = {
        kind: "".join(one[1] for one in said if one[0] == kind) for kind in ("reasoning", "text", "refusal")
    }
    texts["reasoning"] = texts["reasoning"].replace("\n", "")
    return [
        *((kind, text) for kind, text in texts.items() if text),
        *(one for one in said if one[0] == "call"),
    ]


def assert_says(document: Json, before: Tale, upstream: str, client: str) -> None:
    MODELS[client].model_validate(document, strict=client != "responses")
    after = told_by_document[client](document)
    got, expected = arranged(carried(after, client), client), arranged(carried(before, client), client)
    for one, other in zip(got, expected, strict=True):
        if other[0] == "call" and other[1] is None:
            assert str(one[1]).startswith("call_")
            assert one[2:] == other[2:]
        else:
            assert one == other
    assert after.finish == finish_of(before, upstream, client)
    assert after.counts == counts_of(before, client)
    assert after.model == MODEL


@pytest.mark.parametrize("pair", ANSWERS, ids=str)
def test_an_answer_says_the_same_in_every_dialect(pair: Pair) -> None:
    before = told_by_document[pair.dialect](pair.response)
    for client in others(pair.dialect):
        document = convert(client, pair.dialect, pair.body, WHOLE[client])
        assert_says(document, before, pair.dialect, client)


@pytest.mark.parametrize("pair", ANSWERS, ids=str)
def test_there_and_back_says_the_same(pair: Pair) -> None:
    before = told_by_document[pair.dialect](pair.response)
    for between in others(pair.dialect):
        there = convert(between, pair.dialect, pair.body, WHOLE[between])
        back = convert(pair.dialect, between, json.dumps(there).encode(), WHOLE[pair.dialect])
        after = told_by_document[pair.dialect](back)
        assert [call[1:] for call in after.calls] == [call[1:] for call in before.calls]
        assert after.text("text", "refusal") == before.text("text", "refusal")
        assert after.text("reasoning").replace("\n", "") == before.text("reasoning").replace("\n", "")
        met = told_by_document[between](there)
        assert after.finish == finish_of(met, between, pair.dialect)


@pytest.mark.parametrize("pair", ANSWERS, ids=str)
def test_a_stream_that_was_asked_for_is_made_of_a_document(pair: Pair) -> None:
    before = told_by_document[pair.dialect](pair.response)
    for client in others(pair.dialect):
        answer = translate(client, pair.dialect, pair.body)
        assert answer.ended
        assert answer.stream.note == b"x-relay-converted: json\r\n"
        assert verdict(client, answer.events) == "complete"
        after = told[client](answer.events)
        expected = carried(before, client)
        assert [one[2:] if one[0] == "call" else one for one in carried(after, client)] == [
            one[2:] if one[0] == "call" else one for one in expected
        ]
        assert after.finish == finish_of(before, pair.dialect, client)
        assert after.counts == counts_of(before, client)
        again = download(checked(client, chunked=False), [answer.body])
        assert (again.body, again.stream.repairs) == (answer.body, {})


def incomplete_call(source: Source) -> bool:
    """The output limit cut a call: a document leaves it out, where its arguments must be an object."""
    calls = told[source.dialect](source.events).calls
    return any(not isinstance(arguments, dict) for _, _, arguments in calls)


NO_MESSAGE = {
    f"recorded/chat-completions/openrouter--rig--openrouter-tool-truncation-contract-matrix-streaming-{which}"
    for which in ("gpt41-low-agent", "gpt4o-mid-agent")
}
"""The limit cut a call, and the server calls it whole: a message has no place for half an object."""


@pytest.mark.parametrize("source", of_kind("whole"), ids=str)
def test_a_document_that_was_asked_for_is_made_of_a_stream(source: Source) -> None:
    before = told[source.dialect](source.events)
    for client in others(source.dialect):
        if client == "messages" and source.name in NO_MESSAGE:
            assert refused(client, source.dialect, source.body, 200).status == 502
            continue
        document = convert(client, source.dialect, source.body, WHOLE[client])
        if client == "messages" and incomplete_call(source):
            before.said = [
                one for one in before.said if one.kind != "call" or isinstance(one.arguments, dict)
            ]
        assert_says(document, before, source.dialect, client)


# --- errors -----------------------------------------------------------------------------------------

# fmt: off
ANTHROPIC = {
    400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error",
    404: "not_found_error", 405: "invalid_request_error", 408: "timeout_error", 409: "conflict_error",
    413: "request_too_large", 415: "invalid_request_error", 422: "invalid_request_error",
    429: "rate_limit_error", 500: "api_error", 501: "api_error", 502: "api_error",
    503: "overloaded_error", 504: "timeout_error", 529: "overloaded_error",
}
# fmt: on
OPENAI: dict[int, tuple[str, str]] = {
    **dict.fromkeys((400, 405, 409, 415, 422), ("invalid_request_error", "invalid_request_error")),
    401: ("invalid_request_error", "invalid_api_key"),
    402: ("insufficient_quota", "insufficient_quota"),
    403: ("permission_error", "permission_error"),
    404: ("invalid_request_error", "model_not_found"),
    **dict.fromkeys((408, 504), ("server_error", "timeout")),
    413: ("invalid_request_error", "request_too_large"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
    **dict.fromkeys((500, 501, 502), ("server_error", "server_error")),
    **dict.fromkeys((503, 529), ("server_error", "slow_down")),
}
"""Type and code by status, where the upstream has no code of its own."""


def refused(client: str, upstream: str, body: bytes, status: int) -> UpstreamRefused:
    with pytest.raises(UpstreamRefused) as caught:
        convert(client, upstream, body, WHOLE[client], status)
    return caught.value


@pytest.mark.parametrize("pair", ERRORS, ids=str)
def test_an_error_keeps_its_status_and_its_words(pair: Pair) -> None:
    given = pair.response.get("error", pair.response)
    given = {"message": given} if isinstance(given, str) else given
    for client in others(pair.dialect):
        error = refused(client, pair.dialect, pair.body, pair.status)
        assert error.status == pair.status
        said = json.loads(error.body)
        assert said["error"]["message"] == given["message"]
        if client == "messages":
            assert (said["type"], said["error"]["type"]) == ("error", ANTHROPIC[pair.status])
        else:
            type_, code = OPENAI[pair.status]
            own = given.get("code")
            assert said["error"]["type"] == type_
            assert said["error"]["code"] == (own if own and not str(own).isdigit() else code)


@pytest.mark.parametrize("status", sorted(ANTHROPIC))
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_a_status_alone_names_the_error(client: str, upstream: str, status: int) -> None:
    """As a proxy's HTML page has it, or no body at all; and as the upstream's dialect has it."""
    for body, words in ((b"", ""), (b"<h1>no</h1>", ": <h1>no</h1>")):
        error = refused(client, upstream, body, status)
        assert_named(error, client, status, f"the upstream answered {status}{words}")
    own = {"message": "m", "type": ANTHROPIC[status] if upstream == "messages" else OPENAI[status][0]}
    own |= {} if upstream == "messages" else {"code": OPENAI[status][1]}
    error = refused(client, upstream, json.dumps({"type": "error", "error": own}).encode(), status)
    assert_named(error, client, status, "m")


def assert_named(error: UpstreamRefused, client: str, status: int, message: str) -> None:
    told_status = {("messages", 503): 529, ("chat", 529): 503, ("responses", 529): 503}
    assert error.status == told_status.get((client, status), status)
    said = json.loads(error.body)["error"]
    assert said["message"] == message
    if client == "messages":
        assert said["type"] == ANTHROPIC[status]
    else:
        assert (said["type"], said["code"]) == OPENAI[status]


TOO_LONG = {
    "chat": {"message": "This model's maximum context length is 8 tokens.", "type": "BadRequestError"},
    "messages": {"message": "prompt is too long: 9 tokens > 8 maximum", "type": "invalid_request_error"},
    "responses": {"message": "Too long.", "type": None, "code": "context_length_exceeded"},
}


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_a_prompt_that_is_too_long_is_called_so(client: str, upstream: str) -> None:
    """Claude Code looks for the words, OpenAI's clients for the code."""
    body = json.dumps({"error": TOO_LONG[upstream]}).encode()
    said = json.loads(refused(client, upstream, body, 400).body)["error"]
    if client == "messages":
        assert said["type"] == "invalid_request_error"
        assert said["message"].startswith("prompt is too long: ")
        assert said["message"].endswith(str(TOO_LONG[upstream]["message"]))
    else:
        assert said["code"] == "context_length_exceeded"
        assert said["message"] == TOO_LONG[upstream]["message"]


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"[1]", b"null", b"x", b'{"a":', b"data: {}\n\n", b"\xff"]
)
def test_an_answer_that_is_none_is_a_502(client: str, upstream: str, body: bytes) -> None:
    error = refused(client, upstream, body, 200)
    assert error.status == 502
    assert json.loads(error.body)["error"]["message"]


@pytest.mark.parametrize("source", of_kind("failed", "cut"), ids=str)
def test_a_stream_that_failed_becomes_no_document(source: Source) -> None:
    for client in others(source.dialect):
        error = refused(client, source.dialect, source.body, 200)
        assert error.status >= 400
        assert json.loads(error.body)["error"]["message"]


@pytest.mark.skipif(not pairs(), reason="the corpus is not beside this project")
def test_an_answer_that_has_only_been_queued_is_a_502() -> None:
    pair = next(pair for pair in pairs() if pair.name == BEGUN)
    for client in others(pair.dialect):
        assert refused(client, pair.dialect, pair.body, 200).status == 502
