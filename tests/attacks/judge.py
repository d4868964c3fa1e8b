"""What was seen of a case, held against what is allowed.

A verdict has a label, which says in a word or two how it ended (``400``, ``forwarded``, ``cut``, ``hang``),
and a reason where that is not allowed. Some things are never allowed, whatever the case says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .cases import INJECTED, POISON, SECRET, Allowed, Case, Cut, Dropped, Foreign, Forwarded, Passed, Refused
from .client import Heard, Observed
from .strict import Message


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a case ended; ``why`` is empty where that is allowed."""

    label: str
    why: str = ""

    @property
    def passed(self) -> bool:
        return not self.why


def judge(case: Case, seen: Observed) -> Verdict:
    label = _label(case, seen)
    why = _never_allowed(case, seen)
    if not why:
        complaints = [_CHECKS[type(allowed)](allowed, case, seen) for allowed in case.allowed]
        why = "" if "" in complaints else "; or ".join(dict.fromkeys(complaints))
    return Verdict(label, why)


def _label(case: Case, seen: Observed) -> str:
    answers = seen.heard.answers[case.good :]
    if seen.heard.fault or (seen.heard.headless and seen.heard.closed):
        return "garbage"
    if answers and not _from_upstream(answers[0]):
        return str(answers[0].status)
    if answers and case.upstream_side:
        return f"passed {answers[0].status}"
    if answers:
        return "forwarded"
    if seen.heard.partial:
        return "cut"
    return "silent" if seen.heard.closed else "hang"


# What no case allows.


def _never_allowed(case: Case, seen: Observed) -> str:
    if complaint := _upstream_got(seen):
        return complaint
    for number, heard in enumerate(seen.next_clients, 1):
        if complaint := _next_client(heard, f"/next-{number}"):
            return f"client {number} after it {complaint}"
    if not (seen.heard.closed or seen.heard.answers or seen.heard.partial or seen.heard.fault):
        return "a hang: neither an answer nor a close"
    if not any(isinstance(allowed, Foreign) for allowed in case.allowed):
        if seen.heard.fault:
            return f"the client got what is no answer: {seen.heard.fault}"
        if seen.heard.headless:
            return "the client got what is no head"
    return _spoken(case, seen)


def _upstream_got(seen: Observed) -> str:
    if seen.journal.faults:
        return f"the upstream got what can be read in two ways: {seen.journal.faults[0]}"
    if any(b"/smuggled" in request.target for request in seen.journal.requests):
        return "smuggled: the upstream got a request that nobody sent as one"
    if "head" in seen.journal.broken or not seen.settled:
        return "the upstream got a part of a request and then nothing more"
    return ""


def _next_client(heard: Heard, target: str) -> str:
    if heard.fault:
        return f"got nothing sound: {heard.fault}"
    if len(heard.answers) != 1 or not heard.closed:
        return f"got {len(heard.answers)} answers"
    answer = heard.answers[0]
    if answer.status != 200 or answer.body != f"for {target}".encode():
        return f"got an answer that is not its own: {answer.status} {answer.body[:40]!r}"
    return ""


def _spoken(case: Case, seen: Observed) -> str:
    """Secrets in answers of the proxy's own, values that became fields, bytes beyond an answer."""
    if POISON in seen.heard.raw:
        return "the client got what the upstream said beyond its answer"
    messages = [*seen.heard.answers, *seen.journal.requests]
    if any(key.lower() == INJECTED for message in messages for key, _ in message.fields):
        return "a value has become a field"
    # What a sound request says wrongly may be quoted to whoever said it; not what a malformed one holds.
    quoted = any(isinstance(allowed, Refused) and allowed.sound for allowed in case.allowed)
    own = [answer for answer in seen.heard.answers if not (_from_upstream(answer) or quoted)]
    if any(SECRET in answer.body or any(SECRET in value for _, value in answer.fields) for answer in own):
        return "the proxy's own answer tells a secret"
    return ""


# What this case allows.


def _refused(allowed: Refused, case: Case, seen: Observed) -> str:
    answers = seen.heard.answers
    if allowed.sound and len(answers) == 2 and not _requests_are(seen, [b"/after"]):
        return _refusal(answers[0], allowed) or _others(answers[1:])
    if case.upstream_side:
        return (_refusal(answers[0], allowed) or _others(answers[1:])) if answers else _silence(allowed, seen)
    if complaint := _requests_are(seen, [b"/good"] * case.good, "a refusal"):
        return complaint
    if len(answers) == case.good:
        return _silence(allowed, seen)
    if not all(map(_from_upstream, answers[: case.good])):
        return "a sound request before it was refused"
    if len(answers) > case.good + 1:
        return "more answers after the refusal"
    if not seen.heard.closed:
        return "no close after the refusal"
    return _refusal(answers[-1], allowed)


