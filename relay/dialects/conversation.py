"""The order of tool calls and their results, the same for every dialect once a request has been read.

chat       the results follow the message with the calls at once, in any order
messages   the next message holds all of them, before its other content
responses  each result has its call somewhere before it; other items may lie between

So results are gathered: those of one assistant's turn stand at the start of the user's turn after it.
"""

from __future__ import annotations

from relay.dialects.request import BadRequest, Call, Part, Request, Result, Text, Turn

NO_RESULT = "no result"


def settle(request: Request, *, strict: bool) -> None:
    """Put every result where all dialects want it.

    A result without a call before it is refused. A call that was never answered although the conversation
    went on is refused when ``strict``; otherwise a result says so, with a warning.
    """
    turns: list[Turn] = []
    results: dict[int, list[Part]] = {}
    calls: dict[str, tuple[int, Call]] = {}
    unanswered: dict[int, dict[str, Call]] = {}
    for turn in request.turns:
        if turn.role == "assistant":
            own = {part.id: part for part in turn.parts if isinstance(part, Call)}
            calls |= {ident: (len(turns), call) for ident, call in own.items()}
            unanswered[len(turns)] = own
        rest: list[Part] = []
        for part in turn.parts:
            if not isinstance(part, Result):
                rest.append(part)
                continue
            if part.id not in calls:
                raise BadRequest(part.path, f"no tool call found for the tool result {part.id!r}")
            at, _ = calls[part.id]
            if unanswered[at].pop(part.id, None) is None:
                raise BadRequest(part.path, f"a second tool result for {part.id!r}")
            results.setdefault(at, []).append(part)
        if rest or not turn.parts:
            turns.append(Turn(turn.role, rest, turn.path))
    for at, missing in unanswered.items():
        if at == len(turns) - 1 and at not in results:
            continue  # the last word: nothing was to follow
        for call in missing.values():
            if strict:
                raise BadRequest(call.path, f"the tool call {call.id!r} has no result in the next message")
            request.drop(call.path)
            results.setdefault(at, []).append(Result(call.id, [Text(NO_RESULT)], path=call.path))
    request.turns = _placed(turns, results)


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
