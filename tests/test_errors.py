"""Errors: the table at the top of the module is what the classes say."""

from __future__ import annotations

import inspect
import json

import pytest

from relay import errors
from relay.errors import (
    BadDocument,
    BodyTooLarge,
    Busy,
    ClientError,
    ClientStalled,
    ClientTimeout,
    Forbidden,
    FramingError,
    HeadTooLarge,
    ModelNotFound,
    NotFound,
    RelayError,
    ShuttingDown,
    Unauthorized,
    UpstreamClosed,
    UpstreamDenied,
    UpstreamError,
    UpstreamMalformed,
    UpstreamRefused,
    UpstreamStatus,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnreachable,
    UsageError,
    VersionNotSupported,
    document,
)

TABLE: list[tuple[type[RelayError], type[RelayError], int, str]] = [
    (ClientError, RelayError, 400, "CD"),
    (Unauthorized, ClientError, 401, "CD"),
    (Forbidden, ClientError, 403, "CD"),
    (NotFound, ClientError, 404, "CD"),
    (ModelNotFound, NotFound, 404, "CD"),
    (HeadTooLarge, ClientError, 431, "CD"),
    (BodyTooLarge, ClientError, 413, "CD"),
    (VersionNotSupported, ClientError, 505, "CD"),
    (ClientTimeout, ClientError, 408, "CD"),
    (ClientStalled, ClientTimeout, 408, "CT"),
    (UpstreamError, RelayError, 502, "UP"),
    (UpstreamUnreachable, UpstreamError, 503, "UF"),
    (UpstreamTimeout, UpstreamError, 504, "UT"),
    (UpstreamClosed, UpstreamError, 502, "UR"),
    (UpstreamTruncated, UpstreamClosed, 502, "UE"),
    (UpstreamMalformed, UpstreamError, 502, "UP"),
    (UpstreamDenied, UpstreamError, 502, "UP"),
    (ShuttingDown, RelayError, 503, "DR"),
    (Busy, RelayError, 503, "UF"),
]


@pytest.mark.parametrize(("error", "parent", "status", "end"), TABLE)
def test_an_error_says_whose_fault_it_is_its_status_and_its_end_code(
    error: type[RelayError], parent: type[RelayError], status: int, end: str
) -> None:
    assert error.__bases__ == (parent,)
    assert (error.status, error.end) == (status, end)


def error_classes() -> set[type[Exception]]:
    members = vars(errors).values()
    return {one for one in members if inspect.isclass(one) and issubclass(one, Exception)}


def test_every_error_is_in_this_table_and_in_the_docstring() -> None:
    bare = {UsageError, FramingError, RelayError, UpstreamRefused, UpstreamStatus, BadDocument}
    assert error_classes() == bare | {row[0] for row in TABLE}
    assert all(one.__name__ in (errors.__doc__ or "") for one in error_classes())


def test_a_bad_document_is_answered_in_the_clients_dialect() -> None:
    error = BadDocument("messages[0]: is wrong", 400, b"{}")
    assert (error.status, document(error), error.end) == (400, b"{}", "CD")


def test_codes_tell_errors_apart() -> None:
    codes = [row[0].code for row in TABLE]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("error", [UsageError, FramingError])
def test_what_is_no_answer_to_a_request_is_no_relay_error(error: type[Exception]) -> None:
    assert not issubclass(error, RelayError)


@pytest.mark.parametrize("error", [row[0] for row in TABLE])
@pytest.mark.parametrize("message", ["what happened", 'quotes " and \\ and \x1b', "é 😀", ""])
def test_the_document_has_the_shape_that_both_families_of_sdk_read(
    error: type[RelayError], message: str
) -> None:
    said = json.loads(document(error(message)))
    assert said == {
        "type": "error",
        "error": {"type": error.type, "code": error.code, "message": message, "param": None},
    }


def test_a_refusal_is_the_upstreams_own_answer() -> None:
    error = UpstreamRefused("slow down", 429, b'{"error":{}}', "7")
    assert (error.status, error.end, error.retry_after) == (429, "UX", "7")
    assert document(error) == b'{"error":{}}'
    assert str(error) == "slow down"
