"""What goes wrong at the upstream is, for the SDK, an error of its own kind, through relay as without."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from tests.scripted.client import Client
from tests.scripted.paths import Path, Paths
from tests.scripted.script import Answer, Fault, Think, Use, answer, in_turn
from tests.scripted.sdks import CLIENTS

DIALECTS = tuple(CLIENTS)
PAIRS = [(client, upstream) for upstream in DIALECTS for client in DIALECTS]
TRANSLATED = [(client, upstream) for client, upstream in PAIRS if client != upstream]

BOTH = pytest.mark.parametrize("stream", [False, True], ids=["document", "stream"])
EACH_PAIR = pytest.mark.parametrize(("dialect", "upstream"), PAIRS)
EACH_TRANSLATED = pytest.mark.parametrize(("dialect", "upstream"), TRANSLATED)

Error = anthropic.APIStatusError | openai.APIError


@pytest.fixture(scope="module")
def paths() -> Iterator[Paths]:
    running = Paths()
    yield running
    running.close()


def sdk(dialect: str) -> Any:
    return anthropic if dialect == "messages" else openai


def failing(path: Path, dialect: str, said: Answer | Fault, stream: bool) -> Any:
    """The SDK's error for this."""
    path.plays(lambda _: said)
    error = anthropic.APIError if dialect == "messages" else openai.APIError
    with path.client(dialect, stream) as client, pytest.raises(error) as raised:
        client.ask("?")
    return raised.value


def words(error: Any) -> str:
    """The message of the error document, whichever SDK holds it."""
    body = error.body if isinstance(error.body, dict) else {}
    return str(body.get("error", body).get("message", error.message))


def names(error: Any) -> tuple[Any, Any]:
    """Its type and code."""
    body = error.body if isinstance(error.body, dict) else {}
    inner = body.get("error", body)
    return inner.get("type"), inner.get("code")


OVERLOADED = {"chat": 503, "messages": 529, "responses": 503}
STATUSES = {
    400: ("BadRequestError", "invalid_request_error", "invalid_request_error"),
    401: ("AuthenticationError", "invalid_request_error", "authentication_error"),
    403: ("PermissionDeniedError", "permission_error", "permission_error"),
    404: ("NotFoundError", "invalid_request_error", "not_found_error"),
    409: ("ConflictError", "invalid_request_error", "conflict_error"),
    413: ("APIStatusError", "invalid_request_error", "request_too_large"),
    422: ("UnprocessableEntityError", "invalid_request_error", "invalid_request_error"),
    429: ("RateLimitError", "rate_limit_error", "rate_limit_error"),
    500: ("InternalServerError", "server_error", "api_error"),
    502: ("InternalServerError", "server_error", "api_error"),
    503: ("InternalServerError", "server_error", "overloaded_error"),
    504: ("InternalServerError", "server_error", "timeout_error"),
    529: ("InternalServerError", "server_error", "overloaded_error"),
}
"""The SDKs' class, OpenAI's type, Anthropic's type."""


@BOTH
@EACH_PAIR
def test_the_class_of_an_error(paths: Paths, dialect: str, upstream: str, stream: bool) -> None:
    for status, (kind, _, _) in STATUSES.items():
        error = failing(paths(upstream), dialect, Fault(status, "so it is", retry_after="7"), stream)
        assert isinstance(error, getattr(sdk(dialect), kind))
        assert error.response.headers["retry-after"] == "7"
        assert words(error) == "so it is"
        overloaded = dialect != upstream and status in (503, 529)
        assert error.status_code == (OVERLOADED[dialect] if overloaded else status)


@EACH_TRANSLATED
@pytest.mark.parametrize("status", STATUSES)
def test_the_type_of_an_error(paths: Paths, dialect: str, upstream: str, status: int) -> None:
    error = failing(paths(upstream), dialect, Fault(status, "so it is"), False)
    assert names(error)[0] == STATUSES[status][2 if dialect == "messages" else 1]


CODES = {401: "invalid_api_key", 404: "model_not_found", 413: "request_too_large", 429: "rate_limit_exceeded"}


