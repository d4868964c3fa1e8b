"""One attempt's slot at its target: held until the last byte; what the answer says of the target's health."""

from __future__ import annotations

from relay import retry
from relay.errors import RelayError
from relay.health import Trust
from relay.net.relay import Relay
from relay.routing import Target


class Slot:
    """Taken when its target was chosen; given back once."""

    __slots__ = ("_held", "_relay", "_tries", "_works", "target")

    def __init__(self, relay: Relay, target: Target) -> None:
        self._relay = relay
        self._held = True
        self._works = True
        self._tries = target.health.trust is Trust.TRIED
        """This one finds out whether a paused target has come back."""
        self.target = target

    def said(self, status: int, wait: float | None) -> None:
        """The head has come; ``wait`` is for how many seconds the target wants to be left alone."""
        health, now = self.target.health, self._relay.loop.time()
        self._works = not retry.counts_as_failure(status)
        if not self._works:
            health.failed(now)
        if wait is not None and not (status == 429 and self._is_litellm):
            # One key's quota is no reason to shun it for long: others may have theirs.
            health.wait(now + min(wait, self._relay.settings.health.longest))

    @property
    def _is_litellm(self) -> bool:
        """Behind it are many models, of which one has reached a limit."""
        return self._relay.settings.litellm is not None and not self.target.upstream.api_key

    def failed(self, error: RelayError) -> None:
        """It came to nothing, or broke off."""
        if retry.counts_as_failure(error):
            self.target.health.failed(self._relay.loop.time())

    def answering(self) -> None:
        """The first of the answer has come."""
        if self._works:
            self.target.health.answering()

    def answered(self) -> None:
        """And its last."""
        if self._works:
            self.target.health.answered()

    def leave(self) -> None:
        """No more will come; whoever waits gets the slot."""
        if not self._held:
            return
        self._held = False
        if self._tries:
            self.target.health.left()  # nothing, where it has told anything
        self._relay.room.leave(self.target)
