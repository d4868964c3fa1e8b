"""Every end of a stream, in every phase and every dialect, over real sockets: exactly one outcome for each.

The table is in ``faults``; here it is played. Nothing waits for a time to pass, but for the limits that are
themselves the fault.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from relay.config import Drain, Health, Repair, Repeat, Retry
from relay.errors import RelayError
from relay.health import Trust
from relay.net.download import Download
from relay.net.relay import report as reported
from relay.wire.http1 import RequestHead
from tests.dialects.drive import events
from tests.translated import verdict

from .conftest import Serve
from .faults import CELLS, CELLS_OF_TWO, EXCEPTIONS, FINISH, LAST, REASONS, ROWS, WORDS, Cell
from .faulty import LEAVES, LIMITS, PLAYED, Play, Seen, begin, reach
from .kit import Ended, ScriptedUpstream, until
from .test_checked_streams import BEGUN, PATHS
from .test_failover import streams

AGAIN = Retry(repeat=Repeat.COMPLETIONS, attempts=2, pause=0.001)
SAME = [(dialect, dialect) for dialect in PATHS]
OTHERS = [("messages", "chat"), ("responses", "chat"), ("chat", "messages"), ("messages", "responses")]
"""A client's dialect and an upstream's."""


# --- what came of it --------------------------------------------------------------------------------


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """What answers go through, each of which knows how its stream ended, and the errors that are reported."""
    found = Seen()

    class Watched(Download):
        __slots__ = ()

        def __init__(self, owner: Any, upstream: Any, outlet: Any, machine: Any, **more: Any) -> None:
            found.machines.append(machine)
            super().__init__(owner, upstream, outlet, machine, **more)

    def report(ident: str, head: RequestHead, error: RelayError, *more: Any) -> None:
        found.errors.append(error)
        reported(ident, head, error, *more)

    monkeypatch.setattr("relay.net.attempt.Download", Watched)
    monkeypatch.setattr("relay.net.exchange.report", report)
    return found


def end_code(seen: Seen, *, left: bool) -> str:
    """That of the stream, or of the error that was reported; a client that left by itself is not reported."""
    if seen.machines and seen.machines[-1].end_code is not None:
        return str(seen.machines[-1].end_code)
    return seen.errors[-1].end if seen.errors else "CD" if left else "OK"


def what_came(play: Play, client: str) -> str:
    """The first word of a cell."""
    assert play.head is not None
    assert play.whole, "the body has no end"
    if play.head.status != 200:
        check_document(client, play)
        return str(play.head.status)
    if client == play.dialect and play.body == other_answer(client):
        return "other"
    end = verdict(client, events(play.body))
    sent_all = play.sent.endswith(LAST[play.dialect])
    if client == play.dialect:
        assert play.body.startswith(play.sent)
        assert play.body == play.sent or end == "failed" or not sent_all
    return "error" if end == "failed" else "whole" if sent_all else "supplied"


def check_document(client: str, play: Play) -> None:
    """The SDKs of both families find what they look for."""
    document = json.loads(play.body)
    assert document["error"]["message"]
    assert play.head is not None
    assert play.head[b"content-type"] == b"application/json"
    if client == "messages" and play.sent != b"":
        assert document["type"] == "error"


async def client_after(play: Play, fault: str) -> list[str]:
    """Does its connection serve another request; proved by one that is refused."""
    if fault == "client is slow":
        await until(lambda: not play.relay.relay.clients)
        return ["shut"]
    if fault in LEAVES:
        return ["gone"]
    try:
        await play.client.send(b"BAD\r\n\r\n")
        assert (await play.client.message()).status == 400
    except (Ended, ConnectionError):
        return ["shut"]
    return []


async def outcome(play: Play, fault: str, client: str) -> str:
    """In the words of the table."""
    what = "none"
    if fault not in LEAVES:
        await play.take_rest()
        what = what_came(play, client)
    after = await client_after(play, fault)
    pool = play.relay.pool
    await until(lambda: pool.open_count <= pool.idle_count)
    kept = pool.idle_count - (what == "other")
    end = end_code(play.seen, left=fault in LEAVES)
    return " ".join([what, end, *["reused"] * kept, *after])


# --- the tables -------------------------------------------------------------------------------------

every_pair = pytest.mark.parametrize(("client", "dialect"), [*SAME, *OTHERS], ids=lambda name: name)


def possible(cells: dict[tuple[str, str], Cell]) -> list[Cell]:
    return [cell for cell in cells.values() if cell.reason is None]


def settings(fault: str, **more: Any) -> dict[str, Any]:
    also = {"drain": Drain(0.0, 0.001), "health": Health(failures=1), **more}
    return {"repair": Repair.ON, "also": also, **LIMITS.get(fault, {})}


@every_pair
@pytest.mark.parametrize("cell", possible(CELLS), ids=str)
async def test_each_fault_has_the_one_outcome_that_the_table_states(
    serve: Serve,
    upstream: ScriptedUpstream,
    seen: Seen,
    cell: Cell,
    client: str,
    dialect: str,
) -> None:
    relay = await serve(f"{upstream.url} dialects={dialect}", **settings(cell.fault))
    play = await begin(relay, upstream, client, dialect, cell.fault, seen)
    await reach(play, cell)
    await PLAYED[cell.fault](play, cell.phase)
    assert await outcome(play, cell.fault, client) == cell.outcome(client, dialect)
    (target,) = relay.relay.targets
    if cell.fault in (*LEAVES, "drain"):
        assert target.health.trust is Trust.WELL  # that was not its doing


def with_two() -> list[Cell]:
    """The early phases of the second table, and the later ones of the first."""
    early = {phase for _, phase in CELLS_OF_TWO}
    later = {key: cell for key, cell in CELLS.items() if key[1] not in early}
    return possible({**CELLS_OF_TWO, **later})


@pytest.mark.parametrize("dialect", PATHS)
@pytest.mark.parametrize("cell", with_two(), ids=str)
async def test_a_second_target_helps_until_the_first_answer_has_begun(
    serve: Serve,
    upstreams: Callable[[int], list[ScriptedUpstream]],
    seen: Seen,
    cell: Cell,
    dialect: str,
) -> None:
    first, second = upstreams(2)
    second.serve(streams(other_answer(dialect)))
    said = f"dialects={dialect}"
    relay = await serve(
        f"{first.url} {said}", f"{second.url} {said} order=2", **settings(cell.fault, retry=AGAIN)
    )
    play = await begin(relay, first, dialect, dialect, cell.fault, seen)
    await reach(play, cell)
    await PLAYED[cell.fault](play, cell.phase)
    assert await outcome(play, cell.fault, dialect) == cell.outcome(dialect, dialect)
    assert len(second.wires) == ("other" in cell.text)


def other_answer(dialect: str) -> bytes:
    return (BEGUN[dialect] + FINISH[dialect] + LAST[dialect]).replace(b"Hello", b"Other")


# --- nothing is missing -----------------------------------------------------------------------------


@pytest.mark.parametrize("table", [CELLS, CELLS_OF_TWO])
def test_every_cell_states_one_outcome_or_why_it_cannot_be(table: dict[tuple[str, str], Cell]) -> None:
    faults, phases = ({key[at] for key in table} for at in (0, 1))
    assert len(table) == len(faults) * len(phases)
    for cell in table.values():
        if cell.reason is not None:
            assert cell.reason in REASONS
            continue
        what, end, *rest = cell.text.split()
        assert what in WORDS[0]
        assert end in WORDS[1]
        assert WORDS[2].issuperset(rest)


def test_every_fault_is_played_in_five_phases_and_two_tables() -> None:
    assert {fault for fault, _ in CELLS} == set(PLAYED)
    assert len(CELLS) == 5 * len(PLAYED)
    never_committed = {"last word", "last word and silence", "client is slow"}
    assert {fault for fault, _ in CELLS_OF_TWO} == set(PLAYED) - never_committed
    assert {cell.reason for cell in CELLS.values()} - {None} == set(REASONS)
    assert {fault for faults in ROWS.values() for fault in faults} == set(PLAYED)


def test_an_exception_is_one() -> None:
    for (fault, phase, who), text in EXCEPTIONS.items():
        assert text != CELLS[fault, phase].text
        assert who in (*PATHS, "translated")