def _refusal(answer: Message, allowed: Refused) -> str:
    if _from_upstream(answer):
        return "not refused"
    if answer.status not in allowed.statuses:
        return f"status {answer.status}"
    return ""


def _silence(allowed: Refused, seen: Observed) -> str:
    if seen.heard.partial:
        return "an answer that breaks off"
    return "" if allowed.silent and seen.heard.closed else "no answer"


def _forwarded(allowed: Forwarded, case: Case, seen: Observed) -> str:
    answers, requests = seen.heard.answers, [r for r in seen.journal.requests if _is_case(r)]
    if len(requests) != 1:
        return f"forwarded {len(requests)} times"
    if complaint := _shape(allowed, requests[0]):
        return complaint
    if [r for r in answers[: case.good + 1] if not _from_upstream(r)] or len(answers) <= case.good:
        return "forwarded, and its answer kept back"
    rest = answers[case.good + 1 :]
    if rest and allowed.close:
        return "the connection went on after a request whose framing is in doubt"
    if len(rest) > 1 or (rest and not _from_upstream(rest[0]) and not allowed.rubbish):
        return "another answer than those that were asked for"
    if not seen.heard.closed:
        return "the connection hangs after the answer"
    targets = [b"/good"] * case.good + [requests[0].target]
    return _requests_are(seen, [*targets, b"/after"][: len(targets) + bool(rest and _from_upstream(rest[0]))])


def _shape(allowed: Forwarded, request: Message) -> str:
    if allowed.body is not None and request.body != allowed.body:
        return f"forwarded with the body {request.body[:40]!r}"
    if allowed.method is not None and request.method != allowed.method:
        return "forwarded with another method"
    if allowed.target is not None and request.target != allowed.target:
        return f"forwarded with the target {request.target[:60]!r}"
    return _unwanted(allowed, request, "forwarded")


def _unwanted(allowed: Forwarded | Passed, message: Message, done: str) -> str:
    """Fields or trailers that should have been left out."""
    for unwanted, fields, what in (
        (allowed.absent, message.fields, "field"),
        (allowed.left, message.trailers, "trailer"),
    ):
        names = {key.lower() for key, _ in fields}
        if present := [name for name in unwanted if name in names]:
            return f"{done} with the {what} {present[0].decode()}"
    return ""


def _requests_are(seen: Observed, targets: list[bytes], what: str = "") -> str:
    """Whole requests that the upstream got, but for those of the next clients."""
    got = [r.target for r in seen.journal.requests if not r.target.startswith(b"/next-")]
    if got == targets:
        return ""
    return f"the upstream got {len(got)} requests, not {len(targets)}" + (f", beside {what}" if what else "")


def _dropped(allowed: Dropped, case: Case, seen: Observed) -> str:
    if allowed.whole and not _requests_are(seen, [b"/good"] * case.good + [b"/case"]):
        return ""
    return _requests_are(seen, [b"/good"] * case.good)


def _foreign(allowed: Foreign, case: Case, seen: Observed) -> str:
    if seen.heard.answers or not seen.heard.closed:
        return "neither refused nor closed"
    return _requests_are(seen, [])


def _passed(allowed: Passed, case: Case, seen: Observed) -> str:
    if not seen.heard.answers:
        return "no whole answer"
    answer, rest = seen.heard.answers[0], seen.heard.answers[1:]
    if not _from_upstream(answer):
        return f"status {answer.status}"
    if answer.status != allowed.status:
        return f"passed with {answer.status}"
    if allowed.body is not None and answer.body != allowed.body:
        return f"passed with the body {answer.body[:40]!r}"
    if allowed.holds not in answer.body:
        return "passed without what it must say"
    return _unwanted(allowed, answer, "passed") or _others(rest)


def _others(answers: list[Message]) -> str:
    """What came after the answer, on the same connection: that to ``/after``, if anything."""
    if len(answers) > 1 or any(answer.body != b"for /after" for answer in answers):
        return "the next request got an answer that is not its own"
    return ""


def _cut(allowed: Cut, case: Case, seen: Observed) -> str:
    if seen.heard.answers or not seen.heard.partial:
        return "not cut"
    return "" if seen.heard.closed else "a hang in the middle of an answer"


def _from_upstream(message: Message) -> bool:
    return bool(message.all(b"x-for"))


def _is_case(request: Message) -> bool:
    return not request.target.startswith((b"/good", b"/after", b"/next-"))


_CHECKS: dict[type[Allowed], Callable[..., str]] = {
    Refused: _refused,
    Forwarded: _forwarded,
    Dropped: _dropped,
    Foreign: _foreign,
    Passed: _passed,
    Cut: _cut,
}
