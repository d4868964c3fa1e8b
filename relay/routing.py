"""Which target serves a request: the fittest that has room.

Untried before tried, trusted before doubtful, lower order first, then the one with the fewest requests
in flight for its weight, and among equals each gets its share by weight. A request is in flight until
its last byte: counted to its head only, a server busy with long streams would look idle (sglang#9491).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from relay.config import Health, Upstream
from relay.health import TargetHealth

_SLACK = 1e-9
"""What the rounding of sums may amount to."""


class Server:
    """One upstream as this worker sees it, whichever routes lead to it."""

    __slots__ = ("health", "in_flight", "limit", "upstream")

    def __init__(self, upstream: Upstream, health: TargetHealth, limit: int = 0) -> None:
        self.upstream = upstream
        self.health = health
        self.limit = limit
        """Requests in flight at once; 0: any number."""
        self.in_flight = 0


class Target:
    """One candidate of a route: a server, and how this route asks it."""

    __slots__ = ("credit", "health", "model", "server", "upstream")

    def __init__(self, server: Server, upstream: Upstream | None = None, model: str = "") -> None:
        self.server = server
        self.health = server.health
        self.upstream = upstream or server.upstream
        """The server's, with the order, the weight and the dialects that it has here."""
        self.model = model
        """The name that it knows the model by, with ``*`` for a part of the client's; empty: the client's."""
        self.credit = 0.0
        """Requests that it should have had by its weight, less those that it got."""

    @property
    def name(self) -> str:
        return str(self.upstream)

    @property
    def in_flight(self) -> int:
        return self.server.in_flight

    @property
    def limit(self) -> int:
        return self.server.limit

    @property
    def full(self) -> bool:
        return 0 < self.limit <= self.in_flight

    @property
    def load(self) -> float:
        return self.in_flight / self.upstream.weight

    def take(self, now: float) -> None:
        """A request is in flight."""
        self.server.in_flight += 1
        if self.health.half_open(now):
            self.health.trying()

    def release(self) -> None:
        """The last byte has left, or the attempt has failed."""
        assert self.in_flight > 0, f"{self} released more often than chosen"
        self.server.in_flight -= 1
        if not self.in_flight:
            self.health.left()  # whoever tried it has gone, and if it was without a word

    def __repr__(self) -> str:
        return f"<Target {self.name} {self.in_flight}/{self.limit or '-'}>"


def servers(upstreams: Iterable[Upstream], health: Health, *, workers: int = 1) -> list[Server]:
    """Each of these as one worker of so many sees it."""
    return [
        Server(upstream, TargetHealth(health), _share(upstream.concurrency, workers))
        for upstream in upstreams
    ]


class Targets:
    """All that may serve the same requests."""

    def __init__(self, targets: Iterable[Target]) -> None:
        self._targets = tuple(targets)
        self._servers = frozenset(target.server for target in self._targets)

    def __iter__(self) -> Iterator[Target]:
        return iter(self._targets)

    def __len__(self) -> int:
        return len(self._targets)

    def choose(self, now: float, tried: Collection[Target] = ()) -> Target | None:
        """The best target with room, in which a place is taken; None when every one is full."""
        ranked = [(_rank(target, now, tried), target) for target in self._targets if not target.full]
        if not ranked:
            return None
        best = min(rank for rank, _ in ranked)
        chosen = _in_turn([target for rank, target in ranked if rank == best])
        chosen.take(now)
        return chosen

    def shares(self, other: Targets) -> bool:
        """One server may be asked by either."""
        return not self._servers.isdisjoint(other._servers)

    def elsewhere(self, now: float, tried: Collection[Target]) -> bool:
        """Is there one with room that has not been tried and is not doubtful."""
        return any(
            not target.full and target not in tried and not target.health.doubtful(now)
            for target in self._targets
        )


def _share(concurrency: int, workers: int) -> int:
    """One worker's part of a limit: rounded down, so that all of them keep it, but never none."""
    return max(concurrency // workers, 1) if concurrency else 0


def _rank(target: Target, now: float, tried: Collection[Target]) -> tuple[object, ...]:
    return target in tried, target.health.doubt(now), target.upstream.order, target.load


def _in_turn(equals: Sequence[Target]) -> Target:
    """The one whose turn it is by weight, so that over any number of turns each is within one of its share.

    Each turn earns every one of ``equals`` its part of a request; of those not ahead of their share, the
    one whose next is due first is taken, and pays for it. (Plain stride scheduling takes the lowest
    pass and lets a heavy target run ahead of many light ones; not serving who is ahead is what bounds it:
    Bennett and Zhang, WF2Q, 1996.) Who is not among the equals earns nothing: no burst on return.
    """
    if len(equals) == 1:
        return equals[0]
    weights = sum(target.upstream.weight for target in equals)
    level = sum(target.credit for target in equals) / weights
    behind = [target for target in equals if target.credit / target.upstream.weight >= level - _SLACK]
    chosen = min(behind, key=lambda target: (1 - target.credit) / target.upstream.weight)
    for target in equals:
        target.credit += target.upstream.weight / weights
    chosen.credit -= 1
    return chosen
