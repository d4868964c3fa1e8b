"""Errors as upstreams write them, in any dialect and in none, and the names each dialect has for them.

Forms seen: OpenAI's ``{"error": {…}}``, Anthropic's ``{"type": "error", "error": {…}}``, the flat
Responses event, ``response.failed``, ``{"error": "text"}`` (Ollama), ``{"object": "error", …}`` (old
vLLM), ``{"detail": …}`` (FastAPI), ``{"code", "details"}`` beside ``event: error`` (TGIS adapters), and a
list that holds one of them (Gemini).
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from relay.dialects.deltas import Failure

_IMAGE_CODE = re.compile(r"(?:invalid_)?(?:base64_)?image(?:_[a-z_]+)?")
"""The Responses API has a dozen of them, from `invalid_image_url` to `image_content_policy_violation`."""
_NUMBER = re.compile(r"[0-9]+")
_HTTP_ERROR = re.compile(r"[45][0-9]{2}")
_STATUS = {
    "invalid_request_error": 400,
    "invalid_prompt": 400,
    "context_length_exceeded": 400,
    "BadRequestError": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "NotFoundError": 404,
    "content_filter": 400,
    "failed_to_download_image": 400,
    "empty_image_file": 400,
    "unsupported_image_media_type": 400,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "requests": 429,
    "tokens": 429,
    "api_error": 500,
    "server_error": 500,
    "internal_server_error": 500,
    "internal_error": 500,
    "server_is_overloaded": 503,
    "slow_down": 503,
    "timeout_error": 504,
    "vector_store_timeout": 504,
    "overloaded_error": 529,
}
"""The status that a type or a code stands for, whichever dialect it is from."""

_MESSAGES_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    504: "timeout_error",
    503: "overloaded_error",
    529: "overloaded_error",
}

_OPENAI_NAMES: dict[str | None, tuple[str, str | None]] = {
    "authentication_error": ("invalid_request_error", "invalid_api_key"),
    "permission_error": ("permission_error", None),
    "billing_error": ("insufficient_quota", "insufficient_quota"),
    "not_found_error": ("invalid_request_error", "model_not_found"),
    "request_too_large": ("invalid_request_error", "request_too_large"),
    "conflict_error": ("invalid_request_error", None),
    "rate_limit_error": ("rate_limit_error", "rate_limit_exceeded"),
    "overloaded_error": ("server_error", "slow_down"),
    "timeout_error": ("server_error", "timeout"),
    "api_error": ("server_error", "server_error"),
}
"""OpenAI's type and code for Anthropic's types; `server_is_overloaded` would make codex give up."""

_OPENAI_BY_STATUS: dict[int, tuple[str, str | None]] = {
    401: _OPENAI_NAMES["authentication_error"],
    402: _OPENAI_NAMES["billing_error"],
    403: _OPENAI_NAMES["permission_error"],
    404: _OPENAI_NAMES["not_found_error"],
    408: _OPENAI_NAMES["timeout_error"],
    413: _OPENAI_NAMES["request_too_large"],
    429: _OPENAI_NAMES["rate_limit_error"],
    503: _OPENAI_NAMES["overloaded_error"],
    504: _OPENAI_NAMES["timeout_error"],
    529: _OPENAI_NAMES["overloaded_error"],
}
_CLIENTS_FAULT = ("invalid_request_error", "model_not_found", "request_too_large")
_TOO_LONG = "context_length_exceeded"
_TOO_LONG_TYPES = ("exceed_context_size_error", "too_many_prompt_tokens")
"""llama.cpp's and Perplexity's."""
_TOO_LONG_WORDS = re.compile(
    r"prompt is too long|maximum context length|exceeds? (?:the )?(?:available )?context|exceed context limit"
    r"|longer than the (?:model's )?context length",
    re.IGNORECASE,
)


def read(document: object, *, event: str | None = None, status: int | None = None) -> Failure | None:
    """What an error document says, or None when it is none; ``status`` is the HTTP status it came with."""
    if isinstance(document, list) and len(document) == 1:
        document = document[0]
    if not isinstance(document, dict):
        return None
    error = _error_in(document, event)
    if error is None:
        return None
    message, type_, code = _text(error.get("message")), _text(error.get("type")), _text(error.get("code"))
    if message is None:
        message = (
            _text(error.get("detail")) or _text(error.get("details")) or "the upstream reported an error"
        )
    if type_ in ("error", "None"):  # LiteLLM writes Python's None
        type_ = None
    return Failure(message, status or _status(error.get("code"), code, type_), type_, code)


def messages_type(failure: Failure) -> str:
    """Anthropic's name for it."""
    if failure.type in _MESSAGES_TYPES.values() or failure.type == "api_error":
        assert failure.type is not None
        return failure.type
    return _MESSAGES_TYPES.get(
        failure.status, "invalid_request_error" if failure.status < 500 else "api_error"
    )


