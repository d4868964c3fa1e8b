"""Every error relay knows, whose fault it is, and the status and end code it becomes.

    UsageError                  the operator's: a flag, a file, a name that cannot be used
    RelayError
        ClientError             the client's: 400
            BadDocument         400, a completion's document; the body says it in the client's dialect
            Unauthorized        401, no key, or one that nobody knows
            Forbidden           403, a key that may not do this
            NotFound            404, no route serves the request
                ModelNotFound   nor knows its model
            HeadTooLarge        431
            BodyTooLarge        413
            VersionNotSupported 505
            ClientTimeout       408
            ClientStalled       408, it takes nothing of what waits for it
        UpstreamError           the upstream's: 502
            UpstreamUnreachable 503, nothing was sent: trying again is safe
            UpstreamTimeout     504
            UpstreamClosed      502, reset, or closed before it had answered
                UpstreamTruncated   closed in the middle of its answer
            UpstreamMalformed   502, a frame that cannot be mended
            UpstreamDenied      502, it does not accept the key that relay has for it
            UpstreamStatus      its status, where another attempt follows
            UpstreamRefused     the error that the upstream sent where its answer should begin
        ShuttingDown            503, relay's own: draining
        Busy                    503, relay's own: every target is full, or descriptors have run out
    FramingError                a peer broke body framing; the side that was reading says whose

Foreign errors (h11, TLS, the operating system) become one of these where they enter.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import orjson


class UsageError(Exception):
    """The operator asked for something that cannot be done; one line, exit code 2."""


class FramingError(Exception):
    """Bytes that are no legal body framing (RFC 9112 §6, §7) or no legal event stream.

    ``before`` holds what was legal in the same read, ready to be sent.
    """

    before: Sequence[bytes | bytearray | memoryview] = ()


class RelayError(Exception):
    """A request that cannot be served; ``str(error)`` says what happened and what to do."""

    status = 500
    code = "relay_error"
    type = "api_error"
    end = "UP"
    before: Sequence[bytes | bytearray | memoryview] = ()
    """What was whole when a stream failed, ready to be sent."""
    retry_after: str | None = None
    body: bytes | None = None
    """The document of the answer, where it is not relay's own."""

    @property
    def logged(self) -> str:
        """The same for the log: without words of the client or the upstream, where prompts and keys live."""
        return str(self)


class ClientError(RelayError):
    """The client sent what no server may accept."""

    status = 400
    code = "bad_request"
    type = "invalid_request_error"
    end = "CD"


class BadDocument(ClientError):
    """A completion's request that cannot be served as it stands; the text begins with the JSON path."""

    code = "bad_document"
    logged = "the request cannot be served as it stands"

    def __init__(self, message: str, status: int, body: bytes) -> None:
        super().__init__(message)
        self.status = status
        self.body = body


class Unauthorized(ClientError):
    """The request has no key, or one that is not accepted."""

    status = 401
    code = "invalid_api_key"
    type = "authentication_error"


class Forbidden(ClientError):
    """The key is accepted, but not for this."""

    status = 403
    code = "key_not_permitted"
    type = "permission_error"


class NotFound(ClientError):
    """No route serves the request."""

    status = 404
    code = "not_found"
    type = "not_found_error"


class ModelNotFound(NotFound):
    """No route knows the model that the request names."""

    code = "model_not_found"
    logged = "no route knows the model that the request names"


class HeadTooLarge(ClientError):
    """A request head above the limit in bytes or in fields."""

    status = 431
    code = "head_too_large"


class BodyTooLarge(ClientError):
    """A request body above the limit."""

    status = 413
    code = "request_too_large"
    type = "request_too_large"


class VersionNotSupported(ClientError):
    """A request in a version other than HTTP/1.0 and HTTP/1.1."""

    status = 505
    code = "version_not_supported"


class ClientTimeout(ClientError):
    """The client did not finish its head or fell silent inside its body."""

    status = 408
    code = "client_timeout"


class ClientStalled(ClientTimeout):
    """The client has not taken what was sent to it for too long."""

    code = "client_stalled"
    end = "CT"


class UpstreamError(RelayError):
    """The upstream answered with what no server may send."""

    status = 502
    code = "upstream_protocol_error"
    end = "UP"


class UpstreamUnreachable(UpstreamError):
    """No connection could be made; nothing of the request has left."""

    status = 503
    code = "upstream_unreachable"
    type = "overloaded_error"
    end = "UF"


class UpstreamTimeout(UpstreamError):
    """The upstream was silent longer than the phase allows."""

    status = 504
    code = "upstream_timeout"
    type = "timeout_error"
    end = "UT"


class UpstreamClosed(UpstreamError):
    """The upstream closed or reset the connection before its answer was whole."""

    code = "upstream_closed"
    end = "UR"


class UpstreamTruncated(UpstreamClosed):
    """The upstream closed in the middle of its answer."""

    code = "upstream_truncated"
    end = "UE"


class UpstreamMalformed(UpstreamError):
    """The upstream sent a frame that cannot be mended, nor left out."""

    code = "upstream_invalid_frame"


class UpstreamDenied(UpstreamError):
    """The upstream does not accept relay's own key; its words are not forwarded, they may quote it."""

    code = "upstream_denied"


class UpstreamStatus(UpstreamError):
    """The upstream answered with a status that says to ask elsewhere, or later."""

    code = "upstream_status"

    def __init__(self, status: int) -> None:
        super().__init__(f"the upstream answered with status {status}")
        self.status = status


class UpstreamRefused(UpstreamError):
    """The upstream's answer began, and ended, with an error; ``body`` says it in the client's dialect."""

    code = "upstream_error"
    end = "UX"
    logged = "the upstream sent an error where its answer should begin"

    def __init__(self, message: str, status: int, body: bytes, retry_after: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = body
        self.retry_after = retry_after


class ShuttingDown(RelayError):
    """A request that came while this relay was draining, or that the drain limit cut."""

    status = 503
    code = "shutting_down"
    type = "overloaded_error"
    end = "DR"


class Busy(RelayError):
    """A request for which relay has no room now: every target is full, or a resource has run out."""

    status = 503
    code = "busy"
    type = "overloaded_error"
    end = "UF"

    def __init__(self, message: str, retry_after: str = "1") -> None:
        super().__init__(message)
        self.retry_after = retry_after


def document(error: RelayError) -> bytes:
    """The JSON body of an answer that failed.

    One shape that both families of SDK read: Anthropic's look at the outer ``type`` and
    ``error.type``, OpenAI's at ``error.message``, ``error.code`` and ``error.param``.
    """
    if error.body is not None:
        return error.body
    said = {"type": error.type, "code": error.code, "message": str(error), "param": None}
    try:
        return orjson.dumps({"type": "error", "error": said})
    except TypeError:  # it quotes half of a split emoji
        return json.dumps({"type": "error", "error": said}).encode()
