"""The end of a thinking block, held on request until the next frame of a Messages stream.

Claude Code tries a failed turn again as long as it holds no finished block of it, be it only thinking
(CLIProxyAPI 4658). Between a thinking block and what follows it an upstream can be silent for long, and
fail: with the block still open the client can try again. What writes the Messages dialect does the holding,
the checker where the upstream speaks it too, the encoder where it does not; other dialects have no such end.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class HoldsThinking(Protocol):
    """A checker or an encoder of a dialect in which thinking has an end of its own."""

    def hold_thinking(self) -> None:
        """From now on the end of thinking leaves with the next frame, and with a failure not at all."""
