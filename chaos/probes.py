"""How long it takes from a fault's end until everything flows again."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any, Final

import asyncpg

from chaos.entrances import WHERE, message_of
from chaos.journal import Entry, Fate, Journal
from postroom.base import json
from postroom.base.db import DATABASE_AWAY, DATABASE_BUSY, Pool

POLL_S: Final = 0.1
ARRIVES_WITHIN_S: Final = 120.0
FAILURES: Final = (*DATABASE_AWAY, *DATABASE_BUSY, asyncpg.PostgresError)


class Probes:
    """One message on each channel after each fault; flow is normal when all of them were delivered."""

    def __init__(self, *, pool: Pool, journal: Journal) -> None:
        self._pool = pool
        self._journal = journal
        self._count = 0
        self.times_s: list[float] = []

    async def measure(self) -> None:
        """From now on, as a caller sees it. What other faults add meanwhile counts too."""
        started = time.monotonic()
        self._count += 1
        tokens = {f"probe-{self._count:04}-{channel}": channel for channel in WHERE}
        for token, channel in tokens.items():
            self._journal.open(Entry(token, "probe", channel, token, WHERE[channel]))
        with suppress(TimeoutError):
            async with asyncio.timeout(ARRIVES_WITHIN_S):
                ids = [await self._publish(token, channel) for token, channel in tokens.items()]
                await self._delivered(ids)
        self.times_s.append(round(time.monotonic() - started, 2))

    async def _publish(self, token: str, channel: str) -> Any:
        payload = json.encode(message_of(token, channel)["payload"])
        while True:
            try:
                id_ = await self._pool.fetchval(
                    "select postroom.publish($1, $2::jsonb, key => $3)", channel, payload, token, timeout=5
                )
            except FAILURES:
                await asyncio.sleep(POLL_S)
            else:
                self._journal.close(token, Fate.COMMITTED)
                return id_

    async def _delivered(self, ids: list[Any]) -> None:
        while True:
            with suppress(*FAILURES):
                if not await self._pool.fetchval(
                    "select count(*) from postroom.delivery where message_id = any($1)", ids, timeout=5
                ):
                    return
            await asyncio.sleep(POLL_S)