def messages_message(failure: Failure) -> str:
    """The message, in the words that Anthropic's clients look for where the prompt is too long."""
    if not is_too_long(failure) or "prompt is too long" in failure.message.lower():
        return failure.message
    return f"prompt is too long: {failure.message}"


def openai_type(failure: Failure) -> str:
    """OpenAI's ``error.type``."""
    if failure.type is not None:
        return _OPENAI_NAMES[failure.type][0] if failure.type in _OPENAI_NAMES else failure.type
    return _by_status(failure.status)[0]


def openai_code(failure: Failure) -> str:
    """OpenAI's ``error.code``; clients retry by it, so a broken upstream is never the client's fault."""
    if is_too_long(failure):
        return _TOO_LONG
    if failure.code is not None and not _NUMBER.fullmatch(failure.code):
        return failure.code
    if failure.type in _OPENAI_NAMES:
        return _OPENAI_NAMES[failure.type][1] or openai_type(failure)
    return _by_status(failure.status)[1] or openai_type(failure)


def responses_code(failure: Failure) -> str:
    """The code in a Responses stream: codex gives up at `invalid_prompt` and tries again at the others."""
    code = openai_code(failure)
    fault = failure.status in (400, 404, 413, 422) and failure.type != "billing_error"
    return "invalid_prompt" if fault and code in _CLIENTS_FAULT else code


def is_too_long(failure: Failure) -> bool:
    """The prompt does not fit into the model's context, in the words of whichever server."""
    if failure.code == _TOO_LONG or failure.type in _TOO_LONG_TYPES:
        return True
    return failure.status in (400, 413) and _TOO_LONG_WORDS.search(failure.message) is not None


def _by_status(status: int) -> tuple[str, str | None]:
    if status in _OPENAI_BY_STATUS:
        return _OPENAI_BY_STATUS[status]
    return ("invalid_request_error", None) if status < 500 else ("server_error", "server_error")


def _error_in(document: dict[str, Any], event: str | None) -> dict[str, Any] | None:
    """The object that holds message, type and code."""
    error = document.get("error")
    if isinstance(error, dict) and error:
        return error
    if isinstance(error, str) and error:
        return {"message": error}
    response = document.get("response")
    if document.get("type") == "response.failed" and isinstance(response, dict):
        inner = response.get("error")
        return inner if isinstance(inner, dict) else {}
    if "error" in (document.get("object"), document.get("type")) or event == "error":
        return document
    if "detail" in document and not document.keys() & {"choices", "type", "object"}:
        return document
    return None


def _text(value: object) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return value
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # nested too deep to be a message
        return None


def _status(number: object, code: str | None, type_: str | None) -> int:
    """The status that an error would have had as an HTTP answer; 502 when it does not say."""
    for text in (str(number), code, type_):
        if text is not None and _HTTP_ERROR.fullmatch(text):
            return int(text)
        if text in _STATUS:
            return _STATUS[text]
        if isinstance(text, str) and _IMAGE_CODE.fullmatch(text):
            return 400
    return 502