@pytest.mark.parametrize(("dialect", "upstream"), [pair for pair in TRANSLATED if pair[0] != "messages"])
def test_the_codes_that_openais_clients_look_for(paths: Paths, dialect: str, upstream: str) -> None:
    for status, code in CODES.items():
        error = failing(paths(upstream), dialect, Fault(status, "so it is"), False)
        assert names(error)[1] == code


TOO_LONG = {
    "chat": Fault(
        400,
        "This model's maximum context length is 32768 tokens. However, your request has 40000 input tokens."
        " Please reduce the length of the input messages.",
    ),
    "messages": Fault(400, "prompt is too long: 208310 tokens > 200000 maximum"),
    "responses": Fault(
        400,
        "Your input exceeds the context window of this model. Please adjust your input and try again.",
        code="context_length_exceeded",
        param="input",
    ),
}


@BOTH
@EACH_TRANSLATED
def test_a_prompt_that_is_too_long(paths: Paths, dialect: str, upstream: str, stream: bool) -> None:
    """Clients look for these words and this code before they make their history shorter."""
    error = failing(paths(upstream), dialect, TOO_LONG[upstream], stream)
    assert isinstance(error, sdk(dialect).BadRequestError)
    if dialect == "messages":
        assert words(error).startswith("prompt is too long")
    else:
        assert names(error) == ("invalid_request_error", "context_length_exceeded")


@EACH_PAIR
def test_the_request_id_is_found_by_the_sdk(paths: Paths, dialect: str, upstream: str) -> None:
    error = failing(paths(upstream), dialect, Fault(429, "slow down"), False)
    assert str(error.request_id).startswith("req")


@BOTH
@EACH_PAIR
def test_an_overloaded_server_is_asked_again(paths: Paths, dialect: str, upstream: str, stream: bool) -> None:
    path = paths(upstream)
    full = Fault(OVERLOADED[upstream], "full", retry_after="0")
    server = path.plays(in_turn(full, answer("well")))
    with path.client(dialect, stream) as client:
        client.sdk.max_retries = 1
        assert client.ask("?").text == "well"
    assert len(server.requests) == 2


def test_a_key_that_is_wrong(paths: Paths) -> None:
    for dialect, upstream in PAIRS:
        path = paths(upstream)
        path.plays(lambda _: answer("well"))
        with path.client(dialect, False) as client:
            client.sdk.api_key = "other"
            with pytest.raises(sdk(dialect).AuthenticationError):
                client.ask("?")


# Inside an answer.

BEGUN = {"chat": 5, "messages": 7, "responses": 8}
"""Frames after which an answer has said something, by the upstream's dialect."""
PARTS = (Think("hm, hm, hm"), "one two three", Use("look", {"what": "x"}))


@EACH_TRANSLATED
def test_a_stream_that_is_cut(paths: Paths, dialect: str, upstream: str) -> None:
    """Wherever it is cut, the SDK sees no broken connection, but an error of the server's class."""
    path = paths(upstream)
    frames = [*path.server.dialect.frames(answer(*PARTS), {"model": "m"}, "u", 1)]
    for cut in range(1, len(frames)):
        if ended(upstream, frames[:cut]):
            continue
        error = failing(path, dialect, answer(*PARTS, cut=cut), True)
        if getattr(error, "status_code", 0) == 502:
            assert cut < BEGUN[upstream]  # it was only announced: a status
        else:
            assert names(error)[0] == ("api_error" if dialect == "messages" else "server_error")


def ended(upstream: str, frames: list[bytes]) -> bool:
    """So much has come that only the last word is missing."""
    if upstream == "chat":
        return any(b'"finish_reason": "' in frame for frame in frames)
    if upstream == "messages":
        return any(b"event: message_delta" in frame for frame in frames)
    said = b"".join(frames)
    added, done = (said.count(b"event: response.output_item." + what) for what in (b"added", b"done"))
    return added == done > 1


@EACH_TRANSLATED
def test_a_document_that_is_cut(paths: Paths, dialect: str, upstream: str) -> None:
    error = failing(paths(upstream), dialect, answer("well", cut=0), False)
    assert isinstance(error, sdk(dialect).InternalServerError)
    assert error.status_code == 502


