"""Clients' keys: where a request carries one, which are accepted, and what LiteLLM says of the others.

A key is never kept: what is compared, remembered and shown is its SHA-256, which is also what LiteLLM
calls its token. LiteLLM's ``GET /key/info`` tells what a virtual key may do, as far as the key itself
says; limits of its team or its user, budgets and rates only LiteLLM can count. So whatever relay cannot
answer for is to be asked there: a field of the answer that is not known to be harmless is such a thing.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import orjson

from relay.routes import Pattern
from relay.wire.framing import Header

FIELDS = (
    *(b"x-litellm-api-key", b"authorization", b"api-key", b"x-api-key", b"x-goog-api-key"),
    b"ocp-apim-subscription-key",
)
"""Where a key is looked for, in LiteLLM's own order: both must take a request for the same client's."""
_SCHEME = b"bearer "
_ID = 8
"""Digits of a digest that stand for it where people read."""

_EVERY_MODEL = frozenset({"*", "all-proxy-models"})
_TEAMS_OR_USERS = frozenset({"all-team-models", "no-default-models"})
_DESCRIBES = "key_name key_alias key_type status created_by updated_by"
_ROTATES = "rotation_count auto_rotate rotation_interval"
_DATES = "created_at updated_at settings_updated_at last_active last_rotation_at key_rotation_at"
_COUNTS = "spend total_spend model_spend soft_budget_cooldown"
_HARMLESS = frozenset(f"models expires blocked {_DESCRIBES} {_ROTATES} {_DATES} {_COUNTS}".split())
"""Fields of LiteLLM's answer that limit nothing, or are looked at here."""
_GONE = frozenset({"expired", "revoked", "deleted"})
_CANNOT_SAY = frozenset({502, 503, 504})
"""Statuses by which a gateway, or LiteLLM without its database, says that there is no answer now."""


def key_in(headers: Iterable[Header]) -> bytes | None:
    """The key that a request carries; None if it carries none."""
    carried: dict[bytes, bytes] = {}
    for name, value in headers:
        carried.setdefault(name.lower(), value.strip())
    for field in FIELDS:
        value = carried.get(field, b"")
        bearer = value[: len(_SCHEME)].lower() == _SCHEME
        if bearer:
            value = value[len(_SCHEME) :].strip()
        elif field == b"authorization":
            continue  # a name and a password, or a bare scheme
        if value:
            return value
    return None


def digest_of(key: bytes) -> bytes:
    """What stands for a key from here on."""
    return hashlib.sha256(key).digest()


def id_of(digest: bytes) -> str:
    """What a person may see of it."""
    return digest.hex()[:_ID]


def is_listed(digest: bytes, accepted: Iterable[bytes]) -> bool:
    """Compares it with every one, so that the time does not tell which it is, or how nearly."""
    found = False
    for one in accepted:
        found |= hmac.compare_digest(one, digest)
    return found


class Verdict(enum.Enum):
    """May it?

    YES  surely
    NO   not by the names that the key lists; LiteLLM may know that one of them is a group, or an alias
    ASK  only LiteLLM can tell, or count
    """

    YES = "yes"
    NO = "no"
    ASK = "ask"


@dataclass(frozen=True, slots=True)
class Permission:
    """What an accepted key may do; without ``models`` it may use every one."""

    digest: str
    """SHA-256 of the key in hexadecimal, by which LiteLLM knows it, too."""
    models: tuple[str, ...] | None = None
    asks: bool = False
    """There is more to it than its models."""

    def allows(self, model: str | None) -> Verdict:
        """Whether relay itself may let this key use the model that a request names."""
        if self.asks:
            return Verdict.ASK
        if self.models is None:
            return Verdict.YES
        if model is None:
            return Verdict.ASK
        if model in self.models:
            return Verdict.YES
        patterns = [name for name in self.models if "*" in name]
        if any(Pattern(name).matched(model) is not None for name in patterns):
            return Verdict.YES
        # LiteLLM lets `openai/*` stand for every model of that provider, whatever its name.
        return Verdict.ASK if patterns else Verdict.NO


