"""Who may ask: a key from the list, or one that LiteLLM knows.

LiteLLM is asked once for each key and ``ttl``, however many requests carry it at the same moment, and for
a few keys at once. What it said before that is never used: a key that was revoked lives no longer than
``ttl``. So where it does not answer nobody is let in, but for the keys on the list.
"""

from __future__ import annotations

import asyncio
import logging
import time

from relay import dialects
from relay.config import Settings, Upstream
from relay.dialects.deltas import Failure
from relay.errors import Busy, RelayError, Unauthorized, UpstreamUnreachable, UsageError
from relay.keys import Known, Memory, Permission, Verdict, digest_of, id_of, is_listed, key_in, understood
from relay.net.asking import ask
from relay.net.pool import Pool
from relay.wire import edit, endpoints
from relay.wire.http1 import RequestHead

__all__ = ["Admission", "Permission", "Verdict"]

log = logging.getLogger("relay")

_AT_ONCE = 16
"""Questions; LiteLLM answers each with a look into its database."""
_WAITING = 1000
"""Keys whose question is under way or waits; a flood of invented ones ends here."""
_ANSWER = 1024 * 1024
"""Bytes; a key with some thousand models has a tenth of it."""


class Admission:
    """The keys of one worker."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pool: Pool, settings: Settings) -> None:
        self._loop = loop
        self._pool = pool
        self._keys = settings.keys
        self._verifier = _verifier(settings)
        self._accepted: Memory[Known] = Memory(settings.keys.entries)
        self._refused: Memory[Known] = Memory(settings.keys.entries)
        """Apart, so that invented keys push out no real ones."""
        self._questions: dict[bytes, _Question] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._warned = False

    async def admit(self, head: RequestHead) -> Permission:
        """What the key of this request may do; raises Unauthorized, or why that cannot be said now."""
        try:
            return await self._permission(head)
        except RelayError as error:
            _put_in_dialect(error, head)
            raise

    async def _permission(self, head: RequestHead) -> Permission:
        key = key_in(head.headers)
        if key is None:
            raise Unauthorized(
                "no API key was sent: send one as `authorization: Bearer KEY` or as `x-api-key: KEY`"
            )
        digest = digest_of(key)
        if is_listed(digest, self._keys.digests):
            return Permission(digest.hex())
        if self._verifier is None:
            raise _not_accepted(digest, "it is not on the list")
        now = self._loop.time()
        known = self._accepted.get(digest, now) or self._refused.get(digest, now)
        if known is None:
            known = await self._learn(digest, key)
        if known.permission is None:
            raise _not_accepted(digest, known.refusal)
        return known.permission

    async def _learn(self, digest: bytes, key: bytes) -> Known:
        """One question for all who wait for the same; the last of them that leaves takes it along."""
        question = self._questions.get(digest)
        if question is None:
            if len(self._questions) >= _WAITING:
                raise Busy("too many keys are being checked; try again later")
            question = self._questions[digest] = _Question(self._loop.create_task(self._ask(digest, key)))
        question.waiting += 1
        try:
            learned = await asyncio.shield(question.task)
        finally:
            question.waiting -= 1
            if not question.waiting:
                question.task.cancel()
                if self._questions.get(digest) is question:
                    del self._questions[digest]
        if isinstance(learned, Known):
            return learned
        error = UpstreamUnreachable(f"the API key cannot be checked now ({learned}); try again")
        error.retry_after = "1"
        raise error

    async def _ask(self, digest: bytes, key: bytes) -> Known | str:
        """What LiteLLM says, or why it says nothing. Never an error: each who waits raises one of his own."""
        assert self._verifier is not None
        seconds = self._keys.timeout
        began = self._loop.time()
        try:
            async with asyncio.timeout(seconds or None), self._slots:
                said = await ask(
                    self._pool,
                    self._verifier,
                    b"GET",
                    b"/key/info",
                    [(b"authorization", b"Bearer " + key)],
                    seconds=0,
                    limit=_ANSWER,
                )
        except TimeoutError:
            return f"{self._verifier} did not say what it may do within {seconds:g} s"
        except RelayError as error:
            return str(error)
        known = understood(digest, said.status, said.body)
        if known is None:
            return f"{self._verifier} answered with status {said.status}"
        self._remember(digest, known, began)
        return known

    def _remember(self, digest: bytes, known: Known, began: float) -> None:
        """From when it was asked: that is when it was true."""
        if known.odd and not self._warned:
            self._warned = True
            log.warning("%s answers GET /key/info with %s: is it a LiteLLM?", self._verifier, known.odd)
        seconds = self._keys.ttl if known.whole else self._keys.refused_ttl
        if known.expires is not None:
            seconds = min(seconds, known.expires - time.time())
        memory = self._refused if known.permission is None else self._accepted
        memory.put(digest, known, began + seconds)


class _Question:
    """One that is under way."""

    __slots__ = ("task", "waiting")

    def __init__(self, task: asyncio.Task[Known | str]) -> None:
        self.task = task
        self.waiting = 0


def _verifier(settings: Settings) -> Upstream | None:
    name = settings.keys.verifier
    if not name:
        return None
    for upstream in settings.upstreams:
        if str(upstream) == name:
            return upstream
    raise UsageError(f"keys.verifier: no upstream is named {name!r}")


def _not_accepted(digest: bytes, reason: str) -> Unauthorized:
    return Unauthorized(
        f"the API key is not accepted: {reason}. Its SHA-256 begins with {id_of(digest)}; "
        "whoever runs this server can look for that, or give out another key"
    )


def _put_in_dialect(error: RelayError, head: RequestHead) -> None:
    """Its body, as the client's SDK reads errors."""
    dialect = endpoints.completion_dialect(head)
    if dialect is None and endpoints.speaks_anthropic(head):
        dialect = "messages"
    if dialect is not None:
        failure = Failure(str(error), error.status, error.type)
        error.body = edit.dumps(dialects.CODECS[dialect].error_document(failure))