@EACH_TRANSLATED
def test_a_stream_that_is_cut_before_it_begins(paths: Paths, dialect: str, upstream: str) -> None:
    """Nothing has been said yet, so it is a status, which SDKs retry."""
    error = failing(paths(upstream), dialect, answer("well", cut=0), True)
    assert isinstance(error, sdk(dialect).InternalServerError)
    assert error.status_code == 502


FAULTS = {
    "overloaded": {
        "chat": Fault(503, "full", type="server_error", code="server_is_overloaded"),
        "messages": Fault(529, "full"),
        "responses": Fault(503, "full", code="server_is_overloaded"),
    },
    "limited": {
        "chat": Fault(429, "full", type="rate_limit_error", code="rate_limit_exceeded"),
        "messages": Fault(429, "full"),
        "responses": Fault(429, "full", code="rate_limit_exceeded"),
    },
    "broken": {
        "chat": Fault(500, "full"),
        "messages": Fault(500, "full"),
        "responses": Fault(500, "full", code="server_error"),
    },
}
NAMED = {
    "overloaded": {"messages": "overloaded_error", "openai": "slow_down"},
    "limited": {"messages": "rate_limit_error", "openai": "rate_limit_exceeded"},
    "broken": {"messages": "api_error", "openai": "server_error"},
}


@EACH_TRANSLATED
@pytest.mark.parametrize("what", FAULTS)
@pytest.mark.parametrize("begun", [False, True], ids=["first", "amid"])
def test_an_error_frame(paths: Paths, what: str, dialect: str, upstream: str, begun: bool) -> None:
    at = BEGUN[upstream] if begun else 0
    error = failing(paths(upstream), dialect, answer(*PARTS, fail=(at, FAULTS[what][upstream])), True)
    assert "full" in words(error)
    kind, code = names(error)
    expected = NAMED[what]["messages" if dialect == "messages" else "openai"]
    assert (kind if dialect == "messages" else code) == expected


# Requests that relay itself refuses.


ORPHANS: dict[str, list[Any]] = {
    "chat": [{"role": "user", "content": "?"}, {"role": "tool", "tool_call_id": "a", "content": "r"}],
    "messages": [
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "r"}]},
    ],
    "responses": [
        {"role": "user", "content": "?"},
        {"type": "function_call_output", "call_id": "a", "output": "r"},
    ],
}
BROKEN_IMAGES: dict[str, Any] = {
    "chat": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,!!"}}],
    "messages": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "!!"}}],
    "responses": [{"type": "input_image", "image_url": "data:image/png;base64,!!"}],
}


def refused(path: Path, dialect: str, history: list[Any], **options: Any) -> Any:
    """The SDK's BadRequestError; the upstream has heard nothing."""
    server = path.plays(lambda _: answer("well"))
    with (
        path.client(dialect, False, **options) as client,
        pytest.raises(sdk(dialect).BadRequestError) as raised,
    ):
        _say(client, history)
    assert server.requests == []
    return raised.value


def _say(client: Client, history: list[Any]) -> None:
    client.history += history
    client.hear()


@EACH_TRANSLATED
def test_a_result_without_its_call(paths: Paths, dialect: str, upstream: str) -> None:
    error = refused(paths(upstream), dialect, ORPHANS[dialect])
    where = {"chat": "messages[1]", "messages": "messages[0].content[0]", "responses": "input[1]"}[dialect]
    assert where in words(error)


@EACH_TRANSLATED
def test_an_image_that_is_none(paths: Paths, dialect: str, upstream: str) -> None:
    error = refused(paths(upstream), dialect, [{"role": "user", "content": BROKEN_IMAGES[dialect]}])
    assert ("input[0].content[0]" if dialect == "responses" else "messages[0].content[0]") in words(error)


@pytest.mark.parametrize("upstream", ["chat", "messages"])
def test_a_response_that_nobody_stored(paths: Paths, upstream: str) -> None:
    error = refused(
        paths(upstream), "responses", [{"role": "user", "content": "?"}], previous_response_id="resp_1"
    )
    assert (error.code, error.param) == ("previous_response_not_found", "previous_response_id")
    with paths(upstream).client("responses", False) as client, pytest.raises(openai.NotFoundError):
        client.sdk.responses.retrieve("resp_1")
