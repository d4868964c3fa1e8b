"""How late a loop of the bench is."""

import asyncio
import time


class Lag:
    """How late the loop is: what that is, the bench is to blame for."""

    EVERY = 0.05

    def __init__(self) -> None:
        self._late: list[float] = []
        self._last = time.monotonic()

    async def watch(self) -> None:
        while True:
            self._last = time.monotonic()
            await asyncio.sleep(self.EVERY)
            self._late.append(time.monotonic() - self._last - self.EVERY)

    def take(self) -> list[float]:
        """Those since the last time, in seconds."""
        late, self._late = self._late, []
        return late
