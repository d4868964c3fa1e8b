"""May a failed attempt be followed by another, and when.

Only before anything of an answer has left; the caller sees to that. What is repeated depends on how sure
it is that nothing was done: a second try of what nobody took costs nothing, a second generation costs
money, and a second upload may do harm.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime

from relay.config import Repeat, Retry
from relay.errors import (
    RelayError,
    UpstreamDenied,
    UpstreamError,
    UpstreamRefused,
    UpstreamStatus,
    UpstreamUnreachable,
)

LONGEST_WAIT = 3600.0
"""Seconds; a target that asks for more is asked again after these."""


class Fate(enum.Enum):
    """What has become of a failed attempt.

    UNSENT   nothing of it reached the target
    REFUSED  the target said that it did not do it
    DENIED   the target does not accept relay's key: it never will, but another may do it
    FAILED   it may have been done
    FINAL    it would fail again
    """

    UNSENT = enum.auto()
    REFUSED = enum.auto()
    DENIED = enum.auto()
    FAILED = enum.auto()
    FINAL = enum.auto()


_STATUSES = {429: Fate.REFUSED, 503: Fate.REFUSED, 529: Fate.REFUSED, 502: Fate.FAILED, 504: Fate.FAILED}
"""Statuses that speak of the moment. 500 is not among them: vLLM answers it to a prompt that is too long."""


def fate_of_status(status: int, *, own_key: bool = False, bypass: bool = False) -> Fate:
    """That of an answer with this status in its head.

    own_key  it was asked with relay's key: 401 is no word about the client's
    bypass   it was asked in place of a proxy that renames or leaves out parameters before it asks: what it
             refuses the proxy may get
    """
    fate = _STATUSES.get(status, Fate.FINAL)
    if fate is Fate.FINAL and own_key and (status == 401 or (bypass and 400 <= status < 500)):
        return Fate.DENIED
    return fate


def fate_of(error: RelayError, *, unsent: bool) -> Fate:
    """That of an attempt that ended with this error; ``unsent``: surely nothing of it was read."""
    if not isinstance(error, UpstreamError):
        return Fate.FINAL
    if isinstance(error, UpstreamDenied):
        return Fate.DENIED
    if isinstance(error, UpstreamRefused | UpstreamStatus):
        fate = fate_of_status(error.status)
        return Fate.FAILED if fate is Fate.FINAL and error.status >= 500 else fate
    return Fate.UNSENT if unsent or isinstance(error, UpstreamUnreachable) else Fate.FAILED


_UNHARMED = frozenset({501, 505})
"""Statuses of 500 and more that speak of the request, not of the server."""


def counts_as_failure(cause: RelayError | int) -> bool:
    """Does this error, or this status, speak against the health of the target.

    No connection, a reset, a timeout, what is no HTTP and 5xx do. 4xx never, 429 included: it is about
    one key's quota, and a server that counts requests works; where it asks for time it gets that
    (``wait_asked``), and no pause. 500 does, though vLLM gives it to prompts that are too long: a server
    that has lost its GPU says nothing else, and only many in a row pause. What is relay's own or
    the client's (no room, no descriptor, a client that left) never does.
    """
    if isinstance(cause, UpstreamRefused | UpstreamStatus):
        cause = cause.status
    if isinstance(cause, int):
        return cause >= 500 and cause not in _UNHARMED
    return isinstance(cause, UpstreamError)


_WAITS = (
    (b"retry-after-ms", 0.001),  # OpenAI
    (b"retry-after", 1.0),
    (b"llm_provider-retry-after-ms", 0.001),  # LiteLLM hides there what its provider said
    (b"llm_provider-retry-after", 1.0),
)
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?")


def wait_asked(headers: Sequence[tuple[bytes, bytes]], wall: float) -> float | None:
    """Seconds for which these headers ask to be left alone; ``wall`` is the time of day, as an epoch.

    The finest that can be read counts. None where nothing can be; no more than LONGEST_WAIT.
    """
    fields = {name.lower(): value for name, value in reversed(headers)}
    for name, unit in _WAITS:
        text = fields.get(name, b"").decode("latin-1").strip()
        seconds = float(text) * unit if _NUMBER.fullmatch(text) else None
        if seconds is None and unit == 1.0:
            seconds = _until_date(text, wall)
        if seconds is not None:
            return min(seconds, LONGEST_WAIT)
    return None


def _until_date(text: str, wall: float) -> float | None:
    """An HTTP date in any of its three forms (RFC 9110 §5.6.7); one that has passed is no wait."""
    if not text[:3].isalpha():
        return None
    try:
        date = parsedate_to_datetime(text)
        return max(date.replace(tzinfo=date.tzinfo or UTC).timestamp() - wall, 0.0)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


class _Who(enum.Flag):
    """Which requests may be sent again."""

    NONE = 0
    IDEMPOTENT = enum.auto()
    COMPLETION = enum.auto()
    OTHER = enum.auto()
    ALL = IDEMPOTENT | COMPLETION | OTHER


_SAFE = {
    Fate.UNSENT: _Who.ALL,
    Fate.REFUSED: _Who.IDEMPOTENT | _Who.COMPLETION,
    Fate.DENIED: _Who.IDEMPOTENT | _Who.COMPLETION,
    Fate.FAILED: _Who.IDEMPOTENT,
}
_ALLOWED: dict[Repeat, dict[Fate, _Who]] = {
    Repeat.OFF: {},
    Repeat.SAFE: _SAFE,
    Repeat.COMPLETIONS: {**_SAFE, Fate.FAILED: _Who.IDEMPOTENT | _Who.COMPLETION},
}

_MOST_DOUBLINGS = 32


class Attempts:
    """Those of one request."""

    __slots__ = ("_allowed", "_delegated", "_ends", "_settings", "_who", "count")

    def __init__(
        self, settings: Retry, *, idempotent: bool, completion: bool, began: float, delegated: bool = False
    ) -> None:
        """``delegated``: the last target tries again by itself (LiteLLM: three times, up to 22 s). What it
        has answered is not asked of it once more."""
        self._settings = settings
        self._delegated = delegated
        self._allowed = _ALLOWED[settings.repeat]
        self._who = (
            (_Who.IDEMPOTENT if idempotent else _Who.NONE) | (_Who.COMPLETION if completion else _Who.NONE)
        ) or _Who.OTHER
        self._ends = began + settings.budget
        self.count = 0
        """How many have begun."""

    def begin(self) -> None:
        self.count += 1

    @property
    def used_up(self) -> bool:
        return self.count >= self._settings.attempts

    def again(
        self, fate: Fate, now: float, *, wait: float | None, elsewhere: bool, dice: float
    ) -> float | None:
        """Seconds to wait before the next attempt; None: there is none.

        ``wait`` is what the target asked for, ``elsewhere`` says that another one is fit to be asked, at
        once; ``dice`` is a number from 0 up to 1.
        """
        if not self._who & self._allowed.get(fate, _Who.NONE) or self.used_up:
            return None
        if not elsewhere and (fate is Fate.DENIED or (self._delegated and fate is not Fate.UNSENT)):
            return None
        if not elsewhere and wait is not None and wait > self._settings.longest_pause:
            return None  # its client knows better than we whether to wait so long
        seconds = 0.0 if elsewhere else (wait or 0.0) + dice * self._longest_pause()
        return seconds if now + seconds < self._ends else None

    def _longest_pause(self) -> float:
        """All of it is drawn by lot (full jitter), also beyond what the target asked for: the others that
        it refused in the same moment were told the same."""
        doublings = min(max(self.count - 1, 0), _MOST_DOUBLINGS)
        return min(self._settings.longest_pause, self._settings.pause * 2.0**doublings)