@dataclass(frozen=True, slots=True)
class Known:
    """What LiteLLM has said of a key: a permission, or why it is refused."""

    permission: Permission | None
    refusal: str = ""
    whole: bool = False
    """It has told all that it knows; otherwise it is asked again soon."""
    expires: float | None = None
    """When the key does, in seconds since 1970."""
    odd: str = ""
    """What the log should hear: no LiteLLM answers like that."""


def understood(digest: bytes, status: int, body: bytes) -> Known | None:
    """What this answer to ``GET /key/info`` says of the key that asked; None if there was no answer.

    LiteLLM checks the key before anything else, and so whatever is not 401 is about something else: a key
    that may not ask (403), one over its budget (400, 429), one that no table holds (404), no database
    (500). Such a key is LiteLLM's to judge.
    """
    if status in _CANNOT_SAY:
        return None
    document = _object(body)
    error = _member(document, "error")
    kind, message = str(error.get("type")), str(error.get("message"))
    if status == 401 or kind in ("no_db_connection", "token_not_found_in_db", "expired_key"):
        return Known(None, _refusal(kind, message))
    info = _member(document, "info")
    if status == 200 and info:
        return _described(digest, document, info)
    asking = Permission(digest.hex(), asks=True)
    if status == 403:
        return Known(asking, whole=True)  # it is for other routes only, as keys for models alone are
    return Known(asking, odd="" if error else f"status {status} without a word that LiteLLM would say")


def _described(digest: bytes, document: dict[str, Any], info: dict[str, Any]) -> Known:
    """LiteLLM knows the key."""
    if info.get("blocked") is True or info.get("status") in _GONE:
        return Known(None, "it is blocked or expired")
    asking = Known(Permission(digest.hex(), asks=True), whole=True)
    if document.get("key") != digest.hex():
        return asking  # another key stands for it (a JWT's), or somebody else's answer has come
    models = info.get("models")
    named = isinstance(models, list) and all(isinstance(name, str) for name in models)
    limited = any(_says(value) for name, value in info.items() if name not in _HARMLESS)
    ends = info.get("expires")
    expires = None if ends is None else _moment(ends)
    if limited or not named or (expires is None and ends is not None):
        return asking
    names = frozenset(models or ())
    if names & _TEAMS_OR_USERS:
        return asking
    every = not names or names & _EVERY_MODEL
    permission = Permission(digest.hex(), None if every else tuple(models or ()))
    return Known(permission, whole=True, expires=expires)


def _refusal(kind: str, message: str) -> str:
    """LiteLLM's reason in our words: its own show a part of the key."""
    if kind == "no_db_connection":
        return "LiteLLM has no database, and so knows no key but its master key"
    if kind == "expired_key":
        return "it has expired"
    if "is blocked" in message:
        return "it is blocked"
    return "LiteLLM does not accept it"


def _says(value: object) -> bool:
    """False for what stands where nothing was set; a limit of zero is a limit."""
    if isinstance(value, Mapping):
        return any(map(_says, value.values()))
    if isinstance(value, list):
        return bool(value)
    return value is not None and value is not False and value != ""


def _moment(text: object) -> float | None:
    """ISO 8601, UTC where no zone is named, as LiteLLM reads it; None if it is no time."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _member(document: dict[str, Any], name: str) -> dict[str, Any]:
    value = document.get(name)
    return value if isinstance(value, dict) else {}


T = TypeVar("T")


class Memory(Generic[T]):
    """The last ``entries`` things that were learned or used, each for its own time."""

    __slots__ = ("_entries", "_kept")

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._kept: OrderedDict[bytes, tuple[float, T]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, name: bytes, now: float) -> T | None:
        kept = self._kept.get(name)
        if kept is None:
            return None
        until, value = kept
        if now >= until:
            del self._kept[name]
            return None
        self._kept.move_to_end(name)
        return value

    def put(self, name: bytes, value: T, until: float) -> None:
        self._kept.pop(name, None)
        self._kept[name] = (until, value)
        while len(self._kept) > self._entries:
            self._kept.popitem(last=False)
