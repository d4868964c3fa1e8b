"""What is said of an exchange when it is over: what was recognised in its stream, and what it has cost."""

from __future__ import annotations

import logging
import time

from relay.checked import CheckedStream
from relay.metrics import VERDICTS
from relay.net.attempt import Attempt
from relay.net.owner import Owner
from relay.net.relay import Relay
from relay.recognising import ADVICE, REPLAY
from relay.spend import Exchanged, record
from relay.wire import endpoints

log = logging.getLogger("relay")


def tell(relay: Relay, owner: Owner[Attempt], attempt: Attempt, attempts: int, end: str) -> None:
    """``attempts`` have begun; ``end`` is the code of what ended it before it was whole, if anything did."""
    _tell_verdict(relay, owner.id, attempt)
    if relay.spending is not None and attempt.target.upstream.api_key:
        exchanged = _exchanged(relay, owner, attempt, attempts, end)
        said = None if exchanged is None else record(exchanged, attempt.machine)
        if said is not None:
            relay.spending.note(said)


def _tell_verdict(relay: Relay, exchange_id: str, attempt: Attempt) -> None:
    machine = attempt.machine
    verdict = machine.verdict if isinstance(machine, CheckedStream) else None
    if verdict is not None:
        name = attempt.target.name
        relay.counters.count(VERDICTS, name, verdict.name)
        # Every stream of a wildcard is faked: once is a warning, a thousand times is noise.
        kind = f"{verdict.name} by {name}"
        quiet = verdict.name == REPLAY or kind in relay.warned
        relay.warned.add(kind)
        level = logging.INFO if quiet else logging.WARNING
        said = f"{verdict.evidence}; {ADVICE[verdict.name]}"
        log.log(level, "exchange %s: %s by %s: %s", exchange_id, verdict.name, name, said)


def _exchanged(
    relay: Relay, owner: Owner[Attempt], attempt: Attempt, attempts: int, end: str
) -> Exchanged | None:
    """The facts of a completion; None for any other exchange."""
    dialect = endpoints.completion_dialect(owner.head)
    if dialect is None or attempt.answered is None or attempt.treatment is None:
        return None
    way, spoken = owner.way, attempt.treatment.spoken
    return Exchanged(
        id=owner.id,
        now=time.time(),
        began=owner.began,
        ended=relay.loop.time(),
        upstream=attempt.target.upstream,
        dialect=dialect,
        model=attempt.treatment.model if way.model is None else way.model,
        stream=attempt.form is not None and attempt.form.event_stream,
        status=attempt.answered.status,
        model_there=way.model_at(attempt.target),
        spoken=spoken,
        first=attempt.committed_at,
        end=end,
        key="" if way.permission is None else way.permission.digest,
        attempts=attempts,
    )
