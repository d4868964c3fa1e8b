"""The order of tool calls and their results, the same for every dialect once a request has been read.

chat       the results follow the message with the calls at once, in any order
messages   the next message holds all of them, before its other content
responses  each result has its call somewhere before it; other items may lie between

So results are gathered: those of one assistant's turn stand at the start of the user's turn after it. And
every call has an id of its own: servers that number the calls of each answer from 0 repeat theirs
(llama.cpp), which Messages refuses and clients take for one call (claude-code 21094).
"""

from __future__ import annotations

import itertools
from collections import deque

from relay.dialects.request import BadRequest, Call, Part, Request, Result, Text, Turn, unique

NO_RESULT = "no result"


def settle(request: Request, *, strict: bool) -> None:
    """Put every result where all dialects want it.

    A result without a call before it is refused. A call that was never answered although the conversation
    went on is refused when ``strict``; otherwise a result says so, with a warning.
    """
    turns: list[Turn] = []
    results: dict[int, list[Part]] = {}
    calls = _Calls(request)
    for turn in request.turns:
        if turn.role == "assistant":
            calls.make(turn, len(turns))
        rest: list[Part] = []
        for part in turn.parts:
            if isinstance(part, Result):
                results.setdefault(calls.answer(part), []).append(part)
            else:
                rest.append(part)
        if rest or not turn.parts:
            turns.append(Turn(turn.role, rest, turn.path))
    for at, missing in calls.unanswered.items():
        if at == len(turns) - 1 and at not in results:
            continue  # the last word: nothing was to follow
        for call in itertools.chain.from_iterable(missing.values()):
            if strict:
                raise BadRequest(call.path, f"the tool call {call.id!r} has no result in the next message")
            request.drop(call.path)
            results.setdefault(at, []).append(Result(call.id, [Text(NO_RESULT)], path=call.path))
    request.turns = _placed(turns, results)


class _Calls:
    """The calls so far, by the ids that the client has for them."""

    __slots__ = ("_ids", "_latest", "unanswered")

    def __init__(self, request: Request) -> None:
        self._ids = request.call_ids
        self._latest: dict[str, int] = {}
        """The last turn with a call of this id."""
        self.unanswered: dict[int, dict[str, deque[Call]]] = {}
        """By turn and id, in the order of the calls."""

    def make(self, turn: Turn, at: int) -> None:
        """An assistant's turn."""
        own = self.unanswered[at] = {}
        for part in turn.parts:
            if isinstance(part, Call):
                own.setdefault(part.id, deque()).append(part)
                self._latest[part.id] = at
                part.id = unique(part.id, self._ids)

    def answer(self, result: Result) -> int:
        """The turn whose call this answers; the result is given the id that its call has."""
        at = self._latest.get(result.id)
        if at is None:
            raise BadRequest(result.path, f"no tool call found for the tool result {result.id!r}")
        waiting = self.unanswered[at][result.id]
        if not waiting:
            raise BadRequest(result.path, f"a second tool result for {result.id!r}")
        result.id = waiting.popleft().id
        return at


def _placed(turns: list[Turn], results: dict[int, list[Part]]) -> list[Turn]:
    """The turns with each turn's results at the start of the user's turn after it."""
    placed: list[Turn] = []
    for at, turn in enumerate(turns):
        before = results.get(at - 1)
        if before and turn.role == "user":
            turn.parts = before + turn.parts
        elif before:
            placed.append(Turn("user", before, turn.path))
        placed.append(turn)
    if (last := results.get(len(turns) - 1)) is not None:
        placed.append(Turn("user", last, turns[-1].path))
    return placed
