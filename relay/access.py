"""Settings of who may ask, and of who hears what it has cost."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Keys:
    """Whose requests are served; without ``digests`` and ``verifier`` everybody's.

    digests   SHA-256 of each key that is accepted
    verifier  name of the upstream, a LiteLLM, whose ``/key/info`` knows further keys. Then only requests
              that could go to an upstream with a key of its own are checked here; the others it checks
    forward   the client's key goes on to upstreams that have none of their own
    ttl       seconds for which an accepted key is not asked for again: so long a revoked one may live
    refused_ttl  the same for one that was refused
    entries   keys remembered
    timeout   seconds for one question
    """

    digests: tuple[bytes, ...] = field(default=(), repr=False)
    verifier: str = ""
    forward: bool = False
    ttl: float = 60.0
    refused_ttl: float = 10.0
    entries: int = 10_000
    timeout: float = 5.0

    @property
    def asked(self) -> bool:
        return bool(self.digests or self.verifier)


@dataclass(frozen=True, slots=True)
class Spend:
    """Who hears of the usage of streams that went past LiteLLM.

    log      one record each
    webhook  a URL that gets the same as JSON
    token    the Bearer token that goes with it
    queue    records that wait for it; more are dropped, and counted
    """

    log: bool = False
    webhook: str = ""
    token: str = field(default="", repr=False)
    queue: int = 1000
