"""Puts off what is due to destinations that take nothing just now, so that it hides nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from postroom.base.db import Connection
from postroom.outbox import store
from postroom.outbox.engine.queue import Queue

SCAN_MAX: Final = 1_000
"""How many of the oldest due deliveries of each kind are considered at a time."""
CLOSED_EVERY_S: Final = 1.0
CLOSED_MAX_S: Final = 30.0
"""So that a breaker which a person closes is not waited for much longer."""
SILENT_S: Final = 2.0


class PutOff:
    """Makes deliveries due later, with no attempt spent."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._closed_at = float("-inf")

    async def closed(self, closed: Mapping[str, float]) -> None:
        """For destinations whose breaker is open, by the seconds left: what waits for it is not late."""
        now = self._queue.clock.monotonic()
        if not closed or now - self._closed_at < CLOSED_EVERY_S:
            return
        self._closed_at = now
        delays_s = {name: min(left_s, CLOSED_MAX_S) for name, left_s in closed.items()}
        async with self._queue.pool.acquire() as conn:
            await store.put_off(
                conn, channel=self._queue.channel, lane=self._queue.lane, delays_s=delays_s, scan_max=SCAN_MAX
            )

    async def silent(self, conn: Connection, silent: Sequence[str]) -> None:
        """For destinations that do not answer, where so much is due that it fills a scan."""
        if not silent:
            return
        if (
            await store.count_due(conn, channel=self._queue.channel, lane=self._queue.lane, most=SCAN_MAX)
            >= SCAN_MAX
        ):
            delays_s = dict.fromkeys(silent, SILENT_S)
            await store.put_off(
                conn, channel=self._queue.channel, lane=self._queue.lane, delays_s=delays_s, scan_max=SCAN_MAX
            )
