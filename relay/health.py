"""Whether a target is fit to be asked, from what requests have met and from what checks have found.

Suspicion only ranks: routing asks a doubtful target after all others, and still asks it when there is
no other, because relay's own suspicion is no reason to refuse a client.

Three things make a target doubtful, each apart from the others:

paused   by ``failures`` in a row. When the pause is over it is half-open: one request tries it, whose
         success makes it well and whose failure pauses it twice as long. Failures during a pause change
         nothing: they are of requests sent before it, or of those that had nowhere else to go.
waiting  because it said so itself (Retry-After). It works, so nothing counts against it.
unwell   by ``fall`` bad checks in a row, until ``rise`` good ones. No answer to a request makes it well:
         the check may know what a request cannot, such as a model that is about to be unloaded.

Success does not reset the growth of the pauses at once, or a target that answers every sixth request
would be paused for the first second again and again. A pause that begins within the length of the last
one after its end is twice as long; a target that has held out for longer starts anew. So what one
has to prove is in proportion to what one has done.
"""

from __future__ import annotations

import enum

from relay.config import Health


class Trust(enum.Enum):
    """What the requests say."""

    WELL = "well"
    PAUSED = "paused"
    TRIED = "being tried"


class _Event(enum.Enum):
    ANSWERED = enum.auto()
    FAILED = enum.auto()
    CHOSEN = enum.auto()
    LEFT = enum.auto()


_NEXT = {
    (Trust.WELL, _Event.FAILED): Trust.PAUSED,  # the last of ``failures`` in a row
    (Trust.PAUSED, _Event.ANSWERED): Trust.WELL,
    (Trust.PAUSED, _Event.CHOSEN): Trust.TRIED,
    (Trust.TRIED, _Event.ANSWERED): Trust.WELL,
    (Trust.TRIED, _Event.FAILED): Trust.PAUSED,
    (Trust.TRIED, _Event.LEFT): Trust.PAUSED,  # for a time that is over: the next may try
}
"""What is not here changes nothing."""

Doubt = tuple[bool, bool, bool, float]
"""Is there any, is it unwell, is it being tried, until when; the smaller, the sooner it is asked."""

NO_DOUBT: Doubt = (False, False, False, 0.0)


class TargetHealth:
    """One target's; every time is in seconds of one clock that only goes forward."""

    __slots__ = (
        "_asked_until",
        "_failures",
        "_falls",
        "_length",
        "_paused_until",
        "_rises",
        "_settings",
        "trust",
        "unwell",
    )

    def __init__(self, settings: Health) -> None:
        self._settings = settings
        self.trust = Trust.WELL
        self.unwell = False
        self._failures = 0
        self._length = 0.0
        self._paused_until = 0.0
        self._asked_until = 0.0
        self._rises = 0
        self._falls = 0

    # What requests meet.

    def answered(self) -> None:
        """It gave an answer that says it works, 4xx included; that of an old request counts like any."""
        self._failures = 0
        self._go(_Event.ANSWERED)

    def answering(self) -> None:
        """The first of an answer has come: a try has succeeded. Only its end clears what was counted, or a
        server that cuts every stream would never be paused."""
        self._go(_Event.ANSWERED)

    def failed(self, now: float) -> None:
        """No connection, a reset, a timeout, a 5xx."""
        self._failures += 1
        enough = 0 < self._settings.failures <= self._failures
        if self.trust is Trust.TRIED or (self.trust is Trust.WELL and enough):
            self._pause(now)
            self._go(_Event.FAILED)

    def left(self) -> None:
        """The request that tried it ended without telling anything, because its client left."""
        self._go(_Event.LEFT)

    def wait(self, until: float) -> None:
        """It asked not to be asked before then. That is no failure, nor yet the success of a try."""
        self._asked_until = max(self._asked_until, until)
        self._go(_Event.LEFT)

    def trying(self) -> None:
        """A half-open target has been chosen for a request."""
        self._go(_Event.CHOSEN)

    # What checks find.

    def checked(self, well: bool, now: float) -> None:
        """Its health path has answered, or has not."""
        self._rises = self._rises + 1 if well else 0
        self._falls = 0 if well else self._falls + 1
        if well and self._rises >= self._settings.rise:
            self.unwell = False
            # Half-open, not well: a server may answer its health path and nothing else.
            self._paused_until = min(self._paused_until, now)
        elif not well and self._falls >= self._settings.fall:
            self.unwell = True

    # What follows from both.

    def doubtful(self, now: float) -> bool:
        """Any other is to be asked before this one."""
        return self.unwell or self.trust is Trust.TRIED or now < self._asked_until or self._in_pause(now)

    def half_open(self, now: float) -> bool:
        """The pause is over, and no request has tried it since."""
        return self.trust is Trust.PAUSED and now >= self._paused_until

    @property
    def until(self) -> float:
        """When the pause ends, and the time that it asked for; in the past, or 0, where there is none."""
        return max(self._asked_until, 0.0 if self.trust is Trust.WELL else self._paused_until)

    def doubt(self, now: float) -> Doubt:
        """For comparison with others: first what is expected to work soonest.

        A second request goes to one that is being tried only after those that are paused, so that a
        server which is coming up is not run over; an unwell one is known to be down.
        """
        if not self.doubtful(now):
            return NO_DOUBT
        return True, self.unwell, self.trust is Trust.TRIED, max(self.until, now)

    def state(self, now: float) -> str:
        """One word for people."""
        if self.unwell:
            return "unwell"
        if self._in_pause(now):
            return "paused"
        if now < self._asked_until:
            return "waiting"
        if self.trust is Trust.PAUSED:
            return "half-open"
        return "tried" if self.trust is Trust.TRIED else "well"

    def _in_pause(self, now: float) -> bool:
        return self.trust is Trust.PAUSED and now < self._paused_until

    def _pause(self, now: float) -> None:
        """Twice as long as the last one if it failed when tried, or soon after."""
        again = self.trust is Trust.TRIED or now < self._paused_until + self._length
        length = self._length * 2 if again and self._length else self._settings.pause
        self._length = min(length, self._settings.longest)
        self._paused_until = now + self._length
        self._rises = 0  # checks from before it do not end it

    def _go(self, event: _Event) -> None:
        self.trust = _NEXT.get((self.trust, event), self.trust)
